"""Placement as published: by weak perspective, and by turning and moving joints onto their points."""

from dataclasses import replace

import numpy as np
import pytest
from lenses import LENSES
from seen_hands import CAMERA, detection_of, estimate_of, frame_at, hand_on_ray

from tracker.cameras import Camera, Pinhole
from tracker.detect import Detector
from tracker.errors import PlacementError, UnknownNameError
from tracker.joints import WRIST, FloatArray, Side, camera_from_wrist
from tracker.pipeline import HandTracker, TrackerConfig
from tracker.placement import PLACEMENTS, find_placement, place_hand
from tracker.placement.align import Seen, aligned, lens_slopes, place_aligned
from tracker.placement.weak import place_weakly
from tracker.rotations import rotation_from_vector, vector_from_rotation
from tracker.structs import ExpectedRegion, Frame, HandDetection, HandEstimate, HandPose, ObservedHand

every_lens = pytest.mark.parametrize("camera", LENSES.values(), ids=LENSES.keys())
every_placement = pytest.mark.parametrize("name", PLACEMENTS)
PLACES = [(0.5, 0.5), (0.25, 0.6), (0.75, 0.35)]


def turned(estimate: HandEstimate, vector_rad: FloatArray) -> HandEstimate:
    """The estimate of a network that errs by a rotation."""
    rotation = rotation_from_vector(vector_rad)
    return replace(estimate, joints_from_wrist_m=estimate.joints_from_wrist_m @ rotation.T)


def noisy(estimate: HandEstimate, seed: int, sd_px: float) -> HandEstimate:
    noise = np.random.default_rng(seed).normal(0.0, sd_px, (21, 2))
    return replace(estimate, joints_px=estimate.joints_px + noise)


def rms_px(pose: HandPose, estimate: HandEstimate, camera: Camera) -> float:
    errors = camera.project(pose.joints_in_camera_m) - estimate.joints_px
    return float(np.sqrt((errors**2).sum(axis=1).mean()))


# All three.


@every_placement
def test_each_placement_gives_every_hand_its_place_or_none(name: str) -> None:
    joints_m = hand_on_ray(CAMERA, 0.5, 0.5)
    good = detection_of(joints_m)
    observed = [ObservedHand(track_id, Side.RIGHT, good) for track_id in (1, 2)]
    blind = replace(good.estimate, joints_px=np.full((21, 2), np.nan))
    nothing, pose = find_placement(name)((blind, good.estimate), observed, CAMERA)
    assert nothing is None and pose is not None
    assert np.linalg.norm(pose.joints_in_camera_m - joints_m, axis=1).max() < 0.02
    variances = np.linalg.eigvalsh(pose.covariance_m2)
    assert variances[0] > 0 and np.sqrt(variances[2]) == pytest.approx(0.06 * 0.4, rel=0.5)


def test_an_unknown_placement_is_refused_with_those_there_are() -> None:
    with pytest.raises(UnknownNameError, match="ray, weak, align"):
        find_placement("magic")


class OneHand:
    """Sees the same hand in every frame, a little moved."""

    def detect(self, frame: Frame, regions: list[ExpectedRegion]) -> tuple[HandDetection, ...]:
        track_id = regions[0].track_id if regions else None
        joints_m = hand_on_ray(CAMERA, 0.4 + 0.01 * frame.index, 0.5)
        return (detection_of(joints_m, track_id=track_id),)

    def close(self) -> None: ...


@every_placement
def test_the_whole_pipeline_runs_with_each_placement(name: str) -> None:
    """Hands that were not fitted are smoothed as joints about the palm, and stay the size they were read."""
    detector: Detector = OneHand()  # type: ignore[assignment]
    with HandTracker(TrackerConfig(placement=name), detector=detector) as tracker:
        for index in range(6):
            (hand,) = tracker.process(frame_at(index / 30, index)).hands
            assert (hand.pose.kinematics is None) == (name != "ray")
    read_m = hand_on_ray(CAMERA, 0.45, 0.5)
    assert np.linalg.norm(hand.pose.joints_in_camera_m.mean(axis=0) - read_m.mean(axis=0)) < 0.03
    if name != "ray":
        span_m = np.linalg.norm(np.diff(hand.pose.joints_in_camera_m[[0, 9]], axis=0))
        assert span_m == pytest.approx(np.linalg.norm(read_m[9] - read_m[0]), rel=0.02)


