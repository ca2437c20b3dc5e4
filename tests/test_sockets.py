"""Sockets: nobody at the other end can slow, stop or fill the tracker, and only those who may listen do."""

import json
import logging
import os
import selectors
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scripted_runs import PATIENCE_S, join_or_fail
from tracked_values import CAMERA, some_info, two_hands

from tracker.cli_sockets import SocketOptions
from tracker.errors import SinkError, SinkFailedError, UsageError
from tracker.sinks import Sink, calling, serving
from tracker.sinks.addresses import Address, find_address
from tracker.sinks.calling import Calling
from tracker.sinks.connection import Connection
from tracker.sinks.datagrams import DatagramSink
from tracker.sinks.hts import decode_hands
from tracker.sinks.json_lines import JsonLines
from tracker.sinks.layout import NATIVE, find_layout
from tracker.sinks.newest import Newest
from tracker.sinks.serving import Serving
from tracker.sinks.socket_sink import LAST_WORDS_S, SocketSink
from tracker.sinks.wire import Header, decode_message
from tracker.structs import StreamInfo, TrackedFrame

LOCAL = "127.0.0.1:0"
TOKEN = "correct horse battery staple"


def wait_until(happened: Callable[[], object]) -> None:
    end_s = time.monotonic() + PATIENCE_S
    while not happened():
        assert time.monotonic() < end_s, "what the test waits for did not happen"
        time.sleep(0.002)


class Server:
    """A sink that serves JSON lines, begun, and what the test looks at."""

    def __init__(self, *, token: str | None = None, place: str = LOCAL, max_clients: int = 8) -> None:
        address = find_address(place, option="--tcp", kind=socket.SOCK_STREAM, lowest_port=0)
        self.clients = Serving(address, option="--tcp", token=token, max_clients=max_clients)
        self.sink = SocketSink("--tcp", JsonLines(), self.clients)
        self.sink.begin(some_info())

    def connect(self, *, says: bytes = b"", receive_bytes: int | None = None) -> socket.socket:
        client = socket.socket()
        client.settimeout(PATIENCE_S)
        if receive_bytes is not None:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        client.connect(("127.0.0.1", self.clients.listens_at[1]))
        client.sendall(says)
        return client

    def listening(self) -> int:
        """How many clients are sent frames."""
        return sum(client.connection is not None for client in list(self.clients._clients.values()))


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    yield server
    server.sink.close()


@pytest.fixture
def guarded() -> Iterator[Server]:
    server = Server(token=TOKEN)
    yield server
    server.sink.close()


def is_closed(client: socket.socket) -> bool:
    """Whether the server ends the connection without a word."""
    try:
        return client.recv(1) == b""
    except ConnectionResetError:
        return True


def index_of(line: bytes) -> int:
    frame = decode_message(line)
    assert isinstance(frame, TrackedFrame)
    return frame.frame_index


# JSON lines to clients that connect.


def test_a_client_gets_the_header_and_then_a_line_a_frame(server: Server) -> None:
    with server.connect() as client, client.makefile("rb") as lines:
        header = decode_message(lines.readline())
        assert isinstance(header, Header) and header.info == some_info()
        for index in range(5):
            server.sink.send(two_hands(index), None)
            assert index_of(lines.readline()) == index


def test_a_client_that_comes_later_gets_the_header_and_state_that_hold_and_no_old_frame(
    server: Server,
) -> None:
    server.sink.send(two_hands(0), None)
    server.sink.begin(some_info(replace(CAMERA, fx=400.0)))
    server.sink.notify("lost")
    server.sink.notify("playing")
    server.sink.send(two_hands(1), None)
    with server.connect() as client, client.makefile("rb") as lines:
        header = decode_message(lines.readline())
        assert isinstance(header, Header) and header.info.camera.fx == 400.0
        assert json.loads(lines.readline()) == {"type": "state", "state": "playing"}
        server.sink.send(two_hands(2), None)
        assert index_of(lines.readline()) == 2


