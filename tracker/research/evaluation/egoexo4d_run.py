"""A system's hands of all takes, written as JSON lines as they come: a run that was stopped can go on.

The first line says what was run on what; each other one is a frame: ``{"type": "frame", "take_uid", "frame",
"left_hand_3d": 21 x 3 or null, "right_hand_3d": ..., "took_ms"}``, metres in the landscape camera's frame, or
one that could not be read, with the reason. Lines are whole: what a kill left of the last one is dropped.
"""

import hashlib
import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tracker.errors import UsageError
from tracker.joints import NUM_JOINTS, FloatArray, Side
from tracker.research.evaluation.egoexo4d_metric import HandKey
from tracker.research.evaluation.egoexo4d_systems import System
from tracker.research.ground_truth.egoexo4d import TURN, PreparedTake
from tracker.research.ground_truth.egoexo4d_values import AnnotatedFrame, Tally
from tracker.research.ground_truth.labelled import SIDES
from tracker.whole_file import whole_file

FORMAT, VERSION = "egoexo4d-hands", 1
FrameKey = tuple[str, int]


@dataclass(frozen=True, eq=False)
class ReadHands:
    """What lines of a run hold."""

    header: Mapping[str, Any]
    frames: frozenset[FrameKey]
    """The frames that were read, hands or not."""
    hands: Mapping[HandKey, FloatArray]
    """(21, 3) in the landscape camera's frame."""


def run_system(
    system: System,
    takes: Sequence[PreparedTake],
    path: Path,
    tally: Tally,
    *,
    among: Sequence[AnnotatedFrame] | None = None,
    settings: str = "",
    weights: Mapping[str, str] | None = None,
    resume: bool = False,
    observe: Callable[[int], None] = lambda frames: None,
) -> ReadHands:
    """Read all takes' hands and write them; returns them with those of the run that was resumed.

    Args:
        system: begins each take anew.
        takes: frames in order.
        path: of the lines; must not be there unless resumed.
        tally: gets frames that could not be read and hands that were not found or are NaN.
        among: all frames of the annotation file, where some of it are not to be read, for want of a picture
            say; a run is only resumed on the same. Those of ``takes`` unless given.
        settings: how the system is set up; a run is only resumed with the same.
        weights: a name for what is in each file of weights, by path; a run is only resumed with the same.
        resume: go on after the frames, of stateful systems the takes, that ``path`` holds already.
        observe: called with the number of frames dealt with, again and again.

    Raises:
        UsageError: ``path`` is there, or is of another run, or cannot be written.
    """
    header = {"type": "header", "format": FORMAT, "version": VERSION, "system": system.name}
    header |= {
        "settings": settings,
        "weights": dict(weights or {}),
        "boxes": digest([frame for take in takes for frame in take.frames] if among is None else among),
    }
    done = _begin(path, header, takes, resume=resume, whole_takes=system.stateful)
    try:
        with path.open("a", encoding="utf-8") as file:
            for take in takes:
                left = [i for i in range(len(take)) if (take.uid, take.frames[i].frame_number) not in done]
                observe(len(take) - len(left))
                if left:
                    system.begin_take()
                for index in left:
                    line = json.dumps(_read_frame(system, take, index, tally))
                    file.write(line + "\n")  # one write a line
                    file.flush()
                    observe(1)
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror}") from error
    return read_lines(path)


def _read_frame(system: System, take: PreparedTake, index: int, tally: Tally) -> dict[str, Any]:
    """The line of one frame."""
    annotated, given = take.frames[index], take.given(index)
    line: dict[str, Any] = {"type": "frame", "take_uid": take.uid, "frame": annotated.frame_number}
    try:
        frame = take.read_upright(index)
    except UsageError as error:
        tally.add("frames that could not be read", f"{annotated.where}: {error}")
        return line | {"type": "unreadable", "reason": str(error)}
    start_s = time.perf_counter()
    hands = system(frame, given)
    line["took_ms"] = round(1e3 * (time.perf_counter() - start_s), 3)
    for side in SIDES:
        joints_m = hands.get(side)
        where = f"{annotated.where}, {side.value}"
        if joints_m is not None and not _is_hand(joints_m):
            tally.add("hands that came out as no numbers", where)
            joints_m = None
        elif joints_m is None and side in given.sides:
            tally.add("hands not found", where)
        in_landscape = None if joints_m is None else TURN.points_landscape(joints_m).tolist()
        line[f"{side.value}_hand_3d"] = in_landscape
    return line


