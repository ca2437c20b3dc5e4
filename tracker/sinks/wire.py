"""Bytes and values: wire format version 1, the one place that knows how results are spelled.

Pure functions, no files and no sockets. A message is one JSON object without a line break; its key ``type``
says which. Lengths are rounded to the micrometre and pixels to the hundredth: fine enough for second
differences over time, and a third of the bytes.
"""

import math
import time
from dataclasses import dataclass

import msgspec

from tracker.cameras import Camera, camera_from_json
from tracker.errors import CameraError, RecordingError, UnknownNameError
from tracker.sinks.layout import NATIVE, LaidOutHand, Layout, find_layout, lay_out, tracked_hand
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
    State,
)
from tracker.sinks.wire_numbers import (
    ROTATION_DECIMALS,
    array,
    known,
    nested,
    number,
    plain,
    quaternion,
    rotation,
)
from tracker.skeletons import HAND21
from tracker.structs import HandUsed, ManoParameters, StreamInfo, TrackedFrame, TrackedHand

_LENGTH_DECIMALS = 6
_TIME_DECIMALS = 6
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
    layout: Layout = NATIVE


def read_clock() -> Clock:
    """Both clocks now."""
    return Clock(monotonic_s=time.monotonic(), unix_s=time.time())


def encode_header(info: StreamInfo, clock: Clock, layout: Layout = NATIVE) -> bytes:
    """The header's line; arguments as for ``header_message``."""
    return _ENCODER.encode(header_message(info, clock, layout))


def header_message(info: StreamInfo, clock: Clock, layout: Layout = NATIVE) -> HeaderMessage:
    """The header of a stream that begins: ready for JSON or MessagePack.

    Args:
        info: what it says; a recording's clock, where it has one, as the capture times stay what they were.
        clock: both clocks now.
        layout: of the hands that follow.
    """
    clock = info.clock or clock
    return HeaderMessage(
        format=FORMAT,
        version=VERSION,
        source=_text(info.source),
        backend=info.backend,
        camera=info.camera.to_json(),
        camera_assumed=info.camera.assumed,
        axes=layout.axes.name,
        joint_names=list(layout.skeleton.joint_names),
        clock=Clock(round(clock.monotonic_s, _TIME_DECIMALS), round(clock.unix_s, _TIME_DECIMALS)),
        hand=_hand_used_message(info.hand),
        skeleton=layout.skeleton.name,
        weights=tuple(map(_text, info.weights)),
    )


def encode_frame(tracked: TrackedFrame, layout: Layout = NATIVE, camera: Camera | None = None) -> bytes:
    """The message of one frame's result; arguments as for ``frame_message``."""
    return _ENCODER.encode(frame_message(tracked, layout, camera))


def encode_state(state: str) -> bytes:
    """The message that the source's state changed."""
    return _ENCODER.encode(State(state))


def encode_error(message: str) -> bytes:
    """The message that something asked for cannot be done."""
    return _ENCODER.encode(Failure(_text(message)))


def decode_message(
    message: bytes | str, layout: Layout = NATIVE
) -> Header | TrackedFrame | State | Failure | None:
    """The value of one message; None for a type this version does not know.

    A frame's hands come back in our own joints and axes; ``layout`` is what the header before it said.

    Raises:
        RecordingError: not JSON, not a message of this format, or a header of another version.
    """
    try:
        envelope = _ENVELOPE.decode(message)
        match envelope.type:
            case "header":
                return _header(envelope, message)
            case "frame":
                return _tracked_frame(_FRAME.decode(message), layout)
            case "state":
                return _STATE.decode(message)
            case "error":
                return _FAILURE.decode(message)
            case _:
                return None
    except (msgspec.MsgspecError, ValueError, RecursionError, CameraError, UnknownNameError) as error:
        raise RecordingError(f"not a message of format {FORMAT}, version {VERSION}: {error}") from error


def frame_message(
    tracked: TrackedFrame, layout: Layout = NATIVE, camera: Camera | None = None
) -> FrameMessage:
    """One frame's result rounded, unknown numbers as None: ready for JSON or MessagePack.

    Args:
        tracked: the result.
        layout: how its hands are laid out; the header says the same.
        camera: that of the frame; needed where ``layout`` has joints that we have not.

    Raises:
        ValueError: a time is not finite.
    """
    if not (math.isfinite(tracked.capture_time_s) and math.isfinite(tracked.valid_at_s)):
        raise ValueError(f"frame {tracked.frame_index} has no finite time: {tracked.capture_time_s}")
    return FrameMessage(
        frame=int(tracked.frame_index),
        capture_time_s=round(float(tracked.capture_time_s), _TIME_DECIMALS),
        valid_at_s=round(float(tracked.valid_at_s), _TIME_DECIMALS),
        hands=[_hand_message(hand, layout, camera) for hand in tracked.hands],
        dropped_frames=int(tracked.dropped_frames),
        stage_ms={
            name: number(1e3 * value, _MILLISECOND_DECIMALS)
            for name, value in tracked.stage_durations_s.items()
        },
    )


