"""Colour of the arm by place: skin with knuckles, creases, nails and palm lines, and the sleeve's cloth."""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from demo_clip.body import SLEEVE_LABEL
from demo_clip.textures import Grain3d, linear
from tracker.joints import Side
from tracker.skinned_hand import load_open_hand

BACK, PALM, ARM = linear(206, 157, 130), linear(222, 170, 148), linear(209, 162, 134)
RED = np.array([1.06, 0.80, 0.76])
"""What blood near the surface does to a colour."""
CREASE = np.array([0.42, 0.56, 0.60])
"""What a deep crease takes away."""
NAIL, NAIL_EDGE = linear(222, 172, 158), linear(230, 200, 184)
CLOTH = linear(72, 88, 112)
THUMB = (1, 2, 3, 4)
FINGERS = (THUMB, (6, 7, 8, 9), (11, 12, 13, 14), (16, 17, 18, 19), (21, 22, 23, 24))
"""Skeleton joints of each finger, the tip last."""
HALF_NAIL_M = {3: 0.0068, 8: 0.0056, 13: 0.0058, 18: 0.0054, 23: 0.0046}
"""Half the width of the nail on each last bone."""
FIRST_CREASE_M = 0.021
"""From a knuckle to the crease at the root of its finger."""
PALM_LINES: tuple[tuple[float, tuple[tuple[float, float], ...]], ...] = (
    (0.75, ((0.047, -0.068), (0.030, -0.076), (0.012, -0.079), (-0.004, -0.086), (-0.011, -0.094))),
    (0.70, ((-0.031, -0.073), (-0.018, -0.069), (0.000, -0.062), (0.020, -0.052), (0.034, -0.042))),
    (0.75, ((-0.031, -0.074), (-0.018, -0.064), (-0.006, -0.050), (0.001, -0.034), (0.000, -0.017))),
    (0.30, ((0.008, -0.012), (0.008, -0.035), (0.005, -0.058))),
)
"""Depth and course (rest x, z) of heart, head, life and fate line."""


@dataclass(frozen=True, eq=False)
class Points:
    """Places on the arm, all in the right hand's rest frame; N of them."""

    rest_m: np.ndarray
    """(N, 3)"""
    normals: np.ndarray
    """(N, 3)"""
    labels: np.ndarray
    """(N,) skeleton joint that moves a place most, or ``SLEEVE_LABEL``."""

    def only(self, chosen: np.ndarray) -> "Points":
        """The chosen places, by mask or number."""
        return Points(self.rest_m[chosen], self.normals[chosen], self.labels[chosen])


