"""Writing a file wholly or not at all."""

import os
import secrets
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path

from tracker.errors import SinkFailedError


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Say in one line why a file cannot be written: the disk is full, say.

    Raises:
        SinkFailedError: in place of an OSError of the block.
    """
    try:
        yield
    except OSError as error:
        raise SinkFailedError(f"cannot write {path}: {error.strerror or error}") from error


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """An empty file beside ``path`` to write to; it takes that name when the block ends without an error.

    After any error it is gone, and what ``path`` held is still there. It reaches the disk before it gets the
    name, so a crash leaves one or the other. What a killed program left of the file is written over. Its
    folder is made if need be.

    Raises:
        SinkFailedError: it cannot be written; an OSError of the block is taken for that.
    """
    with writing(path), _placed(path) as temporary:
        yield temporary


@contextmanager
def _placed(path: Path) -> Iterator[Path]:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary, lock = _part_of(path)
    try:
        try:
            yield temporary
            with temporary.open("rb+") as file:
                os.fsync(file.fileno())
            os.replace(temporary, path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
    finally:
        if lock is not None:
            os.close(lock)
    with suppress(OSError):  # where a folder cannot be opened, the name reaches the disk in its own time
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def _part_of(path: Path) -> tuple[Path, int | None]:
    """An empty hidden file that is this writer's alone, and the lock that says so where there are locks."""
    with suppress(OSError):  # no locks in this folder, say, or another user's file
        return _locked_part(path)
    temporary = path.with_name(f".{path.name}-{secrets.token_hex(6)}.part")
    # Not mkstemp, whose files only their owner may ever read.
    os.close(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
    return temporary, None


def _locked_part(path: Path) -> tuple[Path, int]:
    """The first of the names for parts of ``path`` that no living writer has, emptied, and its lock.

    Raises:
        OSError: there are no locks, or the file cannot be made.
    """
    if sys.platform == "win32":
        raise OSError("no locks that end with their program")
    import fcntl

    for number in count():
        temporary = path.with_name(f".{path.name}-{number}.part")
        lock = os.open(temporary, os.O_CREAT | os.O_RDWR, 0o666)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # Between the two its writer may have finished, and this be the whole file by now.
            if os.path.samestat(os.fstat(lock), os.stat(temporary)):
                os.ftruncate(lock, 0)
                return temporary, lock
        except (BlockingIOError, FileNotFoundError):
            pass
        except BaseException:
            os.close(lock)
            raise
        os.close(lock)
    raise AssertionError("numbers end")
