"""The commands that track and replay: live, process, replay."""

from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

import tyro

from tracker.cli_idle import warn_of_idle_options
from tracker.cli_opening import (
    open_for,
    open_pictures,
    open_sinks,
    refuse_pipe,
    served_mano,
    serving_the_camera,
)
from tracker.cli_options import CameraOptions, ChosenHand, TrackingOptions, stored_mano
from tracker.cli_outputs import OutputOptions
from tracker.cli_running import FILE_STATUS, LIVE_STATUS, home_folder, interruptible, open_interruptibly, say
from tracker.cli_sockets import SocketOptions
from tracker.cli_written import WrittenFile, telling_of, watch_files
from tracker.errors import SinkFailedError, UsageError

if TYPE_CHECKING:
    from tracker.runtime.loops import Run
    from tracker.runtime.outputs import Outputs
    from tracker.sources import Source


@dataclass(frozen=True)
class Live:
    """Track hands live from a webcam or network stream, or through a video file."""

    source: str = "0"
    """Webcam number, video file, URL (rtsp, http, udp, ...), demo for the clip that comes along, or browser
    for the camera of a phone or headset, whose browser opens the page /camera of --serve."""
    realtime: bool = False
    """Play a file at its own rate as a camera would, dropping frames that come too fast."""
    loop: bool = False
    """Play a file so again and again, a second apart, until it is stopped."""
    max_frames: int | None = None
    """Stop after this many frames of the source."""
    reconnect: bool = True
    """Open a webcam or stream again whenever it is lost; otherwise the run ends then."""
    wait: bool = False
    """Wait for a webcam or stream that is not there yet, rather than end."""
    predict: float = 0.0
    """Give hands for this many milliseconds after the picture, 0 to 50, for displays that show them later."""
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
        """Track to the end of the file; returns the exit status.

        Raises:
            UsageError: pictures are needed a second time, and come from a pipe.
        """
        if self.smooth and self.output.video is not None:
            refuse_pipe(self.file, "--smooth with --video")
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


def track(options: Live, *, smooth: bool = False) -> int:
    """Open the source, the tracker and the outputs, and run them; returns the exit status.

    Raises:
        UsageError: hands are to be smoothed from both sides, and the source is live.
    """
    from tracker.sources import names_live_source

    try:
        return opened_and_run(options, smooth=smooth)
    except KeyboardInterrupt:  # before there was anything to track
        plays = options.realtime or options.loop or options.sockets.any_asked_for
        return LIVE_STATUS if plays or names_live_source(options.source) else FILE_STATUS


def opened_and_run(options: Live, *, smooth: bool) -> int:
    """Do what ``track`` says; Ctrl-C ends the tracking here, but goes on to the caller before that."""
    from tracker.progress import Progress
    from tracker.runtime.loops import run_live, run_recorded
    from tracker.sources import webcam_number

    interrupted = False
    broken: list[SinkFailedError] = []
    lead_s = lead_time_s(options.predict)
    warn_of_idle_options(options)
    options = serving_the_camera(options)
    files: list[WrittenFile] = []
    with interruptible(), telling_of(files):
        with ExitStack() as stack:
            source = open_for(options)
            stack.callback(source.close)
            if smooth and source.live:
                raise UsageError("--smooth needs a recorded file: a live feed has no later frames to go by")
            webcam = webcam_number(options.source) is not None
            hand = options.tracking.hand_used(home_folder(), webcam=webcam, say=say)
            tracker = stack.enter_context(
                options.tracking.load(
                    home_folder(), webcam=webcam, hand=hand, publish_measured=smooth, lead_s=lead_s
                )
            )
            outputs = stack.enter_context(open_outputs(options, source, hand, files, broken))
            progress = Progress(live=source.live, total_frames=source.frame_count)
            stack.callback(progress.close)
            run = run_live if source.live else two_pass(options) if smooth else run_recorded
            try:
                run(source, tracker.process, outputs, progress.observe, tracker.prepare)
            except KeyboardInterrupt:
                interrupted = True
        say(progress.summary())
    if broken:
        return 1
    return (LIVE_STATUS if source.live else FILE_STATUS) if interrupted else 0


def open_outputs(
    options: Live,
    source: "Source",
    hand: ChosenHand | None,
    files: list[WrittenFile],
    broken: list[SinkFailedError],
) -> "Outputs":
    """The outputs asked for, open; ``files`` gets those that are files, ``broken`` those that broke live."""
    from tracker.runtime.outputs import Outputs

    sinks = open_sinks(options, source)
    files += watch_files(options.output, sinks)
    return Outputs(
        sinks,
        source=source.name,
        backend=options.tracking.backend_name,
        hand=None if hand is None else hand.used,
        weights=options.tracking.weights_named,
        on_broken=partial(leave_out, broken) if source.live else None,
    )


def lead_time_s(predict_ms: float) -> float:
    """What ``--predict`` asks for.

    Raises:
        UsageError: no time that can be predicted over.
    """
    from tracker.temporal.prediction import MAX_LEAD_S

    if not 0 <= predict_ms <= 1e3 * MAX_LEAD_S:
        raise UsageError(f"--predict is {predict_ms:g}; give 0 to {1e3 * MAX_LEAD_S:g} milliseconds")
    return predict_ms / 1e3


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


def replay(options: Replay) -> int:
    """Feed a recording's frames to the outputs in order; returns the exit status."""
    from tracker.progress import Progress
    from tracker.runtime.replay import Pacer, replay_messages
    from tracker.sinks.recording import read_recording
    from tracker.sources import open_source

    warn_of_idle_options(options)
    written: list[WrittenFile] = []
    with interruptible(), telling_of(written):
        with ExitStack() as stack:
            messages = read_recording(options.recording)
            first = next(messages)  # a file that is no recording is refused before an output is touched
            pictures = None
            if options.picture is not None:
                source = open_interruptibly(partial(open_source, options.picture))
                stack.callback(source.close)
                pictures = iter(source)
            mano = options.mano
            if mano is None and (options.output.draws_meshes or options.sockets.serves):
                mano = stored_mano(home_folder())
            sinks = options.sockets.open(
                options.output.layout, background=False, say=say, mano=served_mano(options.sockets, mano)
            )
            for sink in sinks:
                stack.callback(sink.close)
            files = options.output.open(reads=[options.recording, options.picture], mano=mano)
            written += watch_files(options.output, files)
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
