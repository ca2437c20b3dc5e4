"""Measuring a hand's bones from frames in which it is held up flat.

A network sees proportions, not size: a small hand near by looks like a large one far off. So good frames
give the fingers' proportions, of which the same share is believed as while tracking, and the size comes from
the user: the palm's width by a ruler, or the distance at which the hand was held. Then, with the tracker's
own fit of the hand to its rays,

    factor on the size = measured distance / distance at which the hand came out.

That also takes up how large the network draws this hand, flat; bent it draws it otherwise. So the factor is
weighed against the mean adult hand by how far either can be off.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from tracker.cameras import Camera
from tracker.errors import MeasurementError
from tracker.hand_shape import ADULT_SIZE_SD, HandShape
from tracker.hand_store import MeasuredHand
from tracker.joints import FINGER_MCPS, FINGERS, WRIST, FloatArray
from tracker.kinematic_fit import FitConfig
from tracker.placement.kinematic import SeenHand, fit_hands
from tracker.structs import HandEstimate
from tracker.temporal.bones import LANDMARK_SPAN, MEAN_MEASURES, BonesConfig, measured

MIN_FRAMES = 10
MIN_PALM_PX = 50.0
MAX_BEND_RAD = np.radians(35.0)
"""Of any joint of the four long fingers: a network bends straight fingers by 10 to 20 degrees."""
MAX_TURN_RAD = np.radians(35.0)
"""Of the palm's normal from the line of sight, where a length is shortened by less than a fifth."""
MAX_SPREAD = 0.2
"""Frames that scatter more are not of one hand."""
MAX_CROWDED = 0.2
"""More of the frames with hands that show too many of them, and other people are in view."""
DISTANCE_SD = 0.02
"""A person measures half a metre from a lens to within about 1 cm."""
POSE_SD = 0.04
"""By how much the network draws a hand larger or smaller flat than in other poses: on metric pictures of one
hand it was 2 % smaller, on the demo clip's 4 % larger."""
_MAD_TO_SD = 1.4826
_PALM = [WRIST, *FINGER_MCPS]
_FINGER_BONES = 15


@dataclass(frozen=True, eq=False)
class FlatHand:
    """A hand that one good frame shows."""

    estimate: HandEstimate
    camera: Camera


class HandMeter:
    """Gathers good frames of one person's hands."""

    def __init__(self) -> None:
        self.flat: list[FlatHand] = []
        self.frames_with_hands = 0
        self.reasons: Counter[str] = Counter()
        """Why hands were not good enough, and how often."""
        self._crowded = 0

    def see(self, estimates: Sequence[HandEstimate], camera: Camera) -> str | None:
        """Take the hands of one frame; returns what the person should change, None when a hand was good."""
        if not estimates:
            return "no hand in view"
        self.frames_with_hands += 1
        if len(estimates) > 2:
            self._crowded += 1
            return "more than two hands in view"
        reasons = [self._take(estimate, camera) for estimate in estimates]
        self.reasons.update(reason for reason in reasons if reason is not None)
        return None if None in reasons else reasons[0]

    def _take(self, estimate: HandEstimate, camera: Camera) -> str | None:
        reason = why_not_flat(estimate, camera)
        if reason is not None:
            return reason
        self.flat.append(FlatHand(estimate, camera))
        return None

    def measured(self, *, palm_width_m: float | None = None, distance_m: float | None = None) -> MeasuredHand:
        """The hand that the good frames agree on, as large as the user says, or about as the network does.

        Raises:
            MeasurementError: too few good frames, several people, or frames that disagree.
            HandFileError: what was measured is not a hand.
        """
        self._check()
        seen = np.array([measured(flat.estimate) for flat in self.flat])
        spread = float(np.median(_scatter(seen[:, -_FINGER_BONES:])))
        if spread > MAX_SPREAD:
            raise MeasurementError(
                f"the frames disagree by {100 * spread:.0f} % about the bones; show one person's hands only"
            )
        believed = np.median(seen, axis=0)
        if palm_width_m is not None:
            shape = with_fingers(HandShape.from_palm_width(palm_width_m), believed)
            return MeasuredHand(shape, "palm width", len(seen), spread)
        shape = with_fingers(HandShape.mean(), believed)
        if distance_m is None:
            size = BonesConfig().size_share * (believed[0] - MEAN_MEASURES[0])
            guess = shape.scaled(float(np.exp(size)))
            return MeasuredHand(guess, "network", len(seen), spread, float(_scatter(np.exp(seen[:, 0]))))
        factors = distance_m / distances_m(self.flat, shape)
        variance = DISTANCE_SD**2 + POSE_SD**2
        share = ADULT_SIZE_SD**2 / (ADULT_SIZE_SD**2 + variance)
        shape = replace(
            shape.scaled(float(np.median(factors)) ** share), size_sd=float(np.sqrt(share * variance))
        )
        return MeasuredHand(shape, "distance", len(seen), spread, float(_scatter(factors)))

    def _check(self) -> None:
        if not self.frames_with_hands:
            raise MeasurementError("no hand was seen; hold one up flat before the camera, fingers straight")
        if self._crowded > MAX_CROWDED * self.frames_with_hands:
            raise MeasurementError(
                f"{self._crowded} of {self.frames_with_hands} frames show more than two hands; "
                "show the hands of one person only"
            )
        if len(self.flat) < MIN_FRAMES:
            common = "; ".join(f"{reason} ({count})" for reason, count in self.reasons.most_common(2))
            raise MeasurementError(
                f"a hand was seen in {self.frames_with_hands} frames, but flat, open and facing the lens in "
                f"{len(self.flat)} (at least {MIN_FRAMES} are needed)" + (f": {common}" if common else "")
            )


