"""What is newest of a run's messages: filled by the tracker's thread, read by the server's.

One slot each for header, frame and state, numbered in the order they came. Clients remember the number up to
which they know all, so slow ones skip what was replaced and there is no queue.
"""

import threading
from collections.abc import Callable
from dataclasses import dataclass

from tracker.sinks.messages import Clock, State
from tracker.sinks.wire import header_message, read_clock
from tracker.structs import Frame, StreamInfo, TrackedFrame
from tracker.web.spelling import RunFacts, SpelledFrame, SpelledMessage


@dataclass(frozen=True, eq=False)
class Numbered:
    """A message and its place in the order."""

    number: int
    message: SpelledMessage | SpelledFrame


class Board:
    """The newest header, frame and state."""

    def __init__(self, facts: RunFacts, clock: Callable[[], Clock] = read_clock) -> None:
        self._facts = facts
        self._clock = clock
        self._lock = threading.Lock()
        self._number = 0
        self._info: StreamInfo | None = None
        self._slots: dict[str, Numbered] = {}
        self.state = "waiting"
        """The source's, as last told; ``waiting`` before the first frame, which is said to no client."""

    def begin(self, info: StreamInfo) -> None:
        """A new header; a frame that waits belongs to the old one and goes."""
        header = SpelledMessage(lambda: header_message(info, self._clock(), self._facts.layout))
        with self._lock:
            self._info = info
            self._put("header", header)
            self._slots.pop("frame", None)

    def send(self, tracked: TrackedFrame, picture: Frame | None) -> None:
        """A new frame, in place of one that waits."""
        assert self._info is not None, "begin() gives the header and comes first"
        frame = SpelledFrame(tracked, self._info, self._facts, picture)
        with self._lock:
            if self.state == "waiting":
                self.state = "playing"
            self._put("frame", frame)

    def notify(self, state: str) -> None:
        """A new state, in place of one that waits."""
        with self._lock:
            self.state = state
            self._put("state", SpelledMessage(lambda: State(state)))

    def number(self, message: SpelledMessage) -> Numbered:
        """Give a message of the server's own its place in the order."""
        with self._lock:
            self._number += 1
            return Numbered(self._number, message)

    def greeting(self) -> tuple[list[Numbered], int]:
        """The header and state that hold, in order, and the number up to which a client then knows all.

        Frames are left out: the newest may be old, and the next one comes soon.
        """
        with self._lock:
            found = [self._slots[name] for name in ("header", "state") if name in self._slots]
            return sorted(found, key=lambda item: item.number), self._number

    def newest(self) -> list[Numbered]:
        """What there is, in order."""
        with self._lock:
            return sorted(self._slots.values(), key=lambda item: item.number)

    def _put(self, name: str, message: SpelledMessage | SpelledFrame) -> None:
        self._number += 1
        self._slots[name] = Numbered(self._number, message)
