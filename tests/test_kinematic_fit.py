"""The kinematic fit: finds posed hands exactly, shrugs off outliers, and knows how wrong it may be."""

from dataclasses import replace

import numpy as np
import pytest
from lenses import LENSES
from seen_hands import CAMERA, detection_of

from tracker.cameras import Camera
from tracker.hand_shape import HandShape
from tracker.joints import FINGER_MCPS, WRIST, FloatArray, Side, bone_lengths
from tracker.kinematic_fit import FitConfig, pose_difference, tukey_weights
from tracker.kinematic_hand import ANGLE_LOWER_RAD, ANGLE_UPPER_RAD, KinematicPose, joints, step
from tracker.placement import place_hand, place_hands
from tracker.rotations import rotation_from_vector
from tracker.structs import HandEstimate, HandPose, ObservedHand

SHAPE = replace(HandShape.mean(), size_sd=0.0)
PALM = [WRIST, *FINGER_MCPS]
RAY_SD_M, JOINT_SD_M, TURN_SD_RAD = FitConfig.ray_noise_m, FitConfig.joint_noise_m, FitConfig.turn_noise_rad


def drawn_pose(rng: np.random.Generator, camera: Camera = CAMERA) -> KinematicPose:
    """A hand of natural bend somewhere in view, 0.25 to 0.6 m away."""
    pixel = rng.uniform(0.3, 0.7, 2) * (camera.width, camera.height)
    wrist_m = camera.unproject(pixel) * rng.uniform(0.25, 0.6)
    share = rng.uniform(0.3, 0.7, (5, 4))
    angles_rad = ANGLE_LOWER_RAD + share * (ANGLE_UPPER_RAD - ANGLE_LOWER_RAD)
    return KinematicPose(wrist_m, rotation_from_vector(rng.normal(0.0, 1.2, 3)), angles_rad)


def seen_without_error(
    pose: KinematicPose, side: Side, camera: Camera = CAMERA, shape: HandShape = SHAPE
) -> HandEstimate:
    joints_m = joints(shape, pose, side)
    return HandEstimate(side, camera.project(joints_m), joints_m - joints_m[WRIST], np.full(21, 0.9))


def seen_with_noise(
    rng: np.random.Generator, pose: KinematicPose, side: Side, outliers: int = 0
) -> HandEstimate:
    """Noise of the sizes that the fit assumes."""
    joints_m = joints(SHAPE, pose, side)
    aside_m = rng.normal(0.0, RAY_SD_M, (21, 3))
    turn = rotation_from_vector(rng.normal(0.0, TURN_SD_RAD, 3))
    read_m = (joints_m - joints_m[WRIST]) @ turn.T + rng.normal(0.0, JOINT_SD_M, (21, 3))
    wrong = rng.choice(np.arange(1, 21), outliers, replace=False)
    aside_m[wrong] += rng.normal(0.0, 0.04, (outliers, 3))
    read_m[wrong] += rng.normal(0.0, 0.04, (outliers, 3))
    return HandEstimate(side, CAMERA.project(joints_m + aside_m), read_m - read_m[WRIST], np.full(21, 1.0))


def observed(
    estimate: HandEstimate, predicted: KinematicPose | None = None, over_s: float = 1 / 30
) -> ObservedHand:
    detection = detection_of(np.array([0.0, 0.0, 0.4]) + estimate.joints_from_wrist_m)
    return ObservedHand(1, estimate.side, detection, 1.0, SHAPE, predicted, over_s)


def fitted(estimate: HandEstimate, hand: ObservedHand, camera: Camera = CAMERA) -> HandPose:
    (pose,) = place_hands([estimate], [hand], camera)
    assert pose is not None and pose.kinematics is not None
    return pose


@pytest.mark.parametrize("camera", LENSES.values(), ids=LENSES.keys())
@pytest.mark.parametrize("side", Side)
def test_a_hand_seen_without_error_is_found_where_it_is(camera: Camera, side: Side) -> None:
    rng = np.random.default_rng(4)
    for _ in range(5):
        pose = drawn_pose(rng, camera)
        estimate = seen_without_error(pose, side, camera)
        if not np.isfinite(estimate.joints_px).all():
            continue
        found = fitted(estimate, observed(estimate), camera)
        np.testing.assert_allclose(found.joints_in_camera_m, joints(SHAPE, pose, side), atol=1e-4)
        assert found.reprojection_error_px < 0.1


def test_bones_are_the_shapes_whatever_the_network_says() -> None:
    rng = np.random.default_rng(5)
    for side in Side:
        estimate = seen_with_noise(rng, drawn_pose(rng), side, outliers=1)
        found = fitted(estimate, observed(estimate))
        lengths = bone_lengths(found.joints_in_camera_m).reshape(5, 4)[:, 1:]
        np.testing.assert_allclose(lengths, SHAPE.finger_bones_m, rtol=1e-9)


