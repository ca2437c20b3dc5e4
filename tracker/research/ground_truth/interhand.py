"""InterHand2.6M: stills of one or two hands seen from a dome of cameras, metric joints.

Read from a JSON list of pictures with ``image`` (path from the data folder), ``K``, ``left`` and ``right``
(21 x 3 metres in camera axes) and ``hand_type``; only the hands that ``hand_type`` names are in the picture.
"""

from pathlib import Path

import numpy as np

from tracker.joints import NUM_JOINTS, Side
from tracker.research.ground_truth.files import joints, picture_reader, picture_size, pinhole, read_entries
from tracker.research.ground_truth.labelled import SIDES, LabelledClip, projected

PATTERN = "interhand_*.json"


def open_clip(data: Path, answers: Path) -> LabelledClip:
    """The pictures that ``answers`` lists.

    Raises:
        UsageError: damaged answers, or pictures that are not there.
    """
    entries = read_entries(answers, "image", "K", "hand_type")
    paths = [data / str(entry["image"]) for entry in entries]
    cameras = tuple(
        pinhole(entry["K"], picture_size(path), f"{answers}, {entry['image']}")
        for path, entry in zip(paths, entries, strict=True)
    )
    in_camera_m = np.full((len(paths), 2, NUM_JOINTS, 3), np.nan)
    for index, entry in enumerate(entries):
        for column, side in enumerate(SIDES):
            if _shows(entry["hand_type"], side):
                in_camera_m[index, column] = joints(entry[side.value], 3, f"{answers}, {entry['image']}")
    return LabelledClip(
        name=answers.stem,
        source="InterHand2.6M",
        joints_in_camera_m=in_camera_m,
        joints_px=projected(in_camera_m, cameras),
        cameras=cameras,
        read_frames=picture_reader(paths, cameras),
        frame_rate_hz=None,
        sizes_are_true=True,
        first_person=False,
    )


def _shows(hand_type: object, side: Side) -> bool:
    return hand_type in ("interacting", side.value)
