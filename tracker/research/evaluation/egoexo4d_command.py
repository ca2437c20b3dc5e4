"""The commands ``egoexo4d prepare | submit | validate``, and running a system: what they do and say."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tracker.errors import SinkFailedError, TrackerError, UsageError
from tracker.joints import FloatArray
from tracker.pipeline import HandTracker, TrackerConfig
from tracker.placement import find_placement
from tracker.pose import PoseBackend, load_pose_backend
from tracker.pose.ensemble import Member, load_ensemble
from tracker.progress import CountingBar
from tracker.research.evaluation.egoexo4d_identity import settings_of
from tracker.research.evaluation.egoexo4d_lines import ReadHands
from tracker.research.evaluation.egoexo4d_metric import HandKey, required_hands
from tracker.research.evaluation.egoexo4d_run import Job, run_systems
from tracker.research.evaluation.egoexo4d_sharing import Shared
from tracker.research.evaluation.egoexo4d_submission import (
    complaints_about,
    report,
    write_submission,
)
from tracker.research.evaluation.egoexo4d_systems import (
    ChallengeSystem,
    System,
    TrackerSystem,
    open_hand_in_box,
)
from tracker.research.evaluation.egoexo4d_temporal import WAYS, Smoothing, smoothed
from tracker.research.ground_truth.egoexo4d import (
    TURN,
    PreparedTake,
    annotation_path,
    takes_of,
)
from tracker.research.ground_truth.egoexo4d_pictures import prepare_pictures
from tracker.research.ground_truth.egoexo4d_prepared import read_annotations, write_annotations
from tracker.research.ground_truth.egoexo4d_preparing import prepare_annotations
from tracker.research.ground_truth.egoexo4d_release import Kind, annotation_paths
from tracker.research.ground_truth.egoexo4d_values import AnnotatedFrame, Tally
from tracker.research.ground_truth.files import read_json

Mode = Literal["challenge", "tracker"]
Say = Callable[[str], None]


@dataclass(frozen=True)
class Run:
    """A system to run over takes, and where its hands go."""

    name: str
    """For people: a preset's, or its backend's."""
    mode: Mode
    config: TrackerConfig
    hands: Path
    """JSON lines."""
    resume: bool


def prepare(
    release: Path, prepared: Path, *, splits: Sequence[str], kind: Kind, pictures: bool, say: Say
) -> int:
    """Write prepared files of a release; returns 0, or 1 where a take had to be left out.

    Raises:
        UsageError: a file that every take needs cannot be read, or no hand is left.
        SinkFailedError: the disk is full, say.
    """
    try:
        whole = [_prepare_split(release, prepared, split, kind, pictures, say) for split in splits]
    except KeyboardInterrupt:
        say("stopped; what is written is whole and is kept, and the same command goes on from there")
        raise
    except OSError as error:
        raise SinkFailedError(f"cannot write to {prepared}: {error.strerror or error}") from error
    return 0 if all(whole) else 1


def _prepare_split(release: Path, prepared: Path, split: str, kind: Kind, pictures: bool, say: Say) -> bool:
    """Whether every take could be prepared."""
    tally = Tally()
    path = annotation_path(prepared, split, kind)
    if split == "test":
        frames: Sequence[AnnotatedFrame] = _test_boxes(path)
    else:
        takes = len(annotation_paths(release, split, kind))
        with CountingBar(takes, unit="take", what=f"annotations of {split}") as bar:
            frames = list(prepare_annotations(release, prepared, split, kind, tally, observe=bar.observe))
        if not frames:
            raise UsageError("; ".join([f"no frame of {split} has a hand to keep", *tally.lines()]))
        path.parent.mkdir(parents=True, exist_ok=True)
        write_annotations(path, frames)
        say(f"wrote {path}")
    if pictures:
        with CountingBar(len(frames), unit="picture", what=f"pictures of {split}") as bar:
            prepare_pictures(release, prepared, split, frames, tally, observe=bar.observe)
    print(f"{split}:")
    print("\n".join(f"  {line}" for line in tally.lines()), flush=True)
    return not any(name in tally.counts for name in ("takes left out", "takes that lack pictures"))


def _test_boxes(path: Path) -> tuple[AnnotatedFrame, ...]:
    if not path.is_file():
        raise UsageError(f"{path} is not there; the test boxes are published beside the public preparation")
    return read_annotations(path)


def _asking(boxes: Path) -> tuple[AnnotatedFrame, ...]:
    """The frames of a file of boxes.

    Raises:
        UsageError: it cannot be read, or asks for no hand: whatever was submitted would do.
    """
    frames = read_annotations(boxes)
    if not required_hands(frames):
        raise UsageError(f"{boxes} has no box, so it asks for no hand")
    return frames


def validate(submission: Path, boxes: Path, *, say: Say) -> int:
    """Judge a submission; returns 1 and says what is wrong where the challenge would reject it."""
    frames = _asking(boxes)
    complaints = list(complaints_about(read_json(submission), frames))
    if complaints:
        for line in report(complaints):
            print(line)
        say(f"{submission} would be rejected")
        return 1
    print(f"{submission}: all {len(required_hands(frames))} hands are there")
    return 0


def submit(
    prepared: Path,
    out: Path,
    run: Run,
    *,
    boxes: Path | None,
    release: Path | None,
    smoothing: Smoothing | None,
    wrist_relative: bool,
    fill: bool,
    say: Say,
) -> int:
    """Run a system over the test boxes and write its submission; returns 1 where hands are missing.

    Hands that stand in for missing ones take no part in smoothing.

    Raises:
        UsageError: no hand is asked for, or no picture is there: a submission of open hands says nothing.
    """
    tally = Tally()
    frames = _asking(boxes or annotation_path(prepared, "test"))
    takes = takes_of(frames, prepared, "test", release=release, tally=tally)
    if not any(path.is_file() for take in takes for path in take.pictures):
        raise UsageError("; ".join([f"{prepared} has no picture of these boxes", *tally.lines()]))
    hands = run_hands(run, takes, tally, say, among=frames)
    if smoothing is not None:
        hands = smoothed(takes, hands, smoothing)
        say(f"{len(hands)} hands are smoothed {WAYS[smoothing]} through takes; {run.hands} has them as read")
    missing = [key for key in required_hands(frames) if key not in hands]
    if missing and fill:
        filled = _filled(takes, missing)
        hands = {**hands, **filled}
        if filled:
            say(f"{len(filled)} hands were not found; open hands of a mean adult stand in their boxes")
        missing = [key for key in missing if key not in hands]
    for line in tally.lines():
        say(line)
    if missing:
        uid, frame, side = missing[0]
        way_out = "of takes that are left out" if fill else "--fill-missing puts open hands there"
        say(
            f"no submission: {len(missing)} hands are missing, the first is the {side.value} one of take "
            f"{uid}, frame {frame}; {way_out}"
        )
        return 1
    write_submission(out, frames, hands, wrist_relative=wrist_relative)
    say(f"wrote {out}")
    return 0


def _filled(takes: Sequence[PreparedTake], missing: Sequence[HandKey]) -> dict[HandKey, FloatArray]:
    """Open hands for hands that are missing, in landscape; none for takes that were left out."""
    filled = {}
    wanted = set(missing)
    for take in takes:
        camera = TURN.camera_upright(take.camera)
        for index, frame in enumerate(take.frames):
            for side in frame.hands:
                key = (frame.take_uid, frame.frame_number, side)
                if key in wanted:
                    upright_m = open_hand_in_box(camera, take.given(index).box_px(side), side)
                    filled[key] = TURN.points_landscape(upright_m)
    return filled


def run_hands(
    run: Run,
    takes: Sequence[PreparedTake],
    tally: Tally,
    say: Say,
    *,
    among: Sequence[AnnotatedFrame],
) -> Mapping[HandKey, FloatArray]:
    """The hands (21, 3) of one system, in the landscape camera's frame; see `run_side_by_side`.

    Raises:
        TrackerError: a package or file it needs is not there, or its lines cannot be written or gone on with.
    """
    (read,) = run_side_by_side([(run, tally)], takes, say, among=among)
    if isinstance(read, TrackerError):
        raise read
    return read.hands


def run_side_by_side(
    runs: Sequence[tuple[Run, Tally]],
    takes: Sequence[PreparedTake],
    say: Say,
    *,
    among: Sequence[AnnotatedFrame],
) -> list[ReadHands | TrackerError]:
    """Systems run over takes with their progress shown; what they read alike is read once.

    Args:
        runs: which systems, and where their lines go; the tally of each gets what could not be read or found.
        takes: what is read.
        say: told how many frames there are hands of.
        among: see `run_systems`.

    Returns:
        Of each system its hands, or why it could not run.
    """
    shared = Shared()
    own_cameras = any(take.own_camera for take in takes)
    jobs = [_job(run, tally, shared, own_cameras=own_cameras) for run, tally in runs]
    total = sum(map(len, takes))
    what = runs[0][0].name if len(runs) == 1 else f"{len(runs)} systems"
    try:
        with CountingBar(total, unit="frame", what=what) as bar:
            results = run_systems(
                jobs,
                takes,
                among=among,
                clock_s=shared.memory.clock_s,
                passed=bar.pass_over,
                observe=bar.observe,
            )
    except KeyboardInterrupt:
        paths = [run.hands for run, _ in runs]
        there = paths[0] if len(paths) == 1 else f"{len(paths)} files in {paths[0].parent}"
        say(f"stopped; the hands so far are in {there}, --resume goes on from there")
        raise
    for (run, _), read in zip(runs, results, strict=True):
        if isinstance(read, ReadHands):
            say(f"hands of {len(read.frames)} of {len(among)} frames are in {run.hands}")
    return results


def _job(run: Run, tally: Tally, shared: Shared, *, own_cameras: bool) -> Job:
    return Job(
        run.config.backend,
        lambda: load_system(run.mode, run.config, shared),
        run.hands,
        tally,
        stateful=run.mode == "tracker",
        settings=settings_of(run.mode, run.config, own_cameras=own_cameras),
        resume=run.resume,
    )


def load_system(mode: Mode, config: TrackerConfig, shared: Shared) -> System:
    """The system of a tracker's settings: its pose backend on given boxes, or the tracker itself.

    Raises:
        TrackerError: a package or file it needs is not there.
    """
    if mode == "tracker":
        tracking = load_pose_backend(
            config.backend,
            hamer=config.hamer,
            potter=config.potter,
            ensemble=config.ensemble,
            networks=shared.networks,
        )
        return TrackerSystem(lambda: HandTracker(config, backend=tracking))
    reader = shared.box_reader(config.detector.landmark_model)
    backend: PoseBackend
    if config.backend == "ensemble":
        backend = load_ensemble(config.ensemble, lambda member: shared.backend(member, config))
    else:
        backend = shared.backend(Member(config.backend), config)
    return ChallengeSystem(backend, find_placement(config.placement), reader=reader, shape=config.tracks.hand)
