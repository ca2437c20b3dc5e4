"""Which squares of the picture the palm network looks at in this frame.

Letterboxing a wide picture to 192 samples loses a fifth of first-person hands; squares of the picture's
shorter side find nearly all, and smaller ones along the lower edge, where a wearer's hands come from, those
that are only partly in view. The budget, in squares a frame: everywhere at once (the picture and its large
squares) while no hand is known, at most every fourth frame; one while a hand is missing; none when as many
as there can be are live.
"""

from collections.abc import Sequence

import numpy as np

from tracker.cameras import Camera
from tracker.detect.palm import letterbox_square
from tracker.structs import ExpectedRegion, HandBox

MAX_SQUARES = 6
"""Squares along the longer side; of an extremely long picture they leave parts unseen."""
MAX_FULL_PASS_GAP_FRAMES = 3
"""Frames without any hand after which every large square is looked at again at once; also the fewest
between two such looks. The last track's end asks for one, too: a cut in the video may have ended it."""
EDGE_SIZE = 0.6
"""Side of the squares along the lower edge, as a share of the picture's shorter side."""
LOST_SIZE = 2.5
"""Side of a square around a lost hand, in sides of its box."""
LOST_MEMORY_FRAMES = 30
"""Frames for which the place of a lost hand is looked at again and again."""


def squares_of(camera: Camera) -> list[HandBox]:
    """The whole picture letterboxed, then squares of its shorter side that cover it with overlap."""
    width, height = camera.width, camera.height
    side, extent = float(min(width, height)), float(max(width, height))
    count = min(int(np.ceil((extent - 1e-6) / side)), MAX_SQUARES)
    if count == 1:
        return [letterbox_square(camera)]
    starts = np.linspace(0.0, extent - side, count)
    along = [
        np.array([start + side / 2, side / 2] if width >= height else [side / 2, start + side / 2])
        for start in starts
    ]
    return [letterbox_square(camera), *(HandBox(center, side, 0.0) for center in along)]


def edge_squares(camera: Camera) -> list[HandBox]:
    """Smaller squares along the lower edge, a third or more of each shared with its neighbour."""
    side = EDGE_SIZE * min(camera.width, camera.height)
    count = min(int(np.ceil(1.5 * (camera.width - side) / side)) + 1, MAX_SQUARES)
    lefts = np.linspace(0.0, camera.width - side, count)
    return [HandBox(np.array([left + side / 2, camera.height - side / 2]), side, 0.0) for left in lefts]


class PalmSchedule:
    """Chooses the squares of each frame; depends on nothing but the frames it was asked for."""

    def __init__(self, max_hands: int) -> None:
        self._max_hands = max_hands
        self._camera: Camera | None = None
        self._begin()

    def _begin(self) -> None:
        self._turn = 0
        self._frames_without_hand = self._frames_since_pass = MAX_FULL_PASS_GAP_FRAMES
        self._expected: dict[int, HandBox] = {}
        self._lost: HandBox | None = None
        self._lost_frames = 0

    def squares(self, camera: Camera, regions: Sequence[ExpectedRegion]) -> list[HandBox]:
        """Squares to look at now, none when as many hands are live as there can be."""
        if camera != self._camera:
            self._begin()
            self._camera = camera
            letterbox, *large = squares_of(camera)
            self._large = large or [letterbox]
            self._small = [letterbox, *edge_squares(camera)] if large else edge_squares(camera)
        all_ended = bool(self._expected) and not regions
        self._remember_lost(regions)
        live = sum(region.unseen_s == 0 for region in regions)
        self._frames_without_hand = 0 if live else self._frames_without_hand + 1
        self._frames_since_pass += 1
        if live >= self._max_hands:
            return []
        due = all_ended or self._frames_without_hand > MAX_FULL_PASS_GAP_FRAMES
        if not live and due and self._frames_since_pass > MAX_FULL_PASS_GAP_FRAMES:
            self._frames_since_pass = self._frames_without_hand = 0
            return squares_of(camera)
        self._turn += 1
        round_index, small = divmod(self._turn, 2)
        if small and self._lost is not None:
            return [self._lost]
        places = self._small if small else self._large
        return [places[round_index % len(places)]]

    def _remember_lost(self, regions: Sequence[ExpectedRegion]) -> None:
        """Keep the place of the hand that was lost last: its track coasts, or ended a moment ago."""
        expected = {region.track_id: region.box for region in regions}
        coasting = [region.box for region in regions if region.unseen_s > 0]
        ended = [box for track_id, box in self._expected.items() if track_id not in expected]
        self._expected = expected
        self._lost_frames += 1
        for box in (*ended, *coasting):
            self._lost = HandBox(box.center_px, LOST_SIZE * box.size_px, 0.0)
            self._lost_frames = 0
        if self._lost_frames > LOST_MEMORY_FRAMES:
            self._lost = None
