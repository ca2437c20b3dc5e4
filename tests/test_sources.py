import gc
import logging
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
import pytest
from av.video.reformatter import Colorspace
from hypothesis import given
from hypothesis import strategies as st
from small_videos import CORNERS_RGB, HEIGHT, WIDTH, corner_colours, drawn_picture, write_video

from tracker.cameras import pinhole_from_fov
from tracker.errors import CameraError, SourceError, SourceFailedError
from tracker.sources import DEMO_LOCATION, MODELS_DIRECTORY, open_source
from tracker.sources.decoding import turn_upright
from tracker.sources.read_ahead import JOIN_TIMEOUT_S, ReadAhead
from tracker.structs import Frame

EGODEX = Path(__file__).parents[2] / "shared" / "data" / "egodex" / "video_learning_samples"
X264_WITHOUT_REORDERING = {"bf": "0", "x264-params": "log-level=none"}


def read(path: Path | str, **options: object) -> list[Frame]:
    return list(open_source(path, **options))


def read_until_failure(path: Path) -> tuple[list[Frame], str]:
    frames = []
    with pytest.raises(SourceFailedError) as failure:
        for frame in open_source(path):
            frames.append(frame)
    return frames, str(failure.value)


@pytest.mark.parametrize(
    ("codec", "pixel_format", "suffix", "size", "tolerance"),
    [
        ("mpeg4", "yuv420p", ".mp4", (WIDTH, HEIGHT), 8),
        ("libx264", "yuv420p", ".mp4", (WIDTH, HEIGHT), 8),
        ("libx264", "yuv444p", ".mkv", (WIDTH, HEIGHT), 8),
        ("libx265", "yuv420p10le", ".mp4", (WIDTH, HEIGHT), 8),
        ("libvpx-vp9", "yuv420p", ".webm", (WIDTH, HEIGHT), 8),
        ("mjpeg", "yuvj420p", ".avi", (WIDTH, HEIGHT), 12),
        ("ffv1", "yuv420p10le", ".mkv", (WIDTH, HEIGHT), 3),
        ("ffv1", "yuv420p", ".mkv", (321, 241), 3),
        ("ffv1", "bgr0", ".mkv", (101, 67), 0),
        ("rawvideo", "yuv420p", ".mkv", (321, 241), 3),
        ("mpeg4", "yuv420p", ".ts", (98, 66), 8),
    ],
)
def test_every_picture_comes_once_in_order_and_in_its_colours(
    tmp_path, codec, pixel_format, suffix, size, tolerance
):
    options = {"x265-params": "log-level=none"} if codec == "libx265" else {}
    path = write_video(
        tmp_path / f"clip{suffix}", codec=codec, pixel_format=pixel_format, size=size, codec_options=options
    )
    frames = read(path)
    assert [frame.index for frame in frames] == list(range(6))
    for frame in frames:
        assert frame.image_rgb.shape == (size[1], size[0], 3)
        assert frame.image_rgb.dtype == np.uint8
        assert frame.image_rgb.flags.c_contiguous
        assert (frame.camera.width, frame.camera.height) == size
        assert np.abs(corner_colours(frame.image_rgb) - CORNERS_RGB).max() <= tolerance
        bar = frame.image_rgb[size[1] // 2, 8 * frame.index + 2]
        assert np.abs(bar.astype(int) - 128).max() <= 25


@pytest.mark.parametrize("pixel_format", ["gray", "gray10le", "gray16le"])
def test_grey_video_has_three_equal_channels(tmp_path, pixel_format):
    frames = read(write_video(tmp_path / "grey.mkv", codec="ffv1", pixel_format=pixel_format))
    luma = np.array(CORNERS_RGB) @ (0.299, 0.587, 0.114)
    for frame in frames:
        assert (frame.image_rgb[..., 0] == frame.image_rgb[..., 1]).all()
        assert (frame.image_rgb[..., 0] == frame.image_rgb[..., 2]).all()
        assert np.abs(corner_colours(frame.image_rgb)[:, 0] - luma).max() <= 2


@pytest.mark.parametrize("color_range", [1, 2], ids=["limited", "full"])
@pytest.mark.parametrize("colorspace", [1, 5, 9], ids=["bt709", "bt601", "bt2020"])
def test_the_stated_colour_matrix_and_range_are_undone(tmp_path, colorspace, color_range):
    if colorspace == 9 and not hasattr(Colorspace, "BT2020"):
        pytest.skip("this PyAV does not know BT.2020")
    path = write_video(
        tmp_path / "tagged.mkv",
        codec="libx264",
        colorspace=colorspace,
        color_range=color_range,
        codec_options={"qp": "4", "x264-params": "log-level=none"},
    )
    for frame in read(path):
        assert np.abs(corner_colours(frame.image_rgb) - CORNERS_RGB).max() <= 4


EIGHT_WAYS = [
    (1, 0, 0, 1),
    (0, -1, 1, 0),
    (-1, 0, 0, -1),
    (0, 1, -1, 0),
    (-1, 0, 0, 1),
    (1, 0, 0, -1),
    (0, 1, 1, 0),
    (0, -1, -1, 0),
]


@given(st.sampled_from(EIGHT_WAYS), st.integers(1, 7), st.integers(1, 7), st.integers(0, 2**32 - 1))
def test_turning_upright_moves_every_pixel_as_the_matrix_says(matrix, width, height, seed):
    image = np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)
    a, b, c, d = matrix
    turned = turn_upright(image, matrix)
    corners = np.array([(x, y) for x in (0, width - 1) for y in (0, height - 1)]) @ [[a, b], [c, d]]
    left, top = corners.min(0)
    for y in range(height):
        for x in range(width):
            assert (turned[b * x + d * y - top, a * x + c * y - left] == image[y, x]).all()
    assert turned.size == image.size
    assert turned.flags.c_contiguous


