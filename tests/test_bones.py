"""A hand's bones: settled soon, steady afterwards, measured again only when long evidence says so."""

import dataclasses

import numpy as np
import pytest
from seen_hands import CAMERA, estimate_of, hand_on_ray
from tracked_values import some_mano

from tracker.hand_shape import HandShape
from tracker.joints import Side
from tracker.structs import HandEstimate
from tracker.temporal.bones import LANDMARK_SPAN, BoneEstimator, BonesConfig, measured, measures_of, shape_of

ESTIMATE = estimate_of(hand_on_ray(CAMERA, 0.5, 0.5), CAMERA)
BELIEVING = BonesConfig(size_share=1.0, proportions_share=1.0)


def at_size(scale: float) -> HandEstimate:
    return dataclasses.replace(ESTIMATE, joints_from_wrist_m=ESTIMATE.joints_from_wrist_m * scale)


def sizes(estimator: BoneEstimator, scales: list[float]) -> list[float]:
    return [estimator.see(at_size(scale)).size_m for scale in scales]


TRUE_SIZE = HandShape.from_joints(ESTIMATE.joints_from_wrist_m, Side.RIGHT).size_m


def test_measures_lead_back_to_the_shape() -> None:
    shape = HandShape.from_joints(ESTIMATE.joints_from_wrist_m, Side.RIGHT)
    again = shape_of(measures_of(shape))
    np.testing.assert_allclose(again.palm_m, shape.palm_m, atol=1e-12)
    np.testing.assert_allclose(again.finger_bones_m, shape.finger_bones_m, atol=1e-12)
    np.testing.assert_allclose(measured(ESTIMATE), measures_of(shape), atol=1e-12)


def test_wild_readings_do_not_move_the_bones() -> None:
    rng = np.random.default_rng(1)
    scales = list(np.where(rng.uniform(size=90) < 0.3, 1.8, 1.0))
    scales[0] = 1.0
    settled = sizes(BoneEstimator(BELIEVING), scales)[-20:]
    np.testing.assert_allclose(settled, TRUE_SIZE, rtol=0.01)


def test_bones_are_steady_under_noise_and_never_jump() -> None:
    rng = np.random.default_rng(2)
    given = np.array(sizes(BoneEstimator(BonesConfig()), list(np.exp(rng.normal(0.0, 0.12, 200)))))
    assert given.std() / given.mean() < 0.01
    assert np.abs(np.diff(given)).max() / given.mean() < 0.01
    assert np.ptp(given[-60:]) < 1e-4 * given.mean()


def test_lasting_disagreement_has_a_locked_hand_measured_again() -> None:
    estimator = BoneEstimator(BELIEVING)
    before = sizes(estimator, [1.0] * 100)[-1]
    short = sizes(estimator, [1.4] * 40 + [1.0] * 260)
    np.testing.assert_allclose(short, before, rtol=1e-3)
    after = sizes(estimator, [1.4] * 600)
    np.testing.assert_allclose(after[-1], 1.4 * before, rtol=1e-3)
    assert np.diff(after).max() < 0.05 * before


def test_a_known_hand_is_left_alone_but_for_what_the_networks_span_of_it() -> None:
    known = HandShape.from_palm_width(0.08)
    estimator = BoneEstimator(BonesConfig(), known)
    given = [estimator.see(at_size(scale)) for scale in (1.5, 0.7)]
    assert given[0] is given[1]
    assert given[0].palm_width_m == pytest.approx(LANDMARK_SPAN * 0.08)
    own = dataclasses.replace(ESTIMATE, mano=some_mano())
    assert estimator.see(own) is known


def test_a_body_models_own_bones_are_believed() -> None:
    own = dataclasses.replace(at_size(1.2), mano=some_mano())
    assert abs(BoneEstimator(BonesConfig()).see(own).size_m - 1.2 * TRUE_SIZE) < 1e-9


def test_bones_of_a_light_network_are_a_hint_even_beside_a_body_model() -> None:
    """As an ensemble has them whose first member is the light network: its size, another's MANO."""
    hint = dataclasses.replace(at_size(1.2), knows_size=False)
    beside = dataclasses.replace(hint, mano=some_mano())
    sizes_m = [BoneEstimator(BonesConfig()).see(estimate).size_m for estimate in (hint, beside)]
    assert sizes_m[1] == sizes_m[0] < 1.1 * TRUE_SIZE
