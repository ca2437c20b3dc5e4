"""How far placed tracks are from the truth: one row of figures over many tracks.

The hand's place is its palm's centre, the mean of the four knuckles. Figures are means over all frames of all
tracks that were placed.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tracker.joints import FINGER_MCPS, WRIST, FloatArray
from tracker.research.evaluation.simulate_paths import palm_center
from tracker.research.evaluation.simulate_solvers import Poses

MAX_LAG_FRAMES = 8
FINGERS = slice(FINGER_MCPS[0], None)
"""Knuckles to tips of the long fingers, over which acceleration is measured."""


@dataclass(frozen=True)
class Figures:
    """How well one solver and filter did."""

    camera_mm: float
    """Mean distance of joints from the truth."""
    wrist_relative_mm: float
    """The same after the wrists are brought together."""
    range_mm: float
    """Mean absolute error of the palm's distance."""
    range_bias_mm: float
    bearing_deg: float
    """Mean angle between the palm's direction and the true one."""
    lag_frames: float
    """How late the palm moves across the view; negative is early."""
    range_lag_frames: float
    """How late it moves along the view. Noise in range can hide it: NaN or any number then."""
    acceleration_error_mm_s2: float
    """Mean length of the difference of accelerations."""
    palm_acceleration_error_mm_s2: float
    """The same of the palm alone."""
    relative_acceleration_error_mm_s2: float
    """The same about the palm."""
    placed_share: float
    range_z2: float
    """Mean square of the palm's range error over what the pose's covariance says; 1 when it tells the truth.
    NaN where poses were filtered."""
    bearing_z2: float
    """The same across the ray, per axis."""
    frame_ms: float


def figures(
    joints_m: Sequence[FloatArray],
    truths_m: Sequence[FloatArray],
    times_s: Sequence[FloatArray],
    *,
    poses: Sequence[Poses] | None,
    frame_s: float,
) -> Figures:
    """Compare tracks (each (T, 21, 3), NaN where not placed) with their truths of the same shapes."""
    placed, truth = np.concatenate(joints_m), np.concatenate(truths_m)
    ok = np.isfinite(placed).all(axis=(1, 2))
    placed, truth = placed[ok], truth[ok]
    palm, true_palm = palm_center(placed), palm_center(truth)
    distance, true_distance = np.linalg.norm(palm, axis=-1), np.linalg.norm(true_palm, axis=-1)
    sine = np.linalg.norm(np.cross(palm, true_palm), axis=-1)
    bearing = np.arctan2(sine, (palm * true_palm).sum(axis=-1))
    errors_m = [(j - t)[:, FINGERS] for j, t in zip(joints_m, truths_m, strict=True)]
    palm_errors_m = [palm_center(j - t)[:, None] for j, t in zip(joints_m, truths_m, strict=True)]
    range_z2, bearing_z2 = (np.nan, np.nan) if poses is None else normalised_errors(poses, truths_m)
    return Figures(
        camera_mm=1000 * _mean_length(placed - truth),
        wrist_relative_mm=1000 * _mean_length(placed - placed[:, [WRIST]] - truth + truth[:, [WRIST]]),
        range_mm=1000 * float(np.abs(distance - true_distance).mean()),
        range_bias_mm=1000 * float((distance - true_distance).mean()),
        bearing_deg=float(np.degrees(bearing.mean())),
        lag_frames=lag_frames(*([direction(j) for j in side] for side in (joints_m, truths_m))),
        range_lag_frames=lag_frames(*([log_range(j) for j in side] for side in (joints_m, truths_m))),
        acceleration_error_mm_s2=1000 * _acceleration_error(errors_m, times_s),
        palm_acceleration_error_mm_s2=1000 * _acceleration_error(palm_errors_m, times_s),
        relative_acceleration_error_mm_s2=1000
        * _acceleration_error([e - p for e, p in zip(errors_m, palm_errors_m, strict=True)], times_s),
        placed_share=float(ok.mean()),
        range_z2=range_z2,
        bearing_z2=bearing_z2,
        frame_ms=1000 * frame_s,
    )


def _mean_length(vectors: FloatArray) -> float:
    return float(np.linalg.norm(vectors, axis=-1).mean())


