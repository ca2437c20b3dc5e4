"""The desk: table top, wall, and the things on the table as meshes with a colour per vertex."""

from dataclasses import dataclass

import numpy as np

from demo_clip.textures import Wood, blurred, linear, sample

TABLE_END_M = 0.78
EDGE_M = 0.005
"""About one pixel, seen at the far edge of the table."""
WALL_M = 1.9
PAPER_AT_M, PAPER_TURN_RAD = np.array([0.03, 0.27]), np.deg2rad(-6.0)


@dataclass(frozen=True, eq=False)
class Mesh:
    """Triangles wound outward with a colour and a gloss per vertex, in the world."""

    vertices_m: np.ndarray
    faces: np.ndarray
    colours: np.ndarray
    gloss: np.ndarray


def grid(origin: np.ndarray, u: np.ndarray, v: np.ndarray, nu: int, nv: int) -> tuple[np.ndarray, np.ndarray]:
    """A flat patch of nu x nv cells spanned by u and v; its normal is u x v."""
    i, j = np.meshgrid(np.arange(nu + 1), np.arange(nv + 1), indexing="ij")
    vertices = origin + i[..., None] * u / nu + j[..., None] * v / nv
    return vertices.reshape(-1, 3), _cells(nu, nv)


def box(size: np.ndarray, cells: tuple[int, int, int]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Vertices, faces and face number (0..5: -x +x -y +y -z +z) per vertex of a box that stands on z = 0."""
    x, y, z = np.diag(size)
    base = np.array([-size[0] / 2, -size[1] / 2, 0.0])
    nx, ny, nz = cells
    sides = [
        (base, z, y, nz, ny),
        (base + x, y, z, ny, nz),
        (base, x, z, nx, nz),
        (base + y, z, x, nz, nx),
        (base, y, x, ny, nx),
        (base + z, x, y, nx, ny),
    ]
    return _joined([grid(*side) for side in sides])


def lathe(profile: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """A surface of revolution around z from (radius, height) pairs; outward when they run up the outside."""
    angle = np.linspace(0, 2 * np.pi, count + 1)
    x, y = np.cos(angle)[:, None] * profile[:, 0], np.sin(angle)[:, None] * profile[:, 0]
    rings = np.stack([x, y, np.broadcast_to(profile[:, 1], x.shape)], axis=-1)
    return rings.reshape(-1, 3), _cells(count, len(profile) - 1)


def desk_things() -> Mesh:
    """A closed book, a mug and a pencil."""
    parts = [_book(), _mug(), _pencil()]
    offsets = np.cumsum([0, *(len(part.vertices_m) for part in parts)])
    return Mesh(
        np.vstack([part.vertices_m for part in parts]),
        np.vstack([part.faces + offset for part, offset in zip(parts, offsets, strict=False)]),
        np.vstack([part.colours for part in parts]),
        np.concatenate([part.gloss for part in parts]),
    )


class Backdrop:
    """Table top with a sheet of paper on it, and the wall behind, by ray."""

    def __init__(self) -> None:
        self._wood = Wood()
        self._wall = _wall()

    def table_hits(self, origin_m: np.ndarray, rays: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Numbers (M,) of the rays (N, 3) that meet the table top, where (M, 2) and how much of each (M,)."""
        down = np.flatnonzero(rays[:, 2] < -1e-3)
        places = origin_m[:2] - origin_m[2] / rays[down, 2:] * rays[down, :2]
        share = np.clip((TABLE_END_M - places[:, 1]) / EDGE_M + 0.5, 0, 1)
        hits = share > 0
        return down[hits], places[hits], share[hits]

    def table(self, places_m: np.ndarray) -> np.ndarray:
        """Albedo (N, 3) of the table top."""
        near = self._wood.at(places_m[:, 0], places_m[:, 1], 0)
        far = self._wood.at(places_m[:, 0], places_m[:, 1], 1)
        wood = near + (far - near) * np.clip((places_m[:, 1:] - 0.15) / 0.45, 0, 1)
        sheet, share = _paper(places_m)
        return wood + share[:, None] * (sheet - wood)

    def wall(self, origin_m: np.ndarray, rays: np.ndarray) -> np.ndarray:
        """Light (N, 3) from the out-of-focus wall."""
        distance = (WALL_M - origin_m[1]) / np.maximum(rays[:, 1], 1e-3)
        hit = origin_m + distance[:, None] * rays
        return sample(self._wall, (hit[:, 0] + 2.4) * 100, (hit[:, 2] + 1.4) * 100)


def _wall() -> np.ndarray:
    """The wall out of focus: 4.8 m x 3.2 m in centimetres, row 0 at the bottom."""
    wall = np.ones((320, 480, 3)) * linear(206, 200, 188)
    wall[:150] = linear(172, 160, 142)
    wall[150:158] = linear(214, 208, 196)
    wall[170:262, 60:150] = linear(240, 244, 248) * 1.15
    wall[170:262, 103:107] = linear(200, 200, 198)
    wall[60:240, 300:400] = linear(112, 84, 60)
    random = np.random.default_rng(3)
    for shelf in range(4):
        left = 304
        while left < 392:
            width, tall = int(random.integers(3, 8)), int(random.integers(24, 36))
            bottom, tone = 66 + 44 * shelf, random.uniform(70, 150) + random.uniform(-25, 25, 3)
            wall[bottom : bottom + tall, left : left + width] = linear(*tone)
            left += width + 1
    wall[95:160, 205:250] = linear(120, 126, 104)
    return blurred(wall, 7.0)


def _book() -> Mesh:
    size = np.array([0.15, 0.215, 0.026])
    vertices, faces, side = box(size, (30, 43, 10))
    cover, pages, gold = linear(46, 84, 92), linear(232, 222, 200), linear(214, 178, 104)
    colours = np.tile(cover, (len(vertices), 1))
    inner = (vertices[:, 2] > 0.003) & (vertices[:, 2] < 0.023)
    paper = (side != 0) & (side < 4) & inner
    layers = 0.93 + 0.07 * np.sin(vertices[:, 2:] * 5200)
    colours[paper] = pages * layers[paper]
    x, y = vertices[:, 0], vertices[:, 1]
    top = side == 5
    frame = np.maximum(np.abs(x) - 0.055, np.abs(y) - 0.087)
    colours[top & (np.abs(frame) < 0.0026)] = gold
    colours[top & (np.abs(x) < 0.036) & (np.abs(y - 0.045) < 0.006)] = gold
    colours[top & (np.abs(x) < 0.022) & (np.abs(y - 0.028) < 0.004)] = gold
    return Mesh(_placed(vertices, 24.0, (-0.27, 0.36)), faces, colours, np.full(len(vertices), 0.35))


def _mug() -> Mesh:
    outside = [(0.0, 0.0), (0.036, 0.0), (0.039, 0.004), (0.040, 0.012)]
    outside += [(0.040, z) for z in np.linspace(0.02, 0.088, 12)]
    rim = [(0.0405, 0.092), (0.0385, 0.0945), (0.0365, 0.092)]
    inside = [
        *((0.036, z) for z in np.linspace(0.088, 0.071, 4)),
        (0.03, 0.0705),
        (0.015, 0.0705),
        (0.0, 0.0705),
    ]
    profile = np.array([*outside, *rim, *inside])
    vertices, faces = lathe(profile, 48)
    colours = np.tile(linear(206, 92, 62), (len(vertices), 1))
    radius = np.hypot(vertices[:, 0], vertices[:, 1])
    cream = (radius < 0.0395) & (vertices[:, 2] > 0.06)
    colours[cream] = linear(238, 230, 214)
    colours[(vertices[:, 2] < 0.0708) & (vertices[:, 2] > 0.06) & (radius < 0.0355)] = linear(58, 34, 20)
    colours[(vertices[:, 2] < 0.02) & (radius > 0.03)] = linear(238, 230, 214)
    handle, handle_faces = _mug_handle()
    vertices, faces, _ = _joined([(vertices, faces), (handle, handle_faces)])
    colours = np.vstack([colours, np.tile(linear(206, 92, 62), (len(handle), 1))])
    return Mesh(_placed(vertices, -35.0, (0.33, 0.38)), faces, colours, np.full(len(vertices), 1.1))


def _mug_handle() -> tuple[np.ndarray, np.ndarray]:
    bend, around = np.meshgrid(np.linspace(-1.9, 1.9, 25), np.linspace(0, 2 * np.pi, 13), indexing="ij")
    out = 0.026 * np.cos(bend) + 0.006 * np.cos(around) * np.cos(bend)
    up = 0.027 * np.sin(bend) + 0.006 * np.cos(around) * np.sin(bend)
    vertices = np.stack([0.044 + out, 0.007 * np.sin(around), 0.05 + up], axis=-1).reshape(-1, 3)
    return vertices, _cells(24, 12)[:, ::-1]


def _paper(places_m: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Albedo (N, 3) of a ruled sheet and how much of it (N,) lies at places (N, 2) on the table."""
    c, s = np.cos(PAPER_TURN_RAD), np.sin(PAPER_TURN_RAD)
    x, y = ((places_m - PAPER_AT_M) @ np.array([[c, -s], [s, c]])).T
    outside = np.maximum(np.abs(x) - 0.105, np.abs(y) - 0.14)
    blue = np.clip(1.8 - np.abs((y + 0.5) % 0.012 - 0.006) / 0.0006, 0, 1) * (y < 0.112)
    red = np.clip(1.8 - np.abs(x + 0.083) / 0.0005, 0, 1)
    colour = linear(233, 230, 221) * np.ones((len(x), 1))
    colour += 0.75 * blue[:, None] * (linear(150, 172, 204) - colour)
    colour += 0.75 * red[:, None] * (linear(214, 128, 124) - colour)
    return colour, np.clip(0.5 - outside / 0.0011, 0, 1)


def _pencil() -> Mesh:
    shape = [(0.0, 0.0), (0.0007, 0.0), (0.0037, 0.016), (0.0037, 0.150), (0.0040, 0.151), (0.0040, 0.160)]
    profile = np.array([*shape, (0.0036, 0.161), (0.0036, 0.170), (0.0, 0.171)])
    profile = np.stack(
        [np.interp(np.linspace(0, 8, 65), np.arange(9), profile[:, k]) for k in (0, 1)], axis=1
    )
    vertices, faces = lathe(profile, 12)
    z = vertices[:, 2]
    colours = np.tile(linear(226, 168, 40), (len(vertices), 1))
    colours[z < 0.017] = linear(218, 180, 134)
    colours[z < 0.005] = linear(50, 50, 54)
    colours[z > 0.1505] = linear(180, 182, 184)
    colours[z > 0.1605] = linear(214, 120, 118)
    lying = np.stack([vertices[:, 2] - 0.085, vertices[:, 1], 0.0042 - vertices[:, 0]], axis=1)
    return Mesh(_placed(lying, 28.0, (0.14, 0.31)), faces, colours, np.full(len(vertices), 0.6))


def _placed(vertices: np.ndarray, turn_deg: float, place_m: tuple[float, float]) -> np.ndarray:
    c, s = np.cos(np.deg2rad(turn_deg)), np.sin(np.deg2rad(turn_deg))
    return vertices @ np.array([[c, s, 0.0], [-s, c, 0.0], [0.0, 0.0, 1.0]]) + [*place_m, 0.0]


def _cells(nu: int, nv: int) -> np.ndarray:
    i, j = (index.ravel() for index in np.meshgrid(np.arange(nu), np.arange(nv), indexing="ij"))
    a, b, c, d = i * (nv + 1) + j, (i + 1) * (nv + 1) + j, (i + 1) * (nv + 1) + j + 1, i * (nv + 1) + j + 1
    return np.vstack([np.stack([a, b, c], axis=1), np.stack([a, c, d], axis=1)])


def _joined(parts: list[tuple[np.ndarray, np.ndarray]]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    vertices, faces, number = [], [], []
    start = 0
    for k, (part, triangles) in enumerate(parts):
        vertices.append(part)
        faces.append(triangles + start)
        number.append(np.full(len(part), k))
        start += len(part)
    return np.vstack(vertices), np.vstack(faces), np.concatenate(number)
