"""The values that flow between stages; shapes are checked when they are built.

All are frozen and compare by identity: comparing arrays does not give one bool. Arrays belong to the
value; a stage that wants to change one copies it.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from tracker.cameras import Camera
from tracker.hand_shape import HandShape
from tracker.joints import NUM_JOINTS, FloatArray, Side
from tracker.kinematic_hand import KinematicPose

ImageArray = npt.NDArray[np.uint8]


def _check_shape(name: str, array: npt.NDArray[np.generic], *shape: int) -> None:
    if array.shape != shape:
        raise ValueError(f"{name} has shape {array.shape}, want {shape}")


@dataclass(frozen=True, eq=False)
class Frame:
    """One picture from a source."""

    index: int
    """Position in the source, counting every picture that the source gave, used or dropped."""
    capture_time_s: float
    """Monotonic clock when live, presentation time for files."""
    image_rgb: ImageArray
    """(H, W, 3) upright picture, rotation metadata applied."""
    camera: Camera
    """Intrinsics for exactly this picture."""

    def __post_init__(self) -> None:
        _check_shape("image_rgb", self.image_rgb, self.camera.height, self.camera.width, 3)
        if self.image_rgb.dtype != np.uint8:
            raise ValueError(f"image_rgb holds {self.image_rgb.dtype}, want uint8 from 0 to 255")
        if not math.isfinite(self.capture_time_s):
            raise ValueError(f"capture_time_s is {self.capture_time_s}, want a finite time")


@dataclass(frozen=True, eq=False)
class HandBox:
    """A turned square in the picture around one hand, the fingers toward its upper edge."""

    center_px: FloatArray
    """(2,)"""
    size_px: float
    """Length of a side."""
    rotation_rad: float
    """Clockwise as seen (x right, y down); 0 is upright."""

    def __post_init__(self) -> None:
        _check_shape("center_px", self.center_px, 2)


@dataclass(frozen=True, eq=False)
class ManoParameters:
    """The right-hand MANO model's parameters for one hand; the left hand is that model mirrored in x."""

    global_orient: FloatArray
    """(3, 3)"""
    hand_pose: FloatArray
    """(15, 3, 3)"""
    betas: FloatArray
    """(10,)"""
    translation_m: FloatArray
    """(3,) from the model, mirrored where it is, to the camera. Until a hand is published it brings the
    model's mean joint to zero; then the model's joints come closest to the published ones."""
    mirrored: bool

    def __post_init__(self) -> None:
        _check_shape("global_orient", self.global_orient, 3, 3)
        _check_shape("hand_pose", self.hand_pose, 15, 3, 3)
        _check_shape("betas", self.betas, 10)
        _check_shape("translation_m", self.translation_m, 3)

    def turned(self, rotation: FloatArray, middle_from_wrist_m: FloatArray) -> "ManoParameters":
        """The parameters of a hand turned by ``rotation`` (3, 3) of the camera's axes, not yet published.

        MANO's wrist stays where its root turns, so its mean joint, at (3,) from there, goes around it. With M
        the mirror of a left hand, R M G = M (M R M) G.
        """
        mirror = np.array([-1.0 if self.mirrored else 1.0, 1.0, 1.0])
        return replace(
            self,
            global_orient=(mirror[:, None] * rotation * mirror) @ self.global_orient,
            translation_m=self.translation_m + middle_from_wrist_m - rotation @ middle_from_wrist_m,
        )


@dataclass(frozen=True, eq=False)
class HandEstimate:
    """What a network says of one hand: where its joints are in the picture, and its shape in metres."""

    side: Side
    joints_px: FloatArray
    """(21, 2)"""
    joints_from_wrist_m: FloatArray
    """(21, 3) in camera axes, the wrist at zero."""
    joint_scores: FloatArray
    """(21,) in [0, 1]"""
    mano: ManoParameters | None = None
    weak_joints_m: FloatArray | None = None
    """(21, 3) in the camera frame, where the network's own weak-perspective camera has them, without a turn
    to their ray; None of a network without such a camera."""
    knows_size: bool = True
    """Its size says something of the hand's; that of the light networks says little."""

    def __post_init__(self) -> None:
        _check_shape("joints_px", self.joints_px, NUM_JOINTS, 2)
        _check_shape("joints_from_wrist_m", self.joints_from_wrist_m, NUM_JOINTS, 3)
        _check_shape("joint_scores", self.joint_scores, NUM_JOINTS)
        if self.weak_joints_m is not None:
            _check_shape("weak_joints_m", self.weak_joints_m, NUM_JOINTS, 3)


@dataclass(frozen=True, eq=False)
class ExpectedRegion:
    """Where a live track expects its hand in the coming frame."""

    track_id: int
    side: Side
    box: HandBox
    unseen_s: float = 0.0
    """Above zero for a track that is coasting: its hand may be elsewhere, or gone."""


