"""Smoothing through takes: the filters at ten frames a second, what they gain, and submissions of it."""

import copy
import json
from collections.abc import Callable, Mapping
from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest
from egoexo4d_release import CAMERA, FIRST, MadeRelease, landscape, upright_joints
from test_egoexo4d_run import KnowingSystem, command

from tracker.cli_systems import RunOptions
from tracker.joints import FloatArray, Side
from tracker.pipeline import TrackerConfig
from tracker.research.evaluation import egoexo4d_command
from tracker.research.evaluation.egoexo4d_gain import Gain, TemporalReport, bootstrapped, temporal_report
from tracker.research.evaluation.egoexo4d_lines import read_lines
from tracker.research.evaluation.egoexo4d_metric import HandKey, challenge_scores, scored_hands
from tracker.research.evaluation.egoexo4d_sharing import Shared
from tracker.research.evaluation.egoexo4d_submission import read_submission
from tracker.research.evaluation.egoexo4d_systems import open_hand_in_box
from tracker.research.evaluation.egoexo4d_temporal import (
    AS_READ,
    HINDSIGHT,
    LIVE,
    smoothed_in_hindsight,
    smoothed_live,
    stretches,
)
from tracker.research.evaluation.recorded_takes import read_as_take, usable
from tracker.research.evaluation.simulate import SimulationConfig, simulate
from tracker.research.evaluation.simulate_paths import palm_center, synthetic_paths
from tracker.research.evaluation.simulate_placements import PLACEMENTS
from tracker.research.evaluation.simulate_takes import as_takes
from tracker.research.ground_truth import find_clips
from tracker.research.ground_truth.egoexo4d import TURN, PreparedTake, open_takes
from tracker.research.ground_truth.egoexo4d_values import AnnotatedFrame, AnnotatedHand, GivenHands
from tracker.structs import Frame
from tracker.temporal.hindsight import smooth_in_hindsight
from tracker.temporal.smoothing import PALM
from tracker.temporal.two_sided import TwoSidedConfig

Smooth = Callable[[list[PreparedTake], Mapping[HandKey, FloatArray]], dict[HandKey, FloatArray]]
HAND = landscape(upright_joints((FIRST.uid, 2, Side.RIGHT)))
BOTH = pytest.mark.parametrize("smooth", [smoothed_live, smoothed_in_hindsight])
FRAMES = [*range(0, 90, 3), *range(90, 150, 4), *range(165, 240, 3)]
"""At uneven steps; after 146 nothing for half a second and more."""


def take_of(path: Mapping[int, FloatArray]) -> PreparedTake:
    """A right hand, without pictures: joints (21, 3) by frame."""
    annotated = []
    for frame, joints_m in path.items():
        marks = CAMERA.project(joints_m)
        box = np.array([*marks.min(axis=0), *marks.max(axis=0)])
        hand = AnnotatedHand(box, marks, joints_m, np.ones(21, bool))
        annotated.append(AnnotatedFrame("take", "take", frame, {Side.RIGHT: hand}))
    return PreparedTake("take", "take", tuple(annotated), CAMERA, tuple(Path("none") for _ in path))


def made_take(frames: list[int]) -> PreparedTake:
    """A hand that moves slowly and rests."""
    return take_of({f: HAND + np.array([0.05 * np.sin(min(f, 90) / 30), 0.0, 0.0]) for f in frames})


def true_hands(take: PreparedTake) -> dict[HandKey, FloatArray]:
    return {
        (take.uid, frame.frame_number, Side.RIGHT): frame.hands[Side.RIGHT].joints_in_camera_m
        for frame in take.frames
    }


def noisy_hands(take: PreparedTake, seed: int = 0) -> dict[HandKey, FloatArray]:
    rng = np.random.default_rng(seed)
    hands = {}
    for key, true_m in true_hands(take).items():
        ray = true_m[0] / np.linalg.norm(true_m[0])
        hands[key] = true_m + 0.006 * rng.normal(size=(21, 3)) + 0.02 * rng.normal() * ray
    return hands


