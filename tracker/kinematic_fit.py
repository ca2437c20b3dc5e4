"""Fit kinematic hands to what was seen of them: a damped Gauss-Newton over all hands of a frame at once.

Unknown of each hand are its wrist's place t and rotation R and its joint angles a; its bones are given. The
network's own error of orientation, which all its joints share, is a nuisance parameter rho. Minimised is

    sum_j w_j ( |x_j / (d_j . x_j) - d_j|^2 / ray_noise^2 + |x_j - c - exp(rho) s p_j|^2 / joint_noise^2 )
    + |rho / turn_noise|^2 + |(a beyond its limits) / limit_slack|^2 + the pull of a predicted pose

with x_j(t, R, a) the joints, d_j their rays, p_j the network's joints and c, s the shift and size that bring
them onto x. The first term is an angle, not a distance from the ray, so that noise does not pull the hand
nearer. w_j are the network's scores times Tukey's weights of both terms together.
"""

from dataclasses import dataclass

import numpy as np

from tracker.joints import NUM_JOINTS, FloatArray
from tracker.kinematic_hand import (
    ANGLE_LOWER_RAD,
    ANGLE_UPPER_RAD,
    NUM_PARAMETERS,
    joints_and_jacobian,
    posed_joints,
    step,
)
from tracker.rotations import crosses

_TURN = slice(NUM_PARAMETERS, NUM_PARAMETERS + 3)
_UNKNOWNS = NUM_PARAMETERS + 3
_DIAGONAL = np.arange(_UNKNOWNS)
_LOWER, _UPPER = ANGLE_LOWER_RAD.reshape(-1), ANGLE_UPPER_RAD.reshape(-1)
_MIN_ALONG_M = 0.02
"""Joints nearer to the camera than this, or behind it, are treated as if they were this far."""

PoseArrays = tuple[FloatArray, FloatArray, FloatArray]
"""Wrists (H, 3), camera-from-wrist rotations (H, 3, 3) and angles (H, 5, 4)."""


@dataclass(frozen=True)
class FitConfig:
    """How sure each source is, and how long to search. Tables of what was tried: benchmarks/RESULTS.md."""

    ray_noise_m: float = 0.0035
    """Spread of seen joints about their rays, at the hand."""
    joint_noise_m: float = 0.007
    """Spread of the network's joints, once moved, turned and scaled onto the hand."""
    turn_noise_rad: float = 0.2
    """Spread of the network's orientation of the whole hand."""
    limit_slack_rad: float = 0.05
    """How far angles lean out of their limits against the other terms."""
    bend_rad_per_s: float = 5.0
    """Rate at which angles are thought to leave a prediction."""
    free_bend_rad: float = 2.0
    """Spread of angles' changes in one iteration, for fingers of which nothing is known."""
    tukey: float = 5.0
    """Joints farther off than this many medians count for nothing."""
    tracked_iterations: int = 1
    """From predictions of all hands: more change nothing (benchmarks/RESULTS.md)."""
    iterations: int = 8
    """Where a hand has no prediction: in its first frame, from a start that outliers can spoil."""
    damping: float = 1e-3
    """Share by which the normal matrix's diagonal is raised."""
    max_turn_rad: float = 0.5
    """Longest step of a rotation and of an angle in one iteration."""


@dataclass(frozen=True, eq=False)
class Evidence:
    """What is known of H hands before the fit; arrays lead with H."""

    palm_m: FloatArray
    """(H, 6, 3)"""
    bones_m: FloatArray
    """(H, 5, 3)"""
    mirror_signs: FloatArray
    """(H,)"""
    rays: FloatArray
    """(H, 21, 3) unit rays; zero where a joint has none."""
    scores: FloatArray
    """(H, 21) in [0, 1]; zero where a joint has no ray."""
    network_m: FloatArray
    """(H, 21, 3) the network's joints in camera axes; neither their place nor their size counts."""


@dataclass(frozen=True, eq=False)
class Pull:
    """Poses that H hands are drawn to, and how strongly."""

    pose: PoseArrays
    precisions: FloatArray
    """(H, 26) of the parameters, 1 / m^2 and 1 / rad^2; zero for a hand without a prediction."""


