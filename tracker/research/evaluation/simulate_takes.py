"""What smoothing at ten frames a second gains when the truth is known: simulated hands as EgoExo4D's takes.

    python -m tracker.research.evaluation.simulate_takes [--placement ray]

Every third frame of simulated tracks at 30 frames/s is a take's annotated frame, placed alone as a system in
challenge mode places it; then it goes through ``egoexo4d_temporal``. Needs no pictures.
"""

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import tyro

from tracker.cameras import Pinhole
from tracker.cli_running import run_command
from tracker.errors import UsageError
from tracker.joints import NUM_JOINTS, FloatArray
from tracker.research.evaluation.egoexo4d_gain import temporal_report
from tracker.research.evaluation.egoexo4d_metric import HandKey
from tracker.research.evaluation.simulate import SimulationConfig, simulate
from tracker.research.evaluation.simulate_placements import PLACEMENTS
from tracker.research.evaluation.simulate_solvers import SimulatedTrack, Solver
from tracker.research.ground_truth.egoexo4d import PreparedTake
from tracker.research.ground_truth.egoexo4d_values import AnnotatedFrame, AnnotatedHand

STEP_FRAMES = 3


def as_takes(
    tracks: Sequence[SimulatedTrack], solver: Solver
) -> tuple[list[PreparedTake], dict[HandKey, FloatArray]]:
    """Takes without pictures, one a track, and the hands that a placement has in them."""
    takes, hands = [], {}
    for track in tracks:
        thinned = replace(
            track,
            times_s=track.times_s[::STEP_FRAMES],
            joints_m=track.joints_m[::STEP_FRAMES],
            estimates=track.estimates[::STEP_FRAMES],
        )
        frames = []
        for index, (true_m, pose) in enumerate(zip(thinned.joints_m, solver(thinned), strict=True)):
            key = (f"{track.track_id}", STEP_FRAMES * index, track.side)
            frames.append(AnnotatedFrame(key[0], key[0], key[1], {track.side: _annotated(track, true_m)}))
            if pose is not None:
                hands[key] = pose.joints_in_camera_m
        takes.append(_take(track, frames))
    return takes, hands


def _annotated(track: SimulatedTrack, true_m: FloatArray) -> AnnotatedHand:
    joints_px = track.camera.project(true_m)
    box_px = np.concatenate([np.nanmin(joints_px, axis=0), np.nanmax(joints_px, axis=0)])
    return AnnotatedHand(box_px, joints_px, true_m, np.ones(NUM_JOINTS, dtype=bool))


def _take(track: SimulatedTrack, frames: Sequence[AnnotatedFrame]) -> PreparedTake:
    if not isinstance(track.camera, Pinhole):
        raise UsageError("EgoExo4D's pictures are a pinhole's; choose the camera aria")
    name = f"{track.track_id}"
    return PreparedTake(name, name, tuple(frames), track.camera, (Path(name),) * len(frames))


@dataclass(frozen=True)
class TakesCommand:
    """Smooth simulated takes."""

    simulation: Annotated[SimulationConfig, tyro.conf.arg(name="")] = field(
        default_factory=lambda: SimulationConfig(tracks=40, frames=120, rest_s=1.5)
    )
    seed: int = 0
    placement: Literal["weak", "align", "ray"] = "ray"


def main() -> None:
    """Run the command of this module."""
    command = tyro.cli(TakesCommand)
    tracks = simulate(command.simulation, command.seed)
    report = temporal_report(*as_takes(tracks, PLACEMENTS[command.placement]))
    print(report.text(), end="\n\n")
    print(json.dumps({"config": asdict(command), **report.to_json()}, default=str))


if __name__ == "__main__":
    sys.exit(run_command(main))
