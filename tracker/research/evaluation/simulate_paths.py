"""Where simulated hands go: paths from EgoDex's truth or made up, brought anywhere in a camera's view.

EgoDex's joints come from a headset at 30 frames/s and tremble: the mean acceleration is 3 to 4 times the
median. A quadratic fitted to each 7 frames (Savitzky and Golay 1964) takes the trembling out, so that a
filter is not blamed for leaving it out.
"""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from tracker.cameras import Camera
from tracker.errors import UsageError
from tracker.joints import FINGER_MCPS, FloatArray, Side
from tracker.research.ground_truth.egodex import PATTERN
from tracker.research.ground_truth.files import joints, read_arrays
from tracker.research.ground_truth.labelled import SIDES
from tracker.rotations import rotation_between, rotation_from_vector
from tracker.skinned_hand import FROM_SKELETON, chain_rotations, load_open_hand

SMOOTHING_FRAMES = 7
SYNTHETIC_PATHS = 16
SYNTHETIC_FRAMES = 240
SYNTHETIC_RATE_HZ = 30.0
REACH_M = 0.12
"""Standard deviation of where a made-up reach ends, per axis, about the path's middle."""
HOLD_SHARE = 0.4
"""Of the time between two reaches that a made-up hand holds what is moving: place, turn or fingers."""
BUSY_S = 1.5
"""Between two rests, where a made-up hand rests altogether."""
EASING_S = 0.3
"""In which it comes to rest, or begins to move again."""
MAX_OUTSIDE = 0.5
"""How far a finger may stick out of the picture, in widths of it: networks extrapolate a little."""


@dataclass(frozen=True, eq=False)
class HandPath:
    """One hand over time, anywhere."""

    side: Side
    joints_m: FloatArray
    """(T, 21, 3) in some camera's axes."""
    frame_rate_hz: float


@lru_cache(maxsize=4)
def egodex_paths(folder: Path) -> tuple[HandPath, ...]:
    """Each hand of each ``egodex_*.npz`` in a folder, smoothed.

    Raises:
        UsageError: the folder holds none, or a damaged one.
    """
    paths = []
    for file in sorted(folder.glob(PATTERN)):
        stored = read_arrays(file, "joints_cam", "fps")
        joints_m = joints(stored["joints_cam"], 3, str(file))
        for index, side in enumerate(SIDES):
            if np.isfinite(joints_m[:, index]).all():
                paths.append(HandPath(side, smoothed(joints_m[:, index]), float(stored["fps"])))
    if not paths:
        raise UsageError(f"{folder} holds no {PATTERN} with a hand annotated throughout")
    return tuple(paths)


def smoothed(values: FloatArray) -> FloatArray:
    """The middles of quadratics fitted to each ``SMOOTHING_FRAMES`` frames (T, ...); the ends are cut off."""
    half = SMOOTHING_FRAMES // 2
    offsets = np.arange(-half, half + 1)
    kernel = np.linalg.pinv(np.stack([np.ones_like(offsets), offsets, offsets**2], axis=1))[0]
    count = len(values) - 2 * half
    return np.asarray(sum(kernel[k] * values[k : k + count] for k in range(SMOOTHING_FRAMES)))


@lru_cache(maxsize=4)
def synthetic_paths(seed: int, rest_s: float = 0.0) -> tuple[HandPath, ...]:
    """Made-up reaches and holds of the open hand, the fingers moving, right and left in turn.

    With ``rest_s`` the whole hand stands still for so long after each `BUSY_S`.
    """
    generators = np.random.default_rng((seed, 1)).spawn(SYNTHETIC_PATHS)
    now_s = _clock_with_rests(rest_s)
    return tuple(
        _synthetic_path(rng, (Side.RIGHT, Side.LEFT)[index % 2], now_s)
        for index, rng in enumerate(generators)
    )


def _clock_with_rests(rest_s: float) -> FloatArray:
    """Times (T,) at which a hand is where it would be without rests: they slow down, stand, and go on."""
    now_s = np.arange(SYNTHETIC_FRAMES) / SYNTHETIC_RATE_HZ
    if rest_s == 0:
        return now_s
    into_s = now_s % (BUSY_S + 2 * EASING_S + rest_s) - BUSY_S
    eased = np.clip(np.minimum(into_s, 2 * EASING_S + rest_s - into_s) / EASING_S, 0.0, 1.0)
    speed = 0.5 + 0.5 * np.cos(np.pi * eased)
    return np.asarray(np.cumsum(speed) / SYNTHETIC_RATE_HZ)


