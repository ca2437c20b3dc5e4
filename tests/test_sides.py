"""Sides: decided by all that was seen, changed rarely, and never the same for two hands of one wearer."""

from collections.abc import Sequence
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from tracker.joints import Side
from tracker.temporal.sides import SideConfig, SideEvidence, decide_sides, right_log_odds


def sides_of(
    *p_right: Sequence[float],
    elbows_right_m: Sequence[float | None] = (None, None),
    config: SideConfig | None = None,
) -> list[tuple[Side, ...]]:
    """The sides decided after each frame for hands whose P(right) are given frame by frame.

    Each elbow stays where it is.
    """
    config = config or SideConfig()
    hands = [SideEvidence(config) for _ in p_right]
    decided = []
    for frame in zip(*p_right, strict=True):
        for hand, probability, elbow in zip(hands, frame, elbows_right_m, strict=False):
            hand.see(right_log_odds(probability, elbow, config))
        decide_sides(hands, config)
        decided.append(tuple(hand.side for hand in hands))
    return decided


def test_a_side_does_not_flicker_with_the_network() -> None:
    assert set(sides_of([0.95] * 5 + [0.1, 0.9] * 20 + [0.05, 0.05])) == {(Side.RIGHT,)}
    assert set(sides_of([0.9] + [0.1, 0.1, 0.9, 0.9] * 10)) == {(Side.RIGHT,)}


def test_a_wrong_first_guess_is_corrected_once_and_soon() -> None:
    decided = [sides[0] for sides in sides_of([0.2] + [0.97] * 10)]
    assert decided[0] is Side.LEFT and set(decided[6:]) == {Side.RIGHT}
    assert sum(a is not b for a, b in pairwise(decided)) == 1


def test_a_side_that_evidence_gathers_against_is_published_as_doubtful() -> None:
    config = SideConfig()
    hand = SideEvidence(config)
    hand.see(right_log_odds(0.2, None, config))
    hand.add(hand.take_step())
    assert hand.side is Side.LEFT and hand.probability > 0.6
    while hand.side is Side.LEFT:
        before = hand.probability
        hand.see(right_log_odds(0.97, None, config))
        hand.add(hand.take_step())
    assert before < 0.05 and hand.probability > 0.99


def test_a_long_held_side_can_still_be_unlearnt() -> None:
    """Within a second, since old frames are forgotten."""
    assert sides_of([0.99] * 500 + [0.01] * 30)[-1] == (Side.LEFT,)


def test_a_hand_is_of_the_side_its_forearm_comes_from_whatever_the_network_says() -> None:
    """From its first frame on, as real first-person clips need it."""
    assert set(sides_of([0.95] * 20, elbows_right_m=(-0.25,))) == {(Side.LEFT,)}
    assert set(sides_of([0.05] * 20, elbows_right_m=(0.25,))) == {(Side.RIGHT,)}
    decided = sides_of([0.95] * 20, [0.95] * 20, elbows_right_m=(-0.2, 0.3))
    assert set(decided) == {(Side.LEFT, Side.RIGHT)}


def test_an_elbow_in_the_middle_leaves_it_to_the_network() -> None:
    for p_right, side in ((0.8, Side.RIGHT), (0.2, Side.LEFT)):
        assert set(sides_of([p_right] * 20, elbows_right_m=(0.02,))) == {(side,)}


probabilities = st.lists(st.floats(0, 1), min_size=12, max_size=12)


@given(probabilities, probabilities)
def test_two_hands_of_one_wearer_are_always_one_left_and_one_right(
    first: list[float], second: list[float]
) -> None:
    assert all(a is b.other for a, b in sides_of(first, second))


def test_of_two_hands_that_look_right_the_surer_one_is() -> None:
    assert sides_of([0.7] * 5, [0.95] * 5)[-1] == (Side.LEFT, Side.RIGHT)
    assert sides_of([0.95] * 5, [0.7] * 5)[-1] == (Side.RIGHT, Side.LEFT)
    assert sides_of([0.6] * 10, [0.3] + [0.97] * 9)[-1] == (Side.LEFT, Side.RIGHT)
    crowd = SideConfig(one_wearer=False)
    assert sides_of([0.7] * 5, [0.95] * 5, config=crowd)[-1] == (Side.RIGHT, Side.RIGHT)


def test_what_a_pair_taught_outlasts_the_other_hands_leaving() -> None:
    """The network alone calls this left hand right, but while the other was there it was the left one."""
    config = SideConfig()
    first, second = SideEvidence(config), SideEvidence(config)
    for _ in range(60):
        first.see(right_log_odds(0.85, None, config))
        second.see(right_log_odds(0.95, 0.2, config))
        decide_sides([first, second], config)
    assert (first.side, second.side) == (Side.LEFT, Side.RIGHT)
    for _ in range(20):
        first.see(right_log_odds(0.85, None, config))
        decide_sides([first], config)
        assert first.side is Side.LEFT
