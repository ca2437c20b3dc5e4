"""The authored motion: where head and hands are at each moment, and the hand shapes used.

World axes: x right, y ahead, z up, metres; the table top is z = 0. Hand keys are written for a right hand and
mirrored for the left one (x counts outward from the middle), and the wrist's angles are relative to the
forearm, so that no key can ask for an impossible wrist.
"""

from dataclasses import dataclass

import numpy as np

from tracker.joints import Side
from tracker.rotations import rotation_from_vector
from tracker.skinned_hand import PosedHand, load_open_hand

ELBOW_M = np.array([0.27, -0.30, 0.10])
"""Where the forearms come from; right side."""
CAMERA_M = np.array([0.0, -0.26, 0.46])
CAMERA_PITCH_RAD = np.deg2rad(-41.0)
WORLD_FROM_REST = np.array([[1.0, 0.0, 0.0], [0.0, 0.0, -1.0], [0.0, 1.0, 0.0]])
"""A right hand, palm down, fingers ahead."""

# Degrees. Thumb: CMC flexion, abduction, twist, then MCP and IP flexion. Fingers: MCP and PIP flexion, spread
# (toward the thumb); a DIP bends with its PIP.
Shape = dict[str, tuple[float, ...]]
SHAPES: dict[str, Shape] = {
    "open": {
        "thumb": (0, 0, 0, 0, 0), "index": (0, 4, 0), "middle": (0, 4, 0), "ring": (0, 4, 0),
        "pinky": (0, 4, 0),
    },
    "relaxed": {
        "thumb": (4, 4, 0, 6, 8), "index": (10, 16, -2), "middle": (13, 18, 0), "ring": (15, 20, 1),
        "pinky": (14, 20, 5),
    },
    "spread": {
        "thumb": (-8, -4, 0, -4, -4), "index": (-6, 0, 6), "middle": (-4, 0, 1), "ring": (-4, 0, -4),
        "pinky": (-6, 2, -8),
    },
    "point": {
        "thumb": (16, 14, 10, 18, 22), "index": (2, 5, 2), "middle": (48, 72, 0), "ring": (54, 76, 1),
        "pinky": (56, 70, 4),
    },
    "pinch": {
        "thumb": (13, 13, 16, 20, 4), "index": (30, 55, -7), "middle": (22, 26, 0), "ring": (16, 22, 0),
        "pinky": (10, 18, 0),
    },
    "loose": {
        "thumb": (14, 12, 8, 14, 22), "index": (40, 50, -1), "middle": (44, 54, 0), "ring": (46, 54, 2),
        "pinky": (46, 52, 6),
    },
}  # fmt: skip
FINGER_JOINTS = {
    "thumb": (1, 2, 3),
    "index": (6, 7, 8),
    "middle": (11, 12, 13),
    "ring": (16, 17, 18),
    "pinky": (21, 22, 23),
}
"""Skeleton joints that bend: CMC, MCP, IP of the thumb; MCP, PIP, DIP of the others."""
DIP_PER_PIP = 0.6


@dataclass(frozen=True)
class Key:
    """One hand at one moment."""

    time_s: float
    wrist_m: tuple[float, float, float]
    """Outward, ahead, up."""
    turn_deg: tuple[float, float, float]
    """Wrist deviation toward the thumb, wrist extension, and how far the palm is turned up (0: down)."""
    shape: str


