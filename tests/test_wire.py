"""Wire format version 1: values come back, everything else is refused.

The golden file, which the viewer's tests read too, is made by ``python tests/test_wire.py``.
"""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from tracked_values import (
    LENS,
    assert_same_frame,
    some_frame,
    some_hand,
    some_info,
    some_mano,
    two_hands,
)

from tracker.cameras import CAMERA_MODELS, Camera, pinhole_from_fov
from tracker.cli_options import TrackingOptions
from tracker.errors import RecordingError
from tracker.joints import JOINT_NAMES, Side
from tracker.rotations import rotation_from_vector
from tracker.sinks.messages import Clock, Failure, State
from tracker.sinks.wire import (
    Header,
    decode_message,
    encode_error,
    encode_frame,
    encode_header,
    encode_state,
)
from tracker.sinks.wire_numbers import quaternion, rotation
from tracker.structs import HandPose, HandUsed, ManoParameters, StreamInfo, TrackedFrame, TrackedHand

GOLDEN = Path(__file__).parent / "data" / "wire_v1.jsonl"
CLOCK = Clock(monotonic_s=12.5, unix_s=1790000000.25)


def golden_messages() -> list[bytes]:
    assumed = pinhole_from_fov(480, 480, 65.0, assumed=True)
    left = some_hand(Side.LEFT, camera=LENS, mano=some_mano(mirrored=True))
    right = some_hand(
        Side.RIGHT, track_id=4, camera=LENS, unseen_s=0.066667, unknown_joints=(4, 20), mano=some_mano()
    )
    alone = some_hand(Side.RIGHT, track_id=5, camera=assumed)
    return [
        encode_header(some_info(LENS), CLOCK),
        encode_state("playing"),
        encode_frame(some_frame(left, right, index=123, time_s=4.1)),
        encode_frame(some_frame(index=124, time_s=4.133333)),
        encode_state("lost"),
        encode_header(some_info(assumed, "camera:0"), CLOCK),
        encode_frame(some_frame(alone, index=130, time_s=4.333333)),
        encode_error("no such command"),
        encode_state("ended"),
    ]


def numbers(*shape: int, limit: float = 1e4) -> st.SearchStrategy[Any]:
    anything = st.floats(-limit, limit) | st.sampled_from([math.nan, math.inf, -math.inf, 0.0, -0.0])
    return arrays(np.float64, shape, elements=anything)


rotations = arrays(np.float64, 3, elements=st.floats(-2.0, 2.0)).map(rotation_from_vector)
manos = st.builds(
    ManoParameters,
    global_orient=numbers(3, 3),
    hand_pose=numbers(15, 3, 3),
    betas=numbers(10),
    translation_m=numbers(3),
    mirrored=st.booleans(),
)
poses = st.builds(
    HandPose,
    side=st.sampled_from(Side),
    joints_in_camera_m=numbers(21, 3),
    camera_from_wrist=rotations | st.just(np.full((3, 3), np.nan)),
    covariance_m2=numbers(3, 3, limit=10.0),
    reprojection_error_px=st.floats(0, 1e6) | st.just(math.nan),
    observed_px=numbers(21, 2),
    joint_scores=numbers(21),
    mano=st.none() | manos,
)
hands = st.builds(
    TrackedHand,
    track_id=st.integers(0, 2**40),
    score=st.floats(0, 1) | st.just(math.nan),
    side_score=st.floats(0, 1),
    unseen_s=st.floats(0, 10),
    pose=poses,
    joints_px=numbers(21, 2),
    velocity_m_per_s=numbers(21, 3),
)
frames = st.builds(
    TrackedFrame,
    frame_index=st.integers(0, 2**40),
    capture_time_s=st.floats(-1e6, 1e6),
    valid_at_s=st.floats(-1e6, 1e6),
    hands=st.lists(hands, max_size=3).map(tuple),
    stage_durations_s=st.dictionaries(st.text(st.characters(codec="utf-8")), st.floats(0, 100), max_size=3),
    dropped_frames=st.integers(0, 2**40),
)


def with_unknown_for_infinite(value: Any) -> Any:
    """The wire has one word for every number that is not finite: infinity comes back as NaN."""
    if isinstance(value, np.ndarray):
        return np.where(np.isfinite(value), value, np.nan)
    if isinstance(value, tuple):
        return tuple(map(with_unknown_for_infinite, value))
    if isinstance(value, TrackedFrame | TrackedHand | HandPose | ManoParameters):
        fields = {name: with_unknown_for_infinite(found) for name, found in vars(value).items()}
        return type(value)(**fields)
    return value


