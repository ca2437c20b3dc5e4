"""How old are hands when a client has them, and what do other clients cost?

    python -m benchmarks.sinks [CLIP] [--camera CAMERA.json] [--rates 30 60] [--others 0 10 100]

The live command (`run_live.py`, a process of its own) plays the clip at 1280 x 720 as a camera would, again
and again. One client in this process listens. Latency is from a frame's capture time, when it was due, to the
moment when its whole message has been read from the socket and its time is known, both on this machine's
monotonic clock. So it holds waiting for the tracker, tracking, spelling, sending and the client's own
reading; decoding is done before the frame is due, as for any recorded file. Beside the client there are
others in one further process: raw sockets that only drain, one of which never reads.

Ways to listen: WebSocket with JSON or MessagePack, also with the hands' skins and with previews (then all the
others want them, too), JSON lines over TCP, and Hand Tracking Streamer's lines over TCP and UDP. Each way has
a program of its own; the numbers of others take turns in it, and all ways in every round, so that what else
the machine does hits all alike. "added" is the mean over the rounds of the difference in p50 to nobody
beside. Lost are frames that the tracker published and the client did not get; dropped are those that came
while it was busy. CPU time is that of the tracker's process, decoding included; memory is its resident set.

Results are in RESULTS.md.
"""

import json
import sys
import tempfile
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import numpy as np
import tyro

from benchmarks.clips import clip_rate_hz, lengthened, resized
from benchmarks.drain import others
from benchmarks.listening import Arrival, frames_of, listen, wait_for_listener
from benchmarks.measure import describe_machine, print_json, print_table
from benchmarks.program import Footprint, LiveProgram, free_port
from tracker.cli_running import run_command
from tracker.sources import MODELS_DIRECTORY

WIDTH, HEIGHT = 1280, 720
START_S = 15.0
"""The clip is longer by so much: starting, warming up, letting others in."""


@dataclass(frozen=True)
class Setup:
    """One way to listen, as the program is told of it and as clients ask for it."""

    name: str
    way: str
    option: str
    more: tuple[str, ...] = ()
    wishes: dict[str, object] | None = None
    most_others: int = 100

    def arguments(self, port: int) -> list[str]:
        """The options of the live command."""
        return [self.option, f"127.0.0.1:{port}", *self.more]


SETUPS = (
    Setup("websocket-json", "websocket-json", "--serve"),
    Setup("websocket-msgpack", "websocket-msgpack", "--serve"),
    Setup("tcp", "tcp", "--tcp"),
    Setup("hts-tcp", "hts-tcp", "--hts-listen"),
    Setup("hts-udp", "hts-udp", "--hts", most_others=0),
    Setup("websocket-json, vertices", "websocket-json", "--serve", (), {"vertices": True}, 10),
    Setup("websocket-msgpack, vertices", "websocket-msgpack", "--serve", (), {"vertices": True}, 10),
    Setup("websocket-json, preview", "websocket-json", "--serve", ("--preview",), {"preview": True}, 10),
)


@dataclass(frozen=True)
class Args:
    """Measure capture to client for every sink that has clients."""

    clip: tyro.conf.Positional[Path] = MODELS_DIRECTORY / "demo.mp4"
    """A video file of two hands, 16:9."""
    camera: Path | None = None
    """Calibration of the clip's camera, a JSON file; the demo clip brings its own."""
    rates: tuple[int, ...] = (30, 60)
    """Frames a second."""
    others: tuple[int, ...] = (0, 10, 100)
    """How many further clients."""
    ways: tuple[str, ...] = tuple(setup.name for setup in SETUPS)
    """Which ways to listen."""
    frames: int = 600
    """How many to measure for each number of others."""
    rounds: int = 4
    """In how many turns."""
    warm_up: int = 45
    """Frames before the first turn of each program."""


@dataclass
class Cell:
    """What was measured of one way, rate and number of others, over all rounds."""

    latencies_ms: list[list[float]] = field(default_factory=list)
    """By round."""
    said_ms: list[float] = field(default_factory=list)
    """What the messages say of the time until they were handed over."""
    process_ms: list[float] = field(default_factory=list)
    bytes: list[int] = field(default_factory=list)
    lost: int = 0
    dropped: int = 0
    cpu_s: float = 0.0
    wall_s: float = 0.0
    resident_mb: float = 0.0
    threads: int = 0

    def add(self, arrivals: dict[int, Arrival], before: Footprint, after: Footprint) -> None:
        """Add one turn."""
        frames = [arrivals[index] for index in sorted(arrivals)]
        first, last = frames[0], frames[-1]
        self.latencies_ms.append([1e3 * (frame.arrived_s - frame.capture_time_s) for frame in frames])
        self.said_ms += [frame.latency_ms for frame in frames if frame.latency_ms is not None]
        self.process_ms += [frame.process_ms for frame in frames if frame.process_ms is not None]
        self.bytes += [frame.length_bytes for frame in frames]
        dropped = last.dropped_frames - first.dropped_frames
        self.dropped += dropped
        self.lost += max(0, last.frame - first.frame + 1 - len(frames) - dropped)
        self.cpu_s += after.cpu_s - before.cpu_s
        self.wall_s += last.arrived_s - first.arrived_s
        self.resident_mb, self.threads = (
            max(self.resident_mb, after.resident_mb),
            max(self.threads, after.threads),
        )

    def values(self, alone: "Cell | None") -> dict[str, float | int | None]:
        """The row of a table."""
        pooled = np.concatenate(self.latencies_ms)
        p50, p95, p99 = np.percentile(pooled, [50, 95, 99])
        return {
            "frames": len(pooled),
            "lost": self.lost,
            "dropped": self.dropped,
            "p50_ms": float(p50),
            "p95_ms": float(p95),
            "p99_ms": float(p99),
            "added_ms": None
            if alone is None or alone is self
            else added_ms(self.latencies_ms, alone.latencies_ms),
            "handed_over_p50_ms": float(np.median(self.said_ms)) if self.said_ms else None,
            "process_p50_ms": float(np.median(self.process_ms)) if self.process_ms else None,
            "message_kb": float(np.mean(self.bytes)) / 1e3,
            "cpu_ms_per_frame": 1e3 * self.cpu_s / len(pooled),
            "cpu_percent": 100 * self.cpu_s / self.wall_s,
            "resident_mb": self.resident_mb,
            "threads": self.threads,
        }


