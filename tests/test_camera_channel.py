"""The conversation with a browser that sends its camera, by a real WebSocket client."""

import asyncio
import json
import random
import struct
import threading
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest

pytest.importorskip("websockets")

from web_server import TOKEN, Server, skip_without_network, wait_until
from websockets.asyncio.client import ClientConnection, connect
from websockets.asyncio.server import serve
from websockets.exceptions import ConnectionClosed, InvalidStatus

from tracker.web import camera_channel
from tracker.web.camera_channel import ANOTHER_CAMERA, MAX_ERRORS, SILENT, TOO_MANY_ERRORS, attend_camera

JPEG = b"\xff\xd8 as far as the channel looks \xff\xd9"


class Camera:
    """What the channel talks to; it writes down what it is told."""

    def __init__(self) -> None:
        self.attended = False
        self.pictures: list[tuple[bytes, float]] = []
        self.decoded: list[tuple[object, float]] = []
        self.complaints: list[str] = []

    def connected(self) -> bool:
        granted, self.attended = not self.attended, True
        return granted

    def put_jpeg(self, jpeg: bytes, capture_time_s: float) -> None:
        self.pictures.append((jpeg, capture_time_s))

    def put_picture(self, picture: object, capture_time_s: float) -> None:
        self.decoded.append((picture, capture_time_s))

    def complaint(self) -> str | None:
        return self.complaints.pop(0) if self.complaints else None

    def disconnected(self) -> None:
        self.attended = False


Page = Callable[[], Any]


@asynccontextmanager
async def channel(camera: Camera) -> AsyncIterator[Page]:
    """Opens connections to a server whose only camera is ``camera``."""
    async with serve(
        lambda connection: attend_camera(connection, camera), "127.0.0.1", 0, compression=None
    ) as server:
        port = server.sockets[0].getsockname()[1]
        yield lambda: connect(f"ws://127.0.0.1:{port}/camera", compression=None)


def run(conversation: Callable[[Camera, Page], Coroutine[Any, Any, None]]) -> None:
    async def whole() -> None:
        camera = Camera()
        async with asyncio.timeout(20), channel(camera) as page:
            await conversation(camera, page)

    asyncio.run(whole())


async def answer(page: ClientConnection) -> dict[str, Any]:
    message: dict[str, Any] = json.loads(await page.recv())
    return message


def picture(time_s: float, jpeg: bytes = JPEG) -> bytes:
    return struct.pack("<d", time_s) + jpeg


def test_the_clock_comes_back_with_the_questions_own_time():
    async def conversation(camera: Camera, page: Page) -> None:
        async with page() as socket:
            before_s = time.monotonic()
            await socket.send('{"type":"clock","client_ms":123.5}')
            said = await answer(socket)
            assert (said["type"], said["client_ms"]) == ("clock", 123.5)
            assert before_s <= said["server_s"] <= time.monotonic()
            assert isinstance(said["webrtc"], bool)

    run(conversation)


def test_pictures_are_handed_over_and_counted():
    async def conversation(camera: Camera, page: Page) -> None:
        async with page() as socket:
            for k in range(3):
                await socket.send(picture(10.0 + k))
                assert await answer(socket) == {"type": "taken", "count": k + 1}
        assert camera.pictures == [(JPEG, 10.0), (JPEG, 11.0), (JPEG, 12.0)]

    run(conversation)


def test_a_complaint_reaches_the_page():
    async def conversation(camera: Camera, page: Page) -> None:
        camera.complaints.append("it is upside down")
        async with page() as socket:
            await socket.send(picture(1.0))
            assert (await answer(socket))["type"] == "taken"
            assert await answer(socket) == {"type": "error", "message": "it is upside down"}

    run(conversation)


def test_a_second_camera_is_told_so_and_the_next_may_come_after_the_first():
    async def conversation(camera: Camera, page: Page) -> None:
        async with page() as first:
            await first.send(picture(1.0))
            await answer(first)
            async with page() as second:
                assert "another camera" in (await answer(second))["message"]
                with pytest.raises(ConnectionClosed):
                    await second.recv()
                assert second.close_code == ANOTHER_CAMERA
            await first.send(picture(2.0))
            assert (await answer(first))["count"] == 2
        while camera.attended:
            await asyncio.sleep(0.001)
        async with page() as third:
            await third.send(picture(3.0))
            assert await answer(third) == {"type": "taken", "count": 1}

    run(conversation)


