"""Pose backends: what a network makes of the hands that were found.

Flows in: a frame and its observed hands. Flows out: one `HandEstimate` for each, in the same order.
"""

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from tracker.errors import UnknownNameError
from tracker.pose.hamer import HamerOptions, load_hamer_backend
from tracker.structs import ExpectedRegion, Frame, HandEstimate, ObservedHand

POSE_BACKENDS = ("landmarks", "hamer")


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


def load_pose_backend(name: str, *, hamer: HamerOptions | None = None) -> PoseBackend:
    """The pose backend of this name; ``hamer`` is for the one of that name.

    Raises:
        UnknownNameError: there is none; the message lists those there are.
        TrackerError: a package or file it needs is not there.
    """
    match name:
        case "landmarks":
            from tracker.pose.landmarks import LandmarksBackend

            return LandmarksBackend()
        case "hamer":
            return load_hamer_backend(hamer or HamerOptions())
        case _:
            raise UnknownNameError(
                f"pose backend {name!r} is unknown; choose one of {', '.join(POSE_BACKENDS)}"
            )
