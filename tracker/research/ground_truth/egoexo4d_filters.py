"""Which joints of EgoExo4D's raw annotation are kept: the public preparation's filters, a function each.

Joints (21, 3) in metres and pixels (21, 2), NaN where unknown; each filter says which joints (21,) it
rejects. A joint that is unknown is no filter's business, except where a filter says so. Angles and bones are
judged on the same hand: no filter sees what the other took away.
"""

import numpy as np

from tracker.joints import BONES, FINGER_MCPS, FINGERS, NUM_JOINTS, WRIST, FloatArray, bone_lengths
from tracker.research.ground_truth.labelled import BoolArray

MIN_VIEWS = 3
"""A joint marked by people is triangulated from at least this many cameras."""
BONE_RANGE_M = (0.005, 0.080)
PALM_RANGE_M = (0.060, 0.120)
"""From the wrist to the knuckles of the long fingers; the thumb's CMC is a bone like others."""
MIN_THUMB_ANGLES_DEG = (100.0, 90.0, 90.0)
MIN_FINGER_ANGLES_DEG = (60.0, 70.0, 80.0)
"""Least angle between the bones that meet in a finger's first, second and third joint; 180 is straight."""
MAX_REPROJECTION_PX = 30.0
MIN_VALID_JOINTS = 10
BOX_PADDING_PX = 20.0

_BENDING = np.array([chain[k] for chain in FINGERS.values() for k in range(3)])
_BEFORE = np.array([(WRIST, *chain)[k] for chain in FINGERS.values() for k in range(3)])
_BEYOND = np.array([chain[k + 1] for chain in FINGERS.values() for k in range(3)])
_MIN_ANGLES_DEG = np.array([*MIN_THUMB_ANGLES_DEG, *MIN_FINGER_ANGLES_DEG * 4])


def too_few_views(joints_m: FloatArray, views: FloatArray) -> BoolArray:
    """Joints triangulated from fewer than `MIN_VIEWS` cameras; ``views`` (21,)."""
    return known(joints_m) & ~(views >= MIN_VIEWS)


def of_a_hand_without_wrist(joints_m: FloatArray) -> BoolArray:
    """All joints of a hand whose wrist is unknown: everything is measured from there."""
    return np.asarray(known(joints_m) & ~np.isfinite(joints_m[WRIST]).all())


def at_an_implausible_bone(joints_m: FloatArray) -> BoolArray:
    """Joints whose bone from the joint before is too short or too long."""
    lengths_m = bone_lengths(joints_m)
    children = [child for _, child in BONES]
    long = np.isin(children, FINGER_MCPS)
    low = np.where(long, PALM_RANGE_M[0], BONE_RANGE_M[0])
    high = np.where(long, PALM_RANGE_M[1], BONE_RANGE_M[1])
    rejected = np.zeros(NUM_JOINTS, dtype=bool)
    rejected[children] = (lengths_m < low) | (lengths_m > high)  # False where a length is NaN
    return rejected


def at_an_implausible_angle(joints_m: FloatArray) -> BoolArray:
    """Joints at which a finger bends farther than fingers do."""
    toward = joints_m[_BEFORE] - joints_m[_BENDING]
    away = joints_m[_BEYOND] - joints_m[_BENDING]
    size = np.linalg.norm(toward, axis=-1) * np.linalg.norm(away, axis=-1)
    with np.errstate(invalid="ignore", divide="ignore"):
        angles_deg = np.degrees(np.arccos(np.clip((toward * away).sum(axis=-1) / size, -1.0, 1.0)))
        bent = angles_deg < _MIN_ANGLES_DEG
    rejected = np.zeros(NUM_JOINTS, dtype=bool)
    rejected[_BENDING] = bent
    return rejected


def outside_the_picture(joints_px: FloatArray, width: int, height: int) -> BoolArray:
    """Joints whose image lies beyond the picture, whose first pixel is [0, 1)."""
    with np.errstate(invalid="ignore"):
        inside = ((joints_px >= 0) & (joints_px < (width, height))).all(axis=-1)
    return known(joints_px) & ~inside


def outside_the_mask(joints_px: FloatArray, mask: BoolArray) -> BoolArray:
    """Joints inside the picture (H, W) where the undistorted picture shows nothing."""
    height, width = mask.shape
    inside = known(joints_px) & ~outside_the_picture(joints_px, width, height)
    x, y = np.where(inside[:, None], joints_px, 0).astype(np.int64).T
    return np.asarray(inside & ~mask[y, x])


def not_marked(joints_px: FloatArray, marked_px: FloatArray) -> BoolArray:
    """Joints in the picture that nobody marked there; the wrist need not be."""
    rejected = known(joints_px) & ~known(marked_px)
    rejected[WRIST] = False
    return rejected


def far_from_their_mark(joints_px: FloatArray, marked_px: FloatArray) -> BoolArray:
    """Joints farther than `MAX_REPROJECTION_PX` from their mark; the wrist, a wide place, may be."""
    with np.errstate(invalid="ignore"):
        rejected = np.linalg.norm(joints_px - marked_px, axis=-1) > MAX_REPROJECTION_PX
    rejected[WRIST] = False
    return np.asarray(rejected)


def padded_box(joints_px: FloatArray, width: int, height: int) -> FloatArray:
    """(4,) the box around joints, widened by `BOX_PADDING_PX` and cut at the picture's outermost pixels."""
    kept = joints_px[known(joints_px)]
    limit = np.array([width - 1, height - 1], dtype=np.float64)
    low = np.clip(kept.min(axis=0) - BOX_PADDING_PX, 0.0, limit)
    high = np.clip(kept.max(axis=0) + BOX_PADDING_PX, 0.0, limit)
    return np.concatenate([low, high])


def without(values: FloatArray, rejected: BoolArray) -> FloatArray:
    """``values`` (21, D) with NaN where joints (21,) are rejected."""
    return np.where(rejected[:, None], np.nan, values)


def known(values: FloatArray) -> BoolArray:
    """(21,) joints whose place is known."""
    return np.asarray(np.isfinite(values).all(axis=-1))
