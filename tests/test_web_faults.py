"""Peers of the live server that speak nonsense, break off or come in crowds: the others notice nothing."""

import json
import os
import random
import socket
import ssl
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest
from scripted_runs import PATIENCE_S
from tracked_values import two_hands
from web_server import TOKEN, Server, read_to_end, upgrade_request, wait_until
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from tracker.cli_web import tls_context
from tracker.errors import UsageError
from tracker.web import client as client_module
from tracker.web import connections, hearing
from tracker.web import listener as listener_module
from tracker.web import server as server_module
from tracker.web.listener import _Crowd
from tracker.web.pages import Pages
from tracker.web.server import MAX_CLIENTS

FUZZED_MESSAGES = int(os.environ.get("FUZZED_MESSAGES", "1000"))
"""How many client messages the fuzz test sends; 10000 is its long form."""
FUZZING_CLIENTS = 8


@pytest.fixture
def server() -> Iterator[Server]:
    with Server(preview=True) as server:
        yield server


def is_well(server: Server) -> None:
    """Fail unless a new client is sent the header and the next frame."""
    with server.connect() as client:
        assert client.hear()["type"] == "header"
        server.sink.send(two_hands(77), None)
        assert client.hear_type("frame")["frame"] == 77


# Messages.


def fuzzed(chance: random.Random) -> str | bytes:
    """A message that a client might send by mistake or malice: near a valid one, or nowhere near."""
    valid: list[object] = [
        {"type": "token", "token": "x" * chance.randrange(60)},
        {"type": "want", "vertices": chance.random() < 0.5, "stats": chance.choice([True, False, None, 1])},
        {"type": "want", "max_rate_hz": chance.choice([1, 1e-300, 0, -1, 1e308, "fast", None, 2**70])},
        {"type": "want", "side": chance.choice(["left", "right", "both", None, 0, []]), "preview": True},
        {"type": "record", "on": chance.choice([True, False, None, "on", {}])},
        {"type": chance.choice(["want", "frame", "error", "", None])},
        [[[]]] * chance.randrange(5),
    ]
    message: object = chance.choice(valid)
    spoken = (
        json.dumps(message).encode() if chance.random() < 0.6 else msgspec.msgpack.encode(_small(message))
    )
    raw = bytearray(spoken)
    match chance.randrange(6):
        case 0:
            raw = bytearray(chance.randbytes(chance.randrange(200)))
        case 1:
            del raw[chance.randrange(len(raw)) :]
        case 2:
            for _ in range(chance.randrange(1, 5)):
                raw[chance.randrange(len(raw))] = chance.randrange(256)
        case 3:
            raw = bytearray(chance.choice([b"[", b'{"a":', b"\x91", b"\x81\xa1a"]) * chance.randrange(5000))
    if chance.random() < 0.5:
        return bytes(raw)
    return raw.decode("utf-8", "replace")


def _small(message: object) -> object:
    """The same without numbers that MessagePack has no place for."""
    if isinstance(message, dict) and message.get("max_rate_hz") == 2**70:
        return message | {"max_rate_hz": 2**60}
    return message


