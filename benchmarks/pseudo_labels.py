"""How many hands a second do pseudo labels take, and how near to the truth do they come?

    PYTHONPATH=. python benchmarks/pseudo_labels.py [--hands N] [--takes N] [--mano MANO_RIGHT.pkl]

Both hands of people of made bones, in any place, turn and pose within the middle four fifths of the limits,
each keypoint off by 5 mm an axis. Timed is all from keypoints to judged labels; the best of its runs tells
least of what else the machine does, the median is the figure. Results are in RESULTS.md.
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tyro

from benchmarks.measure import Durations, print_json, print_table
from tracker.cli_running import run_command
from tracker.joints import FloatArray
from tracker.networks.mano_file import read_mano
from tracker.research.pseudo_labels.labels import TakeLabels, labels_of
from tracker.research.pseudo_labels.mano_hand import ManoHand
from tracker.research.pseudo_labels.open_hand import OpenHand
from tracker.research.pseudo_labels.problem import MIRROR, TakeKeypoints
from tracker.research.pseudo_labels.solver import fit_take
from tracker.rotations import rotation_from_vector


@dataclass(frozen=True)
class Args:
    """Label made takes."""

    hands: int = 2000
    """Over all takes."""
    takes: int = 10
    runs: int = 5
    noise_mm: float = 5.0
    mano: Path | None = None
    """MANO's file: its hands are then made and fitted; else the open hand's."""


def made_take(
    model: OpenHand | ManoHand, count: int, noise_m: float, rng: np.random.Generator
) -> tuple[TakeKeypoints, FloatArray]:
    """Noisy keypoints of one person, and where the joints truly are."""
    covariance = np.linalg.inv(model.shape_precision)
    shape = np.linalg.cholesky(covariance) @ rng.normal(size=len(covariance))
    share = rng.uniform(0.1, 0.9, (count, len(model.lower_rad)))
    angles_rad = model.lower_rad + share * (model.upper_rad - model.lower_rad)
    pose = (rng.normal(0.0, 0.3, (count, 3)), rotation_from_vector(rng.normal(size=(count, 3))), angles_rad)
    left = rng.random(count) < 0.5
    mirrors = np.where(left[:, None, None], MIRROR, 1.0)
    true_m = model.linearize(shape, pose, with_shape=False).joints_m * mirrors
    seen_m = true_m + noise_m * rng.normal(size=true_m.shape)
    return TakeKeypoints("made", np.arange(count), left, seen_m, np.ones((count, 21))), true_m


def label_all(model: OpenHand | ManoHand, takes: Sequence[TakeKeypoints]) -> list[TakeLabels]:
    """What is timed."""
    return [labels_of(model, take, fit_take(model, take)) for take in takes]


def main() -> None:
    """Measure and print."""
    args = tyro.cli(Args, description=__doc__)
    model = OpenHand() if args.mano is None else ManoHand(read_mano(args.mano))
    rng = np.random.default_rng(7)
    each = max(args.hands // args.takes, 1)
    made = [made_take(model, each, args.noise_mm / 1e3, rng) for _ in range(args.takes)]
    takes, truths = [take for take, _ in made], [truth for _, truth in made]
    label_all(model, takes[:1])
    durations = Durations()
    for _ in range(args.runs):
        labels = durations.call("labels", label_all, model, takes)
    hands = each * args.takes
    rates = [hands / run.wall_s for run in durations.of["labels"]]
    cpu_rates = [hands / run.cpu_s for run in durations.of["labels"]]
    off_mm = [
        1e3 * np.mean([np.linalg.norm(joints_m - truth, axis=-1).mean() for joints_m, truth in pairs])
        for pairs in (
            [(take.joints_m, truth) for take, truth in made],
            [(of.joints_m, truth) for of, truth in zip(labels, truths, strict=True)],
        )
    ]
    good = float(np.mean(np.concatenate([of.good for of in labels])))
    rows = {
        "hands/s, median of runs": float(np.median(rates)),
        "hands/s, best run": max(rates),
        "hands a second of CPU time, median": float(np.median(cpu_rates)),
        "keypoints off by, mm": float(off_mm[0]),
        "labels off by, mm": float(off_mm[1]),
        "good labels, %": 100 * good,
    }
    name = "open hand" if args.mano is None else "MANO"
    print_table((f"{name}, {args.takes} takes of {each}", ""), list(rows.items()))
    print_json("pseudo_labels", {"model": name, "hands": hands, "takes": args.takes, **rows})


if __name__ == "__main__":
    sys.exit(run_command(main))
