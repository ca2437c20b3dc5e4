"""A browser's pictures as a source: newest only, sane times, and nothing unusable ends it."""

import io
import math
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from tracker.cameras import CameraChoice, pinhole_from_fov
from tracker.sources import open_source
from tracker.sources.browser_camera import SILENT_S, BrowserCamera, jpeg_size
from tracker.structs import Frame


def jpeg(width: int = 96, height: int = 64, grey: int = 128, **options: object) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (width, height), (grey, grey, grey)).save(file, "JPEG", **options)
    return file.getvalue()


class FakeTime:
    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


class Taker:
    """Takes frames one at a time, with the states told before each."""

    def __init__(self, camera: BrowserCamera) -> None:
        self.states: list[str] = []
        camera.call_on_state(self.states.append)
        self._frames = iter(camera)

    def take(self) -> Frame:
        return next(self._frames)

    def ends(self) -> bool:
        return next(self._frames, None) is None


def connected(**options: object) -> tuple[BrowserCamera, FakeTime, Taker]:
    clock = FakeTime()
    camera = BrowserCamera(clock=clock, **options)
    assert camera.connected()
    return camera, clock, Taker(camera)


@contextmanager
def eventually(action: threading.Thread) -> Iterator[None]:
    action.start()
    try:
        yield
    finally:
        action.join(5.0)
        assert not action.is_alive()


def test_a_picture_becomes_a_frame_with_its_pixels_time_and_camera():
    camera, clock, taker = connected()
    gradient = np.tile(np.arange(0, 256, 2, np.uint8)[None, :, None], (64, 1, 3))
    file = io.BytesIO()
    Image.fromarray(gradient).save(file, "JPEG", quality=95)
    camera.put_jpeg(file.getvalue(), clock.now_s - 0.05)
    frame = taker.take()
    assert frame.image_rgb.shape == (64, 128, 3) and frame.image_rgb.flags.c_contiguous
    assert np.abs(frame.image_rgb.astype(int) - gradient).mean() < 2.0
    assert (frame.index, frame.capture_time_s) == (0, clock.now_s - 0.05)
    assert (frame.camera.width, frame.camera.height, frame.camera.assumed) == (128, 64, True)


def test_only_the_newest_picture_waits_and_the_others_are_counted():
    camera, clock, taker = connected()
    for grey in (10, 20, 30, 200):
        camera.put_jpeg(jpeg(grey=grey), clock.now_s)
    frame = taker.take()
    assert (frame.index, camera.dropped_frames) == (3, 3)
    assert abs(int(frame.image_rgb.mean()) - 200) < 4


@given(st.lists(st.floats(width=64), min_size=1, max_size=8))
def test_times_lie_within_a_second_before_the_arrival_and_increase(stated):
    camera, clock, taker = connected()
    picture = jpeg()
    last_s = -math.inf
    for stated_s in stated:
        clock.now_s += 0.03
        camera.put_jpeg(picture, stated_s)
        time_s = taker.take().capture_time_s
        assert time_s > last_s
        assert clock.now_s - 1.0 <= time_s <= clock.now_s + 1e-5
        if max(last_s, clock.now_s - 1.0) < stated_s <= clock.now_s:
            assert time_s == stated_s or time_s - last_s == pytest.approx(1e-6)
        last_s = time_s


@pytest.mark.parametrize(
    ("picture", "why"),
    [
        (b"", "no whole JPEG"),
        (b"\xff\xd8", "no whole JPEG"),
        (jpeg()[:-20], "no whole JPEG"),
        (jpeg()[:200] + b"\xff\xd9", "no whole JPEG"),
        (b"\x89PNG" + jpeg(), "no whole JPEG"),
        (jpeg(5000, 64), "5000 x 64"),
        (jpeg(96, 32), "96 x 32"),
    ],
    ids=["empty", "start", "cut", "hollow", "png", "large", "small"],
)
def test_what_is_no_usable_picture_is_dropped_counted_and_complained_of(picture, why, caplog):
    camera, clock, taker = connected(max_frames=2)
    camera.put_jpeg(jpeg(), clock.now_s)
    taker.take()
    camera.put_jpeg(picture, clock.now_s)
    with eventually(threading.Thread(target=put_after_a_drop, args=(camera, jpeg(), clock))):
        frame = taker.take()
    assert (frame.index, camera.dropped_frames) == (2, 1)
    complaint = camera.complaint()
    assert complaint is not None and why in complaint
    assert camera.complaint() is None
    assert len(caplog.records) == 1


def put_after_a_drop(camera: BrowserCamera, picture: bytes, clock: FakeTime, dropped: int = 1) -> None:
    while camera.dropped_frames < dropped:
        threading.Event().wait(0.001)
    camera.put_jpeg(picture, clock.now_s)


def test_the_same_complaint_is_logged_once_a_visit(caplog):
    camera, clock, taker = connected()
    for k in range(4):
        if k == 2:
            camera.disconnected()
            camera.connected()
        camera.put_jpeg(b"garbage", clock.now_s)
        with eventually(threading.Thread(target=put_after_a_drop, args=(camera, jpeg(), clock, k + 1))):
            taker.take()
    assert len(caplog.records) == 2


