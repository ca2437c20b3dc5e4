"""One TCP connection that is sent what is newest, whenever its peer has room."""

import socket
from contextlib import suppress

from tracker.sinks.newest import Newest

SEND_BUFFER_BYTES = 1 << 15
"""Asked of the system, so that what a slow peer gets is not seconds old; two hands have 5 to 10 kB."""


class Connection:
    """A message once begun is sent whole; meanwhile newer frames replace each other."""

    def __init__(self, peer: socket.socket, newest: Newest) -> None:
        peer.setblocking(False)
        with suppress(OSError):
            peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        set_send_buffer(peer, SEND_BUFFER_BYTES)
        self._peer = peer
        self._newest = newest
        greeting, self._number = newest.greeting()
        self._left = memoryview(greeting)

    def send(self) -> bool:
        """Send what is newest as far as there is room; whether something is left to send.

        Raises:
            OSError: the peer is gone.
        """
        while True:
            if not self._left:
                message, self._number = self._newest.after(self._number)
                if not message:
                    return False
                self._left = memoryview(message)
            try:
                self._left = self._left[self._peer.send(self._left) :]
            except BlockingIOError:
                return True


def set_send_buffer(peer: socket.socket, size_bytes: int) -> None:
    """Have the system keep at most about so much for ``peer``, if it can be told."""
    with suppress(OSError):
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, size_bytes)
