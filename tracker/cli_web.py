"""The live server and its page, put together from options."""

import os
import socket
import ssl
import threading
import time
import webbrowser
from collections.abc import Callable
from functools import partial
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from tracker.errors import UsageError

if TYPE_CHECKING:
    from tracker.cli_sockets import SocketOptions
    from tracker.mano_numpy import ManoModel
    from tracker.sinks import Sink
    from tracker.sinks.addresses import Address
    from tracker.sinks.layout import Layout
    from tracker.web.camera_channel import CameraEnd

VIEWER_ADDRESS = "127.0.0.1:8765"


def serve_web(
    options: "SocketOptions",
    layout: "Layout",
    *,
    our_clock: bool,
    say: Callable[[str], None],
    mano: "ManoModel | None" = None,
    camera: "CameraEnd | None" = None,
) -> "list[Sink]":
    """The server that ``--serve`` or ``--viewer`` asks for, listening; ``--viewer`` opens the browser too.

    Args:
        options: what is served, where and to whom.
        layout: of the hands.
        our_clock: capture times are of the monotonic clock.
        say: told where the server listens.
        mano: for the skin of hands that carry MANO's parameters.
        camera: takes the pictures of a browser's camera; a person is told where to open its page.

    Returns:
        The server, and what records on its clients' wish.

    Raises:
        UsageError: the address is none, is taken, or needs a token; or the TLS files are of no use.
    """
    from tracker.runtime.recording_switch import RecordingSwitch
    from tracker.sinks.addresses import find_address
    from tracker.web.websocket_sink import WebSocketSink

    address = find_address(
        options.serve or VIEWER_ADDRESS, option="--serve", kind=socket.SOCK_STREAM, lowest_port=0
    )

    def tell(recording: str | None, failure: str | None) -> None:
        server.recording_is(recording, failure)
        say(f"error: {failure}; tracking goes on" if failure else f"recording {recording or 'ended'}")

    switch = RecordingSwitch(partial(open_next_recording, layout), tell)
    server = WebSocketSink(
        address,
        token=options.token,
        layout=layout,
        preview=options.preview or options.viewer,
        tls=None if options.tls is None else tls_context(*options.tls),
        origins=options.allow_origin,
        mano=mano,
        our_clock=our_clock,
        switch_recording=switch.switch,
        camera=camera,
    )
    page = page_url(server.listens_at, tls=options.tls is not None)
    say(f"--serve listens at {page}")
    if camera is not None:
        say_where_the_camera_is(address, server.listens_at, tls=options.tls is not None, say=say)
    if options.viewer:
        open_browser(page if options.token is None else f"{page}#token={quote(options.token, safe='')}", say)
    return [server, switch]


def open_next_recording(layout: "Layout") -> "tuple[Sink, str]":
    """A recording in the current folder named after the time, in place of none that is there; and its name.

    Raises:
        SinkError: it cannot be written.
    """
    from tracker.sinks import open_recording

    name = time.strftime("hands-%Y%m%d-%H%M%S")
    path = Path(f"{name}.jsonl")
    for number in count(2):
        if not path.exists():
            break
        path = Path(f"{name}-{number}.jsonl")
    return open_recording(path, layout=layout), path.name


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
        mismatch = "MISMATCH" in (getattr(error, "reason", None) or "")
        raise UsageError(f"--tls: {_why_no_pair(certificate, key, mismatch=mismatch)}") from error
    return context


def _why_no_pair(certificate: Path, key: Path, *, mismatch: bool) -> str:
    """What is wrong with two files that TLS does not take; ``mismatch``: each is what it should be."""
    has_certificate, has_key = (
        {path: mark in path.read_bytes() for path in (certificate, key)}
        for mark in (b"-BEGIN CERTIFICATE-", b"PRIVATE KEY-")
    )
    if mismatch:
        return f"{key} is not the key of the certificate {certificate}"
    if has_key[certificate] and not has_certificate[certificate] and has_certificate[key]:
        return f"the certificate comes first, then the key: --tls {key} {certificate}"
    if not has_certificate[certificate]:
        return f"{certificate} is no certificate in PEM"
    if not has_key[key]:
        return f"{key} is no key in PEM"
    if b"ENCRYPTED" in key.read_bytes():
        return f"{key} needs a password; 'openssl pkey -in {key} -out open.pem' writes it without one"
    return f"{certificate} or {key} is damaged"


def page_url(listens_at: tuple[str, int], *, tls: bool) -> str:
    """The address of the page as a browser on this machine finds it."""
    host, port = listens_at
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    return f"{'https' if tls else 'http'}://{f'[{host}]' if ':' in host else host}:{port}/"


def say_where_the_camera_is(
    address: "Address", listens_at: tuple[str, int], *, tls: bool, say: Callable[[str], None]
) -> None:
    """Tell a person which page a phone or headset must open, and what its browser will want of it."""
    if address.is_loopback:
        say(f"for the camera open {page_url(listens_at, tls=tls)}camera in this machine's browser")
        return
    page = page_url((seen_from_outside(listens_at[0]), listens_at[1]), tls=tls)
    say(f"for the camera open {page}camera#token=TOKEN on the phone or headset")
    if not tls:
        say(
            "warning: without --tls browsers on other machines refuse to give their camera "
            "(README, 'A phone or headset as the camera', makes a certificate by openssl)"
        )


def seen_from_outside(host: str) -> str:
    """The address at which others find this machine, where ``host`` stands for all of them."""
    family, elsewhere = {
        "0.0.0.0": (socket.AF_INET, "192.0.2.1"),
        "::": (socket.AF_INET6, "2001:db8::1"),
    }.get(host, (None, ""))
    if family is None:
        return host
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect((elsewhere, 9))  # chooses a way there; nothing is sent
            found: str = probe.getsockname()[0]
            return found
    except OSError:  # no network
        return socket.gethostname()


def open_browser(url: str, say: Callable[[str], None]) -> None:
    """Open the page, without waiting for the browser."""

    def work() -> None:
        if not webbrowser.open(url):
            say("no browser could be opened; open the page yourself")

    threading.Thread(target=work, name="browser", daemon=True).start()
