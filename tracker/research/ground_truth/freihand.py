"""FreiHAND: single right hands in pictures of 224 x 224, metric joints, one camera a picture.

Laid out as published: ``{training,evaluation}_xyz.json`` and ``_K.json``, lists of 21 x 3 metres in camera
axes and 3 x 3 matrices, with ``{training,evaluation}/rgb/<number, eight digits>.jpg``. The training set shows
every hand four times before other backgrounds; the first, as photographed, is read. Joints are in our order.
"""

from pathlib import Path

import numpy as np

from tracker.errors import UsageError
from tracker.joints import NUM_JOINTS, Side
from tracker.research.ground_truth.egoexo4d_values import Tally
from tracker.research.ground_truth.files import joints, picture_reader, picture_size, pinhole, read_json
from tracker.research.ground_truth.labelled import SIDES, LabelledClip, projected

SIDE = Side.RIGHT
SUBSETS = ("training", "evaluation")


def holds(data: Path) -> bool:
    """Whether a folder is FreiHAND's."""
    return any((data / f"{subset}_xyz.json").is_file() for subset in SUBSETS)


def open_clips(data: Path, tally: Tally) -> list[LabelledClip]:
    """The subsets whose answers are there; nothing of them is ever left out.

    Raises:
        UsageError: damaged answers, or pictures that are not there.
    """
    return [_open_clip(data, subset) for subset in SUBSETS if (data / f"{subset}_xyz.json").is_file()]


def _open_clip(data: Path, subset: str) -> LabelledClip:
    answers = data / f"{subset}_xyz.json"
    true_m = joints(read_json(answers), 3, str(answers))
    matrices = read_json(data / f"{subset}_K.json")
    if not isinstance(matrices, list) or true_m.ndim != 3 or len(matrices) != len(true_m):
        raise UsageError(f"{answers} holds {len(true_m)} hands; want as many matrices in {subset}_K.json")
    paths = [data / subset / "rgb" / f"{number:08d}.jpg" for number in range(len(true_m))]
    missing = [path for path in paths if not path.is_file()]
    if missing:
        raise UsageError(f"{len(missing)} of {len(paths)} pictures are missing, the first is {missing[0]}")
    size = picture_size(paths[0])  # all are alike; reading one of another size is refused
    cameras = tuple(pinhole(matrix, size, f"{subset}_K.json") for matrix in matrices)
    in_camera_m = np.full((len(paths), 2, NUM_JOINTS, 3), np.nan)
    in_camera_m[:, SIDES.index(SIDE)] = true_m
    return LabelledClip(
        name=f"freihand_{subset}",
        source="FreiHAND",
        joints_in_camera_m=in_camera_m,
        joints_px=projected(in_camera_m, cameras),
        cameras=cameras,
        read_frames=picture_reader(paths, cameras),
        frame_rate_hz=None,
        pictures=tuple(paths),
        sizes_are_true=True,
        first_person=False,
    )
