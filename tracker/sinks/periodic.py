"""Work repeated on a thread of its own while a sink is open, such as flushing what it holds back."""

import threading
from collections.abc import Callable

FLUSH_PERIOD_S = 0.5
"""How long a recording may hold frames back; half of the second that a killed program may lose."""


class Periodic:
    """Calls ``work`` every ``period_s`` until closed, or until it raises."""

    def __init__(self, work: Callable[[], None], period_s: float = FLUSH_PERIOD_S) -> None:
        self._work = work
        self._period_s = period_s
        self._stop = threading.Event()
        self._failure: Exception | None = None
        self._thread = threading.Thread(target=self._repeat, name="recording", daemon=True)
        self._thread.start()

    def check(self) -> None:
        """Raise what ``work`` raised, if it did; once."""
        failure, self._failure = self._failure, None
        if failure is not None:
            raise failure

    def close(self) -> None:
        """End the thread once its work is done; safe to call twice. Never call it from ``work``."""
        self._stop.set()
        self._thread.join()

    def _repeat(self) -> None:
        try:
            while not self._stop.wait(self._period_s):
                self._work()
        except Exception as failure:  # raised again in the tracker's thread
            self._failure = failure
