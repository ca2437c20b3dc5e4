"""Tracks: hands keep identity, side and size through motion, loss and crossing."""

import dataclasses
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from seen_hands import CAMERA, detection_of, frame_at, hand_on_ray, times_s

from tracker.hand_shape import HandShape
from tracker.joints import FloatArray, Side
from tracker.kinematic_hand import joints as joints_of
from tracker.placement import place_hands
from tracker.rotations import rotation_from_vector
from tracker.structs import ExpectedRegion, HandBox, HandDetection, ObservedHand, TrackedHand
from tracker.temporal.bones import LANDMARK_SPAN
from tracker.temporal.same_hand import distance_to_bones, separation
from tracker.temporal.track import JOINT_OFFSET_SD_M
from tracker.temporal.tracks import Tracks, TracksConfig

LEFT_HAND, RIGHT_HAND = (
    hand_on_ray(CAMERA, x, 0.5, side=side) for x, side in ((0.3, Side.LEFT), (0.7, Side.RIGHT))
)


class Scene:
    """Tracks fed by a perfect detector: a region sees the hand nearest to its middle, palms see the rest."""

    def __init__(self, config: TracksConfig | None = None) -> None:
        self.tracks = Tracks(config)
        self.regions: tuple[ExpectedRegion, ...] = ()

    def step(self, time_s: float, *hands: HandDetection) -> tuple[TrackedHand, ...]:
        self.regions = self.tracks.expected_regions(frame_at(time_s))
        seen: list[HandDetection] = []
        for region in self.regions:
            near = [hand for hand in hands if _offset(hand.box, region.box) < 0.5]
            if near:
                nearest = min(near, key=lambda hand: _offset(hand.box, region.box))
                seen.append(dataclasses.replace(nearest, expected_track_id=region.track_id))
        known = [detection.estimate for detection in seen]
        seen += [hand for hand in hands if hand.estimate not in known]
        return self.take(time_s, seen)

    def take(self, time_s: float, detections: Sequence[HandDetection]) -> tuple[TrackedHand, ...]:
        observed = self.tracks.assign(detections, frame_at(time_s))
        estimates = [dataclasses.replace(hand.detection.estimate, side=hand.side) for hand in observed]
        return self.tracks.update(observed, place_hands(estimates, observed, CAMERA), time_s)


def _offset(a: HandBox, b: HandBox) -> float:
    return float(np.linalg.norm(a.center_px - b.center_px)) / b.size_px


def at(x: float, y: float = 0.5, *, side: Side = Side.RIGHT, distance_m: float = 0.4) -> HandDetection:
    return detection_of(hand_on_ray(CAMERA, x, y, side=side, distance_m=distance_m), side=side)


def ids(hands: Sequence[TrackedHand]) -> list[int]:
    return [hand.track_id for hand in hands]


# Identity.


def test_a_hand_that_moves_keeps_its_id_and_is_followed_by_its_region() -> None:
    scene = Scene()
    for time_s, x in zip(times_s(20), np.linspace(0.1, 0.9, 20), strict=True):
        (hand,) = scene.step(time_s, at(x))
        assert hand.track_id == 1 and hand.unseen_s == 0.0
        if time_s > 0.2:
            assert _offset(scene.regions[0].box, at(x).box) < 0.05


def test_two_hands_that_pass_each_other_keep_their_ids_and_sides() -> None:
    scene = Scene()
    for time_s, x in zip(times_s(40), np.linspace(0.2, 0.8, 40), strict=True):
        hands = scene.step(time_s, at(x, 0.3, side=Side.LEFT), at(1 - x, 0.7))
        assert [(hand.track_id, hand.pose.side) for hand in hands] == [(1, Side.LEFT), (2, Side.RIGHT)]
        assert hands[0].pose.joints_in_camera_m[:, 1].mean() < hands[1].pose.joints_in_camera_m[:, 1].mean()


