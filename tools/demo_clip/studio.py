"""One picture of the demo: arms and things, lit and drawn over table and wall, then developed."""

from dataclasses import dataclass

import numpy as np

from demo_clip.body import Body, build_body, vertex_normals
from demo_clip.light import LAMP, WINDOW, WRAP, Light
from demo_clip.motion import Arm, arm_at, camera_at
from demo_clip.raster import Fragments, rasterise
from demo_clip.scene import Backdrop, Mesh, desk_things
from demo_clip.skin import Points, Skin
from demo_clip.textures import blurred, sample
from tracker.joints import Side

WIDTH, HEIGHT = 1280, 720
FOCAL_PX = 700.0
CAMERA = np.array([[FOCAL_PX, 0.0, (WIDTH - 1) / 2], [0.0, FOCAL_PX, (HEIGHT - 1) / 2], [0.0, 0.0, 1.0]])
"""Pixels from camera axes; a pixel's centre is at whole coordinates."""
OVERSAMPLING = 2
EXPOSURE = 1.0
GRID_M = 0.008
"""Spacing of the places at which the light on the table is worked out."""
GRID_X = np.arange(-0.75, 0.75, GRID_M)
GRID_Y = np.arange(-0.25, 0.75, GRID_M)


@dataclass(frozen=True, eq=False)
class Surfaces:
    """What is drawn at one moment, in the world: left arm, right arm, then the things on the desk."""

    vertices_m: np.ndarray
    normals: np.ndarray
    faces: np.ndarray


