"""EgoExo4D's prepared annotation files: ``ego_pose_gt_anno_{train,val,test}_public.json``, read and written.

``{take_uid: {frame: {"right_hand_3d": 21 x 3, "right_hand_2d": 21 x 2, "right_hand_bbox": xyxy,
"right_hand_valid_3d": 21, "left_...", "metadata": {"take_uid", "take_name", "frame_number"}}}}``, metres in
the landscape camera's axes. An empty list is an absent hand, NaN an absent joint. The test set has boxes.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tracker.errors import UsageError
from tracker.joints import NUM_JOINTS, WRIST, Side
from tracker.research.ground_truth.egoexo4d_values import (
    LARGEST_HAND_M,
    SIDES_IN_FILES,
    AnnotatedFrame,
    AnnotatedHand,
    hand_of_box,
)
from tracker.research.ground_truth.files import numbers, read_json
from tracker.whole_file import whole_file


def annotation_name(split: str, *, private: bool = False) -> str:
    """The name of a split's prepared file."""
    return f"ego_pose_gt_anno_{split}_{'private' if private else 'public'}.json"


def read_annotations(path: Path) -> tuple[AnnotatedFrame, ...]:
    """The annotated frames of a file, take by take, in the order of their frame numbers.

    Raises:
        UsageError: it cannot be read, an entry is not laid out as said above, which the message names, or
            hands are not in metres.
    """
    if not path.exists():
        raise UsageError(f"{path} is not there; {_made_by(path)}")
    takes = read_json(path)
    if not isinstance(takes, Mapping) or not takes:
        raise UsageError(f"{path} is no object of takes; is it a prepared annotation file?")
    frames: list[AnnotatedFrame] = []
    for take_uid, entries in takes.items():
        if not isinstance(entries, Mapping):
            raise UsageError(f"{path}, take {take_uid}: want an object of frames")
        of_take = [_frame(take_uid, key, entry, str(path)) for key, entry in entries.items()]
        frames += sorted(of_take, key=lambda frame: frame.frame_number)
    _refuse_large(path, frames)
    return tuple(frames)


def _made_by(path: Path) -> str:
    if "_test_" in path.name:
        return "the test boxes are published beside the public preparation"
    auto = " with --annotations auto" if path.parent.name == "auto" else ""
    return f"egoexo4d prepare RELEASE PREPARED{auto} makes a split's annotations"


def _refuse_large(path: Path, frames: Sequence[AnnotatedFrame]) -> None:
    """Refuse answers in millimetres: most hands are larger than any.

    Raises:
        UsageError: they are.
    """
    hands = [hand.joints_in_camera_m for frame in frames for hand in frame.hands.values()]
    reach_m = np.array([np.linalg.norm(joints_m - joints_m[WRIST], axis=-1) for joints_m in hands])
    large = int((reach_m > LARGEST_HAND_M).any(axis=-1).sum()) if hands else 0
    if 2 * large > len(hands):
        raise UsageError(
            f"{path}: {large} of {len(hands)} hands are larger than {LARGEST_HAND_M} m, the largest "
            f"{np.nanmax(reach_m):.3g} m; joints are to be in metres"
        )


def _frame(take_uid: str, key: str, entry: Any, path: str) -> AnnotatedFrame:
    where = f"{path}, take {take_uid}, frame {key}"
    if not isinstance(entry, Mapping) or not isinstance(entry.get("metadata"), Mapping):
        raise UsageError(f"{where}: no metadata")
    try:
        number = int(key)
    except ValueError as error:
        raise UsageError(f"{where}: the frame's key is no number") from error
    metadata = entry["metadata"]
    if metadata.get("frame_number") != number or metadata.get("take_uid") != take_uid:
        raise UsageError(f"{where}: its metadata is of another frame")
    hands = {side: _hand(entry, side, where) for side in SIDES_IN_FILES}
    return AnnotatedFrame(
        take_uid,
        str(metadata.get("take_name", "")),
        number,
        {side: hand for side, hand in hands.items() if hand is not None},
    )


