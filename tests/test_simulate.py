"""The simulator: repeatable, its errors of the stated size, its metrics right on errors of known size."""

import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tracker.errors import UsageError
from tracker.joints import WRIST, bone_lengths
from tracker.research.evaluation.simulate import (
    CAMERAS,
    SimulationConfig,
    compare,
    main,
    simulate,
)
from tracker.research.evaluation.simulate_filters import ConstantVelocity, of_palm, peers
from tracker.research.evaluation.simulate_metrics import figures, lag_frames
from tracker.research.evaluation.simulate_noise import NO_NOISE, NoiseConfig, draw_noise
from tracker.research.evaluation.simulate_paths import (
    egodex_paths,
    moved_to,
    palm_center,
    smoothed,
    synthetic_paths,
)
from tracker.research.evaluation.simulate_solvers import (
    FILTERS,
    SOLVERS,
    TRACKER,
    TRACKER_MEASURED,
    SimulatedTrack,
    closed_form,
    known_size,
    without_filter,
)
from tracker.structs import HandPose

SMALL = SimulationConfig(tracks=6, frames=24)


def error_mm(tracks: tuple[SimulatedTrack, ...], solver: str) -> float:
    return compare(tracks, {solver: SOLVERS[solver]}, {}, solver)[solver].camera_mm


def test_a_seed_gives_the_same_tracks_and_another_seed_others() -> None:
    first, again, other = simulate(SMALL, 3), simulate(SMALL, 3), simulate(SMALL, 4)
    for a, b, c in zip(first, again, other, strict=True):
        np.testing.assert_array_equal(a.joints_m, b.joints_m)
        np.testing.assert_array_equal(a.estimates[5].joints_px, b.estimates[5].joints_px)
        assert np.abs(a.joints_m - c.joints_m).max() > 0.01


def test_a_track_depends_neither_on_how_many_there_are_nor_its_path_on_the_noise() -> None:
    many = simulate(SMALL, 0)
    few = simulate(replace(SMALL, tracks=2), 0)
    still = simulate(replace(SMALL, noise=NO_NOISE), 0)
    np.testing.assert_array_equal(many[1].estimates[7].joints_px, few[1].estimates[7].joints_px)
    for a, b in zip(many, still, strict=True):
        np.testing.assert_array_equal(a.joints_m, b.joints_m)


@pytest.mark.parametrize("camera", CAMERAS)
def test_without_noise_the_closed_form_with_the_true_size_makes_no_error(camera: str) -> None:
    tracks = simulate(replace(SMALL, camera=camera, noise=NO_NOISE), 0)
    assert error_mm(tracks, "closed form, known size") < 1e-3
    assert error_mm(tracks, "closed form") > 5  # the unknown size is left


def test_what_a_solver_knows_shows_in_its_error() -> None:
    tracks = simulate(replace(SMALL, tracks=30, frames=12), 0)
    known, unknown, weak = (
        error_mm(tracks, name) for name in ("closed form, known size", "closed form", "weak perspective")
    )
    assert known < 0.9 * unknown < 0.6 * weak


def test_errors_are_as_large_as_simulated_independently() -> None:
    """The table of the project's notes: 30.2 / 14.5 mm, with the size known 22.6 / 13.2, without outliers.

    The range is that of those draws (0.4 m in the mean); 60 hands' sizes leave 10 % to chance.
    """
    quiet = NoiseConfig(outlier_share=0.0)
    tracks = simulate(SimulationConfig(tracks=150, frames=8, range_m=(0.2, 0.6), noise=quiet), 0)
    solvers = {name: SOLVERS[name] for name in ("closed form", "closed form, known size")}
    rows = compare(tracks, solvers, {}, "closed form")
    assert rows["closed form"].camera_mm == pytest.approx(30.2, rel=0.15)
    assert rows["closed form"].wrist_relative_mm == pytest.approx(14.5, rel=0.1)
    assert rows["closed form, known size"].camera_mm == pytest.approx(22.6, rel=0.15)
    assert rows["closed form, known size"].wrist_relative_mm == pytest.approx(13.2, rel=0.1)


