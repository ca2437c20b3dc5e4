"""The command ``egoexo4d evaluate --table1``: all systems of the paper on one annotation file."""

import json
from collections.abc import Callable, Sequence

from tracker.errors import MissingDependencyError, TrackerError, UsageError, WeightsError
from tracker.research.evaluation.egoexo4d_command import Run, Say
from tracker.research.evaluation.egoexo4d_metric import scored_hands
from tracker.research.evaluation.egoexo4d_presets import PRESETS, Preset
from tracker.research.evaluation.egoexo4d_scoring import Answers, Extras, OpenedTakes
from tracker.research.evaluation.egoexo4d_table import TableRow, table1_to_json, table1_to_text
from tracker.research.evaluation.egoexo4d_weights import weight_files
from tracker.research.ground_truth.egoexo4d_values import Tally


def score_table1(answers: Answers, run_of: Callable[[Preset], Run], extras: Extras, *, say: Say) -> int:
    """Run all presets on one annotation file and print the paper's Table 1 beside what was measured.

    Args:
        answers: what they are scored against.
        run_of: the run of a preset; raises `WeightsError` or `MissingDependencyError` where its files or
            packages are not there.
        extras: a page of all systems, if asked for.
        say: told what was left out, and of systems that cannot run.

    Returns:
        0, or 1 where a system whose files are there could not be run.
    """
    extras.check()
    tally = Tally()
    opened = answers.open_with_pictures(tally)
    for line in tally.lines():
        say(line)
    runs = {preset.name: _run_or_reason(preset, run_of) for preset in PRESETS.values()}
    for reason in dict.fromkeys(reason for reason in runs.values() if isinstance(reason, str)):
        say(f"weights missing: {reason}")
    ready = [run for run in runs.values() if isinstance(run, Run)]
    _refuse_weights_not_there(ready)
    _refuse_files_there(ready)
    rows, failed = [], False
    for preset in PRESETS.values():
        run = runs[preset.name]
        if isinstance(run, str):
            rows.append(TableRow(preset, missing=f"weights missing: {run.partition(': ')[0]}"))
            continue
        try:
            rows.append(_measured(preset, run, opened, say))
        except TrackerError as error:
            failed = True
            rows.append(TableRow(preset, missing=f"cannot run: {error}"))
    print(table1_to_text(rows, answers.split), end="\n\n")
    extras.write_page(
        {row.preset.name: row.scored for row in rows if row.scored is not None}, opened.takes, say
    )
    print(json.dumps(table1_to_json(rows, answers.split)))
    return int(failed)


def _run_or_reason(preset: Preset, run_of: Callable[[Preset], Run]) -> Run | str:
    try:
        return run_of(preset)
    except (WeightsError, MissingDependencyError) as error:
        return str(error)


def _refuse_weights_not_there(runs: Sequence[Run]) -> None:
    """Before hours of running: files that were named and are not there."""
    files = dict.fromkeys(path for run in runs for path in weight_files(run.config))
    missing = [str(path) for path in files if not path.is_file()]
    if missing:
        raise UsageError(f"{', '.join(missing)}: no such file of weights")


def _refuse_files_there(runs: Sequence[Run]) -> None:
    """Before hours of running: lines of an earlier run that this one would not go on with."""
    there = [str(run.hands) for run in runs if not run.resume and run.hands.exists()]
    if there:
        raise UsageError(f"{', '.join(there)}: there already; go on with --resume, or choose other --hands")


def _measured(preset: Preset, run: Run, opened: OpenedTakes, say: Say) -> TableRow:
    tally = Tally()
    hands = opened.hands_of(run, tally, say)
    for line in tally.lines():
        say(f"{preset.name}: {line}")
    scored = scored_hands(opened.takes, hands, wrist_relative=False, found_only=True)
    return TableRow(preset, scored=scored, hands_missing=opened.missing(scored)[1])
