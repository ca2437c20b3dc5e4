"""Clients that come and go, good and bad, for as long as a live run is watched.

Each visit is one function; a good visit that is not served as it should be is a failure and is told. Bad ones
send what no client should, or leave in the middle; all that is asked of them is that they do no harm.
"""

import json
import os
import random
import socket
import struct
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import closing, suppress
from http.client import HTTPConnection, HTTPException

from benchmarks.listening import LineClient, WebSocketClient

JOIN_S = 20.0
LONGEST_STAY_S = 2.0
LONGEST_PAUSE_S = 1.0
"""Until the next visitor comes in place of one that left."""


class Churn:
    """Visitors in threads of their own.

    Args:
        web_port: of ``--serve``.
        lines_port: of ``--tcp``.
        visitors: how many at once.
        seed: of who comes and how long they stay.
        records: visitors switch recordings on and off, too.
    """

    def __init__(
        self, web_port: int, lines_port: int, *, visitors: int, seed: int, records: bool = False
    ) -> None:
        self.web_port, self.lines_port = web_port, lines_port
        self.visits: Counter[str] = Counter()
        self.failures: Counter[str] = Counter()
        self._kinds: list[Visit] = [
            web_socket, web_socket, web_socket, lines, metrics, pages, garbage_to_web, garbage_to_lines,
            half_a_handshake, never_reads, wrong_messages,
        ]  # fmt: skip
        if records:
            self._kinds.append(record)
        self._ended = threading.Event()
        self._resting = threading.Event()
        self._inside = 0
        self._lock = threading.Condition()
        self._threads = [
            threading.Thread(target=self._visit_on, args=(random.Random(seed + number),), daemon=True)
            for number in range(visitors)
        ]
        for thread in self._threads:
            thread.start()

    def rest(self) -> None:
        """Let those that are there leave, and nobody in until ``go_on``."""
        self._resting.set()
        with self._lock:
            self._lock.wait_for(lambda: self._inside == 0, JOIN_S)

    def go_on(self) -> None:
        """Let visitors in."""
        with self._lock:
            self._resting.clear()
            self._lock.notify_all()

    def close(self) -> None:
        """End all visits."""
        self._ended.set()
        self.go_on()
        for thread in self._threads:
            thread.join(JOIN_S)

    def _visit_on(self, chance: random.Random) -> None:
        while not self._ended.wait(chance.uniform(0.0, LONGEST_PAUSE_S)):
            with self._lock:
                self._lock.wait_for(lambda: not self._resting.is_set())
                if self._ended.is_set():
                    return
                self._inside += 1
            visit = chance.choice(self._kinds)
            failure = None
            try:
                visit(self, chance)
            except (OSError, HTTPException, ValueError) as error:
                failure = f"{visit.__name__}: {type(error).__name__}: {error}"
            with self._lock:
                self.visits[visit.__name__] += 1
                if failure is not None:
                    self.failures[failure] += 1
                self._inside -= 1
                self._lock.notify_all()


Visit = Callable[[Churn, random.Random], None]


def web_socket(churn: Churn, chance: random.Random) -> None:
    """Listens for a while with any wishes; leaves with or without a word."""
    wishes: dict[str, object] = {
        "vertices": chance.random() < 0.3,
        "stats": chance.random() < 0.3,
        "preview": chance.random() < 0.3,
        "max_rate_hz": chance.choice([None, 5.0, 15.0]),
        "side": chance.choice([None, "left", "right"]),
    }
    client = WebSocketClient(
        churn.web_port, chance.choice(["hand-track.v1.json", "hand-track.v1.msgpack"]), wishes
    )
    with closing(client):
        _expect_header(client)
        _listen_on(client.socket, chance.uniform(0.1, LONGEST_STAY_S))
        if chance.random() < 0.5:
            client.say_goodbye()
            _listen_on(client.socket, 0.5)


