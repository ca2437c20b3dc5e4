"""The filters that a hand's motion passes through, each for one kind of quantity.

- ``OneEuro``: any array. Casiez et al. 2012: x_hat += alpha (x - x_hat), alpha = r / (r + 1), r = 2 pi fc dt,
  fc = min_cutoff + beta |speed|; the speed is itself low-passed at ``SPEED_CUTOFF_HZ``.
- ``RotationOneEuro``: the same on SO(3), differences being rotation vectors.
- ``DirectionFilter``: a Kalman filter of a unit vector and its velocity, for what is seen well.
- ``RangeFilter``: a low-pass that opens with motion across the ray, for what is seen badly.

None looks ahead; after a time step of zero or less each repeats its last value.
"""

import math
from dataclasses import dataclass

import numpy as np

from tracker.joints import FloatArray

SPEED_CUTOFF_HZ = 1.0
FIRST_SPEED_M_PER_S = 0.5
"""What a hand's speed may be when it is first seen: the sd that its velocity starts with."""

Quaternion = tuple[float, float, float, float]
"""(w, x, y, z) of unit length, any sign."""


@dataclass(frozen=True)
class OneEuroParameters:
    """How much one quantity is smoothed."""

    min_cutoff_hz: float
    """Cutoff at rest: lower is stiller."""
    beta: float
    """Rise of the cutoff in Hz per unit of speed (m/s or rad/s): higher is less late in motion."""
    doubt_speed: float = math.inf
    """A step faster than this, in one frame, is believed the less the faster it is."""


@dataclass(frozen=True)
class DirectionParameters:
    """How a hand moves across its ray and how well that is seen."""

    noise_m: float = 0.0015
    """Least sd of a measurement from frame to frame."""
    new_share: float = 0.4
    """Of the variance that a measurement comes with: what is new in every frame. The rest stays for long, as
    a wrong hand size does, and no filter takes it out."""
    unrest_m2_per_s3: float = 0.01
    """Density of the white acceleration of a hand at rest."""
    unrest_per_s: float = 0.25
    """Rise of that density with the square of the speed: moving hands turn and stop."""
    doubt_sd: float = 2.0
    """A measurement farther off than this many sd counts less the farther off it is (Huber)."""


@dataclass(frozen=True)
class RangeParameters:
    """When the distance of a hand is believed to change."""

    min_cutoff_hz: float = 0.1
    """Cutoff at rest."""
    across_hz_s_per_m: float = 15.0
    """Rise of the cutoff with the speed across the ray: a hand that rests there mostly rests along it too,
    and across it rest is seen far better."""
    drift_hz_per_m: float = 100.0
    """Rise of the cutoff with how far the measurements stay away, beyond ``drift_free_m``."""
    drift_free_m: float = 0.01
    """So far they may stay away for nothing: noise of a range is correlated in time."""
    doubt_share: float = 0.1
    """A measurement farther off than this share of the distance, and not so a frame before, counts as one
    that far off."""


def smoothing_factor(cutoff_hz: float, dt_s: float) -> float:
    """Weight of a new value in a first order low-pass."""
    ratio = 2.0 * math.pi * cutoff_hz * dt_s
    return ratio / (ratio + 1.0)


class OneEuro:
    """Filters arrays of one shape; the last axis is a vector whose length is its speed's."""

    def __init__(self, parameters: OneEuroParameters) -> None:
        self._parameters = parameters
        self._value: FloatArray | None = None
        self._raw: FloatArray | None = None
        self._slope: FloatArray | None = None

    def __call__(self, value: FloatArray, dt_s: float) -> FloatArray:
        """The filtered value after ``dt_s`` seconds; the first value passes unchanged."""
        if self._value is None or self._raw is None or self._slope is None:
            self._value, self._raw, self._slope = value, value, np.zeros_like(value)
            return value
        if dt_s <= 0:
            return self._value
        step = (value - self._raw) / dt_s
        belief = self._belief(step)
        self._slope = self._slope + smoothing_factor(SPEED_CUTOFF_HZ, dt_s) * (belief * step - self._slope)
        self._raw = value
        speed = np.sqrt((self._slope * self._slope).sum(axis=-1, keepdims=True))
        ratio = 2.0 * np.pi * dt_s * (self._parameters.min_cutoff_hz + self._parameters.beta * speed)
        self._value = self._value + belief * ratio / (ratio + 1.0) * (value - self._value)
        return self._value

    def _belief(self, step: FloatArray) -> FloatArray | float:
        """The share (..., 1) of each step (..., K) per second that is believed."""
        if math.isinf(self._parameters.doubt_speed):
            return 1.0
        speed = np.sqrt((step * step).sum(axis=-1, keepdims=True))
        return np.asarray(self._parameters.doubt_speed / np.maximum(speed, self._parameters.doubt_speed))


