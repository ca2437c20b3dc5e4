"""Sockets that others connect to, and the rule of who may."""

import errno
import socket

from tracker.errors import SinkError
from tracker.sinks.addresses import Address


def check_token_given(address: Address, token: str | None, *, option: str) -> None:
    """Refuse to serve hands where other machines can connect and need no token.

    Raises:
        SinkError: that is so.
    """
    if token is None and not address.is_loopback:
        raise SinkError(
            f"{option} {address.text} can be reached from other machines; "
            "give --token TOKEN, or listen at 127.0.0.1"
        )


def listen(address: Address, *, option: str) -> socket.socket:
    """A listening socket that never blocks; ``option`` is where the address was given.

    Raises:
        SinkError: the address cannot be listened at.
    """
    try:
        listener = socket.create_server(address.place, family=address.family, backlog=64)
    except OSError as error:
        taken = error.errno == errno.EADDRINUSE
        reason = "another program listens there; choose another port" if taken else error.strerror
        raise SinkError(f"{option}: cannot listen at {address.text}: {reason}") from error
    listener.setblocking(False)
    return listener
