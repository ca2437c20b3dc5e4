"""The commands ``finetune`` and ``export``: hands found, training run or gone on with, weights written."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import torch
from lightning_fabric import Fabric
from torch.utils.data import DataLoader

from tracker.errors import UsageError
from tracker.mano_numpy import ManoModel
from tracker.networks.hamer import load_hamer
from tracker.networks.mano_file import read_mano
from tracker.progress import CountingBar
from tracker.research.finetuning import checkpoints
from tracker.research.finetuning.curves import TrainingLog, draw_curves, read_log
from tracker.research.finetuning.dataset import Draws, HandPictures, Sample
from tracker.research.finetuning.export import export as export_weights
from tracker.research.finetuning.fitted_hands import FittedHands
from tracker.research.finetuning.options import TrainingOptions
from tracker.research.finetuning.training import Learner, train, trained_count
from tracker.research.finetuning.training_hands import (
    TrainingHand,
    fingerprint,
    hands_of_clips,
    hands_of_takes,
)
from tracker.research.ground_truth import find_clips
from tracker.research.ground_truth.egoexo4d import annotation_path, open_takes
from tracker.research.ground_truth.egoexo4d_values import Tally

Say = Callable[[str], None]
CHECKPOINT, LOG, CURVES = "checkpoint.pt", "log.jsonl", "curves.png"
"""What a run keeps in its folder."""


@dataclass(frozen=True)
class Plan:
    """What is trained on what, and where that is kept."""

    prepared: Path
    """EgoExo4D's prepared files, whose training set is read."""
    annotations: Path | None
    """Another annotation file of theirs."""
    release: Path | None
    """For the takes' own intrinsics."""
    pseudo_labels: Path | None
    """A folder of them, for the terms in space and of MANO."""
    also: tuple[Path, ...]
    """Folders of other data sets."""
    checkpoint: Path
    """The weights to begin with."""
    mano: Path
    out: Path
    """The folder of the run."""
    steps: int
    checkpoint_every: int
    """Steps."""
    devices: int
    workers: int
    """Processes that read pictures, for each device."""
    resume: bool


def finetune(plan: Plan, options: TrainingOptions, *, say: Say) -> int:
    """Train; returns the exit status.

    Raises:
        TrackerError: there is nothing to train on, a file cannot be used, or the loss is no number.
    """
    _check_devices(plan.devices, say)
    fabric = Fabric(accelerator="auto", devices=plan.devices, precision=options.precision)
    fabric.launch()  # other devices' processes run this whole command too
    tell: Say = say if fabric.is_global_zero else _say_nothing
    tally = Tally()
    hands = _hands(plan, options, tally, tell)
    learner = Learner(fabric, load_hamer(plan.checkpoint, plan.mano), options)
    network = learner.hamer.network
    trained, all_numbers = trained_count(network)
    tell(f"{len(hands)} hands; {trained / 1e6:.1f} of {all_numbers / 1e6:.1f} M weights are trained")
    config = checkpoints.configuration(
        options, data=fingerprint(hands), devices=fabric.world_size, layers=len(network.backbone.blocks)
    )
    _begin(plan, learner, config, tell)
    try:
        _run(plan, learner, config, hands, tell)
    except KeyboardInterrupt:
        tell(f"stopped after step {learner.step}; --resume goes on from the last checkpoint")
        raise
    tell(f"{learner.step} steps are done; {plan.out / CHECKPOINT} can be exported")
    return 0


def _check_devices(wanted: int, say: Say) -> None:
    """Refuse more GPUs than there are; without any, processes on the CPU share the work."""
    found = torch.cuda.device_count()
    if 0 < found < wanted:
        raise UsageError(f"--devices {wanted}: torch finds {found}")
    if not found:
        say("no CUDA GPU: HaMeR's own size is too much for a CPU; this is for tests")


def _say_nothing(line: str) -> None:
    """What the processes of other devices tell."""


def _hands(plan: Plan, options: TrainingOptions, tally: Tally, tell: Say) -> list[TrainingHand]:
    path = plan.annotations or annotation_path(plan.prepared, "train")
    takes = open_takes(plan.prepared, path, "train", release=plan.release, tally=tally)
    fitted = FittedHands(plan.pseudo_labels, tally) if plan.pseudo_labels is not None else None
    hands = hands_of_takes(takes, tally, fitted=fitted)
    for folder in plan.also:
        hands += hands_of_clips(find_clips(folder, tally=tally), tally)
    for line in tally.lines():
        tell(line)
    if not hands:
        raise UsageError("; ".join([f"{path} has no hand to train on", *tally.lines()]))
    _check_terms(hands, options)
    return hands


