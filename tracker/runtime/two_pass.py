"""Run a recorded file twice over: track every frame, smooth with all of them known, then send."""

from collections.abc import Callable, Sequence

from tracker.cameras import Camera
from tracker.errors import SourceFailedError
from tracker.runtime.loops import Observer, Prepare, Process, run_recorded
from tracker.runtime.outputs import Outputs
from tracker.sources import Source
from tracker.structs import Frame, TrackedFrame

Smooth = Callable[[Sequence[tuple[TrackedFrame, Camera]]], Sequence[TrackedFrame]]
"""Takes all frames with their cameras and gives them, as many, smoothed."""


class _Kept:
    """Stands in for the outputs in the first pass: keeps what they will get."""

    def __init__(self) -> None:
        self.frames: list[tuple[TrackedFrame, Camera]] = []

    def send(self, tracked: TrackedFrame, frame: Frame) -> None:
        self.frames.append((tracked, frame.camera))


def run_two_pass(
    source: Source,
    process: Process,
    outputs: Outputs,
    observe: Observer,
    prepare: Prepare | None = None,
    *,
    smooth: Smooth,
    reread: Callable[[], Source] | None = None,
) -> None:
    """Track every frame, hold the results until the end, smooth them and send them.

    Results take memory, pictures do not: they are read a second time where ``reread`` opens them again. When
    the first pass is broken off, by a damaged file or by somebody, what there is so far is smoothed and sent.

    Raises:
        SourceFailedError: the file is damaged; the frames before were sent.
        SinkFailedError: an output broke.
    """
    kept = _Kept()
    try:
        run_recorded(source, process, kept, observe, prepare)
    finally:
        source.close()
        _send_all(smooth(kept.frames), [camera for _, camera in kept.frames], outputs, reread)


def _send_all(
    frames: Sequence[TrackedFrame],
    cameras: Sequence[Camera],
    outputs: Outputs,
    reread: Callable[[], Source] | None,
) -> None:
    """Send frames with their pictures; where they cannot be read again, the rest without.

    Raises:
        SourceFailedError: they could not be read again; all was sent.
    """
    sent = 0
    failure: SourceFailedError | None = None
    if reread is not None and frames:
        source = reread()
        try:
            for tracked, frame in zip(frames, source, strict=False):
                outputs.send(tracked, frame)
                sent += 1
        except SourceFailedError as error:
            failure = error
        finally:
            source.close()
    for tracked, camera in zip(frames[sent:], cameras[sent:], strict=True):
        outputs.send_without_picture(tracked, camera)
    if failure is not None:
        raise failure
