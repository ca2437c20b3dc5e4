"""Light as many directions, each with its own shadow map: soft shadows, occlusion and bounce from one sum."""

import numpy as np

from demo_clip.raster import nearest_map

CENTRE_M = np.array([0.0, 0.10, 0.12])
RADIUS_M = 0.62
TEXEL_M = 0.003
BIAS_M, SOFTNESS_M = 0.003, 0.006
WINDOW = np.array([-0.45, 0.55, 0.75])
LAMP = np.array([0.75, -0.25, 0.60])
WRAP = np.array([0.30, 0.16, 0.10])
"""How far red, green and blue creep past the terminator under the skin."""


class Light:
    """Directions toward the light and what comes from each: a sky, a window, a lamp, the table's bounce."""

    def __init__(self) -> None:
        sky = _sphere(110)
        up = sky[:, 2:]
        radiance = np.where(up > 0, [[0.36, 0.355, 0.36]] + up * 0.20, [[0.20, 0.140, 0.095]]) * 4 / len(sky)
        window = _cone(WINDOW, 11.0, 18)
        lamp = _cone(LAMP, 12.0, 9)
        self.directions = np.vstack([sky, window, lamp])
        shares = [np.full((len(window), 1), 1 / len(window)), np.full((len(lamp), 1), 1 / len(lamp))]
        self.radiance = np.vstack([radiance, shares[0] * [1.02, 0.99, 0.94], shares[1] * [0.30, 0.23, 0.16]])
        self._axes = [_across(direction) for direction in self.directions]
        self._maps: list[np.ndarray] = []

    def cast_shadows(self, vertices_m: np.ndarray, faces: np.ndarray) -> None:
        """Draw what stands in the light of every direction."""
        size = int(2 * RADIUS_M / TEXEL_M)
        centred = vertices_m - CENTRE_M
        self._maps = []
        for direction, axes in zip(self.directions, self._axes, strict=True):
            corners = centred @ axes.T / TEXEL_M + size / 2
            found = nearest_map(corners, centred @ direction, faces, width=size, height=size)
            self._maps.append(found.astype(np.float32))

    def irradiance(self, points_m: np.ndarray, normals: np.ndarray, *, wrap: np.ndarray) -> np.ndarray:
        """Light (N, 3) that falls on surface points; ``wrap`` (3,) per colour."""
        total = np.zeros((len(points_m), 3))
        centred = points_m - CENTRE_M + 0.002 * normals
        for direction, radiance, axes, shadow in zip(
            self.directions, self.radiance, self._axes, self._maps, strict=True
        ):
            facing = normals @ direction
            near = np.flatnonzero(facing > -wrap.max())
            cosine = np.maximum((facing[near, None] + wrap) / (1 + wrap), 0)
            at = centred[near] @ axes.T / TEXEL_M + len(shadow) / 2
            seen = _visibility(shadow, at, centred[near] @ direction)
            total[near] += radiance * cosine * seen[:, None]
        return total


def _visibility(shadow: np.ndarray, at: np.ndarray, nearness: np.ndarray) -> np.ndarray:
    """Share (N,) of four neighbouring texels that do not stand in front; 1 outside the map."""
    size = len(shadow)
    low = np.floor(at).astype(int)
    part = at - low
    seen = np.zeros(len(at))
    for dx in (0, 1):
        for dy in (0, 1):
            x, y = low[:, 0] + dx, low[:, 1] + dy
            inside = (x >= 0) & (y >= 0) & (x < size) & (y < size)
            front = np.where(inside, shadow[y.clip(0, size - 1), x.clip(0, size - 1)], -np.inf)
            open_share = np.clip(1 - (front - nearness - BIAS_M) / SOFTNESS_M, 0, 1)
            seen += open_share * np.abs(1 - dx - part[:, 0]) * np.abs(1 - dy - part[:, 1])
    return seen


def _across(direction: np.ndarray) -> np.ndarray:
    """Two unit rows across ``direction``, so that faces turned to the light count as turned to the viewer."""
    side = np.cross(direction, [0.0, 0.0, 1.0] if abs(direction[2]) < 0.9 else [0.0, 1.0, 0.0])
    side = side / np.linalg.norm(side)
    return np.stack([side, np.cross(side, direction)])


def _sphere(count: int) -> np.ndarray:
    """Directions spread evenly over the sphere (Fibonacci's spiral)."""
    k = np.arange(count) + 0.5
    z = 1 - 2 * k / count
    turn = np.pi * (1 + 5**0.5) * k
    return np.stack([np.sqrt(1 - z * z) * np.cos(turn), np.sqrt(1 - z * z) * np.sin(turn), z], axis=1)


def _cone(axis: np.ndarray, half_angle_deg: float, count: int) -> np.ndarray:
    """Directions spread evenly over a disc around ``axis``."""
    axis = axis / np.linalg.norm(axis)
    k = np.arange(count) + 0.5
    radius = np.tan(np.deg2rad(half_angle_deg)) * np.sqrt(k / count)
    turn = np.pi * (3 - 5**0.5) * k
    spread = axis + np.stack([radius * np.cos(turn), radius * np.sin(turn)], axis=1) @ _across(axis)
    return spread / np.linalg.norm(spread, axis=1, keepdims=True)
