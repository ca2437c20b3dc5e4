"""Place hands whose bones are known as kinematic hands (``kinematic_fit.py``), all of a frame at once.

A fit goes on from a prediction or from the closed form; where it is stuck, all of it or in a finger, it is
tried again from the network's pose. A hand that does not bend as it was read keeps the closed form.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from tracker.cameras import Camera
from tracker.errors import PlacementError
from tracker.hand_shape import HandShape, mirror_sign
from tracker.joints import FINGERS, NUM_JOINTS, FloatArray, camera_from_wrist
from tracker.kinematic_fit import Evidence, Fit, FitConfig, PoseArrays, Pull, fit
from tracker.kinematic_hand import (
    ANGLE_LOWER_RAD,
    ANGLE_UPPER_RAD,
    NUM_PARAMETERS,
    KinematicPose,
    joints,
    pose_from_joints,
)
from tracker.placement.closed_form import (
    PALM,
    BoolArray,
    closest_to_rays,
    place_hand,
    ray_offsets,
    rays_in_view,
    weighted_rms,
)
from tracker.structs import HandEstimate, HandPose

_TIPS = [chain[-1] for chain in FINGERS.values()]
RESTART_M = 0.010
"""A fit from a prediction whose joints lie farther than this from their rays, in the mean, is tried again
from the network's pose."""
RESTART_RAD = 0.8
"""So is one turned by more than this from the network's hand, whose orientation is mostly good to 0.15 to
0.25. In recorded clips that starts one fit in a hundred again; it is no help where the network is wrong."""
RESTART_GAIN = 0.85
"""The second start is taken where it brings joints so much closer to their rays."""
LOST_TIP_M = 0.015
"""A finger whose tip lies farther than this from its ray is bent anew as the network has it: Tukey's weights
let go of a finger that its prediction left behind, and would never take it back."""
LOST_TIP_SHARE = 0.1
"""Share of its score that such a tip has left."""
RECOVERY_ITERATIONS = 3
RESTART_ITERATIONS = 4
MIN_ELAPSED_S = 1e-3
THUMB_TRUST = 0.5
"""Weight of the thumb's joints: it has more freedoms than four angles, and networks differ on its base."""
JOINT_TRUST = np.where(np.isin(np.arange(NUM_JOINTS), FINGERS["thumb"]), THUMB_TRUST, 1.0)
MAX_MISFIT_M = 0.012
"""A hand whose joints lie farther than this from their rays was misread: of the other side, or no hand."""


@dataclass(frozen=True, eq=False)
class SeenHand:
    """A hand with bones, enough of whose joints have rays for a fit."""

    estimate: HandEstimate
    shape: HandShape
    predicted: KinematicPose | None
    predicted_over_s: float
    may_recover_fingers: bool
    rays: FloatArray
    """(21, 3) zero where a joint has none."""
    scores: FloatArray
    """(21,) zero where a joint has no ray."""

    @staticmethod
    def of(
        estimate: HandEstimate,
        shape: HandShape,
        predicted: KinematicPose | None,
        camera: Camera,
        *,
        predicted_over_s: float = 0.0,
        may_recover_fingers: bool = True,
    ) -> "SeenHand":
        """The hand of an estimate.

        Raises:
            PlacementError: fewer than 6 joints have a ray, or none that has counts.
        """
        rays, in_view = rays_in_view(estimate, camera)
        scores = estimate.joint_scores
        if not in_view.all():
            rays, scores = np.where(in_view[:, None], rays, 0.0), np.where(in_view, scores, 0.0)
        return SeenHand(estimate, shape, predicted, predicted_over_s, may_recover_fingers, rays, scores)

    def fresh_start(self) -> KinematicPose:
        """The pose that the network's joints have, brought to their rays in closed form."""
        at_zero = self.read_pose()
        joints_m = joints(self.shape, at_zero, self.estimate.side)
        wrist_m, _, _ = closest_to_rays(joints_m, self.rays, self.scores)
        return replace(at_zero, wrist_in_camera_m=wrist_m)

    def read_pose(self) -> KinematicPose:
        """The turn and the angles, within their limits, that the network's joints have; the wrist at zero."""
        pose = pose_from_joints(self.estimate.joints_from_wrist_m, self.shape, self.estimate.side)
        angles_rad = np.clip(pose.angles_rad, ANGLE_LOWER_RAD, ANGLE_UPPER_RAD)
        return KinematicPose(np.zeros(3), pose.camera_from_wrist, angles_rad)

    def with_fingers_as_read(self, fitted: Fit, index: int, fingers: BoolArray) -> KinematicPose:
        """A fitted pose, some of its fingers (5,) bent as the network's are."""
        wrists_m, rotations, fitted_rad = fitted.pose
        angles_rad = np.where(fingers[:, None], self.read_pose().angles_rad, fitted_rad[index])
        return KinematicPose(wrists_m[index], rotations[index], angles_rad)


