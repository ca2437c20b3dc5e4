"""Submissions to EgoExo4D's challenge: written, read, and judged as the public evaluator would.

``{take_uid: {frame: {"left_hand_3d": 21 x 3 or [], "right_hand_3d": ...}}}``, metres in the landscape
camera's axes, frames as text. The evaluator wants every hand that has a box and does not look at others.
"""

import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tracker.errors import UsageError
from tracker.joints import NUM_JOINTS, WRIST, FloatArray
from tracker.research.evaluation.egoexo4d_metric import HandKey, required_hands
from tracker.research.ground_truth.egoexo4d_values import (
    LARGEST_HAND_M,
    SIDES_IN_FILES,
    AnnotatedFrame,
    spread_m,
)
from tracker.research.ground_truth.files import read_json
from tracker.whole_file import whole_file

SMALLEST_HAND_M = 1e-4
"""Joints closer together than this are one point, which no similarity aligns."""
LARGEST_OFFSET_M = 0.25
"""Farther from zero the wrist of a hand that is relative to some point of its own never is."""
NEAREST_M = 1e-3
"""Less far ahead of the camera than this nothing is seen."""
MOST_LINES = 20
Say = Callable[[str], None]


@dataclass(frozen=True)
class Complaint:
    """One thing that is wrong with a submission."""

    kind: str
    """The same words for all of its kind."""
    where: str
    what: str
    hands: int = 1
    """Required hands that it concerns."""

    def __str__(self) -> str:
        return f"{self.where}: {self.what}"


def write_submission(
    path: Path,
    frames: Sequence[AnnotatedFrame],
    hands: Mapping[HandKey, FloatArray],
    *,
    wrist_relative: bool = True,
) -> None:
    """Write hands (21, 3), metres in the landscape camera's frame, for every frame that asks for one.

    Args:
        path: replaced if it is there, wholly or not at all.
        frames: the test boxes.
        hands: one for every box.
        wrist_relative: less their own wrist, as the leaderboard takes them.

    Raises:
        UsageError: a hand is missing or would be rejected; nothing is written.
        SinkFailedError: the disk is full, say.
    """
    takes: dict[str, dict[str, dict[str, object]]] = {}
    for frame in frames:
        entry: dict[str, object] = {}
        for side in SIDES_IN_FILES:
            joints_m = hands.get((frame.take_uid, frame.frame_number, side))
            if side not in frame.hands or joints_m is None:
                entry[f"{side.value}_hand_3d"] = []
            else:
                own = joints_m[WRIST] if wrist_relative else 0.0
                entry[f"{side.value}_hand_3d"] = (joints_m - own).tolist()
        takes.setdefault(frame.take_uid, {})[frame.key] = entry
    complaints = list(complaints_about(takes, frames))
    if complaints:
        raise UsageError(f"the submission would be rejected: {report(complaints)[0]}")
    with whole_file(path) as part:
        part.write_text(json.dumps(takes), encoding="utf-8")


def read_submission(path: Path, frames: Sequence[AnnotatedFrame]) -> dict[HandKey, FloatArray]:
    """The hands of a submission that ``frames`` ask for.

    Raises:
        UsageError: it cannot be read, or `complaints_about` has any; the message is the first.
    """
    submission = read_submitted(path)
    complaints = list(complaints_about(submission, frames))
    if complaints:
        raise UsageError(f"{path}: " + report(complaints)[0])
    return hands_in(submission, frames)


def read_submitted(path: Path) -> Any:
    """What a submission holds, decoded from JSON.

    Raises:
        UsageError: it cannot be read, or holds boxes instead of hands.
    """
    submitted = read_json(path)
    takes = submitted.values() if isinstance(submitted, Mapping) else ()
    first = next(
        (entry for frames in takes if isinstance(frames, Mapping) for entry in frames.values()), None
    )
    if isinstance(first, Mapping) and "right_hand_bbox" in first and "right_hand_3d" not in first:
        raise UsageError(f"{path} is a file of boxes, not a submission; a submission comes before its boxes")
    return submitted


def hands_in(submission: Any, frames: Sequence[AnnotatedFrame]) -> dict[HandKey, FloatArray]:
    """The hands (21, 3) that ``frames`` ask for, of a submission decoded from JSON without complaints."""
    return {
        (uid, number, side): np.array(submission[uid][str(number)][f"{side.value}_hand_3d"], dtype=np.float64)
        for uid, number, side in required_hands(frames)
    }


def refuse_wrist_relative(path: Path, hands: Mapping[HandKey, FloatArray]) -> None:
    """Refuse hands (21, 3) that cannot be in the camera's frame: it sees no joint that is not ahead of it.

    Raises:
        UsageError: most hands have such a joint, as those have whose wrists are at zero.
    """
    behind = sum(bool((joints_m[:, 2] < NEAREST_M).any()) for joints_m in hands.values())
    if 2 * behind > len(hands):
        raise UsageError(
            f"{path}: {behind} of {len(hands)} hands have joints at the camera or behind it, so they look "
            "relative to the wrist; give --offset"
        )


