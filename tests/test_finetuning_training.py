"""Fine-tuning at work: a tiny network learns, stops and goes on, and full-size weights come back."""

import json
import subprocess
import sys
from dataclasses import replace
from itertools import repeat
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("lightning_fabric")

import torch
from lightning_fabric import Fabric
from tiny_hamer import eight_hands, tiny_hamer
from torch.utils.data import DataLoader, default_collate

from tracker.errors import UsageError
from tracker.networks.hamer import HamerConfig
from tracker.networks.vit import VitConfig
from tracker.research.finetuning import checkpoints
from tracker.research.finetuning.augmentation import UNCHANGED
from tracker.research.finetuning.dataset import Draw, Draws, HandPictures, Sample
from tracker.research.finetuning.options import Augmentation, LossWeights, TrainingOptions
from tracker.research.finetuning.training import Learner, TrainingError, train
from tracker.research.finetuning.training_hands import TrainingHand

if TYPE_CHECKING:
    from egoexo4d_release import MadeRelease

pytestmark = pytest.mark.usefixtures("one_thread")
on_a_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
NO_BENCHMARKS = "benchmarks are not part of the package"
PROJECT = Path(__file__).resolve().parents[1]
PLAIN = TrainingOptions(
    batch=8, precision="32-true", learning_rate=2e-3, warmup_steps=10, augmentation=UNCHANGED
)


@pytest.fixture(scope="module")
def hands(made_release: "MadeRelease") -> list[TrainingHand]:
    return eight_hands(made_release)


@pytest.fixture(scope="module")
def all_eight(hands: list[TrainingHand]) -> Sample:
    pictures = HandPictures(hands, augmentation=UNCHANGED, seed=0)
    batch: Sample = default_collate([pictures[Draw(0, index)] for index in range(8)])
    return batch


def learner_of(options: TrainingOptions, **size: int) -> Learner:
    fabric = Fabric(accelerator="cpu", devices=1, precision=options.precision)
    return Learner(fabric, tiny_hamer(**size), options)


def config_of(options: TrainingOptions) -> dict[str, Any]:
    return checkpoints.configuration(options, data="these hands", devices=1)


def resumed(path: Path, learner: Learner, options: TrainingOptions) -> Learner:
    checkpoints.restore(learner, checkpoints.read_own(path, config_of(options)))
    return learner


def weights_of(learner: Learner) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in learner.hamer.network.state_dict().items()}


def nothing(figures: dict[str, float]) -> None:
    pass


def test_eight_rendered_hands_are_learnt_to_two_pixels(all_eight: Sample) -> None:
    learner = learner_of(PLAIN, depth=1)
    off_px: list[float] = []
    for rate, steps in ((5e-3, 150), (1.5e-3, 80), (3e-4, 40)):  # a smaller rate lets it settle
        learner = Learner(learner.fabric, learner.hamer, replace(PLAIN, learning_rate=rate))
        train(learner, repeat(all_eight), steps, lambda figures: off_px.append(figures["reprojection_px"]))
    assert all_eight.readable.all() and all_eight.targets.seen.sum() > 150
    assert off_px[0] > 10 and max(off_px[-5:]) < 2


# Going on.

CHANGING = replace(PLAIN, batch=3, accumulate=2, augmentation=Augmentation(), learning_rate=1e-3)


def losses_of(learner: Learner, hands: list[TrainingHand], steps: int) -> list[float]:
    options, seen = learner.options, []
    pictures = HandPictures(hands, augmentation=options.augmentation, seed=options.seed)
    draws = Draws(len(hands), options.batch, seed=0, first=learner.step * options.accumulate)
    loader = DataLoader(pictures, batch_sampler=draws)
    train(learner, iter(loader), steps, lambda figures: seen.append(figures["loss"]))
    return seen


def test_training_that_was_stopped_equals_training_that_was_not(
    hands: list[TrainingHand], tmp_path: Path
) -> None:
    whole = losses_of(learner_of(CHANGING), hands, 5)
    first = learner_of(CHANGING)
    begun = losses_of(first, hands, 2)
    checkpoints.save(tmp_path / "checkpoint.pt", first, config_of(CHANGING))
    # Whatever it began with is replaced.
    again = resumed(tmp_path / "checkpoint.pt", learner_of(CHANGING, seed=9), CHANGING)
    assert again.step == 2
    assert [*begun, *losses_of(again, hands, 5)] == pytest.approx(whole, rel=1e-6)
    assert len(set(whole)) == 5


