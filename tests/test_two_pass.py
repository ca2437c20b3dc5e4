"""The run that smooths at the end: all results come, in order, with their pictures, whatever broke it off."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import pytest
from scripted_runs import NotedSink, ScriptedSource
from tracked_values import picture, some_frame

from tracker.cameras import Camera
from tracker.errors import SourceFailedError
from tracker.runtime.outputs import Outputs
from tracker.runtime.two_pass import run_two_pass
from tracker.sources import Source
from tracker.structs import Frame, TrackedFrame


class PictureSink(NotedSink):
    """Notes which results came with which pictures."""

    def send(self, tracked: TrackedFrame, frame: Frame | None) -> None:
        self._note(
            "send", (tracked.frame_index, tracked.dropped_frames, None if frame is None else frame.index)
        )


def script(count: int, failure: BaseException | None = None) -> Callable[[ScriptedSource], Iterator[Frame]]:
    def frames(_: ScriptedSource) -> Iterator[Frame]:
        for index in range(count):
            yield picture(index)
        if failure is not None:
            raise failure

    return frames


def smooth(kept: Sequence[tuple[TrackedFrame, Camera]]) -> list[TrackedFrame]:
    """Marks every frame with how many there are."""
    assert all(camera == picture().camera for _, camera in kept)
    return [replace(tracked, dropped_frames=len(kept)) for tracked, _ in kept]


def run(source: ScriptedSource, reread: Callable[[], Source] | None = None) -> list[object]:
    sink = PictureSink()

    def process(frame: Frame) -> TrackedFrame:
        assert not sink.notes  # nothing is sent before all is known
        return some_frame(index=frame.index)

    with Outputs([sink], source="script", backend="landmarks") as outputs:
        try:
            run_two_pass(source, process, outputs, lambda *_: None, smooth=smooth, reread=reread)
        except (SourceFailedError, KeyboardInterrupt) as failure:
            sink.notes.append(type(failure))
    return [note for note in sink.notes if note not in ("begin", "closed")][1:]


def test_results_come_after_the_last_frame_and_without_pictures_where_none_are_wanted() -> None:
    assert run(ScriptedSource(script(3))) == [(0, 3, None), (1, 3, None), (2, 3, None)]


def test_pictures_are_read_a_second_time_where_they_are_wanted() -> None:
    again = ScriptedSource(script(3))
    assert run(ScriptedSource(script(3)), lambda: again) == [(0, 3, 0), (1, 3, 1), (2, 3, 2)]
    assert again.closing.is_set()


@pytest.mark.parametrize("failure", [SourceFailedError("damaged"), KeyboardInterrupt()])
def test_what_was_tracked_before_the_run_broke_off_is_sent(failure: BaseException) -> None:
    sent = run(ScriptedSource(script(2, failure)), lambda: ScriptedSource(script(9)))
    assert sent == [(0, 2, 0), (1, 2, 1), type(failure)]


def test_results_whose_pictures_cannot_be_read_again_come_without() -> None:
    again = ScriptedSource(script(1, SourceFailedError("gone")))
    sent = run(ScriptedSource(script(3)), lambda: again)
    assert sent == [(0, 3, 0), (1, 3, None), (2, 3, None), SourceFailedError]


def test_a_file_without_frames_sends_nothing() -> None:
    assert run(ScriptedSource(script(0)), lambda: ScriptedSource(script(0))) == []
