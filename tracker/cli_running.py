"""What every command needs: a word to the person, an orderly end when interrupted, the user's folder."""

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

FILE_STATUS, LIVE_STATUS = 130, 0
"""Exit status after Ctrl-C: a file was left unfinished; a live run ends that way."""


@contextmanager
def interruptible() -> Iterator[None]:
    """Let a polite kill or a closed terminal end the run as Ctrl-C does: outputs closed, summary said.

    Only the first is heard, to the very end of the program: a second would break off the closing of the
    outputs, or spoil the exit status.
    """
    signals = [number for name in ("SIGINT", "SIGTERM", "SIGHUP") if (number := getattr(signal, name, None))]

    interrupted = False

    def interrupt(number: int, frame: FrameType | None) -> None:
        nonlocal interrupted
        if not interrupted:  # not SIG_IGN yet: of one that is under way Python would complain
            interrupted = True
            raise KeyboardInterrupt

    before = {number: signal.signal(number, interrupt) for number in signals}
    try:
        yield
    finally:
        for number, handler in before.items():
            # A function would last until Python takes itself down; the rest of the program is longer.
            signal.signal(number, signal.SIG_IGN if interrupted else handler)


def home_folder() -> Path | None:
    """Where the environment says that this program's own files are kept, if it does."""
    home = os.environ.get("TRACKER_HOME")
    return Path(home).expanduser() if home else None


def say(line: str) -> None:
    """Tell a person something on standard error, if it is open; standard output is for results."""
    if sys.stderr is not None:
        print(line, file=sys.stderr, flush=True)
