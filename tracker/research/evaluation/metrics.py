"""One clip's figures, from the tracker's hands and the true ones.

What each means is said at its field; joint sets and the rules of matching are in ``hand_errors`` and
``matching``. Figures over time are NaN for unrelated pictures. Errors are means over matched hands, in mm.
"""

from dataclasses import dataclass, fields

import numpy as np

from tracker.joints import FINGER_MCPS, FloatArray
from tracker.research.evaluation import hand_errors, motion
from tracker.research.evaluation.matching import HIT_BOXES, Matches, Truth, false_hands, match
from tracker.research.evaluation.predictions import Predictions
from tracker.research.ground_truth.labelled import BoolArray, projected

LAG_WITHIN_BOXES = 1.0
"""For lag a hand counts as found this far off, or late hands would be lost."""
MIN_3D_JOINTS = 10
MIN_RIGID_FRAMES = 6
PCK_BOXES = 0.2
AUC_MM = 50.0
NAN = float("nan")


@dataclass(frozen=True)
class ClipMetrics:
    """Figures of one clip; NaN where there is nothing to measure."""

    frames: int
    hands: int
    """True hands to be found, summed over frames."""
    recall: float
    """Share found by a prediction of the right side."""
    recall_any: float
    """Share found whatever the side, one prediction to one hand."""
    precision: float
    """Matched over matched and false predictions."""
    false_duplicate: int
    false_near: int
    false_far: int
    side_error: float
    """Share of matched hands whose side is wrong."""
    id_switches: float
    """Changes of the track's number from one matched frame of a hand to the next."""
    fragments: float
    """Unbroken runs of matched frames; a hand's absence breaks none."""
    fragments_ideal: float
    first_match_frames: float
    """Mean over hands of the frames from first in view to first match."""
    error_2d_px: float
    """Median over hands of the median distance of the long fingers' joints."""
    pck_20: float
    """Share of those joints within 0.2 boxes, unmatched hands counting as missed."""
    reprojection_px: float
    """Median distance of published pixels from the projection of published points ("proj_px")."""
    mpjpe_mcp_mm: float
    pa_mpjpe_mm: float
    mpjpe_camera_mm: float
    range_error_mm: float
    """Mean absolute difference of the distance of the MCPs' centre."""
    range_bias_mm: float
    range_error_share: float
    """The mean absolute difference in shares of the true distance."""
    lateral_error_mm: float
    """Mean offset of the MCPs' centre across the true ray."""
    bone_ratio: float
    """Median of the fingers' length over the true one."""
    egoexo4d_mpjpe_mm: float
    egoexo4d_pa_mpjpe_mm: float
    auc_50mm: float
    """Area under PCK from 0 to 50 mm of MCP-relative joints."""
    bone_variation: float
    """Standard deviation over time of the fingers' length, over its mean."""
    acceleration_mcp_mm_s2: float
    acceleration_camera_mm_s2: float
    acceleration_error_camera_mm_s2: float
    """Mean length of the difference from the true acceleration."""
    true_acceleration_mcp_mm_s2: float
    rest_range_mm: float
    """RMS jitter of a resting hand along the ray."""
    rest_lateral_mm: float
    true_rest_range_mm: float
    velocity_correlation_px: float
    lag_px: float
    lag_camera: float

    def to_json(self) -> dict[str, float | int | None]:
        """By name, None where there is no figure."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: value if np.isfinite(value) else None for name, value in values.items()}


def measure(truth: Truth, predictions: Predictions) -> ClipMetrics:
    """All figures of a clip."""
    matches = match(truth, predictions)
    figures = _found(truth, predictions, matches) | _in_picture(truth, predictions, matches)
    figures |= _in_space(truth, predictions, matches)
    if truth.frame_rate_hz is None:
        figures |= dict.fromkeys(_OVER_TIME, NAN)
    else:
        figures |= _identity(truth, predictions, matches)
        figures |= _motion(truth, predictions, matches, truth.frame_rate_hz)
    return ClipMetrics(**figures)  # type: ignore[arg-type]  # whole numbers are counted as such


_OVER_TIME = (
    "id_switches",
    "fragments",
    "fragments_ideal",
    "first_match_frames",
    "bone_variation",
    "acceleration_mcp_mm_s2",
    "acceleration_camera_mm_s2",
    "acceleration_error_camera_mm_s2",
    "true_acceleration_mcp_mm_s2",
    "rest_range_mm",
    "rest_lateral_mm",
    "true_rest_range_mm",
    "velocity_correlation_px",
    "lag_px",
    "lag_camera",
)


def _share(part: float, whole: float) -> float:
    return float(part) / float(whole) if whole else NAN


def _mean(values: FloatArray) -> float:
    known = values[np.isfinite(values)]
    return float(known.mean()) if known.size else NAN


def _median(values: FloatArray) -> float:
    known = values[np.isfinite(values)]
    return float(np.median(known)) if known.size else NAN


def found_with_side(truth: Truth, predictions: Predictions, matches: Matches) -> BoolArray:
    """(T, 2) true hands to be found that a prediction of their own side hits."""
    own_side = predictions.side[:, None, :] == np.arange(2)[:, None]
    hit = (matches.distance_boxes < HIT_BOXES) & own_side
    return np.asarray(hit.any(axis=-1) & truth.scored_in_view)


def _found(truth: Truth, predictions: Predictions, matches: Matches) -> dict[str, float]:
    hands, matched = int(truth.scored_in_view.sum()), int(matches.matched.sum())
    false = false_hands(truth, predictions, matches)
    side = matches.take_numbers(predictions.side)
    wrong = matches.matched & (side != np.arange(2))
    return {
        "frames": int(truth.scored.sum()),
        "hands": hands,
        "recall": _share(int(found_with_side(truth, predictions, matches).sum()), hands),
        "recall_any": _share(matched, hands),
        "precision": _share(matched, matched + int(false.any.sum())),
        "false_duplicate": int(false.duplicate.sum()),
        "false_near": int(false.near.sum()),
        "false_far": int(false.far.sum()),
        "side_error": _share(int(wrong.sum()), matched),
    }


def _identity(truth: Truth, predictions: Predictions, matches: Matches) -> dict[str, float]:
    track_id = matches.take_numbers(predictions.track_id)
    switches, fragments, first = 0, 0, []
    for column in range(2):
        in_view = np.flatnonzero(truth.scored_in_view[:, column])
        matched = matches.matched[in_view, column]
        followed = track_id[in_view, column][matched]
        switches += int((followed[1:] != followed[:-1]).sum())
        fragments += len(motion.runs(matched))
        if matched.any():
            first.append(float(in_view[matched.argmax()] - in_view[0]))
    return {
        "id_switches": switches,
        "fragments": fragments,
        "fragments_ideal": int(truth.scored_in_view.any(axis=0).sum()),
        "first_match_frames": _mean(np.array(first)),
    }


def _in_picture(truth: Truth, predictions: Predictions, matches: Matches) -> dict[str, float]:
    joints_px = matches.take(predictions.joints_px)
    error_px = hand_errors.distances(joints_px, truth.joints_px)
    fingers = error_px[..., hand_errors.FINGER_JOINTS]
    medians = np.array([_median(hand) for hand in fingers[matches.matched]])
    within = hand_errors.pck(fingers, np.isfinite(fingers), PCK_BOXES * truth.box_px[..., None])
    again_px = projected(matches.take(predictions.joints_in_camera_m), truth.cameras)
    return {
        "error_2d_px": _median(medians),
        "pck_20": _share(float(np.nansum(within[matches.matched])), int(truth.scored_in_view.sum())),
        "reprojection_px": _median(hand_errors.distances(joints_px, again_px)),
    }


def _in_space(truth: Truth, predictions: Predictions, matches: Matches) -> dict[str, float]:
    predicted = matches.take(predictions.joints_in_camera_m)
    known = hand_errors.both_known(predicted, truth.joints_in_camera_m)
    counted = known.copy()
    counted[..., 0] = False  # the wrist is not the same place in all data sets
    usable = (counted.sum(axis=-1) >= MIN_3D_JOINTS) & known[..., FINGER_MCPS].all(axis=-1)
    hand, true, valid = predicted[usable], truth.joints_in_camera_m[usable], counted[usable]
    offset_m = hand_errors.centre(hand) - hand_errors.centre(true)
    range_m = np.linalg.norm(hand_errors.centre(true), axis=-1)
    range_off_m = np.linalg.norm(hand_errors.centre(hand), axis=-1) - range_m
    ray = hand_errors.centre(true) / range_m[:, None]
    across_m = offset_m - (offset_m * ray).sum(axis=-1, keepdims=True) * ray
    challenge_m, challenge_pa_m = hand_errors.egoexo4d_errors_m(hand, true, known[usable])
    relative_m = hand_errors.distances(motion.relative_to_centre(hand), motion.relative_to_centre(true))
    return {
        "mpjpe_mcp_mm": _mean(hand_errors.mpjpe_mcp_relative(hand, true, valid)) * 1000,
        "pa_mpjpe_mm": _mean(hand_errors.pa_mpjpe(hand, true, valid)) * 1000,
        "mpjpe_camera_mm": _mean(hand_errors.mpjpe(hand, true, valid)) * 1000,
        "range_error_mm": _mean(np.abs(range_off_m)) * 1000,
        "range_bias_mm": _mean(range_off_m) * 1000,
        "range_error_share": _mean(np.abs(range_off_m) / range_m),
        "lateral_error_mm": _mean(np.linalg.norm(across_m, axis=-1)) * 1000,
        "bone_ratio": _median(hand_errors.finger_length(hand) / hand_errors.finger_length(true)),
        "egoexo4d_mpjpe_mm": _mean(challenge_m) * 1000,
        "egoexo4d_pa_mpjpe_mm": _mean(challenge_pa_m) * 1000,
        "auc_50mm": hand_errors.auc(relative_m * 1000, valid, up_to=AUC_MM),
    }


def bone_variation(joints_m: FloatArray) -> float:
    """How much the fingers' summed length varies over time, mean over the two hands (T, 2, 21, 3)."""
    lengths = hand_errors.finger_length(joints_m)
    known = [column[np.isfinite(column)] for column in lengths.T]
    return _mean(np.array([c.std() / c.mean() for c in known if len(c) >= MIN_RIGID_FRAMES]))


