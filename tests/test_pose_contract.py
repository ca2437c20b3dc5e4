"""What every pose backend promises: an estimate for each hand, in order, of its side, finite."""

from collections.abc import Callable

import numpy as np
import pytest
from seen_hands import CAMERA, detection_of, frame_at, hand_on_ray

from tracker.errors import UnknownNameError
from tracker.joints import NUM_JOINTS, WRIST, Side
from tracker.pose import POSE_BACKENDS, PoseBackend, StartsEarly, load_pose_backend
from tracker.pose.ensemble import EnsembleOptions, Member
from tracker.pose.hamer import HamerOptions
from tracker.pose.potter import PotterBackend
from tracker.structs import ExpectedRegion, Frame, ObservedHand

SIDES = (Side.LEFT, Side.RIGHT, Side.RIGHT)


def small_potter() -> PotterBackend:
    """The backend around a narrow network, since the published one takes a tenth of a second a hand."""
    torch = pytest.importorskip("torch")
    from potter_files import SMALL, small_state

    from tracker.networks.potter import potter_of
    from tracker.networks.potter_reader import PotterReader

    network = potter_of(small_state(), source="it", config=SMALL)
    return PotterBackend(PotterReader(network, torch.device("cpu")))


@pytest.fixture(scope="module")
def load(request: pytest.FixtureRequest) -> Callable[[str], PoseBackend]:
    """Opens a backend by its name, once."""
    opened: dict[str, PoseBackend] = {}

    def open_backend(name: str) -> PoseBackend:
        if name not in opened:
            if name == "potter":
                opened[name] = small_potter()
                return opened[name]
            hamer = None
            if name in ("hamer", "ensemble"):
                files = request.getfixturevalue("hamer_files")
                hamer = HamerOptions(checkpoint=files.checkpoint, mano=files.mano)
            members = EnsembleOptions((Member("landmarks"), Member("hamer", weight=2.0)))
            opened[name] = load_pose_backend(name, hamer=hamer, ensemble=members)
        return opened[name]

    return open_backend


@pytest.fixture(params=POSE_BACKENDS)
def backend(request: pytest.FixtureRequest, load: Callable[[str], PoseBackend]) -> PoseBackend:
    return load(request.param)


def observed_hands(count: int) -> tuple[ObservedHand, ...]:
    """Hands whose light network is mostly of another opinion on their side."""
    return tuple(
        ObservedHand(index + 1, side, detection_of(hand_on_ray(CAMERA, 0.25 * (index + 1), 0.5)))
        for index, side in enumerate(SIDES[:count])
    )


def expected_regions(hands: tuple[ObservedHand, ...]) -> tuple[ExpectedRegion, ...]:
    return tuple(ExpectedRegion(hand.track_id, hand.side, hand.detection.box) for hand in hands)


def check(backend: PoseBackend, frame: Frame, hands: tuple[ObservedHand, ...]) -> None:
    estimates = backend.estimate(frame, hands)
    assert [estimate.side for estimate in estimates] == [hand.side for hand in hands]
    for estimate, hand in zip(estimates, hands, strict=True):
        assert np.isfinite(estimate.joints_px).all()
        assert estimate.joints_px.shape == (NUM_JOINTS, 2)
        assert np.isfinite(estimate.joints_from_wrist_m).all()
        np.testing.assert_array_equal(estimate.joints_from_wrist_m[WRIST], 0.0)
        assert ((estimate.joint_scores >= 0) & (estimate.joint_scores <= 1)).all()
        if estimate.mano is not None:
            assert estimate.mano.mirrored == (hand.side is Side.LEFT)


def test_it_has_the_name_it_is_chosen_by(backend: PoseBackend, request: pytest.FixtureRequest) -> None:
    assert backend.name in POSE_BACKENDS


@pytest.mark.parametrize("count", [0, 1, 3])
def test_each_hand_has_an_estimate_of_its_side(backend: PoseBackend, count: int) -> None:
    check(backend, frame_at(0.0), observed_hands(count))


def test_it_gives_the_same_whether_it_could_start_early_or_not(backend: PoseBackend) -> None:
    hands = observed_hands(2)
    first, second = frame_at(0.0), frame_at(1 / 30, 1)
    expected = backend.estimate(first, hands)
    if isinstance(backend, StartsEarly):
        backend.start(second, expected_regions(hands))
    for early, late in zip(backend.estimate(second, hands), expected, strict=True):
        np.testing.assert_allclose(early.joints_from_wrist_m, late.joints_from_wrist_m, atol=1e-6)
        np.testing.assert_allclose(early.joints_px, late.joints_px, atol=1e-3)


def test_hands_that_come_and_go_and_change_sides_are_followed(backend: PoseBackend) -> None:
    """Early results of hands that are gone, of another side or elsewhere confuse nothing."""
    three = observed_hands(3)
    swapped = tuple(ObservedHand(hand.track_id, hand.side.other, hand.detection) for hand in three)
    moved = tuple(
        ObservedHand(hand.track_id, hand.side, other.detection)
        for hand, other in zip(three, three[::-1], strict=True)
    )
    before: tuple[ObservedHand, ...] = ()
    for index, hands in enumerate((three[:1], three, swapped, moved, three[1:], (), three[::-1])):
        frame = frame_at(index / 30, index)
        if isinstance(backend, StartsEarly):
            backend.start(frame, expected_regions(before))
        check(backend, frame, hands)
        before = hands


def test_an_unknown_backend_is_refused_with_those_there_are() -> None:
    with pytest.raises(UnknownNameError, match=", ".join(POSE_BACKENDS)):
        load_pose_backend("magic")
