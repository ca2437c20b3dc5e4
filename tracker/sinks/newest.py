"""What is newest of a run's messages, for any number of connections that take it when they have room.

This is the one-slot mailbox for many takers: one slot each for header, frame and state, numbered in the order
they came. A connection remembers the number up to which it has sent, so one that is slow skips what was
replaced meanwhile, and all of them together hold no queue.
"""

import threading
from collections.abc import Callable
from typing import Protocol

from tracker.structs import StreamInfo, TrackedFrame


class Stream(Protocol):
    """How a run's messages are spelled on a connection; empty where there is nothing to say."""

    def header(self, info: StreamInfo) -> bytes:
        """What comes before the frames of ``info``."""
        ...

    def frame(self, tracked: TrackedFrame, info: StreamInfo) -> bytes:
        """One result."""
        ...

    def state(self, state: str) -> bytes:
        """The source's state changed."""
        ...


class _Message:
    """A message and its number; it is spelled when first wanted, in the thread that sends."""

    def __init__(self, number: int, spell: Callable[[], bytes]) -> None:
        self.number = number
        self._spell = spell
        self._bytes: bytes | None = None

    def spelled(self) -> bytes:
        if self._bytes is None:
            self._bytes = self._spell()
        return self._bytes


class Newest:
    """The newest header, frame and state; put by the tracker's thread, taken by one other."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._lock = threading.Lock()
        self._number = 0
        self._info: StreamInfo | None = None
        self._header: _Message | None = None
        self._frame: _Message | None = None
        self._state: _Message | None = None

    def begin(self, info: StreamInfo) -> None:
        """A new header; a frame that waits belongs to the old one and goes."""
        with self._lock:
            self._info = info
            self._header, self._frame = self._message(lambda: self._stream.header(info)), None

    def send(self, tracked: TrackedFrame) -> None:
        """A new frame, in place of one that waits."""
        with self._lock:
            info = self._info
            assert info is not None, "begin() gives the header and comes first"
            self._frame = self._message(lambda: self._stream.frame(tracked, info))

    def notify(self, state: str) -> None:
        """A new state, in place of one that waits."""
        with self._lock:
            self._state = self._message(lambda: self._stream.state(state))

    def greeting(self) -> tuple[bytes, int]:
        """What a new connection is sent first, and the number up to which it then knows all.

        Frames are left out: the newest may be old, and the next one comes soon.
        """
        with self._lock:
            messages, number = (self._header, self._state), self._number
        return _in_order(messages, after=0), number

    def after(self, number: int) -> tuple[bytes, int]:
        """What came after ``number`` and was not replaced, in order, and the number up to which that is."""
        with self._lock:
            messages, newest = (self._header, self._frame, self._state), self._number
        return _in_order(messages, after=number), newest

    def _message(self, spell: Callable[[], bytes]) -> _Message:
        self._number += 1
        return _Message(self._number, spell)


def _in_order(messages: tuple[_Message | None, ...], *, after: int) -> bytes:
    wanted = [message for message in messages if message is not None and message.number > after]
    return b"".join(message.spelled() for message in sorted(wanted, key=lambda message: message.number))
