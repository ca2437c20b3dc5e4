"""Why a hand is hard: the paper's failure categories, as far as annotation and answer tell them.

Each is a function of arrays over N hands; a hand may be in several. What prepared files do not say is not
told: from how many cameras a joint was seen. Where Aria's lens ends inside the picture is known where its
calibration is there; without it a hand that is cut off there is not told from one that is occluded.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass

import numpy as np

from tracker.joints import FloatArray
from tracker.research.evaluation import hand_errors
from tracker.research.evaluation.egoexo4d_metric import ScoredHands, hand_errors_mm
from tracker.research.ground_truth.labelled import BoolArray, projected
from tracker.rotations import closest_rotation

EDGE_PX = 1.0
"""A box this near to the picture's edge was cut there."""
MIN_VALID = 16
"""Joints of 21; with fewer a hand is called occluded."""
OFF_CENTRE_BOXES = 0.1
"""A box's middle farther than this share of its longer side from its joints' is off-centre."""
TURNED_DEG = 30.0
GOOD_PA_MM = 15.0
"""A hand is ambiguous that is turned by more than the one and right to the other but for that."""
NONE = "none of these"


def truncated(
    box_px: FloatArray, joints_px: FloatArray, sizes_px: FloatArray, beyond_lens: BoolArray
) -> BoolArray:
    """(N,) whose box (N, 4) ends at the picture's edge, or that have a joint (N, 21, 2) that is not shown.

    That is one outside the picture, of size (N, 2), or ``beyond_lens`` (N, 21). Joints that are not known
    are NaN.
    """
    cut = (box_px[:, :2] <= EDGE_PX) | (box_px[:, 2:] >= sizes_px - 1 - EDGE_PX)
    outside = (joints_px < -0.5) | (joints_px > sizes_px[:, None] - 0.5)  # NaN is neither
    return np.asarray(cut.any(axis=1) | outside.any(axis=(1, 2)) | beyond_lens.any(axis=1))


def occluded(valid: BoolArray, is_truncated: BoolArray) -> BoolArray:
    """(N,) with fewer than `MIN_VALID` valid joints (N, 21) for another reason than the picture's edge."""
    return np.asarray((valid.sum(axis=1) < MIN_VALID) & ~is_truncated)


def off_centre(box_px: FloatArray, joints_px: FloatArray) -> BoolArray:
    """(N,) whose box (N, 4) is not about the known joints (N, 21, 2): crops have the hand at their side."""
    far = 1e9  # of hands without a known joint, whose middle is then none
    known = np.isfinite(joints_px)
    low = np.where(known, joints_px, far).min(axis=1)
    high = np.where(known, joints_px, -far).max(axis=1)
    middle = np.where(known.any(axis=1), (low + high) / 2, np.nan)
    longer = (box_px[:, 2:] - box_px[:, :2]).max(axis=1)
    off = np.linalg.norm((box_px[:, :2] + box_px[:, 2:]) / 2 - middle, axis=1)
    return np.asarray(off > OFF_CENTRE_BOXES * longer)


def wrist_ambiguous(turn_deg: FloatArray, pa_mm: FloatArray) -> BoolArray:
    """(N,) that are the right hand turned wrongly: by a similarity they would be right."""
    return np.asarray((turn_deg > TURNED_DEG) & (pa_mm < GOOD_PA_MM))


def turns_deg(predicted: FloatArray, true: FloatArray, valid: BoolArray) -> FloatArray:
    """(N,) angles of the turns that bring predicted joints (N, 21, 3) closest to true ones.

    NaN with fewer than three valid joints.
    """
    angles = np.full(len(valid), np.nan)
    for row, counted in enumerate(valid & hand_errors.both_known(predicted, true)):
        if counted.sum() >= 3:
            start, end = predicted[row, counted], true[row, counted]
            turn = closest_rotation(end - end.mean(axis=0), start - start.mean(axis=0))
            angles[row] = np.degrees(np.arccos(np.clip((np.trace(turn) - 1.0) / 2.0, -1.0, 1.0)))
    return angles


def beyond_the_lens(hands: ScoredHands) -> BoolArray:
    """(N, 21) joints of known place that Aria's lens does not show; none where the lens is not known."""
    beyond = np.zeros(hands.valid.shape, dtype=bool)
    for row, lens in enumerate(hands.lenses):
        if lens is not None:
            seen_px = lens.project(hands.true_m[row])  # the lens's axes are the undistorted picture's
            inside = (seen_px >= 0) & (seen_px <= (lens.width - 1, lens.height - 1))
            beyond[row] = np.isfinite(hands.true_m[row, :, 0]) & ~inside.all(axis=-1)
    return beyond


def categories(hands: ScoredHands) -> dict[str, BoolArray]:
    """Which hands (N,) are in which category, `NONE` the last."""
    joints_px = projected(hands.true_m, hands.cameras)  # of the wrist also where it does not count
    sizes_px = np.array([(camera.width, camera.height) for camera in hands.cameras], dtype=np.float64)
    cut = truncated(hands.box_px, joints_px, sizes_px, beyond_the_lens(hands))
    turn_deg = turns_deg(hands.predicted_m, hands.true_m, hands.valid)
    found = {
        "truncated": cut,
        "occluded": occluded(hands.valid, cut),
        "off-centre box": off_centre(hands.box_px, np.where(hands.valid[..., None], joints_px, np.nan)),
        "wrist ambiguity": wrist_ambiguous(turn_deg, hand_errors_mm(hands)[1]),
    }
    return found | {NONE: ~np.any(list(found.values()), axis=0)}


@dataclass(frozen=True)
class CategoryScores:
    """Figures of the hands of one category."""

    hands: int
    share: float
    """Of all hands."""
    mpjpe_mm: float
    pa_mpjpe_mm: float
    camera_mpjpe_mm: float

    def to_json(self) -> dict[str, float | int | None]:
        """By name, None where there is no figure."""
        return {name: value if np.isfinite(value) else None for name, value in asdict(self).items()}


def scores_by_category(hands: ScoredHands) -> dict[str, CategoryScores]:
    """The figures of every category."""
    errors_mm = [*hand_errors_mm(hands)]
    if hands.wrist_relative:
        errors_mm.append(np.full(len(hands), np.nan))
    else:
        errors_mm.append(1e3 * hand_errors.mpjpe(hands.predicted_m, hands.true_m, hands.valid))
    return {
        name: CategoryScores(
            int(inside.sum()), float(inside.mean()), *(_mean(error_mm[inside]) for error_mm in errors_mm)
        )
        for name, inside in categories(hands).items()
    }


def to_text(scores: Mapping[str, CategoryScores]) -> str:
    """A line for each category."""
    width = max(map(len, scores))
    lines = [f"{'':{width}}  {'share':>6} {'hands':>6} {'MPJPE':>7} {'PA-MPJPE':>8} {'camera':>7}"]
    for name, row in scores.items():
        figures = (row.mpjpe_mm, row.pa_mpjpe_mm, row.camera_mpjpe_mm)
        mpjpe, pa, camera = ("-" if np.isnan(figure) else f"{figure:.2f}" for figure in figures)
        share = f"{100 * row.share:.1f}%"
        lines.append(f"{name:{width}}  {share:>6} {row.hands:>6} {mpjpe:>7} {pa:>8} {camera:>7}")
    return "\n".join(lines)


def _mean(values: FloatArray) -> float:
    known = values[np.isfinite(values)]
    return float(known.mean()) if known.size else float("nan")
