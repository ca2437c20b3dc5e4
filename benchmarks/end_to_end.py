"""How fast is a recorded video tracked, with how much memory, and how soon is the first frame there?

    python -m benchmarks.end_to_end CLIP [--camera CAMERA.json] [--loop N_FRAMES] [--starts N] [--live RATES]

The clip goes the way of the command line's ``process``: decoded ahead in a thread, tracked, recorded as
JSON lines. Frames a second count from the opened source to the last line written; process() is the tracking
alone. CPU time is that of all threads, decoding included. Memory is what the system holds for this
process (resident set). With --loop the clip is first lengthened to so many frames by copying its packets
(no re-encoding; 20,000 frames of 1080p take half a gigabyte of temporary space). Memory is then printed every
1,000 frames; the slope is that of a straight line through the second half, and flat is what it should be.

Then it is played live, over and over, at 30 and 60 frames a second, through the live loop: from a frame's
capture, which is when it was due, to its line in the recording, and how much of that it waited for the source
and in the mailbox, was tracked and written. What a client at a socket sees is measured by `sinks.py`.

Start-up is the time from starting ``python run_live.py --source demo --record FILE`` to the first frame in
the file, as a person at a shell has it; the median of several starts. Without the demo clip in this
checkout the given clip takes its place.

Results of several machines are in RESULTS.md.
"""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tyro

from benchmarks.clips import lengthened
from benchmarks.live_run import track_live
from benchmarks.measure import Duration, describe_machine, print_json, print_table, summarize
from tracker import HandTracker, open_source
from tracker.cameras import load_camera
from tracker.cli_running import run_command
from tracker.runtime.loops import run_recorded
from tracker.runtime.outputs import Outputs
from tracker.sinks.recording import RecordingSink
from tracker.sources import DEMO_LOCATION, MODELS_DIRECTORY
from tracker.structs import TrackedFrame

REPOSITORY = Path(__file__).resolve().parents[1]
MEMORY_EVERY_FRAMES = 1_000
START_TIMEOUT_S = 60.0


@dataclass(frozen=True)
class Args:
    """Track a recorded clip as the command line does, and measure the whole."""

    clip: tyro.conf.Positional[Path]
    """A video file."""
    camera: Path | None = None
    """Calibration of the clip's camera, a JSON file."""
    loop: int | None = None
    """Repeat the clip for at least this many frames; 20,000 shows whether memory grows."""
    warm_up: int = 10
    """Frames at the start whose tracking time does not count."""
    live: tuple[int, ...] = (30, 60)
    """Play it live at so many frames a second, too; none with --live and nothing after it."""
    live_frames: int = 600
    """How many frames of each."""
    starts: int = 5
    """How often to start the program; 0 leaves start-up out."""


