"""Weak perspective, alignment to points or rays: which placement is best, and where does the order change?

    python -m tracker.research.evaluation.simulate_placements [--camera aria]

Three tables, each in camera space and wrist-relative, of the same simulated hands with the network's errors
of ``simulate_noise``: by a turn of the network's axes that comes on top of them, by how far off the optical
axis the same hands are, and so with the turn. The turn has one angle for all tracks, about an axis across the
hand's ray that is drawn for each: a lean, as of a network whose crop has other axes than the ray's.
After each table come the places where two placements change their order, interpolated linearly.
"""

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from itertools import combinations
from typing import Annotated

import numpy as np
import tyro

from tracker.cli_running import run_command
from tracker.joints import WRIST, FloatArray
from tracker.research.evaluation.simulate import SimulationConfig, noise_of, simulate
from tracker.research.evaluation.simulate_noise import NoiseDraw, observe
from tracker.research.evaluation.simulate_paths import palm_center
from tracker.research.evaluation.simulate_solvers import (
    SimulatedTrack,
    Solver,
    aligned,
    closed_form,
    tracker_places,
    weak_perspective,
)
from tracker.rotations import rotation_between, rotation_from_vector

PLACEMENTS: Mapping[str, Solver] = {
    "weak": weak_perspective,
    "align": aligned,
    "ray": closed_form,
    "ray, fitted": tracker_places,
}
"""As published, ours frame by frame (closed form), and ours with the fit of a track's bones, unsmoothed."""
STATED_TURN_DEG = 10.0
AHEAD = np.array([0.0, 0.0, 1.0])


@dataclass(frozen=True)
class PlacementErrors:
    """Every frame's errors of one placement over all tracks, N frames; NaN where the hand was not placed."""

    camera_mm: FloatArray
    """(N,) mean over joints."""
    wrist_relative_mm: FloatArray
    """(N,) the same after the wrists are brought together."""

    @property
    def placed(self) -> int:
        """How many hands were placed."""
        return int(np.isfinite(self.camera_mm).sum())

    @property
    def means_mm(self) -> tuple[float, float]:
        """Camera space, wrist-relative; NaN of nothing."""
        placed = np.isfinite(self.camera_mm)
        if not placed.any():
            return float("nan"), float("nan")
        return float(self.camera_mm[placed].mean()), float(self.wrist_relative_mm[placed].mean())


def turned_off_the_ray(track: SimulatedTrack, angle_deg: float, rng: np.random.Generator) -> SimulatedTrack:
    """The track as a network sees it whose axes are turned by an angle about an axis across the hand's ray.

    The axis is the same in the ray's axes for the whole track, drawn evenly.
    """
    direction = rng.uniform(0.0, 2.0 * np.pi)
    lean = rotation_from_vector(np.radians(angle_deg) * np.array([np.cos(direction), np.sin(direction), 0.0]))
    estimates = []
    for estimate in track.estimates:
        middle_px = (estimate.joints_px.min(axis=0) + estimate.joints_px.max(axis=0)) / 2
        to_ray = rotation_between(AHEAD, track.camera.unproject(middle_px))
        turn = to_ray @ lean @ to_ray.T
        estimates.append(replace(estimate, joints_from_wrist_m=estimate.joints_from_wrist_m @ turn.T))
    return replace(track, estimates=tuple(estimates))


