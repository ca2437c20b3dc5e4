"""Replay: a recording goes to the outputs as it came, with the pictures it was made from."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from scripted_runs import NotedSink
from tracked_values import picture, some_info, two_hands

from tracker.runtime.replay import Pacer, replay_messages
from tracker.sinks import open_recording
from tracker.sinks.json_lines import JsonLines
from tracker.sinks.messages import State
from tracker.sinks.recording import RecordingSink, read_recording
from tracker.structs import Clock, Frame, StreamInfo, TrackedFrame

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


CLOCKS = (Clock(monotonic_s=830.25, unix_s=1700000000.5), Clock(monotonic_s=900.5, unix_s=1700000070.75))


@pytest.mark.parametrize(
    ("ending", "library"), [(".jsonl", "json"), (".mcap", "mcap"), (".parquet", "pyarrow"), (".rrd", "rerun")]
)
def test_a_replayed_recording_keeps_the_moment_it_was_recorded(
    tmp_path: Path, ending: str, library: str
) -> None:
    """Capture times stay as they were, so a clock of the replay would place them in another day."""
    pytest.importorskip(library)
    recorded, again = tmp_path / "recorded.jsonl", tmp_path / f"again{ending}"
    moments = iter(CLOCKS)
    sink = RecordingSink(recorded, clock=lambda: next(moments))
    for index, _ in enumerate(CLOCKS):
        sink.begin(INFO)
        sink.send(two_hands(index), None)
    sink.close()
    copy = open_recording(again)
    replay_messages(read_recording(recorded), [copy], observe=lambda tracked, took_s: None)
    copy.close()
    # A Rerun file has room for one header, the last.
    assert clocks_of(again) == (CLOCKS[1:] if ending == ".rrd" else CLOCKS)


def test_a_replay_over_a_socket_tells_the_recorded_clock() -> None:
    told = json.loads(JsonLines().header(StreamInfo("x", "y", INFO.camera, clock=CLOCKS[0])))["clock"]
    assert Clock(**told) == CLOCKS[0]


def clocks_of(path: Path) -> tuple[Clock | None, ...]:
    """The clocks of a recording's headers, and of its metadata where it has them there, too."""
    if path.suffix == ".parquet":
        import pyarrow.parquet as parquet

        metadata = parquet.read_metadata(path).metadata or {}
        return tuple(Clock(**header["clock"]) for header in json.loads(metadata[b"hand-track.headers"]))
    if path.suffix == ".rrd":
        from rerun_files import column

        return tuple(
            Clock(**json.loads(text[0])["clock"]) for text in column(path, "header", "text").values()
        )
    if path.suffix == ".mcap":
        from mcap.reader import make_reader

        with path.open("rb") as file:
            (metadata,) = make_reader(file).iter_metadata()
        noted = {key: float(metadata.metadata[key]) for key in ("monotonic_s", "unix_s")}
        assert Clock(**noted) == CLOCKS[0]
    return tuple(value.clock for value in read_recording(path) if isinstance(value, StreamInfo))