def _check_terms(hands: Sequence[TrainingHand], options: TrainingOptions) -> None:
    """Refuse terms that nothing could be compared with: they would be zero without a word."""
    weights = options.losses
    if weights.keypoints_3d > 0 and not any(hand.known.any() for hand in hands):
        raise UsageError("--losses.keypoints-3d: no hand has joints in space")
    if max(weights.global_orient, weights.hand_pose, weights.betas) > 0 and not any(
        hand.mano is not None for hand in hands
    ):
        raise UsageError("MANO's terms need --pseudo-labels of MANO; no hand has its parameters")


def _begin(plan: Plan, learner: Learner, config: dict[str, object], tell: Say) -> None:
    """Go on with what the folder holds, where that is wished for."""
    path = plan.out / CHECKPOINT
    plan.out.mkdir(parents=True, exist_ok=True)
    if not path.exists():
        if plan.resume:
            tell(f"{plan.out} holds no checkpoint yet: training begins")
    elif not plan.resume:
        raise UsageError(f"{path} is there: --resume goes on with it; another folder begins anew")
    else:
        checkpoints.resume(path, learner, config)
        if learner.fabric.is_global_zero:
            _clear(plan.out)
        tell(f"going on after step {learner.step}")


def _clear(out: Path) -> None:
    """Remove what a killed run was about to write: a checkpoint's beginning may take gigabytes."""
    for name in (CHECKPOINT, LOG, CURVES):
        for part in out.glob(f".{name}-*.part"):
            part.unlink()


def _run(
    plan: Plan, learner: Learner, config: dict[str, object], hands: Sequence[TrainingHand], tell: Say
) -> None:
    loader = _loader(plan, learner, hands)
    unread = Tally()
    with ExitStack() as stack:
        first = learner.fabric.is_global_zero
        log = TrainingLog(plan.out / LOG, steps_done=learner.step) if first else None
        bar = CountingBar(plan.steps, unit="step", what="training") if first else None
        if log is not None and bar is not None:
            stack.callback(log.close)
            stack.enter_context(bar)
            bar.observe(learner.step)

        def done(figures: dict[str, float]) -> None:
            if log is not None and bar is not None:
                log.write(figures)
                bar.observe()
            if learner.step % plan.checkpoint_every == 0 or learner.step == plan.steps:
                checkpoints.save(plan.out / CHECKPOINT, learner, config)
                tell(
                    f"step {learner.step}: loss {figures['loss']:.4f}, "
                    f"joints {figures['reprojection_px']:.1f} px off"
                )
                if first:
                    _draw(plan.out, tell)

        train(learner, _noting(iter(loader), hands, unread), plan.steps, done)
    for line in unread.lines():
        tell(line)


def _loader(plan: Plan, learner: Learner, hands: Sequence[TrainingHand]) -> DataLoader[Sample]:
    options, fabric = learner.options, learner.fabric
    draws = Draws(
        len(hands),
        options.batch,
        seed=options.seed,
        first=learner.step * options.accumulate,
        rank=fabric.global_rank,
        ranks=fabric.world_size,
    )
    pictures = HandPictures(hands, augmentation=options.augmentation, seed=options.seed, crop=options.crop)
    return DataLoader(
        pictures,
        batch_sampler=draws,
        num_workers=plan.workers,
        pin_memory=fabric.device.type == "cuda",
    )


def _noting(batches: Iterator[Sample], hands: Sequence[TrainingHand], tally: Tally) -> Iterator[Sample]:
    """The batches, with pictures that could not be read counted and named."""
    for batch in batches:
        for index in batch.indices[batch.readable == 0].tolist():
            tally.add("times that a picture could not be read", hands[index].where)
        yield batch


def _draw(out: Path, tell: Say) -> None:
    try:
        draw_curves(read_log(out / LOG), out / CURVES)
    except ImportError:
        tell("no curves are drawn: matplotlib is not installed (extra `research`)")


def export(run: Path, to: Path, *, mano: Path | None, say: Say) -> int:
    """Write the weights of a run, or of a checkpoint of one, for the backend; returns the exit status.

    Raises:
        TrackerError: see ``finetuning.export``.
    """
    model: ManoModel | None = read_mano(mano) if mano is not None else None
    say("measuring what float16 costs (half a minute)")
    steps = export_weights(run / CHECKPOINT if run.is_dir() else run, to, mano=model)
    say(f"wrote {to}: {steps} steps; hand-tracker live --backend hamer --checkpoint {to}")
    return 0
