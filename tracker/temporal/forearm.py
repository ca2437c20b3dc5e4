"""Where a hand's forearm must be: it tells a wearer's left hand from the right one, and from no hand."""

import math
from dataclasses import dataclass

from tracker.cameras import Camera
from tracker.joints import FINGER_MCPS, WRIST
from tracker.structs import HandEstimate

FOREARM_M = 0.25
"""From wrist to elbow, an adult's."""
RECEDING = -0.45
"""A wearer's forearm does not lie farther ahead than the hand by more than this share of its length. In
first-person clips the mean over five frames stayed above -0.34 for hands, and below -0.58 for things that
were taken for hands."""
_PALM = [WRIST, *FINGER_MCPS]


@dataclass(frozen=True)
class Forearm:
    """The forearm of one hand, as if the wrist were straight."""

    elbow_right_m: float
    """How far to the right of the camera the elbow lies."""
    ahead: float
    """Share of the forearm's length by which the hand lies farther ahead of the camera than the elbow."""

    @property
    def is_a_wearers(self) -> bool:
        """Whether it can belong to whoever wears or holds the camera."""
        return self.ahead > RECEDING


def forearm_of(estimate: HandEstimate, camera: Camera) -> Forearm | None:
    """The forearm of a hand that is not placed yet; None where it cannot be told.

    The palm's size in metres over its size as an angle gives its distance, weak perspective about the palm's
    own ray; the elbow lies a forearm's length behind the wrist, where the hand points away from.
    """
    rays = camera.unproject(estimate.joints_px[_PALM])
    palm_m = estimate.joints_from_wrist_m[_PALM]
    toward = rays.sum(axis=0) / len(_PALM)
    offsets_m = palm_m - palm_m.sum(axis=0) / len(_PALM)
    along_m = offsets_m @ toward
    spread = float(((rays - toward) ** 2).sum())
    knuckles_m = palm_m[1:].sum(axis=0) / len(FINGER_MCPS)
    length_m = math.sqrt(float(knuckles_m @ knuckles_m))
    if not (spread > 1e-12 and length_m > 1e-6):  # also where a ray is missing
        return None
    across_m2 = float((offsets_m**2).sum()) - float(along_m @ along_m) / float(toward @ toward)
    distance_m = math.sqrt(max(across_m2, 0.0) / spread)
    right, _, ahead = (knuckles_m / length_m).tolist()
    return Forearm(float(rays[0, 0]) * distance_m - FOREARM_M * right, ahead)
