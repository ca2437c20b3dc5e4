"""A sink on a thread of its own, so that a slow one loses frames and never slows the tracker."""

import threading

from tracker.errors import SinkFailedError
from tracker.runtime.latest import ClosedError, Latest
from tracker.sinks import Sink
from tracker.structs import Frame, StreamInfo, TrackedFrame

CLOSE_S = 10.0
"""How long the sink may take over what waits when it is closed."""

_Result = tuple[StreamInfo, TrackedFrame, Frame | None]


class BackgroundSink:
    """Hands frames on to ``sink`` in its own thread, the newest only, and every state in its place."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._mailbox: Latest[_Result | str] = Latest()
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
        """Leave a state for the sink, after the frame that waits."""
        self._mailbox.keep(state)

    def close(self) -> None:
        """Let the sink finish what waits, then close it.

        Raises:
            SinkFailedError: the sink broke and nobody has been told yet; or it is stuck, and left behind.
        """
        self._mailbox.close()
        self._thread.join(CLOSE_S)
        if self._thread.is_alive():
            raise SinkFailedError(
                f"an output did not take its last frame in {CLOSE_S:g} s and is left unfinished"
            )
        self._sink.close()
        if self._failure is not None and not self._told:
            self._told = True
            raise self._failure

    def _work(self) -> None:
        begun: StreamInfo | None = None
        try:
            while True:
                item = self._mailbox.take()
                if isinstance(item, str):
                    if begun is not None:
                        self._sink.notify(item)
                    continue
                info, tracked, frame = item
                if info is not begun:
                    self._sink.begin(info)
                    begun = info
                self._sink.send(tracked, frame)
        except ClosedError:
            pass
        except Exception as failure:  # raised again in the tracker's thread
            self._failure = failure
