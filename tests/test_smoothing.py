"""Smoothing and prediction: still at rest, on time in motion, and never worse than what came in."""

from collections.abc import Iterable
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from seen_hands import CAMERA, estimate_of, hand_on_ray

from tracker.joints import FloatArray
from tracker.placement import place_hand
from tracker.structs import HandPose, TrackedHand
from tracker.temporal.prediction import GAIN, MAX_LEAD_S, predict_hand
from tracker.temporal.smoothing import (
    PALM,
    HandFilter,
    OneEuro,
    OneEuroParameters,
    SmoothingConfig,
)

FRAME_S = 1 / 30
HAND = hand_on_ray(CAMERA, 0.6, 0.4)
POSE = place_hand(estimate_of(HAND, CAMERA), CAMERA)


def pose_at(joints_m: FloatArray) -> HandPose:
    return replace(POSE, joints_in_camera_m=joints_m)


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


def test_speed_counts_in_metres_whatever_the_unit_of_the_values() -> None:
    path = np.cumsum(np.random.default_rng(0).normal(0, 0.01, (30, 3)), axis=0)
    metres, millimetres = OneEuro(OneEuroParameters(1.0, 20.0)), OneEuro(OneEuroParameters(1.0, 20.0))
    for value in path:
        expected = metres(value, FRAME_S)
        found = millimetres(value * 1000, FRAME_S, metres_per_unit=0.001)
        np.testing.assert_allclose(found / 1000, expected, atol=1e-12)


def test_a_hand_at_rest_stays_exactly_where_it_is() -> None:
    joints, velocities = filtered([HAND] * 20)
    np.testing.assert_allclose(joints, [HAND] * 20, atol=1e-12)
    np.testing.assert_allclose(velocities, 0.0, atol=1e-9)


def test_after_a_step_the_hand_arrives() -> None:
    aside = HAND + np.array([0.08, -0.05, 0.1])
    joints, velocities = filtered([HAND] * 5 + [aside] * 90)
    np.testing.assert_allclose(joints[-1], aside, atol=1e-3)
    np.testing.assert_allclose(velocities[-1], 0.0, atol=5e-3)
    distances = np.linalg.norm(joints[5:] - aside, axis=-1).mean(axis=-1)
    assert (np.diff(distances) <= 1e-9).all()  # it never swings past


def test_noise_at_rest_is_at_least_halved() -> None:
    rng = np.random.default_rng(4)
    ray = palm_center(HAND) / np.linalg.norm(palm_center(HAND))
    across = np.cross(ray, [0.0, 1.0, 0.0])
    lateral_m, range_m = 0.002 * rng.standard_normal((300, 1)), 0.01 * rng.standard_normal((300, 1))
    path = HAND + (lateral_m * across + range_m * ray)[:, None]
    smooth = palm_center(filtered(path)[0])[60:]
    assert np.std(smooth @ across) < 0.5 * 0.002
    assert np.std(smooth @ ray) < 0.5 * 0.01


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
@pytest.mark.parametrize("rate_hz", [30.0, 60.0])
def test_in_steady_motion_the_hand_is_less_than_a_frame_late(speed_m_per_s: float, rate_hz: float) -> None:
    count = int(0.6 * rate_hz)
    start = hand_on_ray(CAMERA, 0.5, 0.5) - [0.3 * speed_m_per_s, 0.0, 0.0]
    path = start + np.arange(count)[:, None, None] * [speed_m_per_s / rate_hz, 0.0, 0.0]
    joints, velocities = filtered(path, 1 / rate_hz)
    lag_s = (path - joints)[-1, :, 0].mean() / speed_m_per_s
    assert 0.0 <= lag_s < 1.1 * min(1 / rate_hz, 1 / 30) if speed_m_per_s > 0.2 else lag_s < 0.05
    np.testing.assert_allclose(velocities[-1].mean(axis=0), [speed_m_per_s, 0, 0], atol=0.1 * speed_m_per_s)


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