def test_fuzzed_messages_are_answered_or_obeyed_and_harm_nobody(server: Server) -> None:
    chance = random.Random(5)
    peers = [server.connect() for _ in range(FUZZING_CLIENTS)]
    with server.connect() as other:
        other.hear()
        for index in range(FUZZED_MESSAGES // FUZZING_CLIENTS):
            for peer in peers:
                peer.connection.send(fuzzed(chance))
            if index % 10 == 0:
                server.sink.send(two_hands(index), None)
                assert other.hear()["frame"] == index
    for peer in peers:  # all was heard: a wish after it is followed
        peer.want(max_rate_hz=1000.0)
        with peer:
            server.sink.send(two_hands(10**6), None)
            while peer.hear_type("frame")["frame"] != 10**6:
                pass
    assert server.sink._failure is None
    is_well(server)


def test_a_flood_of_messages_is_heard_at_a_bounded_rate(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server_module, "MESSAGES_PER_S", 200.0)
    monkeypatch.setattr(server_module, "MESSAGES_AT_ONCE", 20.0)
    with server.connect() as flood:
        start = time.monotonic()
        for _ in range(100):
            flood.connection.send('{"type":"want"}')
        flood.connection.send("?")
        flood.hear_type("error")
        assert time.monotonic() - start > 0.9 * (100 - 20) / 200
    is_well(server)


def test_answers_to_a_client_that_never_reads_are_not_saved_up(server: Server) -> None:
    idle = server.raw(server.upgrade(), receive_bytes=4096)
    wait_until(lambda: server.clients == 1)
    (client,) = server.sink._server._clients
    frame = b"\x81\x84\x00\x00\x00\x00oops"  # masked by zeros
    for index in range(60):
        idle.sendall(frame)
        server.sink.send(two_hands(index), None)
        time.sleep(0.002)
    assert client.connection.transport.get_write_buffer_size() < 50_000
    idle.close()
    is_well(server)


def test_a_message_that_is_too_long_ends_its_connection(server: Server) -> None:
    with server.connect() as client:
        client.hear()
        client.connection.send(b"x" * (connections.MAX_MESSAGE_BYTES + 1))
        with pytest.raises(ConnectionClosed) as closed:
            client.hear()
        assert closed.value.rcvd is not None and closed.value.rcvd.code == 1009
    is_well(server)


# Bytes.

BYTES_AFTER_THE_HANDSHAKE: dict[str, bytes] = {
    "half a frame": b"\x81\xfe\x00\x50\x01\x02\x03\x04abc",
    "a frame that is not masked": b"\x81\x04oops",
    "a reserved opcode": b"\x83\x80\x00\x00\x00\x00",
    "reserved bits": b"\xf1\x80\x00\x00\x00\x00",
    "a length of 2^63": b"\x82\xff\xff\xff\xff\xff\xff\xff\xff\xff",
    "a continuation of nothing": b"\x80\x80\x00\x00\x00\x00",
    "a long ping": b"\x89\xfe\x01\x00\x00\x00\x00\x00" + b"x" * 256,
    "text that is no UTF-8": b"\x81\x82\x00\x00\x00\x00\xff\xfe",
    "a close frame of one byte": b"\x88\x81\x00\x00\x00\x00\x01",
    "HTTP": b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
}


@pytest.mark.parametrize("said", BYTES_AFTER_THE_HANDSHAKE.values(), ids=BYTES_AFTER_THE_HANDSHAKE)
def test_garbage_after_the_handshake_harms_nobody_else(server: Server, said: bytes) -> None:
    with server.raw(server.upgrade()) as peer:
        assert peer.recv(12) == b"HTTP/1.1 101"
        peer.sendall(said)
        is_well(server)
        peer.shutdown(socket.SHUT_WR)
        read_to_end(peer)
    wait_until(lambda: server.clients == 0)


@pytest.mark.parametrize(
    "said",
    [
        b"",
        b"\r\n",
        b"GET",
        b"GET / HTTP/1.1\r\nHost: loc",
        b"\x16\x03\x01\x02\x00\x01\x00",  # a TLS client
        b"\x00" * 1000,
        b"GET " + b"/" * 100_000 + b" HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 10_000,
        b"GET / HTTP/1.1\r\nA: " + b"b" * 100_000,
        b"GET / HTTP/0.9\r\n\r\n",
        b"GET / HTTP/1.1\r\nUpgrade: websocket\r\n\r\n",
        b"GET /\xff HTTP/1.1\r\nHost: localhost\r\n\r\n",
    ],
    ids=range(12),
)
def test_garbage_instead_of_a_request_harms_nobody_else(server: Server, said: bytes) -> None:
    with server.raw(said) as peer:
        is_well(server)
        peer.shutdown(socket.SHUT_WR)
        assert not read_to_end(peer).startswith((b"HTTP/1.1 2", b"HTTP/1.1 101"))
    wait_until(lambda: server.sink._listener.open == 0)


def test_a_handshake_in_pieces_is_a_handshake(server: Server) -> None:
    request = server.upgrade()
    with server.raw(request[:1]) as peer:
        for start in range(1, len(request), 7):
            peer.sendall(request[start : start + 7])
            time.sleep(0.001)
        assert peer.recv(12) == b"HTTP/1.1 101"


def test_bytes_of_chance_harm_nobody_else(server: Server) -> None:
    chance = random.Random(6)
    for _ in range(40):
        peer = server.raw(server.upgrade() if chance.random() < 0.5 else b"")
        peer.sendall(chance.randbytes(chance.randrange(1, 400)))
        peer.close()
    is_well(server)
    wait_until(lambda: server.clients == 0 and server.sink._listener.open == 0)


# Crowds, and peers that never come so far.


def test_a_peer_that_sends_no_request_is_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "HEADERS_S", 0.1)
    with Server() as server:
        peers = [server.raw(b""), server.raw(b"GET / HTTP/1.1\r\n")]
        for peer in peers:
            assert read_to_end(peer) == b""
            peer.close()
        wait_until(lambda: server.sink._listener.open == 0)


