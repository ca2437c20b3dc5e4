"""Skinned bodies in numpy, and the open hand as one: rest skin and skeleton in, posed skin and joints out.

``chain_rotations`` (forward kinematics) and ``blend_skin`` (linear blend skinning) serve every body here.

The open hand has two states: ``SkinnedHand`` (loaded, at rest) and ``PosedHand``. The rest frame has its
origin at the wrist joint and OpenXR's wrist axes: -z toward the fingers, +y out of the back of the hand, +x
to the right when the palm faces down and the fingers point ahead. The skeleton has WebXR's 25 joints: the
project's 21 and, between the wrist and each long finger's knuckle, one metacarpal.
``tools/cut_open_hand.py`` made the file.
"""

from dataclasses import dataclass, replace
from functools import cache, cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt

from tracker.joints import FloatArray, Side

IntArray = npt.NDArray[np.int64]

NUM_SKELETON_JOINTS = 25
FROM_SKELETON: tuple[int, ...] = (0, 1, 2, 3, 4, 6, 7, 8, 9, 11, 12, 13, 14, 16, 17, 18, 19, 21, 22, 23, 24)
"""For each of the project's 21 joints, its index among the 25 of the skeleton."""

_ROWS_AT_ONCE = 512
"""OpenBLAS shares larger products among threads, which then spin for 20 ms: time that a live run needs."""

_FILE = Path(__file__).parent / "models" / "open_hand.npz"


