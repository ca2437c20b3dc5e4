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
    """The subsets whose answers are there, without hands whose picture is missing, which are counted.

    Raises:
        UsageError: damaged answers, or a subset without any picture.
    """
    return [_open_clip(data, subset, tally) for subset in SUBSETS if (data / f"{subset}_xyz.json").is_file()]


def _open_clip(data: Path, subset: str, tally: Tally) -> LabelledClip:
    answers = data / f"{subset}_xyz.json"
    true_m = joints(read_json(answers), 3, str(answers))
    matrices = read_json(data / f"{subset}_K.json")
    if not isinstance(matrices, list) or true_m.ndim != 3 or len(matrices) != len(true_m):
        raise UsageError(f"{answers} holds {len(true_m)} hands; want as many matrices in {subset}_K.json")
    paths = [data / subset / "rgb" / f"{number:08d}.jpg" for number in range(len(true_m))]
    there = [number for number, path in enumerate(paths) if path.is_file()]
    if not there:
        raise UsageError(f"none of the {len(paths)} pictures is there, the first would be {paths[0]}")
    for number in sorted(set(range(len(paths))) - set(there)):
        tally.add("hands without a picture", f"{subset} {paths[number].name}")
    paths = [paths[number] for number in there]
    size = picture_size(paths[0])  # all are alike; reading one of another size is refused
    cameras = tuple(pinhole(matrices[number], size, f"{subset}_K.json") for number in there)
    in_camera_m = np.full((len(paths), 2, NUM_JOINTS, 3), np.nan)
    in_camera_m[:, SIDES.index(SIDE)] = true_m[there]
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
        to_measure_by=subset != "training",
    )
