"""Project Aria Gen2: grey, rectified pictures of one camera of the glasses, hands from the device's tracker.

Metric, both hands; the thumb's CMC is not given. Read from a JSON list of frames with ``image`` (path from
the data folder), ``K``, ``size``, ``t_ns`` (the device's clock), ``left`` and ``right`` (21 x 3 metres in
camera axes, NaN unknown).
"""

from pathlib import Path
from typing import Any

import numpy as np

from tracker.joints import NUM_JOINTS
from tracker.research.ground_truth.files import joints, picture_reader, pinhole, read_entries
from tracker.research.ground_truth.labelled import SIDES, LabelledClip, projected

PATTERN = "aria_gen2_*.json"


def open_clip(data: Path, answers: Path) -> LabelledClip:
    """The frames that ``answers`` lists.

    Raises:
        UsageError: damaged answers, or pictures that are not there.
    """
    entries = read_entries(answers, "image", "K", "size", "t_ns")
    cameras = tuple(pinhole(entry["K"], entry["size"], f"{answers}, {entry['image']}") for entry in entries)
    times_s = [int(entry["t_ns"]) / 1e9 for entry in entries]
    in_camera_m = np.stack([[_hand(entry, side.value, answers) for side in SIDES] for entry in entries])
    return LabelledClip(
        name=answers.stem,
        source="Aria Gen2",
        joints_in_camera_m=in_camera_m,
        joints_px=projected(in_camera_m, cameras),
        cameras=cameras,
        read_frames=picture_reader([data / str(entry["image"]) for entry in entries], cameras, times_s),
        frame_rate_hz=frame_rate_hz(times_s),
        sizes_are_true=True,
    )


def _hand(entry: dict[str, Any], side: str, answers: Path) -> Any:
    if entry.get(side) is None:
        return np.full((NUM_JOINTS, 3), np.nan)
    return joints(entry[side], 3, f"{answers}, {entry['image']}")


def frame_rate_hz(times_s: list[float]) -> float | None:
    """Frames a second from the median step; None for a single picture."""
    return float(1 / np.median(np.diff(times_s))) if len(times_s) > 1 else None
