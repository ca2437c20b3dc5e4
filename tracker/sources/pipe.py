"""A pipe as FFmpeg reads it, which a silent writer does not make deaf to a close."""

import select
from pathlib import Path

HEARD_AGAIN_S = 0.2
"""How often a read that waits looks whether the pipe was closed."""


class Pipe:
    """What some program writes to ``path``; opening waits for that program.

    Raises:
        OSError: it cannot be opened.
    """

    def __init__(self, path: Path) -> None:
        self.name = str(path)
        self._file = path.open("rb", buffering=0)
        self._closed = False

    def read(self, size: int) -> bytes:
        """Up to ``size`` bytes as soon as there are some; none at the end, and once the pipe is closed."""
        while not self._closed:
            if select.select([self._file], [], [], HEARD_AGAIN_S)[0]:
                return self._file.read(size) or b""
        return b""

    def close(self) -> None:
        """End a read in another thread, at which the pipe itself is let go."""
        self._closed = True