def off_mm(some: Mapping[HandKey, FloatArray], others: Mapping[HandKey, FloatArray]) -> FloatArray:
    """(T, 21) how far joints are apart."""
    return 1e3 * np.linalg.norm(np.array([some[key] - others[key] for key in others]), axis=-1)


@BOTH
def test_a_hand_that_rests_without_noise_stays_where_it_is(smooth: Smooth) -> None:
    hands = true_hands(take_of({frame: HAND for frame in FRAMES}))
    assert off_mm(smooth([take_of({frame: HAND for frame in FRAMES})], hands), hands).max() < 1e-6


def wiener_ratio(density: float, noise: float, dt_s: float) -> float:
    """What is left of white noise by the best smoother of white acceleration, in the frequency domain.

    Samples dt apart of the motion have the spectrum q dt^3 (2 + cos w) / (3 (2 sin w/2)^4), and the smoother
    passes H = motion / (motion + noise) of each frequency: the root of the mean of H^2.
    """
    w = np.linspace(1e-4, np.pi, 100_001)
    motion = density * dt_s**3 * (2 + np.cos(w)) / 3 / (2 * np.sin(w / 2)) ** 4
    return float(np.sqrt(np.mean((motion / (motion + noise**2)) ** 2)))


@pytest.mark.parametrize("rate_hz", [10.0, 30.0])
@pytest.mark.parametrize("density", [0.001, 1.0])
def test_hindsight_leaves_of_noise_what_the_best_smoother_leaves_at_any_rate(
    rate_hz: float, density: float
) -> None:
    rng, count = np.random.default_rng(0), 2000
    noise = 0.004 * rng.normal(size=(count, 1, 6))
    variances, densities = np.full((count, 1), 0.004**2), np.full((count, 1), density)
    smooth, _ = smooth_in_hindsight(np.arange(count) / rate_hz, noise, variances, densities)
    left = smooth[50:-50].std() / noise[50:-50].std()
    assert left == pytest.approx(wiener_ratio(density, 0.004, 1 / rate_hz), rel=0.06)


def test_at_rest_a_third_of_the_joints_noise_is_left_in_hindsight_and_two_thirds_live() -> None:
    take = take_of({frame: HAND for frame in range(0, 900, 3)})
    config = TwoSidedConfig().joints
    noise_m = config.noise * np.random.default_rng(1).normal(size=(300, 21, 3))
    noise_m -= noise_m[:, PALM].mean(axis=1, keepdims=True)
    hands = {key: HAND + off for key, off in zip(true_hands(take), noise_m, strict=True)}
    left = {}
    for smooth in (smoothed_live, smoothed_in_hindsight):
        off_m = np.array(list(smooth([take], hands).values()))[20:-20] - HAND
        left[smooth] = off_m.std() / noise_m[20:-20].std()
    assert left[smoothed_in_hindsight] == pytest.approx(
        wiener_ratio(config.unrest, config.noise, 0.1), rel=0.1
    )
    assert left[smoothed_in_hindsight] < 0.4 and left[smoothed_live] < 0.7


def test_even_motion_is_not_late_in_hindsight_but_live() -> None:
    velocity = np.array([0.3, 0.1, 0.05])
    take = take_of({frame: HAND + velocity * frame / 30 for frame in range(0, 45, 3)})
    hands = true_hands(take)
    ahead = velocity / np.linalg.norm(velocity)
    late_mm = {}
    for smooth in (smoothed_live, smoothed_in_hindsight):
        smoothed = smooth([take], hands)
        late_mm[smooth] = np.array([1e3 * (hands[key] - smoothed[key]).mean(axis=0) @ ahead for key in hands])
    assert np.abs(late_mm[smoothed_in_hindsight]).max() < 0.5
    assert late_mm[smoothed_live][3:].min() > 1.0


def test_a_hand_that_goes_far_in_a_tenth_of_a_second_is_followed() -> None:
    """4 m/s across the view, which at ten frames a second is farther than a live hand is ever shown to go."""
    path = {3 * k: HAND + np.array([0.4 * (k - 4), 0.0, 0.8]) for k in range(9)}
    hands = true_hands(take_of(path))
    for smooth, most_mm in ((smoothed_live, 30.0), (smoothed_in_hindsight, 5.0)):
        assert off_mm(smooth([take_of(path)], hands), hands)[2:].mean() < most_mm


