"""A recorded file that begins again whenever it ends: for demonstrations and long runs."""

import threading
from collections.abc import Callable, Iterator
from dataclasses import replace

from tracker.errors import SourceError
from tracker.sources import Source
from tracker.structs import Frame

PAUSE_S = 1.0
"""Between the last frame of a round and the first of the next. Hands leap there, and after so long a gap the
tracker begins afresh, as it does when a stream was away."""


class Looped:
    """Gives the frames of one round after another as one recording; indices and times count on.

    Args:
        open_round: opens the recording from its beginning; called once at once, and again for each round.
        max_frames: end after so many in all.

    Raises:
        SourceError: the recording cannot be opened, or it is live.
        SourceFailedError: while iterating: it is damaged.
    """

    live = False
    frame_count: int | None = None

    def __init__(self, open_round: Callable[[], Source], *, max_frames: int | None = None) -> None:
        self._open_round = open_round
        self._max_frames = max_frames
        self._lock = threading.Lock()
        self._closed = False
        self._source = open_round()
        self.name = self._source.name
        if self._source.live:
            self._source.close()
            raise SourceError(f"{self.name} is live; only a recorded file can be played again and again")
        self.frame_rate_hz = self._source.frame_rate_hz

    def __iter__(self) -> Iterator[Frame]:
        given, time_s = 0, 0.0
        try:
            while True:
                before, shift_s = given, 0.0
                for frame in self._source:
                    if given == before > 0:  # the first of a further round
                        shift_s = time_s + PAUSE_S - frame.capture_time_s
                    time_s = frame.capture_time_s + shift_s
                    yield replace(frame, index=given, capture_time_s=time_s)
                    given += 1
                    if given == self._max_frames:
                        return
                if given == before or not self._begin_again():
                    return
        finally:
            self.close()

    def close(self) -> None:
        """End the iteration and close the file; safe to call twice and from another thread."""
        with self._lock:
            self._closed = True
            self._source.close()

    def _begin_again(self) -> bool:
        """Open the next round; False when closed meanwhile."""
        with self._lock:
            self._source.close()
            if not self._closed:
                self._source = self._open_round()
            return not self._closed
