"""A picture of crops as the network is shown them, with their marks: to be looked at before long training."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw
from torch import Tensor

from tracker.joints import BONES, FloatArray, Side
from tracker.networks.hamer import CROP_PX, FIRST_COLUMN_PX, IMAGE_MEAN, IMAGE_STD
from tracker.research.finetuning.dataset import Draws, HandPictures, Sample
from tracker.research.finetuning.options import TrainingOptions
from tracker.research.finetuning.training_hands import TrainingHand
from tracker.whole_file import whole_file

ROWS, COLUMNS = 5, 8
UNSEEN = 0.35
"""Brightness of the columns that the backbone does not see."""
COLOURS = {Side.LEFT: (255, 90, 90), Side.RIGHT: (90, 170, 255)}
JOINT_RADIUS_PX = 3


def write_crop_sheet(hands: Sequence[TrainingHand], options: TrainingOptions, path: Path) -> None:
    """Write a PNG of the first `ROWS` x `COLUMNS` crops in the order of training, changed as in training.

    Marked joints are dots, bones between marked joints lines; left hands, which are mirrored, are red.

    Raises:
        UsageError: the file cannot be written.
    """
    pictures = HandPictures(hands, augmentation=options.augmentation, seed=options.seed, crop=options.crop)
    first = next(iter(Draws(len(hands), ROWS * COLUMNS, seed=options.seed)))
    tiles = [_tile(pictures[which], hands[which.hand]) for which in first]
    rows = [np.concatenate(tiles[start : start + COLUMNS], axis=1) for start in range(0, len(tiles), COLUMNS)]
    with whole_file(path) as part:
        Image.fromarray(np.concatenate(rows)).save(part, format="PNG")


def _tile(sample: Sample, hand: TrainingHand) -> FloatArray:
    """(256, 256, 3) uint8."""
    levels = _levels(sample.crops)
    levels[:, :FIRST_COLUMN_PX] *= UNSEEN
    levels[:, CROP_PX - FIRST_COLUMN_PX :] *= UNSEEN
    tile = Image.fromarray(np.rint(levels).astype(np.uint8))
    drawing, colour = ImageDraw.Draw(tile), COLOURS[hand.side]
    points = ((sample.targets.points + 0.5) * CROP_PX).tolist()
    seen = (sample.targets.seen > 0).tolist()
    for parent, child in BONES:
        if seen[parent] and seen[child]:
            drawing.line([*points[parent], *points[child]], fill=colour)
    for (x, y), marked in zip(points, seen, strict=True):
        if marked:
            drawing.circle((x, y), JOINT_RADIUS_PX, outline=(255, 255, 0))
    drawing.text((4, 2), f"{hand.picture.parent.name[:26]}/{hand.picture.stem}", fill=(255, 255, 255))
    drawing.rectangle((0, 0, CROP_PX - 1, CROP_PX - 1), outline=(0, 0, 0))
    return np.asarray(tile)


def _levels(crop: Tensor) -> FloatArray:
    """(256, 256, 3) from 0 to 255 of a normalised crop (3, 256, 256); grey where no picture could be read."""
    share = crop.permute(1, 2, 0).double().numpy() * IMAGE_STD + IMAGE_MEAN
    return np.asarray(255.0 * share.clip(0.0, 1.0))
