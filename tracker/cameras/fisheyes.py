"""Fisheye lenses: the image radius is a polynomial of the angle from the optical axis.

With theta that angle and phi the direction around the axis,

    r(theta) = theta (1 + k0 theta^2 + k1 theta^4 + ...),   u_r = r cos(phi),   v_r = r sin(phi).

Angles, not slopes, so fields of view over 180 degrees are possible. Where r stops rising the lens ends.
"""

from abc import abstractmethod
from functools import cached_property

import numpy as np

from tracker.cameras.base import Camera, increasing_part, inverse_in_plane
from tracker.joints import FloatArray

_TABLE = 4096
_RING_STEP = 8
"""Every how many angles of the table Aria's lenses are searched for folds: 0.35 degrees."""


class _Fisheye(Camera):
    """A radial polynomial about the axis; a subclass says which coefficients are its own."""

    @property
    @abstractmethod
    def _radial(self) -> tuple[float, ...]:
        """The polynomial's coefficients k0, k1, ..."""

    @cached_property
    def _angles(self) -> tuple[FloatArray, FloatArray]:
        """Angles and their image radii, increasing, up to where the lens folds back."""
        theta = np.linspace(0.0, np.pi, _TABLE)
        return increasing_part(theta, self._radius(theta))

    def _radius(self, theta: FloatArray) -> FloatArray:
        t2 = theta * theta
        above = np.zeros_like(theta)
        for k in reversed(self._radial):
            above = (above + k) * t2
        return theta * (1.0 + above)

    def _slope(self, theta: FloatArray) -> FloatArray:
        """Derivative of the image radius by the angle."""
        t2 = theta * theta
        above = np.zeros_like(theta)
        for power, k in reversed(tuple(enumerate(self._radial))):
            above = (above + (2 * power + 3) * k) * t2
        return 1.0 + above

    def _distort(self, points_m: FloatArray) -> FloatArray:
        across_m, ahead_m = np.hypot(points_m[..., 0], points_m[..., 1]), points_m[..., 2]
        theta = np.arctan2(across_m, ahead_m)
        with np.errstate(invalid="ignore"):
            # The axis behind the camera is seen all around the picture's rim; the camera itself nowhere.
            seen = (theta <= self._angles[0][-1]) & ((across_m > 0) | (ahead_m > 0))
        radius = self._radius(np.where(seen, theta, np.nan))
        return np.asarray((radius / np.maximum(across_m, 1e-12))[..., None] * points_m[..., :2])

    def _rays(self, normalised: FloatArray) -> FloatArray:
        angles, radii = self._angles
        radius = np.hypot(normalised[..., 0], normalised[..., 1])
        with np.errstate(invalid="ignore"):
            radius = np.where(radius <= radii[-1], radius, np.nan)
        theta = np.interp(radius, radii, angles)
        for _ in range(2):  # Newton; the table starts it within 1e-7 rad, but near a fold
            theta = theta - (self._radius(theta) - radius) / np.maximum(self._slope(theta), 1e-3)
        direction = normalised / np.maximum(radius, 1e-12)[..., None]
        return np.concatenate([np.sin(theta)[..., None] * direction, np.cos(theta)[..., None]], axis=-1)


class KannalaBrandt(_Fisheye):
    """OpenCV's ``fisheye``, ``k1 k2 k3 k4``: the radial polynomial alone (Aria's KannalaBrandtK3)."""

    model = "kannala_brandt"
    distortion_counts = (4,)

    @property
    def _radial(self) -> tuple[float, ...]:
        return self.distortion


