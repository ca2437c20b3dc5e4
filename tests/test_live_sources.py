import http.server
import itertools
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace

import av
import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_videos import write_video

from tracker.cameras import CameraChoice, pinhole_from_fov
from tracker.errors import CameraError, CameraMismatchError, SourceError, SourceFailedError
from tracker.sources import live_pictures, open_source, webcam
from tracker.sources.decoding import decode_pictures
from tracker.sources.live_pictures import LivePictures
from tracker.sources.network_stream import NetworkConfig, NetworkStream, public_name, stream_options
from tracker.sources.paced import PacedSource
from tracker.sources.webcam import DeviceArguments, WebcamConfig, list_webcams, webcam_open_arguments

HASTY = NetworkConfig(open_timeout_s=0.3, read_timeout_s=0.3)


def generated(seconds: float = 1.0) -> DeviceArguments:
    """FFmpeg's picture generator, which opens as a device does."""
    return DeviceArguments(f"testsrc2=size=96x64:rate=30:duration={seconds}", "lavfi", {})


def open_generated(seconds: float = 1.0) -> "av.container.InputContainer":
    arguments = generated(seconds)
    return av.open(arguments.file, format=arguments.format)


# Webcams


def test_webcams_are_opened_in_each_systems_way():
    config = WebcamConfig(width=640, height=480, frame_rate_hz=60)
    linux, *_ = webcam_open_arguments("linux", 2, config)
    wanted = {"video_size": "640x480", "framerate": "60"}
    assert linux == ("/dev/video2", "v4l2", {"input_format": "mjpeg"} | wanted)
    macos, *_ = webcam_open_arguments("darwin", 2, config)
    assert macos == ("2", "avfoundation", wanted)
    windows, *_ = webcam_open_arguments("win32", 2, config, device_file="HD Cam")
    assert windows == ("video=HD Cam", "dshow", wanted)


@pytest.mark.parametrize("platform", ["linux", "darwin", "win32"])
def test_a_webcam_that_lacks_the_wanted_mode_is_asked_for_less(platform):
    attempts = webcam_open_arguments(platform, 0, WebcamConfig(), device_file="HD Cam")
    assert len({(attempt.file, attempt.format) for attempt in attempts}) == 1
    asked = [len(attempt.options) for attempt in attempts]
    assert asked[-1] == 0 and asked[0] == max(asked)


def test_a_refused_mode_falls_back_to_the_next(monkeypatch):
    refused = DeviceArguments("no such filter", "lavfi", {})
    monkeypatch.setattr(webcam, "webcam_open_arguments", lambda *_, **__: [refused, refused, generated()])
    with closing(open_source("0", max_frames=3)) as source:
        assert [frame.index for frame in source] == [0, 1, 2]


def test_a_webcam_gives_frames_and_says_when_it_is_unplugged(monkeypatch):
    monkeypatch.setattr(webcam, "webcam_open_arguments", lambda *_, **__: [generated(0.2)])
    before_s = time.monotonic()
    source = open_source("/dev/video0", camera=pinhole_from_fov(192, 128, 65.0))
    assert (source.name, source.live, source.frame_count) == ("webcam 0", True, None)
    assert source.frame_rate_hz == 30.0
    frames = []
    with pytest.raises(SourceFailedError, match=r"webcam 0 stopped.*unplugged"):
        for frame in source:
            frames.append(frame)
    assert [frame.index for frame in frames] == list(range(6))
    times = [before_s, *(frame.capture_time_s for frame in frames), time.monotonic()]
    assert times == sorted(set(times))
    assert len({id(frame.camera) for frame in frames}) == 1


def test_a_webcam_with_the_wrong_calibration_fails_at_open(monkeypatch):
    monkeypatch.setattr(webcam, "webcam_open_arguments", lambda *_, **__: [generated()])
    with pytest.raises(CameraError, match="another aspect"):
        open_source("0", camera=pinhole_from_fov(64, 64, 65.0))


def test_a_missing_webcam_is_named_with_those_that_are_there(monkeypatch):
    devices = [webcam.Device(0, "/dev/video0", "HD Cam"), webcam.Device(2, "/dev/video2", "Headset")]
    monkeypatch.setattr(webcam, "list_webcams", lambda _: devices)
    with pytest.raises(SourceError, match=r"no webcam 97; found: 0 \(HD Cam\), 2 \(Headset\)"):
        open_source("97")
    monkeypatch.setattr(webcam, "list_webcams", lambda _: [])
    with pytest.raises(SourceError, match="no webcam 97; no webcam was found"):
        open_source("97")


