"""The command ``egoexo4d score``: predictions, a system, or all of Table 1 against the answers."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tracker.errors import MissingDependencyError, TrackerError, UsageError, WeightsError
from tracker.joints import FloatArray
from tracker.research.evaluation.egoexo4d_command import Run, Say, run_hands
from tracker.research.evaluation.egoexo4d_metric import HandKey, ScoredHands, required_hands, scored_hands
from tracker.research.evaluation.egoexo4d_presets import PRESETS, Preset
from tracker.research.evaluation.egoexo4d_run import read_lines
from tracker.research.evaluation.egoexo4d_submission import read_submission
from tracker.research.evaluation.egoexo4d_table import (
    TableRow,
    scores_by_take,
    table1_to_json,
    table1_to_text,
    to_text,
)
from tracker.research.ground_truth.egoexo4d import PreparedTake, open_takes, with_pictures
from tracker.research.ground_truth.egoexo4d_values import Tally


@dataclass(frozen=True)
class Answers:
    """What is scored against: an annotation file and where its pictures are."""

    prepared: Path
    annotations: Path
    split: str
    release: Path | None = None

    def open(self, tally: Tally) -> list[PreparedTake]:
        """The takes, without those that have no usable camera pose."""
        return open_takes(self.prepared, self.annotations, self.split, release=self.release, tally=tally)

    def open_with_pictures(self, tally: Tally) -> list[PreparedTake]:
        """Of them what has pictures.

        Raises:
            UsageError: nothing has.
        """
        takes = with_pictures(self.open(tally), tally)
        if not takes:
            raise UsageError("; ".join(["no frame has a picture", *tally.lines()]))
        return takes


def score_predictions(answers: Answers, predictions: Path, *, wrist_relative: bool, say: Say) -> int:
    """Score a file of predictions; prints the table and one line of JSON."""
    tally = Tally()
    takes = answers.open(tally)
    frames = [frame for take in takes for frame in take.frames]
    lines = predictions.suffix == ".jsonl"
    hands = read_lines(predictions).hands if lines else read_submission(predictions, frames)
    scored = scored_hands(takes, hands, wrist_relative=wrist_relative)
    _report(str(predictions), answers, takes, scored, hands, tally, say)
    return 0


def score_system(answers: Answers, run: Run, *, say: Say) -> int:
    """Run a system and score it; prints the table and one line of JSON."""
    tally = Tally()
    takes = answers.open_with_pictures(tally)
    hands = run_hands(run, takes, tally, say)
    scored = scored_hands(takes, hands, wrist_relative=False, found_only=True)
    _report(f"{run.name}, {run.mode}", answers, takes, scored, hands, tally, say)
    return 0


def _report(
    name: str,
    answers: Answers,
    takes: Sequence[PreparedTake],
    scored: ScoredHands,
    hands: Mapping[HandKey, FloatArray],
    tally: Tally,
    say: Say,
) -> None:
    """Say what was left out, print the table and the JSON."""
    wanted, missing = _missing(takes, hands)
    scores = scores_by_take(scored, {take.uid: take.name for take in takes})
    for line in tally.lines():
        say(line)
    if missing:
        say(f"{missing} of {wanted} hands were not found; the figures are of the others")
    print(to_text(scores), end="\n\n")
    summary: dict[str, Any] = {"system": name, "split": answers.split, "hands_wanted": wanted}
    summary |= {"hands_missing": missing, "left_out": dict(tally.counts)}
    print(json.dumps(summary | {"scores": {take: figures.to_json() for take, figures in scores.items()}}))


def _missing(takes: Sequence[PreparedTake], hands: Mapping[HandKey, FloatArray]) -> tuple[int, int]:
    """How many hands are wanted, and how many of them are not there."""
    wanted = [key for take in takes for key in required_hands(take.frames)]
    return len(wanted), sum(key not in hands for key in wanted)


def score_table1(answers: Answers, run_of: Callable[[Preset], Run], *, say: Say) -> int:
    """Run all presets on one annotation file and print the paper's Table 1 beside what was measured.

    Args:
        answers: what they are scored against.
        run_of: the run of a preset; raises `WeightsError` or `MissingDependencyError` where its files or
            packages are not there.
        say: told what was left out, and of systems that cannot run.

    Returns:
        0, or 1 where a system whose files are there could not be run.
    """
    tally = Tally()
    takes = answers.open_with_pictures(tally)
    for line in tally.lines():
        say(line)
    runs = {preset.name: _run_or_reason(preset, run_of) for preset in PRESETS.values()}
    for reason in dict.fromkeys(reason for reason in runs.values() if isinstance(reason, str)):
        say(f"weights missing: {reason}")
    _refuse_files_there([run for run in runs.values() if isinstance(run, Run)])
    rows, failed = [], False
    for preset in PRESETS.values():
        run = runs[preset.name]
        if isinstance(run, str):
            rows.append(TableRow(preset, missing=f"weights missing: {run.partition(': ')[0]}"))
            continue
        try:
            rows.append(_measured(preset, run, takes, say))
        except TrackerError as error:
            failed = True
            rows.append(TableRow(preset, missing=f"cannot run: {error}"))
    print(table1_to_text(rows, answers.split), end="\n\n")
    print(json.dumps(table1_to_json(rows, answers.split)))
    return int(failed)


def _run_or_reason(preset: Preset, run_of: Callable[[Preset], Run]) -> Run | str:
    try:
        return run_of(preset)
    except (WeightsError, MissingDependencyError) as error:
        return str(error)


def _refuse_files_there(runs: Sequence[Run]) -> None:
    """Before hours of running: lines of an earlier run that this one would not go on with."""
    there = [str(run.hands) for run in runs if not run.resume and run.hands.exists()]
    if there:
        raise UsageError(f"{', '.join(there)}: there already; go on with --resume, or choose other --hands")


def _measured(preset: Preset, run: Run, takes: Sequence[PreparedTake], say: Say) -> TableRow:
    tally = Tally()
    hands = run_hands(run, takes, tally, say)
    for line in tally.lines():
        say(f"{preset.name}: {line}")
    _, missing = _missing(takes, hands)
    scored = scored_hands(takes, hands, wrist_relative=False, found_only=True)
    return TableRow(preset, scored=scored, hands_missing=missing)
