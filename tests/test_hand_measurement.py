"""Measuring a hand: a perfect network's flat hands give its very bones, and anything else is turned away."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from lenses import LENSES
from seen_hands import CAMERA, estimate_of

from tracker.cameras import Camera
from tracker.errors import MeasurementError
from tracker.hand_measurement import MIN_FRAMES, HandMeter
from tracker.hand_shape import HandShape
from tracker.hand_store import MeasuredHand
from tracker.joints import FINGER_MCPS, FloatArray, Side
from tracker.kinematic_fit import FitConfig
from tracker.kinematic_hand import KinematicPose, joints
from tracker.placement.kinematic import SeenHand, fit_hands
from tracker.rotations import rotation_from_vector
from tracker.structs import HandEstimate
from tracker.temporal.bones import LANDMARK_SPAN, BonesConfig

FINGERS_UP = np.array([[1.0, 0, 0], [0, 0, 1], [0, -1, 0]]).T
"""Camera from wrist: fingers (-z) up in the picture, the back of the hand (+y) away, so the palm is seen."""


def some_shape(seed: int = 0) -> HandShape:
    """An adult's hand with its own proportions."""
    rng = np.random.default_rng(seed)
    mean = HandShape.mean()
    palm_m, bones_m = (
        mean.palm_m * rng.normal(1, 0.05, (6, 1)),
        mean.finger_bones_m * rng.normal(1, 0.06, (5, 3)),
    )
    straight = KinematicPose(np.zeros(3), np.eye(3), np.zeros((5, 4)))
    points = joints(HandShape(palm_m, bones_m), straight, Side.RIGHT)
    shape = HandShape.from_joints(points, Side.RIGHT)  # in its own wrist's axes
    return shape.scaled(0.066 / shape.palm_width_m)


def held_up(
    shape: HandShape,
    *,
    side: Side = Side.RIGHT,
    center_m: Sequence[float] = (0.0, 0.0, 0.4),
    turn: Sequence[float] = (0.0, 0.0, 0.0),
    bend_rad: float = 0.05,
) -> FloatArray:
    """Joints (21, 3) of a flat hand, the middle of its palm at ``center_m``, turned from facing ahead."""
    angles = np.zeros((5, 4))
    angles[1:, [0, 2, 3]] = bend_rad
    rotation = rotation_from_vector(np.array(turn)) @ FINGERS_UP
    points = joints(shape, KinematicPose(np.zeros(3), rotation, angles), side)
    return points + np.array(center_m) - points[[0, *FINGER_MCPS]].mean(axis=0)


def seen(
    joints_m: FloatArray, *, side: Side = Side.RIGHT, size: float = 1.0, camera: Camera = CAMERA
) -> HandEstimate:
    """What a network says that takes the hand for ``size`` times as large, and is right about all else."""
    estimate = estimate_of(joints_m, camera, side)
    return replace(estimate, joints_from_wrist_m=size * estimate.joints_from_wrist_m)


def shown(
    shape: HandShape, *, size: float = 1.0, distance_m: float = 0.4, camera: Camera = CAMERA
) -> HandMeter:
    """A meter that saw both hands' palms and backs, a little turned, in the middle of the picture."""
    meter, rng = HandMeter(), np.random.default_rng(1)
    for index in range(40):
        side = Side.RIGHT if index % 2 else Side.LEFT
        turn = rng.normal(0, 0.1, 3) + np.array([0, np.pi * (index % 4 > 1), 0])
        points = held_up(shape, side=side, turn=turn, center_m=(0, 0, distance_m))
        assert meter.see([seen(points, side=side, size=size, camera=camera)], camera) is None
    return meter


def distance_found_m(hand: MeasuredHand, estimate: HandEstimate, camera: Camera) -> float:
    """How far away the tracker places the palm of an estimate with a measured hand's bones."""
    seen_hand = SeenHand.of(estimate, hand.shape.scaled(LANDMARK_SPAN), None, camera)
    (pose,) = fit_hands([seen_hand], camera, FitConfig())
    assert pose is not None
    return float(np.linalg.norm(pose.joints_in_camera_m[[0, *FINGER_MCPS]].mean(axis=0)))


@pytest.mark.parametrize(("name", "near_m"), [("pinhole", 0.45), ("webcam", 0.5), ("aria slam", 0.3)])
def test_a_known_distance_takes_most_of_the_error_from_other_distances(name: str, near_m: float) -> None:
    """What is left is what other poses, and the mean adult, speak for."""
    shape, camera = some_shape().scaled(1.1), LENSES[name]
    meter = shown(shape, size=0.87, distance_m=near_m, camera=camera)
    hand, guess = meter.measured(distance_m=near_m), meter.measured()
    farther = seen(held_up(shape, center_m=(0, 0, 1.2 * near_m)), size=0.87, camera=camera)
    error, before = (distance_found_m(which, farther, camera) / (1.2 * near_m) - 1 for which in (hand, guess))
    assert abs(before) > 0.08
    assert 0.2 * abs(before) < abs(error) < 0.45 * abs(before)
    assert hand.size_from == "distance" and hand.frames == 40 and hand.spread < 0.001
    assert hand.size_spread < 0.02 and 0.02 < hand.shape.size_sd < guess.shape.size_sd


@pytest.mark.parametrize("factor", [0.9, 1.0, 1.15])
def test_a_distance_in_proportion_gives_a_size_in_proportion(factor: float) -> None:
    meter = shown(some_shape())
    one, other = meter.measured(distance_m=0.4), meter.measured(distance_m=0.4 * factor)
    share = np.log(other.shape.size_m / one.shape.size_m)
    assert share == pytest.approx(0.643 * np.log(factor), abs=1e-3)  # 0.06^2 / (0.06^2 + 0.02^2 + 0.04^2)


