"""The commands ``egoexo4d submit | validate``: a system's submission, and what is wrong with any."""

from collections.abc import Sequence
from pathlib import Path

from tracker.errors import UsageError
from tracker.joints import FloatArray
from tracker.research.evaluation.egoexo4d_command import Run, Say, run_hands
from tracker.research.evaluation.egoexo4d_lines import LINES
from tracker.research.evaluation.egoexo4d_metric import HandKey, required_hands
from tracker.research.evaluation.egoexo4d_submission import (
    complaints_about,
    hands_in,
    read_submitted,
    report,
    warn_of_placed,
    write_submission,
)
from tracker.research.evaluation.egoexo4d_systems import open_hand_in_box
from tracker.research.evaluation.egoexo4d_temporal import WAYS, Smoothing, smoothed
from tracker.research.ground_truth.egoexo4d import (
    TURN,
    PreparedTake,
    takes_of,
    with_pictures,
)
from tracker.research.ground_truth.egoexo4d_prepared import read_annotations
from tracker.research.ground_truth.egoexo4d_values import AnnotatedFrame, Tally


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
    """Judge a submission; returns 1 and says what is wrong where the challenge would reject it.

    Raises:
        UsageError: a file cannot be read, or is of another kind.
    """
    if submission.suffix == LINES:
        raise UsageError(
            f"{submission} holds the lines of a run, not a submission; of lines of the test boxes, submit "
            f"PREPARED OUT.json --hands {submission} --resume with the options of their run makes one"
        )
    judged = read_submitted(submission)
    frames = _asking(boxes)
    complaints = list(complaints_about(judged, frames))
    if complaints:
        for line in report(complaints):
            print(line)
        say(f"{submission} would be rejected")
        return 1
    print(f"{submission}: all {len(required_hands(frames))} hands are there")
    advice = "the leaderboard takes them less their own wrist"
    warn_of_placed(submission, hands_in(judged, frames), advice, say)
    return 0


def submit(
    prepared: Path,
    out: Path,
    run: Run,
    *,
    boxes: Path,
    release: Path | None,
    smoothing: Smoothing | None,
    wrist_relative: bool,
    fill: bool,
    say: Say,
) -> int:
    """Run a system over the test boxes and write its submission; returns 1 where hands are missing.

    Hands that stand in for missing ones take no part in smoothing.

    Raises:
        UsageError: no hand is asked for, or no picture is there: a submission of open hands says nothing; or
            hands are asked for that no system could give.
    """
    tally = Tally()
    frames = _asking(boxes)
    takes = takes_of(frames, prepared, "test", release=release, tally=tally)
    readable = with_pictures(takes, tally)
    if not readable:
        raise UsageError("; ".join([f"{prepared} has no picture of these boxes", *tally.lines()]))
    _refuse_incomplete(frames, takes if fill else readable, tally, fill=fill)
    hands = run_hands(run, readable, tally, say, among=frames)
    if smoothing is not None:
        hands = smoothed(takes, hands, smoothing)
        say(f"{len(hands)} hands are smoothed {WAYS[smoothing]} through takes; {run.hands} has them as read")
    missing = [key for key in required_hands(frames) if key not in hands]
    if missing and fill:
        hands = {**hands, **_filled(takes, missing)}
        say(f"{len(missing)} hands were not found; open hands of a mean adult stand in their boxes")
        missing = []
    for line in tally.lines():
        say(line)
    if missing:
        say(f"no submission: {_counted(missing)}; --resume --fill-missing puts open hands there")
        return 1
    write_submission(out, frames, hands, wrist_relative=wrist_relative)
    say(f"wrote {out}")
    return 0


def _refuse_incomplete(
    frames: Sequence[AnnotatedFrame], takes: Sequence[PreparedTake], tally: Tally, *, fill: bool
) -> None:
    """Before hours of running: hands that are asked for and of no frame of ``takes``."""
    there = {key for take in takes for key in required_hands(take.frames)}
    never = [key for key in required_hands(frames) if key not in there]
    if never:
        way_out = [] if fill else ["--fill-missing puts open hands into frames without a picture"]
        raise UsageError("; ".join([f"no submission: {_counted(never)}", *tally.lines(), *way_out]))


def _counted(missing: Sequence[HandKey]) -> str:
    uid, frame, side = missing[0]
    return f"{len(missing)} hands are missing, the first is the {side.value} one of take {uid}, frame {frame}"


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
