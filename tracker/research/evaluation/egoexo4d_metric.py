"""EgoExo4D's challenge figures, and what its leaderboard does not say: place, pixels, motion.

Per hand the mean over its valid joints, then the mean over hands. The public evaluator takes predictions as
they are, or with ``--offset`` adds the true wrist to them; the leaderboard's are relative to the wrist in
camera axes. Everything is in the landscape camera's axes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from itertools import groupby, pairwise

import numpy as np

from tracker.cameras import Camera
from tracker.errors import UsageError
from tracker.joints import WRIST, FloatArray, Side
from tracker.research.evaluation import hand_errors, motion
from tracker.research.ground_truth.egoexo4d import PreparedTake
from tracker.research.ground_truth.egoexo4d_values import (
    FRAME_RATE_HZ,
    SIDES_IN_FILES,
    AnnotatedFrame,
    AnnotatedHand,
)
from tracker.research.ground_truth.labelled import BoolArray, projected

PCK_BOXES = (0.05, 0.1, 0.15)
AUC_MM = 50.0
MAX_STEP_FRAMES = 6
"""Annotated frames farther apart than this are not one motion."""
NAN = float("nan")

HandKey = tuple[str, int, Side]
"""A take's uid, a frame's number, a side."""


@dataclass(frozen=True, eq=False)
class ScoredHands:
    """Predicted and true hands of N places, in the order of takes, frames and sides (right first)."""

    keys: tuple[HandKey, ...]
    predicted_m: FloatArray
    """(N, 21, 3) as submitted."""
    true_m: FloatArray
    """(N, 21, 3)"""
    valid: BoolArray
    """(N, 21) the joints that count."""
    marked_px: FloatArray
    """(N, 21, 2) NaN where not marked."""
    box_px: FloatArray
    """(N, 4)"""
    cameras: tuple[Camera, ...]
    """One a hand."""
    wrist_relative: bool
    """The predictions are relative to the wrist, so that nothing is known of their place (``--offset``)."""
    lenses: tuple[Camera | None, ...]
    """One a hand: what took its picture before it was undistorted, where that is known."""

    def __len__(self) -> int:
        return len(self.keys)

    @property
    def at_true_wrist_m(self) -> FloatArray:
        """(N, 21, 3) as the leaderboard scores them: with the true wrist added to wrist-relative hands."""
        own = 0.0 if self.wrist_relative else self.predicted_m[:, WRIST, None]
        return np.asarray(self.predicted_m - own + self.true_m[:, WRIST, None])

    def of_take(self, take_uid: str) -> "ScoredHands":
        """The hands of one take."""
        rows = [row for row, key in enumerate(self.keys) if key[0] == take_uid]
        return ScoredHands(
            tuple(self.keys[row] for row in rows),
            self.predicted_m[rows],
            self.true_m[rows],
            self.valid[rows],
            self.marked_px[rows],
            self.box_px[rows],
            tuple(self.cameras[row] for row in rows),
            self.wrist_relative,
            tuple(self.lenses[row] for row in rows),
        )


@dataclass(frozen=True)
class ChallengeScores:
    """Figures of some hands; NaN where there is nothing to measure."""

    hands: int
    mpjpe_mm: float
    """The leaderboard's: wrist-relative."""
    pa_mpjpe_mm: float
    camera_mpjpe_mm: float
    """In the camera frame, nothing aligned: the public evaluator's MPJPE without ``--offset``."""
    auc_50mm: float
    """Area under PCK in space, 0 to 50 mm, wrist-relative, all joints pooled."""
    pck_05: float
    """Share of marked joints whose projection is nearer than 0.05 of the box's longer side."""
    pck_10: float
    pck_15: float
    acceleration_error_mm_s2: float
    """Mean length of the difference from the true acceleration, wrist-relative."""
    camera_acceleration_error_mm_s2: float
    jitter_range_mm: float
    """RMS jitter of the palm's middle along the ray while the true one rests."""
    jitter_lateral_mm: float

    def to_json(self) -> dict[str, float | int | None]:
        """By name, None where there is no figure."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: value if np.isfinite(value) else None for name, value in values.items()}


def required_hands(frames: Sequence[AnnotatedFrame]) -> dict[HandKey, AnnotatedHand]:
    """The hands that the challenge asks for, as it goes through them: right before left."""
    return {
        (frame.take_uid, frame.frame_number, side): frame.hands[side]
        for frame in frames
        for side in SIDES_IN_FILES
        if side in frame.hands
    }


def scored_hands(
    takes: Sequence[PreparedTake],
    predictions: Mapping[HandKey, FloatArray],
    *,
    wrist_relative: bool,
    found_only: bool = False,
) -> ScoredHands:
    """The true hands of takes with their predictions.

    Args:
        takes: with answers.
        predictions: (21, 3) metres in the landscape camera's axes.
        wrist_relative: predictions are relative to the wrist (``--offset``).
        found_only: leave out the hands without a prediction; whoever does so says how many.

    Raises:
        UsageError: a hand has no prediction or NaN, where the public evaluator fails or its figure is NaN;
            or the takes have no answers.
    """
    keys, hands, cameras, lenses = [], [], [], []
    for take in takes:
        for key, hand in required_hands(take.frames).items():
            if found_only and key not in predictions:
                continue
            keys.append(key)
            hands.append(hand)
            cameras.append(take.camera)
            lenses.append(take.lens)
    missing = [key for key in keys if key not in predictions]
    if missing:
        uid, frame, side = missing[0]
        raise UsageError(
            f"{len(missing)} of {len(keys)} hands have no prediction, the first is the {side.value} one of "
            f"take {uid}, frame {frame}"
        )
    unknown = [key for key in keys if not np.isfinite(predictions[key]).all()]
    if unknown:
        uid, frame, side = unknown[0]
        raise UsageError(
            f"{len(unknown)} of {len(keys)} hands are predicted as NaN, the first is the {side.value} one of "
            f"take {uid}, frame {frame}"
        )
    if not any(hand.valid.any() for hand in hands):
        raise UsageError("no hand with joints to score against; the test set's are not public")
    return ScoredHands(
        keys=tuple(keys),
        predicted_m=np.array([predictions[key] for key in keys]),
        true_m=np.array([hand.joints_in_camera_m for hand in hands]),
        valid=np.array([hand.valid for hand in hands]),
        marked_px=np.array([hand.joints_px for hand in hands]),
        box_px=np.array([hand.box_px for hand in hands]),
        cameras=tuple(cameras),
        wrist_relative=wrist_relative,
        lenses=tuple(lenses),
    )


def challenge_scores(hands: ScoredHands) -> ChallengeScores:
    """All figures of some hands."""
    placed_m = hands.at_true_wrist_m
    error_m = hand_errors.distances(placed_m, hands.true_m)
    pa_m = hand_errors.pa_mpjpe(placed_m, hands.true_m, hands.valid)
    in_camera_m = np.full_like(hands.predicted_m, NAN) if hands.wrist_relative else hands.predicted_m
    camera_m = hand_errors.mpjpe(in_camera_m, hands.true_m, hands.valid)
    pck = _pck(in_camera_m, hands)
    relative, in_camera = _motion_of(placed_m, hands), _motion_of(in_camera_m, hands)
    return ChallengeScores(
        hands=len(hands),
        mpjpe_mm=1e3 * _mean(hand_errors.masked_mean(error_m, hands.valid)),
        pa_mpjpe_mm=1e3 * _mean(pa_m),
        camera_mpjpe_mm=1e3 * _mean(camera_m),
        auc_50mm=hand_errors.auc(1e3 * error_m, hands.valid, up_to=AUC_MM),
        pck_05=pck[0],
        pck_10=pck[1],
        pck_15=pck[2],
        acceleration_error_mm_s2=relative.acceleration_error_mm_s2,
        camera_acceleration_error_mm_s2=in_camera.acceleration_error_mm_s2,
        jitter_range_mm=in_camera.jitter_range_mm,
        jitter_lateral_mm=in_camera.jitter_lateral_mm,
    )


def hand_errors_mm(hands: ScoredHands) -> tuple[FloatArray, FloatArray]:
    """(N,) the leaderboard's MPJPE and PA-MPJPE of each hand."""
    placed_m = hands.at_true_wrist_m
    mpjpe_m = hand_errors.mpjpe(placed_m, hands.true_m, hands.valid)
    return 1e3 * mpjpe_m, 1e3 * hand_errors.pa_mpjpe(placed_m, hands.true_m, hands.valid)


