"""Which way of placing and smoothing hands is best when the truth is known? Seeded simulated tracks.

    python -m tracker.research.evaluation.simulate [--truth DIR] [--camera aria]

prints a table of solvers, and filters behind one of them, and the same as one line of JSON. Hands move as in
EgoDex's truth where ``--truth`` names a folder with ``egodex_*.npz``, else along made-up reaches. The
network's errors are described in ``simulate_noise.py``.
"""

import importlib
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import tyro

from tracker.cameras import Camera, KannalaBrandt, Pinhole
from tracker.cli_running import run_command
from tracker.errors import UsageError
from tracker.joints import FloatArray
from tracker.research.evaluation.simulate_filters import peers
from tracker.research.evaluation.simulate_metrics import Figures, figures
from tracker.research.evaluation.simulate_noise import NETWORKS, NoiseConfig, NoiseDraw, draw_noise, observe
from tracker.research.evaluation.simulate_paths import egodex_paths, place_path, synthetic_paths
from tracker.research.evaluation.simulate_solvers import (
    BASELINE,
    FILTERS,
    SOLVERS,
    TRACKER,
    TRACKER_MEASURED,
    Filter,
    Poses,
    SimulatedTrack,
    Solver,
    timed,
    without_filter,
)

CAMERAS: dict[str, Camera] = {
    "aria": Pinhole(512, 512, 150.0, 150.0, 255.5, 255.5),
    "aria_fisheye": KannalaBrandt(512, 512, 150.0, 150.0, 255.5, 255.5, (0.0, 0.0, 0.0, 0.0)),
    "headset": Pinhole(640, 480, 450.0, 450.0, 319.5, 239.5),
    "webcam": Pinhole(1280, 720, 900.0, 900.0, 639.5, 359.5),
}


@dataclass(frozen=True)
class SimulationConfig:
    """What is simulated."""

    camera: str = "aria"
    """aria (f 150 at 512 x 512), aria_fisheye, headset (f 450 at 640 x 480), webcam (f 900 at 1280 x 720)."""
    truth: Path | None = None
    """A folder of EgoDex's truth; made-up paths without."""
    tracks: int = 60
    frames: int = 60
    """Length of each track, at 30 frames/s."""
    size_sd: float = 0.06
    """Relative spread of hand sizes, drawn once for each track."""
    range_m: tuple[float, float] = (0.2, 0.9)
    rest_s: float = 0.0
    """How long made-up hands stand still altogether, again and again; 0 for never."""
    noise: NoiseConfig = field(default_factory=NoiseConfig)


def simulate(config: SimulationConfig, seed: int) -> tuple[SimulatedTrack, ...]:
    """The tracks of a seed; each depends on its own number and the configuration, not on how many there are.

    Raises:
        UsageError: no such camera, no truth in the folder, or the range holds no path.
    """
    if config.camera not in CAMERAS:
        raise UsageError(f"camera {config.camera!r} is unknown; choose one of {', '.join(CAMERAS)}")
    return tuple(_simulate_one(config, seed, index) for index in range(config.tracks))


def _simulate_one(config: SimulationConfig, seed: int, index: int) -> SimulatedTrack:
    camera = CAMERAS[config.camera]
    paths = synthetic_paths(seed, config.rest_s) if config.truth is None else egodex_paths(config.truth)
    for_path, _ = _generators(seed, index)
    size = float(np.exp(config.size_sd * for_path.normal()))
    path = place_path(for_path, paths, camera, config.frames, config.range_m, size)
    noise = noise_of(config, seed, index + 1)
    return SimulatedTrack(
        track_id=index + 1,
        side=path.side,
        camera=camera,
        size=size,
        times_s=np.arange(config.frames) / path.frame_rate_hz,
        joints_m=path.joints_m,
        estimates=observe(path.joints_m, path.side, size, camera, noise),
    )


def noise_of(config: SimulationConfig, seed: int, track_id: int) -> NoiseDraw:
    """The network's errors on a track, whatever its path."""
    return draw_noise(_generators(seed, track_id - 1)[1], config.noise, config.frames)


def _generators(seed: int, index: int) -> tuple[np.random.Generator, np.random.Generator]:
    """Of a track's path and of its noise, which never moves the path."""
    for_path, for_noise = np.random.default_rng((seed, 0, index)).spawn(2)
    return for_path, for_noise


