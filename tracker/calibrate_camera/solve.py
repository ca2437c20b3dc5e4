"""From chosen views to a calibration: which lens model, its error on views not used, outliers left out."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from tracker.calibrate_camera.adjustment import place_board, residuals_px
from tracker.calibrate_camera.lens_fits import LensFit, LensModel, fit_lens
from tracker.calibrate_camera.views import BoardView
from tracker.errors import MeasurementError

ModelChoice = Literal["auto", "pinhole", "brown_conrady", "kannala_brandt"]
FOLDS = 5
BETTER = 0.98
"""A fisheye is chosen over Brown-Conrady, which more programs read, when its held-out error is below this."""
OUTLIER = 3.0
"""A view whose error is this many times the median's is left out."""
LEAST_DOUBT_PX = 0.15
"""Views toward the rim err more than the median, and tell most: below three times this none is left out."""
MOST_OUTLIERS = 0.2


@dataclass(frozen=True, eq=False)
class Solution:
    """A fitted lens, and its error on views that it was not fitted to."""

    fit: LensFit
    held_out_px: float
    """Root mean square over all views, each measured with a lens fitted without it; infinite if none fits."""
    outliers: tuple[BoardView, ...]
    """Views left out because they disagree with all others."""


def solve(
    views: Sequence[BoardView], width: int, height: int, model: ModelChoice
) -> tuple[Solution, dict[str, float]]:
    """The lens of ``model``, or the better of Brown-Conrady and Kannala-Brandt, and each held-out error.

    Raises:
        MeasurementError: none fits.
    """
    models: tuple[LensModel, ...] = ("brown_conrady", "kannala_brandt") if model == "auto" else (model,)
    solutions: dict[LensModel, Solution] = {}
    failure: MeasurementError | None = None
    for name in models:
        try:
            solutions[name] = solve_model(views, width, height, name)
        except MeasurementError as error:
            failure = error
    if not solutions:
        raise failure or MeasurementError("no lens fits these views")
    best, *others = solutions.values()
    for other in others:
        if other.held_out_px < BETTER * best.held_out_px:
            best = other
    return best, {name: solutions[name].held_out_px if name in solutions else float("inf") for name in models}


def solve_model(views: Sequence[BoardView], width: int, height: int, model: LensModel) -> Solution:
    """The lens of one model, without the views that disagree with all others."""
    fit = fit_lens(views, width, height, model)
    outliers = _outliers(fit)
    if outliers:
        kept = [view for view in fit.views if view not in outliers]
        fit = fit_lens(kept, width, height, model, start=fit)
    return Solution(fit, held_out_rms_px(fit.views, width, height, model, start=fit), outliers)


def _outliers(fit: LensFit) -> tuple[BoardView, ...]:
    limit_px = OUTLIER * max(float(np.median(fit.view_rms_px)), LEAST_DOUBT_PX)
    worst = np.argsort(-fit.view_rms_px)[: int(MOST_OUTLIERS * len(fit.views))]
    return tuple(fit.views[place] for place in worst if fit.view_rms_px[place] > limit_px)


def held_out_rms_px(
    views: Sequence[BoardView], width: int, height: int, model: LensModel, *, start: LensFit | None = None
) -> float:
    """Cross-validation: every ``FOLDS``-th view is placed with a lens fitted to the others, then measured.

    A held-out view gives only its own pose, six numbers, to the lens that is tried on it. ``start`` is as for
    ``fit_lens``.
    """
    squares, count = 0.0, 0
    folds = min(FOLDS, len(views))
    for fold in range(folds):
        held = views[fold::folds]
        kept = [view for place, view in enumerate(views) if place % folds != fold]
        try:
            camera = fit_lens(kept, width, height, model, start=start).camera
        except MeasurementError:
            return float("inf")
        for view in held:
            pose = place_board(camera, view)
            if pose is None:
                return float("inf")
            squares += float((residuals_px(camera, view, pose) ** 2).sum())
            count += len(view.points_m)
    return float(np.sqrt(squares / count)) if np.isfinite(squares) else float("inf")
