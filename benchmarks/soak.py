"""Does the live command run on and on without growing, and come back whenever its camera does?

    python -m benchmarks.soak [CLIP] [--minutes 30] [--no-stream] [--every-s 10] [--restart-every-s 90]

The live command tracks a clip that comes over the network (MPEG-TS over TCP from `stream_sender.py`, another
process, at the clip's rate), or with --no-stream plays it from a file. Every --restart-every-s the sender
is killed, or stopped so that the stream stalls, in turns, and runs again a few seconds later. Meanwhile
visitors come and go all the time (`churn.py`), well-behaved and not, and one client listens over WebSocket
from the first to the last frame.

Every --every-s the visitors rest for a moment and the process is looked at: memory (resident set), threads,
open files; and what the listening client saw since the last look: frames and their latency, from capture to
its hands. The capture time of a stream's frame is when it arrived and was decoded.

The verdict: memory of its own (resident, and of no file) after the warm-up (a fifth, at least a minute)
on a straight line, its slope with two standard errors (in runs of over five minutes); threads and files no
more in the last third than at the most in the first after the warm-up; nothing that reads like an error on
standard error; no well-behaved visitor turned away; the listening client never cut off; whenever the camera
was back, frames again within 2 s. Exit status 1 where one of these fails.

Results are in RESULTS.md.
"""

import math
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import tyro

from benchmarks.churn import Churn
from benchmarks.clips import clip_rate_hz, lengthened
from benchmarks.listening import wait_for_listener
from benchmarks.long_run import FIRST_FRAME_S, Camera, Listener
from benchmarks.measure import Slope, describe_machine, fit_slope, print_json, print_table
from benchmarks.program import Footprint, LiveProgram, free_port
from benchmarks.restarts import with_key_frames
from tracker.cli_running import run_command
from tracker.sources import MODELS_DIRECTORY

MOST_GROWTH_MB_PER_HOUR = 5.0
"""Less than this counts as flat, whatever the uncertainty."""
BACK_WITHIN_S = 2.0
SHORTEST_S = 300.0
"""In less time the steps in which memory is taken say nothing of its growth."""
SETTLE_S = 2.0
"""How long the program may take to let go of clients that left."""
WORDS_OF_ERRORS = ("traceback", "error", "exception", "warning: ")


@dataclass(frozen=True)
class Args:
    """Run the live command for a long time among clients that come and go."""

    clip: tyro.conf.Positional[Path] = MODELS_DIRECTORY / "demo.mp4"
    """A video file."""
    minutes: float = 30.0
    """How long."""
    every_s: float = 10.0
    """How often to look at it."""
    stream: bool = True
    """Send the clip over the network, not from a file."""
    restart_every_s: float | None = 90.0
    """Kill or stall the sender so often; None never. Only with a stream."""
    visitors: int = 6
    """How many clients come and go at once."""
    seed: int = 0
    """Of the visitors and the sender's absences."""
    preview: bool = True
    """Offer previews."""
    records: bool = False
    """Visitors switch recordings on and off, too."""


@dataclass(frozen=True)
class Look:
    """What one look at the program found; times count from the first."""

    time_s: float
    resident_mb: float
    own_mb: float
    threads: int
    files: int
    cpu_percent: float
    """Of one core, since the last look."""
    frames: int
    p50_ms: float
    p95_ms: float
    p99_ms: float
    visits: int
    """So far."""
    playing: bool
    """Whether the camera was there; while it is not, nobody who left over TCP is noticed."""