def test_a_checkpoint_of_another_run_is_refused(tmp_path: Path) -> None:
    learner, path = learner_of(PLAIN), tmp_path / "checkpoint.pt"
    checkpoints.save(path, learner, config_of(PLAIN))
    other = replace(PLAIN, batch=4, losses=LossWeights(keypoints_3d=0.05))
    with pytest.raises(UsageError) as refused:
        checkpoints.read_own(path, config_of(other))
    differing = "--batch was 8, is 4; --losses.keypoints-3d was 0.0, is 0.05"
    assert str(refused.value) == f"{path} belongs to another run: {differing}"


def test_a_kill_while_a_checkpoint_is_written_leaves_the_one_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    learner, path = learner_of(PLAIN), tmp_path / "checkpoint.pt"
    checkpoints.save(path, learner, config_of(PLAIN))
    whole = path.read_bytes()

    def killed(state: object, part: Path) -> None:
        part.write_bytes(whole[:1000])
        raise KeyboardInterrupt

    monkeypatch.setattr(torch, "save", killed)
    with pytest.raises(KeyboardInterrupt):
        checkpoints.save(path, learner, config_of(PLAIN))
    assert [file.name for file in tmp_path.iterdir()] == [path.name]
    resumed(path, learner, PLAIN)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 cut short", b"no checkpoint at all"])
def test_a_damaged_checkpoint_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "checkpoint.pt"
    path.write_bytes(content)
    with pytest.raises(UsageError, match="damaged, or no checkpoint"):
        checkpoints.read(path)
    with pytest.raises(UsageError, match="cannot read"):
        checkpoints.read(tmp_path / "none.pt")


def test_a_file_of_other_tensors_is_no_checkpoint(tmp_path: Path) -> None:
    torch.save({"state_dict": {"a": torch.zeros(2)}}, tmp_path / "other.pt")
    with pytest.raises(UsageError, match="no checkpoint of the finetune command"):
        checkpoints.read(tmp_path / "other.pt")


# What is trained, and how.


@pytest.mark.parametrize(
    ("backbone", "still"),
    [
        ("frozen", ("backbone.",)),
        ("last", ("backbone.blocks.0.", "backbone.patch.", "backbone.pos")),
        ("all", ()),
    ],
)
def test_what_is_frozen_stays_and_the_rest_moves(
    all_eight: Sample, backbone: str, still: tuple[str, ...]
) -> None:
    learner = learner_of(replace(PLAIN, backbone=backbone, last_layers=1))  # type: ignore[arg-type]
    before = weights_of(learner)
    train(learner, repeat(all_eight), 2, nothing)
    after = weights_of(learner)
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    assert moved == {name for name in before if not (still and name.startswith(still))}


def test_as_many_last_layers_as_there_are() -> None:
    with pytest.raises(UsageError, match="the backbone has 2"):
        learner_of(replace(PLAIN, backbone="last", last_layers=3))


def test_two_batches_of_four_equal_one_of_eight(all_eight: Sample) -> None:
    halves = [parted(all_eight, slice(0, 4)), parted(all_eight, slice(4, 8))]
    options = replace(PLAIN, clip_norm=0.0)
    whole, summed = learner_of(options), learner_of(replace(options, batch=4, accumulate=2))
    loss = whole.train_step([all_eight])["loss"]
    assert summed.train_step(halves)["loss"] == pytest.approx(loss, rel=1e-6)
    for mine, other in zip(slopes_of(summed), slopes_of(whole), strict=True):
        torch.testing.assert_close(mine, other, rtol=1e-4, atol=1e-5 * float(other.abs().max()))


def slopes_of(learner: Learner) -> list[torch.Tensor]:
    """The gradients of its first step, a tenth of which Adam keeps; its step itself hides their size."""
    return [state["exp_avg"] for state in learner.optimizer.state.values()]


def parted(batch: Any, rows: slice) -> Any:
    parts = (part[rows] if isinstance(part, torch.Tensor) else parted(part, rows) for part in batch)
    return type(batch)(*parts)