class Skin:
    """Colours and gloss by place."""

    def __init__(self) -> None:
        self._grain = Grain3d()
        self._joints = load_open_hand(Side.RIGHT).joints_m

    def shade(self, points: Points) -> tuple[np.ndarray, np.ndarray]:
        """Albedo (N, 3) and gloss (N,)."""
        colour, gloss = np.empty(points.rest_m.shape), np.zeros(len(points.rest_m))
        cloth = points.labels == SLEEVE_LABEL
        colour[cloth] = self._cloth(points.rest_m[cloth])
        colour[~cloth], gloss[~cloth] = self._skin(points.only(~cloth))
        return colour, gloss

    def _cloth(self, rest_m: np.ndarray) -> np.ndarray:
        weave = np.sin(np.arctan2(rest_m[:, 1], rest_m[:, 0]) * 330) * np.sin(rest_m[:, 2] * 7000)
        return CLOTH * (1 + 0.10 * weave + 0.10 * self._grain.middle(rest_m, 0.002))[:, None]

    def _skin(self, points: Points) -> tuple[np.ndarray, np.ndarray]:
        z = points.rest_m[:, 2]
        broad, middle = self._grain.middle(points.rest_m, 0.0028), self._grain.middle(points.rest_m, 0.0009)
        fine = self._grain.fine(points.rest_m)
        palmar = _step(-0.15, 0.55, -points.normals[:, 1]) * _step(0.06, 0.0, z)
        colour = BACK + palmar[:, None] * (PALM - BACK)
        colour += (_step(0.0, 0.08, z) * (1 - palmar))[:, None] * (ARM - BACK)
        red = 0.10 * broad + 0.05 * middle + 0.18 * palmar
        creases = _palm_lines(points.rest_m, palmar) + _wrist_lines(points)
        for joints in FINGERS:
            near = np.flatnonzero(np.isin(points.labels, (0, joints[0] - 1, *joints)) & (z < -0.01))
            redder, deeper = self._finger(joints, points.only(near))
            red[near] += redder
            creases[near] += deeper
        colour *= 1 + (RED - 1) * np.clip(red, -0.3, 1.0)[:, None]
        colour *= 1 - np.clip(0.05 * fine + 0.035 * middle, -0.2, 0.2)[:, None]
        colour *= 1 - np.clip(creases, 0, 0.75)[:, None] * CREASE
        gloss = 0.5 + 0.12 * fine
        for joint in HALF_NAIL_M:
            self._paint_nail(joint, points, colour, gloss)
        return colour, gloss

    def _finger(self, joints: tuple[int, ...], points: Points) -> tuple[np.ndarray, np.ndarray]:
        """How much redder and how deeply creased one finger makes the places (N,) near it."""
        red, creases = np.zeros(len(points.rest_m)), np.zeros(len(points.rest_m))
        for number, joint in enumerate(joints[:-1]):
            local, back = self._from_joint(joint, points)
            close = np.linalg.norm(local, axis=1) < FIRST_CREASE_M
            along, across = local[:, 0], local[:, 1]
            knuckle = np.exp(-((along / 0.008) ** 2)) * close * _step(0.1, 0.7, back)
            red += (0.5 if number else 0.35) * knuckle
            wobble = 0.00035 * np.sin(across * 600 + joint) + 0.00015 * np.sin(across * 1500 + 2 * joint)
            inner = _step(0.3, 0.6, -back) * close * (joints != THUMB or number == 2)
            if number:
                creases += 0.42 * _wrinkles(along, across, wobble) * _step(0.45, 0.8, back) * close
                creases += 0.6 * np.exp(-(((along + wobble) / 0.0006) ** 2)) * inner
            else:
                creases += 0.6 * np.exp(-(((along - FIRST_CREASE_M + wobble) / 0.0006) ** 2)) * inner
            if number == 1:
                creases += 0.4 * np.exp(-(((along - 0.0022 + wobble) / 0.0005) ** 2)) * inner
        last = joints[-2]
        along = self._from_joint(last, points)[0][:, 0] / self._length(last)
        return red + 0.45 * _step(0.45, 0.95, along) * (points.labels == last), creases

    def _paint_nail(self, joint: int, points: Points, colour: np.ndarray, gloss: np.ndarray) -> None:
        """Paint the nail of one last bone over ``colour`` and ``gloss``."""
        near = np.flatnonzero(points.labels == joint)
        local, back = self._from_joint(joint, points.only(near))
        half = HALF_NAIL_M[joint]
        along = (local[:, 0] - (self._length(joint) - 1.15 * half)) / (1.15 * half)
        across = local[:, 1] / half
        upper = _step(0.05, 0.25, back)
        out = (np.abs(along) ** 3.2 + np.abs(across) ** 3.2) ** (1 / 3.2)
        plate = _step(1.03, 0.95, out) * upper
        fold = np.exp(-(((out - 1.03) / 0.07) ** 2)) * upper * _step(0.75, 0.2, along)
        pale = np.maximum(
            0.8 * _step(0.80, 0.90, along), 0.45 * _step(0.55, 0.45, np.hypot(across * 0.9, along + 1.05))
        )
        target = NAIL + pale[:, None] * (NAIL_EDGE - NAIL)
        mixed = colour[near] * (1 - 0.35 * fold)[:, None]
        colour[near] = mixed + plate[:, None] * (target - mixed)
        gloss[near] = gloss[near] * (1 - plate) + 1.6 * plate

    def _from_joint(self, joint: int, points: Points) -> tuple[np.ndarray, np.ndarray]:
        """Places (N, 3) from a joint: along its bone, across it, out of its back; how far normals go out."""
        along = (self._joints[joint + 1] - self._joints[joint]) / self._length(joint)
        out = np.cross(along, load_open_hand(Side.RIGHT).flexion_axes[joint])
        out /= np.linalg.norm(out)
        axes = np.stack([along, np.cross(out, along), out], axis=1)
        return (points.rest_m - self._joints[joint]) @ axes, points.normals @ out

    def _length(self, joint: int) -> float:
        return float(np.linalg.norm(self._joints[joint + 1] - self._joints[joint]))


