"""Hands that were measured once: JSON files in the user's folder, one a name, and how they are read back."""

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import numpy as np

from tracker.errors import HandFileError
from tracker.hand_shape import ADULT_SIZE_SD, HandShape
from tracker.joints import FloatArray
from tracker.whole_file import whole_file

FORMAT = "hand-shape"
VERSION = 1
DEFAULT_NAME = "default"
NO_HAND = "none"
"""What ``--hand`` says to use none."""
PALM_WIDTH_MM = (40.0, 80.0)
"""Between the centres of the outer knuckles, of small children and of large men; metric recordings of adults
have 55 to 77. The outer breadth of the palm, which glove makers measure, is about a finger's width more."""
BONE_MM = (5.0, 140.0)
MIN_SIZE_SD, MAX_SIZE_SD = 0.001, 0.3
MAX_FILE_CHARACTERS = 1 << 16

SizeFrom = Literal["palm width", "distance", "network"]
"""What gave a measured hand its size: the user's ruler, a known distance, or the network's guess alone."""


@dataclass(frozen=True, eq=False)
class MeasuredHand:
    """A hand's shape, and what it rests on.

    Raises:
        HandFileError: the palm's width or a bone is not that of a hand.
    """

    shape: HandShape
    size_from: SizeFrom
    frames: int = 0
    """In how many frames the proportions were measured; 0 for an average hand of the given width."""
    spread: float = 0.0
    """Share by which a bone's length scatters from frame to frame."""
    size_spread: float = 0.0
    """Share by which the size scatters from frame to frame; 0 where the user gave it."""

    def __post_init__(self) -> None:
        check_palm_width_mm(self.shape.palm_width_m * 1e3)
        palm = np.linalg.norm(self.shape.palm_m[1:], axis=-1)
        bones_mm = 1e3 * np.concatenate([palm, self.shape.finger_bones_m.ravel()])
        if not ((bones_mm >= BONE_MM[0]) & (bones_mm <= BONE_MM[1])).all():
            worst = bones_mm[np.argmax(np.abs(np.log(np.maximum(bones_mm, 1e-9) / 35)))]
            raise HandFileError(
                f"a bone of the hand is {worst:.1f} mm long; bones have {BONE_MM[0]:g} to {BONE_MM[1]:g}"
            )


def check_palm_width_mm(width_mm: float) -> None:
    """Refuse a palm width that no hand has.

    Raises:
        HandFileError: says the range, and what was measured instead if it looks like the outer breadth.
    """
    low, high = PALM_WIDTH_MM
    if not low <= width_mm <= high:
        hint = ", not the palm's outer breadth, which is a finger's width more" if width_mm > high else ""
        raise HandFileError(
            f"the palm width is {width_mm:g} mm; give {low:g} to {high:g}, measured between the centres of "
            f"the index and little fingers' knuckles{hint}"
        )


def hand_path(name: str, folder: Path) -> Path:
    """The file of the hand ``name`` below the user's ``folder``.

    Raises:
        HandFileError: the name cannot be a file's.
    """
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}", name) or name == NO_HAND:
        raise HandFileError(
            f"{name!r} cannot name a hand; use letters, digits, - and _, at most 64, and not {NO_HAND!r}"
        )
    return folder / "hands" / f"{name}.json"


def stored_names(folder: Path) -> list[str]:
    """Names of the hands that are stored below the user's ``folder``."""
    return sorted(path.stem for path in (folder / "hands").glob("*.json"))


def store_hand(hand: MeasuredHand, path: Path) -> None:
    """Write ``hand`` to ``path``, wholly or not at all; what was there is replaced.

    Raises:
        SinkFailedError: the file cannot be written.
    """
    with whole_file(path) as temporary:
        temporary.write_text(json.dumps(_to_json(hand), indent=1) + "\n", encoding="utf-8")


