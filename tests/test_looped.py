"""A file played again and again is one recording to whoever takes its frames."""

import itertools
from pathlib import Path

import pytest
from small_videos import write_video

from tracker.errors import SourceError
from tracker.sources import Source, open_source
from tracker.sources.looped import PAUSE_S, Looped


def of_three_frames(tmp_path: Path, **options: int) -> Looped:
    path = write_video(tmp_path / "clip.mkv", codec="ffv1", frames=3, times=[500, 600, 750])
    return Looped(lambda: open_source(path), **options)


def test_indices_and_times_go_on_from_round_to_round(tmp_path: Path) -> None:
    frames = list(itertools.islice(of_three_frames(tmp_path), 7))
    assert [frame.index for frame in frames] == list(range(7))
    start_s = frames[0].capture_time_s
    second_s, third_s = 0.25 + PAUSE_S, 2 * (0.25 + PAUSE_S)
    due_s = [0, 0.1, 0.25, second_s, second_s + 0.1, second_s + 0.25, third_s]
    assert [frame.capture_time_s - start_s for frame in frames] == pytest.approx(due_s)
    assert (frames[3].image_rgb == frames[0].image_rgb).all()


def test_a_limit_of_frames_counts_over_all_rounds(tmp_path: Path) -> None:
    assert len(list(of_three_frames(tmp_path, max_frames=5))) == 5


def test_closing_ends_it_in_the_middle_of_a_round(tmp_path: Path) -> None:
    source = of_three_frames(tmp_path)
    frames = iter(source)
    for _ in range(4):
        next(frames)
    source.close()
    source.close()
    assert len(list(frames)) <= 2  # what a file had read ahead


def test_what_gives_no_picture_any_more_ends_it(tmp_path: Path) -> None:
    rounds = iter([[1], []])

    class Emptied:
        name, live, frame_count, frame_rate_hz = "emptied", False, None, None

        def __init__(self) -> None:
            self.frames = next(rounds)
            self.file = open_source(write_video(tmp_path / "one.mkv", codec="ffv1", frames=1))

        def __iter__(self):
            return itertools.islice(iter(self.file), len(self.frames))

        def close(self) -> None:
            self.file.close()

    assert len(list(Looped(Emptied))) == 1


def test_a_live_source_is_refused() -> None:
    class Camera:
        name, live, frame_count, frame_rate_hz = "camera", True, None, None
        closed = False

        def __iter__(self):
            return iter(())

        def close(self) -> None:
            Camera.closed = True

    camera: Source = Camera()
    with pytest.raises(SourceError, match="camera is live"):
        Looped(lambda: camera)
    assert Camera.closed
