"""The pictures a calibration is made from: a folder's, or a source's frames thinned out."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from tracker.calibrate_camera.opencv import cv2
from tracker.errors import SourceError
from tracker.structs import Frame, ImageArray

PICTURE_ENDINGS = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp", ".pgm", ".ppm")
LOOK_EVERY_S = 0.15
"""Neighbouring frames of a video show the same."""


@dataclass(frozen=True, eq=False)
class Picture:
    """One picture to look for a board in."""

    name: str
    grey: ImageArray
    """(H, W)"""


def folder_pictures(folder: Path, say: Callable[[str], None]) -> Iterator[Picture]:
    """The pictures in ``folder`` by name, upright; those that cannot be read are said and left out.

    Raises:
        SourceError: the folder cannot be read, or no file in it is named as a picture.
    """
    try:
        paths = sorted(path for path in folder.iterdir() if path.suffix.lower() in PICTURE_ENDINGS)
    except OSError as error:
        raise SourceError(f"cannot read the folder {folder}: {error.strerror}") from error
    if not paths:
        raise SourceError(f"{folder} holds no pictures ({', '.join(PICTURE_ENDINGS)})")
    for path in paths:
        try:
            with Image.open(path) as image:
                grey = np.asarray(ImageOps.exif_transpose(image).convert("L"))
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
            say(f"left out {path.name}: {type(error).__name__} ({str(error)[:80]})")
            continue
        yield Picture(path.name, grey)


def frame_pictures(frames: Iterable[Frame], *, live: bool) -> Iterator[Picture]:
    """The frames of a source: of a live one all that are asked for, of a file those well apart in time."""
    last_s = -np.inf
    for frame in frames:
        if not live and frame.capture_time_s - last_s < LOOK_EVERY_S:
            continue
        last_s = frame.capture_time_s
        yield Picture(f"frame {frame.index}", grey_of(frame.image_rgb))


def grey_of(image_rgb: ImageArray) -> ImageArray:
    """(H, W) brightness."""
    return np.asarray(cv2.cvtColor(image_rgb, cv2.COLOR_RGB2GRAY), dtype=np.uint8)