class Studio:
    """All that stays the same from frame to frame, and the taking of one picture."""

    def __init__(self) -> None:
        self._body: Body = build_body()
        self._skin = Skin()
        self._light = Light()
        self._backdrop = Backdrop()
        self._things: Mesh = desk_things()
        self._thing_normals = vertex_normals(self._things.vertices_m, self._things.faces)

    def picture(self, time_s: float, noise: np.random.Generator) -> np.ndarray:
        """The picture (HEIGHT, WIDTH, 3) uint8 at ``time_s``."""
        camera_from_world, place_m = camera_at(time_s)
        arms = [arm_at(side, time_s) for side in (Side.LEFT, Side.RIGHT)]
        coarse = [self._body.coarse(arm) for arm in arms]
        self._cast_shadows(arms, coarse)
        surfaces = self._surfaces(arms, coarse)
        received = self._received(surfaces)
        light = self._background(camera_from_world, place_m)
        self._draw(light, surfaces, received, camera_from_world, place_m)
        return developed(light.reshape(HEIGHT, WIDTH, 3), noise)

    def _cast_shadows(self, arms: list[Arm], coarse: list[np.ndarray]) -> None:
        vertices, faces, start = [self._things.vertices_m], [self._things.faces], len(self._things.vertices_m)
        for arm, points in zip(arms, coarse, strict=True):
            vertices.append(points)
            faces.append(_outward(self._body.coarse_faces, arm) + start)
            start += len(points)
        self._light.cast_shadows(np.vstack(vertices), np.vstack(faces))

    def _surfaces(self, arms: list[Arm], coarse: list[np.ndarray]) -> Surfaces:
        vertices, normals, faces, start = [], [], [], 0
        for arm, points in zip(arms, coarse, strict=True):
            fine, triangles = self._body.fine(points), _outward(self._body.fine_faces, arm)
            vertices.append(fine)
            normals.append(vertex_normals(fine, triangles))
            faces.append(triangles + start)
            start += len(fine)
        return Surfaces(
            vertices_m=np.vstack([*vertices, self._things.vertices_m]),
            normals=np.vstack([*normals, self._thing_normals]),
            faces=np.vstack([*faces, self._things.faces + start]),
        )

    def _received(self, surfaces: Surfaces) -> np.ndarray:
        """Light (N, 3) on each vertex; only skin lets it creep on inside."""
        first_thing = 2 * len(self._body.rest_m)
        parts = [(slice(None, first_thing), WRAP), (slice(first_thing, None), np.zeros(3))]
        return np.vstack([
            self._light.irradiance(surfaces.vertices_m[part], surfaces.normals[part], wrap=wrap)
            for part, wrap in parts
        ])  # fmt: skip

    def _background(self, camera_from_world: np.ndarray, place_m: np.ndarray) -> np.ndarray:
        """Light (HEIGHT * WIDTH, 3) from table and wall, with the shadows on the table."""
        x, y = np.meshgrid(np.arange(WIDTH), np.arange(HEIGHT))
        pixels = np.stack([x, y, np.ones(x.shape)], axis=-1).reshape(-1, 3)
        rays = pixels @ np.linalg.inv(CAMERA).T @ camera_from_world
        light = self._backdrop.wall(place_m, rays)
        hits, places_m, share = self._backdrop.table_hits(place_m, rays)
        column = ((places_m[:, 0] - GRID_X[0]) / GRID_M).clip(0, len(GRID_X) - 1.001)
        row = ((places_m[:, 1] - GRID_Y[0]) / GRID_M).clip(0, len(GRID_Y) - 1.001)
        from_window = (places_m[:, 0] + 0.25) ** 2 + (places_m[:, 1] - 0.45) ** 2
        table = self._backdrop.table(places_m) * sample(self._table_light(), column, row)
        table /= (1 + 0.35 * from_window)[:, None]
        light[hits] += share[:, None] * (table - light[hits])
        return light

    def _table_light(self) -> np.ndarray:
        """Light on the table top at the grid's places, (len(GRID_Y), len(GRID_X), 3)."""
        grid = np.stack([*np.meshgrid(GRID_X, GRID_Y), np.zeros((len(GRID_Y), len(GRID_X)))], axis=-1)
        up = np.tile([0.0, 0.0, 1.0], (grid[..., 0].size, 1))
        light = self._light.irradiance(grid.reshape(-1, 3), up, wrap=np.zeros(3))
        return blurred(light.reshape(grid.shape), 1.3)

    def _draw(
        self,
        light: np.ndarray,
        surfaces: Surfaces,
        received: np.ndarray,
        camera_from_world: np.ndarray,
        place_m: np.ndarray,
    ) -> None:
        """Blend the surfaces over ``light`` (HEIGHT * WIDTH, 3), in place."""
        in_camera = (surfaces.vertices_m - place_m) @ camera_from_world.T
        seen, corner = _seen(in_camera, surfaces.faces)
        normal = _between(surfaces.normals @ camera_from_world.T, seen, corner)
        normal /= np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-9)
        albedo, gloss = self._material(seen, corner)
        falling = _between(received, seen, corner)
        mirrored = _mirrored(normal, _between(in_camera, seen, corner), camera_from_world)
        colour = albedo * falling + mirrored * (gloss * np.minimum(falling.mean(axis=1), 1.2))[:, None]
        row, column = np.divmod(seen.sample, WIDTH * OVERSAMPLING)
        pixel = row // OVERSAMPLING * WIDTH + column // OVERSAMPLING
        light *= (1 - np.bincount(pixel, minlength=len(light)) / OVERSAMPLING**2)[:, None]
        for channel in range(3):
            light[:, channel] += np.bincount(pixel, colour[:, channel], len(light)) / OVERSAMPLING**2

    def _material(self, seen: Fragments, corner: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Albedo (S, 3) and gloss (S,) of the samples."""
        count = len(self._body.rest_m)
        albedo, gloss = np.empty((len(corner), 3)), np.empty(len(corner))
        arm = corner[:, 0] < 2 * count
        own, share = corner[arm] % count, seen.weights[arm]
        rest = np.einsum("sk,skd->sd", share, self._body.rest_m[own])
        normal = np.einsum("sk,skd->sd", share, self._body.rest_normals[own])
        label = self._body.labels[own[np.arange(len(own)), share.argmax(axis=1)]]
        albedo[arm], gloss[arm] = self._skin.shade(Points(rest, normal, label))
        own, share = corner[~arm] - 2 * count, seen.weights[~arm]
        albedo[~arm] = np.einsum("sk,skd->sd", share, self._things.colours[own])
        gloss[~arm] = np.einsum("sk,sk->s", share, self._things.gloss[own])
        return albedo, gloss


def developed(light: np.ndarray, noise: np.random.Generator) -> np.ndarray:
    """A lens that is not quite sharp, exposure, a film-like curve, sensor noise, 8 bits."""
    for axis in (0, 1):
        padded = np.pad(light, [(1, 1) if k == axis else (0, 0) for k in range(3)], mode="edge")
        before, here, after = (np.take(padded, range(k, k + light.shape[axis]), axis) for k in (0, 1, 2))
        light = 0.12 * before + 0.76 * here + 0.12 * after
    y, x = np.ogrid[-1 : 1 : HEIGHT * 1j, -1 : 1 : WIDTH * 1j]
    light = light * (EXPOSURE * (1 - 0.08 * (x**2 + y**2)))[..., None]
    curve = light * (1 + 0.18 * light) / (1 + 0.33 * light)  # Rolls off what would burn out.
    encoded = 255 * np.clip(curve, 0, 1) ** (1 / 2.2)
    encoded += noise.normal(0, 1.2, size=(HEIGHT, WIDTH, 1))
    return np.clip(np.round(encoded), 0, 255).astype(np.uint8)


def _outward(faces: np.ndarray, arm: Arm) -> np.ndarray:
    """The right arm's faces, turned around for a left one."""
    return faces if arm.posed.hand.side is Side.RIGHT else faces[:, ::-1]


def _seen(in_camera: np.ndarray, faces: np.ndarray) -> tuple[Fragments, np.ndarray]:
    """The visible samples and the vertices (S, 3) of the faces they lie on."""
    ahead = in_camera[:, 2] > 0.05
    depth = np.where(ahead, in_camera[:, 2], 1.0)
    corners = in_camera[:, :2] / depth[:, None] * FOCAL_PX + CAMERA[:2, 2]
    shown = faces[ahead[faces].all(axis=1)]
    seen = rasterise(
        (corners + 0.5) * OVERSAMPLING - 0.5,
        1.0 / depth,
        shown,
        width=WIDTH * OVERSAMPLING,
        height=HEIGHT * OVERSAMPLING,
    )
    return seen, shown[seen.face]


def _between(values: np.ndarray, seen: Fragments, corner: np.ndarray) -> np.ndarray:
    """Values (S, D) at samples from values (N, D) at vertices."""
    between: np.ndarray = np.einsum("sk,skd->sd", seen.weights, values[corner])
    return between


def _mirrored(normal: np.ndarray, point: np.ndarray, camera_from_world: np.ndarray) -> np.ndarray:
    """What a glossy surface mirrors of window, lamp and room (S, 3); normals and points in camera axes."""
    to_eye = -point / np.linalg.norm(point, axis=1, keepdims=True)
    strength = 0.10 * (1 - np.clip((normal * to_eye).sum(axis=1), 0, 1)) ** 4
    for source, share in ((WINDOW, 0.5), (LAMP, 0.22)):
        half = to_eye + camera_from_world @ (source / np.linalg.norm(source))
        cosine = np.clip((normal * half).sum(axis=1) / np.linalg.norm(half, axis=1), 0, 1)
        strength += share * (0.16 * cosine**14 + 0.20 * cosine**45)
    mirrored: np.ndarray = strength[:, None] * np.array([0.95, 0.98, 1.0])
    return mirrored
