"""Keypoints to fit: EgoExo4D's prepared annotations, or lines of JSON from anywhere.

A line is one hand: ``{"take": "...", "frame": 12, "side": "left", "joints_m": [[x, y, z] or null, ... 21],
"weights": [... 21]}``, metres in any right-handed axes; NaN is an unknown joint too. ``weights`` may be left
out; a joint counts in proportion, as one that more cameras have seen.
"""

import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from tracker.errors import UsageError
from tracker.joints import NUM_JOINTS, FloatArray, Side
from tracker.research.ground_truth.egoexo4d_filters import MIN_VIEWS
from tracker.research.ground_truth.egoexo4d_prepared import read_annotations
from tracker.research.ground_truth.egoexo4d_raw import raw_hands
from tracker.research.ground_truth.egoexo4d_release import Kind, annotation_paths, read_takes
from tracker.research.ground_truth.egoexo4d_values import LARGEST_HAND_M, AnnotatedFrame, Tally, spread_m
from tracker.research.ground_truth.files import read_json
from tracker.research.pseudo_labels.problem import TakeKeypoints

LEAST_TO_FIT = 6
"""A hand with fewer keypoints is left out: too little to place it by."""
FARTHEST_M = 1e4
MOST_VIEWS = 12
"""More cameras than this make a joint no surer."""
_TAKE = re.compile(r"\w[\w.-]{0,99}")
"""What may name a file."""

Hand = tuple[int, Side, FloatArray, FloatArray]
"""Frame, side, joints (21, 3) and weights (21,)."""


def read_keypoints(path: Path, tally: Tally) -> list[TakeKeypoints]:
    """The keypoints of a prepared annotation file (``.json``) or of lines of JSON (``.jsonl``), take by take.

    Args:
        path: the file.
        tally: gets lines and hands that are left out.

    Raises:
        UsageError: the file cannot be read, or nothing in it can be fitted.
    """
    if path.suffix == ".jsonl":
        takes = _read_lines(path, tally)
    else:
        takes = {}
        for frame in read_annotations(path):
            if not _TAKE.fullmatch(frame.take_uid):
                tally.add("frames of takes whose uid cannot name a file left out", frame.where)
                continue
            if not frame.hands:
                tally.add("frames without a hand", frame.where)
            takes.setdefault(frame.take_uid, []).extend(_annotated(frame))
    found = [keypoints for take, hands in takes.items() if (keypoints := _gathered(take, hands, tally))]
    if not found:
        raise UsageError("; ".join([f"{path} holds no hand to fit", *tally.lines()]))
    return found


def _annotated(frame: AnnotatedFrame) -> Iterable[Hand]:
    """All joints that are known, also a wrist that is not scored."""
    for side, hand in frame.hands.items():
        known = np.isfinite(hand.joints_in_camera_m).all(axis=-1)
        yield frame.frame_number, side, hand.joints_in_camera_m, np.where(known, 1.0, 0.0)


def _gathered(take: str, hands: list[Hand], tally: Tally) -> TakeKeypoints | None:
    kept = []
    for hand in sorted(hands, key=lambda hand: (hand[0], hand[1].value)):
        frame, side, joints_m, weights = hand
        if (np.isfinite(joints_m).all(axis=-1) & (weights > 0)).sum() >= LEAST_TO_FIT:
            kept.append(hand)
        else:
            where = f"{take}, frame {frame}, {side.value}"
            tally.add(f"hands with fewer than {LEAST_TO_FIT} keypoints left out", where)
    if not kept:
        return None
    frames, sides, joints_m_of, weights_of = zip(*kept, strict=True)
    return TakeKeypoints(
        take,
        np.array(frames, dtype=np.int64),
        np.array([side is Side.LEFT for side in sides]),
        np.stack(joints_m_of),
        np.stack(weights_of),
    )


