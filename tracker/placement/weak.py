"""Place a hand as publications do: by weak perspective, its axes taken for the camera's.

HaMeR's camera (s, tx, ty) over a box of side b, its centre at (x, y) from the principal point, says

    t = (tx + 2 x / (b s), ty + 2 y / (b s), 2 f / (b s)),

f being the true focal length here, where its demo takes 5000/256 of the picture's longer side. The backend
has put the joints there (``HandEstimate.weak_joints_m``). Other networks have no such camera: theirs is the
scaled orthographic one that brings their joints J closest to the points p they saw,

    min sum_i w_i |a + s J_i - p_i|^2,    t = ((a - c) / s, f / s).

It is for comparison: only straight ahead are a crop's axes the camera's.
"""

from dataclasses import replace

import numpy as np

from tracker.cameras import Camera
from tracker.errors import PlacementError
from tracker.joints import FloatArray
from tracker.placement.closed_form import across_rays, placed, ray_information, rays_in_view
from tracker.rotations import closest_rotation
from tracker.structs import HandEstimate, HandPose, ManoParameters


def place_weakly(estimate: HandEstimate, camera: Camera) -> HandPose:
    """The hand where weak perspective has it, as large as its network read it.

    Raises:
        PlacementError: fewer than 6 joints have a ray, none counts, the hand is seen mirrored or as a
            point, or it would lie behind the camera.
    """
    rays, in_view = rays_in_view(estimate, camera)
    weights = estimate.joint_scores[in_view]
    joints_m = estimate.weak_joints_m
    if joints_m is None:
        joints_m = scaled_orthographic(estimate, camera, np.where(in_view, estimate.joint_scores, 0.0))
    ahead = (joints_m[in_view] * rays[in_view]).sum(axis=1) > 0
    if not (np.isfinite(joints_m).all() and ahead.all()):
        raise PlacementError("weak perspective puts the hand behind the camera")
    return placed(
        replace(estimate, mano=turned_mano(estimate, joints_m)),
        camera,
        joints_m,
        rays=rays,
        in_view=in_view,
        weights=weights,
        information=ray_information(across_rays(rays[in_view]), weights),
    )


def turned_mano(estimate: HandEstimate, joints_m: FloatArray) -> ManoParameters | None:
    """MANO's parameters turned as the joints were: the turn to the ray undone."""
    if estimate.mano is None:
        return None
    middle_m = estimate.joints_from_wrist_m.mean(axis=0)
    turn = closest_rotation(joints_m - joints_m.mean(axis=0), estimate.joints_from_wrist_m - middle_m)
    return estimate.mano.turned(turn, middle_m)


def scaled_orthographic(estimate: HandEstimate, camera: Camera, weights: FloatArray) -> FloatArray:
    """Joints (21, 3) in the camera frame by the scaled orthographic camera that fits best.

    Depth is counted from the weighted mean joint. Joints of weight zero do not count.

    Raises:
        PlacementError: the hand is seen mirrored or as a point.
    """
    share = weights / weights.sum()
    seen_px = np.where(weights[:, None] > 0, estimate.joints_px, 0.0)
    centred_m = estimate.joints_from_wrist_m - share @ estimate.joints_from_wrist_m
    middle_px = share @ seen_px
    across_m = centred_m[:, :2]
    spread = float(share @ (across_m * across_m).sum(axis=1))
    pixels_per_m = float(share @ (across_m * (seen_px - middle_px)).sum(axis=1)) / max(spread, 1e-12)
    if not pixels_per_m > 0:
        raise PlacementError("weak perspective sees the hand mirrored, or as a point")
    x_px, y_px = middle_px - (camera.cx, camera.cy)
    middle_m = np.array([x_px, y_px, 0.5 * (camera.fx + camera.fy)]) / pixels_per_m
    return np.asarray(centred_m + middle_m)
