"""A peer that we connect to, again and again for as long as it is away."""

import logging
import os
import selectors
import socket
from contextlib import suppress

from tracker.sinks.addresses import Address
from tracker.sinks.connection import Connection
from tracker.sinks.newest import Newest
from tracker.sinks.socket_sink import Ready, register

FIRST_RETRY_S, LONGEST_RETRY_S = 0.1, 1.6
"""Between two attempts; the time doubles from the first to the longest."""
CONNECT_S = 3.0
"""How long an attempt may take."""
_READ_BYTES = 4096

_log = logging.getLogger(__name__)


class Calling:
    """Keeps a connection to ``address``; frames that come while there is none are lost."""

    def __init__(self, address: Address) -> None:
        self._address = address
        self._socket: socket.socket | None = None
        self._connection: Connection | None = None
        self._retry_s = FIRST_RETRY_S
        self._due_s = 0.0
        """When to try again, or to give an attempt up."""
        self._told = False
        self.behind = False
        """Whether the peer is there and has not been sent all."""

    def attend(self, ready: Ready, selector: selectors.BaseSelector, newest: Newest, now_s: float) -> float:
        """Connect, send what is newest, notice when the peer goes; see ``Peers``."""
        mask = next((mask for key, mask in ready if key.fileobj is self._socket), 0)
        try:
            if self._socket is None:
                if now_s >= self._due_s:
                    self._call(now_s)
            elif self._connection is None:
                if mask:
                    self._connected(self._socket, newest)
                elif now_s >= self._due_s:
                    raise TimeoutError(0, "it does not answer")
            elif mask & selectors.EVENT_READ and not self._socket.recv(_READ_BYTES):
                raise ConnectionResetError(0, "it closed the connection")
            if self._connection is not None:
                self.behind = self._connection.send()
        except BlockingIOError:
            pass
        except OSError as error:
            self._lost(error, now_s)
        self._register(selector)
        return self._due_s if self._connection is None else float("inf")

    def close(self) -> None:
        """Close the connection."""
        if self._socket is not None:
            self._socket.close()
        self._socket = self._connection = None
        self.behind = False

    def _call(self, now_s: float) -> None:
        self._socket = socket.socket(self._address.family, socket.SOCK_STREAM)
        self._socket.setblocking(False)
        self._due_s = now_s + CONNECT_S
        with suppress(BlockingIOError):
            self._socket.connect(self._address.place)

    def _connected(self, peer: socket.socket, newest: Newest) -> None:
        """An attempt has come to its end.

        Raises:
            OSError: nobody is there.
        """
        error = peer.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if error:
            raise OSError(error, os.strerror(error))
        if peer.getsockname() == peer.getpeername():  # the system may give a caller the very port it calls
            raise ConnectionRefusedError(0, "nobody listens there")
        self._connection = Connection(peer, newest)
        self._retry_s = FIRST_RETRY_S
        if self._told:
            _log.warning("%s is there", self._address.text)
        self._told = False

    def _lost(self, error: OSError, now_s: float) -> None:
        if not self._told:
            _log.warning("%s: %s; trying again", self._address.text, error.strerror)
        self._told = True
        self.close()
        self._due_s = now_s + self._retry_s
        self._retry_s = min(2 * self._retry_s, LONGEST_RETRY_S)

    def _register(self, selector: selectors.BaseSelector) -> None:
        if self._socket is None:
            register(selector, {})
        elif self._connection is None:
            register(selector, {self._socket: selectors.EVENT_WRITE})
        else:
            both = selectors.EVENT_READ | selectors.EVENT_WRITE
            register(selector, {self._socket: both if self.behind else selectors.EVENT_READ})
