"""Opening the file that a sink writes, so that nothing already recorded is lost by accident."""

import os
import stat
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from tracker.errors import SinkError


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
