"""MANO in numpy: shape, pose and rotations in, skin and the 21 joints out, without torch.

The model is the right hand; a left hand is its mirror image (see ``hand_mesh.py``). Its 16 joints are the
wrist, then index, middle, pinky, ring and thumb, three each; finger tips are vertices. The file is under
MANO's own licence and does not ship with the package. The equations are those of the MANO paper (Romero et
al., 2017): with betas b and joint rotations R_j,

    T = template + S b + P vec(R_1 - I, ..., R_15 - I),   J = regressor (template + S b),

and T skinned linearly by the chain of R about J.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tracker.errors import DAMAGED_ZIP, UsageError
from tracker.joints import FloatArray
from tracker.skinned_hand import IntArray, blend_skin, chain_rotations

MOST_NAMED = 8
NUM_VERTICES = 778
NUM_MANO_JOINTS = 16
NUM_FACES = 1538
NUM_BETAS = 10
TIP_VERTICES = (744, 320, 443, 554, 671)
"""Thumb, index, middle, ring, pinky."""
FROM_MANO = (0, 13, 14, 15, 16, 1, 2, 3, 17, 4, 5, 6, 18, 10, 11, 12, 19, 7, 8, 9, 20)
"""For each of the project's 21 joints, its index among MANO's 16 followed by the 5 tips."""
PARENTS = (-1, 0, 1, 2, 0, 4, 5, 0, 7, 8, 0, 10, 11, 0, 13, 14)
"""The only skeleton MANO has; a file that says otherwise is not a MANO hand."""

_SHAPES: dict[str, tuple[int, ...]] = {
    "v_template": (NUM_VERTICES, 3),
    "shapedirs": (NUM_VERTICES, 3, NUM_BETAS),
    "posedirs": (NUM_VERTICES, 3, 9 * (NUM_MANO_JOINTS - 1)),
    "J_regressor": (NUM_MANO_JOINTS, NUM_VERTICES),
    "weights": (NUM_VERTICES, NUM_MANO_JOINTS),
    "faces": (NUM_FACES, 3),
    "kintree_table": (2, NUM_MANO_JOINTS),
}


@dataclass(frozen=True, eq=False)
class PosedMano:
    """MANO in some shape and pose, in the model's own frame; leading axes are batch axes."""

    vertices_m: FloatArray
    """(..., 778, 3)"""
    joints_m: FloatArray
    """(..., 21, 3) in the order of ``joints.py``; the tips are vertices."""


@dataclass(frozen=True, eq=False)
class ManoModel:
    """The right-hand model, ready to be posed; arrays are shared and must not be written."""

    template_m: FloatArray
    """(778, 3)"""
    shape_directions_m: FloatArray
    """(10, 2334) change of the skin (vertex by vertex, x y z) per unit of each beta."""
    pose_directions_m: FloatArray
    """(135, 2334) change of the skin per unit of each entry of R_1 - I, ..., R_15 - I, row by row."""
    template_joints_m: FloatArray
    """(16, 3) joints of the template."""
    joint_directions_m: FloatArray
    """(10, 48) change of the joints per unit of each beta."""
    weights: FloatArray
    """(778, 16) skin weights; every row sums to 1."""
    faces: IntArray
    """(1538, 3) vertex indices, counter-clockwise seen from outside; the wrist is open."""

    def pose(self, *, global_orient: FloatArray, hand_pose: FloatArray, betas: FloatArray) -> PosedMano:
        """Shape and pose the hand; it stays where the model has it, no translation added.

        Args:
            global_orient: (..., 3, 3) rotation of the wrist.
            hand_pose: (..., 15, 3, 3) rotations of the finger joints in MANO's order, each in its parent.
            betas: (..., 10)
        """
        batch = betas.shape[:-1]
        rest_joints = self.template_joints_m + (betas @ self.joint_directions_m).reshape(*batch, -1, 3)
        from_rest = (hand_pose - np.eye(3)).reshape(*batch, -1)
        blend = betas @ self.shape_directions_m + from_rest @ self.pose_directions_m
        rotations = np.concatenate([global_orient[..., None, :, :], hand_pose], axis=-3)
        world, joints = chain_rotations(rotations, rest_joints, PARENTS, rest_joints[..., 0, :])
        vertices = blend_skin(
            self.template_m + blend.reshape(*batch, -1, 3),
            self.weights,
            linear=world,
            rest_joints_m=rest_joints,
            joints_m=joints,
        )
        with_tips = np.concatenate([joints, vertices[..., TIP_VERTICES, :]], axis=-2)
        return PosedMano(vertices_m=vertices, joints_m=with_tips[..., FROM_MANO, :])