def test_a_browser_that_vanished_makes_room(monkeypatch):
    monkeypatch.setattr(camera_channel, "SILENT_S", 0.2)

    async def conversation(camera: Camera, page: Page) -> None:
        async with page() as socket:
            await socket.send(picture(1.0))
            await answer(socket)
            assert "nothing was heard" in (await answer(socket))["message"]
            assert not camera.attended
            with pytest.raises(ConnectionClosed):
                await socket.recv()
            assert socket.close_code == SILENT

    run(conversation)


@pytest.mark.parametrize(
    "garbage",
    [
        "",
        "{",
        "null",
        "[1]",
        '{"type":"taken","count":1}',
        '{"type":"clock"}',
        '{"type":"clock","client_ms":"now"}',
        '{"type":"offer","sdp":7}',
        json.dumps({"type": "offer", "sdp": "x" * 70_000}),
        "[" * 5000,
        b"",
        b"\0" * 7,
        b"\0" * 8,
        picture(1.0, b"GIF89a"),
    ],
    ids=lambda garbage: repr(garbage)[:24],
)
def test_garbage_is_answered_by_an_error_and_ignored(garbage):
    async def conversation(camera: Camera, page: Page) -> None:
        async with page() as socket:
            await socket.send(garbage)
            assert (await answer(socket))["type"] == "error"
            await socket.send(picture(1.0))
            assert (await answer(socket)) == {"type": "taken", "count": 1}
        assert len(camera.pictures) == 1

    run(conversation)


def test_endless_garbage_ends_the_connection():
    async def conversation(camera: Camera, page: Page) -> None:
        async with page() as socket:
            with pytest.raises(ConnectionClosed):
                for _ in range(MAX_ERRORS + 1):
                    await socket.send("garbage")
                    await socket.recv()
                await socket.recv()
            assert socket.close_code == TOO_MANY_ERRORS
        assert not camera.attended

    run(conversation)


def test_endless_garbage_ends_the_connection_though_more_of_it_comes():
    garbage = b"\x81\x87\x00\x00\x00\x00garbage"  # masked by zeros
    camera = Camera()
    with Server(camera=camera) as server:
        request = server.upgrade().replace(b"GET / ", b"GET /camera ")
        with server.raw(request) as peer:

            def send_on() -> None:
                with suppress(OSError):
                    while True:
                        peer.sendall(garbage * 10)
                        time.sleep(0.001)

            sender = threading.Thread(target=send_on, daemon=True)
            sender.start()
            start = time.monotonic()
            heard = b""
            with suppress(ConnectionResetError):
                while said := peer.recv(1 << 16):
                    heard += said
            assert time.monotonic() - start < 5.0  # it was 10 s
            assert TOO_MANY_ERRORS.to_bytes(2, "big") + b"too many messages" in heard
        sender.join()
        wait_until(lambda: not camera.attended)


def test_a_camera_that_comes_back_while_its_last_connection_ends_is_let_in():
    async def conversation(camera: Camera, page: Page) -> None:
        assert camera.connected(), "an earlier connection whose end is not found yet"
        async with page() as socket:
            await socket.send(picture(1.0))
            await asyncio.sleep(0.1)
            camera.disconnected()
            assert await answer(socket) == {"type": "taken", "count": 1}

    run(conversation)


def test_fuzzed_messages_never_stop_the_server():
    """400 messages on as many connections as it takes."""
    chance = random.Random(7)
    seeds = [
        '{"type":"clock","client_ms":-1.5}',
        '{"type":"offer","sdp":"v=0"}',
        '{"type":"token","token":"t"}',
    ]

    def fuzzed() -> str | bytes:
        text = list(chance.choice(seeds))
        for _ in range(chance.randrange(1, 6)):
            text.insert(
                chance.randrange(len(text)), chr(chance.choice([0, 34, 44, 58, 92, 123, 125, 233, 0x1F600]))
            )
        if chance.random() < 0.3:
            return chance.randbytes(chance.randrange(40))
        return "".join(text)

    async def conversation(camera: Camera, page: Page) -> None:
        left = 400
        while left:
            async with page() as socket:
                try:
                    while left:
                        await socket.send(fuzzed())
                        await socket.send(json.dumps({"type": "clock", "client_ms": left}))
                        left -= 1
                        while (await answer(socket)).get("client_ms") != left + 1:
                            pass
                except ConnectionClosed:
                    pass
            while camera.attended:
                await asyncio.sleep(0.001)
        async with page() as socket:
            await socket.send(picture(1.0))
            assert (await answer(socket)) == {"type": "taken", "count": 1}

    run(conversation)