needs_rotation_writing = pytest.mark.skipif(
    not hasattr(av.VideoStream, "set_display_matrix"), reason="this PyAV cannot write rotation metadata"
)


@needs_rotation_writing
@pytest.mark.parametrize("matrix", EIGHT_WAYS)
@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_rotation_metadata_is_applied(tmp_path, suffix, matrix):
    stored = read(write_video(tmp_path / f"stored{suffix}"))
    turned = read(write_video(tmp_path / f"turned{suffix}", display_matrix=matrix))
    assert len(turned) == len(stored)
    for one, other in zip(turned, stored, strict=True):
        assert (one.image_rgb == turn_upright(other.image_rgb, matrix)).all()


@needs_rotation_writing
@pytest.mark.parametrize(("degrees", "quarter_turns"), [(0, 0), (90, 1), (180, 2), (270, 3)])
def test_a_phone_held_sideways_gives_upright_pictures(tmp_path, degrees, quarter_turns):
    matrix = [EIGHT_WAYS[turn] for turn in range(4)][quarter_turns]
    path = write_video(tmp_path / "phone.mp4", display_matrix=matrix)
    with av.open(str(path)) as container:
        assert next(container.decode(video=0)).rotation % 360 == degrees
    image = read(path)[0].image_rgb
    expected = np.rot90(np.array(CORNERS_RGB).reshape(2, 2, 3), quarter_turns).reshape(4, 3)
    assert np.abs(corner_colours(image) - expected).max() <= 8


def test_the_camera_fits_the_upright_picture(tmp_path):
    if not hasattr(av.VideoStream, "set_display_matrix"):
        pytest.skip("this PyAV cannot write rotation metadata")
    path = write_video(tmp_path / "phone.mp4", display_matrix=EIGHT_WAYS[1])
    frames = read(path, camera=pinhole_from_fov(2 * HEIGHT, 2 * WIDTH, 60.0))
    assert (frames[0].camera.width, frames[0].camera.height) == (HEIGHT, WIDTH)
    with pytest.raises(CameraError, match="another aspect"):
        open_source(path, camera=pinhole_from_fov(WIDTH, HEIGHT, 60.0))


