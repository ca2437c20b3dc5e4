"""Keep a placed hand still without making it late: One Euro filters in the terms in which a camera errs.

Range (distance along the ray) is 5 to 10 times noisier than bearing, so the two are filtered apart; the
hand's own shape about its palm is filtered third.

One Euro (Casiez et al. 2012): x_hat += alpha (x - x_hat), alpha = r / (r + 1), r = 2 pi fc dt,
fc = min_cutoff + beta |speed|; the speed is itself low-passed at ``SPEED_CUTOFF_HZ``.
"""

from dataclasses import dataclass, field, replace

import numpy as np

from tracker.joints import FINGER_MCPS, WRIST, FloatArray, camera_from_wrist
from tracker.structs import HandPose

SPEED_CUTOFF_HZ = 1.0
VELOCITY_CUTOFF_HZ = 5.0
"""Low-pass of the published velocity."""
PALM = (WRIST, *FINGER_MCPS)


@dataclass(frozen=True)
class OneEuroParameters:
    """How much one quantity is smoothed."""

    min_cutoff_hz: float
    """Cutoff at rest: lower is stiller."""
    beta_s_per_m: float
    """Rise of the cutoff in Hz per m/s: higher is less late in motion."""


@dataclass(frozen=True)
class SmoothingConfig:
    """Parameters of the three filters of a hand."""

    bearing: OneEuroParameters = field(default=OneEuroParameters(2.0, 40.0))
    range: OneEuroParameters = field(default=OneEuroParameters(0.5, 15.0))
    shape: OneEuroParameters = field(default=OneEuroParameters(1.5, 20.0))


class OneEuro:
    """Filters arrays of one shape; the last axis is a vector whose length is its speed's."""

    def __init__(self, parameters: OneEuroParameters) -> None:
        self._parameters = parameters
        self._value: FloatArray | None = None
        self._raw: FloatArray | None = None
        self._slope: FloatArray | None = None

    def __call__(self, value: FloatArray, dt_s: float, *, metres_per_unit: float = 1.0) -> FloatArray:
        """The filtered value after ``dt_s`` seconds; the first value passes unchanged."""
        if self._value is None or self._raw is None or self._slope is None:
            self._value, self._raw, self._slope = value, value, np.zeros_like(value)
            return value
        if dt_s <= 0:
            return self._value
        self._slope = self._slope + _alpha(SPEED_CUTOFF_HZ, dt_s) * ((value - self._raw) / dt_s - self._slope)
        self._raw = value
        speed = np.linalg.norm(self._slope, axis=-1, keepdims=True) * metres_per_unit
        cutoff = self._parameters.min_cutoff_hz + self._parameters.beta_s_per_m * speed
        self._value = self._value + _alpha(cutoff, dt_s) * (value - self._value)
        return self._value


class HandFilter:
    """Smooths the poses of one track and gives their velocity."""

    def __init__(self, config: SmoothingConfig) -> None:
        self._bearing = OneEuro(config.bearing)
        self._range = OneEuro(config.range)
        self._shape = OneEuro(config.shape)
        self._joints_m: FloatArray | None = None
        self._velocity_m_per_s: FloatArray = np.zeros((1, 3))

    def __call__(self, pose: HandPose, dt_s: float) -> tuple[HandPose, FloatArray]:
        """The smoothed pose and its joints' velocity (21, 3) in m/s, ``dt_s`` after the last one."""
        center = pose.joints_in_camera_m[list(PALM)].mean(axis=0)
        distance = float(np.linalg.norm(center))
        bearing = self._bearing(center / distance, dt_s, metres_per_unit=distance)
        bearing = bearing / np.linalg.norm(bearing)
        smooth_distance = self._range(np.array([distance]), dt_s)
        joints = bearing * smooth_distance + self._shape(pose.joints_in_camera_m - center, dt_s)
        if self._joints_m is None:
            self._velocity_m_per_s = np.zeros_like(joints)
        elif dt_s > 0:
            change = (joints - self._joints_m) / dt_s - self._velocity_m_per_s
            self._velocity_m_per_s = self._velocity_m_per_s + _alpha(VELOCITY_CUTOFF_HZ, dt_s) * change
        self._joints_m = joints
        rotation = camera_from_wrist(joints, pose.side)
        return replace(pose, joints_in_camera_m=joints, camera_from_wrist=rotation), self._velocity_m_per_s


def _alpha(cutoff_hz: FloatArray | float, dt_s: float) -> FloatArray:
    ratio = 2.0 * np.pi * np.asarray(cutoff_hz) * dt_s
    return np.asarray(ratio / (ratio + 1.0))