def test_smoothing_takes_noise_out_and_hindsight_more_of_it() -> None:
    take = made_take(FRAMES)
    hands = noisy_hands(take)
    recorded = copy.deepcopy(hands)
    report = temporal_report([take], hands)
    assert list(report.scores) == [AS_READ, LIVE, HINDSIGHT]
    for figure in ("mpjpe_mm", "camera_mpjpe_mm", "camera_acceleration_error_mm_s2", "jitter_range_mm"):
        read, live, hindsight = (getattr(scores, figure) for scores in report.scores.values())
        assert hindsight < live < 0.97 * read, figure
        assert report.gains[LIVE][figure].change == pytest.approx(live - read)
        assert report.gains[HINDSIGHT][figure].percent == pytest.approx(100 * (hindsight / read - 1))
    for key, joints_m in recorded.items():
        np.testing.assert_array_equal(hands[key], joints_m)


def test_gaps_start_the_filters_anew_and_hands_without_rays_stay_as_they_were() -> None:
    take = made_take(FRAMES)
    hands = noisy_hands(take)
    pieces = [[key[1] for key, _ in stretch] for _, stretch in stretches([take], hands)]
    assert [(piece[0], piece[-1]) for piece in pieces] == [(0, 146), (165, 237)]
    behind = ("take", 30, Side.RIGHT)
    hands[behind] = hands[behind] - [0.0, 0.0, 1.0]
    for smooth in (smoothed_live, smoothed_in_hindsight):
        smoothed = smooth([take], hands)
        assert smoothed.keys() == hands.keys()
        np.testing.assert_array_equal(smoothed[behind], hands[behind])
        assert all(np.isfinite(joints_m).all() for joints_m in smoothed.values())
        alone = smooth([take], {key: joints_m for key, joints_m in hands.items() if key[1] >= 165})
        for key, joints_m in alone.items():
            np.testing.assert_array_equal(smoothed[key], joints_m)
    first = ("take", 165, Side.RIGHT)
    np.testing.assert_allclose(smoothed_live([take], hands)[first], hands[first], atol=1e-12)


def test_live_smoothing_knows_nothing_of_later_frames() -> None:
    take = made_take(FRAMES[:20])
    hands = noisy_hands(take)
    later = dict(hands)
    last = ("take", FRAMES[19], Side.RIGHT)
    later[last] = hands[last] + 0.1
    for smooth, same in ((smoothed_live, True), (smoothed_in_hindsight, False)):
        before, after = smooth([take], hands), smooth([take], later)
        key = ("take", FRAMES[18], Side.RIGHT)
        assert np.array_equal(before[key], after[key]) == same


# What is gained


def test_bounds_of_a_gain_are_those_of_its_mean_over_takes() -> None:
    rng = np.random.default_rng(0)
    changes = rng.normal(-0.5, 1.0, size=60)
    low, high = bootstrapped(changes, np.full(60, 7.0))
    assert (low + high) / 2 == pytest.approx(changes.mean(), abs=0.03)
    assert high - low == pytest.approx(2 * 1.96 * changes.std() / np.sqrt(60), rel=0.1)
    assert bootstrapped(np.full(9, -0.5), np.arange(1.0, 10.0)) == pytest.approx((-0.5, -0.5))
    heavy = np.array([1.0] + [1e-6] * 9)
    assert bootstrapped(np.array([-1.0] + [3.0] * 9), heavy)[0] == pytest.approx(-1.0, abs=1e-3)
    assert np.isnan(bootstrapped(changes[:4], np.ones(4))).all()


