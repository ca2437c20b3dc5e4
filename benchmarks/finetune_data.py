"""How many hands a second does the data side of fine-tuning make ready?

    PYTHONPATH=. python benchmarks/finetune_data.py [--workers 0 1 2] [--hands 600]

Noisy pictures of EgoExo4D's size (512 x 512, JPEG of quality 95) are written into a temporary folder, two
hands in each, and read by the loader that training uses: decoded, turned upright, changed by chance, cropped,
put together in batches of 8. ``0`` workers is one process that does nothing else. Results are in RESULTS.md.
"""

import sys
import tempfile
import time
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
import torch
import tyro
from PIL import Image

from benchmarks.measure import print_json, print_table
from tracker.cli_running import run_command
from tracker.joints import Side
from tracker.research.finetuning.dataset import Draws, HandPictures, batches_of
from tracker.research.finetuning.options import TrainingOptions
from tracker.research.finetuning.training_hands import TrainingHand
from tracker.research.ground_truth.egoexo4d import TURN
from tracker.research.ground_truth.egoexo4d_release import nominal_camera
from tracker.research.ground_truth.egoexo4d_values import SIZE_PX

PICTURES = 64
HAND_PX = 90.0
"""Side of a hand's box: 0.2 m at 0.33 m."""


@dataclass(frozen=True)
class Args:
    """Time the data side of fine-tuning."""

    workers: tuple[int, ...] = (0, 1, 2)
    """Processes that read pictures."""
    hands: int = 600
    """Timed for each."""


def made_hands(folder: Path) -> list[TrainingHand]:
    """Two hands in each of `PICTURES` pictures, which lie on their side as EgoExo4D's do."""
    rng = np.random.default_rng(0)
    camera = TURN.camera_upright(nominal_camera())
    nowhere, hands = np.full((21, 3), np.nan), []
    for number in range(PICTURES):
        coarse = rng.integers(0, 256, (SIZE_PX // 8, SIZE_PX // 8, 3), np.uint8)
        smooth = np.asarray(Image.fromarray(coarse).resize((SIZE_PX, SIZE_PX)), np.float64)
        noisy = np.clip(smooth + rng.normal(0.0, 4.0, smooth.shape), 0, 255).astype(np.uint8)
        path = folder / f"{number:06d}.jpg"
        Image.fromarray(noisy).save(path, quality=95)
        for side, left in ((Side.LEFT, 100.0), (Side.RIGHT, 300.0)):
            corner = np.array([left, 250.0]) + rng.uniform(-20.0, 20.0, 2)
            box_px = np.concatenate([corner, corner + HAND_PX])
            joints_px = corner + rng.uniform(0.0, HAND_PX, (21, 2))
            hands.append(TrainingHand(path, camera, True, side, box_px, joints_px, nowhere, "made"))
    return hands


def hands_per_s(hands: list[TrainingHand], workers: int, count: int) -> float:
    """Of the training loader, after its first batches."""
    options = TrainingOptions()
    pictures = HandPictures(hands, augmentation=options.augmentation, seed=0)
    draws = Draws(len(hands), options.batch, seed=0)
    batches = batches_of(pictures, draws, workers=workers, pinned=False)
    warm_up = max(2, 4 * workers)  # so many are made ahead
    list(islice(batches, warm_up))
    start_s = time.perf_counter()
    wanted = max(1, count // options.batch)
    list(islice(batches, wanted))
    return wanted * options.batch / (time.perf_counter() - start_s)


def main() -> None:
    """Time each number of workers, and print."""
    args = tyro.cli(Args, description=__doc__)
    torch.set_num_threads(1)  # as loaders' workers have it
    with tempfile.TemporaryDirectory() as folder:
        hands = made_hands(Path(folder))
        rates = {workers: hands_per_s(hands, workers, args.hands) for workers in args.workers}
    print_table(("workers", "hands/s"), [(str(workers), rate) for workers, rate in rates.items()])
    print_json("finetune_data", {"hands_per_s": {str(workers): rate for workers, rate in rates.items()}})


if __name__ == "__main__":
    sys.exit(run_command(main))
