"""Writing a file wholly or not at all."""

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """An empty file beside ``path`` to write to; it takes that name when the block ends without an error.

    After any error it is gone, and what ``path`` held is still there. It reaches the disk before it gets the
    name, so a crash leaves one or the other.
    """
    temporary = path.with_name(f".{path.name}-{secrets.token_hex(6)}.part")
    # Not mkstemp, whose files only their owner may ever read.
    os.close(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
    try:
        yield temporary
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    with suppress(
        OSError
    ):  # not every system can open a folder; the name then reaches the disk in its own time
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
