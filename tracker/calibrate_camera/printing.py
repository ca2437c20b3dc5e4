"""A board to print: a sheet of A4 at its true size, as PNG or PDF."""

from pathlib import Path
from typing import cast

from PIL import Image, ImageDraw, ImageFont

from tracker.calibrate_camera.boards import Board, opencv_board
from tracker.errors import UsageError

A4_MM = (210.0, 297.0)
DOTS_PER_INCH = 600
RIM_MM = 8.0
"""White around the board, which finders need, and which printers cannot print on."""
CAPTION_MM = 8.0
RULER_MM = 100.0
ENDINGS = (".png", ".pdf")


def board_sheet(board: Board) -> Image.Image:
    """The sheet, black on white (mode ``1``), portrait or landscape as the board is, ``DOTS_PER_INCH``.

    Raises:
        UsageError: the board does not fit on A4.
    """
    squares = board.squares
    square_mm = 1e3 * board.square_m
    page_mm = A4_MM if squares[0] <= squares[1] else A4_MM[::-1]
    free_mm = (page_mm[0] - 2 * RIM_MM, page_mm[1] - 2 * RIM_MM - CAPTION_MM)
    largest_mm = min(free_mm[0] / squares[0], free_mm[1] / squares[1])
    if square_mm > largest_mm:
        raise UsageError(
            f"a board of {squares[0]} x {squares[1]} squares of {square_mm:g} mm does not fit on A4; "
            f"give --square-mm {int(largest_mm)} or less"
        )
    sheet = Image.new("1", (dots(page_mm[0]), dots(page_mm[1])), 1)
    left_mm = (page_mm[0] - squares[0] * square_mm) / 2
    top_mm = RIM_MM + (free_mm[1] - squares[1] * square_mm) / 2
    draw = ImageDraw.Draw(sheet)
    for row in range(squares[1]):
        for column in range(squares[0]):
            if (row + column) % 2 == 0:
                corner_mm = (left_mm + column * square_mm, top_mm + row * square_mm)
                _fill(draw, (*corner_mm, corner_mm[0] + square_mm, corner_mm[1] + square_mm))
    if board.kind == "charuco":
        _draw_markers(sheet, board, left_mm, top_mm)
    _caption(draw, board, page_mm)
    return sheet


def save_sheet(sheet: Image.Image, path: Path, ending: str) -> None:
    """Write it with its size in inches, so that it prints true."""
    if ending == ".pdf":
        sheet.save(path, format="PDF", resolution=DOTS_PER_INCH)
    else:
        sheet.save(path, format="PNG", dpi=(DOTS_PER_INCH, DOTS_PER_INCH))


def dots(length_mm: float) -> int:
    """A length on the sheet."""
    return round(length_mm / 25.4 * DOTS_PER_INCH)


def _fill(draw: ImageDraw.ImageDraw, box_mm: tuple[float, float, float, float]) -> None:
    left, top, right, bottom = map(dots, box_mm)
    draw.rectangle((left, top, right - 1, bottom - 1), fill=0)


def _draw_markers(sheet: Image.Image, board: Board, left_mm: float, top_mm: float) -> None:
    """A marker in the middle of every white square, in OpenCV's order."""
    from tracker.calibrate_camera.opencv import cv2

    made = opencv_board(board)
    dictionary = made.getDictionary()
    modules = dictionary.markerSize + 2
    for number, corners_m in zip(made.getIds().reshape(-1), made.getObjPoints(), strict=True):
        pixels = cv2.aruco.generateImageMarker(dictionary, int(number), modules)
        left, top = (left_mm + 1e3 * float(corners_m[0][0]), top_mm + 1e3 * float(corners_m[0][1]))
        side_mm = 1e3 * board.marker_m
        box = tuple(map(dots, (left, top, left + side_mm, top + side_mm)))
        marker = Image.fromarray(pixels).resize((box[2] - box[0], box[3] - box[1]), Image.Resampling.NEAREST)
        sheet.paste(marker.convert("1"), (box[0], box[1]))


def _caption(draw: ImageDraw.ImageDraw, board: Board, page_mm: tuple[float, float]) -> None:
    """What it is, how to print it, and a line by which to check that."""
    baseline_mm = page_mm[1] - RIM_MM
    font = cast(ImageFont.FreeTypeFont, ImageFont.load_default(size=dots(2.6)))
    draw.text(
        (dots(RIM_MM + 4), dots(baseline_mm - 7.2)),
        f"{board.description}. Print at 100 %, not fitted to the page; glue it on something flat and stiff.",
        font=font,
        fill=0,
    )
    end_mm = RIM_MM + 4 + RULER_MM
    _fill(draw, (RIM_MM + 4, baseline_mm - 1.2, end_mm, baseline_mm - 0.9))
    for at_mm in (RIM_MM + 4, end_mm - 0.3):
        _fill(draw, (at_mm, baseline_mm - 2.2, at_mm + 0.3, baseline_mm))
    text = f"this line must be {RULER_MM:g} mm long; if it is not, measure a square and give --square-mm"
    draw.text((dots(end_mm + 2), dots(baseline_mm - 2.9)), text, font=font, fill=0)
