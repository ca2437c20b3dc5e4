"""What one detection says by itself of the hand it may be: its side, and whether it can be there at all."""

from dataclasses import dataclass
from typing import Literal

from tracker.cameras import Camera
from tracker.structs import HandDetection
from tracker.temporal.forearm import forearm_of
from tracker.temporal.sides import SideConfig, right_log_odds

View = Literal["first-person", "any"]


@dataclass(frozen=True)
class SightingConfig:
    """What is believed of a detection."""

    view: View = "first-person"
    """Whose hands are seen: first-person, those of whoever wears or holds the camera; any, also those of
    people in front of it (a webcam). In first-person views the forearm tells a hand's side, and hands from
    other things."""
    certain_presence: float = 0.97
    """A detection at least this sure is a hand wherever its forearm seems to be."""


@dataclass(frozen=True, eq=False)
class Sighting:
    """A detection and what it says by itself."""

    detection: HandDetection
    right_log_odds: float
    """Log-odds that it is a right hand."""
    credible: bool
    """Whether a hand can be there: in first-person views, whether it can be the wearer's."""


def sighting_of(
    detection: HandDetection, camera: Camera, config: SightingConfig, sides: SideConfig
) -> Sighting:
    """What ``detection`` says, seen through ``camera``."""
    forearm = forearm_of(detection.estimate, camera) if config.view == "first-person" else None
    elbow_right_m = None if forearm is None else forearm.elbow_right_m
    return Sighting(
        detection,
        right_log_odds(detection.p_right, elbow_right_m, sides),
        credible=forearm is None or forearm.is_a_wearers or detection.presence >= config.certain_presence,
    )
