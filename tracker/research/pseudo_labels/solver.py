"""Fit the hands of one take to its keypoints: Gauss-Newton over poses and one shared shape.

Minimised over the poses q_h of H hands and the shape s of their owner is

    sum_hj w_hj |x_j(q_h, s) - y_hj|^2 / noise^2 + sum_h |(a_h - rest) / rest_sd|^2 + s^T P s

with y_hj the keypoints, w_hj their weights times Tukey's, and the angles a_h within their limits: an angle at
its limit that would leave it is held for that iteration. Only the shape couples hands, so each hand's pose is
eliminated from the normal equations (Schur's complement), the shape's S x S system solved, and the poses put
in again. Then every hand is posed by itself. The noise is the take's own, from the median of its residuals.
"""

from dataclasses import dataclass

import numpy as np

from tracker.joints import NUM_JOINTS, FloatArray
from tracker.kinematic_fit import PoseArrays
from tracker.kinematic_hand import step
from tracker.research.pseudo_labels.problem import (
    MIRROR,
    BoolArray,
    FitSettings,
    HandModel,
    IntArray,
    Linearized,
    TakeFit,
    TakeKeypoints,
)

_AT_ONCE = 128
"""Hands of a batch: their Jacobians then fit the processor's cache."""
_MEDIAN_LENGTH = 1.538
"""Median length of a 3D vector whose axes have a spread of 1."""
_ABSORBED = 1.3
"""sqrt(63 / 37): the 26 unknowns of an open hand's pose take up part of the noise of 63 coordinates."""
_FIRST_ANGLE = 6


@dataclass(frozen=True, eq=False)
class _Hands:
    """Right hands to fit: keypoints (H, 21, 3), zero where unknown, and their weights (H, 21)."""

    points_m: FloatArray
    weights: FloatArray

    def of(self, rows: IntArray) -> "_Hands":
        return _Hands(self.points_m[rows], self.weights[rows])

    def batches(self) -> list[IntArray]:
        count = len(self.points_m)
        return [np.arange(first, min(first + _AT_ONCE, count)) for first in range(0, count, _AT_ONCE)]


@dataclass(frozen=True, eq=False)
class _Equations:
    """The normal equations of B poses, their shape given."""

    normal: FloatArray
    """(B, P, P) damped; rows and columns of held angles are those of the identity."""
    slope: FloatArray
    """(B, P) zero for held angles."""
    off_m: FloatArray
    """(B, 21, 3) joints from their keypoints; anything where the precision is zero."""
    precision: FloatArray
    """(B, 21) of each joint, 1 / m^2."""
    inlier_weights: FloatArray
    """(B, 21) Tukey's."""
    held: BoolArray
    """(B, P)"""


def fit_take(model: HandModel, keypoints: TakeKeypoints, settings: FitSettings | None = None) -> TakeFit:
    """Fit every hand of a take, with one shape for all of them and for both sides.

    Raises:
        ValueError: there is no hand, or one has no keypoint.
    """
    settings = settings or FitSettings()
    weights = np.where(np.isfinite(keypoints.joints_m).all(axis=-1), keypoints.weights, 0.0)
    if not len(keypoints) or not (weights > 0).any(axis=1).all():
        raise ValueError("every hand of a take needs keypoints")
    points_m = np.where((weights > 0)[..., None], keypoints.joints_m, 0.0)
    points_m[keypoints.left] *= MIRROR
    hands = _Hands(points_m, weights)
    pose = model.start(points_m, weights)
    chosen = np.unique(np.linspace(0, len(keypoints) - 1, settings.shape_hands).round().astype(np.int64))
    shape, noise_m = _fit_shape(model, settings, hands.of(chosen), _rows(pose, chosen))
    return _fit_poses(model, settings, shape, noise_m, hands, pose)