@dataclass
class Soak:
    """One run: what takes part in it, and the looks so far."""

    program: LiveProgram
    listener: Listener
    churn: Churn
    camera: Camera | None
    looks: list[Look] = field(default_factory=list)
    _start_s: float = field(default_factory=time.monotonic)
    _cpu_s: float = float("nan")
    _looked_s: float = float("nan")

    def look(self) -> Look:
        """Let the visitors rest, and look."""
        self.churn.rest()
        held = self._settled()
        now_s = time.monotonic()
        self.churn.go_on()
        frames = self.listener.take()
        latencies_ms = [1e3 * (frame.arrived_s - frame.capture_time_s) for frame in frames]
        p50, p95, p99 = np.percentile(latencies_ms, [50, 95, 99]) if frames else [float("nan")] * 3
        look = Look(
            time_s=now_s - self._start_s,
            resident_mb=held.resident_mb,
            own_mb=held.own_mb,
            threads=held.threads,
            files=held.files,
            cpu_percent=100 * (held.cpu_s - self._cpu_s) / (now_s - self._looked_s),
            frames=len(frames),
            p50_ms=float(p50),
            p95_ms=float(p95),
            p99_ms=float(p99),
            visits=sum(self.churn.visits.values()),
            playing=self.listener.states[-1:] != ["lost"],
        )
        self._cpu_s, self._looked_s = held.cpu_s, now_s
        self.looks.append(look)
        return look

    def _settled(self) -> Footprint:
        """What the program holds once it has let go of those that left, or after ``SETTLE_S``."""
        fewest = min((look.files for look in self.looks), default=0)
        end_s = time.monotonic() + SETTLE_S
        while True:
            time.sleep(0.1)
            held = self.program.footprint()
            if held.files <= fewest or time.monotonic() > end_s:
                return held


@contextmanager
def started(args: Args, folder: Path) -> Iterator[Soak]:
    """Everything that takes part, running, from the first frame on."""
    web_port, lines_port, camera_port = free_port(), free_port(), free_port()
    with ExitStack() as stack:
        camera = None
        if args.stream:
            stream = with_key_frames(args.clip, folder)
            camera = Camera(stream, camera_port, args.restart_every_s, args.seed)
            stack.callback(camera.close)
            source = f"tcp://127.0.0.1:{camera_port}"
        else:
            frames = math.ceil((60 * args.minutes + 120) * clip_rate_hz(args.clip))
            source = str(lengthened(args.clip, frames, folder))
        serve = ["--serve", f"127.0.0.1:{web_port}", "--tcp", f"127.0.0.1:{lines_port}"]
        program = LiveProgram(
            ["--source", source, "--fov", "84", *serve, *(["--preview"] if args.preview else [])], folder
        )
        stack.callback(program.stop)
        try:
            wait_for_listener(web_port)
            listener = stack.enter_context(closing(Listener(web_port)))
            if listener.wait_for_frame(float("-inf"), FIRST_FRAME_S) is None:
                raise TimeoutError("no frame came")
        except (OSError, TimeoutError) as error:
            sys.exit(f"the live command does not serve ({error}):\n{program.said()}")
        churn = stack.enter_context(
            closing(Churn(web_port, lines_port, visitors=args.visitors, seed=args.seed, records=args.records))
        )
        if camera is not None:
            camera.listener = listener
            camera.start()
        yield Soak(program, listener, churn, camera)


@dataclass(frozen=True)
class Verdict:
    """What is wrong, a line each; none is what should be."""

    slope: Slope | None
    faults: tuple[str, ...]


def judge(soak: Soak, said: str) -> Verdict:
    """What the looks, the visitors and standard error say."""
    settled = after_warm_up(soak.looks)
    slope = fit_slope([look.time_s for look in settled], [look.own_mb for look in settled])
    faults = [*count_faults(settled), *error_lines(said)]
    if settled[-1].time_s - settled[0].time_s >= SHORTEST_S:
        faults += growth_faults(slope)
    if not soak.program.runs:
        faults.append("the program ended")
    if soak.listener.cut_off is not None:
        faults.append(f"the client that listened all the time was cut off: {soak.listener.cut_off}")
    faults += [f"{count} times {failure}" for failure, count in soak.churn.failures.items()]
    if soak.camera is not None:
        for back_s in [*soak.camera.kills_s, *soak.camera.stalls_s]:
            if back_s is None or back_s > BACK_WITHIN_S:
                faults.append(f"after its camera was back, frames came after {back_s} s")
    return Verdict(slope, tuple(faults))


