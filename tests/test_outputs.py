"""Outputs: told of every camera, closed whatever happens, and never in the tracker's way."""

import threading
from dataclasses import replace

import pytest
from scripted_runs import NotedSink, join_or_fail, wait_or_fail
from tracked_values import CAMERA, picture, some_frame, some_info, two_hands

from tracker.cameras import pinhole_from_fov
from tracker.errors import SinkFailedError
from tracker.runtime import background
from tracker.runtime.background import BackgroundSink
from tracker.runtime.outputs import Outputs
from tracker.structs import Frame, StreamInfo, TrackedFrame


def test_sinks_hear_of_each_camera_before_its_frames_and_once() -> None:
    sink = NotedSink()
    wide, tall = picture(0, width=64, height=48), picture(2, width=48, height=64)
    with Outputs([sink], source="clip.mp4", backend="landmarks") as outputs:
        for frame in (wide, replace(wide, index=1, camera=pinhole_from_fov(64, 48, 65.0)), tall):
            outputs.send(some_frame(index=frame.index), frame)
        outputs.notify("ended")
    first, second = (StreamInfo("clip.mp4", "landmarks", frame.camera) for frame in (wide, tall))
    assert sink.notes == [first, 0, 1, second, 2, "ended", "closed"]


def test_a_state_before_the_first_frame_is_nobodys() -> None:
    sink = NotedSink()
    with Outputs([sink], source="", backend="") as outputs:
        outputs.notify("ended")
    assert sink.notes == ["closed"]


def test_every_sink_is_closed_though_the_first_fails_to() -> None:
    broken, good = NotedSink(failing=("close",)), NotedSink()
    with pytest.raises(SinkFailedError, match="close broke"), Outputs([broken, good], source="", backend=""):
        pass
    assert good.notes == ["closed"]


def test_an_output_that_fails_to_close_hides_no_earlier_failure() -> None:
    broken = NotedSink(failing=("close",))
    with pytest.raises(ZeroDivisionError), Outputs([broken], source="", backend=""):
        raise ZeroDivisionError


def test_a_broken_output_is_left_out_where_somebody_is_told_and_the_others_go_on() -> None:
    broken, good = NotedSink(failing=("send",)), NotedSink()
    told: list[str] = []
    with Outputs(
        [broken, good], source="", backend="", on_broken=lambda failure: told.append(str(failure))
    ) as outputs:
        for index in range(3):
            outputs.send(some_frame(index=index), picture(index))
    assert told == ["send broke"]
    assert broken.notes[-1] == "closed" and broken.notes.count("closed") == 1
    assert [note for note in good.notes if isinstance(note, int)] == [0, 1, 2]


def test_a_broken_output_ends_the_run_where_nobody_is_told() -> None:
    broken, good = NotedSink(failing=("send",)), NotedSink()
    with (
        pytest.raises(SinkFailedError, match="send broke"),
        Outputs([broken, good], source="", backend="") as outputs,
    ):
        outputs.send(some_frame(), picture())
    assert good.notes[-1] == "closed"


# Sinks in the background.


class SlowSink(NotedSink):
    """Keeps every frame until ``go`` is set."""

    def __init__(self) -> None:
        super().__init__()
        self.busy, self.go = threading.Event(), threading.Event()

    def send(self, tracked: TrackedFrame, frame: Frame | None) -> None:
        self.busy.set()
        wait_or_fail(self.go)
        super().send(tracked, frame)


def test_a_slow_background_sink_loses_frames_and_holds_nobody_up() -> None:
    slow = SlowSink()
    sink = BackgroundSink(slow)
    other = some_info(replace(CAMERA, fx=400.0))
    sink.begin(some_info())
    sink.send(two_hands(0), None)
    wait_or_fail(slow.busy)
    for index in range(1, 5):  # returns at once although the sink is still busy with frame 0
        sink.send(two_hands(index), None)
    sink.begin(other)
    sink.send(two_hands(5), None)
    assert not slow.go.is_set() and slow.notes == [some_info()]
    slow.go.set()
    sink.close()
    assert slow.notes == [some_info(), 0, other, 5, "closed"]
    assert sink.dropped_frames == 4


def test_a_background_sink_hears_every_state_in_its_place() -> None:
    slow = SlowSink()
    sink = BackgroundSink(slow)
    sink.notify("lost")  # of no stream that it knows
    sink.begin(some_info())
    sink.send(two_hands(0), None)
    wait_or_fail(slow.busy)
    sink.send(two_hands(1), None)
    for state in ("lost", "playing"):
        sink.notify(state)
    sink.send(two_hands(2), None)
    sink.notify("ended")
    slow.go.set()
    sink.close()
    assert slow.notes == [some_info(), 0, "lost", "playing", 2, "ended", "closed"]


def test_a_background_sink_that_is_stuck_does_not_keep_the_run_from_ending(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(background, "CLOSE_S", 0.01)
    slow = SlowSink()
    sink = BackgroundSink(slow)
    sink.begin(some_info())
    sink.send(two_hands(0), None)
    wait_or_fail(slow.busy)
    with pytest.raises(SinkFailedError, match="left unfinished"):
        sink.close()
    slow.go.set()
    join_or_fail(sink._thread)


class FailingSink(NotedSink):
    """Breaks at the first frame and says when."""

    def __init__(self) -> None:
        super().__init__()
        self.broke = threading.Event()

    def send(self, tracked: TrackedFrame, frame: Frame | None) -> None:
        self.broke.set()
        raise SinkFailedError("disk full")


def broken_background_sink() -> tuple[BackgroundSink, FailingSink]:
    failing = FailingSink()
    sink = BackgroundSink(failing)
    sink.begin(some_info())
    sink.send(two_hands(0), None)
    wait_or_fail(failing.broke)
    join_or_fail(sink._thread)
    return sink, failing


def test_a_broken_background_sink_says_so_at_the_next_frames_and_not_again_when_closed() -> None:
    sink, failing = broken_background_sink()
    for _ in range(2):
        with pytest.raises(SinkFailedError, match="disk full"):
            sink.send(two_hands(1), None)
    sink.close()
    assert failing.notes[-1] == "closed"


def test_a_background_sink_that_broke_at_the_last_frame_says_so_when_closed() -> None:
    sink, failing = broken_background_sink()
    with pytest.raises(SinkFailedError, match="disk full"):
        sink.close()
    assert failing.notes[-1] == "closed"
    sink.close()
