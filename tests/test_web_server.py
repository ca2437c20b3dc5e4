"""The live server seen by its clients: what they are sent, and that none of them can do harm."""

import asyncio
import base64
import json
import socket
import time
from collections.abc import Iterator
from dataclasses import replace
from itertools import count

import numpy as np
import pytest
from scripted_runs import PATIENCE_S
from tracked_values import CAMERA, picture, some_frame, some_hand, some_info, two_hands
from web_server import JSON, MESSAGE_PACK, TOKEN, Server, wait_until
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.typing import Subprotocol

from tracker.errors import SinkError, SinkFailedError
from tracker.hand_mesh import mesh_of
from tracker.sinks import connection
from tracker.sinks.layout import find_layout
from tracker.sinks.wire import Header, decode_message
from tracker.structs import TrackedFrame
from tracker.web import hearing
from tracker.web.previews import Previews


@pytest.fixture
def server() -> Iterator[Server]:
    with Server(preview=True) as server:
        yield server


@pytest.fixture
def guarded() -> Iterator[Server]:
    with Server(token=TOKEN) as server:
        yield server


# What clients are sent.


def test_a_client_gets_the_header_and_then_a_message_a_frame(server: Server) -> None:
    with server.connect() as client:
        header = decode_message(client.connection.recv())
        assert isinstance(header, Header) and header.info == some_info()
        for index in range(5):
            server.sink.send(two_hands(index), None)
            frame = decode_message(client.connection.recv())
            assert isinstance(frame, TrackedFrame) and frame.frame_index == index
            assert len(frame.hands) == 2


def test_the_same_is_said_in_both_encodings(server: Server) -> None:
    with server.connect() as text, server.connect(subprotocol=MESSAGE_PACK) as binary:
        assert text.connection.subprotocol == JSON and binary.connection.subprotocol == MESSAGE_PACK
        for client in (text, binary):
            client.want(vertices=True)
        server.sink.send(two_hands(), None)
        server.sink.notify("lost")
        messages = [[client.hear() for _ in range(4)] for client in (text, binary)]
    for spoken, packed in zip(*messages, strict=True):
        for hand, other in zip(spoken.get("hands", ()), packed.get("hands", ()), strict=True):
            assert base64.b64decode(hand.pop("vertices_m")) == other.pop("vertices_m")
        spoken.pop("latency_ms", None), packed.pop("latency_ms", None)
        assert spoken == packed
    assert [message["type"] for message in messages[0]] == ["mesh", "mesh", "frame", "state"]


def test_a_client_that_comes_later_gets_the_header_and_state_that_hold_and_no_old_frame(
    server: Server,
) -> None:
    server.sink.send(two_hands(0), None)
    server.sink.begin(some_info(replace(CAMERA, fx=400.0)))
    server.sink.notify("lost")
    server.sink.notify("playing")
    server.sink.send(two_hands(1), None)
    with server.connect() as client:
        header = client.hear()
        assert header["type"] == "header" and header["camera"]["fx"] == 400.0
        assert client.hear() == {"type": "state", "state": "playing"}
        server.sink.send(two_hands(2), None)
        assert client.hear()["frame"] == 2


def test_one_side_only(server: Server) -> None:
    with server.connect() as left, server.connect() as both:
        left.want(side="left")
        both.hear()
        server.sink.send(two_hands(), None)
        assert [hand["side"] for hand in left.hear()["hands"]] == ["left"]
        assert len(both.hear()["hands"]) == 2


def test_latency_is_told_where_capture_times_are_of_our_clock() -> None:
    with Server() as live, live.connect() as client:
        client.hear()
        live.sink.send(replace(two_hands(), capture_time_s=time.monotonic() - 0.020), None)
        assert 20.0 <= client.hear()["latency_ms"] < 520.0
        wait_until(lambda: live.sink._statistics.figures().latency_count == 1)
    with Server(our_clock=False) as replayed, replayed.connect() as client:
        client.hear()
        replayed.sink.send(two_hands(), None)
        assert client.hear()["latency_ms"] is None
        assert replayed.sink._statistics.figures().latency_count == 0


@pytest.mark.parametrize("axes", ["opencv", "unity"])
def test_vertices_are_the_skin_in_the_headers_axes(axes: str) -> None:
    layout = find_layout("hand21", axes)
    tracked = two_hands()
    with Server(layout=layout) as server, server.connect() as client:
        client.want(vertices=True)
        server.sink.send(tracked, None)
        faces = {mesh["name"]: mesh["faces"] for mesh in (client.hear(), client.hear())}
        frame = client.hear()
        server.sink.send(two_hands(1), None)
        assert client.hear()["type"] == "frame", "faces are sent once"
    for hand, message in zip(tracked.hands, frame["hands"], strict=True):
        mesh = mesh_of(hand.pose)
        assert mesh is not None
        vertices = np.frombuffer(base64.b64decode(message["vertices_m"]), "<f4").reshape(-1, 3)
        np.testing.assert_allclose(vertices, layout.axes.vectors(mesh.vertices_m), atol=1e-6)
        assert message["mesh"] == f"open_{hand.pose.side.value}"
        np.testing.assert_array_equal(faces[message["mesh"]], mesh.faces)


