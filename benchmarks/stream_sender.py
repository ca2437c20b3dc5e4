"""Sends a clip over and over as a live MPEG-TS stream: a camera that `restarts.py` can kill.

    python -m benchmarks.stream_sender udp|tcp|http PORT CLIP.ts

The clip's packets go out at their own rate, to 127.0.0.1. By UDP they are sent to the port; by TCP and HTTP
whoever connects gets what is sent from then on, so mostly the middle of a group of pictures first. One line,
``sending SECONDS`` on the monotonic clock, says when it began.
"""

import socket
import sys
import threading
import time
from contextlib import suppress
from itertools import chain
from pathlib import Path

import av

from benchmarks.clips import turns

HOST = "127.0.0.1"
DATAGRAM_BYTES = 7 * 188
CLIENT_STUCK_S = 1.0
HTTP_ANSWER = b"HTTP/1.0 200 OK\r\nContent-Type: video/mp2t\r\n\r\n"


class Datagrams:
    """Where PyAV writes: every piece goes out as datagrams."""

    def __init__(self, port: int) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._to = (HOST, port)

    def write(self, data: bytes) -> int:
        """Send ``data``; nobody listening is no error."""
        for start in range(0, len(data), DATAGRAM_BYTES):
            with suppress(ConnectionRefusedError):
                self._socket.sendto(data[start : start + DATAGRAM_BYTES], self._to)
        return len(data)


class Connections:
    """Where PyAV writes: every piece goes to all who are connected."""

    def __init__(self, port: int, *, http: bool) -> None:
        self._http = http
        self._lock = threading.Lock()
        self._clients: list[socket.socket] = []
        self._listener = socket.create_server((HOST, port))
        threading.Thread(target=self._accept, daemon=True).start()

    def write(self, data: bytes) -> int:
        """Send ``data``; who does not take it is let go."""
        with self._lock:
            for client in list(self._clients):
                try:
                    client.sendall(data)
                except OSError:
                    self._clients.remove(client)
                    client.close()
        return len(data)

    def _accept(self) -> None:
        while True:
            client, _ = self._listener.accept()
            client.settimeout(CLIENT_STUCK_S)
            if self._http:
                with suppress(OSError):
                    client.recv(4096)
                    client.sendall(HTTP_ANSWER)
            with self._lock:
                self._clients.append(client)


def send(outlet: Datagrams | Connections, clip: Path) -> None:
    """Send the clip's packets at their own rate, over and over, until somebody kills this."""
    with (
        av.open(str(clip)) as source,
        av.open(outlet, "w", format="mpegts", options={"flush_packets": "1"}) as target,
    ):
        stream = source.streams.video[0]
        copy = target.add_stream_from_template(stream)
        began_s = time.monotonic()
        print(f"sending {began_s}", flush=True)
        for packet, pts, dts in chain.from_iterable(turns(source, stream)):
            due_s = began_s + float((dts - (stream.start_time or 0)) * stream.time_base)
            time.sleep(max(0.0, due_s - time.monotonic()))
            packet.pts, packet.dts, packet.stream = pts, dts, copy
            target.mux(packet)


def main() -> None:
    protocol, port, clip = sys.argv[1], int(sys.argv[2]), Path(sys.argv[3])
    send(Datagrams(port) if protocol == "udp" else Connections(port, http=protocol == "http"), clip)


if __name__ == "__main__":
    main()