def test_an_offer_without_webrtc_says_which_extra_brings_it(monkeypatch):
    monkeypatch.setattr(camera_channel, "webrtc_installed", lambda: False)

    async def conversation(camera: Camera, page: Page) -> None:
        async with page() as socket:
            await socket.send('{"type":"offer","sdp":"v=0"}')
            assert "[webrtc]" in (await answer(socket))["message"]

    run(conversation)


@pytest.mark.parametrize(
    "sdp", ["", "v=0", "m=video 9 UDP/TLS/RTP/SAVPF 96", "v=0\r\nm=video\r\nm=audio\r\n"]
)
def test_an_offer_that_is_none_is_answered_by_an_error(sdp):
    pytest.importorskip("aiortc")

    async def conversation(camera: Camera, page: Page) -> None:
        async with page() as socket:
            await socket.send(json.dumps({"type": "offer", "sdp": sdp}))
            assert (await answer(socket))["type"] == "error"
            await socket.send(picture(1.0))
            assert (await answer(socket))["type"] == "taken"

    run(conversation)


def test_the_live_server_lets_a_camera_in_by_the_token_and_takes_larger_messages_of_it():
    camera = Camera()
    jpeg = JPEG + bytes(1_000_000)
    with Server(camera=camera, token=TOKEN) as server:
        with server.connect("/camera") as peer:
            peer.connection.send(picture(1.0))  # before the token
            assert peer.hear()["type"] == "error"
        assert not camera.pictures
        with server.connect("/camera") as peer:
            peer.say(type="token", token=TOKEN)
            peer.say(type="clock", client_ms=0.0)
            assert peer.hear()["type"] == "clock"  # until then messages are as small as a token's
            peer.connection.send(picture(1.0, jpeg))
            assert peer.hear() == {"type": "taken", "count": 1}
            with pytest.raises(ConnectionClosed) as closed:
                peer.connection.send(picture(2.0, bytes(4_000_000)))
                peer.hear()
            assert closed.value.rcvd is not None and closed.value.rcvd.code == 1009
        assert camera.pictures == [(jpeg, 1.0)]
        wait_until(lambda: not camera.attended)


def test_without_a_camera_to_send_to_there_is_no_page_and_no_place():
    with Server() as server:
        assert server.get("/camera")[0] == 404
        with pytest.raises(InvalidStatus, match="404"):
            server.connect("/camera")
    with Server(camera=Camera()) as server:
        assert server.get("/camera")[0] == 200


def test_video_by_webrtc_becomes_pictures():
    aiortc = pytest.importorskip("aiortc")
    skip_without_network()
    from aiortc import VideoStreamTrack

    async def conversation(camera: Camera, page: Page) -> None:
        peer = aiortc.RTCPeerConnection(aiortc.RTCConfiguration(iceServers=[]))
        try:
            async with page() as socket:
                peer.addTrack(VideoStreamTrack())
                await peer.setLocalDescription(await peer.createOffer())
                await socket.send(json.dumps({"type": "offer", "sdp": peer.localDescription.sdp}))
                said = await answer(socket)
                assert said["type"] == "answer"
                await peer.setRemoteDescription(aiortc.RTCSessionDescription(said["sdp"], "answer"))
                before_s = time.monotonic()
                while len(camera.decoded) < 5:
                    await asyncio.sleep(0.01)
            times = [before_s, *(time_s for _, time_s in camera.decoded), time.monotonic()]
            assert times == sorted(times)
            first: Any = camera.decoded[0][0]
            assert (first.width, first.height) == (640, 480)
        finally:
            await peer.close()

    run(conversation)
