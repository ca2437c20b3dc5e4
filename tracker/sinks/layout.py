"""How JSON messages lay hands out: which joints, in whose axes.

Pure maps between a ``TrackedHand`` and the arrays of its message. Pixels are the picture's and stay as they
are. MANO's parameters pose a model about its own root joint, which no change of axes can be written into, so
they are left out in any axes but OpenCV's.
"""

from dataclasses import dataclass

from tracker.axes import AXES, OPENCV, Axes
from tracker.cameras import Camera
from tracker.errors import UnknownNameError
from tracker.joints import FloatArray, Side
from tracker.skeletons import HAND21, SKELETONS, Skeleton
from tracker.structs import HandPose, ManoParameters, TrackedHand


@dataclass(frozen=True)
class Layout:
    """A joint set and axes."""

    skeleton: Skeleton = HAND21
    axes: Axes = OPENCV


NATIVE = Layout()
"""As hands are inside this package."""


@dataclass(frozen=True, eq=False)
class LaidOutHand:
    """The arrays of one hand, J joints in a layout's order and axes."""

    joints_px: FloatArray
    """(J, 2)"""
    joints_in_camera_m: FloatArray
    """(J, 3)"""
    joint_scores: FloatArray
    """(J,)"""
    camera_from_wrist: FloatArray
    """(3, 3)"""
    velocity_m_per_s: FloatArray
    """(J, 3)"""
    covariance_m2: FloatArray
    """(3, 3)"""
    observed_px: FloatArray
    """(J, 2)"""
    mano: ManoParameters | None


def find_layout(skeleton: str, axes: str) -> Layout:
    """The layout of these names.

    Raises:
        UnknownNameError: a name is unknown.
    """
    if skeleton not in SKELETONS:
        raise UnknownNameError(f"the skeleton {skeleton!r} is unknown; choose one of {', '.join(SKELETONS)}")
    if axes not in AXES:
        raise UnknownNameError(f"the axes {axes!r} are unknown; choose one of {', '.join(AXES)}")
    layout = Layout(SKELETONS[skeleton], AXES[axes])
    return NATIVE if layout == NATIVE else layout


def lay_out(hand: TrackedHand, layout: Layout, camera: Camera | None) -> LaidOutHand:
    """A hand's arrays in ``layout``; ``camera`` projects the joints that a larger skeleton adds."""
    pose, skeleton, axes = hand.pose, layout.skeleton, layout.axes
    if layout is NATIVE:
        return LaidOutHand(
            joints_px=hand.joints_px,
            joints_in_camera_m=pose.joints_in_camera_m,
            joint_scores=pose.joint_scores,
            camera_from_wrist=pose.camera_from_wrist,
            velocity_m_per_s=hand.velocity_m_per_s,
            covariance_m2=pose.covariance_m2,
            observed_px=pose.observed_px,
            mano=pose.mano,
        )
    joints_m = skeleton.vectors(pose.joints_in_camera_m)
    joints_px = hand.joints_px
    if skeleton.made:
        assert camera is not None, f"{skeleton.name} has joints that must be projected"
        joints_px = skeleton.seen(joints_px)
        made = list(skeleton.made)
        joints_px[made] = camera.project(joints_m[made])
    return LaidOutHand(
        joints_px=joints_px,
        joints_in_camera_m=axes.vectors(joints_m),
        joint_scores=skeleton.scores(pose.joint_scores),
        camera_from_wrist=axes.camera_from_wrist(pose.camera_from_wrist),
        velocity_m_per_s=axes.vectors(skeleton.vectors(hand.velocity_m_per_s)),
        covariance_m2=axes.covariance(pose.covariance_m2),
        observed_px=skeleton.seen(pose.observed_px),
        mano=pose.mano if axes == OPENCV else None,
    )


def tracked_hand(
    laid_out: LaidOutHand,
    layout: Layout,
    *,
    track_id: int,
    side: Side,
    score: float,
    side_score: float,
    unseen_s: float,
    reprojection_error_px: float,
) -> TrackedHand:
    """The hand again, from its arrays in ``layout``.

    Raises:
        ValueError: an array has another number of joints than the layout.
    """
    ours, axes = layout.skeleton.ours, layout.axes
    pose = HandPose(
        side=side,
        joints_in_camera_m=axes.vectors(ours(laid_out.joints_in_camera_m)),
        camera_from_wrist=axes.camera_from_wrist(laid_out.camera_from_wrist),
        covariance_m2=axes.covariance(laid_out.covariance_m2),
        reprojection_error_px=reprojection_error_px,
        observed_px=ours(laid_out.observed_px),
        joint_scores=ours(laid_out.joint_scores),
        mano=laid_out.mano,
    )
    return TrackedHand(
        track_id=track_id,
        score=score,
        unseen_s=unseen_s,
        pose=pose,
        joints_px=ours(laid_out.joints_px),
        velocity_m_per_s=axes.vectors(ours(laid_out.velocity_m_per_s)),
        side_score=side_score,
    )
