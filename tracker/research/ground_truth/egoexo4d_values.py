"""EgoExo4D's hands as values: a hand, an annotated frame, the boxes that the challenge gives, a tally.

All in the landscape picture and its camera's axes; `quarter_turn` turns them upright.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from tracker.joints import NUM_JOINTS, FloatArray, Side
from tracker.research.ground_truth.labelled import SIDES, BoolArray
from tracker.research.ground_truth.quarter_turn import QuarterTurn

SIZE_PX = 512
FOCAL_PX = 150.0
"""Every prepared picture is square and an ideal pinhole of this focal length about its middle."""
CENTRE_TOLERANCE_PX = 30.0
"""A principal point farther from the middle belongs to a picture of another size."""
FRAME_RATE_HZ = 30.0
"""Of the takes; frame numbers count at this rate."""
ANNOTATED_RATE_HZ = 10.0
"""Most annotated frames are every third."""
JOINT_KEYS = (
    "wrist",
    *(f"{finger}_{k}" for finger in ("thumb", "index", "middle", "ring", "pinky") for k in range(1, 5)),
)
"""The release's names of our 21 joints, in our order, after ``right_`` or ``left_``."""
SIDES_IN_FILES = (Side.RIGHT, Side.LEFT)
"""The order in which the public files list hands."""
MOST_NAMED = 8
LARGEST_HAND_M = 0.5
"""From the wrist to any joint; nobody's hand is near it, and one in millimetres far beyond."""


@dataclass(frozen=True, eq=False)
class AnnotatedHand:
    """One annotated hand of a prepared file; of the test set only its box is known."""

    box_px: FloatArray
    """(4,) left, upper, right and lower edge."""
    joints_px: FloatArray
    """(21, 2) as people marked them; NaN where not marked or not visible."""
    joints_in_camera_m: FloatArray
    """(21, 3); NaN where not valid, but for the wrist, which is always there to refer to."""
    valid: BoolArray
    """(21,) the joints that the challenge scores; none where only the box is known."""


def hand_of_box(box_px: FloatArray) -> AnnotatedHand:
    """A hand of which only the box is known."""
    return AnnotatedHand(
        box_px,
        np.full((NUM_JOINTS, 2), np.nan),
        np.full((NUM_JOINTS, 3), np.nan),
        np.zeros(NUM_JOINTS, dtype=bool),
    )


@dataclass(frozen=True, eq=False)
class AnnotatedFrame:
    """One annotated frame: which it is, and its hands."""

    take_uid: str
    take_name: str
    frame_number: int
    """In the take's video at 30/s."""
    hands: Mapping[Side, AnnotatedHand]

    @property
    def key(self) -> str:
        """The frame's key in public files."""
        return str(self.frame_number)

    @property
    def where(self) -> str:
        """For messages."""
        return f"{self.take_uid}, frame {self.frame_number}"

    def boxes_px(self) -> FloatArray:
        """(2, 4) left hand first; NaN for a hand that is not there."""
        absent = np.full(4, np.nan)
        return np.stack([self.hands[side].box_px if side in self.hands else absent for side in SIDES])


def spread_m(joints_m: FloatArray) -> float:
    """How far the known joints (21, 3) of a hand lie from their middle, in the median; 0 where none is known.

    Single joints far off change it little: what is above `LARGEST_HAND_M` is in other units.
    """
    known_m = joints_m[np.isfinite(joints_m).all(axis=-1)]
    if not len(known_m):
        return 0.0
    return float(np.median(np.linalg.norm(known_m - np.median(known_m, axis=0), axis=-1)))


@dataclass(frozen=True, eq=False)
class GivenHands:
    """The hands of a frame as the challenge gives them: their sides and boxes, nothing else."""

    boxes_px: FloatArray
    """(2, 4) left hand first: left, upper, right, lower edge in the frame's pixels; NaN where no hand is."""

    @property
    def sides(self) -> tuple[Side, ...]:
        """The hands that are there."""
        return tuple(side for side, box in zip(SIDES, self.boxes_px, strict=True) if np.isfinite(box).all())

    def box_px(self, side: Side) -> FloatArray:
        """(4,) of one hand."""
        box: FloatArray = self.boxes_px[SIDES.index(side)]
        return box

    def upright(self, turn: QuarterTurn) -> "GivenHands":
        """The same boxes in the upright picture."""
        return GivenHands(turn.boxes_upright(self.boxes_px))


@dataclass
class Tally:
    """What was left out, by kind, with the first places by name: nothing goes missing silently."""

    counts: Counter[str] = field(default_factory=Counter)
    places: dict[str, list[str]] = field(default_factory=dict)

    def add(self, kind: str, where: str = "", count: int = 1) -> None:
        """Count ``count`` more of a kind; the first `MOST_NAMED` places of it are remembered."""
        if not count:
            return
        self.counts[kind] += count
        named = self.places.setdefault(kind, [])
        if where and len(named) < MOST_NAMED:
            named.append(where)

    def lines(self) -> list[str]:
        """A line for each kind, in the order they first came."""
        return [_line(kind, self.counts[kind], named) for kind, named in self.places.items()]


def _line(kind: str, count: int, named: list[str]) -> str:
    more = count - len(named)
    listed = "; ".join(named) + (f"; and {more} more" if more > 0 and named else "")
    return f"{kind}: {count}" + (f" ({listed})" if named else "")
