"""The command ``egoexo4d``: from a downloaded release to prepared files, figures and a submission."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from tracker.cli_finetune import Export, Finetune
from tracker.cli_idle import warn_of
from tracker.cli_pseudo_labels import PseudoLabels
from tracker.cli_running import check_output_file, check_output_folder, interruptible, say
from tracker.cli_systems import RunOptions, annotations_of
from tracker.errors import UsageError, WeightsError

if TYPE_CHECKING:
    from tracker.research.evaluation.egoexo4d_command import Run
    from tracker.research.evaluation.egoexo4d_presets import Preset


@dataclass(frozen=True)
class Prepare:
    """Make prepared files from a downloaded release: annotations, and pictures out of the videos."""

    release: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="RELEASE")]
    """The folder of the release, with takes.json, annotations and takes in it."""
    prepared: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="PREPARED")]
    """The folder of prepared files, with Aria's calibrations in aria_calib_json; what is there is kept."""
    splits: tuple[Literal["train", "val", "test"], ...] = ("train", "val")
    """Of test only the pictures are made: its boxes are published, its hands are not."""
    annotations: Literal["manual", "auto"] = "manual"
    """Marked by people, or found automatically."""
    pictures: bool = True
    """Make the pictures too; those that are there and whole are left alone."""
    only_pictures: bool = False
    """Make pictures only, for the annotation files that are there, such as the published ones."""
    overwrite: bool = False
    """Replace an annotation file that is there and holds something else."""

    def run(self) -> int:
        """Prepare; returns the exit status."""
        from tracker.research.evaluation.egoexo4d_command import prepare

        if self.only_pictures and (self.overwrite or not self.pictures):
            raise UsageError("--only-pictures writes no annotations: give no --overwrite, no --no-pictures")
        with interruptible():
            return prepare(
                self.release,
                self.prepared,
                splits=self.splits,
                kind=self.annotations,
                pictures=self.pictures,
                only_pictures=self.only_pictures,
                overwrite=self.overwrite,
                say=say,
            )


@dataclass(frozen=True)
class Submit:
    """Run a system over the test boxes and write the challenge's submission file."""

    prepared: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="PREPARED")]
    """The folder of prepared files, with the test pictures."""
    out: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="SUBMISSION")]
    """The submission, a .json file."""
    boxes: Path | None = None
    """The test boxes, ego_pose_gt_anno_test_public.json; those in the folder unless given."""
    release: Path | None = None
    """The downloaded release, for the takes' own intrinsics."""
    camera_space: bool = False
    """Write places in the camera's frame; the leaderboard takes hands relative to their wrists."""
    fill_missing: bool = False
    """Put open hands where none was found: the challenge rejects a submission that lacks one."""
    smooth: Literal["live", "hindsight"] | None = None
    """Smooth each hand through its take as evaluate --temporal does: from earlier frames, or from all."""
    overwrite: bool = False
    """Replace a submission that is there."""
    running: tyro.conf.OmitArgPrefixes[RunOptions] = field(default_factory=RunOptions)

    def run(self) -> int:
        """Run and write; returns the exit status."""
        from tracker.research.evaluation.egoexo4d_submitting import submit

        if self.out.suffix != ".json":
            raise UsageError(f"{self.out}: a submission ends in .json")
        from tracker.research.ground_truth.egoexo4d import annotation_path

        boxes = self.boxes or annotation_path(self.prepared, "test")
        check_output_file(self.out, overwrite=self.overwrite, reads=(boxes, *self.running.system.files))
        if self.running.hands == self.out:
            raise UsageError(f"--hands {self.out} is the submission too; choose another file")
        with interruptible():
            return submit(
                self.prepared,
                self.out,
                self.running.run_of(self.out.with_suffix(".jsonl"), measured=self.smooth is not None),
                boxes=boxes,
                release=self.release,
                smoothing=self.smooth,
                wrist_relative=not self.camera_space,
                fill=self.fill_missing,
                say=say,
            )


@dataclass(frozen=True)
class Validate:
    """Judge a submission file as the challenge would, and say what is wrong with it."""

    submission: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="SUBMISSION")]
    """The file to judge."""
    boxes: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="BOXES")]
    """The test boxes, ego_pose_gt_anno_test_public.json."""

    def run(self) -> int:
        """Judge; returns 0, or 1 where it would be rejected."""
        from tracker.research.evaluation.egoexo4d_submitting import validate

        return validate(self.submission, self.boxes, say=say)


