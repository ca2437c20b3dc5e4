"""How soon are hands there again when a camera comes back, again and again, in one run?

    python -m benchmarks.restarts [--protocols udp tcp http] [--restarts N]

For each protocol ``python run_live.py --source URL --tcp HOST:PORT`` runs in a process of its own on what
``stream_sender.py`` sends (the demo clip as H.264, a key frame a second). The sender is killed and started
anew N times, after absences of several lengths; one TCP client stays connected throughout. What counts is
the time from the sender's start to the second frame at the client captured after it, key frame, tracking and
all; the first may be the last picture of before, which a demuxer gives only when the next one comes.
By UDP an absence of less than 2 s is no loss: the stream goes on in the same socket.

It fails where a frame takes longer than 2 s, where the client loses its connection or a frame's index or time
goes back, and where the run does not end well when interrupted.

Last result: see RESULTS.md.
"""

import json
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Literal

import av
import numpy as np
import tyro

from benchmarks.measure import describe_machine, print_json, print_table
from benchmarks.program import free_port
from benchmarks.stream_sender import HOST
from tracker.cli_running import run_command
from tracker.sources import MODELS_DIRECTORY

REPOSITORY = Path(__file__).resolve().parents[1]
LIMIT_S = 2.0
PATIENCE_S = 20.0
"""How long to wait for anything before the benchmark gives up."""

Protocol = Literal["udp", "tcp", "http"]


@dataclass(frozen=True)
class Args:
    """Kill and restart a sender many times in one live run."""

    protocols: tuple[Protocol, ...] = ("udp", "tcp", "http")
    """How the stream comes."""
    restarts: int = 20
    """How often the sender is killed and started anew."""
    away_s: tuple[float, ...] = (0.3, 1.0, 2.5, 4.0)
    """Seconds it is away, in turn."""
    playing_s: float = 1.5
    """Seconds it plays before it is killed."""


class Client:
    """Reads the hands of one run over one TCP connection, and what it sees of the losses."""

    def __init__(self, port: int) -> None:
        self._socket = connect(port)
        self._changed = threading.Condition()
        self._frames: list[tuple[int, float, float]] = []
        self.states: list[str] = []
        self.connected = True
        threading.Thread(target=self._read, daemon=True).start()

    def new_frames_after(self, time_s: float) -> float:
        """When the second frame came here that was captured after ``time_s``.

        Raises:
            TimeoutError: none came.
        """
        with self._changed:
            self._changed.wait_for(lambda: len(self._after(time_s)) > 1, PATIENCE_S)
            came = self._after(time_s)
        if len(came) < 2:
            raise TimeoutError(f"no new frames came in {PATIENCE_S:g} s")
        return came[1]

    def _after(self, time_s: float) -> list[float]:
        return [came_s for _, captured_s, came_s in self._frames[-100:] if captured_s > time_s]

    def in_order(self) -> bool:
        """Whether indices and capture times of all frames only grew."""
        steps = np.diff(np.array([frame[:2] for frame in self._frames]), axis=0)
        return bool((steps > 0).all())

    def _read(self) -> None:
        for line in self._socket.makefile("rb"):
            message = json.loads(line)
            with self._changed:
                if message["type"] == "frame":
                    self._frames.append((message["frame"], message["capture_time_s"], time.monotonic()))
                elif message["type"] == "state":
                    self.states.append(message["state"])
                self._changed.notify_all()
        self.connected = False


def connect(port: int) -> socket.socket:
    """A connection to a program that is perhaps still starting."""
    give_up_s = time.monotonic() + PATIENCE_S
    while True:
        try:
            return socket.create_connection((HOST, port), timeout=PATIENCE_S)
        except ConnectionRefusedError:
            if time.monotonic() > give_up_s:
                raise
            time.sleep(0.05)


def with_key_frames(clip: Path, folder: Path, *, every_s: float = 1.0, frames: int | None = None) -> Path:
    """The clip, or its first frames, as H.264 in MPEG-TS with key frames ``every_s``, as cameras send it."""
    path = folder / "clip.ts"
    with av.open(str(clip)) as source, av.open(str(path), "w") as target:
        stream = source.streams.video[0]
        rate = stream.average_rate or 30
        options = {"preset": "ultrafast", "tune": "zerolatency", "g": str(round(every_s * float(rate)))}
        copy = target.add_stream("libx264", rate=rate, options=options)
        copy.width, copy.height, copy.pix_fmt = stream.width, stream.height, "yuv420p"
        for picture in islice(source.decode(stream), frames):
            picture.pict_type = av.video.frame.PictureType.NONE
            target.mux(copy.encode(picture))
        target.mux(copy.encode())
    return path