class Run:
    """Watches one run over a source: what each frame took, and the memory as it goes."""

    def __init__(self) -> None:
        self.process_s: list[float] = []
        self.memory_mb: list[tuple[int, float]] = []

    def observe(self, tracked: TrackedFrame, took_s: float) -> None:
        """Keep what one frame took."""
        self.process_s.append(took_s)
        if len(self.process_s) % MEMORY_EVERY_FRAMES == 0:
            self.memory_mb.append((len(self.process_s), resident_mb()))
            print(f"{len(self.process_s):7d} frames  {self.memory_mb[-1][1]:7.1f} MB", flush=True)

    def slope_mb(self) -> float | None:
        """Growth in MB per 1,000 frames over the second half; None for too few readings."""
        half = self.memory_mb[len(self.memory_mb) // 2 :]
        if len(half) < 3:
            return None
        frames, memory = zip(*half, strict=True)
        return float(np.polyfit(frames, memory, 1)[0] * MEMORY_EVERY_FRAMES)


def track_clip(clip: Path, camera: Path | None, recording: Path) -> tuple[Run, dict[str, float | int | None]]:
    """Track the clip, recording to ``recording``; returns what was watched and the totals."""
    run = Run()
    calibration = load_camera(camera) if camera is not None else None
    with HandTracker() as tracker:
        source = open_source(clip, camera=calibration)
        sink = RecordingSink(recording, overwrite=True)
        before_mb = resident_mb()
        cpu_s, wall_s = time.process_time(), time.perf_counter()
        with Outputs([sink], source=source.name, backend=tracker.config.backend) as outputs:
            run_recorded(source, tracker.process, outputs, run.observe)
        wall_s, cpu_s = time.perf_counter() - wall_s, time.process_time() - cpu_s
    frames = len(run.process_s)
    return run, {
        "frames": frames,
        "frames_per_s": frames / wall_s,
        "cpu_ms_per_frame": cpu_s / frames * 1e3,
        "memory_at_start_mb": before_mb,
        "memory_peak_mb": peak_mb(),
        "memory_growth_mb_per_1000_frames": run.slope_mb(),
        "recorded_bytes_per_frame": recording.stat().st_size / frames,
    }


def start_up_s(location: str, folder: Path) -> float:
    """From starting the program to the first whole frame in its recording."""
    recording = folder / "start.jsonl"
    recording.unlink(missing_ok=True)
    command = [sys.executable, "run_live.py", "--source", location, "--record", str(recording)]
    start = time.perf_counter()
    with subprocess.Popen(command, cwd=REPOSITORY, stderr=subprocess.PIPE, text=True) as program:
        while not (recording.exists() and recording.read_bytes().count(b"\n") >= 2):
            if program.poll() not in (None, 0) or time.perf_counter() - start > START_TIMEOUT_S:
                program.kill()
                sys.exit(f"{' '.join(command)} recorded no frame: {program.communicate()[1]}")
            time.sleep(0.002)
        took_s = time.perf_counter() - start
        program.kill()
    return took_s


def resident_mb() -> float:
    """Memory the system holds for this process now; NaN where it cannot be asked."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except OSError:
        return float("nan")
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def peak_mb() -> float:
    """The most memory this process ever had; NaN where it cannot be asked."""
    try:
        import resource
    except ImportError:  # Windows
        return float("nan")
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6


def print_report(
    process: dict[str, float],
    totals: dict[str, float | int | None],
    live: Sequence[dict[str, float | int]],
    starts: Sequence[float],
) -> None:
    """The tables a person reads."""
    print("  ".join(f"{key} {value}" for key, value in describe_machine().items()))
    print_table(["process()", "p50 ms", "p95 ms", "p99 ms"], [["", *list(process.values())[:3]]])
    print_table(
        ["whole run", ""], [[key, value if value is not None else "-"] for key, value in totals.items()]
    )
    if live:
        print_table(
            ["live", *list(live[0])[1:]], [[f"{row['rate_hz']}/s", *list(row.values())[1:]] for row in live]
        )
    if starts:
        times = [float(np.median(starts)), min(starts), max(starts)]
        print_table(["start to first frame", "median s", "least s", "most s"], [["", *times]])


def main() -> None:
    args = tyro.cli(Args, description=__doc__)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        clip = args.clip if args.loop is None else lengthened(args.clip, args.loop, folder)
        run, totals = track_clip(clip, args.camera, folder / "clip.jsonl")
        counted = [Duration(took_s, 0.0) for took_s in run.process_s[args.warm_up :]]
        process = {key: value for key, value in summarize(counted).items() if key != "cpu_ms"}
        live = [track_live(args.clip, args.camera, rate, args.live_frames, folder) for rate in args.live]
        demo = (MODELS_DIRECTORY / "demo.mp4").exists()
        location = DEMO_LOCATION if demo else str(args.clip.resolve())
        starts = [start_up_s(location, folder) for _ in range(args.starts)]
    print_report(process, totals, live, starts)
    print_json(
        "end_to_end",
        {
            "clip": args.clip.name,
            "process": process,
            **totals,
            "live": live,
            "memory_mb": run.memory_mb,
            "start_source": "demo" if demo else args.clip.name,
            "start_s": starts,
        },
    )


if __name__ == "__main__":
    sys.exit(run_command(main))
