"""One client that takes all the tracker sends, by each way there is, and notes when each frame arrived.

No threads and no event loop: a frame counts as arrived when its bytes have been read from a blocking socket
and its capture time is known.
"""

import re
import socket
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Protocol

import msgspec

PATIENCE_S = 10.0
_READ_BYTES = 1 << 16
_HTS_LINE = re.compile(rb"(?:Left|Right) (?:wrist|landmarks) \| f = (\d+) \| t = (\d+):")

WAYS = ("websocket-json", "websocket-msgpack", "tcp", "hts-tcp", "hts-udp")
"""How a client can listen; the WebSocket's two by subprotocol."""


@dataclass(frozen=True)
class Arrival:
    """A frame, or a state, that came to the client."""

    arrived_s: float
    """On the monotonic clock."""
    frame: int = -1
    capture_time_s: float = float("nan")
    dropped_frames: int = 0
    """So far, before the tracker."""
    latency_ms: float | None = None
    """What the message says: from capture until it was handed over."""
    process_ms: float | None = None
    """What the message says its tracking took."""
    state: str | None = None
    """Set where this is no frame but a change of the source's state."""
    length_bytes: int = 0


class Client(Protocol):
    """Somebody who listens."""

    def arrivals(self) -> Iterator[Arrival]:
        """What comes, until the other end closes.

        Raises:
            OSError: the connection broke, or nothing came for ``PATIENCE_S``.
        """
        ...

    def close(self) -> None:
        """Leave."""
        ...


class Envelope(msgspec.Struct):
    """What the observer reads of a message."""

    type: str
    frame: int = -1
    capture_time_s: float = float("nan")
    dropped_frames: int = 0
    latency_ms: float | None = None
    stage_ms: dict[str, float | None] = {}
    state: str = ""


class WebSocketClient:
    """A WebSocket by its protocol alone.

    Args:
        port: of the server on this machine.
        subprotocol: which spelling to ask for.
        wishes: keys of the message ``want``; nothing is asked for without.

    Raises:
        OSError: nobody listens, or the handshake was refused.
    """

    def __init__(self, port: int, subprotocol: str, wishes: dict[str, object] | None = None) -> None:
        from websockets.client import ClientProtocol
        from websockets.typing import Subprotocol
        from websockets.uri import parse_uri

        self._decoder: msgspec.json.Decoder[Envelope] | msgspec.msgpack.Decoder[Envelope] = (
            msgspec.json.Decoder(Envelope) if "json" in subprotocol else msgspec.msgpack.Decoder(Envelope)
        )
        self.socket = _connect(port)
        self._protocol = ClientProtocol(
            parse_uri(f"ws://127.0.0.1:{port}/"), subprotocols=[Subprotocol(subprotocol)], max_size=None
        )
        self._early: list[bytes] = []
        try:
            self._protocol.send_request(self._protocol.connect())
            self._write()
            self._shake_hands()
            if wishes is not None:
                self.say(msgspec.json.encode({"type": "want", **wishes}))
        except BaseException:
            self.close()
            raise

    def say(self, text: bytes) -> None:
        """Send a text message."""
        self._protocol.send_text(text)
        self._write()

    def messages(self) -> Iterator[bytes]:
        """Whole messages as they come."""
        yield from self._early
        while received := self.socket.recv(_READ_BYTES):
            yield from self._take(received)

    def arrivals(self) -> Iterator[Arrival]:
        """See ``Client``."""
        for message in self.messages():
            if (arrival := _arrival(self._decoder.decode(message), len(message))) is not None:
                yield arrival

    def close(self) -> None:
        """Leave without a word."""
        self.socket.close()

    def say_goodbye(self) -> None:
        """Begin the closing handshake."""
        self._protocol.send_close(1000)
        self._write()

    def _shake_hands(self) -> None:
        from websockets.protocol import State

        while self._protocol.state is State.CONNECTING:
            received = self.socket.recv(_READ_BYTES)
            if not received:
                raise ConnectionError("the server closed the connection in the handshake")
            self._early.extend(self._take(received))
            if self._protocol.handshake_exc is not None:
                raise ConnectionError(f"the handshake was refused: {self._protocol.handshake_exc}")

    def _take(self, received: bytes) -> list[bytes]:
        from websockets.frames import Frame, Opcode

        self._protocol.receive_data(received)
        self._write()
        return [
            bytes(event.data)
            for event in self._protocol.events_received()
            if isinstance(event, Frame) and event.opcode in (Opcode.TEXT, Opcode.BINARY)
        ]

    def _write(self) -> None:
        for piece in self._protocol.data_to_send():
            if piece:
                self.socket.sendall(piece)