def start_sender(protocol: Protocol, port: int, clip: Path) -> tuple["subprocess.Popen[str]", float]:
    """A sender, and since when it sends."""
    command = [sys.executable, "-m", "benchmarks.stream_sender", protocol, str(port), str(clip)]
    sender = subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.PIPE, text=True)
    assert sender.stdout is not None
    said = sender.stdout.readline().split()
    if len(said) != 2:
        raise RuntimeError(f"{' '.join(command)} did not start")
    return sender, float(said[1])


@contextmanager
def running(url: str, port: int, said: Path) -> Iterator["subprocess.Popen[bytes]"]:
    """The live program on ``url``; what it says goes to ``said``."""
    command = [sys.executable, "run_live.py", "--source", url, "--tcp", f"{HOST}:{port}"]
    with said.open("wb") as errors, subprocess.Popen(command, cwd=REPOSITORY, stderr=errors) as program:
        try:
            yield program
        finally:
            program.kill()


def measure(protocol: Protocol, clip: Path, args: Args, folder: Path) -> dict[str, object]:
    """One run of the program through all restarts."""
    port, out = (
        free_port(socket.SOCK_DGRAM if protocol == "udp" else socket.SOCK_STREAM),
        free_port(socket.SOCK_STREAM),
    )
    url = (
        f"{protocol}://someone:secret@{HOST}:{port}" if protocol == "http" else f"{protocol}://{HOST}:{port}"
    )
    said = folder / f"{protocol}.txt"
    sender, began_s = start_sender(protocol, port, clip)
    try:
        with running(url, out, said) as program:
            client = Client(out)
            client.new_frames_after(began_s)
            took_s = []
            for restart in range(args.restarts):
                time.sleep(args.playing_s)
                sender.kill()
                sender.wait()
                time.sleep(args.away_s[restart % len(args.away_s)])
                sender, began_s = start_sender(protocol, port, clip)
                took_s.append(client.new_frames_after(began_s) - began_s)
            still_connected = client.connected
            asked_s = time.monotonic()
            program.send_signal(signal.SIGINT)
            status = program.wait(PATIENCE_S)
            ended_s = time.monotonic() - asked_s
    finally:
        sender.kill()
        sender.wait()
    lines = said.read_text().replace("\r", "\n").splitlines()
    return {
        "took_s": took_s,
        "still_connected": still_connected,
        "in_order": client.in_order(),
        "losses_told": client.states.count("lost"),
        "returns_told": client.states.count("playing"),
        "ended_told": client.states[-1:] == ["ended"],
        "ended_in_s": ended_s,
        "exit_status": status,
        "lines_of_losses": sum("trying again" in line for line in lines),
        "secret_told": any("secret" in line for line in lines),
        "other_lines": sorted({line[:100] for line in lines if "damaged" in line or "Traceback" in line}),
    }


def failed(result: dict[str, object]) -> bool:
    """Whether a run is not as it must be."""
    took_s = result["took_s"]
    assert isinstance(took_s, list)
    good = all(result[key] for key in ("still_connected", "in_order", "ended_told"))
    return not good or max(took_s) > LIMIT_S or result["exit_status"] != 0 or bool(result["secret_told"])


def main() -> None:
    args = tyro.cli(Args, description=__doc__)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        clip = with_key_frames(MODELS_DIRECTORY / "demo.mp4", folder)
        results = {protocol: measure(protocol, clip, args, folder) for protocol in args.protocols}
    print("  ".join(f"{key} {value}" for key, value in describe_machine().items()))
    rows = []
    for protocol, result in results.items():
        took_s = result["took_s"]
        assert isinstance(took_s, list)
        print(f"{protocol}: " + " ".join(f"{value:.2f}" for value in took_s) + " s")
        rows.append(
            [protocol, len(took_s), float(np.median(took_s)), max(took_s), *list(result.values())[1:]]
        )
    print_table(["", "restarts", "median s", "most s", *list(next(iter(results.values())))[1:]], rows)
    print_json("restarts", {"restarts": results})
    if any(failed(result) for result in results.values()):
        sys.exit(1)


if __name__ == "__main__":
    sys.exit(run_command(main))