def test_a_hand_hidden_by_the_other_in_crossing_comes_back_with_its_own_side() -> None:
    scene = Scene()
    for time_s, x in zip(times_s(60), np.linspace(0.1, 0.9, 60), strict=True):
        front = at(x, side=Side.LEFT, distance_m=0.3)
        hidden = abs(x - 0.5) < 0.04
        hands = scene.step(time_s, *([front] if hidden else [front, at(1 - x, 0.45, distance_m=0.45)]))
        assert len(set(ids(hands))) == len(hands) <= 2
        sides = {hand.track_id: hand.pose.side for hand in hands}
        assert sides[1] is Side.LEFT
        if abs(x - 0.5) > 0.1:  # before and after they overlap
            assert sorted(side.value for side in sides.values()) == ["left", "right"]


@pytest.mark.parametrize("missed_frames", [1, 2, 4])
def test_a_hand_back_after_a_short_loss_keeps_its_id_and_coasts_till_then(missed_frames: int) -> None:
    scene = Scene()
    times = list(times_s(20 + missed_frames))
    for time_s in times[:10]:
        scene.step(time_s, at(0.4))
    for time_s in times[10 : 10 + missed_frames]:
        (hand,) = scene.step(time_s)
        assert hand.track_id == 1 and hand.unseen_s == pytest.approx(time_s - times[9])
        assert scene.regions[0].track_id == 1
    (hand,) = scene.step(times[10 + missed_frames], at(0.45))
    assert (hand.track_id, hand.unseen_s) == (1, 0.0)


def test_a_hand_back_after_a_long_loss_is_a_new_one() -> None:
    scene = Scene()
    times = list(times_s(30))
    for time_s in times[:10]:
        scene.step(time_s, at(0.4))
    coasting = [scene.step(time_s) for time_s in times[10:20]]
    assert coasting[0] and not coasting[-1]
    assert ids(scene.step(times[20], at(0.4))) == [2]


def test_a_hand_that_its_region_misses_but_palm_detection_finds_near_by_keeps_its_id() -> None:
    """A start so quick that the hand has left its region within one frame."""
    scene = Scene()
    for time_s in times_s(10):
        scene.step(time_s, at(0.4))
    moved = at(0.52)
    assert 0.2 < _offset(moved.box, at(0.4).box) < 0.5
    scene.tracks.expected_regions(frame_at(10 / 30))
    assert ids(scene.take(10 / 30, [moved])) == [1]


def test_a_found_hand_continues_the_nearest_of_two_lost_ones() -> None:
    scene = Scene()
    for time_s in times_s(10):
        scene.step(time_s, at(0.4), at(0.62))
    scene.step(10 / 30)
    scene.tracks.expected_regions(frame_at(11 / 30))
    hands = scene.take(11 / 30, [at(0.6)])
    assert [hand.track_id for hand in hands if hand.unseen_s == 0] == [2]


@pytest.mark.parametrize("rate_hz", [4.0, 5.0, 10.0])
def test_a_slow_camera_loses_no_hand(rate_hz: float) -> None:
    scene = Scene()
    assert {tuple(ids(scene.step(time_s, at(0.4)))) for time_s in times_s(8, rate_hz)} == {(1,)}


def test_a_gap_ends_every_track() -> None:
    scene = Scene()
    scene.step(0.0, at(0.4))
    scene.step(0.03, at(0.4))
    assert ids(scene.step(0.7, at(0.4))) == [2]
    assert ids(scene.step(0.1, at(0.4))) == [3]  # and so does a jump back
    assert scene.regions == ()


def test_two_detections_of_one_hand_become_one() -> None:
    scene = Scene()
    for time_s in times_s(5):
        hands = scene.step(time_s, at(0.3, side=Side.LEFT), at(0.6))
    assert ids(hands) == [1, 2]
    # The left hand is gone; both regions see the right one.
    scene.tracks.expected_regions(frame_at(5 / 30))
    both = [dataclasses.replace(at(0.58), expected_track_id=track_id) for track_id in (1, 2)]
    assert ids(scene.take(5 / 30, both)) == [2]