def test_times_of_variable_frame_rate_are_the_stated_ones(tmp_path):
    times = [0, 33, 40, 140, 141, 900]
    path = write_video(tmp_path / "vfr.mkv", codec="ffv1", times=times)
    assert [round(frame.capture_time_s * 1000) for frame in read(path)] == times


def test_pictures_without_times_follow_at_the_nominal_rate(tmp_path):
    path = write_video(
        tmp_path / "raw.h264", codec="libx264", container_format="h264", codec_options=X264_WITHOUT_REORDERING
    )
    source = open_source(path)
    frames = list(source)
    assert len(frames) == 6
    times = np.array([frame.capture_time_s for frame in frames])
    assert times == pytest.approx(np.arange(6) / source.frame_rate_hz)


def test_times_increase_where_a_recording_starts_its_clock_again(tmp_path):
    part = write_video(tmp_path / "part.ts").read_bytes()
    (tmp_path / "twice.ts").write_bytes(part + part)
    frames = read(tmp_path / "twice.ts")
    assert len(frames) == 12
    assert (np.diff([frame.capture_time_s for frame in frames]) > 0).all()


def test_two_readings_are_identical(tmp_path):
    path = write_video(tmp_path / "clip.mp4", frames=12, codec="libx264")
    for one, other in zip(read(path), read(path), strict=True):
        assert one.capture_time_s == other.capture_time_s
        assert (one.image_rgb == other.image_rgb).all()


@needs_rotation_writing
def test_decoded_pictures_are_freed_without_the_garbage_collector(tmp_path):
    path = write_video(tmp_path / "clip.mp4", frames=40, display_matrix=EIGHT_WAYS[2])
    gc.collect()
    gc.disable()
    try:
        for _ in range(5):
            assert len(read(path)) == 40
        open_source(path).close()
        alive = sum(isinstance(thing, av.VideoFrame) for thing in gc.get_objects())
    finally:
        gc.enable()
    assert alive == 0


def test_frames_are_prepared_in_the_thread_that_reads_ahead_before_they_are_given(tmp_path):
    source = open_source(write_video(tmp_path / "a.mp4", frames=6))
    prepared, threads = [], set()

    def prepare(frame: Frame) -> None:
        prepared.append(frame)
        threads.add(threading.current_thread().name)

    source.call_when_read(prepare)
    for frame in source:
        assert any(frame is other for other in prepared)
    assert [frame.index for frame in prepared] == list(range(6))
    assert threads == {"read-ahead"}


def test_an_error_while_a_frame_is_prepared_is_heard_of(tmp_path):
    source = open_source(write_video(tmp_path / "a.mp4", frames=3))

    def prepare(frame: Frame) -> None:
        if frame.index == 2:
            raise ZeroDivisionError

    source.call_when_read(prepare)
    given = []
    with pytest.raises(ZeroDivisionError):
        for frame in source:
            given.append(frame.index)
    assert given == [0, 1]


def test_max_frames_ends_the_video(tmp_path):
    path = write_video(tmp_path / "clip.mp4")
    source = open_source(path, max_frames=4)
    assert source.frame_count == 4
    assert len(list(source)) == 4
    assert len(read(path, max_frames=99)) == 6
    with pytest.raises(SourceError, match="1 or more"):
        open_source(path, max_frames=0)


def test_a_file_says_what_it_is(tmp_path):
    path = write_video(tmp_path / "clip.mp4", rate=25)
    source = open_source(path)
    assert (source.name, source.live) == (str(path), False)
    assert (source.frame_count, source.frame_rate_hz) == (6, 25.0)
    source.close()


@pytest.mark.parametrize("leave", ["break", "close", "never started"])
def test_leaving_early_ends_the_thread_and_releases_the_file(tmp_path, leave):
    path = write_video(tmp_path / "clip.mp4", frames=30)
    threads = threading.active_count()
    source = open_source(path)
    if leave == "break":
        for _ in source:
            break
    elif leave == "close":
        frames = iter(source)
        next(frames)
        source.close()
        assert list(frames) == []
    source.close()
    source.close()
    assert threading.active_count() == threads
    assert list(source) == []


