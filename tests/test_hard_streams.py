"""Streams as they come: cuts, black and frozen pictures, odd clocks. Hands stay sane, and all is finite."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from tracker.joints import FINGER_MCPS, Side
from tracker.pipeline import HandTracker
from tracker.sources import open_source
from tracker.structs import Frame, ImageArray, TrackedFrame, TrackedHand

pytest.importorskip("onnxruntime")

FIRST, COUNT = 60, 40
"""Frames of the demo clip in which both hands are in view."""
LEAP_M = 0.3
"""How far a hand may get from one frame to the next."""
STEP_S = 1 / 30


@pytest.fixture(scope="module")
def scene() -> list[Frame]:
    """A second and more of the demo clip, both hands in view."""
    source = open_source("demo", max_frames=FIRST + COUNT)
    try:
        frames = list(source)[FIRST:]
    finally:
        source.close()
    return frames


def tracked(frames: Sequence[Frame]) -> list[TrackedFrame]:
    """What the tracker says of the frames, every frame of it checked."""
    with HandTracker() as tracker:
        results = [tracker.process(frame) for frame in frames]
    last: dict[int, TrackedHand] = {}
    for result in results:
        sides = [hand.pose.side for hand in result.hands]
        assert len(set(sides)) == len(sides)
        for hand in result.hands:
            for values in (
                hand.pose.joints_in_camera_m,
                hand.pose.camera_from_wrist,
                hand.pose.covariance_m2,
                hand.velocity_m_per_s,
                np.array([hand.score, hand.unseen_s, hand.pose.reprojection_error_px]),
            ):
                assert np.isfinite(values).all()
            before = last.get(hand.track_id)
            if before is not None:
                assert np.linalg.norm(palm_m(hand) - palm_m(before)) < LEAP_M
        last = {hand.track_id: hand for hand in result.hands}
    return results


def palm_m(hand: TrackedHand) -> np.ndarray:
    return np.asarray(hand.pose.joints_in_camera_m[list(FINGER_MCPS)].mean(axis=0))


def on_clock(frames: Sequence[Frame], step_s: float = STEP_S) -> list[Frame]:
    """The pictures in order, numbered and timed anew."""
    return [replace(frame, index=i, capture_time_s=i * step_s) for i, frame in enumerate(frames)]


def with_picture(frame: Frame, picture: ImageArray) -> Frame:
    return replace(frame, image_rgb=np.ascontiguousarray(picture))


def seen_sides(result: TrackedFrame) -> set[Side]:
    return {hand.pose.side for hand in result.hands if hand.unseen_s == 0}


BOTH = {Side.LEFT, Side.RIGHT}


def test_black_frames_are_coasted_over_or_end_the_hands_which_then_come_back(scene: list[Frame]) -> None:
    black = with_picture(scene[0], np.zeros_like(scene[0].image_rgb))
    short = tracked(on_clock([*scene[:10], black, black, *scene[12:20]]))
    assert [seen_sides(result) for result in short[10:12]] == [set(), set()]
    assert [len(result.hands) for result in short[10:12]] == [2, 2]
    assert {hand.track_id for hand in short[-1].hands} == {hand.track_id for hand in short[9].hands}
    long = tracked(on_clock([*scene[:10], *[black] * 10, *scene[20:30]]))
    assert long[19].hands == ()
    assert seen_sides(long[-1]) == BOTH


def test_in_a_frozen_picture_hands_come_to_rest(scene: list[Frame]) -> None:
    results = tracked(on_clock([*scene[:10], *[scene[9]] * 30]))
    for hand, before in zip(results[-1].hands, results[-2].hands, strict=True):
        assert np.linalg.norm(palm_m(hand) - palm_m(before)) < 5e-4
        assert np.abs(hand.velocity_m_per_s).max() < 0.02


def test_after_a_cut_the_other_pictures_hands_are_found_at_once(scene: list[Frame]) -> None:
    """The same scene as in a mirror: what was left is right, and elsewhere."""
    mirrored = [with_picture(frame, frame.image_rgb[:, ::-1]) for frame in scene[10:22]]
    results = tracked(on_clock([*scene[:10], *mirrored]))
    assert seen_sides(results[-1]) == BOTH
    left, right = sorted(results[-1].hands, key=lambda hand: float(hand.joints_px[0, 0]))
    assert (left.pose.side, right.pose.side) == (Side.LEFT, Side.RIGHT)


def test_ten_frames_a_second_keep_both_hands_and_their_ids(scene: list[Frame]) -> None:
    results = tracked(on_clock(scene[::3], step_s=0.1))
    assert all(seen_sides(result) == BOTH for result in results[1:])
    assert {hand.track_id for result in results[1:] for hand in result.hands} == {1, 2}


@pytest.mark.parametrize(
    "times_s",
    [[0.0] * 12, [0.0, STEP_S, STEP_S, 0.0, STEP_S, 2 * STEP_S] * 2],
    ids=["standing", "stuttering"],
)
def test_a_clock_that_stands_or_steps_back_costs_no_hand(scene: list[Frame], times_s: list[float]) -> None:
    frames = [replace(frame, capture_time_s=time_s) for frame, time_s in zip(scene, times_s, strict=False)]
    results = tracked(frames)
    assert all(seen_sides(result) == BOTH for result in results[2:])


def test_pictures_of_another_size_begin_other_tracks(scene: list[Frame]) -> None:
    """A camera that comes back in another mode, however soon: places in pixels mean nothing any more."""
    frames = on_clock(scene[:12])
    frames[8:] = [halved(frame) for frame in frames[8:]]
    results = tracked(frames)
    assert {hand.track_id for hand in results[7].hands} == {1, 2}
    assert {hand.track_id for result in results[8:] for hand in result.hands} == {3, 4}
    assert seen_sides(results[-1]) == BOTH


def halved(frame: Frame) -> Frame:
    """Every other pixel of the picture, and the camera that sees it so."""
    camera = frame.camera.resized(frame.camera.width // 2, frame.camera.height // 2)
    return replace(frame, image_rgb=np.ascontiguousarray(frame.image_rgb[::2, ::2]), camera=camera)


def test_after_a_leap_of_the_clock_hands_are_found_anew(scene: list[Frame]) -> None:
    """Forward or back: what was known is as old as the leap is long."""
    for leap_s in (-5.0, 1e6):
        frames = on_clock(scene[:12])
        frames[8:] = [replace(f, capture_time_s=f.capture_time_s + leap_s) for f in frames[8:]]
        results = tracked(frames)
        assert seen_sides(results[8]) == BOTH
        assert {hand.track_id for hand in results[8].hands} == {3, 4}
