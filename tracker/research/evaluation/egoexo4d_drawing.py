"""One hand as the paper's figures show it: in its picture, true and predicted, and from the side.

Everything is upright here.
"""

from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from tracker.cameras import Camera
from tracker.joints import BONES, WRIST, FloatArray
from tracker.structs import ImageArray

PANEL_PX = 320
GAP_PX = 6
REGION_OVER_BOX = 1.3
"""Side of the part of the picture that is shown over the longer side of the hand's box."""
TRUE_COLOUR, PREDICTED_COLOUR = (70, 200, 120), (255, 150, 40)
BACKGROUND, TEXT = (250, 250, 250), (60, 60, 60)
FINE = 2
"""Panels are drawn this much larger and shrunk, which smooths lines."""
SCALE_BAR_M = 0.05


@dataclass(frozen=True, eq=False)
class HandToDraw:
    """A true hand and what was said of it."""

    image_rgb: ImageArray
    camera: Camera
    box_px: FloatArray
    """(4,)"""
    true_m: FloatArray
    """(21, 3) NaN where not valid."""
    predicted_m: FloatArray
    """(21, 3) in the camera frame, as it is shown in the picture."""


def draw_hand(hand: HandToDraw) -> Image.Image:
    """Three panels: the true skeleton, the predicted one, and both from the side with wrists together."""
    panels = [
        _in_picture(hand, hand.true_m, TRUE_COLOUR),
        _in_picture(hand, hand.predicted_m, PREDICTED_COLOUR),
        _from_the_side(hand),
    ]
    sheet = Image.new("RGB", (3 * PANEL_PX + 2 * GAP_PX, PANEL_PX), BACKGROUND)
    for index, panel in enumerate(panels):
        sheet.paste(panel, (index * (PANEL_PX + GAP_PX), 0))
    return sheet


def _in_picture(hand: HandToDraw, joints_m: FloatArray, colour: tuple[int, int, int]) -> Image.Image:
    """The part of the picture around the box, black outside the picture, with a skeleton and the box."""
    side_px = REGION_OVER_BOX * max(float((hand.box_px[2:] - hand.box_px[:2]).max()), 8.0)
    corner_px = (hand.box_px[:2] + hand.box_px[2:]) / 2 - side_px / 2
    scale = FINE * PANEL_PX / side_px
    region = (*(corner_px + 0.5), *(corner_px + 0.5 + side_px))  # a pixel's middle is half a pixel inside it
    panel = Image.fromarray(hand.image_rgb).transform(
        (FINE * PANEL_PX, FINE * PANEL_PX), Image.Transform.EXTENT, region, Image.Resampling.BICUBIC
    )
    draw = ImageDraw.Draw(panel)
    box = (hand.box_px.reshape(2, 2) - corner_px) * scale
    draw.rectangle([*box[0].tolist(), *box[1].tolist()], outline=(255, 255, 255), width=FINE)
    _skeleton(draw, (hand.camera.project(joints_m) - corner_px) * scale, colour)
    return panel.resize((PANEL_PX, PANEL_PX), Image.Resampling.LANCZOS)


def _from_the_side(hand: HandToDraw) -> Image.Image:
    """Both hands about their wrists, seen from the side: away from the camera is right, down is down."""
    side_m = [(some - some[WRIST])[:, [2, 1]] for some in (hand.true_m, hand.predicted_m)]
    known = np.concatenate([points[np.isfinite(points).all(axis=1)] for points in side_m])
    low, high = known.min(axis=0), known.max(axis=0)
    extent_m = 1.25 * max(float((high - low).max()), 2 * SCALE_BAR_M)
    corner_m, scale = (low + high) / 2 - extent_m / 2, FINE * PANEL_PX / extent_m
    panel = Image.new("RGB", (FINE * PANEL_PX, FINE * PANEL_PX), BACKGROUND)
    draw = ImageDraw.Draw(panel)
    for points, colour in zip(side_m, (TRUE_COLOUR, PREDICTED_COLOUR), strict=True):
        _skeleton(draw, (points - corner_m) * scale, colour)
    margin, bar = 8 * FINE, SCALE_BAR_M * scale
    bottom = FINE * PANEL_PX - margin
    font = ImageFont.load_default(11 * FINE)
    draw.line([(margin, bottom), (margin + bar, bottom)], fill=TEXT, width=2 * FINE)
    draw.text((margin, bottom - 16 * FINE), "5 cm", fill=TEXT, font=font)
    draw.text((margin, margin), "from the side; right is away", fill=TEXT, font=font)
    return panel.resize((PANEL_PX, PANEL_PX), Image.Resampling.LANCZOS)


def _skeleton(draw: ImageDraw.ImageDraw, points_px: FloatArray, colour: tuple[int, int, int]) -> None:
    """Bones between points (21, 2) that are known, with a dark rim."""
    known = np.asarray((np.abs(points_px) < 1e5).all(axis=1))  # NaN is not
    points = [(float(x), float(y)) for x, y in np.where(known[:, None], points_px, 0.0)]
    bones = [(points[a], points[b]) for a, b in BONES if known[a] and known[b]]
    for width, fill in ((5 * FINE, (20, 20, 20)), (3 * FINE, colour)):
        for bone in bones:
            draw.line(bone, fill=fill, width=width, joint="curve")
    for (x, y), shown in zip(points, known, strict=True):
        if shown:
            r = 3.5 * FINE
            draw.ellipse([x - r, y - r, x + r, y + r], fill=colour, outline=(20, 20, 20), width=FINE)
