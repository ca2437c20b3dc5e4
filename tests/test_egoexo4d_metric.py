"""EgoExo4D's challenge figures against a plain restatement of the public definition; submissions judged."""

import copy
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from egoexo4d_release import CAMERA, FIRST, SECOND, MadeRelease

from tracker.errors import UsageError
from tracker.joints import FloatArray, Side
from tracker.research.evaluation.egoexo4d_metric import (
    ChallengeScores,
    ScoredHands,
    challenge_scores,
    required_hands,
    scored_hands,
    stretches,
)
from tracker.research.evaluation.egoexo4d_submission import (
    complaints_about,
    read_submission,
    report,
    write_submission,
)
from tracker.research.evaluation.egoexo4d_table import scores_by_take, to_text
from tracker.research.ground_truth import egoexo4d
from tracker.research.ground_truth.egoexo4d_prepared import read_annotations
from tracker.research.ground_truth.egoexo4d_values import AnnotatedFrame

# The public definition, restated plainly: one hand after the other, in millimetres.


def plain_similarity_error_mm(predicted: FloatArray, target: FloatArray) -> float:
    """Mean distance after scale, rotation (no reflection) and translation, by Horn's quaternions.

    Another way than the tested one's singular values: the best rotation is the eigenvector of a 4 x 4 matrix.
    """
    p, q = predicted - predicted.mean(axis=0), target - target.mean(axis=0)
    s = p.T @ q
    (xx, xy, xz), (yx, yy, yz), (zx, zy, zz) = s
    n = np.array(
        [
            [xx + yy + zz, yz - zy, zx - xz, xy - yx],
            [yz - zy, xx - yy - zz, xy + yx, zx + xz],
            [zx - xz, xy + yx, yy - xx - zz, yz + zy],
            [xy - yx, zx + xz, yz + zy, zz - xx - yy],
        ]
    )
    w, x, y, z = np.linalg.eigh(n)[1][:, -1]
    rotation = np.array(
        [
            [w * w + x * x - y * y - z * z, 2 * (x * y - w * z), 2 * (x * z + w * y)],
            [2 * (x * y + w * z), w * w - x * x + y * y - z * z, 2 * (y * z - w * x)],
            [2 * (x * z - w * y), 2 * (y * z + w * x), w * w - x * x - y * y + z * z],
        ]
    )
    turned = p @ rotation.T
    scale = (turned * q).sum() / (p * p).sum()
    return float(np.linalg.norm(scale * turned - q, axis=1).mean())


def plain_scores_mm(submission: Any, truth: Any, *, offset: bool) -> tuple[float, float]:
    mpjpe, pa = [], []
    for uid, frames in truth.items():
        for frame, entry in frames.items():
            for side in ("right", "left"):
                if len(entry[f"{side}_hand_3d"]) == 0:
                    continue
                target = np.array(entry[f"{side}_hand_3d"]) * 1000
                predicted = np.array(submission[uid][frame][f"{side}_hand_3d"]) * 1000
                assert predicted.shape == (21, 3)
                if offset:
                    predicted = predicted + target[0]
                valid = np.array(entry[f"{side}_hand_valid_3d"])
                mpjpe.append(np.linalg.norm(predicted[valid] - target[valid], axis=1).mean())
                pa.append(plain_similarity_error_mm(predicted[valid], target[valid]))
    return float(np.mean(mpjpe)), float(np.mean(pa))


