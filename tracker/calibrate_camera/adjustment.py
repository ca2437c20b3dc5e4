"""Boards placed by a lens, and a lens and its boards adjusted together: least squares in pixels.

Both are Levenberg and Marquardt's: a step solves (J'J + damping diag(J'J)) step = -J'r, and is taken when it
lowers the sum of squares. Poses are a rotation vector and a position in the camera frame, metres.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from tracker.calibrate_camera.opencv import cv2
from tracker.calibrate_camera.views import BoardView
from tracker.cameras import Camera, KannalaBrandt
from tracker.errors import CameraError
from tracker.joints import FloatArray

MOST_STEPS, _POSE_STEPS = 60, 10
_SETTLED = 1e-8
"""A step that lowers the sum of squares by less than this share is the last."""
_GIVE_UP = 1e8
_RIVAL = 25.0
"""A mirror image that starts with more than this many times the other's squares does not win."""


def residuals_px(camera: Camera, view: BoardView, pose: FloatArray) -> FloatArray:
    """(N, 2) from where corners were seen to where ``camera`` shows a board at ``pose`` (2, 3)."""
    points_m = view.points_m @ cv2.Rodrigues(pose[0])[0].T + pose[1]
    with np.errstate(all="ignore"):
        return np.asarray(camera.project(points_m) - view.corners_px)


def slopes_px(camera: Camera, view: BoardView, pose: FloatArray) -> tuple[FloatArray, FloatArray]:
    """(2N, P) and (2N, 6): how corners move with fx, fy, cx, cy and the distortion, and with the pose."""
    if isinstance(camera, KannalaBrandt):
        return _fisheye_slopes_px(camera, view, pose)
    matrix = np.array([[camera.fx, 0, camera.cx], [0, camera.fy, camera.cy], [0, 0, 1.0]])
    distortion = np.array(camera.distortion or (0.0,) * 4)
    slopes = cv2.projectPoints(view.points_m[:, None], *pose, matrix, distortion)[1]
    return slopes[:, 6 : 10 + len(camera.distortion)], slopes[:, :6]  # turn 3, place 3, f 2, c 2, k