def test_linux_lists_cameras_but_not_their_metadata_nodes(tmp_path):
    for name, index, description in [
        ("video10", 0, "Headset"),
        ("video2", 0, "HD Cam"),
        ("video3", 1, "HD Cam"),
    ]:
        (tmp_path / "dev").mkdir(exist_ok=True)
        (tmp_path / "dev" / name).touch()
        about = tmp_path / "sys" / "class" / "video4linux" / name
        about.mkdir(parents=True)
        (about / "index").write_text(f"{index}\n")
        (about / "name").write_text(f"{description}\n")
    listed = list_webcams("linux", devices=tmp_path / "dev", about=tmp_path / "sys")
    assert [(device.number, device.description) for device in listed] == [(2, "HD Cam"), (10, "Headset")]


@pytest.mark.parametrize("platform", ["linux", "darwin", "win32"])
def test_listing_webcams_never_fails(platform):
    assert all(device.number >= 0 for device in list_webcams(platform))


@pytest.mark.parametrize("values", [{"width": 0}, {"height": -1}, {"frame_rate_hz": float("nan")}])
def test_an_impossible_mode_is_refused(values):
    with pytest.raises(SourceError, match="must be positive"):
        WebcamConfig(**values)


# Pictures as they arrive


def ticking(start_s: float, step_s: float = 1.0 / 30.0):
    return map(lambda k: start_s + k * step_s, itertools.count()).__next__


def all_frames(pictures: LivePictures) -> list[float]:
    frames = iter(pictures.next_frame, None)
    return [frame.capture_time_s for frame in frames]


def test_driver_times_are_kept_where_they_are_on_our_clock():
    pictures = LivePictures(
        open_generated(0.2), "cam", cameras=CameraChoice(), driver_times=True, clock=ticking(0.1)
    )
    assert all_frames(pictures) == pytest.approx([k / 30 for k in range(6)])


@pytest.mark.parametrize("options", [{}, {"driver_times": True}])
def test_arrival_times_are_used_where_stated_times_are_on_another_clock(options):
    pictures = LivePictures(
        open_generated(0.2), "cam", cameras=CameraChoice(), clock=ticking(1000.0, 0.01), **options
    )
    assert all_frames(pictures) == pytest.approx([1000.0 + 0.01 * k for k in range(6)])


def test_pictures_that_arrive_together_still_have_increasing_times():
    pictures = LivePictures(open_generated(0.2), "cam", cameras=CameraChoice(), clock=lambda: 5.0)
    times = all_frames(pictures)
    assert times == sorted(set(times))
    assert times[-1] < 5.001


class Hesitant:
    """A container whose reads fail now and then, as those of cameras do."""

    def __init__(self, container, error: type[Exception], every: int) -> None:
        self._container, self._error, self._reads, self._every = container, error, itertools.count(1), every

    def demux(self, stream) -> Iterator[av.Packet]:
        packets = self._container.demux(stream)
        while True:
            if next(self._reads) % self._every == 0:
                raise self._error(11, "not now")
            packet = next(packets)
            yield packet
            if packet.size == 0:  # the end: PyAV's sign to empty the decoder
                return


def test_a_camera_that_has_no_picture_yet_is_asked_again():
    container = open_generated(0.5)
    waits: list[float] = []
    hesitant = Hesitant(container, av.BlockingIOError, 2)
    pictures = list(decode_pictures(hesitant, container.streams.video[0], "cam", wait=waits.append))
    assert len(pictures) == 15
    assert len(waits) >= 15


def test_a_camera_that_never_has_a_picture_breaks_off():
    container = open_generated()
    waits: list[float] = []
    hesitant = Hesitant(container, av.BlockingIOError, 1)
    with pytest.raises(SourceFailedError, match="broke off after 0 frames"):
        list(decode_pictures(hesitant, container.streams.video[0], "cam", wait=waits.append))
    assert 4.0 < sum(waits) < 6.0


def test_packets_that_a_driver_spoils_are_skipped_unless_they_all_are():
    container = open_generated(0.5)
    hesitant = Hesitant(container, av.InvalidDataError, 3)
    assert len(list(decode_pictures(hesitant, container.streams.video[0], "cam"))) == 15
    hesitant = Hesitant(container, av.InvalidDataError, 1)
    with pytest.raises(SourceFailedError, match="cannot be decoded after 0 frames"):
        list(decode_pictures(hesitant, container.streams.video[0], "cam"))