def _read_lines(path: Path, tally: Tally) -> dict[str, list[Hand]]:
    takes: dict[str, list[Hand]] = {}
    seen: set[tuple[str, int, Side]] = set()
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"cannot read {path}: {error}") from error
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            take, hand = _hand_of(line)
            if (take, *hand[:2]) in seen:
                raise ValueError("the same hand a second time")
        except (ValueError, RecursionError) as error:
            tally.add("lines left out", f"line {number}: {error}")
            continue
        seen.add((take, *hand[:2]))
        takes.setdefault(take, []).append(hand)
    return takes


def _hand_of(line: str) -> tuple[str, Hand]:
    try:
        entry = json.loads(line)
    except ValueError as error:
        raise ValueError("no JSON") from error
    if not isinstance(entry, Mapping):
        raise ValueError("no object")
    take, frame, side = entry.get("take"), entry.get("frame"), entry.get("side")
    if not isinstance(take, str) or not _TAKE.fullmatch(take):
        raise ValueError(f"take is {take!r:.60}, want letters, digits, _ - and . to name a file by")
    if not isinstance(frame, int) or isinstance(frame, bool) or abs(frame) >= 2**53:
        raise ValueError(f"frame is {frame!r:.60}, want a whole number")
    if side not in ("left", "right"):
        raise ValueError(f"side is {side!r:.60}, want left or right")
    unknown = [float("nan")] * 3
    listed = entry.get("joints_m")
    points = [unknown if joint is None else joint for joint in listed] if isinstance(listed, list) else None
    joints_m = _numbers(points, (NUM_JOINTS, 3), "joints_m")
    if (np.abs(joints_m) > FARTHEST_M).any():  # infinity included
        raise ValueError(f"a joint lies more than {FARTHEST_M:g} m off")
    if spread_m(joints_m) > LARGEST_HAND_M:
        raise ValueError("a hand larger than half a metre; millimetres?")
    weights = _numbers(entry.get("weights", [1.0] * NUM_JOINTS), (NUM_JOINTS,), "weights")
    if not (np.isfinite(weights) & (weights >= 0) & (weights <= FARTHEST_M)).all():
        raise ValueError(f"weights are to be 0 to {FARTHEST_M:g}")
    return take, (frame, Side(side), joints_m, weights)


def _numbers(values: Any, shape: tuple[int, ...], name: str) -> FloatArray:
    try:
        array = np.array(values, dtype=np.float64)
    except (TypeError, ValueError, OverflowError) as error:
        raise ValueError(f"{name} is no array of numbers") from error
    if array.shape != shape:
        raise ValueError(f"{name} has shape {array.shape}, want {shape}")
    return array


def weighted_by_views(
    takes: list[TakeKeypoints], release: Path, split: str, kind: Kind, tally: Tally
) -> list[TakeKeypoints]:
    """The same keypoints, each counting as many times as cameras saw it, over the `MIN_VIEWS` it needs.

    Raises:
        UsageError: the release has no such annotations.
    """
    paths, cameras = annotation_paths(release, split, kind), read_takes(release)
    weighted = []
    for take in takes:
        aria = cameras[take.take].aria if take.take in cameras else None
        annotation = read_json(paths[take.take]) if take.take in paths else None
        if aria is None or not isinstance(annotation, Mapping):
            tally.add("takes without numbers of views", take.take)
            weighted.append(take)
            continue
        weights = take.weights.copy()
        for row, (frame, left) in enumerate(zip(take.frames.tolist(), take.left.tolist(), strict=True)):
            hands = raw_hands(annotation.get(str(frame)), aria)
            views = hands[Side.LEFT if left else Side.RIGHT].views if hands else np.full(NUM_JOINTS, np.nan)
            weights[row] *= np.where(np.isfinite(views), np.clip(views, 1, MOST_VIEWS), MIN_VIEWS) / MIN_VIEWS
        weighted.append(TakeKeypoints(take.take, take.frames, take.left, take.joints_m, weights))
    return weighted
