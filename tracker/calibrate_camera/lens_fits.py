"""Fitting one lens model to views of a board, and how sure each number is.

Perspective lenses are OpenCV's to fit. Its ``fisheye.calibrate`` gives up on views toward the rim, which tell
a fisheye's distortion: of 24 good views of a synthetic lens it took 11. Fisheyes are fitted by
``adjustment.py``.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from tracker.calibrate_camera.adjustment import (
    adjust,
    place_board,
    residuals_px,
    slopes_px,
    sum_of_squares,
)
from tracker.calibrate_camera.opencv import cv2
from tracker.calibrate_camera.views import BoardView
from tracker.cameras import BrownConrady, Camera, KannalaBrandt, Pinhole
from tracker.errors import CameraError, MeasurementError
from tracker.joints import FloatArray

LensModel = Literal["pinhole", "brown_conrady", "kannala_brandt"]
PARAMETERS: dict[str, tuple[str, ...]] = {
    "pinhole": ("fx", "fy", "cx", "cy"),
    "brown_conrady": ("fx", "fy", "cx", "cy", "k1", "k2", "p1", "p2", "k3"),
    "kannala_brandt": ("fx", "fy", "cx", "cy", "k1", "k2", "k3", "k4"),
}
FEWEST_VIEWS = 4
"""A fit to fewer is not tried."""
_TRIAL_STEPS = 10
FISHEYE_FOCALS = (0.2, 0.32, 0.5, 0.8)
"""Of a fisheye, in longer sides of the picture; tried as starts. 0.32 sees 180 degrees."""


@dataclass(frozen=True, eq=False)
class LensFit:
    """A lens fitted to views."""

    camera: Camera
    views: tuple[BoardView, ...]
    """Those it was fitted to."""
    unfit: tuple[BoardView, ...]
    """Those it could not be fitted to."""
    poses: FloatArray
    """(V, 2, 3) of each view the board's rotation vector and position in the camera frame, metres."""
    view_rms_px: FloatArray
    """(V,) root mean square distance between seen and expected corners."""
    deviations: dict[str, float]
    """Standard deviation of each of ``PARAMETERS``, from the residuals' size."""

    @property
    def rms_px(self) -> float:
        """Over all corners."""
        counts = np.array([len(view.points_m) for view in self.views])
        return float(np.sqrt((counts * self.view_rms_px**2).sum() / counts.sum()))


def fit_lens(
    views: Sequence[BoardView], width: int, height: int, model: LensModel, *, start: LensFit | None = None
) -> LensFit:
    """The lens of this model that shows all boards' corners closest to where they were seen.

    A Brown-Conrady lens that folds back within the picture is fitted again without its k3, which too few
    corners near the edges leave free.

    Args:
        views: of a board.
        width: of the picture.
        height: of the picture.
        model: of the lens.
        start: a fit to these and other views, which saves a fisheye's search.

    Raises:
        MeasurementError: OpenCV finds none.
    """
    if len(views) < FEWEST_VIEWS:
        raise MeasurementError(f"{len(views)} views are too few to fit a lens to; show more")
    try:
        if model == "kannala_brandt":
            return _fit_fisheye(tuple(views), width, height, start)
        fixed = cv2.CALIB_ZERO_TANGENT_DIST | cv2.CALIB_FIX_K1 | cv2.CALIB_FIX_K2 | cv2.CALIB_FIX_K3
        found = _fit_perspective(tuple(views), width, height, model, fixed if model == "pinhole" else 0)
        if model == "brown_conrady" and not sees_whole_picture(found.camera):
            found = _fit_perspective(tuple(views), width, height, model, cv2.CALIB_FIX_K3)
        return found
    except (cv2.error, CameraError, np.linalg.LinAlgError) as error:
        raise MeasurementError(
            f"no {model} lens fits these views; show the board in more places and tilts"
        ) from error


def sees_whole_picture(camera: Camera) -> bool:
    """Whether every pixel has a ray, as every pixel of a lens that fills the picture has."""
    grid = np.meshgrid(np.linspace(0, camera.width - 1, 33), np.linspace(0, camera.height - 1, 33))
    with np.errstate(all="ignore"):
        return bool(np.isfinite(camera.unproject(np.stack(grid, axis=-1))).all())


def _fit_perspective(
    views: tuple[BoardView, ...], width: int, height: int, model: LensModel, flags: int
) -> LensFit:
    points, corners = _opencv_views(views)
    _, matrix, distortion, turns, places, deviations, _, _ = cv2.calibrateCameraExtended(
        [each[:, 0].astype(np.float32) for each in points],
        [each.astype(np.float32) for each in corners],
        (width, height),
        None,
        None,
        flags=flags,
    )
    values = tuple(map(float, distortion.reshape(-1)[:5]))
    kept = 0 if model == "pinhole" else 4 if flags & cv2.CALIB_FIX_K3 else 5
    lens = Pinhole if model == "pinhole" else BrownConrady
    camera = lens(width, height, *_axis(matrix), distortion=values[:kept])
    names = PARAMETERS[model][: 4 + len(camera.distortion)]
    return _fit_of(
        camera,
        views,
        (),
        np.stack([np.stack([t.reshape(3), p.reshape(3)]) for t, p in zip(turns, places, strict=True)]),
        dict(zip(names, map(float, deviations.reshape(-1)), strict=False)),
    )


