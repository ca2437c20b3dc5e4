"""Hand Tracking Streamer's text: what is written comes back in Unity's axes; lost hands are not sent."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from tracked_values import open_hand, some_frame, some_hand, some_info, two_hands

from tracker.joints import FloatArray, Side, camera_from_wrist
from tracker.rotations import rotation_from_quaternion, rotation_from_vector
from tracker.sinks.hts import (
    HandTrackingStreamer,
    StreamedHand,
    decode_hands,
    encode_frame,
    encode_hand,
    streamed_hands,
)
from tracker.structs import TrackedHand

UNITY = np.diag([1.0, -1.0, 1.0])
hands = st.builds(
    StreamedHand,
    side=st.sampled_from(Side),
    frame_index=st.integers(0, 2**40),
    time_ns=st.integers(-(2**62), 2**62),
    joints_in_camera_m=arrays(np.float64, (21, 3), elements=st.floats(-2, 2)),
    camera_from_wrist=arrays(np.float64, 3, elements=st.floats(-3, 3)).map(rotation_from_vector),
)


def numbers(line: str) -> FloatArray:
    return np.array([float(value) for value in line.partition(":")[2].split(",") if value.strip()])


@given(hand=hands)
def test_decoding_gives_back_the_encoded_hand(hand: StreamedHand) -> None:
    (found,) = decode_hands(encode_hand(hand))
    assert (found.side, found.frame_index, found.time_ns) == (hand.side, hand.frame_index, hand.time_ns)
    np.testing.assert_allclose(found.joints_in_camera_m, hand.joints_in_camera_m, rtol=0, atol=2e-5)
    np.testing.assert_allclose(found.camera_from_wrist, hand.camera_from_wrist, rtol=0, atol=5e-6)


@given(hand=hands)
def test_a_client_that_places_landmarks_by_the_wrist_gets_the_joints_in_unitys_axes(
    hand: StreamedHand,
) -> None:
    wrist_line, landmarks_line = encode_hand(hand).decode().splitlines()
    x, y, z, qx, qy, qz, qw = numbers(wrist_line)
    local = numbers(landmarks_line).reshape(21, 3)
    np.testing.assert_allclose(np.linalg.norm([qx, qy, qz, qw]), 1.0, atol=3e-6)
    placed = local @ rotation_from_quaternion(np.array([qw, qx, qy, qz])).T + (x, y, z)
    np.testing.assert_allclose(placed, hand.joints_in_camera_m @ UNITY, rtol=0, atol=2e-5)
    assert local[0].tolist() == [0.0, 0.0, 0.0]


@pytest.mark.parametrize("side", Side)
def test_the_wrists_axes_are_those_of_openxr_in_unity(side: Side) -> None:
    """As in the app's own sample of a right hand: fingers along +z, curled ones toward -y."""
    joints = open_hand(side, (0.05, 0.02, 0.4))
    rotation = camera_from_wrist(joints, side)
    joints[[8, 12, 16]] -= 0.03 * rotation[:, 1]  # curled toward the palm: -y is out of it
    hand = StreamedHand(side, 0, 0, joints, rotation)
    local = numbers(encode_hand(hand).decode().splitlines()[1]).reshape(21, 3)
    assert local[9][2] > 0.08 and abs(local[9][0]) < 0.01, "the middle knuckle lies ahead"
    assert (local[[8, 12, 16], 1] < local[[5, 9, 13], 1]).all()
    inward = -1.0 if side is Side.RIGHT else 1.0
    assert inward * local[4][0] > 0.03, "a right thumb is on the left of a hand that lies palm down"


def test_lines_are_spelled_as_the_app_spells_them() -> None:
    joints = np.zeros((21, 3))
    joints[:, 2] = 0.5
    joints[1] = 0.01, -0.02, 0.47
    hand = StreamedHand(Side.RIGHT, 123, 4100000000, joints, np.diag([1.0, -1.0, -1.0]))
    rest = ", ".join(["0.000000"] * 57)
    assert encode_hand(hand) == (
        b"Right wrist | f = 123 | t = 4100000000:, 0.000000, 0.000000, 0.500000, "
        b"0.000000, 0.000000, 0.000000, 1.000000\n"
        b"Right landmarks | f = 123 | t = 4100000000:, 0.000000, 0.000000, 0.000000, "
        b"0.010000, 0.020000, -0.030000, " + rest.encode() + b"\n"
    )


def test_both_hands_are_one_text_each_that_fits_a_datagram() -> None:
    left, right = encode_frame(two_hands(30))
    assert left.startswith(b"Left wrist | f = 30 | t = 1000000000:, ")
    assert right.startswith(b"Right wrist | f = 30 | ")
    for text in (left, right):
        assert text.count(b"\n") == 2 and len(text) < 1400


def test_a_lost_hand_is_not_sent() -> None:
    assert encode_frame(some_frame()) == ()
    (text,) = encode_frame(some_frame(some_hand(Side.LEFT)))
    assert b"Right" not in text


@pytest.mark.parametrize("unknown", [(0,), (20,), tuple(range(21))])
def test_a_hand_not_wholly_known_is_not_sent(unknown: tuple[int, ...]) -> None:
    assert encode_frame(some_frame(some_hand(unknown_joints=unknown))) == ()


def test_a_hand_without_a_rotation_is_not_sent() -> None:
    hand = some_hand()
    turned = replace(hand, pose=replace(hand.pose, camera_from_wrist=np.full((3, 3), np.nan)))
    assert encode_frame(some_frame(turned)) == ()


def test_of_several_hands_of_a_side_the_one_followed_longest_is_sent() -> None:
    def chosen(*hands: TrackedHand) -> list[int]:
        return [hand.track_id for hand in streamed_hands(hands)]

    old, new, other = (
        some_hand(Side.LEFT, track_id=3),
        some_hand(Side.LEFT, track_id=9),
        some_hand(Side.RIGHT, track_id=5),
    )
    assert chosen(new, old, other) == chosen(other, old, new) == [3, 5]
    assert chosen(some_hand(Side.LEFT, track_id=1, unknown_joints=(4,)), new) == [9]


def test_a_stream_has_neither_header_nor_states() -> None:
    stream = HandTrackingStreamer()
    assert stream.header(some_info()) == stream.state("lost") == b""
    assert len(decode_hands(stream.frame(two_hands(), some_info()))) == 2


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: text[:-12] + b"\n",
        lambda text: text.replace(b"Right", b"Head"),
        lambda text: text.replace(b"landmarks", b"wrist"),
        lambda text: text.replace(b"f = 1", b"f = 2", 1),
        lambda text: text.splitlines()[0],
        lambda text: text.replace(b":,", b""),
    ],
)
def test_what_is_no_hand_is_refused(damage: "object") -> None:
    text = encode_hand(StreamedHand(Side.RIGHT, 1, 2, np.zeros((21, 3)), np.eye(3)))
    assert len(decode_hands(text)) == 1
    with pytest.raises(ValueError, match=r"."):
        decode_hands(damage(text))  # type: ignore[operator]
