"""Which squares of the picture the palm network looks at in this frame.

Letterboxing a wide picture to 192 samples loses a fifth of first-person hands; squares of the picture's
height find nearly all. A full pass costs several networks' time, so it happens only when no hand is known;
while a hand is missing one square a frame is looked at in turn, and none when all are live.
"""

import numpy as np

from tracker.cameras import Camera
from tracker.detect.palm import letterbox_square
from tracker.structs import HandBox

MAX_SQUARES = 6
"""Squares along the longer side; of an extremely long picture they leave parts unseen."""
MAX_FULL_PASS_GAP_FRAMES = 3
"""Frames without any hand after which every square is looked at again at once."""


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


class PalmSchedule:
    """Chooses the squares of each frame; depends on nothing but the frames it was asked for."""

    def __init__(self, max_hands: int) -> None:
        self._max_hands = max_hands
        self._turn = 0
        self._empty_frames = MAX_FULL_PASS_GAP_FRAMES

    def squares(self, camera: Camera, live_hands: int) -> list[HandBox]:
        """Squares to look at now, none when ``live_hands`` are all there can be."""
        self._empty_frames = 0 if live_hands else self._empty_frames + 1
        if live_hands >= self._max_hands:
            return []
        squares = squares_of(camera)
        if self._empty_frames > MAX_FULL_PASS_GAP_FRAMES:
            self._empty_frames = 0
            return squares
        self._turn += 1
        return [squares[self._turn % len(squares)]]
