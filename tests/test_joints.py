"""The skeleton: its order, its bones, and wrist axes that mean the same for both hands."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from tracked_values import open_hand

from tracker.joints import BONES, FINGERS, JOINT_NAMES, FloatArray, Side, bone_lengths, camera_from_wrist
from tracker.rotations import rotation_from_vector

MIRROR = np.diag([-1.0, 1.0, 1.0])
sides = st.sampled_from(Side)
turns = arrays(np.float64, (3,), elements=st.floats(-3.0, 3.0)).map(rotation_from_vector)


def palm_down_fingers_ahead(side: Side) -> FloatArray:
    """Joints (21, 3) in OpenXR's own axes: +x right, +y up, -z ahead; the thumb toward the middle."""
    outward = 1.0 if side is Side.RIGHT else -1.0
    joints = np.zeros((21, 3))
    for finger, x in zip(FINGERS.values(), (-0.04, -0.02, 0.0, 0.02, 0.04), strict=True):
        for knuckle, joint in enumerate(finger):
            joints[joint] = [outward * x, 0.0, -0.08 - 0.02 * knuckle]
    return joints


def test_the_21_joints_are_the_wrist_and_five_fingers_in_order() -> None:
    assert JOINT_NAMES[0] == "wrist" and len(JOINT_NAMES) == len(set(JOINT_NAMES)) == 21
    for finger, joints in FINGERS.items():
        assert all(JOINT_NAMES[joint].startswith(finger) for joint in joints)
        assert JOINT_NAMES[joints[-1]].endswith("tip")


def test_every_joint_but_the_wrist_hangs_on_one_bone() -> None:
    assert sorted(child for _, child in BONES) == list(range(1, 21))
    assert all(parent < child for parent, child in BONES)


def test_bone_lengths_are_distances_between_their_ends() -> None:
    hands = np.stack([open_hand(side, (0.1, 0.0, 0.4)) for side in Side])
    lengths = bone_lengths(hands)
    assert lengths.shape == (2, 20)
    for index, (parent, child) in enumerate(BONES):
        assert lengths[0, index] == pytest.approx(np.linalg.norm(hands[0, child] - hands[0, parent]))
    np.testing.assert_allclose(lengths[0], lengths[1])


@pytest.mark.parametrize("side", Side)
def test_palm_down_and_fingers_ahead_the_wrist_axes_are_the_bodys(side: Side) -> None:
    """OpenXR: -z toward the fingers, +y out of the back of the hand, +x to the right, for both hands."""
    np.testing.assert_allclose(camera_from_wrist(palm_down_fingers_ahead(side), side), np.eye(3), atol=1e-12)


@given(sides, turns, arrays(np.float64, (3,), elements=st.floats(-1.0, 1.0)))
def test_wrist_axes_turn_with_the_hand_and_do_not_move_with_it(
    side: Side, turn: FloatArray, shift_m: FloatArray
) -> None:
    hand = open_hand(side, (0.0, 0.0, 0.4))
    still, moved = camera_from_wrist(hand, side), camera_from_wrist(hand @ turn.T + shift_m, side)
    np.testing.assert_allclose(moved, turn @ still, atol=1e-9)


@given(sides, arrays(np.float64, (21, 3), elements=st.floats(-0.2, 0.2)))
def test_wrist_axes_are_a_rotation_whatever_the_joints(side: Side, joints_m: FloatArray) -> None:
    axes = camera_from_wrist(joints_m, side)
    np.testing.assert_allclose(axes @ axes.T, np.eye(3), atol=1e-9)
    assert np.linalg.det(axes) == pytest.approx(1.0)


@given(turns)
def test_a_mirrored_hand_has_mirrored_axes(turn: FloatArray) -> None:
    right = open_hand(Side.RIGHT, (0.0, 0.0, 0.4)) @ turn.T
    expected = MIRROR @ camera_from_wrist(right, Side.RIGHT) @ MIRROR
    np.testing.assert_allclose(camera_from_wrist(right @ MIRROR, Side.LEFT), expected, atol=1e-12)


def test_joints_on_one_line_give_the_identity() -> None:
    line = np.linspace(0.0, 1.0, 21)[:, None] * [0.1, 0.2, 0.3]
    np.testing.assert_array_equal(camera_from_wrist(line, Side.LEFT), np.eye(3))


def test_the_other_side_of_the_other_side_is_the_side() -> None:
    assert Side.LEFT.other is Side.RIGHT and Side.RIGHT.other is Side.LEFT
