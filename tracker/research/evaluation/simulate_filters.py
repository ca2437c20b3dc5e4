"""Filters that others use, to compare the tracker's own with; each moves the palm and the hand with it.

``OneEuro`` as libraries have it by default and opened by speed; a Kalman filter of constant velocity in
Cartesian axes, which believes each pose as much as its covariance says; and the same with a fixed lag: what
it gives in a frame is the palm some frames ago, smoothed with what came since (Rauch, Tung and Striebel
1965). It is scored in the frame in which it can be shown, so its delay counts as lag.
"""

from collections.abc import Callable

import numpy as np

from tracker.joints import NUM_JOINTS, FloatArray
from tracker.research.evaluation.simulate_paths import palm_center
from tracker.research.evaluation.simulate_solvers import Filter, Poses
from tracker.structs import HandPose
from tracker.temporal.filters import OneEuro, OneEuroParameters

UNREST_M2_PER_S3 = (0.3, 3.0)
"""Densities of white acceleration that the Kalman filters are tried with: calm and ready."""
FIXED_LAG_FRAMES = 3
FIRST_SPEED_M_PER_S = 0.5
_Step = Callable[[FloatArray, HandPose, float], FloatArray]
"""The palm (3,) seen now, its pose, seconds since the last: the palm (3,) to show."""


def of_palm(make: Callable[[], _Step]) -> Filter:
    """A filter of whole tracks that moves each hand to where a new ``make()`` puts its palm."""

    def smoothed(poses: Poses, times_s: FloatArray) -> FloatArray:
        step = make()
        joints_m = np.full((len(poses), NUM_JOINTS, 3), np.nan)
        last_s = float(times_s[0])
        for frame, pose in enumerate(poses):
            if pose is not None:
                palm_m = palm_center(pose.joints_in_camera_m)
                shown_m = step(palm_m, pose, float(times_s[frame]) - last_s)
                joints_m[frame] = pose.joints_in_camera_m + (shown_m - palm_m)
                last_s = float(times_s[frame])
        return joints_m

    return smoothed


def one_euro(min_cutoff_hz: float, beta: float) -> Callable[[], _Step]:
    """One Euro filters of the palm as a point."""

    def make() -> _Step:
        smooth = OneEuro(OneEuroParameters(min_cutoff_hz, beta))
        return lambda palm_m, _, dt_s: smooth(palm_m, dt_s)

    return make


class ConstantVelocity:
    """A Kalman filter of place and velocity (6,); with ``lag_frames`` it gives where the palm was then."""

    def __init__(self, unrest_m2_per_s3: float, lag_frames: int = 0) -> None:
        self._unrest = unrest_m2_per_s3
        self._lag_frames = lag_frames
        self._past: list[tuple[FloatArray, FloatArray, FloatArray, FloatArray, FloatArray]] = []
        """State and covariance before and after each measurement, and the step that led to it."""

    def __call__(self, palm_m: FloatArray, pose: HandPose, dt_s: float) -> FloatArray:
        """The palm to show."""
        step = np.eye(6) + np.eye(6, k=3) * dt_s
        if self._past:
            _, _, state, covariance, _ = self._past[-1]
            state, covariance = step @ state, step @ covariance @ step.T + self._noise(dt_s)
        else:
            state = np.append(palm_m, np.zeros(3))
            covariance = np.diag([1.0] * 3 + [FIRST_SPEED_M_PER_S**2] * 3)
        gain = covariance[:, :3] @ np.linalg.inv(covariance[:3, :3] + pose.covariance_m2)
        seen, seen_covariance = state + gain @ (palm_m - state[:3]), covariance - gain @ covariance[:3]
        self._past = [*self._past[-self._lag_frames :], (state, covariance, seen, seen_covariance, step)]
        return self._looked_back()[:3]

    def _noise(self, dt_s: float) -> FloatArray:
        per_axis = np.array([[dt_s**3 / 3, dt_s**2 / 2], [dt_s**2 / 2, dt_s]])
        return np.asarray(self._unrest * np.kron(per_axis, np.eye(3)))

    def _looked_back(self) -> FloatArray:
        """The oldest state kept, smoothed with all that came after it."""
        state = self._past[-1][2]
        if self._lag_frames == 0:
            return state
        for (_, _, seen, covariance, _), (ahead, ahead_covariance, _, _, step) in zip(
            self._past[-2::-1], self._past[:0:-1], strict=True
        ):
            gain = covariance @ step.T @ np.linalg.inv(ahead_covariance)
            state = seen + gain @ (state - ahead)
        return np.asarray(state)


def peers() -> dict[str, Filter]:
    """Every filter of this module by the name it has in tables."""
    calm, ready = UNREST_M2_PER_S3
    return {
        "One Euro 1.0/0": of_palm(one_euro(1.0, 0.0)),
        "One Euro 1.0/20": of_palm(one_euro(1.0, 20.0)),
        f"Kalman {calm:g}": of_palm(lambda: ConstantVelocity(calm)),
        f"Kalman {ready:g}": of_palm(lambda: ConstantVelocity(ready)),
        f"Kalman {calm:g}, {FIXED_LAG_FRAMES} late": of_palm(
            lambda: ConstantVelocity(calm, FIXED_LAG_FRAMES)
        ),
    }
