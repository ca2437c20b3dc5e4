"""Procedural pictures and noise; all colours are linear light, red green blue."""

import numpy as np


def linear(*srgb: float) -> np.ndarray:
    """Linear light of an sRGB colour in 0..255."""
    return (np.array(srgb) / 255.0) ** 2.2


def blurred(picture: np.ndarray, sigma: float) -> np.ndarray:
    """Gaussian blur over the first two axes, which wrap around."""
    reach = int(3 * sigma) + 1
    taps = np.exp(-0.5 * (np.arange(-reach, reach + 1) / max(sigma, 1e-6)) ** 2)
    taps /= taps.sum()
    for axis in (0, 1):
        picture = sum(t * np.roll(picture, k - reach, axis=axis) for k, t in enumerate(taps))
    return picture


def smooth_noise(shape: tuple[int, ...], cells: tuple[int, ...], seed: int) -> np.ndarray:
    """Periodic noise of about unit size: random values on a coarse grid, cosine-interpolated."""
    values = np.random.default_rng(seed).normal(size=cells)
    for axis, (size, count) in enumerate(zip(shape, cells, strict=True)):
        at = np.arange(size) * count / size
        low = np.floor(at).astype(int)
        part = (1 - np.cos(np.pi * (at - low))) / 2
        part = part.reshape([-1 if k == axis else 1 for k in range(len(shape))])
        before, after = np.take(values, low % count, axis), np.take(values, (low + 1) % count, axis)
        values = before + part * (after - before)
    return values


class Wood:
    """A table top of boards that run to the side; colour by place on the table."""

    TEXEL_M = 0.0008
    SIZE = 2048

    def __init__(self) -> None:
        n = self.SIZE
        rows = np.arange(n)[:, None] * self.TEXEL_M
        board = np.floor(rows / 0.1365).astype(int)
        random = np.random.default_rng(7)
        shift = random.uniform(-3, 3, board.max() + 1)[board]
        tone = random.uniform(-1, 1, board.max() + 1)[board]
        warp = smooth_noise((n, n), (40, 6), 1) + 0.5 * smooth_noise((n, n), (90, 14), 2)
        rings = np.sin(2 * np.pi * (rows * 38 + 1.1 * warp + shift)) * 0.5 + 0.5
        grain = smooth_noise((n, n), (1024, 24), 3) * 0.5 + smooth_noise((n, n), (700, 60), 4) * 0.5
        pores = np.clip(smooth_noise((n, n), (1024, 100), 5) - 1.1, 0, 1)
        light, dark = linear(196, 152, 106), linear(150, 106, 68)
        mix = np.clip(0.30 + 0.32 * rings**2 + 0.10 * grain + 0.13 * tone, 0, 1)[..., None]
        colour = light * (1 - mix) + dark * mix
        colour *= 1 - 0.35 * pores[..., None]
        to_edge = np.abs((rows / 0.1365) % 1 - 0.5)
        gap = np.exp(-(((0.5 - to_edge) * 0.1365 / 0.0009) ** 2))[..., None]
        colour *= 1 - 0.55 * gap
        self.levels = [blurred(colour, 0.7).astype(np.float32), blurred(colour, 2.2).astype(np.float32)]

    def at(self, x_m: np.ndarray, y_m: np.ndarray, level: int) -> np.ndarray:
        """Colours (N, 3) at places on the table, bilinear."""
        return sample(self.levels[level], x_m / self.TEXEL_M + 1024, y_m / self.TEXEL_M + 700)


def sample(picture: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Bilinear colours (N, C) of ``picture`` (H, W, C) at columns x and rows y; it repeats outside."""
    height, width = picture.shape[:2]
    x0, y0 = np.floor(x).astype(int), np.floor(y).astype(int)
    fx, fy = (x - x0)[:, None], (y - y0)[:, None]
    x1, y1 = (x0 + 1) % width, (y0 + 1) % height
    x0, y0 = x0 % width, y0 % height
    top = picture[y0, x0] * (1 - fx) + picture[y0, x1] * fx
    bottom = picture[y1, x0] * (1 - fx) + picture[y1, x1] * fx
    return top * (1 - fy) + bottom * fy


class Grain3d:
    """Noise in space, read at the nearest cell: fine (about 1 mm), middle (4 mm) and broad (15 mm)."""

    CELL_M = 0.0004
    SIZE = 128

    def __init__(self) -> None:
        n = self.SIZE
        self._fine = smooth_noise((n, n, n), (56, 56, 56), 11).astype(np.float32)
        self._middle = smooth_noise((n, n, n), (26, 26, 26), 12).astype(np.float32)

    def fine(self, points_m: np.ndarray, cell_m: float = CELL_M) -> np.ndarray:
        """Noise (N,) with features a little over two cells wide."""
        return self._read(self._fine, points_m, cell_m)

    def middle(self, points_m: np.ndarray, cell_m: float = CELL_M) -> np.ndarray:
        """Noise (N,) with features about five cells wide."""
        return self._read(self._middle, points_m, cell_m)

    def _read(self, volume: np.ndarray, points_m: np.ndarray, cell_m: float) -> np.ndarray:
        i, j, k = (np.round(points_m / cell_m).astype(np.int64) % self.SIZE).T
        return volume[i, j, k]