def test_closing_from_another_thread_ends_the_iteration(tmp_path):
    source = open_source(write_video(tmp_path / "clip.mp4", frames=60))
    seen = []
    for frame in source:
        seen.append(frame.index)
        closer = threading.Thread(target=source.close)
        closer.start()
        closer.join()
    assert seen == [0]


def test_many_threads_may_close_at_once(tmp_path):
    path = write_video(tmp_path / "clip.mp4", frames=10)
    for _ in range(20):
        source = open_source(path)
        next(iter(source))
        together = threading.Barrier(4)

        def close(source=source, together=together) -> None:
            together.wait()
            source.close()

        closers = [threading.Thread(target=close) for _ in range(4)]
        for closer in closers:
            closer.start()
        for closer in closers:
            closer.join()
        assert list(source) == []


def test_the_camera_object_changes_only_with_the_picture_size(tmp_path):
    parts = [write_video(tmp_path / f"{k}.ts", size=(96 * k, 64 * k)).read_bytes() for k in (1, 2)]
    (tmp_path / "both.ts").write_bytes(parts[0] + parts[1])
    frames = read(tmp_path / "both.ts", camera=pinhole_from_fov(480, 320, 70.0))
    sizes = [(frame.camera.width, frame.camera.height) for frame in frames]
    assert sizes == [(96, 64)] * 6 + [(192, 128)] * 6
    assert len({id(frame.camera) for frame in frames}) == 2
    assert frames[-1].camera.fx == pytest.approx(2 * frames[0].camera.fx)


def test_a_size_of_another_aspect_in_mid_stream_is_an_error(tmp_path):
    parts = [write_video(tmp_path / f"{w}.ts", size=(w, 64)).read_bytes() for w in (96, 160)]
    (tmp_path / "both.ts").write_bytes(parts[0] + parts[1])
    seen = []
    with pytest.raises(SourceFailedError, match="another aspect"):
        for frame in open_source(tmp_path / "both.ts", camera=pinhole_from_fov(96, 64, 70.0)):
            seen.append(frame.index)
    assert seen == list(range(6))


def test_an_assumed_camera_is_marked_so(tmp_path):
    path = write_video(tmp_path / "clip.mp4")
    assert read(path, max_frames=1)[0].camera.assumed
    assert not read(path, max_frames=1, horizontal_fov_deg=70.0)[0].camera.assumed


@pytest.fixture
def pipe(tmp_path):
    """A named pipe, and a function that writes to it from a thread of its own, once somebody reads it."""
    if not hasattr(os, "mkfifo"):
        pytest.skip("this system has no named pipes")
    path, may_close = tmp_path / "pipe", threading.Event()
    os.mkfifo(path)

    def write(content, *, then_close):
        def work():
            with path.open("wb") as file:
                file.write(content)
                file.flush()
                then_close or may_close.wait(30)

        thread = threading.Thread(target=work, daemon=True)
        thread.start()
        threads.append(thread)

    threads = []
    yield path, write
    may_close.set()
    for thread in threads:
        thread.join(30)


@pytest.mark.parametrize(
    ("suffix", "options"), [(".ts", {}), (".mkv", {}), (".mp4", {"movflags": "faststart"})]
)
def test_a_pipe_gives_every_picture_that_is_written_to_it(tmp_path, pipe, suffix, options):
    """Nothing of it may be read twice: what was read is gone."""
    path, write = pipe
    write(
        write_video(tmp_path / f"w{suffix}", frames=30, muxer_options=options).read_bytes(), then_close=True
    )
    assert [frame.index for frame in open_source(path)] == list(range(30))


