"""JSON messages in other joints and axes: values come back, and the header says what they are.

The golden file is made by ``python tests/test_layout.py``.
"""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from test_wire import CLOCK, frames, with_unknown_for_infinite
from tracked_values import LENS, assert_same_frame, some_frame, some_hand, some_info, some_mano, two_hands

from tracker.axes import AXES
from tracker.errors import RecordingError, UnknownNameError
from tracker.joints import Side
from tracker.rotations import rotation_from_quaternion
from tracker.sinks.layout import NATIVE, Layout, find_layout
from tracker.sinks.recording import RecordingSink, read_recording
from tracker.sinks.wire import Header, decode_message, encode_frame, encode_header
from tracker.skeletons import SKELETONS
from tracker.structs import StreamInfo, TrackedFrame

GOLDEN = Path(__file__).parent / "data" / "wire_v1_layouts.jsonl"
LAYOUTS = [find_layout(skeleton, axes) for skeleton in SKELETONS for axes in AXES]
each = pytest.mark.parametrize(
    "layout", LAYOUTS, ids=[f"{layout.skeleton.name}-{layout.axes.name}" for layout in LAYOUTS]
)


def golden_messages() -> list[bytes]:
    hands = some_frame(
        some_hand(Side.LEFT, camera=LENS, mano=some_mano(mirrored=True)),
        some_hand(Side.RIGHT, track_id=4, camera=LENS, unknown_joints=(9, 20)),
        index=7,
    )
    return [
        line
        for layout in (find_layout("openxr26", "unity"), find_layout("webxr25", "openxr"))
        for line in (encode_header(some_info(LENS), CLOCK, layout), encode_frame(hands, layout, LENS))
    ]


def without_mano(tracked: TrackedFrame) -> TrackedFrame:
    hands = (replace(hand, pose=replace(hand.pose, mano=None)) for hand in tracked.hands)
    return replace(tracked, hands=tuple(hands))


@each
@settings(max_examples=15, deadline=None)
@given(tracked=frames)
def test_decoding_gives_back_the_frame_in_our_joints_and_axes(layout: Layout, tracked: TrackedFrame) -> None:
    decoded = decode_message(encode_frame(tracked, layout, LENS), layout)
    assert isinstance(decoded, TrackedFrame)
    expected = with_unknown_for_infinite(tracked)
    assert_same_frame(decoded, expected if layout.axes.name == "opencv" else without_mano(expected))


@each
def test_the_header_names_joints_and_axes_and_is_read_back(layout: Layout) -> None:
    message = encode_header(some_info(), CLOCK, layout)
    header = json.loads(message)
    assert (header["version"], header["skeleton"], header["axes"]) == (
        1,
        layout.skeleton.name,
        layout.axes.name,
    )
    assert header["joint_names"] == list(layout.skeleton.joint_names)
    assert decode_message(message) == Header(some_info(), CLOCK, layout)


@each
def test_every_hand_has_as_many_joints_as_the_header_names(layout: Layout) -> None:
    count = len(layout.skeleton.joint_names)
    for hand in json.loads(encode_frame(two_hands(camera=LENS), layout, LENS))["hands"]:
        for key in ("joints_px", "joints_in_camera_m", "joint_scores", "velocity_m_per_s", "observed_px"):
            assert len(hand[key]) == count, key


@each
def test_every_known_joint_is_drawn_where_the_camera_sees_it(layout: Layout) -> None:
    (hand,) = json.loads(encode_frame(some_frame(some_hand(camera=LENS)), layout, LENS))["hands"]
    in_opencv = layout.axes.vectors(np.array(hand["joints_in_camera_m"]))
    np.testing.assert_allclose(hand["joints_px"], LENS.project(in_opencv), atol=0.006)


def test_unity_has_up_positive_and_a_wrist_whose_z_points_to_the_fingers() -> None:
    layout = find_layout("hand21", "unity")
    native = two_hands(camera=LENS)
    for hand, ours in zip(json.loads(encode_frame(native, layout))["hands"], native.hands, strict=True):
        joints = np.array(hand["joints_in_camera_m"])
        assert joints[12][1] > joints[0][1], "fingers up in the picture are up"
        rotation = rotation_from_quaternion(np.array(hand["wrist_rotation_wxyz"]))
        toward_fingers = joints[9] - joints[0]
        assert toward_fingers @ rotation[:, 2] > 0.99 * np.linalg.norm(toward_fingers)
        velocity = ours.velocity_m_per_s * (1, -1, 1)
        np.testing.assert_allclose(hand["velocity_m_per_s"], velocity, atol=1e-5)
        assert hand["side"] == ours.pose.side.value


