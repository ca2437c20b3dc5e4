"""On two cores: keeps the threads that read hands off the core of the thread that waits for them.

After a pause, or after another program has run, Linux was seen to wake a reading thread on the core of the
thread that wakes it, and to leave the other core idle for as long as the networks take: 10 ms a frame
instead of 6. With more cores it finds one of its own.
"""

import os
import threading
from collections.abc import Callable, Iterable


class SecondCore:
    """Moves reading threads to the core where their caller is not; does nothing unless there are two.

    Only the threads that ``join`` are touched, never the caller's.

    Args:
        cores: those this program may run on; asked of the system unless given.
        current_core: says on which of them the calling thread is.
        move: sets the cores of a thread, by the number the system knows it by.
    """

    def __init__(
        self,
        *,
        cores: Iterable[int] | None = None,
        current_core: Callable[[], int] | None = None,
        move: Callable[[int, Iterable[int]], None] | None = None,
    ) -> None:
        if cores is None:
            cores = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else ()
        self._cores = frozenset(cores)
        self._current_core = current_core or _current_core()
        self._move = move or getattr(os, "sched_setaffinity", None)
        self._threads: list[int] = []
        self._moved_to: tuple[frozenset[int], int] | None = None

    def join(self) -> None:
        """Count the calling thread among those that read."""
        self._threads.append(threading.get_native_id())

    def keep_clear(self) -> None:
        """Before work is handed over: have the reading threads run on the core where the caller is not."""
        if len(self._cores) != 2 or self._current_core is None or self._move is None:
            return
        others = self._cores - {self._current_core()}
        wanted = (others, len(self._threads))
        if len(others) != 1 or wanted == self._moved_to:
            return
        self._moved_to = wanted
        try:
            for thread in self._threads:
                self._move(thread, others)
        except OSError:  # not allowed here, or not any more
            self._move = None


def _current_core() -> Callable[[], int] | None:
    """The C library's own; Python has none."""
    import ctypes

    try:
        return ctypes.CDLL(None).sched_getcpu
    except (AttributeError, OSError, TypeError):  # another system
        return None
