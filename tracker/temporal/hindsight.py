"""Smooth a whole series of values from both sides of each, without lag.

A Kalman filter of nearly constant velocity forward, then Rauch, Tung and Striebel's pass backward (1965). It
runs twice: the first time gives the speeds, on which the second makes its trust in constant velocity depend,
and the measurements to doubt (Huber).
"""

from dataclasses import dataclass

import numpy as np

from tracker.joints import FloatArray

ROUGH_FRAMES = 3
FIRST_VARIANCE = 1e4
"""Of the velocity before anything was measured, unit^2 / s^2: as good as unknown."""


@dataclass(frozen=True)
class MotionParameters:
    """How one quantity moves and is measured, in its own unit."""

    noise: float
    """Sd of a measurement."""
    unrest: float
    """Density of the white acceleration at rest, unit^2 / s^3."""
    unrest_per_s: float
    """Its rise with the square of the speed."""


class HindsightSmoother:
    """Smooths values at given times, of which some were not seen."""

    def __init__(self, times_s: FloatArray, seen: FloatArray, doubt_sd: float) -> None:
        self._times_s = times_s
        self._seen = seen
        self._doubt_sd = doubt_sd
        self.speeds: FloatArray = np.zeros((len(times_s), 1))
        """(T, G) of the last values smoothed."""

    def __call__(
        self,
        values: FloatArray,
        motion: MotionParameters,
        *,
        freedom: int,
        speeds: FloatArray | None = None,
    ) -> FloatArray:
        """Values (T, G, K) smoothed: G independent vectors of K numbers with ``freedom`` of them free.

        Args:
            values: what was measured; anything where nothing was seen.
            motion: how they move.
            freedom: K, or fewer where the vectors are bound to a sphere.
            speeds: (T, G) of what moves along with the values; the unrest depends on these and their own.
        """
        variances = np.where(self._seen, motion.noise**2, np.inf)[:, None].repeat(values.shape[1], axis=1)
        others2 = 0.0 if speeds is None else speeds**2
        own = self._rough_speeds(values) if speeds is None else np.zeros_like(speeds)
        for last in (False, True):
            densities = motion.unrest + motion.unrest_per_s * _over_steps(own**2 + others2)
            smooth, velocities = smooth_in_hindsight(self._times_s, values, variances, densities)
            self.speeds = np.linalg.norm(velocities, axis=-1)
            if not last:
                off_sd = np.linalg.norm(values - smooth, axis=-1) / (np.sqrt(freedom) * motion.noise)
                variances = variances * np.maximum(off_sd / self._doubt_sd, 1.0)
                own = self.speeds
        return smooth

    def _rough_speeds(self, values: FloatArray) -> FloatArray:
        """Speeds (T, G) over some frames each."""
        index = np.arange(len(values))
        before, after = np.maximum(index - ROUGH_FRAMES, 0), np.minimum(index + ROUGH_FRAMES, index[-1])
        elapsed_s = np.maximum(self._times_s[after] - self._times_s[before], 1e-3)
        return np.asarray(np.linalg.norm(values[after] - values[before], axis=-1) / elapsed_s[:, None])


def _over_steps(values: FloatArray) -> FloatArray:
    """Means (T, G) of values (T, G) over the step to each frame: the same in both directions of time."""
    return np.concatenate([values[:1], (values[1:] + values[:-1]) / 2])


def smooth_in_hindsight(
    times_s: FloatArray, values: FloatArray, variances: FloatArray, densities: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Smooth vectors that move with nearly constant velocity, in hindsight.

    The equations of ``filters.DirectionFilter`` forward, from which, going back, with F the step from one
    frame to the next, (p, c; c, v) a covariance and (p', c'; c', v') the next one before its measurement,

        gain = (p, c; c, v) F^T (p', c'; c', v')^-1,   state += gain (next smoothed state - next predicted).

    Args:
        times_s: (T,) never falling.
        values: (T, G, K) measured: G vectors that share nothing, each with one variance for its K parts.
        variances: (T, G) of the measurements; infinite where there is none, but not at the first.
        densities: (T, G) of the white acceleration in the step to each frame, in unit^2 / s^3.

    Returns:
        Values and velocities (T, G, K).
    """
    count = len(times_s)
    steps_s = np.diff(times_s)
    states = np.zeros((count, 2, *values.shape[1:]))
    expected = np.zeros_like(states)
    after = np.zeros((count, 3, values.shape[1]))
    before = np.zeros_like(after)
    states[0, 0] = values[0]
    after[0, 0], after[0, 2] = variances[0], FIRST_VARIANCE
    for k in range(1, count):
        dt_s, density = steps_s[k - 1], densities[k]
        p, c, v = after[k - 1]
        before[k] = (
            p + dt_s * (2.0 * c + dt_s * (v + dt_s * density / 3.0)),
            c + dt_s * (v + dt_s * density / 2.0),
            v + dt_s * density,
        )
        expected[k, 0], expected[k, 1] = states[k - 1, 0] + dt_s * states[k - 1, 1], states[k - 1, 1]
        p, c, v = before[k]
        gain, velocity_gain = p / (p + variances[k]), c / (p + variances[k])
        surprise = values[k] - expected[k, 0]
        states[k] = expected[k] + np.stack([gain, velocity_gain])[..., None] * surprise
        after[k] = (1.0 - gain) * p, (1.0 - gain) * c, v - velocity_gain * c
    for k in range(count - 2, -1, -1):
        p, c, v = after[k]
        later_p, later_c, later_v = before[k + 1]
        scale = 1.0 / np.maximum(later_p * later_v - later_c**2, 1e-300)
        ahead_p, ahead_c = p + steps_s[k] * c, c + steps_s[k] * v
        moved = states[k + 1] - expected[k + 1]
        states[k, 0] += ((ahead_p * later_v - c * later_c) * scale)[:, None] * moved[0]
        states[k, 0] += ((c * later_p - ahead_p * later_c) * scale)[:, None] * moved[1]
        states[k, 1] += ((ahead_c * later_v - v * later_c) * scale)[:, None] * moved[0]
        states[k, 1] += ((v * later_p - ahead_c * later_c) * scale)[:, None] * moved[1]
    return states[:, 0], states[:, 1]
