"""One WebSocket client: what it wants, what it knows, and being sent what is newest while it has room."""

from collections.abc import Callable, Sequence

from websockets.asyncio.server import ServerConnection
from websockets.protocol import State as ConnectionState

from tracker.sinks.connection import set_send_buffer
from tracker.sinks.messages import Failure
from tracker.web.board import Numbered
from tracker.web.client_messages import Want
from tracker.web.pacing import Pace
from tracker.web.server_messages import websocket_frame
from tracker.web.spelling import SpelledFrame, SpelledMessage, SpelledPreview, SpelledStats, Spelling

LARGE_SEND_BUFFER_BYTES = 1 << 18
"""For skins and previews, which have 100 kB a frame. A message that does not fit waits until the other system
says that it has the first part, which it puts off for 40 ms."""


RECORDING_S = 1.0
"""How long a client waits between beginnings of a recording: each makes a file."""


class Client:
    """What is under way to one client is one batch at most; what comes meanwhile replaces itself.

    Batches go to the transport as they are: the same bytes for all clients with the same wishes, which takes
    less than half the time of the library's ``send`` to each.

    Args:
        connection: whose handshake is done.
        binary: the client asked for MessagePack.
        on_skipped: called when a frame is there and the client has no room for it.
    """

    def __init__(
        self, connection: ServerConnection, *, binary: bool, on_skipped: Callable[[], None] = lambda: None
    ) -> None:
        self.connection = connection
        self.binary = binary
        self.want = Want()
        self.asked_to_record = False
        self._on_skipped = on_skipped
        self._spelling = Spelling(binary)
        self._known = 0
        self._skipped = 0
        self._meshes: set[str] = set()
        self._failure: bytes | None = None
        self.written_at_s = connection.loop.time()
        """When something was last written, on the event loop's clock."""
        self._frame_pace = Pace(None)
        self._preview_pace = Pace(None)
        self._recording_from_s = 0.0

    def set_wishes(self, want: Want) -> None:
        """Follow ``want`` from the next frame on."""
        if want.max_rate_hz != self.want.max_rate_hz:
            self._frame_pace, self._preview_pace = Pace(want.max_rate_hz), Pace(want.max_rate_hz)
        self.want = want
        self._spelling = Spelling(self.binary, want.vertices, want.side)
        if want.vertices or want.preview:
            set_send_buffer(self.connection.transport.get_extra_info("socket"), LARGE_SEND_BUFFER_BYTES)

    def may_begin_recording(self) -> bool:
        """Whether it is time for one more recording; if so, that was its beginning."""
        now_s = self.connection.loop.time()
        if now_s < self._recording_from_s:
            return False
        self._recording_from_s = now_s + RECORDING_S
        return True

    def fail(self, message: str) -> None:
        """Tell the client that something it asked for cannot be done; the newest failure alone waits."""
        self._failure = websocket_frame(Failure(message), binary=self.binary)
        if self.has_room:
            self._write([])

    def greet(self, messages: Sequence[Numbered], known: int) -> None:
        """Send what holds, after which the client knows all up to ``known``."""
        self._known = known
        self._write(
            [
                item.message.spelled(binary=self.binary)
                for item in messages
                if isinstance(item.message, SpelledMessage)
            ]
        )

    def offer(self, news: Sequence[Numbered], now_s: float) -> None:
        """Send what the client wants of ``news`` and does not know yet, if it has room.

        Args:
            news: in order.
            now_s: the event loop's time.
        """
        if not self.has_room:
            self._count_skipped(news)
            return
        parts: list[bytes] = []
        for item in news:
            if item.number > self._known:
                self._known = item.number
                self._add(item.message, parts, now_s)
        if parts or self._failure is not None:
            self._write(parts)

    @property
    def has_room(self) -> bool:
        """Whether all that was written has left."""
        return (
            self.connection.state is ConnectionState.OPEN
            and self.connection.transport.get_write_buffer_size() == 0
        )

    def _add(self, message: SpelledMessage | SpelledFrame, parts: list[bytes], now_s: float) -> None:
        match message:
            case SpelledFrame():
                if self._frame_pace.lets(now_s):
                    parts.extend(self._new_meshes(message))
                    parts.append(message.spelled(self._spelling))
            case SpelledPreview():
                if self.want.preview and self._preview_pace.lets(now_s):
                    parts.append(message.spelled(binary=self.binary))
            case SpelledStats():
                if self.want.stats:
                    parts.append(message.spelled(binary=self.binary))
            case _:
                parts.append(message.spelled(binary=self.binary))

    def _new_meshes(self, frame: SpelledFrame) -> list[bytes]:
        if not self._spelling.vertices:
            return []
        new = frame.meshes(self._spelling, known=self._meshes)
        self._meshes.update(new)
        return [websocket_frame(mesh, binary=self.binary) for mesh in new.values()]

    def _count_skipped(self, news: Sequence[Numbered]) -> None:
        for item in news:
            if isinstance(item.message, SpelledFrame) and item.number > max(self._known, self._skipped):
                self._skipped = item.number
                self._on_skipped()

    def _write(self, parts: list[bytes]) -> None:
        if self._failure is not None:
            parts = [*parts, self._failure]
            self._failure = None
        if parts and self.connection.state is ConnectionState.OPEN:
            self.written_at_s = self.connection.loop.time()
            self.connection.transport.write(b"".join(parts))
