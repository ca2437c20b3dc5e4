"""The viewer in a real browser, against the real server."""

import io
import json
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from http import HTTPStatus
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from browser import Viewer, chromium
from PIL import Image
from tracked_values import CAMERA, picture, some_frame, some_hand, some_info, two_hands
from web_server import JSON, TOKEN, Server, wait_until
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from tracker.axes import AXES
from tracker.cameras import Pinhole
from tracker.joints import BONES, Side
from tracker.sinks.drawing import SIDE_COLOURS
from tracker.sinks.layout import NATIVE, find_layout
from tracker.sinks.wire import encode_frame, encode_header, read_clock
from tracker.skeletons import SKELETONS
from tracker.structs import Frame, TrackedFrame
from tracker.web import pages as pages_module
from tracker.web import server as server_module
from tracker.web.routes import Routes

RUN_LIVE = Path(__file__).resolve().parents[1] / "run_live.py"
LATEST = "handTracker.latest.frame?.frame"
OpenViewer = Callable[..., Viewer]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as browser:
        yield browser


@pytest.fixture
def open_viewer(browser: Any) -> Iterator[OpenViewer]:
    """Opens the page of a server; at the end no page may have complained of anything."""
    contexts, viewers = [], []

    def open_page(port: int, fragment: str = "", *, script: str = "", **options: Any) -> Viewer:
        options = {"viewport": {"width": 900, "height": 700}, "color_scheme": "dark"} | options
        contexts.append(browser.new_context(**options))
        if script:
            contexts[-1].add_init_script(script)
        viewers.append(Viewer(contexts[-1], f"http://127.0.0.1:{port}/{fragment}"))
        return viewers[-1]

    yield open_page
    for context in contexts:
        context.close()
    assert [complaint for viewer in viewers for complaint in viewer.complaints] == []


def send(server: Server, viewer: Viewer, tracked: TrackedFrame, frame: Frame | None = None) -> None:
    """Send a frame, again where the page was not yet there to hear it, until it is shown."""
    end_s = time.monotonic() + 10
    while viewer.value(LATEST) != tracked.frame_index:
        assert time.monotonic() < end_s, "the frame was never shown"
        server.sink.send(tracked, frame)
        viewer.page.wait_for_timeout(30)


def recording(*frames: TrackedFrame, layout: Any = NATIVE) -> str:
    """The text of a recording."""
    info = some_info()
    lines = [encode_header(info, read_clock(), layout)]
    lines += [encode_frame(frame, layout, info.camera) for frame in frames]
    return b"\n".join(lines).decode() + "\n"


def colour_distance(pixel: list[int] | tuple[int, ...], side: Side) -> int:
    return max(abs(a - b) for a, b in zip(pixel, SIDE_COLOURS[side], strict=False))


def space_picture(viewer: Viewer) -> np.ndarray:
    """What the 3D view shows, (H, W, 3) in CSS pixels."""
    return np.asarray(
        Image.open(io.BytesIO(viewer.page.locator("#space").screenshot())).convert("RGB")
    ).astype(int)


def bluish(image: np.ndarray) -> int:
    """How many pixels have the hue of right hands."""
    return int(((image[..., 2] > 110) & (image[..., 2] - image[..., 0] > 60)).sum())


# Live.


class OtherClient(threading.Thread):
    """A client that keeps the hands of every frame it hears."""

    def __init__(self, port: int) -> None:
        super().__init__(daemon=True)
        self.hands: dict[int, Any] = {}
        self._url = f"ws://127.0.0.1:{port}/"
        self.start()

    def run(self) -> None:
        try:
            with connect(self._url, subprotocols=[JSON], compression=None, proxy=None) as connection:
                for text in connection:
                    message = json.loads(text)
                    if message["type"] == "frame":
                        self.hands[message["frame"]] = message["hands"]
        except ConnectionClosed:
            pass