def after_warm_up(looks: Sequence[Look]) -> list[Look]:
    """Without the first fifth, which is at least a minute of a long run."""
    end_s = looks[-1].time_s
    warm_s = max(end_s / 5, min(60.0, end_s / 3))
    return [look for look in looks if look.time_s >= warm_s]


def growth_faults(slope: Slope | None) -> list[str]:
    """Growth that is more than its uncertainty and more than counts as flat."""
    if slope is None:
        return []
    per_hour, error = 3600 * slope.per_s, 3600 * slope.error_per_s
    grows = per_hour - 2 * error > MOST_GROWTH_MB_PER_HOUR
    return [f"memory grows by {per_hour:.1f} +- {2 * error:.1f} MB an hour"] if grows else []


def count_faults(looks: Sequence[Look]) -> list[str]:
    """More threads or files at the end than at the beginning, the camera being there."""
    looks = [look for look in looks if look.playing and look.frames]
    third = max(1, len(looks) // 3)
    faults = []
    for name in ("threads", "files"):
        first = max((getattr(look, name) for look in looks[:third]), default=0)
        last = max((getattr(look, name) for look in looks[-third:]), default=0)
        if last > first:
            faults.append(f"{name} went from {first} to {last}")
    return faults


def error_lines(said: str) -> list[str]:
    """Lines of standard error that tell of an error."""
    return [line for line in said.splitlines() if any(word in line.lower() for word in WORDS_OF_ERRORS)]


def report(args: Args, soak: Soak, verdict: Verdict) -> None:
    """The tables a person reads, and the JSON line."""
    slope = verdict.slope
    growth = [math.nan] * 2 if slope is None else [3600 * slope.per_s, 7200 * slope.error_per_s]
    print("  ".join(f"{key} {value}" for key, value in describe_machine().items()))
    print_table(["visits", "count"], sorted(soak.churn.visits.items()))
    back: dict[str, list[float | None]] = {}
    if soak.camera is not None:
        back = {"killed": soak.camera.kills_s, "stalled": soak.camera.stalls_s}
        rows: list[list[str | int | float]] = [
            [name, len(took), max([s for s in took if s is not None], default=math.nan)]
            for name, took in back.items()
        ]
        print_table(["camera", "times", "longest until back, s"], rows)
    print(f"memory: {growth[0]:+.2f} +- {growth[1]:.2f} MB an hour (two standard errors)")
    print(
        "states told to the client: "
        + " ".join(f"{s} {soak.listener.states.count(s)}" for s in set(soak.listener.states))
    )
    print("\n".join(f"FAULT {fault}" for fault in verdict.faults) or "no fault")
    print_json("soak", {
        "minutes": args.minutes,
        "stream": args.stream,
        "growth_mb_per_hour": growth[0],
        "growth_two_errors": growth[1],
        "back_s": back,
        "visits": dict(soak.churn.visits),
        "faults": list(verdict.faults),
        "said": soak.program.said()[-20_000:] if verdict.faults else "",
        "looks": [asdict(look) for look in soak.looks],
    })  # fmt: skip


HEAD = ["min", "MB", "own MB", "threads", "files", "CPU %", "frames", "p50 ms", "p95 ms", "p99 ms", "visits"]


def main() -> None:
    args = tyro.cli(Args, description=__doc__)
    with tempfile.TemporaryDirectory() as name, started(args, Path(name)) as soak:
        print("  ".join(f"{word:>8}" for word in HEAD))
        end_s = time.monotonic() + 60 * args.minutes
        while time.monotonic() < end_s and soak.program.runs:
            time.sleep(args.every_s)
            time_s, *values = asdict(soak.look()).values()
            cells = [time_s / 60, *values[:-1]]
            print("  ".join(f"{v:8.2f}" if isinstance(v, float) else f"{v:8d}" for v in cells), flush=True)
        verdict = judge(soak, soak.program.said())
        report(args, soak, verdict)
    sys.exit(1 if verdict.faults else 0)


if __name__ == "__main__":
    sys.exit(run_command(main))
