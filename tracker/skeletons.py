"""Joint sets by name: our 21 joints, OpenXR's 26 and WebXR's 25.

All hold our 21. What the others add lies in the palm and is synthesised from the wrist and the four knuckles:
each long finger's metacarpal joint (the end of that bone near the wrist) is

    m = wrist + a (knuckle - wrist) + b (index knuckle - pinky knuckle)

with weights fitted to the open hand at rest (index within 7 mm, pinky within 4, the others within 1.5).
OpenXR's palm is the middle of the middle finger's metacarpal bone. All this is linear, so velocities map the
same way. WebXR is OpenXR without the palm.
"""

from dataclasses import dataclass

import numpy as np

from tracker.joints import FINGER_MCPS, JOINT_NAMES, NUM_JOINTS, WRIST, FloatArray

PALM_JOINTS = (WRIST, *FINGER_MCPS)
"""What the synthesised joints are made from."""
METACARPAL_WEIGHTS = ((0.30, 0.23), (0.31, 0.17), (0.33, 0.04), (0.37, -0.06))
"""(a, b) for index, middle, ring and pinky."""


def _weights() -> FloatArray:
    """(5, 5): palm and four metacarpals from the wrist and four knuckles; each row adds up to one."""
    rows = []
    for finger, (along, across) in enumerate(METACARPAL_WEIGHTS, start=1):
        row = np.zeros(len(PALM_JOINTS))
        row[0] = 1.0 - along
        row[finger] += along
        row[1] += across
        row[4] -= across
        rows.append(row)
    palm = 0.5 * rows[1] + 0.5 * np.eye(len(PALM_JOINTS))[2]
    return np.array([palm, *rows])


_WEIGHTS = _weights()


@dataclass(frozen=True)
class Skeleton:
    """One set of joints and its order."""

    name: str
    joint_names: tuple[str, ...]
    places: tuple[int, ...]
    """Where each of our 21 joints stands in it."""
    made: tuple[int, ...] = ()
    """Where the synthesised joints stand: the last ones of palm, index, middle, ring and pinky metacarpal."""

    def vectors(self, vectors: FloatArray) -> FloatArray:
        """Joints' positions or velocities (21, 3) as (J, 3), NaN where they are made from unknown ones."""
        if not self.made:
            return vectors
        with np.errstate(invalid="ignore"):
            made = _WEIGHTS[-len(self.made) :] @ vectors[list(PALM_JOINTS)]
        return self._spread(vectors, made)

    def scores(self, scores: FloatArray) -> FloatArray:
        """Joints' scores (21,) as (J,): a synthesised joint is as sure as the least sure it is made from."""
        if not self.made:
            return scores
        return self._spread(scores, np.full(len(self.made), scores[list(PALM_JOINTS)].min()))

    def seen(self, points: FloatArray) -> FloatArray:
        """What was seen of joints (21, D) as (J, D): NaN for synthesised ones: nobody saw those."""
        if not self.made:
            return points
        return self._spread(points, np.full((len(self.made), *points.shape[1:]), np.nan))

    def ours(self, values: FloatArray) -> FloatArray:
        """Our 21 joints (21, ...) of values (J, ...) in this skeleton's order.

        Raises:
            ValueError: there are not as many values as the skeleton has joints.
        """
        if len(values) != len(self.joint_names):
            raise ValueError(f"{len(values)} joints, want {len(self.joint_names)} of {self.name}")
        return values[list(self.places)]

    def _spread(self, ours: FloatArray, made: FloatArray) -> FloatArray:
        spread = np.empty((len(self.joint_names), *ours.shape[1:]))
        spread[list(self.places)] = ours
        spread[list(self.made)] = made
        return spread


def _openxr_names() -> tuple[str, ...]:
    thumb = tuple(f"thumb_{part}" for part in ("metacarpal", "proximal", "distal", "tip"))
    fingers = (
        f"{finger}_{part}"
        for finger in ("index", "middle", "ring", "little")
        for part in ("metacarpal", "proximal", "intermediate", "distal", "tip")
    )
    return ("palm", "wrist", *thumb, *fingers)


def _webxr_names() -> tuple[str, ...]:
    """As WebXR's ``XRHandJoint`` spells them."""
    phalanges = [f"phalanx-{part}" for part in ("proximal", "intermediate", "distal")]
    thumb = tuple(f"thumb-{part}" for part in ("metacarpal", phalanges[0], phalanges[2], "tip"))
    fingers = (
        f"{finger}-finger-{part}"
        for finger in ("index", "middle", "ring", "pinky")
        for part in ("metacarpal", *phalanges, "tip")
    )
    return ("wrist", *thumb, *fingers)


_METACARPALS = (5, 10, 15, 20)
"""Where WebXR has the four that are synthesised."""
_WEBXR_PLACES = tuple(place for place in range(25) if place not in _METACARPALS)

HAND21 = Skeleton("hand21", JOINT_NAMES, tuple(range(NUM_JOINTS)))
SKELETONS: dict[str, Skeleton] = {
    skeleton.name: skeleton
    for skeleton in (
        HAND21,
        Skeleton(
            "openxr26",
            _openxr_names(),
            tuple(place + 1 for place in _WEBXR_PLACES),
            (0, *(place + 1 for place in _METACARPALS)),
        ),
        Skeleton("webxr25", _webxr_names(), _WEBXR_PLACES, _METACARPALS),
    )
}
