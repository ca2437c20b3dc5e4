"""A sink on a thread of its own, so that a slow one loses frames and never slows the tracker."""

import threading

from tracker.runtime.latest import ClosedError, Latest
from tracker.sinks import Sink
from tracker.structs import Frame, StreamInfo, TrackedFrame


class BackgroundSink:
    """Hands frames on to ``sink`` in its own thread, the newest only."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._mailbox: Latest[tuple[StreamInfo, TrackedFrame, Frame | None]] = Latest()
        self._info: StreamInfo | None = None
        self._failure: Exception | None = None
        self._told = False
        self._thread = threading.Thread(target=self._work, name="background-sink", daemon=True)
        self._thread.start()

    @property
    def dropped_frames(self) -> int:
        """Frames the sink was too slow for."""
        return self._mailbox.replaced

    def begin(self, info: StreamInfo) -> None:
        """Remember ``info``; the sink begins with the next frame."""
        self._info = info

    def send(self, tracked: TrackedFrame, frame: Frame | None) -> None:
        """Leave a frame for the sink and return at once.

        Raises:
            SinkFailedError: the sink broke at an earlier frame.
        """
        if self._failure is not None:
            self._told = True
            raise self._failure
        assert self._info is not None, "begin comes before send"
        self._mailbox.put((self._info, tracked, frame))

    def notify(self, state: str) -> None:
        """A video keeps no states, and videos are what runs in the background; nothing to do."""

    def close(self) -> None:
        """Let the sink finish the frame that waits, then close it.

        Raises:
            SinkFailedError: the sink broke and nobody has been told yet.
        """
        self._mailbox.close()
        self._thread.join()
        self._sink.close()
        if self._failure is not None and not self._told:
            self._told = True
            raise self._failure

    def _work(self) -> None:
        begun: StreamInfo | None = None
        try:
            while True:
                info, tracked, frame = self._mailbox.take()
                if info is not begun:
                    self._sink.begin(info)
                    begun = info
                self._sink.send(tracked, frame)
        except ClosedError:
            pass
        except Exception as failure:  # raised again in the tracker's thread
            self._failure = failure
