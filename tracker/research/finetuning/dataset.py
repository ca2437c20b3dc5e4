"""Crops and targets of hands, made in the loader's worker processes by what also makes them in tracking.

The order of the hands, and every change by chance, follow from the seed and a count alone. So training can
go on at any batch as if it had never stopped, with any number of workers, and no generator's state is kept.
"""

import os
import warnings
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from tracker.crops import AffineCrop, Crop, CropKind, VirtualCrop, make_crop
from tracker.errors import UsageError
from tracker.interrupts import leave_interrupts_to_the_main_process
from tracker.joints import NUM_JOINTS, WRIST, FloatArray, Side
from tracker.mano_numpy import NUM_BETAS, NUM_MANO_JOINTS
from tracker.networks.crop_sampling import mirrored_points, sample, sample_sharp, spread_of, trace
from tracker.networks.hamer import CROP_PX, IMAGE_MEAN, IMAGE_STD
from tracker.pose.hamer import crop_box
from tracker.research.finetuning.augmentation import Change, changed_box, draw
from tracker.research.finetuning.losses import Targets
from tracker.research.finetuning.options import Augmentation
from tracker.research.finetuning.training_hands import TrainingHand
from tracker.research.ground_truth.labelled import BoolArray
from tracker.structs import ImageArray

_MIRROR = np.array([-1.0, 1.0, 1.0])
_ORDER, _CHANGES = 0, 1
"""What a generator is for: together with the seed and a count it says which."""


class Draw(NamedTuple):
    """Which hand is shown."""

    round: int
    """How often all hands had been shown before."""
    hand: int


class Sample(NamedTuple):
    """A hand, or a batch of them, as the network is shown it."""

    crops: Tensor
    """(3, 256, 256), normalised"""
    targets: Targets
    indices: Tensor
    """() which hand"""
    readable: Tensor
    """() 1, or 0 where the picture could not be read: the crop is empty and nothing is known of it."""


class Draws(Sampler[list[Draw]]):
    """An endless stream of small batches: all hands in a new order, again and again.

    The stream of hands is cut into batches, dealt in turn to ``ranks`` processes; this is that of ``rank``.
    """

    def __init__(
        self, hands: int, batch: int, *, seed: int, first: int = 0, rank: int = 0, ranks: int = 1
    ) -> None:
        self._hands, self._batch, self._seed = hands, batch, seed
        self._first, self._rank, self._ranks = first, rank, ranks
        self._order = (-1, np.arange(hands))

    def __iter__(self) -> Iterator[list[Draw]]:
        """Batches of this process, from its number ``first`` on."""
        start = (self._first * self._ranks + self._rank) * self._batch
        while True:
            yield [self._draw(place) for place in range(start, start + self._batch)]
            start += self._batch * self._ranks

    def _draw(self, place: int) -> Draw:
        number, within = divmod(place, self._hands)
        if self._order[0] != number:
            rng = np.random.default_rng([self._seed, _ORDER, number])
            self._order = (number, rng.permutation(self._hands))
        return Draw(number, int(self._order[1][within]))


class HandPictures(Dataset[Sample]):
    """Hands as samples, by their draws."""

    def __init__(
        self,
        hands: Sequence[TrainingHand],
        *,
        augmentation: Augmentation,
        seed: int,
        crop: CropKind = "affine",
    ) -> None:
        self._hands, self._augmentation, self._seed = hands, augmentation, seed
        self._crop: CropKind = crop

    def __len__(self) -> int:
        return len(self._hands)

    def __getitem__(self, which: Draw) -> Sample:
        """One hand; an empty sample where its picture cannot be read."""
        hand = self._hands[which.hand]
        rng = np.random.default_rng([self._seed, _CHANGES, which.round, which.hand])
        change = draw(self._augmentation, int(hand.visible.sum()), rng)
        try:
            image = hand.read_picture()
        except UsageError:
            image = None
        return make_sample(hand, image, change, which.hand, self._crop)


MOST_WORKERS = 8
"""Processes that read pictures for a device unless more are asked for; a few keep any GPU busy."""


