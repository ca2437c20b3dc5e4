"""Several backends as one: aligned to the first, averaged by weight, nothing lost on the way."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from seen_hands import CAMERA, detection_of, estimate_of, frame_at, hand_on_ray
from standin_mano import mano_arrays

from tracker.errors import UnknownNameError, UsageError
from tracker.joints import WRIST, FloatArray, Side
from tracker.mano_numpy import mano_from_arrays
from tracker.pipeline import HandTracker, with_placed_mano
from tracker.placement import place_hand
from tracker.pose import load_pose_backend
from tracker.pose.backend import PoseBackend
from tracker.pose.ensemble import EnsembleBackend, EnsembleOptions, Member, load_ensemble
from tracker.rotations import rotation_from_vector, similarity
from tracker.structs import ExpectedRegion, Frame, HandEstimate, ManoParameters, ObservedHand

HAND_M = hand_on_ray(CAMERA, 0.4, 0.5)
OBSERVED = ObservedHand(1, Side.RIGHT, detection_of(HAND_M))
FRAME = frame_at(0.0)


class Says:
    """A backend that says the same of every hand; notes what it is told beforehand."""

    name = "says"

    def __init__(self, estimate: HandEstimate) -> None:
        self._estimate = estimate
        self.told: list[object] = []

    def estimate(self, frame: Frame, observed: Sequence[ObservedHand]) -> tuple[HandEstimate, ...]:
        return tuple(replace(self._estimate, side=hand.side) for hand in observed)


class SaysEarly(Says):
    def prepare(self, frame: Frame) -> None:
        self.told.append(frame)

    def start(self, frame: Frame, regions: Sequence[ExpectedRegion]) -> None:
        self.told.append((frame, tuple(regions)))


def bent(estimate: HandEstimate, seed: int, sd_m: float = 0.008) -> HandEstimate:
    """Another network's opinion of the same hand, from points of its own."""
    rng = np.random.default_rng(seed)
    joints_m = estimate.joints_from_wrist_m + rng.normal(0.0, sd_m, (21, 3))
    points_px = estimate.joints_px + rng.normal(0.0, 2.0, (21, 2))
    return replace(estimate, joints_from_wrist_m=joints_m - joints_m[WRIST], joints_px=points_px)


def elsewhere(estimate: HandEstimate, scale: float, vector_rad: FloatArray) -> HandEstimate:
    """The same hand of another size, turned."""
    turn = rotation_from_vector(vector_rad)
    return replace(estimate, joints_from_wrist_m=scale * estimate.joints_from_wrist_m @ turn.T)


def together(*members: HandEstimate, weights: Sequence[float] | None = None) -> HandEstimate:
    backends: list[PoseBackend] = [Says(member) for member in members]
    (estimate,) = EnsembleBackend(backends, weights or [1.0] * len(members)).estimate(FRAME, [OBSERVED])
    return estimate


def test_an_ensemble_of_one_is_its_member() -> None:
    only = bent(estimate_of(HAND_M, CAMERA), 1)
    estimate = together(only)
    np.testing.assert_array_equal(estimate.joints_from_wrist_m, only.joints_from_wrist_m)
    np.testing.assert_array_equal(estimate.joints_px, only.joints_px)


def test_others_are_brought_to_the_firsts_axes_and_size() -> None:
    first = bent(estimate_of(HAND_M, CAMERA), 1)
    other = elsewhere(first, 1.3, np.array([0.7, -1.1, 0.4]))
    estimate = together(first, other)
    np.testing.assert_allclose(estimate.joints_from_wrist_m, first.joints_from_wrist_m, atol=1e-12)


def test_the_first_one_decides_whatever_its_weight() -> None:
    """With all weight on another, the hand is that one's in the first one's axes."""
    first, other = (bent(estimate_of(HAND_M, CAMERA), seed) for seed in (1, 2))
    away = elsewhere(other, 0.8, np.array([0.2, 0.9, -0.5]))
    scale, turn, shift_m = similarity(other.joints_from_wrist_m, first.joints_from_wrist_m)
    expected_m = scale * other.joints_from_wrist_m @ turn.T + shift_m
    estimate = together(first, away, weights=(0.0, 2.0))
    np.testing.assert_allclose(estimate.joints_from_wrist_m, expected_m - expected_m[WRIST], atol=1e-12)


def test_weights_are_shares() -> None:
    first, other = (bent(estimate_of(HAND_M, CAMERA), seed) for seed in (1, 2))
    ends = [together(first, other, weights=weights).joints_from_wrist_m for weights in ((1, 0), (0, 1))]
    middle = together(first, other, weights=(6, 2)).joints_from_wrist_m
    np.testing.assert_allclose(middle, 0.75 * ends[0] + 0.25 * ends[1], atol=1e-12)


def test_independent_errors_average_out() -> None:
    true = estimate_of(HAND_M, CAMERA)

    def error_m(estimate: HandEstimate) -> float:
        off = estimate.joints_from_wrist_m - true.joints_from_wrist_m
        return float(np.linalg.norm(off - off.mean(axis=0), axis=1).mean())

    alone, four = [], []
    for seed in range(20):
        members = [bent(true, 10 * seed + index) for index in range(4)]
        alone.append(error_m(members[0]))
        four.append(error_m(together(*members)))
    assert np.mean(four) < 0.65 * np.mean(alone)