def test_hands_that_touch_stay_two_and_a_ghost_of_some_fingers_is_none() -> None:
    left, right = at(0.42, side=Side.LEFT), at(0.58)
    assert separation(left, right) > TracksConfig().same_hand_distance
    pixels = right.estimate.joints_px
    ghost_px = pixels[[0, *[5, 6, 7, 8] * 5]]
    ghost = dataclasses.replace(right, estimate=dataclasses.replace(right.estimate, joints_px=ghost_px))
    assert separation(ghost, right) == pytest.approx(separation(right, ghost)) == pytest.approx(0.0, abs=1e-9)
    assert separation(right, left) == pytest.approx(separation(left, right))


def test_the_distance_to_bones_is_to_their_nearest_points() -> None:
    joints = np.zeros((21, 2))
    joints[:, 0] = 100.0 * np.arange(21)
    joints[5::4] = [[2000.0, 0.0]] * 4  # every bone lies on one line from the wrist
    assert distance_to_bones(np.array([[50.0, 7.0], [-3.0, 4.0]]), joints) == pytest.approx((7 + 5) / 2)


# Time that misbehaves.
steps_s = st.sampled_from([1 / 30, 1 / 30, 1 / 30, 0.0, -0.02, -0.3, 0.1, 0.3, 0.45, 0.7])
sights = st.tuples(steps_s, st.booleans(), st.booleans(), st.floats(0.0, 1.0))


@settings(max_examples=60)
@given(st.lists(sights, max_size=12), st.sampled_from([0.0, 0.15]))
def test_whatever_the_times_and_losses_hands_are_finite_and_unlike(
    sequence: list[tuple[float, bool, bool, float]], max_unseen_s: float
) -> None:
    scene, time_s = Scene(TracksConfig(max_unseen_s=max_unseen_s)), 0.0
    for step_s, left_seen, right_seen, p_right in sequence:
        time_s += step_s
        left = detection_of(LEFT_HAND, side=Side.LEFT, p_right=p_right)
        seen = [left] * left_seen + [detection_of(RIGHT_HAND)] * right_seen
        hands = scene.step(time_s, *seen)
        assert len(set(ids(hands))) == len(hands) >= len(seen)
        assert len({hand.pose.side for hand in hands}) == len(hands)
        for hand in hands:
            assert 0.0 <= hand.score <= 1.0 and hand.unseen_s >= 0.0
            assert np.isfinite(hand.pose.joints_in_camera_m).all()
            assert np.abs(hand.velocity_m_per_s).max() < 100.0
            assert np.abs(hand.pose.joints_in_camera_m - LEFT_HAND).max() < 1.0


def test_a_coasting_hand_moves_on_ever_slower() -> None:
    scene = Scene()
    for time_s, x in zip(times_s(20), np.linspace(0.2, 0.5, 20), strict=True):
        (last,) = scene.step(time_s, at(x))
    coasting = [scene.step(time_s)[0] for time_s in times_s(4, start_s=20 / 30)]
    path = [hand.pose.joints_in_camera_m[:, 0].mean() for hand in (last, *coasting)]
    steps = np.diff(path)
    assert (steps > 0).all() and (np.diff(steps) < 0).all()
    assert path[-1] - path[0] < 0.15 * last.velocity_m_per_s[:, 0].mean()
    assert [hand.score for hand in coasting] == sorted((hand.score for hand in coasting), reverse=True)


# Size.


def observed_after(tracks: Tracks, joints_m: FloatArray, index: int) -> ObservedHand:
    """One hand's way through the tracks up to placement."""
    time_s = index / 30
    tracks.expected_regions(frame_at(time_s))
    detection = detection_of(joints_m, track_id=1 if index else None)
    (hand,) = tracks.sized(tracks.assign([detection], frame_at(time_s)), [detection.estimate])
    tracks.update([hand], place_hands([detection.estimate], [hand], CAMERA), time_s)
    return hand