def usual_workers(devices: int) -> int:
    """Processes that read pictures for each of ``devices`` when nobody says how many: the cores, shared."""
    known = getattr(os, "sched_getaffinity", None)  # what this process may use, where the system says so
    cores = len(known(0)) if known is not None else os.cpu_count() or 1
    return min(MOST_WORKERS, max(1, cores // devices))


def batches_of(
    pictures: HandPictures, draws: Iterable[list[Draw]], *, workers: int, pinned: bool
) -> Iterator[Sample]:
    """The drawn batches, in order, made ahead in ``workers`` processes; in this one if there are none."""
    with warnings.catch_warnings():  # whoever asks for more workers than cores need not be told twice
        warnings.filterwarnings("ignore", message="This DataLoader will create")
        loader = DataLoader(
            pictures,
            batch_sampler=draws,
            num_workers=workers,
            pin_memory=pinned,
            worker_init_fn=leave_interrupts_to_the_main_process,
        )
        return iter(loader)


def make_sample(
    hand: TrainingHand, image: ImageArray | None, change: Change, index: int, kind: CropKind
) -> Sample:
    """What the network is shown of a hand in its upright picture (H, W, 3), and what it should say."""
    around = crop_box(hand.box_px.reshape(2, 2))
    box = changed_box(around, change, hand.joints_px[hand.visible])
    crop = make_crop(kind, box, CROP_PX, hand.camera)
    readable = image is not None
    targets = targets_of(hand, crop, box.size_px)
    if image is None:
        empty = torch.zeros(NUM_JOINTS)
        targets = targets._replace(seen=empty, known=empty, fitted=torch.zeros(()))
    crops = (
        torch.zeros(3, CROP_PX, CROP_PX) if image is None else crop_picture(hand, image, crop, change.gains)
    )
    return Sample(crops, targets, torch.tensor(index), torch.tensor(float(readable)))


@torch.no_grad()
def crop_picture(hand: TrainingHand, image: ImageArray, crop: Crop, gains: FloatArray) -> Tensor:
    """The normalised crop (3, 256, 256), sampled as in tracking, each channel times its gain (3,)."""
    traced = trace([crop], [hand.side is Side.LEFT], (image.shape[0], image.shape[1]))
    picture, nodes_px = torch.from_numpy(image), torch.from_numpy(traced.nodes_px)
    if spread_of(crop) == (0.0, 0):  # most hands in EgoExo4D's pictures
        levels = sample_sharp(picture, nodes_px)
    else:
        levels = sample(picture, nodes_px, torch.from_numpy(traced.reads))
    bright = (levels[0] * _channels(gains)).clamp(0.0, 255.0) / 255.0
    return (bright - _channels(IMAGE_MEAN)) / _channels(IMAGE_STD)


def _channels(values: FloatArray | Sequence[float]) -> Tensor:
    return torch.tensor(values, dtype=torch.float32)[:, None, None]


def targets_of(hand: TrainingHand, crop: Crop, side_px: float) -> Targets:
    """What is known of a hand, in the axes of a crop of it; left hands are mirrored there."""
    left = hand.side is Side.LEFT
    points = crop_points(crop, hand)
    if left:
        points = mirrored_points(points)
    seen: BoolArray = np.asarray(np.isfinite(points).all(axis=-1))
    flip = _MIRROR if left else np.ones(3)
    from_wrist_m = hand.joints_in_camera_m - hand.joints_in_camera_m[WRIST]
    joints_m = (from_wrist_m @ crop.camera_from_crop) * flip
    rotations, betas = mano_targets(hand, crop, flip)
    return Targets(
        points=_tensor(np.where(seen[:, None], points / CROP_PX - 0.5, 0.0)),
        seen=_tensor(seen),
        joints_m=_tensor(np.where(hand.known[:, None], joints_m, 0.0)),
        known=_tensor(hand.known),
        rotations=_tensor(rotations),
        betas=_tensor(betas),
        fitted=torch.tensor(float(hand.mano is not None)),
        side_px=torch.tensor(side_px, dtype=torch.float32),
    )


def crop_points(crop: Crop, hand: TrainingHand) -> FloatArray:
    """Crop points (21, 2) of the marked joints, not mirrored: ``image_from_crop`` undone; NaN for others."""
    if isinstance(crop, AffineCrop):
        into = np.linalg.inv(crop.homography)
        return np.asarray(hand.joints_px @ into[:2, :2].T + into[:2, 2])
    assert isinstance(crop, VirtualCrop)
    rays = hand.camera.unproject(hand.joints_px) @ crop.camera_from_crop
    ahead = np.where(rays[:, 2:] > 0, rays[:, 2:], np.nan)
    return np.asarray(crop.focal * rays[:, :2] / ahead + crop.samples / 2)


def mano_targets(hand: TrainingHand, crop: Crop, flip: FloatArray) -> tuple[FloatArray, FloatArray]:
    """MANO's rotations (16, 3, 3) and betas (10,) in the crop's axes: ``pose.hamer.hand_estimate`` undone."""
    if hand.mano is None:
        return np.tile(np.eye(3), (NUM_MANO_JOINTS, 1, 1)), np.zeros(NUM_BETAS)
    turn = flip[:, None] * crop.camera_from_crop * flip
    orient = turn.T @ hand.mano.global_orient
    return np.concatenate([orient[None], hand.mano.hand_pose]), hand.mano.betas


def _tensor(values: FloatArray | BoolArray) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(values, dtype=np.float32))
