"""What the benchmarks share: timing of calls, percentiles, the machine, and the two forms of a result."""

import json
import math
import os
import platform
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import ParamSpec, TypeVar

import av
import numpy as np

from tracker.cameras import CameraChoice, load_camera
from tracker.sources.live_pictures import LivePictures
from tracker.structs import Frame

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")

MOST_ALIKE = 0.95
"""Bounds the correlation of readings: beyond it the standard error would be anything."""


@dataclass(frozen=True)
class Duration:
    """What one call cost."""

    wall_s: float
    cpu_s: float
    """Of all threads of this process."""


class Durations:
    """Collects what named calls cost, in the order in which the names first came."""

    def __init__(self) -> None:
        self.of: dict[str, list[Duration]] = {}

    def call(
        self,
        name: str,
        function: Callable[Arguments, Result],
        *arguments: Arguments.args,
        **options: Arguments.kwargs,
    ) -> Result:
        """Call ``function`` and keep what it cost as ``name``."""
        cpu_s, wall_s = time.process_time(), time.perf_counter()
        result = function(*arguments, **options)
        duration = Duration(time.perf_counter() - wall_s, time.process_time() - cpu_s)
        self.of.setdefault(name, []).append(duration)
        return result


def summarize(durations: Sequence[Duration]) -> dict[str, float]:
    """Percentiles of the wall time and the mean CPU time, in ms; empty for no durations."""
    if not durations:
        return {}
    p50, p95, p99 = np.percentile([duration.wall_s * 1e3 for duration in durations], [50, 95, 99])
    cpu_ms = np.mean([duration.cpu_s * 1e3 for duration in durations])
    return {"p50_ms": float(p50), "p95_ms": float(p95), "p99_ms": float(p99), "cpu_ms": float(cpu_ms)}


@dataclass(frozen=True)
class Slope:
    """A straight line's rise, and how well it is known."""

    per_s: float
    error_per_s: float
    """One standard error."""


def fit_slope(times_s: Sequence[float], values: Sequence[float]) -> Slope | None:
    """The slope of the least-squares line; None for fewer than four readings.

    Readings that follow each other are alike (memory stays where it is), so they count for fewer: with
    residuals of correlation r from one to the next, the standard error grows by sqrt((1 + r) / (1 - r)).
    """
    if len(times_s) < 4:
        return None
    times, heights = np.asarray(times_s, float), np.asarray(values, float)
    times = times - times.mean()
    per_s = float(times @ (heights - heights.mean()) / (times @ times))
    residuals = heights - heights.mean() - per_s * times
    spread = float(residuals @ residuals)
    error = math.sqrt(spread / (len(times) - 2) / float(times @ times))
    alike = float(residuals[1:] @ residuals[:-1]) / spread if spread > 0 else 0.0
    alike = min(max(alike, 0.0), MOST_ALIKE)
    return Slope(per_s, error * math.sqrt((1 + alike) / (1 - alike)))


def decoded_frames(clip: Path, camera: Path | None, max_frames: int | None = None) -> Iterator[Frame]:
    """The clip's frames, each decoded when it is asked for: nothing runs while the caller measures."""
    calibration = load_camera(camera) if camera is not None else None
    pictures = LivePictures(
        av.open(str(clip)),
        str(clip),
        cameras=CameraChoice(calibration=calibration),
        max_frames=max_frames,
        presentation_times=True,
    )
    try:
        while (frame := pictures.next_frame()) is not None:
            yield frame
    finally:
        pictures.close()


def describe_machine() -> dict[str, str]:
    """Processor, load and versions, for the head of a result."""
    return {
        "cpu": _processor(),
        "cores": str(os.cpu_count()),
        "load_1min": f"{os.getloadavg()[0]:.2f}" if hasattr(os, "getloadavg") else "unknown",
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        **{package: _version(package) for package in ("numpy", "onnxruntime", "av")},
    }


def print_table(head: Sequence[str], rows: Sequence[Sequence[str | int | float]]) -> None:
    """Columns wide enough for their content, numbers right-aligned with two decimals."""
    cells = [list(head), *([_cell(value) for value in row] for row in rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(head))]
    for row in cells:
        first, *others = zip(row, widths, strict=True)
        print("  ".join([first[0].ljust(first[1]), *(text.rjust(width) for text, width in others)]))


def print_json(benchmark: str, values: Mapping[str, object]) -> None:
    """The whole result as one line, the last that a benchmark prints; numbers rounded to four digits."""
    print(json.dumps(_rounded({"benchmark": benchmark, "machine": describe_machine(), **values})))


def _cell(value: str | int | float) -> str:
    return f"{value:.2f}" if isinstance(value, float) else str(value)


def _rounded(value: object) -> object:
    match value:
        case float():
            return round(float(value), 4) if math.isfinite(value) else None
        case Mapping():
            return {str(key): _rounded(item) for key, item in value.items()}
        case list() | tuple():
            return [_rounded(item) for item in value]
    return value


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next(
        (line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown"
    )


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"
