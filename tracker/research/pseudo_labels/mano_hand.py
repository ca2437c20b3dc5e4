"""MANO as a body model: its joints in a pose that hands can have, the betas shared by a take.

MANO's rotation vectors have no anatomy. Here each is counted along the finger's own axes: bending toward the
palm, leading aside and twisting, with the limits of the kinematic hand for the first two and little room for
what fingers cannot do. No pose prior of MANO's own is needed, which would come under its licence.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from tracker.hand_shape import PALM_JOINTS
from tracker.joints import FINGERS, FloatArray, Side, camera_from_wrist
from tracker.kinematic_fit import PoseArrays
from tracker.kinematic_hand import (
    ABDUCTION,
    ANGLE_LOWER_RAD,
    ANGLE_UPPER_RAD,
    FLEXION,
    FLEXION_AXES,
)
from tracker.mano_numpy import FROM_MANO, NUM_BETAS, NUM_MANO_JOINTS, ManoModel
from tracker.research.pseudo_labels.mano_rig import ManoRig
from tracker.research.pseudo_labels.problem import Linearized
from tracker.research.pseudo_labels.starting import first_placement
from tracker.rotations import rotation_between, vector_from_rotation

_DEGREE = np.pi / 180
STIFF_RAD = 12 * _DEGREE
"""Limit of leading aside at a finger's middle and end joint, and of twisting."""
THUMB_BASE_RAD = 60 * _DEGREE
"""Limit about each axis: the thumb's base is a saddle, and MANO's thumb rests in its middle."""
REST_FLEXION_RAD = 0.3
FLEXION_SD_RAD, ASIDE_SD_RAD, STIFF_SD_RAD, THUMB_SD_RAD = 0.6, 0.25, 0.08, 0.4


def _finger_and_bone() -> tuple[tuple[int, int], ...]:
    """Of each of MANO's 15 joints, its finger (thumb 0) and which of its three joints it is."""
    places = {own: joint for joint, own in enumerate(FROM_MANO)}
    chains = list(FINGERS.values())
    found = []
    for own in range(1, NUM_MANO_JOINTS):
        joint = places[own]
        finger = next(row for row, chain in enumerate(chains) if joint in chain)
        found.append((finger, chains[finger].index(joint)))
    return tuple(found)


FINGER_AND_BONE = _finger_and_bone()


