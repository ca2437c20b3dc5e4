"""Which predicted hand is which true hand in each frame, and what is a miss or a false hand.

T frames, 2 true hands (axis 1: left, right), N predicted hands. A true hand's box is the largest extent of
its joints 2 to 20 in the picture; how far a prediction is from it is the median over the long fingers'
joints, in boxes.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from tracker.joints import FloatArray
from tracker.research.evaluation.hand_errors import FINGER_JOINTS
from tracker.research.evaluation.predictions import NOBODY, IntArray, Predictions
from tracker.research.ground_truth.labelled import BoolArray, LabelledClip

HIT_BOXES = 0.5
"""Nearer than this is a hit."""
MIN_JOINTS_IN_PICTURE = 15
"""A true hand with fewer is neither to be found nor false to find."""
MIN_COMPARABLE = 8
_BOX_JOINTS = tuple(range(2, 21))


class Truth:
    """What the metrics need of a clip's answers, made once.

    ``scored`` (T,) are the frames that count: those whose answer, after the shift, lies within the clip.
    """

    def __init__(self, clip: LabelledClip, lateness_frames: float = 0.0) -> None:
        aligned = clip.aligned(lateness_frames)
        self.name, self.cameras = clip.name, clip.cameras
        self.joints_in_camera_m, self.joints_px = aligned.joints_in_camera_m, aligned.joints_px
        self.frame_rate_hz = clip.frame_rate_hz
        self.complete, self.complete_by_side = clip.complete, clip.complete_by_side
        at = np.arange(len(clip)) + lateness_frames
        self.scored: BoolArray = (at >= 0) & (at <= len(clip) - 1)
        fingers = np.isfinite(self.joints_px[:, :, FINGER_JOINTS]).all(axis=-1)
        self.annotated: BoolArray = fingers.sum(axis=-1) >= MIN_COMPARABLE
        inside = ((self.joints_px >= 0) & (self.joints_px < clip.size_px[:, None, None])).all(axis=-1)
        self.joints_inside: IntArray = inside.sum(axis=-1)
        self.in_view: BoolArray = self.annotated & (self.joints_inside >= MIN_JOINTS_IN_PICTURE)
        """(T, 2) hands that are to be found, whether the frame is scored or not."""

    def __len__(self) -> int:
        return len(self.scored)

    @cached_property
    def scored_in_view(self) -> BoolArray:
        """(T, 2) the hands that are to be found."""
        return self.in_view & self.scored[:, None]

    @cached_property
    def corners_px(self) -> tuple[FloatArray, FloatArray]:
        """(T, 2, 2) upper left and lower right of each hand's box."""
        joints = self.joints_px[:, :, _BOX_JOINTS]
        lower = np.where(np.isnan(joints), np.inf, joints).min(axis=2)
        upper = np.where(np.isnan(joints), -np.inf, joints).max(axis=2)
        annotated = self.annotated[..., None]
        return np.where(annotated, lower, np.nan), np.where(annotated, upper, np.nan)

    @cached_property
    def box_px(self) -> FloatArray:
        """(T, 2) largest extent."""
        lower, upper = self.corners_px
        box: FloatArray = (upper - lower).max(axis=-1)
        return box


@dataclass(frozen=True, eq=False)
class Matches:
    """Which prediction was matched to each true hand."""

    column: IntArray
    """(T, 2) column in the predictions, ``NOBODY`` for a miss or a hand that is not to be found."""
    distance_boxes: FloatArray
    """(T, 2, N) of every prediction from every true hand; infinite where they cannot be compared."""

    @property
    def matched(self) -> BoolArray:
        """(T, 2) where a true hand was found."""
        return np.asarray(self.column != NOBODY)

    def take(self, values: FloatArray) -> FloatArray:
        """(T, 2, ...) the matched hands' share of ``values`` (T, N, ...), NaN where there is none."""
        if not values.shape[1]:
            return np.full((len(values), 2, *values.shape[2:]), np.nan)
        rows = np.arange(len(values))[:, None]
        taken = values[rows, np.maximum(self.column, 0)].astype(np.float64)
        taken[~self.matched] = np.nan
        return taken

    def take_numbers(self, values: IntArray) -> IntArray:
        """(T, 2) the matched hands' share of ``values`` (T, N), ``NOBODY`` where there is none."""
        if not values.shape[1]:
            return np.full((len(values), 2), NOBODY)
        return np.where(self.matched, np.take_along_axis(values, np.maximum(self.column, 0), axis=1), NOBODY)


def match(truth: Truth, predictions: Predictions, *, within_boxes: float = HIT_BOXES) -> Matches:
    """One prediction to one true hand in view: most pairs first, then the nearest; sides do not matter."""
    distance = distances_boxes(truth, predictions)
    allowed = (distance < within_boxes) & truth.scored_in_view[..., None]
    return Matches(column=_assign(np.where(allowed, distance, np.inf)), distance_boxes=distance)