def test_a_hand_without_a_pose_has_no_vertices(server: Server) -> None:
    with server.connect() as client:
        client.want(vertices=True)
        server.sink.send(some_frame(some_hand(unknown_joints=(3,))), None)
        assert "vertices_m" not in client.hear()["hands"][0]


def test_a_frame_with_skins_leaves_at_once(server: Server) -> None:
    """What does not fit the socket's buffer waits 40 ms for a delayed acknowledgement."""
    with server.connect() as client:
        client.want(vertices=True)
        server.sink.send(two_hands(), None)
        length = len(json.dumps(client.hear_type("frame")))
        assert length > 2 * connection.SEND_BUFFER_BYTES
        (served,) = server.sink._server._clients
        peer = served.connection.transport.get_extra_info("socket")
        assert peer.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF) > 2 * length


def test_previews_go_to_those_who_want_them_and_are_small(server: Server) -> None:
    with server.connect() as looks, server.connect() as other:
        looks.want(preview=True)
        other.hear()
        server.sink.send(two_hands(7), picture(7, width=1280, height=720))
        preview = looks.hear_type("preview")
        assert (preview["frame"], preview["width"], preview["height"]) == (7, 640, 360)
        assert base64.b64decode(preview["jpeg"]).startswith(b"\xff\xd8\xff")
        server.sink.notify("ended")
        assert [other.hear()["type"], other.hear()["type"]] == ["frame", "state"]


def test_skin_that_fills_the_socket_leaves_previews_and_figures_their_turn(server: Server) -> None:
    with server.connect() as looks:
        looks.connection.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 15)
        looks.want(vertices=True, preview=True, stats=True)
        kinds: set[str] = set()
        end_s = time.monotonic() + PATIENCE_S
        for index in count():
            server.sink.send(two_hands(index), picture(index))
            kinds.add(looks.hear()["type"])
            if {"frame", "preview", "stats"} <= kinds:
                break
            assert time.monotonic() < end_s, kinds


def test_previews_are_busy_from_the_moment_one_has_begun() -> None:
    """The server may ask again before the event loop has run anything."""

    async def begin_one() -> None:
        previews = Previews()
        under_way = previews.begin(picture(7))
        assert previews.busy
        assert (await under_way).frame == 7 and not previews.busy
        previews.close()

    asyncio.run(begin_one())


def test_without_preview_pictures_are_neither_sent_nor_kept() -> None:
    with Server() as server, server.connect() as client:
        client.say(type="want", preview=True)
        assert "--preview" in client.hear_type("error")["message"]
        server.sink.send(two_hands(), picture())
        server.sink.notify("ended")
        assert [client.hear()["type"], client.hear()["type"]] == ["frame", "state"]
        frame = server.sink._board.newest()[1].message
        assert getattr(frame, "picture", "none") is None


