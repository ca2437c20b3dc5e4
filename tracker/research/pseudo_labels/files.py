"""A take's pseudo labels on disk: one ``.npz`` of plain arrays, as docs/egoexo4d.md describes it."""

from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np

from tracker.errors import UsageError
from tracker.hand_shape import HandShape
from tracker.research.ground_truth.files import read_arrays
from tracker.research.pseudo_labels.labels import REASONS, ManoTake, OpenHandParameters, TakeLabels
from tracker.whole_file import whole_file

FORMAT = "hand pseudo labels 1"
OPEN_HAND, MANO = "open-hand", "mano"
_ROWS = ("frames", "left", "joints_m", "residuals_m", "outliers", "rms_m", "beyond_rad", "bad")
_POSES = {
    OPEN_HAND: ("wrists_m", "rotations", "angles_rad"),
    MANO: ("global_orient", "hand_pose", "translation_m"),
}
_SHAPES = {OPEN_HAND: ("palm_m", "finger_bones_m"), MANO: ("betas",)}


def labels_path(folder: Path, take: str) -> Path:
    """Where a take's labels are."""
    return folder / f"{take}.npz"


def write_labels(path: Path, labels: TakeLabels, made_from: str) -> None:
    """Write a take's labels, wholly or not at all.

    Args:
        path: the file.
        labels: what it gets.
        made_from: names keypoints, model and settings: another run can tell whether it would do the same.

    Raises:
        SinkFailedError: the disk is full, say.
    """
    parameters = labels.parameters
    model = MANO if isinstance(parameters, ManoTake) else OPEN_HAND
    shape = parameters.shape if isinstance(parameters, OpenHandParameters) else parameters
    arrays: dict[str, Any] = {
        "format": FORMAT,
        "model": model,
        "made_from": made_from,
        "take": labels.take,
        "reasons": np.array(REASONS),
        "good": labels.good,
        "noise_m": labels.noise_m,
    }
    arrays |= {name: getattr(labels, name) for name in _ROWS}
    arrays |= {name: getattr(parameters, name) for name in _POSES[model]}
    arrays |= {name: getattr(shape, name) for name in _SHAPES[model]}
    with whole_file(path) as part, part.open("wb") as file:
        np.savez_compressed(file, **arrays)


def made_from(path: Path) -> str:
    """What a file of labels was made from.

    Raises:
        UsageError: it cannot be read or is something else.
    """
    stored = read_arrays(path, "format", "made_from")
    if str(stored["format"]) != FORMAT:
        raise UsageError(f"{path} has the format {str(stored['format'])!r}, want {FORMAT!r}")
    return str(stored["made_from"])


def read_labels(path: Path) -> TakeLabels:
    """Read a take's labels.

    Raises:
        UsageError: the file cannot be read, is no file of labels, or its arrays do not belong together.
    """
    made_from(path)
    stored = read_arrays(path, "model", "take", "noise_m", *_ROWS)
    model = str(stored["model"])
    if model not in _POSES:
        raise UsageError(f"{path} holds labels of the model {model!r}, want one of {', '.join(_POSES)}")
    stored |= read_arrays(path, *_POSES[model], *_SHAPES[model])
    count = len(stored["frames"])
    for name in (*_ROWS, *_POSES[model]):
        if stored[name].shape[:1] != (count,):
            raise UsageError(f"{path}: {name} has shape {stored[name].shape}, want {count} rows")
    poses = {name: stored[name] for name in _POSES[model]}
    parameters: OpenHandParameters | ManoTake
    if model == OPEN_HAND:
        parameters = OpenHandParameters(HandShape(stored["palm_m"], stored["finger_bones_m"]), **poses)
    else:
        parameters = ManoTake(betas=stored["betas"], **poses)
    rows = {field.name: stored[field.name] for field in fields(TakeLabels) if field.name in _ROWS}
    return TakeLabels(
        take=str(stored["take"]), noise_m=float(stored["noise_m"]), parameters=parameters, **rows
    )
