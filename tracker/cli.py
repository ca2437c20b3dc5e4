"""The command line: options, what they are put together to, and what a person is told.

``python run_live.py`` is ``live``; ``python -m tracker`` and ``hand-tracker`` offer all commands.
Exit status: 0 done, also when a live run is stopped; 1 failed while running; 2 the request cannot be
carried out; 130 a file was left unfinished because somebody stopped the run.
"""

import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from itertools import chain
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Literal, Protocol

import tyro

from tracker.cli_options import CameraOptions, OutputOptions, TrackingOptions, stored_mano
from tracker.cli_sockets import SocketOptions
from tracker.errors import SinkFailedError, TrackerError, UsageError
from tracker.user_folder import user_folder

if TYPE_CHECKING:
    from tracker.runtime.loops import Run
    from tracker.sinks import Sink
    from tracker.sources import Source

FILE_STATUS, LIVE_STATUS = 130, 0
"""Exit status after Ctrl-C: a file was left unfinished; a live run ends that way."""


@dataclass(frozen=True)
class Live:
    """Track hands live from a webcam or network stream, or through a video file."""

    source: str = "0"
    """Webcam number, video file, URL (rtsp, http, udp, ...), or demo for the clip that comes along."""
    realtime: bool = False
    """Play a file at its own rate as a camera would, dropping frames that come too fast."""
    max_frames: int | None = None
    """Stop after this many frames of the source."""
    camera: tyro.conf.OmitArgPrefixes[CameraOptions] = field(default_factory=CameraOptions)
    tracking: tyro.conf.OmitArgPrefixes[TrackingOptions] = field(default_factory=TrackingOptions)
    output: tyro.conf.OmitArgPrefixes[OutputOptions] = field(default_factory=OutputOptions)
    sockets: tyro.conf.OmitArgPrefixes[SocketOptions] = field(default_factory=SocketOptions)

    def run(self) -> int:
        """Track until the source ends or a person stops it; returns the exit status."""
        return track(self)


@dataclass(frozen=True)
class Process:
    """Track hands through a recorded video: every frame, as fast as it goes."""

    file: tyro.conf.Positional[str]
    """Video file, or demo for the clip that comes along."""
    max_frames: int | None = None
    """Stop after this many frames of the file."""
    smooth: bool = False
    """Smooth each hand's path from before and after, without lag; results are written at the end."""
    camera: tyro.conf.OmitArgPrefixes[CameraOptions] = field(default_factory=CameraOptions)
    tracking: tyro.conf.OmitArgPrefixes[TrackingOptions] = field(default_factory=TrackingOptions)
    output: tyro.conf.OmitArgPrefixes[OutputOptions] = field(default_factory=OutputOptions)

    def run(self) -> int:
        """Track to the end of the file; returns the exit status."""
        return track(
            Live(
                source=self.file,
                max_frames=self.max_frames,
                camera=self.camera,
                tracking=self.tracking,
                output=self.output,
            ),
            smooth=self.smooth,
        )


@dataclass(frozen=True)
class Replay:
    """Feed a recording back through the outputs, as it came or as fast as it goes."""

    recording: tyro.conf.Positional[Path]
    """A .jsonl or .mcap recording."""
    picture: Path | None = None
    """The video it was recorded from: its frames become the background of --video."""
    full_speed: bool = False
    """Do not wait between frames."""
    mano: Path | None = None
    """MANO_RIGHT.pkl, to draw meshes of hands that carry MANO's parameters; the imported one unless given."""
    output: tyro.conf.OmitArgPrefixes[OutputOptions] = field(default_factory=OutputOptions)
    sockets: tyro.conf.OmitArgPrefixes[SocketOptions] = field(default_factory=SocketOptions)

    def run(self) -> int:
        """Replay to the end of the recording; returns the exit status."""
        return replay(self)


