"""Crops: small square pictures around a hand, and how their pixels and axes relate to the camera's.

Two kinds share one protocol. An *affine* crop copies a turned square of the picture, as the networks' own
publications do; what a network says in its axes holds for a hand straight ahead, so it is turned by the
smallest rotation onto the crop's central ray. A *virtual camera* is a pinhole turned toward the hand: its
pixels are sampled through the lens, so any lens looks ideal in it, and its axes are known exactly.

A point (u, v) of a crop of ``n`` samples lies in [0, n]; sample i is taken at u = i (the convention of the
published light networks). Pixels of the picture have their centres on integers.
"""

from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Literal, Protocol

import numpy as np
import numpy.typing as npt

from tracker.cameras import Camera
from tracker.joints import FloatArray, cross
from tracker.rotations import rotation_between
from tracker.structs import HandBox, ImageArray

CropKind = Literal["affine", "virtual"]
Border = Literal["edge", "black"]
Float32Array = npt.NDArray[np.float32]
Int16Array = npt.NDArray[np.int16]
Int32Array = npt.NDArray[np.int32]

_OPTICAL_AXIS = np.array([0.0, 0.0, 1.0])
_SUBPIXEL_BITS = 5
_SUBPIXELS = 1 << _SUBPIXEL_BITS
_SMALL_PART = 50
"""Bytes a sample: a part of the picture up to this large is copied before it is sampled."""
_FINE = 256
"""Parts of 1/32 pixel in which positions between nodes are counted."""
_FAR_PX = 30_000.0
"""Farther out than any picture; in the finest parts it still fits 32 bits."""
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
        self.camera_from_crop: FloatArray = np.stack([cross(y, center), y, center], axis=-1)
        # Focal length in samples: one step in the picture, as an angle, is step/size of the crop.
        angle = np.arctan2(np.linalg.norm(cross(center, above)), center @ above)
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


def sample_positions(crop: Crop) -> tuple[Int32Array, Int32Array]:
    """Where in the picture each sample lies: x and y (samples, samples) in 1/32 pixel."""
    traced = crop.image_from_crop(_grid(crop.samples + _CELL, _CELL))
    if np.isfinite(traced).all():
        x, y = (_upsampled(traced[..., axis])[: crop.samples, : crop.samples] for axis in (0, 1))
        return x, y
    # Beyond the lens a node has no position to go on from, nor have the samples around it: trace each.
    exact = crop.image_from_crop(_grid(crop.samples, 1))
    return in_subpixels(exact[..., 0]), in_subpixels(exact[..., 1])


def in_subpixels(position_px: FloatArray) -> Int32Array:
    """Positions rounded to whole 1/32 pixels, ties down whatever the last bits say; NaN far outside."""
    near = np.clip(np.nan_to_num(position_px, nan=-_FAR_PX), -_FAR_PX, _FAR_PX)
    return np.rint(near * _SUBPIXELS - 1e-6).astype(np.int32)


def sample_bilinear(image_rgb: ImageArray, x: Int32Array, y: Int32Array) -> Float32Array:
    """Pixels of the picture (H, W, 3) at ``x``, ``y`` (...) in 1/32 pixel, as (..., 3) in [0, 255].

    Positions outside take the nearest edge pixel.
    """
    if min(image_rgb.shape[:2]) < 2:
        image_rgb = np.pad(image_rgb, ((0, 1), (0, 1), (0, 0)), mode="edge")
    height, width = image_rgb.shape[:2]
    x = np.clip(x, 0, (width - 1) * _SUBPIXELS)
    y = np.clip(y, 0, (height - 1) * _SUBPIXELS)
    left = np.minimum(x >> _SUBPIXEL_BITS, np.int32(width - 2))
    top = np.minimum(y >> _SUBPIXEL_BITS, np.int32(height - 2))
    # Both weights of each sample, 0 to 32, for its three channels: equal shapes multiply far faster.
    shares = (x - (left << _SUBPIXEL_BITS)) + ((y - (top << _SUBPIXEL_BITS)) << 8)
    shares = np.repeat(shares.astype(np.int16), 3).reshape(*x.shape, 3)
    across, down = shares & np.int16(255), shares >> np.int16(8)
    first_row, first_column = top.min(), left.min()
    part = image_rgb[first_row : top.max() + 2, first_column : left.max() + 2]
    if part.size < _SMALL_PART * x.size:
        # Gathered from a small copy: in the picture every row costs another page and its cache lines.
        part = np.ascontiguousarray(part)
        left -= first_column
        top -= first_row
    else:
        part = image_rgb
    start = (top * np.int32(part.shape[1]) + left).astype(np.intp)
    pixels = part.reshape(-1, 3)

    def blended_row(first: int) -> Int16Array:
        """Left and right pixels blended, times 32: at most 255 * 32, which 16 bits hold exactly."""
        near: Int16Array = pixels[first:].take(start, axis=0).astype(np.int16)
        far = pixels[first + 1 :].take(start, axis=0).astype(np.int16)
        far -= near
        far *= across
        near <<= np.int16(_SUBPIXEL_BITS)
        near += far
        return near

    upper = blended_row(0)
    lower = blended_row(part.shape[1])
    lower -= upper
    sampled = lower.astype(np.float32)
    sampled *= down
    sampled *= np.float32(1 / _SUBPIXELS)
    sampled += upper
    sampled *= np.float32(1 / _SUBPIXELS)
    return sampled


@lru_cache(maxsize=8)
def _grid(end: int, step: int) -> FloatArray:
    """Crop points (N, N, 2) every ``step`` samples from 0 to below ``end``."""
    along = np.arange(0, end, step, dtype=np.float64)
    grid = np.stack(np.meshgrid(along, along), axis=-1)
    grid.flags.writeable = False
    return grid


def _upsampled(nodes_px: FloatArray) -> Int32Array:
    """Positions (N * _CELL, N * _CELL) in 1/32 pixel, linear between nodes (N + 1, N + 1).

    Elementwise, not a matrix product: linear algebra libraries start threads for that, and theirs would
    contend with the networks'. The second and larger step counts in whole 1/8192 pixels, half as many bytes.
    """
    share = np.arange(_CELL, dtype=np.int32)[:, None]
    near = np.clip(nodes_px, -_FAR_PX, _FAR_PX).T
    along = near[:-1, None] + share / _CELL * np.diff(near, axis=0)[:, None]
    fine = np.rint(along.reshape(-1, near.shape[1]).T * (_SUBPIXELS * _FINE)).astype(np.int32)
    cells = share * np.diff(fine, axis=0)[:, None]
    cells += (fine[:-1] * np.int32(_CELL))[:, None]
    cells += np.int32(_CELL * _FINE // 2 - 1)  # to the nearest, ties down
    cells //= np.int32(_CELL * _FINE)
    return cells.reshape(-1, fine.shape[1])


def _coverage(position: Int32Array, size: int) -> Float32Array:
    """Share of a bilinear sample at ``position`` in 1/32 pixel that lies on a line of ``size`` pixels."""
    inside = np.minimum(position + _SUBPIXELS, size * _SUBPIXELS - position)
    return np.clip(inside, 0, _SUBPIXELS).astype(np.float32) * np.float32(1 / _SUBPIXELS)


def _turn(angle_rad: float) -> FloatArray:
    """Rotation (3, 3) about the optical axis, clockwise as seen."""
    c, s = np.cos(angle_rad), np.sin(angle_rad)
    return np.array([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]])
