"""The commands ``finetune`` and ``export``: refusals, from the cheapest on, then the work."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from lightning_fabric import Fabric
from lightning_fabric.utilities.rank_zero import rank_zero_only

from tracker.errors import TrackerError, UsageError
from tracker.networks.conversion import JOINT_ERROR
from tracker.networks.converted_file import read_facts
from tracker.networks.hamer import Hamer, load_hamer, network_of
from tracker.networks.mano_file import read_mano
from tracker.research.finetuning import checkpoints
from tracker.research.finetuning.crop_sheet import write_crop_sheet
from tracker.research.finetuning.export import export as export_weights
from tracker.research.finetuning.options import TrainingOptions, ValidationOptions
from tracker.research.finetuning.run import BEST, CHECKPOINT, Hold, Schedule, Session
from tracker.research.finetuning.sources import Hands, Say, Sources, find_hands
from tracker.research.finetuning.training import Learner, part_devices, trained_count
from tracker.research.finetuning.training_hands import fingerprint


@dataclass(frozen=True)
class Plan:
    """What is trained on what, and where that is kept."""

    sources: Sources
    checkpoint: Path
    """The weights to begin with; not read where the run goes on."""
    mano: Path
    out: Path
    """The folder of the run."""
    schedule: Schedule
    devices: int
    resume: bool


def finetune(
    plan: Plan, options: TrainingOptions, validation: ValidationOptions, *, say: Say, held: Hold
) -> int:
    """Train; returns the exit status.

    Args:
        plan: what is trained on what.
        options: how.
        validation: how it is checked.
        say: tells a person.
        held: has training end with a checkpoint at the first interruption.

    Raises:
        TrackerError: there is nothing to train on, a file cannot be used, or the loss is no number.
    """
    # Fabric has every other device's process run this whole command anew; they have nothing to say.
    first: bool = getattr(rank_zero_only, "rank", 0) == 0
    tell: Say = say if first else _say_nothing
    found = torch.cuda.device_count()
    if 0 < found < plan.devices:
        raise UsageError(f"--devices {plan.devices}: torch finds {found}")
    _check_files(plan)
    hands = find_hands(plan.sources, options, validation, tell=tell)
    data = f"{len(hands.training)} hands ({fingerprint(hands.training)})"
    config = checkpoints.configuration(options, data=data, devices=plan.devices, held_out=validation.held_out)
    steps_done = _steps_done(plan, config, tell)
    if steps_done == plan.schedule.steps:
        tell(f"{steps_done} steps are done already; more --steps go on")
        return 0
    try:
        plan.out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"cannot make the folder {plan.out}: {error.strerror or error}") from error
    if not found:  # processes on the CPU share the work
        tell("no CUDA GPU: HaMeR's own size is too much for a CPU; this is for tests")
    fabric = Fabric(accelerator="auto", devices=plan.devices, precision=options.precision)
    fabric.launch()
    begin = partial(_learner, plan, fabric, options, resumed=steps_done > 0)
    stopped: TrackerError | KeyboardInterrupt | None = None
    try:
        _train(plan, begin, hands, config, say=say, tell=tell, held=held)
    except (TrackerError, KeyboardInterrupt) as error:
        stopped = error.with_traceback(None)  # which holds the network
    part_devices()
    if stopped is not None and first:
        raise stopped
    return 0


def show_crops(sources: Sources, options: TrainingOptions, to: Path, *, say: Say) -> int:
    """Write a picture of the first crops that training would show; returns the exit status.

    Raises:
        TrackerError: there is nothing to train on, or a file cannot be used.
    """
    hands = find_hands(sources, options, ValidationOptions(validate_every=0), tell=say).training
    write_crop_sheet(hands, options, to)
    say(f"wrote {to}; nothing was trained")
    return 0


def _say_nothing(line: str) -> None:
    """What the processes of other devices tell."""


def _check_files(plan: Plan) -> None:
    """Refuse a folder that cannot be used, or weights that are not there, before anything is read."""
    path = plan.out / CHECKPOINT
    if path.exists() and not plan.resume:
        raise UsageError(f"{path} is there: --resume goes on with it; another folder begins anew")
    for weights in (plan.mano, *(() if path.exists() else (plan.checkpoint,))):
        if not weights.is_file():
            raise UsageError(f"{weights}: no such file of weights")


def _steps_done(plan: Plan, config: dict[str, Any], tell: Say) -> int:
    """How far the folder's checkpoint has come; 0 where there is none.

    Raises:
        UsageError: it is of another run, or has seen more steps than are wanted.
    """
    path = plan.out / CHECKPOINT
    if not path.exists():
        if plan.resume:
            tell(f"{plan.out} holds no checkpoint: training begins anew, at step 0")
        return 0
    steps_done, steps = int(checkpoints.read_own(path, config)["step"]), plan.schedule.steps
    if steps_done > steps:
        raise UsageError(f"{path}: {steps_done} steps are done already, and --steps {steps} are all in all")
    return steps_done


def _learner(plan: Plan, fabric: Fabric, options: TrainingOptions, *, resumed: bool) -> Learner:
    """With the weights to begin with, or where the folder's checkpoint says that training stood."""
    if not resumed:
        return Learner(fabric, load_hamer(plan.checkpoint, plan.mano), options)
    path = plan.out / CHECKPOINT
    state = checkpoints.read(path)
    network = network_of(state["network"], source=str(path), dtype=torch.float32)
    learner = Learner(fabric, Hamer(network, read_mano(plan.mano)), options)
    checkpoints.restore(learner, state)
    return learner


