"""Hands, lens and pictures as the messages that Foxglove draws, in their JSON form.

The names and meanings of the fields are those of Foxglove's schemas (docs.foxglove.dev, "Schemas").
Everything in space is in the frame ``camera``: +x right, +y down, +z forward, metres. That frame stands
upright in ``world``, whose +z is up.
"""

from typing import Any

import msgspec
import numpy as np

from tracker.cameras import Camera
from tracker.joints import BONES, FloatArray
from tracker.sinks.drawing import SIDE_COLOURS
from tracker.structs import TrackedFrame, TrackedHand

CAMERA_FRAME, WORLD_FRAME = "camera", "world"
JOINT_DIAMETER_M = 0.010
BONE_THICKNESS_M = 0.005
_COASTING_OPACITY = 0.45
_DELETE_ALL = 1
_LINE_LIST = 2
_DISTORTIONS = {
    "brown_conrady": ("plumb_bob", "rational_polynomial"),
    "kannala_brandt": ("kannala_brandt",) * 2,
}
"""Foxglove's names of a lens with up to 5 coefficients, and with more. It has none for the others."""


class Time(msgspec.Struct):
    """A moment, or a duration."""

    sec: int
    nsec: int


class Vector3(msgspec.Struct):
    """A point, an offset or a size."""

    x: float
    y: float
    z: float


class Quaternion(msgspec.Struct):
    """A rotation."""

    x: float
    y: float
    z: float
    w: float


class Pose(msgspec.Struct):
    """A place and a rotation."""

    position: Vector3
    orientation: Quaternion


class Colour(msgspec.Struct):
    """Each 0 to 1."""

    r: float
    g: float
    b: float
    a: float


class SpherePrimitive(msgspec.Struct):
    """A joint."""

    pose: Pose
    size: Vector3
    color: Colour


class LinePrimitive(msgspec.Struct):
    """The bones of a hand: two points each."""

    type: int
    pose: Pose
    thickness: float
    scale_invariant: bool
    points: list[Vector3]
    color: Colour
    colors: list[Colour]
    indices: list[int]


class SceneEntity(msgspec.Struct):
    """A hand."""

    timestamp: Time
    frame_id: str
    id: str
    lifetime: Time
    frame_locked: bool
    spheres: list[SpherePrimitive]
    lines: list[LinePrimitive]


class SceneEntityDeletion(msgspec.Struct):
    """The hands of the frame before go."""

    timestamp: Time
    type: int
    id: str


class SceneUpdate(msgspec.Struct):
    """``foxglove.SceneUpdate``."""

    deletions: list[SceneEntityDeletion]
    entities: list[SceneEntity]


class FrameTransform(msgspec.Struct):
    """``foxglove.FrameTransform``."""

    timestamp: Time
    parent_frame_id: str
    child_frame_id: str
    translation: Vector3
    rotation: Quaternion


class CameraCalibration(msgspec.Struct):
    """``foxglove.CameraCalibration``."""

    timestamp: Time
    frame_id: str
    width: int
    height: int
    distortion_model: str
    D: list[float]
    K: list[float]
    R: list[float]
    P: list[float]


class CompressedImage(msgspec.Struct):
    """``foxglove.CompressedImage``; ``data`` is base64 in JSON."""

    timestamp: Time
    frame_id: str
    data: bytes
    format: str


_IDENTITY = Pose(Vector3(0.0, 0.0, 0.0), Quaternion(0.0, 0.0, 0.0, 1.0))
_NO_TIME = Time(0, 0)


def scene_update(tracked: TrackedFrame, time_ns: int) -> SceneUpdate:
    """All hands of a frame, in place of those of the frame before; joints that are unknown are left out."""
    timestamp = time_of(time_ns)
    return SceneUpdate(
        [SceneEntityDeletion(timestamp, _DELETE_ALL, "")],
        [_hand(hand, timestamp) for hand in tracked.hands],
    )


