"""How long does one real-size step of fine-tuning take on a GPU, and how much memory?

    PYTHONPATH=. python benchmarks/finetune_step.py [--batches 4 8 16] [--steps 10]

HaMeR's full network (ViT-H, random weights: their values do not change the time) and a made hand model of
MANO's size, on seeded crops that are on the GPU already; forward, losses, backward, clipping and AdamW are
timed, bf16-mixed, for each part of the backbone that can be trained. Memory is the most that torch had
allocated. Without a GPU it says "not measured". Results are in RESULTS.md.
"""

import math
import sys
from dataclasses import dataclass

import numpy as np
import torch
import tyro
from lightning_fabric import Fabric

from benchmarks.measure import Durations, print_json, print_table, summarize
from tracker.cli_running import run_command
from tracker.mano_numpy import NUM_VERTICES, PARENTS, ManoModel, mano_from_arrays
from tracker.networks.hamer import Hamer, HamerConfig, HamerNetwork, seeded_crops
from tracker.research.finetuning.dataset import Sample
from tracker.research.finetuning.losses import Targets
from tracker.research.finetuning.options import BackbonePart, TrainingOptions
from tracker.research.finetuning.training import Learner

PARTS: tuple[BackbonePart, ...] = ("frozen", "last", "all")
NOT_MEASURED = "not measured"


@dataclass(frozen=True)
class Args:
    """Time steps of fine-tuning at the real size."""

    batches: tuple[int, ...] = (4, 8, 16)
    """Hands in memory at once."""
    steps: int = 10
    """Timed steps of each kind."""
    warm_up: int = 3
    """Steps before them that do not count."""


def made_mano(seed: int = 0) -> ManoModel:
    """A hand of MANO's size and no shape to speak of."""
    rng = np.random.default_rng(seed)
    arrays = {
        "v_template": rng.normal(0.0, 0.05, (NUM_VERTICES, 3)),
        "shapedirs": rng.normal(0.0, 3e-4, (NUM_VERTICES, 3, 10)),
        "posedirs": rng.normal(0.0, 1e-4, (NUM_VERTICES, 3, 135)),
        "J_regressor": rng.dirichlet(np.ones(NUM_VERTICES), 16),
        "weights": rng.dirichlet(np.ones(16), NUM_VERTICES),
        "f": np.zeros((1538, 3), np.uint32),
        "kintree_table": np.stack([np.array([4294967295, *PARENTS[1:]]), np.arange(16)]).astype(np.uint32),
    }
    return mano_from_arrays(arrays)


@torch.no_grad()
def random_hamer(config: HamerConfig) -> Hamer:
    """The network with seeded weights."""
    network = HamerNetwork(config, torch.float32).to_empty(device="cpu")
    generator = torch.Generator().manual_seed(7)
    for weight in network.parameters():
        weight.normal_(0.0, 0.5 / math.sqrt(weight.shape[-1]), generator=generator)
    network.head.readout.bias[-3] += 5.0  # a hand in front of the camera
    return Hamer(network, made_mano())


def seeded_batch(count: int, device: torch.device) -> Sample:
    """Noise with joints somewhere in it."""
    generator = torch.Generator().manual_seed(1)
    points, ones = torch.rand(count, 21, 2, generator=generator) - 0.5, torch.ones(count, 21)
    targets = Targets(
        points,
        ones,
        torch.zeros(count, 21, 3),
        0 * ones,
        torch.eye(3).expand(count, 16, 3, 3),
        torch.zeros(count, 10),
        torch.zeros(count),
        torch.full((count,), 200.0),
    )
    indices = torch.arange(count)
    return Sample(
        seeded_crops(count).to(device),
        Targets(*(part.to(device) for part in targets)),
        indices,
        torch.ones(count),
    )


def timed_step(
    backbone: BackbonePart, count: int, args: Args, config: HamerConfig, device: torch.device
) -> dict[str, float]:
    """Percentiles of a step in ms, and ``memory_gb``, the most it took on a GPU; empty without room."""
    on_gpu = device.type == "cuda"
    if on_gpu:
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    options = TrainingOptions(batch=count, backbone=backbone, last_layers=min(8, config.vit.depth))
    fabric = Fabric(accelerator=device.type, devices=1, precision=options.precision)
    durations = Durations()
    try:
        learner, batch = Learner(fabric, random_hamer(config), options), seeded_batch(count, device)

        def step() -> None:
            learner.train_step([batch])
            if on_gpu:
                torch.cuda.synchronize()

        for _ in range(args.warm_up + args.steps):
            durations.call("step", step)
    except torch.OutOfMemoryError:
        return {}
    memory_gb = torch.cuda.max_memory_allocated() / 1e9 if on_gpu else float("nan")
    return summarize(durations.of["step"][args.warm_up :]) | {"memory_gb": memory_gb}


def main() -> None:
    """Time every part of the backbone with every batch, and print."""
    args = tyro.cli(Args, description=__doc__)
    if not torch.cuda.is_available():
        print(f"{NOT_MEASURED}: torch finds no CUDA device")
        print_json("finetune_step", {"steps": NOT_MEASURED})
        return
    rows = {
        f"{part}, batch {count}": timed_step(part, count, args, HamerConfig(), torch.device("cuda"))
        for part in PARTS
        for count in args.batches
    }
    print_table(
        ("", "p50 ms", "p95 ms", "memory GB"),
        [
            (name, row["p50_ms"], row["p95_ms"], row["memory_gb"]) if row else (name, "no room", "", "")
            for name, row in rows.items()
        ],
    )
    print_json(
        "finetune_step", {"gpu": torch.cuda.get_device_name(), "torch": torch.__version__, "steps": rows}
    )


if __name__ == "__main__":
    sys.exit(run_command(main))