def test_joints_and_turns_and_points_spread_and_last_as_configured() -> None:
    config = NoiseConfig()
    draw = draw_noise(np.random.default_rng(0), config, 4000)

    def lasting(values: np.ndarray, frames: int) -> float:
        return float((values[frames:] * values[:-frames]).mean() / (values**2).mean())

    joints = np.delete(draw.joints_m, WRIST, axis=1)
    assert joints.std() == pytest.approx(config.joints_m, rel=0.03)
    assert lasting(joints, 5) == pytest.approx(np.exp(-1), abs=0.03)
    assert not draw.joints_m[:, WRIST].any()
    turn = np.degrees(np.sqrt((draw.turn_rad**2).sum(axis=-1).mean()))
    assert turn == pytest.approx(np.sqrt(7.0**2 - 4.0**2), rel=0.06)
    assert lasting(draw.turn_rad, 5) == pytest.approx(np.exp(-1), abs=0.08)
    assert draw.points_box.std() == pytest.approx(config.points_box_share, rel=0.03)
    assert lasting(draw.points_box, 1) == pytest.approx(0.9 * np.exp(-1 / 5), abs=0.03)


def test_fingers_share_errors_and_sizes_wobble_as_configured() -> None:
    config = NoiseConfig(joints_finger_share=0.6, size_wobble=0.08)
    draw = draw_noise(np.random.default_rng(0), config, 4000)
    tip, middle, next_tip = draw.joints_m[:, 8], draw.joints_m[:, 6], draw.joints_m[:, 12]
    assert np.corrcoef(tip.ravel(), middle.ravel())[0, 1] == pytest.approx(0.6, abs=0.05)
    assert np.corrcoef(tip.ravel(), next_tip.ravel())[0, 1] == pytest.approx(0.0, abs=0.08)
    assert draw.joints_m[:, 1:].std() == pytest.approx(config.joints_m, rel=0.03)
    assert np.log(draw.size_factor).std() == pytest.approx(0.08, rel=0.1)
    tracks = simulate(replace(SMALL, noise=replace(NO_NOISE, size_wobble=0.08)), 0)
    sizes = [bone_lengths(e.joints_from_wrist_m).sum() for e in tracks[0].estimates]
    assert 0.01 < np.std(sizes) / np.mean(sizes) < 0.2


def test_a_lean_lasts_a_track_and_lies_across_the_ray() -> None:
    leans = np.stack(
        [draw_noise(np.random.default_rng(seed), NoiseConfig(), 1).lean_rad for seed in range(1500)]
    )
    assert np.degrees(np.sqrt((leans**2).sum(axis=-1).mean())) == pytest.approx(4.0, rel=0.06)
    assert not leans[:, 2].any()


def test_outliers_are_as_many_as_long_and_as_far_as_configured() -> None:
    config = NoiseConfig()
    draw = draw_noise(np.random.default_rng(0), config, 6000)
    outliers = np.delete(draw.outliers, WRIST, axis=1)
    starts = outliers[1:] & ~outliers[:-1]
    assert outliers.mean() == pytest.approx(config.outlier_share, rel=0.1)
    assert outliers.sum() / starts.sum() == pytest.approx(config.outlier_frames, rel=0.1)
    off, seen = draw.joints_off_m[draw.outliers], draw.points_off_m[draw.outliers]
    assert off.std() == pytest.approx(config.outlier_m, rel=0.06)
    assert seen.std() == pytest.approx(config.outlier_m, rel=0.06)
    assert (off == seen).all(axis=-1).mean() == pytest.approx(config.outlier_agree_share, abs=0.06)
    assert not draw.joints_off_m[~draw.outliers].any()
    assert not draw.points_off_m[~draw.outliers].any()


def test_the_draws_reach_the_estimates_in_metres_and_pixels() -> None:
    points = simulate(replace(SMALL, noise=replace(NO_NOISE, points_box_share=0.025)), 0)
    shares = []
    for track in points:
        truth_px = track.camera.project(track.joints_m)
        box_px = np.ptp(truth_px, axis=1).max(axis=-1)
        read_px = np.stack([estimate.joints_px for estimate in track.estimates])
        shares.append((read_px - truth_px) / box_px[:, None, None])
    assert np.std(shares) == pytest.approx(0.025, rel=0.05)

    turned = simulate(
        replace(SMALL, tracks=40, noise=replace(NO_NOISE, orientation_deg=7.0, lean_deg=4.0)), 0
    )
    squares = []
    for track in turned:
        for truth_m, estimate in zip(track.joints_m, track.estimates, strict=True):
            source, target = truth_m - truth_m[WRIST], estimate.joints_from_wrist_m * track.size
            u, _, vt = np.linalg.svd(source.T @ target)
            squares.append(np.arccos(np.clip((np.trace(u @ vt) - 1) / 2, -1, 1)) ** 2)
    assert np.degrees(np.sqrt(np.mean(squares))) == pytest.approx(7.0, rel=0.12)


