"""A live source that is opened again when its pictures stop coming: camera unplugged, sender restarted."""

import logging
import threading
import time
from collections.abc import Callable, Generator, Iterator
from dataclasses import replace

from tracker.errors import CameraError, CameraMismatchError, SourceError, SourceFailedError
from tracker.sources import Source
from tracker.structs import Frame

FIRST_WAIT_S = 0.1
LONGEST_WAIT_S = 0.5
"""Attempts begin at least this often, and a stream may take a second more until its next key frame."""
STEADY_S = 5.0
"""After giving pictures for so long, a source that is lost is tried again as soon as the first time."""
SHORTEST_WAIT_S = 0.02
"""Between attempts, however long the last one took."""
SMALLEST_STEP_S = 1e-6

_log = logging.getLogger(__name__)


class Reopening:
    """Gives the frames of ``first``, and when it is lost those of what ``open_again`` opens, as one source.

    Indices count on and capture times never go back. Each loss and each return is one line of the log.

    Args:
        first: taken over; live.
        open_again: opens the same anew, without a limit of frames; ``SourceError`` says it is not back yet.
        max_frames: end after so many in all.
        clock: the monotonic clock.
        wait: passes so many seconds, or less when the source was closed meanwhile.

    Raises:
        CameraMismatchError: while iterating: what came back does not fit the calibration.
    """

    live = True
    frame_count: int | None = None

    def __init__(
        self,
        first: Source,
        open_again: Callable[[], Source],
        *,
        max_frames: int | None = None,
        clock: Callable[[], float] = time.monotonic,
        wait: Callable[[float], object] | None = None,
    ) -> None:
        self.name = first.name
        self.frame_rate_hz = first.frame_rate_hz
        self._source: Source | None = first
        self._open_again = open_again
        self._max_frames = max_frames
        self._clock = clock
        self._closed = threading.Event()
        self._wait = wait or self._closed.wait
        self._tell: Callable[[str], None] = lambda state: None
        self._lock = threading.Lock()
        self._given = 0
        self._time_s = float("-inf")
        self._wait_s = FIRST_WAIT_S

    def call_on_state(self, tell: Callable[[str], None]) -> None:
        """See ``TellsState``; the calls come in the thread that iterates."""
        self._tell = tell

    def __iter__(self) -> Iterator[Frame]:
        try:
            while (source := self._source) is not None:
                why = yield from self._frames_of(source)
                if why is None or self._closed.is_set():
                    return
                lost_s = self._clock()
                _log.warning("%s; trying again until it is back", why)
                self._tell("lost")
                if not self._find_again():
                    return
                _log.warning("%s is back after %.1f s", self.name, self._clock() - lost_s)
                self._tell("playing")
        finally:
            self.close()

    def close(self) -> None:
        """End the iteration, also while it waits; safe to call twice and from any thread.

        An attempt to open that is under way ends at its time limit, and what it opened is closed.
        """
        self._closed.set()
        with self._lock:
            source, self._source = self._source, None
        if source is not None:
            source.close()

    def _frames_of(self, source: Source) -> Generator[Frame, None, str | None]:
        """The frames of ``source`` as ours; returns why there are no more, or None when there were enough."""
        began_s = self._clock()
        try:
            for frame in source:
                self._time_s = max(frame.capture_time_s, self._time_s + SMALLEST_STEP_S)
                self._given += 1
                yield replace(frame, index=self._given - 1, capture_time_s=self._time_s)
                if self._given == self._max_frames:
                    return None
            why = f"{self.name} ended"
        except CameraMismatchError:
            raise
        except SourceFailedError as failure:
            why = str(failure)
        if self._clock() - began_s >= STEADY_S:
            self._wait_s = FIRST_WAIT_S
        source.close()
        return why

    def _find_again(self) -> bool:
        """Open the source until that works; False when closed meanwhile."""
        began_s = self._clock()
        while not self._closed.is_set():
            self._wait(max(SHORTEST_WAIT_S, began_s + self._wait_s - self._clock()))
            if self._closed.is_set():
                break
            self._wait_s = min(2 * self._wait_s, LONGEST_WAIT_S)
            began_s = self._clock()
            try:
                return self._take_over(self._open_again())
            except CameraError as error:
                raise CameraMismatchError(f"{self.name} came back with other pictures: {error}") from None
            except SourceError as error:
                _log.debug("%s", error)
        return False

    def _take_over(self, source: Source) -> bool:
        with self._lock:
            if not self._closed.is_set():
                self._source = source
                return True
        source.close()
        return False
