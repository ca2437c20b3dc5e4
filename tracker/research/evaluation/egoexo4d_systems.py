"""Systems for EgoExo4D: what turns an upright frame, and where it is allowed the given boxes, into hands.

In challenge mode hands are given by their boxes and sides; a pose backend reads each. In tracker mode the
tracker finds hands itself and is given nothing. Either way frames are upright, and hands are metres in that
frame's camera axes: `egoexo4d_run` turns frames upright and answers back to landscape.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from tracker.cameras import Camera
from tracker.detect.landmarks import LandmarkReader
from tracker.hand_shape import HandShape
from tracker.joints import NUM_JOINTS, FloatArray, Side
from tracker.kinematic_hand import ANGLE_LOWER_RAD, KinematicPose, joints
from tracker.networks.onnx_session import OnnxNetwork
from tracker.pipeline import HandTracker
from tracker.placement import Placement
from tracker.pose import PoseBackend
from tracker.pose.potter import BOX_OVER_HAND
from tracker.research.ground_truth.egoexo4d_values import GivenHands
from tracker.research.ground_truth.labelled import SIDES
from tracker.structs import Frame, HandBox, HandDetection, HandEstimate, ObservedHand
from tracker.temporal.bones import LANDMARK_SPAN

REGION_OVER_BOX = 1.1
"""Side of the light network's square over a given box's longer side."""
STILL_A_HAND = 0.5
"""Surer than this of a hand, a second reading is kept whatever the first was."""
TURNS_RAD = (0.0, np.pi / 2, -np.pi / 2, np.pi)
"""How fingers may point in a box: the light network reads only hands about upright in their square."""
MEAN_SHAPE = HandShape.mean().scaled(LANDMARK_SPAN)
"""With these bones hands are fitted whose own size says little, as the tracker does before it has measured
them."""


class System(Protocol):
    """Reads the hands of takes, frame by frame in order."""

    def begin_take(self) -> None:
        """A new take begins."""
        ...

    def __call__(self, frame: Frame, given: GivenHands) -> Mapping[Side, FloatArray]:
        """Joints (21, 3) of the hands in an upright frame, metres in its camera's axes."""
        ...

    def close(self) -> None:
        """Free what it holds."""
        ...


@dataclass(frozen=True, eq=False)
class ReadBox:
    """A hand that is given by its box, as the light network reads it."""

    side: Side
    seen: HandDetection
    """With the light network's points."""
    boxed: HandDetection
    """With points that span the box: backends take their crops from points."""


class ReadsBoxes(Protocol):
    """Reads given boxes: `BoxReader`."""

    def read_all(self, frame: Frame, given: GivenHands) -> tuple[ReadBox, ...]:
        """The hands of the given boxes; without those of which no crop can be read."""
        ...


class ChallengeSystem:
    """A pose backend that reads hands given by their boxes, each frame alone.

    Backends get the box's points (see `OnTightBoxes`). Where a backend passes those on, having none of its
    own, hands are placed by the light network's points.
    """

    def __init__(
        self, backend: PoseBackend, place: Placement, *, reader: ReadsBoxes, shape: HandShape | None = None
    ) -> None:
        self._backend, self._place, self._reader, self._shape = backend, place, reader, shape

    def begin_take(self) -> None:
        """Nothing is kept between frames."""

    def __call__(self, frame: Frame, given: GivenHands) -> Mapping[Side, FloatArray]:
        """The hands of the given boxes; without those that cannot be read or placed."""
        read = self._reader.read_all(frame, given)
        seen = [ObservedHand(SIDES.index(box.side), box.side, box.seen) for box in read]
        boxed = [replace(hand, detection=box.boxed) for hand, box in zip(seen, read, strict=True)]
        estimates = self._backend.estimate(frame, boxed)
        estimates = tuple(map(with_points_of, estimates, boxed, seen))
        sized = [
            replace(hand, shape=self._shape_for(read)) for hand, read in zip(seen, estimates, strict=True)
        ]
        poses = self._place(estimates, sized, frame.camera)
        return {
            hand.side: pose.joints_in_camera_m
            for hand, pose in zip(seen, poses, strict=True)
            if pose is not None
        }

    def _shape_for(self, estimate: HandEstimate) -> HandShape | None:
        """The bones to fit a hand with; None where its own are."""
        return self._shape or (None if estimate.knows_size else MEAN_SHAPE)

    def close(self) -> None:
        """Nothing is held."""


class BoxReader:
    """The light landmark network on a given box: no palm is looked for, and every box has a hand in it."""

    def __init__(self, network: OnnxNetwork) -> None:
        self._reader = LandmarkReader(network, min_presence=0.0)

    def read_all(self, frame: Frame, given: GivenHands) -> tuple[ReadBox, ...]:
        """The hands of the given boxes; without those of which no crop can be read."""
        return tuple(
            ReadBox(side, seen, in_box(seen, given.box_px(side)))
            for side in given.sides
            if (seen := self.read(frame, given.box_px(side), side)) is not None
        )

    def read(self, frame: Frame, box_px: FloatArray, side: Side) -> HandDetection | None:
        """The hand in a box (left, upper, right, lower edge), or None where no crop of it can be read.

        Of four ways to turn the box the one is kept in which the network is surest of a hand, and the hand is
        read again in the square that its points ask for, which is the kind that the network was trained on.
        """
        width, height = box_px[2:] - box_px[:2]
        centre, size_px = (box_px[:2] + box_px[2:]) / 2, REGION_OVER_BOX * float(max(width, height, 1.0))
        first = [self._confirm(frame, HandBox(centre, size_px, turn)) for turn in TURNS_RAD]
        found = [detection for detection in first if detection is not None]
        if not found:
            return None
        best = max(found, key=lambda detection: detection.presence)
        again = self._confirm(frame, best.box)
        if again is not None and again.presence >= STILL_A_HAND:
            best = again
        return replace(best, p_right=1.0 if side is Side.RIGHT else 0.0)

    def _confirm(self, frame: Frame, box: HandBox) -> HandDetection | None:
        return self._reader.confirm(frame.image_rgb, *self._reader.crop(box, frame.camera))


