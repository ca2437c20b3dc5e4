"""Keep a placed hand still without making it late, in the terms in which a camera errs.

Range (distance along the ray) is 5 to 10 times noisier than bearing, so the two are filtered apart: bearing
by a Kalman filter that knows velocity, range by a low-pass that opens when the hand moves across its ray.
How the hand is turned and bent is filtered third: where it was fitted as a kinematic hand as a rotation and
joint angles, so that bones keep their length; else as joints about the palm.
"""

import math
from dataclasses import dataclass, field, replace

import numpy as np

from tracker.hand_shape import HandShape
from tracker.joints import FINGER_MCPS, WRIST, FloatArray, Side, camera_from_wrist
from tracker.kinematic_hand import KinematicPose, joints
from tracker.structs import HandPose
from tracker.temporal.filters import (
    DirectionFilter,
    DirectionParameters,
    OneEuro,
    OneEuroParameters,
    RangeFilter,
    RangeParameters,
    RotationOneEuro,
    smoothing_factor,
)

VELOCITY_CUTOFF_HZ = 5.0
"""Low-pass of the published velocity along the ray and about the palm."""
RESET_GAP_S = 0.25
"""After a pause this long nothing is known any more of how the hand moved."""
MAX_STEP_M = 0.25
"""A published hand moves at most so far between two frames, whatever was measured: 7.5 m/s at 30 frames/s."""
MAX_RECEDING_M_PER_S = 3.0
"""A hand comes or goes along its ray no faster; what is measured beyond that is a range read wrongly."""
PALM = [WRIST, *FINGER_MCPS]


@dataclass(frozen=True)
class SmoothingConfig:
    """Parameters of the filters of a hand."""

    publish_measured: bool = False
    """Hands are given as they were placed, for ``two_sided`` to smooth; velocities stay."""
    max_step_m: float = MAX_STEP_M
    """For who watches; where hands are only measured, a wrong one must not hold back those after it."""
    bearing: DirectionParameters = field(default_factory=DirectionParameters)
    range: RangeParameters = field(default_factory=RangeParameters)
    rotation: OneEuroParameters = field(default=OneEuroParameters(1.5, 1.0, 9.0))
    angles: OneEuroParameters = field(default=OneEuroParameters(1.5, 1.0, 10.0))
    joints: OneEuroParameters = field(default=OneEuroParameters(1.5, 20.0))
    """Of joints about the palm, for hands without angles."""


