"""What every sink keeps to, whatever it writes and wherever it sends."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from tracked_values import LENS, picture, some_frame, some_hand, some_info, two_hands

from tracker.cameras import pinhole_from_fov
from tracker.cli_sockets import SocketOptions
from tracker.errors import SinkError, SinkFailedError, UnknownNameError
from tracker.joints import Side
from tracker.sinks import FILE_SINKS, Sink, open_sink
from tracker.sinks.layout import NATIVE
from tracker.structs import TrackedFrame

LIBRARIES = {".mcap": "mcap", ".rrd": "rerun", ".parquet": "pyarrow"}
"""What an extra brings; these endings are skipped where it is not installed."""


def skip_without_library(ending: str) -> None:
    if ending in LIBRARIES:
        pytest.importorskip(LIBRARIES[ending])


@pytest.fixture(params=FILE_SINKS)
def path(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    skip_without_library(request.param)
    return tmp_path / f"a{request.param}"


SOCKET_SINKS = {
    "hts": SocketOptions(hts="127.0.0.1:9"),
    "hts-tcp": SocketOptions(hts_tcp="127.0.0.1:9"),
    "hts-listen": SocketOptions(hts_listen="127.0.0.1:0"),
    "tcp": SocketOptions(tcp="127.0.0.1:0"),
    "serve": SocketOptions(serve="127.0.0.1:0", preview=True),
}
"""Nobody is at the other end."""


@pytest.fixture(params=[*FILE_SINKS, *SOCKET_SINKS])
def sink(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Sink]:
    name = request.param
    skip_without_library(name)
    if name in SOCKET_SINKS:
        sink, *_ = SOCKET_SINKS[name].open(NATIVE, background=False, say=lambda line: None)
    else:
        sink = open_sink(tmp_path / f"a{name}")
    yield sink
    sink.close()


NOTHING_KNOWN = some_frame(some_hand(unknown_joints=tuple(range(21))))
FRAMES = {
    "no hand": some_frame(),
    "one hand": some_frame(some_hand(Side.RIGHT)),
    "two hands": two_hands(),
    "a hand with unknown joints": some_frame(some_hand(unknown_joints=(0, 9, 20))),
    "a hand of which nothing is known": NOTHING_KNOWN,
    "a coasting hand": some_frame(some_hand(unseen_s=0.1)),
}


@pytest.mark.parametrize("with_picture", [True, False], ids=["picture", "no picture"])
@pytest.mark.parametrize("tracked", FRAMES.values(), ids=FRAMES)
def test_every_frame_is_taken(sink: Sink, tmp_path: Path, tracked: TrackedFrame, with_picture: bool) -> None:
    sink.begin(some_info())
    sink.send(tracked, picture() if with_picture else None)
    sink.close()
    assert all(path.stat().st_size > 300 for path in tmp_path.iterdir())


def test_a_file_holds_what_was_sent(path: Path) -> None:
    sink = open_sink(path)
    sink.begin(some_info())
    sink.send(two_hands(), None)
    sink.close()
    assert path.stat().st_size > 300


def test_states_come_between_frames(sink: Sink) -> None:
    sink.begin(some_info())
    for index, state in enumerate(("playing", "lost", "playing", "ended")):
        sink.notify(state)
        sink.send(two_hands(index), None)
    sink.notify("ended")
    sink.close()


def test_closing_twice_and_without_a_beginning(sink: Sink) -> None:
    sink.close()
    sink.close()


def test_no_frames(sink: Sink) -> None:
    sink.begin(some_info())
    sink.close()
    sink.close()


def test_another_size_in_mid_stream(sink: Sink) -> None:
    for index, (width, height) in enumerate([(640, 480), (320, 321), (1280, 720)]):
        sink.begin(some_info(pinhole_from_fov(width, height, 70.0)))
        sink.send(some_frame(index=2 * index), picture(index, width=width, height=height))
        sink.send(two_hands(2 * index + 1), None)
    sink.begin(some_info(LENS))
    sink.close()


def test_what_was_sent_is_not_changed(sink: Sink) -> None:
    tracked, shown = two_hands(), picture()
    joints, image = tracked.hands[0].joints_px.copy(), shown.image_rgb.copy()
    sink.begin(some_info())
    sink.send(tracked, shown)
    sink.close()
    np.testing.assert_array_equal(tracked.hands[0].joints_px, joints)
    np.testing.assert_array_equal(shown.image_rgb, image)


def test_sending_after_closing_is_refused(sink: Sink) -> None:
    sink.begin(some_info())
    sink.close()
    with pytest.raises(SinkFailedError, match="is closed"):
        sink.send(two_hands(), None)


def test_sending_before_beginning_is_our_mistake(sink: Sink) -> None:
    with pytest.raises(AssertionError, match="comes first"):
        sink.send(two_hands(), None)
    sink.close()


def test_an_existing_file_is_kept_unless_overwriting_is_asked_for(path: Path) -> None:
    path.write_bytes(b"precious")
    with pytest.raises(SinkError, match="--overwrite"):
        open_sink(path)
    assert path.read_bytes() == b"precious"
    sink = open_sink(path, overwrite=True)
    sink.begin(some_info())
    sink.send(two_hands(), None)
    sink.close()
    assert b"precious" not in path.read_bytes()


@pytest.mark.parametrize("name", ["a.avi", "a", "a.json", ".mp4"])
def test_an_unknown_ending_is_refused_with_the_known_ones(tmp_path: Path, name: str) -> None:
    with pytest.raises(UnknownNameError, match=r"\.jsonl, \.mp4, \.mkv, \.mov"):
        open_sink(tmp_path / name)
    assert not (tmp_path / name).exists()


def test_endings_are_known_in_capitals_too(tmp_path: Path) -> None:
    for name in ("a.JSONL", "a.MP4"):
        open_sink(tmp_path / name).close()
