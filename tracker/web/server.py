"""The server's own thread: lets clients in, hears them, and hands them what is newest."""

import asyncio
import logging
import ssl
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

from tracker.sinks.messages import Failure
from tracker.web.access import Access
from tracker.web.board import Board, Numbered
from tracker.web.camera_channel import MAX_PICTURE_BYTES, CameraEnd, attend_camera
from tracker.web.client import Client, SpelledPreview, SpelledStats
from tracker.web.client_messages import Record, Token, Want, decode_client_message
from tracker.web.connections import MAX_MESSAGE_BYTES, WebConnection, connections_in
from tracker.web.listener import LimitedListener
from tracker.web.metrics import prometheus_text
from tracker.web.pages import Pages
from tracker.web.previews import Previews
from tracker.web.routes import CAMERA_PATH, MESSAGE_PACK, Routes, path_of, select_subprotocol
from tracker.web.server_messages import LatencyMessage, PreviewMessage, StatsMessage, websocket_frame
from tracker.web.spelling import SpelledFrame
from tracker.web.statistics import Figures, Statistics

MAX_CLIENTS = 128
SPARE_CONNECTIONS = 64
"""Beside clients: pages under way, handshakes, clients that have not said the token."""
TOKEN_S = 5.0
"""How long a client may take to say the token."""
OPEN_S = 20.0
"""How long a handshake or a page may take."""
STUCK_S = 30.0
"""A client that has taken nothing for so long is let go."""
STATS_S = 1.0
MESSAGES_PER_S, MESSAGES_AT_ONCE = 500.0, 100.0
"""How many messages a client's are heard; further ones wait."""
LAST_WORDS_S = 0.5
"""How long clients may take, at the end, to accept what is newest."""
CLOSE_S = 0.5
"""How long they may take to say goodbye."""
WRONG_TOKEN = 4401
"""The code a connection is closed with."""

_log = logging.getLogger(__name__)
_library_log = logging.getLogger(f"{__name__}.websockets")
_library_log.setLevel(logging.CRITICAL)
"""Peers that break off or speak nonsense are no errors of ours."""


@dataclass(frozen=True)
class ServerOptions:
    """What one server offers to whom."""

    access: Access
    preview: bool = False
    tls: ssl.SSLContext | None = None
    switch_recording: Callable[[bool], None] | None = None
    """Begins and ends a recording on a client's wish."""
    camera: CameraEnd | None = None
    """Takes the pictures of a browser's camera."""