def _acceleration_error(errors_m: Sequence[FloatArray], times_s: Sequence[FloatArray]) -> float:
    """Mean length in m/s^2 of the second derivative of errors (T, N, 3); frames are evenly apart."""
    lengths = [
        np.linalg.norm(np.diff(error_m, n=2, axis=0), axis=-1).ravel() / np.diff(track_s).mean() ** 2
        for error_m, track_s in zip(errors_m, times_s, strict=True)
    ]
    return float(np.nanmean(np.concatenate(lengths)))


def direction(joints_m: FloatArray) -> FloatArray:
    """Unit vectors (T, 3) to the palms of joints (T, 21, 3)."""
    palm_m = palm_center(joints_m)
    return np.asarray(palm_m / np.linalg.norm(palm_m, axis=-1, keepdims=True))


def log_range(joints_m: FloatArray) -> FloatArray:
    """Logarithms (T, 1) of the palms' distances of joints (T, 21, 3)."""
    return np.asarray(np.log(np.linalg.norm(palm_center(joints_m), axis=-1, keepdims=True)))


def lag_frames(paths: Sequence[FloatArray], truths: Sequence[FloatArray]) -> float:
    """How many frames the paths (T, D) of tracks run behind the true ones; positive is late.

    The shift at which the velocities, both averaged over 5 frames, correlate best, all tracks together, with
    a parabola through the peak and its neighbours. NaN where no peak lies within ``MAX_LAG_FRAMES``. Chance
    leaves about 0.1 frame on 60 tracks of 2 s: compare lags on the same draws.
    """
    pairs = [(_smooth_velocity(p), _smooth_velocity(t)) for p, t in zip(paths, truths, strict=True)]
    shifts = range(-MAX_LAG_FRAMES, MAX_LAG_FRAMES + 1)
    correlation = np.array([_correlation(pairs, shift) for shift in shifts])
    if not np.isfinite(correlation).all():
        return float("nan")
    peak = int(np.argmax(correlation))
    if peak in (0, len(correlation) - 1):
        return float("nan")
    before, top, after = correlation[peak - 1 : peak + 2]
    return float(peak - MAX_LAG_FRAMES + 0.5 * (before - after) / (before - 2 * top + after))


def _smooth_velocity(path: FloatArray) -> FloatArray:
    count = len(path) - 4
    total = np.sum([path[k : k + count] for k in range(5)], axis=0)
    return np.asarray(np.diff(total / 5, axis=0))


def _correlation(pairs: Sequence[tuple[FloatArray, FloatArray]], shift: int) -> float:
    """Correlation of each first velocity at t with the second at t - shift."""
    firsts, seconds = [], []
    for first, second in pairs:
        count = len(first)
        if count < abs(shift) + 8:
            continue
        a = first[max(0, shift) : count + min(0, shift)]
        b = second[max(0, -shift) : count - max(0, shift)]
        ok = np.isfinite(a).all(axis=1) & np.isfinite(b).all(axis=1)
        if ok.sum() >= 8:
            firsts.append((a[ok] - a[ok].mean(axis=0)).ravel())
            seconds.append((b[ok] - b[ok].mean(axis=0)).ravel())
    if not firsts:
        return float("nan")
    x, y = np.concatenate(firsts), np.concatenate(seconds)
    return float(x @ y / max(np.sqrt((x @ x) * (y @ y)), 1e-12))


def normalised_errors(poses: Sequence[Poses], truths_m: Sequence[FloatArray]) -> tuple[float, float]:
    """Mean squares of the palm's error over its covariance: along the ray, and across it per axis."""
    along, across = [], []
    for track, truth_m in zip(poses, truths_m, strict=True):
        for pose, true_palm in zip(track, palm_center(truth_m), strict=True):
            if pose is None:
                continue
            error = palm_center(pose.joints_in_camera_m) - true_palm
            ray = true_palm / np.linalg.norm(true_palm)
            side = np.linalg.svd(ray[None])[2][1:]  # two axes across the ray
            along.append((ray @ error) ** 2 / (ray @ pose.covariance_m2 @ ray))
            lateral = side @ error
            across.append(lateral @ np.linalg.solve(side @ pose.covariance_m2 @ side.T, lateral) / 2)
    return float(np.mean(along)), float(np.mean(across))