def _is_hand(joints_m: FloatArray) -> bool:
    return joints_m.shape == (NUM_JOINTS, 3) and bool(np.isfinite(joints_m).all())


def digest(frames: Sequence[AnnotatedFrame]) -> str:
    """A short name for frames and boxes: the same for the same annotation file."""
    parts = hashlib.sha256()
    for frame in frames:
        parts.update(f"{frame.where} {frame.boxes_px().tolist()};".encode())
    return parts.hexdigest()[:16]


def _begin(
    path: Path, header: Mapping[str, Any], takes: Sequence[PreparedTake], *, resume: bool, whole_takes: bool
) -> set[FrameKey]:
    """Write the header, or what is kept of the run that is resumed; returns the frames that are done."""
    kept: list[str] = []
    done: set[FrameKey] = set()
    if path.exists() and path.stat().st_size:
        if not resume:
            raise UsageError(f"{path} exists; go on with it by --resume, or choose another")
        lines = list(_lines(path))
        _check_header(path, lines, header)
        frames = {_key(line): line for line in lines if line.get("type") == "frame"}
        if whole_takes:
            wanted = {take.uid: {(take.uid, frame.frame_number) for frame in take.frames} for take in takes}
            frames = {key: line for key, line in frames.items() if wanted.get(key[0], set()) <= frames.keys()}
        done = set(frames)
        kept = [json.dumps(line) for line in frames.values()]
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(path) as part:
            part.write_text("\n".join([json.dumps(header), *kept]) + "\n", encoding="utf-8")
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror}") from error
    return done


def _check_header(path: Path, lines: Sequence[Mapping[str, Any]], header: Mapping[str, Any] | None) -> None:
    """Refuse lines that are of no run, or of another than ``header`` says."""
    found = lines[0] if lines else {}
    if found.get("format") != FORMAT or found.get("version") != VERSION:
        raise UsageError(f"{path} does not hold EgoExo4D hands of this version")
    for name in ("system", "settings", "boxes") if header is not None else ():
        assert header is not None
        if found.get(name) != header[name]:
            raise UsageError(
                f"{path} is of another run: its {name} are {found.get(name)!r}, now {header[name]!r}; "
                "choose another file"
            )
    if header is not None:
        _check_weights(path, found.get("weights") or {}, header["weights"])


def _check_weights(path: Path, found: Mapping[str, str], now: Mapping[str, str]) -> None:
    """Refuse lines of other networks, also where their files have the same names."""
    changed = [name for name in now if found.get(name) != now[name]]
    if changed:
        raise UsageError(
            f"{path} is of another run: {', '.join(changed)} had other weights in it; choose another file"
        )


def read_lines(path: Path) -> ReadHands:
    """The hands that a run wrote.

    Raises:
        UsageError: the file cannot be read or is of no run; the message names a damaged line.
    """
    lines = list(_lines(path))
    _check_header(path, lines, None)
    hands: dict[HandKey, FloatArray] = {}
    frames = set()
    for number, line in enumerate(lines[1:], start=2):
        if line.get("type") != "frame":
            continue
        try:
            uid, frame = _key(line)
            for side in Side:
                if line[f"{side.value}_hand_3d"] is not None:
                    joints_m = np.array(line[f"{side.value}_hand_3d"], dtype=np.float64)
                    if not _is_hand(joints_m):
                        raise ValueError(f"its {side.value} hand is no 21 x 3 numbers")
                    hands[uid, frame, side] = joints_m
        except (KeyError, TypeError, ValueError) as error:
            raise UsageError(f"{path}, line {number}: {error}") from error
        frames.add((uid, frame))
    return ReadHands(lines[0], frozenset(frames), hands)


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    """The whole lines of a file, decoded."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from error
    for number, text in enumerate(content[: content.rfind(b"\n") + 1].splitlines(), start=1):
        try:
            line = json.loads(text)
        except ValueError as error:
            raise UsageError(f"{path}, line {number}, is not JSON: {error}") from error
        if not isinstance(line, dict):
            raise UsageError(f"{path}, line {number}, is no object")
        yield line


def _key(line: Mapping[str, Any]) -> FrameKey:
    return str(line["take_uid"]), int(line["frame"])
