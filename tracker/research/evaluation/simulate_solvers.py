"""Ways to place a simulated track, each a function from a track to a pose for every frame; and filters."""

import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np

from tracker.cameras import Camera
from tracker.detect.landmarks import box_around
from tracker.errors import PlacementError
from tracker.hand_shape import HandShape
from tracker.joints import NUM_JOINTS, FloatArray, Side, bone_lengths
from tracker.placement import find_placement, place_hand, place_hands
from tracker.rotations import rotation_between
from tracker.structs import Frame, HandDetection, HandEstimate, HandPose
from tracker.temporal.bones import LANDMARK_SPAN
from tracker.temporal.sighting import SightingConfig
from tracker.temporal.smoothing import HandFilter, SmoothingConfig
from tracker.temporal.tracks import Tracks, TracksConfig


@dataclass(frozen=True, eq=False)
class SimulatedTrack:
    """One hand over time: the truth, and what a network says of it."""

    track_id: int
    side: Side
    camera: Camera
    size: float
    """The hand's size over the size of the network's mean hand, which ``estimates`` have."""
    times_s: FloatArray
    """(T,)"""
    joints_m: FloatArray
    """(T, 21, 3) the truth in the camera frame."""
    estimates: tuple[HandEstimate, ...]

    def detection(self, frame: int, expected_track_id: int | None = None) -> HandDetection:
        """The hand as detection hands it on."""
        estimate = self.estimates[frame]
        return HandDetection(
            box_around(estimate.joints_px),
            p_right=0.99 if self.side is Side.RIGHT else 0.01,
            presence=0.9,
            estimate=estimate,
            expected_track_id=expected_track_id,
        )


MEASURED_SIZE_SD = 0.01
SIZE_MEMORY = 60
"""Frames of the running median of sizes."""
Result = TypeVar("Result")
ANY_VIEW = TracksConfig(sighting=SightingConfig(view="any"))
"""Simulated hands are turned to fill the view, so their forearms say nothing of their side."""
Poses = Sequence[HandPose | None]
Solver = Callable[[SimulatedTrack], Poses]
"""Places a track: a pose, or None, for every frame, each from that frame and earlier ones."""
Filter = Callable[[Poses, FloatArray], FloatArray]
"""Poses of a track and their times (T,) in seconds in, joints (T, 21, 3) in metres out, NaN for none."""


def closed_form(track: SimulatedTrack) -> Poses:
    """Each frame alone, with the network's mean size: what all others are measured against."""
    return [_placed(estimate, track.camera, 1.0) for estimate in track.estimates]


def known_size(track: SimulatedTrack) -> Poses:
    """Each frame alone, the hand's size known."""
    return [_placed(estimate, track.camera, track.size) for estimate in track.estimates]


def median_size(track: SimulatedTrack) -> Poses:
    """Each frame alone, the size the running median of what the network says."""
    sizes: deque[float] = deque(maxlen=SIZE_MEMORY)
    poses = []
    for estimate in track.estimates:
        sizes.append(float(bone_lengths(estimate.joints_from_wrist_m).sum()))
        poses.append(_placed(estimate, track.camera, float(np.median(sizes)) / sizes[-1]))
    return poses


def weak_perspective(track: SimulatedTrack) -> Poses:
    """As published with HaMeR but with the true focal length: scale and shift, no turn to the ray."""
    return [_weakly_placed(estimate, track.camera) for estimate in track.estimates]


def aligned(track: SimulatedTrack) -> Poses:
    """As a paper's HaMeR-align: the network's joints turned and moved onto its points."""
    return [find_placement("align")([estimate], [], track.camera)[0] for estimate in track.estimates]


def tracker_places(track: SimulatedTrack) -> Poses:
    """What the tracker does with the estimates of a hand, before smoothing."""
    return [pose for pose, _ in _tracked(track, ANY_VIEW)]


def tracker_publishes(track: SimulatedTrack) -> Poses:
    """What the tracker makes of the estimates in the end, smoothing and coasting included."""
    return [pose for _, pose in _tracked(track, ANY_VIEW)]


def tracker_places_measured(track: SimulatedTrack) -> Poses:
    """The same with the wearer's hand measured exactly."""
    return [pose for pose, _ in _tracked(track, replace(ANY_VIEW, hand=measured_hand(track)))]


