"""A recorded file played at its own rate, as a camera would give it."""

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace

from tracker.sources import Source
from tracker.structs import Frame


class PacedSource:
    """Gives each frame of ``source`` no earlier than its time, counted from the first one taken.

    ``capture_time_s`` becomes the moment on the monotonic clock at which the frame was due, also when
    it is taken late: a camera would have seen it then. Nothing is dropped here.

    Args:
        source: a recording; taken over and closed with this one.
        clock: the monotonic clock.
        wait: passes so many seconds and returns True when the source was closed meanwhile.
    """

    live = True
    frame_count: int | None = None

    def __init__(
        self,
        source: Source,
        *,
        clock: Callable[[], float] = time.monotonic,
        wait: Callable[[float], object] | None = None,
    ) -> None:
        self.name = source.name
        self.frame_rate_hz = source.frame_rate_hz
        self._source = source
        self._clock = clock
        self._closed = threading.Event()
        self._wait = wait or self._closed.wait

    def __iter__(self) -> Iterator[Frame]:
        shift_s: float | None = None
        try:
            for frame in self._source:
                if shift_s is None:
                    shift_s = self._clock() - frame.capture_time_s
                due_s = frame.capture_time_s + shift_s
                early_s = due_s - self._clock()
                if early_s > 0:
                    self._wait(early_s)
                if self._closed.is_set():
                    return
                yield replace(frame, capture_time_s=due_s)
        finally:
            self.close()

    def close(self) -> None:
        """End the iteration, also while it waits, and close the file; safe to call twice."""
        self._closed.set()
        self._source.close()
