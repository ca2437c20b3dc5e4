"""Sightings of a board, and which of them a calibration is made from: sharp ones that differ."""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from tracker.calibrate_camera.boards import Board, IntArray, grid_steps
from tracker.calibrate_camera.opencv import cv2
from tracker.joints import FloatArray
from tracker.structs import ImageArray

MAX_VIEWS = 50
"""More say little more and take long to fit."""
SHARPER = 0.8
"""A view replaces one much like it when its edges are this much narrower."""
_SCALES = np.array([0.12, 0.12, 0.10, 0.20, 0.20])
"""Two views are alike when all of these lie close: position (shares of the picture), size, tilt (sines)."""
_GUESSED_FOCAL = 0.9
"""In longer sides of the picture, to tell tilts before the lens is known."""
_PROFILE = np.linspace(-0.12, 0.12, 25)
"""Along an edge's crossing, in squares: short of the markers on a ChArUco board."""


@dataclass(frozen=True, eq=False)
class BoardView:
    """One sighting of the board."""

    name: str
    points_m: FloatArray
    """(N, 3) corners on the board."""
    corners_px: FloatArray
    """(N, 2) where they were seen."""
    edge_width_px: float
    """How many pixels an edge takes from black to white, in the direction where it is most blurred."""
    center: FloatArray
    """(2,) middle of the corners, in shares of the picture."""
    size: float
    """Square root of the share of the picture that the corners span."""
    tilt: FloatArray
    """(2,) x and y of the board's unit normal toward the camera: x above 0 where its left side is nearer, y
    above 0 where its upper side is. Known roughly, the lens being guessed."""


def view_of(
    board: Board, name: str, grey: ImageArray, ids: IntArray, corners_px: FloatArray
) -> BoardView | None:
    """What was seen of the board in ``grey``; None where it cannot be placed or is too small to measure."""
    height, width = grey.shape
    starts, steps = grid_steps(ids, corners_px, board.columns)
    if len(starts) < 2:
        return None
    points_m = board.corners_m[ids]
    tilt = _tilt(points_m, corners_px, width, height)
    if tilt is None:
        return None
    area = float(np.abs(np.linalg.det(steps)).mean()) * (board.columns - 1) * (board.rows - 1)
    return BoardView(
        name=name,
        points_m=points_m,
        corners_px=corners_px,
        edge_width_px=edge_width_px(grey, starts, steps),
        center=(corners_px.mean(axis=0) + 0.5) / (width, height),
        size=float(np.sqrt(area / (width * height))),
        tilt=tilt,
    )


def edge_width_px(grey: ImageArray, corners_px: FloatArray, steps_px: FloatArray) -> float:
    """Contrast over steepest slope, the median over edges beside the corners, of the worse direction.

    Args:
        grey: the picture.
        corners_px: (M, 2).
        steps_px: (M, 2, 2) from each to its neighbour across and its neighbour down.
    """
    widths = []
    for along, beside in ((0, 1), (1, 0)):
        middle = corners_px + 0.25 * steps_px[:, beside]
        places = middle[:, None] + _PROFILE[:, None] * steps_px[:, None, along]
        values = cv2.remap(
            grey, places.astype(np.float32), None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
        ).astype(np.float64)
        step_px = np.linalg.norm(steps_px[:, along], axis=-1) * (_PROFILE[1] - _PROFILE[0])
        contrast = np.percentile(values, 95) - np.percentile(values, 5)
        slopes = np.abs(np.diff(values, axis=1)).max(axis=1) / step_px
        widths.append(contrast / max(float(np.median(slopes)), 1e-6))
    return float(max(widths))


def _tilt(points_m: FloatArray, corners_px: FloatArray, width: int, height: int) -> FloatArray | None:
    focal = _GUESSED_FOCAL * max(width, height)
    matrix = np.array([[focal, 0, (width - 1) / 2], [0, focal, (height - 1) / 2], [0, 0, 1.0]])
    placed, turn, _ = cv2.solvePnP(points_m, corners_px, matrix, None, flags=cv2.SOLVEPNP_IPPE)
    if not placed:
        return None
    return facing(cv2.Rodrigues(turn)[0])[:2]


def facing(camera_from_board: FloatArray) -> FloatArray:
    """(3,) the board's unit normal on the side of the camera, from its rotation (3, 3)."""
    normal = np.asarray(camera_from_board)[:, 2]
    return np.asarray(-normal if normal[2] > 0 else normal)


Outcome = Literal["new", "sharper", "alike", "blurred"]


class ViewSelection:
    """The views kept so far: none blurred, no two alike, the sharper of those that are."""

    def __init__(self, width: int) -> None:
        self.views: list[BoardView] = []
        self.largest_edge_width_px = max(4.0, width / 240)
        """Large pictures are seldom sharp to the pixel."""

    def add(self, view: BoardView) -> Outcome:
        """Keep ``view`` if it helps; says what became of it."""
        if view.edge_width_px > self.largest_edge_width_px:
            return "blurred"
        like = [place for place, kept in enumerate(self.views) if difference(view, kept) < 1]
        if not like:
            self.views.append(view)
            self._thin()
            return "new"
        nearest = min(like, key=lambda place: difference(view, self.views[place]))
        kept = self.views[nearest]
        better = view.edge_width_px < SHARPER * kept.edge_width_px and len(view.points_m) >= len(
            kept.points_m
        )
        if better and len(like) == 1:
            self.views[nearest] = view
            return "sharper"
        return "alike"

    def _thin(self) -> None:
        """Of too many views, drop the less sharp of the two most alike."""
        if len(self.views) <= MAX_VIEWS:
            return
        places = np.array([_place(view) for view in self.views])
        apart = np.linalg.norm(places[:, None] - places, axis=-1) + 1e9 * np.eye(len(places))
        closest = map(int, np.unravel_index(apart.argmin(), apart.shape))
        del self.views[max(closest, key=lambda place: self.views[place].edge_width_px)]


def difference(one: BoardView, other: BoardView) -> float:
    """How much two views differ; below 1 they are alike."""
    return float(np.linalg.norm(_place(one) - _place(other)))


def _place(view: BoardView) -> FloatArray:
    """(5,) where a view stands among all possible ones, in steps that make a difference."""
    return np.asarray(np.array([*view.center, view.size, *view.tilt]) / _SCALES)
