"""Smoothing and prediction: still at rest, on time in motion, and never worse than what came in."""

from collections.abc import Iterable
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from seen_hands import CAMERA, estimate_of, hand_on_ray

from tracker.hand_shape import HandShape
from tracker.joints import FloatArray, Side
from tracker.kinematic_hand import KinematicPose, joints
from tracker.placement import place_hand
from tracker.rotations import (
    rotation_from_quaternion,
    rotation_from_vector,
    vector_from_rotation,
)
from tracker.structs import HandPose, TrackedHand
from tracker.temporal.filters import (
    DirectionFilter,
    DirectionParameters,
    OneEuro,
    OneEuroParameters,
    RangeFilter,
    RangeParameters,
    RotationOneEuro,
    matrix_of,
    quaternion_of,
    rotation_vector_between,
    slerp,
)
from tracker.temporal.prediction import GAIN, MAX_LEAD_S, predict_hand
from tracker.temporal.smoothing import MAX_STEP_M, PALM, RESET_GAP_S, HandFilter, SmoothingConfig

FRAME_S = 1 / 30
HAND = hand_on_ray(CAMERA, 0.6, 0.4)
POSE = place_hand(estimate_of(HAND, CAMERA), CAMERA)


SHAPE = HandShape.mean()
BENT = KinematicPose(
    POSE.joints_in_camera_m[0], POSE.camera_from_wrist, np.tile([0.5, 0.05, 0.7, 0.4], (5, 1))
)


def pose_at(joints_m: FloatArray) -> HandPose:
    return replace(POSE, joints_in_camera_m=joints_m)


def fitted(kinematics: KinematicPose, side: Side = Side.RIGHT) -> HandPose:
    """A pose as the kinematic fit gives it."""
    return replace(
        POSE,
        side=side,
        joints_in_camera_m=joints(SHAPE, kinematics, side),
        camera_from_wrist=kinematics.camera_from_wrist,
        kinematics=kinematics,
        shape=SHAPE,
    )


def filtered(path: Iterable[FloatArray], dt_s: float = FRAME_S) -> tuple[FloatArray, FloatArray]:
    """Smoothed joints and velocities (frames, 21, 3) of a path of hands."""
    hand_filter = HandFilter(SmoothingConfig())
    results = [hand_filter(pose_at(joints), dt_s) for joints in path]
    return np.array([pose.joints_in_camera_m for pose, _ in results]), np.array([v for _, v in results])


def palm_center(joints_m: FloatArray) -> FloatArray:
    return np.asarray(joints_m[..., list(PALM), :].mean(axis=-2))


def naive_one_euro(values: list[float], dt_s: float, min_cutoff: float, beta: float) -> list[float]:
    """The published algorithm (Casiez et al. 2012) for one number, the slope from raw values."""

    def alpha(cutoff_hz: float) -> float:
        tau_s = 1 / (2 * np.pi * cutoff_hz)
        return 1 / (1 + tau_s / dt_s)

    smooth, slope, result = values[0], 0.0, [values[0]]
    for last, value in pairwise(values):
        slope += alpha(1.0) * ((value - last) / dt_s - slope)
        smooth += alpha(min_cutoff + beta * abs(slope)) * (value - smooth)
        result.append(smooth)
    return result


@given(st.lists(st.floats(-2, 2), min_size=1, max_size=20), st.floats(0.005, 0.2))
def test_the_filter_is_the_published_one(values: list[float], dt_s: float) -> None:
    one_euro = OneEuro(OneEuroParameters(1.5, 20.0))
    found = [float(one_euro(np.array([value]), dt_s)[0]) for value in values]
    np.testing.assert_allclose(found, naive_one_euro(values, dt_s, 1.5, 20.0), atol=1e-9)


def test_a_hand_at_rest_stays_exactly_where_it_is() -> None:
    joints, velocities = filtered([HAND] * 20)
    np.testing.assert_allclose(joints, [HAND] * 20, atol=1e-12)
    np.testing.assert_allclose(velocities, 0.0, atol=1e-9)


def test_after_a_step_the_hand_arrives() -> None:
    aside = HAND + np.array([0.08, -0.05, 0.1])
    joints, velocities = filtered([HAND] * 5 + [aside] * 120)
    np.testing.assert_allclose(joints[-1], aside, atol=1e-3)
    np.testing.assert_allclose(velocities[-1], 0.0, atol=5e-3)
    distances = np.linalg.norm(joints[5:] - aside, axis=-1).mean(axis=-1)
    nearest = np.argmin(distances[:30] + (np.diff(distances[:31]) < 0))  # first time it goes away again
    assert distances[nearest:].max() < 0.15 * distances[0]  # past the target: the filter knows velocity


