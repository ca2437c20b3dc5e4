"""The pipeline: stages in order, every hand published where its joints project, same numbers every time."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from seen_hands import CAMERA, detection_of, frame_at, hand_on_ray, times_s

from tracker.cameras import Pinhole
from tracker.errors import UnknownNameError, UsageError
from tracker.joints import Side
from tracker.pipeline import HandTracker, TrackerConfig
from tracker.pose.landmarks import LandmarksBackend
from tracker.sources import open_source
from tracker.structs import (
    ExpectedRegion,
    Frame,
    HandDetection,
    HandEstimate,
    ObservedHand,
    TrackedFrame,
)
from tracker.temporal.prediction import MAX_LEAD_S

CLIP = "data/egodex/video_learning_samples/basic_pick_and_place/0.mp4"
CLIP_CAMERA = Pinhole(1920, 1080, 736.6, 736.6, 960.0, 540.0)
"""The recording headset's, which the data set gives."""


class FakeDetector:
    """Sees the given hands, each in the region that expects it once there is one."""

    def __init__(self, log: list[str], hands: Sequence[HandDetection]) -> None:
        self.log = log
        self.hands = hands
        self.regions: Sequence[ExpectedRegion] = ()
        self.closed = 0

    def detect(self, frame: Frame, regions: Sequence[ExpectedRegion]) -> tuple[HandDetection, ...]:
        self.log.append("detect")
        self.regions = regions
        ids = [region.track_id for region in regions] or [None] * len(self.hands)
        return tuple(
            HandDetection(hand.box, hand.p_right, hand.presence, hand.estimate, track_id)
            for hand, track_id in zip(self.hands, ids, strict=False)
        )

    def close(self) -> None:
        self.closed += 1


class FakeBackend(LandmarksBackend):
    """The light network's own estimates, and a note of what was asked."""

    def __init__(self, log: list[str]) -> None:
        self.log = log
        self.observed: Sequence[ObservedHand] = ()

    def estimate(self, frame: Frame, observed: Sequence[ObservedHand]) -> tuple[HandEstimate, ...]:
        self.log.append("estimate")
        self.observed = observed
        return super().estimate(frame, observed)


class Bench:
    """A tracker between fakes."""

    def __init__(self, config: TrackerConfig | None = None) -> None:
        self.log: list[str] = []
        left, right = hand_on_ray(CAMERA, 0.3, 0.5, side=Side.LEFT), hand_on_ray(CAMERA, 0.7, 0.5)
        self.detector = FakeDetector(self.log, [detection_of(left, side=Side.LEFT), detection_of(right)])
        self.backend = FakeBackend(self.log)
        self.tracker = HandTracker(config, backend=self.backend, detector=self.detector)

    def run(self, count: int) -> list[TrackedFrame]:
        return [self.tracker.process(frame_at(time_s, index)) for index, time_s in enumerate(times_s(count))]


def test_a_frame_is_detected_then_estimated_and_its_stages_are_timed_in_order() -> None:
    bench = Bench()
    (tracked,) = bench.run(1)
    assert bench.log == ["detect", "estimate"]
    assert list(tracked.stage_durations_s) == ["detect", "pose", "placement", "temporal"]
    assert all(duration_s >= 0 for duration_s in tracked.stage_durations_s.values())
    assert (tracked.frame_index, tracked.capture_time_s, tracked.valid_at_s) == (0, 0.0, 0.0)


def test_hands_of_one_frame_are_expected_in_the_next() -> None:
    bench = Bench()
    bench.run(1)
    assert bench.detector.regions == ()
    bench.tracker.process(frame_at(1 / 30, 1))
    assert [(region.track_id, region.side) for region in bench.detector.regions] == [
        (1, Side.LEFT),
        (2, Side.RIGHT),
    ]


def test_the_side_is_decided_before_the_pose_is_estimated() -> None:
    bench = Bench()
    bench.detector.hands = [
        detection_of(hand_on_ray(CAMERA, x, 0.5), p_right=p) for x, p in ((0.3, 0.8), (0.7, 0.9))
    ]
    (tracked,) = bench.run(1)
    assert [hand.side for hand in bench.backend.observed] == [Side.LEFT, Side.RIGHT]
    assert [hand.pose.side for hand in tracked.hands] == [Side.LEFT, Side.RIGHT]


