"""The recording switch: asked from any thread, followed with or without frames, never in tracking's way."""

import threading
from dataclasses import replace
from pathlib import Path

import pytest
from scripted_runs import NotedSink, wait_or_fail
from tracked_values import CAMERA, some_frame, some_info

from tracker.errors import SinkError
from tracker.runtime.recording_switch import RecordingSwitch
from tracker.sinks import Sink, open_sink
from tracker.sinks.recording import read_recording
from tracker.structs import StreamInfo, TrackedFrame


class Recordings:
    """Opens a noted sink each time it is asked, and keeps what the switch tells."""

    def __init__(self, *failing: tuple[str, ...]) -> None:
        self._failing = list(failing)
        self.opened: list[NotedSink] = []
        self.told: list[tuple[str | None, str | None]] = []
        self.heard = threading.Event()
        self.switch = RecordingSwitch(self.open, self.tell)

    def tell(self, path: str | None, failure: str | None) -> None:
        self.told.append((path, failure))
        self.heard.set()

    def open(self) -> tuple[Sink, str]:
        self.opened.append(NotedSink(failing=self._failing.pop(0) if self._failing else ()))
        return self.opened[-1], f"{len(self.opened)}.jsonl"

    def send(self, *indices: int) -> None:
        for index in indices:
            self.switch.send(some_frame(index=index), None)


def test_a_recording_holds_header_and_frames_from_its_beginning_to_its_end() -> None:
    recordings = Recordings()
    recordings.switch.begin(some_info())
    recordings.send(0)
    recordings.switch.switch(True)
    recordings.send(1, 2)
    recordings.switch.notify("lost")
    recordings.switch.switch(False)
    recordings.send(3)
    recordings.switch.switch(True)
    recordings.send(4)
    recordings.switch.close()
    recordings.switch.close()
    first, second = recordings.opened
    assert first.notes == [some_info(), 1, 2, "lost", "closed"]
    assert second.notes == [some_info(), 4, "closed"]
    assert recordings.told == [("1.jsonl", None), (None, None), ("2.jsonl", None), (None, None)]


def test_wishes_are_followed_while_no_frame_comes() -> None:
    """The source is lost, say: nothing would end the recording until it is back."""
    recordings = Recordings()
    recordings.switch.begin(some_info())
    for on in (True, False):
        recordings.heard.clear()
        recordings.switch.switch(on)
        wait_or_fail(recordings.heard)
    assert recordings.told == [("1.jsonl", None), (None, None)]
    assert recordings.opened[0].notes == [some_info(), "closed"]


def test_whoever_wishes_does_not_wait_for_it() -> None:
    recordings, slow = Recordings(), threading.Event()
    switch = RecordingSwitch(lambda: (wait_or_fail(slow), recordings.open())[1], recordings.tell)
    switch.begin(some_info())
    switch.switch(True)
    assert recordings.opened == []
    slow.set()
    wait_or_fail(recordings.heard)


def test_no_recording_begins_once_the_switch_is_closed() -> None:
    recordings = Recordings()
    recordings.switch.begin(some_info())
    recordings.switch.close()
    recordings.switch.switch(True)
    recordings.send(0)
    assert recordings.opened == []


def test_wishes_for_what_is_already_so_change_nothing() -> None:
    recordings = Recordings()
    recordings.switch.begin(some_info())
    recordings.switch.switch(False)
    recordings.send(0)
    for index in (1, 2):
        recordings.switch.switch(True)
        recordings.send(index)
    (only,) = recordings.opened
    assert only.notes == [some_info(), 1, 2]
    assert recordings.told == [("1.jsonl", None)]


def test_a_wish_before_the_first_frame_waits_for_it() -> None:
    recordings = Recordings()
    recordings.switch.switch(True)
    recordings.switch.notify("playing")
    assert recordings.opened == []
    recordings.switch.begin(some_info())
    recordings.send(0)
    assert recordings.opened[0].notes == [some_info(), 0]


def test_a_new_camera_gives_the_recording_a_new_header() -> None:
    recordings, other = Recordings(), some_info(replace(CAMERA, fx=400.0))
    recordings.switch.begin(some_info())
    recordings.switch.switch(True)
    recordings.send(0)
    recordings.switch.begin(other)
    recordings.send(1)
    assert recordings.opened[0].notes == [some_info(), 0, other, 1]


@pytest.mark.parametrize("broken", ["begin", "send", "notify", "close"])
def test_a_recording_that_breaks_is_closed_and_told_once_and_the_next_one_works(broken: str) -> None:
    recordings = Recordings((broken, "close"))
    recordings.switch.begin(some_info())
    recordings.switch.switch(True)
    recordings.send(0)
    recordings.switch.notify("lost")
    recordings.switch.switch(False)
    recordings.send(1, 2)
    assert recordings.opened[0].notes[-1] == "closed"
    assert [failure for _, failure in recordings.told if failure] == [f"{broken} broke"]
    assert recordings.told[-1] == (None, f"{broken} broke")
    recordings.switch.switch(True)
    recordings.send(3)
    assert recordings.opened[1].notes == [some_info(), 3]
    assert recordings.told[-1] == ("2.jsonl", None)


def test_a_recording_that_cannot_be_opened_is_told_once_and_not_tried_at_every_frame() -> None:
    tried: list[None] = []
    told: list[tuple[str | None, str | None]] = []

    def refuse() -> tuple[Sink, str]:
        tried.append(None)
        raise SinkError("the folder is gone")

    switch = RecordingSwitch(refuse, lambda path, failure: told.append((path, failure)))
    switch.begin(some_info())
    switch.switch(True)
    for index in range(3):
        switch.send(some_frame(index=index), None)
    assert len(tried) == 1 and told == [(None, "the folder is gone")]


def test_each_recording_on_disk_can_be_read_back(tmp_path: Path) -> None:
    paths: list[str] = []

    def open_next() -> tuple[Sink, str]:
        paths.append(str(tmp_path / f"{len(paths)}.jsonl"))
        return open_sink(paths[-1]), paths[-1]

    switch = RecordingSwitch(open_next, lambda path, failure: None)
    switch.begin(some_info())
    for index in range(6):
        switch.switch(index % 3 > 0)
        switch.send(some_frame(index=index), None)
    switch.close()
    held = []
    for path in paths:
        header, *frames = read_recording(path)
        assert isinstance(header, StreamInfo)
        held.append([frame.frame_index for frame in frames if isinstance(frame, TrackedFrame)])
    assert held == [[1, 2], [4, 5]]
