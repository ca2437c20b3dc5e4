"""Synthetic hands as networks would see them without error: for the tests of placement and tracks."""

from collections.abc import Iterable

import numpy as np
from tracked_values import open_hand

from tracker.cameras import Camera, Pinhole
from tracker.detect.landmarks import box_around
from tracker.joints import FloatArray, Side
from tracker.rotations import rotation_between
from tracker.structs import Frame, HandDetection, HandEstimate

CAMERA = Pinhole(640, 480, 500.0, 500.0, 319.5, 239.5)
BLACK = np.zeros((480, 640, 3), np.uint8)


def hand_on_ray(
    camera: Camera, x: float, y: float, *, side: Side = Side.RIGHT, distance_m: float = 0.4
) -> FloatArray:
    """Joints (21, 3) of an open hand that faces the camera at a share ``x``, ``y`` of the picture."""
    ray = camera.unproject(np.array([x * (camera.width - 1), y * (camera.height - 1)]))
    hand = open_hand(side, (0.0, 0.0, 0.0))
    hand += np.array([0.0, 0.0, distance_m]) - hand.mean(axis=0)
    return hand @ rotation_between(np.array([0.0, 0.0, 1.0]), ray).T


def estimate_of(joints_m: FloatArray, camera: Camera, side: Side = Side.RIGHT) -> HandEstimate:
    """What a perfect network says of a hand (21, 3) in camera axes."""
    return HandEstimate(side, camera.project(joints_m), joints_m - joints_m[0], np.full(21, 0.9))


def detection_of(
    joints_m: FloatArray,
    *,
    side: Side = Side.RIGHT,
    p_right: float | None = None,
    track_id: int | None = None,
    presence: float = 0.95,
    camera: Camera = CAMERA,
) -> HandDetection:
    """A perfect detection of a hand; the network is sure of its side unless ``p_right`` says otherwise."""
    sure = 0.97 if side is Side.RIGHT else 0.03
    estimate = estimate_of(joints_m, camera, side)
    return HandDetection(
        box=box_around(estimate.joints_px),
        p_right=sure if p_right is None else p_right,
        presence=presence,
        estimate=estimate,
        expected_track_id=track_id,
    )


def frame_at(time_s: float, index: int = 0, camera: Camera = CAMERA) -> Frame:
    """A black picture at a time."""
    image = BLACK if camera is CAMERA else np.zeros((camera.height, camera.width, 3), np.uint8)
    return Frame(index, time_s, image, camera)


def times_s(count: int, rate_hz: float = 30.0, start_s: float = 0.0) -> Iterable[float]:
    """Capture times of a steady camera."""
    return (start_s + index / rate_hz for index in range(count))