def distances_boxes(truth: Truth, predictions: Predictions) -> FloatArray:
    """(T, 2, N) median distance over the long fingers' joints, in boxes of the true hand."""
    true = truth.joints_px[:, :, None, FINGER_JOINTS]
    error_px = np.linalg.norm(predictions.joints_px[:, None, :, FINGER_JOINTS] - true, axis=-1)
    comparable = np.isfinite(error_px).sum(axis=-1) >= MIN_COMPARABLE
    median = np.full(comparable.shape, np.inf)
    median[comparable] = np.nanmedian(error_px[comparable], axis=-1) if comparable.any() else np.inf
    boxes = np.where(comparable, median / truth.box_px[..., None], np.inf)
    return np.asarray(boxes, dtype=np.float64)


def _assign(cost: FloatArray) -> IntArray:
    """(T, 2) column for each of two rows of ``cost`` (T, 2, N), infinite where not allowed.

    All pairs of choices are tried: most rows served, then least sum, then the earliest columns. A row
    that gets none has ``NOBODY``.
    """
    frames, _, columns = cost.shape
    unserved = 1e6  # dearer than any pair that is allowed
    priced = np.concatenate([np.full((frames, 2, 1), unserved), cost], axis=-1)
    both = priced[:, 0, :, None] + priced[:, 1, None, :]
    taken_twice = np.eye(columns + 1, dtype=bool)
    taken_twice[0, 0] = False
    both[:, taken_twice] = np.inf
    first, second = np.divmod(both.reshape(frames, -1).argmin(axis=-1), columns + 1)
    return np.stack([first, second], axis=-1) - 1


@dataclass(frozen=True, eq=False)
class FalseHands:
    """Predictions (T, N) that belong to no true hand, by kind."""

    duplicate: BoolArray
    """On a true hand that another prediction got."""
    near: BoolArray
    """Within a box of a true hand in view."""
    far: BoolArray

    @property
    def any(self) -> BoolArray:
        """(T, N) of whatever kind."""
        return self.duplicate | self.near | self.far


def false_hands(truth: Truth, predictions: Predictions, matches: Matches) -> FalseHands:
    """Predictions in scored frames that match nothing; those on hands that are not to be found are let be."""
    columns = np.arange(predictions.side.shape[1])
    used = (matches.column[..., None] == columns).any(axis=1)
    unused = predictions.present & ~used & truth.scored[:, None]
    on_hand = ((matches.distance_boxes < HIT_BOXES) & truth.in_view[..., None]).any(axis=1)
    gap_px = np.linalg.norm(
        _centroid_px(predictions.joints_px)[:, None] - _centroid_px(truth.joints_px)[:, :, None], axis=-1
    )
    near = ((gap_px < truth.box_px[..., None]) & truth.in_view[..., None]).any(axis=1)
    unknown = _of_a_side_not_annotated(truth, predictions)
    ignored = _on_a_hand_cut_off(truth, predictions) | unknown
    # Hands come close to each other: where one is not annotated, what is near the other may be it.
    may_be_there = unknown & (not truth.complete_by_side)
    return FalseHands(
        duplicate=unused & on_hand,
        near=unused & near & ~on_hand & ~may_be_there,
        far=unused & ~near & ~on_hand & ~ignored,
    )


def _centroid_px(joints_px: FloatArray) -> FloatArray:
    """(..., 2) mean of the long fingers' joints that are known."""
    fingers = joints_px[..., FINGER_JOINTS, :]
    known = np.isfinite(fingers)
    count = known.sum(axis=-2)
    total = np.where(known, fingers, 0.0).sum(axis=-2)
    return np.asarray(np.divide(total, count, out=np.full(total.shape, np.nan), where=count > 0))


def _on_a_hand_cut_off(truth: Truth, predictions: Predictions) -> BoolArray:
    """(T, N) predictions about a hand of which too little is in the picture for it to be scored."""
    lower, upper = truth.corners_px
    margin = truth.box_px[..., None] / 2
    at = _centroid_px(predictions.joints_px)[:, None]
    about = ((at > (lower - margin)[:, :, None]) & (at < (upper + margin)[:, :, None])).all(axis=-1)
    cut_off = truth.annotated & ~truth.in_view & (truth.joints_inside > 0)
    return np.asarray((about & cut_off[..., None]).any(axis=1))


def _of_a_side_not_annotated(truth: Truth, predictions: Predictions) -> BoolArray:
    """(T, N) predictions of a side that a clip with incomplete answers never annotates, or not in this frame.

    The latter where answers are not complete by side either.
    """
    if truth.complete:
        return np.zeros(predictions.side.shape, dtype=bool)
    annotated = truth.annotated
    if truth.complete_by_side:
        annotated = np.broadcast_to(annotated.any(axis=0), annotated.shape)
    return ~np.take_along_axis(annotated, np.maximum(predictions.side, 0), axis=1)
