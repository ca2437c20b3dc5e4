"""Overlay videos: the source's timing, its picture, and what is drawn in it."""

import os
import signal
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tracked_values import CAMERA, picture, some_frame, some_hand, some_info, two_hands

from tracker.cameras import pinhole_from_fov
from tracker.errors import SinkError, SinkFailedError
from tracker.joints import FloatArray, Side
from tracker.sinks.canvas import DARK, blank_picture, fit_picture
from tracker.sinks.drawing import SIDE_COLOURS, clip_segment, draw_tracking, label
from tracker.sinks.video import CONTAINERS, MIN_STEP_TICKS, TICKS_PER_S, Timeline, VideoSink
from tracker.structs import ImageArray, TrackedHand

SUFFIXES = sorted(CONTAINERS)


def write(path: Path, times_s: list[float], width: int = 64, height: int = 48) -> None:
    sink = VideoSink(path)
    sink.begin(some_info(pinhole_from_fov(width, height, 65.0)))
    for index, time_s in enumerate(times_s):
        shown = picture(index, width=width, height=height, time_s=time_s)
        sink.send(some_frame(index=index, time_s=time_s), shown)
    sink.close()


def read(path: Path) -> tuple[list[float], list[ImageArray]]:
    """Presentation times and pictures; a damaged end is left out, as players do."""
    times_s, pictures = [], []
    with av.open(str(path)) as container:
        try:
            for frame in container.decode(video=0):
                times_s.append(float(frame.time or 0.0))
                pictures.append(frame.to_ndarray(format="rgb24"))
        except av.error.InvalidDataError:
            pass
    return times_s, pictures


def duration_s(path: Path) -> float:
    with av.open(str(path)) as container:
        assert container.duration is not None
        return container.duration / av.time_base


TIMINGS = {
    "30 Hz": [k / 30 for k in range(45)],
    "film": [5.0 + k * 1001 / 24000 for k in range(30)],
    "240 Hz": [k / 240 for k in range(60)],
    "variable": list(np.cumsum([0.033, 0.1, 0.017, 0.5, 2.5, 0.033, 0.001] * 3)),
    "one frame": [7.0],
    "slow": [0.0, 10.0, 20.0],
}


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("times_s", TIMINGS.values(), ids=TIMINGS)
def test_the_video_has_the_timing_of_the_source(tmp_path: Path, suffix: str, times_s: list[float]) -> None:
    path = tmp_path / f"a{suffix}"
    write(path, times_s)
    found_s, _ = read(path)
    resolution_s = 1e-3 if suffix == ".mkv" else 1 / TICKS_PER_S
    np.testing.assert_allclose(found_s, np.subtract(times_s, times_s[0]), atol=0.51 * resolution_s)
    last_step_s = np.diff(times_s)[-1] if len(times_s) > 1 else 1 / 30
    assert duration_s(path) == pytest.approx(found_s[-1] + last_step_s, abs=2e-3)


