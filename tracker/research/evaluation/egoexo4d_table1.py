"""The command ``egoexo4d evaluate --table1``: all systems of the paper on one annotation file.

They run side by side: each picture, and what several systems read alike, is read once (`egoexo4d_sharing`).
"""

from collections.abc import Callable, Iterable, Mapping

from tracker.errors import MissingDependencyError, TrackerError, UsageError, WeightsError
from tracker.research.evaluation.egoexo4d_command import Run, Say, run_side_by_side
from tracker.research.evaluation.egoexo4d_gain import reports_to_text, temporal_report
from tracker.research.evaluation.egoexo4d_lines import ReadHands
from tracker.research.evaluation.egoexo4d_metric import scored_hands
from tracker.research.evaluation.egoexo4d_presets import PRESETS, Preset
from tracker.research.evaluation.egoexo4d_scoring import Answers, Extras, OpenedTakes
from tracker.research.evaluation.egoexo4d_table import TableRow, overall, table1_to_json, table1_to_text
from tracker.research.ground_truth.egoexo4d_values import Tally


def score_table1(answers: Answers, run_of: Callable[[Preset], Run], extras: Extras, *, say: Say) -> int:
    """Run all presets on one annotation file and print the paper's Table 1 beside what was measured.

    Args:
        answers: what they are scored against.
        run_of: the run of a preset; raises `WeightsError` or `MissingDependencyError` where its files or
            packages are not there.
        extras: a page of all systems and what smoothing gains, if asked for.
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
    ready = {name: run for name, run in runs.items() if isinstance(run, Run)}
    _refuse_files_there(ready.values())
    read = _read(ready, opened, say)
    rows = [_row(preset, runs[preset.name], read.get(preset.name), opened) for preset in PRESETS.values()]
    print(table1_to_text(rows, answers.name), end="\n\n")
    measured = {row.preset.name: row.scored for row in rows if row.scored is not None}
    wanted = {"hands_wanted": opened.count_wanted()}
    figures = table1_to_json(rows, answers.to_json(tally) | wanted)
    if extras.temporal:
        reports = {
            name: temporal_report(opened.takes, some.hands)
            for name, some in read.items()
            if name in measured and isinstance(some, ReadHands)
        }
        print(reports_to_text(reports), end="\n\n")
        for name, report in reports.items():
            figures["systems"][name]["temporal"] = report.to_json()
    extras.write_page(measured, opened.takes, say)
    extras.write_figures(figures, overall(figures), say)
    return int(any(row.scored is None for row in rows if row.preset.name in ready))


def _run_or_reason(preset: Preset, run_of: Callable[[Preset], Run]) -> Run | str:
    try:
        return run_of(preset)
    except (WeightsError, MissingDependencyError) as error:
        return str(error)


def _refuse_files_there(runs: Iterable[Run]) -> None:
    """Before hours of running: lines of an earlier run that this one would not go on with."""
    there = [str(run.hands) for run in runs if not run.resume and run.hands.exists()]
    if there:
        raise UsageError(f"{', '.join(there)}: there already; go on with --resume, or choose other --hands")


def _read(runs: Mapping[str, Run], opened: OpenedTakes, say: Say) -> dict[str, ReadHands | TrackerError]:
    """The hands of the systems that can run, by their names, or why one could not."""
    tallies = {name: Tally() for name in runs}
    pairs = [(run, tallies[name]) for name, run in runs.items()]
    results = run_side_by_side(pairs, opened.takes, say, among=opened.wanted)
    for name, tally in tallies.items():
        for line in tally.lines():
            say(f"{name}: {line}")
    return dict(zip(runs, results, strict=True))


def _row(
    preset: Preset, run: Run | str, read: ReadHands | TrackerError | None, opened: OpenedTakes
) -> TableRow:
    if read is None:
        return TableRow(preset, missing=f"weights missing: {str(run).partition(': ')[0]}")
    try:
        if isinstance(read, TrackerError):
            raise read
        scored = scored_hands(opened.takes, read.hands, wrist_relative=False, found_only=True)
    except TrackerError as error:
        return TableRow(preset, missing=f"cannot run: {error}")
    return TableRow(preset, scored=scored, hands_missing=opened.count_missing(scored))
