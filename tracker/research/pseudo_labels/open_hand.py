"""The open hand as a body model: the kinematic hand of the tracker, its palm and bones shared by a take.

A shape's numbers are what differs from the mean adult: the thumb's CMC (3), the index knuckle (3), how far
the middle knuckle is (1), the ring knuckle (3), the little finger's across and along (2), then the 15 bones.
What is missing there are the wrist's own axes: the middle knuckle lies on -z, and the index and little
finger's are equally high.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from tracker.hand_shape import ADULT_SIZE_SD, NUM_FINGERS, PALM_JOINTS, HandShape
from tracker.joints import NUM_JOINTS, FloatArray
from tracker.kinematic_fit import PoseArrays
from tracker.kinematic_hand import (
    ANGLE_LOWER_RAD,
    ANGLE_UPPER_RAD,
    FINGER_JOINTS,
    NUM_ANGLES,
    angles_of,
    joints_and_jacobian,
)
from tracker.research.pseudo_labels.problem import Linearized
from tracker.research.pseudo_labels.starting import first_placement

_PALM_ENTRIES = ((0, 1, 2), (3, 4, 5), (None, None, 6), (7, 8, 9), (10, 4, 11))
"""Of the base of each finger: which number of the shape changes its x, y and z."""
_FIRST_BONE = 12
SHAPE_SIZE = _FIRST_BONE + 3 * NUM_FINGERS
PALM_SD_M = 0.006
"""How far a finger's base lies from where the mean hand of the same size has it."""
BONE_SD = 0.08
"""Relative spread of single bones beside the whole hand's size."""
LEAST_BONE = 0.4
"""No bone is shorter than this share of the mean hand's."""
REST_RAD = np.array([(0.1, 0.0, 0.2, 0.3), *[(0.35, 0.0, 0.5, 0.3)] * 4])
REST_SD_RAD = np.array([(0.5, 0.4, 0.5, 0.5), *[(0.7, 0.25, 0.7, 0.5)] * 4])
"""(5, 4) a hand at ease, and how widely hands spread: this fills in what nobody saw."""
_START_MARGIN_RAD = 0.05


@dataclass(frozen=True, eq=False)
class OpenHand:
    """A right hand of palm points, bones and four angles a finger (``kinematic_hand``)."""

    lower_rad = ANGLE_LOWER_RAD.reshape(-1)
    upper_rad = ANGLE_UPPER_RAD.reshape(-1)
    rest_rad = REST_RAD.reshape(-1)
    rest_sd_rad = REST_SD_RAD.reshape(-1)

    @cached_property
    def shape_precision(self) -> FloatArray:
        """(27, 27) people differ in size, and within that in each length."""
        mean = _numbers_of(HandShape.mean())
        spread = np.full(SHAPE_SIZE, PALM_SD_M)
        spread[_FIRST_BONE:] = BONE_SD * mean[_FIRST_BONE:]
        covariance = np.diag(spread**2) + ADULT_SIZE_SD**2 * np.outer(mean, mean)
        return np.asarray(np.linalg.inv(covariance), np.float64)

    def start(self, joints_m: FloatArray, weights: FloatArray) -> PoseArrays:
        """A pose near joints (H, 21, 3): the palm's place, and the bends of bones that are known."""
        mean, palm = HandShape.mean(), list(PALM_JOINTS)
        at_rest, _ = joints_and_jacobian(*_repeated(mean, 1), *_at_rest(), np.ones(1))
        places_m, rotations = first_placement(joints_m, weights, at_rest[0], palm)
        with np.errstate(invalid="ignore"):
            turned = np.where((weights > 0)[..., None], joints_m, np.nan) - places_m[:, None]
            angles_rad = angles_of(turned @ rotations).reshape(len(joints_m), -1)
        angles_rad = np.where(np.isfinite(angles_rad), angles_rad, self.rest_rad)
        middle_rad = (self.lower_rad + self.upper_rad) / 2  # 190 degrees of bend are not -170
        angles_rad = middle_rad + np.remainder(angles_rad - middle_rad + np.pi, 2 * np.pi) - np.pi
        low, high = self.lower_rad + _START_MARGIN_RAD, self.upper_rad - _START_MARGIN_RAD
        return places_m, rotations, np.clip(angles_rad, low, high)

    def linearize(self, shape: FloatArray, pose: PoseArrays, *, with_shape: bool) -> Linearized:
        """The joints of H hands of one shape, with their slopes."""
        places_m, rotations, angles_rad = pose
        count = len(places_m)
        palm_m, bones_m = _repeated(hand_shape(shape), count)
        angles_rad = angles_rad.reshape(count, NUM_FINGERS, NUM_ANGLES)
        joints_m, by_pose = joints_and_jacobian(
            palm_m, bones_m, places_m, rotations, angles_rad, np.ones(count)
        )
        by_shape = _by_shape(joints_m, rotations, bones_m) if with_shape else None
        return Linearized(joints_m, by_pose, by_shape)


def hand_shape(numbers: FloatArray) -> HandShape:
    """The palm and bones of a shape (27,)."""
    mean = HandShape.mean()
    palm_m, bones_m = mean.palm_m.copy(), mean.finger_bones_m.copy()
    for finger, entries in enumerate(_PALM_ENTRIES):
        for axis, entry in enumerate(entries):
            if entry is not None:
                palm_m[1 + finger, axis] += numbers[entry]
    bones_m += numbers[_FIRST_BONE:].reshape(NUM_FINGERS, 3)
    return HandShape(palm_m, np.maximum(bones_m, LEAST_BONE * mean.finger_bones_m))


def _numbers_of(shape: HandShape) -> FloatArray:
    """(27,) lengths of a hand itself, in the order of a shape's numbers."""
    numbers = np.empty(SHAPE_SIZE)
    for finger, entries in enumerate(_PALM_ENTRIES):
        for axis, entry in enumerate(entries):
            if entry is not None:
                numbers[entry] = shape.palm_m[1 + finger, axis]
    numbers[_FIRST_BONE:] = shape.finger_bones_m.reshape(-1)
    return numbers


def _repeated(shape: HandShape, count: int) -> tuple[FloatArray, FloatArray]:
    return (
        np.broadcast_to(shape.palm_m, (count, 6, 3)),
        np.broadcast_to(shape.finger_bones_m, (count, NUM_FINGERS, 3)),
    )


def _at_rest() -> tuple[FloatArray, FloatArray, FloatArray]:
    return np.zeros((1, 3)), np.eye(3)[None], REST_RAD[None]


def _by_shape(joints_m: FloatArray, rotations: FloatArray, bones_m: FloatArray) -> FloatArray:
    """Slopes (H, 63, 27): a finger's base carries all of it, a bone carries what is beyond."""
    count = len(joints_m)
    slopes = np.zeros((count, NUM_JOINTS, 3, SHAPE_SIZE))
    fingers = joints_m[:, FINGER_JOINTS]
    directions = np.diff(fingers, axis=2) / bones_m[..., None]
    for finger, entries in enumerate(_PALM_ENTRIES):
        chain = slice(FINGER_JOINTS[finger, 0], FINGER_JOINTS[finger, -1] + 1)
        for axis, entry in enumerate(entries):
            if entry is not None:
                slopes[:, chain, :, entry] = rotations[:, None, :, axis]
        for bone in range(3):
            beyond = slice(FINGER_JOINTS[finger, bone + 1], chain.stop)
            slopes[:, beyond, :, _FIRST_BONE + 3 * finger + bone] = directions[:, finger, bone, None]
    return slopes.reshape(count, 3 * NUM_JOINTS, SHAPE_SIZE)