def lines(churn: Churn, chance: random.Random) -> None:
    """Reads JSON lines; the first must be a header."""
    client = LineClient(churn.lines_port, hts=False)
    with closing(client):
        first = client.socket.makefile("rb").readline()
        if json.loads(first)["type"] != "header":
            raise ValueError(f"the first line is {first[:60]!r}")
        _listen_on(client.socket, chance.uniform(0.1, LONGEST_STAY_S))


def metrics(churn: Churn, chance: random.Random) -> None:
    """Scrapes the figures."""
    if b"# TYPE" not in _get(churn.web_port, "/metrics", 200):
        raise ValueError("/metrics gives no figures")


def pages(churn: Churn, chance: random.Random) -> None:
    """Loads the page, or what is not there."""
    place, status = chance.choice([("/", 200), ("/nowhere", 404)])
    _get(churn.web_port, place, status)


def garbage_to_web(churn: Churn, chance: random.Random) -> None:
    """Sends bytes without any meaning."""
    _throw(churn.web_port, chance)


def garbage_to_lines(churn: Churn, chance: random.Random) -> None:
    """Sends bytes without any meaning to the other port."""
    _throw(churn.lines_port, chance)


def half_a_handshake(churn: Churn, chance: random.Random) -> None:
    """Begins a request and leaves."""
    with socket.create_connection(("127.0.0.1", churn.web_port), 5.0) as client:
        client.sendall(b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: webs")
        time.sleep(chance.uniform(0.0, 1.0))


def never_reads(churn: Churn, chance: random.Random) -> None:
    """Asks for all there is, reads nothing of it, and breaks off."""
    client = WebSocketClient(churn.web_port, "hand-track.v1.json", {"vertices": True, "preview": True})
    with closing(client):
        time.sleep(chance.uniform(0.5, LONGEST_STAY_S))
        client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def wrong_messages(churn: Churn, chance: random.Random) -> None:
    """Sends messages that are none; each must be answered by an error and the frames go on."""
    client = WebSocketClient(churn.web_port, "hand-track.v1.json")
    with closing(client):
        _expect_header(client)
        client.say(
            chance.choice([b"{}", b"[1,2", b'{"type":"want","vertices":3}', b'{"type":"no"}', b"x" * 5000])
        )
        end_s = time.monotonic() + 5.0
        for message in client.messages():
            if json.loads(message)["type"] == "error":
                return
            if time.monotonic() > end_s:
                break
        raise ValueError("a wrong message was not answered")


def record(churn: Churn, chance: random.Random) -> None:
    """Switches a recording on, and off a little later."""
    client = WebSocketClient(churn.web_port, "hand-track.v1.json")
    with closing(client):
        client.say(b'{"type":"record","on":true}')
        _listen_on(client.socket, chance.uniform(0.3, LONGEST_STAY_S))
        client.say(b'{"type":"record","on":false}')
        _listen_on(client.socket, 0.2)


def _expect_header(client: WebSocketClient) -> None:
    first = next(client.messages(), b"")
    if b"header" not in first[:40]:
        raise ValueError(f"the first message is {first[:60]!r}")


def _listen_on(client: socket.socket, seconds: float) -> None:
    end_s = time.monotonic() + seconds
    with suppress(TimeoutError):
        while (left_s := end_s - time.monotonic()) > 0:
            client.settimeout(left_s)
            if not client.recv(1 << 16):
                return


def _throw(port: int, chance: random.Random) -> None:
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), 5.0) as client:
        for _ in range(chance.randrange(1, 5)):
            client.sendall(os.urandom(chance.randrange(1, 4000)))
            _listen_on(client, 0.1)


def _get(port: int, place: str, status: int) -> bytes:
    connection = HTTPConnection("127.0.0.1", port, timeout=10.0)
    with closing(connection):
        connection.request("GET", place)
        answer = connection.getresponse()
        body = answer.read()
        if answer.status != status:
            raise ValueError(f"{place} was answered {answer.status}")
        return body
