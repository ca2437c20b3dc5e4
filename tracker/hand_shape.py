"""What does not change while a hand moves: palm points and bone lengths, of a person or of the mean adult."""

from dataclasses import dataclass

import numpy as np

from tracker.joints import FINGER_MCPS, FloatArray, Side, bone_lengths, camera_from_wrist

NUM_FINGERS = 5
PALM_JOINTS = (0, 1, *FINGER_MCPS)
"""Wrist, thumb CMC and knuckles: the joints that do not move in the wrist's axes."""

MEAN_PALM_M = np.array(
    [
        (0.0, 0.0, 0.0),
        (-0.0230, -0.0150, -0.0210),
        (-0.0230, -0.0060, -0.0870),
        (0.0, 0.0, -0.0850),
        (0.0192, -0.0010, -0.0790),
        (0.0395, -0.0060, -0.0720),
    ]
)
MEAN_FINGER_BONES_M = np.array(
    [
        (0.0430, 0.0310, 0.0280),
        (0.0400, 0.0240, 0.0230),
        (0.0460, 0.0280, 0.0230),
        (0.0430, 0.0270, 0.0220),
        (0.0320, 0.0190, 0.0195),
    ]
)
"""A plausible adult between the open hand and hands of metric recordings; its palm is 64 mm wide."""
LENGTH_PER_WIDTH = 0.3
"""Power of the palm's width with which a hand's lengths grow: wide palms belong to larger hands, but much of
the width is the palm's own, and its arch."""
WIDTH_SIZE_SD = 0.04
"""Relative spread of hands' sizes about what their palm's width says."""
ADULT_SIZE_SD = 0.06
"""Relative spread of adults' hand sizes."""


@dataclass(frozen=True, eq=False)
class HandShape:
    """What does not change while a hand moves: where its finger bases are and how long its bones are."""

    palm_m: FloatArray
    """(6, 3) wrist (zero), thumb CMC and the index, middle, ring and little knuckles of a right hand in its
    wrist's axes."""
    finger_bones_m: FloatArray
    """(5, 3) the three bones of each finger from its base outward."""
    size_sd: float = ADULT_SIZE_SD
    """How far the whole may be too large or too small, as a share: range is as uncertain as size."""

    def __post_init__(self) -> None:
        for name, shape in (("palm_m", (6, 3)), ("finger_bones_m", (NUM_FINGERS, 3))):
            if getattr(self, name).shape != shape:
                raise ValueError(f"{name} has shape {getattr(self, name).shape}, want {shape}")

    @staticmethod
    def mean() -> "HandShape":
        """A plausible adult's hand."""
        return HandShape(MEAN_PALM_M, MEAN_FINGER_BONES_M)

    @staticmethod
    def from_palm_width(width_m: float) -> "HandShape":
        """The likeliest hand whose palm is this wide from the index knuckle to the little finger's."""
        mean = HandShape.mean()
        lengths = (width_m / mean.palm_width_m) ** LENGTH_PER_WIDTH
        depth_m = (mean.palm_m[2] - mean.palm_m[5])[1:] * lengths
        across_m = np.sqrt(max(width_m**2 - depth_m @ depth_m, 1e-9))
        widths = across_m / (mean.palm_m[5] - mean.palm_m[2])[0]
        return HandShape(
            mean.palm_m * (widths, lengths, lengths), mean.finger_bones_m * lengths, size_sd=WIDTH_SIZE_SD
        )

    @staticmethod
    def from_joints(joints_m: FloatArray, side: Side) -> "HandShape":
        """The shape that joints (21, 3) of one posed hand have."""
        turned = (joints_m - joints_m[0]) @ camera_from_wrist(joints_m, side)
        palm_m = turned[list(PALM_JOINTS)] * (mirror_sign(side), 1.0, 1.0)
        return HandShape(palm_m, bone_lengths(joints_m).reshape(NUM_FINGERS, 4)[:, 1:])

    @property
    def palm_width_m(self) -> float:
        """Distance of the index knuckle from the little finger's."""
        return float(np.linalg.norm(self.palm_m[2] - self.palm_m[5]))

    @property
    def size_m(self) -> float:
        """The sum of all bone lengths, from the wrist to the tips."""
        return float(np.linalg.norm(self.palm_m, axis=1).sum() + self.finger_bones_m.sum())

    def scaled(self, factor: float) -> "HandShape":
        """The same proportions, every length times ``factor``."""
        return HandShape(self.palm_m * factor, self.finger_bones_m * factor, self.size_sd)


def mirror_sign(side: Side) -> float:
    """1 for a right hand, -1 for a left one, whose wrist axes have the thumb at +x."""
    return 1.0 if side is Side.RIGHT else -1.0