class WebServer:
    """Runs in one event loop; everything but the constructor belongs to its thread."""

    def __init__(
        self, listener: LimitedListener, board: Board, statistics: Statistics, options: ServerOptions
    ) -> None:
        self._listener = listener
        self._board = board
        self._statistics = statistics
        self._options = options
        self._routes = Routes(
            options.access,
            Pages.of(camera=options.camera is not None),
            camera=options.camera is not None,
            state=lambda: board.state,
            metrics=self._metrics,
            has_place=lambda: len(self._attended) < MAX_CLIENTS,
        )
        self._connections: set[WebConnection] = set()
        self._attended: set[ServerConnection] = set()
        self._clients: set[Client] = set()
        self._closing = asyncio.Event()
        self._previews = Previews()
        self._preview_task: asyncio.Task[None] | None = None
        self._preview_tried = 0
        self._latency_noted = 0
        self._preview: Numbered | None = None
        self._stats: Numbered | None = None
        self._recording: str | None = None
        self._failure: Exception | None = None

    async def run(self) -> None:
        """Serve until ``stop``; then give clients a moment, and close.

        Raises:
            Exception: a bug in what is sent to all.
        """
        server = await serve(
            self._attend,
            sock=self._listener,
            ssl=self._options.tls,
            process_request=self._answer,
            select_subprotocol=select_subprotocol,
            compression=None,
            open_timeout=OPEN_S,
            close_timeout=CLOSE_S,
            max_size=MAX_MESSAGE_BYTES,
            max_queue=4,
            write_limit=0,
            server_header=None,
            logger=_library_log,
            create_connection=connections_in(self._connections),
        )
        ticking = asyncio.get_running_loop().create_task(self._tick())
        try:
            await self._closing.wait()
            if self._failure is not None:
                raise self._failure
            await self._say_last_words()
        finally:
            ticking.cancel()
            self._previews.close()
            await self._close(server)

    def stop(self) -> None:
        """Have ``run`` end."""
        self._closing.set()

    def spread(self) -> None:
        """Hand every client that has room what is newest."""
        try:
            self._spread()
        except Exception as bug:  # raised again by run()
            self._failure = bug
            self.stop()

    def recording_is(self, path: str | None, failure: str | None) -> None:
        """A recording began at ``path``, or ended; those who asked for it hear of a failure."""
        self._recording = path
        for client in self._clients:
            if failure is not None and client.asked_to_record:
                client.fail(failure)
        self._publish_stats()

    # Handing over

    def _spread(self) -> None:
        news = self._board.newest()
        frame = next((item for item in news if isinstance(item.message, SpelledFrame)), None)
        news = sorted(
            [*news, *(item for item in (self._preview, self._stats) if item is not None)],
            key=lambda item: item.number,
        )
        now_s = asyncio.get_running_loop().time()
        for client in self._clients:
            client.offer(news, now_s)
        if frame is not None:
            self._note_latency(frame)
            self._begin_preview(frame)

    def _note_latency(self, item: Numbered) -> None:
        assert isinstance(item.message, SpelledFrame)
        if item.number > self._latency_noted:
            self._latency_noted = item.number
            latency_s = item.message.latency_s
            if latency_s is None:
                latency_s = item.message.latency_now_s()
            if latency_s is not None:
                self._statistics.handed_over(latency_s)

    def _begin_preview(self, item: Numbered) -> None:
        assert isinstance(item.message, SpelledFrame)
        picture = item.message.picture
        if picture is None or item.number <= self._preview_tried or self._previews.busy:
            return
        if any(client.want.preview and client.has_room for client in self._clients):
            self._preview_tried = item.number
            preview = self._previews.begin(picture)
            self._preview_task = asyncio.get_running_loop().create_task(self._publish_preview(preview))

    async def _publish_preview(self, preview: "asyncio.Future[PreviewMessage]") -> None:
        self._preview = self._board.number(SpelledPreview(await preview))
        self.spread()

    # Figures

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(STATS_S)
            self._publish_stats()
            now_s = asyncio.get_running_loop().time()
            for client in list(self._clients):
                if not client.has_room and now_s - client.written_at_s > STUCK_S:
                    client.connection.transport.abort()

    def _publish_stats(self) -> None:
        if any(client.want.stats for client in self._clients):
            self._stats = self._board.number(SpelledStats(self._stats_message()))
            self.spread()

    def _stats_message(self) -> StatsMessage:
        figures = self._statistics.figures()
        return StatsMessage(
            frame_rate_hz=round(figures.frame_rate_hz, 2),
            latency_ms=_latency_message(figures),
            stage_ms={name: round(1e3 * value, 3) for name, value in figures.stages_s.items()},
            dropped_frames=figures.dropped_frames,
            clients=len(self._clients),
            recording=self._recording,
            preview_offered=self._options.preview,
        )

    def _metrics(self) -> str:
        return prometheus_text(
            self._statistics.figures(),
            clients=len(self._clients),
            playing=self._board.state == "playing",
            recording=self._recording is not None,
        )

    # Letting in and hearing

    def _answer(self, connection: ServerConnection, request: Request) -> Response | None:
        assert isinstance(connection, WebConnection)
        answer, credentials = self._routes.answer(request)
        connection.granted = credentials == "granted"
        return answer

    async def _attend(self, connection: ServerConnection) -> None:
        assert isinstance(connection, WebConnection)
        self._attended.add(connection)
        try:
            if connection.granted or await self._hear_token(connection):
                await self._attend_granted(connection)
        except ConnectionClosed:
            pass
        except Exception:
            _log.exception("a client is let go for an error of this program")
        finally:
            self._attended.discard(connection)

    async def _hear_token(self, connection: WebConnection) -> bool:
        """Whether the first message is the token; otherwise the connection is closed."""
        try:
            async with asyncio.timeout(TOKEN_S):
                message = decode_client_message(await connection.recv())
            if isinstance(message, Token) and self._options.access.is_token(message.token):
                return True
            reason = (
                "that is not the token"
                if isinstance(message, Token)
                else "the first message must be the token"
            )
        except TimeoutError:
            reason = f"no token came within {TOKEN_S:g} seconds"
        except ValueError as error:
            reason = str(error)
        connection.transport.write(
            websocket_frame(Failure(reason), binary=connection.subprotocol == MESSAGE_PACK)
        )
        await connection.close(WRONG_TOKEN, "wrong token")
        return False

    async def _attend_granted(self, connection: WebConnection) -> None:
        camera = self._options.camera
        if camera is None or connection.request is None or path_of(connection.request) != CAMERA_PATH:
            await self._attend_client(connection)
        else:
            connection.take_messages_up_to(MAX_PICTURE_BYTES)
            await attend_camera(connection, camera)

    async def _attend_client(self, connection: WebConnection) -> None:
        client = Client(
            connection,
            binary=connection.subprotocol == MESSAGE_PACK,
            on_skipped=self._statistics.skipped,
        )
        connection.on_room = partial(self._offer_again, client)
        client.greet(*self._board.greeting())
        self._clients.add(client)
        try:
            budget = Budget(MESSAGES_PER_S, MESSAGES_AT_ONCE)
            async for message in connection:
                self._hear(client, message)
                wait_s = budget.wait_s(asyncio.get_running_loop().time())
                if wait_s > 0:
                    await asyncio.sleep(wait_s)
        finally:
            self._clients.discard(client)

    def _offer_again(self, client: Client) -> None:
        if client in self._clients:
            client.offer(self._board.newest(), asyncio.get_running_loop().time())

    def _hear(self, client: Client, message: str | bytes) -> None:
        try:
            said = decode_client_message(message)
        except ValueError as error:
            client.fail(str(error))
            return
        match said:
            case Want():
                client.set_wishes(said)
                if said.preview and not self._options.preview:
                    client.fail("previews are not offered; the tracker was started without --preview")
            case Record():
                if self._options.switch_recording is None:
                    client.fail("recordings cannot be switched on here")
                else:
                    client.asked_to_record = True
                    self._options.switch_recording(said.on)
            case Token():
                pass

    # The end

    async def _say_last_words(self) -> None:
        self.spread()
        loop = asyncio.get_running_loop()
        end_s = loop.time() + LAST_WORDS_S
        while loop.time() < end_s and not all(client.has_room for client in self._clients):
            await asyncio.sleep(0.01)

    async def _close(self, server: Server) -> None:
        server.close()
        with suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_S):
                await server.wait_closed()
        for connection in list(self._connections):
            connection.transport.abort()
        with suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_S):
                await server.wait_closed()


class Budget:
    """How long somebody must wait who may do something so often, and so often at once."""

    def __init__(self, per_s: float, at_once: float) -> None:
        self._per_s = per_s
        self._at_once = at_once
        self._left = at_once
        self._at_s: float | None = None

    def wait_s(self, now_s: float) -> float:
        """Spend one; 0 where there was one left."""
        if self._at_s is not None:
            self._left = min(self._at_once, self._left + (now_s - self._at_s) * self._per_s)
        self._at_s = now_s
        self._left -= 1.0
        return max(0.0, -self._left / self._per_s)


def _latency_message(figures: Figures) -> LatencyMessage:
    values = figures.latency_s or (None, None, None)
    return LatencyMessage(*(None if value is None else round(1e3 * value, 3) for value in values))