def _fit_shape(
    model: HandModel, settings: FitSettings, hands: _Hands, pose: PoseArrays
) -> tuple[FloatArray, float]:
    """The shape (S,) of a take's hands, and the spread of their keypoints."""
    shape = np.zeros(len(model.shape_precision))
    noise_m = settings.most_noise_m
    for _ in range(settings.shape_iterations):
        normal, slope = model.shape_precision.copy(), model.shape_precision @ shape
        answers, lengths_m = [], []
        for rows in hands.batches():
            part = _rows(pose, rows)
            linear = model.linearize(shape, part, with_shape=True)
            equations = _equations(model, settings, linear, part, hands.of(rows), noise_m, seeking=True)
            own_normal, own_slope, answer = _eliminate_poses(linear, equations)
            normal += own_normal
            slope += own_slope
            answers.append(answer)
            lengths_m.append(_lengths(equations.off_m)[hands.weights[rows] > 0])
        change = -np.linalg.solve(normal, slope)
        shape = shape + change
        pose = _moved(model, settings, pose, -np.concatenate(answers) @ np.append(1.0, change))
        noise_m = _noise_m(np.concatenate(lengths_m), settings)
        if -slope @ change < settings.shape_gain:
            break
    return shape, noise_m


def _eliminate_poses(linear: Linearized, equations: _Equations) -> tuple[FloatArray, FloatArray, FloatArray]:
    """A batch's share (S, S) and (S,) in the shape's equations, and how its poses answer (B, P, 1 + S).

    Products are taken hand by hand: OpenBLAS shares larger ones among threads, which on a busy machine wait
    for each other longer than they work.
    """
    assert linear.by_shape is not None
    weighted = linear.by_shape * np.repeat(equations.precision, 3, axis=1)[..., None]
    off_and_shape = np.concatenate([equations.off_m.reshape(len(weighted), -1, 1), linear.by_shape], axis=2)
    crossed = linear.by_pose.swapaxes(1, 2) @ weighted
    crossed[equations.held] = 0.0
    known = np.concatenate([equations.slope[..., None], crossed], axis=2)
    answer = np.asarray(np.linalg.solve(equations.normal, known), np.float64)
    share = (weighted.swapaxes(1, 2) @ off_and_shape - crossed.swapaxes(1, 2) @ answer).sum(axis=0)
    return share[:, 1:], share[:, 0], answer


def _fit_poses(
    model: HandModel,
    settings: FitSettings,
    shape: FloatArray,
    noise_m: float,
    hands: _Hands,
    pose: PoseArrays,
) -> TakeFit:
    """Every hand's pose for a given shape: hands are independent now, and leave once they have settled."""
    pose = (pose[0].copy(), pose[1].copy(), pose[2].copy())
    count = len(hands.points_m)
    joints_m, inlier_weights = np.empty((count, NUM_JOINTS, 3)), np.empty((count, NUM_JOINTS))
    settled = np.zeros(count, dtype=bool)
    for batch in hands.batches():
        rows = batch
        for iteration in range(settings.iterations):
            seeking = iteration < settings.seeking_iterations
            part = _rows(pose, rows)
            linear = model.linearize(shape, part, with_shape=False)
            equations = _equations(model, settings, linear, part, hands.of(rows), noise_m, seeking=seeking)
            change = -np.asarray(np.linalg.solve(equations.normal, equations.slope[..., None]), np.float64)
            moved_m = np.abs(linear.by_pose @ change).max(axis=(1, 2))
            for array, new in zip(pose, _moved(model, settings, part, change[..., 0]), strict=True):
                array[rows] = new
            settled[rows] = (moved_m < settings.settled_m) & (not seeking)
            rows = rows[~settled[rows]]
            if not len(rows):
                break
        part = _rows(pose, batch)
        linear = model.linearize(shape, part, with_shape=False)
        equations = _equations(model, settings, linear, part, hands.of(batch), noise_m, seeking=False)
        joints_m[batch], inlier_weights[batch] = linear.joints_m, equations.inlier_weights
    unknown = hands.weights <= 0
    residuals_m = np.where(unknown, np.nan, _lengths(joints_m - hands.points_m))
    inlier_weights[unknown] = np.nan
    return TakeFit(shape, pose, joints_m, residuals_m, inlier_weights, settled, noise_m)


