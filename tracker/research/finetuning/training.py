"""The training loop: steps of several small batches, on one device or more, by Lightning Fabric.

Products run in the precision asked for; the weights trained, the last linear map, MANO and the losses are
float32. Nothing here is random but the data, whose order and changes follow from the seed (`dataset`).
"""

import gc
import math
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR

from tracker.errors import TrackerError
from tracker.networks.hamer import Hamer
from tracker.research.finetuning.dataset import Sample
from tracker.research.finetuning.losses import losses
from tracker.research.finetuning.options import TrainingOptions
from tracker.research.finetuning.trainable import make_trainable


class TrainingError(TrackerError):
    """Training went wrong and cannot go on; exit status 1."""


class Learner:
    """A network in training: its optimiser, its schedule, and how far it has come."""

    def __init__(self, fabric: Fabric, hamer: Hamer, options: TrainingOptions) -> None:
        self.fabric, self.options = fabric, options
        self.hamer = hamer.train()
        parameters = make_trainable(hamer.network, options.backbone, options.last_layers)
        self.optimizer = torch.optim.AdamW(
            parameters, lr=options.learning_rate, weight_decay=options.weight_decay
        )
        self.schedule = LambdaLR(
            self.optimizer, lambda step: min(1.0, (step + 1) / max(options.warmup_steps, 1))
        )
        self.hamer.mano.to(fabric.device)
        wrapped: Any = fabric.setup(hamer.network, self.optimizer)
        self.network, self.stepper = wrapped
        self.step = 0
        """Steps done."""
        self.stop_asked = False
        """Whether this process was asked to stop."""
        self.stopping = False
        """Whether any device's was before the end of the last step: all know, and stop together."""

    def train_step(self, batches: Sequence[Sample]) -> dict[str, float]:
        """One step on one batch for each accumulation; returns the figures over all devices.

        Those are means over the hands whose picture could be read, ``reprojection_px`` over their marks; NaN
        where there are none. What is learnt is the mean over all hands drawn.

        Raises:
            TrainingError: the loss is no number, on any device; the weights are as they were.
        """
        sums: dict[str, Tensor] = {}
        counts: dict[str, Tensor] = {}
        for number, batch in enumerate(batches):
            on_device: Sample = self.fabric.to_device(batch)
            # Devices agree on their gradients once a step, with the last of its batches.
            with self.fabric.no_backward_sync(self.network, enabled=number + 1 < len(batches)):
                hand = self.hamer.decode(self.network(on_device.crops).float())
                figures = losses(hand, on_device.targets, self.options.losses)
                self.fabric.backward(figures["loss"] / len(batches))
            read, marked = on_device.readable.sum(), on_device.targets.seen.sum()
            for name, value in figures.items():
                of, count = (marked, marked) if name == "reprojection_px" else (len(batch.readable), read)
                sums[name] = sums.get(name, 0.0) + value.detach() * of
                counts[name] = counts.get(name, 0.0) + count
        sums["stopping"], counts["stopping"] = torch.full_like(read, self.stop_asked), torch.ones_like(read)
        # Of all devices: they stop together, or none does.
        both = torch.stack([torch.stack(list(some.values())) for some in (sums, counts)])
        total: Any = self.fabric.all_reduce(both, reduce_op="sum")
        loss = float(total[0, list(sums).index("loss")])
        if not math.isfinite(loss):
            self.stepper.zero_grad()
            raise TrainingError(f"the loss is {loss} at step {self.step + 1}; lower --learning-rate")
        self._update()
        means = dict(zip(sums, (total[0] / total[1]).tolist(), strict=True))
        self.stopping = means.pop("stopping") > 0
        return means

    def _update(self) -> None:
        if self.options.clip_norm > 0:
            self.fabric.clip_gradients(
                self.network, self.stepper, max_norm=self.options.clip_norm, error_if_nonfinite=False
            )
        self.stepper.step()
        self.stepper.zero_grad()
        self.schedule.step()
        self.step += 1


def train(
    learner: Learner, batches: Iterator[Sample], steps: int, done: Callable[[dict[str, float]], None]
) -> None:
    """Take steps until ``steps`` are done, or some device's process was asked to stop.

    Args:
        learner: where it stands.
        batches: as many as there are accumulations for each step.
        steps: in all, those before this run included.
        done: told of each step: the figures, its number, the learning rate and the seconds it took.

    Raises:
        TrainingError: see ``train_step``.
    """
    while learner.step < steps and not learner.stopping:
        start_s = time.monotonic()
        rate = float(learner.schedule.get_last_lr()[0])
        figures = learner.train_step([next(batches) for _ in range(learner.options.accumulate)])
        done({"step": learner.step, **figures, "learning_rate": rate, "seconds": time.monotonic() - start_s})


def trained_count(network: nn.Module) -> tuple[int, int]:
    """How many numbers of a network are trained, and how many it has."""
    sizes = [(parameter.numel(), parameter.requires_grad) for parameter in network.parameters()]
    return sum(size for size, trained in sizes if trained), sum(size for size, _ in sizes)


def part_devices() -> None:
    """End the processes' group, where there are several, once no `Learner` is left.

    A process that ends with the group's threads running is aborted now and then. Where the network outlives
    the group, torch joins those threads with Python's lock held, which they may be waiting for.
    """
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        gc.collect()  # networks set up for several devices refer to themselves
        torch.distributed.destroy_process_group()
