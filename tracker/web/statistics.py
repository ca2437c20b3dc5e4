"""Figures of the last seconds: rate, latency, stages, drops, hands. Told by two threads, read by either."""

import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

from tracker.joints import Side
from tracker.structs import TrackedFrame

WINDOW_S = 5.0
_MAX_FRAMES = 2048
QUANTILES = (0.5, 0.95, 0.99)


@dataclass(frozen=True)
class Figures:
    """How a run goes."""

    frames: int = 0
    """Since the run began."""
    frame_rate_hz: float = 0.0
    latency_s: tuple[float, ...] | None = None
    """At ``QUANTILES``; None where no capture time was on our clock."""
    latency_sum_s: float = 0.0
    """Since the run began, and of how many frames."""
    latency_count: int = 0
    stages_s: dict[str, float] = field(default_factory=dict)
    """Medians."""
    dropped_frames: int = 0
    hands: dict[Side, int] = field(default_factory=dict)
    """In the newest frame."""
    skipped: int = 0
    """Frames that a client was too slow for, all clients together."""


class Statistics:
    """Gathers figures; keeps those of ``WINDOW_S``."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._newest: TrackedFrame | None = None
        self._frames: deque[tuple[float, Mapping[str, float]]] = deque(maxlen=_MAX_FRAMES)
        self._latencies: deque[tuple[float, float]] = deque(maxlen=_MAX_FRAMES)
        self._count = self._latency_count = self._skipped = 0
        self._latency_sum_s = 0.0

    def frame(self, tracked: TrackedFrame) -> None:
        """A frame was tracked."""
        with self._lock:
            self._newest = tracked
            self._frames.append((self._clock(), tracked.stage_durations_s))
            self._count += 1

    def handed_over(self, latency_s: float) -> None:
        """A frame was handed to the first client, or to none, so long after its capture."""
        with self._lock:
            self._latencies.append((self._clock(), latency_s))
            self._latency_count += 1
            self._latency_sum_s += latency_s

    def skipped(self) -> None:
        """A client was too slow for a frame."""
        with self._lock:
            self._skipped += 1

    def figures(self) -> Figures:
        """What holds now."""
        since_s = self._clock() - WINDOW_S
        with self._lock:
            newest = self._newest
            frames = [frame for frame in self._frames if frame[0] >= since_s]
            latencies = [latency for at_s, latency in self._latencies if at_s >= since_s]
            totals = self._count, self._latency_sum_s, self._latency_count, self._skipped
        return Figures(
            frames=totals[0],
            frame_rate_hz=_rate_hz([at_s for at_s, _ in frames]),
            latency_s=tuple(np.quantile(latencies, QUANTILES).tolist()) if latencies else None,
            latency_sum_s=totals[1],
            latency_count=totals[2],
            stages_s=_medians([stages_s for _, stages_s in frames]),
            dropped_frames=0 if newest is None else newest.dropped_frames,
            hands={} if newest is None else dict(Counter(hand.pose.side for hand in newest.hands)),
            skipped=totals[3],
        )


def _rate_hz(times_s: list[float]) -> float:
    """Mean rate between the first and the last of ``times_s``."""
    if len(times_s) < 2 or times_s[-1] <= times_s[0]:
        return 0.0
    return (len(times_s) - 1) / (times_s[-1] - times_s[0])


def _medians(frames: list[Mapping[str, float]]) -> dict[str, float]:
    """Each stage's median duration in seconds over the frames that had it."""
    stages: dict[str, list[float]] = {}
    for durations in frames:
        for name, duration_s in durations.items():
            stages.setdefault(name, []).append(duration_s)
    return {name: float(np.median(durations_s)) for name, durations_s in stages.items()}