@settings(max_examples=60, deadline=None)
@given(frames)
def test_decoding_gives_back_the_encoded_frame(tracked: TrackedFrame) -> None:
    message = encode_frame(tracked)
    decoded = decode_message(message)
    assert isinstance(decoded, TrackedFrame)
    assert_same_frame(decoded, with_unknown_for_infinite(tracked))
    assert b"\n" not in message


@settings(max_examples=60, deadline=None)
@given(frames)
def test_what_was_read_is_written_as_it_was(tracked: TrackedFrame) -> None:
    """Recordings may be replayed into others again and again: no number moves."""
    message = encode_frame(tracked)
    assert encode_frame(decode_message(message)) == message


def test_rotations_are_written_again_as_they_were() -> None:
    """Of rounded ones 1.5 % moved by a digit, and half turns by their sign."""
    vectors = np.random.default_rng(0).normal(size=(1000, 3))
    half_turns = np.pi * vectors[:50] / np.linalg.norm(vectors[:50], axis=1, keepdims=True)
    for turn in rotation_from_vector(np.concatenate([vectors, half_turns, np.pi * np.eye(3)])):
        written = quaternion(turn)
        assert quaternion(rotation(written)) == written


@settings(max_examples=30, deadline=None)
@given(frames)
def test_no_nan_is_on_the_wire(tracked: TrackedFrame) -> None:
    def refuse(word: str) -> None:
        raise AssertionError(f"{word} is no JSON")

    json.loads(encode_frame(tracked), parse_constant=refuse)


@pytest.mark.parametrize("model", CAMERA_MODELS.values(), ids=CAMERA_MODELS)
@pytest.mark.parametrize("assumed", [False, True])
def test_decoding_gives_back_the_header(model: type[Camera], assumed: bool) -> None:
    coefficients = tuple(0.01 * k for k in range(max(model.distortion_counts)))
    camera = model(641, 479, 500.1, 1 / 3, 320.0, 240.0, coefficients, assumed)
    info = StreamInfo("weg/ü b.mp4", "hamer", camera)
    assert decode_message(encode_header(info, CLOCK)) == Header(info, CLOCK)


def test_a_header_says_whose_hand_was_told_and_is_silent_where_none_was() -> None:
    info = StreamInfo("clip.mp4", "landmarks", pinhole_from_fov(640, 480, 60.0), HandUsed("ma\udcff", 0.0661))
    message = encode_header(info, CLOCK)
    assert json.loads(message)["hand"] == {"name": "ma\\udcff", "palm_width_mm": 66.1}
    decoded = decode_message(message)
    assert isinstance(decoded, Header) and decoded.info.hand == HandUsed("ma\\udcff", 0.0661)
    assert b'"hand"' not in encode_header(some_info(), CLOCK)


def test_the_header_tells_fine_tuned_weights_from_others() -> None:
    camera = pinhole_from_fov(640, 480, 60.0)
    usual, tuned = (StreamInfo("clip.mp4", "hamer", camera, weights=names) for names in ((), ("ft.pth",)))
    assert b"weights" not in encode_header(usual, CLOCK)
    for info in (usual, tuned):
        decoded = decode_message(encode_header(info, CLOCK))
        assert isinstance(decoded, Header) and decoded.info.weights == info.weights


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (TrackingOptions(checkpoint=Path("a/ft.pth")), ()),
        (TrackingOptions(backend="hamer"), ()),
        (TrackingOptions(backend="hamer", checkpoint=Path("a/ft.pth")), ("ft.pth",)),
        (
            TrackingOptions(
                backend="ensemble",
                ensemble=("potter", "hamer", "hamer=b/ft.pth"),
                potter_checkpoint=Path("p.pth"),
            ),
            ("p.pth", "ft.pth"),
        ),
    ],
)
def test_weights_are_named_where_the_backend_reads_them(
    options: TrackingOptions, named: tuple[str, ...]
) -> None:
    assert options.weights_named == named


def test_numpy_numbers_in_a_camera_are_written() -> None:
    camera = pinhole_from_fov(np.int64(640), np.int64(480), np.float64(60.0))
    decoded = decode_message(encode_header(some_info(camera), CLOCK))
    assert isinstance(decoded, Header) and decoded.info.camera == camera


def test_source_name_that_is_not_text_is_written_as_escapes() -> None:
    decoded = decode_message(encode_header(some_info(source="a\udcff.mp4"), CLOCK))
    assert isinstance(decoded, Header) and decoded.info.source == "a\\udcff.mp4"


