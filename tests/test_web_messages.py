"""What clients may say, how often, and how the server spells its own words: no sockets."""

import json
from dataclasses import replace
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tracked_values import some_info, two_hands

from tracker.joints import Side
from tracker.sinks.wire import decode_message, frame_message
from tracker.structs import TrackedFrame
from tracker.web.board import Board
from tracker.web.client_messages import Record, Token, Want, decode_client_message
from tracker.web.metrics import prometheus_text, stats_message
from tracker.web.pacing import Budget, Pace
from tracker.web.previews import encode_small
from tracker.web.spelling import RunFacts, SpelledFrame, Spelling
from tracker.web.statistics import WINDOW_S, Figures, Statistics

UNDERSTOOD: list[tuple[dict[str, Any], object]] = [
    ({"type": "token", "token": "secret"}, Token("secret")),
    ({"type": "want"}, Want()),
    (
        {"type": "want", "vertices": True, "preview": True, "stats": True, "max_rate_hz": 15, "side": "left"},
        Want(vertices=True, preview=True, stats=True, max_rate_hz=15.0, side=Side.LEFT),
    ),
    ({"type": "want", "max_rate_hz": None, "side": None}, Want()),
    ({"type": "record", "on": True}, Record(True)),
]
NOT_UNDERSTOOD: list[object] = [
    None,
    [],
    "want",
    {},
    {"type": "launch"},
    {"type": "want", "mesh": True},
    {"type": "want", "side": "both"},
    {"type": "want", "vertices": 1},
    {"type": "want", "max_rate_hz": 0},
    {"type": "want", "max_rate_hz": -1},
    {"type": "want", "max_rate_hz": 1e9},
    {"type": "record"},
    {"type": "record", "on": "yes"},
    {"type": "token"},
    {"type": "token", "token": None},
]


@pytest.mark.parametrize(("said", "meant"), UNDERSTOOD)
def test_messages_are_understood_in_both_encodings(said: dict[str, Any], meant: object) -> None:
    assert decode_client_message(json.dumps(said)) == meant
    assert decode_client_message(msgspec.msgpack.encode(said)) == meant


@pytest.mark.parametrize("said", NOT_UNDERSTOOD)
def test_anything_else_is_one_line_of_an_error_in_both_encodings(said: object) -> None:
    for message in (json.dumps(said), msgspec.msgpack.encode(said)):
        with pytest.raises(ValueError, match="not understood") as error:
            decode_client_message(message)
        assert "\n" not in str(error.value) and len(str(error.value)) < 300


@pytest.mark.parametrize(
    "message", ["", "{", "[" * 30_000, '{"type":"want","max_rate_hz":NaN}', b"", b"\xc1", b"\x91" * 30_000]
)
def test_what_is_no_message_at_all_is_an_error(message: str | bytes) -> None:
    with pytest.raises(ValueError, match="not understood"):
        decode_client_message(message)


@given(st.text() | st.binary())
def test_whatever_a_client_says_is_a_message_or_an_error(message: str | bytes) -> None:
    try:
        assert isinstance(decode_client_message(message), Token | Want | Record)
    except ValueError as error:
        assert "\n" not in str(error)


# Frames.


def payload(frame: bytes) -> bytes:
    """What a WebSocket frame of the server's holds (RFC 6455, 5.2)."""
    size = frame[1]
    assert not size & 0x80, "servers do not mask"
    return frame[{126: 4, 127: 10}.get(size, 2) :]


def test_a_frame_is_that_of_recordings_and_its_latency() -> None:
    tracked = two_hands()
    frame = SpelledFrame(tracked, some_info(), RunFacts(clock=lambda: tracked.capture_time_s + 0.0125))
    said = json.loads(payload(frame.spelled(Spelling(binary=False))))
    assert said.pop("latency_ms") == 12.5
    assert said == json.loads(msgspec.json.encode(frame_message(tracked)))
    assert frame.latency_s == pytest.approx(0.0125)


def test_a_frame_with_every_key_is_read_as_one_of_a_recording() -> None:
    frame = SpelledFrame(two_hands(), some_info(), RunFacts())
    read = decode_message(payload(frame.spelled(Spelling(binary=False, vertices=True))))
    assert isinstance(read, TrackedFrame) and len(read.hands) == 2


def test_equal_wishes_are_spelled_once() -> None:
    frame = SpelledFrame(two_hands(), some_info(), RunFacts())
    first = frame.spelled(Spelling(binary=True, side=Side.LEFT))
    assert frame.spelled(Spelling(binary=True, side=Side.LEFT)) is first
    assert frame.spelled(Spelling(binary=True)) is not first


def test_faces_are_those_of_the_hands_that_are_wanted() -> None:
    frame = SpelledFrame(two_hands(), some_info(), RunFacts())
    assert frame.meshes(Spelling(binary=False)) == {}
    assert set(frame.meshes(Spelling(False, vertices=True))) == {"open_left", "open_right"}
    assert set(frame.meshes(Spelling(False, vertices=True, side=Side.RIGHT))) == {"open_right"}
    assert set(frame.meshes(Spelling(False, vertices=True), known={"open_right"})) == {"open_left"}


def test_a_new_header_takes_the_frame_of_the_old_one_away() -> None:
    board = Board(RunFacts())
    board.begin(some_info())
    board.send(two_hands(), None)
    board.notify("lost")
    assert len(board.newest()) == 3
    board.begin(some_info())
    assert [type(item.message).__name__ for item in board.newest()] == ["SpelledMessage", "SpelledMessage"]
    assert [item.number for item in board.newest()] == [3, 4]


