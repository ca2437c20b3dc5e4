"""What every camera is: intrinsics at one picture size, points to pixels and pixels to rays.

Axes: +x right, +y down, +z forward, metres. Pixel centres are on integers, so the picture spans
[-0.5, width - 0.5]. A point X projects in two steps:

    normalised = distort(X)                 each model's own, (x/z, y/z) for a pinhole
    pixel      = (fx, fy) * normalised + (cx, cy)

Where a point has no image, or a pixel no ray, the result is NaN: one bad point never spoils a batch.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from tracker.errors import CameraError
from tracker.joints import FloatArray

ASPECT_TOLERANCE = 0.005
_SOLVE_STEPS = 12
_SETTLED = 1e-7
"""The last Newton step is shorter than this, in normalised coordinates, so what is left is its square."""

PlaneMap = Callable[[FloatArray, FloatArray], tuple[FloatArray, ...]]
"""Of x and y: two coordinates, or the four slopes du/dx, du/dy, dv/dx, dv/dy."""


@dataclass(frozen=True)
class Camera(ABC):
    """Intrinsics of one camera at one picture size.

    Raises:
        CameraError: a value is not finite, a size or focal length not positive, or the number of
            distortion coefficients not one the model knows.
    """

    width: int
    height: int
    fx: float
    fy: float
    cx: float
    cy: float
    distortion: tuple[float, ...] = ()
    """Coefficients in the model's own order; empty for none."""
    assumed: bool = False
    """True when the intrinsics are a guess, not a calibration: metres are then only a scale."""

    model: ClassVar[str]
    distortion_counts: ClassVar[tuple[int, ...]]

    def __post_init__(self) -> None:
        if self.width <= 0 or self.height <= 0:
            raise CameraError(f"camera size is {self.width} x {self.height}; both must be positive")
        for name in ("fx", "fy", "cx", "cy"):
            if not math.isfinite(getattr(self, name)):
                raise CameraError(f"camera {name} is {getattr(self, name)}; it must be a finite number")
        if self.fx <= 0 or self.fy <= 0:
            raise CameraError(
                f"camera focal length is fx {self.fx:g}, fy {self.fy:g}; both must be positive pixels"
            )
        if len(self.distortion) not in self.distortion_counts:
            counts = " or ".join(map(str, self.distortion_counts))
            raise CameraError(
                f"camera model {self.model} takes {counts} distortion values, found {len(self.distortion)}"
            )
        if not all(map(math.isfinite, self.distortion)):
            raise CameraError(f"camera distortion {list(self.distortion)} holds a value that is not finite")

    def project(self, points_m: FloatArray) -> FloatArray:
        """Pixels (..., 2) of points (..., 3) in the camera frame; NaN where a point has no image."""
        normalised = self._distort(np.asarray(points_m, dtype=np.float64))
        return normalised * (self.fx, self.fy) + (self.cx, self.cy)

    def unproject(self, pixels_px: FloatArray) -> FloatArray:
        """Unit rays (..., 3) in the camera frame through pixels (..., 2); NaN where the lens has none."""
        normalised = (np.asarray(pixels_px, dtype=np.float64) - (self.cx, self.cy)) / (self.fx, self.fy)
        return self._rays(normalised)

    def resized(self, width: int, height: int) -> "Camera":
        """The same lens for a picture scaled to ``width`` x ``height``.

        Raises:
            CameraError: the aspect is another one; a crop or turn cannot be guessed.
        """
        if (width, height) == (self.width, self.height):
            return self
        aspect = self.width / self.height
        if abs(width - aspect * height) > ASPECT_TOLERANCE * aspect * height:
            raise CameraError(
                f"the camera calibration is for {self.width} x {self.height} but the picture is "
                f"{width} x {height}, another aspect; give the calibration of this picture's crop"
            )
        sx, sy = width / self.width, height / self.height
        return replace(
            self,
            width=width,
            height=height,
            fx=self.fx * sx,
            fy=self.fy * sy,
            cx=(self.cx + 0.5) * sx - 0.5,
            cy=(self.cy + 0.5) * sy - 0.5,
        )

    def to_json(self) -> dict[str, object]:
        """The calibration as ``load_camera`` reads it and as recordings carry it."""
        names = ("model", "width", "height", "fx", "fy", "cx", "cy")
        return {name: getattr(self, name) for name in names} | {"distortion": list(self.distortion)}

    @abstractmethod
    def _distort(self, points_m: FloatArray) -> FloatArray:
        """Normalised image coordinates (..., 2) of points (..., 3)."""

    @abstractmethod
    def _rays(self, normalised: FloatArray) -> FloatArray:
        """Unit rays (..., 3) of normalised image coordinates (..., 2)."""


def unit(vectors: FloatArray) -> FloatArray:
    """Vectors (..., 3) at length 1."""
    return np.asarray(vectors / np.linalg.norm(vectors, axis=-1, keepdims=True))


def increasing_part(x: FloatArray, y: FloatArray) -> tuple[FloatArray, FloatArray]:
    """The start of the curve (x, y) up to where y stops rising."""
    falling = np.flatnonzero(~(np.diff(y) > 0))
    end = int(falling[0]) + 1 if len(falling) else len(x)
    return x[: max(end, 2)], y[: max(end, 2)]


def inverse_in_plane(
    bend: PlaneMap, slopes: PlaneMap, target: FloatArray, start: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Where ``bend`` leads to ``target`` (..., 2), by Newton from ``start``; NaN where it fails.

    A point that has settled is left alone, so that no point depends on the others.
    """
    u, v = target[..., 0], target[..., 1]
    x, y = start[..., 0], start[..., 1]
    moving = np.ones(u.shape, dtype=bool)
    with np.errstate(all="ignore"):
        for _ in range(_SOLVE_STEPS):
            bent_u, bent_v = bend(x, y)
            a, b, c, d = slopes(x, y)
            du, dv = bent_u - u, bent_v - v
            scale = moving / (a * d - b * c)
            step_x, step_y = scale * (d * du - b * dv), scale * (a * dv - c * du)
            x, y = x - step_x, y - step_y
            moving = np.maximum(np.abs(step_x), np.abs(step_y)) > _SETTLED
            if not moving.any():
                break
    return np.where(moving, np.nan, x), np.where(moving, np.nan, y)