def test_a_client_that_never_reads_holds_nobody_up_and_fills_no_memory(server: Server) -> None:
    with (
        server.connect(receive_bytes=4096) as idle,
        server.connect() as reader,
        reader.makefile("rb") as lines,
    ):
        lines.readline()
        longest_s = 0.0
        for index in range(150):  # 1.2 MB, many times what the system keeps for the idle client
            start = time.perf_counter()
            server.sink.send(two_hands(index), None)
            longest_s = max(longest_s, time.perf_counter() - start)
            assert index_of(lines.readline()) == index
        assert longest_s < 0.5
        held = [len(client.connection._left) for client in server.clients._clients.values()]
        assert 0 < max(held) < 20_000, "part of one frame waits, and no more"
        with idle.makefile("rb") as late:
            assert isinstance(decode_message(late.readline()), Header)
            found = [index_of(late.readline())]
            while found[-1] < 149:
                found.append(index_of(late.readline()))
    assert found == sorted(set(found)) and found[0] == 0
    assert len(found) < 100, "frames in between were lost"


def test_clients_come_and_go(server: Server) -> None:
    with server.connect() as stays, stays.makefile("rb") as lines:
        lines.readline()
        for index in range(30):
            with server.connect(receive_bytes=4096):
                server.sink.send(two_hands(index), None)
                assert index_of(lines.readline()) == index

        def alone() -> bool:
            server.sink.send(two_hands(99), None)
            return len(server.clients._clients) == 1

        wait_until(alone)


def test_what_a_client_says_is_thrown_away(server: Server) -> None:
    with server.connect(says=os.urandom(5000) + b"\n{}\n") as client, client.makefile("rb") as lines:
        assert isinstance(decode_message(lines.readline()), Header)
        server.sink.send(two_hands(3), None)
        assert index_of(lines.readline()) == 3


def test_a_client_that_talks_without_end_is_let_go(server: Server) -> None:
    with server.connect() as chatty:
        with suppress(OSError):
            for _ in range(1000):
                chatty.sendall(bytes(4096))
        wait_until(lambda: not server.clients._clients)


