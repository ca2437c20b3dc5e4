"""The commands ``egoexo4d finetune`` and ``egoexo4d export``."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

import tyro

from tracker.cli_running import check_output_file, home_folder, interruptible, say
from tracker.cli_systems import annotations_of
from tracker.errors import MissingDependencyError, UsageError
from tracker.research.finetuning.options import TrainingOptions

_NEEDS = (
    "PyTorch and Lightning Fabric are needed; install this package with the extras `hamer` and `finetune`"
)


@dataclass(frozen=True)
class Finetune:
    """Fine-tune HaMeR on the training set's marks in the picture, into a folder to go on from."""

    prepared: tyro.conf.Positional[Path]
    """The folder of prepared files, with the training set in it."""
    out: tyro.conf.Positional[Path]
    """The folder of the run: checkpoint.pt, log.jsonl, curves.png."""
    steps: int = 10_000
    """Steps in all."""
    resume: bool = False
    """Go on after the folder's checkpoint, with the same options; only the number of steps may change."""
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
    """Further data to train on: folders of FreiHAND or HInt."""
    devices: int = 1
    """GPUs that share the work; each takes batches of its own."""
    workers: int = 4
    """Processes that read pictures, for each device; 0 for none of their own."""
    checkpoint_every: int = 500
    """Steps between checkpoints."""
    training: Annotated[TrainingOptions, tyro.conf.arg(name="")] = field(default_factory=TrainingOptions)

    def run(self) -> int:
        """Train; returns the exit status."""
        counts = (
            self.steps,
            self.checkpoint_every,
            self.devices,
            self.training.batch,
            self.training.accumulate,
        )
        if min(counts) < 1 or self.workers < 0:
            raise UsageError("steps, devices, batches and accumulations are counts: 1 or more (--workers: 0)")
        try:
            from tracker.research.finetuning.command import Plan, finetune
        except ImportError as error:
            raise MissingDependencyError(_NEEDS) from error
        from tracker.weights_store import default_folder, find_weights

        checkpoint, mano = find_weights(
            default_folder(home_folder()), checkpoint=self.checkpoint, mano=self.mano
        )
        plan = Plan(
            prepared=self.prepared,
            annotations=annotations_of(self.prepared, "train", self.annotations, file=self.annotation_file),
            release=self.release,
            pseudo_labels=self.pseudo_labels,
            also=self.also,
            checkpoint=checkpoint,
            mano=mano,
            out=self.out,
            steps=self.steps,
            checkpoint_every=self.checkpoint_every,
            devices=self.devices,
            workers=self.workers,
            resume=self.resume,
        )
        with interruptible():
            return finetune(plan, self.training, say=say)


@dataclass(frozen=True)
class Export:
    """Write the weights of a fine-tuning run for --checkpoint and --finetuned."""

    trained: tyro.conf.Positional[Path]
    """The folder of the run, or a checkpoint of it."""
    to: tyro.conf.Positional[Path]
    """The file of weights, .safetensors."""
    overwrite: bool = False
    """Replace a file that is there."""
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

        return export(self.trained, self.to, mano=self.mano or stored_mano(home_folder()), say=say)