@dataclass(frozen=True, eq=False)
class HandDetection:
    """One hand that the light networks saw in a frame."""

    box: HandBox
    """Around the hand as just seen, from its landmarks: where to crop it, and where to look next."""
    p_right: float
    """The network's probability that this is a right hand."""
    presence: float
    """The network's probability that a hand is there."""
    estimate: HandEstimate
    expected_track_id: int | None = None
    """The track in whose expected region it was seen; None when palm detection found it."""


@dataclass(frozen=True, eq=False)
class ObservedHand:
    """A detection with its identity: the track it belongs to and the side decided for that track.

    The size is known once a backend has read the hand.
    """

    track_id: int
    side: Side
    detection: HandDetection
    hand_scale: float = 1.0
    """Factor on the backend's bone lengths: the track's hand size over its size in this frame."""
    shape: HandShape | None = None
    """The track's bones, measured over time or given by the user; None until there is something to go by."""
    predicted: KinematicPose | None = None
    """How the track expects the hand in this frame; None where it has no pose to go on from."""
    predicted_over_s: float = 0.0
    """Time since the frame that the prediction goes on from."""
    may_recover_fingers: bool = True
    """Whether fingers far from their rays may be bent anew; not where that has just failed."""


@dataclass(frozen=True, eq=False)
class HandPose:
    """One hand placed in the camera frame."""

    side: Side
    joints_in_camera_m: FloatArray
    """(21, 3)"""
    camera_from_wrist: FloatArray
    """(3, 3) rotation of the wrist's OpenXR axes."""
    covariance_m2: FloatArray
    """(3, 3) of the hand's position; range is far less certain than bearing."""
    reprojection_error_px: float
    """Weighted RMS distance between the placed joints' projections and ``observed_px``."""
    observed_px: FloatArray
    """(21, 2) what the network saw."""
    joint_scores: FloatArray
    """(21,) in [0, 1]"""
    mano: ManoParameters | None = None
    kinematics: KinematicPose | None = None
    """The same joints as a pose of ``shape``; None where they were not fitted as a kinematic hand."""
    shape: HandShape | None = None

    fingers_lost: bool = False
    """Whether fingers lay far from their rays, and bending them anew was no better."""

    def __post_init__(self) -> None:
        _check_shape("joints_in_camera_m", self.joints_in_camera_m, NUM_JOINTS, 3)
        _check_shape("camera_from_wrist", self.camera_from_wrist, 3, 3)
        _check_shape("covariance_m2", self.covariance_m2, 3, 3)
        _check_shape("observed_px", self.observed_px, NUM_JOINTS, 2)
        _check_shape("joint_scores", self.joint_scores, NUM_JOINTS)


@dataclass(frozen=True, eq=False)
class TrackedHand:
    """A hand with its identity and motion: what is published."""

    track_id: int
    score: float
    """How sure the tracker is that this hand is there, in [0, 1]."""
    unseen_s: float
    """Seconds since the hand was last seen; above zero while it coasts through a short loss."""
    pose: HandPose
    """Smoothed."""
    joints_px: FloatArray
    """(21, 2) projection of ``pose.joints_in_camera_m``; NaN where a joint has no image."""
    velocity_m_per_s: FloatArray
    """(21, 3)"""
    side_score: float = 1.0
    """How sure the side is, in [0, 1]; below a half while evidence for the other side gathers."""

    def __post_init__(self) -> None:
        _check_shape("joints_px", self.joints_px, NUM_JOINTS, 2)
        _check_shape("velocity_m_per_s", self.velocity_m_per_s, NUM_JOINTS, 3)


@dataclass(frozen=True, eq=False)
class TrackedFrame:
    """Everything the tracker says of one frame; it holds no picture."""

    frame_index: int
    capture_time_s: float
    valid_at_s: float
    """The time the hands are given for: the capture time, or later when predicted."""
    hands: tuple[TrackedHand, ...]
    stage_durations_s: Mapping[str, float] = field(default_factory=dict)
    dropped_frames: int = 0
    """Frames of the source dropped so far because newer ones were waiting."""


@dataclass(frozen=True)
class HandUsed:
    """A hand whose bones the tracker was told, rather than measuring them itself."""

    name: str
    palm_width_m: float


@dataclass(frozen=True)
class Clock:
    """One moment on two clocks, so that readers can place ``capture_time_s`` in the day."""

    monotonic_s: float
    unix_s: float


@dataclass(frozen=True)
class StreamInfo:
    """What holds for a run of frames: where they come from and how they are seen."""

    source: str
    backend: str
    camera: Camera
    hand: HandUsed | None = None
    clock: Clock | None = field(default=None, compare=False)
    """One moment of the run that capture times are of, where it is not this one: of a recording."""
    weights: tuple[str, ...] = ()
    """Names of the files of weights that were named; none where the backend reads those it has of itself."""
