"""The file that a sink writes, opened and written so that nothing already recorded is lost by accident."""

import logging
import os
import stat
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from tracker.errors import SinkError, SinkFailedError

_log = logging.getLogger(__name__)


def open_output(path: Path, *, overwrite: bool) -> int:
    """A file descriptor for writing ``path``; the caller owns it.

    What the file held is still there: the caller truncates it when it has something to write. Devices and
    pipes are written as they are.

    Raises:
        SinkError: the folder is missing, the path is a folder or may not be written, or the file holds
            something and ``overwrite`` is False.
    """
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o666)
    except FileNotFoundError as error:
        raise SinkError(f"cannot write {path}: there is no folder {path.parent}; make it first") from error
    except IsADirectoryError as error:
        raise SinkError(f"cannot write {path}: it is a folder; give a file name in it") from error
    except OSError as error:
        raise SinkError(f"cannot write {path}: {error.strerror}; choose another place") from error
    status = os.fstat(descriptor)
    if stat.S_ISREG(status.st_mode) and status.st_size > 0 and not overwrite:
        os.close(descriptor)
        raise SinkError(f"{path} exists and is not empty; choose another name or pass --overwrite")
    return descriptor


class OutputFile:
    """An output that grows by whole pieces, each handed to the system before ``write`` returns.

    A file that was there keeps its content until ``begin``. After a failure it ends with the last whole
    piece.

    Raises:
        SinkError: see ``open_output``.
    """

    def __init__(self, path: Path, *, overwrite: bool) -> None:
        self.path = path
        self.begun = False
        self._descriptor: int | None = open_output(path, overwrite=overwrite)
        self._whole_bytes = 0

    def begin(self) -> None:
        """Drop what the file held.

        Raises:
            SinkFailedError: the file system refuses, or the file is closed.
        """
        descriptor = self._open_descriptor()
        try:
            empty_file(descriptor)
        except OSError as error:
            raise self._failed(descriptor, error) from error
        self.begun = True

    def write(self, piece: bytes) -> int:
        """Append ``piece`` and return its length.

        Raises:
            SinkFailedError: the disk is full, say, and the file is now closed; or it was closed before.
        """
        descriptor = self._open_descriptor()
        assert self.begun, "begin() drops what the file held and comes first"
        rest = memoryview(piece)
        try:
            while rest:
                rest = rest[os.write(descriptor, rest) :]
        except OSError as error:
            raise self._failed(descriptor, error) from error
        self._whole_bytes += len(piece)
        return len(piece)

    def tell(self) -> int:
        """How many bytes were written."""
        return self._whole_bytes

    def flush(self) -> None:
        """Nothing is held back."""

    def close(self) -> None:
        """Close the file, and take it away if it was never begun; safe to call twice.

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
        if not self.begun:
            remove_if_empty(self.path)

    def _open_descriptor(self) -> int:
        if self._descriptor is None:
            raise SinkFailedError(f"{self.path} is closed; nothing more can be recorded in it")
        return self._descriptor

    def _failed(self, descriptor: int, error: OSError) -> SinkFailedError:
        """Cut off a piece that was written in part, close the file, and say what happened."""
        self._descriptor = None
        try:
            if self.begun and stat.S_ISREG(os.fstat(descriptor).st_mode):
                os.ftruncate(descriptor, self._whole_bytes)
        except OSError:
            _log.debug("%s may end in part of a piece; readers skip it", self.path)
        finally:
            os.close(descriptor)
        return SinkFailedError(
            f"writing {self.path} failed: {error.strerror}; what was recorded before is kept"
        )


def refuse_shared_files(outputs: Sequence[Path], inputs: Sequence[Path]) -> None:
    """Check that no output is the same file as an input or as another output, by whatever name or link.

    Raises:
        SinkError: one is; nothing was touched.
    """
    for position, output in enumerate(outputs):
        if any(_same_file(output, given) for given in inputs):
            raise SinkError(f"{output} is a file this run reads; give the output another name")
        if any(_same_file(output, other) for other in outputs[:position]):
            raise SinkError(f"{output} is named for two outputs; give each its own name")


def _same_file(one: Path, other: Path) -> bool:
    try:
        return one.samefile(other)
    except OSError:  # one of them does not exist yet
        return one.resolve() == other.resolve()


def remove_if_empty(path: Path) -> None:
    """Take away a regular file that was opened and never written."""
    with suppress(OSError):
        status = path.stat()
        if stat.S_ISREG(status.st_mode) and status.st_size == 0:
            path.unlink()


def empty_file(file: int | Path) -> None:
    """Drop what a regular file, given by path or descriptor, held; devices and pipes are left alone.

    Raises:
        OSError: the file system refuses.
    """
    if stat.S_ISREG(os.stat(file).st_mode):
        os.truncate(file, 0)
