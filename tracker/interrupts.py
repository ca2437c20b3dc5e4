"""Which signals interrupt a run: Ctrl-C, a polite kill, a closed terminal."""

import signal

INTERRUPTS = tuple(
    number for name in ("SIGINT", "SIGTERM", "SIGHUP") if (number := getattr(signal, name, None)) is not None
)
"""Those that this system has."""


def leave_interrupts_to_the_main_process(worker: int = 0) -> None:
    """In a process that helps another one: a terminal interrupts both, and the other says when it ends.

    It says so with a polite kill, if need be.
    """
    for number in INTERRUPTS:
        signal.signal(number, signal.SIG_DFL if number == signal.SIGTERM else signal.SIG_IGN)
