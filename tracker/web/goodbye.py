"""Letting go of a peer that may go on sending."""

import asyncio
from contextlib import suppress

from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosed

GOODBYE_S = 1.0
"""How long a peer may take to hear why it is let go."""
_MAX_REASON_BYTES = 123
"""Of a close frame, by RFC 6455, section 5.5."""


async def say_goodbye(connection: ServerConnection, code: int, reason: str) -> None:
    """Close a connection; afterwards its place is for others, whatever its peer does.

    What still comes is thrown away. Unread, it would keep the peer's own goodbye from being found behind it,
    and the system would take back what was sent.
    """
    reading = asyncio.ensure_future(_throw_away(connection))
    with suppress(TimeoutError):
        async with asyncio.timeout(GOODBYE_S):
            await connection.close(code, reason.encode()[:_MAX_REASON_BYTES].decode(errors="ignore"))
    connection.transport.abort()
    reading.cancel()


async def _throw_away(connection: ServerConnection) -> None:
    with suppress(ConnectionClosed):
        while True:
            await connection.recv()
