"""Tracked frames for the tests of sinks: hands that look like hands, and how to compare them."""

import math

import numpy as np

from tracker.cameras import BrownConrady, Camera, Pinhole, pinhole_from_fov
from tracker.joints import FloatArray, Side, camera_from_wrist
from tracker.rotations import rotation_from_vector
from tracker.structs import (
    Frame,
    HandPose,
    ManoParameters,
    StreamInfo,
    TrackedFrame,
    TrackedHand,
)

CAMERA = Pinhole(640, 480, 500.0, 500.0, 319.5, 239.5)
LENS = BrownConrady(640, 480, 512.25, 511.75, 318.5, 241.0, (-0.21, 0.07, 0.001, -0.0005))


def open_hand(side: Side, wrist_m: tuple[float, float, float]) -> FloatArray:
    """Joints (21, 3): a flat hand seen from its back, fingers up, the thumb toward the middle."""
    inward = 1.0 if side is Side.LEFT else -1.0
    joints = [(0.0, 0.0, 0.0)]
    for finger, (angle_rad, start_m, bones_m) in enumerate(
        [
            (0.90, 0.030, (0.040, 0.032, 0.027)),
            (0.25, 0.088, (0.040, 0.024, 0.021)),
            (0.03, 0.088, (0.044, 0.028, 0.022)),
            (-0.18, 0.082, (0.040, 0.026, 0.022)),
            (-0.42, 0.076, (0.031, 0.019, 0.020)),
        ]
    ):
        for length_m in start_m + np.cumsum((0.0, *bones_m)):
            sideways, up = math.sin(angle_rad) * length_m, math.cos(angle_rad) * length_m
            joints.append((inward * sideways, -up, 0.004 * finger - 0.1 * length_m))
    return np.array(joints) + wrist_m


def some_mano(mirrored: bool = False) -> ManoParameters:
    vectors = np.linspace(-0.7, 0.9, 48).reshape(16, 3)
    rotations = rotation_from_vector(vectors)
    return ManoParameters(
        rotations[0], rotations[1:], np.linspace(-1, 1, 10), np.array([0.01, -0.02, 0.4]), mirrored
    )


def some_hand(
    side: Side = Side.LEFT,
    *,
    track_id: int = 3,
    camera: Camera = CAMERA,
    wrist_m: tuple[float, float, float] | None = None,
    unseen_s: float = 0.0,
    unknown_joints: tuple[int, ...] = (),
    mano: ManoParameters | None = None,
) -> TrackedHand:
    joints = open_hand(side, wrist_m or (-0.09 if side is Side.LEFT else 0.09, 0.08, 0.42))
    joints_px = camera.project(joints)
    rotation = camera_from_wrist(joints, side)
    joints[list(unknown_joints)] = np.nan
    joints_px[list(unknown_joints)] = np.nan
    pose = HandPose(
        side=side,
        joints_in_camera_m=joints,
        camera_from_wrist=rotation,
        covariance_m2=np.diag([2e-6, 2e-6, 1.5e-4]),
        reprojection_error_px=1.234,
        observed_px=joints_px + 0.7,
        joint_scores=np.linspace(0.5, 1.0, 21),
        mano=mano,
    )
    velocity = np.linspace(-0.3, 0.5, 63).reshape(21, 3)
    return TrackedHand(track_id, 0.98, unseen_s, pose, joints_px, velocity)


def some_frame(*hands: TrackedHand, index: int = 0, time_s: float | None = None) -> TrackedFrame:
    time_s = index / 30 if time_s is None else time_s
    stages_s = {"detect": 0.0041, "pose": 0.003, "placement": 0.0001}
    return TrackedFrame(index, time_s, time_s, hands, stages_s, dropped_frames=2)


def two_hands(index: int = 0, *, camera: Camera = CAMERA) -> TrackedFrame:
    left = some_hand(Side.LEFT, camera=camera)
    return some_frame(left, some_hand(Side.RIGHT, track_id=4, camera=camera), index=index)


def some_info(camera: Camera = CAMERA, source: str = "clip.mp4") -> StreamInfo:
    return StreamInfo(source, "landmarks", camera)


def picture(index: int = 0, *, width: int = 640, height: int = 480, time_s: float | None = None) -> Frame:
    """A grey picture whose brightness tells its index."""
    image = np.full((height, width, 3), 40 + 5 * (index % 40), np.uint8)
    camera = pinhole_from_fov(width, height, 65.0)
    return Frame(index, index / 30 if time_s is None else time_s, image, camera)


def assert_same_frame(found: TrackedFrame, expected: TrackedFrame) -> None:
    """Equal up to the rounding of wire format version 1."""
    assert found.frame_index == expected.frame_index
    assert found.dropped_frames == expected.dropped_frames
    np.testing.assert_allclose(found.capture_time_s, expected.capture_time_s, rtol=0, atol=5.1e-7)
    np.testing.assert_allclose(found.valid_at_s, expected.valid_at_s, rtol=0, atol=5.1e-7)
    assert list(found.stage_durations_s) == list(expected.stage_durations_s)
    for name, value in expected.stage_durations_s.items():
        np.testing.assert_allclose(found.stage_durations_s[name], value, rtol=0, atol=5.1e-7)
    assert len(found.hands) == len(expected.hands)
    for hand, other in zip(found.hands, expected.hands, strict=True):
        assert_same_hand(hand, other)


def assert_same_hand(found: TrackedHand, expected: TrackedHand) -> None:
    def close(a: object, b: object, atol: float) -> None:
        np.testing.assert_allclose(np.asarray(a), np.asarray(b), rtol=1e-12, atol=atol)

    assert (found.track_id, found.pose.side) == (expected.track_id, expected.pose.side)
    close(found.score, expected.score, 5.1e-5)
    close(found.side_score, expected.side_score, 5.1e-5)
    close(found.unseen_s, expected.unseen_s, 5.1e-7)
    close(found.joints_px, expected.joints_px, 5.1e-3)
    close(found.velocity_m_per_s, expected.velocity_m_per_s, 5.1e-6)
    close(found.pose.joints_in_camera_m, expected.pose.joints_in_camera_m, 5.1e-7)
    close(found.pose.camera_from_wrist, expected.pose.camera_from_wrist, 5e-6)
    close(found.pose.covariance_m2, expected.pose.covariance_m2, 5.1e-13)
    close(found.pose.reprojection_error_px, expected.pose.reprojection_error_px, 5.1e-3)
    close(found.pose.observed_px, expected.pose.observed_px, 5.1e-3)
    close(found.pose.joint_scores, expected.pose.joint_scores, 5.1e-5)
    assert (found.pose.mano is None) == (expected.pose.mano is None)
    if found.pose.mano is not None and expected.pose.mano is not None:
        assert found.pose.mano.mirrored == expected.pose.mano.mirrored
        for name in ("global_orient", "hand_pose", "betas", "translation_m"):
            close(getattr(found.pose.mano, name), getattr(expected.pose.mano, name), 5.1e-7)
