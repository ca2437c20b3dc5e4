"""What a fit of pseudo labels takes and gives: keypoints of a person's take, settings, a body model, the fit.

A body model is a hand with a pose of its own in every frame and a shape that one take shares. All models are
right hands here: a left hand is fitted as its mirror image (x negated), and mirrored back afterwards.
"""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from tracker.joints import NUM_JOINTS, FloatArray
from tracker.kinematic_fit import PoseArrays

BoolArray = npt.NDArray[np.bool_]
IntArray = npt.NDArray[np.int64]
MIRROR = np.array([-1.0, 1.0, 1.0])


@dataclass(frozen=True, eq=False)
class TakeKeypoints:
    """The keypoints of one person's hands in one take; arrays lead with H, one row a hand and frame."""

    take: str
    """What the take is called; also the name of its file of labels."""
    frames: IntArray
    """(H,) frame numbers."""
    left: BoolArray
    """(H,)"""
    joints_m: FloatArray
    """(H, 21, 3) in camera or world axes; NaN where a joint is unknown."""
    weights: FloatArray
    """(H, 21) how much each joint counts, 1 for a usual one; zero where it is unknown."""

    def __post_init__(self) -> None:
        count = len(self.frames)
        expected = {
            "frames": (count,),
            "left": (count,),
            "joints_m": (count, NUM_JOINTS, 3),
            "weights": (count, NUM_JOINTS),
        }
        for name, shape in expected.items():
            if getattr(self, name).shape != shape:
                raise ValueError(f"{name} has shape {getattr(self, name).shape}, want {shape}")

    def __len__(self) -> int:
        return len(self.frames)


@dataclass(frozen=True)
class FitSettings:
    """How long to search, and what to believe."""

    least_noise_m: float = 0.0001
    most_noise_m: float = 0.02
    """Bounds of the keypoints' spread an axis, which each take's own residuals give. The smaller it is, the
    less rest pose and mean shape count."""
    tukey: float = 5.0
    """Joints farther off than this many spreads count for nothing."""
    least_outlier_m: float = 0.015
    """Joints nearer than this count, however little the others spread: bodies and marks differ by as much."""
    cauchy: float = 4.0
    """While the way to a hand is still long nothing is rejected: Cauchy's weights at this many spreads."""
    seeking_iterations: int = 5
    shape_hands: int = 256
    """Hands that a take's shape is fitted to, spread evenly over the take: more change it by less than
    a tenth of a millimetre."""
    shape_iterations: int = 20
    """At most; the shape is done when a step would lower the sum of squares by less than `shape_gain`."""
    shape_gain: float = 0.01
    """A step of a tenth of the shape's own uncertainty gains as much."""
    iterations: int = 60
    """At most; a hand is done when nothing of it moves by more than `settled_m`."""
    settled_m: float = 2e-5
    damping: float = 1e-3
    """Share by which the normal matrix's diagonal is raised."""
    most_turn_rad: float = 0.5
    """Longest step of a rotation and of an angle in one iteration."""


@dataclass(frozen=True, eq=False)
class Linearized:
    """Joints of H hands and how they change."""

    joints_m: FloatArray
    """(H, 21, 3)"""
    by_pose: FloatArray
    """(H, 63, 6 + A): place, a small rotation vector left of the rotation, angles."""
    by_shape: FloatArray | None
    """(H, 63, S); None where it was not asked for."""


class HandModel(Protocol):
    """A right hand with A angles and S numbers of shape.

    A pose is the arrays (H, 3) place, (H, 3, 3) rotation and (H, A) angles; a shape is (S,), zero the mean.
    """

    @property
    def lower_rad(self) -> FloatArray:
        """(A,) least angles."""
        ...

    @property
    def upper_rad(self) -> FloatArray:
        """(A,) greatest angles."""
        ...

    @property
    def rest_rad(self) -> FloatArray:
        """(A,) likeliest angles."""
        ...

    @property
    def rest_sd_rad(self) -> FloatArray:
        """(A,) how widely hands spread about them."""
        ...

    @property
    def shape_precision(self) -> FloatArray:
        """(S, S) inverse covariance of people's shapes."""
        ...

    def start(self, joints_m: FloatArray, weights: FloatArray) -> PoseArrays:
        """A pose near joints (H, 21, 3); those of zero weight are unknown and hold zeros."""
        ...

    def linearize(self, shape: FloatArray, pose: PoseArrays, *, with_shape: bool) -> Linearized:
        """The joints of H hands of one shape, with their slopes."""
        ...


@dataclass(frozen=True, eq=False)
class TakeFit:
    """The fitted hands of a take, as right hands in mirrored axes where ``left``; arrays lead with H."""

    shape: FloatArray
    """(S,) of the person."""
    pose: PoseArrays
    joints_m: FloatArray
    """(H, 21, 3)"""
    residuals_m: FloatArray
    """(H, 21) distance of the fitted joints from their keypoints; NaN where there was none."""
    inlier_weights: FloatArray
    """(H, 21) Tukey's weights: 0 of an outlier, NaN where there was no keypoint."""
    settled: BoolArray
    """(H,)"""
    noise_m: float
    """Spread of the keypoints an axis, as the take's residuals have it."""
