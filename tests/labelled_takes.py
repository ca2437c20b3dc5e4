"""Takes with known hands for tests of pseudo labels: one person's bones, both hands, any pose of hands."""

from dataclasses import dataclass

import numpy as np

from tracker.hand_shape import HandShape
from tracker.joints import FloatArray
from tracker.kinematic_hand import ANGLE_LOWER_RAD, ANGLE_UPPER_RAD, posed_joints
from tracker.research.pseudo_labels.problem import TakeKeypoints
from tracker.rotations import rotation_from_vector


@dataclass(frozen=True, eq=False)
class MadeTake:
    """The keypoints, and what they were made of."""

    keypoints: TakeKeypoints
    shape: HandShape
    joints_m: FloatArray
    angles_rad: FloatArray


def a_person(rng: np.random.Generator) -> HandShape:
    """A hand some per cent larger or smaller than the mean, its lengths off by themselves too."""
    mean, size = HandShape.mean(), rng.uniform(0.9, 1.12)
    palm_m = mean.palm_m * size + rng.normal(0.0, 0.003, (6, 3))
    palm_m[0] = 0.0
    palm_m[3, :2] = 0.0  # the wrist's own axes
    palm_m[5, 1] = palm_m[2, 1]
    return HandShape(palm_m, mean.finger_bones_m * size * rng.uniform(0.92, 1.08, (5, 3)))


def made_take(count: int, *, seed: int, noise_m: float = 0.0, take: str = "made") -> MadeTake:
    """Hands in any place and turn, their bends anywhere in the middle four fifths of what fingers reach."""
    rng = np.random.default_rng(seed)
    shape = a_person(rng)
    share = rng.uniform(0.1, 0.9, (count, 5, 4))
    angles_rad = ANGLE_LOWER_RAD + share * (ANGLE_UPPER_RAD - ANGLE_LOWER_RAD)
    left = rng.random(count) < 0.5
    joints_m = posed_joints(
        np.broadcast_to(shape.palm_m, (count, 6, 3)),
        np.broadcast_to(shape.finger_bones_m, (count, 5, 3)),
        rng.normal(0.0, 0.3, (count, 3)),
        rotation_from_vector(rng.normal(0.0, 1.5, (count, 3))),
        angles_rad,
        np.where(left, -1.0, 1.0),
    )
    seen_m = joints_m + noise_m * rng.normal(size=joints_m.shape)
    keypoints = TakeKeypoints(take, np.arange(count) * 3, left, seen_m, np.ones((count, 21)))
    return MadeTake(keypoints, shape, joints_m, angles_rad)


def distances_m(joints_m: FloatArray, true_m: FloatArray) -> FloatArray:
    """Of joints (..., 3)."""
    return np.asarray(np.linalg.norm(joints_m - true_m, axis=-1))