# Weak perspective of networks without a camera of their own.


def orthographic_hand(camera: Pinhole, vector_rad: FloatArray, distance_m: float) -> HandEstimate:
    """A hand whose points are those of a scaled orthographic camera."""
    relative_m = hand_on_ray(camera, 0.5, 0.5) @ rotation_from_vector(vector_rad).T
    relative_m = relative_m - relative_m[WRIST]
    pixels_per_m = camera.fx / distance_m
    points = relative_m[:, :2] * pixels_per_m + (200.0, 310.0)
    return HandEstimate(Side.RIGHT, points, relative_m, np.full(21, 0.9))


def test_scaled_orthography_is_found_exactly() -> None:
    estimate = orthographic_hand(CAMERA, np.array([0.4, -0.3, 0.8]), 0.5)
    joints_m = place_weakly(estimate, CAMERA).joints_in_camera_m
    np.testing.assert_allclose(joints_m - joints_m[WRIST], estimate.joints_from_wrist_m, atol=1e-12)
    assert joints_m[:, 2].mean() == pytest.approx(0.5)
    wrist_m = (np.array([200.0, 310.0]) - (CAMERA.cx, CAMERA.cy)) / CAMERA.fx * 0.5
    np.testing.assert_allclose(joints_m[WRIST, :2], wrist_m, atol=1e-12)


def test_joints_that_do_not_count_do_not_move_it() -> None:
    estimate = orthographic_hand(CAMERA, np.array([0.4, -0.3, 0.8]), 0.5)
    points, scores = estimate.joints_px.copy(), estimate.joint_scores.copy()
    points[3] += 80.0
    scores[3] = 0.0
    wrong = replace(estimate, joints_px=points, joint_scores=scores)
    joints_m = place_weakly(wrong, CAMERA).joints_in_camera_m
    # The mean joint, from which depth is counted, is another one; the wrist's bearing is not.
    expected = place_weakly(estimate, CAMERA).joints_in_camera_m
    np.testing.assert_allclose(joints_m[WRIST, :2], expected[WRIST, :2], atol=1e-12)


def test_a_hand_seen_mirrored_is_refused() -> None:
    estimate = orthographic_hand(CAMERA, np.zeros(3), 0.5)
    mirrored = replace(estimate, joints_px=400.0 - estimate.joints_px)
    with pytest.raises(PlacementError, match="mirrored"):
        place_weakly(mirrored, CAMERA)


def test_a_hand_behind_the_camera_is_refused() -> None:
    estimate = estimate_of(hand_on_ray(CAMERA, 0.5, 0.5), CAMERA)
    behind = np.tile((0.1, 0.1, -0.5), (21, 1))
    with pytest.raises(PlacementError, match="behind"):
        place_weakly(replace(estimate, weak_joints_m=behind), CAMERA)


# Turned and moved onto its own points.


@every_lens
@pytest.mark.parametrize("side", Side)
def test_a_known_turn_and_place_are_found_exactly(camera: Camera, side: Side) -> None:
    rng = np.random.default_rng(3)
    for x, y in PLACES:
        joints_m = hand_on_ray(camera, x, y, side=side)
        axis = rng.normal(size=3)
        wrong = turned(estimate_of(joints_m, camera, side), 0.35 * axis / np.linalg.norm(axis))
        pose = place_aligned(wrong, camera)
        np.testing.assert_allclose(pose.joints_in_camera_m, joints_m, atol=1e-7)
        np.testing.assert_allclose(pose.camera_from_wrist, camera_from_wrist(joints_m, side), atol=1e-6)
        assert pose.reprojection_error_px < 1e-3


