"""Where a live frame's time goes inside the tracker: a clip played as by a camera and tracked here."""

import time
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np

from benchmarks.clips import clip_rate_hz, lengthened
from tracker import HandTracker, open_source
from tracker.cameras import load_camera
from tracker.runtime.loops import Process, run_live
from tracker.runtime.outputs import Outputs
from tracker.sinks.recording import RecordingSink
from tracker.sources import Source
from tracker.sources.paced import PacedSource
from tracker.structs import Frame, TrackedFrame

PARTS = ("source", "mailbox", "process()", "outputs")
"""Due until given, until taken, until tracked, until every sink has it."""
WARM_UP_FRAMES = 30


class Watch:
    """Stands between the parts of a live run and notes when each frame passed from one to the next."""

    live = True
    frame_count: int | None = None

    def __init__(self, source: Source, track: Process) -> None:
        self.name, self.frame_rate_hz = source.name, source.frame_rate_hz
        self._source = source
        self._track = track
        self._given_s: dict[int, float] = {}
        self._passed_s: list[float] = []
        self.parts_s: list[list[float]] = []
        """Of each tracked frame, how long it took in each of ``PARTS``."""
        self.dropped = 0

    def __iter__(self) -> Iterator[Frame]:
        for frame in self._source:
            self._given_s[frame.index] = time.monotonic()
            yield frame

    def close(self) -> None:
        """Close the source."""
        self._source.close()

    def process(self, frame: Frame) -> TrackedFrame:
        """Track a frame."""
        taken_s = time.monotonic()
        tracked = self._track(frame)
        self._passed_s = [self._given_s.pop(frame.index), taken_s, time.monotonic()]
        return tracked

    def observe(self, tracked: TrackedFrame, took_s: float) -> None:
        """Every sink has the frame."""
        passed_s = [tracked.capture_time_s, *self._passed_s, time.monotonic()]
        self.parts_s.append(list(np.diff(passed_s)))
        self.dropped = tracked.dropped_frames


def track_live(
    clip: Path, camera: Path | None, rate_hz: int, frames: int, folder: Path
) -> dict[str, float | int]:
    """Play ``frames`` frames of the clip at ``rate_hz``, track and record them as JSON lines.

    Returns:
        Percentiles in ms of the time from capture, when the frame was due, to the end of its last output;
        the median of each of ``PARTS``; frames that were dropped; CPU time a frame.
    """
    frames += WARM_UP_FRAMES
    longer = lengthened(clip, frames, folder, speed=Fraction(rate_hz) / clip_rate_hz(clip))
    calibration = load_camera(camera) if camera is not None else None
    with HandTracker() as tracker:
        source = open_source(longer, camera=calibration, max_frames=frames)
        watch = Watch(PacedSource(source), tracker.process)
        sink = RecordingSink(folder / f"live-{rate_hz}.jsonl", overwrite=True)
        cpu_s = time.process_time()
        with Outputs([sink], source=source.name, backend=tracker.config.backend) as outputs:
            run_live(watch, watch.process, outputs, watch.observe)
        cpu_s = time.process_time() - cpu_s
    parts_ms = 1e3 * np.array(watch.parts_s[WARM_UP_FRAMES:])
    p50, p95, p99 = np.percentile(parts_ms.sum(axis=1), [50, 95, 99])
    return {
        "rate_hz": rate_hz,
        "frames": len(parts_ms),
        "dropped": watch.dropped,
        "p50_ms": float(p50),
        "p95_ms": float(p95),
        "p99_ms": float(p99),
        **{f"{name} p50": float(ms) for name, ms in zip(PARTS, np.median(parts_ms, axis=0), strict=True)},
        "cpu_ms_per_frame": 1e3 * cpu_s / len(watch.parts_s),
    }
