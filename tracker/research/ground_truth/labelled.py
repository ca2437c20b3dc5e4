"""Pictures with known answers: what every reader of a data set gives, and what the metrics take.

Axis 1 of the arrays of answers is the side, in the order of `SIDES`: left, right. NaN means not annotated.
Camera axes: +x right, +y down, +z forward.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt

from tracker.cameras import Camera
from tracker.errors import UsageError
from tracker.joints import NUM_JOINTS, FloatArray, Side
from tracker.structs import Frame

BoolArray = npt.NDArray[np.bool_]
SIDES = (Side.LEFT, Side.RIGHT)
"""The order of the axis of sides in arrays of answers and of matched hands."""
IN_FRONT_M = 1e-6
"""Points nearer to the camera's plane than this, or behind it, have no image."""


@dataclass(frozen=True, eq=False)
class LabelledFrame:
    """One picture and the hands that are truly in it."""

    frame: Frame
    joints_in_camera_m: FloatArray
    """(2, 21, 3), left hand first; NaN where not annotated in space."""
    joints_px: FloatArray
    """(2, 21, 2); NaN where not annotated in the picture."""
    source: str
    """The data set the answer comes from."""

    @property
    def valid_3d(self) -> BoolArray:
        """(2, 21) joints whose place in space is known."""
        return np.asarray(np.isfinite(self.joints_in_camera_m).all(axis=-1))

    @property
    def valid_2d(self) -> BoolArray:
        """(2, 21) joints whose place in the picture is known."""
        return np.asarray(np.isfinite(self.joints_px).all(axis=-1))


@dataclass(frozen=True, eq=False)
class LabelledClip:
    """A video, or a set of unrelated pictures, with its answers in arrays; pictures are read when asked for.

    Raises:
        UsageError: the arrays' shapes do not fit each other, or the frame rate is none.
    """

    name: str
    source: str
    """The data set."""
    joints_in_camera_m: FloatArray
    """(T, 2, 21, 3)"""
    joints_px: FloatArray
    """(T, 2, 21, 2)"""
    cameras: tuple[Camera, ...]
    """One a frame."""
    read_frames: Callable[[], Iterator[Frame]]
    """Gives the T frames in order, each time it is called; fewer where the file is cut short."""
    frame_rate_hz: float | None
    """None for pictures that have nothing to do with each other: each is tracked alone."""
    complete: bool = True
    """Every hand in the pictures is annotated, so that any other hand found is a false one."""
    complete_by_side: bool = True
    """Where not ``complete``: a side that is annotated anywhere is so wherever it is in the picture."""
    sizes_are_true: bool = False
    """The answers are exact enough in metres that a hand's size can be taken from them."""
    first_person: bool = True
    """Seen by whoever the hands belong to."""
    lateness_frames: float | None = 0.0
    """By how many frames the answers, as stored here, trail the pictures; None if that is not known."""
    hidden: BoolArray | None = None
    """(T, 2, 21) joints that nobody saw and whose marks are guesses; None where that is not told."""
    to_measure_by: bool = False
    """Published to be measured by, so that nothing is to be learnt from it."""
    pictures: tuple[Path, ...] = ()
    """The files of the T pictures, upright, where each has its own, so that they can be read in any order."""

    def __post_init__(self) -> None:
        frames = len(self.cameras)
        if self.joints_in_camera_m.shape != (frames, 2, NUM_JOINTS, 3):
            raise UsageError(
                f"{self.name}: joints in space are {self.joints_in_camera_m.shape}, want ({frames}, 2, 21, 3)"
            )
        if self.joints_px.shape != (frames, 2, NUM_JOINTS, 2):
            raise UsageError(
                f"{self.name}: joints in the picture are {self.joints_px.shape}, want ({frames}, 2, 21, 2)"
            )
        if self.frame_rate_hz is not None and not 0 < self.frame_rate_hz < math.inf:
            raise UsageError(f"{self.name} has {self.frame_rate_hz} frames a second")

    def __len__(self) -> int:
        return len(self.cameras)

    @cached_property
    def size_px(self) -> FloatArray:
        """(T, 2) width and height of each picture."""
        return np.array([(camera.width, camera.height) for camera in self.cameras], dtype=np.float64)

    def labelled_frames(self) -> Iterator[LabelledFrame]:
        """Pictures with their answers, in order."""
        for index, frame in enumerate(self.read_frames()):
            if index >= len(self):  # a video with pictures after its last answer
                return
            yield LabelledFrame(frame, self.joints_in_camera_m[index], self.joints_px[index], self.source)

    def aligned(self, lateness_frames: float) -> "LabelledClip":
        """The answers for when the pictures were taken: frame t gets what is stored at t + lateness."""
        if lateness_frames == 0:
            return replace(self, lateness_frames=0.0)
        return replace(
            self,
            joints_in_camera_m=sampled_later(self.joints_in_camera_m, lateness_frames),
            joints_px=sampled_later(self.joints_px, lateness_frames),
            lateness_frames=0.0,
        )


def sampled_later(values: FloatArray, frames: float) -> FloatArray:
    """``values[t + frames]`` along the first axis by linear interpolation; NaN outside."""
    at = np.arange(len(values)) + frames
    before = np.floor(at).astype(int)
    weight = at - before
    weight[weight <= 1e-9] = 0.0
    inside = (before >= 0) & (before + (weight > 0) < len(values))
    earlier = values[np.clip(before, 0, len(values) - 1)]
    later = values[np.clip(before + 1, 0, len(values) - 1)]
    weight = weight.reshape(-1, *[1] * (values.ndim - 1))
    sampled = np.where(weight > 0, (1 - weight) * earlier + weight * later, earlier)
    sampled[~inside] = np.nan
    return np.asarray(sampled, dtype=np.float64)


def projected(joints_in_camera_m: FloatArray, cameras: tuple[Camera, ...]) -> FloatArray:
    """Pixels (T, ..., 2) of points (T, ..., 3), frame t seen by camera t; NaN where a point has no image."""
    pixels = np.full((*joints_in_camera_m.shape[:-1], 2), np.nan)
    for camera in set(cameras):
        seen = [index for index, other in enumerate(cameras) if other == camera]
        pixels[seen] = camera.project(joints_in_camera_m[seen])
    return with_image_only(pixels, joints_in_camera_m)


def with_image_only(joints_px: FloatArray, joints_in_camera_m: FloatArray) -> FloatArray:
    """``joints_px`` without the joints that are known to lie behind the camera."""
    behind = joints_in_camera_m[..., 2] <= IN_FRONT_M
    return np.where(behind[..., None], np.nan, joints_px)
