"""What smoothing at ten frames a second gains on real clips whose answers are known, as EgoExo4D's takes.

    python -m tracker.research.evaluation.recorded_takes FOLDER [--clips egodex_*] [--mode tracker]

Every third frame of a clip at 30 frames/s is a take's annotated frame, whose hands are given by boxes as
EgoExo4D gives them; ``--mode tracker`` has the tracker see every frame and find hands itself. The hands then
go through ``egoexo4d_temporal``. ``--times-faster 3`` takes every ninth frame as if it were the third: real
pictures of the same motion at three times the speed.
"""

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import tyro

from tracker.cameras import Pinhole
from tracker.cli_running import run_command
from tracker.joints import FloatArray, Side
from tracker.pipeline import TrackerConfig
from tracker.pose.potter import BOX_OVER_HAND
from tracker.research.evaluation.egoexo4d_command import load_system
from tracker.research.evaluation.egoexo4d_gain import temporal_report
from tracker.research.evaluation.egoexo4d_metric import HandKey
from tracker.research.evaluation.egoexo4d_sharing import Shared
from tracker.research.evaluation.egoexo4d_systems import System
from tracker.research.evaluation.simulate_takes import STEP_FRAMES
from tracker.research.ground_truth import find_clips
from tracker.research.ground_truth.egoexo4d import PreparedTake
from tracker.research.ground_truth.egoexo4d_filters import MIN_VALID_JOINTS
from tracker.research.ground_truth.egoexo4d_values import AnnotatedFrame, AnnotatedHand, GivenHands
from tracker.research.ground_truth.labelled import SIDES, LabelledClip


def read_as_take(
    clip: LabelledClip, system: System, step_frames: int, *, every_frame: bool
) -> tuple[PreparedTake, dict[HandKey, FloatArray]]:
    """A clip as a take whose every ``step_frames``-th frame is annotated, and what a system reads in it.

    With ``every_frame`` the system, which goes by earlier frames, is shown the others too.
    """
    clip = clip.aligned(clip.lateness_frames or 0.0)
    camera = clip.cameras[0]
    assert isinstance(camera, Pinhole), "a take's camera is one; see usable"
    system.begin_take()
    frames: list[AnnotatedFrame] = []
    read: dict[HandKey, FloatArray] = {}
    for index, labelled in enumerate(clip.labelled_frames()):
        annotated = annotated_hands(labelled.joints_in_camera_m, camera)
        given = AnnotatedFrame(clip.name, clip.name, STEP_FRAMES * len(frames), annotated)
        wanted = index % step_frames == 0
        hands: Mapping[Side, FloatArray] = {}
        if wanted or every_frame:
            hands = system(labelled.frame, GivenHands(given.boxes_px()))
        if wanted:
            frames.append(given)
            read |= {(clip.name, given.frame_number, side): joints_m for side, joints_m in hands.items()}
    return PreparedTake(clip.name, clip.name, tuple(frames), camera, (Path(clip.name),) * len(frames)), read


def annotated_hands(joints_m: FloatArray, camera: Pinhole) -> dict[Side, AnnotatedHand]:
    """The hands (2, 21, 3) as EgoExo4D has them: joints in the picture count, from `MIN_VALID_JOINTS` on.

    The box ends at the picture's edge, and is as much wider than those joints as EgoExo4D's.
    """
    last_px = np.array([camera.width, camera.height]) - 1.0
    hands = {}
    for side, hand_m in zip(SIDES, joints_m, strict=True):
        joints_px = camera.project(hand_m)
        inside = np.asarray(((joints_px >= 0) & (joints_px <= last_px)).all(axis=-1))
        if inside.sum() >= MIN_VALID_JOINTS and np.isfinite(hand_m).all():
            low, high = joints_px[inside].min(axis=0), joints_px[inside].max(axis=0)
            middle, half = (low + high) / 2, BOX_OVER_HAND * (high - low) / 2
            box_px = np.concatenate([np.maximum(middle - half, 0), np.minimum(middle + half, last_px)])
            hands[side] = AnnotatedHand(box_px, joints_px, hand_m, inside)
    return hands


@dataclass(frozen=True)
class RecordedTakesCommand:
    """Smooth what is read in real clips."""

    folder: tyro.conf.Positional[Path]
    """Clips with known answers, as `evaluate` takes them; those at 30 frames/s are used."""
    clips: tuple[str, ...] = ("egodex_*",)
    """Names or patterns."""
    mode: Literal["challenge", "tracker"] = "challenge"
    """Hands given by their boxes in each annotated frame, or found by the tracker, which sees every frame."""
    times_faster: int = 1
    """Leave out more frames, so that hands seem to move so much faster."""


def main() -> None:
    """Run the command of this module."""
    command = tyro.cli(RecordedTakesCommand)
    takes: list[PreparedTake] = []
    hands: dict[HandKey, FloatArray] = {}
    shared = Shared()
    for clip in usable(find_clips(command.folder, command.clips)):
        system = load_system(command.mode, TrackerConfig().unsmoothed(), shared)
        take, read = read_as_take(
            clip, system, STEP_FRAMES * command.times_faster, every_frame=command.mode == "tracker"
        )
        system.close()
        takes.append(take)
        hands |= read
    report = temporal_report(takes, hands)
    print(report.text(), end="\n\n")
    print(json.dumps({"config": asdict(command), **report.to_json()}, default=str))


def usable(clips: Sequence[LabelledClip]) -> list[LabelledClip]:
    """The clips at 30 frames/s through one pinhole."""
    return [
        clip
        for clip in clips
        if clip.frame_rate_hz == 30.0 and len(set(clip.cameras)) == 1 and isinstance(clip.cameras[0], Pinhole)
    ]


if __name__ == "__main__":
    sys.exit(run_command(main))