@dataclass(frozen=True, eq=False)
class Fit:
    """Fitted hands; arrays lead with H."""

    pose: PoseArrays
    joints_m: FloatArray
    """(H, 21, 3) in camera axes."""
    covariance: FloatArray
    """(H, 26, 26) of the parameters, for bones known exactly."""
    jacobian: FloatArray
    """(H, 63, 26) of the joints before the last step."""
    weights: FloatArray
    """(H, 21) scores times Tukey's weights."""


def fit(
    evidence: Evidence, start: PoseArrays, config: FitConfig, pull: Pull | None = None, *, iterations: int
) -> Fit:
    """Fit hands, from a start not far away.

    Raises:
        numpy.linalg.LinAlgError: the evidence holds NaN.
    """
    pose = start
    bones = (evidence.palm_m, evidence.bones_m)
    network = evidence.network_m - evidence.network_m.mean(axis=1, keepdims=True)
    turn = np.zeros((len(network), 3))
    for _ in range(iterations):
        joints_m, jacobian = joints_and_jacobian(*bones, *pose, evidence.mirror_signs)
        normal, slope, weights = _evidence_terms(evidence, config, joints_m, jacobian, network, turn)
        _add_parameter_terms(normal, slope, pose, turn, config, pull)
        normal[:, _DIAGONAL, _DIAGONAL] *= 1.0 + config.damping
        change: FloatArray = np.asarray(np.linalg.solve(normal, -slope[..., None])[..., 0], np.float64)
        np.clip(change[:, 3:], -config.max_turn_rad, config.max_turn_rad, out=change[:, 3:])
        pose = step(*pose, change[:, :NUM_PARAMETERS])
        turn = turn + change[:, _TURN]
    covariance: FloatArray = np.asarray(np.linalg.inv(normal), np.float64)[
        :, :NUM_PARAMETERS, :NUM_PARAMETERS
    ]
    joints_m = posed_joints(*bones, *pose, evidence.mirror_signs)
    return Fit(pose, joints_m, covariance, jacobian, weights)


