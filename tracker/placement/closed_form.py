"""Place a hand as it was read: its joints closest to the rays through the points seen, in closed form.

A network gives joints J_i about the wrist in camera axes, and where they are seen, which the lens turns into
unit rays d_i. The wrist t is where the joints lie closest to their rays:

    sum_i w_i (I - d_i d_i^T) (J_i + t) = 0,

a linear system of 3 unknowns, solved again with weights lowered for joints far from their rays.
"""

import numpy as np
import numpy.typing as npt

from tracker.cameras import Camera
from tracker.errors import PlacementError
from tracker.hand_shape import ADULT_SIZE_SD
from tracker.joints import FINGER_MCPS, WRIST, FloatArray, camera_from_wrist
from tracker.structs import HandEstimate, HandPose

BoolArray = npt.NDArray[np.bool_]

PALM = [WRIST, *FINGER_MCPS]
MIN_JOINTS_IN_VIEW = 6
REWEIGHTINGS = 2
HUBER_SCALE = 1.5
"""Joints farther from their rays than this many median distances weigh less."""
JOINT_NOISE_FLOOR_M = 0.002


def place_hand(estimate: HandEstimate, camera: Camera, *, hand_scale: float = 1.0) -> HandPose:
    """Move a wrist-relative hand to where its joints lie on the rays through ``joints_px``.

    Args:
        estimate: the hand to place.
        camera: the lens its pixels were seen through.
        hand_scale: factor on the estimate's bone lengths.

    Raises:
        PlacementError: fewer than 6 joints have a ray, none counts, or the rays meet behind the camera.
    """
    rays, in_view = rays_in_view(estimate, camera)
    relative_m = estimate.joints_from_wrist_m * hand_scale
    weights = estimate.joint_scores[in_view]
    wrist_m, weights, information = closest_to_rays(relative_m[in_view], rays[in_view], weights)
    joints_m = relative_m + wrist_m
    if not np.isfinite(joints_m).all() or ((joints_m[in_view] * rays[in_view]).sum(-1) <= 0).any():
        raise PlacementError("the joints' rays meet behind the camera")
    return placed(
        estimate, camera, joints_m, rays=rays, in_view=in_view, weights=weights, information=information
    )


def placed(
    estimate: HandEstimate,
    camera: Camera,
    joints_m: FloatArray,
    *,
    rays: FloatArray,
    in_view: BoolArray,
    weights: FloatArray,
    information: FloatArray,
) -> HandPose:
    """The pose of a hand as it was read whose joints (21, 3) were brought to their place.

    Args:
        estimate: the hand.
        camera: the lens its pixels were seen through.
        joints_m: in the camera frame.
        rays: (21, 3) of ``rays_in_view``.
        in_view: (21,) likewise; N of them.
        weights: (N,) of the joints in view.
        information: (3, 3) as ``ray_information`` has it.
    """
    offsets = ray_offsets(joints_m[in_view], rays[in_view])
    errors_px = camera.project(joints_m[in_view]) - estimate.joints_px[in_view]
    return HandPose(
        side=estimate.side,
        joints_in_camera_m=joints_m,
        camera_from_wrist=camera_from_wrist(joints_m, estimate.side),
        covariance_m2=position_covariance(joints_m, offsets, weights, information),
        reprojection_error_px=weighted_rms(errors_px, weights),
        observed_px=estimate.joints_px,
        joint_scores=estimate.joint_scores,
        mano=estimate.mano,
    )


def rays_in_view(estimate: HandEstimate, camera: Camera) -> tuple[FloatArray, BoolArray]:
    """Unit rays (21, 3) through the joints, NaN where there is none, and which joints (21,) have one.

    Raises:
        PlacementError: fewer than 6 joints have a ray, or none that has counts.
    """
    rays = camera.unproject(estimate.joints_px)
    in_view = np.isfinite(rays[:, 2])
    if in_view.sum() < MIN_JOINTS_IN_VIEW:
        raise PlacementError(f"only {in_view.sum()} joints have a ray; {MIN_JOINTS_IN_VIEW} are needed")
    if not estimate.joint_scores[in_view].sum() > 0:
        raise PlacementError("the scores of all joints in view are zero")
    return rays, in_view


def closest_to_rays(
    relative_m: FloatArray, rays: FloatArray, weights: FloatArray
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """The shift (3,) that brings points (N, 3) closest to unit rays (N, 3) from the origin.

    Returns the shift, the weights (N,) after robust re-weighting, and the information matrix
    (3, 3), the weighted sum of I - d d^T.
    """
    across = across_rays(rays)
    pulled = (across @ relative_m[:, :, None])[:, :, 0]
    robust = weights
    for iteration in range(REWEIGHTINGS + 1):
        information = ray_information(across, robust)
        shift: FloatArray = np.asarray(np.linalg.solve(information, -(robust @ pulled)), dtype=np.float64)
        if iteration < REWEIGHTINGS:
            robust = weights * huber_weights(ray_offsets(relative_m + shift, rays))
    return shift, robust, information


def across_rays(rays: FloatArray) -> FloatArray:
    """I - d d^T (N, 3, 3) of unit rays d (N, 3): what takes a point to its offset from the ray."""
    return np.asarray(np.eye(3) - rays[:, :, None] * rays[:, None, :])


def ray_information(across: FloatArray, weights: FloatArray) -> FloatArray:
    """What points on rays say of a place (3, 3): the weighted sum of ``across`` (N, 3, 3), each I - d d^T.

    Rays that are all but parallel leave the range open; a trace of damping keeps the solve finite.
    """
    information: FloatArray = (weights @ across.reshape(-1, 9)).reshape(3, 3)
    information += 1e-9 * np.trace(information) * np.eye(3)
    return information


def ray_offsets(points_m: FloatArray, rays: FloatArray) -> FloatArray:
    """Distances (..., N) in metres of points (..., N, 3) from their unit rays (..., N, 3)."""
    along = (points_m * rays).sum(axis=-1, keepdims=True)
    offsets = points_m - along * rays
    return np.asarray(np.sqrt((offsets * offsets).sum(axis=-1)))


def huber_weights(residuals: FloatArray) -> FloatArray:
    """Huber's weights (N,) of residuals (N,), the threshold a multiple of their (upper) median."""
    median = float(np.partition(residuals, len(residuals) // 2)[len(residuals) // 2])
    threshold = HUBER_SCALE * max(median, 1e-9)
    return np.minimum(1.0, threshold / np.maximum(residuals, 1e-12))


def position_covariance(
    joints_m: FloatArray, offsets_m: FloatArray, weights: FloatArray, information: FloatArray
) -> FloatArray:
    """Covariance (3, 3) in m^2 of a placed hand (21, 3).

    Two independent parts: the rays' noise, seen in the joints' ``offsets_m`` (N,) from them, carried through
    the linear solve; and the unknown hand size, which moves the hand along its ray and nowhere else.
    """
    center = joints_m[PALM].mean(axis=0)
    freedom = max(2 * len(offsets_m) - 3, 1)
    variance = float((weights * offsets_m**2).sum()) / freedom + JOINT_NOISE_FLOOR_M**2
    return variance * np.linalg.inv(information) + ADULT_SIZE_SD**2 * np.outer(center, center)


def weighted_rms(errors_px: FloatArray, weights: FloatArray) -> float:
    """Root of the weighted mean square length of errors (N, 2), leaving out joints without an image."""
    squares = (errors_px**2).sum(axis=-1)
    weights = np.where(np.isfinite(squares), weights, 0.0)
    return float(np.sqrt((weights * np.nan_to_num(squares)).sum() / max(float(weights.sum()), 1e-12)))
