"""Recordings: what was written can be read, whatever happened to the writer."""

import io
import json
import logging
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from limited_disk import LimitedDisk
from tracked_values import LENS, assert_same_frame, some_frame, some_hand, some_info, two_hands

from tracker.cameras import pinhole_from_fov
from tracker.errors import RecordingError, SinkError, SinkFailedError
from tracker.joints import Side
from tracker.sinks.messages import Clock, State
from tracker.sinks.recording import RecordingSink, _lines, read_recording
from tracker.structs import StreamInfo, TrackedFrame

needs_full_device = pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full")


def record(path: Path, count: int = 3) -> bytes:
    sink = RecordingSink(path)
    sink.begin(some_info())
    for index in range(count):
        sink.send(two_hands(index), None)
    sink.close()
    return path.read_bytes()


def test_what_was_recorded_is_read_back(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    narrow = pinhole_from_fov(480, 480, 40.0, assumed=True)
    alone = some_frame(some_hand(Side.RIGHT), index=9)
    sink = RecordingSink(path, clock=lambda: Clock(1.0, 2.0))
    sink.begin(some_info(LENS))
    sink.notify("playing")
    sink.send(two_hands(7), None)
    sink.begin(some_info(narrow))
    sink.send(alone, None)
    sink.close()

    first, state, both, second, last = read_recording(path)
    assert (first, state, second) == (some_info(LENS), State("playing"), some_info(narrow))
    assert isinstance(both, TrackedFrame) and isinstance(last, TrackedFrame)
    assert_same_frame(both, two_hands(7))
    assert_same_frame(last, alone)


def test_a_reading_replayed_into_a_sink_gives_the_same_lines(tmp_path: Path) -> None:
    lines = record(tmp_path / "a.jsonl").splitlines()
    sink = RecordingSink(tmp_path / "b.jsonl")
    for value in read_recording(tmp_path / "a.jsonl"):
        match value:
            case StreamInfo():
                sink.begin(value)
            case TrackedFrame():
                sink.send(value, None)
            case State():
                sink.notify(value.state)
    sink.close()
    assert (tmp_path / "b.jsonl").read_bytes().splitlines()[1:] == lines[1:]


def test_a_file_still_being_written_can_be_read(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    sink = RecordingSink(path)
    sink.begin(some_info())
    sink.send(two_hands(0), None)
    assert len(list(read_recording(path))) == 2
    sink.close()


@pytest.mark.parametrize("cut", [1, 2, 100, 4000])
def test_a_last_line_cut_short_is_left_out_with_one_warning(
    tmp_path: Path, cut: int, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "a.jsonl"
    whole = record(path)
    path.write_bytes(whole[:-cut])
    with caplog.at_level(logging.WARNING):
        count = len(list(read_recording(path)))
    assert (count, len(caplog.records)) == ((4, 0) if cut == 1 else (3, 1))


def test_the_rest_of_a_line_that_grew_while_it_was_read_is_left_out() -> None:
    class Growing(io.BytesIO):
        """Its first reading of a line stops where the writer had come to."""

        def readline(self, size: int | None = -1, /) -> bytes:
            return super().readline(4 if self.tell() == 0 else size)

    assert list(_lines("a.jsonl", Growing(b"12345678\n12345678\n"))) == [(1, b"1234")]


@pytest.mark.parametrize("garbage", [b"garbage", b'{"type":"frame"}', b"\x00" * 10])
def test_garbage_in_the_middle_is_refused_with_its_line(tmp_path: Path, garbage: bytes) -> None:
    path = tmp_path / "a.jsonl"
    lines = record(path).splitlines(keepends=True)
    path.write_bytes(b"".join([*lines[:2], garbage + b"\n", *lines[2:]]))
    values = read_recording(path)
    assert isinstance(next(values), StreamInfo) and isinstance(next(values), TrackedFrame)
    with pytest.raises(RecordingError, match=r"a\.jsonl, line 3: not a message"):
        next(values)


def test_blank_lines_and_unknown_types_are_skipped(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    lines = record(path).splitlines()
    path.write_bytes(b"\r\n".join([lines[0], b"", b'{"type":"gaze","x":1}', *lines[1:], b""]))
    assert len(list(read_recording(path))) == 4


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"\n\n", "is empty"),
        (b"frame,x,y\n1,2,3\n", "line 1: not a message"),
        (b"\x00\x00\x00\x18ftypmp42", "line 1: not a message"),
        (b'{"type":"state","state":"playing"}\n', "no header"),
        (b'{"type":"header","format":"gaze-track","version":1}\n', "gaze-track"),
        (b'{"type":"header","format":"hand-track","version":2}\n', "version 2.*reads version 1"),
        (b'{"type":"header","format":"hand-tr', "line 1: not a message"),
    ],
)
def test_what_is_no_recording_is_refused(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(content)
    with pytest.raises(RecordingError, match=message):
        list(read_recording(path))


def test_a_line_without_end_is_refused_before_it_fills_the_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tracker.sinks.recording.MAX_LINE_BYTES", 1000)
    path = tmp_path / "a.jsonl"
    path.write_bytes(b" " * 5000)
    with pytest.raises(RecordingError, match="line 1: longer than"):
        list(read_recording(path))


def test_missing_file_and_folder_are_refused(tmp_path: Path) -> None:
    with pytest.raises(RecordingError, match="No such file"):
        next(read_recording(tmp_path / "none.jsonl"))
    with pytest.raises(RecordingError, match="directory"):
        next(read_recording(tmp_path))


WRITER = """
import sys
from tracked_values import some_info, two_hands
from tracker.sinks.recording import RecordingSink
sink = RecordingSink(sys.argv[1])
sink.begin(some_info())
index = 0
while True:
    sink.send(two_hands(index), None)
    index += 1
    print(index, flush=True)
"""


def test_a_killed_writer_loses_at_most_the_line_it_was_writing(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    tests = Path(__file__).parent
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(tests), str(tests.parent)])}
    process = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, text=True, env=environment
    )
    assert process.stdout is not None
    while process.stdout.readline().strip() != "50":
        assert process.poll() is None
    process.send_signal(signal.SIGKILL)
    sent = 50 + len(process.stdout.read().split())
    process.wait(timeout=20)
    process.stdout.close()
    indices = [value.frame_index for value in read_recording(path) if isinstance(value, TrackedFrame)]
    assert indices == list(range(len(indices)))
    assert len(indices) >= sent


