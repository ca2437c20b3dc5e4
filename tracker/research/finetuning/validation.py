"""How a network in training does on hands that it does not learn from.

Crops are unchanged, all devices share the hands, and nothing random is drawn: training goes on as it would
have.
"""

import math
from collections.abc import Sequence
from typing import Any, get_args

import torch

from tracker.joints import FloatArray
from tracker.networks.hamer import HamerOutput
from tracker.research.evaluation.hand_errors import egoexo4d_errors_m
from tracker.research.finetuning.augmentation import UNCHANGED
from tracker.research.finetuning.dataset import Draw, HandPictures, Sample, batches_of
from tracker.research.finetuning.losses import Targets, losses
from tracker.research.finetuning.options import Figure
from tracker.research.finetuning.sources import LEAST_KNOWN
from tracker.research.finetuning.training import Learner
from tracker.research.finetuning.training_hands import TrainingHand

FIGURES = get_args(Figure)


def validate(learner: Learner, hands: Sequence[TrainingHand], *, workers: int) -> dict[str, float]:
    """The figures over all hands, without those that there is nothing to measure of.

    ``loss`` and ``reprojection_px`` are those of training. ``mpjpe_mm`` and ``pa_mpjpe_mm`` are the
    challenge's, over the hands with joints in space: relative to the wrist, in the axes of the ray to the
    crop. A picture that cannot be read counts for nothing.
    """
    options, fabric = learner.options, learner.fabric
    pictures = HandPictures(hands, augmentation=UNCHANGED, seed=options.seed, crop=options.crop)
    mine = [Draw(0, index) for index in range(fabric.global_rank, len(hands), fabric.world_size)]
    draws = [mine[start : start + options.batch] for start in range(0, len(mine), options.batch)]
    sums = [(0.0, 0.0)] * len(FIGURES)
    for batch in batches_of(pictures, draws, workers=workers, pinned=fabric.device.type == "cuda"):
        more = _sums(learner, batch)
        sums = [(total + t, count + c) for (total, count), (t, c) in zip(sums, more, strict=True)]
    of_all: Any = fabric.all_reduce(torch.tensor(sums, device=fabric.device), reduce_op="sum")
    means = {
        name: total / count for name, (total, count) in zip(FIGURES, of_all.tolist(), strict=True) if count
    }
    return {name: mean for name, mean in means.items() if math.isfinite(mean)}


@torch.no_grad()
def _sums(learner: Learner, batch: Sample) -> list[tuple[float, float]]:
    """Each figure's sum over the readable hands of a batch, and how many it is the sum of."""
    readable = batch.readable > 0
    count = int(readable.sum())
    if not count:
        return [(0.0, 0.0)] * len(FIGURES)
    targets = Targets(*(part[readable].to(learner.fabric.device) for part in batch.targets))
    # The network itself: processes with unequal numbers of batches must not wait for each other.
    with learner.fabric.autocast():
        numbers = learner.hamer.network(batch.crops[readable].to(learner.fabric.device))
    hand = learner.hamer.decode(numbers.float())
    figures = losses(hand, targets, learner.options.losses)
    marked = float(targets.seen.sum())
    mpjpe_mm, pa_mpjpe_mm = _in_space_mm(hand, targets)
    return [
        (count * float(figures["loss"]), float(count)),
        (marked * float(figures["reprojection_px"]), marked),
        (float(mpjpe_mm.sum()), float(len(mpjpe_mm))),
        (float(pa_mpjpe_mm.sum()), float(len(pa_mpjpe_mm))),
    ]


def _in_space_mm(hand: HamerOutput, targets: Targets) -> tuple[FloatArray, FloatArray]:
    """MPJPE and PA-MPJPE of each hand with enough joints of known place."""
    predicted_m, true_m = (joints.cpu().double().numpy() for joints in (hand.joints_m, targets.joints_m))
    known = targets.known.cpu().numpy() > 0
    enough = known.sum(axis=-1) >= LEAST_KNOWN
    mpjpe_m, pa_mpjpe_m = egoexo4d_errors_m(predicted_m[enough], true_m[enough], known[enough])
    return 1e3 * mpjpe_m, 1e3 * pa_mpjpe_m