def in_box(seen: HandDetection, box_px: FloatArray) -> HandDetection:
    """The hand as the light network saw it, with points that span a box (left, upper, right, lower edge)."""
    centre, half = (box_px[:2] + box_px[2:]) / 2, (box_px[2:] - box_px[:2]) / 2
    points_px = np.tile(centre, (NUM_JOINTS, 1))
    points_px[:4] += half * np.array([(-1, -1), (1, -1), (1, 1), (-1, 1)])
    box = HandBox(centre, 2 * float(half.max()), 0.0)
    return replace(seen, box=box, presence=1.0, estimate=replace(seen.estimate, joints_px=points_px))


def with_points_of(read: HandEstimate, boxed: ObservedHand, seen: ObservedHand) -> HandEstimate:
    """What a backend read, with the light network's points where its own are only the box."""
    if np.array_equal(read.joints_px, boxed.detection.estimate.joints_px):
        return replace(read, joints_px=seen.detection.estimate.joints_px)
    return read


class OnTightBoxes:
    """A backend, all of which expect points that span a hand, reading boxes that are given with a margin."""

    def __init__(self, backend: PoseBackend) -> None:
        self.name = backend.name
        self._backend = backend

    def estimate(self, frame: Frame, observed: Sequence[ObservedHand]) -> tuple[HandEstimate, ...]:
        """One estimate for each hand, in order; points that were only passed on come back as they were."""
        tight = [replace(hand, detection=without_margin(hand.detection)) for hand in observed]
        read = self._backend.estimate(frame, tight)
        return tuple(
            replace(estimate, joints_px=hand.detection.estimate.joints_px)
            if estimate.joints_px is handed.detection.estimate.joints_px
            else estimate
            for estimate, handed, hand in zip(read, tight, observed, strict=True)
        )


def without_margin(detection: HandDetection) -> HandDetection:
    """A detection whose points are pulled toward the middle of their box by `BOX_OVER_HAND`."""
    points_px = detection.estimate.joints_px
    middle = (points_px.min(axis=0) + points_px.max(axis=0)) / 2
    pulled_px = middle + (points_px - middle) / BOX_OVER_HAND
    box = replace(detection.box, size_px=detection.box.size_px / BOX_OVER_HAND)
    return replace(detection, box=box, estimate=replace(detection.estimate, joints_px=pulled_px))


class TrackerSystem:
    """The tracker as it is: it finds hands itself, and a take is one stream."""

    def __init__(self, new_tracker: Callable[[], HandTracker]) -> None:
        self._new_tracker = new_tracker
        self._tracker: HandTracker | None = None

    def begin_take(self) -> None:
        """A fresh tracker for each take."""
        self.close()
        self._tracker = self._new_tracker()

    def __call__(self, frame: Frame, given: GivenHands) -> Mapping[Side, FloatArray]:
        """The surest hand of each side; ``given`` is not looked at."""
        assert self._tracker is not None, "begin_take comes first"
        hands: dict[Side, FloatArray] = {}
        for hand in sorted(self._tracker.process(frame).hands, key=lambda hand: hand.score):
            hands[hand.pose.side] = hand.pose.joints_in_camera_m
        return hands

    def close(self) -> None:
        """Free the tracker's threads."""
        if self._tracker is not None:
            self._tracker.close()
            self._tracker = None


def open_hand_in_box(camera: Camera, box_px: FloatArray, side: Side) -> FloatArray:
    """(21, 3) a mean adult's open hand, fingers up and ahead, about where and how large a box says.

    For hands that a system did not find but a submission must have; whoever uses it says so.
    """
    fingers, back = np.array([0.0, -0.6, 0.8]), np.array([0.0, -0.8, -0.6])
    turn = np.stack([np.cross(back, -fingers), back, -fingers], axis=-1)
    flat = KinematicPose(np.zeros(3), turn, np.zeros_like(ANGLE_LOWER_RAD))
    hand_m = joints(HandShape.mean(), flat, side)
    hand_m -= (hand_m.min(axis=0) + hand_m.max(axis=0)) / 2
    extent_m = float(np.ptp(hand_m[:, :2], axis=0).max())
    extent_px = float((box_px[2:] - box_px[:2]).max()) / BOX_OVER_HAND
    ray = camera.unproject((box_px[:2] + box_px[2:]) / 2)
    return np.asarray(hand_m + ray / ray[2] * camera.fx * extent_m / max(extent_px, 1.0))


def load_box_reader(landmark_model: str = "full") -> BoxReader:
    """The reader with its network opened.

    Raises:
        MissingDependencyError: onnxruntime is not installed.
    """
    return BoxReader(OnnxNetwork(f"hand_landmark_{landmark_model}"))
