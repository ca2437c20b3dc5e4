"""Where results go: recordings, videos and sockets behind one protocol."""

from pathlib import Path
from typing import Protocol

from tracker.errors import UnknownNameError
from tracker.mano_numpy import ManoModel
from tracker.sinks.layout import NATIVE, Layout
from tracker.structs import Frame, StreamInfo, TrackedFrame

RECORDINGS = (".jsonl", ".mcap", ".rrd", ".parquet")
"""The file name endings of recordings."""
PICTURE_RECORDINGS = (".mcap", ".rrd")
"""Those that have a place for the camera's pictures."""
FILE_SINKS = (".jsonl", ".mp4", ".mkv", ".mov", ".mcap", ".rrd", ".parquet")
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
        MissingDependencyError: the library for such files is not installed.
    """
    match Path(path).suffix.lower():
        case ".jsonl" | ".mcap" | ".rrd" | ".parquet":
            return open_recording(path, overwrite=overwrite)
        case ".mp4" | ".mkv" | ".mov":
            from tracker.sinks.video import VideoSink

            return VideoSink(path, overwrite=overwrite)
        case suffix:
            raise UnknownNameError(
                f"an output file named {str(path)!r} ends in {suffix or 'nothing'}; "
                f"end it in one of {', '.join(FILE_SINKS)}"
            )


def open_recording(
    path: str | Path,
    *,
    overwrite: bool = False,
    pictures: bool = False,
    live: bool = False,
    meshes: bool = False,
    mano: ManoModel | None = None,
    layout: Layout = NATIVE,
) -> Sink:
    """The recording that ``path`` names by how it ends, see ``RECORDINGS``; JSON lines for any other name.

    Args:
        path: the file to write.
        overwrite: replace what it holds.
        pictures: record the camera's pictures too; ``PICTURE_RECORDINGS`` can.
        live: pictures must not hold ``send`` up; those that come too fast are left out.
        meshes: record each hand's skin too, where the format has a place for it (``.rrd``).
        mano: for the skin of hands that carry MANO's parameters.
        layout: of JSON lines; the others hold our own joints and axes.

    Raises:
        SinkError: the file cannot be written, or it holds something and ``overwrite`` is False.
        MissingDependencyError: the library for such files is not installed.
    """
    match Path(path).suffix.lower():
        case ".mcap":
            from tracker.sinks.mcap_recording import McapSink

            return McapSink(path, overwrite=overwrite, pictures=pictures, live=live)
        case ".rrd":
            from tracker.sinks.rerun_recording import RerunSink

            return RerunSink(
                path, overwrite=overwrite, pictures=pictures, live=live, meshes=meshes, mano=mano
            )
        case ".parquet":
            from tracker.sinks.parquet_recording import ParquetSink

            return ParquetSink(path, overwrite=overwrite)
        case _:
            from tracker.sinks.recording import RecordingSink

            return RecordingSink(path, overwrite=overwrite, layout=layout)


def files_of(path: Path) -> tuple[Path, ...]:
    """The files that the output ``path`` writes: itself, and for Parquet the lines it is made from."""
    if path.suffix.lower() != ".parquet":
        return (path,)
    return path, path.with_name(f"{path.name}.unfinished.jsonl")
