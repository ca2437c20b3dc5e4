"""Sources that come back: one source of frames, whatever happens to the camera behind it."""

import logging
import threading
from collections.abc import Iterator, Sequence
from contextlib import closing
from itertools import pairwise

import pytest
from scripted_runs import PATIENCE_S, NotedSink, finish, join_or_fail, wait_or_fail
from tracked_values import picture, some_frame

from tracker.cameras import pinhole_from_fov
from tracker.errors import CameraError, CameraMismatchError, SourceError, SourceFailedError
from tracker.runtime.loops import run_live
from tracker.runtime.outputs import Outputs
from tracker.sources import Source, open_source, webcam
from tracker.sources.reopening import LONGEST_WAIT_S, STEADY_S, Reopening
from tracker.sources.webcam import Device, DeviceArguments, same_webcam
from tracker.structs import Frame, StreamInfo, TrackedFrame


class Stretch:
    """A source for a while: frames from a time on, then an end or an error."""

    name, live, frame_count, frame_rate_hz = "cam", True, None, 30.0

    def __init__(self, *times_s: float, failure: Exception | None = None, size: tuple[int, int] = (64, 48)):
        self._times_s, self._failure, self._size = times_s, failure, size
        self.closed = False

    def __iter__(self) -> Iterator[Frame]:
        for index, time_s in enumerate(self._times_s):
            width, height = self._size
            frame = picture(index, width=width, height=height)
            yield Frame(index, time_s, frame.image_rgb, frame.camera)
        if self._failure is not None:
            raise self._failure

    def close(self) -> None:
        self.closed = True


class Script:
    """What each attempt to open again meets, on a clock of its own."""

    def __init__(self, *attempts: Source | Exception, takes_s: float = 0.0) -> None:
        self._attempts = list(attempts)
        self._takes_s = takes_s
        self.now_s = 0.0
        self.tried_s: list[float] = []

    def clock(self) -> float:
        return self.now_s

    def wait(self, seconds: float) -> None:
        assert seconds > 0
        self.now_s += seconds

    def open_again(self) -> Source:
        self.tried_s.append(self.now_s)
        self.now_s += self._takes_s
        attempt = self._attempts.pop(0)
        if isinstance(attempt, Exception):
            raise attempt
        return attempt

    def source(self, first: Source, max_frames: int | None = None) -> Reopening:
        return Reopening(first, self.open_again, max_frames=max_frames, clock=self.clock, wait=self.wait)


AWAY = SourceError("refused")


def test_frames_of_all_stretches_are_those_of_one_source() -> None:
    first = Stretch(10.0, 10.1, failure=SourceFailedError("cam broke off"))
    script = Script(AWAY, Stretch(12.0, 12.1), AWAY, AWAY, Stretch(12.0, 14.1, 14.2))
    source = script.source(first, max_frames=6)
    events: list[object] = []
    source.call_on_state(events.append)
    for frame in source:
        events.append((frame.index, pytest.approx(frame.capture_time_s, abs=1e-5)))
    assert events == [
        (0, 10.0),
        (1, 10.1),
        "lost",
        "playing",
        (2, 12.0),
        (3, 12.1),
        "lost",
        "playing",
        (4, 12.1),  # a driver's clock that went back is kept from doing so
        (5, 14.1),
    ]
    assert (source.name, source.live, source.frame_count, source.frame_rate_hz) == ("cam", True, None, 30.0)
    assert first.closed


def test_capture_times_never_repeat_nor_go_back() -> None:
    script = Script(Stretch(1.0, 2.0), Stretch(0.5, 0.6))
    times_s = [frame.capture_time_s for frame in script.source(Stretch(3.0), max_frames=5)]
    assert times_s == sorted(set(times_s)) and times_s[-1] < 3.001


def test_attempts_come_slower_but_often_enough() -> None:
    script = Script(*[AWAY] * 30, Stretch(99.0))
    list(script.source(Stretch(0.0), max_frames=2))
    tried_s = [0.0, *script.tried_s]
    waits_s = [round(after - before, 6) for before, after in pairwise(tried_s)]
    assert waits_s == sorted(waits_s)
    assert waits_s[0] < 0.2 and waits_s[-1] == pytest.approx(LONGEST_WAIT_S)


