"""How HaMeR is trained, as plain values: the command line shows them, so no library is needed for them."""

from dataclasses import dataclass, field
from typing import Literal

BackbonePart = Literal["frozen", "last", "all"]
Precision = Literal["32-true", "bf16-mixed", "16-mixed"]


@dataclass(frozen=True)
class LossWeights:
    """What each term counts: by default joints in the crop only; published weights are in brackets."""

    keypoints_2d: float = 0.01
    """L1 of joints in the crop, whose side is 1."""
    keypoints_3d: float = 0.0
    """L1 of joints from the wrist, metres (0.05)."""
    global_orient: float = 0.0
    """Squared differences of the wrist's rotation matrix (0.001)."""
    hand_pose: float = 0.0
    """The same of the fingers' (0.001)."""
    betas: float = 0.0
    """Squared differences of the shape (0.0005)."""


@dataclass(frozen=True)
class Augmentation:
    """How far crops are changed; the defaults are HaMeR's."""

    scale: float = 0.3
    """Spread of the crop's side, as a share of it; at most this."""
    rotation_deg: float = 30.0
    """Spread of the turn; at most twice this."""
    rotation_rate: float = 0.6
    """Share of crops that are turned."""
    translation: float = 0.02
    """Spread of the shift along each axis, as a share of the side; at most this."""
    colour: float = 0.2
    """How far red, green and blue are each made brighter or darker at most."""
    extreme_crop_rate: float = 0.0
    """Share of crops that show only a part of the hand (HaMeR: none; 0.1 in its body model's training)."""


@dataclass(frozen=True)
class TrainingOptions:
    """How HaMeR is trained; learning rate, decay and clipping are its authors'."""

    batch: int = 8
    """Hands in memory at once, on each device."""
    accumulate: int = 1
    """Such batches to a step."""
    learning_rate: float = 1e-5
    weight_decay: float = 1e-4
    clip_norm: float = 1.0
    """The gradient is shortened to this; 0 leaves it."""
    warmup_steps: int = 100
    """The learning rate grows evenly over this many steps, and stays."""
    backbone: BackbonePart = "all"
    """What of the ViT is trained beside the head: nothing, its last layers, all."""
    last_layers: int = 8
    """How many layers `last` means."""
    precision: Precision = "bf16-mixed"
    """Of the products. 16-mixed is for GPUs without bfloat16; 32-true is exact and slow."""
    crop: Literal["affine", "virtual"] = "affine"
    """Crops as published, or turned cameras as the tracker's own default has them."""
    seed: int = 0
    losses: LossWeights = field(default_factory=LossWeights)
    augmentation: Augmentation = field(default_factory=Augmentation)
