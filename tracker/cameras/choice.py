"""A camera before its picture size is known: a calibration, a field of view, or a guess."""

import math
from dataclasses import dataclass

from tracker.cameras.base import Camera
from tracker.cameras.perspective import Pinhole
from tracker.errors import CameraError

ASSUMED_FOV_DEG = 65.0
"""What a camera of unknown intrinsics is taken to see across its longer side: about the middle of laptop
webcams and phones."""
FOV_RANGE_DEG = (10.0, 170.0)


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
    return _centred_pinhole(width, height, width, horizontal_fov_deg, assumed)


def _centred_pinhole(width: int, height: int, seen_px: int, fov_deg: float, assumed: bool) -> Pinhole:
    """A pinhole with square pixels and a centred axis that sees ``fov_deg`` across ``seen_px``."""
    focal = 0.5 * seen_px / math.tan(math.radians(fov_deg) / 2)
    return Pinhole(width, height, focal, focal, (width - 1) / 2, (height - 1) / 2, assumed=assumed)


@dataclass(frozen=True)
class CameraChoice:
    """What is known of a source's camera before its picture size is: a calibration, an angle, or nothing.

    Raises:
        CameraError: both are given, or the angle is outside ``FOV_RANGE_DEG``.
    """

    calibration: Camera | None = None
    horizontal_fov_deg: float | None = None
    turns: bool = False
    """The camera may be turned on its side: the angle is across the longer side of the picture, however it is
    held, and not across its width."""

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
        longer = max(width, height)
        if self.horizontal_fov_deg is None:
            return _centred_pinhole(width, height, longer, ASSUMED_FOV_DEG, assumed=True)
        seen_px = longer if self.turns else width
        return _centred_pinhole(width, height, seen_px, self.horizontal_fov_deg, assumed=False)
