"""The run behind the command ``calibrate-hand``: frames in, a meter that has seen the hands in them out."""

from collections.abc import Callable, Iterable, Sequence

from tracker.detect import DetectorConfig
from tracker.errors import UsageError
from tracker.hand_measurement import HandMeter
from tracker.hand_store import MeasuredHand
from tracker.pipeline import HandTracker, TrackerConfig
from tracker.pose.landmarks import LandmarksBackend
from tracker.structs import Frame, HandEstimate, ObservedHand
from tracker.temporal.sides import SideConfig
from tracker.temporal.sighting import SightingConfig
from tracker.temporal.tracks import TracksConfig

GOOD_FRAMES = 60
"""Good frames after which a live run has seen enough."""
LIVE_LIMIT_S = 60.0
DISTANCE_M = (0.15, 1.5)
"""Nearer, nobody can measure a distance well enough; farther, the hand is too small in the picture."""
_STATUS_S = 2.0


class _Overheard(LandmarksBackend):
    """Keeps what the light network said of the last frame, before tracks smooth it."""

    def __init__(self) -> None:
        self.estimates: tuple[HandEstimate, ...] = ()

    def estimate(self, frame: Frame, observed: Sequence[ObservedHand]) -> tuple[HandEstimate, ...]:
        self.estimates = super().estimate(frame, observed)
        return self.estimates


def check_distance(distance_m: float | None, *, camera_is_known: bool) -> None:
    """Refuse a distance that cannot give a size.

    Raises:
        UsageError: it is out of range, or the camera's intrinsics are a guess.
    """
    if distance_m is None:
        return
    low, high = DISTANCE_M
    if not low <= distance_m <= high:
        raise UsageError(f"the distance is {distance_m:g} m; give {low:g} to {high:g}")
    if not camera_is_known:
        raise UsageError("a distance needs the camera's intrinsics; give --camera FILE or --fov DEGREES too")


def watch_hands(frames: Iterable[Frame], *, live: bool, say: Callable[[str], None]) -> HandMeter:
    """Track hands through ``frames`` and gather those held up flat.

    A live source is left after ``GOOD_FRAMES`` good ones or ``LIVE_LIMIT_S``; a file is read whole.
    """
    meter, backend = HandMeter(), _Overheard()
    config = TrackerConfig(
        detector=DetectorConfig(max_hands=3),  # a third hand is somebody else's
        tracks=TracksConfig(sighting=SightingConfig(view="any"), sides=SideConfig(one_wearer=False)),
    )
    began_s: float | None = None
    said_s = 0.0
    with HandTracker(config, backend=backend) as tracker:
        for frame in frames:
            backend.estimates = ()
            tracker.process(frame)
            advice = meter.see(backend.estimates, frame.camera)
            if not live:
                continue
            if began_s is None:
                began_s = said_s = frame.capture_time_s
            if len(meter.flat) >= GOOD_FRAMES or frame.capture_time_s - began_s > LIVE_LIMIT_S:
                break
            if frame.capture_time_s - said_s > _STATUS_S:
                said_s = frame.capture_time_s
                say(f"{len(meter.flat)} of {GOOD_FRAMES} good frames: {advice or 'hold still'}")
    return meter


def describe(hand: MeasuredHand) -> str:
    """What was measured and how sure it is, for a person to read."""
    shape = hand.shape
    lines = [
        f"palm width {1e3 * shape.palm_width_m:.1f} mm, between the index and little fingers' knuckles"
        + {
            "palm width": " (given)",
            "distance": f" (from the distance, +-{100 * hand.size_spread:.1f} % from frame to frame)",
            "network": f" (the network's guess, +-{100 * hand.size_spread:.1f} % from frame to frame)",
        }[hand.size_from]
    ]
    for name, bones_m in zip(
        ("thumb", "index", "middle", "ring", "little"), shape.finger_bones_m, strict=True
    ):
        bones = " + ".join(f"{1e3 * bone_m:.1f}" for bone_m in bones_m)
        lines.append(f"{name:>6} {1e3 * bones_m.sum():6.1f} mm = {bones}")
    if hand.frames:
        lines.append(
            f"proportions: {hand.frames} views of a flat hand, +-{100 * hand.spread:.1f} % between views"
        )
    else:
        lines.append("proportions of an average hand")
    if hand.size_from == "network":
        lines.append(
            "the size is a guess, as a camera alone gives none: add --palm-width-mm, or --distance-m with a "
            "calibrated camera"
        )
    return "\n".join(lines)
