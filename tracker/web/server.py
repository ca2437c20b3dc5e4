"""The server's own thread: lets clients in, hears them, and hands them what is newest."""

import asyncio
import logging
from collections.abc import Collection
from contextlib import suppress
from functools import partial

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

from tracker.web.board import Board, Numbered
from tracker.web.camera_channel import MAX_PICTURE_BYTES, attend_camera
from tracker.web.client import Client
from tracker.web.connections import MAX_MESSAGE_BYTES, WebConnection, connections_in, tell_of_bugs
from tracker.web.hearing import dismiss, hear_token, obey
from tracker.web.listener import LimitedListener
from tracker.web.metrics import prometheus_text, stats_message
from tracker.web.options import ServerOptions
from tracker.web.pacing import Budget
from tracker.web.pages import Pages
from tracker.web.previews import Previews
from tracker.web.routes import CAMERA_PATH, MESSAGE_PACK, NO_PLACE, Routes, path_of, select_subprotocol
from tracker.web.server_messages import PreviewMessage
from tracker.web.spelling import SpelledFrame, SpelledPreview, SpelledStats
from tracker.web.statistics import Statistics

MAX_CLIENTS = 128
TOO_MANY_CLIENTS = 4429
"""The code that a client beyond them is closed with."""
TLS_S = 5.0
"""How long a peer may take to agree upon TLS."""
FAREWELL_S = 10.0
"""How long the last bytes on a connection may take to arrive: of a page, or of a goodbye."""
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
"""How long they may then take to say goodbye."""
_log = logging.getLogger(__name__)
_library_log = logging.getLogger(f"{__name__}.websockets")
_library_log.setLevel(logging.CRITICAL)
"""Peers that break off or speak nonsense are no errors of ours."""


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
        asyncio.get_running_loop().set_exception_handler(tell_of_bugs)
        server = await serve(
            self._attend,
            sock=self._listener,
            ssl=self._options.tls,
            ssl_handshake_timeout=None if self._options.tls is None else TLS_S,
            process_request=self._answer,
            select_subprotocol=select_subprotocol,
            compression=None,
            open_timeout=OPEN_S,
            close_timeout=FAREWELL_S,
            max_size=MAX_MESSAGE_BYTES,
            max_queue=4,
            write_limit=(1, 0),  # at 0, asyncio's TLS pauses writing with an empty buffer and may not resume
            server_header=None,
            logger=_library_log,
            create_connection=connections_in(self._connections, self._listener),
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
            self._hand_over(self._clients)
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

    def _hand_over(self, clients: Collection[Client]) -> None:
        news = self._news()
        frame = next((item for item in news if isinstance(item.message, SpelledFrame)), None)
        now_s = asyncio.get_running_loop().time()
        # Asked before frames are handed over: one with skin fills a client's room until the preview is made.
        preview_wanted = any(client.want.preview and client.has_room for client in clients)
        for client in clients:
            client.offer(news, now_s)
        if frame is not None:
            self._note_latency(frame)
            if preview_wanted:
                self._begin_preview(frame)

    def _news(self) -> list[Numbered]:
        """What there is, in order."""
        own = (item for item in (self._preview, self._stats) if item is not None)
        return sorted([*self._board.newest(), *own], key=lambda item: item.number)

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
            message = stats_message(
                self._statistics.figures(),
                clients=len(self._clients),
                recording=self._recording,
                preview_offered=self._options.preview,
            )
            self._stats = self._board.number(SpelledStats(message))
            self.spread()

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
        if connection.granted and path_of(request) == CAMERA_PATH:
            connection.take_messages_up_to(MAX_PICTURE_BYTES)
        return answer

    async def _attend(self, connection: ServerConnection) -> None:
        assert isinstance(connection, WebConnection)
        try:
            if not (connection.granted or await hear_token(connection, self._options.access)):
                return
            if len(self._attended) >= MAX_CLIENTS:
                await dismiss(connection, NO_PLACE, TOO_MANY_CLIENTS)
                return
            self._attended.add(connection)
            self._listener.is_client(connection.place)
            if self._options.camera is not None and path_of(connection.request) == CAMERA_PATH:
                connection.take_messages_up_to(MAX_PICTURE_BYTES)
                await attend_camera(connection, self._options.camera)
            else:
                await self._attend_client(connection)
        except ConnectionClosed:
            pass
        except Exception:
            _log.exception("a client is let go for an error of this program")
        finally:
            self._attended.discard(connection)

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
                obey(client, message, self._options)
                wait_s = budget.wait_s(asyncio.get_running_loop().time())
                if wait_s > 0:
                    await asyncio.sleep(wait_s)
        finally:
            self._clients.discard(client)

    def _offer_again(self, client: Client) -> None:
        if client in self._clients:
            self._hand_over([client])

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