@dataclass(frozen=True)
class Evaluate:
    """Measure a system, all systems of the paper, or a file of predictions against the annotations."""

    prepared: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="PREPARED")]
    """The folder of prepared files."""
    predictions: Annotated[tyro.conf.Positional[Path | None], tyro.conf.arg(metavar="[PREDICTIONS]")] = None
    """A submission (.json) or the lines of a run (.jsonl); without it a system is run."""
    split: Literal["train", "val", "test"] = "val"
    """Which part of the data."""
    annotations: Literal["manual", "auto"] = "manual"
    """Marked by people, or found automatically: what the split's hands are compared with."""
    annotation_file: Path | None = None
    """Another prepared annotation file than the split's in the folder."""
    release: Path | None = None
    """The downloaded release, for the takes' own intrinsics."""
    offset: bool = False
    """The predictions are relative to the wrist, as in the public evaluator's --offset."""
    table1: bool = False
    """Run every system whose weights are there, and print the paper's Table 1 beside what is measured."""
    temporal: bool = False
    """Also smooth the hands through each take, as a live tracker would and in hindsight, and report the
    gain."""
    page: Path | None = None
    """Folder for a page of the best and worst hands with their pictures; made if it is not there."""
    cases: int = 4
    """Best and worst hands of the page, of each so many."""
    json: Path | None = None
    """Write all figures to this file, take by take and by category, as JSON; the last line of the output has
    those over all hands."""
    overwrite: bool = False
    """Replace a page in that folder, and the file of figures."""
    running: tyro.conf.OmitArgPrefixes[RunOptions] = field(default_factory=RunOptions)

    def run(self) -> int:
        """Run what is to be run and measure it; returns the exit status."""
        from tracker.research.evaluation.egoexo4d_scoring import (
            Answers,
            Extras,
            score_predictions,
            score_system,
        )
        from tracker.research.evaluation.egoexo4d_table1 import score_table1

        annotations = annotations_of(self.prepared, self.split, self.annotations, file=self.annotation_file)
        self._check(annotations)
        warn_of([(self.page is None and self.cases != Evaluate.cases, "--cases", "without --page")])
        answers = Answers(self.prepared, annotations, self.split, self.release)
        extras = Extras(self.page, self.cases, self.overwrite, self.temporal, self.json)
        with interruptible():
            if self.predictions is not None:
                return score_predictions(
                    answers, self.predictions, extras, wrist_relative=self.offset, say=say
                )
            if self.table1:
                return score_table1(answers, self._table_run, extras, say=say)
            run = self.running.run_of(self._lines(self.running.system.name), measured=self.temporal)
            return score_system(answers, run, extras, say=say)

    def _check(self, annotations: Path) -> None:
        """Refuse options that do not go together, and outputs in the place of what is read."""
        if self.predictions is None and self.offset:
            raise UsageError(
                "--offset is for a file of predictions; a system's hands are in the camera's frame"
            )
        if self.predictions is not None and (self.table1 or self.running != RunOptions()):
            raise UsageError(
                "a file of predictions is measured as it is: give no --table1 beside it, and no option of a "
                "system or its run (--system, --backend, --mode, --hands, --resume, ...)"
            )
        if self.temporal and self.offset:
            raise UsageError("--temporal smooths places, which hands with --offset do not have")
        if self.cases < 1:
            raise UsageError(f"--cases is {self.cases}; show one or more")
        if self.json is not None:
            reads = (annotations, self.predictions, self.running.hands, *self.running.system.files)
            check_output_file(self.json, overwrite=self.overwrite, reads=reads)
        if self.page is not None:
            check_output_folder(self.page)
        hands = self.running.hands
        if self.table1 and hands is not None and hands.is_file():
            raise UsageError(
                f"{hands} is a file; with --table1 --hands is a folder, for a file of each system"
            )
        if self.table1 and self.running.system.system is not None:
            raise UsageError("--table1 runs every system: give no --system beside it")

    def _table_run(self, preset: "Preset") -> "Run":
        """The run of a row; without fine-tuned weights those rows have none.

        Raises:
            TrackerError: files or options that the row needs are not there.
        """
        if preset.needs_finetuned and self.running.system.finetuned is None:
            raise WeightsError("--finetuned FILE is not given")
        lines = self._lines(preset.name)
        return self.running.preset_run(preset, (self.running.hands or Path()) / lines, measured=self.temporal)

    def _lines(self, name: str) -> Path:
        auto = "_auto" if self.annotations == "auto" else ""
        return Path(f"egoexo4d_{self.split}{auto}_{name}_{self.running.mode}.jsonl")


@dataclass(frozen=True)
class EgoExo4D:
    """EgoExo4D's hand pose challenge: prepare files, measure systems, write submissions, fine-tune HaMeR."""

    action: tyro.conf.OmitSubcommandPrefixes[
        Annotated[Prepare, tyro.conf.subcommand(name="prepare")]
        | Annotated[Submit, tyro.conf.subcommand(name="submit")]
        | Annotated[Validate, tyro.conf.subcommand(name="validate")]
        | Annotated[Evaluate, tyro.conf.subcommand(name="evaluate")]
        | Annotated[PseudoLabels, tyro.conf.subcommand(name="pseudo-labels")]
        | Annotated[Finetune, tyro.conf.subcommand(name="finetune")]
        | Annotated[Export, tyro.conf.subcommand(name="export")]
    ]

    def run(self) -> int:
        """Do what was asked; returns the exit status."""
        return self.action.run()
