"""What smoothing through a take gains: hands through the tracker's own filters, live and in hindsight.

Annotated frames come about ten times a second, at uneven steps. Hands of one side of a take are one track,
cut where nothing was seen for longer than the tracker's filters remember. Nothing is fitted: joints are
smoothed about the palm, bearing and range apart, as the tracker does with hands without known bones; but
steps have no limit, for nobody watches, and at ten frames a second hands do go farther in one. The hands
given in are never changed.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Literal

import numpy as np

from tracker.cameras import Camera
from tracker.errors import PlacementError, UsageError
from tracker.joints import NUM_JOINTS, WRIST, FloatArray, Side
from tracker.placement.closed_form import across_rays, placed, ray_information, rays_in_view
from tracker.research.evaluation.egoexo4d_metric import HandKey, ScoredHands, scored_hands
from tracker.research.ground_truth.egoexo4d import PreparedTake
from tracker.research.ground_truth.egoexo4d_values import FRAME_RATE_HZ
from tracker.structs import HandEstimate, HandPose, TrackedFrame, TrackedHand
from tracker.temporal.smoothing import RESET_GAP_S, HandFilter, SmoothingConfig
from tracker.temporal.two_sided import TwoSidedConfig, smooth_recorded

Hands = Mapping[HandKey, FloatArray]
Stretch = Sequence[tuple[HandKey, HandPose]]
"""One hand's poses in the order of time, without long gaps."""
AS_READ, LIVE, HINDSIGHT = "as read", "live", "in hindsight"
Smoothing = Literal["live", "hindsight"]
"""From earlier frames alone, or from both sides."""
WAYS: Mapping[Smoothing, str] = {"live": LIVE, "hindsight": HINDSIGHT}
"""What each is called in tables."""


def stretches(takes: Sequence[PreparedTake], hands: Hands) -> Iterator[tuple[Camera, Stretch]]:
    """The hands of each side of each take, cut at gaps; without those whose joints have no rays."""
    for take in takes:
        for side in Side:
            stretch: list[tuple[HandKey, HandPose]] = []
            for frame in take.frames:
                key = (take.uid, frame.frame_number, side)
                pose = _pose(hands[key], side, take.camera) if key in hands else None
                if pose is None:
                    continue
                if stretch and time_s(key) - time_s(stretch[-1][0]) > RESET_GAP_S:
                    yield take.camera, stretch
                    stretch = []
                stretch.append((key, pose))
            if stretch:
                yield take.camera, stretch


def time_s(key: HandKey) -> float:
    """When a hand was seen."""
    return key[1] / FRAME_RATE_HZ


def _pose(joints_m: FloatArray, side: Side, camera: Camera) -> HandPose | None:
    """A hand as placement would have handed it on; None where too few of its joints have rays."""
    scores = np.ones(NUM_JOINTS)
    estimate = HandEstimate(side, camera.project(joints_m), joints_m - joints_m[WRIST], scores)
    try:
        rays, in_view = rays_in_view(estimate, camera)
    except PlacementError:
        return None
    information = ray_information(across_rays(rays[in_view]), scores[in_view])
    return placed(
        estimate,
        camera,
        joints_m,
        rays=rays,
        in_view=in_view,
        weights=scores[in_view],
        information=information,
    )


def smoothed_live(takes: Sequence[PreparedTake], hands: Hands) -> dict[HandKey, FloatArray]:
    """The hands through the filters of a live track, each from its frame and earlier ones alone."""
    smoothed = {key: joints_m.copy() for key, joints_m in hands.items()}
    for _, stretch in stretches(takes, hands):
        smooth, last_s = HandFilter(SmoothingConfig(max_step_m=math.inf)), time_s(stretch[0][0])
        for key, pose in stretch:
            smoothed[key] = smooth(pose, time_s(key) - last_s)[0].joints_in_camera_m
            last_s = time_s(key)
    return smoothed


def smoothed_in_hindsight(takes: Sequence[PreparedTake], hands: Hands) -> dict[HandKey, FloatArray]:
    """The hands smoothed from before and after, as ``process --smooth`` does with recorded tracks."""
    smoothed = {key: joints_m.copy() for key, joints_m in hands.items()}
    config = TwoSidedConfig(max_step_m=math.inf)
    for camera, stretch in stretches(takes, hands):
        recorded = [(_frame(index, key, pose), camera) for index, (key, pose) in enumerate(stretch)]
        for (key, _), tracked in zip(stretch, smooth_recorded(recorded, config), strict=True):
            smoothed[key] = tracked.hands[0].pose.joints_in_camera_m
    return smoothed


def _frame(index: int, key: HandKey, pose: HandPose) -> TrackedFrame:
    hand = TrackedHand(
        track_id=1,
        score=1.0,
        unseen_s=0.0,
        pose=pose,
        joints_px=pose.observed_px,
        velocity_m_per_s=np.zeros((NUM_JOINTS, 3)),
    )
    return TrackedFrame(index, time_s(key), time_s(key), (hand,))


def smoothed(takes: Sequence[PreparedTake], hands: Hands, smoothing: Smoothing) -> dict[HandKey, FloatArray]:
    """The hands smoothed in one of the two ways."""
    return (smoothed_live if smoothing == "live" else smoothed_in_hindsight)(takes, hands)


def temporal_hands(takes: Sequence[PreparedTake], hands: Hands) -> dict[str, ScoredHands]:
    """The hands that have answers beside them: as read, smoothed live, and smoothed in hindsight.

    Raises:
        UsageError: no hand that was found has answers.
    """
    if not hands:
        raise UsageError("no hand was found, so there is nothing to smooth")
    ways = {AS_READ: hands, **{name: smoothed(takes, hands, way) for way, name in WAYS.items()}}
    return {
        name: scored_hands(takes, some, wrist_relative=False, found_only=True) for name, some in ways.items()
    }