def fit_hands(hands: Sequence[SeenHand], camera: Camera, config: FitConfig) -> list[HandPose | None]:
    """Fit hands of known bones, all at once; None for a hand that cannot be placed."""
    start = [hand.predicted or hand.fresh_start() for hand in hands]
    tracked = all(hand.predicted is not None for hand in hands)
    fitted, evidence = fit_from(
        hands, start, config, config.tracked_iterations if tracked else config.iterations
    )
    misfits_m = mean_offsets(fitted, evidence)
    poses = [posed(hand, fitted, evidence, index, camera) for index, hand in enumerate(hands)]
    # A search from a prediction can be stuck, all of it or in a finger; the network's pose is a second start.
    restarts: list[tuple[int, KinematicPose]] = []
    recoveries: list[tuple[int, KinematicPose]] = []
    lost_fingers = ray_offsets(fitted.joints_m[:, _TIPS], evidence.rays[:, _TIPS]) > LOST_TIP_M
    lost_fingers &= fitted.weights[:, _TIPS] < LOST_TIP_SHARE * evidence.scores[:, _TIPS]
    for i, hand in enumerate(hands):
        if misfits_m[i] > RESTART_M or turned_away(fitted.pose[1][i], hand.estimate):
            if hand.predicted is not None:
                restarts.append((i, hand.fresh_start()))
        elif hand.may_recover_fingers and lost_fingers[i].any():
            recoveries.append((i, hand.with_fingers_as_read(fitted, i, lost_fingers[i])))
    for second, iterations in ((restarts, RESTART_ITERATIONS), (recoveries, RECOVERY_ITERATIONS)):
        if not second:
            continue
        chosen = [i for i, _ in second]
        again = [replace(hands[i], predicted=None) for i in chosen]
        refitted, evidence = fit_from(again, [start for _, start in second], config, iterations)
        better = mean_offsets(refitted, evidence) < RESTART_GAIN * misfits_m[chosen]
        for row, index in enumerate(chosen):
            first = poses[index]
            if better[row]:
                poses[index] = posed(hands[index], refitted, evidence, row, camera)
            elif first is not None and second is recoveries:
                poses[index] = replace(first, fingers_lost=True)
    return poses


def fit_from(
    hands: Sequence[SeenHand], start: Sequence[KinematicPose], config: FitConfig, iterations: int
) -> tuple[Fit, Evidence]:
    """The fit of hands from start poses, and what it went by."""
    evidence = Evidence(
        palm_m=np.array([hand.shape.palm_m for hand in hands]),
        bones_m=np.array([hand.shape.finger_bones_m for hand in hands]),
        mirror_signs=np.array([mirror_sign(hand.estimate.side) for hand in hands]),
        rays=np.array([hand.rays for hand in hands]),
        scores=np.array([hand.scores for hand in hands]) * JOINT_TRUST,
        network_m=np.array([hand.estimate.joints_from_wrist_m for hand in hands]),
    )
    first = stacked(start)
    return fit(evidence, first, config, angle_pull(hands, first, config), iterations=iterations), evidence


