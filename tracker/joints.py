"""The hand skeleton: sides, the 21 joints and their order, bones, and the wrist's own axes.

Order (the same as MediaPipe, OpenPose and EgoExo4D): 0 wrist; 1-4 thumb CMC, MCP, IP, tip; then
index, middle, ring and pinky, each MCP, PIP, DIP, tip.
"""

from enum import Enum

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]


class Side(Enum):
    """Anatomical side of a hand, for the picture as given (not mirrored)."""

    LEFT = "left"
    RIGHT = "right"

    @property
    def other(self) -> "Side":
        """The opposite side."""
        return Side.RIGHT if self is Side.LEFT else Side.LEFT


NUM_JOINTS = 21
WRIST = 0
FINGERS: dict[str, tuple[int, int, int, int]] = {
    "thumb": (1, 2, 3, 4),
    "index": (5, 6, 7, 8),
    "middle": (9, 10, 11, 12),
    "ring": (13, 14, 15, 16),
    "pinky": (17, 18, 19, 20),
}
FINGER_MCPS = (5, 9, 13, 17)
"""The knuckles of the four long fingers; with the wrist they form the rigid part of the hand."""

JOINT_NAMES: tuple[str, ...] = (
    "wrist",
    *(f"thumb_{part}" for part in ("cmc", "mcp", "ip", "tip")),
    *(
        f"{finger}_{part}"
        for finger in ("index", "middle", "ring", "pinky")
        for part in ("mcp", "pip", "dip", "tip")
    ),
)

BONES: tuple[tuple[int, int], ...] = tuple(
    pair for chain in FINGERS.values() for pair in zip((WRIST, *chain[:-1]), chain, strict=True)
)
"""(parent, child) of the 20 bones, finger by finger from the wrist outwards."""
_PARENTS, _CHILDREN = np.array(BONES).T


def bone_lengths(joints: FloatArray) -> FloatArray:
    """Lengths (..., 20) of the bones in the order of ``BONES``, in the unit of ``joints`` (..., 21, 3)."""
    lengths: FloatArray = np.linalg.norm(joints[..., _CHILDREN, :] - joints[..., _PARENTS, :], axis=-1)
    return lengths


def cross(a: FloatArray, b: FloatArray) -> FloatArray:
    """Cross product (3,) of vectors (3,): numpy's own takes ten times as long for one pair."""
    (ax, ay, az), (bx, by, bz) = a.tolist(), b.tolist()
    return np.array([ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx])


def camera_from_wrist(joints_m: FloatArray, side: Side) -> FloatArray:
    """Rotation (3, 3) of the wrist's axes as OpenXR defines them, from joints (21, 3) in camera axes.

    For both sides -z points from the wrist toward the fingers, +y out of the back of the hand and +x to the
    right when the palm faces down and the fingers point ahead. The axes are read from the wrist and the
    index, middle and pinky knuckles, so they mean the same for every backend.

    Returns the identity when those joints lie on one line.
    """
    backward = joints_m[WRIST] - joints_m[9]
    across = joints_m[17] - joints_m[5] if side is Side.RIGHT else joints_m[5] - joints_m[17]
    up = cross(backward, across)
    if np.linalg.norm(up) < 1e-12:
        return np.eye(3)
    z = backward / np.linalg.norm(backward)
    y = up / np.linalg.norm(up)
    return np.stack([cross(y, z), y, z], axis=-1)
