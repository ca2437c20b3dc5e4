"""Runs an iterator in its own thread, a few items ahead of whoever takes them."""

import threading
from collections import deque
from collections.abc import Generator, Iterator
from typing import Generic, TypeVar

Item = TypeVar("Item")

JOIN_TIMEOUT_S = 5.0


class ReadAhead(Generic[Item]):
    """The same items in the same order, made ahead of time; an error comes after the items before it.

    At most ``depth`` items wait. The thread starts with the first item asked for and ends with the
    last item, an error, or ``close``.
    """

    def __init__(self, items: Generator[Item, None, None], *, depth: int) -> None:
        self._items = items
        self._depth = depth
        self._waiting: deque[Item] = deque()
        self._changed = threading.Condition()
        self._finished = False
        self._closed = False
        self._error: BaseException | None = None
        # A daemon, so that an iteration nobody closed cannot keep the interpreter from ending.
        self._thread = threading.Thread(target=self._run, name="read-ahead", daemon=True)

    def __iter__(self) -> Iterator[Item]:
        return self

    def __next__(self) -> Item:
        with self._changed:
            if self._thread.ident is None and not self._closed:
                self._thread.start()
            self._changed.wait_for(lambda: self._waiting or self._finished or self._closed)
            if self._waiting:
                self._changed.notify_all()
                return self._waiting.popleft()
            error, self._error = self._error, None
        if error is not None:
            raise error
        raise StopIteration

    def close(self) -> bool:
        """Forget the waiting items and end the thread; safe to call twice and from any thread.

        Returns:
            Whether the thread has ended; False when ``items`` was still busy after ``JOIN_TIMEOUT_S``.
        """
        with self._changed:
            self._closed = True
            self._waiting.clear()
            self._error = None
            self._changed.notify_all()
        if self._thread.ident is None:
            self._items.close()  # it never ran, and would keep what it refers to
        elif self._thread is not threading.current_thread():
            self._thread.join(JOIN_TIMEOUT_S)
        return not self._thread.is_alive()

    def _run(self) -> None:
        try:
            for item in self._items:
                with self._changed:
                    self._changed.wait_for(lambda: len(self._waiting) < self._depth or self._closed)
                    if self._closed:
                        return
                    self._waiting.append(item)
                    self._changed.notify_all()
        except BaseException as error:
            self._error = error  # raised again where the items are taken
        finally:
            self._items.close()
            with self._changed:
                self._finished = True
                self._changed.notify_all()
