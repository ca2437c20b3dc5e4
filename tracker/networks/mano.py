"""MANO as a torch layer: rotations and shape in, skin and the 21 joints out, in float32.

The same equations as ``tracker.mano_numpy`` (Romero et al., 2017) in few products, for a GPU: rest skin and
rest joints come from one product with betas and pose together, and the five fingers, which are all chains of
three joints, are turned at once.
"""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from tracker.joints import FloatArray
from tracker.mano_numpy import FROM_MANO, NUM_MANO_JOINTS, NUM_VERTICES, TIP_VERTICES, ManoModel

NUM_CHAINS = 5
JOINTS_PER_CHAIN = 3


class PosedMano(NamedTuple):
    """MANO in some shape and pose, in the model's own frame (a named tuple: compilers see through those)."""

    joints_m: Tensor
    """(B, 21, 3) in the order of ``tracker.joints``"""
    vertices_m: Tensor
    """(B, 778, 3)"""


class Mano(nn.Module):
    """The right-hand model; its arrays are buffers that no state dict holds."""

    directions: Tensor
    """(145, 2382): change of skin (2334) and rest joints (48) per unit of each beta and entry of R_j - I."""
    template: Tensor
    """(2382,) skin and joints of the mean hand."""
    weights: Tensor
    """(778, 16)"""
    identity: Tensor
    """(3, 3)"""
    tips: Tensor
    """(5,) vertices"""
    order: Tensor
    """(21,) for each of the project's joints, its index among MANO's 16 and the tips."""

    def __init__(self, model: ManoModel) -> None:
        super().__init__()
        self.faces = model.faces
        """(1538, 3) vertex indices of the right hand, on the host."""
        no_joints = np.zeros((len(model.pose_directions_m), model.joint_directions_m.shape[1]))
        directions = np.block(
            [
                [model.shape_directions_m, model.joint_directions_m],
                [model.pose_directions_m, no_joints],  # a pose moves the skin before skinning, not the joints
            ]
        )
        template = np.concatenate([model.template_m.ravel(), model.template_joints_m.ravel()])
        self._keep("directions", _float32(directions))
        self._keep("template", _float32(template))
        self._keep("weights", _float32(model.weights))
        self._keep("identity", torch.eye(3))
        self._keep("tips", torch.tensor(TIP_VERTICES))
        self._keep("order", torch.tensor(FROM_MANO))

    def _keep(self, name: str, tensor: Tensor) -> None:
        self.register_buffer(name, tensor, persistent=False)

    def forward(self, global_orient: Tensor, hand_pose: Tensor, betas: Tensor) -> PosedMano:
        """Shape and pose the hand; it stays where the model has it, no translation added.

        Args:
            global_orient: (B, 3, 3) rotation of the wrist.
            hand_pose: (B, 15, 3, 3) of the finger joints in MANO's order, each against its parent.
            betas: (B, 10)
        """
        from_rest = (hand_pose - self.identity).flatten(1)  # (B, 135)
        shaped = torch.addmm(self.template, torch.cat([betas, from_rest], dim=1), self.directions)
        skin = shaped[:, : 3 * NUM_VERTICES].view(-1, NUM_VERTICES, 3)
        rest_joints = shaped[:, 3 * NUM_VERTICES :].view(-1, NUM_MANO_JOINTS, 3)
        world, joints = turn_chains(global_orient, hand_pose, rest_joints)
        vertices = blend(skin, self.weights, world, rest_joints, joints)
        with_tips = torch.cat([joints, vertices.index_select(1, self.tips)], dim=1)
        return PosedMano(joints_m=with_tips.index_select(1, self.order), vertices_m=vertices)


def turn_chains(global_orient: Tensor, hand_pose: Tensor, rest_joints_m: Tensor) -> tuple[Tensor, Tensor]:
    """Forward kinematics, a knuckle row of all five fingers at a time.

    Args:
        global_orient: (B, 3, 3)
        hand_pose: (B, 15, 3, 3), finger by finger from the palm outwards.
        rest_joints_m: (B, 16, 3)

    Returns:
        Rotations (B, 16, 3, 3) from rest and joints (B, 16, 3), both in the model's frame.
    """
    wrist = rest_joints_m[:, None, None, 0]  # (B, 1, 1, 3)
    rest = rest_joints_m[:, 1:].view(-1, NUM_CHAINS, JOINTS_PER_CHAIN, 3)
    bones = torch.diff(rest, dim=2, prepend=wrist.expand(-1, NUM_CHAINS, 1, 3))  # from the parent joint
    local = hand_pose.view(-1, NUM_CHAINS, JOINTS_PER_CHAIN, 3, 3)
    turn, joint = global_orient[:, None], wrist[:, 0]  # (B, 1, 3, 3), (B, 1, 3)
    turns, joints = [], []
    for row in range(JOINTS_PER_CHAIN):
        joint = joint + (turn @ bones[:, :, row, :, None])[..., 0]
        turn = turn @ local[:, :, row]
        joints.append(joint)
        turns.append(turn)
    world = torch.cat([global_orient[:, None], torch.stack(turns, dim=2).flatten(1, 2)], dim=1)
    placed = torch.cat([wrist[:, 0], torch.stack(joints, dim=2).flatten(1, 2)], dim=1)
    return world, placed


def blend(skin_m: Tensor, weights: Tensor, world: Tensor, rest_joints_m: Tensor, joints_m: Tensor) -> Tensor:
    """Linear blend skinning: v' = sum_j w_vj (R_j (v - rest_j) + joint_j).

    Args:
        skin_m: (B, V, 3) at rest.
        weights: (V, J)
        world: (B, J, 3, 3) R_j.
        rest_joints_m: (B, J, 3)
        joints_m: (B, J, 3)

    Returns:
        (B, V, 3)
    """
    shift = joints_m[..., None] - world @ rest_joints_m[..., None]
    maps = torch.cat([world, shift], dim=-1).flatten(2)  # (B, J, 12)
    blended = (weights @ maps).view(-1, len(weights), 3, 4)
    moved: Tensor = (blended[..., :3] @ skin_m[..., None])[..., 0] + blended[..., 3]
    return moved


def _float32(array: FloatArray) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(array, dtype=np.float32))
