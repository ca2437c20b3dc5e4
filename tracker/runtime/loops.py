"""The two ways to run: every frame of a recorded file, or the newest frame of a live feed."""

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import Protocol

from tracker.errors import SinkFailedError, TrackerError
from tracker.runtime.latest import ClosedError, Latest
from tracker.runtime.outputs import Outputs
from tracker.sources import CountsDrops, ReadsAhead, Source, TellsState
from tracker.structs import Frame, TrackedFrame

Process = Callable[[Frame], TrackedFrame]
Prepare = Callable[[Frame], object]
"""Called with each frame before its turn, in the thread that reads the source."""
Observer = Callable[[TrackedFrame, float], None]
"""Called after each frame with its result and the seconds it took: from capture when live."""


class Receiver(Protocol):
    """What results go to, in order: ``Outputs``, or what keeps them for later."""

    def send(self, tracked: TrackedFrame, frame: Frame) -> None:
        """Take one result and its picture."""
        ...


class Run(Protocol):
    """A loop: takes a source to its end."""

    def __call__(
        self, source: Source, process: Process, outputs: Outputs, observe: Observer, prepare: Prepare | None
    ) -> None:
        """Track what the source gives and send the results."""
        ...


SOURCE_JOIN_S = 3.0
"""How long a source's thread may take to end after it was told to."""


def run_recorded(
    source: Source, process: Process, outputs: Receiver, observe: Observer, prepare: Prepare | None = None
) -> None:
    """Every frame, in order, as fast as it goes; the same file gives the same numbers every time.

    ``prepare`` is called where a source reads ahead.

    Raises:
        SourceFailedError: the file is damaged; the frames before were sent.
        SinkFailedError: an output broke.
    """
    if prepare is not None and isinstance(source, ReadsAhead):
        source.call_when_read(prepare)
    for frame in source:
        start = time.perf_counter()
        tracked = process(frame)
        took_s = time.perf_counter() - start
        outputs.send(tracked, frame)
        observe(tracked, took_s)


def run_live(
    source: Source, process: Process, outputs: Outputs, observe: Observer, prepare: Prepare | None = None
) -> None:
    """Always the newest frame; those that come too fast are dropped and counted.

    Outputs are told of the source's states between the frames where they belong, and that the run ended.

    Raises:
        SourceFailedError: the source failed; the frames before were sent.
        SinkFailedError: an output broke.
    """
    mailbox: Latest[Frame | str] = Latest()
    reader = _Reader(source, mailbox, prepare)
    try:
        reader.start()
        _follow(source, mailbox, process, outputs, observe)
    except BaseException:  # Ctrl-C, too
        with suppress(SinkFailedError):  # the cause is what to tell
            outputs.notify("ended")
        raise
    else:
        outputs.notify("ended")
    finally:
        source.close()
        if reader.ident is not None:  # Ctrl-C can come before it runs
            reader.join(SOURCE_JOIN_S)
    if reader.failure is not None:
        raise reader.failure


def _follow(
    source: Source, mailbox: Latest[Frame | str], process: Process, outputs: Outputs, observe: Observer
) -> None:
    """Take frames and states until no more come."""
    drops = source if isinstance(source, CountsDrops) else None
    while True:
        try:
            item = mailbox.take()
        except ClosedError:
            return
        if isinstance(item, str):
            outputs.notify(item)
            continue
        dropped = mailbox.replaced + (0 if drops is None else drops.dropped_frames)
        tracked = replace(process(item), dropped_frames=dropped)
        outputs.send(tracked, item)
        observe(tracked, time.monotonic() - item.capture_time_s)


class _Reader(threading.Thread):
    """Reads a source into a mailbox until it ends, fails or is closed."""

    def __init__(self, source: Source, mailbox: Latest[Frame | str], prepare: Prepare | None) -> None:
        super().__init__(name="source", daemon=True)
        self._source = source
        self._mailbox = mailbox
        self._prepare = prepare
        self.failure: BaseException | None = None

    def run(self) -> None:
        try:
            if isinstance(self._source, TellsState):
                self._source.call_on_state(self._mailbox.keep)
            for frame in self._source:
                if self._prepare is not None:
                    self._prepare(frame)
                self._mailbox.put(frame)
        except TrackerError as failure:
            self.failure = failure
        except BaseException as bug:  # a bug: raised again in the main thread, never lost with this one
            self.failure = bug
        finally:
            self._mailbox.close()
