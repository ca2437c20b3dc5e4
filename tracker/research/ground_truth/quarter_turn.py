"""Landscape and portrait: Project Aria's camera lies on its side, and all that is known turns with it.

Landscape is the sensor's own picture, in which EgoExo4D's annotations and submissions are; in portrait,
turned clockwise by 90 degrees, people stand upright. Of a landscape picture of W x H pixels

    portrait pixel = (H - 1 - y, x),    portrait point = (-y, x, z),

so the camera's focal lengths change places and its principal point turns as a pixel does. Points and pictures
come back from the way there and back bit for bit; pixels and cameras where H - 1 - y is exact, which it is
for whole steps of 2^-40 pixels. Pose backends take upright frames and answer in those frames' camera axes;
whoever has landscape pictures turns them first, and the answers back.
"""

from dataclasses import dataclass, replace

import numpy as np

from tracker.cameras import Camera, Pinhole
from tracker.errors import CameraError
from tracker.joints import FloatArray
from tracker.structs import Frame, ImageArray

_UPRIGHT_FROM_LANDSCAPE = np.array([[0.0, -1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])


@dataclass(frozen=True)
class QuarterTurn:
    """The turn between landscape and portrait pictures of one size."""

    width: int
    """Of the landscape picture."""
    height: int

    @staticmethod
    def of_landscape(camera: Camera) -> "QuarterTurn":
        """The turn that belongs to a landscape camera."""
        return QuarterTurn(camera.width, camera.height)

    @property
    def upright_from_landscape(self) -> FloatArray:
        """(3, 3) rotation of camera axes about the optical axis."""
        return _UPRIGHT_FROM_LANDSCAPE.copy()

    def image_upright(self, landscape: ImageArray) -> ImageArray:
        """(W, H, 3) of a landscape picture (H, W, 3); a new array."""
        return np.ascontiguousarray(np.rot90(landscape, -1))

    def camera_upright(self, landscape: Camera) -> Pinhole:
        """The pinhole that belongs to the upright picture.

        Raises:
            CameraError: the camera is of another size, or no pinhole: a lens's distortion has its own axes.
        """
        self._check(landscape, self.width, self.height)
        x, y = self.pixels_upright(np.array([landscape.cx, landscape.cy])).tolist()
        return Pinhole(self.height, self.width, landscape.fy, landscape.fx, x, y, assumed=landscape.assumed)

    def camera_landscape(self, upright: Camera) -> Pinhole:
        """The pinhole that belongs to the landscape picture; raises as ``camera_upright`` does."""
        self._check(upright, self.height, self.width)
        x, y = self.pixels_landscape(np.array([upright.cx, upright.cy])).tolist()
        return Pinhole(self.width, self.height, upright.fy, upright.fx, x, y, assumed=upright.assumed)

    def frame_upright(self, landscape: Frame) -> Frame:
        """A landscape frame with its pinhole, turned."""
        camera, image = self.camera_upright(landscape.camera), self.image_upright(landscape.image_rgb)
        return replace(landscape, image_rgb=image, camera=camera)

    def pixels_upright(self, landscape_px: FloatArray) -> FloatArray:
        """(..., 2) pixels; NaN stays NaN."""
        return np.stack([self.height - 1 - landscape_px[..., 1], landscape_px[..., 0]], axis=-1)

    def pixels_landscape(self, upright_px: FloatArray) -> FloatArray:
        """(..., 2) pixels; NaN stays NaN."""
        return np.stack([upright_px[..., 1], self.height - 1 - upright_px[..., 0]], axis=-1)

    def boxes_upright(self, landscape_px: FloatArray) -> FloatArray:
        """(..., 4) boxes: left, upper, right and lower edge; NaN stays NaN."""
        upper_right, lower_left = landscape_px[..., [2, 1]], landscape_px[..., [0, 3]]
        return np.concatenate([self.pixels_upright(lower_left), self.pixels_upright(upper_right)], axis=-1)

    def points_upright(self, landscape_m: FloatArray) -> FloatArray:
        """(..., 3) points or directions in the upright camera's axes."""
        x, y, z = np.moveaxis(landscape_m, -1, 0)
        return np.stack([-y, x, z], axis=-1)

    def points_landscape(self, upright_m: FloatArray) -> FloatArray:
        """(..., 3) points or directions in the landscape camera's axes."""
        x, y, z = np.moveaxis(upright_m, -1, 0)
        return np.stack([y, -x, z], axis=-1)

    def _check(self, camera: Camera, width: int, height: int) -> None:
        if (camera.width, camera.height) != (width, height):
            raise CameraError(f"the camera is {camera.width} x {camera.height}, want {width} x {height}")
        if not isinstance(camera, Pinhole):
            raise CameraError(f"a {camera.model} camera cannot be turned, only a pinhole")
