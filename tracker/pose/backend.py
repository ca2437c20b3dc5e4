"""What pose backends are: values in and out, and what some offer beside that.

Every backend takes upright pictures and answers in the axes of their camera. Pictures that lie on their side
are turned by whoever has them, together with their camera and boxes; a network that wants them so turns its
crops.
"""

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from tracker.structs import ExpectedRegion, Frame, HandEstimate, ObservedHand


class PoseBackend(Protocol):
    """Estimates the pose of observed hands."""

    name: str

    def estimate(self, frame: Frame, observed: Sequence[ObservedHand]) -> tuple[HandEstimate, ...]:
        """One estimate for each hand, in order, each of the side that was observed."""
        ...


@runtime_checkable
class StartsEarly(Protocol):
    """A backend that can begin with hands that are tracked already, before detection confirms them."""

    def start(self, frame: Frame, regions: Sequence[ExpectedRegion]) -> None:
        """Begin to read hands where tracks expect them; ``estimate`` follows for the same frame."""
        ...


@runtime_checkable
class PreparesFrames(Protocol):
    """A backend that can do part of its work before a frame's turn, in the thread that reads the source."""

    def prepare(self, frame: Frame) -> None:
        """Bring the frame's picture to where it will be read; from any thread, in the order of frames."""
        ...