def test_a_client_that_takes_nothing_is_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_module, "STUCK_S", 0.1)
    monkeypatch.setattr(server_module, "STATS_S", 0.1)
    with Server() as server, server.raw(server.upgrade(), receive_bytes=4096) as idle:
        wait_until(lambda: server.clients == 1)
        for index in range(100):
            server.sink.send(two_hands(index), None)
            time.sleep(0.001)
        wait_until(lambda: server.clients == 0)
        assert idle.fileno() >= 0
        is_well(server)


def test_a_quiet_client_of_a_quiet_source_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_module, "STUCK_S", 0.1)
    monkeypatch.setattr(server_module, "STATS_S", 0.05)
    with Server() as server, server.connect() as client:
        client.hear()
        time.sleep(0.4)
        server.sink.send(two_hands(), None)
        assert client.hear()["type"] == "frame"


def test_more_clients_than_may_come_are_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_module, "MAX_CLIENTS", 3)
    with Server() as server:
        peers = [server.raw(server.upgrade()) for _ in range(3)]
        wait_until(lambda: server.clients == 3)
        with server.raw(server.upgrade()) as fourth:
            answer = read_to_end(fourth)
            assert answer.startswith(b"HTTP/1.1 503 ") and b"too many clients" in answer
        peers.pop().close()
        wait_until(lambda: server.clients == 2)
        is_well(server)
        for peer in peers:
            peer.close()


def flood(server: Server, peers: int, said: bytes) -> list[socket.socket]:
    """Connections that have said something, and then say nothing."""
    crowd = []
    for _ in range(peers):
        peer = server.raw(b"")
        with suppress(OSError):  # it was let go already
            peer.sendall(said)
        crowd.append(peer)
    return crowd


FLOODS: dict[str, tuple[bytes, dict[str, str]]] = {
    "nothing": (b"", {}),
    "half requests": (b"GET / HTTP/1.1\r\nHost: lo", {}),
    "half requests, with a token": (b"GET / HTTP/1.1\r\nHost: lo", {"token": TOKEN}),
    "pages that nobody reads": (b"GET /three.min.js HTTP/1.1\r\nHost: localhost\r\n\r\n", {}),
    "clients that do not say the token": (upgrade_request("localhost"), {"token": TOKEN}),
}


@pytest.mark.parametrize(("said", "options"), FLOODS.values(), ids=FLOODS)
def test_a_flood_that_never_becomes_clients_keeps_nobody_out(
    said: bytes, options: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for module, limit in ((connections, "HEADERS_S"), (hearing, "TOKEN_S"), (server_module, "FAREWELL_S")):
        monkeypatch.setattr(module, limit, 60.0)  # the flood does not end by itself
    for limit in ("MAX_WAITING", "MAX_ASKING"):
        monkeypatch.setattr(listener_module, limit, 40)
    headers = {"Authorization": f"Bearer {TOKEN}"} if options else {}
    with Server(**options) as server, server.connect(additional_headers=headers) as client:
        assert client.hear()["type"] == "header"
        crowd = flood(server, 60, said)
        for index in range(5):
            server.sink.send(two_hands(index), None)
            assert server.get("/healthz")[0] == 200
            assert client.hear()["frame"] == index
            crowd += flood(server, 20, said)
        with server.connect(additional_headers=headers) as late:
            assert late.hear()["type"] == "header"
        assert server.sink._listener.open <= 2 * 40 + 2
        for peer in crowd:
            peer.close()
        wait_until(lambda: server.sink._listener.open == 1)


def test_the_host_with_the_most_connections_makes_room() -> None:
    crowd = _Crowd(limit=4)
    places = [("10.0.0.9", 1), *(("10.0.0.5", port) for port in range(6))]
    pairs = [socket.socketpair() for _ in places]
    for place, (ours, theirs) in zip(places, pairs, strict=True):
        theirs.setblocking(False)
        crowd.add(place, ours)
    ended = []
    for place, (_, theirs) in zip(places, pairs, strict=True):
        with suppress(BlockingIOError):
            ended.append((place, theirs.recv(1)))
    assert ended == [(("10.0.0.5", port), b"") for port in range(3)]
    for pair in pairs:
        for end in pair:
            end.close()


def test_200_programs_at_once_are_let_in_or_told_why_not() -> None:
    with Server() as server:
        peers = [server.raw(b"") for _ in range(200)]
        for peer in peers:
            peer.sendall(server.upgrade())
        answers = [peer.recv(12) for peer in peers]
        assert answers.count(b"HTTP/1.1 101") == MAX_CLIENTS
        refused = [peer for peer, answer in zip(peers, answers, strict=True) if answer != b"HTTP/1.1 101"]
        assert all(answer == b"HTTP/1.1 503" for answer in answers if answer != b"HTTP/1.1 101") and all(
            b"too many clients" in read_to_end(peer) for peer in refused
        )
        for peer in peers:
            peer.close()


def test_a_page_beyond_the_last_place_is_told_so_and_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_module, "MAX_CLIENTS", 1)
    with Server() as server, server.connect() as client:
        assert client.hear()["type"] == "header"
        with server.connect(origin=f"http://127.0.0.1:{server.port}") as page:
            assert "too many clients" in page.hear()["message"]
            with pytest.raises(ConnectionClosed) as closed:
                page.hear()
        assert closed.value.rcvd is not None and closed.value.rcvd.code == server_module.TOO_MANY_CLIENTS
        assert server.clients == 1


