"""What a long live run consists of beside the tracker: a camera that goes away, a client that stays."""

import random
import signal
import subprocess
import threading
import time
from pathlib import Path

from benchmarks.listening import Arrival, WebSocketClient
from benchmarks.restarts import start_sender

FIRST_FRAME_S = 30.0
AWAY_S = (1.0, 4.0)
"""How long the camera stays away after it was killed."""
STALLED_S = (6.0, 9.0)
"""How long it stalls: longer than the source waits for data."""


class Listener:
    """The client that listens all the time, in a thread of its own."""

    def __init__(self, port: int) -> None:
        self._client = WebSocketClient(port, "hand-track.v1.json")
        self._client.socket.settimeout(60.0)
        self._lock = threading.Condition()
        self._new: list[Arrival] = []
        self._frames = 0
        self.last_frame_s = float("-inf")
        self.states: list[str] = []
        self.cut_off: str | None = None
        self._closing = False
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def take(self) -> list[Arrival]:
        """The frames since the last call."""
        with self._lock:
            new, self._new = self._new, []
            return new

    def wait_for_frame(self, after_s: float, seconds: float) -> float | None:
        """When the first frame arrived that was captured after ``after_s``; None where none came in time."""
        with self._lock:
            self._lock.wait_for(lambda: self.last_frame_s > after_s or self._closing, seconds)
            return self.last_frame_s if self.last_frame_s > after_s else None

    def close(self) -> None:
        """Leave."""
        with self._lock:
            self._closing = True
            self._lock.notify_all()
        self._client.close()

    def _run(self) -> None:
        try:
            for arrival in self._client.arrivals():
                with self._lock:
                    if arrival.state is not None:
                        self.states.append(arrival.state)
                        continue
                    self._new.append(arrival)
                    self.last_frame_s = arrival.capture_time_s
                    self._lock.notify_all()
            reason = "the server closed the connection"
        except (OSError, ValueError) as error:
            reason = str(error)
        if not self._closing:
            self.cut_off = reason


class Camera(threading.Thread):
    """The sender's process, now and then killed or stopped.

    Args:
        clip: what it sends, as MPEG-TS.
        port: where it listens.
        restart_every_s: how often it goes away; None for never.
        seed: of how long it is away.
    """

    def __init__(self, clip: Path, port: int, restart_every_s: float | None, seed: int) -> None:
        super().__init__(daemon=True)
        self._clip, self._port, self._every_s = clip, port, restart_every_s
        self._chance = random.Random(seed)
        self._ended = threading.Event()
        self._process = self._send()
        self.listener: Listener | None = None
        self.kills_s: list[float | None] = []
        """After each kill, from the sender's return to a frame at the client; None where none came."""
        self.stalls_s: list[float | None] = []
        """The same after each stall."""

    def run(self) -> None:
        """Go away and come back until closed."""
        if self._every_s is None:
            return
        while not self._ended.wait(self._every_s):
            if len(self.kills_s) <= len(self.stalls_s):
                self.kills_s.append(self._kill())
            else:
                self.stalls_s.append(self._stall())

    def close(self) -> None:
        """End the sender."""
        self._ended.set()
        if self.ident is not None:
            self.join(60.0)
        self._process.kill()
        self._process.wait()

    def _kill(self) -> float | None:
        self._process.kill()
        self._process.wait()
        self._ended.wait(self._chance.uniform(*AWAY_S))
        self._process = self._send()
        return self._time_to_return()

    def _stall(self) -> float | None:
        self._process.send_signal(signal.SIGSTOP)
        self._ended.wait(self._chance.uniform(*STALLED_S))
        self._process.send_signal(signal.SIGCONT)
        return self._time_to_return()

    def _time_to_return(self) -> float | None:
        back_s = time.monotonic()
        assert self.listener is not None
        captured_s = self.listener.wait_for_frame(back_s, FIRST_FRAME_S)
        return None if captured_s is None else captured_s - back_s

    def _send(self) -> "subprocess.Popen[str]":
        return start_sender("tcp", self._port, self._clip)[0]