@dataclass(frozen=True, eq=False)
class ManoHand:
    """MANO's right hand; a pose's angles are (15 x 3): flexion, aside and twist of each finger joint."""

    model: ManoModel

    @cached_property
    def rig(self) -> ManoRig:
        """What moves the model's joints."""
        return ManoRig(self.model)

    @cached_property
    def rest_joints_m(self) -> FloatArray:
        """(21, 3) of the mean hand, all rotations the identity, in the model's frame."""
        zeros = np.zeros((1, NUM_MANO_JOINTS - 1, 3))
        rest: FloatArray = self.rig.posed(np.zeros(NUM_BETAS), np.eye(3)[None], zeros).joints_m[0]
        return rest

    @cached_property
    def axes(self) -> FloatArray:
        """(15, 3, 3) rows are the axes, in the model's frame, of flexion, aside and twist of each joint."""
        wrist = camera_from_wrist(self.rest_joints_m, Side.RIGHT)
        axes = np.empty((NUM_MANO_JOINTS - 1, 3, 3))
        for row, (finger, bone) in enumerate(FINGER_AND_BONE):
            chain = list(FINGERS.values())[finger]
            twist = self.rest_joints_m[chain[bone + 1]] - self.rest_joints_m[chain[bone]]
            twist = twist / np.linalg.norm(twist)
            flexion = -(wrist @ FLEXION_AXES[finger])  # about +x a finger bends back
            flexion -= (flexion @ twist) * twist
            flexion /= np.linalg.norm(flexion)
            axes[row] = flexion, np.cross(flexion, twist), twist
        return axes

    @cached_property
    def lower_rad(self) -> FloatArray:
        """(45,) least angles."""
        return self._limits(ANGLE_LOWER_RAD, -1.0)

    @cached_property
    def upper_rad(self) -> FloatArray:
        """(45,) greatest angles."""
        return self._limits(ANGLE_UPPER_RAD, 1.0)

    @staticmethod
    def _limits(of_fingers: FloatArray, sign: float) -> FloatArray:
        limits = np.full((NUM_MANO_JOINTS - 1, 3), sign * STIFF_RAD)
        for row, (finger, bone) in enumerate(FINGER_AND_BONE):
            limits[row, 0] = of_fingers[finger, (FLEXION, 2, 3)[bone]]
            if bone == 0:
                limits[row, 1] = of_fingers[finger, ABDUCTION]
                if finger == 0:
                    limits[row] = sign * THUMB_BASE_RAD
        return limits.reshape(-1)

    @cached_property
    def rest_rad(self) -> FloatArray:
        """(45,) likeliest angles: fingers bent a little, the thumb as the model has it."""
        rest = np.zeros((NUM_MANO_JOINTS - 1, 3))
        rest[[finger > 0 for finger, _ in FINGER_AND_BONE], 0] = REST_FLEXION_RAD
        return rest.reshape(-1)

    @cached_property
    def rest_sd_rad(self) -> FloatArray:
        """(45,) how widely hands spread about them."""
        spread = np.full((NUM_MANO_JOINTS - 1, 3), STIFF_SD_RAD)
        spread[:, 0] = FLEXION_SD_RAD
        for row, (finger, bone) in enumerate(FINGER_AND_BONE):
            if bone == 0:
                spread[row, 1] = ASIDE_SD_RAD
                if finger == 0:
                    spread[row] = THUMB_SD_RAD
        return spread.reshape(-1)

    @cached_property
    def shape_precision(self) -> FloatArray:
        """(10, 10) betas are counted in spreads of people's hands."""
        return np.eye(NUM_BETAS)

    def start(self, joints_m: FloatArray, weights: FloatArray) -> PoseArrays:
        """A pose near joints (H, 21, 3): the palm's place, and each known bone turned onto its keypoints.

        Places are where the model's own origin goes.
        """
        places_m, rotations = first_placement(joints_m, weights, self.rest_joints_m, list(PALM_JOINTS))
        angles_rad = np.empty((len(joints_m), NUM_MANO_JOINTS - 1, 3))
        known = weights > 0
        for row, (finger, bone) in enumerate(FINGER_AND_BONE):
            if bone == 0:
                carried = rotations
            chain = list(FINGERS.values())[finger]
            near, far = chain[bone], chain[bone + 1]
            rest = self.rest_joints_m[far] - self.rest_joints_m[near]
            seen = np.einsum("hji,hj->hi", carried, joints_m[:, far] - joints_m[:, near])
            length = np.linalg.norm(seen, axis=-1, keepdims=True)
            usable = known[:, near] & known[:, far] & (length[:, 0] > 1e-3)
            toward = np.where(usable[:, None], seen / np.maximum(length, 1e-3), rest / np.linalg.norm(rest))
            turn = rotation_between(rest / np.linalg.norm(rest), toward)
            angles_rad[:, row] = vector_from_rotation(turn) @ self.axes[row].T
            angles_rad[~usable, row] = self.rest_rad[3 * row : 3 * row + 3]
            carried = carried @ turn
        angles_rad = np.clip(angles_rad.reshape(len(joints_m), -1), self.lower_rad, self.upper_rad)
        root = rotations @ self.model.template_joints_m[0] - self.model.template_joints_m[0]
        return places_m + root, rotations, angles_rad

    def linearize(self, shape: FloatArray, pose: PoseArrays, *, with_shape: bool) -> Linearized:
        """The joints of H hands of one shape, with their slopes."""
        places_m, rotations, angles_rad = pose
        posed = self.rig.posed(shape, rotations, self.vectors_rad(angles_rad))
        by_place = np.broadcast_to(np.eye(3), (*posed.joints_m.shape, 3))
        by_pose = np.concatenate([by_place, posed.by_pose(self.axes)], axis=-1)
        flat = (len(places_m), 3 * posed.joints_m.shape[1], -1)
        by_shape = posed.by_betas().reshape(flat) if with_shape else None
        return Linearized(posed.joints_m + places_m[:, None], by_pose.reshape(flat), by_shape)

    def vectors_rad(self, angles_rad: FloatArray) -> FloatArray:
        """(H, 15, 3) rotation vectors of angles (H, 45)."""
        counted = angles_rad.reshape(len(angles_rad), NUM_MANO_JOINTS - 1, 1, 3)
        return np.asarray((counted @ self.axes)[:, :, 0])