def test_the_networks_size_does_not_matter() -> None:
    rng = np.random.default_rng(6)
    estimate = seen_with_noise(rng, drawn_pose(rng), Side.LEFT)
    larger = replace(estimate, joints_from_wrist_m=1.3 * estimate.joints_from_wrist_m)
    a, b = (fitted(one, observed(one)).joints_in_camera_m for one in (estimate, larger))
    np.testing.assert_allclose(a, b, atol=1e-9)


def test_two_hands_at_once_come_out_as_each_alone() -> None:
    rng = np.random.default_rng(7)
    estimates = [seen_with_noise(rng, drawn_pose(rng), side) for side in Side]
    together = place_hands(estimates, [observed(estimate) for estimate in estimates], CAMERA)
    for estimate, pose in zip(estimates, together, strict=True):
        assert pose is not None
        alone = fitted(estimate, observed(estimate))
        np.testing.assert_allclose(pose.joints_in_camera_m, alone.joints_in_camera_m, atol=1e-9)


def test_the_fit_is_much_closer_than_the_closed_form_on_the_same_draws() -> None:
    errors: dict[str, list[float]] = {"fit": [], "closed": []}
    for seed in range(60):
        rng = np.random.default_rng(seed)
        pose, side = drawn_pose(rng), list(Side)[seed % 2]
        estimate = seen_with_noise(rng, pose, side, outliers=1)
        truth_m = joints(SHAPE, pose, side)
        for name, found in (
            ("fit", fitted(estimate, observed(estimate))),
            ("closed", place_hand(estimate, CAMERA)),
        ):
            errors[name].append(np.linalg.norm(found.joints_in_camera_m - truth_m, axis=-1).mean())
    assert np.mean(errors["fit"]) < 0.6 * np.mean(errors["closed"])


def test_four_outliers_hardly_move_the_hand() -> None:
    clean_m, spoilt_m, plain_m = [], [], []
    for seed in range(60):
        for outliers, errors_m in ((0, clean_m), (4, spoilt_m)):
            rng = np.random.default_rng(seed)
            pose = drawn_pose(rng)
            estimate = seen_with_noise(rng, pose, Side.RIGHT, outliers)
            truth_m = joints(SHAPE, pose, Side.RIGHT)
            (found,) = place_hands([estimate], [observed(estimate)], CAMERA)
            assert found is not None
            errors_m.append(np.linalg.norm(found.joints_in_camera_m - truth_m, axis=-1).mean())
        closed = place_hand(estimate, CAMERA).joints_in_camera_m
        plain_m.append(np.linalg.norm(closed - truth_m, axis=-1).mean())
    assert np.median(spoilt_m) < 2.0 * np.median(clean_m)
    assert np.median(spoilt_m) < 0.6 * np.median(plain_m)


def test_one_iteration_from_a_close_prediction_does_as_well_as_many_from_the_network() -> None:
    warm, cold = [], []
    for seed in range(40):
        rng = np.random.default_rng(seed)
        pose = drawn_pose(rng)
        estimate = seen_with_noise(rng, pose, Side.RIGHT)
        change = rng.normal(0.0, [0.01] * 3 + [0.05] * 3 + [0.1] * 20)[None]
        arrays = (pose.wrist_in_camera_m[None], pose.camera_from_wrist[None], pose.angles_rad[None])
        before = KinematicPose(*(array[0] for array in step(*arrays, change)))
        for predicted, errors in ((before, warm), (None, cold)):
            found = fitted(estimate, observed(estimate, predicted)).joints_in_camera_m
            errors.append(np.linalg.norm(found - joints(SHAPE, pose, Side.RIGHT), axis=-1).mean())
    assert np.mean(warm) < 1.1 * np.mean(cold)


def test_a_prediction_of_another_place_and_pose_does_not_mislead() -> None:
    for seed in range(10):
        rng = np.random.default_rng(seed)
        estimate = seen_with_noise(rng, drawn_pose(rng), Side.RIGHT)
        expected = fitted(estimate, observed(estimate)).joints_in_camera_m
        found = fitted(estimate, observed(estimate, drawn_pose(np.random.default_rng(seed + 100))))
        assert np.linalg.norm(found.joints_in_camera_m - expected, axis=-1).mean() < 0.02


def test_old_predictions_hold_angles_less_than_new_ones() -> None:
    rng = np.random.default_rng(8)
    pose = drawn_pose(rng)
    estimate = seen_without_error(pose, Side.RIGHT)
    bent = KinematicPose(pose.wrist_in_camera_m, pose.camera_from_wrist, pose.angles_rad + 0.08)
    held = []
    for over_s in (0.01, 0.033, 0.3):
        found = fitted(estimate, observed(estimate, bent, over_s)).kinematics
        assert found is not None
        held.append(np.abs(found.angles_rad - pose.angles_rad).mean())
    assert 0.08 > held[0] > 1.5 * held[1] > 1.5 * held[2]


