"""Place a hand by turning and moving its joints onto its own points: what a paper calls HaMeR-align.

Unknown are a rotation R and a translation t of the network's joints J_i, which keep their shape and size.
Minimised is the reprojection error through the true lens,

    sum_i w_i |project(R J_i + t) - p_i|^2,

by Levenberg and Marquardt from where the closed form has the hand. Nothing else is known or believed, so
points that are read wrongly turn the hand: that is the price of needing no prior.
"""

import math
from dataclasses import dataclass, replace

import numpy as np

from tracker.cameras import Camera
from tracker.errors import PlacementError
from tracker.joints import FloatArray
from tracker.placement.closed_form import (
    across_rays,
    closest_to_rays,
    placed,
    ray_information,
    rays_in_view,
)
from tracker.rotations import crosses, rotation_from_vector
from tracker.structs import HandEstimate, HandPose

MAX_STEPS = 30
SETTLED = 1e-9
"""A step that takes off less than this share of the squared error is the last."""
FIRST_DAMPING, LESS_DAMPING, MORE_DAMPING = 1e-3, 0.1, 10.0
LEAST_DAMPING, MOST_DAMPING = 1e-9, 1e9
"""At the least, a hand that its points put farther and farther away still has a step."""
SLOPE_STEP = 1e-5
"""Share of a joint's distance over which the lens's slopes are taken."""


@dataclass(frozen=True, eq=False)
class Seen:
    """Joints of one hand that have an image, and where it was seen to be."""

    joints_m: FloatArray
    """(N, 3) about the wrist, as the network has them."""
    points_px: FloatArray
    """(N, 2)"""
    weights: FloatArray
    """(N,)"""
    camera: Camera

    def errors_px(self, rotation: FloatArray, wrist_m: FloatArray) -> FloatArray:
        """What leads (N, 2) from the points to the joints' images; NaN where a joint has none."""
        return self.camera.project(self.joints_m @ rotation.T + wrist_m) - self.points_px

    def cost(self, errors_px: FloatArray) -> float:
        """The weighted squared error; infinite where a joint has left the picture."""
        cost = float(self.weights @ (errors_px * errors_px).sum(axis=1))
        return cost if math.isfinite(cost) else math.inf

    def slopes(self, rotation: FloatArray, wrist_m: FloatArray) -> FloatArray:
        """Slopes (N, 2, 6) of the images by a small turn about the wrist, and by the wrist's place.

        With x = R J + t: dx = -[R J]x dr + dt; the lens's own slope is a central difference.
        """
        turned_m = self.joints_m @ rotation.T
        by_place = lens_slopes(self.camera, turned_m + wrist_m)
        return np.concatenate([-by_place @ crosses(turned_m), by_place], axis=2)


def place_aligned(estimate: HandEstimate, camera: Camera) -> HandPose:
    """The hand turned and moved to where its joints project closest to its points, as large as it was read.

    Raises:
        PlacementError: fewer than 6 joints have a ray, none counts, or the rays meet behind the camera.
    """
    rays, in_view = rays_in_view(estimate, camera)
    weights, relative_m = estimate.joint_scores[in_view], estimate.joints_from_wrist_m
    wrist_m, _, _ = closest_to_rays(relative_m[in_view], rays[in_view], weights)
    if not (((relative_m + wrist_m)[in_view] * rays[in_view]).sum(axis=1) > 0).all():
        raise PlacementError("the joints' rays meet behind the camera")
    # A joint that a step would take out of the picture must have been there.
    imaged = in_view & np.isfinite(camera.project(relative_m + wrist_m)[:, 0])
    seen = Seen(relative_m[imaged], estimate.joints_px[imaged], estimate.joint_scores[imaged], camera)
    rotation, wrist_m = aligned(seen, wrist_m)
    mano = estimate.mano
    if mano is not None:
        mano = mano.turned(rotation, relative_m.mean(axis=0))
    return placed(
        replace(estimate, mano=mano),
        camera,
        relative_m @ rotation.T + wrist_m,
        rays=rays,
        in_view=in_view,
        weights=weights,
        information=ray_information(across_rays(rays[in_view]), weights),
    )


def aligned(seen: Seen, wrist_m: FloatArray) -> tuple[FloatArray, FloatArray]:
    """The rotation (3, 3) and the wrist's place (3,) of the least error, from no rotation and a place."""
    rotation, damping = np.eye(3), FIRST_DAMPING
    errors_px = seen.errors_px(rotation, wrist_m)
    cost = seen.cost(errors_px)
    for _ in range(MAX_STEPS):
        slopes = seen.slopes(rotation, wrist_m)
        normal = np.einsum("n,nki,nkj->ij", seen.weights, slopes, slopes)
        downhill = -np.einsum("n,nki,nk->i", seen.weights, slopes, errors_px)
        before = cost
        while damping < MOST_DAMPING:
            change = np.linalg.solve(normal + damping * np.diag(normal.diagonal() + 1e-12), downhill)
            new = rotation_from_vector(change[:3]) @ rotation, wrist_m + change[3:]
            new_errors_px = seen.errors_px(*new)
            new_cost = seen.cost(new_errors_px)
            if new_cost <= cost:
                (rotation, wrist_m), errors_px, cost = new, new_errors_px, new_cost
                damping = max(damping * LESS_DAMPING, LEAST_DAMPING)
                break
            damping *= MORE_DAMPING
        if not before - cost > SETTLED * before:
            break
    return rotation, wrist_m


def lens_slopes(camera: Camera, points_m: FloatArray) -> FloatArray:
    """Slopes (N, 2, 3) of pixels by the places of points (N, 3)."""
    step_m = SLOPE_STEP * np.sqrt((points_m * points_m).sum(axis=1))[:, None, None]
    beside = step_m * np.eye(3)  # (N, 3, 3)
    ahead, behind = camera.project(points_m[:, None] + np.stack([beside, -beside]))  # each (N, 3, 2)
    return np.asarray((ahead - behind).swapaxes(1, 2) / (2 * step_m))