def brought_to(track: SimulatedTrack, off_axis_deg: float, noise: NoiseDraw) -> SimulatedTrack:
    """The same hand seen so far off the optical axis, on the side where it is, with the same errors.

    The path turns about the camera's centre, so that its palm in the middle frame comes to lie there and the
    camera sees the hand as before, but for the lens.
    """
    middle_m = palm_center(track.joints_m[len(track.joints_m) // 2])
    across = middle_m[:2] / max(float(np.linalg.norm(middle_m[:2])), 1e-9)
    angle = np.radians(off_axis_deg)
    target = np.append(np.sin(angle) * across, np.cos(angle))
    turn = rotation_between(middle_m / np.linalg.norm(middle_m), target)
    joints_m = track.joints_m @ turn.T
    estimates = observe(joints_m, track.side, track.size, track.camera, noise)
    return replace(track, joints_m=joints_m, estimates=estimates)


def errors_of(tracks: Sequence[SimulatedTrack], solver: Solver) -> PlacementErrors:
    """How far a placement's joints are from the truth, frame by frame."""
    camera, relative = [], []
    for track in tracks:
        for pose, true_m in zip(solver(track), track.joints_m, strict=True):
            joints_m = np.full_like(true_m, np.nan) if pose is None else pose.joints_in_camera_m
            off_m = joints_m - true_m
            camera.append(1e3 * np.linalg.norm(off_m, axis=-1).mean())
            relative.append(1e3 * np.linalg.norm(off_m - off_m[WRIST], axis=-1).mean())
    return PlacementErrors(np.array(camera), np.array(relative))


@dataclass(frozen=True)
class Sweep:
    """Mean errors of placements over a quantity."""

    what: str
    at: tuple[float, ...]
    """Its values."""
    camera_mm: Mapping[str, tuple[float, ...]]
    wrist_relative_mm: Mapping[str, tuple[float, ...]]
    placed: Mapping[str, tuple[int, ...]]
    """How many hands each figure is of."""

    def flips(self, figure: Mapping[str, tuple[float, ...]]) -> Iterator[tuple[str, str, float]]:
        """Who is better up to where: (better below, better above, degrees)."""
        for first, second in combinations(figure, 2):
            difference = np.subtract(figure[first], figure[second])
            for k in np.flatnonzero(difference[:-1] * difference[1:] < 0):
                share = difference[k] / (difference[k] - difference[k + 1])
                where = self.at[k] + share * (self.at[k + 1] - self.at[k])
                below, above = (first, second) if difference[k] < 0 else (second, first)
                yield below, above, float(where)

    def text(self) -> str:
        """Both figures as a table, and where the order changes."""
        width = max(map(len, self.camera_mm))
        lines = []
        for title, figure in (("camera", self.camera_mm), ("wrist-relative", self.wrist_relative_mm)):
            lines.append(f"{title}, mm, by {self.what}")
            lines.append(f"{'':{width}}" + "".join(f"{value:8.1f}" for value in self.at))
            for name, values in figure.items():
                lines.append(f"{name:{width}}" + "".join(f"{value:8.1f}" for value in values))
            for below, above, where in self.flips(figure):
                lines.append(f"  {below} is better than {above} up to {where:.1f}")
        return "\n".join([*lines, f"hands placed: {min(map(min, self.placed.values()))} or more"])


def swept(
    what: str, tracks: Mapping[float, Sequence[SimulatedTrack]], solvers: Mapping[str, Solver]
) -> Sweep:
    """The placements' errors on the tracks of each value of a quantity."""
    errors = {name: [errors_of(some, solver) for some in tracks.values()] for name, solver in solvers.items()}
    return Sweep(
        what,
        tuple(tracks),
        {name: tuple(some.means_mm[0] for some in row) for name, row in errors.items()},
        {name: tuple(some.means_mm[1] for some in row) for name, row in errors.items()},
        {name: tuple(some.placed for some in row) for name, row in errors.items()},
    )


def compare_placements(
    config: SimulationConfig,
    seed: int,
    turns_deg: Sequence[float],
    offsets_deg: Sequence[float],
    solvers: Mapping[str, Solver] = PLACEMENTS,
) -> list[Sweep]:
    """By turn, hands all over the view; by angle off the axis, without a turn and with `STATED_TURN_DEG`."""
    tracks = simulate(config, seed)
    noises = {track.track_id: noise_of(config, seed, track.track_id) for track in tracks}

    def turned(some: Sequence[SimulatedTrack], angle_deg: float) -> list[SimulatedTrack]:
        return [
            turned_off_the_ray(track, angle_deg, np.random.default_rng((seed, 2, track.track_id)))
            for track in some
        ]

    moved = {
        offset: [brought_to(track, offset, noises[track.track_id]) for track in tracks]
        for offset in offsets_deg
    }
    return [
        swept("turn, degrees", {angle: turned(tracks, angle) for angle in turns_deg}, solvers),
        swept("angle off the axis, degrees", moved, solvers),
        swept(
            f"angle off the axis, degrees, turned by {STATED_TURN_DEG:g}",
            {offset: turned(some, STATED_TURN_DEG) for offset, some in moved.items()},
            solvers,
        ),
    ]


@dataclass(frozen=True)
class PlacementsCommand:
    """Compare placements on simulated hands."""

    simulation: Annotated[SimulationConfig, tyro.conf.arg(name="")] = field(
        default_factory=lambda: SimulationConfig(tracks=60, frames=6)
    )
    seed: int = 0
    turns_deg: tuple[float, ...] = (0.0, 10.0, 20.0, 30.0)
    """Angles of the turn about an axis across the ray."""
    offsets_deg: tuple[float, ...] = (0.0, 10.0, 20.0, 30.0, 40.0, 50.0)
    """Angles from the optical axis."""


def main() -> None:
    """Run the command of this module."""
    command = tyro.cli(PlacementsCommand)
    sweeps = compare_placements(command.simulation, command.seed, command.turns_deg, command.offsets_deg)
    print("\n\n".join(sweep.text() for sweep in sweeps), end="\n\n")
    print(json.dumps({"config": asdict(command), "sweeps": [asdict(s) for s in sweeps]}, default=str))


if __name__ == "__main__":
    sys.exit(run_command(main))
