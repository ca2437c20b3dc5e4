"""What HaMeR is trained to lessen: distances of joints in the crop and, where wanted, in space and of MANO.

As published (Pavlakos et al., 2024), each term summed over a hand, but averaged over the hands of a batch: so
batches of any size pull alike, and several small ones add up to a large one. A joint or hand that is not
known adds nothing and has no slope.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from tracker.joints import WRIST
from tracker.networks.hamer import CROP_PX, HamerOutput
from tracker.pose.hamer import FOCAL_SAMPLES
from tracker.research.finetuning.options import LossWeights

FOCAL = FOCAL_SAMPLES / CROP_PX
"""Focal length of the published camera, in sides of the crop."""
LEAST_SCALE = 1e-6


class Targets(NamedTuple):
    """What is known of a batch of hands, as if all were right ones, in their crops' axes; all float32."""

    points: Tensor
    """(B, 21, 2) in the crop, from -0.5 to 0.5; 0 where not marked."""
    seen: Tensor
    """(B, 21) 1 where marked, else 0."""
    joints_m: Tensor
    """(B, 21, 3) from the wrist; 0 where not known."""
    known: Tensor
    """(B, 21) 1 where known, else 0."""
    rotations: Tensor
    """(B, 16, 3, 3) MANO's; anything where there is none."""
    betas: Tensor
    """(B, 10) likewise."""
    fitted: Tensor
    """(B,) 1 where there is MANO, else 0."""
    side_px: Tensor
    """(B,) side of the crop in pixels of the picture."""


def losses(hand: HamerOutput, targets: Targets, weights: LossWeights) -> dict[str, Tensor]:
    """The weighted sum ``loss``, the terms in it before weighing, and ``reprojection_px``, all scalars.

    ``reprojection_px`` is the mean distance of the marked joints in the picture, which is not trained on.
    """
    points = crop_projection(hand)
    batch = len(points)
    off = kept(points - targets.points, targets.seen)
    from_wrist_m = hand.joints_m - hand.joints_m[:, WRIST : WRIST + 1]
    rotations = torch.cat([hand.global_orient[:, None], hand.hand_pose], dim=1)
    turned = kept(rotations - targets.rotations, targets.fitted) ** 2
    terms = {
        "keypoints_2d": off.abs().sum() / batch,
        "keypoints_3d": kept(from_wrist_m - targets.joints_m, targets.known).abs().sum() / batch,
        "global_orient": turned[:, 0].sum() / batch,
        "hand_pose": turned[:, 1:].sum() / batch,
        "betas": (kept(hand.betas - targets.betas, targets.fitted) ** 2).sum() / batch,
    }
    used = {name: term for name, term in terms.items() if getattr(weights, name) > 0}
    total = sum((getattr(weights, name) * term for name, term in used.items()), points.new_zeros(()))
    away_px = torch.linalg.vector_norm(off.detach(), dim=-1) * targets.side_px[:, None]
    marked = targets.seen.sum().clamp(min=1.0)
    return {"loss": total, **{name: term.detach() for name, term in used.items()}} | {
        "reprojection_px": away_px.sum() / marked
    }


def kept(values: Tensor, mask: Tensor) -> Tensor:
    """``values`` (B, ..., D...) where ``mask`` (B, ...) is 1; elsewhere 0, without a slope."""
    mask = mask.view(*mask.shape, *[1] * (values.dim() - mask.dim()))
    return torch.where(mask > 0, values, torch.zeros_like(values))


def crop_projection(hand: HamerOutput) -> Tensor:
    """Crop points (B, 21, 2), from -0.5 to 0.5, where HaMeR's camera sees its joints.

    With (s, x, y) the camera and f the focal length in crop sides: f (J + (x, y)) / (J_z + 2 f / s).
    """
    scale = hand.camera[:, :1].clamp(min=LEAST_SCALE)
    place = torch.cat([hand.camera[:, 1:], 2.0 * FOCAL / scale], dim=1)  # (B, 3)
    placed = hand.joints_m + place[:, None]
    return FOCAL * placed[..., :2] / placed[..., 2:]
