"""Sides: decided by all that was seen, changed rarely, and never the same for two hands of one wearer."""

from collections.abc import Sequence
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from tracker.joints import Side
from tracker.temporal.sides import SideConfig, SideEvidence, decide_sides


def sides_of(*p_right: Sequence[float], config: SideConfig | None = None) -> list[tuple[Side, ...]]:
    """The sides decided after each frame for hands whose P(right) are given frame by frame."""
    config = config or SideConfig()
    hands = [SideEvidence(config, sequence[0]) for sequence in p_right]
    decided = []
    for frame in zip(*p_right, strict=True):
        for hand, probability in zip(hands, frame, strict=True):
            hand.see(probability)
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


def test_a_long_held_side_can_still_be_unlearnt() -> None:
    assert sides_of([0.99] * 500 + [0.01] * 15)[-1] == (Side.LEFT,)


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