def _synthetic_path(rng: np.random.Generator, side: Side, now_s: FloatArray) -> HandPath:
    hand = load_open_hand(side)
    place_m = _reaches(rng, 3, now_s) * REACH_M + [0.0, 0.0, 0.5]
    turn_rad = _reaches(rng, 3, now_s) * np.radians(25)
    curl_rad = np.radians(35) * np.clip(1.0 + _reaches(rng, 5, now_s), 0.0, 2.5)
    finger_of_joint = (np.arange(25) - 5) // 5 + 1  # 1-4 thumb, then metacarpal, three joints and tip each
    finger_of_joint[:5] = 0
    angles = curl_rad[:, finger_of_joint]
    still = [0, 1, 5, 10, 15, 20]  # the wrist, the thumb's root and the metacarpals
    angles[:, still] = 0.0
    rotations = rotation_from_vector(angles[..., None] * hand.flexion_axes)
    # Fingers ahead and the back of the hand up, as a wearer sees their own hand.
    rotations[:, 0] = rotation_from_vector(turn_rad) @ np.diag([1.0, -1.0, -1.0])
    _, joints_m = chain_rotations(rotations, hand.joints_m, hand.parents, place_m)
    return HandPath(side, joints_m[:, FROM_SKELETON], SYNTHETIC_RATE_HZ)


def _reaches(rng: np.random.Generator, count: int, now_s: FloatArray) -> FloatArray:
    """Numbers (T, count) at times (T,) that go between normal ones with least jerk, and hold each a while."""
    duration_s = SYNTHETIC_FRAMES / SYNTHETIC_RATE_HZ
    times_s = np.concatenate([[0.0], np.cumsum(rng.uniform(0.5, 1.5, int(2 * duration_s) + 1))])
    targets = rng.normal(size=(len(times_s), count))
    leg = np.searchsorted(times_s, now_s, side="right") - 1
    share = (now_s - times_s[leg]) / np.diff(times_s)[leg]
    share = np.clip(share / (1.0 - HOLD_SHARE), 0.0, 1.0)[:, None]
    blend = share**3 * (10.0 - 15.0 * share + 6.0 * share**2)  # Flash and Hogan 1985
    return np.asarray(targets[leg] + blend * (targets[leg + 1] - targets[leg]))


def place_path(
    rng: np.random.Generator,
    paths: tuple[HandPath, ...],
    camera: Camera,
    frames: int,
    range_m: tuple[float, float],
    size: float,
) -> HandPath:
    """A piece of some path, moved rigidly to a place in view drawn evenly over pixels and range.

    The hand is scaled by ``size`` about its palm's centre, the path is not. The turn is the smallest that
    brings the piece's middle to the drawn ray, so the camera sees the hand from where it did. The place is
    drawn first and pieces are tried until one stays in view and in range, so the edges are not left empty.

    Raises:
        UsageError: no piece fits.
    """
    for _ in range(100):
        pixel_px = rng.uniform((-0.5, -0.5), (camera.width - 0.5, camera.height - 0.5))
        ray = camera.unproject(pixel_px)
        distance_m = rng.uniform(*range_m)
        for _ in range(30):
            path = paths[rng.integers(len(paths))]
            if len(path.joints_m) < frames or not np.isfinite(ray).all():
                continue
            start = rng.integers(len(path.joints_m) - frames + 1)
            joints_m = moved_to(path.joints_m[start : start + frames], distance_m * ray, size)
            if stays_in_view(joints_m, camera, range_m):
                return HandPath(path.side, joints_m, path.frame_rate_hz)
    raise UsageError(f"no path of {frames} frames stays in view; ask for fewer frames")


def moved_to(joints_m: FloatArray, target_m: FloatArray, size: float) -> FloatArray:
    """A path (T, 21, 3) moved rigidly so that its palm's middle frame is at ``target_m``, hands scaled."""
    palm_m = palm_center(joints_m)
    middle_m = palm_m[len(palm_m) // 2]
    turn = rotation_between(middle_m / np.linalg.norm(middle_m), target_m / np.linalg.norm(target_m))
    about_palm_m = size * (joints_m - palm_m[:, None])
    return np.asarray((about_palm_m + (palm_m - middle_m)[:, None]) @ turn.T + target_m)


def stays_in_view(joints_m: FloatArray, camera: Camera, range_m: tuple[float, float]) -> bool:
    """Whether the palm (of joints (T, 21, 3)) stays in picture and range, and no finger far outside."""
    size_px = np.array([camera.width, camera.height])
    palm_m = palm_center(joints_m)
    distance_m = np.linalg.norm(palm_m, axis=-1)
    palm_px, joints_px = camera.project(palm_m), camera.project(joints_m)
    with np.errstate(invalid="ignore"):
        inside = (palm_px > -0.5).all() and (palm_px < size_px - 0.5).all()
        near = (np.abs(joints_px - (size_px - 1) / 2) < (0.5 + MAX_OUTSIDE) * size_px).all()
    within = (distance_m >= range_m[0]).all() and (distance_m <= range_m[1]).all()
    return bool(inside and near and within)


def palm_center(joints_m: FloatArray) -> FloatArray:
    """The mean (..., 3) of the four knuckles of joints (..., 21, 3): where metrics say the hand is."""
    return np.asarray(joints_m[..., FINGER_MCPS, :].mean(axis=-2))
