"""Which parts of the picture and which tilts the chosen views cover, and what is missing, in words."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tracker.calibrate_camera.views import BoardView
from tracker.joints import FloatArray

BoolArray = npt.NDArray[np.bool_]
COLUMNS = 10
"""Cells across the longer side of the picture."""
GOOD_SHARE = 0.7
GOOD_TILT = np.sin(np.radians(20.0))
NEAR_SIZE = 0.35
"""A board that spans this, squared, of the picture is seen from near."""
ROWS_SAID, COLUMNS_SAID = ("upper", "middle", "lower"), ("left", "centre", "right")
TILTS = {
    "its left side nearer": (0, 1),
    "its right side nearer": (0, -1),
    "its upper side nearer": (1, 1),
    "its lower side nearer": (1, -1),
}
"""Axis and sign of ``BoardView.tilt``."""


@dataclass(frozen=True, eq=False)
class Coverage:
    """What a set of views covers."""

    covered: BoolArray
    """(rows, columns) cells of the picture in which a corner was seen."""
    lit: BoolArray
    """(rows, columns) cells that the lens fills at all; a circular fisheye leaves the corners dark."""
    missing_tilts: tuple[str, ...]
    """Of ``TILTS`` those not seen."""
    near: bool
    """The board was once seen from near."""

    @property
    def share(self) -> float:
        """Share of the lit cells that are covered."""
        return float((self.covered & self.lit).sum() / max(int(self.lit.sum()), 1))

    @property
    def missing_parts(self) -> tuple[str, ...]:
        """Ninths of the picture of which less than half is covered, named."""
        down = np.array_split(np.arange(self.lit.shape[0]), 3)
        across = np.array_split(np.arange(self.lit.shape[1]), 3)
        parts = []
        for row, rows in zip(ROWS_SAID, down, strict=True):
            for column, columns in zip(COLUMNS_SAID, across, strict=True):
                lit = self.lit[np.ix_(rows, columns)]
                covered = self.covered[np.ix_(rows, columns)] & lit
                if lit.any() and covered.sum() < 0.5 * lit.sum():
                    parts.append("centre" if (row, column) == ("middle", "centre") else f"{row} {column}")
        return tuple(parts)

    @property
    def good(self) -> bool:
        """Nothing that matters is missing."""
        return self.share >= GOOD_SHARE and self.near and not (self.missing_tilts or self.missing_parts)

    @property
    def missing(self) -> str:
        """What still to show, in words; empty where nothing is missing."""
        wants = []
        if self.missing_parts:
            wants.append(f"the board in the picture's {', '.join(self.missing_parts)}")
        if self.missing_tilts:
            wants.append(f"the board tilted with {', '.join(self.missing_tilts)}")
        if not self.near:
            wants.append("the board nearer")
        if not wants and self.share < GOOD_SHARE:
            wants.append("the board nearer the picture's edges")
        return "; ".join(wants)


def cells_of(width: int, height: int) -> tuple[int, int]:
    """Rows and columns of the cells for a picture's size."""
    cell_px = max(width, height) / COLUMNS
    return max(3, round(height / cell_px)), max(3, round(width / cell_px))


def coverage_of(
    views: Sequence[BoardView], width: int, height: int, lit: BoolArray | None = None
) -> Coverage:
    """What ``views`` of pictures of this size cover."""
    shape = cells_of(width, height)
    covered = np.zeros(shape, dtype=bool)
    for view in views:
        row, column = cell_indices(view.corners_px, width, height)
        covered[row, column] = True
    tilts = np.array([view.tilt for view in views]).reshape(-1, 2)
    return Coverage(
        covered=covered,
        lit=np.ones(shape, dtype=bool) if lit is None else lit,
        missing_tilts=tuple(
            name for name, (axis, sign) in TILTS.items() if not (sign * tilts[:, axis] >= GOOD_TILT).any()
        ),
        near=any(view.size >= NEAR_SIZE for view in views),
    )


def cell_indices(
    corners_px: FloatArray, width: int, height: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Row and column of the cell in which each corner (N, 2) lies."""
    shape = cells_of(width, height)
    across, down = ((corners_px + 0.5) / (width, height)).T
    row = np.clip((down * shape[0]).astype(np.int64), 0, shape[0] - 1)
    column = np.clip((across * shape[1]).astype(np.int64), 0, shape[1] - 1)
    return row, column
