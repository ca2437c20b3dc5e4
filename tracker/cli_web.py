"""The live server and its page, put together from options."""

import os
import socket
import ssl
import threading
import webbrowser
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from tracker.errors import UsageError

if TYPE_CHECKING:
    from tracker.cli_sockets import SocketOptions
    from tracker.mano_numpy import ManoModel
    from tracker.sinks.layout import Layout
    from tracker.web.websocket_sink import WebSocketSink

VIEWER_ADDRESS = "127.0.0.1:8765"


def serve_web(
    options: "SocketOptions",
    layout: "Layout",
    *,
    our_clock: bool,
    say: Callable[[str], None],
    mano: "ManoModel | None" = None,
) -> "WebSocketSink":
    """The server that ``--serve`` or ``--viewer`` asks for, listening; ``--viewer`` opens the browser too.

    Args:
        options: what is served, where and to whom.
        layout: of the hands.
        our_clock: capture times are of the monotonic clock.
        say: told where the server listens.
        mano: for the skin of hands that carry MANO's parameters.

    Raises:
        UsageError: the address is none, is taken, or needs a token; or the TLS files are of no use.
    """
    from tracker.sinks.addresses import find_address
    from tracker.web.websocket_sink import WebSocketSink

    address = find_address(
        options.serve or VIEWER_ADDRESS, option="--serve", kind=socket.SOCK_STREAM, lowest_port=0
    )
    sink = WebSocketSink(
        address,
        token=options.token,
        layout=layout,
        preview=options.preview or options.viewer,
        tls=None if options.tls is None else tls_context(*options.tls),
        origins=options.allow_origin,
        mano=mano,
        our_clock=our_clock,
    )
    page = page_url(sink.listens_at, tls=options.tls is not None)
    say(f"--serve listens at {page}")
    if options.viewer:
        open_browser(page if options.token is None else f"{page}#token={quote(options.token, safe='')}", say)
    return sink


def tls_context(certificate: Path, key: Path) -> ssl.SSLContext:
    """What encrypts connections.

    Raises:
        UsageError: a file is missing, or is not what it should be; or the key needs a password.
    """
    for path in (certificate, key):
        if not os.access(path, os.R_OK) or not path.is_file():
            raise UsageError(f"--tls: {path} is not there or cannot be read")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.load_cert_chain(certificate, key, password=lambda: "")
    except (OSError, ValueError) as error:  # ssl.SSLError is one
        reason = getattr(error, "reason", None) or error
        raise UsageError(
            f"--tls: {certificate} and {key} are no certificate and key in PEM without a password ({reason})"
        ) from error
    return context


def page_url(listens_at: tuple[str, int], *, tls: bool) -> str:
    """The address of the page as a browser on this machine finds it."""
    host, port = listens_at
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    return f"{'https' if tls else 'http'}://{f'[{host}]' if ':' in host else host}:{port}/"


def open_browser(url: str, say: Callable[[str], None]) -> None:
    """Open the page, without waiting for the browser."""

    def work() -> None:
        if not webbrowser.open(url):
            say("no browser could be opened; open the page yourself")

    threading.Thread(target=work, name="browser", daemon=True).start()
