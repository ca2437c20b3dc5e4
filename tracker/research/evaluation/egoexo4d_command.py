"""The command ``egoexo4d prepare``, and running systems: what they do and say."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tracker.errors import TrackerError, UsageError
from tracker.joints import FloatArray
from tracker.pipeline import HandTracker, TrackerConfig
from tracker.placement import find_placement
from tracker.pose import PoseBackend, load_pose_backend
from tracker.pose.ensemble import Member, load_ensemble
from tracker.progress import CountingBar
from tracker.research.evaluation.egoexo4d_identity import settings_of
from tracker.research.evaluation.egoexo4d_lines import ReadHands
from tracker.research.evaluation.egoexo4d_metric import HandKey
from tracker.research.evaluation.egoexo4d_run import Job, refuse_other_lines, run_systems
from tracker.research.evaluation.egoexo4d_sharing import Shared
from tracker.research.evaluation.egoexo4d_systems import (
    ChallengeSystem,
    System,
    TrackerSystem,
)
from tracker.research.ground_truth.egoexo4d import (
    PreparedTake,
    annotation_path,
)
from tracker.research.ground_truth.egoexo4d_pictures import prepare_pictures
from tracker.research.ground_truth.egoexo4d_prepared import differences, read_annotations, write_annotations
from tracker.research.ground_truth.egoexo4d_preparing import prepare_annotations
from tracker.research.ground_truth.egoexo4d_release import Kind, annotation_paths
from tracker.research.ground_truth.egoexo4d_values import AnnotatedFrame, Tally

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
    release: Path,
    prepared: Path,
    *,
    splits: Sequence[str],
    kind: Kind,
    pictures: bool,
    only_pictures: bool = False,
    overwrite: bool = False,
    say: Say,
) -> int:
    """Write prepared files of a release; returns 0, or 1 where a take had to be left out.

    Args:
        release: the downloaded release.
        prepared: the folder of prepared files, with Aria's calibrations in it.
        splits: train, val, test; of test only the pictures are made.
        kind: marked by people, or automatic.
        pictures: whether they are made too.
        only_pictures: make them for the annotation files that are there.
        overwrite: replace annotation files that hold something else.
        say: tells a person.

    Raises:
        UsageError: a file that every take needs cannot be read, no hand is left, or an annotation file that
            is there holds something else.
        SinkFailedError: the disk is full, say.
    """
    for split in splits:  # before hours of preparing another
        if split == "test" or only_pictures:
            _check_there(prepared, split, kind)
        else:
            annotation_paths(release, split, kind)
    try:
        whole = []
        for split in splits:
            tally = Tally()
            if split == "test" or only_pictures:
                frames = read_annotations(_check_there(prepared, split, kind))
            else:
                frames = _prepare_annotations(release, prepared, split, kind, tally, overwrite, say)
            if pictures:
                with CountingBar(len(frames), unit="picture", what=f"pictures of {split}") as bar:
                    prepare_pictures(release, prepared, split, frames, tally, observe=bar.observe)
            print(f"{split}:")
            print("\n".join(f"  {line}" for line in tally.lines()), flush=True)
            whole.append(not tally.counts.keys() & {"takes left out", "takes that lack pictures"})
    except KeyboardInterrupt:
        say("stopped; what is written is whole and is kept, and the same command goes on from there")
        raise
    return 0 if all(whole) else 1


def _prepare_annotations(
    release: Path, prepared: Path, split: str, kind: Kind, tally: Tally, overwrite: bool, say: Say
) -> tuple[AnnotatedFrame, ...]:
    """The frames of a split, written to its file unless they are in it already."""
    takes = len(annotation_paths(release, split, kind))
    with CountingBar(takes, unit="take", what=f"annotations of {split}") as bar:
        frames = tuple(prepare_annotations(release, prepared, split, kind, tally, observe=bar.observe))
    if not frames:
        raise UsageError("; ".join([f"no frame of {split} has a hand to keep", *tally.lines()]))
    path = annotation_path(prepared, split, kind)
    if path.exists() and not overwrite:
        if differing := differences(read_annotations(path), frames):
            raise UsageError(
                f"{path} is there and is not what this release gives: {differing}; --only-pictures goes by "
                "the file that is there, --overwrite replaces it"
            )
        say(f"{path} is there already, with the same hands")
    else:
        write_annotations(path, frames)
        say(f"wrote {path}")
    return frames


def _check_there(prepared: Path, split: str, kind: Kind) -> Path:
    """A split's prepared file; the test boxes are the same whoever annotated the other splits.

    Raises:
        UsageError: it is not there.
    """
    path = annotation_path(prepared, split, "manual" if split == "test" else kind)
    if not path.is_file():
        of = "test boxes are" if split == "test" else f"annotations of {split} are made from a release, or"
        raise UsageError(f"{path} is not there; the {of} published beside the public preparation")
    return path


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


def described(config: TrackerConfig) -> str:
    """For people: what reads hands, from which crops, and what places them."""
    crops = {"hamer": config.hamer.crop, "potter": config.potter.crop}
    ensemble = config.backend == "ensemble"
    readers = [member.backend for member in config.ensemble.members] if ensemble else [config.backend]
    each = [f"{name} with {crops[name]} crops" if name in crops else name for name in readers]
    return f"backend {'ensemble of ' if ensemble else ''}{', '.join(each)}; placement {config.placement}"


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
        say: told how many frames there are hands of, and at once if one of several systems fails.
        among: see `run_systems`.

    Returns:
        Of each system its hands, or why it could not run.

    Raises:
        UsageError: lines are there that a system would not go on with; nothing is loaded then.
    """
    shared = Shared()
    own_cameras = any(take.own_camera for take in takes)
    jobs = [_job(run, tally, shared, own_cameras=own_cameras) for run, tally in runs]
    refuse_other_lines(jobs, among)
    anew = [str(run.hands) for run, _ in runs if run.resume and not run.hands.exists()]
    if anew:
        say(f"--resume: nothing there yet, so beginning anew: {', '.join(anew)}")
    total = sum(map(len, takes))
    what = f"{len(runs)} systems"
    if len(runs) == 1:
        run = runs[0][0]
        what = run.name
        say(f"running {run.name}: {described(run.config)}, {run.mode} mode")
    with _saying_where_it_stopped(runs, say), CountingBar(total, unit="frame", what=what) as bar:

        def failed(job: Job, error: TrackerError) -> None:
            if len(jobs) > 1:  # of one alone it is said at the end
                with bar.set_aside():
                    say(f"{runs[jobs.index(job)][0].name} cannot run: {error}")

        results = run_systems(
            jobs,
            takes,
            among=among,
            clock_s=shared.memory.clock_s,
            passed=bar.pass_over,
            observe=bar.observe,
            failed=failed,
        )
    for (run, _), read in zip(runs, results, strict=True):
        if isinstance(read, ReadHands):
            say(f"hands of {len(read.frames)} of {len(among)} frames are in {run.hands}")
    return results


@contextmanager
def _saying_where_it_stopped(runs: Sequence[tuple[Run, Tally]], say: Say) -> Iterator[None]:
    try:
        yield
    except KeyboardInterrupt:
        paths = [run.hands for run, _ in runs]
        there = paths[0] if len(paths) == 1 else f"{len(paths)} files in {paths[0].parent}"
        say(f"stopped; the hands so far are in {there}, --resume goes on from there")
        raise


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