def test_a_browser_is_let_go(server: Server) -> None:
    with server.connect() as client, client.makefile("rb") as lines:
        lines.readline()
        client.sendall(b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        assert lines.readline() == b""


def test_a_client_may_close_its_own_side_and_listen_on(server: Server) -> None:
    with server.connect() as client, client.makefile("rb") as lines:
        client.shutdown(socket.SHUT_WR)
        lines.readline()
        wait_until(lambda: not any(c.speaks for c in list(server.clients._clients.values())))
        server.sink.send(two_hands(3), None)
        assert index_of(lines.readline()) == 3


def test_more_clients_than_allowed_are_turned_away_and_those_there_served(
    caplog: pytest.LogCaptureFixture,
) -> None:
    server = Server(max_clients=2)
    with closing(server.sink), server.connect() as one, server.connect() as two:
        wait_until(lambda: server.listening() == 2)
        for _ in range(3):
            with server.connect() as third:
                assert is_closed(third)
        for client in (one, two):
            assert isinstance(decode_message(client.makefile("rb").readline()), Header)
    assert [record.message for record in caplog.records] == ["clients are turned away: there are 2 already"]


def test_who_has_gone_while_no_frame_came_makes_room_for_others() -> None:
    server = Server(max_clients=2)
    with closing(server.sink):
        for _ in range(2):
            with server.connect() as gone, gone.makefile("rb") as lines:
                lines.readline()
        wait_until(lambda: not any(client.speaks for client in list(server.clients._clients.values())))
        assert server.listening() == 2
        with server.connect() as one, server.connect() as two:
            for client in (one, two):
                assert isinstance(decode_message(client.makefile("rb").readline()), Header)


def test_closing_gives_the_last_frame_and_ends_the_connection() -> None:
    server = Server()
    with server.connect() as client, client.makefile("rb") as lines:
        lines.readline()
        server.sink.send(two_hands(7), None)
        server.sink.notify("ended")
        server.sink.close()
        assert index_of(lines.readline()) == 7
        assert json.loads(lines.readline())["state"] == "ended"
        assert lines.readline() == b""
    server.sink.close()
    with pytest.raises(SinkFailedError, match="is closed"):
        server.sink.send(two_hands(8), None)


def test_closing_is_over_soon_though_a_client_reads_nothing() -> None:
    server = Server()
    with server.connect(receive_bytes=4096):
        wait_until(lambda: server.listening() == 1)
        wait_until(lambda: (server.sink.send(two_hands(), None), server.clients.behind)[1])
        start = time.monotonic()
        server.sink.close()
        assert time.monotonic() - start < LAST_WORDS_S + 1.0
    assert not server.sink._thread.is_alive()
    with pytest.raises(ConnectionRefusedError):
        server.connect()


def test_lines_can_be_in_other_joints_and_axes() -> None:
    said: list[str] = []
    layout = find_layout("openxr26", "unity")
    (sink,) = SocketOptions(tcp=LOCAL).open(layout, background=True, say=said.append)
    sink.begin(some_info())
    with closing(sink), socket.create_connection(("127.0.0.1", int(said[0].rpartition(":")[2]))) as client:
        header = json.loads(client.makefile("rb").readline())
    assert (header["skeleton"], header["axes"], len(header["joint_names"])) == ("openxr26", "unity", 26)


def test_a_bug_in_the_sockets_thread_is_heard_of(server: Server) -> None:
    with server.connect() as client:
        client.makefile("rb").readline()
        server.sink.send(replace(two_hands(), capture_time_s=float("nan")), None)
        join_or_fail(server.sink._thread)
    with pytest.raises(ValueError, match="finite time"):
        server.sink.send(two_hands(), None)


# The token.


def test_who_says_the_token_listens(guarded: Server) -> None:
    for ending in (b"\n", b"\r\n", b"\nand more\n"):
        with guarded.connect(says=TOKEN.encode() + ending) as client, client.makefile("rb") as lines:
            assert isinstance(decode_message(lines.readline()), Header)


def test_a_token_may_come_in_pieces(guarded: Server) -> None:
    with guarded.connect() as client:
        for byte in TOKEN.encode() + b"\n":
            client.sendall(bytes([byte]))
        assert isinstance(decode_message(client.makefile("rb").readline()), Header)


@pytest.mark.parametrize(
    "said",
    [
        b"\n",
        b"wrong\n",
        TOKEN[:-1].encode() + b"\n",
        TOKEN.encode() + b" \n",
        b"GET / HTTP/1.1\r\n\r\n",
        bytes(2000),
        b"\xff\xfe\n",
    ],
)
def test_who_says_anything_else_hears_nothing(guarded: Server, said: bytes) -> None:
    guarded.sink.send(two_hands(), None)
    with guarded.connect(says=said) as client:
        assert is_closed(client)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(said=st.binary(max_size=1500))
def test_no_bytes_let_a_stranger_in_or_stop_the_server(guarded: Server, said: bytes) -> None:
    with guarded.connect(says=said) as client:
        with suppress(OSError):
            client.shutdown(socket.SHUT_WR)
        assert is_closed(client)
    assert guarded.sink._thread.is_alive()


def test_who_says_nothing_is_let_go_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serving, "FIRST_LINE_S", 0.05)
    server = Server(token=TOKEN)
    with closing(server.sink), server.connect(says=TOKEN.encode()) as client:  # a line never ended
        assert is_closed(client)


