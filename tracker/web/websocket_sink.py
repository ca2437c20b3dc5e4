"""The live server as a sink: the tracker's thread leaves what is newest, the server's does the rest."""

import asyncio
import socket
import ssl
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress

from tracker.errors import SinkError, SinkFailedError
from tracker.mano_numpy import ManoModel
from tracker.sinks.addresses import Address
from tracker.sinks.layout import NATIVE, Layout
from tracker.sinks.listening import check_token_given, listen
from tracker.structs import Frame, StreamInfo, TrackedFrame
from tracker.web.access import Access, Place, place_of
from tracker.web.board import Board
from tracker.web.camera_channel import CameraEnd
from tracker.web.listener import LimitedListener
from tracker.web.options import ServerOptions
from tracker.web.server import WebServer
from tracker.web.spelling import RunFacts
from tracker.web.statistics import Statistics

_OPTION = "--serve"
_JOIN_S = 3.0


class WebSocketSink:
    """Serves pages and WebSocket clients at ``address`` until it is closed.

    Args:
        address: where; ``listens_at`` says which port the system chose for port 0.
        token: what each client must know; None where everybody who reaches the server may listen.
        layout: of the hands in messages.
        preview: offer the camera's pictures to clients.
        tls: encrypts everything.
        origins: places such as ``https://name:8765`` whose pages may connect, and whose names may be ours.
        mano: for the skin of hands that carry MANO's parameters.
        our_clock: capture times are of this machine's monotonic clock, so that latency is known.
        switch_recording: begins and ends a recording on a client's wish; must not block.
        camera: takes the pictures of a browser's camera, which can then connect at ``/camera``.

    Raises:
        SinkError: the address cannot be listened at, others can reach it and there is no token, or an
            origin is none.
    """

    def __init__(
        self,
        address: Address,
        *,
        token: str | None = None,
        layout: Layout = NATIVE,
        preview: bool = False,
        tls: ssl.SSLContext | None = None,
        origins: Sequence[str] = (),
        mano: ManoModel | None = None,
        our_clock: bool = True,
        switch_recording: Callable[[bool], None] | None = None,
        camera: CameraEnd | None = None,
    ) -> None:
        check_token_given(address, token, option=_OPTION)
        access = Access(
            token=token,
            loopback=address.is_loopback,
            tls=tls is not None,
            machine=socket.gethostname(),
            origins=tuple(map(_place, origins)),
        )
        listener = LimitedListener(listen(address, option=_OPTION))
        self.listens_at: tuple[str, int] = listener.getsockname()[:2]
        self._name = f"{_OPTION} {address.text}"
        self._preview = preview
        self._board = Board(RunFacts(layout, mano, our_clock))
        self._statistics = Statistics()
        self._loop = asyncio.SelectorEventLoop()
        self._server = WebServer(
            listener,
            self._board,
            self._statistics,
            ServerOptions(access, preview, tls, switch_recording, camera),
        )
        self._listener = listener
        self._closed = False
        self._failure: Exception | None = None
        self._thread = threading.Thread(target=self._work, name="web-server", daemon=True)
        self._thread.start()

    def begin(self, info: StreamInfo) -> None:
        """Tell every client of the new header."""
        self._board.begin(info)
        self._ring()

    def send(self, tracked: TrackedFrame, frame: Frame | None) -> None:
        """Leave a frame for every client and return at once.

        Raises:
            SinkFailedError: the sink is closed.
        """
        if self._closed:
            raise SinkFailedError(f"{self._name} is closed; nothing more can be sent")
        if self._failure is not None:
            raise self._failure
        self._board.send(tracked, frame if self._preview else None)
        self._statistics.frame(tracked)
        self._ring()

    def notify(self, state: str) -> None:
        """Tell every client that the source's state changed."""
        self._board.notify(state)
        self._ring()

    def recording_is(self, path: str | None, failure: str | None = None) -> None:
        """A client's recording runs at ``path``, or none does; to be told from any thread."""
        self._call(self._server.recording_is, path, failure)

    def close(self) -> None:
        """Let clients take what is newest for a moment, and close; safe to call twice."""
        if self._closed:
            return
        self._closed = True
        self._call(self._server.stop)
        self._thread.join(_JOIN_S)

    def _ring(self) -> None:
        self._call(self._server.spread)

    def _call(self, action: Callable[..., None], *arguments: object) -> None:
        with suppress(RuntimeError):  # the loop is closed: nobody is there to hear
            self._loop.call_soon_threadsafe(action, *arguments)

    def _work(self) -> None:
        try:
            with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
                runner.run(self._server.run())
        except Exception as bug:  # raised again in the tracker's thread
            self._failure = bug
        finally:
            self._listener.close()


def _place(origin: str) -> Place:
    place = place_of(origin)
    if place is None:
        raise SinkError(
            f"--allow-origin is {origin!r}; give where its pages come from, as https://name or http://name:8080"
        )
    return place
