"""Skeletons or meshes, and labels, drawn over a picture, so that a person can judge the tracking by eye.

Sizes follow the shorter side of the picture: a label reads the same at 480 x 480 and at 1080p. Joints may be
NaN or anywhere outside the picture.
"""

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from tracker.cameras import Camera
from tracker.hand_mesh import mesh_of
from tracker.joints import BONES, FINGER_MCPS, FloatArray, Side
from tracker.mano_numpy import ManoModel
from tracker.sinks.canvas import DARK, FAR_PX, Box, Colour, edited, moved_inside, overlap, part_around
from tracker.sinks.mesh_drawing import draw_mesh
from tracker.structs import ImageArray, TrackedFrame, TrackedHand

HandStyle = Literal["skeleton", "mesh"]

SIDE_COLOURS: dict[Side, Colour] = {Side.LEFT: (255, 176, 46), Side.RIGHT: (72, 200, 255)}
"""Orange and blue: told apart also by people who confuse red and green."""
LIGHT: Colour = (245, 245, 245)

_REFERENCE_PX = 480
_BONE_PX = 2.4
_JOINT_PX = 2.3
_RIM_PX = 1.0
_FONT_PX = 15
_COASTING_WIDTH = 0.6
_COASTING_OPACITY = 0.65
_FINE = 3
"""Masks are drawn this much larger and shrunk, which smooths their edges."""
_PLATE_OPACITY = 175
_MESH_OPACITY = 0.85
"""The picture shimmers through."""


@dataclass(frozen=True)
class MeshStyle:
    """Hands as shaded meshes; without this they are skeletons."""

    camera: Camera
    """The lens of the picture to draw on."""
    mano: ManoModel | None = None
    """For hands that carry MANO's parameters; without it they are open hands."""


def draw_tracking(
    image_rgb: ImageArray, tracked: TrackedFrame, *, meshes: MeshStyle | None = None
) -> ImageArray:
    """A copy of ``image_rgb`` (H, W, 3) with each hand and its label, and a caption in the corner.

    Hands are skeletons, or where ``meshes`` is given, skin; a hand that has no skin is a skeleton also then.
    """
    canvas = image_rgb.copy()
    unit = min(canvas.shape[:2]) / _REFERENCE_PX
    for hand in sorted(tracked.hands, key=_distance_m, reverse=True):
        mesh = mesh_of(hand.pose, meshes.mano) if meshes is not None else None
        if meshes is None or mesh is None:
            _draw_skeleton(canvas, hand, unit)
        else:
            opacity = _MESH_OPACITY * (_COASTING_OPACITY if hand.unseen_s > 0 else 1.0)
            draw_mesh(canvas, mesh, meshes.camera, _colour(hand), opacity)
    taken = [_draw_caption(canvas, tracked, unit)]
    for hand in tracked.hands:
        box = _draw_label(canvas, hand, unit, taken)
        if box is not None:
            taken.append(box)
    return canvas


def _draw_skeleton(canvas: ImageArray, hand: TrackedHand, unit: float) -> None:
    """Bones in the side's colour with a dark rim, joints light; thinner and paler while the hand coasts."""
    coasting = hand.unseen_s > 0
    bone_px = max(1.2, _BONE_PX * unit * (_COASTING_WIDTH if coasting else 1.0))
    joint_px = _JOINT_PX * unit * (_COASTING_WIDTH if coasting else 1.0)
    rim_px = max(0.7, _RIM_PX * unit)
    margin = bone_px + joint_px + rim_px
    height, width = canvas.shape[:2]
    bounds = (-margin, -margin, width + margin, height + margin)
    joints = np.clip(hand.joints_px, -FAR_PX, FAR_PX)
    bones = [clip_segment(joints[parent], joints[child], bounds) for parent, child in BONES]
    segments = [bone for bone in bones if bone is not None]
    dots = [joint for joint in joints if _inside(joint, bounds)]
    points = [end for segment in segments for end in segment] + dots
    if not points:
        return
    tile = part_around(np.array(points), margin, (width, height))
    opacity = round(255 * (_COASTING_OPACITY if coasting else 1.0))
    with edited(canvas, tile) as picture:
        for colour, bone_width, radius in (
            (DARK, bone_px + 2 * rim_px, joint_px + rim_px),
            (_colour(hand), bone_px, joint_px),
            (LIGHT, 0.0, joint_px * 0.55),
        ):
            mask = _mask(tile, segments if bone_width else [], bone_width, dots, radius, opacity)
            picture.paste(colour, None, mask)


def _mask(
    tile: Box,
    segments: list[tuple[FloatArray, FloatArray]],
    bone_px: float,
    dots: list[FloatArray],
    radius_px: float,
    opacity: int,
) -> Image.Image:
    """How much of each pixel of ``tile`` lines and discs cover, 0 to ``opacity``."""
    left, top, right, bottom = tile
    mask = Image.new("L", ((right - left) * _FINE, (bottom - top) * _FINE))
    draw = ImageDraw.Draw(mask)

    def place(point: FloatArray) -> tuple[float, float]:  # pixel centres are on integers
        return (float(point[0]) - left + 0.5) * _FINE, (float(point[1]) - top + 0.5) * _FINE

    for start, end in segments:
        draw.line([place(start), place(end)], fill=opacity, width=max(1, round(bone_px * _FINE)))
    ends = [(end, bone_px / 2) for segment in segments for end in segment]
    for point, radius in [*ends, *((dot, radius_px) for dot in dots)]:
        x, y = place(point)
        reach = radius * _FINE
        draw.ellipse((x - reach, y - reach, x + reach, y + reach), fill=opacity)
    return mask.reduce(_FINE)