def _axis(matrix: FloatArray) -> tuple[float, float, float, float]:
    """fx, fy, cx, cy."""
    return float(matrix[0, 0]), float(matrix[1, 1]), float(matrix[0, 2]), float(matrix[1, 2])


def _opencv_views(views: Sequence[BoardView]) -> tuple[list[FloatArray], list[FloatArray]]:
    """Board and picture coordinates, (N, 1, 3) and (N, 1, 2) a view."""
    return [view.points_m[:, None] for view in views], [view.corners_px[:, None] for view in views]


def _fit_fisheye(views: tuple[BoardView, ...], width: int, height: int, start: LensFit | None) -> LensFit:
    """From ``start``, or the best of equidistant lenses of several focal lengths, each adjusted a little."""
    if start is not None:
        known = dict(zip(map(id, start.views), start.poses, strict=True))
        camera, placed = start.camera, tuple(view for view in views if id(view) in known)
        poses = np.stack([known[id(view)] for view in placed])
    else:
        camera = _fisheye_start(views, width, height)
        placed, poses = _placed(
            camera, views
        )  # anew: a wrong lens may have taken a board for its mirror image
    camera, poses = adjust(camera, placed, poses)
    unfit = tuple(view for view in views if view not in placed)
    fit = _fit_of(camera, placed, unfit, poses, {})
    return replace(fit, deviations=standard_deviations(fit))


def _fisheye_start(views: tuple[BoardView, ...], width: int, height: int) -> Camera:
    tried = []
    for focal in np.multiply(FISHEYE_FOCALS, max(width, height)).tolist():
        camera: Camera = KannalaBrandt(
            width, height, focal, focal, (width - 1) / 2, (height - 1) / 2, (0.0,) * 4
        )
        placed, poses = _placed(camera, views)
        if len(placed) >= FEWEST_VIEWS:
            camera, poses = adjust(camera, placed, poses, steps=_TRIAL_STEPS)
            tried.append((-len(placed), sum_of_squares(camera, placed, poses), camera))
    if not tried:
        raise MeasurementError("these views suit no fisheye; show the board nearer the middle too")
    return min(tried, key=lambda each: each[:2])[2]


def _placed(camera: Camera, views: tuple[BoardView, ...]) -> tuple[tuple[BoardView, ...], FloatArray]:
    """The views whose board the camera sees, and its poses (V, 2, 3)."""
    found = [(view, pose) for view in views if (pose := place_board(camera, view)) is not None]
    return tuple(view for view, _ in found), np.array([pose for _, pose in found]).reshape(-1, 2, 3)


def _fit_of(
    camera: Camera,
    views: tuple[BoardView, ...],
    unfit: tuple[BoardView, ...],
    poses: FloatArray,
    deviations: dict[str, float],
) -> LensFit:
    residuals = [residuals_px(camera, view, pose) for view, pose in zip(views, poses, strict=True)]
    rms_px = np.array([np.sqrt((each**2).sum(axis=-1).mean()) for each in residuals])
    if not np.isfinite(rms_px).all():
        raise CameraError("the fit has no image of a corner that was seen")
    return LensFit(camera, views, unfit, poses, rms_px, deviations)


def standard_deviations(fit: LensFit) -> dict[str, float]:
    """Of each parameter, from the residuals' size and how the corners move with it.

    With A = sum Jc'Jc - Jc'Jp (Jp'Jp)^-1 Jp'Jc over the views (the poses eliminated), the covariance is
    s^2 A^-1, s^2 the residuals' sum of squares over what is left of their number.
    """
    information: Any = 0.0
    for view, pose in zip(fit.views, fit.poses, strict=True):
        by_camera, by_pose = slopes_px(fit.camera, view, pose)
        mixed = by_camera.T @ by_pose
        information = (
            information + by_camera.T @ by_camera - mixed @ np.linalg.solve(by_pose.T @ by_pose, mixed.T)
        )
    counts = np.array([2 * len(view.points_m) for view in fit.views])
    squares = float((counts / 2 * fit.view_rms_px**2).sum())
    count = 4 + len(fit.camera.distortion)
    variance = squares / max(1, int(counts.sum()) - count - 6 * len(fit.views))
    deviations = np.sqrt(variance * np.diag(np.linalg.inv(information)))
    return dict(zip(PARAMETERS[fit.camera.model][:count], map(float, deviations), strict=True))
