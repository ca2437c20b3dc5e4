"""The live server as the command line starts it: its address, its refusals, its page, its recordings."""

import json
import socket
import threading
import time
import webbrowser
from pathlib import Path

import pytest
from scripted_runs import PATIENCE_S, join_or_fail
from tracked_values import some_info, two_hands
from websockets.sync.client import connect

from tracker.cli import live, main
from tracker.cli_sockets import SocketOptions
from tracker.cli_web import open_next_recording, page_url
from tracker.errors import SourceError
from tracker.sinks.layout import NATIVE
from tracker.sinks.recording import RecordingSink, read_recording
from tracker.structs import StreamInfo, TrackedFrame

REPLAYED_FRAMES = 45


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    """Two hands for 1.5 s."""
    path = tmp_path / "recorded.jsonl"
    sink = RecordingSink(path)
    sink.begin(some_info())
    for index in range(REPLAYED_FRAMES):
        sink.send(two_hands(index), None)
    sink.close()
    return path


@pytest.fixture
def port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        found: int = free.getsockname()[1]
        return found


def run(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, list[str]]:
    """Exit status and the lines on standard error."""
    with pytest.raises(SystemExit) as stop:
        main([str(argument) for argument in arguments])
    return int(stop.value.code or 0), capsys.readouterr().err.strip().splitlines()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("--serve 0.0.0.0:0", "other machines; give --token"),
        ("--serve [::]:0", "other machines; give --token"),
        ("--serve nonsense", "give HOST:PORT"),
        ("--serve 127.0.0.1:0 --tls nowhere.pem nowhere.pem", "--tls: nowhere.pem is not there"),
        ("--serve 127.0.0.1:0 --allow-origin example.org", "--allow-origin is 'example.org'"),
        ("--serve 127.0.0.1:0 --token ", "--token is empty"),
        ("--serve 127.0.0.1:8765 --tcp 127.0.0.1:8765", "--serve and --tcp are both at port 8765"),
        ("--viewer --tcp localhost:8765", "--serve and --tcp are both at port 8765"),
        ("--tcp 127.0.0.1:7000 --hts-listen localhost:7000", "--tcp and --hts-listen are both at port 7000"),
        ("--preview", "no --serve and no --viewer"),
        ("--tls a b", "no --serve and no --viewer"),
        ("--allow-origin https://example.org", "no --serve and no --viewer"),
        ("--token s3cret", "there is neither"),
    ],
)
def test_what_cannot_be_served_is_one_clear_line(
    recording: Path, capsys: pytest.CaptureFixture[str], arguments: str, said: str
) -> None:
    status, lines = run(capsys, "replay", recording, *arguments.split(" "))
    assert status == 2
    assert len(lines) == 1 and lines[0].startswith("error: ") and said in lines[0]


def test_one_file_for_tls_is_told_that_there_must_be_two(
    recording: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["replay", str(recording), "--serve", "127.0.0.1:0", "--tls", "certificate.pem"])
    said = capsys.readouterr().err
    assert stop.value.code == 2 and "--tls" in said and "2 values" in said and "type" not in said
    with pytest.raises(SystemExit):
        main(["replay", "--help"])
    assert "--tls CERT KEY" in capsys.readouterr().out


