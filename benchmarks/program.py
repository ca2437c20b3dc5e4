"""The live command in a process of its own, and what the system says of it."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
STOP_TIMEOUT_S = 15.0


@dataclass(frozen=True)
class Footprint:
    """What a process holds now, and the CPU time it has had; NaN and 0 where the system does not tell."""

    cpu_s: float
    """Of all its threads, also those that ended; in steps of 10 ms."""
    resident_mb: float
    own_mb: float
    """Of it what is of no file: libraries and networks read from disk come and go as the system likes."""
    threads: int
    files: int
    """Open descriptors."""


class LiveProgram:
    """``run_live.py`` with ``arguments``, started in ``folder``; what it says there is kept."""

    def __init__(self, arguments: Sequence[str], folder: Path) -> None:
        self._said = folder / "said.txt"
        with self._said.open("wb") as said:
            self._process = subprocess.Popen(
                [sys.executable, str(REPOSITORY / "run_live.py"), *arguments],
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stderr=said,
            )

    @property
    def runs(self) -> bool:
        """Whether it has not ended."""
        return self._process.poll() is None

    def said(self) -> str:
        """All that it wrote to standard error."""
        return self._said.read_text(errors="replace")

    def footprint(self) -> Footprint:
        """What it holds now."""
        return footprint(self._process.pid)

    def stop(self) -> int:
        """Interrupt it as Ctrl-C does, kill it if it does not end; returns the exit status."""
        if self.runs:
            self._process.send_signal(signal.SIGINT)
            with suppress(subprocess.TimeoutExpired):
                return self._process.wait(STOP_TIMEOUT_S)
            self._process.kill()
        return self._process.wait()


def footprint(pid: int) -> Footprint:
    """What a process holds now."""
    place = Path(f"/proc/{pid}")
    try:
        fields = (place / "stat").read_text().rpartition(")")[2].split()
        resident, shared = map(int, (place / "statm").read_text().split()[1:3])
        files = len(os.listdir(place / "fd"))
    except OSError:
        return Footprint(float("nan"), float("nan"), float("nan"), 0, 0)
    page_mb = os.sysconf("SC_PAGE_SIZE") / 1e6
    ticks = int(fields[11]) + int(fields[12])
    return Footprint(
        cpu_s=ticks / os.sysconf("SC_CLK_TCK"),
        resident_mb=resident * page_mb,
        own_mb=(resident - shared) * page_mb,
        threads=int(fields[17]),
        files=files,
    )


def free_port(kind: socket.SocketKind = socket.SOCK_STREAM) -> int:
    """A port of this machine that nobody uses now."""
    with socket.socket(socket.AF_INET, kind) as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