# Network streams


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    content: bytes
    status: int
    states_length: bool
    stalls: threading.Event | None

    def do_GET(self) -> None:
        self.send_response(self.status)
        if self.states_length:
            self.send_header("Content-Length", str(len(self.content)))
        else:
            self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        if self.states_length:
            self.wfile.write(self.content)
        else:
            self.wfile.write(b"%x\r\n%s\r\n" % (len(self.content), self.content))
        if self.stalls is not None:
            self.wfile.flush()
            self.stalls.wait(10.0)
        if not self.states_length:
            self.wfile.write(b"0\r\n\r\n")

    def log_message(self, *_: object) -> None: ...


@contextmanager
def served(
    content: bytes, *, status: int = 200, states_length: bool = True, stalls: bool = False
) -> Iterator[str]:
    """A URL on this machine that gives ``content``, and then keeps the line open if it ``stalls``."""
    released = threading.Event() if stalls else None
    values = {"content": content, "status": status, "states_length": states_length, "stalls": released}
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), type("TestHandler", (Handler,), values))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://someone:secret@127.0.0.1:{server.server_port}/clip"
    finally:
        if released is not None:
            released.set()
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.mark.parametrize(
    ("suffix", "options"), [(".mp4", {"movflags": "faststart"}), (".ts", {}), (".mkv", {})]
)
def test_a_recording_on_a_web_server_keeps_its_own_times(tmp_path, suffix, options):
    path = write_video(tmp_path / f"clip{suffix}", muxer_options=options)
    expected = [frame.capture_time_s for frame in open_source(path)]
    with served(path.read_bytes()) as url, closing(open_source(url)) as source:
        assert not source.live
        assert [frame.capture_time_s for frame in source] == expected


def test_an_http_stream_without_end_is_live_and_ends_with_its_sender(tmp_path):
    path = write_video(tmp_path / "clip.ts", frames=30)
    before_s = time.monotonic()
    with served(path.read_bytes(), states_length=False) as url, closing(open_source(url)) as source:
        assert (source.live, source.frame_count) == (True, None)
        assert source.name.endswith("/clip")
        assert "secret" not in source.name and "someone" not in source.name
        frames = list(source)
    assert [frame.index for frame in frames] == list(range(30))
    times = [before_s, *(frame.capture_time_s for frame in frames), time.monotonic()]
    assert times == sorted(set(times))


def mpeg_ts(
    size: tuple[int, int],
    *,
    frames: int = 30,
    group: int = 15,
    first_number: int = 0x100,
    program_number: int = 0x1000,
) -> bytes:
    """H.264 in MPEG-TS, a key frame every ``group`` frames."""
    options = {"preset": "ultrafast", "tune": "zerolatency", "g": str(group)}
    with TemporaryDirectory() as folder:
        return write_video(
            Path(folder) / "clip.ts",
            frames=frames,
            codec="libx264",
            size=size,
            codec_options=options,
            muxer_options={
                "mpegts_start_pid": str(first_number),
                "mpegts_pmt_start_pid": str(program_number),
            },
        ).read_bytes()


@pytest.mark.parametrize("number", [0x100, 0x300], ids=["as before", "under another number"])
def test_pictures_of_another_size_in_mid_stream_have_another_camera(number):
    content = mpeg_ts((96, 64)) + mpeg_ts((64, 96), first_number=number)
    with served(content, states_length=False) as url, closing(open_source(url)) as source:
        frames = list(source)
    assert [frame.index for frame in frames] == list(range(60))
    sizes = [(frame.camera.width, frame.camera.height) for frame in frames]
    assert sizes == [frame.image_rgb.shape[1::-1] for frame in frames]
    assert set(sizes[:29]) == {(96, 64)} and set(sizes[31:]) == {(64, 96)}
    assert len({id(frame.camera) for frame in frames}) == 2


def test_another_aspect_in_mid_stream_ends_a_calibrated_source():
    content = mpeg_ts((96, 64)) + mpeg_ts((64, 96))
    with served(content, states_length=False) as url:
        source = open_source(url, camera=pinhole_from_fov(192, 128, 65.0), reconnect=True)
        with pytest.raises(CameraMismatchError, match=r"size changed.*another aspect"):
            list(source)


def test_a_stream_that_ends_with_other_streams_than_it_began_with_breaks_off():
    """FFmpeg adds the new program's streams, of which PyAV's container does not know."""
    content = mpeg_ts((96, 64)) + mpeg_ts((96, 64), first_number=0x300, program_number=0x1100)
    with served(content, states_length=False) as url:
        seen = []
        with pytest.raises(SourceFailedError, match=r"broke off after .. frames: its streams changed"):
            for frame in open_source(url):
                seen.append(frame.index)
    assert len(seen) == 30


