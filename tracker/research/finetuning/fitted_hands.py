"""Pseudo labels as fine-tuning takes them: upright joints in space and MANO parameters, without bad ones."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from tracker.joints import WRIST, FloatArray, Side
from tracker.research.ground_truth.egoexo4d import TURN
from tracker.research.ground_truth.egoexo4d_values import Tally
from tracker.research.pseudo_labels.files import labels_path, read_labels
from tracker.research.pseudo_labels.labels import ManoTake, TakeLabels
from tracker.structs import ManoParameters


class FittedHands:
    """The labels in a folder, fitted to the prepared files' landscape keypoints; read a take at a time."""

    def __init__(self, folder: Path, tally: Tally) -> None:
        self._folder, self._tally = folder, tally
        self._take, self._rows = "", dict[tuple[int, bool], int]()
        self._labels: TakeLabels | None = None

    def find(self, take: str, frame: int, side: Side) -> tuple[FloatArray, ManoParameters | None] | None:
        """A hand's joints (21, 3) and parameters in the upright camera's axes; None without a good label.

        Parameters are None where the open hand was fitted. What is missing or bad is counted and named.

        Raises:
            UsageError: the take's file is damaged.
        """
        if take != self._take:
            self._read(take)
        row = self._rows.get((frame, side is Side.LEFT))
        if self._labels is None or row is None:
            self._tally.add("hands without a pseudo label", f"{take}, frame {frame}, {side.value} hand")
            return None
        if not self._labels.good[row]:
            self._tally.add("hands with a bad pseudo label", f"{take}, frame {frame}, {side.value} hand")
            return None
        joints_m = TURN.points_upright(self._labels.joints_m[row])
        if not isinstance(self._labels.parameters, ManoTake):
            return joints_m, None
        return joints_m, upright(self._labels.mano(row), self._labels.joints_m[row, WRIST])

    def _read(self, take: str) -> None:
        path = labels_path(self._folder, take)
        self._take, self._labels = take, read_labels(path) if path.is_file() else None
        self._rows = {}
        if self._labels is not None:
            keys = zip(self._labels.frames.tolist(), self._labels.left.tolist(), strict=True)
            self._rows = {(int(frame), bool(left)): row for row, (frame, left) in enumerate(keys)}


def upright(mano: ManoParameters, wrist_m: FloatArray) -> ManoParameters:
    """Parameters in landscape axes, in the upright camera's; ``wrist_m`` (3,) is the hand's wrist, landscape.

    The model turns by G about its own wrist w: with M the mirror of a left hand a joint is
    M (G (J - w) + w) + t. After the camera's turn T that is M ((M T M) G (J - w) + w) + t', with
    t' = T (M w + t) - M w.
    """
    flip = np.array([-1.0, 1.0, 1.0]) if mano.mirrored else np.ones(3)
    camera_turn = TURN.upright_from_landscape
    return replace(
        mano,
        global_orient=(flip[:, None] * camera_turn * flip) @ mano.global_orient,
        translation_m=camera_turn @ wrist_m - (wrist_m - mano.translation_m),
    )