def frame_transform(time_ns: int) -> FrameTransform:
    """The camera looks along the world's +x, its picture upright: world_from_camera."""
    rotation = Quaternion(-0.5, 0.5, -0.5, 0.5)
    return FrameTransform(time_of(time_ns), WORLD_FRAME, CAMERA_FRAME, Vector3(0.0, 0.0, 0.0), rotation)


def camera_calibration(camera: Camera, time_ns: int) -> CameraCalibration:
    """The lens; one that Foxglove has no name for goes without its distortion (the header message has it)."""
    fx, fy, cx, cy = (float(value) for value in (camera.fx, camera.fy, camera.cx, camera.cy))
    names = _DISTORTIONS.get(camera.model)
    coefficients = [float(value) for value in camera.distortion] if names is not None else []
    if names is not None and names[0] == "plumb_bob" and len(coefficients) < 5:
        coefficients += [0.0] * (5 - len(coefficients))
    return CameraCalibration(
        timestamp=time_of(time_ns),
        frame_id=CAMERA_FRAME,
        width=camera.width,
        height=camera.height,
        distortion_model="" if names is None else names[len(coefficients) > 5],
        D=coefficients,
        K=[fx, 0.0, cx, 0.0, fy, cy, 0.0, 0.0, 1.0],
        R=[1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0],
        P=[fx, 0.0, cx, 0.0, 0.0, fy, cy, 0.0, 0.0, 0.0, 1.0, 0.0],
    )


def compressed_image(jpeg: bytes, time_ns: int) -> CompressedImage:
    """A picture of the camera."""
    return CompressedImage(time_of(time_ns), CAMERA_FRAME, jpeg, "jpeg")


def time_of(time_ns: int) -> Time:
    """Nanoseconds as Foxglove spells them."""
    return Time(*divmod(time_ns, 1_000_000_000))


def json_schema(message: type[msgspec.Struct]) -> dict[str, Any]:
    """The JSON schema of ``message`` with nothing referred to elsewhere, which is what Foxglove reads."""
    (root,), parts = msgspec.json.schema_components([message], ref_template="{name}")
    schema: dict[str, Any] = _inlined(root, parts)
    return schema


def _inlined(schema: Any, parts: dict[str, Any]) -> Any:
    if isinstance(schema, list):
        return [_inlined(item, parts) for item in schema]
    if not isinstance(schema, dict):
        return schema
    if "$ref" in schema:
        return _inlined(parts[schema["$ref"]], parts)
    return {key: _inlined(value, parts) for key, value in schema.items()}


def _hand(hand: TrackedHand, timestamp: Time) -> SceneEntity:
    joints = hand.pose.joints_in_camera_m
    known = [bool(np.isfinite(joint).all()) for joint in joints]
    red, green, blue = (part / 255 for part in SIDE_COLOURS[hand.pose.side])
    colour = Colour(red, green, blue, _COASTING_OPACITY if hand.unseen_s > 0 else 1.0)
    size = Vector3(JOINT_DIAMETER_M, JOINT_DIAMETER_M, JOINT_DIAMETER_M)
    points = [_point(joint) for joint in joints]
    bones = [points[end] for bone in BONES if all(known[end] for end in bone) for end in bone]
    return SceneEntity(
        timestamp=timestamp,
        frame_id=CAMERA_FRAME,
        id=f"{hand.pose.side.value} {hand.track_id}",
        lifetime=_NO_TIME,
        frame_locked=True,
        spheres=[
            SpherePrimitive(Pose(point, _IDENTITY.orientation), size, colour)
            for point, seen in zip(points, known, strict=True)
            if seen
        ],
        lines=[LinePrimitive(_LINE_LIST, _IDENTITY, BONE_THICKNESS_M, False, bones, colour, [], [])],
    )


def _point(joint: FloatArray) -> Vector3:
    x, y, z = np.round(joint, 6).tolist()
    return Vector3(x, y, z)
