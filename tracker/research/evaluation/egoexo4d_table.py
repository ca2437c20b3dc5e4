"""EgoExo4D's figures as a table for a person and as JSON for a program, over all hands and take by take."""

from collections.abc import Mapping

from tracker.research.evaluation.egoexo4d_metric import ChallengeScores, ScoredHands, challenge_scores

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
