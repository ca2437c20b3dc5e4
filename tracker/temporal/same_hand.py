"""Whether two detections are of one hand."""

import numpy as np

from tracker.joints import BONES, FloatArray
from tracker.structs import HandDetection


def separation(a: HandDetection, b: HandDetection) -> float:
    """How far apart two detections are as hands: near 0 where one lies on the other, whatever its size.

    The mean distance of one's joints to the other's bones, as a share of the other's box; the smaller of
    the two ways round, since a ghost of two fingers lies on the hand but not the hand on the ghost.
    Infinite where the boxes, twice as large as their hands, have no part in common.
    """
    if np.abs(a.box.center_px - b.box.center_px).max() > 0.75 * (a.box.size_px + b.box.size_px):
        return float("inf")
    return min(
        distance_to_bones(a.estimate.joints_px, b.estimate.joints_px) / b.box.size_px,
        distance_to_bones(b.estimate.joints_px, a.estimate.joints_px) / a.box.size_px,
    )


def distance_to_bones(points_px: FloatArray, joints_px: FloatArray) -> float:
    """Mean distance in pixels of points (N, 2) to the nearest bone of a hand (21, 2)."""
    starts, ends = (joints_px[list(column)] for column in zip(*BONES, strict=True))
    along = ends - starts
    offsets = points_px[:, None] - starts
    share = (offsets * along).sum(-1) / np.maximum((along * along).sum(-1), 1e-9)
    nearest = offsets - np.clip(share, 0.0, 1.0)[..., None] * along
    return float(np.linalg.norm(nearest, axis=-1).min(axis=1).mean())