@pytest.mark.parametrize("suffix", [".mp4", ".mov"])
def test_a_closed_file_names_its_frame_count(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    write(path, TIMINGS["30 Hz"])
    with av.open(str(path)) as container:
        assert container.streams.video[0].frames == 45


@given(st.lists(st.floats(0, 1e4), min_size=1, max_size=50))
def test_video_time_always_rises(times_s: list[float]) -> None:
    timeline = Timeline()
    ticks = [timeline.ticks(time_s) for time_s in times_s]
    assert ticks[0] == 0
    assert all(later - earlier >= MIN_STEP_TICKS for earlier, later in pairwise(ticks))


def test_a_source_that_starts_over_goes_on_one_picture_later() -> None:
    timeline = Timeline()
    ticks = [timeline.ticks(time_s) for time_s in (1.0, 1.5, 1.0, 1.5)]
    np.testing.assert_allclose(np.divide(ticks, TICKS_PER_S), [0.0, 0.5, 0.5 + 1 / 30, 1.0 + 1 / 30])


@pytest.mark.parametrize(("width", "height"), [(641, 481), (640, 479), (17, 16), (1, 1)])
def test_odd_sizes_are_padded_to_even(tmp_path: Path, width: int, height: int) -> None:
    path = tmp_path / "a.mp4"
    write(path, TIMINGS["30 Hz"][:3], width, height)
    _, pictures = read(path)
    assert len(pictures) == 3
    assert pictures[0].shape == (height + height % 2, width + width % 2, 3)


def test_the_picture_comes_back_with_its_colours(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    shown = picture(width=320, height=240)
    shown.image_rgb[:] = (200, 60, 30)
    sink = VideoSink(path)
    sink.begin(some_info(shown.camera))
    for index in range(5):
        sink.send(some_frame(index=index), shown)
    sink.close()
    for seen in read(path)[1]:
        np.testing.assert_allclose(seen[200:, :].reshape(-1, 3).mean(axis=0), (200, 60, 30), atol=4)


def test_hands_are_drawn_on_a_dark_picture_when_there_is_none(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    sink = VideoSink(path)
    sink.begin(some_info())
    for index in range(3):
        sink.send(two_hands(index), None)
    sink.close()
    _, pictures = read(path)
    assert pictures[0].shape == (480, 640, 3)
    assert pictures[2].max() > 200
    np.testing.assert_allclose(pictures[2][460:, :20], np.broadcast_to(DARK, (20, 20, 3)), atol=6)


def test_a_later_size_is_fitted_into_the_first(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    sink = VideoSink(path)
    for index, (width, height) in enumerate([(640, 480), (480, 480), (1280, 960)]):
        shown = picture(39, width=width, height=height)
        sink.begin(some_info(shown.camera))
        sink.send(some_frame(index=index), shown)
    sink.close()
    first, narrow, large = read(path)[1]
    assert first.shape == narrow.shape == large.shape == (480, 640, 3)
    brightness = 40 + 5 * 39
    for seen in (first, large):
        np.testing.assert_allclose(seen[300], brightness, atol=4)
    np.testing.assert_allclose(narrow[300, 85:555], brightness, atol=4)
    np.testing.assert_allclose(narrow[300, :75], np.broadcast_to(DARK, (75, 3)), atol=6)


WRITER = """
import sys
from tracked_values import picture, some_info, two_hands
from tracker.sinks.video import VideoSink
sink = VideoSink(sys.argv[1])
sink.begin(some_info())
for index in range(int(sys.argv[2])):
    sink.send(two_hands(index), picture(index))
    print(index, flush=True)
{after}
"""


def writer(path: Path, count: int, after: str = "", before: str = "") -> subprocess.Popen[str]:
    tests = Path(__file__).parent
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(tests), str(tests.parent)])}
    return subprocess.Popen(
        [sys.executable, "-c", before + WRITER.format(after=after), str(path), str(count)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    )


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_killed_program_leaves_a_playable_video(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    process = writer(path, 150, after="import time; time.sleep(60)")
    assert process.stdout is not None
    while process.stdout.readline().strip() != "149":
        assert process.poll() is None
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=20)
    times_s, _ = read(path)
    assert len(times_s) >= 150 - 60  # at most two seconds: a piece, and what the encoder held
    np.testing.assert_allclose(times_s, np.arange(len(times_s)) / 30, atol=1e-3)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_full_disk_is_said_in_one_line_and_the_video_kept(tmp_path: Path, suffix: str) -> None:
    resource = pytest.importorskip("resource")
    del resource
    path = tmp_path / f"a{suffix}"
    limit = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))\n"
    process = writer(path, 900, before=limit)
    _, complaint = process.communicate(timeout=60)
    *_, last = complaint.splitlines()
    assert last.startswith("tracker.errors.SinkFailedError: writing ")
    assert last.endswith("File too large; the video up to the last second is kept")
    assert len(read(path)[0]) > 30


def test_closing_after_a_failure_is_silent_and_sending_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sink = VideoSink(tmp_path / "a.mp4")
    sink.begin(some_info())
    assert sink._encoder is not None

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(sink._encoder, "encode", fail)
    with pytest.raises(SinkFailedError, match="No space left"):
        sink.send(two_hands(), None)
    sink.close()
    with pytest.raises(SinkFailedError, match="is closed"):
        sink.send(two_hands(), None)