def test_header_says_what_readers_need() -> None:
    header = json.loads(encode_header(some_info(LENS), CLOCK))
    assert header["type"] == "header"
    assert (header["format"], header["version"], header["axes"]) == ("hand-track", 1, "opencv")
    assert header["camera"] == LENS.to_json() and header["camera_assumed"] is False
    assert header["joint_names"] == list(JOINT_NAMES)
    assert header["clock"] == {"monotonic_s": 12.5, "unix_s": 1790000000.25}


def test_unknown_joint_is_a_list_of_nulls() -> None:
    hand = json.loads(encode_frame(some_frame(some_hand(unknown_joints=(4,)))))["hands"][0]
    assert hand["joints_px"][4] == [None, None]
    assert hand["joints_in_camera_m"][4] == [None, None, None]
    assert None not in hand["joints_px"][3]


def test_state_and_error_come_back() -> None:
    assert decode_message(encode_state("lost")) == State("lost")
    assert decode_message(encode_error("no")) == Failure("no")


def test_unknown_keys_and_types_are_ignored() -> None:
    message = json.loads(encode_frame(two_hands()))
    message["latency_ms"] = 3
    message["hands"][0]["gesture"] = {"name": "fist"}
    decoded = decode_message(json.dumps(message))
    assert isinstance(decoded, TrackedFrame)
    assert_same_frame(decoded, two_hands())
    assert decode_message('{"type":"preview","frame":"not a number","jpeg":"..."}') is None


@pytest.mark.parametrize(
    "message",
    [
        b"",
        b"[]",
        b"7",
        b"null",
        b"{",
        b"\xff\xfe",
        b"{}",
        b'{"type":5}',
        b'{"type":"frame"}',
        b'{"type":"frame","frame":1,"capture_time_s":NaN,"valid_at_s":0,"hands":[]}',
        b'{"type":"frame","frame":1,"capture_time_s":null,"valid_at_s":0,"hands":[]}',
        b'{"type":"header","format":"other","version":1}',
        b'{"type":"header","format":"hand-track","version":1}',
        b"[" * 100_000,
    ],
)
def test_what_is_no_message_is_refused(message: bytes) -> None:
    with pytest.raises(RecordingError, match="not a message of format hand-track"):
        decode_message(message)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("joints_px", [[1, 2]] * 20),
        ("joints_px", [[1, 2]] * 20 + [[1]]),
        ("joints_px", None),
        ("joints_in_camera_m", [[1, 2]] * 21),
        ("side", "middle"),
        ("wrist_rotation_wxyz", [0, 0, 0, 0]),
        ("wrist_rotation_wxyz", [1, 0, 0]),
        ("covariance_m2", []),
        ("mano", {"betas": []}),
    ],
)
def test_hand_of_the_wrong_shape_is_refused(key: str, value: object) -> None:
    message = json.loads(encode_frame(two_hands()))
    message["hands"][1][key] = value
    with pytest.raises(RecordingError):
        decode_message(json.dumps(message))


@pytest.mark.parametrize("version", [0, 2, 1.5, "2.0"])
def test_another_version_is_refused_before_its_other_keys_are_read(version: object) -> None:
    message = {"type": "header", "format": "hand-track", "version": version, "camera": "in another form"}
    with pytest.raises(RecordingError, match=f"version {version}.*reads version 1"):
        decode_message(json.dumps(message))


def test_impossible_camera_is_refused() -> None:
    message = json.loads(encode_header(some_info(), CLOCK))
    message["camera"]["fx"] = -1
    with pytest.raises(RecordingError, match="focal length"):
        decode_message(json.dumps(message))


def test_frame_without_a_time_is_our_mistake() -> None:
    with pytest.raises(ValueError, match="finite time"):
        encode_frame(some_frame(time_s=math.nan))


def test_golden_file_is_what_is_written_today() -> None:
    assert GOLDEN.read_bytes().splitlines() == golden_messages()


def test_golden_file_can_be_read() -> None:
    values = [decode_message(line) for line in GOLDEN.read_bytes().splitlines()]
    kinds = [type(value) for value in values]
    assert kinds == [
        Header,
        State,
        TrackedFrame,
        TrackedFrame,
        State,
        Header,
        TrackedFrame,
        Failure,
        State,
    ]


if __name__ == "__main__":
    GOLDEN.write_bytes(b"\n".join(golden_messages()) + b"\n")