def test_noise_at_rest_is_less_across_the_ray_and_far_less_along_it() -> None:
    rng = np.random.default_rng(4)
    ray = palm_center(HAND) / np.linalg.norm(palm_center(HAND))
    across = np.cross(ray, [0.0, 1.0, 0.0])
    lateral_m, range_m = 0.002 * rng.standard_normal((300, 1)), 0.01 * rng.standard_normal((300, 1))
    path = HAND + (lateral_m * across + range_m * ray)[:, None]
    smooth = palm_center(filtered(path)[0])[60:]
    assert np.std(smooth @ across) < 0.75 * 0.002
    assert np.std(smooth @ ray) < 0.3 * 0.01


def test_range_noise_does_not_shake_the_bearing_nor_the_other_way_round() -> None:
    rng = np.random.default_rng(5)
    center = palm_center(HAND)
    distance_m = float(np.linalg.norm(center))
    ray = center / distance_m
    nearer_and_farther = HAND + (0.02 * rng.standard_normal((60, 1)) * ray)[:, None]
    bearings = palm_center(filtered(nearer_and_farther)[0])
    bearings /= np.linalg.norm(bearings, axis=-1, keepdims=True)
    np.testing.assert_allclose(bearings, [ray] * 60, atol=1e-12)

    turned = center + 0.02 * rng.standard_normal((60, 3))
    turned *= distance_m / np.linalg.norm(turned, axis=-1, keepdims=True)
    distances = np.linalg.norm(palm_center(filtered(HAND + (turned - center)[:, None])[0]), axis=-1)
    np.testing.assert_allclose(distances, distance_m, atol=1e-12)


@pytest.mark.parametrize("speed_m_per_s", [0.1, 0.3, 1.0])
@pytest.mark.parametrize("rate_hz", [10.0, 30.0, 60.0])
def test_in_steady_motion_across_the_ray_the_hand_is_hardly_late(
    speed_m_per_s: float, rate_hz: float
) -> None:
    count = int(0.6 * rate_hz)
    start = hand_on_ray(CAMERA, 0.5, 0.5) - [0.3 * speed_m_per_s, 0.0, 0.0]
    path = start + np.arange(count)[:, None, None] * [speed_m_per_s / rate_hz, 0.0, 0.0]
    found, velocities = filtered(path, 1 / rate_hz)
    lag_s = (path - found)[-1, :, 0].mean() / speed_m_per_s
    assert abs(lag_s) < 0.25 / rate_hz
    velocity = velocities[-1].mean(axis=0)
    assert abs(velocity[0] - speed_m_per_s) < 0.1 * speed_m_per_s
    np.testing.assert_allclose(velocity[1:], 0.0, atol=0.25 * speed_m_per_s)  # the range's part comes late


@pytest.mark.parametrize("speed_m_per_s", [0.1, 0.3, 1.0])
def test_along_the_ray_a_resting_bearing_holds_the_range_back_by_a_bounded_way(speed_m_per_s: float) -> None:
    range_filter = RangeFilter(RangeParameters())
    path = 0.3 + np.maximum(np.arange(60) - 20, 0) * speed_m_per_s * FRAME_S
    behind_m = [distance - range_filter(distance, FRAME_S, 0.0) for distance in path]
    assert max(behind_m) < 0.02 + 0.06 * speed_m_per_s**0.5


def test_a_range_read_wrongly_once_hardly_counts_even_in_motion() -> None:
    def pull_m(parameters: RangeParameters) -> float:
        range_filter = RangeFilter(parameters)
        for _ in range(30):
            range_filter(0.4, FRAME_S, 0.3)
        return range_filter(0.9, FRAME_S, 0.3) - 0.4

    assert pull_m(RangeParameters()) < 0.2 * pull_m(RangeParameters(doubt_share=10.0))


def test_no_published_velocity_along_the_ray_is_beyond_what_hands_do() -> None:
    nearer_and_farther = [HAND * (1.0 if frame % 8 < 4 else 2.5) for frame in range(60)]
    _, velocities = filtered(nearer_and_farther)
    assert np.linalg.norm(velocities.mean(axis=1), axis=-1).max() < 3.5


def test_the_range_opens_when_the_hand_moves_across_its_ray() -> None:
    def spread_m(across_m_per_s: float) -> float:
        rng, range_filter = np.random.default_rng(1), RangeFilter(RangeParameters())
        found = [
            range_filter(0.4 + 0.005 * rng.standard_normal(), FRAME_S, across_m_per_s) for _ in range(200)
        ]
        return float(np.std(found[60:]))

    assert spread_m(0.0) < 0.2 * 0.005
    assert spread_m(0.5) > 2 * spread_m(0.0)


