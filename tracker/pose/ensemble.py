"""Several backends as one: the mean of their hands, all brought to the first one's axes and size.

Of each hand the other members' joints are aligned to the first member's by the similarity (rotation, scale,
shift; no mirror) that brings all 21 closest, and the weighted mean of the coordinates is taken: as published
for EgoExo4D, where the first is POTTER, whose axes are better than HaMeR's unplaced ones.

Points in the picture are those of the first member that reads its own, not the light network's (POTTER has
none). MANO's parameters are kept from the first member that has them, turned as its joints were: the mesh is
that member's, and follows the mean's place and axes but not its fingers.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from tracker.errors import UsageError
from tracker.joints import WRIST, FloatArray
from tracker.pose.backend import PoseBackend, PreparesFrames, StartsEarly
from tracker.rotations import similarity
from tracker.structs import ExpectedRegion, Frame, HandEstimate, ObservedHand


@dataclass(frozen=True)
class Member:
    """A backend that takes part."""

    backend: str
    """Its name."""
    checkpoint: Path | None = None
    """Other weights for it than usual, such as fine-tuned ones."""
    weight: float = 1.0
    """Of its joints in the mean."""


@dataclass(frozen=True)
class EnsembleOptions:
    """Who takes part; the first one's axes and size are kept."""

    members: tuple[Member, ...] = (Member("potter"), Member("hamer"))


class EnsembleBackend:
    """Reads every hand with all members and takes the mean.

    Raises:
        UsageError: there is no member, or the weights are not those of a mean.
    """

    name = "ensemble"

    def __init__(self, members: Sequence[PoseBackend], weights: Sequence[float]) -> None:
        if not members:
            raise UsageError("an ensemble needs at least one member")
        if not (all(math.isfinite(weight) and weight >= 0 for weight in weights) and sum(weights) > 0):
            found = ", ".join(f"{weight:g}" for weight in weights)
            raise UsageError(f"the members' weights are {found}; they may not be negative, nor all zero")
        self._members = tuple(members)
        self._shares = np.array(weights, dtype=np.float64) / sum(weights)

    def prepare(self, frame: Frame) -> None:
        """Passed on to members that offer it."""
        for member in self._members:
            if isinstance(member, PreparesFrames):
                member.prepare(frame)

    def start(self, frame: Frame, regions: Sequence[ExpectedRegion]) -> None:
        """Passed on to members that offer it."""
        for member in self._members:
            if isinstance(member, StartsEarly):
                member.start(frame, regions)

    def estimate(self, frame: Frame, observed: Sequence[ObservedHand]) -> tuple[HandEstimate, ...]:
        """One estimate for each hand, in order, each of the side that was observed."""
        by_member = [member.estimate(frame, observed) for member in self._members]
        return tuple(
            mean_estimate(estimates, self._shares, hand)
            for hand, estimates in zip(observed, zip(*by_member, strict=True), strict=True)
        )


def mean_estimate(estimates: Sequence[HandEstimate], shares: FloatArray, hand: ObservedHand) -> HandEstimate:
    """One hand as its members (M) have it together, with their shares (M,), which add up to 1."""
    if len(estimates) == 1:
        return estimates[0]
    first_m = estimates[0].joints_from_wrist_m
    mean_m, mano = np.zeros_like(first_m), None
    for estimate, share in zip(estimates, shares, strict=True):
        own_m = estimate.joints_from_wrist_m
        scale, turn, shift_m = similarity(own_m, first_m)
        mean_m += share * (scale * own_m @ turn.T + shift_m)
        if mano is None and estimate.mano is not None:
            mano = estimate.mano.turned(turn, own_m.mean(axis=0))
    return replace(
        with_own_points(estimates, hand),
        joints_from_wrist_m=mean_m - mean_m[WRIST],
        mano=mano,
        weak_joints_m=None,
        knows_size=estimates[0].knows_size,
    )


def with_own_points(estimates: Sequence[HandEstimate], hand: ObservedHand) -> HandEstimate:
    """The first estimate whose points are not those that were handed to its backend; else the first."""
    handed_px = hand.detection.estimate.joints_px
    return next((estimate for estimate in estimates if estimate.joints_px is not handed_px), estimates[0])


def load_ensemble(options: EnsembleOptions, load: Callable[[Member], PoseBackend]) -> EnsembleBackend:
    """The backend with its members loaded by ``load``.

    Raises:
        TrackerError: a member is unknown or cannot be loaded, or the weights are not those of a mean.
    """
    weights = [member.weight for member in options.members]
    return EnsembleBackend([load(member) for member in options.members], weights)
