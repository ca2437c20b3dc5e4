"""Measuring a hand's bones from frames in which it is held up flat.

A network sees proportions, not size: a small hand near by looks like a large one far off. So each good
frame gives the bones' proportions, and the size comes from the user: the palm's width by a ruler, or the
distance at which the hand was held. Then, with rays through a known lens and the network's hand on them,

    size = network's size * measured distance / distance at which the network's hand fits its rays.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tracker.cameras import Camera
from tracker.errors import MeasurementError, PlacementError
from tracker.hand_store import MeasuredHand, SizeFrom
from tracker.joints import FINGER_MCPS, FINGERS, WRIST, FloatArray
from tracker.kinematic_hand import HandShape
from tracker.placement import place_hand
from tracker.structs import HandEstimate

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
_MAD_TO_SD = 1.4826
_PALM = [WRIST, *FINGER_MCPS]


@dataclass(frozen=True, eq=False)
class FlatHand:
    """What one good frame says: the shape at the network's size, and how far away it would then be."""

    shape: HandShape
    distance_m: float
    """From the lens to the middle of the palm."""


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
        try:
            placed_m = place_hand(estimate, camera).joints_in_camera_m
        except PlacementError:
            return "partly outside the picture"
        shape = HandShape.from_joints(estimate.joints_from_wrist_m, estimate.side)
        self.flat.append(FlatHand(shape, float(np.linalg.norm(placed_m[_PALM].mean(axis=0)))))
        return None

    def measured(self, *, palm_width_m: float | None = None, distance_m: float | None = None) -> MeasuredHand:
        """The hand that the good frames agree on, at the size that the user gave, or else the network's.

        Raises:
            MeasurementError: too few good frames, several people, or frames that disagree.
            HandFileError: what was measured is not a hand.
        """
        self._check()
        shapes = [flat.shape for flat in self.flat]
        means_m = np.array([mean_bone_m(shape) for shape in shapes])
        palms = np.stack([shape.palm_m for shape in shapes]) / means_m[:, None, None]
        fingers = np.stack([shape.finger_bones_m for shape in shapes]) / means_m[:, None, None]
        sizes_m = means_m
        size_from: SizeFrom = "network"
        if distance_m is not None:
            sizes_m = means_m * distance_m / np.array([flat.distance_m for flat in self.flat])
            size_from = "distance"
        shape = HandShape(np.median(palms, axis=0), np.median(fingers, axis=0))
        shape = shape.scaled(float(np.median(sizes_m)) / mean_bone_m(shape))
        if palm_width_m is not None:
            shape, size_from = shape.scaled(palm_width_m / shape.palm_width_m), "palm width"
        spread = float(np.median(_scatter(fingers.reshape(len(shapes), -1))))
        if spread > MAX_SPREAD:
            raise MeasurementError(
                f"the frames disagree by {100 * spread:.0f} % about the bones; show one person's hands only"
            )
        return MeasuredHand(
            shape=shape,
            size_from=size_from,
            frames=len(shapes),
            spread=spread,
            size_spread=0.0 if palm_width_m is not None else float(_scatter(sizes_m)),
        )

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


def mean_bone_m(shape: HandShape) -> float:
    """Mean length of the hand's twenty bones: a size that no single joint decides."""
    palm = np.linalg.norm(shape.palm_m[1:], axis=-1)
    return float(np.concatenate([palm, shape.finger_bones_m.ravel()]).mean())


def _scatter(values: FloatArray) -> FloatArray:
    """Relative standard deviation along the first axis, robust against outliers."""
    median = np.median(values, axis=0)
    return np.asarray(_MAD_TO_SD * np.median(np.abs(values - median), axis=0) / np.maximum(median, 1e-12))
