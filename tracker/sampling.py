"""The pixels of a crop: where each sample lies in the picture, and what is read there.

OpenCV reads them where it is installed (extra ``cpu``; not on macOS), numpy elsewhere, with the same bits.
Positions are rounded to the nearest 1/32 pixel (halves to even), and values to the nearest whole level
(halves up). A pinhole's crops are homographies, whose positions OpenCV computes itself in float64; they
differ from numpy's in the last bits, so a level could differ where a position lies within 1e-11 of a half.
For other lenses positions are float32 pixels, made here for both. The networks need it so: the published
pipelines' image library rounds like that, and without it landmarks of one reference picture lie 9 pixels from
the published ones.
"""

import sys
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from tracker.crops import Crop
from tracker.joints import FloatArray
from tracker.structs import ImageArray

Border = Literal["edge", "black"]
Float32Array = npt.NDArray[np.float32]
Int16Array = npt.NDArray[np.int16]
Int32Array = npt.NDArray[np.int32]

_CELL = 8
"""Samples between the nodes at which a crop is traced through the lens."""
_FAR_PX = 30_000.0
"""Farther out than any picture; in 1/32 pixel it still fits OpenCV's 16 bits before the point."""
_BELOW_PX = 2.0**-11
"""Taken from every position, so that those in the middle of two 1/32 go down whatever their last bits say."""
_OPENCV_SIZE_LIMIT = 1 << 15
_SUBPIXEL_BITS = 5
_SUBPIXELS = 1 << _SUBPIXEL_BITS
_SMALL_PART = 50
"""Bytes a sample: a part of the picture up to this large is copied before it is sampled."""


def sample_crop(image_rgb: ImageArray, crop: Crop, border: Border = "edge") -> Float32Array:
    """The crop's picture (samples, samples, 3) in [0, 1] of whole 1/255 levels, bilinear, without smoothing.

    Beyond the picture's edge lies its border, repeated (``edge``) or black.
    """
    return sample_at(image_rgb, places_of(crop), border)


@dataclass(frozen=True, eq=False)
class Places:
    """Where in the picture the samples of a crop lie: one of two ways to say it."""

    samples: int
    """Along a side."""
    homography: FloatArray | None
    """(3, 3) from crop points (u, v, 1) to pixels, ``_BELOW_PX`` taken off."""
    positions_px: Float32Array | None
    """(samples, samples, 2) likewise."""


def places_of(crop: Crop) -> Places:
    """Where a crop's samples lie: by its homography if it has one, else traced through the lens."""
    homography = crop.homography
    if homography is None:
        return Places(crop.samples, None, sample_positions(crop))
    below = homography.copy()
    below[:2] -= _BELOW_PX * homography[2]
    return Places(crop.samples, below, None)


def sample_at(image_rgb: ImageArray, places: Places, border: Border = "edge") -> Float32Array:
    """What ``sample_crop`` gives, where the samples' places are known already.

    With OpenCV nearly all of it is done without the interpreter, side by side with other threads.
    """
    return sample_levels(image_rgb, places, border) * np.float32(1 / 255)


def sample_levels(image_rgb: ImageArray, places: Places, border: Border = "edge") -> ImageArray:
    """Levels (samples, samples, 3) of a picture (H, W, 3); see ``sample_crop``."""
    cv2 = opencv()
    if cv2 is None or max(image_rgb.shape) >= _OPENCV_SIZE_LIMIT:
        return sample_with_numpy(image_rgb, rounded_positions(places), border)
    mode = cv2.BORDER_REPLICATE if border == "edge" else cv2.BORDER_CONSTANT
    levels: ImageArray
    if places.positions_px is not None:
        levels = cv2.remap(image_rgb, places.positions_px, None, cv2.INTER_LINEAR, borderMode=mode)
    else:
        size = (places.samples, places.samples)
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        levels = cv2.warpPerspective(image_rgb, places.homography, size, flags=flags, borderMode=mode)
    return levels


