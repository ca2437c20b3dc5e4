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
import numpy.typing as npt

from tracker.cameras import Camera
from tracker.joints import FloatArray
from tracker.rotations import rotation_between
from tracker.structs import HandBox, ImageArray

CropKind = Literal["affine", "virtual"]
Border = Literal["edge", "black"]
Float32Array = npt.NDArray[np.float32]

_OPTICAL_AXIS = np.array([0.0, 0.0, 1.0])
_SUBPIXELS = 32
_CELL = 8
"""Samples between the nodes at which a virtual camera is traced through the lens."""


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
        self.camera_from_crop: FloatArray = np.stack([np.cross(y, center), y, center], axis=-1)
        # Focal length in samples: one step in the picture, as an angle, is step/size of the crop.
        angle = np.arctan2(np.linalg.norm(np.cross(center, above)), center @ above)
        self.focal = samples * (step_px / box.size_px) / float(np.tan(angle))

    def image_from_crop(self, points: FloatArray) -> FloatArray:
        """Pixels (..., 2) of crop points (..., 2); NaN where the lens has none."""
        across = (points - self.samples / 2) / self.focal
        rays = np.concatenate([across, np.ones_like(across[..., :1])], axis=-1)
        return self._camera.project(rays @ self.camera_from_crop.T)


def make_crop(kind: CropKind, box: HandBox, samples: int, camera: Camera) -> Crop:
    """The crop of ``box``; affine where the lens has no ray for the box's centre."""
    if kind == "virtual":
        try:
            return VirtualCrop(box, samples, camera)
        except ValueError:
            pass
    return AffineCrop(box, samples, camera)


def sample_crop(image_rgb: ImageArray, crop: Crop, border: Border = "edge") -> Float32Array:
    """The crop's picture (samples, samples, 3) in [0, 1] of whole 1/255 levels, bilinear, without smoothing.

    Beyond the picture's edge lies its border, repeated (``edge``) or black. Positions are rounded to 1/32
    pixel and values to whole levels, as the published pipelines' image library does: the networks are so
    sensitive that without it landmarks of one reference picture lie 9 pixels from the published ones.
    """
    x, y = sample_positions(crop)
    sampled = sample_bilinear(image_rgb, x, y)
    if border == "black":
        height, width = image_rgb.shape[:2]
        sampled *= (_coverage(x, width) * _coverage(y, height))[..., None]
    sampled += np.float32(0.5)
    np.floor(sampled, out=sampled)
    sampled *= np.float32(1 / 255)
    return sampled


def sample_positions(crop: Crop) -> tuple[FloatArray, FloatArray]:
    """Where in the picture each sample lies: x and y (samples, samples), NaN where the lens has no image."""
    nodes = np.arange(0, crop.samples + _CELL, _CELL, dtype=np.float64)
    traced = crop.image_from_crop(np.stack(np.meshgrid(nodes, nodes), axis=-1))
    if np.isfinite(traced).all():
        x, y = (
            _upsampled(_upsampled(traced[..., axis]).T).T[: crop.samples, : crop.samples] for axis in (0, 1)
        )
        return x, y
    # Beyond the lens a node has no position to go on from, nor have the samples around it: trace each.
    every = np.arange(crop.samples, dtype=np.float64)
    exact = crop.image_from_crop(np.stack(np.meshgrid(every, every), axis=-1))
    return exact[..., 0], exact[..., 1]


def sample_bilinear(image_rgb: ImageArray, x: FloatArray, y: FloatArray) -> Float32Array:
    """Pixels of the picture (H, W, 3) at float positions ``x``, ``y`` (...), as (..., 3) in [0, 255].

    Positions outside take the nearest edge pixel; NaN takes some edge pixel.
    """
    height, width = image_rgb.shape[:2]
    x = np.clip(_rounded(x), 0, width - 1)
    y = np.clip(_rounded(y), 0, height - 1)
    left = np.minimum(x.astype(np.int32), width - 2) if width > 1 else np.zeros(x.shape, np.int32)
    top = np.minimum(y.astype(np.int32), height - 2) if height > 1 else np.zeros(x.shape, np.int32)
    # Weights repeated for each channel: contiguous products are several times faster than broadcast ones.
    across, down = (
        np.repeat(weight.astype(np.float32), 3).reshape(*x.shape, 3) for weight in (x - left, y - top)
    )
    flat = image_rgb.reshape(-1, 3)
    start = top * np.int32(width) + left
    right_step, down_step = (1 if width > 1 else 0), (width if height > 1 else 0)

    def take(offset: int) -> Float32Array:
        return flat.take(start + np.int32(offset), axis=0).astype(np.float32)

    upper = take(0)
    upper += across * (take(right_step) - upper)
    lower = take(down_step)
    lower += across * (take(down_step + right_step) - lower)
    lower -= upper
    lower *= down
    upper += lower
    return upper


def _upsampled(nodes: FloatArray) -> FloatArray:
    """Values (N * _CELL, ...) between nodes (N + 1, ...), linear; the last node is not among them.

    Elementwise, not a matrix product: linear algebra libraries start threads for that, and theirs would
    contend with the networks'.
    """
    share = (np.arange(_CELL) / _CELL).reshape(1, -1, *[1] * (nodes.ndim - 1))
    cells = nodes[:-1, None] + share * np.diff(nodes, axis=0)[:, None]
    return cells.reshape(-1, *nodes.shape[1:])


def _coverage(position: FloatArray, size: int) -> Float32Array:
    """Share of a bilinear sample at ``position`` that lies on a line of ``size`` pixels."""
    position = _rounded(position)
    return np.clip(np.minimum(position + 1, size - position), 0, 1).astype(np.float32)


def _rounded(position: FloatArray) -> FloatArray:
    """Positions rounded to 1/32 pixel, ties down whatever the last bits say; NaN far outside."""
    return np.nan_to_num(np.rint(position * _SUBPIXELS - 1e-6) / _SUBPIXELS, nan=-1e4)


def _turn(angle_rad: float) -> FloatArray:
    """Rotation (3, 3) about the optical axis, clockwise as seen."""
    c, s = np.cos(angle_rad), np.sin(angle_rad)
    return np.array([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]])
