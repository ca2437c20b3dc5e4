"""The commands ``egoexo4d finetune`` and ``egoexo4d export``."""

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from tracker.cli_running import (
    check_output_file,
    check_output_folder,
    home_folder,
    interruptible,
    say,
    saying_when_stopped,
)
from tracker.cli_systems import annotations_of
from tracker.errors import MissingDependencyError, UsageError
from tracker.research.finetuning.options import TrainingOptions, ValidationOptions

if TYPE_CHECKING:
    from tracker.research.finetuning.command import Plan
    from tracker.research.finetuning.sources import Sources

MOST_SCALE = 0.9
"""A crop that may be made smaller by more could have no size."""
_NEEDS = (
    "PyTorch and Lightning Fabric are needed; install this package with the extras `hamer` and `finetune`"
)


@dataclass(frozen=True)
class Finetune:
    """Fine-tune HaMeR on the training set's marks in the picture, into a folder to go on from."""

    prepared: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="PREPARED")]
    """The folder of prepared files, with the training set in it."""
    out: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="RUN")]
    """The folder of the run: checkpoint.pt, best.pt, log.jsonl, curves.png."""
    steps: int = 10_000
    """Steps in all."""
    resume: bool = False
    """Go on after the folder's checkpoint, with the same data and training options; more steps may be asked
    for, and what is validated, written and read in how many processes may change."""
    checkpoint: Path | None = None
    """The weights to begin with: hamer.ckpt, or ours; what the weights command imported unless given."""
    mano: Path | None = None
    """MANO_RIGHT.pkl; what the weights command imported unless given."""
    annotations: Literal["manual", "auto"] = "manual"
    """Marked by people, or found automatically."""
    annotation_file: Path | None = None
    """Another prepared annotation file than the training set's in the folder."""
    release: Path | None = None
    """The downloaded release, for the takes' own intrinsics."""
    pseudo_labels: Path | None = None
    """A folder of pseudo labels of these annotations, in place of their joints in space: bad ones are left
    out, and those of MANO serve MANO's terms."""
    also: tuple[Path, ...] = ()
    """Further data to train on: folders of FreiHAND or HInt, whose training sets are taken."""
    show_crops: Path | None = None
    """Train nothing: write a picture (.png, replaced if it is there) of the first crops that the network
    would be shown, with their marks."""
    devices: int = 1
    """GPUs that share the work; each takes batches of its own."""
    workers: int | None = None
    """Processes that read pictures, for each device, 0 for none of their own; as many as there are cores for
    it, but 8 at most, unless given."""
    checkpoint_every: int = 500
    """Steps between checkpoints."""
    validation: Annotated[ValidationOptions, tyro.conf.arg(name="")] = field(
        default_factory=ValidationOptions
    )
    training: Annotated[TrainingOptions, tyro.conf.arg(name="")] = field(default_factory=TrainingOptions)

    def run(self) -> int:
        """Train; returns the exit status."""
        self._check()
        try:
            from tracker.research.finetuning.command import finetune, show_crops
            from tracker.research.finetuning.sources import Sources
        except ImportError as error:
            raise MissingDependencyError(_NEEDS) from error

        annotations = annotations_of(self.prepared, "train", self.annotations, file=self.annotation_file)
        sources = Sources(self.prepared, annotations, self.release, self.pseudo_labels, self.also)
        if self.show_crops is not None:
            if self.show_crops.suffix != ".png":
                raise UsageError(f"{self.show_crops}: a picture of crops ends in .png")
            check_output_folder(self.show_crops.parent)
            return show_crops(sources, self.training, self.show_crops, say=say)
        with interruptible() as interruptions:
            plan = self._plan(sources)
            return finetune(plan, self.training, self.validation, say=say, held=interruptions.held)

    def _check(self) -> None:
        """Refuse numbers that make no sense, by name."""
        training, validation, changes = self.training, self.validation, self.training.augmentation
        for name, value, least, most in (
            ("steps", self.steps, 1, None),
            ("checkpoint-every", self.checkpoint_every, 1, None),
            ("devices", self.devices, 1, None),
            ("workers", self.workers or 0, 0, None),
            ("batch", training.batch, 1, None),
            ("accumulate", training.accumulate, 1, None),
            ("last-layers", training.last_layers, 1, None),
            ("seed", training.seed, 0, None),
            ("warmup-steps", training.warmup_steps, 0, None),
            ("learning-rate", training.learning_rate, 0, None),
            ("weight-decay", training.weight_decay, 0, None),
            ("clip-norm", training.clip_norm, 0, None),
            ("validate-every", validation.validate_every, 0, None),
            ("validation-hands", validation.validation_hands, 0, None),
            ("held-out", validation.held_out, 0, 1),
            *((f"losses.{name}", value, 0, None) for name, value in vars(training.losses).items()),
            ("augmentation.scale", changes.scale, 0, MOST_SCALE),
            ("augmentation.rotation-deg", changes.rotation_deg, 0, None),
            ("augmentation.rotation-rate", changes.rotation_rate, 0, 1),
            ("augmentation.translation", changes.translation, 0, None),
            ("augmentation.colour", changes.colour, 0, 1),
            ("augmentation.extreme-crop-rate", changes.extreme_crop_rate, 0, 1),
        ):
            if not least <= value <= (most if most is not None else math.inf):
                allowed = f"{least} or more" if most is None else f"{least} to {most}"
                raise UsageError(f"--{name.replace('_', '-')} is {value:g}; give {allowed}")

    def _plan(self, sources: "Sources") -> "Plan":
        from tracker.research.finetuning.command import Plan
        from tracker.research.finetuning.dataset import usual_workers
        from tracker.research.finetuning.run import CHECKPOINT, Schedule
        from tracker.weights_store import default_folder, find_weights

        check_output_folder(self.out)
        stored = self.out / CHECKPOINT
        begin = stored if self.resume and stored.exists() else self.checkpoint
        checkpoint, mano = find_weights(default_folder(home_folder()), checkpoint=begin, mano=self.mano)
        workers = self.workers if self.workers is not None else usual_workers(self.devices)
        return Plan(
            sources=sources,
            checkpoint=checkpoint,
            mano=mano,
            out=self.out,
            schedule=Schedule(
                steps=self.steps,
                checkpoint_every=self.checkpoint_every,
                validate_every=self.validation.validate_every,
                best_by=self.validation.best_by,
                workers=workers,
            ),
            devices=self.devices,
            resume=self.resume,
        )


@dataclass(frozen=True)
class Export:
    """Write the weights of a fine-tuning run for --checkpoint and --finetuned."""

    trained: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="RUN")]
    """The folder of the run, or a checkpoint of it."""
    to: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="FILE")]
    """The file of weights, .safetensors."""
    overwrite: bool = False
    """Replace a file that is there."""
    best: bool = False
    """Take the weights of the best validation, not those of the last checkpoint."""
    mano: Path | None = None
    """MANO_RIGHT.pkl, to measure what float16 costs; what the weights command imported if it is there."""

    def run(self) -> int:
        """Write; returns the exit status."""
        if self.to.suffix != ".safetensors":
            raise UsageError(f"{self.to}: a file of weights ends in .safetensors")
        check_output_file(self.to, overwrite=self.overwrite)
        try:
            from tracker.research.finetuning.command import export
        except ImportError as error:
            raise MissingDependencyError(_NEEDS) from error
        from tracker.cli_options import stored_mano

        with interruptible(), saying_when_stopped(f"{self.to} is not written"):
            mano = self.mano or stored_mano(home_folder())
            return export(self.trained, self.to, best=self.best, mano=mano, say=say)
