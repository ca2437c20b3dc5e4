"""Where results go: recordings, videos and sockets behind one protocol."""

from pathlib import Path
from typing import Protocol

from tracker.errors import UnknownNameError
from tracker.structs import Frame, StreamInfo, TrackedFrame

FILE_SINKS = (".jsonl", ".mp4", ".mkv", ".mov")
"""The file name endings ``open_sink`` knows."""


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


def open_sink(path: str | Path, *, overwrite: bool = False) -> Sink:
    """The sink that writes ``path``, chosen by how the name ends: see ``FILE_SINKS``.

    Raises:
        UnknownNameError: the name ends in something else.
        SinkError: the file cannot be written, or it holds something and ``overwrite`` is False.
    """
    match Path(path).suffix.lower():
        case ".jsonl":
            from tracker.sinks.recording import RecordingSink

            return RecordingSink(path, overwrite=overwrite)
        case ".mp4" | ".mkv" | ".mov":
            from tracker.sinks.video import VideoSink

            return VideoSink(path, overwrite=overwrite)
        case suffix:
            raise UnknownNameError(
                f"an output file named {str(path)!r} ends in {suffix or 'nothing'}; "
                f"end it in one of {', '.join(FILE_SINKS)}"
            )
