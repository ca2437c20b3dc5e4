"""Which system reads hands: a preset by name or the tracker's options, and its run over EgoExo4D's takes."""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import tyro

from tracker.cli_idle import warn_of_idle_networks
from tracker.cli_options import ChosenHand, TrackingOptions
from tracker.cli_running import check_output_file, home_folder, say
from tracker.errors import UsageError

if TYPE_CHECKING:
    from tracker.pipeline import TrackerConfig
    from tracker.research.evaluation.egoexo4d_command import Run
    from tracker.research.evaluation.egoexo4d_presets import Preset


@dataclass(frozen=True)
class SystemOptions:
    """Which system reads the hands."""

    system: (
        Literal[
            "potter", "hamer", "hamer-align", "ensemble", "ensemble-ft", "hamer-ft", "hamer-ray", "landmarks"
        ]
        | None
    ) = None
    """A system of the paper, or of ours beside it (see docs/egoexo4d.md): backend, crops and placement in one
    word."""
    finetuned: Path | None = None
    """Fine-tuned weights of hamer, for hamer-ft and ensemble-ft."""
    tracking: tyro.conf.OmitArgPrefixes[TrackingOptions] = field(default_factory=TrackingOptions)

    @property
    def name(self) -> str:
        """The system's, or its backend's."""
        return self.system or self.tracking.backend_name

    @property
    def backends(self) -> frozenset[str]:
        """What it runs; of an ensemble its members too."""
        from tracker.research.evaluation.egoexo4d_presets import find_preset

        if self.system is None:
            return self.tracking.backends
        preset = find_preset(self.system)
        if self.tracking.ensemble:
            return replace(self.tracking, backend=preset.backend).backends
        return preset.networks | {preset.backend}

    @property
    def reads_finetuned_only(self) -> bool:
        """Whether its hamer reads the fine-tuned weights and no others."""
        from tracker.research.evaluation.egoexo4d_presets import find_preset

        return self.system is not None and find_preset(self.system).finetuned

    @property
    def files(self) -> tuple[Path | None, ...]:
        """Files of weights that are named."""
        of_members = (Path(name.partition("=")[2]) for name in self.tracking.ensemble if "=" in name)
        own = self.tracking
        return (self.finetuned, own.checkpoint, own.mano, own.potter_checkpoint, *of_members)

    def hand_used(self) -> ChosenHand | None:
        """The hand's bones that the options name; see `TrackingOptions.hand_used`."""
        return self.tracking.hand_used(home_folder(), webcam=False, say=say)

    def config(self, hand: ChosenHand | None, *, first_person: bool = True) -> "TrackerConfig":
        """What the tracker is made from.

        Args:
            hand: whose bones are known; None has them estimated.
            first_person: unless ``--view`` says otherwise.

        Raises:
            UsageError: the system contradicts another option, or its weights are not given.
        """
        from tracker.research.evaluation.egoexo4d_presets import find_preset

        if self.system is not None:
            return self.preset_config(find_preset(self.system), hand, first_person=first_person)
        if self.finetuned is not None:
            raise UsageError(
                "--finetuned is for --system hamer-ft and ensemble-ft, and for egoexo4d evaluate --table1"
            )
        return self._base(self.tracking, hand, first_person=first_person)

    def preset_config(
        self, preset: "Preset", hand: ChosenHand | None, *, first_person: bool = True
    ) -> "TrackerConfig":
        """What a preset's tracker is made from, with the files that the options name; see `config`."""
        self._refuse_contradictions(preset)
        if self.system is not None and self.finetuned is not None and not preset.needs_finetuned:
            raise UsageError(f"--system {preset.name} has no use for --finetuned {self.finetuned}")
        if preset.needs_finetuned and self.finetuned is not None and not self.finetuned.is_file():
            raise UsageError(f"{self.finetuned}: no such file of weights")
        names = self.tracking.ensemble or preset.member_options(self.finetuned)
        checkpoint = (self.finetuned if preset.finetuned else None) or self.tracking.checkpoint
        tracking = replace(self.tracking, backend=preset.backend, ensemble=names, checkpoint=checkpoint)
        base = self._base(tracking, hand, first_person=first_person)
        return preset.over(base, finetuned=self.finetuned, members=base.ensemble.members)

    @staticmethod
    def _base(tracking: TrackingOptions, hand: ChosenHand | None, *, first_person: bool) -> "TrackerConfig":
        return tracking.config(home_folder(), webcam=not first_person, hand=hand)

    def _refuse_contradictions(self, preset: "Preset") -> None:
        """What a preset fixes may be given beside it only if it is the same."""
        given = self.tracking
        for option, value, fixed in (
            ("--backend", given.backend, preset.backend),
            ("--placement", given.placement, preset.placement),
            ("--crop", given.crop, preset.crop),
            ("--ensemble", given.ensemble or None, given.ensemble if preset.members else None),
            (
                "--ensemble-weights",
                given.ensemble_weights or None,
                given.ensemble_weights if preset.members else None,
            ),
        ):
            if value is not None and value != fixed:
                shown = value if isinstance(value, str) else " ".join(map(str, value))
                raise UsageError(
                    f"--system {preset.name} is {preset.described()}; {option} {shown} contradicts it"
                )


@dataclass(frozen=True)
class RunOptions:
    """A system's run over EgoExo4D's takes."""

    mode: Literal["challenge", "tracker"] = "challenge"
    """Hands given by their boxes, as in the challenge, or found by the tracker itself."""
    hands: Path | None = None
    """Where its hands go as JSON lines while it runs; beside the result or in the working folder unless
    given. With --table1 a folder, for a file of each system."""
    resume: bool = False
    """Go on with the run that this file holds."""
    system: tyro.conf.OmitArgPrefixes[SystemOptions] = field(default_factory=SystemOptions)

    def run_of(self, hands: Path, *, measured: bool = False) -> "Run":
        """The run.

        Args:
            hands: where its lines go unless another file is given.
            measured: the tracker leaves smoothing to who asks; systems on given boxes never smooth.

        Raises:
            UsageError: see `SystemOptions.config`.
        """
        config = self.system.config(self.system.hand_used())
        run = self._run(self.system.name, config, self.hands or hands, measured=measured)
        warn_of_idle_networks(self.system)
        return run

    def preset_run(self, preset: "Preset", hands: Path, *, measured: bool = False) -> "Run":
        """The run of a preset, with the files that the options name; see `run_of`."""
        config = self.system.preset_config(preset, self.system.hand_used())
        return self._run(preset.name, config, hands, measured=measured)

    def _run(self, name: str, config: "TrackerConfig", hands: Path, *, measured: bool) -> "Run":
        from tracker.research.evaluation.egoexo4d_command import Run
        from tracker.research.evaluation.egoexo4d_weights import refuse_unusable_weights

        if measured and self.mode == "tracker":
            config = config.unsmoothed()
        check_output_file(hands, overwrite=True)  # one that is there is gone on with, or refused by the run
        refuse_unusable_weights(config)
        return Run(name, self.mode, config, hands, self.resume)


def annotations_of(prepared: Path, split: str, kind: Literal["manual", "auto"], *, file: Path | None) -> Path:
    """The annotation file that options name: of a split in the folder of prepared files, or another.

    Raises:
        UsageError: they name two.
    """
    from tracker.research.ground_truth.egoexo4d import annotation_path

    if file is not None and kind == "auto":
        raise UsageError("--annotations auto names a file of its own: give no --annotation-file beside it")
    return file or annotation_path(prepared, split, kind)