def test_a_hand_that_cannot_bend_as_it_was_read_keeps_the_closed_form() -> None:
    rng = np.random.default_rng(9)
    hand = seen_without_error(drawn_pose(rng), Side.RIGHT)
    scrambled = rng.permutation(21)
    nonsense = replace(
        hand,
        joints_px=hand.joints_px[scrambled],
        joints_from_wrist_m=hand.joints_from_wrist_m[scrambled] - hand.joints_from_wrist_m[scrambled[0]],
    )
    (pose,) = place_hands([nonsense], [observed(nonsense)], CAMERA)
    assert pose is not None and pose.kinematics is None
    assert np.isfinite(pose.joints_in_camera_m).all()


def test_the_covariance_tells_the_errors() -> None:
    """Mean squares of palm errors over what the covariance says, on draws of the assumed noise."""
    along, across, sds = [], [], []
    for seed in range(250):
        rng = np.random.default_rng(seed)
        pose, side = drawn_pose(rng), list(Side)[seed % 2]
        found = fitted(estimate := seen_with_noise(rng, pose, side), observed(estimate))
        error = (found.joints_in_camera_m - joints(SHAPE, pose, side))[PALM].mean(axis=0)
        ray = found.joints_in_camera_m[PALM].mean(axis=0)
        ray /= np.linalg.norm(ray)
        sideways = np.linalg.svd(ray[None])[2][1:]
        along.append((ray @ error) ** 2 / (ray @ found.covariance_m2 @ ray))
        lateral = sideways @ found.covariance_m2 @ sideways.T
        across.append((sideways @ error) @ np.linalg.solve(lateral, sideways @ error) / 2)
        sds.append(np.sqrt([ray @ found.covariance_m2 @ ray, np.trace(lateral) / 2]))
    assert 0.6 < np.mean(along) < 1.6
    assert 0.6 < np.mean(across) < 1.6
    range_sd, bearing_sd = np.mean(sds, axis=0)
    assert range_sd > 3 * bearing_sd  # even with the size known


def test_an_unknown_size_makes_range_as_uncertain_and_bearing_no_more() -> None:
    rng = np.random.default_rng(10)
    estimate = seen_with_noise(rng, drawn_pose(rng), Side.RIGHT)
    known = fitted(estimate, observed(estimate))
    unknown = fitted(estimate, replace(observed(estimate), shape=replace(SHAPE, size_sd=0.06)))
    center = known.joints_in_camera_m[PALM].mean(axis=0)
    added = unknown.covariance_m2 - known.covariance_m2
    np.testing.assert_allclose(added, 0.06**2 * np.outer(center, center), atol=1e-12)


def test_the_difference_of_poses_undoes_a_step() -> None:
    rng = np.random.default_rng(11)
    poses = [drawn_pose(rng) for _ in range(2)]
    start: tuple[FloatArray, FloatArray, FloatArray] = (
        np.array([pose.wrist_in_camera_m for pose in poses]),
        np.array([pose.camera_from_wrist for pose in poses]),
        np.array([pose.angles_rad for pose in poses]),
    )
    change = rng.normal(0.0, 0.02, (2, 26))
    np.testing.assert_allclose(pose_difference(step(*start, change), start), change, atol=1e-5)


def test_tukeys_weights_end_at_the_threshold() -> None:
    squares = np.ones((1, 21))
    squares[0, :3] = (0.0, 4.0**2, 100.0)
    weights = tukey_weights(squares, 4.0)
    assert weights[0, 0] == 1.0 and weights[0, 1] == weights[0, 2] == 0.0
    assert weights[0, 5] == pytest.approx((1 - 1 / 16) ** 2)


@pytest.mark.parametrize("finger", range(5))
def test_a_finger_that_its_prediction_left_behind_is_taken_back_at_once(finger: int) -> None:
    """Robust weights would let go of it for as long as each frame starts from the last."""
    rng = np.random.default_rng(20 + finger)
    pose = drawn_pose(rng)
    folded, straight = pose.angles_rad.copy(), pose.angles_rad.copy()
    straight[finger] = (0.0, 0.0, 0.1, 0.05)
    folded[finger] = 0.9 * ANGLE_UPPER_RAD[finger]
    folded[finger, 1] = 0.0
    now = replace(pose, angles_rad=straight)
    estimate = seen_without_error(now, Side.RIGHT, CAMERA)
    before = replace(pose, angles_rad=folded)
    hand = replace(observed(estimate), predicted=before, predicted_over_s=1 / 30)
    found = fitted(estimate, hand).joints_in_camera_m
    assert np.linalg.norm(found - joints(SHAPE, now, Side.RIGHT), axis=1).max() < 0.01
