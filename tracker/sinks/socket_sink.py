"""A sink whose sockets are served in a thread of its own: ``send`` leaves the newest frame there and returns.

However many peers there are and whatever they do, the tracker only ever fills one slot (`newest.py`).
"""

import selectors
import socket
import threading
import time
from contextlib import suppress
from typing import Protocol

from tracker.errors import SinkFailedError
from tracker.sinks.newest import Newest, Stream
from tracker.structs import Frame, StreamInfo, TrackedFrame

LAST_WORDS_S = 0.5
"""How long peers may take, at the end, to accept what is newest."""
_JOIN_S = 5.0

_BELL = object()
"""Marks our own socket, by which the tracker's thread wakes the other."""

Ready = list[tuple[selectors.SelectorKey, int]]


class Peers(Protocol):
    """The sockets that a stream goes to; used by one thread."""

    def attend(self, ready: Ready, selector: selectors.BaseSelector, newest: Newest, now_s: float) -> float:
        """Do what sockets are ``ready`` for, send what is newest, and register what to wait for.

        Nothing here may block. Returns the time when to be called again, though nothing may have happened.
        """
        ...

    @property
    def behind(self) -> bool:
        """Whether somebody connected has not been sent all."""
        ...

    def close(self) -> None:
        """Close every socket."""
        ...


class SocketSink:
    """Gives ``peers`` the newest of a run's messages as ``stream`` spells them."""

    def __init__(self, name: str, stream: Stream, peers: Peers) -> None:
        self._name = name
        self._peers = peers
        self._newest = Newest(stream)
        self._selector = selectors.DefaultSelector()
        self._bell, self._heard = socket.socketpair()
        for end in (self._bell, self._heard):
            end.setblocking(False)
        self._selector.register(self._heard, selectors.EVENT_READ, _BELL)
        self._closing = threading.Event()
        self._failure: Exception | None = None
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)
        self._thread.start()

    def begin(self, info: StreamInfo) -> None:
        """Tell every peer of the new header."""
        self._newest.begin(info)
        self._ring()

    def send(self, tracked: TrackedFrame, frame: Frame | None) -> None:
        """Leave a frame for every peer and return at once.

        Raises:
            SinkFailedError: the sink is closed.
        """
        if self._closing.is_set():
            raise SinkFailedError(f"{self._name} is closed; nothing more can be sent")
        if self._failure is not None:
            raise self._failure
        self._newest.send(tracked)
        self._ring()

    def notify(self, state: str) -> None:
        """Tell every peer that the source's state changed."""
        self._newest.notify(state)
        self._ring()

    def close(self) -> None:
        """Let peers take what is newest for a moment, and close; safe to call twice."""
        if self._closing.is_set():
            return
        self._closing.set()
        self._ring()
        self._thread.join(_JOIN_S)

    def _ring(self) -> None:
        with suppress(OSError):  # full: it rings already; closed: nobody is there to hear
            self._bell.send(b"\0")

    def _work(self) -> None:
        try:
            end_s = self._attend_until_closing() + LAST_WORDS_S
            while self._peers.behind and time.monotonic() < end_s:
                self._attend(self._wait(end_s))
        except Exception as bug:  # raised again in the tracker's thread
            self._failure = bug
        finally:
            self._peers.close()
            self._selector.close()
            self._bell.close()
            self._heard.close()

    def _attend_until_closing(self) -> float:
        """Returns when the closing began; what was left before that has been offered to all."""
        ready: Ready = []
        while True:
            closing = self._closing.is_set()
            next_s = self._attend(ready)
            if closing:
                return time.monotonic()
            ready = self._wait(next_s)

    def _attend(self, ready: Ready) -> float:
        return self._peers.attend(ready, self._selector, self._newest, time.monotonic())

    def _wait(self, until_s: float) -> Ready:
        """Sleep until a socket is ready, the bell rings, or the time has come."""
        wait_s = None if until_s == float("inf") else max(0.0, until_s - time.monotonic())
        ready = self._selector.select(wait_s)
        for key, _ in ready:
            if key.data is _BELL:
                with suppress(BlockingIOError):
                    self._heard.recv(4096)
        return [item for item in ready if item[0].data is not _BELL]


def register(selector: selectors.BaseSelector, wanted: dict[socket.socket, int]) -> None:
    """Have ``selector`` wait for the ``wanted`` events, 0 for none; sockets no longer named are forgotten.

    Those go first: a new socket may have the number of one that was closed.
    """
    registered = {key.fileobj: key.events for key in selector.get_map().values() if key.data is not _BELL}
    for known in registered:
        if not (isinstance(known, socket.socket) and wanted.get(known, 0)):
            selector.unregister(known)
    for peer, events in wanted.items():
        if events and peer not in registered:
            selector.register(peer, events)
        elif events and registered[peer] != events:
            selector.modify(peer, events)
