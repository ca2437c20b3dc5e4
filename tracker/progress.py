"""What a person sees while the tracker runs: a progress bar for files, a status line for live feeds."""

import sys
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from tqdm import tqdm

from tracker.structs import TrackedFrame

WINDOW_FRAMES = 300
"""Latency and rate are those of this many last frames."""
REFRESH_S = 0.5
LOG_REFRESH_S = 10.0
"""Between status lines where standard error is a file, not a terminal."""


class Progress:
    """Counts frames and shows them on standard error; ``summary`` says how the run went."""

    def __init__(self, *, live: bool, total_frames: int | None, what: str = "tracking") -> None:
        self._live = live
        self._timed = "latency" if live else what
        self._start_s = time.monotonic()
        self._shown_s = self._start_s
        self._durations_s: deque[float] = deque(maxlen=WINDOW_FRAMES)
        self._arrivals_s: deque[float] = deque(maxlen=WINDOW_FRAMES)
        self._frames = 0
        self._frames_with_hands = 0
        self._dropped = 0
        self._terminal = sys.stderr is not None and sys.stderr.isatty()
        self._bar = tqdm(
            total=total_frames,
            unit="frame",
            disable=not self._terminal,
            bar_format="{desc}" if live else None,
            dynamic_ncols=True,
        )

    def observe(self, tracked: TrackedFrame, took_s: float) -> None:
        """Count one frame that took ``took_s``: from capture to result when live, else the tracking alone."""
        now = time.monotonic()
        self._frames += 1
        self._frames_with_hands += bool(tracked.hands)
        self._dropped = tracked.dropped_frames
        self._durations_s.append(took_s)
        self._arrivals_s.append(now)
        if not self._live:
            self._bar.update()
        if now - self._shown_s >= (REFRESH_S if self._terminal else LOG_REFRESH_S):
            self._shown_s = now
            self._show(tracked)

    def close(self) -> None:
        """Leave the terminal as it was."""
        self._bar.close()

    def summary(self) -> str:
        """One line: frames, rate, how long a frame took, how often hands were there."""
        if not self._frames:
            return "no frame was tracked"
        elapsed_s = time.monotonic() - self._start_s
        seen = 100 * self._frames_with_hands / self._frames
        dropped = f", {self._dropped} dropped" if self._live else ""
        return (
            f"{self._frames} frames in {elapsed_s:.1f} s ({self._frames / elapsed_s:.0f} frames/s{dropped}), "
            f"{self._latency()}, hands in {seen:.0f} % of them"
        )

    def _show(self, tracked: TrackedFrame) -> None:
        hands = ", ".join(
            f"{hand.pose.side.value} #{hand.track_id} {np.linalg.norm(hand.pose.joints_in_camera_m[0]):.2f} m"
            for hand in tracked.hands
        )
        if not self._live:
            self._bar.set_postfix_str(hands or "no hand")
            return
        rate = (len(self._arrivals_s) - 1) / max(self._arrivals_s[-1] - self._arrivals_s[0], 1e-9)
        line = f"{rate:.0f} frames/s, {self._latency()}, {self._dropped} dropped, {hands or 'no hand'}"
        if self._terminal:
            self._bar.set_description_str(line)
        elif sys.stderr is not None:
            print(line, file=sys.stderr)

    def _latency(self) -> str:
        p50, p95 = np.percentile(self._durations_s, [50, 95]) * 1000
        return f"{self._timed} p50 {p50:.1f} ms, p95 {p95:.1f} ms"


class CountingBar:
    """Counts things done on standard error: a bar on a terminal, now and then a line in a log."""

    def __init__(self, total: int, *, unit: str, what: str) -> None:
        self._total, self._unit, self._what = total, unit, what
        self._count = self._passed = 0
        self._note = ""
        self._begun_s = self._shown_s = time.monotonic()
        self._terminal = sys.stderr is not None and sys.stderr.isatty()
        self._bar = tqdm(total=total, unit=unit, desc=what, disable=not self._terminal, dynamic_ncols=True)

    def note(self, text: str) -> None:
        """Show ``text`` beside the count from now on."""
        self._note = f"; {text}"
        self._bar.set_postfix_str(text, refresh=False)

    def say(self, line: str) -> None:
        """Tell a person something without breaking the bar."""
        if sys.stderr is not None:
            self._bar.write(line, file=sys.stderr)

    def pass_over(self, count: int) -> None:
        """Count what was done before this run: it says nothing of the rate."""
        self._count += count
        self._passed += count
        self._begun_s = time.monotonic()
        self._bar.reset()
        self._bar.initial = self._bar.n = self._bar.last_print_n = self._count
        self._bar.refresh()

    @contextmanager
    def set_aside(self) -> Iterator[None]:
        """While something else is said: a line of its own, above the bar."""
        self._bar.clear()
        yield
        self._bar.refresh()

    def observe(self, count: int = 1) -> None:
        """Count ``count`` more."""
        self._count += count
        self._bar.update(count)
        now = time.monotonic()
        if not self._terminal and sys.stderr is not None and now - self._shown_s >= LOG_REFRESH_S:
            self._shown_s = now
            rate = (self._count - self._passed) / max(now - self._begun_s, 1e-9)
            left = self._bar.format_interval((self._total - self._count) / rate) if rate else "?"
            print(
                f"{self._what}: {self._count} of {self._total} {self._unit}s, {rate:.2f}/s, {left} to go"
                f"{self._note}",
                file=sys.stderr,
                flush=True,
            )

    def close(self) -> None:
        """Leave the terminal as it was."""
        self._bar.close()

    def __enter__(self) -> "CountingBar":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
