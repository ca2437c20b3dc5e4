"""Forearms: where the elbow lies behind a hand, and what can be no wearer's hand."""

import numpy as np
import pytest
from seen_hands import CAMERA, detection_of, estimate_of, hand_on_ray
from tracked_values import open_hand

from tracker.cameras import Camera, KannalaBrandt
from tracker.joints import FINGER_MCPS, WRIST, FloatArray, Side
from tracker.rotations import rotation_from_vector
from tracker.temporal.forearm import FOREARM_M, forearm_of
from tracker.temporal.sides import SideConfig
from tracker.temporal.sighting import SightingConfig, sighting_of

FISHEYE = KannalaBrandt(512, 512, 150.0, 150.0, 255.5, 255.5, (0.05, 0.01, 0.0, 0.0))


@pytest.mark.parametrize("camera", [CAMERA, FISHEYE], ids=["pinhole", "fisheye"])
@pytest.mark.parametrize("turn_deg", [-60, 0, 40])
@pytest.mark.parametrize(("x", "distance_m"), [(0.3, 0.35), (0.5, 0.5), (0.75, 0.6)])
def test_the_elbow_lies_a_forearm_behind_the_wrist(
    camera: Camera, turn_deg: float, x: float, distance_m: float
) -> None:
    """Within the error of weak perspective, whatever the lens, the place and the hand's turn."""
    hand = open_hand(Side.RIGHT, (0.0, 0.0, 0.0))
    hand = (hand - hand.mean(axis=0)) @ rotation_from_vector(np.array([0.0, 0.0, np.radians(turn_deg)])).T
    hand += hand_on_ray(camera, x, 0.6, distance_m=distance_m).mean(axis=0)
    palm = hand[list(FINGER_MCPS)].mean(axis=0) - hand[WRIST]
    elbow = hand[WRIST] - FOREARM_M * palm / np.linalg.norm(palm)
    said = forearm_of(estimate_of(hand, camera), camera)
    assert said is not None
    assert said.elbow_right_m == pytest.approx(elbow[0], abs=0.04)
    assert said.ahead == pytest.approx((hand[WRIST] - elbow)[2] / FOREARM_M, abs=1e-9)


def test_a_hand_beyond_the_lens_or_without_extent_has_no_forearm() -> None:
    hand = hand_on_ray(CAMERA, 0.5, 0.5)
    seen = estimate_of(hand, CAMERA)
    beyond = type(seen)(seen.side, np.full((21, 2), np.nan), seen.joints_from_wrist_m, seen.joint_scores)
    point = type(seen)(seen.side, np.full((21, 2), 100.0), seen.joints_from_wrist_m, seen.joint_scores)
    assert forearm_of(beyond, CAMERA) is None
    assert forearm_of(point, CAMERA) is None


def reaching(ahead_deg: float) -> FloatArray:
    """An open right hand in front of the camera, its fingers turned ahead from pointing up."""
    hand = hand_on_ray(CAMERA, 0.6, 0.5)
    middle = hand.mean(axis=0)
    return (hand - middle) @ rotation_from_vector(np.array([-np.radians(ahead_deg), 0.0, 0.0])).T + middle


@pytest.mark.parametrize(("ahead_deg", "credible"), [(-60, False), (-10, True), (0, True), (70, True)])
def test_a_hand_whose_forearm_comes_from_ahead_is_not_the_wearers(ahead_deg: float, credible: bool) -> None:
    detection = detection_of(reaching(ahead_deg), presence=0.9)
    assert sighting_of(detection, CAMERA, SightingConfig(), SideConfig()).credible is credible


def test_where_others_may_be_seen_any_hand_is_credible_and_elbows_tell_no_side() -> None:
    detection = detection_of(reaching(-60), presence=0.9, p_right=0.5)
    others = sighting_of(detection, CAMERA, SightingConfig(view="any"), SideConfig())
    assert others.credible and others.right_log_odds == 0


def test_what_the_network_is_certain_of_is_a_hand_wherever_its_forearm_seems_to_be() -> None:
    assert sighting_of(
        detection_of(reaching(-60), presence=0.99), CAMERA, SightingConfig(), SideConfig()
    ).credible
