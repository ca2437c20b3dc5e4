"""EgoExo4D's raw annotation of one frame: joints in the world and their marks in Aria's picture.

``[{annotation2D: {cam: {joint: {x, y}}}, annotation3D: {joint: {x, y, z, num_views_for_3d}}}]``
"""

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from tracker.joints import NUM_JOINTS, FloatArray, Side
from tracker.research.ground_truth.egoexo4d_values import JOINT_KEYS


@dataclass(frozen=True, eq=False)
class RawHand:
    """One hand of a raw annotation."""

    joints_in_world_m: FloatArray
    """(21, 3); NaN where not annotated."""
    views: FloatArray
    """(21,) cameras from which each was triangulated; NaN where that is not said."""
    marked_px: FloatArray
    """(21, 2) as marked in the undistorted landscape picture; NaN where not."""
    unusable: Mapping[str, int]
    """How many joints and marks are listed without coordinates that can be used, by kind."""


def raw_hands(entry: Any, aria: str) -> dict[Side, RawHand] | None:
    """Both hands of one frame's annotation; None where it has no joints in space."""
    first = entry[0] if isinstance(entry, list) and entry else None
    in_space = first.get("annotation3D") if isinstance(first, Mapping) else None
    if not isinstance(first, Mapping) or not isinstance(in_space, Mapping) or not in_space:
        return None
    of_cameras = first.get("annotation2D")
    marked = of_cameras.get(aria) if isinstance(of_cameras, Mapping) else None
    return {side: _raw_hand(in_space, marked if isinstance(marked, Mapping) else {}, side) for side in Side}


def _raw_hand(in_space: Mapping[str, Any], marked: Mapping[str, Any], side: Side) -> RawHand:
    joints_m, views = np.full((NUM_JOINTS, 3), np.nan), np.full(NUM_JOINTS, np.nan)
    marked_px = np.full((NUM_JOINTS, 2), np.nan)
    unusable: Counter[str] = Counter()
    for joint, key in enumerate(f"{side.value}_{name}" for name in JOINT_KEYS):
        for listed, places, what in ((in_space, joints_m, "joints in space"), (marked, marked_px, "marks")):
            if key in listed:
                places[joint], wrong = _coordinates(listed[key], "xyz"[: places.shape[1]])
                unusable.update([f"{what} that are {wrong}"] if wrong else [])
        if isinstance(in_space.get(key), Mapping):
            views[joint] = _number(in_space[key].get("num_views_for_3d"))
    return RawHand(joints_m, views, marked_px, unusable)


def _coordinates(point: Any, axes: str) -> tuple[list[float], str | None]:
    """Numbers, and what they are if not those of a place; then all are NaN."""
    values = [point.get(axis) for axis in axes] if isinstance(point, dict) else [None]
    if not set(map(type, values)) <= {float, int}:  # True is no number
        return [math.nan] * len(axes), "no numbers"
    found = [_number(value) for value in values]
    if not all(map(math.isfinite, found)):
        return [math.nan] * len(axes), "NaN or infinite"
    return found, None


def _number(value: Any) -> float:
    """A number of a JSON file; NaN for anything else, and for whole numbers beyond any float."""
    try:
        return float(value) if isinstance(value, int | float) else math.nan
    except OverflowError:
        return math.nan
