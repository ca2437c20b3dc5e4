"""Pose backends: what a network makes of the hands that were found.

Flows in: an upright frame and its observed hands. Flows out: one `HandEstimate` for each, in the same order.
"""

from dataclasses import replace

from tracker.errors import UnknownNameError
from tracker.pose.backend import PoseBackend, PreparesFrames, StartsEarly
from tracker.pose.ensemble import EnsembleOptions, Member, load_ensemble
from tracker.pose.hamer import HamerBackend, HamerOptions
from tracker.pose.networks import Networks
from tracker.pose.potter import PotterBackend, PotterOptions

__all__ = [
    "POSE_BACKENDS",
    "Networks",
    "PoseBackend",
    "PreparesFrames",
    "StartsEarly",
    "load_member",
    "load_pose_backend",
]

POSE_BACKENDS = ("landmarks", "hamer", "potter", "ensemble")


def load_pose_backend(
    name: str,
    *,
    hamer: HamerOptions | None = None,
    potter: PotterOptions | None = None,
    ensemble: EnsembleOptions | None = None,
    networks: Networks | None = None,
) -> PoseBackend:
    """The pose backend of this name; options are for the ones of their names, and for an ensemble's members.

    Backends that are to share weights are loaded with the same `Networks.shared`.

    Raises:
        UnknownNameError: there is none; the message lists those there are.
        TrackerError: a package or file it needs is not there.
    """
    hamer, potter = hamer or HamerOptions(), potter or PotterOptions()
    networks = networks or Networks()
    match name:
        case "landmarks":
            from tracker.pose.landmarks import LandmarksBackend

            return LandmarksBackend()
        case "hamer":
            return HamerBackend(networks.hamer(hamer), crop=hamer.crop)
        case "potter":
            return PotterBackend(networks.potter(potter), crop=potter.crop)
        case "ensemble":
            return load_ensemble(
                ensemble or EnsembleOptions(), lambda member: load_member(member, hamer, potter, networks)
            )
        case _:
            raise UnknownNameError(
                f"pose backend {name!r} is unknown; choose one of {', '.join(POSE_BACKENDS)}"
            )


def load_member(
    member: Member, hamer: HamerOptions, potter: PotterOptions, networks: Networks | None = None
) -> PoseBackend:
    """A member of an ensemble, with its own weights where it has them.

    Raises:
        UnknownNameError: there is no such backend, or it is an ensemble itself.
        TrackerError: a package or file it needs is not there.
    """
    if member.backend == "ensemble":
        raise UnknownNameError("an ensemble is no member of an ensemble; name its members")
    if member.checkpoint is not None:
        hamer = replace(hamer, checkpoint=member.checkpoint)
        potter = replace(potter, checkpoint=member.checkpoint)
    return load_pose_backend(member.backend, hamer=hamer, potter=potter, networks=networks)
