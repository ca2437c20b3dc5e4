"""The messages of wire format version 1, each field as it is spelled on the wire.

Unknown numbers are null, never NaN, also inside lists. Keys that are not named here are ignored.
"""

import msgspec

from tracker.joints import Side
from tracker.structs import Clock as Clock

FORMAT = "hand-track"
VERSION = 1

Number = float | None
Row = list[Number]
Rows = list[Row]


class State(msgspec.Struct, frozen=True, tag_field="type", tag="state"):
    """The source changed: ``playing``, ``lost`` or ``ended``."""

    state: str


class Failure(msgspec.Struct, frozen=True, tag_field="type", tag="error"):
    """The sender could not do what was asked; one line for a person."""

    message: str


class HandUsedMessage(msgspec.Struct):
    """``HandUsed`` as spelled on the wire."""

    name: str
    palm_width_mm: float


class HeaderMessage(msgspec.Struct, tag_field="type", tag="header", omit_defaults=True):
    """``Header`` as spelled on the wire."""

    format: str
    version: int
    source: str
    backend: str
    camera: dict[str, object]
    camera_assumed: bool
    axes: str
    joint_names: list[str]
    clock: Clock
    hand: HandUsedMessage | None = None
    skeleton: str | None = None
    """Absent in recordings made before there was a choice: hand21."""
    weights: tuple[str, ...] = ()


class ManoMessage(msgspec.Struct):
    """``ManoParameters`` as spelled on the wire: rotation matrices of the right-hand model."""

    global_orient: Rows
    hand_pose: list[Rows]
    betas: Row
    translation_m: Row
    mirrored: bool


class HandMessage(msgspec.Struct):
    """``TrackedHand`` as spelled on the wire; joints and axes as the header names them."""

    track_id: int
    side: Side
    score: Number
    unseen_s: Number
    joints_px: Rows
    joints_in_camera_m: Rows
    joint_scores: Row
    wrist_rotation_wxyz: Row | None
    velocity_m_per_s: Rows
    reprojection_error_px: Number
    covariance_m2: Rows
    observed_px: Rows
    mano: ManoMessage | None = None
    side_score: Number = 1.0


class FrameMessage(msgspec.Struct, tag_field="type", tag="frame"):
    """``TrackedFrame`` as spelled on the wire."""

    frame: int
    capture_time_s: float
    valid_at_s: float
    hands: list[HandMessage]
    dropped_frames: int = 0
    stage_ms: dict[str, Number] = {}


class Envelope(msgspec.Struct):
    """What is looked at before the rest, because the rest may be of another version."""

    type: str
    format: str = ""
    version: int | float | str = 0