class LineClient:
    """Lines over TCP: our JSON, or Hand Tracking Streamer's."""

    def __init__(self, port: int, *, hts: bool) -> None:
        self.socket = _connect(port)
        self._hts = hts
        self._decoder = msgspec.json.Decoder(Envelope)

    def arrivals(self) -> Iterator[Arrival]:
        """See ``Client``."""
        waiting = b""
        while received := self.socket.recv(_READ_BYTES):
            *lines, waiting = (waiting + received).split(b"\n")
            for line in lines:
                arrival = _hts_arrival(line) if self._hts else _arrival(self._decoder.decode(line), len(line))
                if arrival is not None:
                    yield arrival

    def close(self) -> None:
        """Leave."""
        self.socket.close()


class DatagramClient:
    """Hand Tracking Streamer's datagrams, one a hand."""

    def __init__(self, port: int) -> None:
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.settimeout(PATIENCE_S)
        self.socket.bind(("127.0.0.1", port))

    def arrivals(self) -> Iterator[Arrival]:
        """See ``Client``."""
        while True:
            if (arrival := _hts_arrival(self.socket.recv(_READ_BYTES))) is not None:
                yield arrival

    def close(self) -> None:
        """Leave."""
        self.socket.close()


def listen(way: str, port: int, wishes: dict[str, object] | None = None) -> Client:
    """A client of the kind that ``way`` names (see ``WAYS``).

    Raises:
        OSError: nobody listens at ``port``.
    """
    match way:
        case "websocket-json" | "websocket-msgpack":
            return WebSocketClient(port, f"hand-track.v1.{way.removeprefix('websocket-')}", wishes)
        case "tcp" | "hts-tcp":
            return LineClient(port, hts=way == "hts-tcp")
        case "hts-udp":
            return DatagramClient(port)
    raise ValueError(f"{way!r} is no way to listen; choose one of {', '.join(WAYS)}")


def frames_of(client: Client, seconds: float) -> dict[int, Arrival]:
    """What arrives in so many seconds by frame; of a frame in pieces the last piece.

    Raises:
        OSError: the connection broke, or nothing came for ``PATIENCE_S``.
    """
    end_s = time.monotonic() + seconds
    frames: dict[int, Arrival] = {}
    for arrival in client.arrivals():
        if arrival.state is None:
            before = frames[arrival.frame].length_bytes if arrival.frame in frames else 0
            frames[arrival.frame] = replace(arrival, length_bytes=before + arrival.length_bytes)
        if arrival.arrived_s >= end_s:
            return frames
    raise ConnectionError("the tracker closed the connection")


def wait_for_listener(port: int, seconds: float = 30.0) -> None:
    """Wait until somebody listens at ``port``.

    Raises:
        TimeoutError: nobody does.
    """
    end_s = time.monotonic() + seconds
    while time.monotonic() < end_s:
        try:
            with closing(socket.create_connection(("127.0.0.1", port), 1.0)):
                return
        except OSError:
            time.sleep(0.05)
    raise TimeoutError(f"nobody listens at port {port}")


def _connect(port: int) -> socket.socket:
    connected = socket.create_connection(("127.0.0.1", port), PATIENCE_S)
    connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connected


def _arrival(message: Envelope, length_bytes: int) -> Arrival | None:
    arrived_s = time.monotonic()
    match message.type:
        case "state":
            return Arrival(arrived_s, state=message.state)
        case "frame":
            known = [value for value in message.stage_ms.values() if value is not None]
            return Arrival(
                arrived_s,
                message.frame,
                message.capture_time_s,
                message.dropped_frames,
                message.latency_ms,
                sum(known) if known else None,
                length_bytes=length_bytes,
            )
    return None


def _hts_arrival(text: bytes) -> Arrival | None:
    stamp = _HTS_LINE.match(text)
    if stamp is None:
        return None
    return Arrival(time.monotonic(), int(stamp[1]), int(stamp[2]) / 1e9, length_bytes=len(text))