def test_an_attempt_that_took_long_is_followed_by_the_next_at_once() -> None:
    """A UDP sender is heard while an attempt waits for it, not between attempts."""
    script = Script(*[AWAY] * 5, Stretch(99.0), takes_s=2.0)
    list(script.source(Stretch(0.0), max_frames=2))
    gaps_s = [after - before - 2.0 for before, after in zip(script.tried_s, script.tried_s[1:], strict=False)]
    assert max(gaps_s) < 0.05


def test_a_source_that_flickers_is_not_opened_faster_and_faster() -> None:
    script = Script(*[Stretch(float(k)) for k in range(1, 40)])
    list(script.source(Stretch(0.0), max_frames=40))
    gaps_s = [after - before for before, after in zip(script.tried_s, script.tried_s[1:], strict=False)]
    assert gaps_s[-1] == pytest.approx(LONGEST_WAIT_S)


def test_after_a_steady_while_the_first_attempt_comes_soon_again() -> None:
    script = Script(*[AWAY] * 10, Stretch(50.0, 51.0), Stretch(70.0))
    source = script.source(Stretch(0.0), max_frames=4)
    for frame in source:
        if frame.index == 1:
            script.now_s += STEADY_S + 1.0
            lost_s = script.now_s
    assert script.tried_s[-1] - lost_s < 0.2