@pytest.fixture
def live_port() -> Iterator[int]:
    """Where the command in the README serves the demo clip."""
    command = [sys.executable, str(RUN_LIVE), "--source", "demo", "--serve", "127.0.0.1:0", "--preview"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        assert process.stdout is not None
        lines = iter(process.stdout.readline, "")
        port = next(
            int(found[1]) for line in lines if (found := re.search(r"listens at http://\S+:(\d+)/", line))
        )
        yield port
        process.kill()


def test_the_page_shows_the_joints_that_another_client_hears(live_port: int, open_viewer: OpenViewer) -> None:
    pytest.importorskip("onnxruntime")
    other, viewer = OtherClient(live_port), open_viewer(live_port)
    seen: dict[int, Any] = {}
    viewer.until(f"{LATEST} >= 0")
    while len(seen) < 8:
        frame = viewer.value("handTracker.latest.frame")
        seen[frame["frame"]] = frame["hands"]
        viewer.page.wait_for_timeout(10)
    wait_until(lambda: max(other.hands, default=-1) >= max(seen))
    common = seen.keys() & other.hands.keys()
    assert len(common) > 4 and sum(len(seen[index]) for index in common) > 4
    for index in common:
        for hand, heard in zip(seen[index], other.hands[index], strict=True):
            assert hand["joints_in_camera_m"] == heard["joints_in_camera_m"]
            assert hand["joints_px"] == heard["joints_px"]
    viewer.until("handTracker.pictured && handTracker.stats?.frame_rate_hz > 0")
    assert viewer.value("handTracker.state") == "playing"


def test_bones_are_drawn_where_the_picture_has_them(open_viewer: OpenViewer) -> None:
    with Server() as server:
        viewer = open_viewer(server.port)
        frame = two_hands(7)
        send(server, viewer, frame)
        background = viewer.picture_pixel(*viewer.call("onPicture", [5, 5]))
        drawn = 0
        for hand in frame.hands:
            for parent, child in BONES:
                middle = (hand.joints_px[parent] + hand.joints_px[child]) / 2
                pixel = viewer.picture_pixel(*viewer.call("onPicture", middle.tolist()))
                drawn += colour_distance(pixel, hand.pose.side) < 40
        assert max(background) < 30
        assert drawn >= 0.9 * 2 * len(BONES)  # a label may lie on some


def test_the_picture_lies_where_the_camera_has_it_and_its_own_hands_over_it(open_viewer: OpenViewer) -> None:
    with Server(preview=True) as server:
        viewer = open_viewer(server.port)
        image = np.zeros((480, 640, 3), np.uint8)
        image[:, :320] = 200, 0, 0
        image[240:, 320:] = 0, 0, 200
        send(server, viewer, some_frame(index=1), replace(picture(1), image_rgb=image))
        viewer.until("handTracker.stats?.preview_offered")
        send(server, viewer, some_frame(index=2), replace(picture(2), image_rgb=image))
        for index in range(3, 40):
            server.sink.send(some_frame(index=index), replace(picture(index), image_rgb=image))
            viewer.page.wait_for_timeout(30)
            if max(viewer.picture_pixel(*viewer.call("onPicture", [100, 100]))) > 150:
                break
        for (x, y), colour in {
            (10, 10): (200, 0, 0),
            (312, 470): (200, 0, 0),
            (328, 248): (0, 0, 200),
        }.items():
            pixel = viewer.picture_pixel(*viewer.call("onPicture", [x, y]))
            assert np.abs(np.subtract(pixel, colour)).max() < 30, (x, y)
        assert max(viewer.picture_pixel(*viewer.call("onPicture", [328, 230]))) < 30
        viewer.press("p")
        viewer.page.wait_for_timeout(100)
        assert max(viewer.picture_pixel(*viewer.call("onPicture", [100, 100]))) < 30


SLOW_DECODER = """createImageBitmap = ((own) => async (...given) => {
    await new Promise((done) => setTimeout(done, 150));
    return own(...given);
})(createImageBitmap)"""


def test_picture_and_hands_are_of_one_frame_however_slow_the_page_is(open_viewer: OpenViewer) -> None:
    greys = [30 + 4 * index % 200 for index in range(200)]
    with Server(preview=True) as server:
        viewer = open_viewer(server.port, script=SLOW_DECODER)
        send(server, viewer, some_frame(index=1), picture(1))
        viewer.until("handTracker.stats?.preview_offered")
        seen = set()
        for index in range(2, 200):
            image = np.full((480, 640, 3), greys[index], np.uint8)
            server.sink.send(some_frame(index=index), replace(picture(index), image_rgb=image))
            if index % 8:
                time.sleep(0.002)
                continue
            viewer.page.wait_for_timeout(25)
            grey, shown, newest = viewer.value(
                f"""[document.getElementById("picture").getContext("2d").getImageData(
                    ...handTracker.onPicture([5, 300]).map(Math.floor), 1, 1).data[0],
                    handTracker.pictured.frame, {LATEST}]"""
            )
            if shown < newest and grey >= 28:
                assert abs(grey - greys[shown]) < 2
                seen.add(shown)
        assert len(seen) > 1


def test_hands_stand_in_space_as_skeletons_and_on_wish_as_skin(open_viewer: OpenViewer) -> None:
    with Server() as server:
        viewer = open_viewer(server.port)
        frame = two_hands(1)
        send(server, viewer, frame)
        viewer.until("handTracker.inSpace([0, 0, 0.4]) !== null")
        viewer.page.wait_for_timeout(200)
        bones = space_picture(viewer)
        for hand in frame.hands:
            for parent, child in BONES[4::4]:  # of the palm, where none hides another
                joints = hand.pose.joints_in_camera_m
                x, y = viewer.call("inSpace", ((joints[parent] + joints[child]) / 2).tolist())
                near = bones[int(y) - 2 : int(y) + 3, int(x) - 2 : int(x) + 3].reshape(-1, 3)
                warm = hand.pose.side is Side.LEFT
                assert any(r - b > 50 if warm else b - r > 50 for r, _, b in near), (hand.pose.side, x, y)
        viewer.press("m")
        viewer.page.wait_for_timeout(100)  # the wish is on its way
        send(server, viewer, two_hands(2))
        viewer.until("handTracker.skinned")
        viewer.page.wait_for_timeout(200)
        assert bluish(space_picture(viewer)) > 2 * bluish(bones)
        viewer.press("m")
        viewer.page.wait_for_timeout(100)
        send(server, viewer, two_hands(3))
        assert not viewer.value("handTracker.skinned")


def test_a_change_of_the_picture_s_size_changes_the_view_and_keeps_the_skin(open_viewer: OpenViewer) -> None:
    with Server() as server:
        viewer = open_viewer(server.port)
        viewer.press("m")
        for index, camera in enumerate([CAMERA, Pinhole(400, 800, 300.0, 300.0, 199.5, 399.5)]):
            server.sink.begin(some_info(camera))
            server.sink.notify("playing")
            send(server, viewer, two_hands(2 * index, camera=camera))
            viewer.until(f"handTracker.latest.header.camera.width === {camera.width}")
            viewer.page.wait_for_timeout(100)  # the wish for skin is on its way
            send(server, viewer, two_hands(2 * index + 1, camera=camera))
            viewer.until("handTracker.skinned")
            (left, top), (right, bottom) = (
                viewer.call("onPicture", [-0.5, -0.5]),
                viewer.call("onPicture", [camera.width - 0.5, camera.height - 0.5]),
            )
            assert (right - left) / (bottom - top) == pytest.approx(camera.width / camera.height)


def test_pause_freezes_what_is_shown_and_nothing_else(open_viewer: OpenViewer) -> None:
    with Server() as server:
        viewer = open_viewer(server.port)
        send(server, viewer, two_hands(1))
        viewer.press("Space")
        for index in range(2, 8):
            server.sink.send(two_hands(index), None)
            viewer.page.wait_for_timeout(20)
        assert viewer.value(LATEST) == 1 and viewer.value("handTracker.state") == "paused"
        viewer.press("Space")
        viewer.until(f"{LATEST} === 7")


def test_figures_of_a_paused_page_are_of_the_frame_that_is_shown(open_viewer: OpenViewer) -> None:
    stopped_clock = "performance.now = () => 1000"  # figures are written ten times a second: never again
    with Server() as server:
        viewer = open_viewer(server.port, script=stopped_clock)
        send(server, viewer, two_hands(1))
        frame = some_frame(some_hand(wrist_m=(-0.09, 0.08, 0.7)), index=2)
        send(server, viewer, frame)
        viewer.press("Space")
        knuckles = frame.hands[0].pose.joints_in_camera_m[[5, 9, 13, 17]].mean(axis=0)
        assert f"{100 * np.linalg.norm(knuckles):.1f}" in viewer.text("hands")


def test_states_are_shown_and_spoken_and_lost_hands_go(open_viewer: OpenViewer) -> None:
    with Server() as server:
        viewer = open_viewer(server.port)
        send(server, viewer, two_hands(1))
        server.sink.notify("lost")
        viewer.until("handTracker.state === 'lost'")
        assert "camera is away" in viewer.text("announcer") and viewer.page.is_visible("#veil")
        viewer.until("handTracker.latest.frame.hands.length === 0")
        server.sink.notify("playing")
        send(server, viewer, two_hands(2))
        assert viewer.value("handTracker.state") == "playing" and not viewer.page.is_visible("#veil")
        server.sink.notify("ended")
        viewer.until("handTracker.state === 'ended'")


def test_a_card_tells_side_id_distance_and_score(open_viewer: OpenViewer) -> None:
    with Server() as server:
        viewer = open_viewer(server.port)
        frame = some_frame(some_hand(Side.RIGHT, track_id=12), index=3)
        send(server, viewer, frame)
        knuckles = frame.hands[0].pose.joints_in_camera_m[[5, 9, 13, 17]].mean(axis=0)
        viewer.until_text("hands", f"Right[^]*#12[^]*{100 * np.linalg.norm(knuckles):.1f}")
        assert f"{frame.hands[0].score:.2f}" in viewer.text("hands")
        assert "not seen" in viewer.text("hands")  # the left


def test_the_record_button_follows_the_tracker(open_viewer: OpenViewer) -> None:
    asked: list[bool] = []
    with Server(switch_recording=asked.append) as server:
        viewer = open_viewer(server.port)
        send(server, viewer, two_hands(1))
        viewer.press("r")
        wait_until(lambda: asked == [True])
        server.sink.recording_is("hands-1.jsonl")
        viewer.until("document.getElementById('record').ariaPressed === 'true'")
        assert "hands-1.jsonl" in viewer.text("toasts")
        server.sink.recording_is(None, "the disk is full")
        viewer.until_text("toasts", "disk is full")
        viewer.until("document.getElementById('record').ariaPressed === 'false'")


# Access and connection.


def test_a_token_in_the_address_is_used_and_taken_out_of_it(open_viewer: OpenViewer) -> None:
    with Server(token=TOKEN) as server:
        viewer = open_viewer(server.port, f"#token={TOKEN}")
        send(server, viewer, two_hands(1))
        assert viewer.page.url == f"http://127.0.0.1:{server.port}/"
        assert TOKEN not in viewer.page.content()
        viewer.page.reload()
        send(server, viewer, two_hands(2))
        assert viewer.value("localStorage.length") == 0


def test_a_link_with_a_token_works_in_a_page_that_asks_for_one(open_viewer: OpenViewer) -> None:
    with Server(token=TOKEN) as server:
        viewer = open_viewer(server.port)
        viewer.until("document.getElementById('token-dialog').open")
        viewer.page.goto(f"http://127.0.0.1:{server.port}/#token={TOKEN}")
        send(server, viewer, two_hands(1))
        assert viewer.page.url == f"http://127.0.0.1:{server.port}/"
        assert not viewer.value("document.getElementById('token-dialog').open")


def test_a_token_is_asked_for_and_a_wrong_one_again(open_viewer: OpenViewer) -> None:
    with Server(token=TOKEN) as server:
        viewer = open_viewer(server.port, "#wrong")
        viewer.until("document.getElementById('token-dialog').open")
        assert "not accepted" in viewer.text("token-hint")
        rows = "[...document.querySelector('#token-hint code').getClientRects()].length"
        for width in range(320, 480, 4):
            viewer.page.set_viewport_size({"width": width, "height": 700})
            assert viewer.value(rows) == 1  # never broken after its hyphens
        viewer.page.fill("#token", TOKEN)
        viewer.press("Enter")
        send(server, viewer, two_hands(1))
        assert not viewer.value("document.getElementById('token-dialog').open")


def test_a_lost_connection_is_made_again(open_viewer: OpenViewer) -> None:
    with Server() as server:
        viewer = open_viewer(server.port)
        send(server, viewer, two_hands(1))
    viewer.until("['waiting', 'connecting'].includes(handTracker.state)")
    assert viewer.page.is_visible("#veil")
    with Server(f"127.0.0.1:{server.port}") as server:
        send(server, viewer, two_hands(5))
        assert viewer.value("handTracker.state") == "playing"
        assert not viewer.page.is_visible("#try-now")
    forgive_refusals(viewer)


def forgive_refusals(viewer: Viewer) -> None:
    """A browser itself says so where nobody listens; a page goes on trying until it is closed."""
    viewer.page.close()
    own = re.compile("WebSocket connection to .* failed|Failed to load resource")
    viewer.complaints[:] = [line for line in viewer.complaints if not own.match(line)]


WAITS = (
    "((own) => {{ window.waits = []; setTimeout = (run, ms) => (waits.push(ms), own(run, {})) }})(setTimeout)"
)


def test_waits_between_tries_stay_short(open_viewer: OpenViewer) -> None:
    with Server() as server:
        viewer = open_viewer(server.port, script=WAITS.format("ms / 100"))
        viewer.until("handTracker.latest.header || handTracker.state === 'playing'")
    viewer.until("waits.length > 7")
    waits_ms = viewer.value("waits")
    assert waits_ms[0] < 600 and 1000 < max(waits_ms) <= 2000
    forgive_refusals(viewer)


def test_a_person_can_have_the_page_try_now(open_viewer: OpenViewer) -> None:
    never = WAITS.format("1e8")
    with Server() as server:
        viewer = open_viewer(server.port, script=never)
        send(server, viewer, two_hands(1))
    viewer.until("document.getElementById('try-now').checkVisibility() && waits.length")
    viewer.page.set_viewport_size({"width": 390, "height": 844})
    assert viewer.value("document.documentElement.scrollWidth") <= 390
    with Server(f"127.0.0.1:{server.port}") as server:
        while viewer.value("document.activeElement.id") != "try-now":
            viewer.press("Tab")
        viewer.press("Enter")
        send(server, viewer, two_hands(5))
        assert viewer.value("handTracker.state") == "playing"
    forgive_refusals(viewer)


def test_a_full_tracker_does_not_look_like_a_dead_one(
    open_viewer: OpenViewer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server_module, "MAX_CLIENTS", 0)
    with Server() as server:
        viewer = open_viewer(server.port)
        viewer.until_text("veil", "tracker is there and says: too many clients.*[.] This page goes on")
        monkeypatch.setattr(server_module, "MAX_CLIENTS", 1)
        send(server, viewer, two_hands(1))
        assert viewer.value("handTracker.state") == "playing"
    viewer.until_text("veil", "No connection to the tracker")
    forgive_refusals(viewer)


def test_a_tracker_that_refuses_without_words_is_told_from_a_dead_one(
    open_viewer: OpenViewer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        Routes, "_upgrade", lambda *_: pages_module.text(HTTPStatus.SERVICE_UNAVAILABLE, "full")
    )
    with Server() as server:
        viewer = open_viewer(server.port)
        viewer.until_text("veil", "is there but lets no more clients in")
    viewer.until_text("veil", "No connection to the tracker")
    forgive_refusals(viewer)


# Recordings.


@pytest.fixture(scope="module")
def pages() -> Iterator[Server]:
    """A server that has nothing to say."""
    with Server() as server:
        yield server


def test_a_dropped_recording_is_scrubbed_played_and_left(pages: Server, open_viewer: OpenViewer) -> None:
    viewer = open_viewer(pages.port)
    frames = [two_hands(index) for index in range(40)]
    viewer.drop("hands.jsonl", recording(*frames))
    viewer.until(f"handTracker.position === 0 && {LATEST} === 0")
    assert viewer.value("handTracker.latest.header.source") == "clip.mp4"
    viewer.until_text("source", "hands.jsonl .* clip.mp4 .* 640 . 480 .* hand21 .* opencv")
    assert viewer.page.is_disabled("#mesh") and "no skin" in viewer.text("space-note")
    for keys, index in [
        (["ArrowRight"] * 3, 3),
        (["ArrowLeft"], 2),
        (["End"], 39),
        (["Shift+ArrowLeft"], 9),
        (["Home"], 0),
    ]:
        viewer.press(*keys)
        viewer.until(f"{LATEST} === {index}")
    viewer.page.focus("#slider")
    viewer.press("ArrowRight")
    viewer.until(f"{LATEST} === 1")
    viewer.page.click("#play")
    viewer.until(f"{LATEST} === 39 && document.getElementById('play').ariaLabel === 'Play'")
    assert viewer.text("time") == "0:01.30 / 0:01.30"
    viewer.press("l")
    viewer.until("handTracker.position === null")
    assert not viewer.page.is_visible("#player")


def test_space_is_the_same_in_all_joint_sets_and_axes(pages: Server, open_viewer: OpenViewer) -> None:
    viewer = open_viewer(pages.port)
    places = {}
    tip = "n => /(little|pinky).*tip/.test(n)"
    for axes in AXES:
        for skeleton in SKELETONS:
            name = f"{skeleton}-{axes}.jsonl"
            viewer.drop(name, recording(two_hands(4), layout=find_layout(skeleton, axes)))
            viewer.until(
                f"document.title.startsWith('{name}') && handTracker.latest.header?.axes === '{axes}'"
            )
            viewer.until(
                f"handTracker.latest.header.skeleton === '{skeleton}' && handTracker.inSpace([0, 0, 1])"
            )
            viewer.until("handTracker.latest.frame.frame === 4")
            places[name] = viewer.value(
                f"""(({{header, frame}}) => frame.hands.map((hand) => handTracker.inSpace(
                    hand.joints_in_camera_m[header.joint_names.findIndex({tip})])))(handTracker.latest)"""
            )
    expected = np.array(places["hand21-opencv.jsonl"])
    assert expected.shape == (2, 2) and expected[0, 0] < expected[1, 0]  # the left hand on the left
    for name, found in places.items():
        np.testing.assert_allclose(found, expected, atol=0.05, err_msg=name)


NO_RECORDINGS = {
    "text.jsonl": ("hello\n", "its first line is no header"),
    "film.mp4": ("\0\1ftyp" * 1000, "its first line is no header"),
    "frames.jsonl": (
        '{"type":"frame","frame":0,"capture_time_s":0,"hands":[]}\n',
        "its first line is no header",
    ),
    "empty.jsonl": ("", "it is empty"),
    "new.jsonl": ('{"type":"header","format":"hand-track","version":2}\n', "version 2"),
    "hands.mcap": ("MCAP", "only .jsonl opens here"),
    "short.jsonl": (recording(), "holds no frames"),
}


def test_a_file_that_is_no_recording_gets_one_clear_line(pages: Server, open_viewer: OpenViewer) -> None:
    viewer = open_viewer(pages.port)
    for name, (text, reason) in NO_RECORDINGS.items():
        viewer.drop(name, text)
        viewer.until("document.getElementById('toasts').children.length === 1")
        assert name in viewer.text("toasts") and reason in viewer.text("toasts")
        viewer.page.click("#toasts button")
    assert viewer.value("handTracker.position") is None


def test_hands_with_unknown_joints_and_lines_of_unknown_kinds_are_shown_as_far_as_they_go(
    pages: Server, open_viewer: OpenViewer
) -> None:
    viewer = open_viewer(pages.port)
    whole = recording(two_hands(0)).splitlines()
    broken = json.loads(whole[1]) | {"frame": 1, "new_key": {}}
    for hand in broken["hands"]:
        hand["joints_px"][4] = hand["joints_in_camera_m"][4] = [None, None, None]
        hand["joints_px"][8] = hand["covariance_m2"] = None
    odd = json.loads(whole[1]) | {"frame": 2, "hands": [None, {}, {"side": 3, "joints_px": "x"}]}
    lines = [*whole, '{"type":"novelty"}', json.dumps(broken), "{torn", json.dumps(odd), '{"type":"fra']
    viewer.drop("odd.jsonl", "\n".join(lines))
    viewer.until("document.getElementById('slider').max === '2'")
    viewer.until_text("toasts", "1 lines of odd.jsonl could not be read")
    for index in (1, 2):
        viewer.press("ArrowRight")
        viewer.until(f"{LATEST} === {index}")
        if index == 1:
            x, y = np.mean([broken["hands"][0]["joints_px"][joint] for joint in (0, 17)], axis=0)
            pixel = viewer.picture_pixel(*viewer.call("onPicture", [x, y]))
            assert colour_distance(pixel, Side(broken["hands"][0]["side"])) < 40


def test_a_byte_order_mark_before_a_recording_is_passed_over(pages: Server, open_viewer: OpenViewer) -> None:
    viewer = open_viewer(pages.port)
    viewer.drop("marked.jsonl", "\ufeff" + recording(two_hands(0), two_hands(1)))
    viewer.until(f"{LATEST} === 0")
    viewer.press("End")
    viewer.until(f"{LATEST} === 1")


def test_a_long_recording_keeps_the_page_awake(pages: Server, open_viewer: OpenViewer) -> None:
    viewer = open_viewer(pages.port)
    header = recording()
    viewer.page.evaluate(
        """(header) => {
            const parts = [header];
            const rest = `"hands":[]${" ".repeat(200)}}\\n`;
            for (let k = 0; k < 50000; k++) {
                parts.push(`{"type":"frame","frame":${k},"capture_time_s":${k / 30},` + rest);
            }
            const d = new DataTransfer();
            d.items.add(new File(parts, "hour.jsonl"));
            setTimeout(() => {
                window.longest = 0;
                let last = performance.now();
                setInterval(() => {
                    window.longest = Math.max(window.longest, performance.now() - last);
                    last = performance.now();
                }, 5);
                dispatchEvent(new DragEvent("drop", { dataTransfer: d, bubbles: true }));
            });
        }""",
        header,
    )
    viewer.until("document.getElementById('slider').max === '49999'")
    assert viewer.value("longest") < 400  # 12 ms of work at a time, on a machine that may be busy
    viewer.press("End")
    viewer.until(f"{LATEST} === 49999")


# The page itself.


def contrast(one: list[float], other: list[float]) -> float:
    """The ratio of WCAG 2.2, from sRGB 0 to 255."""

    def luminance(colour: list[float]) -> float:
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in np.array(colour) / 255]
        return float(np.dot(linear, (0.2126, 0.7152, 0.0722)))

    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def test_text_is_legible_in_dark_and_light(pages: Server, open_viewer: OpenViewer) -> None:
    viewer = open_viewer(pages.port)
    backgrounds = {}
    for scheme in ("dark", "light"):
        viewer.page.emulate_media(color_scheme=scheme)
        style = "getComputedStyle(document.querySelector('{}')).{}"
        colours = {
            name: [float(part) for part in re.findall(r"[\d.]+", viewer.value(style.format(*place)))[:3]]
            for name, place in {
                "page": ("body", "backgroundColor"),
                "panel": (".panel", "backgroundColor"),
                "text": ("body", "color"),
                "note": (".note", "color"),
                "button": ("#pause", "backgroundColor"),
            }.items()
        }
        backgrounds[scheme] = sum(colours["page"])
        for text, ground in [
            ("text", "page"),
            ("text", "panel"),
            ("note", "panel"),
            ("note", "page"),
            ("text", "button"),
        ]:
            assert contrast(colours[text], colours[ground]) >= 4.5, (scheme, text, ground)
    assert backgrounds["dark"] < 100 < 600 < backgrounds["light"]


