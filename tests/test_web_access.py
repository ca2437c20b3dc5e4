"""Who may come in, as rules; and what is answered to a plain request."""

import http.client
import socket
from dataclasses import fields

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scripted_runs import PATIENCE_S
from tracked_values import two_hands
from web_server import TOKEN, Server, read_to_end
from websockets.http11 import Request

from tracker.web.access import Access, Place, place_of
from tracker.web.pages import CONTENT_TYPES, VIEWER, Pages

HERE = Access(token=None, loopback=True, tls=False, machine="Desk")
REACHABLE = Access(token=TOKEN, loopback=False, tls=False, machine="Desk.lan")
ENCRYPTED = Access(token=TOKEN, loopback=False, tls=True, machine="desk")
NAMED = Access(
    token=TOKEN,
    loopback=True,
    tls=False,
    machine="desk",
    origins=(Place("https", "hands.example", 443), Place("http", "dev.example", 3000)),
)


@pytest.mark.parametrize(
    ("access", "host"),
    [
        *(
            (HERE, host)
            for host in (
                "localhost",
                "LOCALHOST:8765",
                "127.0.0.1:8765",
                "127.8.9.1",
                "[::1]:8765",
                "a.localhost",
            )
        ),
        *(
            (REACHABLE, host)
            for host in (
                "192.168.1.5:8765",
                "[fe80::1]:8765",
                "10.0.0.1",
                "localhost:1",
                "desk.lan:8765",
                "desk",
                "DESK.local:8765",
                "desk.local.",
            )
        ),
        *((NAMED, host) for host in ("hands.example", "dev.example:3000", "localhost")),
    ],
)
def test_names_that_only_we_have_are_ours(access: Access, host: str) -> None:
    assert access.refusal([host], []) is None


@pytest.mark.parametrize(
    ("access", "host"),
    [
        *(
            (HERE, host)
            for host in (
                "evil.example",
                "192.168.1.5",
                "desk",
                "desk.local",
                "localhost.evil.example",
                "127.0.0.1.evil.example",
                "127.0.0.1@evil.example",
                "",
                "[",
                "localhost/",
                "localhost:99999",
                "localhost:x",
                "a b",
            )
        ),
        *(
            (REACHABLE, host)
            for host in ("evil.example", "other.local", "desk.evil.example", "notdesk.lan", "lan")
        ),
        *((NAMED, host) for host in ("evil.hands.example", "example")),
    ],
)
def test_names_that_a_stranger_can_point_here_are_not(access: Access, host: str) -> None:
    refusal = access.refusal([host], [])
    assert refusal is not None and "\n" not in refusal


def test_a_request_names_one_host() -> None:
    assert HERE.refusal([], []) is not None
    assert HERE.refusal(["localhost", "localhost"], []) == "the request names several hosts"


@pytest.mark.parametrize(
    ("access", "host", "origin"),
    [
        (HERE, "localhost:8765", "http://localhost:8765"),
        (HERE, "LocalHost:8765", "http://localhost:8765"),
        (HERE, "127.0.0.1", "http://127.0.0.1"),
        (HERE, "127.0.0.1", "http://127.0.0.1:80"),
        (HERE, "[::1]:8765", "http://[::1]:8765"),
        (ENCRYPTED, "desk.local:8765", "https://desk.local:8765"),
        (ENCRYPTED, "desk.local", "https://desk.local"),
        (NAMED, "localhost:8765", "https://hands.example"),
        (NAMED, "localhost:8765", "http://dev.example:3000"),
    ],
)
def test_our_own_pages_and_named_ones_may_connect(access: Access, host: str, origin: str) -> None:
    assert access.refusal([host], [origin]) is None


@pytest.mark.parametrize(
    ("access", "host", "origin"),
    [
        (HERE, "localhost:8765", "http://evil.example"),
        (HERE, "localhost:8765", "null"),
        (HERE, "localhost:8765", ""),
        (HERE, "localhost:8765", "https://localhost:8765"),
        (HERE, "localhost:8765", "http://localhost:8766"),
        (HERE, "localhost:8765", "http://127.0.0.1:8765"),
        (HERE, "localhost:8765", "http://localhost:8765.evil.example"),
        (HERE, "localhost:8765", "http://localhost:8765/evil"),
        (HERE, "localhost:8765", "http://user@localhost:8765"),
        (HERE, "localhost:8765", "file://"),
        (HERE, "localhost:8765", "chrome-extension://abcdef"),
        (ENCRYPTED, "desk.local:8765", "http://desk.local:8765"),
        (NAMED, "localhost:8765", "http://hands.example"),
        (NAMED, "localhost:8765", "http://dev.example"),
    ],
)
def test_other_pages_may_not(access: Access, host: str, origin: str) -> None:
    refusal = access.refusal([host], [origin])
    assert refusal is not None and "--allow-origin" in refusal