def clip_segment(
    start: FloatArray, end: FloatArray, bounds: tuple[float, float, float, float]
) -> tuple[FloatArray, FloatArray] | None:
    """The part of a segment inside ``bounds`` (left, top, right, bottom), None where there is none or a NaN.

    Liang-Barsky: each edge moves the start or the end along the segment.
    """
    step = end - start
    if not np.isfinite(step).all():
        return None
    first, last = 0.0, 1.0
    for axis in (0, 1):
        for towards, distance in (
            (-step[axis], start[axis] - bounds[axis]),
            (step[axis], bounds[axis + 2] - start[axis]),
        ):
            if abs(towards) < 1e-9:
                if distance < 0:
                    return None
            elif towards < 0:
                first = max(first, distance / towards)
            else:
                last = min(last, distance / towards)
    return (start + first * step, start + last * step) if first <= last else None


def _inside(point: FloatArray, bounds: tuple[float, float, float, float]) -> bool:
    left, top, right, bottom = bounds
    return bool(left <= point[0] <= right and top <= point[1] <= bottom)


def _draw_caption(canvas: ImageArray, tracked: TrackedFrame, unit: float) -> Box:
    count = len(tracked.hands)
    text = f"#{tracked.frame_index}  {tracked.capture_time_s:.2f} s  {count} hand{'' if count == 1 else 's'}"
    font = _font(round(0.85 * _FONT_PX * unit))
    box = 0, 0, *_plate_size(text, font, unit)
    _draw_text(canvas, text, font, box, LIGHT)
    return box


def _draw_label(canvas: ImageArray, hand: TrackedHand, unit: float, taken: list[Box]) -> Box | None:
    """Write side, track and distance above the hand, or below where something else stands there."""
    joints = hand.joints_px[np.isfinite(hand.joints_px).all(axis=1)]
    if not len(joints):
        return None
    size = canvas.shape[1], canvas.shape[0]
    joints = np.clip(joints, 0, np.subtract(size, 1))
    font = _font(round(_FONT_PX * unit))
    text = label(hand)
    width, height = _plate_size(text, font, unit)
    x = round(float(joints[:, 0].mean()) - width / 2)
    above = round(float(joints[:, 1].min()) - height - 8 * unit)
    below = round(float(joints[:, 1].max()) + 8 * unit)
    places = [moved_inside((x, y, x + width, y + height), size) for y in (above, below)]
    places += [moved_inside((x, y, x + width, y + height), size) for *_, y in taken]
    box = next((place for place in places if not any(overlap(place, other) for other in taken)), places[0])
    _draw_text(canvas, text, font, box, _colour(hand))
    return box


def _colour(hand: TrackedHand) -> Colour:
    """The side's colour, paler while the hand coasts."""
    red, green, blue = SIDE_COLOURS[hand.pose.side]
    return (
        (red, green, blue)
        if hand.unseen_s <= 0
        else ((red + 230) // 2, (green + 230) // 2, (blue + 230) // 2)
    )


def label(hand: TrackedHand) -> str:
    """Side, track and distance of a hand: ``left #3  0.42 m``; no distance where it is not known."""
    name = f"{hand.pose.side.value} #{hand.track_id}"
    distance_m = _distance_m(hand)
    return f"{name}  {distance_m:.2f} m" if math.isfinite(distance_m) else name


def _distance_m(hand: TrackedHand) -> float:
    return float(np.linalg.norm(hand.pose.joints_in_camera_m[list(FINGER_MCPS)].mean(axis=0)))


def _plate_size(text: str, font: ImageFont.FreeTypeFont, unit: float) -> tuple[int, int]:
    """Width and height of the plate that ``text`` stands on."""
    pad = max(2, round(3 * unit))
    return math.ceil(font.getlength(text)) + 2 * pad, sum(font.getmetrics()) + pad


def _draw_text(canvas: ImageArray, text: str, font: ImageFont.FreeTypeFont, box: Box, colour: Colour) -> None:
    """Text on a dark plate through which the picture shimmers; what does not fit the picture is cut."""
    left, top, right, bottom = box
    box = left, top, min(right, canvas.shape[1]), min(bottom, canvas.shape[0])
    with edited(canvas, box) as picture:
        picture.paste(DARK, None, Image.new("L", picture.size, _PLATE_OPACITY))
        middle = ((right - left) / 2, (bottom - top) / 2)
        ImageDraw.Draw(picture).text(middle, text, font=font, fill=colour, anchor="mm")


@lru_cache(maxsize=8)
def _font(size_px: int) -> ImageFont.FreeTypeFont:
    font = ImageFont.load_default(size=max(8, size_px))
    assert isinstance(font, ImageFont.FreeTypeFont), "Pillow was built without FreeType"
    return font