class Fisheye62(_Fisheye):
    """Project Aria's Fisheye62, ``k0 k1 k2 k3 k4 k5 p0 p1``: six radial, two tangential coefficients.

    Of the radial polynomial's u_r, v_r and r^2 = u_r^2 + v_r^2 the normalised image coordinates are

        u = u_r + p0 (2 u_r^2 + r^2) + 2 p1 u_r v_r,    v = v_r + p1 (2 v_r^2 + r^2) + 2 p0 u_r v_r

    (https://facebookresearch.github.io/projectaria_tools/docs/tech_insights/camera_intrinsic_models).
    The lens ends where r stops rising, or where these terms fold the picture in some direction. The
    published definition sees a point behind the camera where it sees its mirror image in front;
    here theta goes on past 90 degrees.
    """

    model = "fisheye62"
    distortion_counts = (8,)

    @property
    def _radial(self) -> tuple[float, ...]:
        return self.distortion[:6]

    @property
    def _prism(self) -> tuple[float, ...]:
        return (0.0, 0.0, 0.0, 0.0)

    @cached_property
    def _angles(self) -> tuple[FloatArray, FloatArray]:
        theta = np.linspace(0.0, np.pi, _TABLE)
        angles, radii = increasing_part(theta, self._radius(theta))
        rings = radii[::_RING_STEP]
        around = np.linspace(-np.pi, np.pi, 73)
        a, b, c, d = self._bend_slopes(rings * np.cos(around[:, None]), rings * np.sin(around[:, None]))
        folded = np.flatnonzero((a * d - b * c <= 0).any(axis=0))
        end = _RING_STEP * (folded[0] - 1) + 1 if len(folded) else len(radii)
        return angles[: max(end, 2)], radii[: max(end, 2)]

    @cached_property
    def _reach(self) -> float:
        """No ray's image lies farther from the principal point, in normalised coordinates."""
        around = np.linspace(-np.pi, np.pi, 361)
        edge = self._angles[1][-1]
        u, v = self._bend(edge * np.cos(around), edge * np.sin(around))
        return 1.01 * float(np.hypot(u, v).max())

    def _bend(self, x: FloatArray, y: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Normalised image coordinates of the radial polynomial's ``x``, ``y``."""
        (p0, p1), (s0, s1, s2, s3) = self.distortion[6:8], self._prism
        r2 = x * x + y * y
        common = 1.0 + 2.0 * (p0 * x + p1 * y)
        return common * x + (p0 + s0 + s1 * r2) * r2, common * y + (p1 + s2 + s3 * r2) * r2

    def _bend_slopes(self, x: FloatArray, y: FloatArray) -> tuple[FloatArray, ...]:
        """The Jacobian of ``_bend``: du/dx, du/dy, dv/dx, dv/dy."""
        (p0, p1), (s0, s1, s2, s3) = self.distortion[6:8], self._prism
        r2 = x * x + y * y
        common = 1.0 + 2.0 * (p0 * x + p1 * y)
        by_u = 2.0 * (p0 + s0 + 2.0 * s1 * r2)
        by_v = 2.0 * (p1 + s2 + 2.0 * s3 * r2)
        return (
            common + (2.0 * p0 + by_u) * x,
            2.0 * p1 * x + by_u * y,
            2.0 * p0 * y + by_v * x,
            common + (2.0 * p1 + by_v) * y,
        )

    def _distort(self, points_m: FloatArray) -> FloatArray:
        radial = super()._distort(points_m)
        return np.stack(self._bend(radial[..., 0], radial[..., 1]), axis=-1)

    def _rays(self, normalised: FloatArray) -> FloatArray:
        with np.errstate(invalid="ignore"):
            within = np.hypot(normalised[..., 0], normalised[..., 1]) <= self._reach
        reached = np.where(within[..., None], normalised, np.nan)
        return super()._rays(
            np.stack(inverse_in_plane(self._bend, self._bend_slopes, reached, reached), axis=-1)
        )


class Fisheye624(Fisheye62):
    """Project Aria's FisheyeRadTanThinPrism, ``k0 ... k5 p0 p1 s0 s1 s2 s3``: Fisheye62 and a thin prism.

    The prism adds s0 r^2 + s1 r^4 to u and s2 r^2 + s3 r^4 to v (same source).
    """

    model = "fisheye624"
    distortion_counts = (12,)

    @property
    def _prism(self) -> tuple[float, ...]:
        return self.distortion[8:]