@pytest.mark.parametrize("dt_s", [0.0, -0.1])
def test_without_time_passing_nothing_moves_and_all_is_finite(dt_s: float) -> None:
    hand_filter = HandFilter(SmoothingConfig())
    hand_filter(pose_at(HAND), FRAME_S)
    before, velocity_before = hand_filter(pose_at(HAND + np.array([0.01, 0, 0])), FRAME_S)
    with np.errstate(all="raise"):
        after, velocity_after = hand_filter(pose_at(HAND + 0.1), dt_s)
    np.testing.assert_allclose(after.joints_in_camera_m, before.joints_in_camera_m, atol=1e-12)
    np.testing.assert_array_equal(velocity_after, velocity_before)


def test_what_the_network_saw_is_published_as_it_was() -> None:
    hand_filter = HandFilter(SmoothingConfig())
    hand_filter(POSE, FRAME_S)
    smooth, _ = hand_filter(pose_at(HAND + 0.02), FRAME_S)
    assert smooth.observed_px is POSE.observed_px and smooth.joint_scores is POSE.joint_scores
    np.testing.assert_allclose(smooth.camera_from_wrist, POSE.camera_from_wrist, atol=1e-6)


# The single filters.


def test_one_wild_direction_counts_less_than_a_believable_one() -> None:
    def pull_m(offset_m: float) -> float:
        follow = DirectionFilter(DirectionParameters())
        ahead = np.array([0.0, 0.0, 1.0])
        for _ in range(30):
            follow(ahead, FRAME_S, 0.4, 0.0)
        aside = np.array([offset_m / 0.4, 0.0, 1.0])
        return float(follow(aside / np.linalg.norm(aside), FRAME_S, 0.4, 0.0)[0]) * 0.4

    assert pull_m(0.003) > 0.3 * 0.003
    assert pull_m(0.1) < 0.1 * 0.1


def test_a_direction_measured_badly_moves_the_hand_less() -> None:
    def pull(variance_m2: float) -> float:
        follow = DirectionFilter(DirectionParameters())
        ahead = np.array([0.0, 0.0, 1.0])
        for _ in range(30):
            follow(ahead, FRAME_S, 0.4, 1e-6)
        return float(follow(np.array([0.01, 0.0, 0.99995]), FRAME_S, 0.4, variance_m2)[0])

    assert pull(1e-3) < 0.5 * pull(1e-6)


UNIT = st.lists(st.floats(-1, 1), min_size=4, max_size=4).filter(lambda q: np.linalg.norm(q) > 0.1)


@given(UNIT, UNIT, st.floats(0, 1))
def test_turns_between_rotations_are_those_of_the_rotation_maps(
    first: list[float], second: list[float], share: float
) -> None:
    start, end = (rotation_from_quaternion(np.array(q)) for q in (first, second))
    a, b = quaternion_of(start), quaternion_of(end)
    np.testing.assert_allclose(matrix_of(a), start, atol=1e-7)
    expected = vector_from_rotation(end @ start.T)
    if np.linalg.norm(expected) > np.pi - 1e-3:  # both ways round are right
        return
    np.testing.assert_allclose(rotation_vector_between(a, b), expected, atol=1e-6)
    between = rotation_from_vector(share * expected) @ start
    np.testing.assert_allclose(matrix_of(slerp(a, b, share)), between, atol=1e-6)


def test_a_rotation_filter_follows_a_turn_through_a_whole_circle_without_a_leap() -> None:
    smooth = RotationOneEuro(OneEuroParameters(1.5, 1.0))
    axis = np.array([0.6, -0.64, 0.48])
    before = None
    for frame in range(200):  # 0.1 rad a frame: quaternions change their sign on the way, twice
        truth = rotation_from_vector(0.1 * frame * axis)
        found = smooth(truth, FRAME_S)
        np.testing.assert_allclose(found @ found.T, np.eye(3), atol=1e-12)
        assert np.linalg.norm(vector_from_rotation(truth @ found.T)) < 0.25
        if before is not None:
            assert np.linalg.norm(vector_from_rotation(found @ before.T)) < 0.12
        before = found