def test_clients_without_the_token_take_their_places_for_a_while_only(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(server_module, "MAX_CLIENTS", 3)
    monkeypatch.setattr(hearing, "TOKEN_S", 0.2)
    with Server(token=TOKEN) as server:
        peers = [server.raw(server.upgrade()) for _ in range(3)]
        for peer in peers:
            assert b"no token came" in read_to_end(peer)
            peer.close()
        with server.connect(additional_headers={"Authorization": f"Bearer {TOKEN}"}) as client:
            assert client.hear()["type"] == "header"


def test_small_messages_leave_at_once(server: Server) -> None:
    """A socket that waits to fill a packet (Nagle) holds every second message back by up to 40 ms."""
    with server.connect() as client:
        client.hear()
        for connection in server.sink._server._connections:
            own = connection.transport.get_extra_info("socket")
            assert own.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
            assert own.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF) < 1 << 18


# Recordings on a client's wish.


def test_a_client_switches_a_recording_and_hears_what_came_of_it() -> None:
    wishes: list[bool] = []
    with Server(switch_recording=wishes.append) as server, server.connect() as client:
        client.want(stats=True)
        client.say(type="record", on=True)
        wait_until(lambda: wishes == [True])
        server.sink.recording_is("hands.jsonl")
        assert client.hear_type("stats")["recording"] == "hands.jsonl"
        server.sink.recording_is(None, "the disk is full")
        assert client.hear_type("error")["message"] == "the disk is full"
        assert client.hear_type("stats")["recording"] is None


def test_recordings_begin_once_a_second_and_end_at_any_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_module, "RECORDING_S", 0.3)
    wishes: list[bool] = []
    with Server(switch_recording=wishes.append) as server, server.connect() as client:
        for _ in range(20):
            client.say(type="record", on=True)
            client.say(type="record", on=False)
        client.want()
        assert wishes.count(True) == 1 and wishes.count(False) == 20
        client.say(type="record", on=True)
        assert "ask again" in client.hear_type("error")["message"]
        time.sleep(0.35)
        client.say(type="record", on=True)
        client.want()
        assert wishes.count(True) == 2


def test_without_a_switch_a_recording_is_refused(server: Server) -> None:
    with server.connect() as client:
        client.say(type="record", on=True)
        assert "cannot be switched" in client.hear_type("error")["message"]


