"""Clients that connect to us, each sent what is newest; with a token, only those that know it.

Where a token is set, a client's first line must be it. Whatever else it sends is thrown away, up to a limit.
Browsers are let go: a web page must not read the camera through whoever visits it.
"""

import hmac
import logging
import selectors
import socket
from dataclasses import dataclass, field

from tracker.sinks.addresses import Address
from tracker.sinks.connection import Connection
from tracker.sinks.listening import check_token_given, listen
from tracker.sinks.newest import Newest
from tracker.sinks.socket_sink import Ready, register

MAX_CLIENTS = 128
FIRST_LINE_S = 5.0
"""How long a client may take to say the token."""
MAX_HEARD_BYTES = 1 << 16
"""A client that sends more than this is no reader of this stream."""
_MAX_FIRST_LINE_BYTES = 1024
_READ_BYTES = 4096
_NO_ACCEPT_S = 0.5
"""How long no client is let in after the system ran out of sockets."""

_log = logging.getLogger(__name__)


@dataclass(eq=False)
class _Client:
    socket: socket.socket
    place: str
    known_by_s: float
    """When it must have said the token."""
    connection: Connection | None = None
    """None until it may listen."""
    first_line: bytearray = field(default_factory=bytearray)
    heard_bytes: int = 0
    speaks: bool = True
    """Until it has closed its sending side: it may still listen."""
    behind: bool = False


class Serving:
    """Listens at ``address`` for as long as it is not closed.

    Args:
        address: where; ``listens_at`` says which port the system chose for port 0.
        token: what each client must say first; None where everybody may listen.
        option: where the address was given, for messages.

    Raises:
        SinkError: the address cannot be listened at, or others can reach it and there is no token.
    """

    def __init__(
        self, address: Address, *, option: str, token: str | None = None, max_clients: int = MAX_CLIENTS
    ) -> None:
        check_token_given(address, token, option=option)
        self._token = None if token is None else token.encode()
        self._max_clients = max_clients
        self._clients: dict[socket.socket, _Client] = {}
        self._accept_from_s = 0.0
        self._full = False
        self._listener = listen(address, option=option)
        self.listens_at: tuple[str, int] = self._listener.getsockname()[:2]

    @property
    def behind(self) -> bool:
        """Whether a client has not been sent all."""
        return any(client.behind for client in self._clients.values())

    def attend(self, ready: Ready, selector: selectors.BaseSelector, newest: Newest, now_s: float) -> float:
        """Let clients in, hear them, send them what is newest; see ``Peers``."""
        for key, mask in ready:
            if key.fileobj is self._listener:
                self._accept(now_s)
            elif mask & selectors.EVENT_READ and isinstance(key.fileobj, socket.socket):
                self._hear(self._clients[key.fileobj])
        for client in list(self._clients.values()):
            self._serve(client, newest, now_s)
        return self._register(selector, now_s)

    def close(self) -> None:
        """Close the listener and every client."""
        self._listener.close()
        for client in self._clients.values():
            client.socket.close()
        self._clients.clear()

    def _accept(self, now_s: float) -> None:
        try:
            peer, place = self._listener.accept()
        except (BlockingIOError, ConnectionAbortedError):
            return
        except OSError as error:  # no more file descriptors, say
            _log.warning("a client could not be let in: %s", error.strerror)
            self._accept_from_s = now_s + _NO_ACCEPT_S
            return
        if len(self._clients) >= self._max_clients:
            self._drop_one_that_may_be_gone()
        if len(self._clients) >= self._max_clients:
            peer.close()
            if not self._full:
                _log.warning("clients are turned away: there are %d already", self._max_clients)
            self._full = True
            return
        peer.setblocking(False)
        self._clients[peer] = _Client(peer, place[0], now_s + FIRST_LINE_S)

    def _drop_one_that_may_be_gone(self) -> None:
        """Who closed its sending side may still listen; while no frame comes nothing tells."""
        silent = next((client for client in self._clients.values() if not client.speaks), None)
        if silent is not None:
            self._drop(silent, "others wait, and it closed its side")

    def _hear(self, client: _Client) -> None:
        try:
            said = client.socket.recv(_READ_BYTES)
        except BlockingIOError:
            return
        except OSError:
            self._drop(client, "it is gone")
            return
        client.heard_bytes += len(said)
        client.speaks = bool(said)
        if client.connection is None:
            client.first_line += said[: _MAX_FIRST_LINE_BYTES + 1]
        elif client.heard_bytes > MAX_HEARD_BYTES:
            self._drop(client, "it sends instead of listening")
        elif b" HTTP/" in said:
            self._drop(client, "it is a browser")

    def _serve(self, client: _Client, newest: Newest, now_s: float) -> None:
        """Let a client listen that may, drop one that may not, and send what is newest."""
        if client.socket not in self._clients:
            return
        if client.connection is None:
            line, end, _ = bytes(client.first_line).partition(b"\n")
            if self._token is not None and not end:
                if not client.speaks or len(line) > _MAX_FIRST_LINE_BYTES or now_s >= client.known_by_s:
                    self._drop(client, "it did not say the token")
                return
            if self._token is not None and not hmac.compare_digest(line.rstrip(b"\r"), self._token):
                self._drop(client, "it said another token")
                return
            client.first_line.clear()
            client.connection = Connection(client.socket, newest)
            _log.info("a client from %s listens", client.place)
        try:
            client.behind = client.connection.send()
        except OSError:
            self._drop(client, "it is gone")

    def _drop(self, client: _Client, reason: str) -> None:
        """Close a client's connection; what it said is told to nobody."""
        _log.info("the client from %s is let go: %s", client.place, reason)
        self._clients.pop(client.socket, None)
        self._full = False
        client.socket.close()

    def _register(self, selector: selectors.BaseSelector, now_s: float) -> float:
        """Wait for what each socket can do next; returns when something else is due."""
        wanted = {
            client.socket: (selectors.EVENT_READ if client.speaks else 0)
            | (selectors.EVENT_WRITE if client.behind else 0)
            for client in self._clients.values()
        }
        accepting = now_s >= self._accept_from_s
        wanted[self._listener] = selectors.EVENT_READ if accepting else 0
        register(selector, wanted)
        due = [client.known_by_s for client in self._clients.values() if client.connection is None]
        return min([*due, *([] if accepting else [self._accept_from_s])], default=float("inf"))