def find_hand(name_or_file: str, folder: Path) -> MeasuredHand:
    """The hand of a JSON file, or the one stored under a name below the user's ``folder``.

    Raises:
        HandFileError: it is not there, or not a measured hand; says which names there are.
    """
    if name_or_file.endswith(".json") or "/" in name_or_file or "\\" in name_or_file:
        return load_hand(Path(name_or_file))
    path = hand_path(name_or_file, folder)
    if not path.is_file():
        names = ", ".join(stored_names(folder)) or "none yet"
        raise HandFileError(
            f"no hand is stored as {name_or_file!r} (there is: {names}); see hand-tracker calibrate-hand"
        )
    return load_hand(path)


def load_hand(path: Path) -> MeasuredHand:
    """Read a measured hand.

    Raises:
        HandFileError: the file is missing, not JSON, or not a measured hand; the message says why.
    """
    try:
        with path.open(encoding="utf-8-sig") as file:
            text = file.read(MAX_FILE_CHARACTERS)
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not text"
        raise HandFileError(f"cannot read the hand file {path}: {reason}") from error
    try:
        return _from_json(json.loads(text))
    except HandFileError as error:
        raise HandFileError(f"{error} (in {path})") from error
    except (ValueError, RecursionError) as error:
        raise HandFileError(f"the hand file {path} is not JSON: {error}") from error


def _to_json(hand: MeasuredHand) -> dict[str, object]:
    shape = hand.shape
    return {
        "format": FORMAT,
        "version": VERSION,
        "palm_width_mm": round(shape.palm_width_m * 1e3, 2),
        "palm_m": np.round(shape.palm_m, 6).tolist(),
        "finger_bones_m": np.round(shape.finger_bones_m, 6).tolist(),
        "size_sd": round(shape.size_sd, 4),
        "size_from": hand.size_from,
        "frames": hand.frames,
        "spread": round(hand.spread, 4),
        "size_spread": round(hand.size_spread, 4),
    }


def _from_json(values: object) -> MeasuredHand:
    if not isinstance(values, Mapping) or values.get("format") != FORMAT:
        raise HandFileError(f"this is not a measured hand (format {FORMAT!r})")
    if values.get("version") != VERSION:
        raise HandFileError(f"its version is {values.get('version')!r}, this program reads {VERSION}")
    origins = {name: name for name in get_args(SizeFrom)}
    size_from, frames = origins.get(str(values.get("size_from"))), values.get("frames", 0)
    if size_from is None:
        raise HandFileError(f"size_from is {values.get('size_from')!r}; it is one of {', '.join(origins)}")
    if isinstance(frames, bool) or not isinstance(frames, int) or frames < 0:
        raise HandFileError(f"frames is {frames!r}; it must be a count")
    size_sd = _share(values, "size_sd", ADULT_SIZE_SD)
    if not MIN_SIZE_SD <= size_sd <= MAX_SIZE_SD:
        raise HandFileError(f"size_sd is {size_sd:g}; it is a share from {MIN_SIZE_SD:g} to {MAX_SIZE_SD:g}")
    return MeasuredHand(
        shape=HandShape(_rows(values, "palm_m", 6), _rows(values, "finger_bones_m", 5), size_sd),
        size_from=size_from,
        frames=frames,
        spread=_share(values, "spread"),
        size_spread=_share(values, "size_spread"),
    )


def _rows(values: Mapping[str, object], key: str, count: int) -> FloatArray:
    """An array (count, 3) of finite numbers."""
    rows = values.get(key)
    if (
        isinstance(rows, list)
        and len(rows) == count
        and all(isinstance(row, list) and len(row) == 3 and all(map(_is_number, row)) for row in rows)
    ):
        return np.array(rows, dtype=np.float64)
    raise HandFileError(f"{key} must be {count} rows of 3 finite numbers")


def _share(values: Mapping[str, object], key: str, default: float = 0.0) -> float:
    value = values.get(key, default)
    if not _is_number(value):
        raise HandFileError(f"{key} must be a finite number")
    return float(value)  # type: ignore[arg-type]


def _is_number(value: object) -> bool:
    """A finite number that is no boolean, and no integer too long for a float."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return abs(value) < 1e6 and math.isfinite(value)