def warn_of_placed(path: Path, hands: Mapping[HandKey, FloatArray], advice: str, say: Say) -> None:
    """Say so where most hands (21, 3) are farther from zero than anything of a hand is from its wrist."""
    far = sum(float(np.linalg.norm(joints_m[WRIST])) > LARGEST_OFFSET_M for joints_m in hands.values())
    if 2 * far > len(hands):
        say(f"warning: {path} looks as if its hands were in the camera's frame; {advice}")


def complaints_about(submission: Any, frames: Sequence[AnnotatedFrame]) -> Iterator[Complaint]:
    """What is wrong with a submission, decoded from JSON, in the order of the frames that ask for hands."""
    if not isinstance(submission, Mapping):
        yield Complaint("no object of takes", "the file", "want an object of takes")
        return
    yield from _keys_that_are_no_text(submission)
    by_take: dict[str, list[AnnotatedFrame]] = {}
    for frame in frames:
        by_take.setdefault(frame.take_uid, []).append(frame)
    for uid, of_take in by_take.items():
        count = len(required_hands(of_take))
        if uid not in submission:
            if count:
                yield Complaint("missing take", f"take {uid}", f"missing, {count} hands are asked for", count)
        elif not isinstance(submission[uid], Mapping):
            yield Complaint("no object of frames", f"take {uid}", "want an object of frames", count)
        else:
            for frame in of_take:
                yield from _of_frame(submission[uid], frame)


def _keys_that_are_no_text(submission: Mapping[Any, Any]) -> Iterator[Complaint]:
    """Keys of a submission that is not from a file: JSON itself has no others than text."""
    for uid, entries in submission.items():
        if not isinstance(uid, str):
            yield Complaint("key that is no text", f"take {uid!r}", "the key is no text", 0)
        for key in entries if isinstance(entries, Mapping) else ():
            if not isinstance(key, str):
                yield Complaint("key that is no text", f"take {uid}, frame {key!r}", "the key is no text", 0)


def _of_frame(entries: Mapping[Any, Any], frame: AnnotatedFrame) -> Iterator[Complaint]:
    hands = required_hands([frame])
    if not hands:
        return
    if frame.key not in entries:
        alike = [key for key in entries if _same_number(key, frame.frame_number)]
        hint = f"; there is {alike[0]!r}, want {frame.key!r}" if alike else ""
        yield Complaint("missing frame", f"take {frame.where}", f"missing{hint}", len(hands))
        return
    entry = entries[frame.key]
    for _, _, side in hands:
        where = f"take {frame.where}, {side.value} hand"
        if not isinstance(entry, Mapping) or f"{side.value}_hand_3d" not in entry:
            yield Complaint("missing hand", where, f"no {side.value}_hand_3d")
            continue
        wrong = wrong_with_hand(entry[f"{side.value}_hand_3d"])
        if wrong is not None:
            yield Complaint(wrong[0], where, wrong[1])


def wrong_with_hand(values: Any) -> tuple[str, str] | None:
    """What is wrong with one hand of a submission, in general and in particular; None if nothing is."""
    if isinstance(values, list) and not values:
        return "missing hand", "empty, but there is a box for it"
    try:
        joints_m = np.array(values)
    except ValueError:
        return "wrong shape", f"rows of different lengths, want {NUM_JOINTS} x 3"
    if joints_m.shape != (NUM_JOINTS, 3):
        found = " x ".join(map(str, joints_m.shape)) or type(values).__name__
        return "wrong shape", f"{found}, want {NUM_JOINTS} x 3"
    if joints_m.dtype.kind not in "fiu":
        return "not numbers", "holds something that is no number"
    if not np.isfinite(joints_m).all():
        count = int((~np.isfinite(joints_m)).any(axis=-1).sum())
        return "NaN", f"{count} joints are NaN or infinite"
    reach_m = float(np.linalg.norm(joints_m - joints_m[WRIST], axis=-1).max())
    if reach_m > LARGEST_HAND_M:
        if spread_m(joints_m) > LARGEST_HAND_M:
            return "not in metres", f"its size is {reach_m:.3g} m; millimetres?"
        return "too large", f"its size is {reach_m:.3g} m, above {LARGEST_HAND_M} m"
    if reach_m < SMALLEST_HAND_M:
        return "no hand", "all joints are in one place"
    return None


def report(complaints: Sequence[Complaint], *, most: int = MOST_LINES) -> list[str]:
    """Lines for a person: the first complaints, how many more, and how many of each kind."""
    lines = [str(complaint) for complaint in complaints[:most]]
    if len(complaints) > most:
        lines.append(f"and {len(complaints) - most} more")
    kinds: dict[str, int] = {}
    for complaint in complaints:
        kinds[complaint.kind] = kinds.get(complaint.kind, 0) + 1
    if len(complaints) > 1:
        lines.append("in all: " + ", ".join(f"{kind} {count}" for kind, count in kinds.items()))
    return lines


def _same_number(key: Any, number: int) -> bool:
    try:
        value = float(key)
    except (TypeError, ValueError):
        return False
    return math.isfinite(value) and value == number