def test_a_tracks_bones_are_given_to_placement_and_its_last_pose_to_the_next_fit() -> None:
    tracks = Tracks()
    first, second = (observed_after(tracks, RIGHT_HAND, index) for index in range(2))
    assert first.shape is not None and second.shape is not None
    assert first.predicted is None and second.predicted is not None
    hand = joints_of(second.shape, second.predicted, Side.RIGHT)
    assert np.linalg.norm(hand.mean(axis=0) - RIGHT_HAND.mean(axis=0)) < 0.1


def test_a_hand_measured_once_keeps_its_bones() -> None:
    known = HandShape.from_palm_width(0.08)
    tracks = Tracks(TracksConfig(hand=known))
    for index in range(3):
        hand = observed_after(tracks, RIGHT_HAND, index)
        assert hand.shape is not None
        assert hand.shape.palm_width_m == pytest.approx(LANDMARK_SPAN * 0.08)
    (tracked,) = tracks.update([], [], 3 / 30)
    assert tracked.pose.shape is hand.shape


def test_a_changed_side_starts_the_filter_again() -> None:
    scene = Scene()
    for index, time_s in enumerate(times_s(12)):
        guess = 0.1 if index == 0 else 0.97
        (hand,) = scene.step(time_s, detection_of(RIGHT_HAND, p_right=guess))
        if index and hand.pose.side is Side.RIGHT:
            break
    np.testing.assert_array_equal(hand.velocity_m_per_s, 0.0)


def test_a_hand_that_jumps_leaves_no_ghost_beside_as_many_hands_as_there_can_be() -> None:
    scene = Scene()
    scene.step(0.0, detection_of(LEFT_HAND, side=Side.LEFT), detection_of(RIGHT_HAND))
    far = hand_on_ray(CAMERA, 0.7, 0.1)
    hands = scene.step(1 / 30, detection_of(LEFT_HAND, side=Side.LEFT), detection_of(far))
    assert [hand.track_id for hand in hands] == [1, 3]


def test_a_picture_of_another_size_begins_new_tracks() -> None:
    scene = Scene()
    scene.step(0.0, detection_of(RIGHT_HAND))
    smaller = CAMERA.resized(320, 240)
    assert scene.tracks.expected_regions(frame_at(1 / 30, camera=smaller)) == ()


# Things that are no hands.


def turned(ahead_deg: float, x: float = 0.6, *, presence: float = 0.85) -> HandDetection:
    """A right hand whose fingers are turned so far ahead of the picture's plane, or toward the camera."""
    hand = hand_on_ray(CAMERA, x, 0.5)
    middle = hand.mean(axis=0)
    hand = (hand - middle) @ rotation_from_vector(np.array([-np.radians(ahead_deg), 0.0, 0.0])).T + middle
    return detection_of(hand, presence=presence)


def test_what_is_no_wearers_hand_is_never_published_and_holds_no_place() -> None:
    scene = Scene()
    for time_s in times_s(12):
        hands = scene.step(time_s, turned(-60, 0.3), at(0.7))
        assert [hand.pose.side for hand in hands] == [Side.RIGHT] and hands[0].unseen_s == 0
    seen = [region.unseen_s == 0 for region in scene.regions]
    assert sum(seen) == 1


def test_a_hand_at_first_read_wrongly_is_published_once_it_looks_like_one() -> None:
    scene = Scene()
    assert scene.step(0.0, turned(-60)) == ()
    assert ids(scene.step(1 / 30, turned(20))) == [1]


def test_a_track_that_slid_onto_a_thing_dies_within_a_few_frames() -> None:
    scene = Scene()
    for time_s in times_s(10):
        scene.step(time_s, turned(20))
    published = [scene.step(time_s, turned(-60)) for time_s in times_s(10, start_s=10 / 30)]
    assert [len(hands) for hands in published] == [1] * 3 + [0] * 7


