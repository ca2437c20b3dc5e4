"""Ctrl-C: heard once, at any moment of a run, and never the cause of a traceback or a wrong exit status."""

import os
import subprocess
import sys

import pytest

pytestmark = pytest.mark.skipif(os.name == "nt", reason="signals as on POSIX")

STOPPED_RUN = """
import atexit, os, signal, sys, threading, time
from tracker.cli_running import interruptible

me, done = os.getpid(), threading.Event()

def impatient():
    while not done.wait(0.003):
        os.kill(me, signal.SIGINT)

class Late:
    def __del__(self):
        time.sleep(0.1)

late = Late()
atexit.register(time.sleep, 0.1)
status = None
try:
    with interruptible():
        threading.Thread(target=impatient, daemon=True).start()
        try:
            time.sleep(20)
        except KeyboardInterrupt:
            status = 7
        time.sleep(0.1)
    time.sleep(0.1)
finally:
    sys.exit(status)
"""


def test_every_ctrl_c_but_the_first_is_ignored_to_the_very_end() -> None:
    """A person holds the keys down: through the closing, the last words, and Python's own end."""
    run = subprocess.run([sys.executable, "-c", STOPPED_RUN], capture_output=True, text=True, timeout=30)
    assert (run.returncode, run.stderr) == (7, "")
