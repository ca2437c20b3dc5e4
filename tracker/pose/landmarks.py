"""The CPU default: the light network's own points, which detection has read already."""

from collections.abc import Sequence
from dataclasses import replace

from tracker.structs import Frame, HandEstimate, ObservedHand


class LandmarksBackend:
    """Passes the light network's estimates on, with the side its track decided."""

    name = "landmarks"

    def estimate(self, frame: Frame, observed: Sequence[ObservedHand]) -> tuple[HandEstimate, ...]:
        """One estimate for each hand, in order, each of the side that was observed."""
        return tuple(replace(hand.detection.estimate, side=hand.side) for hand in observed)
