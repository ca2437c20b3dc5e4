"""Axes by name: camera coordinates as OpenCV, OpenGL, OpenXR or Unity have them.

Inside this package everything is in OpenCV's camera axes: +x right, +y down, +z forward. The others differ by
signs alone, so each map is its own inverse:

======  ==========================  ===========  =========================================
name    axes                        handed       wrist's own axes
======  ==========================  ===========  =========================================
opencv  +x right +y down +z ahead   right        OpenXR's: -z to the fingers, +y out of the back
opengl  +x right +y up   -z ahead   right        OpenXR's
openxr  +x right +y up   -z ahead   right        OpenXR's
unity   +x right +y up   +z ahead   left         +z to the fingers, +y out of the back
======  ==========================  ===========  =========================================

A map to left-handed axes turns a rotation into a reflection unless the wrist's own axes become left-handed
too. Unity's do, by their z, as in its own conversion from OpenXR. So every rotation stays a rotation, and a
hand held palm down, fingers ahead, has the identity in `opengl`, `openxr` and `unity`.
"""

from dataclasses import dataclass

import numpy as np

from tracker.joints import FloatArray


@dataclass(frozen=True)
class Axes:
    """One choice of axes, as signs on OpenCV's camera axes and on OpenXR's wrist axes."""

    name: str
    signs: tuple[float, float, float]
    wrist_signs: tuple[float, float, float] = (1.0, 1.0, 1.0)

    def vectors(self, vectors: FloatArray) -> FloatArray:
        """Points or velocities (..., 3) into these axes, or back."""
        _check_last(vectors, 3)
        turned: FloatArray = vectors * np.array(self.signs)
        return turned

    def camera_from_wrist(self, rotation: FloatArray) -> FloatArray:
        """Rotations (..., 3, 3) of the wrist's axes into these axes, or back."""
        _check_last(rotation, 3, 3)
        turned: FloatArray = np.array(self.signs)[:, None] * rotation * np.array(self.wrist_signs)
        return turned

    def covariance(self, covariance: FloatArray) -> FloatArray:
        """Covariances (..., 3, 3) of a position into these axes, or back."""
        _check_last(covariance, 3, 3)
        turned: FloatArray = np.array(self.signs)[:, None] * covariance * np.array(self.signs)
        return turned


def _check_last(array: FloatArray, *shape: int) -> None:
    """Numpy would stretch an array of a wrong shape to fit the signs."""
    if array.shape[-len(shape) :] != shape:
        raise ValueError(f"an array of shape {array.shape}, want its last axes to be {shape}")


OPENCV = Axes("opencv", (1.0, 1.0, 1.0))
AXES: dict[str, Axes] = {
    axes.name: axes
    for axes in (
        OPENCV,
        Axes("opengl", (1.0, -1.0, -1.0)),
        Axes("unity", (1.0, -1.0, 1.0), (1.0, 1.0, -1.0)),
        Axes("openxr", (1.0, -1.0, -1.0)),
    )
}