class RotationOneEuro:
    """Filters rotation matrices (3, 3); speeds are in rad/s. Three numbers are too few for arrays to pay."""

    def __init__(self, parameters: OneEuroParameters) -> None:
        self._parameters = parameters
        self._value: Quaternion | None = None
        self._raw: Quaternion = (1.0, 0.0, 0.0, 0.0)
        self._slope = (0.0, 0.0, 0.0)

    def __call__(self, rotation: FloatArray, dt_s: float) -> FloatArray:
        """The filtered rotation after ``dt_s`` seconds; the first passes unchanged."""
        raw = quaternion_of(rotation)
        if self._value is None:
            self._value = self._raw = raw
        elif dt_s > 0:
            share = smoothing_factor(SPEED_CUTOFF_HZ, dt_s)
            turn = rotation_vector_between(self._raw, raw)
            doubt_speed = self._parameters.doubt_speed
            belief = min(1.0, doubt_speed * dt_s / max(math.hypot(*turn), 1e-12))
            believed = belief / dt_s
            self._slope = (
                self._slope[0] + share * (believed * turn[0] - self._slope[0]),
                self._slope[1] + share * (believed * turn[1] - self._slope[1]),
                self._slope[2] + share * (believed * turn[2] - self._slope[2]),
            )
            self._raw = raw
            speed = math.hypot(*self._slope)
            cutoff_hz = self._parameters.min_cutoff_hz + self._parameters.beta * speed
            self._value = slerp(self._value, raw, belief * smoothing_factor(cutoff_hz, dt_s))
        return matrix_of(self._value)


class DirectionFilter:
    """Follows a unit vector (3,) that moves with nearly constant velocity.

    A Kalman filter whose three components share one covariance of position and velocity, (p, c; c, v) in
    metres at the hand's distance. Over dt, with the density q of a white acceleration,

        p += 2 c dt + v dt^2 + q dt^3 / 3,   c += v dt + q dt^2 / 2,   v += q dt;

    with the variance r of a measurement z the gains are p / (p + r) for position, c / (p + r) for velocity.
    """

    def __init__(self, parameters: DirectionParameters) -> None:
        self._parameters = parameters
        self._value: FloatArray | None = None
        self.velocity_per_s: FloatArray = np.zeros(3)
        """(3,) of the unit vector; times the distance it is the speed across the ray."""
        self._p = self._c = self._v = 0.0

    def __call__(
        self, direction: FloatArray, dt_s: float, distance_m: float, variance_m2: float
    ) -> FloatArray:
        """The filtered direction after ``dt_s`` seconds; the first passes unchanged.

        Args:
            direction: (3,) the measured unit vector.
            dt_s: seconds since the last one.
            distance_m: how far along it the hand is.
            variance_m2: of the measured position across the ray, per axis.
        """
        known = self._parameters
        noise = max(known.noise_m**2, known.new_share * variance_m2)
        if self._value is None:
            self._value = direction
            self._p, self._c, self._v = noise, 0.0, FIRST_SPEED_M_PER_S**2
            return direction
        if dt_s <= 0:
            return self._value
        speed2 = float(self.velocity_per_s @ self.velocity_per_s) * distance_m**2
        density = known.unrest_m2_per_s3 + known.unrest_per_s * speed2
        p = self._p + dt_s * (2.0 * self._c + dt_s * (self._v + dt_s * density / 3.0))
        c = self._c + dt_s * (self._v + dt_s * density / 2.0)
        v = self._v + dt_s * density
        expected = self._value + dt_s * self.velocity_per_s
        surprise = direction - expected
        off_sd = distance_m * math.sqrt(float(surprise @ surprise) / (2.0 * (p + noise)))
        noise *= max(off_sd / known.doubt_sd, 1.0)
        gain, velocity_gain = p / (p + noise), c / (p + noise)
        value = expected + gain * surprise
        self._value = value / math.sqrt(float(value @ value))
        velocity = self.velocity_per_s + velocity_gain * surprise
        self.velocity_per_s = velocity - float(velocity @ self._value) * self._value
        self._p, self._c, self._v = (1.0 - gain) * p, (1.0 - gain) * c, v - velocity_gain * c
        return self._value


