"""The coverage as a picture: where corners were seen over the picture's area, and the tilts beside it."""

import math
import textwrap
from collections.abc import Sequence
from typing import cast

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from tracker.calibrate_camera.coverage import GOOD_TILT, Coverage, cell_indices
from tracker.calibrate_camera.views import BoardView

AREA_PX = 900
"""Longer side of the picture's area."""
MARGIN_PX = 24
PANEL_PX = 300
BACK, EMPTY, UNLIT, INK, POINT = "#fafafa", "#f6cdc8", "#5a5a5a", "#1e1e1e", "#1446a0"
HEAT = np.array([(214, 236, 206), (120, 190, 120), (40, 130, 70)], dtype=np.float64)
"""From one corner in a cell to many."""
MANY = 12


def draw_coverage(views: Sequence[BoardView], coverage: Coverage, width: int, height: int) -> Image.Image:
    """Cells coloured by how many corners lie in each, red where none, grey where the lens shows nothing."""
    scale = AREA_PX / max(width, height)
    area = (round(width * scale), round(height * scale))
    size = (area[0] + PANEL_PX + 3 * MARGIN_PX, max(area[1], PANEL_PX + 110) + 2 * MARGIN_PX + 60)
    image = Image.new("RGB", size, BACK)
    draw = ImageDraw.Draw(image)
    _draw_cells(draw, views, coverage, width, height, area)
    for view in views:
        for x, y in (view.corners_px + 0.5) * scale + MARGIN_PX:
            draw.ellipse((x - 1.5, y - 1.5, x + 1.5, y + 1.5), fill=POINT)
    draw.rectangle((MARGIN_PX, MARGIN_PX, MARGIN_PX + area[0], MARGIN_PX + area[1]), outline=INK)
    _draw_tilts(draw, views, MARGIN_PX * 2 + area[0])
    _write(
        draw,
        (MARGIN_PX, MARGIN_PX + area[1] + 10),
        f"{len(views)} views; corners in {100 * coverage.share:.0f} % of the picture",
        16,
    )
    text = f"still to show: {coverage.missing}" if coverage.missing else "nothing is missing"
    for line, part in enumerate(_wrapped(text, 110)[:2]):
        _write(draw, (MARGIN_PX, MARGIN_PX + area[1] + 34 + 18 * line), part, 14)
    return image


def _draw_cells(
    draw: ImageDraw.ImageDraw,
    views: Sequence[BoardView],
    coverage: Coverage,
    width: int,
    height: int,
    area: tuple[int, int],
) -> None:
    counts = np.zeros(coverage.lit.shape, dtype=np.int64)
    for view in views:
        np.add.at(counts, cell_indices(view.corners_px, width, height), 1)
    rows, columns = coverage.lit.shape
    for row in range(rows):
        for column in range(columns):
            across = [MARGIN_PX + area[0] * (column + end) / columns for end in (0, 1)]
            down = [MARGIN_PX + area[1] * (row + end) / rows for end in (0, 1)]
            colour = EMPTY if coverage.lit[row, column] else UNLIT
            if counts[row, column]:
                share = min(1.0, math.log(counts[row, column]) / math.log(MANY)) * (len(HEAT) - 1)
                low = min(int(share), len(HEAT) - 2)
                mixed = HEAT[low] + (share - low) * (HEAT[low + 1] - HEAT[low])
                colour = "#" + "".join(f"{int(value):02x}" for value in mixed)
            draw.rectangle((across[0], down[0], across[1], down[1]), fill=colour, outline=BACK)


def _draw_tilts(draw: ImageDraw.ImageDraw, views: Sequence[BoardView], left: int) -> None:
    """A dot a view in a disc: in the middle flat on, on the rim edge-on; the inner ring is enough."""
    radius = PANEL_PX / 2 - 20
    x, y = left + PANEL_PX / 2, MARGIN_PX + 40 + radius
    _write(draw, (left, MARGIN_PX), "tilts (side that is nearer)", 14)
    for ring in (radius, radius * float(GOOD_TILT)):
        draw.ellipse((x - ring, y - ring, x + ring, y + ring), outline=INK)
    draw.line((x - radius, y, x + radius, y), fill=UNLIT)
    draw.line((x, y - radius, x, y + radius), fill=UNLIT)
    _write(draw, (left, int(y + radius + 6)), "left", 12)
    _write(draw, (left + PANEL_PX - 40, int(y + radius + 6)), "right", 12)
    _write(draw, (int(x) - 16, MARGIN_PX + 22), "upper", 12)
    _write(draw, (int(x) - 16, int(y + radius + 6)), "lower", 12)
    for view in views:
        across, down = x - radius * view.tilt[0], y - radius * view.tilt[1]
        draw.ellipse((across - 4, down - 4, across + 4, down + 4), fill=POINT)


def _write(draw: ImageDraw.ImageDraw, place: tuple[int, int], text: str, size_px: int) -> None:
    font = cast(ImageFont.FreeTypeFont, ImageFont.load_default(size=size_px))
    draw.text(place, text, fill=INK, font=font)


def _wrapped(text: str, width: int) -> list[str]:
    return textwrap.wrap(text, width)
