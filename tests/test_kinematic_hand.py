"""The kinematic hand: bones keep their lengths, slopes are right, and angles come back from joints."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tracker.hand_shape import PALM_JOINTS, HandShape, mirror_sign
from tracker.joints import FINGERS, FloatArray, Side, bone_lengths, camera_from_wrist
from tracker.kinematic_hand import (
    ANGLE_LOWER_RAD,
    ANGLE_UPPER_RAD,
    NUM_PARAMETERS,
    KinematicPose,
    joints,
    joints_and_jacobian,
    pose_from_joints,
    poses_from_joints,
    step,
)
from tracker.rotations import rotation_from_vector

MEAN = HandShape.mean()
seeds = st.integers(0, 2**32 - 1)


def any_shape(rng: np.random.Generator) -> HandShape:
    """A hand of odd proportions that keeps the wrist axes: knuckles level, the middle one ahead."""
    palm_m = MEAN.palm_m * rng.uniform(0.8, 1.2, (6, 3))
    palm_m[3] *= (0.0, 0.0, 1.0)
    palm_m[5, 1] = palm_m[2, 1]
    return HandShape(palm_m, MEAN.finger_bones_m * rng.uniform(0.7, 1.3, (5, 3)))


def any_pose(rng: np.random.Generator) -> KinematicPose:
    angles_rad = rng.uniform(ANGLE_LOWER_RAD, ANGLE_UPPER_RAD)
    rotation = rotation_from_vector(rng.normal(0.0, 1.5, 3))
    return KinematicPose(rng.normal(0.0, 0.3, 3), rotation, angles_rad)


@settings(max_examples=30, deadline=None)
@given(seed=seeds, side=st.sampled_from(Side))
def test_bones_keep_their_lengths_at_any_angles(seed: int, side: Side) -> None:
    rng = np.random.default_rng(seed)
    shape = any_shape(rng)
    posed = joints(shape, any_pose(rng), side)
    lengths = bone_lengths(posed).reshape(5, 4)
    np.testing.assert_allclose(lengths[:, 1:], shape.finger_bones_m, rtol=1e-12)
    np.testing.assert_allclose(lengths[:, 0], np.linalg.norm(shape.palm_m[1:], axis=1), rtol=1e-12)


@settings(max_examples=30, deadline=None)
@given(seed=seeds, side=st.sampled_from(Side))
def test_shape_and_pose_come_back_from_joints(seed: int, side: Side) -> None:
    rng = np.random.default_rng(seed)
    shape, pose = any_shape(rng), any_pose(rng)
    posed = joints(shape, pose, side)
    measured = HandShape.from_joints(posed, side)
    np.testing.assert_allclose(measured.palm_m, shape.palm_m, atol=1e-12)
    np.testing.assert_allclose(measured.finger_bones_m, shape.finger_bones_m, atol=1e-12)
    found = pose_from_joints(posed, shape, side)
    np.testing.assert_allclose(found.wrist_in_camera_m, pose.wrist_in_camera_m, atol=1e-12)
    np.testing.assert_allclose(found.camera_from_wrist, pose.camera_from_wrist, atol=1e-9)
    np.testing.assert_allclose(found.angles_rad, pose.angles_rad, atol=1e-9)
    np.testing.assert_allclose(camera_from_wrist(posed, side), pose.camera_from_wrist, atol=1e-9)


@settings(max_examples=30, deadline=None)
@given(seed=seeds)
def test_a_left_hand_is_the_mirror_image_of_the_right(seed: int) -> None:
    rng = np.random.default_rng(seed)
    shape, pose = any_shape(rng), any_pose(rng)
    flip = np.diag([-1.0, 1.0, 1.0])
    mirrored = KinematicPose(
        flip @ pose.wrist_in_camera_m, flip @ pose.camera_from_wrist @ flip, pose.angles_rad
    )
    left, right = joints(shape, mirrored, Side.LEFT), joints(shape, pose, Side.RIGHT)
    np.testing.assert_allclose(left, right @ flip, atol=1e-12)


def test_the_jacobian_agrees_with_finite_differences() -> None:
    rng = np.random.default_rng(3)
    shapes, poses = [any_shape(rng) for _ in range(3)], [any_pose(rng) for _ in range(3)]
    palm_m = np.stack([shape.palm_m for shape in shapes])
    bones_m = np.stack([shape.finger_bones_m for shape in shapes])
    signs = np.array([mirror_sign(side) for side in (Side.RIGHT, Side.LEFT, Side.LEFT)])
    state = (
        np.stack([pose.wrist_in_camera_m for pose in poses]),
        np.stack([pose.camera_from_wrist for pose in poses]),
        np.stack([pose.angles_rad for pose in poses]),
    )

    def moved(change: FloatArray) -> FloatArray:
        return joints_and_jacobian(palm_m, bones_m, *step(*state, change), signs)[0].reshape(3, -1)

    _, jacobian = joints_and_jacobian(palm_m, bones_m, *state, signs)
    assert jacobian.shape == (3, 63, NUM_PARAMETERS)
    for column in range(NUM_PARAMETERS):
        change = np.zeros((3, NUM_PARAMETERS))
        change[:, column] = 1e-5
        slope = (moved(change) - moved(-change)) / 2e-5
        np.testing.assert_allclose(jacobian[:, :, column], slope, atol=1e-8)


def test_batches_agree_with_single_hands() -> None:
    rng = np.random.default_rng(5)
    shapes, poses = [any_shape(rng) for _ in range(3)], [any_pose(rng) for _ in range(3)]
    sides = [Side.LEFT, Side.RIGHT, Side.LEFT]
    posed = np.stack([joints(*one) for one in zip(shapes, poses, sides, strict=True)])
    found = poses_from_joints(posed, np.stack([shape.palm_m for shape in shapes]), sides)
    batched, _ = joints_and_jacobian(
        np.stack([shape.palm_m for shape in shapes]),
        np.stack([shape.finger_bones_m for shape in shapes]),
        *found,
        np.array([mirror_sign(side) for side in sides]),
    )
    np.testing.assert_allclose(batched, posed, atol=1e-9)


@pytest.mark.parametrize("finger", list(FINGERS)[1:])
def test_a_bent_finger_stays_in_its_plane_and_curls_toward_the_palm(finger: str) -> None:
    angles_rad = np.zeros((5, 4))
    row = list(FINGERS).index(finger)
    angles_rad[row] = (0.4, 0.1, 0.8, 0.5)
    at = np.array(FINGERS[finger])
    upright = KinematicPose(np.zeros(3), np.eye(3), angles_rad)
    bent = joints(MEAN, upright, Side.RIGHT)[at]
    first, second, third = np.diff(bent, axis=0)
    normal = np.cross(first, second)
    assert abs(normal @ third) < 1e-12
    assert bent[3, 1] < bent[2, 1] < bent[1, 1] < bent[0, 1]  # -y is out of the palm


def test_spread_and_bend_that_no_finger_has_are_left_out() -> None:
    posed = joints(MEAN, KinematicPose(np.zeros(3), np.eye(3), np.zeros((5, 4))), Side.RIGHT)
    posed[7:9] += (0.01, 0.0, 0.0)  # the index finger breaks sideways at its middle joint
    found = joints(MEAN, pose_from_joints(posed, MEAN, Side.RIGHT), Side.RIGHT)
    first, second, third = np.diff(found[5:9], axis=0)
    assert abs(np.cross(first, second) @ third) < 1e-12
    np.testing.assert_allclose(found[6], posed[6], atol=1e-3)


@pytest.mark.parametrize("width_m", [0.05, 0.064, 0.08])
def test_a_shape_from_a_palm_width_has_it(width_m: float) -> None:
    shape = HandShape.from_palm_width(width_m)
    assert shape.palm_width_m == pytest.approx(width_m)
    wider = width_m / MEAN.palm_width_m
    longer = shape.finger_bones_m / MEAN.finger_bones_m
    assert min(1.0, wider) - 1e-3 <= longer.min() <= longer.max() <= max(1.0, wider) + 1e-3
    assert shape.size_sd < MEAN.size_sd
    upright = KinematicPose(np.zeros(3), np.eye(3), np.zeros((5, 4)))
    np.testing.assert_allclose(
        camera_from_wrist(joints(shape, upright, Side.RIGHT), Side.RIGHT), np.eye(3), atol=1e-12
    )


def test_arrays_of_another_shape_are_refused() -> None:
    with pytest.raises(ValueError, match=r"palm_m has shape \(5, 3\), want \(6, 3\)"):
        HandShape(np.zeros((5, 3)), np.zeros((5, 3)))
    with pytest.raises(ValueError, match="angles_rad"):
        KinematicPose(np.zeros(3), np.eye(3), np.zeros((4, 5)))


def test_the_mean_hand_is_measured_in_its_own_axes() -> None:
    posed = joints(MEAN, KinematicPose(np.zeros(3), np.eye(3), np.zeros((5, 4))), Side.RIGHT)
    np.testing.assert_allclose(camera_from_wrist(posed, Side.RIGHT), np.eye(3), atol=1e-12)
    np.testing.assert_allclose(posed[list(PALM_JOINTS)], MEAN.palm_m)