def random_files(seed: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """A truth and a submission of three takes, hands and joints missing at random, some hands reflected."""
    rng = np.random.default_rng(seed)
    truth: dict[str, Any] = {}
    submission: dict[str, Any] = {}
    for take in range(3):
        uid = f"take-{seed}-{take}"
        truth[uid], submission[uid] = {}, {}
        for frame in sorted(rng.choice(600, 7, replace=False).tolist()):
            entry: dict[str, Any] = {
                "metadata": {"take_uid": uid, "take_name": f"made_{take}", "frame_number": frame}
            }
            answer = {}
            for side in ("right", "left"):
                name = f"{side}_hand"
                there = rng.random() < 0.7
                joints = rng.normal(0, 0.05, (21, 3)) + np.array([0, 0, 0.4])
                valid = rng.random(21) < 0.8
                valid[1:5] = True
                predicted = joints * rng.choice([1, 1, -1], 3) + rng.normal(0, 0.02, (21, 3))
                joints[~valid & (np.arange(21) > 0)] = np.nan
                entry[f"{name}_3d"] = joints.tolist() if there else []
                entry[f"{name}_2d"] = rng.uniform(0, 500, (21, 2)).tolist() if there else []
                entry[f"{name}_bbox"] = [10.0, 20.0, 90.0, 60.0] if there else []
                entry[f"{name}_valid_3d"] = valid.tolist() if there else []
                answer[f"{name}_3d"] = (predicted - predicted[0]).tolist()  # extra hands too
            truth[uid][str(frame)], submission[uid][str(frame)] = entry, answer
    return truth, submission


def scores_of_files(folder: Path, truth: Any, submission: Any, *, offset: bool) -> ChallengeScores:
    (folder / "truth.json").write_text(json.dumps(truth))
    (folder / "submission.json").write_text(json.dumps(submission))
    takes = egoexo4d.open_takes(folder, folder / "truth.json", "test")
    frames = [frame for take in takes for frame in take.frames]
    hands = read_submission(folder / "submission.json", frames)
    return challenge_scores(scored_hands(takes, hands, wrist_relative=offset))


@pytest.mark.parametrize("seed", range(5))
def test_figures_are_the_public_ones(tmp_path: Path, seed: int) -> None:
    truth, submission = random_files(seed)
    scores = scores_of_files(tmp_path, truth, submission, offset=True)
    mpjpe, pa = plain_scores_mm(submission, truth, offset=True)
    assert scores.mpjpe_mm == pytest.approx(mpjpe, abs=1e-6) and mpjpe > 10
    assert scores.pa_mpjpe_mm == pytest.approx(pa, abs=1e-6) and pa > 5
    assert np.isnan([scores.camera_mpjpe_mm, scores.pck_05]).all()
    without = scores_of_files(tmp_path, truth, submission, offset=False)
    mpjpe, pa = plain_scores_mm(submission, truth, offset=False)
    assert without.camera_mpjpe_mm == pytest.approx(mpjpe, abs=1e-6)
    assert without.pa_mpjpe_mm == pytest.approx(pa, abs=1e-6)
    assert without.mpjpe_mm == pytest.approx(scores.mpjpe_mm, abs=1e-9)  # their wrists are at zero


def test_an_offset_submission_keeps_its_own_wrist(tmp_path: Path) -> None:
    """The public evaluator adds the true wrist and takes nothing off."""
    truth, submission = random_files(9)
    for frames in submission.values():
        for answer in frames.values():
            for name, joints in answer.items():
                answer[name] = (np.array(joints) + np.array([0.01, -0.02, 0.03])).tolist()
    scores = scores_of_files(tmp_path, truth, submission, offset=True)
    assert scores.mpjpe_mm == pytest.approx(plain_scores_mm(submission, truth, offset=True)[0], abs=1e-6)


def rows(true_m: FloatArray, predicted_m: FloatArray, frames: list[int], **changes: Any) -> ScoredHands:
    count = len(frames)
    values: dict[str, Any] = {
        "keys": tuple(("take", frame, Side.LEFT) for frame in frames),
        "predicted_m": predicted_m,
        "true_m": true_m,
        "valid": np.ones((count, 21), dtype=bool),
        "marked_px": CAMERA.project(true_m),
        "box_px": np.tile([100.0, 100.0, 200.0, 150.0], (count, 1)),
        "cameras": (CAMERA,) * count,
        "wrist_relative": False,
        "lenses": (None,) * count,
    }
    return ScoredHands(**(values | changes))


HAND = np.random.default_rng(2).normal(0, 0.04, (21, 3)) + np.array([0.0, 0.0, 0.4])


def test_pck_is_in_shares_of_the_box() -> None:
    """Joints marked 4, 8 and 12 px off, in a box 100 px long."""
    off = np.zeros((1, 21, 2))
    off[0, :7, 0], off[0, 7:14, 0], off[0, 14:, 1] = 4, 8, 12
    scores = challenge_scores(rows(HAND[None], HAND[None], [3], marked_px=CAMERA.project(HAND[None]) + off))
    assert (scores.pck_05, scores.pck_10, scores.pck_15) == pytest.approx((1 / 3, 2 / 3, 1))


def test_auc_of_a_known_error() -> None:
    moved = HAND.copy()
    moved[1:] += [0.02, 0.0, 0.0]  # all but the wrist 20 mm off: 30 of 50 mm above, the wrist always within
    scores = challenge_scores(rows(HAND[None], moved[None], [3]))
    assert scores.auc_50mm == pytest.approx((20 * 0.6 + 1) / 21, abs=0.01)
    assert scores.mpjpe_mm == pytest.approx(20 * 20 / 21)


def test_motion_is_measured_at_the_rate_of_the_frames() -> None:
    """A true hand at rest; a predicted one that shakes by a millimetre each way along the ray."""
    for step in (1, 3):
        frames = list(range(30, 30 + 12 * step, step))
        true = np.repeat(HAND[None], 12, axis=0)
        shaken = true + 0.001 * np.array([0, 0, 1.0]) * (-1.0) ** np.arange(12)[:, None, None]
        scores = challenge_scores(rows(true, shaken, frames))
        assert scores.camera_acceleration_error_mm_s2 == pytest.approx(4 * (30 / step) ** 2)
        assert scores.acceleration_error_mm_s2 == pytest.approx(0, abs=1e-6)
        assert 0.8 < scores.jitter_range_mm < 1.0 and scores.jitter_lateral_mm < 0.2


def test_stretches_break_where_the_step_changes() -> None:
    keys = [("a", frame, Side.LEFT) for frame in (3, 6, 9, 10, 11, 12, 40, 43, 46, 60, 80, 100)]
    keys += [("b", 6, Side.LEFT), ("a", 6, Side.RIGHT)]
    found = [([keys[row][1] for row in rows], rate) for rows, rate in stretches(keys)]
    assert found == [([3, 6, 9], 10.0), ([9, 10, 11, 12], 30.0), ([40, 43, 46], 10.0)]


def perfect(made: MadeRelease) -> tuple[list[AnnotatedFrame], dict[Any, FloatArray]]:
    frames = list(read_annotations(made.truth))
    shape = np.array([[0.0, 0.0, 0.01 * joint] for joint in range(21)])
    hands = {}
    for key, hand in required_hands(frames).items():
        known = np.isfinite(hand.joints_in_camera_m)
        hands[key] = np.where(known, hand.joints_in_camera_m, shape + hand.joints_in_camera_m[0])
    return frames, hands


def test_perfect_hands_have_no_error_take_by_take(made_release: MadeRelease) -> None:
    _, hands = perfect(made_release)
    takes = egoexo4d.open_takes(made_release.prepared, made_release.truth, "val")
    scores = scores_by_take(
        scored_hands(takes, hands, wrist_relative=False), {take.uid: take.name for take in takes}
    )
    assert list(scores) == ["all", FIRST.name, SECOND.name]
    assert [figures.hands for figures in scores.values()] == [15, 7, 8]
    assert scores["all"].mpjpe_mm == scores["all"].camera_mpjpe_mm == 0
    assert scores["all"].pa_mpjpe_mm == pytest.approx(0, abs=1e-6) and scores["all"].auc_50mm == 1
    lines = to_text(scores).splitlines()
    assert len(lines) == 4 and lines[1].split()[:4] == ["all", "15", "0.00", "0.00"]


def test_a_hand_without_prediction_is_an_error_as_in_public(made_release: MadeRelease) -> None:
    _, hands = perfect(made_release)
    del hands[SECOND.uid, 4, Side.LEFT]
    takes = egoexo4d.open_takes(made_release.prepared, made_release.truth, "val")
    with pytest.raises(UsageError, match=f"1 of 15 hands have no prediction.*left.*{SECOND.uid}, frame 4"):
        scored_hands(takes, hands, wrist_relative=False)


def test_a_hand_predicted_as_nan_is_never_left_out_of_the_mean(made_release: MadeRelease) -> None:
    _, hands = perfect(made_release)
    hands[SECOND.uid, 4, Side.LEFT] = np.full((21, 3), np.nan)
    takes = egoexo4d.open_takes(made_release.prepared, made_release.truth, "val")
    with pytest.raises(UsageError, match=f"NaN.*{SECOND.uid}, frame 4"):
        scored_hands(takes, hands, wrist_relative=False)


def test_boxes_alone_cannot_be_scored(made_release: MadeRelease) -> None:
    _, hands = perfect(made_release)
    takes = egoexo4d.open_takes(made_release.prepared, made_release.test_boxes, "test")
    with pytest.raises(UsageError, match="no hand with joints to score against"):
        scored_hands(takes, hands, wrist_relative=False)


# Submissions


def written(made: MadeRelease, path: Path, **options: Any) -> dict[str, Any]:
    _, hands = perfect(made)
    boxes = list(read_annotations(made.test_boxes))
    write_submission(path, boxes, hands, **options)
    submission: dict[str, Any] = json.loads(path.read_text())
    return submission


def test_a_submission_has_a_hand_for_each_box_and_no_other(made_release: MadeRelease, tmp_path: Path) -> None:
    submission = written(made_release, tmp_path / "s.json")
    boxes = json.loads(made_release.test_boxes.read_text())
    assert {uid: set(frames) for uid, frames in submission.items()} == {
        uid: set(frames) for uid, frames in boxes.items()
    }
    for uid, frames in boxes.items():
        for frame, entry in frames.items():
            for side in ("left", "right"):
                shape = np.shape(submission[uid][frame][f"{side}_hand_3d"])
                assert shape == ((21, 3) if entry[f"{side}_hand_bbox"] else (0,))
    truth = json.loads(made_release.truth.read_text())
    assert plain_scores_mm(submission, truth, offset=True)[0] == pytest.approx(0, abs=1e-9)
    in_camera = written(made_release, tmp_path / "s.json", wrist_relative=False)
    assert plain_scores_mm(in_camera, truth, offset=False)[0] == pytest.approx(0, abs=1e-9)


def test_what_would_be_rejected_is_not_written(made_release: MadeRelease, tmp_path: Path) -> None:
    frames, hands = perfect(made_release)
    del hands[FIRST.uid, 2, Side.RIGHT]
    (tmp_path / "s.json").write_text("before")
    with pytest.raises(UsageError, match=f"rejected: take {FIRST.uid}, frame 2, right hand: empty"):
        write_submission(tmp_path / "s.json", frames, hands)
    assert (tmp_path / "s.json").read_text() == "before"


NAN_JOINT = [[0.0, 0.0, 0.0]] * 20 + [[0.0, float("nan"), 0.0]]
MILLIMETRES = [[5.0 * k, 2.0, 1.0] for k in range(21)]


@pytest.mark.parametrize(
    ("change", "kind", "what"),
    [
        (lambda s: s.pop(FIRST.uid), "missing take", f"take {FIRST.uid}: missing, 7 hands are asked for"),
        (lambda s: s.update({FIRST.uid: []}), "no object of frames", "want an object"),
        (lambda s: s[FIRST.uid].pop("2"), "missing frame", "frame 2: missing"),
        (
            lambda s: s[FIRST.uid].update({"000002": s[FIRST.uid].pop("2")}),
            "missing frame",
            "there is '000002', want '2'",
        ),
        (
            lambda s: s[FIRST.uid].update({2: s[FIRST.uid].pop("2")}),
            "key that is no text",
            "frame 2: the key is no text",
        ),
        (lambda s: s[FIRST.uid]["2"].pop("left_hand_3d"), "missing hand", "left hand: no left_hand_3d"),
        (lambda s: s[FIRST.uid].update({"2": []}), "missing hand", "no right_hand_3d"),
        (lambda s: s[FIRST.uid]["2"].update(left_hand_3d=[]), "missing hand", "empty, but there is a box"),
        (lambda s: s[FIRST.uid]["2"].update(left_hand_3d=None), "wrong shape", "NoneType, want 21 x 3"),
        (
            lambda s: s[FIRST.uid]["2"].update(left_hand_3d=[[0, 0, 0]] * 20),
            "wrong shape",
            "20 x 3, want 21 x 3",
        ),
        (lambda s: s[FIRST.uid]["2"].update(left_hand_3d=[[[0, 0, 0]] * 21]), "wrong shape", "1 x 21 x 3"),
        (
            lambda s: s[FIRST.uid]["2"].update(left_hand_3d=[[0, 0]] + [[0, 0, 0]] * 20),
            "wrong shape",
            "rows of different",
        ),
        (lambda s: s[FIRST.uid]["2"].update(left_hand_3d=[["a", 0, 0]] * 21), "not numbers", "no number"),
        (lambda s: s[FIRST.uid]["2"].update(left_hand_3d=[[None, 0, 0]] * 21), "not numbers", "no number"),
        (lambda s: s[FIRST.uid]["2"].update(left_hand_3d=NAN_JOINT), "NaN", "1 joints are NaN"),
        (
            lambda s: s[FIRST.uid]["2"].update(left_hand_3d=MILLIMETRES),
            "not in metres",
            "size is 100 m; millimetres?",
        ),
        (
            lambda s: s[FIRST.uid]["2"].update(left_hand_3d=[[0, 0, 0]] * 20 + [[0, 0, 0.53]]),
            "too large",
            "size is 0.53 m, above 0.5 m",
        ),
        (
            lambda s: s[FIRST.uid]["2"].update(left_hand_3d=[[0, 0, 0]] * 21),
            "no hand",
            "all joints are in one place",
        ),
    ],
)
def test_what_the_validator_rejects_it_names(
    made_release: MadeRelease, tmp_path: Path, change: Any, kind: str, what: str
) -> None:
    submission = written(made_release, tmp_path / "s.json")
    change(submission)
    complaints = list(complaints_about(submission, read_annotations(made_release.test_boxes)))
    assert complaints[0].kind == kind
    assert what in str(complaints[0]) and FIRST.uid in str(complaints[0])


@pytest.mark.parametrize(
    "change",
    [
        lambda s: None,
        lambda s: s.update({"another take": {"3": {"left_hand_3d": "anything"}}}),
        lambda s: s[FIRST.uid].update({"999": {}}),
        lambda s: s[FIRST.uid]["5"].update(left_hand_3d=[[1, 2, 3]]),  # a hand nobody asks for
        lambda s: s[FIRST.uid]["5"].pop("left_hand_3d"),
        lambda s: s[FIRST.uid]["5"].update(note="anything"),
        lambda s: s[FIRST.uid]["2"].update(left_hand_3d=[[0, 0, 0]] * 20 + [[0, 0, 0.2]]),
    ],
)
def test_what_the_public_evaluator_accepts_is_accepted(
    made_release: MadeRelease, tmp_path: Path, change: Any
) -> None:
    submission = written(made_release, tmp_path / "s.json")
    change(submission)
    assert list(complaints_about(submission, read_annotations(made_release.test_boxes))) == []
    assert np.isfinite(
        plain_scores_mm(submission, json.loads(made_release.truth.read_text()), offset=True)
    ).all()


def test_many_complaints_are_cut_short_and_counted(made_release: MadeRelease, tmp_path: Path) -> None:
    submission = copy.deepcopy(written(made_release, tmp_path / "s.json"))
    for frames in submission.values():
        for answer in frames.values():
            answer["right_hand_3d"] = MILLIMETRES
    submission[SECOND.uid].pop("4")
    complaints = list(complaints_about(submission, read_annotations(made_release.test_boxes)))
    lines = report(complaints, most=3)
    assert len(lines) == 5 and lines[3] == "and 6 more"
    assert lines[4] == "in all: not in metres 8, missing frame 1"


def test_a_file_that_is_no_submission_is_refused(made_release: MadeRelease, tmp_path: Path) -> None:
    frames = read_annotations(made_release.test_boxes)
    assert [str(c) for c in complaints_about([], frames)] == ["the file: want an object of takes"]
    (tmp_path / "s.json").write_text("{")
    with pytest.raises(UsageError, match="cannot read"):
        read_submission(tmp_path / "s.json", frames)