def _evidence_terms(
    evidence: Evidence,
    config: FitConfig,
    joints_m: FloatArray,
    jacobian: FloatArray,
    network: FloatArray,
    turn: FloatArray,
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Normal matrices (H, 29, 29), slopes (H, 29) and weights (H, 21) of rays and network.

    Both terms of a joint are quadratic in its place, so they are summed into one 3 x 3 matrix and one slope
    there before they meet the Jacobian; that the network's centre is free takes a matrix of rank 3 away.
    """
    count, rays = len(joints_m), evidence.rays
    along = np.maximum(np.einsum("hjk,hjk->hj", joints_m, rays), _MIN_ALONG_M)[..., None]
    seen = joints_m / along
    aside = seen - rays
    centred = joints_m - joints_m.mean(axis=1, keepdims=True)
    size = np.einsum("hjk,hjk->h", centred, centred) / np.einsum("hjk,hjk->h", centred, network)
    own = network * size[:, None, None]
    own += own @ crosses(turn).swapaxes(1, 2)
    off = centred - own
    distance = along.mean(axis=1)
    ray_precision = (distance / config.ray_noise_m) ** 2
    joint_precision = config.joint_noise_m**-2
    misfit = ray_precision * np.einsum("hjk,hjk->hj", aside, aside)
    misfit += joint_precision * np.einsum("hjk,hjk->hj", off, off)
    weights = evidence.scores * tukey_weights(misfit, config.tukey)

    joint_weights = weights * joint_precision
    total = joint_weights.sum(axis=1)[:, None]
    off_center = (joint_weights[:, None] @ off)[:, 0] / total
    # d(seen)/dx = (I - seen d^T) / along =: A; the joint's matrix is A^T A and its slope A^T aside.
    ray_weights = (weights * ray_precision)[..., None]
    shrink = _EYE - seen[..., None] * rays[..., None, :]
    shrink /= along[..., None]
    pulled = (ray_weights * aside)[..., None, :] @ shrink
    by_joint = (shrink * ray_weights[..., None]).swapaxes(-1, -2) @ shrink
    by_joint += joint_weights[..., None, None] * _EYE
    gradient = pulled[..., 0, :] + joint_weights[..., None] * (off - off_center[:, None])

    jacobian_by_joint = jacobian.reshape(count, NUM_JOINTS, 3, NUM_PARAMETERS)
    own_cross = crosses(own)
    weighted = np.empty((count, NUM_JOINTS, 3, _UNKNOWNS))
    weighted[..., :NUM_PARAMETERS] = by_joint @ jacobian_by_joint
    weighted[..., _TURN] = joint_weights[..., None, None] * own_cross
    flat = jacobian.swapaxes(1, 2)
    normal = np.empty((count, _UNKNOWNS, _UNKNOWNS))
    normal[:, :NUM_PARAMETERS] = flat @ weighted.reshape(count, -1, _UNKNOWNS)
    own_rows = own_cross.reshape(count, -1, 3)
    weighted_rows = weighted[..., _TURN].reshape(count, -1, 3)
    normal[:, _TURN, :NUM_PARAMETERS] = normal[:, :NUM_PARAMETERS, _TURN].swapaxes(1, 2)
    normal[:, _TURN, _TURN] = own_rows.swapaxes(1, 2) @ weighted_rows
    # The free centre.
    center = np.empty((count, 3, _UNKNOWNS))
    center[..., :NUM_PARAMETERS] = (joint_weights[:, None] @ jacobian.reshape(count, NUM_JOINTS, -1)).reshape(
        count, 3, -1
    )
    center[..., _TURN] = weighted[..., _TURN].sum(axis=1)
    normal -= center.swapaxes(1, 2) @ (center / total[..., None])
    slope = np.empty((count, _UNKNOWNS))
    slope[:, :NUM_PARAMETERS] = (gradient.reshape(count, 1, -1) @ jacobian)[:, 0]
    slope[:, _TURN] = ((off - off_center[:, None]).reshape(count, 1, -1) @ weighted_rows)[:, 0]
    return normal, slope, weights


_EYE = np.eye(3)


def _add_parameter_terms(
    normal: FloatArray,
    slope: FloatArray,
    pose: PoseArrays,
    turn: FloatArray,
    config: FitConfig,
    pull: Pull | None,
) -> None:
    """Add the terms on the parameters themselves: turn, limits, and a predicted pose."""
    angles = pose[2].reshape(len(turn), -1)
    beyond = angles - np.clip(angles, _LOWER, _UPPER)
    diagonal = np.full((len(turn), _UNKNOWNS), 1e-6)
    diagonal[:, 6:NUM_PARAMETERS] = (beyond != 0) / config.limit_slack_rad**2
    diagonal[:, 6:NUM_PARAMETERS] += config.free_bend_rad**-2
    slope[:, 6:NUM_PARAMETERS] += beyond / config.limit_slack_rad**2
    diagonal[:, _TURN] = config.turn_noise_rad**-2
    slope[:, _TURN] += turn * config.turn_noise_rad**-2
    if pull is not None:
        diagonal[:, :NUM_PARAMETERS] += pull.precisions
        slope[:, :NUM_PARAMETERS] += pull.precisions * pose_difference(pose, pull.pose)
    normal[:, _DIAGONAL, _DIAGONAL] += diagonal


def pose_difference(pose: PoseArrays, other: PoseArrays) -> FloatArray:
    """What (H, 26) leads from ``other`` to ``pose``; turns by their sine, so up to a right angle."""
    (wrists, rotations, angles), (other_wrists, other_rotations, other_angles) = pose, other
    delta = (rotations @ other_rotations.swapaxes(1, 2)).reshape(-1, 9)
    difference = np.empty((len(wrists), NUM_PARAMETERS))
    difference[:, :3] = wrists - other_wrists
    difference[:, 3:6] = 0.5 * (delta[:, [7, 2, 3]] - delta[:, [5, 6, 1]])
    difference[:, 6:] = (angles - other_angles).reshape(len(wrists), -1)
    return difference


def tukey_weights(squares: FloatArray, tukey: float) -> FloatArray:
    """Tukey's weights (H, N) of squared residuals (H, N), the threshold a multiple of their median."""
    middle = squares.shape[1] // 2
    median = np.partition(squares, middle, axis=1)[:, middle, None]
    inside = np.maximum(1.0 - squares / (tukey**2 * np.maximum(median, 1e-12)), 0.0)
    return inside * inside
