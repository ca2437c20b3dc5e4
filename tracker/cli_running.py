"""What every command needs: its exit status, a word to the person, an orderly end, the user's folder."""

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Generic, Protocol, TypeVar

from tracker.errors import TrackerError, UsageError
from tracker.interrupts import INTERRUPTS


class Closable(Protocol):
    """What can be closed."""

    def close(self) -> None:
        """Give back what it holds."""
        ...


Opened = TypeVar("Opened", bound=Closable)

FILE_STATUS, LIVE_STATUS = 130, 0
"""Exit status after Ctrl-C: a file was left unfinished; a live run ends that way."""
UNREAD_STATUS = 141
"""Exit status where nobody reads the output to its end (``| head``): 128 and the number of SIGPIPE, as a
shell has it of programs that end by that signal."""
HEARD_AGAIN_S = 0.2
"""How often what waits looks up: on Windows a wait without end hears no Ctrl-C."""


def run_command(run: Callable[[], int | None]) -> int:
    """Run a program; a user's mistake is one line, never a traceback, and so is output that nobody takes.

    Args:
        run: parses the command line and does what it asks for; returns the exit status, None for 0.

    Returns:
        The exit status.
    """
    try:
        try:
            return _status(run)
        finally:
            finish_output()
    except OSError:
        status = status_of_broken_output()
        if status is None:
            raise
        return status


def _status(run: Callable[[], int | None]) -> int:
    try:
        return run() or 0
    except UsageError as error:
        say(f"error: {error}")
        return 2
    except TrackerError as error:
        say(f"error: {error}")
        return 1
    except KeyboardInterrupt:
        return FILE_STATUS


class Interruptions:
    """What interrupts a run: the first raises KeyboardInterrupt, or asks work that is at it to end well."""

    def __init__(self) -> None:
        self.heard = False
        """Whether there was one."""
        self._raised = False
        self._note: Callable[[], None] | None = None

    @contextmanager
    def held(self, note: Callable[[], None]) -> Iterator[None]:
        """Meanwhile the first calls ``note``, and only a second raises KeyboardInterrupt."""
        self._note = note
        try:
            yield
        finally:
            self._note = None

    def hear(self, number: int, frame: FrameType | None) -> None:
        """Handle the signal."""
        self.heard, note, self._note = True, self._note, None
        if note is not None:
            note()
        elif not self._raised:  # not SIG_IGN yet: of one that is under way Python would complain
            self._raised = True
            raise KeyboardInterrupt


@contextmanager
def interruptible() -> Iterator[Interruptions]:
    """Let a polite kill or a closed terminal end the run as Ctrl-C does: outputs closed, summary said.

    Only one ends it, to the very end of the program: another would break off the closing of the outputs, or
    spoil the exit status.
    """
    interruptions = Interruptions()
    before = {number: signal.signal(number, interruptions.hear) for number in INTERRUPTS}
    try:
        yield interruptions
    finally:
        for number, handler in before.items():
            # A function would last until Python takes itself down; the rest of the program is longer.
            signal.signal(number, signal.SIG_IGN if interruptions.heard else handler)


@contextmanager
def saying_when_stopped(what: str) -> Iterator[None]:
    """Say what an interruption leaves, in few words."""
    try:
        yield
    except KeyboardInterrupt:
        say(f"stopped; {what}")
        raise


def open_interruptibly(open_one: Callable[[], Opened]) -> Opened:
    """What ``open_one`` opens and its errors; Ctrl-C is heard meanwhile.

    It runs in a thread of its own, as video libraries wait for a silent peer deaf to signals. What opens
    after somebody stopped the run is closed.
    """
    opening = _Opening(open_one)
    try:
        opening.start()
        return opening.wait()
    except BaseException:
        opening.give_up()
        raise


class _Opening(threading.Thread, Generic[Opened]):
    def __init__(self, open_one: Callable[[], Opened]) -> None:
        super().__init__(name="opening", daemon=True)
        self._open_one = open_one
        self._lock = threading.Lock()
        self._done = threading.Event()
        self._opened: Opened | None = None
        self._failure: BaseException | None = None
        self._given_up = False

    def run(self) -> None:
        try:
            opened = self._open_one()
        except BaseException as failure:  # raised again in the thread that waits
            self._failure = failure
        else:
            with self._lock:
                self._opened = opened
                late = self._given_up
            if late:
                opened.close()
        finally:
            self._done.set()

    def wait(self) -> Opened:
        while not self._done.wait(HEARD_AGAIN_S):
            pass
        if self._failure is not None:
            raise self._failure
        assert self._opened is not None
        return self._opened

    def give_up(self) -> None:
        with self._lock:
            self._given_up = True
            opened = self._opened
        if opened is not None:
            opened.close()


def home_folder() -> Path | None:
    """Where the environment says that this program's own files are kept, if it does."""
    home = os.environ.get("TRACKER_HOME")
    return Path(home).expanduser() if home else None


def check_output_file(path: Path, *, overwrite: bool, reads: Sequence[Path | None] = ()) -> None:
    """Before any work is done for a file: it takes the place of no other, and its folder can be there.

    Args:
        path: the file.
        overwrite: another file may be replaced, if it is one and none of ``reads``.
        reads: files that the run reads.

    Raises:
        UsageError: it is there and must not be replaced, or it cannot be written.
    """
    from tracker.sinks.output_file import refuse_shared_files

    if path.is_dir():
        raise UsageError(f"{path} is a folder; name a file")
    if path.exists() and not path.is_file():
        raise UsageError(f"{path} is no ordinary file; name one")
    refuse_shared_files([path], [read for read in reads if read is not None])
    if path.exists() and not overwrite:
        raise UsageError(f"{path} exists; choose another name or pass --overwrite")
    check_output_folder(path.parent)


def check_output_folder(folder: Path) -> None:
    """Before any work is done for files in a folder, which is made when they are written.

    Raises:
        UsageError: it cannot be made, or not be written into.
    """
    whole = folder.absolute()
    there = next((path for path in (whole, *whole.parents) if path.exists()), whole)
    if not there.is_dir():
        raise UsageError(f"cannot make the folder {folder}: {there} is no folder; choose another")
    if not os.access(there, os.W_OK | os.X_OK):
        raise UsageError(f"cannot write into {there}; choose another folder")


def say(line: str) -> None:
    """Tell a person something on standard error, if it is open; standard output is for results."""
    if sys.stderr is not None:
        print(line, file=sys.stderr, flush=True)


def finish_output() -> None:
    """Write out what was printed: here errors are heard, while Python takes itself down it only complains.

    Raises:
        OSError: standard output takes no more.
    """
    if sys.stdout is not None:
        sys.stdout.flush()


def status_of_broken_output() -> int | None:
    """The exit status after an OSError where standard output or error takes no more; None where both do.

    What they did not take is dropped, or Python would try again at its exit.
    """
    broken: list[OSError] = []
    for stream in (sys.stdout, sys.stderr):
        try:
            # Unbuffered streams keep nothing that flushing could fail on.
            print(end="" if broken else "\n", file=stream, flush=True)
        except OSError as error:
            broken.append(error)
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, stream.fileno())
            os.close(nowhere)
    if not broken:
        return None
    if all(isinstance(error, BrokenPipeError) for error in broken):
        return UNREAD_STATUS
    say(f"error: cannot write to standard output: {broken[0].strerror}")
    return 1
