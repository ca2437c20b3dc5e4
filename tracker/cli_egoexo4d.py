"""The command ``egoexo4d``: from a downloaded release to prepared files, figures and a submission."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from tracker.cli_options import TrackingOptions
from tracker.cli_running import home_folder, interruptible, say
from tracker.errors import UsageError

if TYPE_CHECKING:
    from tracker.research.evaluation.egoexo4d_command import Run


@dataclass(frozen=True)
class Prepare:
    """Make prepared files from a downloaded release: annotations, and pictures out of the videos."""

    release: tyro.conf.Positional[Path]
    """The folder of the release, with takes.json, annotations and takes in it."""
    prepared: tyro.conf.Positional[Path]
    """The folder of prepared files, with Aria's calibrations in aria_calib_json; what is there is kept."""
    splits: tuple[Literal["train", "val", "test"], ...] = ("train", "val")
    """Of test only the pictures are made: its boxes are published, its hands are not."""
    annotations: Literal["manual", "auto"] = "manual"
    """Marked by people, or found automatically."""
    pictures: bool = True
    """Make the pictures too; those that are there are left alone."""

    def run(self) -> int:
        """Prepare; returns the exit status."""
        from tracker.research.evaluation.egoexo4d_command import prepare

        with interruptible():
            return prepare(
                self.release,
                self.prepared,
                splits=self.splits,
                kind=self.annotations,
                pictures=self.pictures,
                say=say,
            )


@dataclass(frozen=True)
class SystemOptions:
    """Which system reads the hands."""

    mode: Literal["challenge", "tracker"] = "challenge"
    """Hands given by their boxes, as in the challenge, or found by the tracker itself."""
    hands: Path | None = None
    """Where its hands go as JSON lines while it runs; beside the result or in the working folder unless
    given."""
    resume: bool = False
    """Go on with the run that this file holds."""
    tracking: tyro.conf.OmitArgPrefixes[TrackingOptions] = field(default_factory=TrackingOptions)

    def run_of(self, hands: Path) -> "Run":
        """The run; its lines go to ``hands`` unless another file is given."""
        from tracker.research.evaluation.egoexo4d_command import Run

        hand = self.tracking.hand_used(home_folder(), webcam=False, say=say)
        config = self.tracking.config(home_folder(), webcam=False, hand=hand)
        return Run(self.mode, config, self.hands or hands, self.resume)


@dataclass(frozen=True)
class Submit:
    """Run a system over the test boxes and write the challenge's submission file."""

    prepared: tyro.conf.Positional[Path]
    """The folder of prepared files, with the test pictures."""
    out: tyro.conf.Positional[Path]
    """The submission, a .json file; replaced if it is there."""
    boxes: Path | None = None
    """The test boxes, ego_pose_gt_anno_test_public.json; those in the folder unless given."""
    release: Path | None = None
    """The downloaded release, for the takes' own intrinsics."""
    camera_space: bool = False
    """Write places in the camera's frame; the leaderboard takes hands relative to their wrists."""
    fill_missing: bool = False
    """Put open hands where none was found: the challenge rejects a submission that lacks one."""
    system: tyro.conf.OmitArgPrefixes[SystemOptions] = field(default_factory=SystemOptions)

    def run(self) -> int:
        """Run and write; returns the exit status."""
        from tracker.research.evaluation.egoexo4d_command import submit

        with interruptible():
            return submit(
                self.prepared,
                self.out,
                self.system.run_of(self.out.with_suffix(".jsonl")),
                boxes=self.boxes,
                release=self.release,
                wrist_relative=not self.camera_space,
                fill=self.fill_missing,
                say=say,
            )


@dataclass(frozen=True)
class Validate:
    """Judge a submission file as the challenge would, and say what is wrong with it."""

    submission: tyro.conf.Positional[Path]
    """The file to judge."""
    boxes: tyro.conf.Positional[Path]
    """The test boxes, ego_pose_gt_anno_test_public.json."""

    def run(self) -> int:
        """Judge; returns 0, or 1 where it would be rejected."""
        from tracker.research.evaluation.egoexo4d_command import validate

        return validate(self.submission, self.boxes, say=say)


@dataclass(frozen=True)
class Score:
    """Score a system, or a file of predictions, by the challenge's figures and others."""

    prepared: tyro.conf.Positional[Path]
    """The folder of prepared files."""
    predictions: tyro.conf.Positional[Path | None] = None
    """A submission (.json) or the lines of a run (.jsonl); without it a system is run."""
    split: Literal["train", "val", "test"] = "val"
    """Which annotations."""
    annotations: Path | None = None
    """The annotation file; that of the split in the folder unless given."""
    release: Path | None = None
    """The downloaded release, for the takes' own intrinsics."""
    offset: bool = False
    """The predictions are relative to the wrist, as in the public evaluator's --offset."""
    system: tyro.conf.OmitArgPrefixes[SystemOptions] = field(default_factory=SystemOptions)

    def run(self) -> int:
        """Score; returns the exit status."""
        from tracker.research.evaluation.egoexo4d_command import score
        from tracker.research.ground_truth.egoexo4d import annotation_path

        if self.predictions is None and self.offset:
            raise UsageError(
                "--offset is for a file of predictions; a system's hands are in the camera's frame"
            )
        lines = Path(f"egoexo4d_{self.split}_{self.system.tracking.backend}_{self.system.mode}.jsonl")
        with interruptible():
            return score(
                self.prepared,
                self.annotations or annotation_path(self.prepared, self.split),
                self.split,
                predictions=self.predictions,
                run=None if self.predictions is not None else self.system.run_of(lines),
                release=self.release,
                wrist_relative=self.offset,
                say=say,
            )


@dataclass(frozen=True)
class EgoExo4D:
    """EgoExo4D's hand pose challenge: prepare its files, score systems, write and validate submissions."""

    action: tyro.conf.OmitSubcommandPrefixes[
        Annotated[Prepare, tyro.conf.subcommand(name="prepare")]
        | Annotated[Submit, tyro.conf.subcommand(name="submit")]
        | Annotated[Validate, tyro.conf.subcommand(name="validate")]
        | Annotated[Score, tyro.conf.subcommand(name="score")]
    ]

    def run(self) -> int:
        """Do what was asked; returns the exit status."""
        return self.action.run()