def test_a_pipe_whose_writer_falls_silent_can_be_closed(tmp_path, pipe):
    path, write = pipe
    write(write_video(tmp_path / "w.ts", frames=30).read_bytes(), then_close=False)
    source = open_source(path)
    frames = iter(source)
    next(frames)
    began_s = time.monotonic()
    source.close()
    assert time.monotonic() - began_s < JOIN_TIMEOUT_S / 2


def test_odd_file_names_are_only_names(tmp_path):
    for name in ("clip:1.mp4", "100%d.mp4", "a b ?.mp4", "http.mp4"):
        assert len(read(write_video(tmp_path / "clip.mp4").rename(tmp_path / name))) == 6


def test_a_path_is_a_file_even_where_the_word_means_something_else(tmp_path, monkeypatch):
    path = write_video(tmp_path / "a b.mp4")
    assert len(read(f"file://{path.as_posix().replace(' ', '%20')}")) == 6
    monkeypatch.chdir(tmp_path)
    for name in ("0", "demo"):
        path = path.rename(name)
        assert len(read(Path(name))) == 6
        assert open_source(f"./{name}", max_frames=1).name == name


def write_audio(path: Path) -> Path:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=44100)
        sound = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        sound.rate = 44100
        container.mux(stream.encode(sound))
        container.mux(stream.encode())
    return path


def write_text(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def write_start_of(path: Path, whole: Path, share: float) -> Path:
    content = whole.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    return path


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda d: d / "missing.mp4", "does not exist"),
        (lambda d: d, "is a directory"),
        (lambda d: write_text(d / "notes.mp4", "hello\n" * 100), "cannot be read as video"),
        (lambda d: write_text(d / "notes.txt", "hello\n" * 100), "holds no video"),
        (lambda d: write_text(d / "zero.mp4", ""), "is empty"),
        (lambda d: write_audio(d / "sound.mp4"), "holds no video .found: audio"),
        (
            lambda d: write_start_of(d / "cut.mp4", write_video(d / "w.mp4", frames=30), 0.5),
            "index is missing",
        ),
        (lambda d: write_video(d / "nothing.avi", frames=0), "no picture that can be decoded"),
        (lambda d: write_video(d / "nothing.mp4", frames=0), "holds no video"),
        (lambda d: write_video(d / "nothing.mkv", frames=0), "cannot be read as video"),
        (lambda d: "/dev/video97", "no webcam 97"),
        (lambda d: "-1", "no webcam -1; they are numbered from 0"),
        (lambda d: "", "source is empty"),
        (lambda d: " ", "source is empty"),
    ],
)
def test_bad_input_fails_at_open_with_one_clear_line(tmp_path, capfd, make, says):
    location = make(tmp_path)
    capfd.readouterr()
    with pytest.raises(SourceError, match=says) as failure:
        open_source(location)
    message = str(failure.value)
    assert "\n" not in message
    assert "Errno" not in message
    assert capfd.readouterr() == ("", "")


def test_a_file_without_permission_is_told_so(tmp_path, monkeypatch):
    path = write_video(tmp_path / "clip.mp4")

    def refuse(*_args, **_options):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(SourceError, match="may not be read by this user"):
        open_source(path)


@pytest.mark.parametrize(
    ("suffix", "muxer_options"),
    [(".mp4", {"movflags": "faststart"}), (".mkv", {}), (".avi", {})],
)
def test_a_cut_off_video_gives_its_good_frames_and_then_fails(tmp_path, capfd, suffix, muxer_options):
    whole_path = write_video(
        tmp_path / f"whole{suffix}",
        frames=90,
        codec="mjpeg",
        pixel_format="yuvj420p",
        muxer_options=muxer_options,
    )
    whole = read(whole_path)
    assert len(whole) == 90
    frames, message = read_until_failure(write_start_of(tmp_path / f"cut{suffix}", whole_path, 0.5))
    assert 20 < len(frames) < 60
    for one, other in zip(frames[:-1], whole, strict=False):  # the last may be cut through
        assert (one.image_rgb == other.image_rgb).all()
    assert "cut off or damaged" in message
    assert f"first {len(frames)} frames" in message
    assert "\n" not in message
    assert capfd.readouterr() == ("", "")