KEYS: dict[Side, tuple[Key, ...]] = {
    Side.RIGHT: (
        Key(0.0, (0.22, -0.12, 0.12), (0, 0, 10), "relaxed"),
        Key(0.7, (0.13, 0.02, 0.19), (2, 10, 12), "open"),
        Key(1.3, (0.14, 0.03, 0.20), (2, 12, 14), "spread"),
        Key(1.6, (0.13, 0.03, 0.20), (2, 12, 16), "open"),
        Key(2.4, (0.13, -0.02, 0.24), (0, -4, 150), "open"),
        Key(2.9, (0.13, -0.02, 0.24), (0, -2, 152), "relaxed"),
        Key(3.6, (0.12, 0.04, 0.19), (4, 12, 30), "relaxed"),
        Key(4.0, (0.11, 0.05, 0.19), (4, 12, 38), "pinch"),
        Key(4.3, (0.12, 0.05, 0.20), (4, 12, 36), "open"),
        Key(4.6, (0.11, 0.05, 0.19), (4, 12, 38), "pinch"),
        Key(5.0, (0.13, 0.03, 0.19), (2, 10, 20), "relaxed"),
        Key(5.4, (0.19, -0.05, 0.16), (0, 6, 15), "relaxed"),
        Key(5.9, (0.36, -0.24, 0.13), (0, 0, 10), "relaxed"),
        Key(6.5, (0.36, -0.24, 0.13), (0, 0, 10), "relaxed"),
        Key(7.1, (0.16, 0.00, 0.18), (2, 10, 10), "open"),
        Key(7.7, (0.12, 0.04, 0.18), (2, 14, 10), "loose"),
        Key(8.2, (0.12, 0.05, 0.16), (2, 14, 10), "open"),
        Key(9.0, (0.13, 0.05, 0.10), (2, 14, 6), "relaxed"),
    ),
    Side.LEFT: (
        Key(0.0, (0.21, -0.12, 0.11), (0, 0, 10), "relaxed"),
        Key(0.8, (0.13, 0.00, 0.18), (2, 10, 10), "open"),
        Key(1.35, (0.14, 0.02, 0.19), (2, 12, 14), "spread"),
        Key(1.7, (0.13, 0.02, 0.19), (2, 12, 14), "open"),
        Key(2.5, (0.14, -0.02, 0.23), (0, -4, 148), "open"),
        Key(3.0, (0.14, -0.02, 0.23), (0, -2, 150), "relaxed"),
        Key(3.7, (0.14, 0.00, 0.18), (2, 10, 14), "relaxed"),
        Key(4.3, (0.13, 0.02, 0.17), (2, 10, 14), "open"),
        Key(4.9, (0.13, 0.02, 0.18), (2, 14, 2), "point"),
        Key(5.5, (0.12, 0.05, 0.17), (2, 12, 0), "point"),
        Key(6.0, (0.13, -0.02, 0.20), (0, 18, 10), "open"),
        Key(6.3, (0.13, -0.03, 0.21), (14, 20, 10), "open"),
        Key(6.6, (0.13, -0.03, 0.21), (-12, 20, 10), "open"),
        Key(6.9, (0.13, -0.03, 0.21), (14, 20, 10), "open"),
        Key(7.2, (0.13, -0.02, 0.20), (-6, 18, 10), "open"),
        Key(7.8, (0.12, 0.04, 0.18), (2, 14, 10), "loose"),
        Key(8.25, (0.12, 0.04, 0.16), (2, 14, 10), "open"),
        Key(9.0, (0.13, 0.04, 0.10), (2, 14, 6), "relaxed"),
    ),
}


@dataclass(frozen=True, eq=False)
class Arm:
    """One hand and its forearm in the world."""

    posed: PosedHand
    world_from_forearm: np.ndarray
    """(3, 3) rotation of the forearm; the rest frame's +z runs to the elbow."""


def arm_at(side: Side, time_s: float) -> Arm:
    """The hand and forearm of ``side`` at ``time_s`` after the start."""
    wrist, turn, shape = _between_keys(side, time_s)
    forearm = _forearm_axes(wrist) @ _about(1, turn[2])
    wrist_bend = _about(2, turn[0]) @ _about(0, turn[1])
    mirror = np.diag([1.0 if side is Side.RIGHT else -1.0, 1.0, 1.0])
    hand = load_open_hand(side)
    rotations = shape_rotations(side, shape)
    rotations[0] = mirror @ forearm @ wrist_bend @ WORLD_FROM_REST @ mirror
    return Arm(
        posed=hand.pose(rotations=rotations, wrist_m=mirror @ wrist),
        world_from_forearm=mirror @ forearm @ WORLD_FROM_REST @ mirror,
    )


