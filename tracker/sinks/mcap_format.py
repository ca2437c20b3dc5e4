"""What an MCAP recording of this project holds: its channels and their schemas."""

from collections.abc import Callable
from types import ModuleType
from typing import Any, NamedTuple

import msgspec

from tracker.errors import MissingDependencyError
from tracker.sinks.foxglove_messages import (
    CameraCalibration,
    CompressedImage,
    FrameTransform,
    SceneUpdate,
    json_schema,
)
from tracker.sinks.messages import FORMAT

MAGIC = b"\x89MCAP0\r\n"
HANDS_PREFIX = f"{FORMAT}."
"""Schemas of the channels that hold the wire format's messages; a reader finds the channels by it."""


class Channel(NamedTuple):
    """A topic, the name of its schema, and the schema."""

    topic: str
    schema_name: str
    schema: Callable[[], dict[str, Any]]


def _foxglove(topic: str, message: type[msgspec.Struct]) -> Channel:
    return Channel(topic, f"foxglove.{message.__name__}", lambda: json_schema(message))


def _wire(topic: str, name: str, properties: dict[str, Any]) -> Channel:
    schema = {
        "type": "object",
        "description": f"A message of {FORMAT}, wire format version 1: docs/formats.md lists all its keys.",
        "properties": {"type": {"type": "string"}, **properties},
        "required": ["type", *properties],
    }
    return Channel(topic, HANDS_PREFIX + name, lambda: schema)


# Foxglove reads no nested lists and no null in a schema: keys that hold those are in the messages only.
_HAND = {"track_id": {"type": "integer"}, "side": {"type": "string"}}
HEADER = _wire(
    "/hands/header",
    "Header",
    {
        "format": {"type": "string"},
        "version": {"type": "integer"},
        "source": {"type": "string"},
        "backend": {"type": "string"},
        "camera_assumed": {"type": "boolean"},
        "axes": {"type": "string"},
        "joint_names": {"type": "array", "items": {"type": "string"}},
    },
)
FRAME = _wire(
    "/hands/frame",
    "Frame",
    {
        "frame": {"type": "integer"},
        "capture_time_s": {"type": "number"},
        "valid_at_s": {"type": "number"},
        "dropped_frames": {"type": "integer"},
        "hands": {
            "type": "array",
            "items": {"type": "object", "properties": _HAND, "required": list(_HAND)},
        },
    },
)
STATE = _wire("/hands/state", "State", {"state": {"type": "string"}})
SCENE = _foxglove("/hands/scene", SceneUpdate)
TRANSFORM = _foxglove("/tf", FrameTransform)
CALIBRATION = _foxglove("/camera/calibration", CameraCalibration)
PICTURE = _foxglove("/camera/image", CompressedImage)
CHANNELS = (HEADER, FRAME, STATE, SCENE, TRANSFORM, CALIBRATION, PICTURE)


def import_mcap(name: str) -> ModuleType:
    """A module of the library ``mcap``.

    Raises:
        MissingDependencyError: it is not installed, or too old.
    """
    import importlib

    try:
        return importlib.import_module(f"mcap.{name}")
    except ImportError as error:
        raise MissingDependencyError(
            "MCAP files need the library mcap; install this package with the extra `mcap`"
        ) from error
