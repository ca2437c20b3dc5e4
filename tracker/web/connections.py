"""Our side of a connection: the library's, and what the server must know of it."""

import asyncio
import logging
from collections.abc import Callable
from http import HTTPStatus
from typing import Any, ClassVar

from websockets.asyncio.server import ServerConnection
from websockets.exceptions import InvalidMessage

from tracker.web.listener import LimitedListener
from tracker.web.pages import ask_by_get, text

HEADERS_S = 5.0
"""How long a peer may take to send a request."""
MAX_MESSAGE_BYTES = 1 << 16

_NO_REQUEST = text(HTTPStatus.BAD_REQUEST, "this is no HTTP request without a body")

_log = logging.getLogger(__name__)


class WebConnection(ServerConnection):
    """Tells when everything that was written has left, and lets go of a peer that sends no request."""

    granted = False
    """Whether the request's headers showed the token, or there is none."""
    _method: bytes | None = None
    _told = False
    """Whether the peer heard that its request cannot be read."""
    on_room: Callable[[], None] | None = None
    """Called soon after all that was written has left."""
    open_connections: ClassVar["set[WebConnection]"]
    """Where this one is kept while it is open."""
    listener: ClassVar[LimitedListener]
    """Where it came in."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A peer has connected."""
        super().connection_made(transport)
        self.open_connections.add(self)
        self.loop.call_later(HEADERS_S, self._expect_request)

    def data_received(self, data: bytes) -> None:
        """Something came; the first of it says the request's method."""
        if self._method is None:
            self._method = bytes(data[:8]).partition(b" ")[0]
        super().data_received(data)

    def send_data(self) -> None:
        """Write what the library has for the peer; it has nothing for a request it cannot read."""
        failure = self.protocol.handshake_exc
        unread = self.request is None and isinstance(failure, InvalidMessage) and not self.protocol.reader.eof
        if unread and not self._told:
            self._told = True
            answer = ask_by_get() if self._method not in (b"GET", b"HEAD") else _NO_REQUEST
            self.transport.write(answer.serialize())
        super().send_data()

    def process_event(self, event: Any) -> None:
        """A request, and then frames."""
        new = self.request is None
        super().process_event(event)
        if new and self.request is not None:
            self.listener.has_asked(self.place)

    @property
    def place(self) -> Any:
        """Where the peer is, as the listener knows it."""
        return self.transport.get_extra_info("peername")

    def connection_lost(self, exc: Exception | None) -> None:
        """The peer is gone."""
        self.open_connections.discard(self)
        super().connection_lost(exc)

    def resume_writing(self) -> None:
        """The transport's buffer is empty."""
        super().resume_writing()
        if self.on_room is not None:
            self.loop.call_soon(self.on_room)

    def take_messages_up_to(self, size_bytes: int) -> None:
        """Close the connection when its peer sends a longer message."""
        for name in (
            "max_size",
            "max_message_size",
        ):  # the library's name for it, until its version 15 and since
            setattr(self.protocol, name, size_bytes)

    def _expect_request(self) -> None:
        if self.request is None:
            self.transport.abort()


def connections_in(open_connections: set[WebConnection], listener: LimitedListener) -> type[WebConnection]:
    """The connections that come in at ``listener``; they are in ``open_connections`` while they are open."""

    class OwnConnection(WebConnection):
        pass

    OwnConnection.open_connections = open_connections
    OwnConnection.listener = listener
    return OwnConnection


def tell_of_bugs(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """A loop's handler of exceptions in which a peer that left is no error of this program.

    asyncio ends its side of a connection in a callback of its own, where a peer that just broke off raises.
    """
    if isinstance(context.get("exception"), OSError):
        _log.debug("a connection broke: %s", context["exception"])
    else:
        loop.default_exception_handler(context)
