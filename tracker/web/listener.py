"""A listening socket that knows how many of its connections are open, handshakes under way among them."""

import socket
from contextlib import suppress
from typing import Any

from tracker.sinks.connection import SEND_BUFFER_BYTES, set_send_buffer


class LimitedListener(socket.socket):
    """Turns connections away while ``max_open`` are open.

    An event loop tells its protocols of a connection only after TLS has been agreed upon; peers that never
    come so far count too, so they are counted where they come in.

    Args:
        listener: the socket to take the place of; not to be used any more.
        max_open: connections at a time.
    """

    def __init__(self, listener: socket.socket, *, max_open: int) -> None:
        super().__init__(listener.family, listener.type, listener.proto, fileno=listener.detach())
        self.setblocking(False)
        self.max_open = max_open
        self.open = 0

    def accept(self) -> tuple[socket.socket, Any]:
        """The next connection.

        Raises:
            BlockingIOError: nobody waits, or whoever did was turned away.
        """
        peer, place = super().accept()
        if self.open >= self.max_open:
            peer.close()
            raise BlockingIOError(0, "too many connections")
        with suppress(OSError):  # asyncio does so on sockets of its own only
            peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        set_send_buffer(peer, SEND_BUFFER_BYTES)
        return _Counted(peer, self), place


class _Counted(socket.socket):
    """Tells its listener when it is closed."""

    def __init__(self, peer: socket.socket, listener: LimitedListener) -> None:
        super().__init__(peer.family, peer.type, peer.proto, fileno=peer.detach())
        self._listener: LimitedListener | None = listener
        listener.open += 1

    def close(self) -> None:
        super().close()
        if self._listener is not None:
            self._listener.open -= 1
            self._listener = None