def test_two_origins_are_none() -> None:
    assert HERE.refusal(["localhost"], ["http://localhost", "http://localhost"]) is not None


@given(st.text(), st.text())
def test_no_header_is_an_error_of_ours(host: str, origin: str) -> None:
    for access in (HERE, REACHABLE, ENCRYPTED, NAMED):
        refusal = access.refusal([host], [origin])
        assert refusal is None or isinstance(refusal, str)
        access.bearer([origin])
        assert not REACHABLE.is_token(origin) or origin == TOKEN


@pytest.mark.parametrize(
    ("authorization", "worth"),
    [
        ([], "absent"),
        ([f"Bearer {TOKEN}"], "granted"),
        ([f"bearer   {TOKEN}"], "granted"),
        ([f"Bearer {TOKEN}x"], "wrong"),
        ([f"Bearer {TOKEN[:-1]}"], "wrong"),
        (["Bearer"], "wrong"),
        ([""], "wrong"),
        ([f"Basic {TOKEN}"], "wrong"),
        ([f"Bearer {TOKEN}", f"Bearer {TOKEN}"], "wrong"),
    ],
)
def test_a_bearer_knows_the_token_or_not(authorization: list[str], worth: str) -> None:
    assert REACHABLE.bearer(authorization) == worth
    assert HERE.bearer(authorization) == "granted"


@pytest.mark.parametrize("spelled", ["latin-1", "surrogateescape"])
def test_a_token_beyond_ascii_is_known_however_the_library_spells_headers(spelled: str) -> None:
    access = Access(token="schlüssel", loopback=True, tls=False, machine="desk")
    raw = "Bearer schlüssel".encode()
    header = raw.decode("latin-1") if spelled == "latin-1" else raw.decode("ascii", "surrogateescape")
    assert access.bearer([header]) == "granted"


@pytest.mark.parametrize(
    "text",
    [
        "ftp://name",
        "name",
        "http://",
        "http://name/path",
        "http://name?",
        "http://name#",
        "http://[",
        "http://n:port",
    ],
)
def test_what_is_no_origin(text: str) -> None:
    assert place_of(text) is None


# Plain requests.


def test_the_page_is_served_and_may_load_nothing_from_elsewhere() -> None:
    with Server() as server:
        status, headers, body = server.get("/")
        assert status == 200 and body == (VIEWER / "index.html").read_bytes()
        assert headers["Content-Type"] == "text/html; charset=utf-8"
        assert headers["Cache-Control"] == "no-cache"
        policy = headers["Content-Security-Policy"]
        assert "default-src 'self'" in policy and "unsafe" not in policy and "http" not in policy
        assert headers["X-Content-Type-Options"] == "nosniff"
        for path in ("/index.html", "/viewer/index.html", "/viewer/", "/?anything=1"):
            assert server.get(path)[2] == body


def test_every_file_of_the_viewer_is_served_and_is_of_a_known_kind() -> None:
    files = [file for file in VIEWER.rglob("*") if file.is_file()]
    assert files
    with Server() as server:
        for file in files:
            name = file.relative_to(VIEWER).as_posix()
            if name == "camera.html":
                continue
            status, headers, body = server.get(f"/{name}")
            assert status == 200 and body == file.read_bytes(), name
            assert headers["Content-Type"] == CONTENT_TYPES[file.suffix]


@pytest.mark.parametrize(
    "path",
    [
        "/nope",
        "/../pyproject.toml",
        "/viewer/../errors.py",
        "/%2e%2e/errors.py",
        "//etc/passwd",
        "/viewer",
        "/__init__.py",
        "/camera",
        "/.",
        "/index.html/",
        "*",
    ],
)
def test_nothing_else_is_served(path: str) -> None:
    with Server() as server:
        assert server.get(path)[0] == 404