def test_sizes_are_drawn_once_a_track_with_the_spread_configured() -> None:
    tracks = simulate(SimulationConfig(tracks=300, frames=2, noise=NO_NOISE), 0)
    assert np.log([track.size for track in tracks]).std() == pytest.approx(0.06, rel=0.12)
    for track in tracks[:20]:
        lengths = bone_lengths(track.joints_m) / track.size
        estimated = bone_lengths(np.stack([e.joints_from_wrist_m for e in track.estimates]))
        np.testing.assert_allclose(lengths, estimated, rtol=1e-9)


@pytest.mark.parametrize("camera", CAMERAS)
def test_hands_stay_in_view_and_fill_it(camera: str) -> None:
    tracks = simulate(SimulationConfig(camera=camera, tracks=200, frames=10, noise=NO_NOISE), 1)
    palms = np.concatenate([palm_center(track.joints_m) for track in tracks])
    distance_m = np.linalg.norm(palms, axis=-1)
    lens = CAMERAS[camera]
    share = (lens.project(palms) + 0.5) / (lens.width, lens.height)
    assert distance_m.min() >= 0.2
    assert distance_m.max() <= 0.9
    assert (share >= 0).all()
    assert (share <= 1).all()
    assert distance_m.min() < 0.3
    assert distance_m.max() > 0.8
    cells = np.histogram2d(*share.T, bins=3, range=[(0, 1), (0, 1)])[0] / len(share)
    assert cells.min() > 0.05  # of 1/9 each


def test_made_up_hands_move_like_hands() -> None:
    for path in synthetic_paths(0):
        lengths = bone_lengths(path.joints_m)
        np.testing.assert_allclose(lengths, lengths[:1].repeat(len(lengths), axis=0), rtol=1e-9)
        speed = np.linalg.norm(np.diff(palm_center(path.joints_m), axis=0), axis=-1) * path.frame_rate_hz
        assert 0.2 < speed.max() < 3.0
        assert (speed < 0.01).mean() > 0.1  # holds
        about_palm = path.joints_m - palm_center(path.joints_m)[:, None]
        assert np.ptp(np.linalg.norm(about_palm[:, 8], axis=-1)) > 0.01  # fingers bend


def test_moving_a_path_keeps_its_motion() -> None:
    path = synthetic_paths(0)[0].joints_m[:30]
    moved = moved_to(path, np.array([0.3, -0.2, 0.4]), 1.1)
    np.testing.assert_allclose(palm_center(moved)[15], [0.3, -0.2, 0.4], atol=1e-12)
    steps, moved_steps = (
        np.linalg.norm(np.diff(palm_center(joints), axis=0), axis=-1) for joints in (path, moved)
    )
    np.testing.assert_allclose(moved_steps, steps, atol=1e-12)
    np.testing.assert_allclose(bone_lengths(moved), 1.1 * bone_lengths(path), rtol=1e-9)


def test_smoothing_the_truth_keeps_parabolas_and_takes_out_trembling() -> None:
    t = np.arange(40.0)[:, None]
    np.testing.assert_allclose(smoothed(1 + 2 * t + 0.3 * t**2), (1 + 2 * t + 0.3 * t**2)[3:-3], rtol=1e-9)
    noise = np.random.default_rng(0).normal(size=(4000, 1))
    # The kernel is (-2 3 6 7 6 3 -2) / 21: the squares of its second differences add up to 126 / 21^2.
    trembling = np.diff(smoothed(noise), 2, axis=0).std()
    assert trembling == pytest.approx(np.sqrt(126) / 21, rel=0.05)


def test_egodex_truth_gives_paths_of_both_hands(shared: Path) -> None:
    paths = egodex_paths(shared / "data" / "gt")
    assert {path.side.value for path in paths} == {"left", "right"}
    tracks = simulate(replace(SMALL, truth=shared / "data" / "gt"), 0)
    assert np.isfinite([track.joints_m for track in tracks]).all()
    lengths = np.stack([bone_lengths(path.joints_m) for path in paths[:1]])[0]
    assert (lengths.std(axis=0) / lengths.mean(axis=0)).max() < 0.01


def test_wrong_names_say_what_is_allowed(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="aria_fisheye"):
        simulate(replace(SMALL, camera="periscope"), 0)
    with pytest.raises(UsageError, match="egodex"):
        simulate(replace(SMALL, truth=tmp_path), 0)
    with pytest.raises(UsageError, match="fewer frames"):
        simulate(replace(SMALL, frames=100_000), 0)


