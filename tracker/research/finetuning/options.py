"""How HaMeR is trained, as plain values: the command line shows them, so no library is needed for them."""

from dataclasses import dataclass, field
from typing import Literal

BackbonePart = Literal["frozen", "last", "all"]
Precision = Literal["32-true", "bf16-mixed", "16-mixed"]
Figure = Literal["loss", "reprojection_px", "mpjpe_mm", "pa_mpjpe_mm"]


@dataclass(frozen=True)
class LossWeights:
    """What each term counts: by default joints in the crop only; published weights are in brackets."""

    keypoints_2d: float = 0.01
    """Of the L1 distance of joints in the crop, whose side is 1."""
    keypoints_3d: float = 0.0
    """Of the L1 distance of joints from the wrist, in metres (0.05)."""
    global_orient: float = 0.0
    """Of squared differences of the wrist's rotation matrix (0.001)."""
    hand_pose: float = 0.0
    """The same of the fingers' (0.001)."""
    betas: float = 0.0
    """Of squared differences of MANO's shape (0.0005)."""


@dataclass(frozen=True)
class Augmentation:
    """How far crops are changed; the defaults are HaMeR's."""

    scale: float = 0.3
    """How much larger or smaller a crop may be, as a share of its side; also the standard deviation."""
    rotation_deg: float = 30.0
    """Standard deviation of the turn, degrees; at most twice this."""
    rotation_rate: float = 0.6
    """Share of crops that are turned, 0 to 1."""
    translation: float = 0.02
    """How far a crop may be shifted along each axis, as a share of its side; also the standard deviation."""
    colour: float = 0.2
    """How much brighter or darker red, green and blue each may be, as a share."""
    extreme_crop_rate: float = 0.0
    """Share of crops that show only a part of the hand, 0 to 1 (HaMeR: none; 0.1 in its body model's
    training)."""


@dataclass(frozen=True)
class TrainingOptions:
    """How HaMeR is trained; learning rate, decay and clipping are its authors'."""

    batch: int = 8
    """Hands in memory at once, on each device."""
    accumulate: int = 1
    """Such batches to a step."""
    learning_rate: float = 1e-5
    """Of AdamW, after the warm-up."""
    weight_decay: float = 1e-4
    """Of AdamW: the share of a weight that is taken off it in a step is this times the learning rate."""
    clip_norm: float = 1.0
    """Length that the gradient is shortened to; 0 leaves it."""
    warmup_steps: int = 100
    """The learning rate grows evenly over this many steps, and stays."""
    backbone: BackbonePart = "all"
    """What of the ViT is trained beside the head: nothing, its last layers, all of it."""
    last_layers: int = 8
    """How many layers of the ViT --backbone last trains."""
    precision: Precision = "bf16-mixed"
    """Of matrix products. 16-mixed is for GPUs without bfloat16; 32-true is exact and slow."""
    crop: Literal["affine", "virtual"] = "affine"
    """Crops as published, or turned cameras as the tracker's own default has them."""
    seed: int = 0
    """What the order of the hands, all chance and the takes held out follow from."""
    losses: LossWeights = field(default_factory=LossWeights)
    augmentation: Augmentation = field(default_factory=Augmentation)


@dataclass(frozen=True)
class ValidationOptions:
    """How training is checked on hands that it never learns from; it goes on as it would have without."""

    validate_every: int = 500
    """Steps between validations, of which there is one before the first step too; 0 for none."""
    held_out: float = 0.0
    """Share of the training takes that is kept for validation, 0 to 1; the validation set's manual
    annotations unless given."""
    validation_hands: int = 2000
    """Hands to validate on at most, chosen by the seed; 0 for all."""
    best_by: Figure = "loss"
    """Which figure is least in the best weights, best.pt."""