def test_damaged_packets_are_skipped_and_told_once(tmp_path, caplog):
    path = write_video(tmp_path / "clip.mkv", frames=40, codec="mjpeg", pixel_format="yuvj420p")
    whole = read(path)
    with av.open(str(path)) as container:
        packets = [bytes(packet) for packet in container.demux(video=0) if packet.size]
    content = bytearray(path.read_bytes())
    start = 0
    for index, packet in enumerate(packets):
        start = content.index(packet, start)
        if index in (7, 20, 21):
            content[start : start + len(packet)] = bytes(len(packet))
        start += len(packet)
    path.write_bytes(content)
    with caplog.at_level(logging.WARNING):
        frames = read(path)
    good = [index for index in range(40) if index not in (7, 20, 21)]
    assert len(frames) == len(good)
    for frame, index in zip(frames, good, strict=True):
        assert frame.capture_time_s == whole[index].capture_time_s
        assert (frame.image_rgb == whole[index].image_rgb).all()
    assert len(caplog.records) == 1
    assert "damaged after 7 frames" in caplog.text


@given(st.lists(st.integers()), st.integers(1, 5))
def test_reading_ahead_changes_nothing_and_keeps_its_depth(items, depth):
    made = 0

    def making() -> Iterator[int]:
        nonlocal made
        for item in items:
            made += 1
            yield item

    result = []
    for item in ReadAhead(making(), depth=depth):
        result.append(item)
        assert made <= len(result) + depth + 1
    assert result == items


def test_an_error_while_reading_ahead_comes_after_the_items_before_it():
    def failing() -> Iterator[int]:
        yield from range(5)
        raise SourceFailedError("broken")

    ahead = ReadAhead(failing(), depth=2)
    taken = []
    with pytest.raises(SourceFailedError, match="broken"):
        for item in ahead:
            taken.append(item)
    assert taken == list(range(5))
    assert list(ahead) == []


def test_drawn_pictures_differ():
    assert (drawn_picture(0) != drawn_picture(1)).any()


@pytest.mark.skipif(not (MODELS_DIRECTORY / "demo.mp4").exists(), reason="the demo clip is not there")
def test_the_demo_brings_its_own_camera():
    source = open_source(DEMO_LOCATION, max_frames=2)
    frames = list(source)
    assert len(frames) == 2
    assert not frames[0].camera.assumed
    assert read(DEMO_LOCATION, max_frames=1, horizontal_fov_deg=65.0)[0].camera != frames[0].camera


@pytest.mark.skipif(not EGODEX.exists(), reason="the sample videos are not there")
@pytest.mark.parametrize(
    "path", sorted(EGODEX.glob("*/*.mp4")), ids=lambda path: f"{path.parent.name}-{path.stem}"
)
def test_real_recordings_are_read_whole(path):
    source = open_source(path)
    count = 0
    for frame in source:
        assert frame.index == count
        assert frame.image_rgb.shape == (1080, 1920, 3)
        assert frame.capture_time_s == pytest.approx(count / 30.0, abs=1e-3)
        count += 1
    assert count == source.frame_count


@pytest.mark.parametrize(
    "location",
    [
        "rtsp//user:secretpw@host/x",
        "user:secretpw@host/x",
        "rtsp:/user:secretpw@host/x?key=secretpw",
        "user:an@secretpw@host/x#secretpw",
        "rtsp//user:secretpw/with@host/x",
    ],
)
def test_a_mistyped_url_gives_no_password_away(location):
    with pytest.raises(SourceError, match=r"\.\.\.@host/x is no file") as failure:
        open_source(location)
    assert "secretpw" not in str(failure.value)


def test_a_file_with_a_name_like_a_url_is_a_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_video(tmp_path / "plain.mp4", frames=1).rename(tmp_path / "at 12:30@home.mp4")
    assert len(list(open_source("at 12:30@home.mp4"))) == 1
