"""Which side a hand is, decided per track from all that was seen of it so far.

Each frame adds two log-odds of being a right hand: the network's P(right), and where the hand's elbow must
be, since in a first-person view the left forearm comes from the left of the camera and the right one from
its right. Old frames are forgotten slowly, so that a wrong start is unlearnt. Two live hands of one wearer
are one left and one right, so what speaks for one speaks against the other. A side once decided changes
only when the evidence against it passes a threshold: no flicker.
"""

import math
from dataclasses import dataclass

from tracker.joints import Side

CLEAR_EVIDENCE = 3.0
"""Log-odds of a single frame that leave little doubt of a hand's side."""


@dataclass(frozen=True)
class SideConfig:
    """How a track's side is decided."""

    network_trust: float = 0.6
    """Factor on the network's log-odds. In first-person clips it was sure of the wrong side for seconds."""
    max_network_step: float = 2.0
    """The network's log-odds of one frame are clipped to this."""
    elbow_step_per_m: float = 14.0
    """Log-odds of one frame for each metre that the elbow lies to the right of the camera. Elbows about
    0.28 m to their side with a spread of 0.2 m give 2 * 0.28 / 0.2^2; measured spreads are below 0.1."""
    max_elbow_step: float = 3.5
    """The elbow's log-odds of one frame are clipped to this."""
    memory_frames: float = 20.0
    """Frames after which what was seen counts for e times less."""
    switch_evidence: float = 6.0
    """Log-odds against its side at which a track changes it."""
    one_wearer: bool = True
    """Two hands are one left and one right; False where several people's hands are seen."""


class SideEvidence:
    """Log-odds that one track is a right hand, and the side they decided."""

    def __init__(self, config: SideConfig) -> None:
        self._config = config
        self._step: float | None = None
        self._decided = False
        self.log_odds = 0.0
        self.side = Side.RIGHT

    def see(self, right_log_odds: float) -> None:
        """Take what one more frame says of this hand alone; ``decide_sides`` adds it up."""
        self._step = right_log_odds

    def take_step(self) -> float:
        """The log-odds of this frame, once; 0 for a hand that was not seen."""
        step, self._step = self._step, None
        return step or 0.0

    def add(self, step: float) -> None:
        """Add this frame's log-odds to the faded old ones; change a side that they speak clearly against."""
        self.log_odds = math.exp(-1 / self._config.memory_frames) * self.log_odds + step
        against = self.log_odds * (-1.0 if self.side is Side.RIGHT else 1.0)
        if against > (self._config.switch_evidence if self._decided else 0.0):
            self.side = self.side.other
        self._decided = True

    @property
    def probability(self) -> float:
        """How sure the side is, in [0, 1]; below a half while evidence against it gathers."""
        return 1.0 / (1.0 + math.exp(-self.log_odds if self.side is Side.RIGHT else self.log_odds))


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


def right_log_odds(p_right: float, elbow_right_m: float | None, config: SideConfig) -> float:
    """Log-odds that a hand seen in one frame is a right one.

    Args:
        p_right: the network's probability of it.
        elbow_right_m: how far to the right of its wearer's camera the elbow lies, None where unknown.
        config: how much each is trusted.
    """
    network = _clipped(config.network_trust * _log_odds(p_right), config.max_network_step)
    if elbow_right_m is None:
        return network
    return network + _clipped(config.elbow_step_per_m * elbow_right_m, config.max_elbow_step)


def _clipped(value: float, limit: float) -> float:
    return min(max(value, -limit), limit)


def _log_odds(probability: float) -> float:
    probability = min(max(probability, 1e-6), 1 - 1e-6)
    return math.log(probability / (1 - probability))
