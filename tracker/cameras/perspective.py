"""Lenses near the ideal perspective: the pinhole and OpenCV's standard lens."""

import math
from functools import cached_property

import numpy as np

from tracker.cameras.base import Camera, increasing_part, inverse_in_plane, unit
from tracker.joints import FloatArray


class Pinhole(Camera):
    """The ideal perspective camera: sees what lies in front of it, straight lines stay straight."""

    model = "pinhole"
    distortion_counts = (0,)

    def _distort(self, points_m: FloatArray) -> FloatArray:
        return _perspective(points_m)

    def _rays(self, normalised: FloatArray) -> FloatArray:
        return unit(np.concatenate([normalised, np.ones_like(normalised[..., :1])], axis=-1))


class BrownConrady(Camera):
    """OpenCV's standard lens: ``k1 k2 p1 p2 [k3 [k4 k5 k6]]``, radial (rational with 8) and tangential.

    The polynomial folds back on itself beyond some radius; points out there have no image.
    """

    model = "brown_conrady"
    distortion_counts = (4, 5, 8)

    @cached_property
    def _coefficients(self) -> tuple[float, ...]:
        return self.distortion + (0.0,) * (8 - len(self.distortion))

    @cached_property
    def _radii(self) -> tuple[FloatArray, FloatArray]:
        """Undistorted radii and their distorted ones, increasing, up to where the lens folds back."""
        radius = np.linspace(0.0, math.tan(math.radians(85.0)), 4096)
        factor, _ = self._radial(radius**2)
        return increasing_part(radius, radius * factor)

    def _radial(self, r2: FloatArray) -> tuple[FloatArray, FloatArray]:
        """The radial factor at squared radius ``r2`` and its derivative by ``r2``."""
        k1, k2, _, _, k3, k4, k5, k6 = self._coefficients
        above = 1 + r2 * (k1 + r2 * (k2 + r2 * k3))
        below = 1 + r2 * (k4 + r2 * (k5 + r2 * k6))
        above_slope = k1 + r2 * (2 * k2 + r2 * 3 * k3)
        below_slope = k4 + r2 * (2 * k5 + r2 * 3 * k6)
        with np.errstate(divide="ignore", invalid="ignore"):
            factor = above / below
            return factor, (above_slope - factor * below_slope) / below

    def _shift(self, x: FloatArray, y: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Distorted coordinates of undistorted ``x``, ``y``."""
        _, _, p1, p2, *_ = self._coefficients
        r2 = x * x + y * y
        factor = self._radial(r2)[0] + 2 * (p1 * y + p2 * x)
        return x * factor + p2 * r2, y * factor + p1 * r2

    def _shift_slopes(self, x: FloatArray, y: FloatArray) -> tuple[FloatArray, ...]:
        """The Jacobian of ``_shift``: du/dx, du/dy, dv/dx, dv/dy."""
        _, _, p1, p2, *_ = self._coefficients
        factor, slope = self._radial(x * x + y * y)
        cross = 2 * (x * y * slope + p1 * x + p2 * y)
        return (
            factor + 2 * x * x * slope + 2 * p1 * y + 6 * p2 * x,
            cross,
            cross,
            factor + 2 * y * y * slope + 6 * p1 * y + 2 * p2 * x,
        )

    def _distort(self, points_m: FloatArray) -> FloatArray:
        xy = _perspective(points_m)
        with np.errstate(invalid="ignore", over="ignore"):
            beyond = np.hypot(xy[..., 0], xy[..., 1]) > self._radii[0][-1]
        x, y = np.where(beyond, np.nan, xy[..., 0]), np.where(beyond, np.nan, xy[..., 1])
        return np.stack(self._shift(x, y), axis=-1)

    def _rays(self, normalised: FloatArray) -> FloatArray:
        radii, distorted_radii = self._radii
        length = np.hypot(normalised[..., 0], normalised[..., 1])
        scale = np.interp(length, distorted_radii, radii) / np.maximum(length, 1e-12)
        # The radial table starts Newton within the tangential part's size.
        x, y = inverse_in_plane(self._shift, self._shift_slopes, normalised, normalised * scale[..., None])
        with np.errstate(invalid="ignore"):
            found = np.hypot(x, y) <= radii[-1] * 1.001
        rays = unit(np.stack([x, y, np.ones_like(x)], axis=-1))
        return np.where(found[..., None], rays, np.nan)


def _perspective(points_m: FloatArray) -> FloatArray:
    z = points_m[..., 2:]
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(z > 1e-9, points_m[..., :2] / z, np.nan)
