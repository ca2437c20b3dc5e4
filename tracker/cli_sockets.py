"""The options of outputs that go over the network, and what they are put together to."""

import socket
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tyro.constructors import PrimitiveConstructorSpec

from tracker.errors import UsageError

if TYPE_CHECKING:
    from tracker.mano_numpy import ManoModel
    from tracker.sinks import Sink
    from tracker.sinks.layout import Layout
    from tracker.sinks.newest import Stream
    from tracker.web.camera_channel import CameraEnd


_TWO_FILES = PrimitiveConstructorSpec[tuple[Path, Path] | None](
    nargs=2,
    metavar="CERT KEY",
    instance_from_str=lambda names: (Path(names[0]), Path(names[1])),
    is_instance=lambda value: value is None or isinstance(value, tuple),
    str_from_instance=lambda files: ["None"] if files is None else [str(file) for file in files],
)
"""Left to itself, the parser calls one file less "no type matching {None}|{PATH PATH}"."""
_SAME_HOSTS = {"localhost": "127.0.0.1", "0.0.0.0": "", "[::]": ""}
"""How addresses are compared; nothing stands for all of a machine."""


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
    serve: str | None = None
    """Serve hands by WebSocket, and the viewer's page, at this HOST:PORT (the viewer's: 127.0.0.1:8765)."""
    viewer: bool = False
    """Serve the viewer's page, with the camera's pictures, and open it in the browser."""
    preview: bool = False
    """Let clients of --serve see the camera's pictures; they show the room, so it is off unless asked for."""
    token: str | None = field(default=None, repr=False)
    """What clients of --serve and --tcp must know; needed where other machines can connect."""
    tls: Annotated[tuple[Path, Path] | None, _TWO_FILES] = None
    """Encrypt --serve with a certificate and its key, two PEM files."""
    allow_origin: tuple[str, ...] = ()
    """Let pages from these places, such as https://name:8080, connect to --serve."""

    @property
    def any_asked_for(self) -> bool:
        """Whether there is any."""
        return self.serves or any((self.hts, self.hts_tcp, self.hts_listen, self.tcp))

    @property
    def serves(self) -> bool:
        """Whether there is a server for browsers."""
        return self.viewer or self.serve is not None

    def open(
        self,
        layout: "Layout",
        *,
        background: bool,
        say: Callable[[str], None],
        mano: "ManoModel | None" = None,
        camera: "CameraEnd | None" = None,
    ) -> "list[Sink]":
        """The sinks asked for, their sockets open.

        Args:
            layout: of the JSON lines.
            background: the run is live: frames must not wait until they are sent, and their times are of our
                clock.
            say: told where clients can connect.
            mano: for the skin of hands that carry MANO's parameters.
            camera: takes the pictures of a browser's camera, which the server hears.

        Raises:
            UsageError: an address is none, is taken, or needs a token.
        """
        self._check()
        with ExitStack() as on_failure:
            sinks: list[Sink] = []

            def keep(sink: "Sink") -> None:
                on_failure.callback(sink.close)
                sinks.append(sink)

            if self.serves:
                from tracker.cli_web import serve_web

                for served in serve_web(
                    self, layout, our_clock=background, say=say, mano=mano, camera=camera
                ):
                    keep(served)
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

    def _check(self) -> None:
        """Refuse options that do nothing, and tokens that cannot be sent."""
        for option, given in (
            ("--preview", self.preview),
            ("--tls", self.tls),
            ("--allow-origin", self.allow_origin),
        ):
            if given and not self.serves:
                raise UsageError(f"{option} is for clients of --serve; there is no --serve and no --viewer")
        self._check_ports()
        if self.token is None:
            return
        if self.tcp is None and not self.serves:
            raise UsageError("--token is what clients of --serve and --tcp must know; there is neither")
        if not self.token or self.token != self.token.strip() or not self.token.isprintable():
            raise UsageError("--token is empty, begins or ends in blanks, or is more than one line")

    def _check_ports(self) -> None:
        """Refuse two servers of this program at one port; the system would say that another has it."""
        places = {"--serve": self.serve, "--tcp": self.tcp, "--hts-listen": self.hts_listen}
        if self.viewer and self.serve is None:
            from tracker.cli_web import VIEWER_ADDRESS

            places["--serve"] = VIEWER_ADDRESS
        taken: dict[str, tuple[str, str]] = {}
        for option, text in places.items():
            host, _, port = (text or "").rpartition(":")
            host = _SAME_HOSTS.get(host, host)
            if port in taken and (host == taken[port][1] or "" in (host, taken[port][1])):
                raise UsageError(f"{taken[port][0]} and {option} are both at port {port}; give each its own")
            if port not in ("", "0"):
                taken[port] = option, host

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