def unread(batch: Sample, rows: slice) -> Sample:
    """The batch as it would be had the pictures of some rows not been readable."""
    readable, seen = batch.readable.clone(), batch.targets.seen.clone()
    readable[rows], seen[rows] = 0, 0
    return batch._replace(readable=readable, targets=batch.targets._replace(seen=seen))


def test_figures_are_of_the_hands_that_could_be_read(all_eight: Sample) -> None:
    """However they are batched; and unknown, not zero, where none could."""
    first, rest = (parted(all_eight, rows) for rows in (slice(0, 3), slice(3, 8)))
    options = replace(PLAIN, batch=4, accumulate=2)
    wanted = learner_of(options).train_step([first])
    part = learner_of(options).train_step([unread(all_eight, slice(3, 8)), unread(rest, slice(0, 5))])
    assert part == pytest.approx(wanted, rel=1e-5)
    learner = learner_of(options)
    none = learner.train_step([unread(all_eight, slice(0, 8))])
    assert np.isnan(list(none.values())).all() and learner.step == 1


def test_an_infinite_loss_stops_before_it_reaches_the_weights(all_eight: Sample) -> None:
    learner = learner_of(PLAIN)
    before = weights_of(learner)
    spoiled = all_eight._replace(crops=all_eight.crops * float("nan"))
    with pytest.raises(TrainingError, match="at step 1; lower --learning-rate"):
        learner.train_step([spoiled])
    assert all(torch.equal(before[name], value) for name, value in weights_of(learner).items())


def test_mixed_precision_keeps_the_last_map_exact(all_eight: Sample) -> None:
    exact, mixed = learner_of(PLAIN), learner_of(replace(PLAIN, precision="bf16-mixed"))
    numbers = mixed.network(all_eight.crops)
    assert numbers.dtype == torch.float32
    assert not torch.equal(numbers, numbers.bfloat16().float())
    torch.testing.assert_close(numbers, exact.network(all_eight.crops), rtol=0.02, atol=0.02)
    train(mixed, repeat(all_eight), 1, nothing)
    assert {value.dtype for value in weights_of(mixed).values()} == {torch.float32}


# The benchmark, which nobody runs before they have the card.


def test_the_benchmark_runs_small_on_a_cpu_and_says_that_it_is_not_measured() -> None:
    step = pytest.importorskip("benchmarks.finetune_step", reason=NO_BENCHMARKS)
    small = HamerConfig(VitConfig(depth=1, width=64, heads=2), 1, 64, 2, 32)
    row = step.timed_step("last", 2, step.Args(steps=2, warm_up=1), small, torch.device("cpu"))
    assert row["p50_ms"] > 0
    if not torch.cuda.is_available():
        command = [sys.executable, "-m", "benchmarks.finetune_step"]
        done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=True)
        assert json.loads(done.stdout.splitlines()[-1])["steps"] == "not measured"


@pytest.mark.gpu
@on_a_gpu
def test_half_precision_goes_on_with_its_scale(all_eight: Sample, tmp_path: Path) -> None:
    options = replace(PLAIN, precision="16-mixed")
    first, again = (
        Learner(Fabric(accelerator="cuda", devices=1, precision="16-mixed"), tiny_hamer(), options)
        for _ in "12"
    )
    train(first, repeat(all_eight), 3, nothing)
    path = tmp_path / "checkpoint.pt"
    checkpoints.save(path, first, config_of(options))
    assert checkpoints.read(path)["precision"]["scale"] > 1
    resumed(path, again, options)
    assert again.fabric.strategy.precision.state_dict() == first.fabric.strategy.precision.state_dict()


@pytest.mark.gpu
@on_a_gpu
def test_a_real_size_step_fits_on_the_gpu(capsys: pytest.CaptureFixture[str]) -> None:
    step = pytest.importorskip("benchmarks.finetune_step", reason=NO_BENCHMARKS)
    row = step.timed_step("all", 8, step.Args(steps=5), HamerConfig(), torch.device("cuda"))
    with capsys.disabled():
        print(f"one step of 8 hands: {row['p50_ms']:.0f} ms, {row['memory_gb']:.1f} GB")
    assert row["memory_gb"] < 24  # the whole network trains on a common card
