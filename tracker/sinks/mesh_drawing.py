"""Shaded hand meshes: triangles from far to near, filled by Pillow on a finer grid than the picture's.

Faces are a few pixels small, so one shade a face, from the averaged normals of its corners, looks smooth.
A hand has one colour, so it is drawn in shades of grey and coloured at the end.
"""

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

from tracker.cameras import Camera
from tracker.hand_mesh import HandMesh
from tracker.joints import FloatArray
from tracker.sinks.canvas import FAR_PX, Box, Colour, edited, part_around
from tracker.skinned_hand import IntArray
from tracker.structs import ImageArray

_TOWARD_LIGHT = np.array([-0.35, -0.65, -0.68])
"""In camera axes: above, a little to the left, and on the camera's side of the hand."""
_AMBIENT, _DIFFUSE, _GLOSS = 0.30, 0.55, 0.24
_GLOSS_EXPONENT = 12
_RIM = 0.40
"""How much darker skin is that is seen edge-on: fingers stand out from each other."""
_FINE = 2
_MAX_FINE_PIXELS = 1_500_000
"""A hand that takes more than this on the fine grid is drawn on the picture's own."""


def draw_mesh(canvas: ImageArray, mesh: HandMesh, camera: Camera, colour: Colour, opacity: float) -> None:
    """Draw a hand over ``canvas`` (H, W, 3), as ``camera`` sees it; 0 < ``opacity`` <= 1."""
    height, width = canvas.shape[:2]
    corners_px = camera.project(mesh.vertices_m)
    corners_px = np.where(np.abs(corners_px) < FAR_PX, corners_px, np.nan)
    seen_px = corners_px[np.isfinite(corners_px).all(axis=1)]
    if not len(seen_px) or (seen_px.max(axis=0) < 0).any() or (seen_px.min(axis=0) > (width, height)).any():
        return
    part = part_around(seen_px, 1.0, (width, height))
    skin, cover = shaded_part(mesh, corners_px, part, colour)
    with edited(canvas, part) as picture:
        picture.paste(skin, None, cover.point(lambda value: round(value * opacity)))


def shaded_part(
    mesh: HandMesh, vertices_px: FloatArray, box: Box, colour: Colour
) -> tuple[Image.Image, Image.Image]:
    """Draw the part of a mesh that lies inside ``box`` of the picture.

    Args:
        mesh: the hand in the camera frame.
        vertices_px: (V, 2) its projection; faces with a corner that is not finite are left out.
        box: the part of the picture to draw, of at least one pixel.
        colour: RGB of skin in medium light.

    Returns:
        An RGB picture of the box's size, and how much of each pixel the hand covers (mode "L").
    """
    left, top, right, bottom = box
    width, height = right - left, bottom - top
    fine = _FINE if width * height * _FINE**2 <= _MAX_FINE_PIXELS else 1
    corners_px = (vertices_px - (left - 0.5, top - 0.5)) * fine  # pixel centres are on integers
    faces, levels = visible_faces(mesh, corners_px, (width * fine, height * fine))
    grey = Image.new("L", (width * fine, height * fine))
    pen = ImageDraw.Draw(grey)
    for outline, shade in zip(corners_px[faces].reshape(-1, 6).tolist(), levels.tolist(), strict=True):
        pen.polygon(outline, fill=shade)
    level, covered = np.zeros((2, height, width), dtype=np.uint16)
    samples = np.asarray(grey)
    for row, column in np.ndindex(fine, fine):
        level += samples[row::fine, column::fine]
        covered += samples[row::fine, column::fine] > 0
    level //= np.maximum(covered, 1)
    mask = (covered * 255 // fine**2).astype(np.uint8)
    return Image.fromarray(_palette(colour)[level]), Image.fromarray(mask)


def visible_faces(
    mesh: HandMesh, corners_px: FloatArray, size: tuple[int, int]
) -> tuple[IntArray, npt.NDArray[np.uint8]]:
    """The faces turned to the camera and inside a picture of ``size``, far ones first, and their light.

    Returns:
        Vertex indices (N, 3), and levels (N,) from 1 (dark) to 255.
    """
    a, b, c = (mesh.vertices_m[mesh.faces[:, corner]] for corner in range(3))
    normals = np.cross(b - a, c - a)
    middles = (a + b + c) / 3
    with np.errstate(invalid="ignore"):
        low = corners_px[mesh.faces].min(axis=1)
        high = corners_px[mesh.faces].max(axis=1)
        inside = ((high >= 0) & (low <= size)).all(axis=1)  # False where a corner is NaN
    shown = np.flatnonzero(inside & ((normals * middles).sum(axis=-1) < 0))
    distances = np.linalg.norm(middles[shown], axis=-1)
    shown = shown[np.argsort(-distances)]
    smooth = _smooth_normals(mesh, normals)[shown]
    to_camera = -middles[shown] / np.linalg.norm(middles[shown], axis=-1, keepdims=True)
    return mesh.faces[shown], _levels(smooth, to_camera)


def _smooth_normals(mesh: HandMesh, normals: FloatArray) -> FloatArray:
    """Unit normals (F, 3) that change gradually: of each vertex the mean of its faces, then back to faces."""
    count = len(mesh.vertices_m)
    corners = mesh.faces.reshape(-1)
    at_vertices = np.stack(
        [np.bincount(corners, weights=np.repeat(normals[:, axis], 3), minlength=count) for axis in range(3)],
        axis=-1,
    ).astype(np.float64)
    summed = _unit(at_vertices)[mesh.faces].sum(axis=1)
    return _unit(summed)


def _levels(normals: FloatArray, to_camera: FloatArray) -> npt.NDArray[np.uint8]:
    """Blinn and Phong's lighting of unit normals (N, 3), darker toward the rim, as levels from 1 to 255."""
    light = _unit(_TOWARD_LIGHT)
    facing = np.clip((normals * to_camera).sum(axis=-1), 0.0, 1.0)
    diffuse = np.clip(0.5 + 0.5 * normals @ light, 0.0, 1.0)
    gloss = np.clip((normals * _unit(to_camera + light)).sum(axis=-1), 0.0, 1.0) ** _GLOSS_EXPONENT
    light_there = (_AMBIENT + _DIFFUSE * diffuse) * (1 - _RIM * (1 - facing) ** 2) + _GLOSS * gloss
    levels: npt.NDArray[np.uint8] = np.clip(light_there * 255 / 1.15, 1, 255).astype(np.uint8)
    return levels


def _palette(colour: Colour) -> ImageArray:
    """RGB (256, 3) of the levels: from nearly black through ``colour`` to nearly white."""
    stops = np.array([(12, 12, 16), colour, (255, 255, 255)], dtype=np.float64)
    at = np.arange(256) / 255
    return np.stack([np.interp(at, (0.0, 0.75, 1.15), stops[:, k]) for k in range(3)], -1).astype(np.uint8)


def _unit(vectors: FloatArray) -> FloatArray:
    lengths = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return np.asarray(vectors / np.maximum(lengths, 1e-300))