def test_takes_that_gain_and_that_lose_are_counted_and_higher_is_better_for_shares() -> None:
    tracks = simulate(SimulationConfig(tracks=6, frames=90, rest_s=1.5), 0)
    takes, hands = as_takes(tracks, PLACEMENTS["ray"])
    worse = {
        key: joints_m + 0.03 * ((key[1] // 3) % 2) if key[0] == "6" else joints_m
        for key, joints_m in true_of(takes).items()
    }
    report = temporal_report(takes, {**hands, **{key: m for key, m in worse.items() if key[0] == "6"}})
    gains = report.gains[HINDSIGHT]
    assert gains["mpjpe_mm"].takes_better == 5 and gains["pck_05"].takes_better >= 5
    assert gains["mpjpe_mm"].takes_worse == 1
    assert gains["mpjpe_mm"].low < gains["mpjpe_mm"].change < gains["mpjpe_mm"].high
    assert np.isnan(gains["acceleration_error_mm_s2"].low)
    written = json.loads(json.dumps(report.to_json(), allow_nan=False))
    assert written["gain"][HINDSIGHT]["acceleration_error_mm_s2"]["low"] is None
    assert written["gain"][LIVE]["mpjpe_mm"]["change"] == report.gains[LIVE]["mpjpe_mm"].change
    lines = report.text().splitlines()
    assert any(line.startswith("in hindsight against as read") for line in lines)


@pytest.mark.parametrize("smooth", [smoothed_live, smoothed_in_hindsight])
def test_real_hands_read_alone_are_nearer_the_truth_and_far_calmer_for_it(
    shared: Path, smooth: Smooth
) -> None:
    pytest.importorskip("onnxruntime")
    take, read = real_take(shared)
    before = challenge_scores(scored_hands([take], read, wrist_relative=False, found_only=True))
    after = challenge_scores(
        scored_hands([take], smooth([take], read), wrist_relative=False, found_only=True)
    )
    assert before.hands > 60
    assert after.mpjpe_mm < before.mpjpe_mm and after.pa_mpjpe_mm < before.pa_mpjpe_mm
    assert after.acceleration_error_mm_s2 < 0.75 * before.acceleration_error_mm_s2


@lru_cache(maxsize=1)
def real_take(shared: Path) -> tuple[PreparedTake, dict[HandKey, FloatArray]]:
    """Two hands that pick and place, every third frame of 30 a second, given by their boxes."""
    system = egoexo4d_command.load_system("challenge", TrackerConfig(), Shared())
    (clip,) = usable(find_clips(shared / "data", ["egodex_basic_pick_and_place_0"]))
    return read_as_take(clip, system, 3, every_frame=False)


def true_of(takes: list[PreparedTake]) -> dict[HandKey, FloatArray]:
    return {
        (take.uid, frame.frame_number, side): hand.joints_in_camera_m
        for take in takes
        for frame in take.frames
        for side, hand in frame.hands.items()
    }


def test_a_figure_that_was_zero_has_no_percentage_and_an_unknown_one_no_line() -> None:
    nothing = Gain(0.0, float("nan"), float("nan"), float("nan"), 0, 0)
    unknown = Gain(float("nan"), float("nan"), float("nan"), float("nan"), 0, 0)
    assert nothing.to_json()["percent"] is None and nothing.to_json()["takes_better"] == 0
    known = temporal_report([made_take(FRAMES)], noisy_hands(made_take(FRAMES))).scores
    text = TemporalReport(known, {LIVE: {"mpjpe_mm": nothing, "pck_05": unknown}}).text().split("\n\n")[1]
    assert text.count("\n") == 1 and "MPJPE" in text and "nan" not in text


def test_made_up_hands_rest_for_as_long_as_asked_and_never_unasked() -> None:
    def longest_rest_frames(rest_s: float) -> int:
        longest = 0
        for path in synthetic_paths(3, rest_s):
            steps_m = np.linalg.norm(np.diff(palm_center(path.joints_m), axis=0), axis=-1)
            still = np.concatenate([[0], np.flatnonzero(steps_m > 1e-9), [len(steps_m)]])
            longest = max(longest, int(np.diff(still).max()))
        return longest

    assert longest_rest_frames(1.5) >= 44
    assert longest_rest_frames(0.0) < 30


# Submissions


class Unsteady(KnowingSystem):
    """Errs in each frame, each side in its own way; misses one hand."""

    def __call__(self, frame: Frame, given: GivenHands) -> Mapping[Side, FloatArray]:
        number = round(30 * frame.capture_time_s)
        hands = super().__call__(frame, given)
        rng = np.random.default_rng(number)
        off_m = {side: 0.01 * rng.normal(size=(21, 3)) for side in Side}
        return {side: joints_m + off_m[side] for side, joints_m in hands.items() if (number, side) != MISSED}


MISSED = (8, Side.RIGHT)


@pytest.mark.parametrize(("smooth", "way"), [("live", LIVE), ("hindsight", HINDSIGHT)])
def test_what_evaluate_reports_as_gained_is_what_submit_writes(
    made_release: MadeRelease,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    smooth: str,
    way: str,
) -> None:
    monkeypatch.setattr(egoexo4d_command, "load_system", lambda *_: Unsteady())
    out, lines = tmp_path / "s.json", tmp_path / "s.jsonl"
    arguments = ("submit", made_release.prepared, out, "--camera-space", "--fill-missing", "--smooth", smooth)
    assert command(*arguments) == 0
    said = capsys.readouterr().err
    assert f"hands are smoothed {way} through takes" in said and "1 hands were not found" in said

    takes = open_takes(made_release.prepared, made_release.annotations, "val")
    read = dict(read_lines(lines).hands)
    files = ("--hands", tmp_path / "e.jsonl", "--json", tmp_path / "e.json")
    assert command("evaluate", made_release.prepared, "--temporal", *files) == 0
    for key, joints_m in read_lines(tmp_path / "e.jsonl").hands.items():
        np.testing.assert_array_equal(read[key], joints_m)  # lines hold what was read
    reported = json.loads((tmp_path / "e.json").read_text())["temporal"]["scores"]
    report = temporal_report(takes, read)
    assert reported[way] == report.scores[way].to_json()
    assert reported[AS_READ]["mpjpe_mm"] > reported[way]["mpjpe_mm"]

    smoothed = (smoothed_live if smooth == "live" else smoothed_in_hindsight)(takes, read)
    frames = [frame for take in takes for frame in take.frames]
    missed = (FIRST.uid, *MISSED)
    written = read_submission(out, frames)
    assert missed not in smoothed and missed in written
    for key, joints_m in written.items():
        if key != missed:
            np.testing.assert_allclose(joints_m, smoothed[key], rtol=0, atol=1e-12)
    index = next(i for i, frame in enumerate(takes[0].frames) if frame.frame_number == MISSED[0])
    box = takes[0].given(index).box_px(Side.RIGHT)
    filled = open_hand_in_box(TURN.camera_upright(takes[0].camera), box, Side.RIGHT)
    np.testing.assert_allclose(written[missed], TURN.points_landscape(filled), atol=1e-9)


def test_a_tracker_whose_hands_are_smoothed_afterwards_does_not_smooth_them_itself() -> None:
    for mode, measured, expected in (
        ("tracker", True, True),
        ("tracker", False, False),
        ("challenge", True, False),
    ):
        run = RunOptions(mode=mode).run_of(Path("hands.jsonl"), measured=measured)  # type: ignore[arg-type]
        assert run.config.tracks.smoothing.publish_measured == expected


def test_lines_that_the_tracker_smoothed_are_not_smoothed_again(
    made_release: MadeRelease,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Those of a run with --temporal are as placed, and those of given boxes always."""
    monkeypatch.setattr(egoexo4d_command, "load_system", lambda *_: Unsteady())
    prepared = made_release.prepared
    for options, status in (((), 0), (("--mode", "tracker", "--temporal"), 0), (("--mode", "tracker"), 2)):
        lines = tmp_path / f"{len(options)}.jsonl"
        assert command("evaluate", prepared, "--hands", lines, *options) == 0
        assert command("evaluate", prepared, lines) == 0
        capsys.readouterr()
        assert command("evaluate", prepared, lines, "--temporal") == status
    assert f"{lines}: the tracker smoothed these hands" in capsys.readouterr().err


def test_what_cannot_be_smoothed_is_refused(made_release: MadeRelease, tmp_path: Path) -> None:
    assert command("evaluate", made_release.prepared, tmp_path / "s.json", "--offset", "--temporal") == 2
    assert command("submit", made_release.prepared, tmp_path / "s.json", "--smooth", "sometimes") == 2
