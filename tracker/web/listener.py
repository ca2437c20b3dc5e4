"""A listening socket that knows its connections, and of whom it lets go to make room for new ones."""

import socket
from collections import Counter
from contextlib import suppress
from typing import Any

from tracker.sinks.connection import SEND_BUFFER_BYTES, set_send_buffer

MAX_WAITING = 256
"""Connections without a whole request, TLS under way among them; a burst of honest clients fits."""
MAX_ASKING = 256
"""Connections with a request that are no clients: pages under way, clients that have not said the token."""

Place = Any
"""A peer's address as the system tells it: the host, the port, and more for IPv6."""


class LimitedListener(socket.socket):
    """Lets everybody in; who is too many is not the newest, but the oldest that is not a client yet.

    Peers that hold connections without ever becoming clients so keep nobody out. They are counted where they
    come in: an event loop tells its protocols of a connection only after TLS has been agreed upon.

    Args:
        listener: the socket to take the place of; not to be used any more.
    """

    def __init__(self, listener: socket.socket) -> None:
        super().__init__(listener.family, listener.type, listener.proto, fileno=listener.detach())
        self.setblocking(False)
        self.open = 0
        self.waiting, self.asking = _Crowd(MAX_WAITING), _Crowd(MAX_ASKING)

    def accept(self) -> tuple[socket.socket, Place]:
        """The next connection.

        Raises:
            BlockingIOError: nobody waits.
        """
        peer, place = super().accept()
        with suppress(OSError):  # asyncio does so on sockets of its own only
            peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        set_send_buffer(peer, SEND_BUFFER_BYTES)
        counted = _Counted(peer, self, place)
        self.waiting.add(place, counted)
        return counted, place

    def has_asked(self, place: Place) -> None:
        """The peer at ``place`` has sent a whole request."""
        peer = self.waiting.discard(place)
        if peer is not None:
            self.asking.add(place, peer)

    def is_client(self, place: Place) -> None:
        """The peer at ``place`` was let in; others make no room any more by its going."""
        self.asking.discard(place)


class _Crowd:
    """At most so many peers; one more takes the oldest one's place, of the host that has the most."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._peers: dict[Place, socket.socket] = {}

    def add(self, place: Place, peer: socket.socket) -> None:
        self._peers[place] = peer
        if len(self._peers) > self.limit:
            ((host, _),) = Counter(known[0] for known in self._peers).most_common(1)
            oldest = next(known for known in self._peers if known[0] == host)
            with suppress(OSError):  # the event loop, which owns the socket, reads its end and closes it
                self._peers.pop(oldest).shutdown(socket.SHUT_RDWR)

    def discard(self, place: Place) -> socket.socket | None:
        return self._peers.pop(place, None)

    def __len__(self) -> int:
        return len(self._peers)


class _Counted(socket.socket):
    """Tells its listener when it is closed."""

    def __init__(self, peer: socket.socket, listener: LimitedListener, place: Place) -> None:
        super().__init__(peer.family, peer.type, peer.proto, fileno=peer.detach())
        self._listener: LimitedListener | None = listener
        self._place = place
        listener.open += 1

    def close(self) -> None:
        if self._listener is not None:
            self._listener.open -= 1
            self._listener.waiting.discard(self._place)
            self._listener.asking.discard(self._place)
            self._listener = None
        super().close()
