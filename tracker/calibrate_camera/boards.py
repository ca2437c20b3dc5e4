"""Flat boards of known geometry, and finding their inner corners in a picture."""

import re
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from tracker.errors import UsageError
from tracker.joints import FloatArray
from tracker.structs import ImageArray

BoardKind = Literal["chessboard", "charuco"]
IntArray = npt.NDArray[np.int64]
DEFAULT_SIZES: dict[BoardKind, str] = {"chessboard": "9x6", "charuco": "10x7"}
MARKER_SHARE = 0.72
"""A marker's side, in squares, unless it is given."""
SQUARE_MM = (1.0, 1000.0)
MIN_CHARUCO_CORNERS = 8
"""Fewer corners of a ChArUco board say little more than where it is."""
_FREE_SHARES: dict[BoardKind, float] = {"chessboard": 0.25, "charuco": 0.12}
"""How far around a corner nothing but the corner is, in squares."""
_SEARCH_PX = 960
"""Larger pictures are searched at this size, then read at their own."""


@dataclass(frozen=True)
class Board:
    """A chessboard, or a ChArUco board: a chessboard with a marker in every white square.

    Raises:
        UsageError: a size no board has.
    """

    kind: BoardKind
    columns: int
    """Inner corners across; where four squares meet."""
    rows: int
    """Inner corners down."""
    square_m: float
    marker_m: float
    """Side of a marker; of no meaning for a chessboard."""
    dictionary: str = "4X4_50"
    """OpenCV's name of the markers' dictionary, without ``DICT_``."""

    def __post_init__(self) -> None:
        if not (3 <= self.columns <= 60 and 3 <= self.rows <= 60):
            raise UsageError(
                f"the board has {self.columns} x {self.rows} inner corners; use one with 3 to 60 each way"
            )
        low, high = SQUARE_MM
        if not low <= 1e3 * self.square_m <= high:
            raise UsageError(f"the board's squares are {1e3 * self.square_m:g} mm; give {low:g} to {high:g}")
        if self.kind == "charuco" and not 0.3 * self.square_m <= self.marker_m <= 0.95 * self.square_m:
            raise UsageError(
                f"markers of {1e3 * self.marker_m:g} mm do not suit squares of {1e3 * self.square_m:g} mm; "
                "they must be smaller than a square, and at least 0.3 of it"
            )

    @property
    def squares(self) -> tuple[int, int]:
        """Squares across and down."""
        return self.columns + 1, self.rows + 1

    @property
    def corners_m(self) -> FloatArray:
        """(rows * columns, 3) inner corners, row by row, the first at zero; x across, y down, z 0."""
        down, across = np.mgrid[: self.rows, : self.columns]
        return np.stack([across, down, np.zeros_like(down)], axis=-1).reshape(-1, 3) * self.square_m

    @property
    def description(self) -> str:
        """For a person."""
        if self.kind == "chessboard":
            size = f"{self.columns} x {self.rows} inner corners"
            return f"chessboard of {size}, squares of {self.square_m * 1e3:g} mm"
        across, down = self.squares
        return (
            f"ChArUco board of {across} x {down} squares of {self.square_m * 1e3:g} mm, markers of "
            f"{self.marker_m * 1e3:g} mm, dictionary {self.dictionary}"
        )


def board_from_options(
    kind: BoardKind, size: str | None, square_mm: float, marker_mm: float | None, dictionary: str
) -> Board:
    """The board that a person describes.

    Args:
        kind: which sort.
        size: inner corners of a chessboard, or squares of a ChArUco board, such as ``9x6``.
        square_mm: side of a square.
        marker_mm: side of a marker.
        dictionary: of the markers.

    Raises:
        UsageError: the size is not understood, or one no board has.
    """
    size = size or DEFAULT_SIZES[kind]
    match = re.fullmatch(r"\s*(\d{1,3})\s*[xX,*]\s*(\d{1,3})\s*", size)
    if match is None:
        raise UsageError(f"the board's size is {size!r}; give two numbers, such as {DEFAULT_SIZES[kind]}")
    less = 0 if kind == "chessboard" else 1
    side_mm = MARKER_SHARE * square_mm if marker_mm is None else marker_mm
    return Board(
        kind, int(match[1]) - less, int(match[2]) - less, square_mm / 1e3, side_mm / 1e3, dictionary.upper()
    )


def opencv_board(board: Board, *, legacy: bool = False) -> Any:
    """OpenCV's ChArUco board.

    Args:
        board: of the kind ``charuco``.
        legacy: laid out as OpenCV did before 4.6 where rows are even: with a marker in the first square.

    Raises:
        UsageError: OpenCV has no such dictionary, or too few markers in it.
    """
    from tracker.calibrate_camera.opencv import cv2

    names = {name.upper().removeprefix("DICT_"): name for name in dir(cv2.aruco) if name.startswith("DICT_")}
    if board.dictionary.upper() not in names:
        known = ", ".join(name for name in names if name[:3] in ("4X4", "5X5", "6X6"))
        raise UsageError(f"the dictionary {board.dictionary!r} is unknown; choose one of {known}, ...")
    dictionary = cv2.aruco.getPredefinedDictionary(getattr(cv2.aruco, names[board.dictionary.upper()]))
    across, down = board.squares
    if across * down // 2 > len(dictionary.bytesList):
        raise UsageError(
            f"a board of {across} x {down} squares needs {across * down // 2} markers and dictionary "
            f"{board.dictionary} has {len(dictionary.bytesList)}; choose a larger one"
        )
    made = cv2.aruco.CharucoBoard((across, down), board.square_m, board.marker_m, dictionary)
    made.setLegacyPattern(legacy)
    return made