@pytest.mark.parametrize("late", [-2, 0, 1, 3])
def test_lag_is_the_delay_in_frames(late: int) -> None:
    paths = [palm_center(path.joints_m) for path in synthetic_paths(0)]
    delayed = [np.roll(path, late, axis=0)[10:-10] for path in paths]
    assert lag_frames(delayed, [path[10:-10] for path in paths]) == pytest.approx(late, abs=0.05)


def test_metrics_of_known_errors() -> None:
    truth = synthetic_paths(0)[0].joints_m
    times = np.arange(len(truth)) / 30.0
    farther = (
        truth
        + 0.02 * palm_center(truth)[:, None] / np.linalg.norm(palm_center(truth), axis=-1)[:, None, None]
    )
    row = figures([farther], [truth], [times], poses=None, frame_s=0.001)
    assert row.camera_mm == pytest.approx(20.0)
    assert row.range_mm == pytest.approx(20.0)
    assert row.range_bias_mm == pytest.approx(20.0)
    assert row.wrist_relative_mm == pytest.approx(0.0, abs=1e-9)
    assert row.bearing_deg == pytest.approx(0.0, abs=1e-9)
    assert row.placed_share == 1.0
    jumping = truth.copy()
    jumping[::2] += [0.001, 0.0, 0.0]  # second differences of 2 mm each frame
    row = figures([jumping], [truth], [times], poses=None, frame_s=0.001)
    assert row.acceleration_error_mm_s2 == pytest.approx(2.0 * 30**2, rel=1e-6)
    assert row.palm_acceleration_error_mm_s2 == pytest.approx(2.0 * 30**2, rel=1e-6)
    assert row.relative_acceleration_error_mm_s2 == pytest.approx(0.0, abs=1e-6)


def test_the_covariance_figure_is_one_where_the_covariance_is_right() -> None:
    tracks = simulate(replace(SMALL, tracks=40), 0)
    rng = np.random.default_rng(0)
    poses = []
    for track in tracks:
        placed = [pose for pose in closed_form(track) if pose is not None]
        shifts = [rng.multivariate_normal(np.zeros(3), pose.covariance_m2) for pose in placed]
        poses.append(
            [
                replace(pose, joints_in_camera_m=truth + shift)
                for pose, truth, shift in zip(placed, track.joints_m, shifts, strict=True)
            ]
        )
    truths, times = [t.joints_m for t in tracks], [t.times_s for t in tracks]
    row = figures([without_filter(p) for p in poses], truths, times, poses=poses, frame_s=0.0)
    assert row.range_z2 == pytest.approx(1.0, abs=0.15)
    assert row.bearing_z2 == pytest.approx(1.0, abs=0.15)


def test_a_frame_that_cannot_be_placed_is_counted_and_left_out() -> None:
    track = simulate(replace(SMALL, tracks=1), 0)[0]
    blind = replace(track.estimates[3], joint_scores=np.zeros(21))
    track = replace(track, estimates=(*track.estimates[:3], blind, *track.estimates[4:]))
    assert compare([track], SOLVERS, {}, TRACKER)[TRACKER].placed_share == 1.0  # it coasts
    for solver in (solver for name, solver in SOLVERS.items() if name not in (TRACKER, TRACKER_MEASURED)):
        row = compare([track], {"closed form": solver}, FILTERS, "closed form")
        for figure in row.values():
            assert figure.placed_share == pytest.approx(23 / 24)
            assert np.isfinite(figure.camera_mm)


def test_a_measured_hand_is_placed_in_far_less_than_the_plain_closed_form_s_error() -> None:
    """The goal is 0.6 on the same draws. Where the size is unknown, size alone makes most of the error."""
    tracks = simulate(SimulationConfig(tracks=24, frames=20), 0)
    solvers = {name: SOLVERS[name] for name in ("closed form", TRACKER, TRACKER_MEASURED)}
    rows = compare(tracks, solvers, {}, "closed form")
    plain, unknown, measured = (rows[name] for name in solvers)
    assert measured.camera_mm <= 0.6 * plain.camera_mm
    assert measured.camera_mm < 0.7 * unknown.camera_mm
    assert unknown.wrist_relative_mm < plain.wrist_relative_mm
    assert unknown.bearing_deg < 0.8 * plain.bearing_deg


def test_the_tracker_s_own_rows_are_those_of_its_stages() -> None:
    tracks = simulate(SMALL, 0)
    rows = compare(tracks, SOLVERS, FILTERS, "tracker, unsmoothed")
    behind, whole = rows["tracker, unsmoothed > tracker's own"], rows["tracker"]
    assert whole.camera_mm == pytest.approx(behind.camera_mm)
    assert whole.placed_share == 1.0
    # Tracks that lost their hand would start their filters again and be no smoother than what they are given.
    assert whole.acceleration_error_mm_s2 < 0.7 * rows["tracker, unsmoothed"].acceleration_error_mm_s2


