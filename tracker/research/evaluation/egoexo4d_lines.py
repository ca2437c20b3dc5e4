"""A run's hands as JSON lines: a header, then a line a frame, written as they come.

The first line says what was run on what; each other one is a frame: ``{"type": "frame", "take_uid", "frame",
"left_hand_3d": 21 x 3 or null, "right_hand_3d": ..., "took_ms"}``, metres in the landscape camera's frame, or
one that could not be read, with the reason. Lines are whole: what a kill left of the last one is dropped.
``took_ms`` is how long the system takes for a frame by itself, from the picture in memory to its hands:
readings that it shares with others count in full for each of them.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tracker.errors import UsageError
from tracker.joints import FloatArray, Side
from tracker.research.evaluation.egoexo4d_identity import Settings, differences
from tracker.research.evaluation.egoexo4d_metric import HandKey
from tracker.research.evaluation.egoexo4d_submission import wrong_with_hand
from tracker.research.ground_truth.egoexo4d_values import AnnotatedFrame
from tracker.whole_file import whole_file

FORMAT, VERSION = "egoexo4d-hands", 2
LINES = ".jsonl"
"""How their files end; a submission is a ``.json``."""
FrameKey = tuple[str, int]


@dataclass(frozen=True, eq=False)
class ReadHands:
    """What lines of a run hold."""

    header: Mapping[str, Any]
    frames: frozenset[FrameKey]
    """The frames that were read, hands or not."""
    hands: Mapping[HandKey, FloatArray]
    """(21, 3) in the landscape camera's frame."""

    @property
    def smoothed(self) -> bool:
        """The tracker smoothed them as it read them."""
        settings = self.header["settings"]
        return settings.get("mode") == "tracker" and not settings.get("tracks.smoothing.publish_measured")


def digest(frames: Sequence[AnnotatedFrame]) -> str:
    """A short name for frames and boxes: the same for the same annotation file."""
    parts = hashlib.sha256()
    for frame in frames:
        parts.update(f"{frame.where} {frame.boxes_px().tolist()};".encode())
    return parts.hexdigest()[:16]


def header_of(system: str, settings: Settings, boxes: str) -> dict[str, Any]:
    """The first line of a run: which system, how set up, on which boxes (`digest`)."""
    header = {"type": "header", "format": FORMAT, "version": VERSION, "system": system}
    return header | {"settings": dict(settings), "boxes": boxes}


def frames_before(path: Path, header: Mapping[str, Any], *, resume: bool) -> dict[FrameKey, dict[str, Any]]:
    """The lines of the frames that were read before, where a run goes on.

    Raises:
        UsageError: ``path`` is there and is not to be gone on with, or is of another run.
    """
    if not path.exists() or not path.stat().st_size:
        return {}
    if not resume:
        raise UsageError(f"{path} exists; go on with it by --resume, or name another by --hands")
    lines = list(_lines(path))
    _check_header(path, lines, header)
    return {key_of(line): line for line in lines if line.get("type") == "frame"}


def begin_lines(path: Path, header: Mapping[str, Any], kept: Iterable[Mapping[str, Any]]) -> None:
    """Write the header and what is kept of the run that goes on, wholly or not at all.

    Raises:
        SinkFailedError: it cannot be written.
    """
    with whole_file(path) as part:
        part.write_text("".join(json.dumps(line) + "\n" for line in (header, *kept)), encoding="utf-8")


def _check_header(path: Path, lines: Sequence[Mapping[str, Any]], header: Mapping[str, Any] | None) -> None:
    """Refuse lines that are of no run, or of another than ``header`` says."""
    found = lines[0] if lines else {}
    if found.get("format") != FORMAT or found.get("version") != VERSION:
        raise UsageError(f"{path} does not hold EgoExo4D hands of this version")
    if header is None:
        return
    changed = differences(found["settings"], header["settings"])
    if not changed and found["boxes"] != header["boxes"]:
        changed = "its boxes are of other annotations"
    if changed:
        raise UsageError(f"{path} is of another run: {changed}; choose another file by --hands")


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
            uid, frame = key_of(line)
            for side in Side:
                if line[f"{side.value}_hand_3d"] is not None:
                    joints_m = np.array(line[f"{side.value}_hand_3d"], dtype=np.float64)
                    wrong = wrong_with_hand(joints_m)
                    if wrong is not None:
                        raise ValueError(f"the {side.value} hand: {wrong[1]}")
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


def key_of(line: Mapping[str, Any]) -> FrameKey:
    """The frame that a line is of."""
    return str(line["take_uid"]), int(line["frame"])
