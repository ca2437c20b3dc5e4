"""The real client of Hand Tracking Streamer (`hand-tracking-sdk`), strict: it stops at the first odd line."""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from scripted_runs import PATIENCE_S, finish, join_or_fail, wait_or_fail
from tracked_values import some_frame, some_hand, some_info, two_hands

from tracker.cli import live
from tracker.cli_sockets import SocketOptions
from tracker.joints import FloatArray, Side
from tracker.rotations import rotation_from_quaternion
from tracker.sinks import Sink
from tracker.sinks.layout import NATIVE
from tracker.sinks.recording import read_recording
from tracker.structs import TrackedFrame

sdk = pytest.importorskip("hand_tracking_sdk", reason="the extra test brings the real client")
transport = pytest.importorskip("hand_tracking_sdk.transport")


class Client:
    """The client in a thread; what it got is in ``frames``, by side and frame number."""

    def __init__(self, mode: str, *, port: int = 0, until: Callable[["Client"], bool]) -> None:
        self.frames: dict[tuple[Side, int], FloatArray] = {}
        self.place, self.listening, self.done = "", threading.Event(), threading.Event()
        self._until, self._mode = until, mode
        self._client = sdk.HTSClient(
            sdk.HTSClientConfig(
                transport_mode=mode,
                host="127.0.0.1",
                port=port,
                timeout_s=PATIENCE_S,
                error_policy=sdk.ErrorPolicy.STRICT,
            ),
            receiver_factory=None if mode == "tcp_client" else self._receiver,
        )
        self.thread = finish(self._listen)

    def _receiver(self, config: object) -> "Client":
        """The client's own receiver at a free port, and us told which."""
        match self._mode:
            case "udp":
                self._lines = transport.UDPLineReceiver(transport.UDPReceiverConfig("127.0.0.1", 0))
            case _:
                self._lines = transport.TCPServerLineReceiver(transport.TCPServerConfig("127.0.0.1", 0))
        return self

    def __enter__(self) -> "Client":
        self._lines.__enter__()
        host, port = self._lines.local_address
        self.place = f"{host}:{port}"
        self.listening.set()
        return self

    def __exit__(self, *cause: object) -> None:
        self._lines.__exit__(*cause)

    def iter_lines(self) -> Iterator[str]:
        return self._lines.iter_lines()

    def _listen(self) -> None:
        events = self._client.iter_events()
        for frame in events:
            assert isinstance(frame, sdk.HandFrame)
            side = Side(frame.side.value.lower())
            if frame.wrist_recv_ts_ns <= frame.landmarks_recv_ts_ns:  # not a new wrist with old landmarks
                self.frames[side, frame.source_frame_seq] = joints_in_camera(frame)
            if self._until(self):
                break
        events.close()
        self.done.set()

    @property
    def parse_errors(self) -> int:
        return int(self._client.get_stats().parse_errors)


def joints_in_camera(frame: "object") -> FloatArray:
    """What the client says of a hand, in our axes: by its own conversion to right-handed ones."""
    converted = sdk.convert_hand_frame_unity_left_to_right(frame)
    wrist = converted.wrist
    rotation = rotation_from_quaternion(np.array([wrist.qw, wrist.qx, wrist.qy, wrist.qz]))
    return np.array(converted.landmarks.points) @ rotation.T + (wrist.x, wrist.y, wrist.z)


def sent(index: int) -> TrackedFrame:
    """Two hands, then the right one alone, then none."""
    if index < 5:
        return two_hands(index)
    return some_frame(*([some_hand(Side.RIGHT, track_id=4)] if index < 10 else []), index=index)


def open_one(**options: str) -> Sink:
    (sink,) = SocketOptions(**options).open(NATIVE, background=False, say=lambda line: None)
    sink.begin(some_info())
    return sink


def assert_as_sent(client: Client) -> None:
    for (side, index), joints in client.frames.items():
        (hand,) = (hand for hand in sent(index).hands if hand.pose.side is side)
        np.testing.assert_allclose(joints, hand.pose.joints_in_camera_m, rtol=0, atol=2e-5)
    assert client.parse_errors == 0


def test_udp_both_hands_then_one_then_none() -> None:
    client = Client("udp", until=lambda client: (Side.RIGHT, 12) in client.frames)
    wait_or_fail(client.listening)
    sink = open_one(hts=client.place)
    for index in range(12):
        sink.send(sent(index), None)
    sink.send(two_hands(12), None)
    join_or_fail(client.thread)
    sink.close()
    assert {index for side, index in client.frames if side is Side.LEFT} == {*range(5), 12}
    assert {index for side, index in client.frames if side is Side.RIGHT} == {*range(10), 12}
    del client.frames[Side.LEFT, 12], client.frames[Side.RIGHT, 12]
    assert_as_sent(client)


def feed_until_done(sink: Sink, client: Client) -> None:
    """Both hands again and again, as a tracker would, with more time between than a client needs."""
    for index in range(1000):
        sink.send(two_hands(index % 5), None)
        if client.done.wait(0.01):
            break
    join_or_fail(client.thread)


def seen_both(client: Client) -> bool:
    return {side for side, _ in client.frames} == set(Side)


def test_tcp_we_connect() -> None:
    client = Client("tcp_server", until=seen_both)
    wait_or_fail(client.listening)
    sink = open_one(hts_tcp=client.place)
    feed_until_done(sink, client)
    sink.close()
    assert_as_sent(client)


def test_tcp_the_client_connects() -> None:
    said: list[str] = []
    (sink,) = SocketOptions(hts_listen="127.0.0.1:0").open(NATIVE, background=False, say=said.append)
    sink.begin(some_info())
    client = Client("tcp_client", port=int(said[0].rpartition(":")[2]), until=seen_both)
    feed_until_done(sink, client)
    sink.close()
    assert_as_sent(client)


def test_the_demo_clip_from_end_to_end(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("onnxruntime")
    client = Client("udp", until=lambda client: len(client.frames) >= 20)
    wait_or_fail(client.listening)
    record = tmp_path / "demo.jsonl"
    arguments = f"--source demo --max-frames 45 --hts {client.place} --record {record}"
    with pytest.raises(SystemExit) as stop:
        live(arguments.split())
    assert stop.value.code == 0, capsys.readouterr().err
    join_or_fail(client.thread)
    assert {side for side, _ in client.frames} == set(Side)
    recorded = {
        (hand.pose.side, frame.frame_index): hand.pose.joints_in_camera_m
        for frame in read_recording(record)
        if isinstance(frame, TrackedFrame)
        for hand in frame.hands
    }
    for place, joints in client.frames.items():
        np.testing.assert_allclose(joints, recorded[place], rtol=0, atol=2e-5)
