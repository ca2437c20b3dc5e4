"""Pictures of a board as a lens of ours sees it: noise, blur, dark beyond the lens."""

from dataclasses import dataclass

import cv2
import numpy as np

from tracker.calibrate_camera.boards import Board
from tracker.calibrate_camera.printing import DOTS_PER_INCH, board_sheet
from tracker.cameras import Camera
from tracker.structs import ImageArray

DETAIL = 1.3
"""Texture to a pixel of the picture where the board is near: coarser bends it, finer would need averaging."""


@dataclass(frozen=True, eq=False)
class Pose:
    """Where the sheet's middle is, metres, and how it is turned, a rotation vector."""

    place_m: tuple[float, float, float]
    turn_rad: tuple[float, float, float] = (0.0, 0.0, 0.0)


class BoardStudio:
    """Takes pictures of a printed board: each pixel's ray is followed to the sheet of paper."""

    def __init__(self, camera: Camera, board: Board, *, near_m: float = 0.35) -> None:
        self.camera = camera
        sheet = board_sheet(board)
        shrink = round(DOTS_PER_INCH / 0.0254 * near_m / (DETAIL * camera.fx))
        size = (sheet.width // shrink, sheet.height // shrink)
        whole = sheet.convert("L").crop((0, 0, size[0] * shrink, size[1] * shrink))
        self._sheet = cv2.resize(np.asarray(whole), size, interpolation=cv2.INTER_AREA)
        self._dots_per_m = DOTS_PER_INCH / shrink / 0.0254
        x, y = (np.arange(n, dtype=np.float64) for n in (camera.width, camera.height))
        with np.errstate(all="ignore"):
            self._rays = camera.unproject(np.stack(np.meshgrid(x, y), axis=-1)).astype(np.float32)

    def picture(self, pose: Pose, *, blur_px: float = 0.6, noise: float = 3.0, seed: int = 0) -> ImageArray:
        """(H, W) grey."""
        turned = cv2.Rodrigues(np.array(pose.turn_rad, dtype=np.float64))[0]
        inverse = turned.T.astype(np.float32)
        start = inverse @ np.array(pose.place_m, dtype=np.float32)
        rays = self._rays @ inverse.T
        with np.errstate(all="ignore"):
            away = start[2] / rays[..., 2]
            on_sheet_m = rays[..., :2] * away[..., None] - start[:2]
        away[~(away > 0)] = np.nan
        on_sheet_m[~np.isfinite(away)] = 1e3
        texture = on_sheet_m * self._dots_per_m + (np.array(self._sheet.shape[::-1], np.float32) - 1) / 2
        texture = np.nan_to_num(texture, nan=-1e4).astype(np.float32)
        seen = cv2.remap(self._sheet, texture, None, cv2.INTER_LINEAR, borderValue=90)
        seen = 25 + 0.8 * seen
        seen[~np.isfinite(self._rays[..., 2])] = 0.0
        image = cv2.GaussianBlur(seen, (0, 0), blur_px)
        image += np.random.default_rng(seed).normal(0, noise, image.shape).astype(np.float32)
        return np.asarray(np.clip(np.round(image), 0, 255), dtype=np.uint8)


def varied_poses(
    camera: Camera, count: int, *, near_m: float, edge: float = 0.8, seed: int = 0
) -> list[Pose]:
    """Sheets all over the picture, tilted up to 40 degrees; ``edge`` says how far out, 1 is its edges."""
    rng = np.random.default_rng(seed)
    poses = []
    for number in range(count):
        across, down = (edge * (2 * halton(number + 1, base) - 1) for base in (2, 3))
        pixel = ((camera.width - 1) * (1 + across) / 2, (camera.height - 1) * (1 + down) / 2)
        ray = camera.unproject(np.array(pixel))
        distance_m = near_m * rng.uniform(1.0, 1.6)
        tilt, toward = np.radians(rng.uniform(10, 40)), rng.uniform(0, 2 * np.pi)
        turn = np.array([np.cos(toward), np.sin(toward), 0.0]) * tilt + (0, 0, rng.uniform(-0.3, 0.3))
        place = ray * distance_m
        poses.append(Pose((float(place[0]), float(place[1]), float(place[2])), tuple(map(float, turn))))
    return poses


def halton(number: int, base: int) -> float:
    """Evenly spread numbers from 0 to 1."""
    value, share = 0.0, 1.0
    while number:
        share /= base
        value += share * (number % base)
        number //= base
    return value
