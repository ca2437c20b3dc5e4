"""Measuring a hand: a perfect network's flat hands give its very bones, and anything else is turned away."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from lenses import LENSES
from seen_hands import CAMERA, estimate_of

from tracker.cameras import Camera
from tracker.errors import MeasurementError
from tracker.hand_measurement import MIN_FRAMES, HandMeter, mean_bone_m
from tracker.joints import FINGER_MCPS, FloatArray, Side
from tracker.kinematic_hand import HandShape, KinematicPose, joints
from tracker.rotations import rotation_from_vector
from tracker.structs import HandEstimate

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


@pytest.mark.parametrize(("name", "near_m"), [("pinhole", 0.45), ("webcam", 0.5), ("aria slam", 0.3)])
def test_a_known_distance_gives_the_true_bones_whatever_size_the_network_says(
    name: str, near_m: float
) -> None:
    shape = some_shape()
    camera = LENSES[name]
    hand = shown(shape, size=0.87, distance_m=near_m, camera=camera).measured(distance_m=near_m)
    np.testing.assert_allclose(hand.shape.palm_m, shape.palm_m, atol=3e-4)
    np.testing.assert_allclose(hand.shape.finger_bones_m, shape.finger_bones_m, rtol=1e-3)
    assert hand.size_from == "distance" and hand.frames == 40
    assert hand.spread < 0.001 and hand.size_spread < 0.001


def test_a_palm_width_gives_the_true_bones_whatever_size_the_network_says() -> None:
    shape = some_shape(3)
    hand = shown(shape, size=1.2).measured(palm_width_m=0.066)
    np.testing.assert_allclose(hand.shape.palm_m, shape.palm_m, atol=1e-6)
    np.testing.assert_allclose(hand.shape.finger_bones_m, shape.finger_bones_m, atol=1e-6)
    assert hand.size_from == "palm width" and hand.size_spread == 0.0


def test_without_a_measure_the_size_is_the_networks_and_is_called_so() -> None:
    hand = shown(some_shape(), size=0.9).measured()
    assert hand.shape.palm_width_m == pytest.approx(0.9 * 0.066)
    assert hand.size_from == "network"


def test_noise_shows_as_spread_and_one_bad_frame_in_ten_moves_nothing_far() -> None:
    shape, meter, rng = some_shape(), HandMeter(), np.random.default_rng(5)
    for index in range(100):
        if index % 10:
            estimate = seen(held_up(shape) + rng.normal(0, 1.5e-3, (21, 3)))
        else:
            estimate = seen(held_up(shape.scaled(1.3)), size=1.2)
        meter.see([estimate], CAMERA)
    hand = meter.measured(palm_width_m=0.066)
    assert 0.03 < hand.spread < 0.12
    assert abs(mean_bone_m(hand.shape) / mean_bone_m(shape) - 1) < 0.02


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
