"""Crops: small square pictures around a hand, and how their pixels and axes relate to the camera's.

Two kinds share one protocol. An *affine* crop copies a turned square of the picture, as the networks' own
publications do; what a network says in its axes holds for a hand straight ahead, so it is turned by the
smallest rotation onto the crop's central ray. A *virtual camera* is a pinhole turned toward the hand: its
pixels are sampled through the lens, so any lens looks ideal in it, and its axes are known exactly.

A point (u, v) of a crop of ``n`` samples lies in [0, n]; sample i is taken at u = i (the convention of the
published light networks). Pixels of the picture have their centres on integers.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Literal, Protocol

import numpy as np

from tracker.cameras import Camera
from tracker.joints import FloatArray, cross
from tracker.rotations import rotation_between
from tracker.structs import HandBox

CropKind = Literal["affine", "virtual"]

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
        y = -(above - center * (above @ center))
        y /= np.linalg.norm(y)
        self.camera_from_crop: FloatArray = np.stack([cross(y, center), y, center], axis=-1)
        # Focal length in samples: one step in the picture, as an angle, is step/size of the crop.
        angle = np.arctan2(np.linalg.norm(cross(center, above)), center @ above)
        self.focal = samples * (step_px / box.size_px) / float(np.tan(angle))

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
