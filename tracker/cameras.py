"""Camera models: from points in the camera frame to pixels and back.

Axes: +x right, +y down, +z forward, metres. Pixel centres are on integers, so the picture spans
[-0.5, width - 0.5]. A point X projects in two steps:

    normalised = distort(X)                 each model's own, (x/z, y/z) for a pinhole
    pixel      = (fx, fy) * normalised + (cx, cy)

Where a point has no image, or a pixel no ray, the result is NaN: one bad point never spoils a batch.
"""

import json
import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import ClassVar

import numpy as np

from tracker.errors import CameraError
from tracker.joints import FloatArray

ASSUMED_HORIZONTAL_FOV_DEG = 65.0
"""What a camera of unknown intrinsics is taken to see: about the middle of laptop webcams and phones."""
FOV_RANGE_DEG = (10.0, 170.0)
ASPECT_TOLERANCE = 0.005
FOCAL_RANGE = (0.05, 50.0)
"""Plausible focal lengths, in widths or heights of the picture."""
MIN_SHARE_WITH_RAYS = 0.1
"""A circular fisheye leaves the corners dark; less than this is no lens."""
MAX_FILE_CHARACTERS = 1 << 20


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
    """Coefficients in OpenCV's order and meaning; empty for none."""
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


class Pinhole(Camera):
    """The ideal perspective camera: sees what lies in front of it, straight lines stay straight."""

    model = "pinhole"
    distortion_counts = (0,)

    def _distort(self, points_m: FloatArray) -> FloatArray:
        return _perspective(points_m)

    def _rays(self, normalised: FloatArray) -> FloatArray:
        return _unit(np.concatenate([normalised, np.ones_like(normalised[..., :1])], axis=-1))


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
        return _increasing_part(radius, radius * factor)

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

    def _shift(self, xy: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Distorted coordinates of undistorted ``xy`` (..., 2) and the Jacobian (..., 2, 2)."""
        _, _, p1, p2, *_ = self._coefficients
        x, y = xy[..., 0], xy[..., 1]
        r2 = x * x + y * y
        factor, slope = self._radial(r2)
        distorted = np.stack(
            [
                x * factor + 2 * p1 * x * y + p2 * (r2 + 2 * x * x),
                y * factor + p1 * (r2 + 2 * y * y) + 2 * p2 * x * y,
            ],
            axis=-1,
        )
        cross = 2 * x * y * slope + 2 * p1 * x + 2 * p2 * y
        jacobian = np.stack(
            [
                np.stack([factor + 2 * x * x * slope + 2 * p1 * y + 6 * p2 * x, cross], axis=-1),
                np.stack([cross, factor + 2 * y * y * slope + 6 * p1 * y + 2 * p2 * x], axis=-1),
            ],
            axis=-2,
        )
        return distorted, jacobian

    def _distort(self, points_m: FloatArray) -> FloatArray:
        xy = _perspective(points_m)
        with np.errstate(invalid="ignore", over="ignore"):
            beyond = np.linalg.norm(xy, axis=-1) > self._radii[0][-1]
        return self._shift(np.where(beyond[..., None], np.nan, xy))[0]

    def _rays(self, normalised: FloatArray) -> FloatArray:
        radii, distorted_radii = self._radii
        length = np.linalg.norm(normalised, axis=-1)
        scale = np.interp(length, distorted_radii, radii) / np.maximum(length, 1e-12)
        xy = normalised * scale[..., None]
        for _ in range(8):  # Newton; the radial table starts it within the tangential part's size
            distorted, jacobian = self._shift(xy)
            error = distorted - normalised
            a, b, d = jacobian[..., 0, 0], jacobian[..., 0, 1], jacobian[..., 1, 1]
            with np.errstate(divide="ignore", invalid="ignore"):
                step = (
                    np.stack(
                        [d * error[..., 0] - b * error[..., 1], a * error[..., 1] - b * error[..., 0]],
                        axis=-1,
                    )
                    / (a * d - b * b)[..., None]
                )
            xy = xy - np.nan_to_num(step)
        residual = np.linalg.norm(self._shift(xy)[0] - normalised, axis=-1)
        with np.errstate(invalid="ignore"):
            found = (residual < 1e-7) & (np.linalg.norm(xy, axis=-1) <= radii[-1] * 1.001)
        rays = _unit(np.concatenate([xy, np.ones_like(xy[..., :1])], axis=-1))
        return np.where(found[..., None], rays, np.nan)


class KannalaBrandt(Camera):
    """OpenCV's fisheye, ``k1 k2 k3 k4``.

    radius = theta (1 + k1 theta^2 + k2 theta^4 + k3 theta^6 + k4 theta^8).

    Theta is the angle from the optical axis, so fields of view over 180 degrees are possible.
    """

    model = "kannala_brandt"
    distortion_counts = (4,)

    @cached_property
    def _angles(self) -> tuple[FloatArray, FloatArray]:
        """Angles and their image radii, increasing, up to where the lens folds back."""
        theta = np.linspace(0.0, np.pi, 4096)
        return _increasing_part(theta, self._radius(theta)[0])

    def _radius(self, theta: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Image radius at angle ``theta`` and its derivative."""
        k1, k2, k3, k4 = self.distortion
        t2 = theta * theta
        radius = theta * (1 + t2 * (k1 + t2 * (k2 + t2 * (k3 + t2 * k4))))
        slope = 1 + t2 * (3 * k1 + t2 * (5 * k2 + t2 * (7 * k3 + t2 * 9 * k4)))
        return radius, slope

    def _distort(self, points_m: FloatArray) -> FloatArray:
        across = np.linalg.norm(points_m[..., :2], axis=-1)
        theta = np.arctan2(across, points_m[..., 2])
        with np.errstate(invalid="ignore"):
            theta = np.where(theta <= self._angles[0][-1], theta, np.nan)
            # The axis behind the camera is seen all around the picture's rim; the camera itself nowhere.
            theta = np.where((across > 0) | (points_m[..., 2] > 0), theta, np.nan)
        direction = points_m[..., :2] / np.maximum(across, 1e-12)[..., None]
        return np.asarray(self._radius(theta)[0][..., None] * direction)

    def _rays(self, normalised: FloatArray) -> FloatArray:
        angles, radii = self._angles
        radius = np.linalg.norm(normalised, axis=-1)
        radius = np.where(radius <= radii[-1], radius, np.nan)
        theta = np.interp(radius, radii, angles)
        for _ in range(3):  # Newton; the table starts it within 1e-3 rad
            value, slope = self._radius(theta)
            theta = theta - (value - radius) / np.maximum(slope, 1e-3)
        direction = normalised / np.maximum(radius, 1e-12)[..., None]
        return np.concatenate([np.sin(theta)[..., None] * direction, np.cos(theta)[..., None]], axis=-1)


CAMERA_MODELS: dict[str, type[Camera]] = {
    model.model: model for model in (Pinhole, BrownConrady, KannalaBrandt)
}


def load_camera(path: str | Path) -> Camera:
    """Read a calibration from a JSON file (keys: model, width, height, fx, fy, cx, cy, distortion).

    Raises:
        CameraError: the file is missing, not JSON, or not a calibration; the message says which value.
    """
    try:
        with open(path, encoding="utf-8-sig") as file:
            text = file.read(MAX_FILE_CHARACTERS)
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not text"
        raise CameraError(f"cannot read the camera file {path}: {reason}") from error
    try:
        camera = camera_from_json(json.loads(text, object_pairs_hook=_unique_keys))
        check_plausible(camera)
    except ValueError as error:  # json's own, and numbers of thousands of digits
        raise CameraError(f"the camera file {path} is not JSON: {error}") from error
    except CameraError as error:
        raise CameraError(f"{error} (in {path})") from error
    return camera


def check_plausible(camera: Camera) -> None:
    """Refuse a calibration that no camera has: most often millimetres for pixels, or a wrong model.

    Raises:
        CameraError: the focal length, the principal point, or how much of the picture has a ray.
    """
    for name, focal, extent in (("fx", camera.fx, camera.width), ("fy", camera.fy, camera.height)):
        low, high = FOCAL_RANGE[0] * extent, FOCAL_RANGE[1] * extent
        if not low <= focal <= high:
            raise CameraError(
                f"camera {name} is {focal:g}, not plausible for a picture of {extent} pixels; "
                f"give it in pixels, {low:g} to {high:g}"
            )
    for name, center, extent in (("cx", camera.cx, camera.width), ("cy", camera.cy, camera.height)):
        if not -extent <= center <= 2 * extent:
            raise CameraError(f"camera {name} is {center:g}, far outside a picture of {extent} pixels")
    grid = np.meshgrid(np.linspace(0, camera.width - 1, 15), np.linspace(0, camera.height - 1, 15))
    with np.errstate(all="ignore"):
        seen = np.isfinite(camera.unproject(np.stack(grid, axis=-1))).all(axis=-1).mean()
    if seen < MIN_SHARE_WITH_RAYS:
        raise CameraError(
            f"only {100 * seen:.0f} % of the picture has a ray through this lens; check model and distortion"
        )


def camera_from_json(values: object, *, assumed: bool = False) -> Camera:
    """Build the camera that a decoded JSON object describes; the inverse of ``Camera.to_json``.

    Raises:
        CameraError: a key is missing, of the wrong type, or has an impossible value.
    """
    if not isinstance(values, Mapping):
        raise CameraError(f"a camera must be a JSON object, found {type(values).__name__}")
    name = values.get("model")
    if not isinstance(name, str) or name not in CAMERA_MODELS:
        raise CameraError(f"camera model {name!r} is unknown; choose one of {', '.join(CAMERA_MODELS)}")
    width, height = (_number(values, key) for key in ("width", "height"))
    if not (width.is_integer() and height.is_integer()):
        raise CameraError(f"camera size {width} x {height} must be whole pixels")
    distortion = values.get("distortion", [])
    if not isinstance(distortion, list):
        raise CameraError(f"camera distortion must be a list of numbers, found {distortion!r}")
    return CAMERA_MODELS[name](
        width=int(width),
        height=int(height),
        **{key: _number(values, key) for key in ("fx", "fy", "cx", "cy")},
        distortion=tuple(_number({"distortion": value}, "distortion") for value in distortion),
        assumed=assumed,
    )


def pinhole_from_fov(width: int, height: int, horizontal_fov_deg: float, *, assumed: bool = False) -> Pinhole:
    """A pinhole with square pixels and a centred axis that sees ``horizontal_fov_deg`` across its width.

    Raises:
        CameraError: the angle is outside ``FOV_RANGE_DEG``.
    """
    low, high = FOV_RANGE_DEG
    if not low <= horizontal_fov_deg <= high:
        raise CameraError(
            f"the field of view is {horizontal_fov_deg:g} degrees; give one from {low:g} to {high:g}"
        )
    focal = 0.5 * width / math.tan(math.radians(horizontal_fov_deg) / 2)
    return Pinhole(width, height, focal, focal, (width - 1) / 2, (height - 1) / 2, assumed=assumed)


@dataclass(frozen=True)
class CameraChoice:
    """What is known of a source's camera before its picture size is: a calibration, an angle, or nothing.

    Raises:
        CameraError: both are given, or the angle is outside ``FOV_RANGE_DEG``.
    """

    calibration: Camera | None = None
    horizontal_fov_deg: float | None = None

    def __post_init__(self) -> None:
        if self.calibration is not None and self.horizontal_fov_deg is not None:
            raise CameraError("both a camera file and a field of view are given; give one of them")
        if self.horizontal_fov_deg is not None:
            pinhole_from_fov(2, 2, self.horizontal_fov_deg)

    def for_size(self, width: int, height: int) -> Camera:
        """The camera for pictures of this size; its ``assumed`` is True when nothing was given.

        Raises:
            CameraError: the calibration is for another aspect.
        """
        if self.calibration is not None:
            return self.calibration.resized(width, height)
        if self.horizontal_fov_deg is not None:
            return pinhole_from_fov(width, height, self.horizontal_fov_deg)
        return pinhole_from_fov(width, height, ASSUMED_HORIZONTAL_FOV_DEG, assumed=True)


def _unique_keys(pairs: list[tuple[str, object]]) -> dict[str, object]:
    """A JSON object whose keys differ: of two the second would win unseen."""
    keys = [key for key, _ in pairs]
    if len(set(keys)) < len(keys):
        raise CameraError(f"camera key {max(keys, key=keys.count)!r} is given twice")
    return dict(pairs)


def _number(values: Mapping[str, object], key: str) -> float:
    value = values.get(key)
    if isinstance(value, bool) or not isinstance(value, int | float):
        found = repr(value) if key in values else "none"
        raise CameraError(f"camera {key} must be a number, found {found}")
    try:
        return float(value)
    except OverflowError:
        raise CameraError(f"camera {key} is too large a number") from None


def _unit(vectors: FloatArray) -> FloatArray:
    return np.asarray(vectors / np.linalg.norm(vectors, axis=-1, keepdims=True))


def _perspective(points_m: FloatArray) -> FloatArray:
    z = points_m[..., 2:]
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(z > 1e-9, points_m[..., :2] / z, np.nan)


def _increasing_part(x: FloatArray, y: FloatArray) -> tuple[FloatArray, FloatArray]:
    """The start of the curve (x, y) up to where y stops rising."""
    falling = np.flatnonzero(~(np.diff(y) > 0))
    end = int(falling[0]) + 1 if len(falling) else len(x)
    return x[: max(end, 2)], y[: max(end, 2)]
