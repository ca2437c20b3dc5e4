"""Clips with known answers that need no file: two hands on smooth paths, and what trackers say of them."""

import numpy as np
from tracked_values import open_hand

from tracker.cameras import Pinhole
from tracker.joints import FloatArray
from tracker.research.evaluation.predictions import NOBODY, Predictions
from tracker.research.ground_truth.labelled import SIDES, LabelledClip, projected
from tracker.structs import Frame

CAMERA = Pinhole(640, 480, 400.0, 410.0, 319.5, 239.5)


def moving_hands(frames: int, seed: int = 0) -> FloatArray:
    """(T, 2, 21, 3) hands that sway and swell a little; the right one comes into view, and later rests."""
    rng = np.random.default_rng(seed)
    t = np.arange(frames)[:, None] / 30
    joints = np.empty((frames, 2, 21, 3))
    for column, side in enumerate(SIDES):
        rates, phases = rng.uniform(2, 7, (2, 3))
        path = np.sin(t * rates + phases) * np.array([0.05, 0.04, 0.06])
        if column == 1:
            path[frames // 2 :] = path[frames // 2]
            path[: frames // 4, 0] += np.linspace(0.6, 0, frames // 4)
        wrist = path + np.array([-0.1 if column == 0 else 0.1, 0.08, 0.45])
        shape = open_hand(side, (0.0, 0.0, 0.0))
        stretch = 1 + 0.05 * np.sin(t * 3 + phases)
        joints[:, column] = shape * stretch[:, None] + wrist[:, None]
    return joints


def labelled_clip(
    joints_m: FloatArray, *, video: bool = True, complete: bool = True, lateness_frames: float | None = 0.0
) -> LabelledClip:
    """A clip with these answers and black pictures."""
    cameras = (CAMERA,) * len(joints_m)
    black = np.zeros((CAMERA.height, CAMERA.width, 3), np.uint8)
    return LabelledClip(
        name="made",
        source="made",
        joints_in_camera_m=joints_m,
        joints_px=projected(joints_m, cameras),
        cameras=cameras,
        read_frames=lambda: (Frame(index, index / 30, black, CAMERA) for index in range(len(joints_m))),
        frame_rate_hz=30.0 if video else None,
        complete=complete,
        lateness_frames=lateness_frames,
    )


def exact(joints_m: FloatArray) -> Predictions:
    """What a perfect tracker says, left hand first: the hands of which something is in the picture."""
    joints_px = projected(joints_m, (CAMERA,) * len(joints_m))
    in_picture = ((joints_px >= 0) & (joints_px < (CAMERA.width, CAMERA.height))).all(axis=-1).any(axis=-1)
    numbers = np.where(in_picture, np.arange(2), NOBODY)
    joints_px[~in_picture] = np.nan
    return Predictions(
        track_id=numbers,
        side=numbers.copy(),
        joints_px=joints_px,
        joints_in_camera_m=np.where(in_picture[..., None, None], joints_m, np.nan),
    )


def careless(joints_m: FloatArray, seed: int = 0) -> Predictions:
    """Three hands at most a frame: noisy, some gone, of the wrong side or number, doubled or far off."""
    rng = np.random.default_rng(seed)
    frames = len(joints_m)
    late = np.concatenate([joints_m[:1], joints_m[:-1]])
    hands_m = np.concatenate([0.6 * late + 0.4 * joints_m, joints_m[:, :1] + 0.003], axis=1)
    hands_m = 1.06 * hands_m + rng.normal(0, 0.004, hands_m.shape)
    far = rng.random(frames) < 0.3
    hands_m[far, 2, :, 0] += rng.choice([0.12, 0.4], far.sum())[:, None]
    side = np.tile([0, 1, 0], (frames, 1))
    side[frames // 3 : frames // 3 + 6, :2] = [1, 0]
    track_id = np.tile([1, 2, 3], (frames, 1))
    track_id[frames // 2 :, 0] = 7
    gone = rng.random((frames, 3)) < (0.08, 0.08, 0.7)
    gone[-3] = True
    side[gone] = track_id[gone] = NOBODY
    hands_m[gone] = np.nan
    hands_px = projected(hands_m, (CAMERA,) * frames) + 0.3
    hands_px[rng.random((frames, 3, 21)) < 0.01] = np.nan
    return Predictions(track_id, side, hands_px, hands_m)