def compare(
    tracks: Sequence[SimulatedTrack],
    solvers: dict[str, Solver],
    filters: dict[str, Filter],
    filtered_solver: str,
) -> dict[str, Figures]:
    """Figures for every solver without a filter, and for every filter behind ``filtered_solver``.

    Raises:
        UsageError: ``filtered_solver`` is not one of the solvers.
    """
    if filtered_solver not in solvers:
        raise UsageError(f"solver {filtered_solver!r} is unknown; choose one of {', '.join(solvers)}")
    rows: dict[str, Figures] = {}
    for name, solver in solvers.items():
        solved = [timed(partial(solver, track), len(track.times_s)) for track in tracks]
        poses, solver_s = [p for p, _ in solved], float(np.mean([s for _, s in solved]))
        unsmoothed = (
            poses if name not in (TRACKER, TRACKER_MEASURED) else None
        )  # covariances are those of the poses before smoothing
        rows[name] = _figures(tracks, [without_filter(p) for p in poses], unsmoothed, solver_s)
        for label, smooth in filters.items() if name == filtered_solver else ():
            kept = [
                timed(partial(smooth, p, track.times_s), len(p))
                for p, track in zip(poses, tracks, strict=True)
            ]
            frame_s = solver_s + float(np.mean([s for _, s in kept]))
            rows[f"{name} > {label}"] = _figures(tracks, [joints for joints, _ in kept], None, frame_s)
    return rows


def _figures(
    tracks: Sequence[SimulatedTrack],
    joints_m: Sequence[FloatArray],
    poses: Sequence[Poses] | None,
    frame_s: float,
) -> Figures:
    truths_m = [track.joints_m for track in tracks]
    times_s = [track.times_s for track in tracks]
    return figures(joints_m, truths_m, times_s, poses=poses, frame_s=frame_s)


@dataclass(frozen=True)
class SimulateCommand:
    """Compare solvers and filters on simulated tracks."""

    simulation: Annotated[SimulationConfig, tyro.conf.arg(name="")] = field(default_factory=SimulationConfig)
    seed: int = 0
    network: str | None = None
    """A named set of errors in place of the noise options: stated (their defaults), measured, exact."""
    filter_behind: str = "tracker, unsmoothed"
    """The solver whose poses the filters take."""
    peers: bool = False
    """Add the filters that others use: One Euro, Kalman, Kalman with a fixed lag."""
    filters: tuple[str, ...] = ()
    """More filters, each as module:callable; it takes the poses of a track, None where there is none, and
    their times, and gives joints (T, 21, 3)."""
    solvers: tuple[str, ...] = ()
    """More solvers, each as module:callable; it takes a SimulatedTrack and gives a pose or None a frame."""


def main() -> None:
    """Run the command of this module."""
    command = tyro.cli(SimulateCommand)
    solvers = SOLVERS | {name: _imported(name) for name in command.solvers}
    filters = FILTERS | (peers() if command.peers else {})
    filters |= {name: _imported(name) for name in command.filters}
    tracks = simulate(_chosen(command), command.seed)
    rows = compare(tracks, solvers, filters, command.filter_behind)
    print(table(rows))
    results = {name: asdict(row) for name, row in rows.items()}
    print(json.dumps({"config": asdict(command), "rows": results}, default=str))


def _chosen(command: SimulateCommand) -> SimulationConfig:
    if command.network is None:
        return command.simulation
    if command.network not in NETWORKS:
        raise UsageError(f"network {command.network!r} is unknown; choose one of {', '.join(NETWORKS)}")
    return replace(command.simulation, noise=NETWORKS[command.network])


def _imported(name: str) -> Any:
    """The object that ``module:attribute`` names.

    Raises:
        UsageError: there is none.
    """
    module, _, attribute = name.partition(":")
    try:
        return getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError, ValueError) as error:
        raise UsageError(f"cannot import {name!r}, want module:callable ({error})") from error


def table(rows: dict[str, Figures]) -> str:
    """The figures as text, the camera-space error also as a share of the plain closed form's."""
    width = max(map(len, rows))
    base = rows[BASELINE].camera_mm if BASELINE in rows else float("nan")
    lines = [f"{'':{width}}  {HEADINGS}"]
    for name, row in rows.items():
        lines.append(
            f"{name:{width}}  {row.camera_mm:7.1f}{row.camera_mm / base:7.2f}{row.wrist_relative_mm:7.1f}"
            f"{row.range_mm:7.1f}{row.range_bias_mm:7.1f}{row.bearing_deg:7.2f}{row.lag_frames:7.2f}{row.range_lag_frames:7.2f}"
            f"{row.acceleration_error_mm_s2:8.0f}{row.palm_acceleration_error_mm_s2:8.0f}{row.relative_acceleration_error_mm_s2:8.0f}"
            f"{row.range_z2:6.2f}{row.bearing_z2:6.2f}{100 * row.placed_share:7.1f}{row.frame_ms:7.3f}"
        )
    return "\n".join(lines)


HEADINGS = (
    " camera  ratio  wrist  range   bias    deg    lag  lag_r"
    "     acc    palm     rel  z2_r  z2_b placed     ms"
)


if __name__ == "__main__":
    sys.exit(run_command(main))
