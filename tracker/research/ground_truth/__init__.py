"""Data sets whose answers are known: one small file each, all giving a `LabelledClip` of `LabelledFrame`s.

They are found under a folder laid out as ``gt/*.npz`` and ``gt/*.json`` (the answers) beside the pictures
they name, or in a data set's own folder, laid out as it is published.
"""

from collections.abc import Sequence
from fnmatch import fnmatch
from pathlib import Path

from tracker.errors import UsageError
from tracker.research.ground_truth import (
    aria_gen2,
    egodex,
    egoexo4d,
    freihand,
    hand_graph_cnn,
    hint,
    interhand,
)
from tracker.research.ground_truth.egoexo4d_values import Tally
from tracker.research.ground_truth.labelled import LabelledClip, LabelledFrame

__all__ = ["DATA_SETS", "PUBLISHED", "LabelledClip", "LabelledFrame", "find_clips"]

DATA_SETS = (egodex, hand_graph_cnn, interhand, aria_gen2)
"""Modules with ``PATTERN``, the names of their files of answers, and ``open_clip(data, answers)``."""
PUBLISHED = (egoexo4d, freihand, hint)
"""Modules with ``holds(data)``, whether a folder is laid out as the data set is, and
``open_clips(data, tally)``, whose tally gets what was left out."""


def find_clips(data: Path, wanted: Sequence[str] = (), *, tally: Tally | None = None) -> list[LabelledClip]:
    """The clips with answers under ``data``, data set by data set, in the order of their names.

    Args:
        data: folder with ``gt`` in it, or a folder of one of `PUBLISHED`.
        wanted: names of clips, or patterns such as ``egodex_*``; none for all.
        tally: gets what was left out, for want of a picture say.

    Raises:
        UsageError: no such folder, nothing in it, a name that no clip has, or a damaged file of answers.
    """
    for published in PUBLISHED:
        if published.holds(data):
            return _chosen(published.open_clips(data, Tally() if tally is None else tally), wanted)
    folder = data / "gt"
    if not folder.is_dir():
        raise UsageError(
            f"{data} has no folder gt with the true hands; give a folder laid out as docs/evaluation.md says"
        )
    found = [
        (data_set, path)
        for data_set in DATA_SETS
        for path in sorted(folder.glob(data_set.PATTERN))
        if path.is_file()
    ]
    if not found:
        raise UsageError(f"{folder} holds no {', '.join(data_set.PATTERN for data_set in DATA_SETS)}")
    _check_wanted([path.stem for _, path in found], wanted)
    return [
        data_set.open_clip(data, path)
        for data_set, path in found
        if not wanted or any(fnmatch(path.stem, name) for name in wanted)
    ]


def _chosen(clips: list[LabelledClip], wanted: Sequence[str]) -> list[LabelledClip]:
    _check_wanted([clip.name for clip in clips], wanted)
    return [clip for clip in clips if not wanted or any(fnmatch(clip.name, name) for name in wanted)]


def _check_wanted(names: list[str], wanted: Sequence[str]) -> None:
    """Refuse a name or pattern that no clip has."""
    for name in wanted:
        if not any(fnmatch(known, name) for known in names):
            raise UsageError(f"no clip is called {name!r}; there are {', '.join(names)}")
