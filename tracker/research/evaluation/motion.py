"""How hands move: acceleration, rest, lag against the truth. Positions (T, 2, ...), NaN where unknown."""

from dataclasses import dataclass

import numpy as np

from tracker.joints import FloatArray
from tracker.research.evaluation.hand_errors import FINGER_JOINTS, centre
from tracker.research.ground_truth.labelled import BoolArray

MAX_LAG_FRAMES = 8
STILL_MM_PER_S = 30.0
"""A hand whose centre truly moves slower than this rests; its fingers may move."""
MIN_STILL_FRAMES = 8
MIN_SAMPLES = 20
"""A correlation of fewer velocities is none."""
NAN = float("nan")


def acceleration(joints: FloatArray, frame_rate_hz: float) -> FloatArray:
    """(T - 2, 2, 16, D) second differences of the long fingers' joints, per second squared."""
    fingers = joints[:, :, FINGER_JOINTS]
    second: FloatArray = (fingers[2:] - 2 * fingers[1:-1] + fingers[:-2]) * frame_rate_hz**2
    return second


def mean_length(vectors: FloatArray) -> float:
    """Mean length of the vectors (..., D) that are known; NaN if none is."""
    lengths = np.linalg.norm(vectors, axis=-1)
    known = lengths[np.isfinite(lengths)]
    return float(known.mean()) if known.size else NAN


def relative_to_centre(joints: FloatArray) -> FloatArray:
    """The joints about the centre of the hand's MCPs: what is left is not placement's doing."""
    return joints - centre(joints)[..., None, :]


def velocity(positions: FloatArray) -> FloatArray:
    """(T - 1, ...) from each frame to the next."""
    step: FloatArray = positions[1:] - positions[:-1]
    return step


def correlation(a: FloatArray, b: FloatArray) -> float:
    """Pearson's, all that both know pooled; NaN with fewer than `MIN_SAMPLES` values or without variation."""
    known = np.isfinite(a) & np.isfinite(b)
    if known.sum() < MIN_SAMPLES:
        return NAN
    return _cosine(a[known] - a[known].mean(), b[known] - b[known].mean())


def _cosine(a: FloatArray, b: FloatArray) -> float:
    size = float(np.sqrt((a * a).sum() * (b * b).sum()))
    return float((a * b).sum()) / size if size > 0 else NAN


def lag_frames(late: FloatArray, reference: FloatArray) -> float:
    """By how many frames the centres ``late`` (T, 2, D) trail ``reference``; NaN where that cannot be told.

    Velocities of both are smoothed by the same centred mean of five frames; the lag is where their normalised
    correlation over hands and components peaks, a parabola through the peak's neighbours giving the fraction.
    """
    late_velocity, true_velocity = velocity(_mean_of_five(late)), velocity(_mean_of_five(reference))
    scores = {}
    for shift in range(-MAX_LAG_FRAMES, MAX_LAG_FRAMES + 1):
        score = _shifted_correlation(late_velocity, true_velocity, shift)
        if np.isfinite(score):
            scores[shift] = score
    if not scores:
        return NAN
    peak = max(scores, key=lambda shift: scores[shift])
    if abs(peak) == MAX_LAG_FRAMES:
        return NAN
    if peak - 1 not in scores or peak + 1 not in scores:
        return float(peak)
    before, at, after = scores[peak - 1], scores[peak], scores[peak + 1]
    bend = before - 2 * at + after
    return peak + (0.5 * (before - after) / bend if abs(bend) > 1e-12 else 0.0)


def _mean_of_five(positions: FloatArray) -> FloatArray:
    """Centred, so that it has no lag of its own; NaN unless all five are known."""
    smooth = np.full_like(positions, np.nan)
    if len(positions) >= 5:
        smooth[2:-2] = np.mean([positions[k : len(positions) - 4 + k] for k in range(5)], axis=0)
    return smooth


def _shifted_correlation(late: FloatArray, true: FloatArray, shift: int) -> float:
    """Correlation of ``late[t]`` with ``true[t - shift]``, each hand's each component about its own mean."""
    frames = len(late)
    columns = late.shape[1] * late.shape[2]
    a = late[max(0, shift) : max(0, frames + min(0, shift))].reshape(-1, columns)
    b = true[max(0, -shift) : max(0, frames - max(0, shift))].reshape(-1, columns)
    left, right = [], []
    for column in range(columns):
        known = np.isfinite(a[:, column]) & np.isfinite(b[:, column])
        if known.sum() >= MIN_STILL_FRAMES:
            left.append(a[known, column] - a[known, column].mean())
            right.append(b[known, column] - b[known, column].mean())
    if sum(map(len, left)) < MIN_SAMPLES:
        return NAN
    return _cosine(np.concatenate(left), np.concatenate(right))


@dataclass(frozen=True)
class RestJitter:
    """RMS distance of a resting hand's centre from its own straight line, over all times of rest."""

    along_ray_mm: float
    across_ray_mm: float
    frames: int


def rest_jitter(centres_m: FloatArray, true_centres_m: FloatArray, frame_rate_hz: float) -> RestJitter:
    """Jitter of matched hands' centres (T, 2, 3) while the true ones rest."""
    along, across, frames = [], [], 0
    speed = np.full(true_centres_m.shape[:2], np.nan)
    step_m = np.linalg.norm(true_centres_m[2:] - true_centres_m[:-2], axis=-1)
    speed[1:-1] = step_m / 2 * frame_rate_hz * 1000
    resting = (speed < STILL_MM_PER_S) & np.isfinite(centres_m).all(axis=-1)
    for column in range(resting.shape[1]):
        for start, end in runs(resting[:, column]):
            if end - start >= MIN_STILL_FRAMES:
                frames += end - start
                path = centres_m[start:end, column]
                off = _off_its_line(path)
                ray = path.mean(axis=0) / np.linalg.norm(path.mean(axis=0))
                along.append((off @ ray) ** 2)
                across.append((off**2).sum(axis=-1) - along[-1])
    if not along:
        return RestJitter(NAN, NAN, 0)
    return RestJitter(_rms_mm(along), _rms_mm(across), frames)


def _rms_mm(squares_m2: list[FloatArray]) -> float:
    return float(np.sqrt(np.concatenate(squares_m2).mean())) * 1000


def _off_its_line(path: FloatArray) -> FloatArray:
    """Residual (n, D) of a straight motion at constant speed fitted to ``path``."""
    basis = np.stack([np.arange(len(path)), np.ones(len(path))], axis=1)
    residual: FloatArray = path - basis @ np.linalg.lstsq(basis, path, rcond=None)[0]
    return residual


def runs(mask: BoolArray) -> list[tuple[int, int]]:
    """(start, end) of each unbroken run of True in ``mask`` (T,)."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], mask, [False]]).astype(np.int8)))
    return [(int(start), int(end)) for start, end in edges.reshape(-1, 2)]
