"""The WebSocket over which a browser sends its camera: clock, pictures, and WebRTC's offer.

Text is JSON, one message each; binary is a picture: its capture time on our clock as a little-endian
float64, then a JPEG. What else comes is answered with an error and ignored.
"""

import asyncio
import math
import struct
import time
from functools import cache
from importlib.util import find_spec
from types import ModuleType
from typing import TYPE_CHECKING, Annotated, Protocol

import msgspec
from websockets.exceptions import ConnectionClosed

from tracker.sinks.wire import encode_error
from tracker.web.goodbye import say_goodbye

if TYPE_CHECKING:
    from av import VideoFrame
    from websockets.asyncio.server import ServerConnection

    from tracker.web.webrtc import Call

MAX_PICTURE_BYTES = 4_000_000
"""The server's limit for a message; a longer one closes the connection."""
SILENT_S = 5.0
"""A page asks for the clock every second; one that says nothing for so long is gone."""
LEAVING_S, LEAVING_TRIES = 0.5, 25
"""How long a camera waits for an earlier one that may just be leaving, and how often it looks."""
MAX_ERRORS = 100
"""After so many answers of ``error`` a connection is closed."""
ANOTHER_CAMERA, SILENT, TOO_MANY_ERRORS = 4409, 4408, 4400
"""Codes that a connection is closed with."""
_TIME = struct.Struct("<d")
_JPEG_START = b"\xff\xd8"


class CameraEnd(Protocol):
    """What takes the pictures; called in the server's thread, nothing may wait."""

    def connected(self) -> bool:
        """A browser is there; False where there is one already."""
        ...

    def put_jpeg(self, jpeg: bytes, capture_time_s: float) -> None:
        """Take a picture; ``capture_time_s`` is on the monotonic clock, as far as the browser knows."""
        ...

    def put_picture(self, picture: "VideoFrame", capture_time_s: float) -> None:
        """Take a decoded picture."""
        ...

    def complaint(self) -> str | None:
        """What was wrong with an earlier picture, said once."""
        ...

    def disconnected(self) -> None:
        """The browser is gone."""
        ...


class Token(msgspec.Struct, tag="token"):
    """Access was granted before; a page may say its token all the same."""

    token: str


class ClockQuestion(msgspec.Struct, tag="clock"):
    """What time is it here? The page's own time comes back with the answer."""

    client_ms: float


class Offer(msgspec.Struct, tag="offer"):
    """WebRTC's offer, with all addresses in it."""

    sdp: Annotated[str, msgspec.Meta(max_length=64_000)]


class ClockAnswer(msgspec.Struct, tag="clock"):
    """Our monotonic clock, and whether an offer can be taken."""

    client_ms: float
    server_s: float
    webrtc: bool


class Taken(msgspec.Struct, tag="taken"):
    """How many pictures came so far; a page keeps two under way at most."""

    count: int


class Answer(msgspec.Struct, tag="answer"):
    """WebRTC's answer."""

    sdp: str


_QUESTIONS = msgspec.json.Decoder(Token | ClockQuestion | Offer)
_ANSWERS = msgspec.json.Encoder()


async def attend_camera(connection: "ServerConnection", camera: CameraEnd) -> None:
    """Serve one browser that may send its camera, until it goes."""
    if not await _takes_place(camera):
        await _refuse(connection, "another camera is connected; stop it first", ANOTHER_CAMERA)
        return
    channel = _Channel(connection, camera)
    try:
        farewell = await channel.attend()
    except ConnectionClosed:
        farewell = None
    finally:
        camera.disconnected()  # at once: saying goodbye to a browser that is gone takes its time
        await channel.hang_up()
    if farewell is not None:
        await _refuse(connection, *farewell)


async def _takes_place(camera: CameraEnd) -> bool:
    """Whether the camera's place is free, or becomes so at once.

    A page that is loaded again comes back before the end of its last connection is found.
    """
    for _ in range(LEAVING_TRIES):
        if camera.connected():
            return True
        await asyncio.sleep(LEAVING_S / LEAVING_TRIES)
    return camera.connected()


async def _refuse(connection: "ServerConnection", why: str, code: int) -> None:
    try:
        await connection.send(encode_error(why), text=True)
    except ConnectionClosed:
        return
    await say_goodbye(connection, code, why)


class _Channel:
    """One connection's conversation."""

    def __init__(self, connection: "ServerConnection", camera: CameraEnd) -> None:
        self._connection = connection
        self._camera = camera
        self._taken = 0
        self._errors = 0
        self._call: Call | None = None

    async def attend(self) -> tuple[str, int]:
        """Answer what comes; returns why and with which code to close.

        Raises:
            ConnectionClosed: the browser went.
        """
        while self._errors < MAX_ERRORS:
            try:
                async with asyncio.timeout(SILENT_S):
                    message = await self._connection.recv()
            except TimeoutError:
                return f"nothing was heard for {SILENT_S:g} s", SILENT
            if isinstance(message, bytes):
                await self._take(message)
            else:
                await self._answer(message)
        return "too many messages that cannot be used", TOO_MANY_ERRORS

    async def hang_up(self) -> None:
        """End the WebRTC call, if there is one."""
        if self._call is not None:
            call, self._call = self._call, None
            await call.close()

    async def _take(self, message: bytes) -> None:
        jpeg = message[_TIME.size :]
        if not jpeg.startswith(_JPEG_START):
            await self._say_error("a binary message is a capture time (float64) and a JPEG")
            return
        self._camera.put_jpeg(jpeg, _TIME.unpack_from(message)[0])
        self._taken += 1
        await self._send(Taken(self._taken))
        complaint = self._camera.complaint()
        if complaint is not None:
            # The page's user hears of it; it is no garbage, so it is not counted.
            await self._connection.send(encode_error(complaint), text=True)

    async def _answer(self, message: str) -> None:
        try:
            question = _QUESTIONS.decode(message)
        except (msgspec.MsgspecError, RecursionError, ValueError) as error:
            await self._say_error(f"this message is not understood: {error}")
            return
        match question:
            case ClockQuestion(client_ms) if math.isfinite(client_ms):
                await self._send(ClockAnswer(client_ms, time.monotonic(), webrtc_installed()))
            case Offer(sdp):
                await self._take_call(sdp)

    async def _take_call(self, sdp: str) -> None:
        if not webrtc_installed():
            await self._say_error(
                "WebRTC is not installed here; pip install 'egocentric-hand-tracker[webrtc]'"
            )
            return
        # Importing takes most of a second: not in the thread that serves everybody.
        webrtc = await asyncio.to_thread(_import_webrtc)
        await self.hang_up()
        self._call = webrtc.Call(self._camera.put_picture)
        try:
            answer = await self._call.answer(sdp)
        except webrtc.OfferError as error:
            await self.hang_up()
            await self._say_error(str(error))
            return
        await self._send(Answer(answer))

    async def _say_error(self, why: str) -> None:
        self._errors += 1
        await self._connection.send(encode_error(why), text=True)

    async def _send(self, answer: msgspec.Struct) -> None:
        await self._connection.send(_ANSWERS.encode(answer), text=True)


@cache
def webrtc_installed() -> bool:
    """Whether an offer can be taken."""
    return find_spec("aiortc") is not None


def _import_webrtc() -> "ModuleType":
    from tracker.web import webrtc

    return webrtc