class RangeFilter:
    """Low-passes a distance; open while the hand moves across its ray or measurements stay away."""

    def __init__(self, parameters: RangeParameters) -> None:
        self._parameters = parameters
        self._value_m: float | None = None
        self._away_m = 0.0
        self._last_m = 0.0

    def __call__(self, distance_m: float, dt_s: float, across_m_per_s: float) -> float:
        """The filtered distance after ``dt_s`` seconds; the first passes unchanged."""
        if self._value_m is None:
            self._value_m = distance_m
        elif dt_s > 0:
            known = self._parameters
            measured_m = distance_m - self._value_m
            limit_m = known.doubt_share * self._value_m
            away_m = min(max(measured_m, min(self._last_m, 0.0) - limit_m), max(self._last_m, 0.0) + limit_m)
            self._last_m = measured_m
            self._away_m += smoothing_factor(SPEED_CUTOFF_HZ, dt_s) * (away_m - self._away_m)
            cutoff_hz = (
                known.min_cutoff_hz
                + known.across_hz_s_per_m * across_m_per_s
                + known.drift_hz_per_m * max(abs(self._away_m) - known.drift_free_m, 0.0)
            )
            share = smoothing_factor(cutoff_hz, dt_s)
            self._value_m += share * away_m
            self._away_m *= 1.0 - share
        return self._value_m


def quaternion_of(rotation: FloatArray) -> Quaternion:
    """Of a rotation matrix (3, 3), by the largest of the four components (Shepperd 1978)."""
    (a, b, c), (d, e, f), (g, h, i) = rotation.tolist()
    squares = (1.0 + a + e + i, 1.0 + a - e - i, 1.0 - a + e - i, 1.0 - a - e + i)
    largest = max(range(4), key=squares.__getitem__)
    root = math.sqrt(max(squares[largest], 1e-12))
    half = 0.5 / root
    if largest == 0:
        return 0.5 * root, (h - f) * half, (c - g) * half, (d - b) * half
    if largest == 1:
        return (h - f) * half, 0.5 * root, (b + d) * half, (c + g) * half
    if largest == 2:
        return (c - g) * half, (b + d) * half, 0.5 * root, (f + h) * half
    return (d - b) * half, (c + g) * half, (f + h) * half, 0.5 * root


def matrix_of(quaternion: Quaternion) -> FloatArray:
    """The rotation matrix (3, 3) of a quaternion of any length but zero."""
    norm = math.sqrt(sum(part * part for part in quaternion))
    w, x, y, z = (part / norm for part in quaternion)
    return np.array(
        (
            (1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)),
            (2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)),
            (2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)),
        )
    )


def rotation_vector_between(first: Quaternion, second: Quaternion) -> tuple[float, float, float]:
    """The vector (axis times angle, at most pi) of the turn that, done after ``first``, gives ``second``."""
    a, b, c, d = first
    w, x, y, z = second
    cosine = w * a + x * b + y * c + z * d
    turn = (x * a - w * b - y * d + z * c, y * a - w * c - z * b + x * d, z * a - w * d - x * c + y * b)
    sine = math.hypot(*turn)
    if sine < 1e-12:
        return 0.0, 0.0, 0.0
    # Of the two signs of a quaternion, the one with the shorter turn.
    scale = 2.0 * math.atan2(sine, abs(cosine)) / math.copysign(sine, cosine)
    return turn[0] * scale, turn[1] * scale, turn[2] * scale


def slerp(first: Quaternion, second: Quaternion, share: float) -> Quaternion:
    """A share of the shorter turn from ``first`` to ``second``."""
    cosine = sum(a * b for a, b in zip(first, second, strict=True))
    sign = math.copysign(1.0, cosine)
    angle = math.acos(min(abs(cosine), 1.0))
    if angle < 1e-6:
        left, right = 1.0 - share, share * sign
    else:
        left = math.sin((1.0 - share) * angle) / math.sin(angle)
        right = sign * math.sin(share * angle) / math.sin(angle)
    return (
        left * first[0] + right * second[0],
        left * first[1] + right * second[1],
        left * first[2] + right * second[2],
        left * first[3] + right * second[3],
    )
