"""Placements in the simulator: the turn and the place are as asked, and the order is as it must be."""

from dataclasses import replace

import numpy as np
import pytest

from tracker.errors import UsageError
from tracker.joints import FloatArray
from tracker.research.evaluation.simulate import SimulationConfig, noise_of, simulate
from tracker.research.evaluation.simulate_noise import NO_NOISE
from tracker.research.evaluation.simulate_paths import palm_center
from tracker.research.evaluation.simulate_placements import (
    PLACEMENTS,
    Sweep,
    brought_to,
    compare_placements,
    errors_of,
    turned_off_the_ray,
)
from tracker.research.evaluation.simulate_solvers import SimulatedTrack, closed_form
from tracker.research.evaluation.simulate_takes import as_takes
from tracker.rotations import vector_from_rotation

EXACT = SimulationConfig(tracks=6, frames=3, size_sd=0.0, noise=NO_NOISE)
NOISY = SimulationConfig(tracks=12, frames=3)


def turn_between(first_m: FloatArray, second_m: FloatArray) -> FloatArray:
    """Rotation vector that brings points (21, 3) about their origin to others."""
    u, _, vt = np.linalg.svd(second_m.T @ first_m)
    return vector_from_rotation(u @ np.diag([1, 1, np.linalg.det(u @ vt)]) @ vt)


def test_the_turn_has_its_angle_about_an_axis_across_the_ray_and_leaves_the_points() -> None:
    for track in simulate(EXACT, 1):
        turned = turned_off_the_ray(track, 10.0, np.random.default_rng(track.track_id))
        for before, after in zip(track.estimates, turned.estimates, strict=True):
            vector = turn_between(before.joints_from_wrist_m, after.joints_from_wrist_m)
            assert np.degrees(np.linalg.norm(vector)) == pytest.approx(10.0, abs=1e-6)
            middle_px = (before.joints_px.min(axis=0) + before.joints_px.max(axis=0)) / 2
            ray = track.camera.unproject(middle_px)
            assert abs(vector @ ray) < 1e-8 * np.linalg.norm(ray)
            np.testing.assert_array_equal(before.joints_px, after.joints_px)


@pytest.mark.parametrize("angle_deg", [0.0, 25.0, 50.0])
def test_a_hand_is_brought_off_the_axis_and_seen_as_before(angle_deg: float) -> None:
    for track in simulate(NOISY, 0):
        noise = noise_of(NOISY, 0, track.track_id)
        moved = brought_to(track, angle_deg, noise)
        middle = len(track.joints_m) // 2
        palm_m, before_m = palm_center(moved.joints_m[middle]), palm_center(track.joints_m[middle])
        assert np.degrees(np.arctan2(np.hypot(*palm_m[:2]), palm_m[2])) == pytest.approx(angle_deg, abs=1e-6)
        assert np.linalg.norm(palm_m) == pytest.approx(np.linalg.norm(before_m))
        distances = [
            np.linalg.norm(some[:, 5] - some[:, 17], axis=-1) for some in (moved.joints_m, track.joints_m)
        ]
        np.testing.assert_allclose(*distances)
    again = brought_to(track, float(np.degrees(np.arctan2(np.hypot(*before_m[:2]), before_m[2]))), noise)
    np.testing.assert_allclose(again.estimates[0].joints_px, track.estimates[0].joints_px, atol=1e-6)


def wrist_relative_mm(tracks: list[SimulatedTrack], name: str) -> float:
    return errors_of(tracks, PLACEMENTS[name]).means_mm[1]


def test_without_noise_only_weak_perspective_errs_and_the_more_the_farther_from_the_axis() -> None:
    tracks = simulate(EXACT, 2)
    noise = {track.track_id: noise_of(EXACT, 2, track.track_id) for track in tracks}
    at = {
        angle: [brought_to(track, angle, noise[track.track_id]) for track in tracks] for angle in (0.0, 40.0)
    }
    for name in ("align", "ray"):
        assert max(wrist_relative_mm(at[angle], name) for angle in at) < 0.5
    near, far = (wrist_relative_mm(at[angle], "weak") for angle in at)
    assert near < 10 and far > 30  # a hand that is ahead still reaches some degrees to the side


def test_alignment_takes_the_turn_out_and_the_closed_form_keeps_it() -> None:
    tracks = simulate(EXACT, 3)
    turned = [turned_off_the_ray(track, 10.0, np.random.default_rng(0)) for track in tracks]
    assert wrist_relative_mm(turned, "align") < 0.5
    assert 8 < wrist_relative_mm(turned, "ray") < 22  # 10 degrees of joints 50 to 190 mm from the wrist


def test_the_table_says_where_the_order_changes() -> None:
    figure = {"a": (1.0, 2.0, 5.0), "b": (3.0, 3.0, 3.0), "c": (9.0, 9.0, 9.0)}
    sweep = Sweep("turn", (0.0, 10.0, 20.0), figure, figure, {"a": (4, 3, 4)})
    assert list(sweep.flips(figure)) == [("a", "b", pytest.approx(10 + 10 / 3))]
    assert "  a is better than b up to 13.3" in sweep.text().splitlines()
    assert sweep.text().endswith("hands placed: 3 or more")


def test_the_order_with_the_stated_noise() -> None:
    """With 10 degrees of turn: rays place best, alignment turns best, and both beat weak perspective."""
    solvers = {name: PLACEMENTS[name] for name in ("weak", "align", "ray")}
    by_turn, _, off_axis = compare_placements(NOISY, 0, (10.0,), (40.0,), solvers)
    for sweep in (by_turn, off_axis):
        camera = {name: values[0] for name, values in sweep.camera_mm.items()}
        relative = {name: values[0] for name, values in sweep.wrist_relative_mm.items()}
        assert camera["ray"] < camera["align"] < camera["weak"]
        assert relative["align"] < relative["ray"] < relative["weak"]
        assert set(sweep.placed["ray"]) == {36}


def test_every_third_frame_of_a_track_is_a_takes_with_the_hand_as_it_was_placed() -> None:
    config = replace(NOISY, tracks=2, frames=7)
    tracks = simulate(config, 0)
    takes, hands = as_takes(tracks, closed_form)
    assert [[frame.frame_number for frame in take.frames] for take in takes] == [[0, 3, 6]] * 2
    for track, take in zip(tracks, takes, strict=True):
        alone = closed_form(track)
        for frame in take.frames:
            pose = alone[frame.frame_number]
            assert pose is not None
            key = (take.uid, frame.frame_number, track.side)
            np.testing.assert_array_equal(hands[key], pose.joints_in_camera_m)
            true_m = frame.hands[track.side].joints_in_camera_m
            np.testing.assert_array_equal(true_m, track.joints_m[frame.frame_number])
    with pytest.raises(UsageError, match="choose the camera aria"):
        as_takes(simulate(replace(config, camera="aria_fisheye"), 0), closed_form)