def rounded_positions(places: Places) -> Float32Array:
    """The positions (samples, samples, 2) in whole 1/32 pixels that OpenCV reads at."""
    if places.positions_px is not None:
        positions = places.positions_px.astype(np.float64) * _SUBPIXELS
    else:
        assert places.homography is not None
        along = np.arange(places.samples, dtype=np.float64)
        column, row = along[None, :, None], along[:, None, None]
        # In float64, as OpenCV does: up to its last bits the same.
        x_y_depth = column * places.homography[:, 0] + (
            row * places.homography[:, 1] + places.homography[:, 2]
        )
        positions = x_y_depth[..., :2] * (_SUBPIXELS / x_y_depth[..., 2:])
    limit = _FAR_PX * _SUBPIXELS
    rounded = np.rint(np.minimum(np.maximum(positions, -limit), limit))
    return np.asarray(rounded / _SUBPIXELS, np.float32)


@cache
def opencv() -> Any:
    """The module cv2, or None where it is not to be used.

    OpenCV 5 reads otherwise. On macOS its FFmpeg and PyAV's define the same Objective-C classes.
    """
    if sys.platform == "darwin":
        return None
    try:
        import cv2
    except ImportError:
        return None
    return cv2 if cv2.__version__.startswith("4.") else None


def sample_positions(crop: Crop) -> Float32Array:
    """Where in the picture each sample lies, through any lens: (samples, samples, 2) in pixels.

    The crop is traced through the lens at every eighth sample, with straight lines between.
    """
    nodes = crop.image_from_crop(_grid(crop.samples + _CELL, _CELL))
    if np.isfinite(nodes).all():
        return _upsampled(_near(nodes))[: crop.samples, : crop.samples]
    # Beyond the lens a node has no position to go on from, nor have the samples around it: trace each.
    exact = crop.image_from_crop(_grid(crop.samples, 1))
    return _near(np.nan_to_num(exact, nan=-_FAR_PX)).astype(np.float32)


def _near(positions_px: FloatArray) -> FloatArray:
    """Positions a little below, as they are rounded, and none farther out than ``_FAR_PX``."""
    return np.minimum(np.maximum(positions_px, -_FAR_PX), _FAR_PX) - _BELOW_PX


@lru_cache(maxsize=8)
def _grid(end: int, step: int) -> FloatArray:
    """Crop points (N, N, 2) every ``step`` samples from 0 to below ``end``."""
    along = np.arange(0, end, step, dtype=np.float64)
    grid = np.stack(np.meshgrid(along, along), axis=-1)
    grid.flags.writeable = False
    return grid


def _upsampled(nodes_px: FloatArray) -> Float32Array:
    """Positions (N * _CELL, N * _CELL, 2), linear between nodes (N + 1, N + 1, 2).

    Elementwise, not a matrix product: linear algebra libraries start threads for that, and theirs would
    contend with the networks'.
    """
    share = (np.arange(_CELL) / _CELL)[:, None]
    count = len(nodes_px) - 1
    # The longest axis last, where elementwise work is fast.
    across = share * (nodes_px[:, 1:] - nodes_px[:, :-1]).reshape(1, -1)
    across = across.reshape(_CELL, count + 1, count, 2) + nodes_px[:, :-1]
    rows = across.transpose(1, 2, 0, 3).astype(np.float32, order="C").reshape(count + 1, -1)
    between = share.astype(np.float32) * (rows[1:] - rows[:-1])[:, None]
    between += rows[:-1, None]
    return between.reshape(count * _CELL, count * _CELL, 2)


def sample_with_numpy(
    image_rgb: ImageArray, positions_px: Float32Array, border: Border = "edge"
) -> ImageArray:
    """What ``sample_levels`` gives, by numpy."""
    x, y = (np.rint(positions_px[..., axis] * _SUBPIXELS).astype(np.int32) for axis in (0, 1))
    sampled = _bilinear(image_rgb, x, y)
    if border == "black":
        height, width = image_rgb.shape[:2]
        sampled *= (_coverage(x, width) * _coverage(y, height))[..., None]
    sampled += np.float32(0.5)
    return sampled.astype(np.uint8)


def _bilinear(image_rgb: ImageArray, x: Int32Array, y: Int32Array) -> Float32Array:
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


def _coverage(position: Int32Array, size: int) -> Float32Array:
    """Share of a bilinear sample at ``position`` in 1/32 pixel that lies on a line of ``size`` pixels."""
    inside = np.minimum(position + _SUBPIXELS, size * _SUBPIXELS - position)
    return np.clip(inside, 0, _SUBPIXELS).astype(np.float32) * np.float32(1 / _SUBPIXELS)