@given(st.binary(max_size=300), st.integers(0, 600), st.integers(0, 600))
def test_damage_never_ends_the_source(garbage, start, length):
    """A damaged picture is dropped, or decodes to something of an allowed size; the next one comes."""
    camera, clock, taker = connected()
    whole = jpeg(quality=60)
    camera.put_jpeg(whole[:start] + garbage + whole[start + length :], clock.now_s)
    taken = threading.Event()

    def put_whole() -> None:
        while not camera.dropped_frames and not taken.is_set():
            taken.wait(0.001)
        camera.put_jpeg(whole, clock.now_s)

    with eventually(threading.Thread(target=put_whole)):
        first = taker.take()
        taken.set()
    assert min(first.image_rgb.shape[:2]) >= 64
    last = first if first.index == 1 else taker.take()
    assert (last.index, last.image_rgb.shape) == (1, (64, 96, 3))


@given(st.integers(64, 200), st.integers(64, 200), st.booleans(), st.booleans())
def test_the_size_is_read_before_decoding(width, height, progressive, grey):
    file = io.BytesIO()
    Image.new("L" if grey else "RGB", (width, height)).save(file, "JPEG", progressive=progressive)
    assert jpeg_size(file.getvalue()) == (width, height)


def test_a_turned_phone_gives_another_camera():
    camera, clock, taker = connected(cameras=CameraChoice(horizontal_fov_deg=70.0, turns=True))
    cameras = []
    for size in ((128, 96), (128, 96), (96, 128)):
        clock.now_s += 0.03
        camera.put_jpeg(jpeg(*size), clock.now_s)
        cameras.append(taker.take().camera)
    assert cameras[0] is cameras[1]
    assert (cameras[2].width, cameras[2].height) == (96, 128)
    upright, turned = cameras[0].to_json(), cameras[2].to_json()
    assert (upright["fx"], upright["fy"]) == (turned["fx"], turned["fy"])  # the lens is the same
    assert upright["fx"] == pytest.approx(64 / math.tan(math.radians(35.0)))


def test_a_picture_that_does_not_fit_the_calibration_is_dropped_and_said():
    camera, clock, taker = connected(cameras=CameraChoice(calibration=pinhole_from_fov(128, 96, 65.0)))
    camera.put_jpeg(jpeg(96, 128), clock.now_s)
    with eventually(threading.Thread(target=put_after_a_drop, args=(camera, jpeg(128, 96), clock))):
        frame = taker.take()
    assert (frame.camera.width, frame.index) == (128, 1)
    complaint = camera.complaint()
    assert complaint is not None and "aspect" in complaint


def test_decoded_pictures_are_taken_as_well():
    camera, clock, taker = connected()
    image = np.full((64, 96, 3), 77, np.uint8)
    camera.put_picture(av.VideoFrame.from_ndarray(image, format="rgb24"), clock.now_s)
    assert np.array_equal(taker.take().image_rgb, image)


def test_one_browser_at_a_time_and_the_next_after_it_went():
    camera, clock, taker = connected()
    assert not camera.connected()
    camera.disconnected()
    camera.put_jpeg(jpeg(), clock.now_s)  # from a connection that is over
    assert camera.connected()
    camera.put_jpeg(jpeg(grey=200), clock.now_s)
    assert taker.take().image_rgb.mean() > 190


def test_states_tell_of_browsers_that_come_go_and_change():
    camera, clock, taker = connected()
    camera.put_jpeg(jpeg(), clock.now_s)
    taker.take()
    assert taker.states == ["lost", "playing"]
    camera.put_jpeg(jpeg(), clock.now_s)
    camera.disconnected()
    taker.take()  # what came before it went
    assert taker.states == ["lost", "playing"]
    waiting = threading.Thread(target=taker.take)
    with eventually(waiting):
        for _ in range(1000):
            if taker.states[-1] == "lost":
                break
            threading.Event().wait(0.001)
        assert taker.states == ["lost", "playing", "lost"]
        assert camera.connected()
        camera.put_jpeg(jpeg(), clock.now_s)
    assert taker.states == ["lost", "playing", "lost", "playing"]
    camera.disconnected()
    assert camera.connected()
    camera.put_jpeg(jpeg(), clock.now_s)
    taker.take()  # another browser, though nobody saw the first one go
    assert taker.states == ["lost", "playing", "lost", "playing", "lost", "playing"]


def test_a_browser_that_falls_silent_is_lost_and_comes_back(monkeypatch):
    monkeypatch.setattr("tracker.sources.browser_camera.SILENT_S", 0.05)
    assert SILENT_S > 1.0
    camera, clock, taker = connected()
    camera.put_jpeg(jpeg(), clock.now_s)
    taker.take()
    with eventually(threading.Timer(0.3, camera.put_jpeg, (jpeg(), clock.now_s))):
        taker.take()
    assert taker.states == ["lost", "playing", "lost", "playing"]


def test_closing_ends_the_wait_for_the_first_browser():
    camera = BrowserCamera()
    taker = Taker(camera)
    with eventually(threading.Timer(0.05, camera.close)):
        assert taker.ends()
    assert taker.states == ["lost"]
    assert not camera.connected()
    camera.put_jpeg(jpeg(), 0.0)
    assert list(camera) == []


def test_it_ends_after_as_many_frames_as_asked_for():
    camera, clock, taker = connected(max_frames=2)
    for _ in range(2):
        camera.put_jpeg(jpeg(), clock.now_s)
        taker.take()
    assert taker.ends()


def test_the_word_browser_names_it():
    with closing(open_source("browser", horizontal_fov_deg=80.0, max_frames=3)) as source:
        assert isinstance(source, BrowserCamera)
        assert (source.name, source.live, source.frame_count, source.frame_rate_hz) == (
            "browser",
            True,
            None,
            None,
        )