def test_points_are_the_first_members_that_reads_its_own() -> None:
    """POTTER hands the light network's on; then the points are HaMeR's, though POTTER is first."""
    handed_on = replace(bent(estimate_of(HAND_M, CAMERA), 1), joints_px=OBSERVED.detection.estimate.joints_px)
    own = bent(estimate_of(HAND_M, CAMERA), 2)
    np.testing.assert_array_equal(together(handed_on, own).joints_px, own.joints_px)
    np.testing.assert_array_equal(together(own, handed_on).joints_px, own.joints_px)
    np.testing.assert_array_equal(together(handed_on, handed_on).joints_px, handed_on.joints_px)


def test_a_size_is_known_where_the_first_member_knows_it() -> None:
    knowing = estimate_of(HAND_M, CAMERA)
    hint = replace(bent(knowing, 1), knows_size=False)
    assert together(knowing, hint).knows_size
    assert not together(hint, knowing).knows_size and not together(hint).knows_size


@pytest.mark.parametrize("side", Side)
def test_mano_is_kept_and_turned_with_its_members_joints(side: Side) -> None:
    model = mano_from_arrays(mano_arrays())
    mirror = np.array([-1.0 if side is Side.LEFT else 1.0, 1.0, 1.0])
    orient = rotation_from_vector(np.array([0.3, -0.6, 1.0]))
    pose = {"hand_pose": rotation_from_vector(np.full((15, 3), 0.1)), "betas": np.zeros(10)}
    read_m = model.pose(global_orient=orient, **pose).joints_m * mirror
    mano = ManoParameters(
        global_orient=orient, translation_m=-read_m.mean(axis=0), mirrored=side is Side.LEFT, **pose
    )
    own = HandEstimate(side, np.zeros((21, 2)), read_m - read_m[WRIST], np.ones(21), mano)
    turned = elsewhere(replace(own, mano=None), 1.0, np.array([0.5, 0.2, -0.9]))
    seen_px = CAMERA.project(turned.joints_from_wrist_m + np.array([0.0, 0.0, 0.5]))
    turned, own = replace(turned, joints_px=seen_px), replace(own, joints_px=seen_px)
    observed = replace(OBSERVED, side=side)
    members: list[PoseBackend] = [Says(turned), Says(own)]
    (estimate,) = EnsembleBackend(members, (1, 1)).estimate(FRAME, [observed])
    placed = with_placed_mano(place_hand(estimate, CAMERA))
    assert placed.mano is not None
    posed = model.pose(
        global_orient=placed.mano.global_orient, hand_pose=placed.mano.hand_pose, betas=placed.mano.betas
    )
    model_m = posed.joints_m * mirror + placed.mano.translation_m
    np.testing.assert_allclose(model_m, placed.joints_in_camera_m, atol=1e-9)


def test_early_starts_and_frames_go_to_members_that_take_them() -> None:
    plain, early = (kind(estimate_of(HAND_M, CAMERA)) for kind in (Says, SaysEarly))
    ensemble = EnsembleBackend([plain, early], (1, 1))
    region = ExpectedRegion(1, Side.RIGHT, OBSERVED.detection.box)
    with HandTracker(backend=ensemble) as tracker:
        tracker.prepare(FRAME)
    ensemble.start(FRAME, [region])
    assert plain.told == [] and early.told == [FRAME, (FRAME, (region,))]


def test_no_hands_are_no_hands() -> None:
    assert EnsembleBackend([Says(estimate_of(HAND_M, CAMERA))], (1,)).estimate(FRAME, []) == ()


# Options.


@pytest.mark.parametrize("weights", [(-1.0, 2.0), (0.0, 0.0), (float("nan"), 1.0)])
def test_weights_of_no_mean_are_refused(weights: tuple[float, ...]) -> None:
    members: list[PoseBackend] = [Says(estimate_of(HAND_M, CAMERA))] * 2
    with pytest.raises(UsageError, match="weights are"):
        EnsembleBackend(members, weights)


def test_nobody_is_no_ensemble() -> None:
    with pytest.raises(UsageError, match="at least one member"):
        EnsembleBackend((), ())


def test_members_are_loaded_with_their_own_weights_in_order() -> None:
    loaded: list[Member] = []

    def load(member: Member) -> PoseBackend:
        loaded.append(member)
        return Says(estimate_of(HAND_M, CAMERA))

    members = (Member("potter"), Member("hamer"), Member("hamer", Path("fine-tuned.ckpt"), 0.5))
    load_ensemble(EnsembleOptions(members), load)
    assert tuple(loaded) == members


@pytest.mark.parametrize("name", ["magic", "ensemble"])
def test_a_member_that_cannot_be_one_is_named(name: str) -> None:
    with pytest.raises(UnknownNameError, match=name):
        load_pose_backend("ensemble", ensemble=EnsembleOptions((Member("landmarks"), Member(name))))
