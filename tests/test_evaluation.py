"""Metrics: properties, naive versions, and the figures of the independent evaluator in ../shared/tools."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from labelled_clips import CAMERA, careless, exact, labelled_clip, moving_hands
from tracked_values import some_hand

from tracker.joints import FloatArray, Side
from tracker.research.evaluation import hand_errors, motion
from tracker.research.evaluation.matching import Truth, false_hands, match
from tracker.research.evaluation.metrics import ClipMetrics, measure
from tracker.research.evaluation.predictions import NOBODY, Predictions, collect
from tracker.research.evaluation.run import clip_lateness
from tracker.research.ground_truth.labelled import SIDES, LabelledClip, sampled_later
from tracker.rotations import rotation_from_vector

EVALUATORS_NAMES = {
    "recall": "recall",
    "recall_any": "recall_any",
    "precision": "precision",
    "false_duplicate": "false_dup",
    "false_near": "false_near",
    "false_far": "false_far",
    "side_error": "side_error",
    "id_switches": "id_switches",
    "fragments": "fragments",
    "fragments_ideal": "fragments_min",
    "first_match_frames": "first_match_frame",
    "error_2d_px": "px_med",
    "pck_20": "pck20_all",
    "reprojection_px": "proj_px",
    "mpjpe_mcp_mm": "mpjpe_mcp",
    "pa_mpjpe_mm": "pa_mpjpe",
    "mpjpe_camera_mm": "mpjpe_cam",
    "range_error_mm": "range_err",
    "range_bias_mm": "range_bias",
    "range_error_share": "range_rel",
    "lateral_error_mm": "lateral_err",
    "bone_ratio": "bone_ratio",
    "bone_variation": "bone_sd",
    "acceleration_mcp_mm_s2": "acc_rel_pred",
    "acceleration_camera_mm_s2": "acc_pred",
    "acceleration_error_camera_mm_s2": "acc_err",
    "true_acceleration_mcp_mm_s2": "acc_rel_gt",
    "rest_range_mm": "still_range",
    "rest_lateral_mm": "still_lat",
    "true_rest_range_mm": "still_range_gt",
    "velocity_correlation_px": "vcorr_px",
    "lag_px": "lag_px",
    "lag_camera": "lag_cam",
}


def write_recording(predictions: Predictions, path: Path) -> None:
    """In the wire format, with all digits: only what the evaluator reads."""
    lines: list[dict[str, object]] = [{"format": "hand-track", "version": 1}]
    for row in range(len(predictions.side)):
        hands = [
            {
                "track_id": int(predictions.track_id[row, column]),
                "side": SIDES[predictions.side[row, column]].value,
                "joints_px": with_null(predictions.joints_px[row, column]),
                "joints_in_camera_m": with_null(predictions.joints_in_camera_m[row, column]),
            }
            for column in np.flatnonzero(predictions.present[row])
        ]
        lines.append({"frame": row, "capture_time_s": row / 30, "hands": hands})
    path.write_text("\n".join(map(json.dumps, lines)) + "\n")


def with_null(points: FloatArray) -> list[list[float | None]]:
    return [[value if np.isfinite(value) else None for value in point] for point in points.tolist()]


def evaluators_figures(
    shared: Path, folder: Path, clip: LabelledClip, predictions: Predictions, lateness: float
) -> dict[str, float | None]:
    evaluator = shared / "tools" / "egoeval.py"
    if not evaluator.is_file():
        pytest.skip("the independent evaluator is not in ../shared/tools")
    write_recording(predictions, folder / "made.jsonl")
    np.savez(
        folder / "made.npz",
        joints_cam=clip.joints_in_camera_m,
        uv=clip.joints_px,
        K=np.array([[CAMERA.fx, 0, CAMERA.cx], [0, CAMERA.fy, CAMERA.cy], [0, 0, 1]]),
        size=np.array([CAMERA.width, CAMERA.height]),
        fps=30.0,
        still=clip.frame_rate_hz is None,
        complete=clip.complete,
    )
    command = [sys.executable, str(evaluator), str(folder / "made.jsonl"), str(folder / "made.npz")]
    command += ["--json", "--lag", "--gt-shift", str(lateness)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return dict(json.loads(done.stdout))


@pytest.mark.parametrize(
    ("seed", "video", "complete", "lateness"),
    [(0, True, True, 0.0), (1, True, True, 0.7), (2, True, False, 1.0), (3, False, True, 0.0)],
)
def test_figures_are_those_of_the_independent_evaluator(
    shared: Path, tmp_path: Path, seed: int, video: bool, complete: bool, lateness: float
) -> None:
    joints_m = moving_hands(150, seed)
    if not complete:
        joints_m[:, 1] = np.nan
    joints_m[40:44, 0] = np.nan
    clip = labelled_clip(joints_m, video=video, complete=complete)
    predictions = careless(moving_hands(150, seed), seed)
    theirs = evaluators_figures(shared, tmp_path, clip, predictions, lateness)
    ours = measure(Truth(clip, lateness), predictions).to_json()
    figures = [name for name in EVALUATORS_NAMES if EVALUATORS_NAMES[name] in theirs]
    if not video:
        figures.remove("bone_variation")  # of pictures that have nothing to do with each other
    assert len(figures) == (33 if video else 18)
    for name in figures:
        expected = theirs[EVALUATORS_NAMES[name]]
        assert (ours[name] is None) == (expected is None), name
        if expected is not None:
            assert ours[name] == pytest.approx(expected, abs=1e-6, rel=1e-6), name


def measured(clip: LabelledClip, predictions: Predictions) -> ClipMetrics:
    return measure(Truth(clip), predictions)


def test_the_truth_itself_is_perfect() -> None:
    joints_m = moving_hands(120)
    figures = measured(labelled_clip(joints_m), exact(joints_m))
    assert figures.recall == figures.recall_any == figures.precision == figures.pck_20 == 1
    assert figures.side_error == figures.id_switches == 0
    assert figures.fragments == figures.fragments_ideal == 2
    assert figures.mpjpe_camera_mm == figures.egoexo4d_mpjpe_mm == pytest.approx(0, abs=1e-9)
    assert figures.pa_mpjpe_mm == pytest.approx(0, abs=1e-6)
    assert figures.lag_px == pytest.approx(0, abs=0.05)  # the curve about the peak is not quite a parabola
    assert figures.auc_50mm == pytest.approx(1)


def test_nothing_found_is_a_recall_of_zero_and_no_figure_in_space() -> None:
    joints_m = moving_hands(30)
    nobody = exact(np.full_like(joints_m, np.nan))
    for predictions in (nobody, collect([()] * 30)):
        figures = measured(labelled_clip(joints_m), predictions)
        assert figures.recall == figures.recall_any == 0
        assert np.isnan(figures.mpjpe_camera_mm)
        assert figures.to_json()["precision"] is None


@pytest.mark.parametrize("late", [1, 3])
def test_a_late_recording_has_that_lag(late: int) -> None:
    joints_m = moving_hands(150)
    delayed = np.concatenate([joints_m[:1]] * late + [joints_m[:-late]])
    figures = measured(labelled_clip(joints_m), exact(delayed))
    assert figures.lag_px == pytest.approx(late, abs=0.15)
    assert figures.lag_camera == pytest.approx(late, abs=0.15)


def test_hands_too_far_by_a_tenth_err_in_range_only() -> None:
    joints_m = moving_hands(60)
    figures = measured(labelled_clip(joints_m), exact(1.1 * joints_m))
    assert figures.range_error_share == pytest.approx(0.1)
    assert figures.bone_ratio == pytest.approx(1.1)
    assert figures.lateral_error_mm == pytest.approx(0, abs=1e-9)
    assert figures.pa_mpjpe_mm == pytest.approx(0, abs=1e-6)
    assert figures.error_2d_px == pytest.approx(0, abs=1e-9)


def test_swapped_sides_are_found_on_the_wrong_side_only() -> None:
    joints_m = moving_hands(60)
    predictions = exact(joints_m)
    swapped = replace(predictions, side=np.where(predictions.present, 1 - predictions.side, NOBODY))
    figures = measured(labelled_clip(joints_m), swapped)
    assert (figures.recall, figures.recall_any, figures.side_error) == (0, 1, 1)


def test_the_nearer_of_two_predictions_is_matched_and_the_other_is_a_duplicate() -> None:
    joints_m = moving_hands(5)[:, :1].repeat(2, axis=1)
    joints_m[:, 1] = np.nan
    clip = labelled_clip(joints_m)
    pair = exact(joints_m[:, [0, 0]])
    pair.joints_px[:, 0] += 4.0
    matches = match(Truth(clip), pair)
    assert (matches.column[:, 0] == 1).all()
    assert (false_hands(Truth(clip), pair, matches).duplicate == [True, False]).all()


def test_pairs_come_before_nearness() -> None:
    """One prediction lies nearest to both hands; a worse one serves only the first, so it gets that."""
    joints_m = moving_hands(1)
    joints_m[:, 1] = joints_m[:, 0] + (0.02, 0.0, 0.0)
    between = exact(joints_m)
    between.joints_px[0, 0] = between.joints_px[0, 0] - (30.0, 0.0)
    between.joints_px[0, 1] = Truth(labelled_clip(joints_m)).joints_px[0, 0] + (2.0, 0.0)
    assert match(Truth(labelled_clip(joints_m)), between).column.tolist() == [[0, 1]]


def test_a_hand_not_annotated_in_a_frame_is_false_only_where_answers_are_complete_by_side() -> None:
    """Neither far from the annotated hand nor near it; a second one of its side is false all the same."""
    joints_m = moving_hands(30)
    predictions = exact(joints_m)
    lacking_m = joints_m.copy()
    lacking_m[10:20, 1] = np.nan
    beside = exact(np.stack([joints_m[:, 0], joints_m[:, 0] + [0.08, 0.0, 0.0]], axis=1))
    doubled = replace(beside, side=np.zeros_like(beside.side))
    for by_side, right, near, left in ((True, 10, 10, 10), (False, 0, 0, 10)):
        clip = replace(labelled_clip(lacking_m, complete=False), complete_by_side=by_side)
        counts = []
        for found in (predictions, beside, doubled):
            false = false_hands(Truth(clip), found, match(Truth(clip), found))
            counts.append(int(false.any[10:20].sum()))
        assert counts == [right, near, left]


def test_a_hand_cut_by_the_edge_is_neither_missed_nor_false() -> None:
    joints_m = moving_hands(4)
    joints_m[:, 0, :, 0] -= 0.32
    truth = Truth(labelled_clip(joints_m))
    assert (truth.joints_inside[:, 0] > 0).all() and not truth.in_view[:, 0].any()
    figures = measure(truth, exact(joints_m))
    assert figures.hands == int(truth.in_view[:, 1].sum()) > 0
    assert (figures.recall, figures.precision) == (1, 1)


def random_hands(*shape: int) -> FloatArray:
    return np.random.default_rng(5).normal(0, 0.05, (*shape, 21, 3))


def test_similarity_is_undone_and_a_mirror_image_is_not_forgiven() -> None:
    true = random_hands(2, 3)
    valid = np.ones((2, 3, 21), bool)
    turned = 1.3 * true @ rotation_from_vector(np.array([0.4, -0.9, 0.2])).T + (0.1, 0.2, 0.3)
    assert hand_errors.pa_mpjpe(turned, true, valid) == pytest.approx(np.zeros((2, 3)), abs=1e-9)
    assert (hand_errors.pa_mpjpe(true * (-1, 1, 1), true, valid) > 0.01).all()


def test_joints_that_are_not_valid_change_nothing() -> None:
    predicted, true = random_hands(4), random_hands(4)[::-1]
    valid = np.arange(21) % 4 > 0
    spoiled = np.where(valid[:, None], predicted, np.nan)
    for measure_error in (hand_errors.mpjpe, hand_errors.pa_mpjpe):
        all_given = measure_error(predicted, true, np.broadcast_to(valid, (4, 21)))
        assert measure_error(spoiled, true, np.ones((4, 21), bool)) == pytest.approx(all_given)
        few = measure_error(predicted[:, valid], true[:, valid], np.ones((4, valid.sum()), bool))
        assert all_given == pytest.approx(few)


def test_egoexo4d_errors_are_those_of_a_plain_loop() -> None:
    predicted, true = random_hands(6), random_hands(6)[::-1]
    valid = np.random.default_rng(1).random((6, 21)) < 0.8
    valid[:, 0] = True
    mpjpe_m, pa_m = hand_errors.egoexo4d_errors_m(
        predicted + 0.7, np.where(valid[..., None], true, np.nan), valid
    )
    for hand in range(6):
        joints = np.flatnonzero(valid[hand])
        relative = predicted[hand] - predicted[hand, 0] + true[hand, 0]
        assert mpjpe_m[hand] == pytest.approx(
            np.mean([np.linalg.norm(relative[joint] - true[hand, joint]) for joint in joints])
        )
        assert pa_m[hand] == pytest.approx(plain_pa(predicted[hand, joints], true[hand, joints]))


def plain_pa(a: FloatArray, b: FloatArray) -> float:
    """The best similarity found by the textbook steps for one hand."""
    a, b = a - a.mean(axis=0), b - b.mean(axis=0)
    u, s, vt = np.linalg.svd(b.T @ a)
    flip = np.diag([1, 1, np.linalg.det(u @ vt)])
    scale = np.trace(np.diag(s) @ flip) / (a**2).sum()
    return float(np.linalg.norm(scale * a @ (u @ flip @ vt).T - b, axis=1).mean())


def test_pck_and_auc_of_errors_known_by_hand() -> None:
    errors = np.array([[0.0, 5.0, 10.0, np.nan]])
    valid = np.array([[True, True, True, True]])
    assert hand_errors.pck(errors, valid, 7.0) == pytest.approx([2 / 3])
    assert hand_errors.auc(errors, valid, up_to=20.0, steps=2000) == pytest.approx(0.75, abs=1e-3)
    assert np.isnan(hand_errors.auc(errors[:, 3:], valid[:, 3:], up_to=20.0))


def test_runs_of_frames() -> None:
    assert motion.runs(np.array([True, True, False, True, False, False, True])) == [(0, 2), (3, 4), (6, 7)]
    assert motion.runs(np.zeros(3, bool)) == []


@pytest.mark.parametrize("frames", [0.0, 0.4, 2.0, -1.3])
def test_a_straight_path_is_sampled_later_exactly(frames: float) -> None:
    line = np.arange(10.0)[:, None] * (1.0, -2.0)
    sampled = sampled_later(line, frames)
    inside = (np.arange(10) + frames >= 0) & (np.arange(10) + frames <= 9)
    assert np.isfinite(sampled).all(axis=1).tolist() == inside.tolist()
    assert sampled[inside] == pytest.approx((line + frames * np.array([1.0, -2.0]))[inside])


def test_lateness_is_estimated_from_what_was_seen_and_known_lateness_comes_first() -> None:
    joints_m = moving_hands(150)
    stored = sampled_later(joints_m, -0.8)[1:]  # what is true at t is stored at t + 0.8
    seen = exact(joints_m[1:])
    for known, wanted, expected in (
        (None, "auto", (0.8, True)),
        (0.3, "auto", (0.3, False)),
        (0.3, "estimate", (0.8, True)),
        (None, "none", (0.0, False)),
    ):
        clip = labelled_clip(stored, lateness_frames=known)
        lateness, estimated = clip_lateness(clip, seen, wanted)  # type: ignore[arg-type]
        assert (pytest.approx(lateness, abs=0.15), estimated) == expected


def test_unfiltered_hands_are_what_the_network_saw_without_hands_that_coast() -> None:
    seen, coasting = some_hand(Side.LEFT), some_hand(Side.RIGHT, unseen_s=0.1)
    unfiltered = collect([(seen, coasting), ()], unfiltered=True)
    assert unfiltered.present.tolist() == [[True], [False]]
    assert np.array_equal(unfiltered.joints_px[0, 0], seen.pose.observed_px)
    assert collect([(seen, coasting), ()]).present.tolist() == [[True, True], [False, False]]
