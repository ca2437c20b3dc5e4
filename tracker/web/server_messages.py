"""What the server says beside header and state, and how any message becomes one WebSocket frame.

A frame's message is that of wire format 1 with the keys below; readers of recordings ignore them.
"""

import msgspec
from websockets.frames import Frame as WebSocketFrame
from websockets.frames import Opcode

from tracker.sinks.messages import FrameMessage, HandMessage, Number
from tracker.sinks.wire_numbers import plain


class LiveHandMessage(HandMessage):
    """A hand with its skin."""

    mesh: str = ""
    """The name of the ``MeshMessage`` whose faces belong to the vertices."""
    vertices_m: bytes = b""
    """V x 3 little-endian float32 in the header's axes."""


class LiveFrameMessage(FrameMessage, tag="frame"):
    """A frame as it happens."""

    latency_ms: Number = None
    """From capture until the message was handed over; None where the capture time is not on our clock."""


class MeshMessage(msgspec.Struct, tag_field="type", tag="mesh"):
    """The faces of hands' skins, sent once before they are needed."""

    name: str
    faces: list[list[int]]
    """Vertex indices, counter-clockwise seen from outside."""


class PreviewMessage(msgspec.Struct, tag_field="type", tag="preview"):
    """A picture of the camera, scaled down."""

    frame: int
    capture_time_s: float
    width: int
    height: int
    jpeg: bytes


class LatencyMessage(msgspec.Struct):
    """Quantiles over the last seconds; None where no capture time was on our clock."""

    p50: Number
    p95: Number
    p99: Number


class StatsMessage(msgspec.Struct, tag_field="type", tag="stats"):
    """The run's figures over the last seconds."""

    frame_rate_hz: Number
    latency_ms: LatencyMessage
    stage_ms: dict[str, Number]
    dropped_frames: int
    clients: int
    recording: str | None
    preview_offered: bool


def websocket_frame(message: msgspec.Struct, *, binary: bool) -> bytes:
    """``message`` as MessagePack or JSON in a WebSocket frame, ready for the connection of any client."""
    if binary:
        return WebSocketFrame(Opcode.BINARY, _MESSAGE_PACK.encode(message)).serialize(mask=False)
    return WebSocketFrame(Opcode.TEXT, _JSON.encode(message)).serialize(mask=False)


_JSON = msgspec.json.Encoder(enc_hook=plain)
_MESSAGE_PACK = msgspec.msgpack.Encoder(enc_hook=plain)