def test_the_token_is_in_no_log_line_and_in_no_description(
    guarded: Server, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    for said in (TOKEN, TOKEN + "x"):
        with guarded.connect(says=said.encode() + b"\n") as client:
            client.recv(1)
    wait_until(lambda: "another token" in caplog.text and "listens" in caplog.text)
    assert TOKEN not in caplog.text
    assert TOKEN not in repr(SocketOptions(token=TOKEN))


@pytest.mark.parametrize("place", ["0.0.0.0:0", "[::]:0", "203.0.113.7:8766"])
def test_listening_where_others_can_connect_needs_a_token(place: str) -> None:
    with pytest.raises(UsageError, match=r"other machines.*--token"):
        SocketOptions(tcp=place).open(NATIVE, background=True, say=print)


def test_hts_clients_can_say_no_token_so_only_this_machine_may_connect() -> None:
    options = SocketOptions(hts_listen="0.0.0.0:0", tcp=LOCAL, token=TOKEN)
    with pytest.raises(UsageError, match=r"--hts-listen .* other machines"):
        options.open(NATIVE, background=True, say=lambda line: None)


def test_listening_everywhere_with_a_token() -> None:
    server = Server(token=TOKEN, place="0.0.0.0:0")
    with closing(server.sink), server.connect(says=TOKEN.encode() + b"\n") as client:
        assert isinstance(decode_message(client.makefile("rb").readline()), Header)


@pytest.mark.parametrize("token", ["", " a", "a\nb"])
def test_a_token_that_no_client_could_say_is_refused(token: str) -> None:
    with pytest.raises(UsageError, match="--token is empty"):
        SocketOptions(tcp=LOCAL, token=token).open(NATIVE, background=True, say=print)


def test_a_token_that_would_protect_nothing_is_refused() -> None:
    with pytest.raises(UsageError, match="there is neither"):
        SocketOptions(hts="127.0.0.1:9000", token=TOKEN).open(NATIVE, background=True, say=print)


# Addresses.


@pytest.mark.parametrize(
    "text",
    ["", "9000", "host", "host:", ":9000", "host:port", "::1:9000", "user@host:1", "http://host:80", "a b:1"],
)
def test_what_is_no_address_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(SinkError, match=r"--hts is .*give HOST:PORT, for example"):
        find_address(text, option="--hts", kind=socket.SOCK_DGRAM)


@pytest.mark.parametrize("port", [0, 65536, 99999])
def test_an_impossible_port_is_refused(port: int) -> None:
    with pytest.raises(SinkError, match="give a port from 1 to 65535"):
        find_address(f"127.0.0.1:{port}", option="--hts", kind=socket.SOCK_DGRAM)


@pytest.mark.parametrize("host", ["no-such-host.invalid", "a" * 70, "a..b"])
def test_a_host_that_is_not_there_is_refused(host: str) -> None:
    with pytest.raises(SinkError, match="there is no host"):
        find_address(f"{host}:9000", option="--hts", kind=socket.SOCK_DGRAM)


def test_of_both_kinds_of_address_a_name_stands_for_the_older_is_taken(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    kinds = [(socket.AF_INET6, ("::1", 9000, 0, 0)), (socket.AF_INET, ("127.0.0.1", 9000))]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: [(k, 0, 0, "", p) for k, p in kinds])
    found = find_address("localhost:9000", option="--hts", kind=socket.SOCK_DGRAM)
    assert (found.family, found.place) == (socket.AF_INET, ("127.0.0.1", 9000))


@pytest.mark.parametrize(
    ("text", "loopback"),
    [
        *((place, True) for place in ("127.0.0.1:1", "127.8.9.1:1", "[::1]:1", "localhost:1")),
        *((place, False) for place in ("0.0.0.0:1", "192.0.2.1:1", "[::]:1", "[2001:db8::1]:1")),
    ],
)
def test_loopback_is_known_from_elsewhere(text: str, loopback: bool) -> None:
    assert find_address(text, option="--tcp", kind=socket.SOCK_STREAM).is_loopback is loopback


def test_a_port_in_use_is_refused_and_what_was_open_is_closed() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        place = f"127.0.0.1:{taken.getsockname()[1]}"
        said: list[str] = []
        with pytest.raises(SinkError, match=f"cannot listen at {place}: another program listens there"):
            SocketOptions(tcp=LOCAL, hts_listen=place).open(NATIVE, background=True, say=said.append)
        (first,) = said
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", int(first.rpartition(":")[2])))


# A peer that we connect to.


class Peer:
    """Somebody who listens at a port, and again later at the same one."""

    def __init__(self, port: int = 0) -> None:
        self.listener = socket.create_server(("127.0.0.1", port))
        self.listener.settimeout(PATIENCE_S)
        self.port = self.listener.getsockname()[1]

    def accept(self) -> socket.socket:
        client, _ = self.listener.accept()
        client.settimeout(PATIENCE_S)
        return client


def calling_sink(port: int) -> Sink:
    (sink,) = SocketOptions(hts_tcp=f"127.0.0.1:{port}").open(NATIVE, background=True, say=print)
    sink.begin(some_info())
    return sink


def feed(sink: Sink, stop: threading.Event) -> threading.Thread:
    def work() -> None:
        index = 0
        while not stop.wait(0.002):
            sink.send(two_hands(index), None)
            index += 1

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    return thread


def free_port() -> int:
    peer = Peer()
    peer.listener.close()
    return int(peer.port)


def test_a_peer_that_is_not_there_yet_goes_and_comes_back_is_found_each_time(
    caplog: pytest.LogCaptureFixture,
) -> None:
    port, stop = free_port(), threading.Event()
    sink = calling_sink(port)
    thread = feed(sink, stop)
    wait_until(lambda: "trying again" in caplog.text)
    for _ in range(3):
        peer = Peer(port)
        with peer.accept() as connected, connected.makefile("rb") as lines:
            text = lines.readline() + lines.readline()
            assert len(decode_hands(text)) == 1
        peer.listener.close()
    stop.set()
    join_or_fail(thread)
    sink.close()
    lines_said = [record.message for record in caplog.records]
    assert lines_said[0] == f"127.0.0.1:{port}: Connection refused; trying again"
    assert lines_said[1] == f"127.0.0.1:{port} is there"
    assert len(lines_said) <= 7, "said when it goes and when it comes, not at each attempt"


def test_a_peer_that_never_reads_loses_frames_and_is_not_waited_for_at_the_end() -> None:
    peer = Peer()
    peer.listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    sink = calling_sink(peer.port)
    with peer.accept():
        assert isinstance(sink, SocketSink)
        wait_until(lambda: (sink.send(two_hands(), None), sink._peers.behind)[1])
        start = time.monotonic()
        for index in range(100):
            sink.send(two_hands(index), None)
        assert time.monotonic() - start < 0.5
        start = time.monotonic()
        sink.close()
        assert time.monotonic() - start < LAST_WORDS_S + 1.0
        assert not sink._thread.is_alive()
    peer.listener.close()


def test_frames_that_came_while_the_peer_was_away_are_not_sent_late() -> None:
    port = free_port()
    sink = calling_sink(port)
    for index in range(5):
        sink.send(two_hands(index), None)
    peer = Peer(port)
    with closing(sink), peer.accept() as connected, connected.makefile("rb") as lines:
        assert isinstance(sink, SocketSink)
        wait_until(lambda: sink._peers._connection is not None)  # type: ignore[attr-defined]
        sink.send(two_hands(5), None)
        assert b"| f = 5 |" in lines.readline()
    peer.listener.close()


def test_what_a_peer_says_is_thrown_away() -> None:
    peer, stop = Peer(), threading.Event()
    sink = calling_sink(peer.port)
    with closing(sink), peer.accept() as connected, connected.makefile("rb") as lines:
        connected.sendall(os.urandom(50_000))
        thread = feed(sink, stop)
        for _ in range(5):
            assert len(decode_hands(lines.readline() + lines.readline())) == 1
        stop.set()
        join_or_fail(thread)
    peer.listener.close()


def test_attempts_come_at_growing_distances_and_an_attempt_has_an_end() -> None:
    caller = Calling(Address("nobody", socket.AF_INET, ("127.0.0.1", free_port())))
    newest, now_s, waits = Newest(JsonLines()), 0.0, []
    with selectors.DefaultSelector() as selector:
        for _ in range(8):
            due_s = caller.attend([], selector, newest, now_s)
            if due_s == now_s + calling.CONNECT_S:  # the answer is on its way
                due_s = caller.attend(selector.select(PATIENCE_S), selector, newest, now_s)
            waits.append(round(due_s - now_s, 3))
            now_s = due_s
        assert waits == [0.1, 0.2, 0.4, 0.8, 1.6, 1.6, 1.6, 1.6]
        start_s = now_s
        caller.attend([], selector, newest, now_s)
        now_s += calling.CONNECT_S  # and no answer: given up
        assert caller.attend([], selector, newest, now_s) > now_s > start_s
        assert caller._socket is None and not selector.get_map()
        caller.close()


# Datagrams.


def test_datagrams_that_the_network_does_not_take_are_said_once_and_trouble_nobody(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class NoNetwork:
        def sendto(self, *_: object) -> None:
            raise OSError(101, "Network is unreachable")

        def close(self) -> None:
            pass

    sink = DatagramSink(find_address("127.0.0.1:9", option="--hts", kind=socket.SOCK_DGRAM))
    sink.close()
    sink._socket = NoNetwork()  # type: ignore[assignment]
    sink.begin(some_info())
    for index in range(3):
        sink.send(two_hands(index), None)
    sink.close()
    assert [record.message for record in caplog.records] == [
        "cannot send to 127.0.0.1:9: Network is unreachable; trying on"
    ]


def test_datagrams_to_nobody_trouble_nobody() -> None:
    sink = DatagramSink(find_address(f"127.0.0.1:{free_port()}", option="--hts", kind=socket.SOCK_DGRAM))
    sink.begin(some_info())
    for index in range(20):
        sink.send(two_hands(index), None)
    sink.close()


# The newest of everything, without sockets.


class Plain:
    """Messages as words."""

    def header(self, info: StreamInfo) -> bytes:
        return f"header {info.source};".encode()

    def frame(self, tracked: TrackedFrame, info: StreamInfo) -> bytes:
        return f"{tracked.frame_index} of {info.source};".encode()

    def state(self, state: str) -> bytes:
        return f"{state};".encode()


def test_what_was_replaced_is_skipped_and_the_rest_comes_in_order() -> None:
    newest = Newest(Plain())
    assert newest.greeting() == (b"", 0)
    newest.begin(some_info(source="a"))
    newest.send(two_hands(0))
    text, number = newest.after(0)
    assert text == b"header a;0 of a;"
    assert newest.after(number) == (b"", number)
    newest.send(two_hands(1))
    newest.notify("lost")
    newest.notify("playing")
    newest.begin(some_info(source="b"))
    newest.send(two_hands(2))
    assert newest.after(number)[0] == b"playing;header b;2 of b;"
    assert newest.greeting()[0] == b"playing;header b;"


def test_no_frame_comes_under_a_header_that_is_not_its_own() -> None:
    newest = Newest(Plain())
    newest.begin(some_info(source="a"))
    newest.send(two_hands(0))
    newest.begin(some_info(source="b"))
    assert newest.after(0)[0] == b"header b;"


def test_each_message_is_spelled_once_for_all() -> None:
    calls = []

    class Counting(Plain):
        def frame(self, tracked: TrackedFrame, info: StreamInfo) -> bytes:
            calls.append(tracked.frame_index)
            return b"."

    newest = Newest(Counting())
    newest.begin(some_info())
    for index in range(3):
        newest.send(two_hands(index))
    assert calls == [], "nobody wants them"
    for _ in range(100):
        newest.after(1)
    assert calls == [2]


def test_a_message_once_begun_is_sent_whole() -> None:
    sending, receiving = socket.socketpair()
    with sending, receiving:
        receiving.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        newest = Newest(JsonLines())
        newest.begin(some_info())
        connection = Connection(sending, newest)
        index = 0
        while not connection.send():
            newest.send(two_hands(index))
            index += 1
        newest.send(two_hands(1000))
        receiving.setblocking(False)
        received = b""
        while connection.send() or not received.endswith(b"\n"):
            with suppress(BlockingIOError):
                received += receiving.recv(1 << 16)
        with suppress(BlockingIOError):
            while chunk := receiving.recv(1 << 16):
                received += chunk
    lines = received.splitlines()
    assert isinstance(decode_message(lines[0]), Header)
    assert [index_of(line) for line in lines[1:]] == [*range(index), 1000]
