"""Where results go: recordings, videos and sockets behind one protocol."""

from typing import Protocol

from tracker.structs import Frame, StreamInfo, TrackedFrame


class Sink(Protocol):
    """Takes results in order; used as ``begin``, then ``send`` and ``notify`` in turn, then ``close``."""

    def begin(self, info: StreamInfo) -> None:
        """Called before the first frame, and again whenever camera, size or source change."""
        ...

    def send(self, tracked: TrackedFrame, frame: Frame | None) -> None:
        """Take one result; ``frame`` carries its picture, or is None where there is none (replay).

        Raises:
            SinkFailedError: the output broke (disk full, say); what was written stays readable.
        """
        ...

    def notify(self, state: str) -> None:
        """Tell readers that the source's state changed: ``playing``, ``lost`` or ``ended``."""
        ...

    def close(self) -> None:
        """Finish the output; safe to call twice."""
        ...