def _motion(
    truth: Truth, predictions: Predictions, matches: Matches, frame_rate_hz: float
) -> dict[str, float]:
    joints_m = matches.take(predictions.joints_in_camera_m)
    true_m = np.where(matches.matched[..., None, None], truth.joints_in_camera_m, np.nan)
    acceleration_m = motion.acceleration(joints_m, frame_rate_hz)
    relative_m = motion.acceleration(motion.relative_to_centre(joints_m), frame_rate_hz)
    true_relative_m = motion.acceleration(motion.relative_to_centre(true_m), frame_rate_hz)
    centres_m, true_centres_m = hand_errors.centre(joints_m), hand_errors.centre(truth.joints_in_camera_m)
    rest = motion.rest_jitter(centres_m, true_centres_m, frame_rate_hz)
    matched_true_m = np.where(matches.matched[..., None], true_centres_m, np.nan)
    centres_px = hand_errors.centre(matches.take(predictions.joints_px))
    return {
        "bone_variation": bone_variation(joints_m),
        "acceleration_mcp_mm_s2": motion.mean_length(relative_m) * 1000,
        "acceleration_camera_mm_s2": motion.mean_length(acceleration_m) * 1000,
        "acceleration_error_camera_mm_s2": motion.mean_length(
            acceleration_m - motion.acceleration(true_m, frame_rate_hz)
        )
        * 1000,
        "true_acceleration_mcp_mm_s2": motion.mean_length(
            np.where(np.isfinite(relative_m), true_relative_m, np.nan)
        )
        * 1000,
        "rest_range_mm": rest.along_ray_mm,
        "rest_lateral_mm": rest.across_ray_mm,
        "true_rest_range_mm": motion.rest_jitter(matched_true_m, true_centres_m, frame_rate_hz).along_ray_mm,
        "velocity_correlation_px": motion.correlation(
            motion.velocity(centres_px), motion.velocity(hand_errors.centre(truth.joints_px))
        ),
    } | _lags(truth, predictions)


def _lags(truth: Truth, predictions: Predictions) -> dict[str, float]:
    matches = match(truth, predictions, within_boxes=LAG_WITHIN_BOXES)
    hands_px = hand_errors.centre(matches.take(predictions.joints_px))
    hands_m = hand_errors.centre(matches.take(predictions.joints_in_camera_m))
    scored = truth.scored[:, None, None]
    true_px = np.where(scored, hand_errors.centre(truth.joints_px), np.nan)
    true_m = np.where(scored, hand_errors.centre(truth.joints_in_camera_m), np.nan)
    return {
        "lag_px": motion.lag_frames(hands_px, true_px),
        "lag_camera": motion.lag_frames(hands_m[..., :2], true_m[..., :2]),
    }


def lag_of_pixels(truth: Truth, predictions: Predictions) -> float:
    """By how many frames the predicted hands trail the true ones in the picture."""
    return _lags(truth, predictions)["lag_px"]