def test_with_noise_it_is_no_farther_from_its_points_than_truth_or_closed_form() -> None:
    """It is the least squared error of all turns and places, so below both of theirs."""
    joints_m = hand_on_ray(CAMERA, 0.3, 0.6)
    for seed in range(20):
        rng = np.random.default_rng(seed)
        true = estimate_of(joints_m, CAMERA)
        estimate = noisy(turned(true, rng.normal(0.0, 0.12, 3)), seed, 2.0)
        found = rms_px(place_aligned(estimate, CAMERA), estimate, CAMERA)
        assert found < rms_px(place_hand(estimate, CAMERA), estimate, CAMERA)
        assert found < np.sqrt(((true.joints_px - estimate.joints_px) ** 2).sum(axis=1).mean())


def test_it_is_at_a_minimum() -> None:
    estimate = noisy(turned(estimate_of(hand_on_ray(CAMERA, 0.3, 0.6), CAMERA), np.full(3, 0.1)), 0, 2.0)
    pose = place_aligned(estimate, CAMERA)
    joints_m = pose.joints_in_camera_m
    least = rms_px(pose, estimate, CAMERA)
    for axis in np.eye(3):
        for sign in (-1.0, 1.0):
            turn = rotation_from_vector(sign * 0.01 * axis)
            aside = replace(pose, joints_in_camera_m=(joints_m - joints_m[WRIST]) @ turn.T + joints_m[WRIST])
            moved = replace(pose, joints_in_camera_m=joints_m + sign * 0.002 * axis)
            assert min(rms_px(aside, estimate, CAMERA), rms_px(moved, estimate, CAMERA)) > least


@every_lens
def test_the_lenss_slopes_are_those_of_small_steps(camera: Camera) -> None:
    points_m = hand_on_ray(camera, 0.3, 0.4)
    slopes = lens_slopes(camera, points_m)
    step_m = np.array([2e-5, -1e-5, 3e-5])
    moved = camera.project(points_m + step_m) - camera.project(points_m - step_m)
    np.testing.assert_allclose(slopes @ (2 * step_m), moved, rtol=1e-3, atol=1e-5)


def test_joints_without_a_ray_follow_the_others() -> None:
    joints_m = hand_on_ray(CAMERA, 0.5, 0.5)
    wrong = turned(estimate_of(joints_m, CAMERA), np.array([0.1, 0.2, -0.1]))
    points = wrong.joints_px.copy()
    points[15:] = np.nan
    pose = place_aligned(replace(wrong, joints_px=points), CAMERA)
    np.testing.assert_allclose(pose.joints_in_camera_m, joints_m, atol=1e-6)
    points[5:] = np.nan
    with pytest.raises(PlacementError, match="only 5 joints"):
        place_aligned(replace(wrong, joints_px=points), CAMERA)


def test_it_keeps_to_the_camera_at_the_side_it_sees() -> None:
    estimate = estimate_of(hand_on_ray(CAMERA, 0.5, 0.5), CAMERA)
    with pytest.raises(PlacementError, match="behind"):
        place_aligned(replace(estimate, joints_from_wrist_m=-estimate.joints_from_wrist_m), CAMERA)


@pytest.mark.parametrize("spread_px", [0.0, 1e-6, 1e-3])
def test_points_that_are_one_put_a_hand_far_away_and_end_nothing(spread_px: float) -> None:
    """As a network says them that takes a hand for infinitely small: no step is the last to be solvable."""
    joints_m = hand_on_ray(CAMERA, 0.5, 0.5)
    points_px = np.array([446.0, 260.0]) + np.random.default_rng(0).normal(0.0, spread_px, (21, 2))
    seen = Seen(joints_m - joints_m[WRIST], points_px, np.ones(21), CAMERA)
    rotation, wrist_m = aligned(seen, joints_m[WRIST])
    assert wrist_m[2] > 50.0
    assert seen.cost(seen.errors_px(rotation, wrist_m)) < 21.0


def test_the_turn_is_no_more_than_was_needed() -> None:
    """A hand that was read rightly keeps its axes, where a plane seen straight on would also fit flipped."""
    joints_m = hand_on_ray(CAMERA, 0.5, 0.5)
    pose = place_aligned(noisy(estimate_of(joints_m, CAMERA), 1, 0.5), CAMERA)
    turn = pose.camera_from_wrist @ camera_from_wrist(joints_m, Side.RIGHT).T
    assert np.linalg.norm(vector_from_rotation(turn)) < 0.15
