"""Smooth recorded tracks from both sides of each frame: what no live tracker can do, and without any lag.

Each track is smoothed in the terms in which a camera errs: bearing, logarithm of the range, rotation (as a
quaternion) and joint angles, or joints about the palm where there are none; ``hindsight.py`` smooths each.

Frames in which a hand was lost and found again are filled in between; coasting past the last sight is undone.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from tracker.cameras import Camera
from tracker.joints import WRIST, FloatArray, camera_from_wrist
from tracker.kinematic_hand import KinematicPose, joints
from tracker.rotations import quaternion_from_rotation, rotation_from_quaternion
from tracker.structs import HandPose, TrackedFrame, TrackedHand
from tracker.temporal.hindsight import HindsightSmoother, MotionParameters
from tracker.temporal.smoothing import MAX_STEP_M, PALM

Recorded = Sequence[tuple[TrackedFrame, Camera]]
"""Frames in order, their hands as they were measured, and the cameras that saw them."""


@dataclass(frozen=True)
class TwoSidedConfig:
    """How recorded tracks are smoothed."""

    bearing: MotionParameters = field(default=MotionParameters(0.004, 0.02, 1.0))
    """Of a unit vector; its noise has no unit."""
    log_range: MotionParameters = field(default=MotionParameters(0.03, 0.006, 6.0))
    """The speed across the ray counts as well as its own: it is seen far better."""
    rotation: MotionParameters = field(default=MotionParameters(0.06, 0.1, 1.0))
    """Of a quaternion: half of the angle."""
    angles: MotionParameters = field(default=MotionParameters(0.15, 0.1, 1.0))
    joints: MotionParameters = field(default=MotionParameters(0.004, 0.001, 1.0))
    """Of joints about the palm, for hands without angles."""
    doubt_sd: float = 2.0
    """A measurement farther off than this many sd counts less the farther off it is."""
    max_step_m: float = MAX_STEP_M
    """As of live hands."""


def smooth_recorded(recorded: Recorded, config: TwoSidedConfig | None = None) -> list[TrackedFrame]:
    """The frames with every track smoothed; tracks, sides and times stay, hands never seen again go."""
    config = config or TwoSidedConfig()
    hands: list[dict[int, TrackedHand]] = [{} for _ in recorded]
    for piece in _pieces(recorded):
        for frame, hand in zip(piece.frames, _smoothed(piece, recorded, config), strict=True):
            hands[frame][hand.track_id] = hand
    return [
        replace(
            tracked,
            hands=tuple(found[hand.track_id] for hand in tracked.hands if hand.track_id in found),
        )
        for (tracked, _), found in zip(recorded, hands, strict=True)
    ]


@dataclass(frozen=True, eq=False)
class _Piece:
    """One track from its first to its last sight as a hand of one side, times never falling."""

    frames: list[int]
    hands: list[TrackedHand]


def _pieces(recorded: Recorded) -> Iterator[_Piece]:
    """Tracks cut where their side changes or time goes back, without what follows their last sight."""
    open_pieces: dict[int, _Piece] = {}
    last_s = -np.inf
    for frame, (tracked, _) in enumerate(recorded):
        if tracked.capture_time_s < last_s:
            yield from _closed(open_pieces)
        last_s = tracked.capture_time_s
        for hand in tracked.hands:
            piece = open_pieces.get(hand.track_id)
            if piece is None or piece.hands[0].pose.side is not hand.pose.side:
                if hand.unseen_s > 0:  # nothing to go on from
                    continue
                if piece is not None:
                    yield _until_last_sight(piece)
                piece = open_pieces[hand.track_id] = _Piece([], [])
            piece.frames.append(frame)
            piece.hands.append(hand)
    yield from _closed(open_pieces)


def _closed(pieces: dict[int, _Piece]) -> Iterator[_Piece]:
    yield from (_until_last_sight(piece) for piece in pieces.values())
    pieces.clear()


def _until_last_sight(piece: _Piece) -> _Piece:
    count = max(index for index, hand in enumerate(piece.hands) if hand.unseen_s == 0) + 1
    return _Piece(piece.frames[:count], piece.hands[:count])


def _smoothed(piece: _Piece, recorded: Recorded, config: TwoSidedConfig) -> list[TrackedHand]:
    """The hands of a piece, smoothed."""
    times_s = np.array([recorded[frame][0].capture_time_s for frame in piece.frames])
    seen = np.array([hand.unseen_s == 0 for hand in piece.hands])
    poses = [hand.pose for hand in piece.hands]
    palms_m = _smooth_palms(times_s, seen, poses, config)
    bent = all(pose.kinematics is not None and pose.shape is not None for pose in poses)
    bend = _smooth_angles if bent else _smooth_joints
    poses = _at_palms(bend(times_s, seen, poses, config), palms_m)
    velocities = _velocities(times_s, np.array([pose.joints_in_camera_m for pose in poses]))
    return [
        replace(
            hand,
            pose=_with_moved_mano(pose, hand.pose),
            joints_px=recorded[frame][1].project(pose.joints_in_camera_m),
            velocity_m_per_s=velocity,
        )
        for frame, hand, pose, velocity in zip(piece.frames, piece.hands, poses, velocities, strict=True)
    ]


def _smooth_palms(
    times_s: FloatArray, seen: FloatArray, poses: Sequence[HandPose], config: TwoSidedConfig
) -> FloatArray:
    """Palm centres (T, 3): bearing and range apart."""
    palms_m = np.array([pose.joints_in_camera_m[PALM].mean(axis=0) for pose in poses])
    distances_m = np.linalg.norm(palms_m, axis=-1, keepdims=True)
    smoother = HindsightSmoother(times_s, seen, config.doubt_sd)
    bearings = smoother((palms_m / distances_m)[:, None], config.bearing, freedom=2)
    speeds = smoother.speeds
    log_ranges = smoother(np.log(distances_m)[:, None], config.log_range, freedom=1, speeds=speeds)
    bearings /= np.linalg.norm(bearings, axis=-1, keepdims=True)
    return _without_leaps((bearings * np.exp(log_ranges))[:, 0], config.max_step_m)


def _without_leaps(path_m: FloatArray, max_step_m: float) -> FloatArray:
    """A path (T, 3) that follows another in steps of ``max_step_m`` at most."""
    followed = path_m.copy()
    for index in range(1, len(followed)):
        step = path_m[index] - followed[index - 1]
        length_m = float(np.linalg.norm(step))
        if length_m > max_step_m:
            followed[index] = followed[index - 1] + step * (max_step_m / length_m)
    return followed


def _smooth_angles(
    times_s: FloatArray, seen: FloatArray, poses: Sequence[HandPose], config: TwoSidedConfig
) -> list[HandPose]:
    """The poses with their rotation and joint angles smoothed, their joints made of those."""
    fitted = [pose.kinematics for pose in poses if pose.kinematics is not None]
    rotations = np.array([kinematics.camera_from_wrist for kinematics in fitted])
    angles = np.array([kinematics.angles_rad for kinematics in fitted])
    quaternions = _without_sign_changes(quaternion_from_rotation(rotations))
    smoother = HindsightSmoother(times_s, seen, config.doubt_sd)
    turns = rotation_from_quaternion(smoother(quaternions[:, None], config.rotation, freedom=3)[:, 0])
    bends = smoother(angles.reshape(len(poses), -1, 1), config.angles, freedom=1).reshape(angles.shape)
    smoothed = []
    for pose, turn, bend in zip(poses, turns, bends, strict=True):
        assert pose.shape is not None
        kinematics = KinematicPose(np.zeros(3), turn, bend)
        joints_m = joints(pose.shape, kinematics, pose.side)
        smoothed.append(
            replace(pose, joints_in_camera_m=joints_m, camera_from_wrist=turn, kinematics=kinematics)
        )
    return smoothed


def _smooth_joints(
    times_s: FloatArray, seen: FloatArray, poses: Sequence[HandPose], config: TwoSidedConfig
) -> list[HandPose]:
    """The poses with their joints smoothed about the palm."""
    joints_m = np.array([pose.joints_in_camera_m for pose in poses])
    about_m = joints_m - joints_m[:, PALM].mean(axis=1, keepdims=True)
    smooth_m = HindsightSmoother(times_s, seen, config.doubt_sd)(about_m, config.joints, freedom=3)
    return [
        replace(
            pose,
            joints_in_camera_m=about,
            camera_from_wrist=camera_from_wrist(about, pose.side),
            kinematics=None,
        )
        for pose, about in zip(poses, smooth_m, strict=True)
    ]


def _at_palms(poses: Sequence[HandPose], palms_m: FloatArray) -> list[HandPose]:
    """The poses moved to palm centres (T, 3)."""
    moved = []
    for pose, palm_m in zip(poses, palms_m, strict=True):
        joints_m = pose.joints_in_camera_m + (palm_m - pose.joints_in_camera_m[PALM].mean(axis=0))
        kinematics = pose.kinematics
        if kinematics is not None:
            kinematics = replace(kinematics, wrist_in_camera_m=joints_m[WRIST])
        moved.append(replace(pose, joints_in_camera_m=joints_m, kinematics=kinematics))
    return moved


def _with_moved_mano(pose: HandPose, before: HandPose) -> HandPose:
    """The pose with MANO's model moved as the mean of its joints was; its own angles stay as read."""
    if pose.mano is None:
        return pose
    moved_m = pose.joints_in_camera_m.mean(axis=0) - before.joints_in_camera_m.mean(axis=0)
    return replace(pose, mano=replace(pose.mano, translation_m=pose.mano.translation_m + moved_m))


def _without_sign_changes(quaternions: FloatArray) -> FloatArray:
    """Quaternions (T, 4) of the same rotations, each on the side of the one before."""
    away = (quaternions[1:] * quaternions[:-1]).sum(axis=-1) < 0
    return quaternions * np.where(np.append(False, away).cumsum() % 2, -1.0, 1.0)[:, None]


def _velocities(times_s: FloatArray, joints_m: FloatArray) -> FloatArray:
    """Velocities (T, 21, 3) of joints (T, 21, 3) by central differences; frames of one time share one."""
    moments_s, first, which = np.unique(times_s, return_index=True, return_inverse=True)
    if len(moments_s) < 2:
        return np.zeros_like(joints_m)
    return np.asarray(np.gradient(joints_m[first], moments_s, axis=0)[which])