# TLS.


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A certificate for localhost and its key."""
    folder = tmp_path_factory.mktemp("tls")
    certificate, key = folder / "certificate.pem", folder / "key.pem"
    command = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:prime256v1",
        "-nodes",
    ]
    command += [
        "-subj",
        "/CN=localhost",
        "-addext",
        "subjectAltName=DNS:localhost,IP:127.0.0.1",
        "-days",
        "2",
    ]
    try:
        subprocess.run([*command, "-keyout", key, "-out", certificate], check=True, capture_output=True)
    except FileNotFoundError:
        pytest.skip("openssl, which makes a certificate, is not installed")
    return certificate, key


def test_clients_over_tls_are_greeted_every_time(certificate: tuple[Path, Path]) -> None:
    """With a write limit of 0 one in four waited for ever behind an empty buffer."""
    trust = ssl.create_default_context(cafile=str(certificate[0]))
    with Server(tls=tls_context(*certificate)) as server:
        for index in range(15):
            with connect(f"wss://localhost:{server.port}/", ssl=trust, proxy=None) as client:
                assert '"header"' in client.recv(timeout=PATIENCE_S)[:20]
                server.sink.send(two_hands(index), None)
                assert f'"frame":{index}' in client.recv(timeout=PATIENCE_S)[:40]


def test_everything_is_encrypted_where_a_certificate_is_given(certificate: tuple[Path, Path]) -> None:
    trust = ssl.create_default_context(cafile=str(certificate[0]))
    with (
        Server(tls=tls_context(*certificate)) as server,
        connect(
            f"wss://localhost:{server.port}/",
            ssl=trust,
            proxy=None,
            origin=f"https://localhost:{server.port}",  # type: ignore[arg-type]
        ) as client,
    ):
        assert '"header"' in client.recv(timeout=PATIENCE_S)[:20]
        server.sink.send(two_hands(), None)
        assert '"frame"' in client.recv(timeout=PATIENCE_S)[:20]
        with server.raw(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n") as plain:
            assert b"ok" not in read_to_end(plain)


def read_slowly(peer: socket.socket) -> bytes:
    """All that comes, over a second or more."""
    heard = b""
    while said := peer.recv(1 << 14):
        heard += said
        time.sleep(0.02)
    return heard


@pytest.mark.parametrize("encrypted", [False, True], ids=["plain", "tls"])
def test_a_large_page_comes_whole_to_a_slow_browser(
    certificate: tuple[Path, Path], tmp_path: Path, encrypted: bool
) -> None:
    """Phones on a weak network: what is on its way when the server is done must not be cut off."""
    content = random.Random(7).randbytes(700_000)
    (tmp_path / "large.js").write_bytes(content)
    with Server(tls=tls_context(*certificate) if encrypted else None) as server:
        inside = server.sink._server
        inside._routes = replace(inside._routes, pages=Pages.of(tmp_path))
        with socket.socket() as plain:
            plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16384)
            plain.settimeout(PATIENCE_S)
            plain.connect(("127.0.0.1", server.port))
            trust = ssl.create_default_context(cafile=str(certificate[0]))
            peer = trust.wrap_socket(plain, server_hostname="localhost") if encrypted else plain
            peer.sendall(b"GET /large.js HTTP/1.1\r\nHost: localhost\r\n\r\n")
            answer = read_slowly(peer)
            peer.close()
    assert answer.partition(b"\r\n\r\n")[2] == content


def test_tls_handshakes_that_never_end_are_counted_and_let_go(
    certificate: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server_module, "TLS_S", 0.3)
    with Server(tls=tls_context(*certificate)) as server:
        peers = [server.raw(b"") for _ in range(5)]
        wait_until(lambda: server.sink._listener.open == 5)
        wait_until(lambda: server.sink._listener.open == 0)
        for peer in peers:
            peer.close()


def swapped(certificate: Path, key: Path, folder: Path) -> tuple[Path, Path]:
    return key, certificate


def missing(certificate: Path, key: Path, folder: Path) -> tuple[Path, Path]:
    return certificate, folder / "nowhere.pem"


def a_folder(certificate: Path, key: Path, folder: Path) -> tuple[Path, Path]:
    return folder, key


def no_pem(certificate: Path, key: Path, folder: Path) -> tuple[Path, Path]:
    (folder / "noise").write_bytes(b"\x00noise")
    return folder / "noise", folder / "noise"


def with_password(certificate: Path, key: Path, folder: Path) -> tuple[Path, Path]:
    locked = folder / "locked.pem"
    subprocess.run(
        ["openssl", "ec", "-in", key, "-aes128", "-passout", "pass:secret", "-out", locked],
        check=True,
        capture_output=True,
    )
    return certificate, locked


def of_another(certificate: Path, key: Path, folder: Path) -> tuple[Path, Path]:
    other = folder / "other.pem"
    command = ["openssl", "genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:prime256v1"]
    subprocess.run([*command, "-out", other], check=True, capture_output=True)
    return certificate, other


def cut_off(certificate: Path, key: Path, folder: Path) -> tuple[Path, Path]:
    half = folder / "half.pem"
    half.write_bytes(key.read_bytes()[:80])
    return certificate, half


@pytest.mark.parametrize(
    ("files", "said"),
    [
        (swapped, "the certificate comes first"),
        (missing, "is not there"),
        (a_folder, "is not there or cannot be read"),
        (no_pem, "noise is no certificate in PEM"),
        (with_password, "locked.pem needs a password"),
        (of_another, "other.pem is not the key of the certificate"),
        (cut_off, "half.pem is damaged"),
    ],
)
def test_files_that_are_no_certificate_and_key_are_one_clear_line(
    certificate: tuple[Path, Path],
    tmp_path: Path,
    files: Callable[[Path, Path, Path], tuple[Path, Path]],
    said: str,
) -> None:
    with pytest.raises(UsageError, match=r"^--tls: ") as error:
        tls_context(*files(*certificate, tmp_path))
    assert said in str(error.value)
    assert "\n" not in str(error.value) and "_ssl" not in str(error.value)
