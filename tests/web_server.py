"""A live server with everything on, and clients as a test needs them."""

import http.client
import json
import socket
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from itertools import count
from typing import Any

import msgspec
import pytest
from scripted_runs import PATIENCE_S
from tracked_values import some_info
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Subprotocol

from tracker.sinks.addresses import find_address
from tracker.web.websocket_sink import WebSocketSink

TOKEN = "correct horse battery staple"
LOCAL = "127.0.0.1:0"
JSON, MESSAGE_PACK = Subprotocol("hand-track.v1.json"), Subprotocol("hand-track.v1.msgpack")
_MARKS = count()


def wait_until(happened: Callable[[], object]) -> None:
    end_s = time.monotonic() + PATIENCE_S
    while not happened():
        assert time.monotonic() < end_s, "what the test waits for did not happen"
        time.sleep(0.002)


def read_to_end(peer: socket.socket) -> bytes:
    """What comes until the server closes the connection."""
    heard = b""
    try:
        while said := peer.recv(1 << 16):
            heard += said
    except ConnectionResetError:
        pass
    return heard


def skip_without_network() -> None:
    """WebRTC never goes by a machine's loopback."""
    from aioice.ice import get_host_addresses

    if not get_host_addresses(use_ipv4=True, use_ipv6=True):
        pytest.skip("this machine has no network beside its loopback")


def upgrade_request(host: str, **headers: str) -> bytes:
    """The bytes of a request for a WebSocket."""
    all_headers = {
        "Host": host,
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
        "Sec-WebSocket-Version": "13",
    } | {name.replace("_", "-"): value for name, value in headers.items()}
    lines = [f"{name}: {value}" for name, value in all_headers.items() if value]
    return "\r\n".join(["GET / HTTP/1.1", *lines, "", ""]).encode()


class Server:
    """A sink that serves, begun."""

    def __init__(self, place: str = LOCAL, **options: Any) -> None:
        address = find_address(place, option="--serve", kind=socket.SOCK_STREAM, lowest_port=0)
        self.sink = WebSocketSink(address, **options)
        self.port = self.sink.listens_at[1]
        self.sink.begin(some_info())

    def __enter__(self) -> "Server":
        return self

    def __exit__(self, *_: object) -> None:
        self.sink.close()

    def connect(self, path: str = "/", *, subprotocol: Subprotocol = JSON, **options: Any) -> "Peer":
        """A client whose handshake is done."""
        url = f"ws://127.0.0.1:{self.port}{path}"
        return Peer(
            connect(
                url,
                subprotocols=[subprotocol],
                compression=None,
                open_timeout=PATIENCE_S,
                close_timeout=1,
                proxy=None,
                **options,
            )
        )

    def get(self, path: str, **headers: str) -> tuple[int, http.client.HTTPMessage, bytes]:
        """Status, headers and body of an answer."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE_S)
        connection.request("GET", path, headers=headers)
        answer = connection.getresponse()
        body = answer.read()
        connection.close()
        return answer.status, answer.headers, body

    def raw(self, request: bytes, *, receive_bytes: int | None = None) -> socket.socket:
        """A socket that has sent ``request``."""
        peer = socket.socket()
        peer.settimeout(PATIENCE_S)
        if receive_bytes is not None:
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        peer.connect(("127.0.0.1", self.port))
        peer.sendall(request)
        return peer

    def upgrade(self, **headers: str) -> bytes:
        """The bytes of a request for a WebSocket."""
        return upgrade_request(f"127.0.0.1:{self.port}", **headers)

    @property
    def clients(self) -> int:
        """How many are sent frames."""
        return len(self.sink._server._clients)


class Peer:
    """A client that speaks in dictionaries."""

    def __init__(self, context: AbstractContextManager[ClientConnection]) -> None:
        self._context = context
        self.connection = context.__enter__()

    def __enter__(self) -> "Peer":
        return self

    def __exit__(self, *_: object) -> None:
        self._context.__exit__(None, None, None)

    def say(self, **message: object) -> None:
        self.connection.send(json.dumps(message))

    def hear(self) -> dict[str, Any]:
        """The next message."""
        message = self.connection.recv(timeout=PATIENCE_S)
        heard: dict[str, Any] = (
            json.loads(message) if isinstance(message, str) else msgspec.msgpack.decode(message)
        )
        return heard

    def hear_type(self, kind: str) -> dict[str, Any]:
        """The next message of a type; those before it are thrown away."""
        while True:
            message = self.hear()
            if message["type"] == kind:
                return message

    def want(self, **wishes: object) -> None:
        """Say a wish and wait until the server has heard it."""
        self.say(type="want", **wishes)
        mark = f"mark-{next(_MARKS)}"
        self.say(type=mark)  # no such type: the answer comes after all that was said before, and names it
        while mark not in self.hear_type("error")["message"]:
            pass
