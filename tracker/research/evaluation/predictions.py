"""What a tracker said of a clip, as arrays: a row for each frame, a column for each hand in it."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tracker.errors import UsageError
from tracker.joints import NUM_JOINTS, FloatArray
from tracker.research.ground_truth.labelled import SIDES, BoolArray
from tracker.structs import TrackedFrame, TrackedHand

IntArray = npt.NDArray[np.int64]
NOBODY = -1
"""Stands for "no hand" where there is a number of a track, a side or a column."""


@dataclass(frozen=True, eq=False)
class Predictions:
    """The hands said to be in each of T frames, at most N in one; NaN or ``NOBODY`` where there is none."""

    track_id: IntArray
    """(T, N)"""
    side: IntArray
    """(T, N) index into ``SIDES``."""
    joints_px: FloatArray
    """(T, N, 21, 2)"""
    joints_in_camera_m: FloatArray
    """(T, N, 21, 3)"""

    @property
    def present(self) -> BoolArray:
        """(T, N) where there is a hand."""
        return np.asarray(self.side != NOBODY)


def empty_predictions(frames: int, hands: int) -> Predictions:
    """No hand anywhere, room for ``hands`` in each frame."""
    return Predictions(
        track_id=np.full((frames, hands), NOBODY),
        side=np.full((frames, hands), NOBODY),
        joints_px=np.full((frames, hands, NUM_JOINTS, 2), np.nan),
        joints_in_camera_m=np.full((frames, hands, NUM_JOINTS, 3), np.nan),
    )


def collect(hands_by_frame: Sequence[Sequence[TrackedHand]], *, unfiltered: bool = False) -> Predictions:
    """The hands of each frame in arrays.

    Args:
        hands_by_frame: T frames' hands, as `HandTracker.process` gives them.
        unfiltered: the joints that the network saw in that very frame, instead of the published ones; hands
            that were not seen are left out, and nothing is known of their place in space.
    """
    chosen = [[hand for hand in hands if not unfiltered or hand.unseen_s == 0] for hands in hands_by_frame]
    predictions = empty_predictions(len(chosen), max((len(hands) for hands in chosen), default=0))
    for row, hands in enumerate(chosen):
        for column, hand in enumerate(hands):
            predictions.track_id[row, column] = hand.track_id
            predictions.side[row, column] = SIDES.index(hand.pose.side)
            if unfiltered:
                predictions.joints_px[row, column] = hand.pose.observed_px
            else:
                predictions.joints_px[row, column] = hand.joints_px
                predictions.joints_in_camera_m[row, column] = hand.pose.joints_in_camera_m
    return predictions


def by_frame(tracked: Iterable[TrackedFrame], frames: int, where: str) -> list[Sequence[TrackedHand]]:
    """The hands of frames 0 to ``frames``, none where a frame was left out.

    Raises:
        UsageError: there is a frame with a higher number.
    """
    hands: list[Sequence[TrackedHand]] = [()] * frames
    for frame in tracked:
        if not 0 <= frame.frame_index < frames:
            raise UsageError(
                f"{where} has a frame {frame.frame_index}; the true hands are those of {frames} frames"
            )
        hands[frame.frame_index] = frame.hands
    return hands
