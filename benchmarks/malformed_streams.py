"""Does a live source outlive whatever bytes come? Broken streams over UDP, TCP and HTTP, one after another.

    python -m benchmarks.malformed_streams [--cases N] [--seed S]

One live source a protocol begins with a good stream and finds a broken one each time it opens again:
random bytes, MPEG-TS (H.264, MPEG-2) and JPEGs cut short, with bits flipped, with packets lost, doubled and
swapped, and over HTTP broken answers. A last good stream has to be played as if nothing had been. Printed
per protocol: cases, pictures that came of them, the longest case, threads and files left over, and how memory
grew over the second half.

It fails where anything but the source's own errors is raised, a case takes longer than 10 s, the last stream
does not play, or threads or files are left over. Of a crash --log tells the case.

Last result: see RESULTS.md.
"""

import gc
import io
import logging
import os
import random
import socket
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal, TextIO

import av
import numpy as np
import tyro

from benchmarks.measure import describe_machine, print_json, print_table
from benchmarks.stream_sender import DATAGRAM_BYTES, HOST
from tracker.cli_running import run_command
from tracker.errors import SourceError
from tracker.sources.network_stream import NetworkConfig, NetworkStream
from tracker.sources.reopening import Reopening

LIMIT_S = 10.0
HASTY = NetworkConfig(open_timeout_s=0.6, read_timeout_s=0.3)
DATAGRAM_GAP_S = 0.0002
GOOD_FRAMES = 40
MEMORY_EVERY_CASES = 10

Protocol = Literal["udp", "tcp", "http"]


@dataclass(frozen=True)
class Args:
    """Feed broken streams to a live source."""

    cases: int = 1000
    """Over all protocols together."""
    protocols: tuple[Protocol, ...] = ("udp", "tcp", "http")
    """How they come."""
    seed: int = 0
    """Other broken streams."""
    log: Path | None = None
    """Write each case's number and kind here before it begins."""


def video(codec: str, container_format: str, *, frames: int = GOOD_FRAMES) -> bytes:
    """A small moving picture."""
    file = io.BytesIO()
    with av.open(file, "w", format=container_format) as container:
        options = {"preset": "ultrafast", "tune": "zerolatency", "g": "10"} if codec == "libx264" else {}
        stream = container.add_stream(codec, rate=30, options=options)
        stream.width, stream.height = 160, 120
        stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
        noise = np.random.default_rng(0).integers(0, 255, (120, 160, 3), dtype=np.uint8)
        for index in range(frames):
            picture = av.VideoFrame.from_ndarray(np.roll(noise, 3 * index, axis=1), format="rgb24")
            container.mux(stream.encode(picture))
        container.mux(stream.encode())
    return file.getvalue()