def test_an_existing_video_is_not_overwritten_by_accident(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    path.write_bytes(b"precious")
    with pytest.raises(SinkError, match="--overwrite"):
        VideoSink(path)
    assert path.read_bytes() == b"precious"
    sink = VideoSink(path, overwrite=True)
    assert path.read_bytes() == b"precious"
    sink.begin(some_info())
    sink.send(two_hands(), None)
    sink.close()
    assert b"precious" not in path.read_bytes()


def test_a_video_without_a_frame_leaves_no_file(tmp_path: Path) -> None:
    sink = VideoSink(tmp_path / "a.mp4")
    sink.begin(some_info())
    sink.close()
    assert not (tmp_path / "a.mp4").exists()


def test_an_output_that_cannot_be_opened_is_said_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(SinkError, match=r"end its name in one of \.mp4, \.mov, \.mkv"):
        VideoSink(tmp_path / "a.avi")
    with pytest.raises(SinkError, match="there is no folder"):
        VideoSink(tmp_path / "none" / "a.mp4")


def near(image: ImageArray, colour: tuple[int, int, int]) -> int:
    """How many pixels have about this colour."""
    return int((np.abs(image.astype(int) - colour).max(axis=2) < 12).sum())


def test_each_side_has_its_colour_where_its_joints_are() -> None:
    apart = some_hand(wrist_m=(-0.15, 0.08, 0.42)), some_hand(Side.RIGHT, wrist_m=(0.15, 0.08, 0.42))
    frame = some_frame(*apart)
    drawn = draw_tracking(blank_picture(CAMERA), frame)
    for hand in frame.hands:
        low, high = hand.joints_px.min(axis=0).astype(int), hand.joints_px.max(axis=0).astype(int)
        there = drawn[low[1] : high[1], low[0] : high[0]]
        assert near(there, SIDE_COLOURS[hand.pose.side]) > 300
        assert near(there, SIDE_COLOURS[hand.pose.side.other]) == 0


def test_the_given_picture_is_not_drawn_on() -> None:
    image = blank_picture(CAMERA)
    before = image.copy()
    image.setflags(write=False)
    assert draw_tracking(image, two_hands()) is not image
    np.testing.assert_array_equal(image, before)


def test_a_coasting_hand_is_thinner_and_paler() -> None:
    seen, coasting = (
        draw_tracking(blank_picture(CAMERA), some_frame(some_hand(unseen_s=unseen_s)))
        for unseen_s in (0.0, 0.1)
    )
    colour = SIDE_COLOURS[Side.LEFT]
    assert near(coasting, colour) < 0.1 * near(seen, colour)
    assert (coasting[60:] != DARK).any(axis=2).sum() < (seen[60:] != DARK).any(axis=2).sum()


def test_a_video_can_show_meshes(tmp_path: Path) -> None:
    areas = {}
    for draw in ("skeleton", "mesh"):
        path = tmp_path / f"{draw}.mp4"
        sink = VideoSink(path, draw=draw)
        sink.begin(some_info())
        sink.send(two_hands(), None)
        sink.close()
        (shown,) = read(path)[1]
        areas[draw] = int((shown[60:].max(axis=2) > 60).sum())
    assert areas["mesh"] > 2 * areas["skeleton"] > 0


def moved(hand: TrackedHand, joints_px: FloatArray) -> TrackedHand:
    return TrackedHand(hand.track_id, hand.score, hand.unseen_s, hand.pose, joints_px, hand.velocity_m_per_s)


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.floats(-1e3, 1e3) | st.sampled_from([np.nan, np.inf, -np.inf, 1e300, -1e300]),
        min_size=42,
        max_size=42,
    ),
    st.sampled_from([(64, 48), (1, 1), (300, 200)]),
)
def test_joints_anywhere_can_be_drawn(values: list[float], size: tuple[int, int]) -> None:
    hand = moved(some_hand(), np.array(values).reshape(21, 2))
    image = np.zeros((size[1], size[0], 3), np.uint8)
    assert draw_tracking(image, some_frame(hand)).shape == image.shape


def test_the_label_of_a_hand_beyond_the_edge_is_not_cut() -> None:
    hand = some_hand(wrist_m=(0.0, 0.05, 0.42))
    plates = []
    for offset in [(-600, 0), (600, 0), (0, -500), (0, 500), (-600, 500), (600, -500)]:
        beyond = moved(hand, hand.joints_px + offset)
        drawn = draw_tracking(np.full((480, 640, 3), 128, np.uint8), some_frame(beyond))
        drawn[:40, :230] = 128  # the caption
        plates.append(near(drawn, (53, 53, 54)))
    assert min(plates) > 0.95 * max(plates) > 1000


def test_labels_do_not_cover_each_other() -> None:
    one, other = some_hand(track_id=1), some_hand(Side.RIGHT, track_id=2, wrist_m=(-0.09, 0.08, 0.42))
    plates = [
        near(draw_tracking(np.full((480, 640, 3), 128, np.uint8), some_frame(*hands)), (53, 53, 54))
        for hands in ((), (one,), (one, other))
    ]
    assert plates[2] - plates[1] > 0.8 * (plates[1] - plates[0])


def test_label_gives_side_track_and_distance() -> None:
    assert label(some_hand(Side.RIGHT, track_id=12, wrist_m=(0.0, 0.084, 0.0))) == "right #12  0.01 m"
    assert label(some_hand(unknown_joints=(5, 9))) == "left #3"


def test_fitting_keeps_the_aspect_and_the_pixels_of_a_picture_one_short() -> None:
    image = np.full((100, 50, 3), 200, np.uint8)
    fitted = fit_picture(image, 200, 200)
    assert [near(fitted, DARK), near(fitted, (200, 200, 200))] == [20_000, 20_000]
    np.testing.assert_array_equal(fit_picture(image, 51, 101)[:100, :50], image)


points = st.tuples(st.floats(-50, 150), st.floats(-50, 150)).map(np.array)


@given(points, points)
def test_a_clipped_segment_is_the_part_inside(start: FloatArray, end: FloatArray) -> None:
    along = np.linspace(start, end, 201)
    inside = along[((along >= 1e-6) & (along <= 100 - 1e-6)).all(axis=1)]
    clipped = clip_segment(start, end, (0, 0, 100, 100))
    if clipped is None:
        assert len(inside) <= 1
        return
    step = np.linalg.norm(end - start) / 200 + 1e-6
    assert np.all(np.array(clipped) > -1e-6) and np.all(np.array(clipped) < 100 + 1e-6)
    if len(inside):
        assert np.linalg.norm(clipped[0] - inside[0]) <= step
        assert np.linalg.norm(clipped[1] - inside[-1]) <= step