def test_pages_are_the_known_files_of_their_folder(tmp_path) -> None:  # type: ignore[no-untyped-def]
    for name in ("index.html", "camera.html", "a.js", "secret.py", "sub/b.css"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(name)
    pages = Pages.of(tmp_path)
    assert pages.answer("/").body == b"index.html"
    assert pages.answer("/sub/b.css").status_code == 200
    assert pages.answer("/secret.py").status_code == 404
    assert pages.answer("/camera").status_code == 404
    assert Pages.of(tmp_path, camera=True).answer("/camera").body == b"camera.html"
    (tmp_path / "a.js").unlink()
    assert pages.answer("/a.js").status_code == 404


def test_health_says_whether_the_source_is_there() -> None:
    with Server() as server:
        assert server.get("/healthz")[::2] == (503, b"waiting\n")
        assert b"hand_tracker_source_up 0" in server.get("/metrics")[2]
        server.sink.send(two_hands(), None)
        assert server.get("/healthz")[::2] == (200, b"ok\n")
        assert b"hand_tracker_source_up 1" in server.get("/metrics")[2]
        server.sink.notify("lost")
        assert server.get("/healthz")[::2] == (503, b"lost\n")
        server.sink.notify("playing")
        assert server.get("/healthz")[0] == 200


def test_metrics_need_the_token_and_pages_do_not() -> None:
    with Server(token=TOKEN) as server:
        assert server.get("/")[0] == 200 and server.get("/healthz")[0] == 503
        status, headers, body = server.get("/metrics")
        assert status == 401 and headers["WWW-Authenticate"] == "Bearer" and b"hand_tracker" not in body
        assert server.get("/metrics", Authorization="Bearer guess")[0] == 401
        status, headers, body = server.get("/metrics", Authorization=f"Bearer {TOKEN}")
        assert status == 200 and headers["Content-Type"].startswith("text/plain; version=0.0.4")
        assert b"hand_tracker_frames_total 0" in body


@pytest.mark.parametrize("path", ["/", "/metrics", "/healthz"])
def test_strangers_get_nothing(path: str) -> None:
    with Server() as server:
        assert server.get(path, Host="evil.example")[0] == 403
        assert server.get(path, Origin="http://evil.example")[0] == 403
        assert server.get(path, Origin="null")[0] == 403


def knows_methods() -> bool:
    """Whether the library hands over requests other than GET; its versions before 17 refuse them."""
    return "method" in {field.name for field in fields(Request)}


@pytest.mark.parametrize("path", ["/", "/healthz", "/metrics", "/nope"])
def test_heads_are_answered_like_pages_without_their_body(path: str) -> None:
    if not knows_methods():
        pytest.skip("this version of websockets refuses HEAD itself")
    with Server() as server:
        status, headers, body = server.get(path)
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=PATIENCE_S)
        connection.request("HEAD", path)
        answer = connection.getresponse()
        connection.close()
        assert answer.status == status
        assert answer.headers["Content-Type"] == headers["Content-Type"] and answer.headers["Content-Length"]
        with server.raw(f"HEAD {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()) as peer:
            assert read_to_end(peer).endswith(b"\r\n\r\n") and body


def with_body(method: bytes) -> bytes:
    return method + b" / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\nhello"


@pytest.mark.parametrize("method", [b"POST", b"PUT", b"DELETE", b"OPTIONS"])
def test_other_methods_get_no_page(method: bytes) -> None:
    with Server() as server:
        with server.raw(method + b" / HTTP/1.1\r\nHost: localhost\r\n\r\n") as peer:
            answer = read_to_end(peer)
            assert not answer.startswith((b"HTTP/1.1 2", b"HTTP/1.1 101"))
            assert not knows_methods() or answer.startswith(b"HTTP/1.1 405 ")
        with server.raw(with_body(method)) as peer:
            answer = read_to_end(peer)
            assert answer.startswith(b"HTTP/1.1 405 ") and answer.endswith(b"\r\n\r\nask by GET\n")
        assert server.get("/")[0] == 200


@pytest.mark.parametrize(
    "request_", [with_body(b"GET"), b"GET / HTTP/3\r\n\r\n", b"\x16\x03\x01\x02\r\n\r\n"]
)
def test_what_is_no_request_is_told_so(request_: bytes) -> None:
    with Server() as server, server.raw(request_) as peer:
        answer = read_to_end(peer)
        assert answer.startswith((b"HTTP/1.1 400 ", b"HTTP/1.1 405 ")) and answer.count(b"HTTP/1.1 ") == 1


def test_a_peer_that_goes_before_its_request_is_whole_gets_no_answer() -> None:
    with Server() as server, server.raw(b"POST / HTTP/1.1\r\n") as peer:
        peer.shutdown(socket.SHUT_WR)
        assert read_to_end(peer) == b""
