"""How long does ``egoexo4d evaluate --table1`` take, and how long would its systems one after another?

    PYTHONPATH=. python benchmarks/table1.py PREPARED --checkpoint FILE --finetuned FILE --mano FILE
        --potter-checkpoint FILE [--split val] [--runs N]

The takes of a prepared annotation file are read in turn side by side, as the command does it, and system by
system, each with networks of its own. Loading is timed apart. The hands have to be the same. Random weights
do as well as trained ones. Results are in RESULTS.md.
"""

import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from time import perf_counter, process_time

import numpy as np
import tyro

from benchmarks.measure import print_json, print_table
from tracker.cli_running import run_command
from tracker.pipeline import TrackerConfig
from tracker.pose.hamer import HamerOptions
from tracker.pose.potter import PotterOptions
from tracker.research.evaluation.egoexo4d_command import load_system
from tracker.research.evaluation.egoexo4d_lines import ReadHands
from tracker.research.evaluation.egoexo4d_presets import PRESETS, Preset
from tracker.research.evaluation.egoexo4d_run import Job, run_systems
from tracker.research.evaluation.egoexo4d_sharing import Shared
from tracker.research.ground_truth.egoexo4d import PreparedTake, annotation_path, open_takes
from tracker.research.ground_truth.egoexo4d_values import Tally

SIDE_BY_SIDE, ONE_BY_ONE = "side by side", "one after another"


@dataclass(frozen=True)
class Args:
    """Time Table 1."""

    prepared: tyro.conf.Positional[Path]
    checkpoint: Path
    mano: Path
    potter_checkpoint: Path
    finetuned: Path
    split: str = "val"
    runs: int = 3

    def config(self, preset: Preset) -> TrackerConfig:
        """The settings of a system."""
        files = TrackerConfig(
            hamer=HamerOptions(self.checkpoint, self.mano), potter=PotterOptions(self.potter_checkpoint)
        )
        return preset.over(files, finetuned=self.finetuned)


@dataclass
class Cost:
    """What a run cost."""

    loading_s: float = 0.0
    wall_s: float = 0.0
    cpu_s: float = 0.0


def run(
    args: Args, presets: Sequence[Preset], takes: Sequence[PreparedTake], folder: Path, cost: Cost
) -> list[ReadHands]:
    """Systems side by side; adds to ``cost``."""
    shared, begun = Shared(), [perf_counter(), 0.0, 0.0]

    def loaded(_: int) -> None:
        begun[1:] = perf_counter(), process_time()

    jobs = [
        Job(
            preset.backend,
            partial(load_system, "challenge", args.config(preset), shared),
            folder / preset.name,
            Tally(),
        )
        for preset in presets
    ]
    results = run_systems(jobs, takes, passed=loaded)
    cost.loading_s += begun[1] - begun[0]
    cost.wall_s += perf_counter() - begun[1]
    cost.cpu_s += process_time() - begun[2]
    for result in results:
        if not isinstance(result, ReadHands):
            raise result
    return [result for result in results if isinstance(result, ReadHands)]


def same(some: Sequence[ReadHands], others: Sequence[ReadHands]) -> bool:
    """Whether all systems say the same, to the last digit."""
    return all(
        one.hands.keys() == other.hands.keys()
        and all(np.array_equal(joints_m, other.hands[key]) for key, joints_m in one.hands.items())
        for one, other in zip(some, others, strict=True)
    )


def main() -> None:
    """Time both ways in turn and print a table and a line of JSON."""
    args = tyro.cli(Args)
    takes = open_takes(args.prepared, annotation_path(args.prepared, args.split), args.split)
    presets = list(PRESETS.values())
    costs: dict[str, list[Cost]] = {ONE_BY_ONE: [], SIDE_BY_SIDE: []}
    for _ in range(args.runs):
        alone, together = Cost(), Cost()
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            each = [hands for preset in presets for hands in run(args, [preset], takes, folder / "a", alone)]
            all_ = run(args, presets, takes, folder / "b", together)
        if not same(each, all_):
            raise SystemExit("systems say other things side by side than alone")
        print(f"{ONE_BY_ONE}: {alone}, {SIDE_BY_SIDE}: {together}", file=sys.stderr, flush=True)
        costs[ONE_BY_ONE].append(alone)
        costs[SIDE_BY_SIDE].append(together)
    frames = sum(map(len, takes))
    rows = {
        name: [
            1e3 * float(np.median([cost.wall_s for cost in of])) / frames,
            1e3 * float(np.median([cost.cpu_s for cost in of])) / frames,
            float(np.median([cost.loading_s for cost in of])),
        ]
        for name, of in costs.items()
    }
    head = ("ms a frame, median", "CPU ms a frame", "s loading")
    print_table(("", *head), [[name, *row] for name, row in rows.items()])
    values = {name: dict(zip(head, row, strict=True)) for name, row in rows.items()}
    print_json("table1", {"frames": frames, "runs": args.runs, **values})


if __name__ == "__main__":
    sys.exit(run_command(main))
