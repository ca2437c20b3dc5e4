"""Camera models: from points in the camera frame to pixels and back; ``base.py`` says how.

A model is a class in ``perspective.py`` or ``fisheyes.py`` and an entry in ``CAMERA_MODELS``.
"""

from tracker.cameras.base import Camera
from tracker.cameras.choice import ASSUMED_FOV_DEG, CameraChoice, pinhole_from_fov
from tracker.cameras.files import (
    CAMERA_MODELS,
    camera_from_json,
    check_plausible,
    load_camera,
    read_calibration,
)
from tracker.cameras.fisheyes import Fisheye62, Fisheye624, KannalaBrandt
from tracker.cameras.perspective import BrownConrady, Pinhole

__all__ = [
    "ASSUMED_FOV_DEG",
    "CAMERA_MODELS",
    "BrownConrady",
    "Camera",
    "CameraChoice",
    "Fisheye62",
    "Fisheye624",
    "KannalaBrandt",
    "Pinhole",
    "camera_from_json",
    "check_plausible",
    "load_camera",
    "pinhole_from_fov",
    "read_calibration",
]
