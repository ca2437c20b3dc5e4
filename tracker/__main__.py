"""Where the program begins, as ``python -m tracker``, ``hand-tracker`` and ``run_live.py``."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def ending_silently() -> Iterator[None]:
    """While the program loads there is nothing to put in order: Ctrl-C ends it without a traceback."""
    if signal.getsignal(signal.SIGINT) is not signal.default_int_handler:  # a shell has it ignored, say
        yield
        return
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGINT, signal.default_int_handler)


def main() -> None:
    """All commands."""
    with ending_silently():
        from tracker import cli
    cli.main()


def live() -> None:
    """The command ``live`` alone."""
    with ending_silently():
        from tracker import cli
    cli.live()


if __name__ == "__main__":
    main()
