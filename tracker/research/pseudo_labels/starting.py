"""Where a fit begins: a rest hand put onto keypoints of which some are missing."""

import numpy as np

from tracker.joints import FloatArray
from tracker.rotations import closest_rotation

_ENOUGH = 4
"""Palm joints that place a hand by themselves; with fewer, all joints do."""


def first_placement(
    joints_m: FloatArray, weights: FloatArray, rest_m: FloatArray, palm: list[int]
) -> tuple[FloatArray, FloatArray]:
    """Places (H, 3) and rotations (H, 3, 3) that bring a rest hand closest to keypoints (Kabsch).

    Outliers are the fit's business: with those left out here it ends no nearer (50 to 200 mm, in the palm).

    Args:
        joints_m: (H, 21, 3) zeros where unknown.
        weights: (H, 21) zero where unknown.
        rest_m: (21, 3)
        palm: the joints that do not move in the hand; they alone count where enough are known.
    """
    counting = np.zeros_like(weights)
    counting[:, palm] = weights[:, palm]
    few = (counting > 0).sum(axis=1) < _ENOUGH
    counting[few] = weights[few]
    share = (counting / counting.sum(axis=1, keepdims=True))[..., None]
    middle_m, rest_middle_m = (share * joints_m).sum(axis=1), (share * rest_m).sum(axis=1)
    rotations = closest_rotation(share * (joints_m - middle_m[:, None]), rest_m - rest_middle_m[:, None])
    return middle_m - np.einsum("hij,hj->hi", rotations, rest_middle_m), rotations