class Breaker:
    """Makes broken streams of good ones."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.good = video("libx264", "mpegts")
        self._bases = [self.good, video("mjpeg", "mpjpeg"), video("mpeg2video", "mpegts")]
        self._ways: list[Callable[[bytes], bytes]] = [
            self.noise,
            self.cut,
            self.flipped,
            self.shuffled,
            self.swollen,
        ]

    def broken(self) -> tuple[str, bytes]:
        """What was done, and the bytes."""
        way, base = self.random.choice(self._ways), self.random.choice(self._bases)
        return way.__name__, way(base)

    def noise(self, base: bytes) -> bytes:
        """Random bytes, half the time behind a good beginning."""
        head = base[: self.random.choice((0, self.random.randrange(len(base))))]
        return head + self.random.randbytes(self.random.randrange(1, 60_000))

    def cut(self, base: bytes) -> bytes:
        """A piece from anywhere to anywhere."""
        start = self.random.choice((0, self.random.randrange(len(base))))
        return base[start : start + self.random.randrange(1, len(base))]

    def flipped(self, base: bytes) -> bytes:
        """Few or many bits of all, or of the first two kilobytes, where headers lie."""
        data = bytearray(base)
        reach = self.random.choice((2000, len(data)))
        for _ in range(self.random.choice((1, 10, 100, 3000))):
            data[self.random.randrange(reach)] ^= 1 << self.random.randrange(8)
        return bytes(data)

    def shuffled(self, base: bytes) -> bytes:
        """Packets lost, doubled and swapped."""
        packets = [base[start : start + 188] for start in range(0, len(base), 188)]
        for _ in range(self.random.choice((1, 20, 200))):
            place, other = (self.random.randrange(len(packets)) for _ in range(2))
            packets[place] = self.random.choice((b"", 2 * packets[place], packets[other]))
        return b"".join(packets)

    def swollen(self, base: bytes) -> bytes:
        """Long runs of one byte somewhere inside."""
        place = self.random.randrange(len(base))
        filling = self.random.choice((b"\x00", b"\xff", b"\x47", b"\x00\x00\x01"))
        return base[:place] + filling * self.random.randrange(1, 20_000) + base[place:]

    def http_answer(self) -> bytes:
        """What comes before the stream: mostly an answer, sometimes none."""
        kind = self.random.choice(
            ("multipart/x-mixed-replace; boundary=ffmpeg", "video/mp2t", "\x00\xff", "")
        )
        lines = [
            self.random.choice(("HTTP/1.0 200 OK", "HTTP/1.1 200 OK", "HTTP/1.1 999", "HTTP/9", "\x00")),
            f"Content-Type: {kind}",
            self.random.choice(
                ("X: y", "Content-Length: -5", "Content-Length: 99999999999999999999", "Z" * 9000)
            ),
            self.random.choice(
                ("X: y", "Transfer-Encoding: chunked", "Content-Encoding: gzip", "Location: /")
            ),
        ]
        return "\r\n".join(lines).encode("latin-1") + self.random.choice((b"\r\n\r\n", b"\r\n\r\n", b""))


class Peer:
    """The other end: whoever asks is given the stream that is set."""

    def __init__(self, protocol: Protocol) -> None:
        self._http = protocol == "http"
        kind = socket.SOCK_DGRAM if protocol == "udp" else socket.SOCK_STREAM
        self._socket = socket.socket(socket.AF_INET, kind)
        self._socket.bind((HOST, 0))
        self._to = self._socket.getsockname()
        self.url = f"{protocol}://{HOST}:{self._to[1]}"
        self._given = (b"", b"")
        self._closing = threading.Event()
        if protocol == "udp":
            self._socket.close()  # the source binds this port
            self._socket = socket.socket(socket.AF_INET, kind)
        else:
            self._socket.listen()
            self._socket.settimeout(0.2)
        self._set = threading.Event()
        work = self._send_datagrams if protocol == "udp" else self._answer
        self._thread = threading.Thread(target=work, daemon=True)
        self._thread.start()

    def give(self, data: bytes, answer: bytes = b"HTTP/1.0 200 OK\r\n\r\n") -> None:
        """Send ``data`` from now on, over HTTP after ``answer``."""
        self._given = (data, answer)
        self._set.set()

    def close(self) -> None:
        """Free the port."""
        self._closing.set()
        self._set.set()
        self._thread.join()
        self._socket.close()

    def _send_datagrams(self) -> None:
        """Each stream once, a moment after it was set: until then the source has bound its port."""
        while self._set.wait() and not self._closing.wait(0.05):
            self._set.clear()
            data, _ = self._given
            for start in range(0, len(data), DATAGRAM_BYTES):
                if self._set.is_set():
                    break
                with suppress(OSError):
                    self._socket.sendto(data[start : start + DATAGRAM_BYTES], self._to)
                time.sleep(DATAGRAM_GAP_S)

    def _answer(self) -> None:
        while not self._closing.is_set():
            with suppress(OSError):
                client, _ = self._socket.accept()
                with client:
                    client.settimeout(2.0)
                    if self._http and not client.recv(4096):
                        continue
                    data, answer = self._given
                    client.sendall(answer + data if self._http else data)
                    client.shutdown(socket.SHUT_WR)


class Feed:
    """Gives a reopening source one stream after another, and watches what comes of each."""

    def __init__(self, protocol: Protocol, cases: int, seed: int, log: TextIO | None = None) -> None:
        self._peer = Peer(protocol)
        self._breaker = Breaker(seed)
        self._cases = cases
        self._log = log
        self._http = protocol == "http"
        self._began_s = time.monotonic()
        self.took_s: list[float] = []
        self.opened = 0
        self.memory_mb: list[float] = []

    def run(self) -> tuple[int, int]:
        """Pictures of all streams but the last, and of the last."""
        source = Reopening(self._open(self._breaker.good), self._open_next, wait=lambda _: None)
        before = last = 0
        for frame in source:
            if len(self.took_s) <= self._cases:
                before += 1
                continue
            last += 1
            if last >= GOOD_FRAMES // 2:
                source.close()
            assert frame.image_rgb.shape == (120, 160, 3)
        self._peer.close()
        return before, last

    def _open_next(self) -> NetworkStream:
        """Called when the stream before is over, or could not be opened."""
        now_s = time.monotonic()
        self.took_s.append(now_s - self._began_s)
        if len(self.took_s) % MEMORY_EVERY_CASES == 0:
            gc.collect()
            self.memory_mb.append(held()[2])
        if len(self.took_s) > self._cases:
            return self._open(self._breaker.good)
        kind, data = self._breaker.broken()
        if self._log is not None:
            print(len(self.took_s), kind, len(data), file=self._log, flush=True)
        if not self._http:
            return self._open(data)
        return self._open(data, self._breaker.http_answer())

    def _open(self, data: bytes, *answer: bytes) -> NetworkStream:
        self._began_s = time.monotonic()
        self._peer.give(data, *answer)
        stream = NetworkStream(self._peer.url, config=HASTY)
        if not stream.live:
            stream.close()
            raise SourceError("it says how long it is")
        self.opened += 1
        return stream


def held() -> tuple[int, int, float]:
    """Threads, open files and megabytes of this process now."""
    files = Path("/proc/self/fd")
    pages = int(Path("/proc/self/statm").read_text().split()[1]) if files.exists() else 0
    count = len(list(files.iterdir())) if files.exists() else 0
    return threading.active_count(), count, pages * os.sysconf("SC_PAGE_SIZE") / 1e6 if pages else 0.0


def growth_mb(memory_mb: Sequence[float]) -> float | None:
    """How much more is held in the last tenth than in the middle one, in the median; None of few readings."""
    tenth, half = len(memory_mb) // 10, len(memory_mb) // 2
    if not tenth:
        return None
    return float(np.median(memory_mb[-tenth:]) - np.median(memory_mb[half : half + tenth]))


@dataclass(frozen=True)
class Outcome:
    """What came of one protocol's cases."""

    cases: int
    opened: int
    pictures: int
    last_stream_pictures: int
    longest_s: float
    threads_left: int
    files_left: int
    memory_growth_mb: float | None

    @property
    def failed(self) -> bool:
        """Whether it is not as it must be."""
        left = self.threads_left > 0 or self.files_left > 0
        return left or self.last_stream_pictures < GOOD_FRAMES // 2 or self.longest_s > LIMIT_S


