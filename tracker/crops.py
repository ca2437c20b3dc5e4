"""Crops: small square pictures around a hand, and how their pixels and axes relate to the camera's.

Two kinds share one protocol. An *affine* crop copies a turned square of the picture, as the networks' own
publications do; what a network says in its axes holds for a hand straight ahead, so it is turned by the
smallest rotation onto the crop's central ray. A *virtual camera* is a pinhole turned toward the hand: its
pixels are sampled through the lens, so any lens looks ideal in it, and its axes are known exactly.

A point (u, v) of a crop of ``n`` samples lies in [0, n]; sample i is taken at u = i (the convention of the
published light networks). Pixels of the picture have their centres on integers.
"""

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, Protocol

import numpy as np

from tracker.cameras import Camera, Pinhole
from tracker.joints import FloatArray, cross
from tracker.rotations import rotation_between
from tracker.structs import HandBox

CropKind = Literal["affine", "virtual"]

MIN_DEPTH = 0.01
"""Share of its distance that a sample must lie before the camera for a homography to say where."""
_OPTICAL_AXIS = np.array([0.0, 0.0, 1.0])


class Crop(Protocol):
    """Where the samples of one crop lie."""

    @property
    def samples(self) -> int:
        """Samples along a side."""
        ...

    @property
    def camera_from_crop(self) -> FloatArray:
        """Rotation (3, 3) from the axes in which a network sees this crop to the camera's."""
        ...

    @property
    def camera_from_flat_crop(self) -> FloatArray:
        """The same (3, 3) as publications have it: an affine crop's axes are not turned to its ray."""
        ...

    def weak_place(self, point: FloatArray, samples_per_m: float) -> FloatArray:
        """Where (3,) in the camera frame weak perspective has what is seen there (2,) and this large."""
        ...

    @property
    def homography(self) -> FloatArray | None:
        """(3, 3) that takes every sample's crop point (u, v, 1) to its pixel; None where none does."""
        ...

    def image_from_crop(self, points: FloatArray) -> FloatArray:
        """Pixels (..., 2) in the picture of crop points (..., 2); NaN where the lens has none."""
        ...


@dataclass(frozen=True, eq=False)
class AffineCrop:
    """A turned square of the picture."""

    box: HandBox
    samples: int
    camera: Camera

    @cached_property
    def camera_from_crop(self) -> FloatArray:
        """The box's turn, then the smallest rotation from the optical axis to the box centre's ray."""
        ray = self.camera.unproject(self.box.center_px)
        if not np.isfinite(ray).all():
            return _turn(self.box.rotation_rad)
        return rotation_between(_OPTICAL_AXIS, ray) @ _turn(self.box.rotation_rad)

    @property
    def camera_from_flat_crop(self) -> FloatArray:
        """The box's turn (3, 3) alone."""
        return _turn(self.box.rotation_rad)

    def weak_place(self, point: FloatArray, samples_per_m: float) -> FloatArray:
        """Where (3,) a pinhole of the lens's focal length has it: ((x - cx) / s, (y - cy) / s, f / s)."""
        pixels_per_m = samples_per_m * self.box.size_px / self.samples
        x, y = self.image_from_crop(point) - (self.camera.cx, self.camera.cy)
        return np.array([x, y, 0.5 * (self.camera.fx + self.camera.fy)]) / pixels_per_m

    @property
    def homography(self) -> FloatArray:
        """(3, 3) that takes crop points (u, v, 1) to pixels."""
        scale = self.box.size_px / self.samples
        c, s = scale * np.cos(self.box.rotation_rad), scale * np.sin(self.box.rotation_rad)
        x, y = self.box.center_px - self.samples / 2 * np.array([c - s, s + c])
        return np.array([[c, -s, x], [s, c, y], [0.0, 0.0, 1.0]])

    def image_from_crop(self, points: FloatArray) -> FloatArray:
        """Pixels (..., 2) of crop points (..., 2)."""
        offset = (points / self.samples - 0.5) * self.box.size_px
        return np.asarray(offset @ _turn(self.box.rotation_rad)[:2, :2].T + self.box.center_px)


class VirtualCrop:
    """A pinhole camera turned toward the centre of a box, seeing what the box holds.

    Raises:
        ValueError: the box's centre has no ray in this lens.
    """

    def __init__(self, box: HandBox, samples: int, camera: Camera) -> None:
        self.samples = samples
        self._camera = camera
        up = np.array([np.sin(box.rotation_rad), -np.cos(box.rotation_rad)])
        # The centre and, one sample away, where the crop's upward direction leads in the picture.
        step_px = max(box.size_px / samples, 0.5)
        center, above = camera.unproject(np.stack([box.center_px, box.center_px + up * step_px]))
        if not np.isfinite(center + above).all():
            raise ValueError("the centre of the box has no ray in this lens")
        along = float(above @ center)
        y = center * along - above
        across = math.sqrt(float(y @ y))
        y /= across
        self.camera_from_crop: FloatArray = np.stack([cross(y, center), y, center], axis=-1)
        # Focal length in samples: one step in the picture, as an angle, is step/size of the crop.
        self.focal = samples * (step_px / box.size_px) * along / across

    @property
    def camera_from_flat_crop(self) -> FloatArray:
        """The turned camera's own axes (3, 3): it sees the hand straight ahead."""
        return self.camera_from_crop

    def weak_place(self, point: FloatArray, samples_per_m: float) -> FloatArray:
        """Where (3,) the turned camera has it."""
        x, y = point - self.samples / 2
        return np.asarray(self.camera_from_crop @ np.array([x, y, self.focal]) / samples_per_m)

    @cached_property
    def homography(self) -> FloatArray | None:
        """(3, 3) for a pinhole all of whose samples lie before it; see ``Crop``."""
        if not isinstance(self._camera, Pinhole):
            return None
        rays = self.camera_from_crop / (self.focal, self.focal, 1.0)
        rays[:, 2] -= self.samples / 2 * (rays[:, 0] + rays[:, 1])
        lens = self._camera
        matrix = np.array([[lens.fx, 0.0, lens.cx], [0.0, lens.fy, lens.cy], [0.0, 0.0, 1.0]]) @ rays
        depth_x, depth_y, depth = (self.samples * matrix[2] / (1.0, 1.0, self.samples)).tolist()
        return matrix if depth + min(depth_x, 0.0) + min(depth_y, 0.0) > MIN_DEPTH else None

    def image_from_crop(self, points: FloatArray) -> FloatArray:
        """Pixels (..., 2) of crop points (..., 2); NaN where the lens has none."""
        across = (points - self.samples / 2) / self.focal
        return self._camera.project(across @ self.camera_from_crop[:, :2].T + self.camera_from_crop[:, 2])


def make_crop(kind: CropKind, box: HandBox, samples: int, camera: Camera) -> Crop:
    """The crop of ``box``; affine where the lens has no ray for the box's centre."""
    if kind == "virtual":
        try:
            return VirtualCrop(box, samples, camera)
        except ValueError:
            pass
    return AffineCrop(box, samples, camera)


def _turn(angle_rad: float) -> FloatArray:
    """Rotation (3, 3) about the optical axis, clockwise as seen."""
    c, s = np.cos(angle_rad), np.sin(angle_rad)
    return np.array([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]])