def _hand(entry: Mapping[str, Any], side: Side, where: str) -> AnnotatedHand | None:
    name = f"{side.value}_hand"
    if f"{name}_bbox" not in entry:
        raise UsageError(f"{where}: no {name}_bbox")
    if not entry[f"{name}_bbox"]:
        if entry.get(f"{name}_3d"):
            raise UsageError(f"{where}: {name} has joints but no box")
        return None
    box_px = _array(entry[f"{name}_bbox"], (4,), f"{where}: {name}_bbox")
    if not (np.isfinite(box_px).all() and (box_px[2:] >= box_px[:2]).all()):
        raise UsageError(f"{where}: {name}_bbox is {box_px.tolist()}, want left, upper, right, lower edge")
    if f"{name}_3d" not in entry:
        return hand_of_box(box_px)
    joints_m = _array(entry[f"{name}_3d"], (NUM_JOINTS, 3), f"{where}: {name}_3d")
    valid = _array(entry.get(f"{name}_valid_3d"), (NUM_JOINTS,), f"{where}: {name}_valid_3d") > 0
    if not np.isfinite(joints_m[valid]).all():
        raise UsageError(f"{where}: {name} has joints that are called valid and are NaN")
    if not np.isfinite(joints_m[WRIST]).all():
        raise UsageError(f"{where}: the wrist of {name} is NaN, and everything is measured from it")
    unknown = np.full((NUM_JOINTS, 2), np.nan)
    marked = entry.get(f"{name}_2d")
    joints_px = _array(marked, (NUM_JOINTS, 2), f"{where}: {name}_2d") if marked else unknown
    return AnnotatedHand(box_px, joints_px, joints_m, valid)


def _array(values: Any, shape: tuple[int, ...], where: str) -> Any:
    array = numbers(values, where)
    if array.shape != shape:
        raise UsageError(f"{where} has shape {array.shape}, want {shape}")
    return array


def differences(there: Sequence[AnnotatedFrame], now: Sequence[AnnotatedFrame]) -> str:
    """How the frames of two prepared files differ, in counts; empty where they do not, to the last digit."""
    before, after = (
        {(frame.take_uid, frame.key): to_entry(frame) for frame in some} for some in (there, now)
    )
    shared = before.keys() & after.keys()
    # As text: NaN equals itself there.
    unlike = sum(json.dumps(before[key]) != json.dumps(after[key]) for key in shared)
    if not unlike and len(before) == len(after) == len(shared):
        return ""
    return (
        f"it has {_counted(there)}, the release {_counted(now)}; "
        f"{len(shared)} frames are in both, {unlike} of them with other hands or digits"
    )


def _counted(frames: Sequence[AnnotatedFrame]) -> str:
    takes = len({frame.take_uid for frame in frames})
    hands = sum(len(frame.hands) for frame in frames)
    return f"{takes} takes, {len(frames)} frames, {hands} hands"


def write_annotations(path: Path, frames: Iterable[AnnotatedFrame], *, boxes_only: bool = False) -> None:
    """Write a prepared file, wholly or not at all; with ``boxes_only`` as the test set's is.

    It is spelled a take at a time: as lists a frame is several times as large as in arrays.
    """
    takes: dict[str, list[AnnotatedFrame]] = {}
    for frame in frames:
        takes.setdefault(frame.take_uid, []).append(frame)
    with whole_file(path) as part, part.open("w", encoding="utf-8") as file:
        for number, (uid, of_take) in enumerate(takes.items()):
            entries = {frame.key: to_entry(frame, boxes_only=boxes_only) for frame in of_take}
            file.write(f"{', ' if number else '{'}{json.dumps(uid)}: {json.dumps(entries)}")
        file.write("}" if takes else "{}")


def to_entry(frame: AnnotatedFrame, *, boxes_only: bool = False) -> dict[str, object]:
    """One frame as the files have it."""
    entry: dict[str, object] = {}
    for side in SIDES_IN_FILES:
        name, hand = f"{side.value}_hand", frame.hands.get(side)
        if not boxes_only:
            entry[f"{name}_3d"] = [] if hand is None else hand.joints_in_camera_m.tolist()
            entry[f"{name}_2d"] = [] if hand is None else hand.joints_px.tolist()
        entry[f"{name}_bbox"] = [] if hand is None else hand.box_px.tolist()
        if not boxes_only:
            entry[f"{name}_valid_3d"] = [] if hand is None else hand.valid.tolist()
    entry["metadata"] = {
        "take_uid": frame.take_uid,
        "take_name": frame.take_name,
        "frame_number": frame.frame_number,
    }
    return entry