def _wrinkles(along: np.ndarray, across: np.ndarray, wobble: np.ndarray) -> np.ndarray:
    """Five short lines across the back of a knuckle, bowed away from it."""
    total = np.zeros(len(along))
    for k in (-2, -1, 0, 1, 2):
        course = along - 0.0022 * k + wobble * (1 + abs(k)) + 4 * k * abs(k) * across**2
        total += (1 - 0.2 * abs(k)) * np.exp(-((course / 0.00042) ** 2))
    return total


def _palm_lines(rest_m: np.ndarray, palmar: np.ndarray) -> np.ndarray:
    """Depth (N,) of the great lines of the palm."""
    total = np.zeros(len(rest_m))
    chosen = np.flatnonzero((palmar > 0.2) & (rest_m[:, 2] > -0.1) & (rest_m[:, 2] < 0.0))
    xz = rest_m[chosen][:, [0, 2]]
    xz += 0.0007 * np.stack([np.sin(xz[:, 1] * 420), np.sin(xz[:, 0] * 380 + 1)], axis=1)
    for strength, course in PALM_LINES:
        distance = _to_line(xz, np.array(course))
        fold = 0.55 * np.exp(-((distance / 0.0008) ** 2)) + 0.22 * np.exp(-((distance / 0.003) ** 2))
        total[chosen] += strength * fold
    return total * palmar


def _wrist_lines(points: Points) -> np.ndarray:
    """Depth (N,) of the two lines across the inside of the wrist."""
    z = points.rest_m[:, 2] + 0.0012 * np.sin(points.rest_m[:, 0] * 160)
    lines = np.exp(-(((z - 0.006) / 0.0007) ** 2)) + 0.6 * np.exp(-(((z - 0.013) / 0.0006) ** 2))
    depth: np.ndarray = 0.55 * lines * _step(0.2, 0.6, -points.normals[:, 1])
    return depth


def _step(low: float, high: float, value: np.ndarray) -> np.ndarray:
    """0 up to ``low``, 1 from ``high``, smooth between; falls when low > high."""
    t = np.clip((value - low) / (high - low), 0.0, 1.0)
    smooth: np.ndarray = t * t * (3 - 2 * t)
    return smooth


def _to_line(points: np.ndarray, line: np.ndarray) -> np.ndarray:
    """Distance (N,) of points (N, 2) to a polyline (K, 2) rounded by cutting its corners twice."""
    for _ in range(2):
        cut = np.concatenate([0.75 * line[:-1] + 0.25 * line[1:], 0.25 * line[:-1] + 0.75 * line[1:]], axis=1)
        line = np.vstack([line[:1], cut.reshape(-1, 2), line[-1:]])
    nearest = np.full(len(points), np.inf)
    for a, b in pairwise(line):
        t = np.clip((points - a) @ (b - a) / max(float((b - a) @ (b - a)), 1e-12), 0, 1)
        nearest = np.minimum(nearest, np.linalg.norm(points - a - t[:, None] * (b - a), axis=1))
    return nearest