def _train(
    plan: Plan,
    begin: Callable[[], Learner],
    hands: Hands,
    config: dict[str, Any],
    *,
    say: Say,
    tell: Say,
    held: Hold,
) -> None:
    learner = begin()
    trained, all_numbers = trained_count(learner.hamer.network)
    tell(
        f"{len(hands.training)} hands to train on, {len(hands.validation)} to validate on; "
        f"{trained / 1e6:.1f} of {all_numbers / 1e6:.1f} M weights are trained"
    )
    if learner.step:
        tell(f"going on after step {learner.step}")
    if learner.fabric.is_global_zero:
        _warn_of_space(plan.out, 4 * (all_numbers + 2 * trained), 4 * all_numbers, tell)
    session = Session(plan.out, learner, config, hands, plan.schedule, say=say, held=held)
    try:
        session.run()
    except KeyboardInterrupt:
        tell(session.where_it_stopped())
        raise
    tell(f"{learner.step} steps are done; hand-tracker egoexo4d export {plan.out} FILE.safetensors")


def _warn_of_space(out: Path, checkpoint_bytes: int, best_bytes: int, tell: Say) -> None:
    """Say so where the files will not fit: each is written beside the one before, which then goes."""
    # With what a killed run left of them, which is written over.
    there = sum(file.stat().st_size for name in (CHECKPOINT, BEST) for file in out.glob(f"*{name}*"))
    needed = checkpoint_bytes + best_bytes + max(checkpoint_bytes, best_bytes) - there
    free = shutil.disk_usage(out).free
    if free < needed:
        tell(f"the disk of {out} has {free / 1e9:.1f} GB free; checkpoints will want {needed / 1e9:.1f}")


def export(run: Path, to: Path, *, best: bool, mano: Path | None, say: Say) -> int:
    """Write the weights of a run, or of a checkpoint of one, for the backend; returns the exit status.

    Raises:
        TrackerError: see ``finetuning.export``.
    """
    if best and not run.is_dir():
        raise UsageError(f"--best chooses in the folder of a run; {run} is none")
    path = run / (BEST if best else CHECKPOINT) if run.is_dir() else run
    if best and not path.exists():
        raise UsageError(f"{run} holds no {BEST}: the run was not validated")
    step = checkpoints.read(path)["step"]
    model = read_mano(mano) if mano is not None else None
    measuring = " and measuring what that costs" if model is not None else ""
    say(f"rounding the weights of step {step} to float16{measuring} (half a minute)")
    export_weights(path, to, mano=model)
    cost = read_facts(to).get(JOINT_ERROR)
    moved = f"float16 moves joints by {cost} mm at most"
    say(f"wrote {to}; {moved if cost else 'what float16 costs was not measured: MANO is missing (--mano)'}")
    say(f"next: hand-tracker live --backend hamer --checkpoint {to}")
    return 0