def why_not_flat(estimate: HandEstimate, camera: Camera) -> str | None:
    """What keeps this hand from being measured; None when it is flat, open and faces the camera."""
    joints_px, joints_m = estimate.joints_px, estimate.joints_from_wrist_m
    inside = (joints_px >= 0) & (joints_px <= (camera.width - 1, camera.height - 1))
    rays = camera.unproject(joints_px)
    if not (inside.all() and np.isfinite(rays).all()):
        return "partly outside the picture"
    if np.linalg.norm(joints_px[9] - joints_px[WRIST]) < MIN_PALM_PX:
        return "too small in the picture: come closer"
    if largest_bend_rad(joints_m) > MAX_BEND_RAD:
        return "fingers bent"
    if turn_from_sight_rad(joints_m, rays[_PALM].mean(axis=0)) > MAX_TURN_RAD:
        return "turned away from the camera"
    return None


def largest_bend_rad(joints_m: FloatArray) -> float:
    """The largest angle between neighbouring bones of a long finger, palm included, of joints (21, 3)."""
    chains = np.array([[WRIST, *FINGERS[name]] for name in ("index", "middle", "ring", "pinky")])
    bones = np.diff(joints_m[chains], axis=1)
    bones = bones / np.maximum(np.linalg.norm(bones, axis=-1, keepdims=True), 1e-9)
    return float(np.arccos(np.clip((bones[:, 1:] * bones[:, :-1]).sum(axis=-1), -1, 1)).max())


def turn_from_sight_rad(joints_m: FloatArray, sight: FloatArray) -> float:
    """Angle of the palm's or back's normal of joints (21, 3) from the line of sight ``sight`` (3,)."""
    normal = np.cross(joints_m[5] - joints_m[WRIST], joints_m[17] - joints_m[WRIST])
    lengths = np.linalg.norm(normal) * np.linalg.norm(sight)
    return float(np.arccos(np.clip(abs(normal @ sight) / max(float(lengths), 1e-12), 0, 1)))


def with_fingers(shape: HandShape, believed: FloatArray) -> HandShape:
    """``shape`` with its fingers moved toward the measures (34,), as far as a network's are believed."""
    toward_m = believed[-_FINGER_BONES:].reshape(5, 3) * shape.size_m - shape.finger_bones_m
    share = BonesConfig().proportions_share
    return replace(shape, finger_bones_m=shape.finger_bones_m + share * toward_m)


def distances_m(flat: Sequence[FlatHand], shape: HandShape) -> FloatArray:
    """How far from the lens the tracker places the palms of hands with these bones.

    Raises:
        MeasurementError: it can place too few of them.
    """
    found = []
    for hand in flat:
        seen = SeenHand.of(hand.estimate, shape.scaled(LANDMARK_SPAN), None, hand.camera)
        (pose,) = fit_hands([seen], hand.camera, FitConfig())
        if pose is not None:
            found.append(float(np.linalg.norm(pose.joints_in_camera_m[_PALM].mean(axis=0))))
    if len(found) < MIN_FRAMES:
        raise MeasurementError("the hand cannot be placed through this lens; check the camera's calibration")
    return np.array(found)


def _scatter(values: FloatArray) -> FloatArray:
    """Relative standard deviation along the first axis, robust against outliers."""
    median = np.median(values, axis=0)
    return np.asarray(_MAD_TO_SD * np.median(np.abs(values - median), axis=0) / np.maximum(median, 1e-12))
