"""Real-time first-person hand tracking: both hands in metres in the camera frame.

The names below are imported when first used, so that importing the package costs nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tracker.cameras import load_camera
    from tracker.errors import TrackerError
    from tracker.pipeline import HandTracker, TrackerConfig
    from tracker.sinks import open_sink
    from tracker.sinks.recording import read_recording
    from tracker.sources import open_source
    from tracker.structs import Frame, TrackedFrame, TrackedHand

_MODULES = {
    "Frame": "structs",
    "HandTracker": "pipeline",
    "TrackedFrame": "structs",
    "TrackedHand": "structs",
    "TrackerConfig": "pipeline",
    "TrackerError": "errors",
    "load_camera": "cameras",
    "open_sink": "sinks",
    "open_source": "sources",
    "read_recording": "sinks.recording",
}

__all__ = [  # noqa: RUF022 (sorted by the reader's path: in, through, out)
    "open_source",
    "load_camera",
    "HandTracker",
    "TrackerConfig",
    "Frame",
    "TrackedFrame",
    "TrackedHand",
    "open_sink",
    "read_recording",
    "TrackerError",
]


def __getattr__(name: str) -> object:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
