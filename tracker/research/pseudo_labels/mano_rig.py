"""MANO's 21 joints and their slopes, without the skin between: what a fit to keypoints needs of the model.

Unknown are the wrist's rotation, a rotation vector at each of the 15 finger joints and the betas. With G_k
the chain's rotation down to joint k, x_k its place and R = exp(v), a change dv turns all beyond it by

    omega = G_parent(k) J(v_k) dv_k,     dx = omega x (x - x_k),

J the left Jacobian of the rotation vector. Tips are vertices: of those only what hangs on joints beyond k
turns, and their rest place changes with dR_k = [J dv]x R_k by MANO's pose directions (see ``mano_numpy``).
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from tracker.joints import FloatArray
from tracker.mano_numpy import (
    FROM_MANO,
    NUM_BETAS,
    NUM_MANO_JOINTS,
    PARENTS,
    TIP_VERTICES,
    ManoModel,
)
from tracker.rotations import crosses, rotation_from_vector
from tracker.skinned_hand import chain_rotations

_FINGER_JOINTS = NUM_MANO_JOINTS - 1
_TIPS = len(TIP_VERTICES)


def _carried() -> FloatArray:
    """(16, 16) 1 where the row's joint carries the column's: itself, and those beyond it."""
    carried = np.eye(NUM_MANO_JOINTS)
    for joint in reversed(range(1, NUM_MANO_JOINTS)):
        carried[PARENTS[joint]] += carried[joint]
    return carried


_CARRIED = _carried()


@dataclass(frozen=True, eq=False)
class ManoRig:
    """What of a MANO model moves the joints and tips."""

    model: ManoModel

    @cached_property
    def tips_m(self) -> FloatArray:
        """(5, 3) the tips of the template."""
        return self.model.template_m[list(TIP_VERTICES)]

    @cached_property
    def tip_shape_m(self) -> FloatArray:
        """(10, 5, 3) their change per unit of each beta."""
        return self.model.shape_directions_m.reshape(NUM_BETAS, -1, 3)[:, TIP_VERTICES]

    @cached_property
    def tip_pose_m(self) -> FloatArray:
        """(15, 9, 5, 3) their change per unit of each entry of R_k - I."""
        directions = self.model.pose_directions_m.reshape(_FINGER_JOINTS, 9, -1, 3)
        return np.ascontiguousarray(directions[:, :, TIP_VERTICES])

    @cached_property
    def tip_weights(self) -> FloatArray:
        """(5, 16) of the tips."""
        return self.model.weights[list(TIP_VERTICES)]

    @cached_property
    def joint_shape_m(self) -> FloatArray:
        """(10, 16, 3) change of the resting joints per unit of each beta."""
        return self.model.joint_directions_m.reshape(NUM_BETAS, NUM_MANO_JOINTS, 3)

    def posed(self, betas: FloatArray, rotations: FloatArray, vectors_rad: FloatArray) -> "PosedRig":
        """The rig of one shape in H poses.

        Args:
            betas: (10,)
            rotations: (H, 3, 3) of the wrist.
            vectors_rad: (H, 15, 3) rotation vectors of the finger joints, each in its parent.
        """
        rest_m = self.model.template_joints_m + np.tensordot(betas, self.joint_shape_m, 1)
        local = rotation_from_vector(vectors_rad)
        chain = np.concatenate([rotations[:, None], local], axis=1)
        world, joints_m = chain_rotations(chain, rest_m, PARENTS, rest_m[0])
        from_rest = (local - np.eye(3)).reshape(len(local), -1)
        pose_tips = from_rest @ self.tip_pose_m.reshape(from_rest.shape[1], -1)
        tips_m = self.tips_m + np.tensordot(betas, self.tip_shape_m, 1) + pose_tips.reshape(-1, _TIPS, 3)
        from_joint = tips_m[:, :, None] - rest_m
        carried_m = np.einsum("hjab,hvjb->hvja", world, from_joint) + joints_m[:, None]
        return PosedRig(self, vectors_rad, local, world, joints_m, carried_m)


@dataclass(frozen=True, eq=False)
class PosedRig:
    """A rig in H poses, in the model's frame."""

    rig: ManoRig
    vectors_rad: FloatArray
    """(H, 15, 3)"""
    local: FloatArray
    """(H, 15, 3, 3) rotations of these vectors."""
    world: FloatArray
    """(H, 16, 3, 3)"""
    chain_m: FloatArray
    """(H, 16, 3) MANO's joints."""
    carried_m: FloatArray
    """(H, 5, 16, 3) where each joint alone would carry each tip."""

    @cached_property
    def joints_m(self) -> FloatArray:
        """(H, 21, 3) in the order of ``joints.py``."""
        tips_m = np.einsum("vj,hvja->hva", self.rig.tip_weights, self.carried_m)
        return np.concatenate([self.chain_m, tips_m], axis=1)[:, FROM_MANO]

    def by_pose(self, axes: FloatArray) -> FloatArray:
        """Slopes (H, 21, 3, 48): a small rotation left of the wrist's, then rotation vectors along ``axes``.

        Args:
            axes: (15, 3, 3) rows are the directions in which a rotation vector's three numbers are counted.
        """
        count = len(self.world)
        turning = left_jacobian(self.vectors_rad) @ axes.swapaxes(-1, -2)
        parents = self.world[:, list(PARENTS[1:])]
        in_world = np.empty((count, NUM_MANO_JOINTS, 3, 3))
        in_world[:, 0], in_world[:, 1:] = np.eye(3), parents @ turning
        hanging = _CARRIED[:, None] * self.rig.tip_weights  # of each tip on each joint and those beyond
        share = hanging.sum(axis=-1)
        tip_levers = np.einsum("kvj,hvja->hkva", hanging, self.carried_m, optimize=True)
        tip_levers -= share[..., None] * self.chain_m[:, :, None]
        joint_levers = self.chain_m[:, None] - self.chain_m[:, :, None]
        turns, moves = np.nonzero(np.concatenate([_CARRIED - np.eye(NUM_MANO_JOINTS), share], axis=1))
        levers = np.concatenate([joint_levers, tip_levers], axis=2)[:, turns, moves]
        slopes = np.zeros((count, NUM_MANO_JOINTS, NUM_MANO_JOINTS + _TIPS, 3, 3))
        slopes[:, turns, moves] = (crosses(-levers) @ in_world[:, turns]).swapaxes(-1, -2)
        slopes[:, 1:, NUM_MANO_JOINTS:] += self._by_pose_directions(turning)
        chosen = slopes[:, :, FROM_MANO].transpose(0, 2, 4, 1, 3)
        return chosen.reshape(count, len(FROM_MANO), 3, -1)

    def _by_pose_directions(self, turning: FloatArray) -> FloatArray:
        """(H, 15, 5, 3, 3) what bends do to the tips' rest places: joint, tip, number, axis."""
        change = crosses(turning.swapaxes(-1, -2)) @ self.local[:, :, None]
        count = len(change)
        flat = change.reshape(count, _FINGER_JOINTS, 3, 9).transpose(1, 0, 2, 3)
        at_rest = flat.reshape(_FINGER_JOINTS, -1, 9) @ self.rig.tip_pose_m.reshape(_FINGER_JOINTS, 9, -1)
        at_rest = at_rest.reshape(_FINGER_JOINTS, count, 3, _TIPS, 3)
        blended = np.einsum("vj,hjab->hvab", self.rig.tip_weights, self.world)
        return np.asarray(np.einsum("hvab,khcvb->hkvca", blended, at_rest, optimize=True))

    def by_betas(self) -> FloatArray:
        """Slopes (H, 21, 3, 10)."""
        rest = self.rig.joint_shape_m
        places = [np.broadcast_to(rest[:, 0], (len(self.world), NUM_BETAS, 3))]
        for joint, parent in enumerate(PARENTS[1:], start=1):
            bone = (rest[:, joint] - rest[:, parent]) @ self.world[:, parent].swapaxes(-1, -2)
            places.append(places[parent] + bone)
        joints = np.stack(places, axis=1)
        from_joint = self.rig.tip_shape_m[:, :, None] - rest[:, None]
        turned = np.einsum("vj,hjab,svjb->hvsa", self.rig.tip_weights, self.world, from_joint, optimize=True)
        tips = turned + np.einsum("vj,hjsa->hvsa", self.rig.tip_weights, joints)
        return np.concatenate([joints, tips], axis=1)[:, FROM_MANO].swapaxes(-1, -2)


def left_jacobian(vectors_rad: FloatArray) -> FloatArray:
    """J (..., 3, 3) with exp(v + dv) = exp(J dv) exp(v) for small dv.

    J = I + (1 - cos t) / t^2 [v]x + (t - sin t) / t^3 [v]x^2, t = |v|.
    """
    angle = np.linalg.norm(vectors_rad, axis=-1)[..., None, None]
    cross = crosses(vectors_rad)
    first = 0.5 * np.sinc(angle / (2 * np.pi)) ** 2
    small = angle < 1e-2  # the difference loses its digits there; what the series leaves out is below 1e-10
    safe = np.where(small, 1.0, angle)
    second = np.where(small, 1 / 6 - angle**2 / 120, (safe - np.sin(safe)) / safe**3)
    return np.asarray(np.eye(3) + first * cross + second * (cross @ cross))