def test_the_page_fits_a_phone_and_is_reached_by_keyboard(pages: Server, open_viewer: OpenViewer) -> None:
    viewer = open_viewer(pages.port, viewport={"width": 390, "height": 844})
    for width, height in ((390, 844), (844, 390)):
        viewer.page.set_viewport_size({"width": width, "height": height})
        assert viewer.value("document.documentElement.scrollWidth") <= width
    viewer.page.set_viewport_size({"width": 390, "height": 844})
    viewer.drop("hands.jsonl", recording(two_hands(1)))
    viewer.until_text("source", "clip.mp4 .* 640 . 480")
    source = viewer.page.locator("#source")
    assert source.is_visible() and source.evaluate("(line) => line.scrollWidth <= line.clientWidth")
    viewer.press("l")
    reached = set()
    for _ in range(20):
        viewer.press("Tab")
        reached.add(viewer.value("document.activeElement.id || document.activeElement.dataset.view"))
    assert {"pause", "open", "help", "space", "mesh", "angle", "camera"} <= reached
    viewer.press("?")
    assert viewer.page.is_visible("#shortcuts")
    viewer.press("Escape")
    assert not viewer.page.is_visible("#shortcuts")


def test_without_webgl_the_rest_works(open_viewer: OpenViewer) -> None:
    script = """HTMLCanvasElement.prototype.getContext = ((own) => function (kind, ...rest) {
        return kind.startsWith("webgl") ? null : own.call(this, kind, ...rest);
    })(HTMLCanvasElement.prototype.getContext);"""
    with Server() as server:
        viewer = open_viewer(server.port, script=script)
        send(server, viewer, two_hands(2))
        viewer.until_text("space-veil", "no WebGL")
        viewer.complaints[:] = [
            line for line in viewer.complaints if "WebGL" not in line
        ]  # three says so too
        assert viewer.page.is_disabled("#mesh")


def test_messages_of_unknown_kinds_and_shapes_are_passed_over(pages: Server, open_viewer: OpenViewer) -> None:
    viewer = open_viewer(pages.port)
    said = [
        "{torn",
        "null",
        "7",
        '{"type":"novelty"}',
        '{"type":"state"}',
        '{"type":"stats"}',
        '{"type":"preview"}',
    ]

    def serve(route: Any) -> None:
        for text in [*recording().splitlines(), *said, encode_frame(two_hands(9)).decode()]:
            route.send(text)

    viewer.page.route_web_socket(re.compile("ws://"), serve)
    viewer.page.reload()
    viewer.until(f"{LATEST} === 9")