def moving_poses() -> tuple[list[HandPose], np.ndarray, np.ndarray]:
    """Poses on a straight line at even speed, their times and their palms."""
    pose = closed_form(simulate(replace(SMALL, tracks=1, frames=2), 0)[0])[0]
    assert pose is not None
    times = np.arange(60) / 30.0
    shifts = times[:, None] * (0.3, -0.1, 0.2)
    poses = [replace(pose, joints_in_camera_m=pose.joints_in_camera_m + shift) for shift in shifts]
    return poses, times, np.stack([palm_center(p.joints_in_camera_m) for p in poses])


def test_a_constant_velocity_filter_follows_a_straight_line_and_a_fixed_lag_trails_it() -> None:
    poses, times, palms = moving_poses()
    shown = palm_center(of_palm(lambda: ConstantVelocity(3.0))(poses, times))
    np.testing.assert_allclose(shown[-10:], palms[-10:], atol=1e-4)
    late = palm_center(of_palm(lambda: ConstantVelocity(3.0, 3))(poses, times))
    np.testing.assert_allclose(late[-10:], palms[-13:-3], atol=1e-4)


def test_a_fixed_lag_is_nearer_to_where_the_hand_was_than_the_filter_then() -> None:
    poses, times, palms = moving_poses()
    rng = np.random.default_rng(0)
    noise = rng.multivariate_normal(np.zeros(3), 1e-4 * np.eye(3), len(poses))
    noisy = [
        replace(pose, joints_in_camera_m=pose.joints_in_camera_m + shift, covariance_m2=1e-4 * np.eye(3))
        for pose, shift in zip(poses, noise, strict=True)
    ]
    now, late = (
        palm_center(of_palm(lambda lag=lag: ConstantVelocity(0.1, lag))(noisy, times)) for lag in (0, 3)
    )
    now_mm, late_mm = (
        1000 * np.linalg.norm(error[20:], axis=-1).mean()
        for error in (now[:-3] - palms[:-3], late[3:] - palms[:-3])
    )
    raw_mm = 1000 * np.linalg.norm(noise, axis=-1).mean()
    assert late_mm < 0.9 * now_mm < 0.6 * raw_mm


@pytest.mark.parametrize("name", peers())
def test_every_peer_keeps_hands_and_missing_frames(name: str) -> None:
    poses, times, _ = moving_poses()
    shown = peers()[name]([*poses[:30], None, *poses[31:]], times)
    assert np.isnan(shown[30]).all()
    kept = np.delete(shown, 30, axis=0)
    np.testing.assert_allclose(
        bone_lengths(kept), bone_lengths(poses[0].joints_in_camera_m)[None].repeat(59, 0)
    )


def own_filter(poses: list, times_s: np.ndarray) -> np.ndarray:
    """Found by its name from the command line."""
    return without_filter(poses)


def test_the_command_prints_a_table_and_one_line_of_json(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    argv = ["simulate", "--tracks", "2", "--frames", "20", "--filter-behind", "closed form"]
    monkeypatch.setattr(sys, "argv", [*argv, "--filters", f"{__name__}:own_filter"])
    main()
    *table, last = capsys.readouterr().out.strip().splitlines()
    rows = json.loads(last)["rows"]
    assert len(table) == 1 + len(rows)
    own = rows[f"closed form > {__name__}:own_filter"]
    assert own["camera_mm"] == rows["closed form"]["camera_mm"]
    assert set(SOLVERS) <= set(rows)


def test_a_solver_without_the_future() -> None:
    """The running median: what comes later does not change what was said before."""
    track = simulate(replace(SMALL, tracks=1), 0)[0]
    half = replace(
        track, estimates=track.estimates[:12], joints_m=track.joints_m[:12], times_s=track.times_s[:12]
    )
    for name, solver in SOLVERS.items():
        whole = without_filter(solver(track))[:12]
        np.testing.assert_allclose(without_filter(solver(half)), whole, err_msg=name)


def test_known_size_uses_the_size() -> None:
    track = simulate(replace(SMALL, tracks=1, noise=NO_NOISE), 0)[0]
    larger = replace(track, size=2 * track.size)
    nearer, farther = (palm_center(without_filter(known_size(t))) for t in (track, larger))
    np.testing.assert_allclose(farther, 2 * nearer, rtol=1e-9)