def _equations(
    model: HandModel,
    settings: FitSettings,
    linear: Linearized,
    pose: PoseArrays,
    hands: _Hands,
    noise_m: float,
    *,
    seeking: bool,
) -> _Equations:
    off_m = linear.joints_m - hands.points_m
    inlier_weights = _inlier_weights(_lengths(off_m), hands.weights, noise_m, settings, seeking)
    precision = hands.weights * inlier_weights / noise_m**2
    flat = linear.by_pose.swapaxes(1, 2) * np.repeat(precision, 3, axis=1)[:, None]
    normal = flat @ linear.by_pose
    slope = (flat @ off_m.reshape(len(off_m), -1, 1))[..., 0]
    diagonal = np.einsum("hii->hi", normal)
    angles_rad, rest_precision = pose[2], model.rest_sd_rad**-2
    diagonal[:, _FIRST_ANGLE:] += rest_precision
    slope[:, _FIRST_ANGLE:] += rest_precision * (angles_rad - model.rest_rad)
    diagonal *= 1.0 + settings.damping
    diagonal += 1e-9
    bend = slope[:, _FIRST_ANGLE:]
    held = np.zeros(slope.shape, dtype=bool)
    held[:, _FIRST_ANGLE:] = ((angles_rad <= model.lower_rad) & (bend > 0)) | (
        (angles_rad >= model.upper_rad) & (bend < 0)
    )
    normal *= ~held[:, :, None] & ~held[:, None, :]
    diagonal += held
    slope[held] = 0.0
    return _Equations(normal, slope, off_m, precision, inlier_weights, held)


def _inlier_weights(
    lengths_m: FloatArray, weights: FloatArray, noise_m: float, settings: FitSettings, seeking: bool
) -> FloatArray:
    """Tukey's weights (H, 21), the threshold a multiple of the take's spread or of the hand's, if larger.

    So a hand that is not yet in place, or whose keypoints are all bad, does not lose all of them.
    """
    ordered = np.sort(np.where(weights > 0, lengths_m, np.inf), axis=1)
    middle = ((weights > 0).sum(axis=1) - 1) // 2
    median_m = np.take_along_axis(ordered, middle[:, None], axis=1)
    spread_m = np.maximum(median_m * (_ABSORBED / _MEDIAN_LENGTH), noise_m)
    spread_m = np.maximum(spread_m, settings.least_outlier_m / settings.tukey)
    if seeking:
        return np.asarray(1.0 / (1.0 + (lengths_m / (settings.cauchy * spread_m)) ** 2))
    inside = np.maximum(1.0 - (lengths_m / (settings.tukey * spread_m)) ** 2, 0.0)
    return inside * inside


def _noise_m(lengths_m: FloatArray, settings: FitSettings) -> float:
    spread_m = float(np.median(lengths_m)) * _ABSORBED / _MEDIAN_LENGTH
    return min(max(spread_m, settings.least_noise_m), settings.most_noise_m)


def _moved(model: HandModel, settings: FitSettings, pose: PoseArrays, change: FloatArray) -> PoseArrays:
    """The poses after a change (H, P), steps cut and angles kept within their limits."""
    change = change.copy()
    np.clip(change[:, 3:], -settings.most_turn_rad, settings.most_turn_rad, out=change[:, 3:])
    places_m, rotations, angles_rad = step(*pose, change)
    return places_m, rotations, np.clip(angles_rad, model.lower_rad, model.upper_rad)


def _rows(pose: PoseArrays, rows: IntArray) -> PoseArrays:
    return pose[0][rows], pose[1][rows], pose[2][rows]


def _lengths(vectors: FloatArray) -> FloatArray:
    return np.asarray(np.sqrt(np.einsum("...i,...i->...", vectors, vectors)))