def chain_rotations(
    rotations: FloatArray, rest_joints_m: FloatArray, parents: tuple[int, ...], root_m: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Forward kinematics: each joint turns itself and all beyond it.

    Args:
        rotations: (..., J, 3, 3) of each joint in rest axes as its parent carries them; the root's is
            target-from-rest.
        rest_joints_m: (..., J, 3) in the rest frame.
        parents: (J) parent of each joint, -1 for the root, which is first; parents stand before children.
        root_m: (..., 3) the root joint in the target frame.

    Returns:
        Target-from-rest rotations (..., J, 3, 3) and joints (..., J, 3) in the target frame.
    """
    world = list(np.moveaxis(np.asarray(rotations, dtype=np.float64), -3, 0))
    joints = [np.broadcast_to(np.asarray(root_m, dtype=np.float64), (*world[0].shape[:-2], 3))]
    for joint, parent in enumerate(parents[1:], start=1):
        bone = rest_joints_m[..., joint, :] - rest_joints_m[..., parent, :]
        joints.append(joints[parent] + (world[parent] @ bone[..., None])[..., 0])
        world[joint] = world[parent] @ world[joint]
    return np.stack(world, axis=-3), np.stack(joints, axis=-2)


def blend_skin(
    vertices_m: FloatArray,
    weights: FloatArray,
    *,
    linear: FloatArray,
    rest_joints_m: FloatArray,
    joints_m: FloatArray,
) -> FloatArray:
    """Linear blend skinning: v' = sum_j w_vj (L_j (v - rest_j) + joint_j).

    Args:
        vertices_m: (..., V, 3) rest skin.
        weights: (V, J), every row sums to 1.
        linear: (..., J, 3, 3) L_j, target-from-rest: a rotation, or one with stretch.
        rest_joints_m: (..., J, 3)
        joints_m: (..., J, 3) in the target frame.

    Returns:
        Skin (..., V, 3) in the target frame.
    """
    shift = joints_m - (linear @ rest_joints_m[..., None])[..., 0]
    maps = np.concatenate([linear, shift[..., None]], axis=-1)
    flat = maps.reshape(*maps.shape[:-2], 12)
    rows = [weights[row : row + _ROWS_AT_ONCE] @ flat for row in range(0, len(weights), _ROWS_AT_ONCE)]
    blended = np.concatenate(rows, axis=-2).reshape(*maps.shape[:-3], len(weights), 3, 4)
    skin: FloatArray = np.einsum("...vij,...vj->...vi", blended[..., :3], vertices_m) + blended[..., 3]
    return skin


@dataclass(frozen=True, eq=False)
class SkinnedHand:
    """A hand at rest, ready to be posed; arrays are shared and must not be written."""

    side: Side
    vertices_m: FloatArray
    """(V, 3) rest skin in the rest frame."""
    faces: IntArray
    """(F, 3) vertex indices, counter-clockwise seen from outside; the surface is closed at the wrist."""
    skin_joints: IntArray
    """(V, 4) skeleton joints that move each vertex."""
    skin_weights: FloatArray
    """(V, 4) their weights; every row sums to 1."""
    joints_m: FloatArray
    """(25, 3) rest joints in the rest frame."""
    parents: tuple[int, ...]
    """(25) parent of each joint, -1 for the wrist; a parent stands before its children."""
    flexion_axes: FloatArray
    """(25, 3) unit axes in the rest frame; a positive turn about one curls the finger toward the palm."""

    @cached_property
    def joint_weights(self) -> FloatArray:
        """(V, 25) the skin weights with a column for every joint."""
        weights = np.zeros((len(self.vertices_m), len(self.parents)))
        np.put_along_axis(weights, self.skin_joints, self.skin_weights, axis=1)
        return weights

    def pose(self, *, rotations: FloatArray, wrist_m: FloatArray) -> "PosedHand":
        """Turn every joint, then put the wrist at ``wrist_m``.

        Args:
            rotations: (..., 25, 3, 3); each turns a joint and all beyond it about that joint, in rest axes as
                its parent carries them (identity is the rest pose). The wrist's is target-from-rest.
            wrist_m: (..., 3) the wrist joint in the target frame.
        """
        world, joints = chain_rotations(rotations, self.joints_m, self.parents, wrist_m)
        return self.placed(rotations=world, joints_m=joints)

    def placed(self, *, rotations: FloatArray, joints_m: FloatArray) -> "PosedHand":
        """Carry the skin by joints that are already placed: linear blend skinning.

        Args:
            rotations: (..., 25, 3, 3) target-from-rest rotation of each joint's frame.
            joints_m: (..., 25, 3) the joints in the target frame; bones may have changed length.
        """
        vertices = blend_skin(
            self.vertices_m,
            self.joint_weights,
            linear=rotations,
            rest_joints_m=self.joints_m,
            joints_m=joints_m,
        )
        return PosedHand(hand=self, rotations=rotations, skeleton_m=joints_m, vertices_m=vertices)

    def mirrored(self) -> "SkinnedHand":
        """The hand of the other side: x negated, winding kept outward."""
        flip = np.array([-1.0, 1.0, 1.0])
        return replace(
            self,
            side=self.side.other,
            vertices_m=self.vertices_m * flip,
            faces=np.ascontiguousarray(self.faces[:, ::-1]),
            joints_m=self.joints_m * flip,
            flexion_axes=self.flexion_axes * -flip,  # An axis of rotation is a pseudovector.
        )


@dataclass(frozen=True, eq=False)
class PosedHand:
    """A hand in some pose and target frame; leading axes are batch axes."""

    hand: SkinnedHand
    rotations: FloatArray
    """(..., 25, 3, 3) target-from-rest rotation of each joint's frame."""
    skeleton_m: FloatArray
    """(..., 25, 3) all joints in the target frame."""
    vertices_m: FloatArray
    """(..., V, 3) skin in the target frame."""

    @property
    def joints_m(self) -> FloatArray:
        """The project's joints (..., 21, 3) in the target frame; finger tips lie on the skin."""
        chosen: FloatArray = self.skeleton_m[..., FROM_SKELETON, :]
        return chosen


@cache
def load_open_hand(side: Side) -> SkinnedHand:
    """The hand that ships with the package; the same object on every call."""
    with np.load(_FILE, allow_pickle=False) as stored:
        right = SkinnedHand(
            side=Side.RIGHT,
            vertices_m=stored["vertices_m"].astype(np.float64),
            faces=stored["faces"].astype(np.int64),
            skin_joints=stored["skin_joints"].astype(np.int64),
            skin_weights=stored["skin_weights"] / 255.0,
            joints_m=stored["joints_m"].astype(np.float64),
            parents=tuple(int(parent) for parent in stored["parents"]),
            flexion_axes=stored["flexion_axes"].astype(np.float64),
        )
    return right if side is Side.RIGHT else right.mirrored()
