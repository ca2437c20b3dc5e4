"""A camera on the network: sends a clip again and again, at its own rate, to whoever connects.

    python -m benchmarks.sender CLIP PORT

MPEG-TS over TCP at 127.0.0.1, one receiver at a time, from the clip's start for each. It says ``listening``
once somebody can connect, and runs until it is killed.
"""

import socket
import sys
import time
from contextlib import suppress
from pathlib import Path

import av
from av import FFmpegError

from benchmarks.clips import repeated


def send(clip: Path, receiver: socket.socket) -> None:
    """Send until the receiver leaves.

    Raises:
        OSError: it left.
        FFmpegError: it left.
    """
    pipe = receiver.makefile("wb", buffering=0)
    with (
        av.open(str(clip)) as source,
        av.open(pipe, "w", format="mpegts", options={"flush_packets": "1"}) as target,
    ):
        stream = source.streams.video[0]
        copy = target.add_stream_from_template(stream)
        start_s = time.monotonic()
        for packet in repeated(source, stream):
            assert packet.dts is not None
            time.sleep(max(0.0, start_s + float(packet.dts * packet.time_base) - time.monotonic()))
            packet.stream = copy
            target.mux(packet)


def main() -> None:
    clip, port = Path(sys.argv[1]), int(sys.argv[2])
    with socket.create_server(("127.0.0.1", port)) as listener:
        print("listening", flush=True)
        while True:
            receiver, _ = listener.accept()
            receiver.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with receiver, suppress(OSError, FFmpegError):
                send(clip, receiver)


if __name__ == "__main__":
    main()