def _pck(in_camera_m: FloatArray, hands: ScoredHands) -> list[float]:
    """Shares of marked joints within each of `PCK_BOXES`."""
    if hands.wrist_relative:
        return [NAN] * len(PCK_BOXES)
    error_px = hand_errors.distances(projected(in_camera_m, hands.cameras), hands.marked_px)
    side_px = (hands.box_px[:, 2:] - hands.box_px[:, :2]).max(axis=-1, keepdims=True)
    marked = np.isfinite(hands.marked_px).all(axis=-1)
    within = [(error_px < share * side_px)[marked] for share in PCK_BOXES]  # a joint without image is not
    return [float(near.mean()) if near.size else NAN for near in within]


@dataclass(frozen=True)
class _Motion:
    acceleration_error_mm_s2: float
    jitter_range_mm: float
    jitter_lateral_mm: float


def _motion_of(joints_m: FloatArray, hands: ScoredHands) -> _Motion:
    """How hands move, over all stretches of frames at equal steps."""
    errors, jitters = [], []
    true_m = np.where(hands.valid[..., None], hands.true_m, NAN)
    for rows, rate_hz in stretches(hands.keys):
        difference_m = joints_m[rows] - true_m[rows]
        second = (difference_m[2:] - 2 * difference_m[1:-1] + difference_m[:-2]) * rate_hz**2
        errors.append(np.linalg.norm(second, axis=-1).ravel())
        middles = (hand_errors.centre(joints_m[rows])[:, None], hand_errors.centre(true_m[rows])[:, None])
        jitters.append(motion.rest_jitter(*middles, rate_hz))
    frames = np.array([jitter.frames for jitter in jitters if jitter.frames])
    known = np.concatenate([np.zeros(0), *errors])
    return _Motion(
        1e3 * _mean(known),
        _pooled_rms([jitter.along_ray_mm for jitter in jitters if jitter.frames], frames),
        _pooled_rms([jitter.across_ray_mm for jitter in jitters if jitter.frames], frames),
    )


def stretches(keys: Sequence[HandKey]) -> list[tuple[list[int], float]]:
    """Rows of at least three frames of one hand at equal steps, and the frames a second of each stretch."""
    by_hand: dict[tuple[str, Side], list[tuple[int, int]]] = {}
    for row, (uid, frame, side) in enumerate(keys):
        by_hand.setdefault((uid, side), []).append((frame, row))
    found = []
    for numbered in by_hand.values():
        numbered.sort()
        steps = [later - earlier for (earlier, _), (later, _) in pairwise(numbered)]
        first = 0
        for step, alike in groupby(steps):
            last = first + len(list(alike))
            if last - first >= 2 and step <= MAX_STEP_FRAMES:
                found.append(([row for _, row in numbered[first : last + 1]], FRAME_RATE_HZ / step))
            first = last
    return found


def _mean(values: FloatArray) -> float:
    known = values[np.isfinite(values)]
    return float(known.mean()) if known.size else NAN


def _pooled_rms(values: Sequence[float], weights: FloatArray) -> float:
    return float(np.sqrt(np.average(np.square(values), weights=weights))) if len(values) else NAN
