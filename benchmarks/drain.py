"""Many clients in one process that take what comes and look at none of it; the first may never read.

    python -m benchmarks.drain WAY PORT COUNT NEVER_READ [WISHES]

Raw sockets, so that they cost little beside what is measured. WAY is one of `listening.py`'s over TCP, and
NEVER_READ how many of them never read. It says ``ready`` when all the others have been sent something, runs
until its standard input is closed, and then says how many were cut off.
"""

import base64
import os
import selectors
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import msgspec

READY_S = 20.0
_READ_BYTES = 1 << 16
_SMALL_BUFFER_BYTES = 4096
"""The receive buffer of those that never read: it is soon full."""


def handshake(way: str, port: int, wishes: Mapping[str, object] | None) -> bytes:
    """What such a client sends first."""
    if not way.startswith("websocket-"):
        return b""
    key = base64.b64encode(os.urandom(16)).decode()
    request = (
        f"GET / HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n"
        f"Sec-WebSocket-Protocol: hand-track.v1.{way.removeprefix('websocket-')}\r\n\r\n"
    ).encode()
    if not wishes:
        return request
    from websockets.frames import Frame, Opcode

    want = msgspec.json.encode({"type": "want", **wishes})
    return request + Frame(Opcode.TEXT, want).serialize(mask=True)


@contextmanager
def others(way: str, port: int, count: int, wishes: Mapping[str, object] | None = None) -> Iterator[None]:
    """So many clients beside, in one further process; of several, one never reads."""
    if not count:
        yield
        return
    arguments = [
        way,
        str(port),
        str(count),
        "1" if count > 1 else "0",
        msgspec.json.encode(wishes or {}).decode(),
    ]
    with subprocess.Popen(
        [sys.executable, "-m", "benchmarks.drain", *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdin is not None and process.stdout is not None
        if process.stdout.readline() != "ready\n":
            raise ConnectionError(f"{count} clients could not connect")
        yield
        process.stdin.close()
        if process.stdout.readline() != "cut off 0\n":
            raise ConnectionError(f"some of {count} clients were cut off")


def main() -> None:
    way, port, count, never_read = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
    wishes = msgspec.json.decode(sys.argv[5], type=dict[str, object]) if len(sys.argv) > 5 else {}
    selector = selectors.DefaultSelector()
    selector.register(sys.stdin, selectors.EVENT_READ)
    clients = []
    for number in range(count):
        client = socket.socket()
        if number < never_read:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _SMALL_BUFFER_BYTES)
        client.connect(("127.0.0.1", port))
        client.sendall(handshake(way, port, wishes))
        clients.append(client)
        if number >= never_read:
            selector.register(client, selectors.EVENT_READ)
    print(f"cut off {_drain(selector, count - never_read)}", flush=True)


def _drain(selector: selectors.BaseSelector, readers: int) -> int:
    """Read until standard input ends; returns how many connections were closed at the other end."""
    heard: set[int] = set()
    cut_off = 0
    while True:
        for key, _ in selector.select(READY_S):
            if key.fileobj is sys.stdin:
                return cut_off
            assert isinstance(key.fileobj, socket.socket)
            try:
                received = key.fileobj.recv(_READ_BYTES)
            except OSError:
                received = b""
            if not received:
                selector.unregister(key.fileobj)
                cut_off += 1
                continue
            if key.fd not in heard:
                heard.add(key.fd)
                if len(heard) == readers:
                    print("ready", flush=True)


if __name__ == "__main__":
    main()