def test_a_stream_is_joined_in_the_middle_of_a_long_group_of_pictures():
    """Nothing decodes until the next key frame, for more packets than a broken stream is forgiven."""
    content = mpeg_ts((96, 64), frames=250, group=200)
    start = len(content) // 20 // 188 * 188
    with served(content[start:], states_length=False) as url, closing(open_source(url)) as source:
        frames = list(source)
    assert 40 <= len(frames) <= 50


def test_a_stream_whose_pictures_become_impossibly_large_breaks_off_before_they_are_decoded(monkeypatch):
    monkeypatch.setattr(live_pictures, "MAX_PIXELS", 128 * 96)
    content = mpeg_ts((96, 64)) + mpeg_ts((256, 192), frames=120)
    with served(content, states_length=False) as url:
        sizes = set()
        with pytest.raises(SourceFailedError, match="cannot be decoded after"):
            for frame in open_source(url):
                sizes.add(frame.image_rgb.shape)
    assert sizes == {(64, 96, 3)}


class WithSound:
    """A container that goes on with sound alone after its first pictures."""

    def __init__(self, container, pictures: int) -> None:
        self._container, self._pictures = container, pictures
        self.streams = (*container.streams, "sound")

    def demux(self, streams) -> Iterator[object]:
        assert tuple(streams) == self.streams
        yield from itertools.islice(self._container.demux(video=0), self._pictures)
        while True:
            yield SimpleNamespace(stream="sound")


def test_a_stream_that_goes_on_with_sound_alone_breaks_off():
    container = open_generated()
    sound = WithSound(container, 5)
    seen = []
    with pytest.raises(SourceFailedError, match="broke off after 5 frames: what came held no picture"):
        for picture in decode_pictures(
            sound, container.streams.video[0], "cam", quiet_s=2.0, clock=ticking(0.0, 0.1)
        ):
            seen.append(picture)
    assert len(seen) == 5


def test_a_stalled_stream_breaks_off_at_its_time_limit(tmp_path):
    content = write_video(tmp_path / "clip.ts", frames=30).read_bytes()
    with served(content, states_length=False, stalls=True) as url:
        source = NetworkStream(url, config=HASTY)
        seen = []
        with pytest.raises(SourceFailedError, match="no data came in time") as failure:
            for frame in source:
                seen.append(frame.index)
        assert len(seen) >= 28
        assert "secret" not in str(failure.value)


def test_closing_while_a_read_waits_ends_the_iteration_without_error(tmp_path):
    content = write_video(tmp_path / "clip.ts", frames=30).read_bytes()
    with served(content, states_length=False, stalls=True) as url:
        source = NetworkStream(url, config=NetworkConfig(read_timeout_s=1.0))
        many = threading.Event()
        errors: list[BaseException] = []

        def read_all() -> None:
            try:
                for frame in source:
                    if frame.index >= 20:
                        many.set()
            except BaseException as error:
                errors.append(error)

        reader = threading.Thread(target=read_all)
        reader.start()
        assert many.wait(5.0)
        start_s = time.monotonic()
        source.close()
        assert time.monotonic() - start_s < 0.8
        reader.join(5.0)
        assert not reader.is_alive()
        assert errors == []
        assert list(source) == []


def free_port(kind: socket.SocketKind) -> int:
    with socket.socket(socket.AF_INET, kind) as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def test_a_udp_sender_is_received(tmp_path):
    content = write_video(tmp_path / "clip.ts", frames=30, codec_options={"g": "5"}).read_bytes()
    port = free_port(socket.SOCK_DGRAM)
    stop = threading.Event()

    def send() -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            for start in itertools.cycle(range(0, len(content), 1316)):
                sender.sendto(content[start : start + 1316], ("127.0.0.1", port))
                if stop.wait(0.002):
                    return

    thread = threading.Thread(target=send)
    thread.start()
    try:
        with closing(open_source(f"udp://127.0.0.1:{port}", max_frames=20)) as source:
            assert source.live
            assert len(list(source)) == 20
    finally:
        stop.set()
        thread.join()


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("gopher://someone:secret@somewhere/x", "'gopher' is unknown; use one of rtsp"),
        ("rtsp://someone:secret@127.0.0.1:{tcp}/x", "refused"),
        ("http://someone:secret@127.0.0.1:{tcp}/x", "refused"),
        ("http://someone:secret@127.0.0.1:999999/x", "cannot be opened"),
        ("http://someone:secret@no-such-host.invalid/x", "cannot be opened"),
        ("udp://127.0.0.1:{udp}", "no data came in time"),
    ],
)
def test_an_unreachable_address_fails_at_open_without_telling_the_password(capfd, url, says):
    url = url.format(tcp=free_port(socket.SOCK_STREAM), udp=free_port(socket.SOCK_DGRAM))
    with pytest.raises(SourceError, match=says) as failure:
        open_source(url, network=HASTY)
    assert "\n" not in str(failure.value)
    assert "secret" not in str(failure.value)
    assert failure.value.__suppress_context__ or failure.value.__context__ is None
    assert capfd.readouterr() == ("", "")