def test_a_taken_port_is_one_clear_line(recording: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        place = f"127.0.0.1:{taken.getsockname()[1]}"
        status, lines = run(capsys, "replay", recording, "--serve", place)
    assert status == 2
    assert lines == [
        f"error: --serve: cannot listen at {place}: another program listens there; choose another port"
    ]


def test_a_replay_is_served_and_recorded_on_a_clients_wish(
    recording: Path,
    port: int,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    frames: list[int] = []

    def listen() -> None:
        end_s = time.monotonic() + PATIENCE_S
        with socket.socket() as probe:
            while probe.connect_ex(("127.0.0.1", port)) and time.monotonic() < end_s:
                time.sleep(0.01)
        with connect(f"ws://127.0.0.1:{port}/", proxy=None) as client:
            client.send('{"type":"record","on":true}')
            for message in client:
                read = json.loads(message)
                if read["type"] == "frame":
                    frames.append(read["frame"])
                    assert read["latency_ms"] is None

    listener = threading.Thread(target=listen, daemon=True)
    listener.start()
    status, lines = run(capsys, "replay", recording, "--serve", f"127.0.0.1:{port}")
    join_or_fail(listener)
    assert status == 0
    assert f"--serve listens at http://127.0.0.1:{port}/" in lines
    assert frames[-1] == REPLAYED_FRAMES - 1 and frames == sorted(set(frames))
    (made,) = tmp_path.glob("hands-*.jsonl")
    assert f"recording {made.name}" in lines and "recording ended" in lines
    first, *rest = read_recording(made)
    assert isinstance(first, StreamInfo)
    recorded = [message.frame_index for message in rest if isinstance(message, TrackedFrame)]
    assert recorded == list(range(recorded[0], REPLAYED_FRAMES))


def test_recordings_of_one_second_have_names_of_their_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(time, "strftime", lambda form: "hands-20260101-000000")
    names = []
    for _ in range(3):
        sink, name = open_next_recording(NATIVE)
        names.append(name)
        sink.begin(some_info())
        sink.close()
    base = "hands-20260101-000000"
    assert names == [f"{base}.jsonl", f"{base}-2.jsonl", f"{base}-3.jsonl"]


def opened_by(options: SocketOptions, monkeypatch: pytest.MonkeyPatch) -> str:
    """The page that the browser is given once the server listens."""
    opened: list[str] = []
    called = threading.Event()

    def note(url: str) -> bool:
        with socket.create_connection(("127.0.0.1", int(url.split(":")[2].split("/")[0])), PATIENCE_S):
            opened.append(url)
        called.set()
        return True

    monkeypatch.setattr(webbrowser, "open", note)
    said: list[str] = []
    sinks = options.open(NATIVE, background=True, say=said.append)
    assert called.wait(PATIENCE_S)
    for sink in sinks:
        sink.close()
    assert not any("s3cret" in line for line in said)
    return opened[0]


def test_the_viewer_is_opened_in_the_browser_and_knows_the_token(
    port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = f"127.0.0.1:{port}"
    plain = SocketOptions(viewer=True, serve=place)
    assert opened_by(plain, monkeypatch) == f"http://{place}/"
    guarded = SocketOptions(viewer=True, serve=place, token="s3cret &#/é")
    assert opened_by(guarded, monkeypatch) == f"http://{place}/#token=s3cret%20%26%23%2F%C3%A9"
    everywhere = SocketOptions(viewer=True, serve=f"0.0.0.0:{port}", token="s3cret")
    assert opened_by(everywhere, monkeypatch) == f"http://{place}/#token=s3cret"


def test_the_viewer_is_served_at_its_usual_place_with_previews() -> None:
    options = SocketOptions(viewer=True)
    assert options.serves and options.any_asked_for
    assert not SocketOptions(token="x").serves


@pytest.mark.parametrize(
    ("listens_at", "tls", "url"),
    [
        (("127.0.0.1", 8765), False, "http://127.0.0.1:8765/"),
        (("0.0.0.0", 80), True, "https://127.0.0.1:80/"),
        (("::1", 8765), False, "http://[::1]:8765/"),
        (("::", 8765), False, "http://[::1]:8765/"),
    ],
)
def test_the_pages_address_is_one_that_a_browser_here_can_open(
    listens_at: tuple[str, int], tls: bool, url: str
) -> None:
    assert page_url(listens_at, tls=tls) == url


def test_without_arguments_the_first_webcam_is_shown_and_without_one_the_demo_is_named(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    import tracker.sources

    asked: list[object] = []

    def no_source(location: object, **options: object) -> None:
        asked.append(location)
        raise SourceError("there is no webcam 0")

    monkeypatch.setattr(tracker.sources, "open_source", no_source)
    monkeypatch.setattr(webbrowser, "open", lambda url: pytest.fail("nothing is there to see"))
    for arguments, hint in (([], True), (["--source", "0"], False)):
        with pytest.raises(SystemExit) as stop:
            live(arguments)
        assert stop.value.code == 2
        (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error")]
        assert ("--source demo --viewer" in line) is hint
    assert asked == ["0", "0"]
