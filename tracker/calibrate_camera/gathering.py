"""The run behind ``calibrate-camera``: pictures in, chosen views out, and a word on what is still missing."""

import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import numpy as np

from tracker.calibrate_camera.boards import Board, BoardFinder
from tracker.calibrate_camera.coverage import BoolArray, Coverage, cells_of, coverage_of
from tracker.calibrate_camera.lens_fits import LensModel, fit_lens
from tracker.calibrate_camera.opencv import cv2
from tracker.calibrate_camera.pictures import Picture
from tracker.calibrate_camera.report import GOOD_FOCAL_DEVIATION, GOOD_RMS, GOOD_VIEWS, MIN_VIEWS
from tracker.calibrate_camera.solve import ModelChoice
from tracker.calibrate_camera.views import BoardView, ViewSelection, view_of
from tracker.errors import MeasurementError
from tracker.structs import ImageArray

DARK_LEVEL = 16
"""What never gets brighter than this is no part of the lens's picture."""
STATUS_S = 2.0
_TRY_EVERY = 3
"""Live, a fit is tried after so many new views."""


@dataclass(eq=False)
class Gathered:
    """What was seen so far."""

    width: int = 0
    height: int = 0
    looked: int = 0
    """Pictures of the first one's size."""
    seen: int = 0
    """Those that showed the board."""
    other_sizes: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    selection: ViewSelection | None = None
    brightest: ImageArray | None = None
    """(rows, columns) mean level of each cell, the highest of all pictures."""
    interrupted: bool = False

    @property
    def views(self) -> list[BoardView]:
        """The views kept."""
        return [] if self.selection is None else self.selection.views

    @property
    def lit(self) -> BoolArray | None:
        """Cells that were ever bright."""
        return None if self.brightest is None else np.asarray(self.brightest > DARK_LEVEL)

    @property
    def coverage(self) -> Coverage:
        """What the views cover."""
        return coverage_of(self.views, self.width, self.height, self.lit)

    @property
    def status(self) -> str:
        """Where things stand, for a person."""
        coverage = self.coverage
        share = f"corners in {100 * coverage.share:.0f} % of the picture"
        line = f"{len(self.views)} views of {self.seen} sightings, {share}"
        return f"{line}; still to show: {coverage.missing}" if coverage.missing else line

    def see(self, picture: Picture, finder: BoardFinder) -> bool:
        """Look for the board in one more picture; whether the views changed."""
        height, width = picture.grey.shape
        if self.selection is None:
            self.width, self.height, self.selection = width, height, ViewSelection(max(width, height))
        if (width, height) != (self.width, self.height):
            self.other_sizes += 1
            return False
        self.looked += 1
        self._note_brightness(picture.grey)
        found = finder.find(picture.grey)
        view = None if found is None else view_of(finder.board, picture.name, picture.grey, *found)
        if view is None:
            return False
        self.seen += 1
        outcome = self.selection.add(view)
        self.outcomes[outcome] += 1
        return outcome in ("new", "sharper")

    def _note_brightness(self, grey: ImageArray) -> None:
        rows, columns = cells_of(self.width, self.height)
        means = cv2.resize(grey, (columns, rows), interpolation=cv2.INTER_AREA)
        self.brightest = means if self.brightest is None else np.maximum(self.brightest, means)


def gather_views(
    pictures: Iterable[Picture],
    finder: BoardFinder,
    *,
    model: ModelChoice,
    live: bool,
    say: Callable[[str], None],
    show: Callable[[Gathered], None] = lambda gathered: None,
    clock: Callable[[], float] = time.monotonic,
) -> Gathered:
    """Look through ``pictures`` until they end, somebody stops it (Ctrl-C), or, live, nothing is missing.

    Args:
        pictures: to look through.
        finder: of the board.
        model: the lens that is to be fitted.
        live: end as soon as coverage and error are good.
        say: told what is missing, at most every ``STATUS_S``.
        show: called then too, and at the end.
        clock: monotonic, seconds.
    """
    gathered, said_s, tried = Gathered(), clock(), 0
    try:
        for picture in pictures:
            changed = gathered.see(picture, finder)
            if clock() - said_s >= STATUS_S:
                said_s = clock()
                say(gathered.status if gathered.seen else _nothing_seen(gathered, finder.board))
                show(gathered)
            if live and changed and len(gathered.views) >= tried + _TRY_EVERY:
                tried = len(gathered.views)
                if is_enough(gathered, model):
                    break
    except KeyboardInterrupt:
        gathered.interrupted = True
    if gathered.selection is not None:
        show(gathered)
    return gathered


def is_enough(gathered: Gathered, model: ModelChoice) -> bool:
    """Whether a live run may end: nothing is missing, and a first fit is sure of itself."""
    if len(gathered.views) < GOOD_VIEWS or not gathered.coverage.good:
        return False
    tried: tuple[LensModel, ...] = ("brown_conrady", "kannala_brandt") if model == "auto" else (model,)
    for name in tried:
        try:
            fit = fit_lens(gathered.views, gathered.width, gathered.height, name)
        except MeasurementError:
            continue
        large = max(1.0, max(gathered.width, gathered.height) / 1280)
        if fit.rms_px < GOOD_RMS * large and fit.deviations["fx"] < GOOD_FOCAL_DEVIATION * fit.camera.fx:
            return True
    return False


def refuse_too_few(gathered: Gathered, board: Board) -> None:
    """Say why there is too little to calibrate from.

    Raises:
        MeasurementError: there is.
    """
    if len(gathered.views) >= MIN_VIEWS:
        return
    if not gathered.seen:
        raise MeasurementError(_nothing_seen(gathered, board))
    reasons = [
        f"{gathered.outcomes[outcome]} {words}"
        for outcome, words in (("alike", "much like another"), ("blurred", "blurred"))
        if gathered.outcomes[outcome]
    ]
    raise MeasurementError(
        f"only {len(gathered.views)} usable views of {gathered.seen} sightings"
        + (f" ({', '.join(reasons)})" if reasons else "")
        + f"; {MIN_VIEWS} are needed, {GOOD_VIEWS} are good: show {gathered.coverage.missing or 'more'}"
    )


def _nothing_seen(gathered: Gathered, board: Board) -> str:
    chess = board.kind == "chessboard"
    sizes = "count inner corners, where four squares meet" if chess else "count squares"
    return (
        f"no {board.description} in {gathered.looked} pictures; check --board, --size ({sizes}), light, "
        + ("and that all of the board with a white rim is in view" if chess else "and --dictionary")
    )
