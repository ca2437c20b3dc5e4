"""The real-world test set of hand_graph_cnn: crops of 256 x 256, one left hand held up, metric joints.

Every hand of the set is a left one (palm or back to the camera, as its joints say too). Each crop has a
camera of its own, for the pixels of the crop. Read from an ``npz`` with ``index``, ``joints_cam_single`` (N,
21, 3), ``K_per_image``, ``uv`` and ``images``, a pattern of paths from the data folder.
"""

from pathlib import Path

import numpy as np

from tracker.errors import UsageError
from tracker.joints import NUM_JOINTS, Side
from tracker.research.ground_truth.files import joints, picture_reader, picture_size, pinhole, read_arrays
from tracker.research.ground_truth.labelled import SIDES, LabelledClip

PATTERN = "hand_graph_cnn_*.npz"
SIDE = Side.LEFT


def open_clip(data: Path, answers: Path) -> LabelledClip:
    """The pictures that ``answers`` lists.

    Raises:
        UsageError: damaged answers, or pictures that are not there.
    """
    stored = read_arrays(answers, "index", "joints_cam_single", "K_per_image", "uv", "images")
    try:
        paths = [data / (str(stored["images"]) % int(number)) for number in stored["index"]]
    except TypeError as error:
        raise UsageError(
            f"{answers}: images is {stored['images']}, want a pattern such as folder/%05d.jpg"
        ) from error
    cameras = tuple(
        pinhole(matrix, picture_size(path), str(answers))
        for path, matrix in zip(paths, stored["K_per_image"], strict=True)
    )
    in_camera_m = np.full((len(paths), 2, NUM_JOINTS, 3), np.nan)
    in_picture_px = np.full((len(paths), 2, NUM_JOINTS, 2), np.nan)
    in_camera_m[:, SIDES.index(SIDE)] = joints(stored["joints_cam_single"], 3, str(answers))
    in_picture_px[:, SIDES.index(SIDE)] = joints(stored["uv"], 2, str(answers))
    return LabelledClip(
        name=answers.stem,
        source="hand_graph_cnn",
        joints_in_camera_m=in_camera_m,
        joints_px=in_picture_px,
        cameras=cameras,
        read_frames=picture_reader(paths, cameras),
        frame_rate_hz=None,
        sizes_are_true=True,
        first_person=False,
    )
