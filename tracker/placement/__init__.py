"""Place hands in the camera frame: estimates and the true lens in, hands in metres out.

Three ways, by name. ``ray`` brings joints to the rays through the points seen, and fits hands whose bones are
known as kinematic hands: what the tracker is built on. ``weak`` and ``align`` are those of publications, for
comparison: the network's own weak-perspective camera, and its joints turned and moved onto its own points
under the true lens.
"""

from collections.abc import Callable, Sequence

from tracker.cameras import Camera
from tracker.errors import PlacementError, UnknownNameError
from tracker.kinematic_fit import FitConfig
from tracker.placement.closed_form import place_hand
from tracker.placement.kinematic import SeenHand, fit_hands
from tracker.structs import HandEstimate, HandPose, ObservedHand

__all__ = ["PLACEMENTS", "Placement", "find_placement", "place_hand", "place_hands"]

PLACEMENTS = ("ray", "weak", "align")
Placement = Callable[[Sequence[HandEstimate], Sequence[ObservedHand], Camera], tuple[HandPose | None, ...]]
"""Places the hands of a frame: one pose for each, in order, or None for one that cannot be placed."""


def find_placement(name: str) -> Placement:
    """The placement of this name.

    Raises:
        UnknownNameError: there is none; the message lists those there are.
    """
    match name:
        case "ray":
            return place_hands
        case "weak":
            from tracker.placement.weak import place_weakly

            return each(place_weakly)
        case "align":
            from tracker.placement.align import place_aligned

            return each(place_aligned)
        case _:
            raise UnknownNameError(f"placement {name!r} is unknown; choose one of {', '.join(PLACEMENTS)}")


def each(place: Callable[[HandEstimate, Camera], HandPose]) -> Placement:
    """A placement that takes every hand alone, as its network read it: bones and predictions do not count."""

    def place_all(
        estimates: Sequence[HandEstimate], observed: Sequence[ObservedHand], camera: Camera
    ) -> tuple[HandPose | None, ...]:
        poses: list[HandPose | None] = []
        for estimate in estimates:
            try:
                poses.append(place(estimate, camera))
            except PlacementError:
                poses.append(None)
        return tuple(poses)

    return place_all


def place_hands(
    estimates: Sequence[HandEstimate],
    observed: Sequence[ObservedHand],
    camera: Camera,
    config: FitConfig | None = None,
) -> tuple[HandPose | None, ...]:
    """Place each estimate in the camera frame; None for a hand that cannot be placed.

    Hands whose bones are known come out as kinematic hands, others as the network read them.
    """
    poses: list[HandPose | None] = [None] * len(estimates)
    to_fit: list[tuple[int, SeenHand]] = []
    for index, (estimate, hand) in enumerate(zip(estimates, observed, strict=True)):
        try:
            if hand.shape is None:
                poses[index] = place_hand(estimate, camera, hand_scale=hand.hand_scale)
            else:
                seen = SeenHand.of(
                    estimate,
                    hand.shape,
                    hand.predicted,
                    camera,
                    predicted_over_s=hand.predicted_over_s,
                    may_recover_fingers=hand.may_recover_fingers,
                )
                to_fit.append((index, seen))
        except PlacementError:
            continue
    if to_fit:
        fitted = fit_hands([hand for _, hand in to_fit], camera, config or FitConfig())
        for (index, _), pose in zip(to_fit, fitted, strict=True):
            poses[index] = pose
    return tuple(poses)