def test_a_palm_width_is_kept_and_fingers_go_the_believed_way_to_the_networks() -> None:
    shape = some_shape(3)
    hand = shown(shape, size=1.2).measured(palm_width_m=0.066)
    prior = HandShape.from_palm_width(0.066)
    np.testing.assert_allclose(hand.shape.palm_m, prior.palm_m)
    at_its_size = shape.scaled(prior.size_m / shape.size_m).finger_bones_m
    moved = (hand.shape.finger_bones_m - prior.finger_bones_m) / (at_its_size - prior.finger_bones_m)
    np.testing.assert_allclose(moved, BonesConfig().proportions_share, atol=1e-6)
    assert hand.size_from == "palm width" and hand.size_spread == 0.0
    assert hand.shape.size_sd == prior.size_sd


def test_without_a_measure_the_size_is_mostly_the_mean_adults_and_is_called_the_networks() -> None:
    small, large = shown(some_shape(), size=0.9).measured(), shown(some_shape(), size=1.1).measured()
    assert large.shape.size_m / small.shape.size_m == pytest.approx((1.1 / 0.9) ** BonesConfig().size_share)
    assert large.size_from == "network" and large.shape.size_sd == HandShape.mean().size_sd


def test_noise_shows_as_spread_and_one_bad_frame_in_ten_moves_nothing_far() -> None:
    clean, noisy, rng = HandMeter(), HandMeter(), np.random.default_rng(5)
    for index in range(100):
        points = held_up(some_shape())
        clean.see([seen(points)], CAMERA)
        wrong = held_up(some_shape(7).scaled(1.3)) if index % 10 == 0 else points
        noisy.see([seen(wrong + rng.normal(0, 1.5e-3, (21, 3)))], CAMERA)
    found, expected = (meter.measured(distance_m=0.4) for meter in (noisy, clean))
    assert 0.03 < found.spread < 0.12
    assert abs(found.shape.size_m / expected.shape.size_m - 1) < 0.02
    np.testing.assert_allclose(found.shape.finger_bones_m, expected.shape.finger_bones_m, rtol=0.03)


@pytest.mark.parametrize(
    ("joints_m", "reason"),
    [
        (held_up(some_shape(), bend_rad=0.8), "fingers bent"),
        (held_up(some_shape(), turn=(0, 0.9, 0)), "turned away"),
        (held_up(some_shape(), turn=(0.9, 0, 0)), "turned away"),
        (held_up(some_shape(), center_m=(0, 0, 1.4)), "come closer"),
        (held_up(some_shape(), center_m=(0.24, 0, 0.4)), "outside the picture"),
    ],
)
def test_a_hand_that_cannot_be_measured_is_told_why(joints_m: FloatArray, reason: str) -> None:
    meter = HandMeter()
    advice = meter.see([seen(joints_m)], CAMERA)
    assert advice is not None and reason in advice
    for _ in range(30):
        meter.see([seen(joints_m)], CAMERA)
    with pytest.raises(MeasurementError, match=reason):
        meter.measured()


def test_facing_means_the_line_of_sight_not_the_optical_axis() -> None:
    camera = LENSES["sphere"]
    ray = camera.unproject(np.array([540.0, 319.5]))
    toward_m = held_up(some_shape(), center_m=0.3 * ray, turn=(0, np.arctan2(ray[0], ray[2]), 0))
    meter = HandMeter()
    assert meter.see([seen(toward_m, camera=camera)], camera) is None
    advice = meter.see([seen(held_up(some_shape(), center_m=0.3 * ray), camera=camera)], camera)
    assert advice == "turned away from the camera"


def test_no_hand_at_all_says_what_to_do() -> None:
    meter = HandMeter()
    assert meter.see([], CAMERA) == "no hand in view"
    with pytest.raises(MeasurementError, match="no hand was seen; hold one up flat"):
        meter.measured(palm_width_m=0.066)


def test_too_few_frames_are_not_enough() -> None:
    meter = HandMeter()
    for count in range(MIN_FRAMES):
        with pytest.raises(MeasurementError, match=rf"in {count} \(at least|no hand was seen"):
            meter.measured()
        meter.see([seen(held_up(some_shape()))], CAMERA)
    assert meter.measured().frames == MIN_FRAMES


def test_several_peoples_hands_are_refused() -> None:
    crowd = HandMeter()
    for _ in range(30):
        crowd.see([seen(held_up(some_shape()))], CAMERA)
        crowd.see([seen(held_up(some_shape()))] * 3, CAMERA)
    with pytest.raises(MeasurementError, match="30 of 60 frames show more than two hands"):
        crowd.measured()
    mixed, rng = HandMeter(), np.random.default_rng(2)
    for _ in range(30):
        other = HandShape(some_shape().palm_m, some_shape().finger_bones_m * rng.uniform(0.5, 1.5, (5, 3)))
        mixed.see([seen(held_up(other))], CAMERA)
    with pytest.raises(MeasurementError, match="one person's hands only"):
        mixed.measured()


def test_both_hands_of_one_person_count_together() -> None:
    meter = HandMeter()
    left = held_up(some_shape(), side=Side.LEFT, center_m=(-0.1, 0, 0.4))
    right = held_up(some_shape(), center_m=(0.1, 0, 0.4))
    for _ in range(MIN_FRAMES):
        assert meter.see([seen(left, side=Side.LEFT), seen(right)], CAMERA) is None
    assert meter.measured().frames == 2 * MIN_FRAMES