def _fisheye_slopes_px(
    camera: KannalaBrandt, view: BoardView, pose: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """The same for u = r(theta) x / rho, v = r(theta) y / rho with rho^2 = x^2 + y^2, tan(theta) = rho / z.

    OpenCV's are wrong beyond 90 degrees from the axis.
    """
    rotation, by_turn = cv2.Rodrigues(
        pose[0]
    )  # by_turn (3, 9): of the rotation's entries by each of the turn's
    x, y, z = (view.points_m @ rotation.T + pose[1]).T
    rho = np.maximum(np.hypot(x, y), 1e-12)
    theta, squared_m2 = np.arctan2(rho, z), rho**2 + z**2
    powers = theta[:, None] ** np.arange(1, 10, 2)
    coefficients = np.array([1.0, *camera.distortion])
    radius = powers @ coefficients
    slope = (powers / theta.clip(1e-12)[:, None]) @ (coefficients * np.arange(1, 10, 2))
    toward = np.stack([x, y], axis=-1) / rho[:, None]
    by_point = np.empty((len(x), 2, 3))
    across = np.eye(2) - toward[:, :, None] * toward[:, None, :]
    by_point[:, :, :2] = (slope * z / squared_m2)[:, None, None] * toward[:, :, None] * toward[:, None, :]
    by_point[:, :, :2] += (radius / rho)[:, None, None] * across
    by_point[:, :, 2] = -(slope * rho / squared_m2)[:, None] * toward
    by_point *= np.array([camera.fx, camera.fy])[:, None]
    turning = np.einsum("kij,nj->nik", by_turn.reshape(3, 3, 3), view.points_m)
    by_pose = np.concatenate([by_point @ turning, by_point], axis=-1)
    by_lens = np.zeros((len(x), 2, 8))
    for axis, focal in enumerate((camera.fx, camera.fy)):
        by_lens[:, axis, axis] = radius * toward[:, axis]
        by_lens[:, axis, 2 + axis] = 1.0
        by_lens[:, axis, 4:] = focal * toward[:, axis, None] * powers[:, 1:]
    return by_lens.reshape(-1, 8), by_pose.reshape(-1, 6)


def sum_of_squares(camera: Camera, views: Sequence[BoardView], poses: FloatArray) -> float:
    """Of all residuals; infinite where a corner has no image."""
    total = sum(
        float((residuals_px(camera, view, pose) ** 2).sum()) for view, pose in zip(views, poses, strict=True)
    )
    return total if np.isfinite(total) else float("inf")


def place_board(camera: Camera, view: BoardView) -> FloatArray | None:
    """(2, 3) pose of the board that ``camera`` sees; None where it cannot be placed.

    The plane's closed form in a camera turned toward the board, where a perspective view of it is never wild,
    then least squares on all corners, in pixels.
    """
    rays = camera.unproject(view.corners_px)
    rays, points_m = rays[np.isfinite(rays).all(axis=1)], view.points_m[np.isfinite(rays).all(axis=1)]
    if len(rays) < 6:
        return None
    turned_from_camera = _turn_toward(rays.mean(axis=0))
    turned = rays @ turned_from_camera.T
    if turned[:, 2].min() < 0.1:
        return None
    flat = turned[:, :2] / turned[:, 2:]
    _, turns, places_m, _ = cv2.solvePnPGeneric(points_m, flat, np.eye(3), None, flags=cv2.SOLVEPNP_IPPE)
    found: list[tuple[float, FloatArray]] = []
    for turn, place_m in zip(
        turns, places_m, strict=True
    ):  # a plane far off looks much like its mirror image
        camera_from_board = turned_from_camera.T @ cv2.Rodrigues(turn)[0]
        pose = np.stack([cv2.Rodrigues(camera_from_board)[0][:, 0], turned_from_camera.T @ place_m[:, 0]])
        found.append((sum_of_squares(camera, [view], pose[None]), pose))
    least = min((squares for squares, _ in found), default=np.inf)
    if not np.isfinite(least):
        return None
    close = [pose for squares, pose in found if squares <= _RIVAL * least]
    return min((_settled_pose(camera, view, pose) for pose in close), key=lambda each: each[0])[1]


def _turn_toward(direction: FloatArray) -> FloatArray:
    """A rotation (3, 3) that brings ``direction`` onto +z."""
    z = direction / np.linalg.norm(direction)
    y = np.cross(z, (1.0, 0.0, 0.0))
    y /= np.linalg.norm(y)
    return np.stack([np.cross(y, z), y, z])


def _settled_pose(camera: Camera, view: BoardView, pose: FloatArray) -> tuple[float, FloatArray]:
    """The sum of squares, infinite where the board is not seen, and the pose (2, 3) it belongs to."""
    squares, damping = sum_of_squares(camera, [view], pose[None]), 1e-4
    if not np.isfinite(squares):
        return squares, pose
    for _ in range(_POSE_STEPS):
        _, slopes = slopes_px(camera, view, pose)
        normal, gradient = slopes.T @ slopes, slopes.T @ residuals_px(camera, view, pose).reshape(-1)
        tried = pose - np.linalg.solve(normal + damping * np.diag(np.diag(normal)), gradient).reshape(2, 3)
        left = sum_of_squares(camera, [view], tried[None])
        if left < squares:
            settled = squares - left < 1e-6 * squares
            pose, squares, damping = tried, left, damping / 10
            if settled:
                break
        else:
            damping *= 10
            if damping > _GIVE_UP:
                break
    return squares, pose


def adjust(
    camera: Camera, views: Sequence[BoardView], poses: FloatArray, *, steps: int = MOST_STEPS
) -> tuple[Camera, FloatArray]:
    """The lens and the poses (V, 2, 3) from which the boards' corners lie closest to where they were seen.

    The poses are eliminated from each step (Schur's complement), which leaves the lens's numbers.
    """
    squares, damping = sum_of_squares(camera, views, poses), 1e-4
    for _ in range(steps):
        lens_step, pose_steps = _steps(camera, views, poses, damping)
        tried_poses = poses + pose_steps
        try:
            tried = _moved(camera, lens_step)
            left = sum_of_squares(tried, views, tried_poses)
        except CameraError:  # a focal length below zero
            left = float("inf")
        if left < squares:
            settled = squares - left < _SETTLED * squares
            camera, poses, squares, damping = tried, tried_poses, left, damping / 10
            if settled:
                break
        else:
            damping *= 10
            if damping > _GIVE_UP:
                break
    return camera, poses


def _steps(
    camera: Camera, views: Sequence[BoardView], poses: FloatArray, damping: float
) -> tuple[FloatArray, FloatArray]:
    """(P,) and (V, 2, 3): one damped step of the lens and of every pose."""
    matrix: Any = 0.0
    vector: Any = 0.0
    kept = []
    for view, pose in zip(views, poses, strict=True):
        by_lens, by_pose = slopes_px(camera, view, pose)
        residuals = residuals_px(camera, view, pose).reshape(-1)
        own = by_pose.T @ by_pose
        own += damping * np.diag(np.diag(own))
        mixed, gradient = by_lens.T @ by_pose, by_pose.T @ residuals
        lens = by_lens.T @ by_lens
        matrix = matrix + lens + damping * np.diag(np.diag(lens)) - mixed @ np.linalg.solve(own, mixed.T)
        vector = vector + by_lens.T @ residuals - mixed @ np.linalg.solve(own, gradient)
        kept.append((own, mixed, gradient))
    lens_step = -np.linalg.solve(matrix, vector)
    pose_steps = [np.linalg.solve(own, -gradient - mixed.T @ lens_step) for own, mixed, gradient in kept]
    return lens_step, np.stack(pose_steps).reshape(-1, 2, 3)


def _moved(camera: Camera, step: FloatArray) -> Camera:
    """``camera`` with its focal lengths, centre and distortion changed by ``step`` (P,)."""
    fx, fy, cx, cy, *distortion = (
        np.array([camera.fx, camera.fy, camera.cx, camera.cy, *camera.distortion]) + step
    ).tolist()
    return replace(camera, fx=fx, fy=fy, cx=cx, cy=cy, distortion=tuple(distortion))
