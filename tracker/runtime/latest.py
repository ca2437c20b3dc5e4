"""A mailbox of one slot between two threads: a newer item replaces one nobody has taken."""

import threading
from typing import Generic, TypeVar

T = TypeVar("T")


class ClosedError(Exception):
    """The mailbox is closed and empty: nothing more will come."""


class Latest(Generic[T]):
    """Holds the newest item only; putting never waits, taking waits for an item or the close."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._items: list[T] = []
        self._closed = False
        self.replaced = 0
        """Items that were replaced before anybody took them."""

    def put(self, item: T) -> None:
        """Leave ``item``, replacing one that was not taken; ignored once closed."""
        with self._changed:
            if self._closed:
                return
            self.replaced += len(self._items)
            self._items = [item]
            self._changed.notify()

    def take(self) -> T:
        """Wait for an item and take it.

        Raises:
            ClosedError: the mailbox is closed and holds nothing.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._items or self._closed)
            if not self._items:
                raise ClosedError
            return self._items.pop()

    def close(self) -> None:
        """Let the taker finish the item that waits, then tell it that nothing more comes."""
        with self._changed:
            self._closed = True
            self._changed.notify()
