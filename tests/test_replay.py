"""Replay: a recording goes to the outputs as it came, with the pictures it was made from."""

from collections.abc import Iterator

from scripted_runs import NotedSink
from tracked_values import picture, some_info, two_hands

from tracker.runtime.replay import Pacer, replay_messages
from tracker.sinks.messages import State
from tracker.structs import Frame, StreamInfo, TrackedFrame

INFO = some_info()


class PictureSink(NotedSink):
    """Notes which picture came with each frame."""

    def send(self, tracked: TrackedFrame, frame: Frame | None) -> None:
        self.notes.append((tracked.frame_index, None if frame is None else frame.index))


def replayed(
    messages: list[StreamInfo | TrackedFrame | State], pictures: Iterator[Frame] | None = None
) -> list[object]:
    sink = PictureSink()
    replay_messages(messages, [sink], pictures=pictures, observe=lambda tracked, took_s: None)
    return sink.notes


def test_headers_frames_and_states_reach_the_outputs_in_order() -> None:
    messages = [INFO, two_hands(0), State("lost"), State("playing"), INFO, two_hands(1)]
    assert replayed(messages) == [INFO, (0, None), "lost", "playing", INFO, (1, None)]


def test_each_frame_comes_with_the_picture_of_its_index_though_some_were_dropped() -> None:
    pictures = (picture(index, width=64, height=48) for index in range(6))
    frames = [two_hands(index) for index in (1, 2, 5, 8)]
    assert replayed([INFO, *frames], pictures) == [INFO, (1, 1), (2, 2), (5, 5), (8, None)]


def test_a_picture_newer_than_the_frame_waits_for_its_own() -> None:
    pictures = (picture(index, width=64, height=48) for index in (3, 4))
    frames = [two_hands(index) for index in (2, 3, 4)]
    assert replayed([INFO, *frames], pictures) == [INFO, (2, None), (3, 3), (4, 4)]


def test_frames_are_sent_when_their_time_has_come_and_late_ones_at_once() -> None:
    now_s, waits_s = [50.0], []

    def wait(seconds: float) -> None:
        waits_s.append(seconds)
        now_s[0] += seconds

    pace = Pacer(clock=lambda: now_s[0], wait=wait)
    pace(7.0)
    pace(7.5)
    now_s[0] += 2.0  # an output was slow
    pace(8.0)
    pace(10.0)
    assert waits_s == [0.5, 0.5] and now_s[0] == 53.0
