"""What tells a run from another: how its system is set up, and what is in the files of its networks."""

import hashlib
import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from tracker.errors import UsageError
from tracker.networks.onnx_session import model_path
from tracker.pipeline import TrackerConfig
from tracker.research.evaluation.egoexo4d_weights import weight_files

Settings = Mapping[str, object]
"""By dotted names, values as JSON has them."""
MOST_NAMED = 3
_CONTENT = "sha256 "


def settings_of(mode: str, config: TrackerConfig, *, own_cameras: bool) -> Settings:
    """All that a system's hands depend on beside the boxes and pictures.

    Files stand by what is in them, so a copy of the weights elsewhere is the same and other ones at the same
    place are not; the networks that ship with this program are among them.

    Args:
        mode: ``challenge`` or ``tracker``.
        config: of the tracker.
        own_cameras: the takes' intrinsics are their own, from the release.

    Raises:
        UsageError: a file cannot be read.
    """
    used = set(weight_files(config))
    settings: dict[str, object] = {
        "mode": mode,
        "intrinsics": "the takes' own" if own_cameras else "nominal",
    }
    for name, value in _flat(asdict(config)):
        if not isinstance(value, Path):
            settings[name] = value
        elif value in used:
            settings[name] = _content(value)
    for name in _shipped(mode, config):
        settings[name] = _content(model_path(name))
    return settings


def differences(before: Settings, now: Settings) -> str:
    """What is not the same, in a few words; empty where nothing is."""
    changed = [
        f"{name} {_change(before.get(name), now.get(name))}"
        for name in dict.fromkeys([*now, *before])
        if before.get(name) != now.get(name)
    ]
    more = [f"and {len(changed) - MOST_NAMED} more"] if len(changed) > MOST_NAMED else []
    return ", ".join([*changed[:MOST_NAMED], *more])


def _change(before: object, now: object) -> str:
    if all(isinstance(value, str) and value.startswith(_CONTENT) for value in (before, now)):
        return "had other weights in it"
    return f"was {before}, is {now}"


def _shipped(mode: str, config: TrackerConfig) -> tuple[str, ...]:
    """The networks of the package that a system reads with; in either mode a light one reads the hands."""
    landmarks = f"hand_landmark_{config.detector.landmark_model}"
    return ("palm_detection_full", landmarks) if mode == "tracker" else (landmarks,)


def _flat(value: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """The leaves of nested values, as JSON can have them; paths stay paths."""
    if isinstance(value, Mapping):
        parts = value.items()
    elif isinstance(value, tuple | list):
        parts = {str(index): part for index, part in enumerate(value)}.items()
    else:
        yield name, _leaf(value)
        return
    for key, part in parts:
        yield from _flat(part, f"{name}.{key}" if name else str(key))


def _leaf(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return hashlib.sha256(np.ascontiguousarray(value).tobytes()).hexdigest()[:16]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value if value is None or isinstance(value, bool | int | float | str | Path) else str(value)


def _content(path: Path) -> str:
    """A name for what is in a file: the same for a copy, another after any change."""
    try:
        state = path.stat()
        return _hashed(path, state.st_size, state.st_mtime_ns)
    except FileNotFoundError:
        return "missing"
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from error


@cache
def _hashed(path: Path, size: int, changed_ns: int) -> str:
    """The hash of the whole file, made once while the file stays as it is: it may have gigabytes."""
    with path.open("rb") as file:
        return _CONTENT + hashlib.file_digest(file, "sha256").hexdigest()
