"""The command ``egoexo4d pseudo-labels``: keypoints in, a file of labels for each take out."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path

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


@dataclass(frozen=True, eq=False)
class Labelling:
    """How takes are labelled."""

    mano: ManoModel | None = None
    """The model to fit; the open hand without it."""
    settings: FitSettings = field(default_factory=FitSettings)
    demands: Demands = field(default_factory=Demands)

    def made_from(self, keypoints: TakeKeypoints) -> str:
        """What tells whether two runs would give the same labels."""
        digest = hashlib.sha256()
        for array in (keypoints.frames, keypoints.left, keypoints.joints_m, keypoints.weights):
            digest.update(np.ascontiguousarray(array).tobytes())
        if self.mano is not None:
            for value in fields(self.mano):
                digest.update(np.ascontiguousarray(getattr(self.mano, value.name)).tobytes())
        model = OPEN_HAND if self.mano is None else MANO
        return f"{model} {asdict(self.settings)} {asdict(self.demands)} sha256 {digest.hexdigest()}"


def label_takes(
    takes: Sequence[TakeKeypoints], out: Path, labelling: Labelling, *, resume: bool, say: Say
) -> int:
    """Write the labels of every take and print what they came to; returns the exit status.

    Args:
        takes: their keypoints.
        out: the folder; made if it is not there.
        labelling: the model and what is asked of a label.
        resume: keep the files that this very run would make again; others are replaced.
        say: tells a person.

    Raises:
        UsageError: labels are there already, and this is not said to be their continuation.
    """
    there = [path for take in takes if (path := labels_path(out, take.take)).exists()]
    if there and not resume:
        raise UsageError(
            f"{there[0]} is there already; --resume goes on with that run, or name another folder"
        )
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"cannot make the folder {out}: {error.strerror}") from error
    model = OpenHand() if labelling.mano is None else ManoHand(labelling.mano)
    kept, summaries = 0, list[TakeSummary]()
    try:
        with CountingBar(sum(len(take) for take in takes), unit="hand", what="pseudo labels") as bar:
            for take in takes:
                path, key = labels_path(out, take.take), labelling.made_from(take)
                if _is_made(path, key):
                    kept, labels = kept + 1, read_labels(path)
                else:
                    fit = fit_take(model, take, labelling.settings)
                    labels = labels_of(model, take, fit, labelling.demands)
                    write_labels(path, labels, key)
                summaries.append(TakeSummary.of(labels))
                bar.observe(len(take))
    except KeyboardInterrupt:
        say(f"stopped; {len(summaries)} of {len(takes)} takes are done, --resume goes on from there")
        raise
    for line in [f"{kept} takes were there already"] * bool(kept) + headline(summaries):
        say(line)
    print(to_text(summaries))
    return 0


def _is_made(path: Path, key: str) -> bool:
    if not path.exists():
        return False
    try:
        return made_from(path) == key
    except UsageError:  # damaged, or something else under that name: made again
        return False