def feed(protocol: Protocol, cases: int, seed: int, log: TextIO | None = None) -> Outcome:
    """One protocol's cases."""
    threads, files, _ = held()
    broken = Feed(protocol, cases, seed, log)
    pictures, last = broken.run()
    gc.collect()
    return Outcome(
        cases=len(broken.took_s) - 1,
        opened=broken.opened - 2,
        pictures=pictures - GOOD_FRAMES,
        last_stream_pictures=last,
        longest_s=max(broken.took_s),
        threads_left=held()[0] - threads,
        files_left=held()[1] - files,
        memory_growth_mb=growth_mb(broken.memory_mb),
    )


def main() -> None:
    args = tyro.cli(Args, description=__doc__)
    logging.disable()
    log = args.log.open("w") if args.log is not None else None
    shares = [len(range(k, args.cases, len(args.protocols))) for k in range(len(args.protocols))]
    results = {
        protocol: feed(protocol, share, args.seed, log)
        for protocol, share in zip(args.protocols, shares, strict=True)
    }
    print("  ".join(f"{key} {value}" for key, value in describe_machine().items()))
    values = {protocol: asdict(result) for protocol, result in results.items()}
    rows = [["-" if value is None else value for value in row.values()] for row in values.values()]
    header = ["", *next(iter(values.values()))]
    print_table(header, [[protocol, *row] for protocol, row in zip(values, rows, strict=True)])
    print_json("malformed_streams", {"seed": args.seed, "protocols": values})
    if any(result.failed for result in results.values()):
        sys.exit(1)


if __name__ == "__main__":
    sys.exit(run_command(main))