@dataclass(frozen=True)
class Weights:
    """The files of the backend hamer: bring in what you downloaded, and show what is there."""

    action: tyro.conf.Positional[Literal["import", "status"]]
    """Bring in official files, or show what is there and where to get the rest."""
    files: tyro.conf.Positional[tuple[Path, ...]] = ()
    """For import: hamer.ckpt, MANO_RIGHT.pkl, the archives they come in, or a folder that holds them."""

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
    """Measure the tracker on clips whose true hands are known, beside what MediaPipe reaches on them."""

    data: tyro.conf.Positional[Path]
    """Folder of clips and true hands (see docs/evaluation.md)."""
    clips: tuple[str, ...] = ()
    """Only these clips: names, or patterns such as 'egodex_*'."""
    out: Path | None = None
    """Folder for a plot and a recording of each clip; made if it is not there."""
    overwrite: bool = False
    """Replace plots and recordings in that folder."""
    truth_lateness: Literal["auto", "estimate", "none"] = "auto"
    """How far true hands trail their video: as known or else estimated, always estimated, or not at all."""
    tracking: tyro.conf.OmitArgPrefixes[TrackingOptions] = field(default_factory=TrackingOptions)

    def run(self) -> int:
        """Track and measure every clip; returns the exit status."""
        from tracker.research.evaluation.command import evaluate

        hand = self.tracking.hand_used(home_folder(), webcam=False, say=say)
        with interruptible():
            return evaluate(
                self.data,
                lambda first_person: self.tracking.config(home_folder(), webcam=not first_person, hand=hand),
                clips=self.clips,
                out=self.out,
                overwrite=self.overwrite,
                lateness=self.truth_lateness,
                say=say,
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


def track(options: Live, *, smooth: bool = False) -> int:
    """Open the source, the tracker and the outputs, and run them; returns the exit status.

    Raises:
        UsageError: hands are to be smoothed from both sides, and the source is live.
    """
    from tracker.progress import Progress
    from tracker.runtime.loops import run_live, run_recorded
    from tracker.runtime.outputs import Outputs
    from tracker.sources import webcam_number

    interrupted = False
    broken: list[SinkFailedError] = []
    with interruptible(), ExitStack() as stack:
        source = open_for(options)
        stack.callback(source.close)
        if smooth and source.live:
            raise UsageError("--smooth needs a recorded file: a live feed has no later frames to go by")
        webcam = webcam_number(options.source) is not None
        hand = options.tracking.hand_used(home_folder(), webcam=webcam, say=say)
        tracker = stack.enter_context(
            options.tracking.load(home_folder(), webcam=webcam, hand=hand, publish_measured=smooth)
        )
        outputs = stack.enter_context(
            Outputs(
                open_sinks(options, source),
                source=source.name,
                backend=options.tracking.backend,
                hand=None if hand is None else hand.used,
                on_broken=partial(leave_out, broken) if source.live else None,
            )
        )
        progress = Progress(live=source.live, total_frames=source.frame_count)
        stack.callback(progress.close)
        run = run_live if source.live else two_pass(options) if smooth else run_recorded
        try:
            run(source, tracker.process, outputs, progress.observe, tracker.prepare)
        except KeyboardInterrupt:
            interrupted = True
    say(progress.summary())
    for path in (options.output.record, options.output.video):
        if path is not None:
            say(f"wrote {path}")
    if broken:
        return 1
    return (LIVE_STATUS if source.live else FILE_STATUS) if interrupted else 0


def leave_out(broken: list[SinkFailedError], failure: SinkFailedError) -> None:
    """Say that an output of a live run ended before the run does, and remember it."""
    broken.append(failure)
    say(f"error: {failure}; tracking goes on without it")


def two_pass(options: Live) -> "Run":
    """The loop that smooths at the end; it reads the pictures a second time if a video is asked for."""
    from tracker.runtime.two_pass import run_two_pass
    from tracker.temporal.two_sided import smooth_recorded

    reread = None if options.output.video is None else partial(open_pictures, options)
    return partial(run_two_pass, smooth=smooth_recorded, reread=reread)


def open_for(options: Live) -> "Source":
    """The source asked for, at its own pace if that was asked for; says so when its camera is a guess."""
    from tracker.cameras import ASSUMED_FOV_DEG

    if options.max_frames is not None and options.max_frames < 1:
        raise UsageError(f"--max-frames is {options.max_frames}; give 1 or more")
    source = open_pictures(options)
    if options.camera.camera is None and options.camera.fov is None and options.source != "demo":
        say(
            f"the camera's intrinsics are unknown: assuming {ASSUMED_FOV_DEG:g} degrees across "
            "the picture's longer side, so distances are rough; give --camera FILE or --fov DEGREES"
        )
    if (options.realtime or options.sockets.any_asked_for) and not source.live:
        from tracker.sources.paced import PacedSource

        return PacedSource(source)
    return source


def open_pictures(options: Live) -> "Source":
    """The source asked for."""
    from tracker.sources import open_source

    return open_source(
        options.source,
        camera=options.camera.load(),
        horizontal_fov_deg=options.camera.fov,
        max_frames=options.max_frames,
    )


def open_sinks(options: Live, source: "Source") -> "list[Sink]":
    """The outputs asked for; drawing and encoding a live feed's video must not hold its tracking up."""
    mano = options.tracking.mano
    if mano is None and options.tracking.backend == "hamer" and options.output.draws_meshes:
        mano = stored_mano(home_folder())
    with ExitStack() as on_failure:
        sockets = options.sockets.open(options.output.layout, background=source.live, say=say)
        for sink in sockets:
            on_failure.callback(sink.close)
        sinks = options.output.open(reads=[source.name, options.camera.camera], mano=mano, live=source.live)
        on_failure.pop_all()
    if source.live and options.output.video is not None:
        from tracker.runtime.background import BackgroundSink

        sinks[-1] = BackgroundSink(sinks[-1])
    return sockets + sinks


def replay(options: Replay) -> int:
    """Feed a recording's frames to the outputs in order; returns the exit status."""
    from tracker.progress import Progress
    from tracker.runtime.replay import Pacer, replay_messages
    from tracker.sinks.recording import read_recording
    from tracker.sources import open_source

    with interruptible(), ExitStack() as stack:
        messages = read_recording(options.recording)
        first = next(messages)  # a file that is no recording is refused before an output is touched
        pictures = None
        if options.picture is not None:
            source = open_source(options.picture)
            stack.callback(source.close)
            pictures = iter(source)
        mano = options.mano
        if mano is None and options.output.draws_meshes:
            mano = stored_mano(home_folder())
        sinks = options.sockets.open(options.output.layout, background=False, say=say)
        for sink in sinks:
            stack.callback(sink.close)
        files = options.output.open(reads=[options.recording, options.picture], mano=mano)
        for sink in files:
            stack.callback(sink.close)
        progress = Progress(live=False, total_frames=None, what="sending")
        stack.callback(progress.close)
        replay_messages(
            chain([first], messages),
            sinks + files,
            pictures=pictures,
            wait_until_s=None if options.full_speed else Pacer(),
            observe=progress.observe,
        )
    say(progress.summary())
    return 0


@contextmanager
def interruptible() -> Iterator[None]:
    """Let a polite kill or a closed terminal end the run as Ctrl-C does: outputs closed, summary said.

    Only the first is heard: a second would break off the closing of the outputs.
    """
    signals = [number for name in ("SIGINT", "SIGTERM", "SIGHUP") if (number := getattr(signal, name, None))]

    def interrupt(number: int, frame: FrameType | None) -> None:
        for heard in signals:
            signal.signal(heard, signal.SIG_IGN)
        raise KeyboardInterrupt

    before = {number: signal.signal(number, interrupt) for number in signals}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class Command(Protocol):
    """A parsed command line."""

    def run(self) -> int:
        """Do what was asked; returns the exit status."""
        ...


def home_folder() -> Path | None:
    """Where the environment says that this program's own files are kept, if it does."""
    home = os.environ.get("TRACKER_HOME")
    return Path(home).expanduser() if home else None


def say(line: str) -> None:
    """Tell a person something on standard error, if it is open; standard output is for results."""
    if sys.stderr is not None:
        print(line, file=sys.stderr, flush=True)


def run_command(parse: Callable[[], Command]) -> int:
    """Run what the command line asks for; a user's mistake is one line, never a traceback."""
    try:
        return parse().run()
    except UsageError as error:
        say(f"error: {error}")
        return 2
    except TrackerError as error:
        say(f"error: {error}")
        return 1
    except KeyboardInterrupt:
        return FILE_STATUS


def main(arguments: Sequence[str] | None = None) -> None:
    """All commands, as ``python -m tracker`` and ``hand-tracker``."""
    commands = (
        Annotated[Live, tyro.conf.subcommand(name="live")]
        | Annotated[Process, tyro.conf.subcommand(name="process")]
        | Annotated[Replay, tyro.conf.subcommand(name="replay")]
        | Annotated[CalibrateHand, tyro.conf.subcommand(name="calibrate-hand")]
        | Annotated[Weights, tyro.conf.subcommand(name="weights")]
        | Annotated[Evaluate, tyro.conf.subcommand(name="evaluate")]
    )
    sys.exit(run_command(lambda: tyro.cli(commands, args=arguments, prog="hand-tracker")))


def live(arguments: Sequence[str] | None = None) -> None:
    """The ``live`` command alone, as ``run_live.py``."""
    sys.exit(run_command(lambda: tyro.cli(Live, args=arguments, prog="run_live.py")))
