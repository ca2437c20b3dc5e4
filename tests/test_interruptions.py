"""Ctrl-C: heard once, at any moment of a run, and never the cause of a traceback or a wrong exit status."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from scripted_runs import wait_or_fail
from small_videos import write_video

from tracker.cli_running import open_interruptibly
from tracker.errors import SourceError

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


HELPER = """
import time
from tracker.interrupts import leave_interrupts_to_the_main_process
leave_interrupts_to_the_main_process()
print("ready", flush=True)
time.sleep(20)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no such signals")
def test_a_helper_leaves_a_terminals_interrupts_to_the_main_process_and_ends_when_that_says_so() -> None:
    with subprocess.Popen([sys.executable, "-c", HELPER], stdout=subprocess.PIPE, text=True) as helper:
        assert helper.stdout is not None and helper.stdout.readline() == "ready\n"
        for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM):
            helper.send_signal(number)
        assert helper.wait(10) == -signal.SIGTERM


def test_every_ctrl_c_but_the_first_is_ignored_to_the_very_end() -> None:
    """A person holds the keys down: through the closing, the last words, and Python's own end."""
    run = subprocess.run([sys.executable, "-c", STOPPED_RUN], capture_output=True, text=True, timeout=30)
    assert (run.returncode, run.stderr) == (7, "")


@pytest.mark.parametrize(
    ("protocol", "number", "command", "status"),
    [
        ("udp", signal.SIGINT, ["live", "--source"], 0),
        ("tcp", signal.SIGTERM, ["live", "--source"], 0),
        ("http", signal.SIGINT, ["live", "--source"], 0),
        ("tcp", signal.SIGINT, ["calibrate-hand", "--distance-m", "0.5", "--fov", "60", "--source"], 130),
    ],
)
def test_ctrl_c_while_a_source_is_opened_ends_the_run_at_once(
    protocol: str, number: signal.Signals, command: list[str], status: int
) -> None:
    """Nobody sends by UDP; by TCP and HTTP somebody accepts and stays silent."""
    with silent_peer(protocol) as (url, reached):
        with subprocess.Popen(
            [sys.executable, "-m", "tracker", *command, url], stderr=subprocess.PIPE, text=True
        ) as run:
            reached(run)
            asked_s = time.monotonic()
            run.send_signal(number)
            _, said = run.communicate(timeout=30)
        took_s = time.monotonic() - asked_s
    assert (run.returncode, said) == (status, "")
    assert took_s < 2.0  # the opening alone would take 5


def test_a_pipe_that_nobody_writes_to_is_said_and_ctrl_c_ends_the_wait(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with subprocess.Popen(
        [sys.executable, "-m", "tracker", "process", str(pipe)], stderr=subprocess.PIPE, text=True
    ) as run:
        assert run.stderr is not None
        assert run.stderr.readline() == f"{pipe} is a pipe: waiting for a program that writes to it\n"
        asked_s = time.monotonic()
        run.send_signal(signal.SIGINT)
        _, said = run.communicate(timeout=30)
    assert (run.returncode, said) == (130, "")
    assert time.monotonic() - asked_s < 2.0


def test_what_opens_after_the_run_was_stopped_is_closed() -> None:
    stopped, closed = threading.Event(), threading.Event()

    class Late:
        def close(self) -> None:
            closed.set()

    def open_late() -> Late:
        signal.raise_signal(signal.SIGINT)
        wait_or_fail(stopped)
        return Late()

    with pytest.raises(KeyboardInterrupt):
        open_interruptibly(open_late)
    assert not closed.is_set()
    stopped.set()
    wait_or_fail(closed)


def test_what_opening_meets_is_raised_to_who_waits() -> None:
    def refuse() -> Any:
        raise SourceError("no such camera")

    with pytest.raises(SourceError, match="no such camera"):
        open_interruptibly(refuse)


@contextmanager
def silent_peer(protocol: str) -> Iterator[tuple[str, Callable[["subprocess.Popen[str]"], None]]]:
    """An address that gives nothing, and what waits until a run has come to it."""
    udp_ports, accepted = Path("/proc/net/udp"), list[socket.socket]()
    if protocol == "udp" and not udp_ports.exists():
        pytest.skip("needs Linux's list of sockets")
    with socket.socket(type=socket.SOCK_DGRAM if protocol == "udp" else socket.SOCK_STREAM) as peer:
        peer.bind(("127.0.0.1", 0))
        port = peer.getsockname()[1]
        if protocol == "udp":
            peer.close()  # the run binds the port itself
        else:
            peer.listen()
            peer.settimeout(30)

        def reached(run: "subprocess.Popen[str]") -> None:
            if protocol != "udp":
                accepted.append(peer.accept()[0])
                return
            while f":{port:04X} " not in udp_ports.read_text():
                assert run.poll() is None
                time.sleep(0.01)

        yield f"{protocol}://127.0.0.1:{port}", reached
    for connection in accepted:
        connection.close()


def waiting_run(url: str, *more: str) -> "subprocess.Popen[str]":
    """A run that has said that it waits."""
    command = [sys.executable, "-m", "tracker", "live", "--wait", "--source", url, *more]
    run = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    assert run.stderr is not None
    line = run.stderr.readline()
    assert line.startswith("waiting for the source: "), line + run.communicate(timeout=30)[1]
    return run


def test_a_stream_that_is_not_there_is_waited_for_until_ctrl_c() -> None:
    with waiting_run(f"tcp://127.0.0.1:{free_port()}") as run:
        time.sleep(1.2)  # more attempts, of which nothing is said
        asked_s = time.monotonic()
        run.send_signal(signal.SIGINT)
        _, said = run.communicate(timeout=30)
    assert (run.returncode, said) == (0, "")
    assert time.monotonic() - asked_s < 2.0


def test_a_stream_that_comes_after_the_start_is_tracked(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    clip = write_video(tmp_path / "clip.ts", frames=30).read_bytes()
    port = free_port()
    with (
        waiting_run(f"tcp://127.0.0.1:{port}", "--max-frames", "3") as run,
        socket.create_server(("127.0.0.1", port)) as sender,
    ):
        sender.settimeout(30)
        peer, _ = sender.accept()
        with peer:
            peer.sendall(clip)
            _, said = run.communicate(timeout=30)
    assert run.returncode == 0 and " frames in " in said, said


@pytest.mark.parametrize("location", ["absent.mp4", "htp://host/x"])
def test_what_cannot_come_is_not_waited_for(location: str, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tracker", "live", "--wait", "--source", location]
    run = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=30)
    assert run.returncode == 2 and run.stderr.startswith("error: ")


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port: int = taken.getsockname()[1]
        return port