def added_ms(with_others: Sequence[Sequence[float]], alone: Sequence[Sequence[float]]) -> float:
    """The mean over the rounds of the difference of the medians."""
    return float(np.mean([np.median(a) - np.median(b) for a, b in zip(with_others, alone, strict=True)]))


Key = tuple[str, int, int]
"""Way, rate, others."""


class Measuring:
    """Runs the turns and keeps the cells."""

    def __init__(self, args: Args, folder: Path) -> None:
        self._args = args
        self._folder = folder
        self._turn_frames = max(2, args.frames // args.rounds)
        self._clips: dict[int, Path] = {}
        self.cells: dict[Key, Cell] = {}
        clip = resized(args.clip, WIDTH, HEIGHT, folder)
        for rate_hz in args.rates:
            frames = round(rate_hz * START_S) + len(args.others) * (self._turn_frames + 3 * rate_hz)
            speed = Fraction(rate_hz) / clip_rate_hz(clip)
            self._clips[rate_hz] = lengthened(clip, frames, folder, speed=speed)

    def run(self) -> None:
        """All turns of all rounds."""
        setups = [setup for setup in SETUPS if setup.name in self._args.ways]
        for number in range(self._args.rounds):
            for rate_hz in self._args.rates:
                for setup in setups:
                    self._run_program(setup, rate_hz, backwards=number % 2 == 1)
                    print(f"round {number + 1}, {rate_hz}/s, {setup.name}", file=sys.stderr, flush=True)

    def _run_program(self, setup: Setup, rate_hz: int, *, backwards: bool) -> None:
        """One program's turns: every number of others."""
        port = free_port()
        counts = [count for count in self._args.others if count <= setup.most_others]
        program = LiveProgram(
            ["--source", str(self._clips[rate_hz]), *self._camera(), *setup.arguments(port)], self._folder
        )
        try:
            if setup.way != "hts-udp":
                wait_for_listener(port)
            with closing(listen(setup.way, port, setup.wishes)) as client:
                frames_of(client, self._args.warm_up / rate_hz)
                for count in reversed(counts) if backwards else counts:
                    with others(setup.way, port, count, setup.wishes):
                        frames_of(client, 0.3)
                        before = program.footprint()
                        arrivals = frames_of(client, self._turn_frames / rate_hz)
                        after = program.footprint()
                    frames_of(client, 0.1)  # what came while the others left
                    self.cells.setdefault((setup.name, rate_hz, count), Cell()).add(arrivals, before, after)
        except OSError as error:
            sys.exit(f"{setup.name} at {rate_hz}/s: {error}; the tracker said:\n{program.said()}")
        finally:
            program.stop()

    def _camera(self) -> list[str]:
        if self._args.camera is not None:
            return ["--camera", str(self._args.camera.resolve())]
        demo = MODELS_DIRECTORY / "demo.mp4"
        return ["--camera", str(MODELS_DIRECTORY / "demo_camera.json")] if self._args.clip == demo else []


def report(args: Args, cells: dict[Key, Cell]) -> None:
    """Print the table and the JSON line."""
    rows = [
        {"way": name, "rate_hz": rate_hz, "others": count, **cell.values(cells.get((name, rate_hz, 0)))}
        for (name, rate_hz, count), cell in sorted(
            cells.items(), key=lambda item: item[0][1::-1] + item[0][2:]
        )
    ]
    print("  ".join(f"{key} {value}" for key, value in describe_machine().items()))
    print_table(list(rows[0]), [["-" if value is None else value for value in row.values()] for row in rows])
    print_json("sinks", {"clip": args.clip.name, "rounds": args.rounds, "rows": rows})


def main() -> None:
    args = tyro.cli(Args, description=__doc__)
    unknown = set(args.ways) - {setup.name for setup in SETUPS}
    if unknown:
        names = ", ".join(setup.name for setup in SETUPS)
        sys.exit(f"unknown ways {json.dumps(sorted(unknown))}; there are {names}")
    with tempfile.TemporaryDirectory() as name:
        measuring = Measuring(args, Path(name))
        measuring.run()
    report(args, measuring.cells)


if __name__ == "__main__":
    sys.exit(run_command(main))