class HandFilter:
    """Smooths the poses of one track and gives their velocity."""

    def __init__(self, config: SmoothingConfig) -> None:
        self._config = config
        self._shown_m: FloatArray | None = None
        """(3,) where the palm was last published."""
        self._start()

    def _start(self) -> None:
        """Forget all motion, but not where the hand was shown."""
        self._side: Side | None = None
        self._bearing = DirectionFilter(self._config.bearing)
        self._range = RangeFilter(self._config.range)
        self._bend: _BendFilter | _JointsFilter | None = None
        self._palm_m: FloatArray | None = None
        self._from_palm_m: FloatArray = np.zeros((1, 3))
        self._range_speed = 0.0
        self._turning_m_per_s: FloatArray = np.zeros((1, 3))

    def __call__(self, pose: HandPose, dt_s: float) -> tuple[HandPose, FloatArray]:
        """The smoothed pose and its joints' velocity (21, 3) in m/s, ``dt_s`` after the last one.

        A long pause or another side (its joints have other places) start the filter again; a hand that was
        fitted and now is not, or the other way round, that of its joints about the palm.
        """
        kind = _JointsFilter if pose.kinematics is None or pose.shape is None else _BendFilter
        if pose.side is not self._side or dt_s > RESET_GAP_S:
            self._start()
            self._side = pose.side
        if not isinstance(self._bend, kind):
            self._bend = kind(self._config)
        palm_m = self._place(pose, dt_s)
        from_palm_m = self._bend(pose, dt_s)
        velocity = self._move(palm_m, from_palm_m, dt_s)
        joints_m = palm_m + from_palm_m
        self._shown_m = palm_m
        return (pose if self._config.publish_measured else self._bend.pose_of(pose, joints_m)), velocity

    def coast(self, pose: HandPose, offset_m: FloatArray) -> HandPose:
        """The last pose moved on by (3,) while its hand is not seen."""
        joints_m = pose.joints_in_camera_m + offset_m
        self._shown_m = joints_m[PALM].mean(axis=0)
        kinematics = pose.kinematics
        if kinematics is not None:
            kinematics = replace(kinematics, wrist_in_camera_m=kinematics.wrist_in_camera_m + offset_m)
        return replace(pose, joints_in_camera_m=joints_m, kinematics=kinematics)

    def _place(self, pose: HandPose, dt_s: float) -> FloatArray:
        """Where the palm is (3,), bearing and range filtered apart."""
        center = pose.joints_in_camera_m[PALM].mean(axis=0)
        distance_m = math.sqrt(float(center @ center))
        ray = center / distance_m
        along = float(ray @ pose.covariance_m2 @ ray)
        across_m2 = max(0.5 * (float(pose.covariance_m2.trace()) - along), 0.0)
        bearing = self._bearing(ray, dt_s, distance_m, across_m2)
        speed = distance_m * math.sqrt(float(self._bearing.velocity_per_s @ self._bearing.velocity_per_s))
        palm_m = bearing * self._range(distance_m, dt_s, speed)
        if self._shown_m is None:
            return palm_m
        step = palm_m - self._shown_m
        length_m = math.sqrt(float(step @ step))
        return np.asarray(self._shown_m + step * min(1.0, self._config.max_step_m / max(length_m, 1e-9)))

    def _move(self, palm_m: FloatArray, from_palm_m: FloatArray, dt_s: float) -> FloatArray:
        """The joints' velocity (21, 3) at a palm (3,) and joints about it (21, 3), which are remembered."""
        distance_m = math.sqrt(float(palm_m @ palm_m))
        ray = palm_m / distance_m
        if self._palm_m is None:
            self._turning_m_per_s = np.zeros_like(from_palm_m)
        elif dt_s > 0:
            share = smoothing_factor(VELOCITY_CUTOFF_HZ, dt_s)
            receding = (distance_m - math.sqrt(float(self._palm_m @ self._palm_m))) / dt_s
            receding = min(max(receding, -MAX_RECEDING_M_PER_S), MAX_RECEDING_M_PER_S)
            self._range_speed += share * (receding - self._range_speed)
            turning = (from_palm_m - self._from_palm_m) / dt_s
            self._turning_m_per_s = self._turning_m_per_s + share * (turning - self._turning_m_per_s)
        if self._palm_m is None or dt_s > 0:
            self._palm_m, self._from_palm_m = palm_m, from_palm_m
        moving_m_per_s = distance_m * self._bearing.velocity_per_s + self._range_speed * ray
        return np.asarray(moving_m_per_s + self._turning_m_per_s)


class _JointsFilter:
    """Smooths joints about the palm."""

    def __init__(self, config: SmoothingConfig) -> None:
        self._joints = OneEuro(config.joints)

    def __call__(self, pose: HandPose, dt_s: float) -> FloatArray:
        """Joints (21, 3) about the palm's centre."""
        from_palm_m = pose.joints_in_camera_m - pose.joints_in_camera_m[PALM].mean(axis=0)
        smooth_m = self._joints(from_palm_m, dt_s)
        # Joints are filtered at their own speeds, which takes them off the palm's centre.
        return np.asarray(smooth_m - smooth_m[PALM].mean(axis=0))

    def pose_of(self, pose: HandPose, joints_m: FloatArray) -> HandPose:
        """The pose with smoothed joints (21, 3)."""
        rotation = camera_from_wrist(joints_m, pose.side)
        return replace(pose, joints_in_camera_m=joints_m, camera_from_wrist=rotation)


class _BendFilter:
    """Smooths a hand's rotation and joint angles."""

    def __init__(self, config: SmoothingConfig) -> None:
        self._rotation_filter = RotationOneEuro(config.rotation)
        self._angles_filter = OneEuro(config.angles)
        self._kinematics: KinematicPose | None = None

    def __call__(self, pose: HandPose, dt_s: float) -> FloatArray:
        """Joints (21, 3) about the palm's centre."""
        fitted, shape = pose.kinematics, pose.shape
        assert fitted is not None and isinstance(shape, HandShape)
        rotation = self._rotation_filter(fitted.camera_from_wrist, dt_s)
        angles = self._angles_filter(fitted.angles_rad[..., None], dt_s)[..., 0]
        self._kinematics = KinematicPose(np.zeros(3), rotation, angles)
        from_wrist_m = joints(shape, self._kinematics, pose.side)
        return np.asarray(from_wrist_m - from_wrist_m[PALM].mean(axis=0))

    def pose_of(self, pose: HandPose, joints_m: FloatArray) -> HandPose:
        """The pose with smoothed joints (21, 3) and the angles that made them."""
        assert self._kinematics is not None
        kinematics = replace(self._kinematics, wrist_in_camera_m=joints_m[WRIST])
        return replace(
            pose,
            joints_in_camera_m=joints_m,
            camera_from_wrist=kinematics.camera_from_wrist,
            kinematics=kinematics,
        )
