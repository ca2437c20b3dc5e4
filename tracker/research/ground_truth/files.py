"""Reading what data sets are stored in; a damaged or unexpected file is one line for a person."""

import json
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, UnidentifiedImageError

from tracker.cameras import Camera, Pinhole
from tracker.errors import DAMAGED_ZIP, CameraError, UsageError
from tracker.joints import FloatArray
from tracker.structs import Frame, ImageArray


def read_arrays(path: Path, *names: str) -> dict[str, npt.NDArray[Any]]:
    """The named arrays of an ``npz`` file.

    Raises:
        UsageError: it cannot be read or lacks one of them.
    """
    try:
        with np.load(path, allow_pickle=False) as stored:
            missing = [name for name in names if name not in stored.files]
            if missing:
                raise UsageError(f"{path} holds no {', '.join(missing)}; it is not a file of true hands")
            return {name: stored[name] for name in names}
    except (OSError, ValueError, *DAMAGED_ZIP) as error:
        raise UsageError(f"cannot read the true hands of {path}: {error}") from error


def read_entries(path: Path, *keys: str) -> list[dict[str, Any]]:
    """The pictures that a JSON file lists, each an object that has ``keys``; NaN is allowed.

    Raises:
        UsageError: it cannot be read or is something else.
    """
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UsageError(f"cannot read the true hands of {path}: {error}") from error
    if not isinstance(entries, list) or not entries:
        raise UsageError(f"{path} is no list of pictures")
    for number, entry in enumerate(entries):
        missing = [key for key in keys if not isinstance(entry, dict) or key not in entry]
        if missing:
            raise UsageError(f"{path}, picture {number}, has no {', '.join(missing)}")
    return entries


def read_json(path: Path) -> Any:
    """A JSON file's content; NaN is allowed.

    Raises:
        UsageError: it cannot be read or is not JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise UsageError(f"cannot read {path}: {reason}") from error


def numbers(values: Any, where: str) -> FloatArray:
    """Nested lists as an array; null is NaN.

    Raises:
        UsageError: rows of different lengths, or something that is no number.
    """
    try:
        return np.array(values, dtype=np.float64)
    except (TypeError, ValueError, OverflowError) as error:
        raise UsageError(f"{where} is no array of numbers") from error


def joints(values: Any, dimensions: int, where: str) -> FloatArray:
    """(..., 21, dimensions) from nested lists or an array; null is NaN.

    Raises:
        UsageError: another shape, or no numbers.
    """
    array = numbers(values, f"{where}: joints")
    if array.shape[-2:] != (21, dimensions):
        raise UsageError(f"{where}: the joints have shape {array.shape}, want (..., 21, {dimensions})")
    return array


def pinhole(matrix: Any, size_px: Any, where: str) -> Pinhole:
    """An ideal camera from its 3 x 3 matrix and the picture's width and height.

    Raises:
        UsageError: these are no such matrix and size, or an impossible camera.
    """
    try:
        values = np.asarray(matrix, dtype=np.float64).reshape(3, 3)
        width, height = (int(value) for value in size_px)
    except (TypeError, ValueError, OverflowError) as error:
        raise UsageError(f"{where}: K is no 3 x 3 matrix, or the size no width and height") from error
    (fx, _, cx), (_, fy, cy), _ = values.tolist()
    try:
        return Pinhole(width, height, fx, fy, cx, cy)
    except CameraError as error:
        raise UsageError(f"{where}: {error}") from error


def picture_reader(
    paths: list[Path], cameras: tuple[Camera, ...], times_s: list[float] | None = None
) -> Callable[[], Iterator[Frame]]:
    """Reads single pictures one by one, in order; times are seconds apart unless given."""
    times = times_s if times_s is not None else [float(index) for index in range(len(paths))]
    return partial(_read_pictures, paths, cameras, times)


def _read_pictures(paths: list[Path], cameras: tuple[Camera, ...], times_s: list[float]) -> Iterator[Frame]:
    for index, (path, camera, time_s) in enumerate(zip(paths, cameras, times_s, strict=True)):
        yield Frame(index, time_s, read_picture(path, camera), camera)


def read_picture(path: Path, camera: Camera) -> ImageArray:
    """(H, W, 3) RGB; grey pictures get three equal channels.

    Raises:
        UsageError: missing, damaged, or of another size than the camera.
    """
    try:
        with Image.open(path) as picture:
            image = np.array(picture.convert("RGB"))  # writable, as torch asks for
    except (OSError, UnidentifiedImageError) as error:
        raise UsageError(f"cannot read the picture {path}: {error}") from error
    if image.shape[:2] != (camera.height, camera.width):
        raise UsageError(
            f"{path} is {image.shape[1]} x {image.shape[0]}, its camera {camera.width} x {camera.height}"
        )
    return image


def picture_size(path: Path) -> tuple[int, int]:
    """Width and height, without reading the picture.

    Raises:
        UsageError: missing or no picture.
    """
    try:
        with Image.open(path) as picture:
            return picture.size
    except (OSError, UnidentifiedImageError) as error:
        raise UsageError(f"cannot read the picture {path}: {error}") from error