def turned_away(camera_from_wrist_fitted: FloatArray, estimate: HandEstimate) -> bool:
    """Whether a fitted rotation (3, 3) is far from the one that the network's joints have."""
    own = camera_from_wrist(estimate.joints_from_wrist_m, estimate.side)
    return bool((own * camera_from_wrist_fitted).sum() < 1.0 + 2.0 * np.cos(RESTART_RAD))


def posed(hand: SeenHand, fitted: Fit, evidence: Evidence, index: int, camera: Camera) -> HandPose | None:
    """The placed hand from one of several fitted ones; unfitted where it is misread or behind the camera."""
    joints_m, rays, seen = fitted.joints_m[index], evidence.rays[index], evidence.scores[index] > 0
    offsets_m = np.where(seen, ray_offsets(joints_m, rays), 0.0)
    median_m = np.partition(offsets_m, NUM_JOINTS // 2)[NUM_JOINTS // 2]
    ahead = ((joints_m * rays).sum(axis=-1)[seen] > 0).all()
    if median_m < MAX_MISFIT_M and ahead:
        return fitted_pose(hand, fitted, index, camera)
    return unfitted_pose(hand, camera)


def angle_pull(hands: Sequence[SeenHand], start: PoseArrays, config: FitConfig) -> Pull:
    """How strongly predicted angles hold: less with time since their frame; place and rotation are free."""
    precisions = np.zeros((len(hands), NUM_PARAMETERS))
    for row, hand in zip(precisions, hands, strict=True):
        if hand.predicted is not None:
            row[6:] = (config.bend_rad_per_s * max(hand.predicted_over_s, MIN_ELAPSED_S)) ** -2
    return Pull(start, precisions)


def stacked(poses: Sequence[KinematicPose]) -> PoseArrays:
    """The arrays of several poses."""
    return (
        np.array([pose.wrist_in_camera_m for pose in poses]),
        np.array([pose.camera_from_wrist for pose in poses]),
        np.array([pose.angles_rad for pose in poses]),
    )


def mean_offsets(fitted: Fit, evidence: Evidence) -> FloatArray:
    """Mean distances (H,) in metres of the fitted joints from their rays, outliers cut at 3 cm."""
    offsets = np.minimum(ray_offsets(fitted.joints_m, evidence.rays), 0.03)
    return np.asarray((offsets * evidence.scores).sum(axis=1) / evidence.scores.sum(axis=1))


def unfitted_pose(hand: SeenHand, camera: Camera) -> HandPose | None:
    """A hand that does not bend as it was read: the network's joints at the size of its bones."""
    own = HandShape.from_joints(hand.estimate.joints_from_wrist_m, hand.estimate.side).size_m
    try:
        return place_hand(hand.estimate, camera, hand_scale=hand.shape.size_m / max(own, 1e-9))
    except PlacementError:
        return None


def fitted_pose(hand: SeenHand, fitted: Fit, index: int, camera: Camera) -> HandPose:
    """The placed hand from one of several fitted ones."""
    joints_m, weights = fitted.joints_m[index], fitted.weights[index]
    wrists_m, rotations, angles_rad = fitted.pose
    palm_slope = fitted.jacobian[index].reshape(NUM_JOINTS, 3, -1)[PALM].mean(axis=0)
    center = joints_m[PALM].mean(axis=0)
    covariance = palm_slope @ fitted.covariance[index] @ palm_slope.T
    covariance += hand.shape.size_sd**2 * np.outer(center, center)
    return HandPose(
        side=hand.estimate.side,
        joints_in_camera_m=joints_m,
        camera_from_wrist=rotations[index],
        covariance_m2=covariance,
        reprojection_error_px=weighted_rms(camera.project(joints_m) - hand.estimate.joints_px, weights),
        observed_px=hand.estimate.joints_px,
        joint_scores=hand.estimate.joint_scores,
        mano=hand.estimate.mano,
        kinematics=KinematicPose(wrists_m[index], rotations[index], angles_rad[index]),
        shape=hand.shape,
    )
