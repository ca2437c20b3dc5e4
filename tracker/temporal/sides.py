"""Which side a hand is, decided per track from all that was seen of it so far.

Each frame the network gives P(right); its log-odds, clipped, are added up per track up to a limit.
Two live hands of one wearer are one left and one right, so what speaks for one speaks against the other.
A side once decided changes only when the evidence against it passes a threshold: no flicker.
"""

import math
from dataclasses import dataclass

from tracker.joints import Side


@dataclass(frozen=True)
class SideConfig:
    """How a track's side is decided."""

    max_step: float = 2.0
    """One frame's log-odds are clipped to this."""
    max_evidence: float = 20.0
    """A track's log-odds are clipped to this, so that a wrong start can be unlearnt."""
    switch_evidence: float = 6.0
    """Log-odds against its side at which a track changes it."""
    one_wearer: bool = True
    """Two hands are one left and one right; False where several people's hands are seen."""


class SideEvidence:
    """Log-odds that one track is a right hand, and the side they decided."""

    def __init__(self, config: SideConfig, p_right: float) -> None:
        self._config = config
        self.log_odds = 0.0
        self.side = Side.RIGHT if p_right >= 0.5 else Side.LEFT

    def see(self, p_right: float) -> None:
        """Add what the network said of one more frame."""
        step = _clip(_log_odds(p_right), self._config.max_step)
        self.log_odds = _clip(self.log_odds + step, self._config.max_evidence)

    def decide(self, log_odds: float) -> None:
        """Change the side if ``log_odds`` of being right speak clearly enough against it."""
        if log_odds * (1.0 if self.side is Side.RIGHT else -1.0) < -self._config.switch_evidence:
            self.side = self.side.other


def decide_sides(hands: list[SideEvidence], config: SideConfig) -> None:
    """Decide the sides of all live tracks together; the first is the oldest.

    With one wearer and two hands the pair is decided by the difference of their evidence; a pair that
    agrees on one side is settled at once in favour of the stronger.
    """
    if not (config.one_wearer and len(hands) == 2):
        for hand in hands:
            hand.decide(hand.log_odds)
        return
    first, second = hands
    difference = first.log_odds - second.log_odds
    if first.side is second.side:
        first.side = Side.RIGHT if difference >= 0 else Side.LEFT
    else:
        first.decide(difference)
    second.side = first.side.other


def _log_odds(probability: float) -> float:
    probability = min(max(probability, 1e-6), 1 - 1e-6)
    return math.log(probability / (1 - probability))


def _clip(value: float, limit: float) -> float:
    return min(max(value, -limit), limit)