# Rates.


@pytest.mark.parametrize(("camera_hz", "limit_hz"), [(30, 20), (30, 10), (60, 25), (30, 1), (30, 100)])
def test_a_rate_limit_is_met_in_the_mean_and_never_passed(camera_hz: int, limit_hz: int) -> None:
    pace = Pace(limit_hz)
    passed = [index / camera_hz for index in range(10 * camera_hz) if pace.lets(index / camera_hz)]
    assert len(passed) == pytest.approx(10 * min(camera_hz, limit_hz), abs=1.01)
    for start in passed:
        assert sum(start <= at < start + 1.0 - 1e-9 for at in passed) <= limit_hz + 1


def test_no_limit_lets_everything_through_and_a_pause_saves_nothing_up() -> None:
    assert all(Pace(None).lets(0.0) for _ in range(5))
    pace = Pace(10)
    assert pace.lets(0.0)
    assert [pace.lets(100.0 + 0.001 * index) for index in range(10)].count(True) <= 2


def test_a_budget_lets_a_burst_through_and_then_so_many_a_second() -> None:
    budget = Budget(per_s=100.0, at_once=10.0)
    now_s, waits = 0.0, []
    for _ in range(200):
        waits.append(budget.wait_s(now_s))
        now_s += waits[-1]
    assert waits[:10] == [0.0] * 10
    assert now_s == pytest.approx(1.9, abs=0.02)


# Figures.


def test_figures_are_those_of_the_last_seconds() -> None:
    now_s = 100.0
    statistics = Statistics(clock=lambda: now_s)
    assert statistics.figures() == Figures()
    for index in range(300):
        now_s = 100.0 + index / 30
        statistics.frame(replace(two_hands(index), dropped_frames=index))
        statistics.handed_over(0.010 if index < 150 else 0.020)
    figures = statistics.figures()
    assert figures.frames == 300 and figures.latency_count == 300
    assert figures.frame_rate_hz == pytest.approx(30.0)
    assert figures.latency_s == pytest.approx((0.020,) * 3)
    assert figures.latency_sum_s == pytest.approx(150 * 0.030)
    assert figures.dropped_frames == 299
    assert figures.hands == {Side.LEFT: 1, Side.RIGHT: 1}
    assert figures.stages_s == pytest.approx(dict(two_hands().stage_durations_s))
    now_s += WINDOW_S + 1
    assert statistics.figures().frame_rate_hz == 0.0
    assert statistics.figures().latency_s is None


def test_prometheus_reads_the_figures() -> None:
    figures = Figures(
        frames=3,
        frame_rate_hz=29.97,
        latency_s=(0.01, 0.02, 0.03),
        latency_sum_s=0.06,
        latency_count=3,
        stages_s={'odd "stage"\n': 0.5},
        dropped_frames=1,
        hands={Side.LEFT: 1},
        skipped=7,
    )
    page = prometheus_text(figures, clients=2, playing=True, recording=False)
    samples = dict(line.rsplit(" ", 1) for line in page.splitlines() if not line.startswith("#"))
    assert samples == {
        "hand_tracker_frames_total": "3",
        "hand_tracker_frame_rate_hz": "29.97",
        'hand_tracker_latency_seconds{quantile="0.5"}': "0.01",
        'hand_tracker_latency_seconds{quantile="0.95"}': "0.02",
        'hand_tracker_latency_seconds{quantile="0.99"}': "0.03",
        "hand_tracker_latency_seconds_sum": "0.06",
        "hand_tracker_latency_seconds_count": "3",
        'hand_tracker_stage_seconds{stage="odd \\"stage\\"\\n"}': "0.5",
        "hand_tracker_dropped_frames_total": "1",
        "hand_tracker_skipped_messages_total": "7",
        "hand_tracker_clients": "2",
        'hand_tracker_hands{side="left"}': "1",
        'hand_tracker_hands{side="right"}': "0",
        "hand_tracker_source_up": "1",
        "hand_tracker_recording": "0",
    }
    kinds = [line.split()[2:] for line in page.splitlines() if line.startswith("# TYPE")]
    assert len(kinds) == len({name for name, _ in kinds}) == 10
    assert page.endswith("\n")


def test_unknown_latency_is_nan_for_prometheus_and_null_for_clients() -> None:
    page = prometheus_text(Figures(), clients=0, playing=False, recording=True)
    assert 'latency_seconds{quantile="0.5"} NaN' in page
    message = stats_message(Figures(), clients=0, recording=None, preview_offered=False)
    assert msgspec.to_builtins(message)["latency_ms"] == {"p50": None, "p95": None, "p99": None}


# Previews.


@pytest.mark.parametrize(
    ("size", "shown"),
    [
        ((1280, 720), (640, 360)),
        ((720, 1280), (360, 640)),
        ((641, 3), (640, 3)),
        ((320, 240), (320, 240)),
        ((3000, 1), (640, 1)),
    ],
)
def test_previews_keep_their_shape_and_are_no_longer_than_640(
    size: tuple[int, int], shown: tuple[int, int]
) -> None:
    import io

    import numpy as np
    from PIL import Image

    image = np.zeros((size[1], size[0], 3), np.uint8)
    image[..., 0] = np.linspace(0, 255, size[0])
    width, height, jpeg = encode_small(image)
    assert (width, height) == shown
    read = np.asarray(Image.open(io.BytesIO(jpeg)))
    assert read.shape == (height, width, 3)
    expected = np.interp(np.arange(width), (0, width - 1), (0, 255))
    assert np.abs(read[..., 0].mean(axis=0) - expected).max() < 6