def shape_rotations(side: Side, shape: Shape) -> np.ndarray:
    """Joint rotations (25, 3, 3) of a hand shape, the wrist's left as the identity."""
    right = load_open_hand(Side.RIGHT)
    vectors = np.zeros((25, 3))
    for finger, joints in FINGER_JOINTS.items():
        angles = np.deg2rad(shape[finger])
        base = joints[0]
        bone = right.joints_m[base + 1] - right.joints_m[base]
        bone = bone / np.linalg.norm(bone)
        back = np.cross(bone, right.flexion_axes[base])
        if finger == "thumb":
            flexions = (angles[0], angles[3], angles[4])
            vectors[base] = -angles[1] * back + angles[2] * bone
        else:
            flexions = (angles[0], angles[1], DIP_PER_PIP * angles[1])
            vectors[base] = angles[2] * back
        vectors[list(joints)] += np.array(flexions)[:, None] * right.flexion_axes[list(joints)]
    return rotation_from_vector(vectors if side is Side.RIGHT else vectors * [1.0, -1.0, -1.0])


def camera_at(time_s: float) -> tuple[np.ndarray, np.ndarray]:
    """Rotation (3, 3) camera-from-world and the camera's place (3,) in the world: a head never still."""
    rates_hz, phases = np.array([0.13, 0.21, 0.17, 0.29]), np.array([0.1, 0.6, 0.35, 0.8])
    sway = np.sin(2 * np.pi * (rates_hz * time_s + phases))
    place = CAMERA_M + np.array([0.012, 0.010, 0.008]) * sway[:3]
    turn = _about(2, 2.5 * sway[0] + 0.6 * sway[3]) @ _about(0, 1.8 * sway[1]) @ _about(1, 1.0 * sway[2])
    pitch = rotation_from_vector(np.array([CAMERA_PITCH_RAD, 0.0, 0.0]))
    camera_axes = np.array([[1.0, 0.0, 0.0], [0.0, 0.0, -1.0], [0.0, 1.0, 0.0]])
    return camera_axes @ (turn @ pitch).T, place


def _about(axis: int, angle_deg: float) -> np.ndarray:
    return rotation_from_vector(np.deg2rad(angle_deg) * np.eye(3)[axis])


def _forearm_axes(wrist: np.ndarray) -> np.ndarray:
    """World from a forearm: y runs from the elbow to the wrist, z is as far up as that allows."""
    ahead = wrist - ELBOW_M
    ahead = ahead / np.linalg.norm(ahead)
    right = np.cross(ahead, [0.0, 0.0, 1.0])
    right = right / np.linalg.norm(right)
    return np.stack([right, ahead, np.cross(right, ahead)], axis=1)


def _between_keys(side: Side, time_s: float) -> tuple[np.ndarray, np.ndarray, Shape]:
    """Wrist, turn and shape on a smooth cubic through the keys."""
    keys = KEYS[side]
    times = np.array([key.time_s for key in keys])
    rows = np.stack([_row(key) for key in keys])
    slopes = np.diff(rows, axis=0) / np.diff(times)[:, None]
    tangents = np.zeros(rows.shape)
    tangents[1:-1] = _calm_mean(slopes[:-1], slopes[1:])
    left = int(np.clip(np.searchsorted(times, time_s, side="right") - 1, 0, len(keys) - 2))
    span = times[left + 1] - times[left]
    s = np.clip((time_s - times[left]) / span, 0.0, 1.0)
    row = (
        (1 + 2 * s) * (1 - s) ** 2 * rows[left]
        + s * (1 - s) ** 2 * span * tangents[left]
        + s**2 * (3 - 2 * s) * rows[left + 1]
        + s**2 * (s - 1) * span * tangents[left + 1]
    )
    shape: Shape = {}
    start = 6
    for finger in FINGER_JOINTS:
        length = len(SHAPES["open"][finger])
        shape[finger] = tuple(row[start : start + length])
        start += length
    return row[:3], row[3:6], shape


def _row(key: Key) -> np.ndarray:
    fingers = (SHAPES[key.shape][finger] for finger in FINGER_JOINTS)
    return np.concatenate([key.wrist_m, key.turn_deg, *fingers])


def _calm_mean(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """Harmonic mean of two slopes where they agree in sign, else 0: the motion never overshoots a key."""
    agree = before * after > 0
    return np.where(agree, 2 * before * after / np.where(agree, before + after, 1.0), 0.0)
