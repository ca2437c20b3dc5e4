"""Where palms are looked for: everywhere in turn, where hands come from, where one was lost; in budget."""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from seen_hands import CAMERA

from tracker.cameras import Camera, pinhole_from_fov
from tracker.detect.schedule import (
    LOST_MEMORY_FRAMES,
    MAX_FULL_PASS_GAP_FRAMES,
    PalmSchedule,
    edge_squares,
    squares_of,
)
from tracker.joints import Side
from tracker.structs import ExpectedRegion, HandBox

WIDE = pinhole_from_fov(1920, 1080, 90.0)
EVERYWHERE = len(squares_of(WIDE))


def regions(*unseen_s: float, center_px: tuple[float, float] = (600.0, 500.0)) -> list[ExpectedRegion]:
    """Regions of tracks 0, 1, ..., each unseen for so long."""
    box = HandBox(np.array(center_px), 200.0, 0.3)
    return [ExpectedRegion(index, Side.LEFT, box, unseen_s=gap) for index, gap in enumerate(unseen_s)]


def covered(squares: Sequence[HandBox], width: int, height: int) -> bool:
    grid = np.stack(np.meshgrid(np.arange(width), np.arange(height)), axis=-1)
    inside = [(np.abs(grid - square.center_px) <= square.size_px / 2).all(axis=-1) for square in squares]
    return bool(np.any(inside, axis=0).all())


def same(a: HandBox, b: HandBox) -> bool:
    return a.size_px == b.size_px and bool((a.center_px == b.center_px).all())


@pytest.mark.parametrize("size", [(640, 480), (1920, 1080), (480, 640), (500, 500), (900, 200), (501, 500)])
def test_the_squares_cover_the_picture_with_and_without_the_letterbox(size: tuple[int, int]) -> None:
    squares = squares_of(pinhole_from_fov(*size, 65.0))
    assert covered(squares[:1], *size)
    assert len(squares) == 1 or covered(squares[1:], *size)
    assert all(square.size_px == min(size) and square.rotation_rad == 0 for square in squares[1:])


@pytest.mark.parametrize("size", [(640, 480), (1920, 1080), (480, 640), (500, 500)])
def test_the_edge_squares_lie_in_the_picture_and_leave_no_gap_along_its_lower_edge(
    size: tuple[int, int],
) -> None:
    squares = edge_squares(pinhole_from_fov(*size, 65.0))
    along = np.arange(size[0])
    assert np.any([np.abs(along - s.center_px[0]) <= s.size_px / 2 for s in squares], axis=0).all()
    for square in squares:
        assert square.center_px[1] + square.size_px / 2 == size[1]
        assert square.center_px[0] - square.size_px / 2 >= -1e-9
        assert square.center_px[0] + square.size_px / 2 <= size[0] + 1e-9
    overlaps = [b.size_px - (b.center_px - a.center_px)[0] for a, b in pairwise(squares)]
    assert all(overlap >= squares[0].size_px / 3 - 1e-6 for overlap in overlaps)


def test_the_first_frame_is_looked_at_in_full_and_later_ones_a_square_at_a_time() -> None:
    schedule = PalmSchedule(2)
    assert len(schedule.squares(WIDE, [])) == EVERYWHERE
    for _ in range(10):
        assert len(schedule.squares(WIDE, regions(0.0))) == 1


@pytest.mark.parametrize("camera", [WIDE, pinhole_from_fov(500, 500, 90.0)], ids=["wide", "square"])
def test_while_one_hand_is_missing_every_square_has_its_turn_and_large_ones_often(camera: Camera) -> None:
    schedule = PalmSchedule(2)
    places = [*squares_of(camera), *edge_squares(camera)]
    looked = [schedule.squares(camera, regions(0.0))[0] for _ in range(4 * len(places))]
    assert all(any(same(square, place) for square in looked) for place in places)
    for large in squares_of(camera)[1:] or squares_of(camera):
        turns = [index for index, square in enumerate(looked) if same(square, large)]
        assert max(np.diff(turns)) <= 4


@pytest.mark.parametrize("live_hands", [2, 3])
def test_with_all_hands_live_nothing_is_looked_at(live_hands: int) -> None:
    assert PalmSchedule(2).squares(WIDE, regions(*[0.0] * live_hands)) == []


def test_without_any_hand_a_full_pass_comes_back_after_the_gap() -> None:
    schedule = PalmSchedule(2)
    schedule.squares(WIDE, [])
    counts = [len(schedule.squares(WIDE, [])) for _ in range(2 * MAX_FULL_PASS_GAP_FRAMES + 2)]
    once = [1] * MAX_FULL_PASS_GAP_FRAMES + [EVERYWHERE]
    assert counts == once + once


def test_the_gap_is_counted_from_the_last_frame_with_a_hand() -> None:
    schedule = PalmSchedule(2)
    for _ in range(MAX_FULL_PASS_GAP_FRAMES + 1):
        schedule.squares(WIDE, [])
    schedule.squares(WIDE, regions(0.0, 0.0))
    counts = [len(schedule.squares(WIDE, regions(0.1, 0.1))) for _ in range(MAX_FULL_PASS_GAP_FRAMES + 1)]
    assert counts == [1] * MAX_FULL_PASS_GAP_FRAMES + [EVERYWHERE]


def test_once_every_track_has_ended_everything_is_looked_at() -> None:
    schedule = PalmSchedule(2)
    for _ in range(MAX_FULL_PASS_GAP_FRAMES + 1):
        schedule.squares(WIDE, regions(0.0, 0.0))
    assert len(schedule.squares(WIDE, regions(0.1, 0.1))) == 1
    assert len(schedule.squares(WIDE, [])) == EVERYWHERE


def test_where_a_hand_was_lost_is_looked_at_again_and_again_for_a_second() -> None:
    schedule = PalmSchedule(2)
    schedule.squares(WIDE, regions(0.0, 0.0))
    schedule.squares(WIDE, regions(0.0, 0.05, center_px=(900.0, 300.0)))  # coasts
    looked = [schedule.squares(WIDE, regions(0.0))[0] for _ in range(2 * LOST_MEMORY_FRAMES)]
    there = [bool((square.center_px == (900.0, 300.0)).all()) for square in looked]
    assert sum(there[:LOST_MEMORY_FRAMES]) == LOST_MEMORY_FRAMES // 2
    assert not any(there[LOST_MEMORY_FRAMES + 1 :])


def test_a_camera_of_another_size_begins_anew() -> None:
    schedule = PalmSchedule(2)
    schedule.squares(WIDE, regions(0.0, 0.1))
    assert len(schedule.squares(CAMERA, [])) == len(squares_of(CAMERA))


@given(st.lists(st.lists(st.sampled_from([0.0, 0.03, 0.1]), max_size=3), max_size=60))
def test_the_budget_holds_whatever_hands_come_and_go(frames: list[list[float]]) -> None:
    """One square a frame while a hand is missing; everywhere only without any, and not every frame."""
    schedule = PalmSchedule(2)
    counts = [(len(schedule.squares(WIDE, regions(*hands))), hands.count(0.0)) for hands in frames]
    for squares, live in counts:
        assert squares == (0 if live >= 2 else 1) or (live == 0 and squares == EVERYWHERE)
    passes = [index for index, (squares, _) in enumerate(counts) if squares > 1]
    assert all(b - a > MAX_FULL_PASS_GAP_FRAMES for a, b in pairwise(passes))
