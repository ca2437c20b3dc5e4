"""From a picture to its hands in one function of tensors: crops, HaMeR, MANO.

Eager, captured in a CUDA graph or compiled, it is the same function; ``tracker.networks.engines`` runs it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from tracker.joints import NUM_JOINTS, FloatArray
from tracker.mano_numpy import NUM_BETAS, NUM_MANO_JOINTS
from tracker.networks.crop_sampling import CropSampler
from tracker.networks.hamer import Hamer, HamerOutput

PACKED_SIZES = (9, 9 * (NUM_MANO_JOINTS - 1), NUM_BETAS, 3, 3 * NUM_JOINTS)
"""Numbers of a packed hand: root rotation, finger rotations, betas, camera, joints."""


class ReadHands(NamedTuple):
    """What a batch of crops shows."""

    packed: Tensor
    """(B, 220) float32: all that the host needs, in one tensor, so that one copy brings it over."""
    vertices_m: Tensor
    """(B, 778, 3) float32, as in ``HamerOutput``."""


Step = Callable[[Tensor, Tensor, Tensor], ReadHands]
"""A picture (H, W, 3) uint8, nodes and reads of a batch of crops (see ``TracedCrops``) -> its hands."""


@dataclass(frozen=True, eq=False)
class HandReading:
    """What HaMeR says of one crop, as if of a right hand, in the crop's axes."""

    global_orient: FloatArray
    """(3, 3)"""
    hand_pose: FloatArray
    """(15, 3, 3)"""
    betas: FloatArray
    """(10,)"""
    camera: FloatArray
    """(3,) weak perspective: scale, x and y, in half crops."""
    joints_m: FloatArray
    """(21, 3) about MANO's own origin."""


class PictureReader:
    """Samples crops from a picture and reads the hands in them.

    Args:
        hamer: the network with MANO.
        sampler, read: faster stand-ins for the crop sampler and for ``hamer``, which they must equal.
    """

    def __init__(
        self,
        hamer: Hamer,
        *,
        sampler: Callable[[Tensor, Tensor, Tensor], Tensor] | None = None,
        read: Callable[[Tensor], HamerOutput] | None = None,
    ) -> None:
        # A compiled module has no truth value, so these are compared with None.
        self._sample = CropSampler().to(device_of(hamer)) if sampler is None else sampler
        self._read = hamer if read is None else read

    def __call__(self, picture: Tensor, nodes_px: Tensor, reads: Tensor) -> ReadHands:
        """Read the hands of one picture; see ``Step``."""
        hands = self._read(self._sample(picture, nodes_px, reads))
        parts = (hands.global_orient, hands.hand_pose, hands.betas, hands.camera, hands.joints_m)
        return ReadHands(torch.cat([part.flatten(1) for part in parts], dim=1), hands.vertices_m)


def device_of(hamer: Hamer) -> torch.device:
    """Where a network's weights are."""
    return next(hamer.parameters()).device


def unpacked(packed: FloatArray) -> HandReading:
    """One hand from its numbers (220,)."""
    ends = np.cumsum(PACKED_SIZES)[:-1]
    orient, pose, betas, camera, joints = np.split(packed.astype(np.float64), ends)
    return HandReading(
        orient.reshape(3, 3), pose.reshape(-1, 3, 3), betas, camera, joints.reshape(NUM_JOINTS, 3)
    )
