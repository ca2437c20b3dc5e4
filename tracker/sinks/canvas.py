"""Pictures to draw on, and their parts.

Only what is drawn on passes through Pillow: turning a whole 1080p picture back and forth costs 10 ms.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from PIL import Image

from tracker.cameras import Camera
from tracker.joints import FloatArray
from tracker.structs import ImageArray

Colour = tuple[int, int, int]
Box = tuple[int, int, int, int]
"""Left, top, right, bottom; right and bottom are outside."""

DARK: Colour = (20, 20, 22)
FAR_PX = 1e6
"""What lies farther out than this is drawn as if it lay here, or not at all."""


def blank_picture(camera: Camera) -> ImageArray:
    """A plain dark (H, W, 3) picture to draw on where the source's own is not there."""
    return np.full((camera.height, camera.width, 3), DARK, dtype=np.uint8)


def fit_picture(image_rgb: ImageArray, width: int, height: int) -> ImageArray:
    """``image_rgb`` scaled into (height, width, 3) with its aspect kept, the rest dark.

    A picture one pixel short keeps its pixels; its last column and row are repeated.
    """
    own_height, own_width = image_rgb.shape[:2]
    if (own_width, own_height) == (width, height):
        return image_rgb
    if 0 <= width - own_width <= 1 and 0 <= height - own_height <= 1:
        return np.pad(image_rgb, ((0, height - own_height), (0, width - own_width), (0, 0)), mode="edge")
    scale = min(width / own_width, height / own_height)
    size = max(1, round(own_width * scale)), max(1, round(own_height * scale))
    canvas = Image.new("RGB", (width, height), DARK)
    scaled = Image.fromarray(np.ascontiguousarray(image_rgb)).resize(size, Image.Resampling.BILINEAR)
    canvas.paste(scaled, ((width - size[0]) // 2, (height - size[1]) // 2))
    return np.asarray(canvas)


@contextmanager
def edited(canvas: ImageArray, box: Box) -> Iterator[Image.Image]:
    """The part ``box`` of ``canvas`` as a Pillow picture, written back at the end."""
    left, top, right, bottom = box
    part = canvas[top:bottom, left:right]
    picture = Image.fromarray(np.ascontiguousarray(part)).copy()
    yield picture
    part[:] = np.asarray(picture)


def part_around(points: FloatArray, margin: float, size: tuple[int, int]) -> Box:
    """The part of a picture of ``size`` that holds ``points`` (N, 2) with a margin, at least one pixel."""
    low = np.floor(points.min(axis=0) - margin).astype(int)
    high = np.ceil(points.max(axis=0) + margin).astype(int)
    left, top = (int(np.clip(low[k], 0, size[k] - 1)) for k in (0, 1))
    right, bottom = (int(np.clip(high[k], 1, size[k])) for k in (0, 1))
    return left, top, max(right, left + 1), max(bottom, top + 1)


def moved_inside(box: Box, size: tuple[int, int]) -> Box:
    """``box`` moved into a picture of ``size``; to its upper left where it is larger."""
    left, top, right, bottom = box
    width, height = right - left, bottom - top
    left = max(0, min(left, size[0] - width))
    top = max(0, min(top, size[1] - height))
    return left, top, left + width, top + height


def overlap(one: Box, other: Box) -> bool:
    """Whether two boxes share a pixel."""
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]
