"""Pose backends: what a network makes of the hands that were found.

Flows in: a frame and its observed hands. Flows out: one `HandEstimate` for each, in the same order.
"""

from collections.abc import Sequence
from typing import Protocol

from tracker.errors import UnknownNameError
from tracker.structs import Frame, HandEstimate, ObservedHand

POSE_BACKENDS = ("landmarks",)


class PoseBackend(Protocol):
    """Estimates the pose of observed hands."""

    name: str

    def estimate(self, frame: Frame, observed: Sequence[ObservedHand]) -> tuple[HandEstimate, ...]:
        """One estimate for each hand, in order, each of the side that was observed."""
        ...


def load_pose_backend(name: str) -> PoseBackend:
    """The pose backend of this name.

    Raises:
        UnknownNameError: there is none; the message lists those there are.
    """
    match name:
        case "landmarks":
            from tracker.pose.landmarks import LandmarksBackend

            return LandmarksBackend()
        case _:
            raise UnknownNameError(
                f"pose backend {name!r} is unknown; choose one of {', '.join(POSE_BACKENDS)}"
            )
