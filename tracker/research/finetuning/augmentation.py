"""Chance changes of what a crop shows: HaMeR's, made as changes of the box that is cropped.

The crop is cut once from the changed box, so pixels are read only once and joints follow from the same crop.
Numbers are those HaMeR was trained with: each is a normal draw, cut off at one (rotation: two) spreads.
Hands are never flipped: the network knows right hands only, and left ones are mirrored as always.
"""

import math
from dataclasses import dataclass

import numpy as np

from tracker.joints import FloatArray
from tracker.research.finetuning.options import Augmentation
from tracker.structs import HandBox

UNCHANGED = Augmentation(0.0, 0.0, 0.0, 0.0, 0.0, 0.0)
PART_OF_SIDE = (0.35, 0.65)
"""Least and most side of an extreme crop, as a share of the whole hand's."""


@dataclass(frozen=True, eq=False)
class Change:
    """One draw."""

    scale: float
    rotation_rad: float
    shift: FloatArray
    """(2,) in sides of the crop."""
    gains: FloatArray
    """(3,) of red, green and blue."""
    part: tuple[int, float] | None
    """For an extreme crop: the number of the visible joint in its middle, and its side as a share."""


def draw(options: Augmentation, visible: int, rng: np.random.Generator) -> Change:
    """A change for a hand with this many visible joints.

    The same numbers are drawn whatever the options are, so that one option changes nothing else.
    """
    x, y, size = np.clip(rng.standard_normal(3), -1.0, 1.0).tolist()
    turn = float(np.clip(rng.standard_normal(), -2.0, 2.0))
    turned, cut, joint, side = rng.random(4).tolist()
    gains = 1.0 + options.colour * rng.uniform(-1.0, 1.0, 3)
    least, most = PART_OF_SIDE
    part = (min(int(joint * visible), visible - 1), least + side * (most - least))
    return Change(
        scale=1.0 + options.scale * size,
        rotation_rad=math.radians(options.rotation_deg) * turn if turned < options.rotation_rate else 0.0,
        shift=options.translation * np.array([x, y]),
        gains=gains,
        part=part if cut < options.extreme_crop_rate else None,
    )


def changed_box(box: HandBox, change: Change, visible_px: FloatArray) -> HandBox:
    """The box that is cropped instead of ``box``; ``visible_px`` (V, 2) are the joints that are seen."""
    center_px, size_px = box.center_px, box.size_px
    if change.part is not None:
        joint, share = change.part
        center_px, size_px = visible_px[joint], share * size_px
    return HandBox(
        center_px + change.shift * size_px, change.scale * size_px, box.rotation_rad + change.rotation_rad
    )
