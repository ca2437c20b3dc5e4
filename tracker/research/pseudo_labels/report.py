"""What pseudo labels came to: how many are good, how far hands lie from their keypoints, the worst takes."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from tracker.joints import FloatArray
from tracker.research.ground_truth.labelled import BoolArray
from tracker.research.pseudo_labels.labels import TakeLabels

EDGES_MM = (0.0, 2.0, 4.0, 6.0, 8.0, 10.0, 12.0, np.inf)
"""Of the columns in which RMS residuals are counted."""
MOST_TAKES = 10
"""Takes that are listed: those of the largest share of bad labels."""


@dataclass(frozen=True, eq=False)
class TakeSummary:
    """What is remembered of a take's labels."""

    take: str
    rms_mm: FloatArray
    """(H,)"""
    good: BoolArray
    """(H,)"""
    reasons: Mapping[str, int]
    noise_mm: float

    @staticmethod
    def of(labels: TakeLabels) -> "TakeSummary":
        """Of one take."""
        return TakeSummary(
            labels.take, 1e3 * labels.rms_m, labels.good, labels.counts(), 1e3 * labels.noise_m
        )

    @property
    def bad_share(self) -> float:
        """Of its hands."""
        return 1.0 - float(self.good.mean())


def headline(takes: Sequence[TakeSummary]) -> list[str]:
    """One line of counts, and one of reasons where any label is bad; none without takes."""
    if not takes:
        return []
    rms_mm, good = _all_hands(takes)
    lines = [
        f"{len(takes)} takes, {len(good)} hands, {int(good.sum())} of them good; "
        f"median residual {np.median(rms_mm):.1f} mm"
    ]
    reasons = sum((Counter(take.reasons) for take in takes), Counter[str]())
    named = [f"{count} {reason.replace('_', ' ')}" for reason, count in reasons.items() if count]
    return [*lines, f"bad: {', '.join(named)}"] if named else lines


def to_text(takes: Sequence[TakeSummary]) -> str:
    """Two tables: hands by their RMS residual, and takes, the worst first."""
    rms_mm, good = _all_hands(takes)
    edges = [f"{low:g}-{high:g}" for low, high in pairwise(EDGES_MM[:-1])]
    columns = [*edges, f"{EDGES_MM[-2]:g} and more"]
    counts = [np.histogram(some, EDGES_MM)[0].tolist() for some in (rms_mm, rms_mm[good])]
    listed = sorted(takes, key=lambda take: (-take.bad_share, -float(np.median(take.rms_mm))))[:MOST_TAKES]
    rows = [
        ["RMS residual, mm", *columns],
        *(["hands", *map(str, counts[0])], ["good ones", *map(str, counts[1])]),
    ]
    of_takes = [["take", "hands", "good", "median mm", "90 % below", "noise an axis"], *map(_row, listed)]
    more = len(takes) - len(listed)
    end = [f"and {more} takes with fewer bad labels"] if more else []
    return "\n".join([*_aligned(rows), "", *_aligned(of_takes), *end])


def _all_hands(takes: Sequence[TakeSummary]) -> tuple[FloatArray, BoolArray]:
    return np.concatenate([take.rms_mm for take in takes]), np.concatenate([take.good for take in takes])


def _row(take: TakeSummary) -> list[str]:
    median_mm, high_mm = np.percentile(take.rms_mm, [50, 90])
    figures = [f"{value:.1f}" for value in (median_mm, high_mm, take.noise_mm)]
    return [take.take, str(len(take.good)), str(int(take.good.sum())), *figures]


def _aligned(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for first, *others in rows:
        cells = (cell.rjust(width) for cell, width in zip(others, widths[1:], strict=True))
        yield "  ".join([first.ljust(widths[0]), *cells])
