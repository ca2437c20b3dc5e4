"""OpenCV, untyped, as its type stubs change from version to version; the extra ``calibrate`` brings it."""

from typing import Any

from tracker.errors import MissingDependencyError

try:
    import cv2 as _cv2
except ImportError as error:
    raise MissingDependencyError(
        "calibrate-camera needs OpenCV; install this package with the extra `calibrate`"
    ) from error

cv2: Any = _cv2
if not hasattr(cv2.aruco, "CharucoDetector"):
    raise MissingDependencyError(
        f"calibrate-camera needs OpenCV 4.9 or newer, this is {cv2.__version__}; install this package with "
        "the extra `calibrate`"
    )