def test_a_server_that_never_answers_fails_at_the_time_limit():
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
        with pytest.raises(SourceError, match="no data came in time"):
            open_source(f"http://{address}/x", network=HASTY)


def test_a_refused_password_is_told_so():
    with served(b"", status=401) as url, pytest.raises(SourceError, match="wants a user and password"):
        open_source(url)


def test_a_page_that_is_no_video_is_refused():
    with served(b"<html>hello</html>" * 100) as url, pytest.raises(SourceError, match="cannot be opened"):
        open_source(url)


@given(st.text(st.characters(codec="ascii", exclude_categories=["C"]), max_size=8), st.booleans())
def test_no_password_survives_in_a_public_name(noise, in_query):
    password = f"{noise}S3cret{noise}"
    url = f"rtsp://cam/x?password={password}" if in_query else f"rtsp://someone:{password}@cam:554/x"
    assert "S3cret" not in public_name(url)


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("rtsp://cam:554/x/y", "rtsp://cam:554/x/y"),
        ("rtsp://u:p@cam:554/x", "rtsp://cam:554/x"),
        ("http://[::1]:80/a.ts?key=1#z", "http://[::1]:80/a.ts"),
        ("http://cam/x@2.mp4", "http://cam/x@2.mp4"),
        ("udp://@:5000", "udp://:5000"),
    ],
)
def test_a_public_name_still_tells_the_address(url, name):
    assert public_name(url) == name


@pytest.mark.parametrize("protocol", ["rtsp", "udp", "http", "rtmp"])
def test_streams_open_quickly_and_keep_their_first_key_frame(protocol):
    options = stream_options(f"{protocol}://cam/x")
    assert options["analyzeduration"] == options["fpsprobesize"] == "0"
    assert int(options["probesize"]) <= 65536
    assert "fflags" not in options
    assert (protocol == "rtsp") == (options.get("rtsp_transport") == "tcp")


# Files played at their own rate


class FakeTime:
    def __init__(self) -> None:
        self.now_s = 100.0
        self.waits: list[float] = []

    def clock(self) -> float:
        return self.now_s

    def wait(self, seconds: float) -> None:
        assert seconds > 0
        self.waits.append(seconds)
        self.now_s += seconds


def paced(tmp_path: Path, fake: FakeTime) -> PacedSource:
    path = write_video(tmp_path / "vfr.mkv", codec="ffv1", times=[500, 533, 600, 700, 701, 900])
    return PacedSource(open_source(path), clock=fake.clock, wait=fake.wait)


def test_a_paced_file_gives_each_frame_when_it_is_due(tmp_path):
    fake = FakeTime()
    source = paced(tmp_path, fake)
    assert (source.live, source.frame_count) == (True, None)
    for frame, after_s in zip(source, [0.0, 0.033, 0.1, 0.2, 0.201, 0.4], strict=True):
        assert fake.now_s == pytest.approx(100.0 + after_s)
        assert frame.capture_time_s == pytest.approx(100.0 + after_s)


def test_a_late_consumer_of_a_paced_file_is_not_kept_waiting(tmp_path):
    fake = FakeTime()
    captured = []
    for frame in paced(tmp_path, fake):
        captured.append(frame.capture_time_s)
        fake.now_s += 0.15
    assert captured == pytest.approx([100.0, 100.033, 100.1, 100.2, 100.201, 100.4])
    assert fake.waits == []


def test_closing_a_paced_file_ends_its_wait(tmp_path):
    path = write_video(tmp_path / "slow.mkv", codec="ffv1", frames=2, times=[0, 60_000])
    source = PacedSource(open_source(path))
    frames = iter(source)
    next(frames)
    closer = threading.Timer(0.05, source.close)
    closer.start()
    assert list(frames) == []
    closer.join()
