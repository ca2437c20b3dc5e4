"""The options of outputs that go over the network, and what they are put together to."""

import socket
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tracker.errors import UsageError

if TYPE_CHECKING:
    from tracker.sinks import Sink
    from tracker.sinks.layout import Layout
    from tracker.sinks.newest import Stream


@dataclass(frozen=True)
class SocketOptions:
    """Where results go over the network; a file is then played at its own rate, as a camera would."""

    hts: str | None = None
    """Send hands to this HOST:PORT by UDP in the format of Hand Tracking Streamer (its port: 9000)."""
    hts_tcp: str | None = None
    """Connect to this HOST:PORT by TCP and send the same (its port: 8000)."""
    hts_listen: str | None = None
    """Let clients on this machine connect to this HOST:PORT for the same."""
    tcp: str | None = None
    """Let clients connect to this HOST:PORT for the lines of a recording, as they happen."""
    token: str | None = field(default=None, repr=False)
    """What a client of --tcp must send as its first line; needed where other machines can connect."""

    @property
    def any_asked_for(self) -> bool:
        """Whether there is any."""
        return any((self.hts, self.hts_tcp, self.hts_listen, self.tcp))

    def open(self, layout: "Layout", *, background: bool, say: Callable[[str], None]) -> "list[Sink]":
        """The sinks asked for, their sockets open.

        Args:
            layout: of the JSON lines.
            background: frames must not wait until they are sent.
            say: told where clients can connect.

        Raises:
            UsageError: an address is none, is taken, or needs a token.
        """
        self._check_token()
        with ExitStack() as on_failure:
            sinks: list[Sink] = []

            def keep(sink: "Sink") -> None:
                on_failure.callback(sink.close)
                sinks.append(sink)

            if self.tcp is not None:
                keep(self._serve(self.tcp, "--tcp", layout, say))
            if self.hts_listen is not None:
                keep(self._serve(self.hts_listen, "--hts-listen", None, say))
            if self.hts_tcp is not None:
                keep(_call(self.hts_tcp))
            if self.hts is not None:
                keep(_datagrams(self.hts, background=background))
            on_failure.pop_all()
        return sinks

    def _check_token(self) -> None:
        if self.token is None:
            return
        if self.tcp is None:
            raise UsageError("--token is what clients of --tcp must know; there is no --tcp")
        if not self.token or self.token != self.token.strip() or not self.token.isprintable():
            raise UsageError("--token is empty, begins or ends in blanks, or is more than one line")

    def _serve(self, text: str, option: str, layout: "Layout | None", say: Callable[[str], None]) -> "Sink":
        """Serve JSON lines in ``layout``, or Hand Tracking Streamer's format, whose clients know no token."""
        from tracker.sinks.addresses import find_address
        from tracker.sinks.hts import HandTrackingStreamer
        from tracker.sinks.json_lines import JsonLines
        from tracker.sinks.serving import Serving
        from tracker.sinks.socket_sink import SocketSink

        address = find_address(text, option=option, kind=socket.SOCK_STREAM, lowest_port=0)
        if layout is None and not address.is_loopback:
            raise UsageError(f"{option} {text} can be reached from other machines; listen at 127.0.0.1")
        stream: Stream = HandTrackingStreamer() if layout is None else JsonLines(layout)
        clients = Serving(address, option=option, token=None if layout is None else self.token)
        host, port = clients.listens_at
        say(f"{option} listens at {f'[{host}]' if ':' in host else host}:{port}")
        return SocketSink(f"{option} {text}", stream, clients)


def _call(text: str) -> "Sink":
    from tracker.sinks.addresses import find_address
    from tracker.sinks.calling import Calling
    from tracker.sinks.hts import HandTrackingStreamer
    from tracker.sinks.socket_sink import SocketSink

    address = find_address(text, option="--hts-tcp", kind=socket.SOCK_STREAM)
    return SocketSink(f"--hts-tcp {text}", HandTrackingStreamer(), Calling(address))


def _datagrams(text: str, *, background: bool) -> "Sink":
    from tracker.runtime.background import BackgroundSink
    from tracker.sinks.addresses import find_address
    from tracker.sinks.datagrams import DatagramSink

    sink = DatagramSink(find_address(text, option="--hts", kind=socket.SOCK_DGRAM))
    return BackgroundSink(sink) if background else sink