def test_the_correlation_of_errors_turns_with_the_axes() -> None:
    covariance = np.array([[4.0, 1.0, 2.0], [1.0, 5.0, 3.0], [2.0, 3.0, 6.0]]) * 1e-6
    hand = some_hand()
    hand = replace(hand, pose=replace(hand.pose, covariance_m2=covariance))
    (sent,) = json.loads(encode_frame(some_frame(hand), find_layout("hand21", "unity")))["hands"]
    np.testing.assert_allclose(
        sent["covariance_m2"], covariance * [[1, -1, 1], [-1, 1, -1], [1, -1, 1]], atol=1e-12
    )


@pytest.mark.parametrize("axes", [name for name in AXES if name != "opencv"])
def test_mano_is_left_out_where_it_would_be_wrong(axes: str) -> None:
    frame = some_frame(some_hand(mano=some_mano()))
    assert json.loads(encode_frame(frame, find_layout("hand21", axes)))["hands"][0]["mano"] is None
    assert json.loads(encode_frame(frame))["hands"][0]["mano"] is not None


def test_our_own_layout_is_recognised_by_its_names() -> None:
    assert find_layout("hand21", "opencv") is NATIVE


@pytest.mark.parametrize(("skeleton", "axes"), [("hand20", "opencv"), ("hand21", "blender")])
def test_unknown_names_are_refused_with_the_known_ones(skeleton: str, axes: str) -> None:
    with pytest.raises(UnknownNameError, match="choose one of"):
        find_layout(skeleton, axes)


@each
def test_recordings_are_read_in_our_joints_and_axes_whatever_they_hold(
    layout: Layout, tmp_path: Path
) -> None:
    sink = RecordingSink(tmp_path / "a.jsonl", layout=layout)
    sink.begin(some_info(LENS))
    sink.send(two_hands(camera=LENS), None)
    sink.close()
    info, frame = read_recording(tmp_path / "a.jsonl")
    assert isinstance(info, StreamInfo) and isinstance(frame, TrackedFrame)
    assert info == some_info(LENS)
    assert_same_frame(frame, two_hands(camera=LENS))


def test_a_recording_whose_layout_changes_is_read_header_by_header(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    unity = find_layout("openxr26", "unity")
    messages = [
        encode_header(some_info(), CLOCK, unity),
        encode_frame(two_hands(0), unity, some_info().camera),
        encode_header(some_info(), CLOCK),
        encode_frame(two_hands(1)),
    ]
    path.write_bytes(b"\n".join(messages) + b"\n")
    found = [value for value in read_recording(path) if isinstance(value, TrackedFrame)]
    for index, frame in enumerate(found):
        assert_same_frame(frame, two_hands(index))
    assert len(found) == 2


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("axes", "blender", "axes 'blender' are unknown"),
        ("skeleton", "hand99", "skeleton 'hand99' is unknown"),
        ("skeleton", "webxr25", "joints are not those of webxr25"),
        ("joint_names", ["wrist"], "joints are not those of openxr26"),
    ],
)
def test_a_layout_that_is_not_understood_is_refused(
    key: str, value: object, said: str, tmp_path: Path
) -> None:
    header = json.loads(encode_header(some_info(), CLOCK, find_layout("openxr26", "unity")))
    header[key] = value
    path = tmp_path / "a.jsonl"
    path.write_text(json.dumps(header) + "\n")
    with pytest.raises(RecordingError, match=f"line 1: .*{said}"):
        list(read_recording(path))


def test_a_recording_from_before_skeletons_had_names_is_ours() -> None:
    header = json.loads(encode_header(some_info(), CLOCK))
    del header["skeleton"]
    assert decode_message(json.dumps(header)) == Header(some_info(), CLOCK, NATIVE)


def test_a_hand_of_another_skeleton_than_the_headers_is_refused() -> None:
    message = encode_frame(two_hands(), find_layout("webxr25", "opencv"), LENS)
    with pytest.raises(RecordingError):
        decode_message(message, find_layout("openxr26", "opencv"))


def test_golden_file_is_what_is_written_today() -> None:
    assert GOLDEN.read_bytes().splitlines() == golden_messages()


if __name__ == "__main__":
    GOLDEN.write_bytes(b"\n".join(golden_messages()) + b"\n")