def test_published_joints_px_are_the_projection_of_the_published_joints() -> None:
    bench = Bench(TrackerConfig(lead_s=0.03))
    for tracked in bench.run(5):
        for hand in tracked.hands:
            np.testing.assert_array_equal(hand.joints_px, CAMERA.project(hand.pose.joints_in_camera_m))
    bench.detector.hands = []
    coasting = bench.tracker.process(frame_at(5 / 30, 5))
    assert [hand.unseen_s > 0 for hand in coasting.hands] == [True, True]
    for hand in coasting.hands:
        np.testing.assert_array_equal(hand.joints_px, CAMERA.project(hand.pose.joints_in_camera_m))


def test_an_estimate_that_cannot_be_placed_leaves_the_other_hand_alone() -> None:
    bench = Bench()
    behind = -bench.detector.hands[0].estimate.joints_from_wrist_m
    bench.detector.hands[0].estimate.joints_from_wrist_m[:] = behind
    (tracked,) = bench.run(1)
    assert [hand.track_id for hand in tracked.hands] == [2]


@pytest.mark.parametrize(("lead_s", "ahead_s"), [(0.0, 0.0), (0.02, 0.02), (0.4, MAX_LEAD_S)])
def test_hands_are_said_to_be_valid_for_the_time_they_were_predicted_to(
    lead_s: float, ahead_s: float
) -> None:
    *_, tracked = Bench(TrackerConfig(lead_s=lead_s)).run(3)
    assert tracked.valid_at_s - tracked.capture_time_s == pytest.approx(ahead_s)


def test_a_negative_lead_or_unknown_backend_is_refused_before_any_network_opens(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    opened: list[object] = []
    monkeypatch.setattr("tracker.pipeline.load_detector", opened.append)
    with pytest.raises(UsageError, match=r"-0\.1 s"):
        HandTracker(TrackerConfig(lead_s=-0.1))
    with pytest.raises(UnknownNameError, match=r"'mano'.*landmarks"):
        HandTracker(TrackerConfig(backend="mano"))
    assert not opened


def test_leaving_the_with_statement_closes_the_detector_even_after_a_failure() -> None:
    bench = Bench()
    with pytest.raises(ZeroDivisionError), bench.tracker:
        raise ZeroDivisionError
    assert bench.detector.closed == 1


# With the shipped networks.


@pytest.fixture(scope="module")
def frames(shared: Path) -> list[Frame]:
    """The first 20 frames of a first-person clip."""
    if not (shared / CLIP).is_file():
        pytest.skip(f"no {CLIP} in the reference data")
    source = open_source(shared / CLIP, camera=CLIP_CAMERA, max_frames=20)
    try:
        return list(source)
    finally:
        source.close()


def numbers(tracked: TrackedFrame) -> Iterator[np.ndarray]:
    """Everything a frame says but how long it took."""
    yield np.array([tracked.frame_index, tracked.capture_time_s, tracked.valid_at_s, len(tracked.hands)])
    for hand in tracked.hands:
        yield np.array([hand.track_id, hand.score, hand.unseen_s, hand.pose.side is Side.RIGHT])
        yield from (hand.joints_px, hand.velocity_m_per_s, hand.pose.observed_px, hand.pose.joint_scores)
        yield from (hand.pose.joints_in_camera_m, hand.pose.camera_from_wrist, hand.pose.covariance_m2)
        yield np.array(hand.pose.reprojection_error_px)


def test_the_same_frames_give_the_same_numbers_every_time(frames: list[Frame]) -> None:
    pytest.importorskip("onnxruntime")
    runs = []
    for _ in range(2):
        with HandTracker() as tracker:
            runs.append([tracker.process(frame) for frame in frames])
    for first, second in zip(*runs, strict=True):
        for a, b in zip(numbers(first), numbers(second), strict=True):
            np.testing.assert_array_equal(a, b)
    with_hands = [tracked for tracked in runs[0] if tracked.hands]
    assert len(with_hands) >= 15
    for tracked in with_hands:
        for hand in tracked.hands:
            assert 0.15 < np.linalg.norm(hand.pose.joints_in_camera_m.mean(axis=0)) < 1.0  # within reach
            assert hand.pose.reprojection_error_px < 60


def test_closing_the_real_tracker_twice_ends_its_threads_once() -> None:
    pytest.importorskip("onnxruntime")
    tracker = HandTracker()
    assert tracker.process(frame_at(0.0)).hands == ()
    tracker.close()
    tracker.close()
