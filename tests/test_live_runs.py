"""Live runs of the whole program: on senders that die and come back, broken streams, and stopped any time."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from small_videos import write_video

restarts = pytest.importorskip("benchmarks.restarts", reason="benchmarks are not part of the package")
malformed = pytest.importorskip("benchmarks.malformed_streams")

PATIENCE_S = 30.0
ENDS_IN_S = 12.0
"""Far more than a run needs to end, far less than a read without end."""

pytestmark = pytest.mark.skipif(os.name == "nt", reason="signals as on POSIX")


def test_a_sender_that_is_killed_and_restarted_is_followed_while_a_client_stays(tmp_path: Path) -> None:
    """The short form of benchmarks/restarts.py: its bound is 2 s, here it is that of a busy machine."""
    pytest.importorskip("onnxruntime")
    clip = restarts.with_key_frames(restarts.MODELS_DIRECTORY / "demo.mp4", tmp_path, every_s=0.2, frames=60)
    args = restarts.Args(protocols=("tcp",), restarts=2, away_s=(0.1, 0.6), playing_s=0.2)
    result = restarts.measure("tcp", clip, args, tmp_path)
    assert max(result["took_s"]) < 10.0
    assert result["still_connected"] and result["in_order"] and result["exit_status"] == 0
    assert (result["losses_told"], result["returns_told"], result["lines_of_losses"]) == (2, 2, 2)
    assert result["ended_told"] and not result["secret_told"]


@pytest.mark.parametrize("protocol", ["tcp", "http", "udp"])
def test_broken_streams_are_outlived(protocol: str) -> None:
    """The short form of benchmarks/malformed_streams.py."""
    result = malformed.feed(protocol, {"tcp": 60, "http": 12, "udp": 2}[protocol], seed=7)
    assert not result.failed, result


@contextmanager
def live(url: str, *options: str) -> Iterator["subprocess.Popen[str]"]:
    command = [sys.executable, "-m", "tracker", "live", "--source", url, *options]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as run:
        try:
            yield run
        finally:
            run.kill()


def interrupted(run: "subprocess.Popen[str]") -> tuple[str, float]:
    """What the run said, and how long it took to end after Ctrl-C."""
    asked_s = time.monotonic()
    run.send_signal(signal.SIGINT)
    _, said = run.communicate(timeout=PATIENCE_S)
    return said, time.monotonic() - asked_s


def frames_in(record: Path) -> int:
    return record.read_bytes().count(b'"type":"frame"') if record.exists() else 0


def wait_for_frames(record: Path, count: int) -> None:
    give_up_s = time.monotonic() + PATIENCE_S
    while frames_in(record) < count:
        assert time.monotonic() < give_up_s, "no frames came"
        time.sleep(0.02)


@pytest.mark.parametrize("stalls", [True, False], ids=["a stalled read", "a wait between attempts"])
def test_ctrl_c_ends_a_run_without_pictures_in_bounded_time(tmp_path: Path, stalls: bool) -> None:
    """Also beside a client that connected and never reads."""
    pytest.importorskip("onnxruntime")
    content = write_video(tmp_path / "clip.ts", frames=30).read_bytes()
    record, port = tmp_path / "hands.jsonl", restarts.free_port(socket.SOCK_STREAM)
    sender = socket.create_server(("127.0.0.1", 0))
    url = f"tcp://127.0.0.1:{sender.getsockname()[1]}"
    with sender, live(url, "--record", str(record), "--tcp", f"127.0.0.1:{port}") as run:
        peer, _ = sender.accept()
        peer.sendall(content)
        wait_for_frames(record, 1)
        stuck = restarts.connect(port)
        if not stalls:
            sender.close()
            peer.close()
            while '"lost"' not in record.read_text():
                time.sleep(0.02)
        said, took_s = interrupted(run)
        peer.close()
        stuck.close()
    assert run.returncode == 0, said
    assert took_s < ENDS_IN_S
    assert "Traceback" not in said
    assert json.loads(record.read_text().splitlines()[-1]) == {"type": "state", "state": "ended"}


def test_without_reconnecting_a_stream_that_ends_ends_the_run(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    content = write_video(tmp_path / "clip.ts", frames=10).read_bytes()
    with (
        socket.create_server(("127.0.0.1", 0)) as sender,
        live(f"tcp://127.0.0.1:{sender.getsockname()[1]}", "--no-reconnect") as run,
    ):
        peer, _ = sender.accept()
        peer.sendall(content)
        peer.close()
        _, said = run.communicate(timeout=PATIENCE_S)
    assert run.returncode == 0 and "trying again" not in said
