"""Recordings: one wire message a line, written whole, so that a killed program loses the last at most."""

import logging
import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

from tracker.cameras import Camera
from tracker.errors import RecordingError, SinkFailedError
from tracker.sinks.layout import NATIVE, Layout
from tracker.sinks.messages import FORMAT, Clock, Failure, State
from tracker.sinks.output_file import empty_file, open_output, remove_if_empty
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
        self._descriptor: int | None = open_output(self.path, overwrite=overwrite)
        self._begun = False
        self._whole_bytes = 0

    def begin(self, info: StreamInfo) -> None:
        """Write a header; what the file held before is dropped only now.

        Raises:
            SinkFailedError: the file cannot be written.
        """
        if not self._begun and self._descriptor is not None:
            try:
                empty_file(self._descriptor)
            except OSError as error:
                raise self._failed(self._descriptor, error) from error
            self._begun = True
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
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is None:
            return
        try:
            os.close(descriptor)
        except OSError as error:
            raise SinkFailedError(f"writing {self.path} failed on closing: {error.strerror}") from error
        if not self._begun:
            remove_if_empty(self.path)

    def _write_line(self, message: bytes) -> None:
        if self._descriptor is None:
            raise SinkFailedError(f"{self.path} is closed; nothing more can be recorded in it")
        assert self._begun, "begin() writes the header and comes first"
        line = memoryview(message + b"\n")
        written = 0
        try:
            while written < len(line):
                written += os.write(self._descriptor, line[written:])
        except OSError as error:
            raise self._failed(self._descriptor, error) from error
        self._whole_bytes += written

    def _failed(self, descriptor: int, error: OSError) -> SinkFailedError:
        """Cut off a line that was written in part, close the file, and say what happened."""
        self._descriptor = None
        try:
            if self._begun and stat.S_ISREG(os.fstat(descriptor).st_mode):
                os.ftruncate(descriptor, self._whole_bytes)
        except OSError:
            _log.debug("%s may end in part of a line; readers skip it", self.path)
        finally:
            os.close(descriptor)
        return SinkFailedError(
            f"writing {self.path} failed: {error.strerror}; what was recorded before is kept"
        )


def read_recording(path: str | Path) -> Iterator[StreamInfo | TrackedFrame | State]:
    """What a recording holds, in order, first a ``StreamInfo``; one line is in memory at a time.

    Hands come in our own joints and axes, whatever layout the recording is in.

    Also reads a file that is still being written. A last line that was cut short (killed program) is left
    out with one warning. Messages of unknown type are skipped. Errors are raised while iterating.

    Raises:
        RecordingError: the file cannot be read or is not a recording of a version this program reads; the
            message says which line.
    """
    try:
        with open(path, "rb") as file:
            layout = None
            for number, line in _lines(path, file):
                value = _decode_line(path, number, line, layout)
                if isinstance(value, Header):
                    layout = value.layout
                    yield value.info
                elif value is not None:
                    yield value
            if layout is None:
                raise RecordingError(f"{path} is empty: no recording was begun in it")
    except OSError as error:
        raise RecordingError(f"cannot read the recording {path}: {error.strerror}") from error


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


def _decode_line(
    path: str | Path, number: int, line: bytes, layout: Layout | None
) -> Header | TrackedFrame | State | None:
    """The value of a line; ``layout`` is that of the last header, None before the first."""
    try:
        value = decode_message(line, layout or NATIVE)
    except RecordingError as error:
        if not line.endswith(b"\n") and layout is not None:
            _log.warning("%s ends in part of line %d, which is left out", path, number)
            return None
        raise RecordingError(f"{path}, line {number}: {error}") from error
    if layout is None and not isinstance(value, Header):
        raise RecordingError(f"{path} is not a recording: line {number} is no header of format {FORMAT}")
    return None if isinstance(value, Failure) else value