def tracker_publishes_measured(track: SimulatedTrack) -> Poses:
    """What is made of it in the end."""
    return [pose for _, pose in _tracked(track, replace(ANY_VIEW, hand=measured_hand(track)))]


def measured_hand(track: SimulatedTrack) -> HandShape:
    """The true hand as the tracker must be told it: the light networks' hands span less of it in the picture.

    The tracker takes that into account; the simulated network's hands span all of it.
    """
    shape = HandShape.from_joints(track.joints_m[0], track.side)
    return replace(shape.scaled(1 / LANDMARK_SPAN), size_sd=MEASURED_SIZE_SD)


def _tracked(
    track: SimulatedTrack, config: TracksConfig
) -> Iterator[tuple[HandPose | None, HandPose | None]]:
    """Each frame's placed and published pose: the stages of ``HandTracker.process`` after the networks."""
    tracks = Tracks(config, max_hands=1)
    black = np.zeros((track.camera.height, track.camera.width, 3), np.uint8)
    for index, time_s in enumerate(track.times_s.tolist()):
        frame = Frame(index, time_s, black, track.camera)
        regions = tracks.expected_regions(frame)
        detection = track.detection(index, regions[0].track_id if regions else None)
        observed = tracks.assign([detection], frame)
        estimates = [hand.detection.estimate for hand in observed]
        observed = tracks.sized(observed, estimates)
        poses = place_hands(estimates, observed, track.camera)
        hands = tracks.update(observed, poses, time_s)
        yield poses[0] if poses else None, hands[0].pose if hands else None


def _placed(estimate: HandEstimate, camera: Camera, hand_scale: float) -> HandPose | None:
    try:
        return place_hand(estimate, camera, hand_scale=hand_scale)
    except PlacementError:
        return None


def _weakly_placed(estimate: HandEstimate, camera: Camera) -> HandPose | None:
    """Simulated joints are turned to their ray; for weak perspective they are as if straight ahead."""
    low, high = estimate.joints_px.min(axis=0), estimate.joints_px.max(axis=0)
    to_ray = rotation_between(np.array([0.0, 0.0, 1.0]), camera.unproject((low + high) / 2))
    as_if_ahead = replace(estimate, joints_from_wrist_m=estimate.joints_from_wrist_m @ to_ray)
    return find_placement("weak")([as_if_ahead], [], camera)[0]


TRACKER = "tracker"
TRACKER_MEASURED = "tracker, hand measured"
SOLVERS: dict[str, Solver] = {
    "weak perspective": weak_perspective,
    "aligned": aligned,
    "closed form": closed_form,
    "closed form, median size": median_size,
    "closed form, known size": known_size,
    "tracker, unsmoothed": tracker_places,
    "tracker, hand measured, unsmoothed": tracker_places_measured,
    TRACKER: tracker_publishes,
    TRACKER_MEASURED: tracker_publishes_measured,
}
BASELINE = "closed form"


def without_filter(poses: Poses) -> FloatArray:
    """The joints (T, 21, 3) of poses as they are, NaN for none."""
    missing = np.full((NUM_JOINTS, 3), np.nan)
    return np.stack([missing if pose is None else pose.joints_in_camera_m for pose in poses])


def filtered_by(make: Callable[[], Callable[[HandPose, float], tuple[HandPose, FloatArray]]]) -> Filter:
    """The filter that passes poses one by one, and the seconds since the last, to what ``make`` makes.

    That is how the tracker calls ``HandFilter``; frames without a pose are left out.
    """

    def smoothed_joints(poses: Poses, times_s: FloatArray) -> FloatArray:
        smooth = make()
        joints_m = np.full((len(poses), NUM_JOINTS, 3), np.nan)
        last_s = times_s[0]
        for frame, pose in enumerate(poses):
            if pose is not None:
                joints_m[frame] = smooth(pose, float(times_s[frame] - last_s))[0].joints_in_camera_m
                last_s = times_s[frame]
        return joints_m

    return smoothed_joints


FILTERS: dict[str, Filter] = {"tracker's own": filtered_by(lambda: HandFilter(SmoothingConfig()))}


def timed(work: Callable[[], Result], frames: int) -> tuple[Result, float]:
    """What ``work`` gives, and the seconds it took for each of ``frames`` frames."""
    start = time.perf_counter()
    result = work()
    return result, (time.perf_counter() - start) / frames
