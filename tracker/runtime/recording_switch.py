"""A recording that is begun and ended while the tracker runs, asked for from any thread."""

import threading
from collections.abc import Callable

from tracker.errors import SinkFailedError, UsageError
from tracker.sinks import Sink
from tracker.structs import Frame, StreamInfo, TrackedFrame


class RecordingSwitch:
    """Stands among the outputs for a whole run and passes on to a recording while there is one.

    A recording that cannot be opened, or breaks, is told and let go: tracking goes on, and the next wish
    opens another. Frames wait while it is opened or closed, so what is opened must do both quickly.

    Args:
        open_recording: opens a recording; gives the sink and its name for people. What it raises as
            ``UsageError`` is told.
        tell: called with the name of the recording that runs, or None, and with what went wrong, or None.
    """

    def __init__(
        self,
        open_recording: Callable[[], tuple[Sink, str]],
        tell: Callable[[str | None, str | None], None],
    ) -> None:
        self._open_recording = open_recording
        self._tell = tell
        self._lock = threading.Lock()
        """Held while the recording is opened, written and closed."""
        self._wished = False
        self._info: StreamInfo | None = None
        self._recording: Sink | None = None

    def switch(self, on: bool) -> None:
        """Wish for a recording or its end, from any thread, which does not wait for it.

        It is followed from the first frame on, and then also while no frame comes.
        """
        if on is not self._wished:
            self._wished = on
            threading.Thread(target=self._follow, name="recording-switch", daemon=True).start()

    def begin(self, info: StreamInfo) -> None:
        """Remember the header's contents, and write them where a recording runs."""
        with self._lock:
            self._info = info
            self._record(lambda recording: recording.begin(info))

    def send(self, tracked: TrackedFrame, frame: Frame | None) -> None:
        """Do what was wished for, then record the frame if there is a recording."""
        self._follow()
        with self._lock:
            self._record(lambda recording: recording.send(tracked, frame))

    def notify(self, state: str) -> None:
        """Record a state."""
        self._follow()
        with self._lock:
            self._record(lambda recording: recording.notify(state))

    def close(self) -> None:
        """End the recording, if there is one; no other begins. Safe to call twice."""
        with self._lock:
            self._info = None
            self._stop()

    def _follow(self) -> None:
        with self._lock:
            if self._info is None or self._wished is (self._recording is not None):
                return
            if self._wished:
                self._start(self._info)
            else:
                self._stop()

    def _start(self, info: StreamInfo) -> None:
        try:
            self._recording, name = self._open_recording()
        except UsageError as failure:  # the file or its library is not to be had
            self._wished = False
            self._tell(None, str(failure))
            return
        if self._record(lambda recording: recording.begin(info)):
            self._tell(name, None)

    def _record(self, action: Callable[[Sink], None]) -> bool:
        """Do it with the recording, if there is one; returns whether it still runs."""
        if self._recording is None:
            return False
        try:
            action(self._recording)
        except SinkFailedError as failure:
            self._wished = False
            self._stop(str(failure))
            return False
        return True

    def _stop(self, failure: str | None = None) -> None:
        """Close the recording and tell of it; the first failure is the one to tell."""
        recording, self._recording = self._recording, None
        if recording is None:
            return
        try:
            recording.close()
        except SinkFailedError as error:
            failure = failure or str(error)
        self._tell(None, failure)