def mano_from_arrays(arrays: Mapping[str, object]) -> ManoModel:
    """The model from the arrays of a MANO file, under the file's own names; others are ignored.

    Args:
        arrays: ``v_template`` (778, 3), ``shapedirs`` (778, 3, 10), ``posedirs`` (778, 3, 135),
            ``J_regressor`` (16, 778) dense, ``weights`` (778, 16), ``faces`` or ``f`` (1538, 3) and
            ``kintree_table`` (2, 16).

    Raises:
        UsageError: one is missing, of another shape, or not finite; or the skeleton is not MANO's.
    """
    found = {name: _checked(name, shape, arrays) for name, shape in _SHAPES.items()}
    parents = tuple(int(parent) for parent in found["kintree_table"][0, 1:])
    if parents != PARENTS[1:]:
        raise UsageError(f"the skeleton of a MANO hand has parents {PARENTS[1:]}, found {parents}")
    if not 0 <= found["faces"].min() <= found["faces"].max() < NUM_VERTICES:
        raise UsageError(f"a MANO file's faces name vertices outside 0 to {NUM_VERTICES - 1}")
    shape_directions = np.moveaxis(found["shapedirs"], -1, 0)
    pose_directions = np.moveaxis(found["posedirs"], -1, 0)
    return ManoModel(
        template_m=found["v_template"],
        shape_directions_m=np.ascontiguousarray(shape_directions.reshape(NUM_BETAS, -1)),
        pose_directions_m=np.ascontiguousarray(pose_directions.reshape(len(pose_directions), -1)),
        template_joints_m=found["J_regressor"] @ found["v_template"],
        joint_directions_m=(found["J_regressor"] @ shape_directions).reshape(NUM_BETAS, -1),
        weights=found["weights"],
        faces=found["faces"].astype(np.int64),
    )


def load_mano(path: str | Path) -> ManoModel:
    """Read the model from an .npz file of the arrays ``mano_from_arrays`` takes.

    Raises:
        UsageError: the file is missing, no .npz of plain arrays, or does not hold a MANO hand.
    """
    try:
        with open(path, "rb") as file:  # NumPy itself leaves damaged files open
            stored = np.load(file, allow_pickle=False)
            if not isinstance(stored, np.lib.npyio.NpzFile):
                raise UsageError(f"a MANO file is an .npz of several arrays, found shape {stored.shape}")
            return mano_from_arrays(stored)
    except UsageError as error:
        raise UsageError(f"{error} (in {path})") from error
    except (OSError, ValueError, *DAMAGED_ZIP) as error:
        raise UsageError(f"cannot read the MANO file {path}: {error}") from error


def _checked(name: str, shape: tuple[int, ...], arrays: Mapping[str, object]) -> FloatArray:
    key = "f" if name == "faces" and "faces" not in arrays else name
    if key not in arrays:
        found = sorted(arrays)
        more = f" and {len(found) - MOST_NAMED} more" if len(found) > MOST_NAMED else ""
        named = ", ".join(found[:MOST_NAMED]) or "none"
        raise UsageError(f"a MANO file holds an array {name!r}; found {named}{more}")
    try:
        array = np.asarray(arrays[key], dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise UsageError(f"MANO's {name!r} is not an array of numbers: {error}") from error
    if array.shape != shape:
        raise UsageError(f"MANO's {name!r} has shape {array.shape}, want {shape}")
    if not np.isfinite(array).all():
        raise UsageError(f"MANO's {name!r} holds values that are not finite")
    return array