def test_a_loss_and_a_return_are_a_line_each(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    script = Script(*[AWAY] * 20, Stretch(9.0))
    list(script.source(Stretch(0.0, failure=SourceFailedError("cam: gone")), max_frames=2))
    lost, back = (record.getMessage() for record in caplog.records)
    assert lost == "cam: gone; trying again until it is back"
    assert back.startswith("cam is back after ") and "\n" not in back


@pytest.mark.parametrize(
    ("failure", "attempt"),
    [
        (None, CameraError("the calibration is for another aspect")),
        (CameraMismatchError("the calibration is for another aspect"), AssertionError("not tried again")),
    ],
    ids=["after a return", "in mid-stream"],
)
def test_pictures_that_do_not_fit_the_calibration_end_the_run(
    failure: Exception | None, attempt: Exception
) -> None:
    with pytest.raises(CameraMismatchError, match="another aspect"):
        list(Script(attempt).source(Stretch(0.0, failure=failure)))


def test_a_bug_is_not_tried_again() -> None:
    with pytest.raises(ZeroDivisionError):
        list(Script(Stretch(1.0)).source(Stretch(0.0, failure=ZeroDivisionError())))
    with pytest.raises(ZeroDivisionError):
        list(Script(ZeroDivisionError()).source(Stretch(0.0)))


def closed_while(source: Reopening, busy: threading.Event) -> list[Frame]:
    """The frames until ``source`` is closed from another thread while it is ``busy``."""
    frames: list[Frame] = []
    thread = finish(lambda: frames.extend(source))
    wait_or_fail(busy)
    source.close()
    source.close()
    join_or_fail(thread)
    return frames


def test_closing_ends_a_wait_at_once() -> None:
    waiting = threading.Event()

    def open_again() -> Source:
        waiting.set()
        raise AWAY

    source = Reopening(Stretch(0.0), open_again)
    assert len(closed_while(source, waiting)) == 1
    assert list(source) == []


def test_what_an_attempt_opens_after_the_close_is_closed() -> None:
    opening, late = threading.Event(), Stretch(1.0)
    source = Reopening(Stretch(0.0), lambda: open_late())

    def open_late() -> Source:
        opening.set()
        wait_or_fail(source._closed)
        return late

    assert len(closed_while(source, opening)) == 1
    assert late.closed


def process(frame: Frame) -> TrackedFrame:
    return some_frame(index=frame.index, time_s=frame.capture_time_s)


def test_a_return_with_another_size_gives_a_new_header_and_one_of_the_same_size_none() -> None:
    script = Script(Stretch(1.0), Stretch(2.0, size=(48, 64)))
    sink, wide, tall = NotedSink(), picture(0, width=64, height=48), picture(0, width=48, height=64)
    taken = threading.Semaphore(1)

    def given_one_by_one() -> Iterator[Frame]:
        for frame in script.source(Stretch(0.0), max_frames=3):
            assert taken.acquire(timeout=PATIENCE_S)
            yield frame

    class OneByOne(Stretch):
        def __iter__(self) -> Iterator[Frame]:
            return given_one_by_one()

    with Outputs([sink], source="cam", backend="landmarks") as outputs:
        run_live(OneByOne(), process, outputs, lambda *_: taken.release())
    headers = [StreamInfo("cam", "landmarks", frame.camera) for frame in (wide, tall)]
    assert sink.notes == [headers[0], 0, 1, headers[1], 2, "ended", "closed"]


# Webcams


def generated(seconds: float, size: str = "96x64") -> DeviceArguments:
    """FFmpeg's picture generator, which opens as a device does, and is gone after ``seconds``."""
    return DeviceArguments(f"testsrc2=size={size}:rate=30:duration={seconds}", "lavfi", {})


def plugged(
    monkeypatch: pytest.MonkeyPatch, listings: Sequence[Sequence[Device]], size: str = "96x64"
) -> list[int]:
    """Webcams of 3 frames each; every look at the system's list finds the next of ``listings``."""
    opened: list[int] = []
    waiting = list(listings)

    def arguments(platform: str, number: int, *_: object, **__: object) -> list[DeviceArguments]:
        opened.append(number)
        return [generated(0.1, size if len(opened) > 1 else "96x64")]

    def listed(platform: str) -> list[Device]:
        return list(waiting.pop(0) if len(waiting) > 1 else waiting[0])

    monkeypatch.setattr(webcam, "webcam_open_arguments", arguments)
    monkeypatch.setattr(webcam, "list_webcams", listed)
    return opened


HD, HEADSET = Device(0, "/dev/video0", "HD Cam"), Device(2, "/dev/video2", "Headset")


def test_a_webcam_that_is_plugged_in_again_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    opened = plugged(monkeypatch, [[HD, HEADSET], [HD], [], [HD, HEADSET]])
    states: list[str] = []
    with closing(open_source("/dev/video2", max_frames=8, reconnect=True)) as source:
        assert isinstance(source, Reopening)
        source.call_on_state(states.append)
        frames = list(source)
    assert [frame.index for frame in frames] == list(range(8))
    assert opened == [2, 2, 2] and states == ["lost", "playing"] * 2
    times_s = [frame.capture_time_s for frame in frames]
    assert times_s == sorted(set(times_s))
    assert all(frame.camera == frames[0].camera for frame in frames)


def test_without_reconnecting_a_webcam_that_is_unplugged_ends_the_run(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    plugged(monkeypatch, [[HD]])
    with pytest.raises(SourceFailedError, match="unplugged"):
        list(open_source("0"))


def test_a_webcam_that_comes_back_with_another_aspect_ends_a_calibrated_run(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    plugged(monkeypatch, [[HD]], size="64x64")
    with pytest.raises(CameraMismatchError, match=r"webcam 0 came back with other pictures.*another aspect"):
        list(open_source("0", camera=pinhole_from_fov(192, 128, 65.0), reconnect=True))


@pytest.mark.parametrize(
    ("listed", "number"),
    [
        ([HD, HEADSET], 2),
        ([HD, Device(1, "/dev/video1", "Headset")], 1),
        ([Device(2, "", "Other")], None),
        ([], None),
    ],
    ids=["as before", "renumbered", "another in its place", "none"],
)
def test_a_webcam_is_known_by_what_the_system_calls_it(listed: list[Device], number: int | None) -> None:
    if number is None:
        with pytest.raises(SourceError, match="Headset is not connected"):
            same_webcam(listed, 2, "Headset")
    else:
        assert same_webcam(listed, 2, "Headset") == number
    assert same_webcam(listed, 2, None) == 2
