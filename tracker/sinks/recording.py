"""Recordings: one wire message a line, written whole, so that a killed program loses the last at most."""

import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

from tracker.cameras import Camera
from tracker.errors import RecordingError
from tracker.sinks.layout import NATIVE, Layout
from tracker.sinks.messages import FORMAT, Clock, Failure, State
from tracker.sinks.output_file import OutputFile
from tracker.sinks.wire import (
    Header,
    decode_message,
    encode_frame,
    encode_header,
    encode_state,
    read_clock,
)
from tracker.structs import Frame, StreamInfo, TrackedFrame

MAX_LINE_BYTES = 1 << 24
"""Far above any frame (a hand is about 4 kB): a file with longer lines is something else."""

_log = logging.getLogger(__name__)


class RecordingSink:
    """Writes JSON lines to ``path``; every line is handed to the system whole before ``send`` returns.

    Raises:
        SinkError: the file cannot be opened, or it holds something and ``overwrite`` is False.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        overwrite: bool = False,
        layout: Layout = NATIVE,
        clock: Callable[[], Clock] = read_clock,
    ) -> None:
        self.path = Path(path)
        self._layout = layout
        self._camera: Camera | None = None
        self._clock = clock
        self._file = OutputFile(self.path, overwrite=overwrite)

    def begin(self, info: StreamInfo) -> None:
        """Write a header; what the file held before is dropped only now.

        Raises:
            SinkFailedError: the file cannot be written.
        """
        if not self._file.begun:
            self._file.begin()
        self._camera = info.camera
        self._write_line(encode_header(info, self._clock(), self._layout))

    def send(self, tracked: TrackedFrame, frame: Frame | None) -> None:
        """Write one frame's result; its picture is not recorded.

        Raises:
            SinkFailedError: the disk is full, say; every line before stays readable.
        """
        self._write_line(encode_frame(tracked, self._layout, self._camera))

    def notify(self, state: str) -> None:
        """Write that the source's state changed.

        Raises:
            SinkFailedError: the disk is full, say; every line before stays readable.
        """
        self._write_line(encode_state(state))

    def close(self) -> None:
        """Close the file, and take it away if nothing was ever to be written; safe to call twice.

        Raises:
            SinkFailedError: the system reports only now that something was not written.
        """
        self._file.close()

    def _write_line(self, message: bytes) -> None:
        self._file.write(message + b"\n")


def read_recording(path: str | Path) -> Iterator[StreamInfo | TrackedFrame | State]:
    """What a recording holds, in order, first a ``StreamInfo``; one line or chunk is in memory at a time.

    Hands come in our own joints and axes, whatever layout the recording is in.

    Reads JSON lines, and MCAP where the name ends in ``.mcap``; also files that are still being written. A
    last line that was cut short (killed program) is left out with one warning. Messages of unknown type are
    skipped. Errors are raised while iterating.

    Raises:
        RecordingError: the file cannot be read or is not a recording of a version this program reads; the
            message says which line.
        MissingDependencyError: it is an MCAP file, and the library for those is not installed.
    """
    try:
        with open(path, "rb") as file:
            layout = None
            for place, message, whole in _messages(path, file):
                value = _decode(f"{path}, {place}", message, layout, whole=whole)
                if isinstance(value, Header):
                    layout = value.layout
                    yield value.info
                elif value is not None:
                    yield value
            if layout is None:
                raise RecordingError(f"{path} is empty: no recording was begun in it")
    except OSError as error:
        raise RecordingError(f"cannot read the recording {path}: {error.strerror}") from error


def _messages(path: str | Path, file: BinaryIO) -> Iterator[tuple[str, bytes, bool]]:
    """Where each message stands, the message, and whether it was written to its end."""
    if Path(path).suffix.lower() == ".mcap":
        from tracker.sinks.mcap_reading import mcap_messages

        for number, message in enumerate(mcap_messages(path, file), start=1):
            yield f"message {number}", message, True
    else:
        for number, line in _lines(path, file):
            yield f"line {number}", line, line.endswith(b"\n")


def _lines(path: str | Path, file: BinaryIO) -> Iterator[tuple[int, bytes]]:
    """Lines that are not blank, numbered from 1; none after one without its end, which may still grow."""
    number = 0
    while line := file.readline(MAX_LINE_BYTES):
        number += 1
        if len(line) == MAX_LINE_BYTES:
            raise RecordingError(
                f"{path}, line {number}: longer than {MAX_LINE_BYTES} bytes; not a recording"
            )
        if line.strip():
            yield number, line
        if not line.endswith(b"\n"):
            return


def _decode(
    place: str, message: bytes, layout: Layout | None, *, whole: bool
) -> Header | TrackedFrame | State | None:
    """The value of a message; ``layout`` is that of the last header, None before the first."""
    try:
        value = decode_message(message, layout or NATIVE)
    except RecordingError as error:
        if not whole and layout is not None:
            _log.warning("%s: written in part, and left out", place)
            return None
        raise RecordingError(f"{place}: {error}") from error
    if layout is None and not isinstance(value, Header):
        raise RecordingError(f"{place} is no header of format {FORMAT}: not a recording")
    return None if isinstance(value, Failure) else value