@given(st.lists(st.floats(-3, 3), min_size=1, max_size=20), st.floats(0.01, 0.1))
def test_about_one_axis_a_rotation_is_filtered_as_a_number(angles: list[float], dt_s: float) -> None:
    angles = [0.5 * angle for angle in angles]  # steps below pi
    smooth = RotationOneEuro(OneEuroParameters(1.5, 1.0))
    found = [smooth(rotation_from_vector(np.array([0.0, 0.0, angle])), dt_s) for angle in angles]
    expected = naive_one_euro(angles, dt_s, 1.5, 1.0)
    found_rad = [float(np.arctan2(r[1, 0], r[0, 0])) for r in found]
    np.testing.assert_allclose(found_rad, expected, atol=1e-7)


# Hands that were fitted.


@pytest.mark.parametrize("side", Side)
def test_a_fitted_hand_keeps_its_bones_whatever_its_angles_do(side: Side) -> None:
    rng = np.random.default_rng(2)
    hand_filter = HandFilter(SmoothingConfig())
    for _ in range(30):
        shaken = KinematicPose(
            BENT.wrist_in_camera_m + 0.01 * rng.standard_normal(3),
            rotation_from_vector(0.1 * rng.standard_normal(3)) @ BENT.camera_from_wrist,
            BENT.angles_rad + 0.2 * rng.standard_normal((5, 4)),
        )
        smooth, _ = hand_filter(fitted(shaken, side), FRAME_S)
        assert smooth.kinematics is not None
        np.testing.assert_allclose(
            joints(SHAPE, smooth.kinematics, side), smooth.joints_in_camera_m, atol=1e-12
        )
        np.testing.assert_array_equal(smooth.camera_from_wrist, smooth.kinematics.camera_from_wrist)


def test_a_fitted_hand_at_rest_stays_exactly_where_it_is() -> None:
    hand_filter = HandFilter(SmoothingConfig())
    pose = fitted(BENT)
    for _ in range(20):
        smooth, velocity = hand_filter(pose, FRAME_S)
    np.testing.assert_allclose(smooth.joints_in_camera_m, pose.joints_in_camera_m, atol=1e-12)
    np.testing.assert_allclose(velocity, 0.0, atol=1e-9)


def test_a_hand_may_be_fitted_in_one_frame_and_not_in_the_next() -> None:
    hand_filter = HandFilter(SmoothingConfig())
    for frame in range(12):
        pose = fitted(BENT) if frame % 3 else replace(fitted(BENT), kinematics=None, shape=None)
        smooth, velocity = hand_filter(pose, FRAME_S)
        np.testing.assert_allclose(smooth.joints_in_camera_m, pose.joints_in_camera_m, atol=1e-9)
        assert (smooth.kinematics is None) == (pose.kinematics is None)
        assert np.isfinite(velocity).all()


def test_one_frame_that_was_not_fitted_does_not_let_a_wild_range_through() -> None:
    hand_filter = HandFilter(SmoothingConfig())
    for frame in range(20):
        pose = fitted(BENT)
        if frame == 15:
            away = pose.joints_in_camera_m * 1.3
            pose = replace(pose, joints_in_camera_m=away, kinematics=None, shape=None)
        smooth, _ = hand_filter(pose, FRAME_S)
        offset_m = palm_center(smooth.joints_in_camera_m) - palm_center(fitted(BENT).joints_in_camera_m)
        assert np.linalg.norm(offset_m) < 0.3 * 0.3 * np.linalg.norm(palm_center(HAND))


def test_a_rotation_read_wrongly_in_one_frame_moves_the_hand_little() -> None:
    smooth = RotationOneEuro(OneEuroParameters(1.5, 1.0, 9.0))
    flipped = rotation_from_vector(np.array([0.0, 2.0, 0.0]))
    found = [smooth(flipped if frame == 10 else np.eye(3), FRAME_S) for frame in range(14)]
    turned_rad = np.linalg.norm(vector_from_rotation(np.array(found)), axis=-1)
    assert turned_rad.max() < 0.1 * 2.0
    believing = RotationOneEuro(OneEuroParameters(1.5, 1.0))
    found = [believing(flipped if frame == 10 else np.eye(3), FRAME_S) for frame in range(11)]
    assert np.linalg.norm(vector_from_rotation(found[-1])) > 0.5 * 2.0


def test_an_angle_read_wrongly_in_one_frame_moves_it_little() -> None:
    smooth = OneEuro(OneEuroParameters(1.5, 1.0, 10.0))
    found = [float(smooth(np.array([1.5 if frame == 10 else 0.0]), FRAME_S)[0]) for frame in range(14)]
    assert max(found) < 0.1 * 1.5


