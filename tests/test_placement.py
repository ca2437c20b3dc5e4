"""Placement: a hand seen through a known lens comes out where it is, and says how sure that is."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lenses import FOLDING, LENSES
from seen_hands import CAMERA, detection_of, estimate_of, hand_on_ray

from tracker.cameras import Camera
from tracker.errors import PlacementError
from tracker.joints import FloatArray, Side, camera_from_wrist
from tracker.placement import place_hand, place_hands
from tracker.placement.closed_form import closest_to_rays
from tracker.structs import HandEstimate, ObservedHand

every_lens = pytest.mark.parametrize("camera", LENSES.values(), ids=LENSES.keys())
PLACES = [(0.5, 0.5), (0.25, 0.6), (0.75, 0.35)]


def moved_px(estimate: HandEstimate, joints: list[int], shift_px: tuple[float, float]) -> HandEstimate:
    pixels = estimate.joints_px.copy()
    pixels[joints] += shift_px
    return replace(estimate, joints_px=pixels)


def noisy(estimate: HandEstimate, seed: int, sd_px: float = 2.0) -> HandEstimate:
    noise = np.random.default_rng(seed).normal(0.0, sd_px, (21, 2))
    return replace(estimate, joints_px=estimate.joints_px + noise)


@every_lens
@pytest.mark.parametrize("side", Side)
def test_a_hand_seen_without_error_is_found_where_it_is(camera: Camera, side: Side) -> None:
    for x, y in PLACES:
        for distance_m in (0.25, 0.7):
            joints_m = hand_on_ray(camera, x, y, side=side, distance_m=distance_m)
            pose = place_hand(estimate_of(joints_m, camera, side), camera)
            np.testing.assert_allclose(pose.joints_in_camera_m, joints_m, atol=1e-5)
            np.testing.assert_allclose(pose.camera_from_wrist, camera_from_wrist(joints_m, side), atol=1e-6)
            assert pose.reprojection_error_px < 0.01 and pose.side is side


def test_a_fisheye_places_a_hand_behind_its_own_plane() -> None:
    camera = LENSES["sphere"]
    joints_m = hand_on_ray(camera, 0.07, 0.5, distance_m=0.5)
    assert joints_m[:, 2].max() < 0
    np.testing.assert_allclose(
        place_hand(estimate_of(joints_m, camera), camera).joints_in_camera_m, joints_m, atol=1e-5
    )


@settings(max_examples=50)
@given(st.integers(0, 10_000))
def test_the_closed_form_is_the_least_squares_solution_of_its_weights(seed: int) -> None:
    rng = np.random.default_rng(seed)
    estimate = noisy(estimate_of(hand_on_ray(CAMERA, *rng.uniform(0.2, 0.8, 2)), CAMERA), seed)
    rays = CAMERA.unproject(estimate.joints_px)
    shift, weights, information = closest_to_rays(
        estimate.joints_from_wrist_m, rays, rng.uniform(0.2, 1.0, 21)
    )
    rows, values = [], []
    for ray, joint, weight in zip(rays, estimate.joints_from_wrist_m, weights, strict=True):
        across = np.sqrt(weight) * (np.eye(3) - np.outer(ray, ray))
        rows.append(across)
        values.append(-across @ joint)
    expected = np.linalg.lstsq(np.concatenate(rows), np.concatenate(values), rcond=None)[0]
    np.testing.assert_allclose(shift, expected, atol=1e-6)
    across = np.concatenate(rows)
    np.testing.assert_allclose(information, across.T @ across, atol=1e-5)


def test_four_joints_seen_in_the_wrong_place_move_the_hand_far_less_than_a_plain_fit() -> None:
    joints_m = hand_on_ray(CAMERA, 0.4, 0.5)
    robust_m, plain_m = [], []
    for seed in range(30):
        rng = np.random.default_rng(seed)
        wrong = noisy(estimate_of(joints_m, CAMERA), seed, 1.0)
        joints = [int(joint) for joint in rng.choice(21, 4, replace=False)]
        for joint, angle in zip(joints, rng.uniform(0, 2 * np.pi, 4), strict=True):
            wrong = moved_px(wrong, [joint], (70 * np.cos(angle), 70 * np.sin(angle)))
        plain = -np.linalg.lstsq(*_plain_system(wrong), rcond=None)[0]
        robust_m.append(np.linalg.norm(place_hand(wrong, CAMERA).joints_in_camera_m[0] - joints_m[0]))
        plain_m.append(np.linalg.norm(plain - joints_m[0]))
    assert np.median(robust_m) < 0.5 * np.median(plain_m)


def _plain_system(estimate: HandEstimate) -> tuple[FloatArray, FloatArray]:
    rays = CAMERA.unproject(estimate.joints_px)
    across = np.eye(3) - rays[:, :, None] * rays[:, None, :]
    values = np.einsum("nij,nj->ni", across, estimate.joints_from_wrist_m)
    return across.reshape(-1, 3), values.reshape(-1)


def test_a_joint_the_network_doubts_counts_less() -> None:
    joints_m = hand_on_ray(CAMERA, 0.5, 0.5)
    wrong = moved_px(estimate_of(joints_m, CAMERA), list(range(1, 11)), (25.0, 0.0))
    scores = np.ones(21)
    scores[1:11] = 0.01
    doubted = place_hand(replace(wrong, joint_scores=scores), CAMERA).joints_in_camera_m
    trusted = place_hand(replace(wrong, joint_scores=np.ones(21)), CAMERA).joints_in_camera_m
    assert np.abs(doubted - joints_m).max() < 0.1 * np.abs(trusted - joints_m).max()


@pytest.mark.parametrize("scale", [0.8, 1.0, 1.3])
def test_a_hand_known_to_be_larger_is_as_much_farther_away(scale: float) -> None:
    estimate = estimate_of(hand_on_ray(CAMERA, 0.6, 0.4), CAMERA)
    pose = place_hand(estimate, CAMERA, hand_scale=scale)
    expected = place_hand(estimate, CAMERA).joints_in_camera_m * scale
    np.testing.assert_allclose(pose.joints_in_camera_m, expected, atol=1e-6)
    assert pose.reprojection_error_px < 0.01


def test_joints_without_a_ray_are_placed_by_the_others() -> None:
    joints_m = hand_on_ray(CAMERA, 0.5, 0.5)
    estimate = estimate_of(joints_m, CAMERA)
    pixels = estimate.joints_px.copy()
    pixels[6:] = np.nan
    pose = place_hand(replace(estimate, joints_px=pixels), CAMERA)
    np.testing.assert_allclose(pose.joints_in_camera_m, joints_m, atol=1e-5)
    assert np.isfinite(pose.reprojection_error_px)
    pixels[5] = np.nan
    with pytest.raises(PlacementError, match="only 5 joints have a ray; 6 are needed"):
        place_hand(replace(estimate, joints_px=pixels), CAMERA)


def test_a_hand_that_would_lie_behind_the_camera_is_refused() -> None:
    estimate = estimate_of(hand_on_ray(CAMERA, 0.5, 0.5), CAMERA)
    with pytest.raises(PlacementError, match="behind"):
        place_hand(replace(estimate, joints_from_wrist_m=-estimate.joints_from_wrist_m), CAMERA)


@pytest.mark.parametrize("score", [0.0, np.nan])
def test_a_hand_none_of_whose_joints_counts_is_refused(score: float) -> None:
    estimate = estimate_of(hand_on_ray(CAMERA, 0.5, 0.5), CAMERA)
    with pytest.raises(PlacementError):
        place_hand(replace(estimate, joint_scores=np.full(21, score)), CAMERA)


def test_a_hand_that_cannot_be_placed_leaves_its_place_empty_and_the_other_hand_alone() -> None:
    joints_m = hand_on_ray(CAMERA, 0.3, 0.5)
    good = detection_of(joints_m)
    observed = tuple(ObservedHand(track_id, Side.RIGHT, good) for track_id in (1, 2))
    blind = replace(good.estimate, joints_px=np.full((21, 2), np.nan))
    nothing, pose = place_hands((blind, good.estimate), observed, CAMERA)
    assert nothing is None and pose is not None
    np.testing.assert_allclose(pose.joints_in_camera_m, joints_m, atol=1e-5)


@every_lens
def test_the_covariance_is_one_and_says_that_range_is_the_least_certain(camera: Camera) -> None:
    for x, y in PLACES:
        pose = place_hand(noisy(estimate_of(hand_on_ray(camera, x, y), camera), 5), camera)
        covariance = pose.covariance_m2
        np.testing.assert_allclose(covariance, covariance.T, atol=1e-15)
        variances, axes = np.linalg.eigh(covariance)
        assert variances[0] > 0
        bearing = pose.joints_in_camera_m.mean(axis=0)
        assert abs(axes[:, 2] @ bearing) / np.linalg.norm(bearing) > 0.98
        assert variances[2] > 10 * variances[1]
        assert np.sqrt(variances[2]) == pytest.approx(0.06 * 0.4, rel=0.5)


def test_noisier_joints_make_the_position_less_certain() -> None:
    estimate = estimate_of(hand_on_ray(CAMERA, 0.5, 0.5), CAMERA)
    sure, unsure = (place_hand(noisy(estimate, 2, sd_px), CAMERA) for sd_px in (1.0, 12.0))
    assert (np.linalg.eigvalsh(unsure.covariance_m2) > np.linalg.eigvalsh(sure.covariance_m2)).all()
    assert unsure.reprojection_error_px > 5 * sure.reprojection_error_px


def test_the_reprojection_error_is_known_also_at_the_rim_of_a_lens() -> None:
    """A joint pushed over the rim has no image; the others' errors still count."""
    camera = FOLDING["folding barrel"]
    joints_m = hand_on_ray(camera, 0.5, 0.5)
    rim = camera.unproject(np.array([[camera.cx + 192.0, camera.cy]]))[0]
    shift = rim * 0.4 / rim[2] - joints_m.mean(axis=0)
    estimate = estimate_of(joints_m + shift, camera)
    for seed in range(20):
        pose = place_hand(noisy(estimate, seed, 1.0), camera)
        assert 0.1 < pose.reprojection_error_px < 30
