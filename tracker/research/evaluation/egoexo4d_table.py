"""EgoExo4D's figures as tables for a person and as JSON for a program.

Over all hands and take by take, and the paper's Table 1 beside what was measured.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

from tracker.research.evaluation.egoexo4d_categories import scores_by_category
from tracker.research.evaluation.egoexo4d_metric import ChallengeScores, ScoredHands, challenge_scores
from tracker.research.evaluation.egoexo4d_presets import PAPER, Preset

COLUMNS = (
    ("hands", "hands", 0),
    ("mpjpe_mm", "MPJPE", 2),
    ("pa_mpjpe_mm", "PA-MPJPE", 2),
    ("camera_mpjpe_mm", "camera", 2),
    ("auc_50mm", "AUC 50", 3),
    ("pck_05", "PCK.05", 3),
    ("pck_10", "PCK.1", 3),
    ("pck_15", "PCK.15", 3),
    ("acceleration_error_mm_s2", "accel", 0),
    ("camera_acceleration_error_mm_s2", "accel cam", 0),
    ("jitter_range_mm", "rest ray", 2),
    ("jitter_lateral_mm", "rest lat", 2),
)
"""Figure, title, decimals; errors in mm, accelerations in mm/s2."""


def scores_by_take(hands: ScoredHands, names: Mapping[str, str]) -> dict[str, ChallengeScores]:
    """The figures of all hands and of each take's, by the take's name (its uid where two share one)."""
    uids = list(dict.fromkeys(key[0] for key in hands.keys))
    unique = len({names[uid] for uid in uids}) == len(uids)
    scores = {"all": challenge_scores(hands)}
    for uid in uids:
        scores[names[uid] if unique else uid] = challenge_scores(hands.of_take(uid))
    return scores


def to_text(scores: Mapping[str, ChallengeScores]) -> str:
    """A line for each of ``scores``."""
    width = max(map(len, scores))
    lines = [" " * width + "".join(f"  {title:>9}" for _, title, _ in COLUMNS)]
    for name, figures in scores.items():
        values = figures.to_json()
        cells = (_cell(values[figure], decimals) for figure, _, decimals in COLUMNS)
        lines.append(f"{name:<{width}}" + "".join(f"  {cell:>9}" for cell in cells))
    return "\n".join(lines)


def _cell(value: float | int | None, decimals: int) -> str:
    return "-" if value is None else f"{value:.{decimals}f}"


@dataclass(frozen=True, eq=False)
class TableRow:
    """A system in Table 1: measured, or why not."""

    preset: Preset
    scored: ScoredHands | None = None
    hands_missing: int = 0
    missing: str = ""
    """Why there is no figure."""

    @cached_property
    def scores(self) -> ChallengeScores | None:
        """Over all hands that were found."""
        return None if self.scored is None else challenge_scores(self.scored)


def table1_to_text(rows: Sequence[TableRow], on: str) -> str:
    """The paper's figures and the measured ones, a line for each system, mm."""
    named = [row.preset.paper.name if row.preset.paper else "" for row in rows]
    left, middle = max(len(row.preset.name) for row in rows), max(map(len, named))
    lines = [
        f"paper: {PAPER}; measured: {on}; mm",
        f"{'':<{left}}  {'':<{middle}}  {'paper':>7} {'PA':>6}  {'MPJPE':>7} {'PA':>6} {'camera':>7} "
        f"{'hands':>6} {'missing':>7}",
    ]
    for row, name in zip(rows, named, strict=True):
        paper = row.preset.paper
        theirs = (None, None) if paper is None else (paper.mpjpe_mm, paper.pa_mpjpe_mm)
        line = f"{row.preset.name:<{left}}  {name:<{middle}}  "
        line += f"{_cell(theirs[0], 2):>7} {_cell(theirs[1], 2):>6}  "
        if row.scores is None:
            lines.append(line + row.missing)
            continue
        ours = row.scores.to_json()
        cells = (_cell(ours[key], 2) for key in ("mpjpe_mm", "pa_mpjpe_mm", "camera_mpjpe_mm"))
        line += "{:>7} {:>6} {:>7} ".format(*cells)
        lines.append(line + f"{row.scores.hands:>6} {row.hands_missing:>7}")
    return "\n".join(lines)


def table1_to_json(rows: Sequence[TableRow], about: Mapping[str, Any]) -> dict[str, Any]:
    """The same for a program, with what is said of all systems."""
    return {
        "paper": PAPER,
        **about,
        "systems": {
            row.preset.name: {
                "paper": None if row.preset.paper is None else asdict(row.preset.paper),
                "missing": row.missing or None,
                "hands_missing": None if row.scored is None else row.hands_missing,
                "scores": None if row.scores is None else row.scores.to_json(),
                "categories": None if row.scored is None else _categories(row.scored),
            }
            for row in rows
        },
    }


def overall(table1: Mapping[str, Any]) -> dict[str, Any]:
    """What the table shows of `table1_to_json`."""
    shown = ("hands", "mpjpe_mm", "pa_mpjpe_mm", "camera_mpjpe_mm")
    systems = {
        name: {
            **{key: row[key] for key in ("paper", "missing", "hands_missing")},
            "scores": row["scores"] and {key: row["scores"][key] for key in shown},
        }
        for name, row in table1["systems"].items()
    }
    return {**table1, "systems": systems}


def _categories(hands: ScoredHands) -> dict[str, Any]:
    return {name: figures.to_json() for name, figures in scores_by_category(hands).items()}
