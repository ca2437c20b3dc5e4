"""Bytes and values: wire format version 1, the one place that knows how results are spelled.

Pure functions, no files and no sockets. A message is one JSON object without a line break; its key ``type``
says which. Lengths are rounded to the micrometre and pixels to the hundredth: fine enough for second
differences over time, and a third of the bytes.
"""

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from tracker.cameras import camera_from_json
from tracker.errors import CameraError, RecordingError
from tracker.joints import JOINT_NAMES, FloatArray
from tracker.rotations import quaternion_from_rotation, rotation_from_quaternion
from tracker.sinks.messages import (
    FORMAT,
    VERSION,
    Clock,
    Envelope,
    Failure,
    FrameMessage,
    HandMessage,
    HandUsedMessage,
    HeaderMessage,
    ManoMessage,
    Number,
    Row,
    Rows,
    State,
)
from tracker.structs import HandPose, HandUsed, ManoParameters, StreamInfo, TrackedFrame, TrackedHand

_LENGTH_DECIMALS = 6
_TIME_DECIMALS = 6
_ROTATION_DECIMALS = 6
_PIXEL_DECIMALS = 2
_SCORE_DECIMALS = 4
_SPEED_DECIMALS = 5
_VARIANCE_DECIMALS = 12
_MILLISECOND_DECIMALS = 3


@dataclass(frozen=True)
class Header:
    """What holds for the frames that follow, until the next header."""

    info: StreamInfo
    clock: Clock


def read_clock() -> Clock:
    """Both clocks now."""
    return Clock(monotonic_s=time.monotonic(), unix_s=time.time())


def encode_header(info: StreamInfo, clock: Clock) -> bytes:
    """The header message of a stream that begins."""
    message = HeaderMessage(
        format=FORMAT,
        version=VERSION,
        source=_text(info.source),
        backend=info.backend,
        camera=info.camera.to_json(),
        camera_assumed=info.camera.assumed,
        axes="opencv",
        joint_names=list(JOINT_NAMES),
        clock=Clock(round(clock.monotonic_s, _TIME_DECIMALS), round(clock.unix_s, _TIME_DECIMALS)),
        hand=_hand_used_message(info.hand),
    )
    return _ENCODER.encode(message)


def encode_frame(tracked: TrackedFrame) -> bytes:
    """The message of one frame's result."""
    return _ENCODER.encode(frame_message(tracked))


def encode_state(state: str) -> bytes:
    """The message that the source's state changed."""
    return _ENCODER.encode(State(state))


def encode_error(message: str) -> bytes:
    """The message that something asked for cannot be done."""
    return _ENCODER.encode(Failure(_text(message)))


def decode_message(message: bytes | str) -> Header | TrackedFrame | State | Failure | None:
    """The value of one message; None for a type this version does not know.

    Raises:
        RecordingError: not JSON, not a message of this format, or a header of another version.
    """
    try:
        envelope = _ENVELOPE.decode(message)
        match envelope.type:
            case "header":
                return _header(envelope, message)
            case "frame":
                return _tracked_frame(_FRAME.decode(message))
            case "state":
                return _STATE.decode(message)
            case "error":
                return _FAILURE.decode(message)
            case _:
                return None
    except (msgspec.MsgspecError, ValueError, RecursionError, CameraError) as error:
        raise RecordingError(f"not a message of format {FORMAT}, version {VERSION}: {error}") from error


def frame_message(tracked: TrackedFrame) -> FrameMessage:
    """One frame's result rounded, unknown numbers as None: ready for JSON or MessagePack.

    Raises:
        ValueError: a time is not finite.
    """
    if not (math.isfinite(tracked.capture_time_s) and math.isfinite(tracked.valid_at_s)):
        raise ValueError(f"frame {tracked.frame_index} has no finite time: {tracked.capture_time_s}")
    return FrameMessage(
        frame=int(tracked.frame_index),
        capture_time_s=round(float(tracked.capture_time_s), _TIME_DECIMALS),
        valid_at_s=round(float(tracked.valid_at_s), _TIME_DECIMALS),
        hands=[_hand_message(hand) for hand in tracked.hands],
        dropped_frames=int(tracked.dropped_frames),
        stage_ms=_milliseconds(tracked.stage_durations_s),
    )


def _hand_message(hand: TrackedHand) -> HandMessage:
    pose = hand.pose
    return HandMessage(
        track_id=int(hand.track_id),
        side=pose.side,
        score=_number(hand.score, _SCORE_DECIMALS),
        unseen_s=_number(hand.unseen_s, _TIME_DECIMALS),
        joints_px=_nested(hand.joints_px, _PIXEL_DECIMALS),
        joints_in_camera_m=_nested(pose.joints_in_camera_m, _LENGTH_DECIMALS),
        joint_scores=_nested(pose.joint_scores, _SCORE_DECIMALS),
        wrist_rotation_wxyz=_quaternion(pose.camera_from_wrist),
        velocity_m_per_s=_nested(hand.velocity_m_per_s, _SPEED_DECIMALS),
        reprojection_error_px=_number(pose.reprojection_error_px, _PIXEL_DECIMALS),
        covariance_m2=_nested(pose.covariance_m2, _VARIANCE_DECIMALS),
        observed_px=_nested(pose.observed_px, _PIXEL_DECIMALS),
        mano=None if pose.mano is None else _mano_message(pose.mano),
        side_score=_number(hand.side_score, _SCORE_DECIMALS),
    )


