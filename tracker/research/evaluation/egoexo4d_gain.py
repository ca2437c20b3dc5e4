"""What smoothing through takes gains: each figure against hands as read, how surely, in how many takes."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from tracker.joints import FloatArray
from tracker.research.evaluation.egoexo4d_metric import (
    ChallengeScores,
    HandKey,
    ScoredHands,
    challenge_scores,
)
from tracker.research.evaluation.egoexo4d_table import COLUMNS, scores_by_take, to_text
from tracker.research.evaluation.egoexo4d_temporal import AS_READ, temporal_hands
from tracker.research.ground_truth.egoexo4d import PreparedTake

HIGHER_IS_BETTER = ("auc_50mm", "pck_05", "pck_10", "pck_15")
MEANS_OF_HANDS = ("mpjpe_mm", "pa_mpjpe_mm", "camera_mpjpe_mm")
"""Figures that are the takes' own, weighted by their hands; the others are pooled in other ways."""
RESAMPLES = 2000
CONFIDENCE = 0.95
FEWEST_TAKES = 5
"""Of fewer nothing is said about takes that were not measured."""
NAN = float("nan")


@dataclass(frozen=True)
class Gain:
    """How smoothing changes one figure."""

    change: float
    """Smoothed less as read, in the figure's unit."""
    percent: float
    """Of what it was."""
    low: float
    """The change lies between this and `high` at `CONFIDENCE`, as far as these takes stand for others; NaN
    where nothing is said."""
    high: float
    takes_better: int
    takes_worse: int

    def to_json(self) -> dict[str, float | int | None]:
        """By name, None for what is not known."""
        return {name: value if np.isfinite(value) else None for name, value in asdict(self).items()}


@dataclass(frozen=True, eq=False)
class TemporalReport:
    """The figures as read, live and in hindsight, and what smoothing changes in each."""

    scores: Mapping[str, ChallengeScores]
    gains: Mapping[str, Mapping[str, Gain]]
    """Way of smoothing, figure."""

    def text(self) -> str:
        """The table of figures, and one of changes for each way."""
        tables = [to_text(self.scores), *(_text(way, gains) for way, gains in self.gains.items())]
        return "\n\n".join(tables)

    def to_json(self) -> dict[str, Any]:
        """The same for a program."""
        return {
            "scores": {way: scores.to_json() for way, scores in self.scores.items()},
            "gain": {
                way: {figure: gain.to_json() for figure, gain in gains.items()}
                for way, gains in self.gains.items()
            },
        }


def temporal_report(takes: Sequence[PreparedTake], hands: Mapping[HandKey, FloatArray]) -> TemporalReport:
    """What smoothing makes of the hands (21, 3) of takes; see `temporal_hands`."""
    scored = temporal_hands(takes, hands)
    by_take = {way: _scores_by_take(some) for way, some in scored.items()}
    counts = np.array([scores.hands for scores in by_take[AS_READ]])
    scores = {way: challenge_scores(some) for way, some in scored.items()}
    return TemporalReport(
        scores,
        {
            way: {
                figure: _gain(figure, scores[AS_READ], scores[way], by_take[AS_READ], by_take[way], counts)
                for figure, _, _ in COLUMNS
                if figure != "hands"
            }
            for way in scored
            if way != AS_READ
        },
    )


def _scores_by_take(hands: ScoredHands) -> list[ChallengeScores]:
    scores = scores_by_take(hands, {key[0]: key[0] for key in hands.keys})
    return [figures for name, figures in scores.items() if name != "all"]


def _gain(
    figure: str,
    read: ChallengeScores,
    smoothed: ChallengeScores,
    read_by_take: Sequence[ChallengeScores],
    smoothed_by_take: Sequence[ChallengeScores],
    counts: FloatArray,
) -> Gain:
    """Of one figure; ``counts`` (T,) are the takes' hands."""
    before, after = getattr(read, figure), getattr(smoothed, figure)
    changes = np.array(
        [getattr(b, figure) - getattr(a, figure) for a, b in zip(read_by_take, smoothed_by_take, strict=True)]
    )
    better = changes > 0 if figure in HIGHER_IS_BETTER else changes < 0
    low, high = bootstrapped(changes, counts) if figure in MEANS_OF_HANDS else (NAN, NAN)
    return Gain(
        change=after - before,
        percent=100 * (after - before) / before if before else NAN,
        low=low,
        high=high,
        takes_better=int(better.sum()),
        takes_worse=int((changes != 0)[np.isfinite(changes)].sum() - better.sum()),
    )


def bootstrapped(changes: FloatArray, weights: FloatArray) -> tuple[float, float]:
    """Bounds of the weighted mean of takes' changes (T,), from takes drawn again with replacement.

    Percentiles of Efron's bootstrap (1979). Hands of one take are alike, so takes are drawn and not hands.
    """
    known = np.isfinite(changes)
    changes, weights = changes[known], weights[known]
    if len(changes) < FEWEST_TAKES:
        return NAN, NAN
    drawn = np.random.default_rng(0).integers(len(changes), size=(RESAMPLES, len(changes)))
    means = (changes * weights)[drawn].sum(axis=1) / weights[drawn].sum(axis=1)
    tail = 50 * (1 - CONFIDENCE)
    low, high = np.percentile(means, (tail, 100 - tail))
    return float(low), float(high)


def _text(way: str, gains: Mapping[str, Gain]) -> str:
    """A line for each figure that is known."""
    title = f"{way} against {AS_READ}"
    lines = [f"{title:<28}  {'change':>9}  {'%':>7}  {'95 % over takes':>18}  {'better':>6}  {'worse':>6}"]
    for figure, name, decimals in COLUMNS:
        gain = gains.get(figure)
        if gain is None or not np.isfinite(gain.change):
            continue
        bounds = f"{gain.low:+.{decimals}f} to {gain.high:+.{decimals}f}" if np.isfinite(gain.low) else "-"
        percent = f"{gain.percent:+.1f}" if np.isfinite(gain.percent) else "-"
        lines.append(
            f"{name:<28}  {gain.change:>+9.{decimals}f}  {percent:>7}  {bounds:>18}  "
            f"{gain.takes_better:>6}  {gain.takes_worse:>6}"
        )
    return "\n".join(lines)


def reports_to_text(reports: Mapping[str, TemporalReport]) -> str:
    """Systems side by side, a line for each: MPJPE and PA-MPJPE in each way, mm."""
    left = max((len(name) for name in reports), default=0)
    ways = list(dict.fromkeys(way for report in reports.values() for way in report.scores))
    lines = [
        "smoothed through takes; mm",
        " " * left + "".join(f"  {way:>15}" for way in ways),
        " " * left + "".join(f"  {'MPJPE':>8} {'PA':>6}" for _ in ways),
    ]
    for name, report in reports.items():
        cells = (
            f"  {figures.mpjpe_mm:>8.2f} {figures.pa_mpjpe_mm:>6.2f}" for figures in report.scores.values()
        )
        lines.append(f"{name:<{left}}" + "".join(cells))
    return "\n".join(lines)
