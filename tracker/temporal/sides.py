"""Which side a hand is, decided per track from all that was seen of it so far.

Each frame adds two log-odds of being a right hand: the network's P(right), clipped, and which way the hand
leans in the picture, since a forearm comes from its own side. Old frames are forgotten slowly, so that a
wrong start is unlearnt. Two live hands of one wearer are one left and one right, so what speaks for one
speaks against the other. A side once decided changes only when the evidence against it passes a threshold:
no flicker.
"""

import math
from dataclasses import dataclass

from tracker.joints import Side


@dataclass(frozen=True)
class SideConfig:
    """How a track's side is decided."""

    max_network_step: float = 2.0
    """The network's log-odds of one frame are clipped to this."""
    lean_step: float = 3.0
    """Log-odds of one frame for a hand that points straight to one side."""
    memory_frames: float = 20.0
    """Frames after which what was seen counts for e times less."""
    switch_evidence: float = 6.0
    """Log-odds against its side at which a track changes it."""
    one_wearer: bool = True
    """Two hands are one left and one right; False where several people's hands are seen."""


class SideEvidence:
    """Log-odds that one track is a right hand, and the side they decided."""

    def __init__(self, config: SideConfig, p_right: float) -> None:
        self._config = config
        self._step = 0.0
        self.log_odds = 0.0
        self.side = Side.RIGHT if p_right >= 0.5 else Side.LEFT

    def see(self, p_right: float, rotation_rad: float) -> None:
        """Take what one more frame says of this hand alone; ``decide_sides`` adds it up.

        Args:
            p_right: the network's probability of a right hand.
            rotation_rad: the hand's turn in the picture, clockwise from pointing up.
        """
        limit = self._config.max_network_step
        network = min(max(_log_odds(p_right), -limit), limit)
        self._step = network - self._config.lean_step * math.sin(rotation_rad)

    def take_step(self) -> float:
        """The log-odds of this frame, once; 0 for a hand that was not seen."""
        step, self._step = self._step, 0.0
        return step

    def add(self, step: float) -> None:
        """Add this frame's log-odds to the faded old ones; change a side that they speak clearly against."""
        self.log_odds = math.exp(-1 / self._config.memory_frames) * self.log_odds + step
        if self.log_odds * (1.0 if self.side is Side.RIGHT else -1.0) < -self._config.switch_evidence:
            self.side = self.side.other


def decide_sides(hands: list[SideEvidence], config: SideConfig) -> None:
    """Add up this frame's evidence and decide the sides of all live tracks together.

    With one wearer and two hands, what speaks for one side of one hand speaks for the other side of the
    other; each keeps that evidence when the other leaves. A pair that agrees on one side is settled at once,
    in favour of the stronger evidence.
    """
    steps = [hand.take_step() for hand in hands]
    if not (config.one_wearer and len(hands) == 2):
        for hand, step in zip(hands, steps, strict=True):
            hand.add(step)
        return
    first, second = hands
    first.add(steps[0] - steps[1])
    second.add(steps[1] - steps[0])
    if first.side is second.side:
        first.side = Side.RIGHT if first.log_odds >= second.log_odds else Side.LEFT
        second.side = first.side.other


def _log_odds(probability: float) -> float:
    probability = min(max(probability, 1e-6), 1 - 1e-6)
    return math.log(probability / (1 - probability))
