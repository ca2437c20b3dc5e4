"""The command ``egoexo4d pseudo-labels``: keypoints in, a file of labels for each take out."""

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np

from tracker.errors import UsageError
from tracker.mano_numpy import ManoModel
from tracker.progress import CountingBar
from tracker.research.pseudo_labels.files import (
    MANO,
    OPEN_HAND,
    labels_path,
    made_from,
    read_labels,
    write_labels,
)
from tracker.research.pseudo_labels.labels import Demands, labels_of
from tracker.research.pseudo_labels.mano_hand import ManoHand
from tracker.research.pseudo_labels.open_hand import OpenHand
from tracker.research.pseudo_labels.problem import FitSettings, TakeKeypoints
from tracker.research.pseudo_labels.report import TakeSummary, headline, to_text
from tracker.research.pseudo_labels.solver import fit_take

Say = Callable[[str], None]
KEYPOINTS, CONTENT = "keypoints sha256", "MANO sha256"
"""What of `Labelling.made_from` is no setting."""
MOST_NAMED = 5
"""Takes that one line names."""


@dataclass(frozen=True, eq=False)
class Labelling:
    """How takes are labelled."""

    mano: ManoModel | None = None
    """The model to fit; the open hand without it."""
    settings: FitSettings = field(default_factory=FitSettings)
    demands: Demands = field(default_factory=Demands)

    def made_from(self, keypoints: TakeKeypoints) -> str:
        """What tells whether two runs would give the same labels, as JSON of one level."""
        made_from: dict[str, object] = {"model": OPEN_HAND if self.mano is None else MANO}
        if self.mano is not None:
            made_from[CONTENT] = _digest([getattr(self.mano, value.name) for value in fields(self.mano)])
        made_from |= asdict(self.settings) | asdict(self.demands)
        arrays = (keypoints.frames, keypoints.left, keypoints.joints_m, keypoints.weights)
        return json.dumps(made_from | {KEYPOINTS: _digest(arrays)})


def _digest(arrays: Iterable[np.ndarray[Any, Any]]) -> str:
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def label_takes(
    takes: Sequence[TakeKeypoints],
    out: Path,
    labelling: Labelling,
    *,
    resume: bool,
    overwrite: bool = False,
    say: Say,
) -> int:
    """Write the labels of every take and print what they came to; returns the exit status.

    Args:
        takes: their keypoints.
        out: the folder; made if it is not there.
        labelling: the model and what is asked of a label.
        resume: keep the files that this very run would make again; those of other keypoints, and damaged
            ones, are replaced.
        overwrite: replace labels that are there, with ``resume`` those of another model or settings.
        say: tells a person.

    Raises:
        UsageError: labels are there already, and this is not said to be their continuation, or they are of
            another model or settings.
    """
    there = {take.take: path for take in takes if (path := labels_path(out, take.take)).exists()}
    if there and not (resume or overwrite):
        raise UsageError(
            f"{next(iter(there.values()))} is there already; --resume goes on with that run, --overwrite "
            "replaces it, or name another folder"
        )
    kept = _kept(takes, there, labelling, overwrite=overwrite, say=say) if resume else set()
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"cannot make the folder {out}: {error.strerror}") from error
    model = OpenHand() if labelling.mano is None else ManoHand(labelling.mano)
    summaries = list[TakeSummary]()
    try:
        with CountingBar(sum(len(take) for take in takes), unit="hand", what="pseudo labels") as bar:
            for take in takes:
                path = labels_path(out, take.take)
                if take.take in kept:
                    labels = read_labels(path)
                else:
                    fit = fit_take(model, take, labelling.settings)
                    labels = labels_of(model, take, fit, labelling.demands)
                    write_labels(path, labels, labelling.made_from(take))
                summaries.append(TakeSummary.of(labels))
                bar.observe(len(take))
    except KeyboardInterrupt:
        say(f"stopped; {len(summaries)} of {len(takes)} takes are done, --resume goes on from there")
        raise
    for line in [f"{len(kept)} takes were there already"] * bool(kept) + headline(summaries):
        say(line)
    print(to_text(summaries))
    return 0


def _kept(
    takes: Sequence[TakeKeypoints],
    there: Mapping[str, Path],
    labelling: Labelling,
    *,
    overwrite: bool,
    say: Say,
) -> set[str]:
    """The takes whose labels this very run would make again; says of which it makes others."""
    wanted = {take.take: json.loads(labelling.made_from(take)) for take in takes}
    found = {take: _found(path) for take, path in there.items()}
    if not overwrite:
        for take, before in found.items():
            _refuse_other_labels(there[take], before, wanted[take])
    replaced = [take for take, before in found.items() if before != wanted[take]]
    if replaced:
        why = "another run" if overwrite else "other keypoints"
        names = ", ".join(replaced[:MOST_NAMED])
        say(f"labels of {len(replaced)} takes are of {why}, or damaged, and made again: {names}")
    return set(found) - set(replaced)


def _found(path: Path) -> dict[str, object]:
    """What a file of labels was made from; nothing where it is damaged, or something else of that name."""
    try:
        before = json.loads(made_from(path))
        return before if isinstance(before, dict) else {}
    except (UsageError, ValueError):
        return {}


def _refuse_other_labels(path: Path, before: Mapping[str, object], now: Mapping[str, object]) -> None:
    """Raise where good labels would be replaced by those of another model or settings; says what differs."""
    if not before:
        return
    differing = [
        f"{name} was {before.get(name)}, is {now.get(name)}"
        for name in dict.fromkeys([*now, *before])
        if name not in (KEYPOINTS, CONTENT) and before.get(name) != now.get(name)
    ]
    if before.get("model") == now["model"] and before.get(CONTENT) != now.get(CONTENT):
        differing.append("MANO has other numbers in it")
    if differing:
        raise UsageError(
            f"{path} is of another run: {', '.join(differing)}; --overwrite replaces such labels, or name "
            "another folder"
        )