def _mano_message(mano: ManoParameters) -> ManoMessage:
    return ManoMessage(
        global_orient=_nested(mano.global_orient, _ROTATION_DECIMALS),
        hand_pose=_nested(mano.hand_pose, _ROTATION_DECIMALS),
        betas=_nested(mano.betas, _LENGTH_DECIMALS),
        translation_m=_nested(mano.translation_m, _LENGTH_DECIMALS),
        mirrored=bool(mano.mirrored),
    )


def _number(value: float, decimals: int) -> Number:
    """``value`` rounded, None where it is not finite."""
    value = float(value)
    return round(value, decimals) + 0.0 if math.isfinite(value) else None  # + 0.0: no "-0.0"


def _nested(values: npt.NDArray[np.floating[Any]], decimals: int) -> Any:
    """Nested lists of ``values`` rounded, None where not finite."""
    scale = 10.0**decimals
    rounded = np.rint(values.astype(np.float64) * scale) / scale + 0.0  # + 0.0: no "-0.0"
    finite = np.isfinite(rounded)
    if finite.all():
        return rounded.tolist()
    nullable = rounded.astype(object)
    nullable[~finite] = None
    return nullable.tolist()


def _quaternion(rotation: FloatArray) -> Row | None:
    if not np.isfinite(rotation).all():
        return None
    wxyz: Row = _nested(quaternion_from_rotation(rotation), _ROTATION_DECIMALS)
    return wxyz


def _milliseconds(durations_s: Mapping[str, float]) -> dict[str, Number]:
    return {name: _number(1e3 * value, _MILLISECOND_DECIMALS) for name, value in durations_s.items()}


def _hand_used_message(hand: HandUsed | None) -> HandUsedMessage | None:
    if hand is None:
        return None
    return HandUsedMessage(_text(hand.name), round(hand.palm_width_m * 1e3, 3))


def _text(text: str) -> str:
    """``text`` with what UTF-8 cannot hold (file names of undecodable bytes) written as escapes."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def _header(envelope: Envelope, message: bytes | str) -> Header:
    if envelope.format != FORMAT:
        raise ValueError(f"its format is {envelope.format!r}")
    if envelope.version != VERSION:
        raise RecordingError(
            f"found wire format version {envelope.version}, this program reads version {VERSION}; "
            "use the program version that wrote it"
        )
    header = _HEADER.decode(message)
    camera = camera_from_json(header.camera, assumed=header.camera_assumed)
    used = (
        None if header.hand is None else HandUsed(header.hand.name, round(header.hand.palm_width_mm / 1e3, 6))
    )
    return Header(StreamInfo(header.source, header.backend, camera, used), header.clock)


def _tracked_frame(message: FrameMessage) -> TrackedFrame:
    return TrackedFrame(
        frame_index=message.frame,
        capture_time_s=message.capture_time_s,
        valid_at_s=message.valid_at_s,
        hands=tuple(_tracked_hand(hand) for hand in message.hands),
        stage_durations_s={name: _float(value) / 1e3 for name, value in message.stage_ms.items()},
        dropped_frames=message.dropped_frames,
    )


def _tracked_hand(message: HandMessage) -> TrackedHand:
    pose = HandPose(
        side=message.side,
        joints_in_camera_m=_array(message.joints_in_camera_m),
        camera_from_wrist=_rotation(message.wrist_rotation_wxyz),
        covariance_m2=_array(message.covariance_m2),
        reprojection_error_px=_float(message.reprojection_error_px),
        observed_px=_array(message.observed_px),
        joint_scores=_array(message.joint_scores),
        mano=None if message.mano is None else _mano(message.mano),
    )
    return TrackedHand(
        track_id=message.track_id,
        score=_float(message.score),
        unseen_s=_float(message.unseen_s),
        pose=pose,
        joints_px=_array(message.joints_px),
        velocity_m_per_s=_array(message.velocity_m_per_s),
        side_score=_float(message.side_score),
    )


def _mano(message: ManoMessage) -> ManoParameters:
    return ManoParameters(
        global_orient=_array(message.global_orient),
        hand_pose=_array(message.hand_pose),
        betas=_array(message.betas),
        translation_m=_array(message.translation_m),
        mirrored=message.mirrored,
    )


def _float(value: Number) -> float:
    return math.nan if value is None else value


def _array(values: Row | Rows | list[Rows]) -> FloatArray:
    """The array of nested lists, NaN for None; ragged lists raise ValueError."""
    return np.array(values, dtype=np.float64)


def _rotation(wxyz: Row | None) -> FloatArray:
    """Rotation (3, 3); NaN where the wire says unknown."""
    if wxyz is None or None in wxyz:
        return np.full((3, 3), math.nan)
    quaternion = _array(wxyz)
    if quaternion.shape != (4,) or not np.linalg.norm(quaternion) > 1e-9:
        raise ValueError(f"wrist_rotation_wxyz {wxyz} is not a quaternion")
    return rotation_from_quaternion(quaternion)


def _plain(value: object) -> object:
    """Numpy's own numbers as Python's, for the encoder."""
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"cannot encode {type(value).__name__}")


_ENCODER = msgspec.json.Encoder(enc_hook=_plain)
_ENVELOPE = msgspec.json.Decoder(Envelope)
_HEADER = msgspec.json.Decoder(HeaderMessage)
_FRAME = msgspec.json.Decoder(FrameMessage)
_STATE = msgspec.json.Decoder(State)
_FAILURE = msgspec.json.Decoder(Failure)