class BoardFinder:
    """Finds one board in one picture after the other.

    Args:
        board: what to look for.
        thorough: look again at full size where a large picture shows no board when it is shrunk.
    """

    def __init__(self, board: Board, *, thorough: bool = False) -> None:
        self.board = board
        self._thorough = thorough
        self._detectors: list[Any] = []
        if board.kind == "charuco":
            from tracker.calibrate_camera.opencv import cv2

            layouts = (False, True) if board.squares[1] % 2 == 0 else (False,)
            self._detectors = [
                cv2.aruco.CharucoDetector(opencv_board(board, legacy=legacy)) for legacy in layouts
            ]

    def find(self, grey: ImageArray) -> tuple[IntArray, FloatArray] | None:
        """Which corners of ``board.corners_m`` are seen, (N,), and where, (N, 2) pixels; None for no board.

        All of a chessboard's corners are seen or none; of a ChArUco board at least ``MIN_CHARUCO_CORNERS``,
        not all in one line.
        """
        scale = min(1.0, _SEARCH_PX / max(grey.shape))
        found = self._find(_shrunk(grey, scale))
        if found is None and scale < 1 and self._thorough:
            scale, found = 1.0, self._find(grey)
        if found is None:
            return None
        ids, corners_px = found
        return ids, _refined(grey, ids, (corners_px + 0.5) / scale - 0.5, self.board)

    def _find(self, grey: ImageArray) -> tuple[IntArray, FloatArray] | None:
        from tracker.calibrate_camera.opencv import cv2

        board = self.board
        if board.kind == "charuco":
            return self._find_charuco(grey)
        size = (board.columns, board.rows)
        seen, corners = cv2.findChessboardCornersSB(grey, size, flags=cv2.CALIB_CB_NORMALIZE_IMAGE)
        if not seen:
            return None
        return np.arange(board.columns * board.rows), corners.reshape(-1, 2).astype(np.float64)

    def _find_charuco(self, grey: ImageArray) -> tuple[IntArray, FloatArray] | None:
        for detector in self._detectors:
            corners, ids, _, markers = detector.detectBoard(grey)
            if ids is not None and len(ids) >= MIN_CHARUCO_CORNERS:
                places = ids.reshape(-1).astype(np.int64)
                if min(len(set(places // self.board.columns)), len(set(places % self.board.columns))) < 2:
                    return None
                self._detectors = [detector]  # the layout of this board is now known
                return places, corners.reshape(-1, 2).astype(np.float64)
            if markers is None or len(markers) == 0:
                return None
        return None


def _shrunk(grey: ImageArray, scale: float) -> ImageArray:
    from tracker.calibrate_camera.opencv import cv2

    if scale == 1:
        return grey
    size = (round(grey.shape[1] * scale), round(grey.shape[0] * scale))
    return np.asarray(cv2.resize(grey, size, interpolation=cv2.INTER_AREA))


def _refined(grey: ImageArray, ids: IntArray, corners_px: FloatArray, board: Board) -> FloatArray:
    """Corners read again at full size, in as much of a square as holds nothing else.

    Also where nothing was shrunk: findChessboardCornersSB's own corners lie 0.17 px off in tilted views
    through a distorting lens, pulled outward, which made a focal length 0.5 % too long; these 0.05 px.
    """
    from tracker.calibrate_camera.opencv import cv2

    steps_px = grid_steps(ids, corners_px, board.columns)[1]
    if len(steps_px) == 0:
        return corners_px
    square_px = float(np.median(np.linalg.norm(steps_px, axis=-1)))
    half = int(np.clip(_FREE_SHARES[board.kind] * square_px, 2, 10))
    stop = (cv2.TERM_CRITERIA_EPS + cv2.TERM_CRITERIA_MAX_ITER, 40, 0.003)
    refined = cv2.cornerSubPix(
        grey, corners_px.astype(np.float32).reshape(-1, 1, 2), (half, half), (-1, -1), stop
    )
    return np.asarray(refined, dtype=np.float64).reshape(-1, 2)


def grid_steps(ids: IntArray, corners_px: FloatArray, columns: int) -> tuple[FloatArray, FloatArray]:
    """Corners with a neighbour across and one down, (M, 2), and the steps to those, (M, 2, 2), pixels."""
    place = {int(number): corner for number, corner in zip(ids, corners_px, strict=True)}
    starts, steps = [], []
    for number, corner in place.items():
        across, down = place.get(number + 1), place.get(number + columns)
        if across is not None and down is not None and (number + 1) % columns:
            starts.append(corner)
            steps.append((across - corner, down - corner))
    return np.array(starts).reshape(-1, 2), np.array(steps).reshape(-1, 2, 2)