def test_a_thing_continues_no_hands_track() -> None:
    scene = Scene()
    scene.step(0.0, turned(20))
    (coasting,) = scene.take(1 / 30, [turned(-60)])
    assert coasting.unseen_s > 0


def test_a_hand_found_again_far_off_does_not_coast_beside_itself() -> None:
    scene = Scene()
    for time_s in times_s(10):
        scene.step(time_s, at(0.6, 0.1, distance_m=0.6))
    (hand,) = scene.step(10 / 30, at(0.9, 0.8, distance_m=0.6))
    assert (hand.track_id, hand.pose.side, hand.unseen_s) == (2, Side.RIGHT, 0.0)


steps = st.tuples(st.floats(0.3, 0.9), st.floats(0.25, 0.9), st.booleans(), st.sampled_from([0.03, 0.1]))


@given(st.lists(steps, min_size=2, max_size=15))
def test_no_track_leaps(sequence: list[tuple[float, float, bool, float]]) -> None:
    """Whatever a hand does and however often it is lost, one id moves less than 0.3 m a frame."""
    scene, time_s, last = Scene(), 0.0, dict[int, FloatArray]()
    for x, distance_m, seen, step_s in sequence:
        time_s += step_s
        hands = scene.step(time_s, *[at(x, distance_m=distance_m)] * seen)
        for hand in hands:
            middle = hand.pose.joints_in_camera_m.mean(axis=0)
            assert np.linalg.norm(middle - last.get(hand.track_id, middle)) <= 0.3 + 1e-9
        last = {hand.track_id: hand.pose.joints_in_camera_m.mean(axis=0) for hand in hands}


def test_what_palm_detection_sees_far_more_surely_takes_the_place_of_what_the_region_showed() -> None:
    """The region had slid toward the fingertips; the id stays."""
    scene = Scene()
    scene.step(0.0, at(0.6))
    whole = at(0.6)
    slid = dataclasses.replace(
        whole, box=dataclasses.replace(whole.box, size_px=60.0), presence=0.6, expected_track_id=1
    )
    (hand,) = scene.take(1 / 30, [slid, whole])
    assert (hand.track_id, hand.score) == (1, whole.presence)
    (region,) = scene.tracks.expected_regions(frame_at(2 / 30))
    assert region.box.size_px == whole.box.size_px


def test_a_hand_seen_far_more_surely_elsewhere_ends_the_track_that_slid_off_it() -> None:
    scene = Scene()
    for time_s in times_s(5):
        scene.step(time_s, at(0.6, 0.2, distance_m=0.6))
    slid = dataclasses.replace(at(0.6, 0.2, distance_m=0.6), presence=0.6, expected_track_id=1)
    (hand,) = scene.take(5 / 30, [slid, at(0.9, 0.8, distance_m=0.6)])
    assert hand.track_id == 2


def test_there_are_never_more_hands_than_there_can_be() -> None:
    scene = Scene()
    for time_s in times_s(3):
        scene.step(time_s, at(0.3, 0.3, side=Side.LEFT, distance_m=0.8), at(0.7, 0.3, distance_m=0.8))
    hands = scene.take(
        3 / 30,
        [
            dataclasses.replace(at(0.3, 0.3, side=Side.LEFT, distance_m=0.8), expected_track_id=1),
            dataclasses.replace(at(0.7, 0.3, distance_m=0.8), expected_track_id=2),
            at(0.6, 0.9, distance_m=0.8),
        ],
    )
    assert ids(hands) == [1, 2]


def test_a_published_hand_is_no_surer_than_a_networks_joints_are_exact() -> None:
    """Whatever the fit says of one frame, joints lie some millimetres from the true ones."""
    scene = Scene()
    for time_s in times_s(10):
        (hand,) = scene.step(time_s, at(0.6))
    assert np.linalg.eigvalsh(hand.pose.covariance_m2).min() >= JOINT_OFFSET_SD_M**2