def test_figures_go_once_a_second_to_those_who_want_them(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    with server.connect() as client:
        client.want(stats=True)
        server.sink.send(replace(two_hands(), capture_time_s=time.monotonic(), dropped_frames=3), None)
        stats = client.hear_type("stats")
    assert stats["dropped_frames"] == 3 and stats["clients"] == 1 and stats["preview_offered"] is True
    assert stats["recording"] is None
    assert set(stats["latency_ms"]) == {"p50", "p95", "p99"}


# Clients that do harm.


def test_what_is_not_understood_is_answered_and_changes_nothing(server: Server) -> None:
    with server.connect() as client:
        client.want(side="left")
        for said in (
            "{",
            '{"type":"want","side":"both"}',
            '{"type":"launch"}',
            b"\xc1",
            "[]",
            '{"type":"want","mesh":1}',
        ):
            client.connection.send(said)
            assert client.hear()["type"] == "error"
        server.sink.send(two_hands(), None)
        assert [hand["side"] for hand in client.hear()["hands"]] == ["left"]


def test_a_client_that_never_reads_holds_nobody_up_and_fills_no_memory(server: Server) -> None:
    idle = server.raw(server.upgrade(), receive_bytes=4096)
    with idle, server.connect() as reader:
        wait_until(lambda: server.clients == 2)
        reader.hear()
        longest_s = 0.0
        for index in range(150):  # many times what the system keeps for the idle client
            start = time.perf_counter()
            server.sink.send(two_hands(index), None)
            longest_s = max(longest_s, time.perf_counter() - start)
            assert reader.hear()["frame"] == index
        assert longest_s < 0.5
        waiting = [
            client.connection.transport.get_write_buffer_size() for client in server.sink._server._clients
        ]
        assert max(waiting) < 50_000
        assert server.sink._statistics.figures().skipped > 20


def test_a_slow_client_gets_whole_messages_and_the_newest_last(server: Server) -> None:
    with server.connect() as slow:
        for index in range(300):
            server.sink.send(two_hands(index), None)
            time.sleep(0.0005)
        server.sink.notify("ended")
        seen = []
        while (message := slow.hear())["type"] != "state":
            if message["type"] == "frame":
                seen.append(message["frame"])
        assert seen == sorted(set(seen)) and seen[-1] == 299


def test_closing_with_stuck_clients_takes_no_longer_than_2_s() -> None:
    server = Server(token=TOKEN)
    peers = [
        server.raw(server.upgrade(Authorization=f"Bearer {TOKEN}"), receive_bytes=4096) for _ in range(3)
    ]
    peers += [server.raw(b""), server.raw(b"GET / HT"), server.raw(server.upgrade())]
    wait_until(lambda: server.clients == 3)
    for index in range(200):
        server.sink.send(two_hands(index), None)
        time.sleep(0.0005)
    start = time.monotonic()
    server.sink.close()
    assert time.monotonic() - start < 2.0
    assert not server.sink._thread.is_alive()
    for peer in peers:
        peer.close()


def test_sending_after_closing_is_refused_and_closing_says_so_to_clients() -> None:
    server = Server()
    with server.connect() as client:
        client.hear()
        server.sink.close()
        with pytest.raises(ConnectionClosed) as closed:
            client.hear()
        assert closed.value.rcvd is not None and closed.value.rcvd.code == 1001
    with pytest.raises(SinkFailedError, match="is closed"):
        server.sink.send(two_hands(), None)


# Who may listen.


@pytest.mark.parametrize("header", [f"Bearer {TOKEN}", f"bearer  {TOKEN}"])
def test_a_client_with_the_token_in_its_header_listens(guarded: Server, header: str) -> None:
    with guarded.connect(additional_headers={"Authorization": header}) as client:
        assert client.hear()["type"] == "header"


def test_a_client_whose_first_message_is_the_token_listens(guarded: Server) -> None:
    with guarded.connect() as client:
        client.say(type="token", token=TOKEN)
        assert client.hear()["type"] == "header"


@pytest.mark.parametrize(
    "said", [{"type": "token", "token": "guess"}, {"type": "want"}, {"type": "token"}, {"type": "ö" * 99}]
)
def test_a_client_that_says_something_else_first_hears_nothing(
    guarded: Server, said: dict[str, object]
) -> None:
    with guarded.connect() as client:
        client.say(**said)
        assert client.hear()["type"] == "error"
        with pytest.raises(ConnectionClosed) as closed:
            client.hear()
        assert closed.value.rcvd is not None and closed.value.rcvd.code == 4401


def test_a_client_that_says_nothing_is_let_go(guarded: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hearing, "TOKEN_S", 0.05)
    with guarded.connect() as client:
        guarded.sink.send(two_hands(), None)
        assert client.hear()["type"] == "error"
        with pytest.raises(ConnectionClosed):
            client.hear()


def test_a_wrong_token_in_the_header_is_refused(guarded: Server) -> None:
    with pytest.raises(InvalidStatus) as refused:
        guarded.connect(additional_headers={"Authorization": "Bearer guess"})
    assert refused.value.response.status_code == 401


def test_serving_other_machines_without_a_token_is_refused() -> None:
    with pytest.raises(SinkError, match="give --token"):
        Server("0.0.0.0:0")


def test_a_page_from_elsewhere_does_not_get_in(server: Server) -> None:
    with pytest.raises(InvalidStatus) as refused:
        server.connect(origin="http://evil.example")
    assert refused.value.response.status_code == 403
    with server.connect(origin=f"http://127.0.0.1:{server.port}") as own:
        assert own.hear()["type"] == "header"


def test_a_name_that_was_made_to_point_here_does_not_get_in(server: Server) -> None:
    with server.raw(server.upgrade(Host=f"evil.example:{server.port}")) as peer:
        assert peer.recv(100).startswith(b"HTTP/1.1 403 ")


def test_an_unknown_subprotocol_is_refused_with_the_known_ones(server: Server) -> None:
    with pytest.raises(InvalidStatus) as refused:
        server.connect(subprotocol=Subprotocol("hand-track.v9.json"))
    assert refused.value.response.status_code == 400
    assert b"hand-track.v1.json, hand-track.v1.msgpack" in refused.value.response.body


def test_a_taken_port_is_one_clear_line(server: Server) -> None:
    with pytest.raises(SinkError, match="another program listens there"):
        Server(f"127.0.0.1:{server.port}")


def test_a_connection_that_breaks_in_a_callback_is_not_told_and_a_bug_is(
    server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(error: Exception) -> None:
        raise error

    with server.connect() as client:
        client.hear()
        server.sink._call(fail, OSError(107, "Transport endpoint is not connected"))
        server.sink._call(fail, ValueError("a bug"))
        server.sink.send(two_hands(), None)
        client.hear()
    told = [str(record.exc_info[1]) for record in caplog.records if record.exc_info is not None]
    assert told == ["a bug"]
