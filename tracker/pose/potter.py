"""POTTER as a pose backend: observed hands in, joints in the camera's axes out, as EgoExo4D's baseline.

Like all backends it takes upright pictures. The network learned from Aria's pictures as they lie on their
side (landscape: the upright picture's up is their left), so crops are turned by 90 degrees, and its answer is
turned back. Hands are read as they are, none mirrored, in one batch. An affine crop's answer is in the
camera's axes already, so it is not turned to its ray.

The network gives joints in 3D only: the points that placement goes by are the light network's.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import numpy as np

from tracker.crops import CropKind, make_crop
from tracker.errors import MissingDependencyError
from tracker.joints import NUM_JOINTS, WRIST, FloatArray
from tracker.sampling import Float32Array, sample_crop
from tracker.structs import Frame, HandBox, HandEstimate, ObservedHand

CROP_SAMPLES = 224
BOX_SCALE = 1.25
"""Side of the crop over the longer side of the data set's boxes, as published."""
BOX_OVER_HAND = 1.5
"""Side of those boxes over that of the tight one around the joints; 20 px more on every side, of 512."""
TURN_RAD = math.pi / 2
"""Clockwise as seen, from a crop of the picture on its side to the upright picture: its x is our y."""


@dataclass(frozen=True)
class PotterOptions:
    """Which file the backend reads, and how."""

    checkpoint: Path | None = None
    """Of the public baseline, or what the weights command made of it."""
    crop: CropKind = "affine"
    """Crops as plain squares of the picture, as published, or as turned cameras seen through the lens."""


class Reader(Protocol):
    """What reads crops: ``tracker.networks.potter_reader.PotterReader``."""

    def read(self, crops: Sequence[Float32Array]) -> FloatArray:
        """Joints (B, 21, 3) in metres, in the crops' axes, of crops (224, 224, 3) in 0..1."""
        ...


class PotterBackend:
    """Reads every hand with POTTER; all hands of a frame are one batch."""

    name = "potter"

    def __init__(self, reader: Reader, *, crop: CropKind = "affine") -> None:
        self._reader = reader
        self._crop_kind: CropKind = crop

    def estimate(self, frame: Frame, observed: Sequence[ObservedHand]) -> tuple[HandEstimate, ...]:
        """One estimate for each hand, in order, each of the side that was observed."""
        if not observed:
            return ()
        boxes = [crop_box(hand.detection.estimate.joints_px) for hand in observed]
        crops = [make_crop(self._crop_kind, box, CROP_SAMPLES, frame.camera) for box in boxes]
        read_m = self._reader.read([sample_crop(frame.image_rgb, crop, "black") for crop in crops])
        estimates = []
        for joints_m, crop, hand in zip(read_m, crops, observed, strict=True):
            turned_m = joints_m @ crop.camera_from_flat_crop.T
            estimates.append(
                replace(
                    hand.detection.estimate,
                    side=hand.side,
                    joints_from_wrist_m=turned_m - turned_m[WRIST],
                    joint_scores=np.full(NUM_JOINTS, hand.detection.presence),
                    knows_size=True,
                )
            )
        return tuple(estimates)


def crop_box(joints_px: FloatArray) -> HandBox:
    """The square around joints (21, 2) that the network was trained on, turned as it sees it."""
    low, high = joints_px.min(axis=0), joints_px.max(axis=0)
    size_px = BOX_SCALE * BOX_OVER_HAND * float((high - low).max())
    return HandBox((low + high) / 2, max(size_px, 1.0), TURN_RAD)


def load_potter_reader(options: PotterOptions) -> Reader:
    """The network with its weights; of the options all but the crop matter.

    Raises:
        TrackerError: PyTorch is not installed, or the file is not given or cannot be used.
    """
    try:
        from tracker.networks import potter_reader
    except ImportError as error:
        raise MissingDependencyError(
            "PyTorch is not installed; install this package with the extra `hamer`"
        ) from error
    if options.checkpoint is None:
        raise MissingDependencyError("the backend potter needs the file of its network: potter.checkpoint")
    return potter_reader.load_potter_reader(options.checkpoint)
