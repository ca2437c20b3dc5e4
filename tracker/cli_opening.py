"""What the commands that track run on: the source and the outputs that the options ask for, open."""

import time
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from tracker.cli_options import load_mano_model, stored_mano
from tracker.cli_running import home_folder, open_interruptibly, say
from tracker.cli_sockets import SocketOptions
from tracker.errors import SourceError, UsageError

if TYPE_CHECKING:
    from tracker.cli_tracking import Live
    from tracker.mano_numpy import ManoModel
    from tracker.sinks import Sink
    from tracker.sources import Source
    from tracker.sources.browser_camera import BrowserCamera


def serving_the_camera(options: "Live") -> "Live":
    """The same; where a browser is the camera, with the server that it connects to."""
    from tracker.sources import BROWSER_LOCATION

    if options.source != BROWSER_LOCATION or options.sockets.serves:
        return options
    from tracker.cli_web import VIEWER_ADDRESS

    return replace(options, sockets=replace(options.sockets, serve=VIEWER_ADDRESS))


def open_for(options: "Live") -> "Source":
    """The source asked for, at its own pace if that was asked for; says so when its camera is a guess."""
    from tracker.cameras import ASSUMED_FOV_DEG

    if options.max_frames is not None and options.max_frames < 1:
        raise UsageError(f"--max-frames is {options.max_frames}; give 1 or more")
    source = open_once_there(options)
    for note in options.camera.notes():
        say(note)
    if options.camera.camera is None and options.camera.fov is None and options.source != "demo":
        say(
            f"the camera's intrinsics are unknown: assuming {ASSUMED_FOV_DEG:g} degrees across "
            "the picture's longer side, so distances are rough; give --camera FILE or --fov DEGREES"
        )
    if (options.realtime or options.loop or options.sockets.any_asked_for) and not source.live:
        from tracker.sources.paced import PacedSource

        return PacedSource(source)
    return source


def open_once_there(options: "Live") -> "Source":
    """The source asked for; with ``--wait`` a webcam or stream is waited for, and that is said once.

    Raises:
        SourceError: it is not there and not waited for, or it is a file or a URL of no known protocol.
    """
    from tracker.sources import webcam_number
    from tracker.sources.network_stream import PROTOCOLS
    from tracker.sources.reopening import LONGEST_WAIT_S

    protocol, is_url, _ = options.source.partition("://")
    can_come = webcam_number(options.source) is not None or (is_url and protocol.lower() in PROTOCOLS)
    said = False
    while True:
        try:
            return open_interruptibly(partial(open_rounds if options.loop else open_pictures, options))
        except SourceError as error:
            if not options.wait or not can_come:
                raise
            if not said:
                say(f"waiting for the source: {error}")
            said = True
        time.sleep(LONGEST_WAIT_S)


def refuse_pipe(source: str, option: str) -> None:
    """Check that what ``option`` reads twice can be.

    Raises:
        UsageError: it is a pipe; once read, nothing is left in it.
    """
    if Path(source).is_fifo():
        raise UsageError(f"{option} reads the video again, and {source} is a pipe; give a file")


def open_rounds(options: "Live") -> "Source":
    """The recorded file asked for, again and again."""
    from tracker.sources.looped import Looped

    refuse_pipe(options.source, "--loop")
    return Looped(partial(open_pictures, replace(options, max_frames=None)), max_frames=options.max_frames)


def open_pictures(options: "Live") -> "Source":
    """The source asked for."""
    from tracker.sources import open_source

    return open_source(
        options.source,
        camera=options.camera.load(),
        horizontal_fov_deg=options.camera.fov,
        max_frames=options.max_frames,
        reconnect=options.reconnect,
    )


def open_sinks(options: "Live", source: "Source") -> "list[Sink]":
    """The outputs asked for; drawing and encoding a live feed's video must not hold its tracking up."""
    mano = options.tracking.mano
    shows_skin = options.output.draws_meshes or options.sockets.serves
    if mano is None and options.tracking.backend_name == "hamer" and shows_skin:
        mano = stored_mano(home_folder())
    with ExitStack() as on_failure:
        sockets = options.sockets.open(
            options.output.layout,
            background=source.live,
            say=say,
            mano=served_mano(options.sockets, mano),
            camera=browser_camera(source),
        )
        for sink in sockets:
            on_failure.callback(sink.close)
        sinks = options.output.open(reads=[source.name, options.camera.camera], mano=mano, live=source.live)
        on_failure.pop_all()
    if source.live and options.output.video is not None:
        from tracker.runtime.background import BackgroundSink

        sinks[-1] = BackgroundSink(sinks[-1])
    return sockets + sinks


def browser_camera(source: "Source") -> "BrowserCamera | None":
    """The source as what the server hands pictures to, if it is that."""
    from tracker.sources import BROWSER_LOCATION

    if source.name != BROWSER_LOCATION:
        return None
    from tracker.sources.browser_camera import BrowserCamera

    return source if isinstance(source, BrowserCamera) else None


def served_mano(sockets: SocketOptions, mano: Path | None) -> "ManoModel | None":
    """The hand model whose skin clients can ask for."""
    return load_mano_model(mano) if mano is not None and sockets.serves else None