def _hand_message(hand: TrackedHand, layout: Layout, camera: Camera | None) -> HandMessage:
    laid_out = lay_out(hand, layout, camera)
    return HandMessage(
        track_id=int(hand.track_id),
        side=hand.pose.side,
        score=number(hand.score, _SCORE_DECIMALS),
        unseen_s=number(hand.unseen_s, _TIME_DECIMALS),
        joints_px=nested(laid_out.joints_px, _PIXEL_DECIMALS),
        joints_in_camera_m=nested(laid_out.joints_in_camera_m, _LENGTH_DECIMALS),
        joint_scores=nested(laid_out.joint_scores, _SCORE_DECIMALS),
        wrist_rotation_wxyz=quaternion(laid_out.camera_from_wrist),
        velocity_m_per_s=nested(laid_out.velocity_m_per_s, _SPEED_DECIMALS),
        reprojection_error_px=number(hand.pose.reprojection_error_px, _PIXEL_DECIMALS),
        covariance_m2=nested(laid_out.covariance_m2, _VARIANCE_DECIMALS),
        observed_px=nested(laid_out.observed_px, _PIXEL_DECIMALS),
        mano=None if laid_out.mano is None else _mano_message(laid_out.mano),
        side_score=number(hand.side_score, _SCORE_DECIMALS),
    )


def _mano_message(mano: ManoParameters) -> ManoMessage:
    return ManoMessage(
        global_orient=nested(mano.global_orient, ROTATION_DECIMALS),
        hand_pose=nested(mano.hand_pose, ROTATION_DECIMALS),
        betas=nested(mano.betas, _LENGTH_DECIMALS),
        translation_m=nested(mano.translation_m, _LENGTH_DECIMALS),
        mirrored=bool(mano.mirrored),
    )


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
    layout = find_layout(header.skeleton or HAND21.name, header.axes)
    if header.joint_names != list(layout.skeleton.joint_names):
        raise ValueError(f"its joints are not those of {layout.skeleton.name}")
    info = StreamInfo(header.source, header.backend, camera, used, header.clock, header.weights)
    return Header(info, header.clock, layout)


def _tracked_frame(message: FrameMessage, layout: Layout) -> TrackedFrame:
    return TrackedFrame(
        frame_index=message.frame,
        capture_time_s=message.capture_time_s,
        valid_at_s=message.valid_at_s,
        hands=tuple(_tracked_hand(hand, layout) for hand in message.hands),
        stage_durations_s={name: known(value) / 1e3 for name, value in message.stage_ms.items()},
        dropped_frames=message.dropped_frames,
    )


def _tracked_hand(message: HandMessage, layout: Layout) -> TrackedHand:
    laid_out = LaidOutHand(
        joints_px=array(message.joints_px),
        joints_in_camera_m=array(message.joints_in_camera_m),
        joint_scores=array(message.joint_scores),
        camera_from_wrist=rotation(message.wrist_rotation_wxyz),
        velocity_m_per_s=array(message.velocity_m_per_s),
        covariance_m2=array(message.covariance_m2),
        observed_px=array(message.observed_px),
        mano=None if message.mano is None else _mano(message.mano),
    )
    return tracked_hand(
        laid_out,
        layout,
        track_id=message.track_id,
        side=message.side,
        score=known(message.score),
        side_score=known(message.side_score),
        unseen_s=known(message.unseen_s),
        reprojection_error_px=known(message.reprojection_error_px),
    )


def _mano(message: ManoMessage) -> ManoParameters:
    return ManoParameters(
        global_orient=array(message.global_orient),
        hand_pose=array(message.hand_pose),
        betas=array(message.betas),
        translation_m=array(message.translation_m),
        mirrored=message.mirrored,
    )


_ENCODER = msgspec.json.Encoder(enc_hook=plain)
_ENVELOPE = msgspec.json.Decoder(Envelope)
_HEADER = msgspec.json.Decoder(HeaderMessage)
_FRAME = msgspec.json.Decoder(FrameMessage)
_STATE = msgspec.json.Decoder(State)
_FAILURE = msgspec.json.Decoder(Failure)
