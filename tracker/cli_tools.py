"""The commands beside tracking: weights, evaluate, calibrate-hand."""

from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import tyro

from tracker.cli_idle import warn_of_idle_networks
from tracker.cli_opening import open_for
from tracker.cli_options import CameraOptions
from tracker.cli_running import check_output_file, home_folder, interruptible, say
from tracker.cli_systems import SystemOptions
from tracker.cli_tracking import Live
from tracker.errors import UsageError
from tracker.user_folder import user_folder


@dataclass(frozen=True)
class Weights:
    """The files of the backends hamer and potter: bring in what you downloaded, and show what is there."""

    action: tyro.conf.Positional[Literal["import", "status"]]
    """Bring in official files, or show what is there and where to get the rest."""
    files: tyro.conf.Positional[tuple[Path, ...]] = ()
    """For import: hamer.ckpt, MANO_RIGHT.pkl, the archives they come in, or a folder that holds them; or
    POTTER's checkpoint."""

    def run(self) -> int:
        """Do what was asked; returns the exit status."""
        from tracker.weights_store import default_folder, describe, import_weights

        folder = default_folder(home_folder())
        if self.action == "import" and not self.files:
            raise UsageError("name the files to import; `hand-tracker weights status` says where to get them")
        if self.action == "status" and self.files:
            raise UsageError("weights status takes no files")
        for path in self.files:
            import_weights(path, folder, say=say)
        print(describe(folder))
        return 0


@dataclass(frozen=True)
class Evaluate:
    """Measure the tracker on clips whose true hands are known, beside what MediaPipe reaches on them.

    The figures of EgoExo4D's challenge come from `egoexo4d evaluate`.
    """

    data: tyro.conf.Positional[Path]
    """Folder of clips and true hands (see docs/evaluation.md)."""
    clips: tuple[str, ...] = ()
    """Only these clips: names, or patterns such as 'egodex_*'."""
    out: Path | None = None
    """Folder for a plot and a recording of each clip; made if it is not there."""
    overwrite: bool = False
    """Replace plots and recordings in that folder, and the file of figures."""
    json: Path | None = None
    """Write all figures to this file, clip by clip, as JSON; the last line of the output has those over all
    clips."""
    truth_lateness: Literal["auto", "estimate", "none"] = "auto"
    """How far true hands trail their video: as known or else estimated, always estimated, or not at all."""
    system: tyro.conf.OmitArgPrefixes[SystemOptions] = field(default_factory=SystemOptions)

    def run(self) -> int:
        """Track and measure every clip; returns the exit status."""
        from tracker.research.evaluation.command import evaluate

        if self.json is not None:
            check_output_file(self.json, overwrite=self.overwrite, reads=self.system.files)
        hand = self.system.hand_used()
        configs = {worn: self.system.config(hand, first_person=worn) for worn in (True, False)}
        warn_of_idle_networks(self.system)
        with interruptible():
            return evaluate(
                self.data,
                configs.__getitem__,
                clips=self.clips,
                out=self.out,
                overwrite=self.overwrite,
                lateness=self.truth_lateness,
                say=say,
                figures=self.json,
            )


@dataclass(frozen=True)
class CalibrateHand:
    """Measure your hand once, so that distances come out in true metres; --hand uses it.

    Hold it up before the camera, flat, fingers straight, palm first, then its back.
    """

    source: str | None = None
    """Webcam number, video file or URL that shows your hand; webcam 0 unless only a width is given."""
    palm_width_mm: float | None = None
    """By a ruler, from the middle of the index finger's knuckle to that of the little finger's: 40 to 80.
    Without a source it scales an average hand."""
    distance_m: float | None = None
    """How far from the lens the palm is held; needs --camera or --fov."""
    name: str = "default"
    """To store the hand under; what was stored under it is replaced."""
    max_frames: int | None = None
    """Stop after this many frames of the source."""
    camera: tyro.conf.OmitArgPrefixes[CameraOptions] = field(default_factory=CameraOptions)

    def run(self) -> int:
        """Measure and store; returns the exit status."""
        return calibrate_hand(self)


def calibrate_hand(options: CalibrateHand) -> int:
    """Measure a hand, say what was measured, and store it; returns the exit status."""
    from tracker.calibrate_hand import check_distance, describe, watch_hands
    from tracker.hand_shape import HandShape
    from tracker.hand_store import MeasuredHand, check_palm_width_mm, hand_path, store_hand

    path = hand_path(options.name, user_folder(home_folder()))
    known = options.camera.camera is not None or options.camera.fov is not None or options.source == "demo"
    check_distance(options.distance_m, camera_is_known=known)
    width_m = None
    if options.palm_width_mm is not None:
        check_palm_width_mm(options.palm_width_mm)
        width_m = options.palm_width_mm / 1e3
        if options.distance_m is not None:
            raise UsageError("both --palm-width-mm and --distance-m give the hand's size; give one of them")
    if options.source is None and width_m is not None:
        hand = MeasuredHand(HandShape.from_palm_width(width_m), "palm width")
    else:
        with interruptible(), ExitStack() as stack:
            source = open_for(
                Live(source=options.source or "0", max_frames=options.max_frames, camera=options.camera)
            )
            stack.callback(source.close)
            meter = watch_hands(source, live=source.live, say=say)
        hand = meter.measured(palm_width_m=width_m, distance_m=options.distance_m)
    print(describe(hand))
    replaced = path.exists()
    store_hand(hand, path)
    say(f"{'replaced' if replaced else 'wrote'} {path}; use it with --hand {options.name}")
    return 0
