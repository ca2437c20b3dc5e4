"""Hand Tracking Streamer's text, as that headset app sends it: bytes and values, no sockets.

A hand is two lines of UTF-8, and a hand that is lost is not sent:

    Right wrist | f = 123 | t = 4100000000:, x, y, z, qx, qy, qz, qw
    Right landmarks | f = 123 | t = 4100000000:, x, y, z, ... (21 joints, the wrist at zero)

``f`` counts frames, ``t`` is the capture time in nanoseconds. Lengths are metres in Unity's left-handed axes:
+x right, +y up, +z ahead, here of the camera. The wrist's own axes are OpenXR's as Unity has them: +z to the
fingers, +y out of the back of the hand; the sample in the app's own documentation agrees. Landmarks are in
these axes. With S and W the signs of ``axes.py`` for unity, R camera-from-wrist (OpenXR's wrist) and j the
joints, both in OpenCV's camera axes,

    position = S j0,   rotation = S R W,   landmarks = W R^T (j - j0)

There is one hand of each side: of several, the one followed longest.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from tracker.axes import AXES
from tracker.joints import NUM_JOINTS, WRIST, FloatArray, Side
from tracker.rotations import quaternion_from_rotation, rotation_from_quaternion
from tracker.structs import StreamInfo, TrackedFrame, TrackedHand

_UNITY = AXES["unity"]
_DECIMALS = 6
_LABELS = {"Left": Side.LEFT, "Right": Side.RIGHT}
_NAMES = {side: label for label, side in _LABELS.items()}
_LINE = re.compile(r"(Left|Right) (wrist|landmarks) \| f = (-?\d+) \| t = (-?\d+):((?:, *[-+.\deE]+)+)")


@dataclass(frozen=True, eq=False)
class StreamedHand:
    """One hand as the format holds it, in OpenCV's camera axes."""

    side: Side
    frame_index: int
    time_ns: int
    joints_in_camera_m: FloatArray
    """(21, 3)"""
    camera_from_wrist: FloatArray
    """(3, 3)"""


class HandTrackingStreamer:
    """The messages of a stream in this format: it has no header and no states."""

    def header(self, info: StreamInfo) -> bytes:
        """Nothing: the format says nothing of the camera."""
        return b""

    def state(self, state: str) -> bytes:
        """Nothing: a client sees that no hands come."""
        return b""

    def frame(self, tracked: TrackedFrame, info: StreamInfo) -> bytes:
        """The lines of all hands, empty where there is none."""
        return b"".join(encode_frame(tracked))


def encode_frame(tracked: TrackedFrame) -> tuple[bytes, ...]:
    """Each hand's two lines, both with their line's end."""
    time_ns = round(1e9 * tracked.capture_time_s)
    return tuple(
        encode_hand(
            StreamedHand(
                hand.pose.side,
                tracked.frame_index,
                time_ns,
                hand.pose.joints_in_camera_m,
                hand.pose.camera_from_wrist,
            )
        )
        for hand in streamed_hands(tracked.hands)
    )


def streamed_hands(hands: Iterable[TrackedHand]) -> tuple[TrackedHand, ...]:
    """What can be sent: one hand of each side, the one followed longest, if all of it is known."""
    chosen: dict[Side, TrackedHand] = {}
    for hand in sorted(hands, key=lambda hand: hand.track_id):
        pose = hand.pose
        if np.isfinite(pose.joints_in_camera_m).all() and np.isfinite(pose.camera_from_wrist).all():
            chosen.setdefault(pose.side, hand)
    return tuple(chosen.values())


def encode_hand(hand: StreamedHand) -> bytes:
    """The two lines of one hand."""
    joints = hand.joints_in_camera_m
    place = _UNITY.vectors(joints[WRIST])
    w, x, y, z = quaternion_from_rotation(_UNITY.camera_from_wrist(hand.camera_from_wrist))
    landmarks = (joints - joints[WRIST]) @ hand.camera_from_wrist * np.array(_UNITY.wrist_signs)
    side, stamp = _NAMES[hand.side], f"| f = {hand.frame_index} | t = {hand.time_ns}:"
    wrist_line = f"{side} wrist {stamp}, {_spell(np.array([*place, x, y, z, w]))}\n"
    return f"{wrist_line}{side} landmarks {stamp}, {_spell(landmarks.ravel())}\n".encode()


def decode_hands(text: bytes) -> tuple[StreamedHand, ...]:
    """The hands of whole lines as ``encode_hand`` writes them.

    Raises:
        ValueError: a line is not of this format, or one of a hand's two is missing.
    """
    lines = text.decode().splitlines()
    if len(lines) % 2:
        raise ValueError("a wrist has no landmarks")
    return tuple(_decode_hand(*lines[k : k + 2]) for k in range(0, len(lines), 2))


def _decode_hand(wrist_line: str, landmarks_line: str) -> StreamedHand:
    side, kind, *stamp, numbers = _match(wrist_line)
    other_side, other_kind, *other_stamp, other_numbers = _match(landmarks_line)
    if (kind, other_kind) != ("wrist", "landmarks") or (side, stamp) != (other_side, other_stamp):
        raise ValueError(f"two lines that are not one hand: {kind} and {other_kind}")
    wrist, landmarks = _numbers(numbers, 7), _numbers(other_numbers, 3 * NUM_JOINTS).reshape(-1, 3)
    camera_from_wrist = _UNITY.camera_from_wrist(rotation_from_quaternion(wrist[[6, 3, 4, 5]]))
    joints = _UNITY.vectors(wrist[:3]) + landmarks * np.array(_UNITY.wrist_signs) @ camera_from_wrist.T
    return StreamedHand(_LABELS[side], int(stamp[0]), int(stamp[1]), joints, camera_from_wrist)


def _match(line: str) -> tuple[str, ...]:
    found = _LINE.fullmatch(line)
    if found is None:
        raise ValueError(f"not a line of Hand Tracking Streamer: {line[:40]!r}")
    return found.groups()


def _numbers(text: str, count: int) -> FloatArray:
    values = np.array([float(value) for value in text.split(",")[1:]])
    if len(values) != count:
        raise ValueError(f"{len(values)} numbers, want {count}")
    return values


def _spell(values: FloatArray) -> str:
    rounded = np.round(values, _DECIMALS) + 0.0  # + 0.0: no "-0.000000"
    return ", ".join(f"{value:.{_DECIMALS}f}" for value in rounded.tolist())
