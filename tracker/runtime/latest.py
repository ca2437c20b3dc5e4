"""A mailbox of one slot between two threads: a newer item replaces one nobody has taken."""

import threading
from typing import Generic, TypeVar

T = TypeVar("T")

HEARD_AGAIN_S = 0.5
"""How often a taker that waits looks up: on Windows a wait without end hears no Ctrl-C."""
MOST_KEPT = 64
"""Kept items that may wait; of a taker that is stuck so long the oldest are forgotten."""


class ClosedError(Exception):
    """The mailbox is closed and empty: nothing more will come."""


class Latest(Generic[T]):
    """Holds the newest item only; putting never waits, taking waits for an item or the close.

    Items that are rare and must not be lost are kept: they wait in their place before or after the newest.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._waiting: list[tuple[T, bool]] = []
        """In order, each with whether it is kept; at most one is not."""
        self._closed = False
        self.replaced = 0
        """Items that were replaced before anybody took them."""

    def put(self, item: T) -> None:
        """Leave ``item``, replacing one that was not taken; ignored once closed."""
        with self._changed:
            if self._closed:
                return
            kept = [other for other in self._waiting if other[1]]
            self.replaced += len(self._waiting) - len(kept)
            self._waiting = [*kept, (item, False)]
            self._changed.notify()

    def keep(self, item: T) -> None:
        """Leave ``item`` after what waits; nothing put later replaces or overtakes it."""
        with self._changed:
            if self._closed:
                return
            kept = [other for other in self._waiting if other[1]]
            if len(kept) >= MOST_KEPT:
                self._waiting.remove(kept[0])
            self._waiting.append((item, True))
            self._changed.notify()

    def take(self) -> T:
        """Wait for an item and take it.

        Raises:
            ClosedError: the mailbox is closed and holds nothing.
        """
        with self._changed:
            while not self._changed.wait_for(lambda: self._waiting or self._closed, HEARD_AGAIN_S):
                pass
            if not self._waiting:
                raise ClosedError
            return self._waiting.pop(0)[0]

    def close(self) -> None:
        """Let the taker finish what waits, then tell it that nothing more comes."""
        with self._changed:
            self._closed = True
            self._changed.notify()
