"""How long does POTTER take to read hands?

    PYTHONPATH=. python benchmarks/potter.py [--calls N] [--device cpu|cuda]

Random weights of the published shapes (their values do not change the time). "network" is the network alone
on normalised crops, "backend" all of it: crops of a 1080p picture on the host, normalising, the network, and
joints back on the host. Eager PyTorch in float32 with the threads it takes by itself. Results are in
RESULTS.md.
"""

import sys
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
import tyro

from benchmarks.measure import Durations, print_json, print_table, summarize
from tracker.cameras import pinhole_from_fov
from tracker.cli_running import run_command
from tracker.joints import NUM_JOINTS, Side
from tracker.networks.potter import CROP_PX, Potter
from tracker.networks.potter_reader import PotterReader
from tracker.pose.potter import PotterBackend
from tracker.structs import Frame, HandBox, HandDetection, HandEstimate, ObservedHand

COUNTS = (1, 2, 4)


@dataclass(frozen=True)
class Args:
    """Time POTTER on one, two and four hands."""

    calls: int = 30
    """Timed calls of each kind."""
    warm_up: int = 3
    """Calls before them that do not count."""
    device: Literal["cpu", "cuda"] | None = None
    """A GPU if there is one, unless given."""


@torch.no_grad()
def random_potter(device: torch.device) -> Potter:
    """The network with seeded weights."""
    network = Potter().to_empty(device=device)
    generator = torch.Generator(device).manual_seed(7)
    for weight in network.parameters():
        weight.normal_(0.0, 0.02, generator=generator)
    return network.eval().requires_grad_(False)


def hands_of(count: int, rng: np.random.Generator) -> list[ObservedHand]:
    """Hands 300 px large in a 1080p picture."""
    hands = []
    for index in range(count):
        points = rng.uniform(0, 300, (NUM_JOINTS, 2)) + np.array([200 + 350 * index, 400])
        estimate = HandEstimate(Side.RIGHT, points, np.zeros((NUM_JOINTS, 3)), np.ones(NUM_JOINTS))
        detection = HandDetection(HandBox(points.mean(axis=0), 400.0, 0.0), 0.9, 0.9, estimate)
        hands.append(ObservedHand(index + 1, Side.RIGHT, detection))
    return hands


@torch.inference_mode()
def measured(args: Args) -> dict[str, dict[str, float]]:
    """What each kind of call cost."""
    device = torch.device(args.device or ("cuda" if torch.cuda.is_available() else "cpu"))
    network, rng = random_potter(device), np.random.default_rng(0)
    backend = PotterBackend(PotterReader(network, device))
    image = rng.integers(0, 256, (1080, 1920, 3), np.uint8)
    frame = Frame(0, 0.0, image, pinhole_from_fov(1920, 1080, 70.0))
    rows = {}
    for count in COUNTS:
        durations = Durations()
        crops = torch.randn(count, 3, CROP_PX, CROP_PX, device=device)
        hands = hands_of(count, rng)
        for _ in range(args.warm_up + args.calls):
            durations.call("network", lambda crops=crops: network(crops).cpu())
            durations.call("backend", backend.estimate, frame, hands)
        for name, of in durations.of.items():
            rows[f"{name}, {count} hands"] = summarize(of[args.warm_up :])
    return rows


def main() -> None:
    """Measure and print."""
    args = tyro.cli(Args, description=__doc__)
    rows = measured(args)
    print_table(
        ("", "p50 ms", "p95 ms", "CPU ms a hand"),
        [
            (name, row["p50_ms"], row["p95_ms"], row["cpu_ms"] / int(name.split()[1]))
            for name, row in rows.items()
        ],
    )
    print_json("potter", {"torch": torch.__version__, "threads": torch.get_num_threads(), "rows": rows})


if __name__ == "__main__":
    sys.exit(run_command(main))