@needs_full_device
def test_a_full_disk_is_said_in_one_line() -> None:
    sink = RecordingSink("/dev/full")
    with pytest.raises(SinkFailedError, match=r"^writing /dev/full failed: No space left on device; .*kept$"):
        sink.begin(some_info())
    sink.close()
    with pytest.raises(SinkFailedError, match="is closed"):
        sink.send(two_hands(), None)


def test_a_line_written_in_part_is_cut_off_when_the_disk_is_full(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.jsonl"
    sink = RecordingSink(path)
    LimitedDisk(monkeypatch, room=9000)
    sink.begin(some_info())
    sink.send(two_hands(0), None)
    with pytest.raises(SinkFailedError, match="No space left"):
        sink.send(two_hands(1), None)
    monkeypatch.undo()
    sink.close()
    assert path.read_bytes().endswith(b"}\n")
    assert len(list(read_recording(path))) == 2


def test_a_line_the_system_takes_in_pieces_is_written_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = record(tmp_path / "a.jsonl").splitlines()[1:]
    real_write = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, line: real_write(descriptor, line[:700]))
    assert record(tmp_path / "b.jsonl").splitlines()[1:] == expected


def test_what_is_recorded_is_not_overwritten_by_accident(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    whole = record(path)
    with pytest.raises(SinkError, match=r"a\.jsonl exists and is not empty; .*--overwrite"):
        RecordingSink(path)
    assert path.read_bytes() == whole


def test_overwriting_drops_the_old_recording_only_when_the_new_one_begins(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    whole = record(path)
    sink = RecordingSink(path, overwrite=True)
    assert path.read_bytes() == whole
    sink.begin(some_info(LENS))
    sink.close()
    assert list(read_recording(path)) == [some_info(LENS)]


def test_an_empty_file_and_a_device_can_be_written(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.touch()
    record(path)
    RecordingSink(os.devnull).close()


def test_an_output_that_cannot_be_opened_is_said_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(SinkError, match="there is no folder"):
        RecordingSink(tmp_path / "none" / "a.jsonl")
    with pytest.raises(SinkError, match="it is a folder"):
        RecordingSink(tmp_path)
    with pytest.raises(SinkError, match="Not a directory"):
        (tmp_path / "file").touch()
        RecordingSink(tmp_path / "file" / "a.jsonl")


def test_lines_are_plain_json(tmp_path: Path) -> None:
    header, *frames = map(json.loads, record(tmp_path / "a.jsonl").splitlines())
    assert header["format"] == "hand-track"
    assert [frame["frame"] for frame in frames] == [0, 1, 2]


def test_the_independent_evaluator_reads_recordings(tmp_path: Path) -> None:
    tool = Path(__file__).parent.parent.parent / "shared" / "tools" / "egoeval.py"
    if not tool.exists():
        pytest.skip("the evaluator is not on this machine")
    import importlib.util

    import numpy as np

    specification = importlib.util.spec_from_file_location("egoeval", tool)
    assert specification is not None and specification.loader is not None
    egoeval = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(egoeval)
    record(tmp_path / "a.jsonl")
    recording, header, *_ = egoeval.load_rec(str(tmp_path / "a.jsonl"), 3)
    assert header["version"] == 1
    for index, found in enumerate(recording):
        for hand, expected in zip(found, two_hands(index).hands, strict=True):
            assert (hand["id"], hand["side"]) == (expected.track_id, expected.pose.side.value)
            np.testing.assert_allclose(hand["p"], expected.joints_px, atol=0.0051)
            np.testing.assert_allclose(hand["X"], expected.pose.joints_in_camera_m, atol=5.1e-7)
