"""HInt: hands in the wild marked in the picture, hidden joints said to be hidden; no metres, no cameras.

Laid out as published: folders such as ``TEST_newdays_img`` with pairs of ``<name>_{l,r}.jpg`` and ``.json``,
one hand each, ``[{"keypoints": 21 x 2, "occlusion": 21, "bbox": ...}]``; the name's last letter is the side.
Joints are in our order. Cameras are a guess of a common field of view, and marked as one.
"""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from tracker.cameras import pinhole_from_fov
from tracker.errors import UsageError
from tracker.joints import NUM_JOINTS, FloatArray, Side
from tracker.research.ground_truth.egoexo4d_values import Tally
from tracker.research.ground_truth.files import joints, picture_reader, picture_size, read_json
from tracker.research.ground_truth.labelled import SIDES, BoolArray, LabelledClip

PATTERNS = ("TEST_*_*", "VAL_*_*", "TRAIN_*_*")
ASSUMED_FOV_DEG = 60.0
_SIDES_IN_NAMES = {"l": Side.LEFT, "r": Side.RIGHT}


def holds(data: Path) -> bool:
    """Whether a folder is HInt's."""
    return bool(_subsets(data))


def open_clips(data: Path, tally: Tally) -> list[LabelledClip]:
    """The subsets that have pictures.

    As downloaded, the folders of Ego4D's have none: they have to be fetched apart.

    Raises:
        UsageError: none has, or marks are of another layout.
    """
    opened = [open_subset(folder, tally) for folder in _subsets(data)]
    clips = [clip for clip in opened if clip is not None]
    if not clips:
        raise UsageError("; ".join([f"{data} holds no pictures with marks", *tally.lines()]))
    return clips


def open_subset(folder: Path, tally: Tally) -> LabelledClip | None:
    """One folder of pictures; None without any.

    Args:
        folder: of pairs of a picture and its marks.
        tally: gets marks without a picture.

    Raises:
        UsageError: marks are of another layout; the message names them.
    """
    marked = sorted(folder.glob("*.json"))
    answers = [path for path in marked if path.with_suffix(".jpg").is_file()]
    tally.add("marks without a picture", folder.name, len(marked) - len(answers))
    if not answers:
        return None
    pictures = [path.with_suffix(".jpg") for path in answers]
    marked_px = np.full((len(answers), 2, NUM_JOINTS, 2), np.nan)
    hidden = np.zeros((len(answers), 2, NUM_JOINTS), dtype=bool)
    for row, path in enumerate(answers):
        side = _SIDES_IN_NAMES.get(path.stem.rpartition("_")[2])
        if side is None:
            raise UsageError(f"{path}: the name does not end in _l or _r, the hand's side")
        marked_px[row, SIDES.index(side)], hidden[row, SIDES.index(side)] = _marks(path)
    cameras = tuple(
        replace(pinhole_from_fov(*picture_size(path), ASSUMED_FOV_DEG), assumed=True) for path in pictures
    )
    return LabelledClip(
        name=folder.name,
        source="HInt",
        joints_in_camera_m=np.full((len(answers), 2, NUM_JOINTS, 3), np.nan),
        joints_px=marked_px,
        cameras=cameras,
        read_frames=picture_reader(pictures, cameras),
        frame_rate_hz=None,
        pictures=tuple(pictures),
        complete=False,  # one hand of each picture is marked
        hidden=hidden,
        to_measure_by=not folder.name.startswith("TRAIN"),
    )


def _subsets(data: Path) -> list[Path]:
    return [
        folder
        for pattern in PATTERNS
        for folder in sorted(data.glob(pattern))
        if folder.is_dir() and any(folder.glob("*.json"))
    ]


def _marks(path: Path) -> tuple[FloatArray, BoolArray]:
    """Joints (21, 2) and whether each (21,) is hidden."""
    entries: Any = read_json(path)
    if not isinstance(entries, list) or len(entries) != 1 or not isinstance(entries[0], Mapping):
        raise UsageError(f"{path} is no list of one hand")
    marked_px = joints(entries[0].get("keypoints"), 2, str(path))
    hidden = np.asarray(entries[0].get("occlusion"), dtype=np.float64)
    if marked_px.shape != (NUM_JOINTS, 2) or hidden.shape != (NUM_JOINTS,):
        raise UsageError(f"{path}: want 21 keypoints and 21 words on occlusion")
    return marked_px, hidden > 0