def test_coasting_moves_a_fitted_hand_as_a_whole() -> None:
    hand_filter = HandFilter(SmoothingConfig())
    smooth, _ = hand_filter(fitted(BENT), FRAME_S)
    moved = hand_filter.coast(smooth, np.array([0.01, 0.0, -0.02]))
    assert moved.kinematics is not None
    np.testing.assert_allclose(
        joints(SHAPE, moved.kinematics, Side.RIGHT), moved.joints_in_camera_m, atol=1e-12
    )
    np.testing.assert_allclose(
        moved.joints_in_camera_m, smooth.joints_in_camera_m + np.array([0.01, 0, -0.02])
    )


# Bad input.


def test_after_a_long_pause_nothing_of_the_old_motion_is_left() -> None:
    hand_filter = HandFilter(SmoothingConfig())
    for frame in range(10):
        hand_filter(pose_at(HAND + np.array([0.03 * frame, 0.0, 0.0])), FRAME_S)
    there = HAND + np.array([0.2, 0.05, 0.0])
    smooth, velocity = hand_filter(pose_at(there), RESET_GAP_S + 0.01)
    np.testing.assert_allclose(smooth.joints_in_camera_m, there, atol=1e-12)
    np.testing.assert_array_equal(velocity, 0.0)


@pytest.mark.parametrize("rate_hz", [10.0, 30.0, 60.0])
@pytest.mark.parametrize("with_angles", [False, True])
def test_whatever_is_measured_a_hand_never_leaps_and_is_never_nan(rate_hz: float, with_angles: bool) -> None:
    rng = np.random.default_rng(3)
    hand_filter = HandFilter(SmoothingConfig())
    before = None
    for frame in range(200):
        side = Side.RIGHT if frame % 50 < 25 else Side.LEFT
        where = rng.uniform((-1, -1, 0.15), (1, 1, 2.0)) if rng.random() < 0.3 else np.array([0.0, 0.1, 0.4])
        turn = rotation_from_vector(rng.uniform(-2, 2, 3))
        pose = fitted(KinematicPose(where, turn, rng.uniform(-3, 3, (5, 4))), side)
        if not with_angles:
            pose = replace(pose, kinematics=None, shape=None)
        dt_s = float(rng.choice([1 / rate_hz, 2 / rate_hz, 0.0, -1 / rate_hz, 0.4]))
        with np.errstate(all="raise"):
            smooth, velocity = hand_filter(pose, dt_s)
        assert np.isfinite(smooth.joints_in_camera_m).all() and np.isfinite(velocity).all()
        center = palm_center(smooth.joints_in_camera_m)
        if before is not None:
            assert np.linalg.norm(center - before) < MAX_STEP_M + 1e-9
        before = center


def test_a_frozen_frame_holds_the_hand_and_its_velocity_fades() -> None:
    path = [HAND + np.array([0.01 * frame, 0.0, 0.0]) for frame in range(15)]
    found, velocities = filtered([*path, *[path[-1]] * 30])
    np.testing.assert_allclose(found[-1], path[-1], atol=1e-3)
    np.testing.assert_allclose(velocities[-1], 0.0, atol=5e-3)
    assert np.linalg.norm(found[15:] - path[-1], axis=-1).max() < 0.012  # about one frame's way past


# Prediction.


def moving(velocity_m_per_s: FloatArray) -> TrackedHand:
    return TrackedHand(1, 0.9, 0.0, POSE, POSE.observed_px, np.tile(velocity_m_per_s, (21, 1)))


RAY = HAND.mean(axis=0) / np.linalg.norm(HAND.mean(axis=0))


def test_without_a_lead_a_hand_is_left_alone() -> None:
    hand = moving(np.array([1.0, 2.0, 3.0]))
    assert predict_hand(hand, 0.0) is hand


def test_motion_along_the_ray_is_not_predicted() -> None:
    hand = predict_hand(moving(2.0 * RAY), 0.03)
    np.testing.assert_allclose(hand.pose.joints_in_camera_m, HAND, atol=1e-6)


def test_motion_across_the_ray_is_predicted_damped_and_as_a_whole() -> None:
    across = np.cross(RAY, [0.0, 1.0, 0.0])
    hand = predict_hand(moving(0.5 * across + 3.0 * RAY), 0.03)
    expected = POSE.joints_in_camera_m + GAIN * 0.03 * 0.5 * across
    np.testing.assert_allclose(hand.pose.joints_in_camera_m, expected, atol=1e-5)


def test_a_long_lead_counts_as_the_longest_allowed() -> None:
    hand = moving(np.array([1.0, 0.0, 0.0]))
    longest, longer = predict_hand(hand, MAX_LEAD_S), predict_hand(hand, 10.0)
    np.testing.assert_array_equal(longer.pose.joints_in_camera_m, longest.pose.joints_in_camera_m)
