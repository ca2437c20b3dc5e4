"""Pseudo labels as files: keypoints read from annotations and lines, labels written and kept; the command."""

import errno
import json
import re
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from egoexo4d_release import (
    FIRST,
    ONE_VIEW,
    SECOND,
    TAKES,
    MadeRelease,
    annotated_joints,
    kept_joints,
    prepared_annotations,
    raw_frame,
)
from labelled_takes import MadeTake, distances_m, made_take
from PIL import Image
from standin_mano import mano_arrays

from tracker.cli import main
from tracker.errors import SinkFailedError, UsageError
from tracker.joints import Side
from tracker.mano_numpy import mano_from_arrays
from tracker.research.evaluation.egoexo4d_drawing import PREDICTED_COLOUR, TRUE_COLOUR
from tracker.research.ground_truth.egoexo4d_values import Tally
from tracker.research.pseudo_labels import command, keypoints
from tracker.research.pseudo_labels.command import Labelling, label_takes
from tracker.research.pseudo_labels.files import labels_path, made_from, read_labels
from tracker.research.pseudo_labels.keypoints import read_keypoints, weighted_by_views
from tracker.research.pseudo_labels.labels import ManoTake, OpenHandParameters
from tracker.research.pseudo_labels.problem import FitSettings, TakeKeypoints
from tracker.research.pseudo_labels.report import MOST_TAKES, TakeSummary, headline, to_text
from tracker.research.pseudo_labels.sheet import OF_EACH, telling


def lines_of(made: MadeTake) -> list[dict[str, Any]]:
    keypoints = made.keypoints
    return [
        {
            "take": keypoints.take,
            "frame": int(keypoints.frames[row]),
            "side": "left" if keypoints.left[row] else "right",
            "joints_m": keypoints.joints_m[row].tolist(),
        }
        for row in range(len(keypoints))
    ]


def write_lines(path: Path, entries: list[Any]) -> Path:
    path.write_text("".join(f"{line if isinstance(line, str) else json.dumps(line)}\n" for line in entries))
    return path


def run(*arguments: object) -> int:
    with pytest.raises(SystemExit) as ended:
        main(["egoexo4d", "pseudo-labels", *map(str, arguments)])
    return int(ended.value.code or 0)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user's folder without MANO."""
    monkeypatch.setenv("TRACKER_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def annotations(tmp_path: Path) -> Path:
    path = tmp_path / "prepared" / "annotation" / "manual" / "ego_pose_gt_anno_val_public.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(prepared_annotations()))
    return path


# Keypoints


def test_annotations_are_read_with_every_joint_that_is_known(annotations: Path) -> None:
    takes = read_keypoints(annotations, Tally())
    assert [take.take for take in takes] == [take.uid for take in TAKES]
    for take, made in zip(takes, TAKES, strict=True):
        hands = [
            (frame, side is Side.LEFT)
            for frame in made.frames
            for side in (Side.LEFT, Side.RIGHT)
            if kept_joints((made.uid, frame, side))
        ]
        assert list(zip(take.frames.tolist(), take.left.tolist(), strict=True)) == hands
        for row, (frame, left) in enumerate(hands):
            place = (made.uid, frame, Side.LEFT if left else Side.RIGHT)
            known = sorted({0, *kept_joints(place)})
            assert np.flatnonzero(take.weights[row]).tolist() == known
            np.testing.assert_allclose(take.joints_m[row, known], annotated_joints(place)[known], atol=1e-9)


def test_lines_are_read_with_unknown_joints_and_weights(tmp_path: Path) -> None:
    made = made_take(3, seed=1)
    entries = lines_of(made)
    entries[1]["joints_m"][4] = None
    entries[1]["joints_m"][5] = [float("nan"), 0.0, 0.0]
    entries[2]["weights"] = [2.0] * 20 + [0.0]
    entries[2]["unknown key"] = 1
    (take,) = read_keypoints(write_lines(tmp_path / "k.jsonl", [*entries, "  "]), Tally())
    assert np.isnan(take.joints_m[1, 4:6]).any(axis=-1).all()
    assert np.isfinite(take.joints_m[1, 6:]).all()
    assert take.weights[2].tolist() == [2.0] * 20 + [0.0]
    np.testing.assert_array_equal(take.joints_m[0], made.keypoints.joints_m[0])


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ("{", "no JSON"),
        ("[" * 100000, "no JSON|recursion"),
        ("[1, 2]", "no object"),
        ({"take": "../elsewhere"}, "want letters"),
        ({"take": 7}, "take is 7"),
        ({"take": "x" * 101}, "want letters"),
        ({"frame": 1.5}, "want a whole number"),
        ({"frame": True}, "want a whole number"),
        ({"side": "up"}, "want left or right"),
        ({"side": ["left"]}, "want left or right"),
        ({"joints_m": [[0.0, 0.0, 0.0]] * 20}, r"shape \(20, 3\)"),
        ({"joints_m": None}, "joints_m"),
        ({"joints_m": "no"}, "joints_m"),
        ({"joints_m": [[0.0, 0.0, "x"]] * 21}, "no array of numbers"),
        ({"joints_m": [[0.0, 0.0, 1e300]] * 21}, "10000 m off"),
        ({"joints_m": [[float("inf"), 0.0, 0.0]] * 21}, "10000 m off"),
        (1000.0, r"larger than half a metre; millimetres\?"),
        ({"weights": [1.0] * 20}, "weights has shape"),
        ({"weights": [-1.0] * 21}, "weights are to be"),
        ({"weights": [float("nan")] * 21}, "weights are to be"),
        ({"frame": 0, "side": "same"}, "a second time"),
    ],
)
def test_a_malformed_line_is_named_and_left_out(tmp_path: Path, change: Any, complaint: str) -> None:
    first, second = lines_of(made_take(2, seed=1))
    bad: Any = change
    if isinstance(change, Mapping):
        bad = second | dict(change)
        if bad["side"] == "same":
            bad["side"] = first["side"]
    if isinstance(change, float):
        bad = second | {"joints_m": (np.array(second["joints_m"], dtype=float) * change).tolist()}
    tally = Tally()
    (take,) = read_keypoints(write_lines(tmp_path / "k.jsonl", [first, bad]), tally)
    assert len(take) == 1
    (line,) = tally.lines()
    assert line.startswith("lines left out: 1 (line 2: ")
    assert re.search(complaint, line)


def test_hands_of_too_few_keypoints_are_counted(tmp_path: Path) -> None:
    entries = lines_of(made_take(3, seed=1))
    entries[0]["joints_m"][5:] = [None] * 16
    entries[1]["weights"] = [1.0] * 5 + [0.0] * 16
    tally = Tally()
    (take,) = read_keypoints(write_lines(tmp_path / "k.jsonl", entries), tally)
    assert len(take) == 1
    assert tally.counts == {"hands with fewer than 6 keypoints left out": 2}
    with pytest.raises(
        UsageError, match="holds no hand to fit; hands with fewer than 6 keypoints left out: 2"
    ):
        read_keypoints(write_lines(tmp_path / "k.jsonl", entries[:2]), Tally())


@pytest.mark.parametrize("name", ["missing.jsonl", "missing.json"])
def test_a_missing_file_is_one_line(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError, match=r"cannot read|is not there; egoexo4d prepare"):
        read_keypoints(tmp_path / name, Tally())


def test_joints_count_by_how_many_cameras_saw_them(annotations: Path, tmp_path: Path) -> None:
    """Of the automatic annotation, where joints of one camera stay, one take has no raw file."""
    release = tmp_path / "raw"
    folder = release / "annotations" / "ego_pose" / "val" / "hand" / "automatic"
    folder.mkdir(parents=True)
    raw = {str(frame): raw_frame(FIRST, frame) for frame in FIRST.frames}
    (folder / f"{FIRST.uid}.json").write_text(json.dumps(raw))
    listed = [
        {
            "take_uid": take.uid,
            "root_dir": take.name,
            "capture": {"cameras": [{"cam_id": take.aria, "is_ego": True}]},
        }
        for take in TAKES
    ]
    (release / "takes.json").write_text(json.dumps(listed))
    takes, tally = read_keypoints(annotations, Tally()), Tally()
    first, second = weighted_by_views(takes, release, "val", "auto", tally)
    assert tally.lines() == [f"takes without numbers of views: 1 ({SECOND.uid})"]
    np.testing.assert_array_equal(second.weights, takes[1].weights)
    np.testing.assert_allclose(first.weights, takes[0].weights * 4 / 3)
    place = next(place for place in ONE_VIEW if place[0] == FIRST.uid)
    everywhere = TakeKeypoints(
        first.take, first.frames, first.left, np.nan_to_num(first.joints_m), np.ones_like(first.weights)
    )
    (counted, *_) = weighted_by_views([everywhere], release, "val", "auto", Tally())
    rows = (first.frames == place[1]) & (first.left == (place[2] is Side.LEFT))
    np.testing.assert_allclose(counted.weights[rows][0, list(ONE_VIEW[place])], 1 / 3)
    assert (counted.weights[~rows] == 4 / 3).sum() > 100


# Labels


def test_labels_come_back_from_their_file(tmp_path: Path) -> None:
    made = made_take(20, seed=3, noise_m=0.004)
    label_takes([made.keypoints], tmp_path, Labelling(), resume=False, say=print)
    labels = read_labels(labels_path(tmp_path, "made"))
    assert labels.take == "made"
    np.testing.assert_array_equal(labels.frames, made.keypoints.frames)
    np.testing.assert_array_equal(labels.left, made.keypoints.left)
    off_m = distances_m(labels.joints_m, made.keypoints.joints_m)
    np.testing.assert_allclose(labels.residuals_m, off_m, atol=1e-12)
    believed = np.where(labels.outliers, np.nan, off_m)
    np.testing.assert_allclose(labels.rms_m, np.sqrt(np.nanmean(believed**2, axis=1)))
    assert isinstance(labels.parameters, OpenHandParameters)
    with np.load(labels_path(tmp_path, "made"), allow_pickle=False) as stored:  # as docs/egoexo4d.md has it
        assert stored["model"] == "open-hand"
        np.testing.assert_array_equal(stored["good"], labels.good)
        assert stored["reasons"].shape == stored["bad"].shape[1:]
        assert stored["angles_rad"].shape == (20, 5, 4)
    with pytest.raises(ValueError, match="of the open hand"):
        labels.mano(0)


def test_only_what_is_missing_is_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that died in its third take goes on there; changed keypoints and settings are another run."""
    takes = [made_take(4, seed=seed, take=f"take{seed}").keypoints for seed in range(4)]
    fitted: list[str] = []
    fit = command.fit_take

    def counting(model: Any, keypoints: TakeKeypoints, settings: FitSettings) -> Any:
        if len(fitted) == 2 and keypoints.take == "take2" and "dead" not in fitted:
            fitted.append("dead")
            raise KeyboardInterrupt
        fitted.append(keypoints.take)
        return fit(model, keypoints, settings)

    monkeypatch.setattr(command, "fit_take", counting)
    said: list[str] = []
    with pytest.raises(KeyboardInterrupt):
        label_takes(takes, tmp_path, Labelling(), resume=False, say=said.append)
    assert said == ["stopped; 2 of 4 takes are done, --resume goes on from there"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["take0.npz", "take1.npz"]
    before = labels_path(tmp_path, "take0").read_bytes()
    with pytest.raises(UsageError, match=r"take0\.npz is there already; --resume"):
        label_takes(takes, tmp_path, Labelling(), resume=False, say=print)
    fitted.clear()
    fitted.append("dead")
    said.clear()
    label_takes(takes, tmp_path, Labelling(), resume=True, say=said.append)
    assert fitted == ["dead", "take2", "take3"]
    assert said[0] == "2 takes were there already"
    assert labels_path(tmp_path, "take0").read_bytes() == before
    takes[1].joints_m[0, 0] += 0.001
    labels_path(tmp_path, "take3").write_bytes(before[:1000])
    fitted[1:] = []
    said.clear()
    label_takes(takes, tmp_path, Labelling(), resume=True, say=said.append)
    assert fitted == ["dead", "take1", "take3"]
    assert said[0] == "labels of 2 takes are of other keypoints, or damaged, and made again: take1, take3"
    fitted[1:] = []
    other = Labelling(settings=FitSettings(tukey=4.0))
    with pytest.raises(
        UsageError, match=r"take0\.npz is of another run: tukey was 5\.0, is 4\.0; --overwrite"
    ):
        label_takes(takes, tmp_path, other, resume=True, say=print)
    of_mano = Labelling(mano_from_arrays(mano_arrays()))
    with pytest.raises(UsageError, match="another run: model was open-hand, is mano; --overwrite"):
        label_takes(takes, tmp_path, of_mano, resume=True, say=print)
    assert labels_path(tmp_path, "take0").read_bytes() == before and fitted == ["dead"]
    label_takes(takes, tmp_path, other, resume=True, overwrite=True, say=print)
    assert fitted == ["dead", *(take.take for take in takes)]


def test_ctrl_c_while_keypoints_are_read_is_one_line(
    tmp_path: Path, home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keypoints, "read_keypoints", lambda *_: signal.raise_signal(signal.SIGINT))
    assert run(tmp_path / "k.jsonl", tmp_path / "labels", "--model", "open-hand") == 130
    assert capsys.readouterr().err == "stopped; no labels were made\n"


def test_a_take_is_written_wholly_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def dying(file: Any, **arrays: Any) -> None:
        file.write(b"PK")
        raise KeyboardInterrupt

    def full(file: Any, **arrays: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    takes = [made_take(2, seed=1).keypoints]
    for write, error in ((dying, KeyboardInterrupt), (full, SinkFailedError)):
        monkeypatch.setattr(np, "savez_compressed", write)
        with pytest.raises(error):
            label_takes(takes, tmp_path, Labelling(), resume=False, say=print)
        assert list(tmp_path.iterdir()) == []


def test_a_take_that_cannot_name_a_file_is_left_out(annotations: Path) -> None:
    frames = json.loads(annotations.read_text())
    frames["../else"] = frames.pop(FIRST.uid)
    for frame in frames["../else"].values():
        frame["metadata"]["take_uid"] = "../else"
    annotations.write_text(json.dumps(frames))
    tally = Tally()
    assert [take.take for take in read_keypoints(annotations, tally)] == [SECOND.uid]
    assert sum(tally.counts.values()) == len(frames["../else"])


def spoiled(path: Path, **changes: Any) -> None:
    with np.load(path) as stored:
        arrays = {name: stored[name] for name in stored.files} | changes
    np.savez(path, **{name: value for name, value in arrays.items() if value is not None})


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"format": "something else"}, "has the format 'something else'"),
        ({"format": None}, "holds no format"),
        ({"model": "glove"}, "of the model 'glove'"),
        ({"angles_rad": np.zeros((3, 5, 4))}, r"angles_rad has shape \(3, 5, 4\), want 4 rows"),
        ({"palm_m": None}, "holds no palm_m"),
    ],
)
def test_files_that_hold_no_labels_are_refused(
    tmp_path: Path, changes: dict[str, Any], complaint: str
) -> None:
    label_takes([made_take(4, seed=1).keypoints], tmp_path, Labelling(), resume=False, say=print)
    path = labels_path(tmp_path, "made")
    spoiled(path, **changes)
    with pytest.raises(UsageError, match=complaint):
        read_labels(path)


# The command


def test_the_command_labels_annotations(
    annotations: Path, tmp_path: Path, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    prepared, out = annotations.parents[2], tmp_path / "labels"
    assert run(prepared, out, "--split", "val") == 0
    said = capsys.readouterr().err
    assert "no MANO file is there, so open hands are fitted" in said
    assert "2 takes, 15 hands" in said
    for take in TAKES:
        labels = read_labels(labels_path(out, take.uid))
        for row in range(len(labels)):
            side = Side.LEFT if labels.left[row] else Side.RIGHT
            place = (take.uid, int(labels.frames[row]), side)
            known = kept_joints(place)
            off_m = distances_m(labels.joints_m[row], annotated_joints(place))[known]
            assert np.median(off_m) < 1e-3
    assert run(prepared, out, "--split", "val") == 2
    assert "--resume goes on" in capsys.readouterr().err
    assert run(annotations, out, "--resume") == 0
    assert "2 takes were there already" in capsys.readouterr().err


def test_the_command_fits_mano_where_it_is(
    tmp_path: Path, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = write_lines(tmp_path / "k.jsonl", [*lines_of(made_take(6, seed=2)), "{}"])
    assert run(lines, tmp_path / "a", "--model", "mano") == 2
    assert "there is no MANO file" in capsys.readouterr().err
    np.savez(tmp_path / "mano.npz", **mano_arrays())  # type: ignore[arg-type]
    assert run(lines, tmp_path / "a", "--mano", tmp_path / "mano.npz") == 0
    assert "lines left out: 1 (line 7: take is None" in capsys.readouterr().err
    labels = read_labels(labels_path(tmp_path / "a", "made"))
    assert isinstance(labels.parameters, ManoTake)
    assert labels.parameters.hand_pose.shape == (6, 15, 3, 3)
    np.testing.assert_array_equal(labels.mano(3).betas, labels.parameters.betas)
    assert made_from(labels_path(tmp_path / "a", "made")).startswith('{"model": "mano", "MANO sha256": ')
    assert run(lines, tmp_path / "a", "--mano", tmp_path / "mano.npz", "--model", "open-hand") == 2


def test_the_sheet_shows_hands_over_their_pictures(
    made_release: MadeRelease, tmp_path: Path, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "labels"
    assert run(made_release.prepared, out, "--split", "val", "--sheet") == 0
    assert f"wrote {out / 'hands.png'}: 12 hands" in capsys.readouterr().err
    sheet = np.asarray(Image.open(out / "hands.png")).astype(int)
    for panel in np.split(sheet, 12):
        seen, fitted = panel[30:, :320], panel[30:, 326:646]
        for part, colour in ((seen, TRUE_COLOUR), (fitted, PREDICTED_COLOUR)):
            assert (np.abs(part - colour).max(axis=-1) < 12).sum() > 200
    assert run(made_release.annotations, tmp_path / "other", "--sheet") == 2
    assert "--sheet needs pictures" in capsys.readouterr().err


def test_a_stricter_bound_makes_labels_bad_and_the_report_says_so(
    tmp_path: Path, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = write_lines(tmp_path / "k.jsonl", lines_of(made_take(6, seed=2, noise_m=0.004)))
    assert run(lines, tmp_path / "a") == 0
    usual = capsys.readouterr()
    assert run(lines, tmp_path / "b", "--most-rms-mm", "0.001") == 0
    strict = capsys.readouterr()
    good = int(read_labels(labels_path(tmp_path / "a", "made")).good.sum())
    assert good > 0 and f"6 hands, {good} of them good" in usual.err
    assert "0 of them good" in strict.err and "bad: 6 large residual" in strict.err
    for printed, expected in ((usual.out, good), (strict.out, 0)):
        counted, kept = (list(map(int, row.split()[-7:])) for row in printed.splitlines()[1:3])
        assert sum(counted) == 6 and sum(kept) == expected
    assert run(lines, tmp_path / "c", "--most-rms-mm", "0") == 2


def summary(take: str, rms_mm: list[float], bad: int) -> TakeSummary:
    good = np.arange(len(rms_mm)) >= bad
    return TakeSummary(take, np.array(rms_mm), good, {"large_residual": bad}, 1.0)


def test_the_report_lists_the_worst_takes_first_and_counts_every_hand() -> None:
    takes = [summary(f"take{k}", [1.0, 3.0, 13.0], 0) for k in range(11)]
    takes += [summary("worst", [1.0, 13.0], 2), summary("bad", [1.0, 2.0, 13.0], 1)]
    lines = to_text(takes).splitlines()
    assert [line.split()[0] for line in lines[5:7]] == ["worst", "bad"]
    assert len(lines) == 5 + MOST_TAKES + 1 and lines[-1] == "and 3 takes with fewer bad labels"
    assert lines[1].split()[1:] == ["13", "12", "0", "0", "0", "0", "13"]
    assert headline(takes)[0].startswith("13 takes, 38 hands, 35 of them good")


def test_the_telling_hands_are_the_best_the_middling_and_the_worst() -> None:
    rms_m, good = np.arange(40) / 1e3, np.ones(40, dtype=bool)
    good[[5, 20]] = False
    chosen = telling(rms_m, good).tolist()
    assert chosen[:OF_EACH] == [0, 1, 2, 3] and chosen[-OF_EACH:] == [38, 39, 5, 20]
    assert len(chosen) == 3 * OF_EACH
    for few in range(1, 3 * OF_EACH):  # all there are, or as many, each once
        rows = telling(rms_m[:few], good[:few]).tolist()
        assert len(set(rows)) == len(rows) and set(rows) <= set(range(few))
        assert len(rows) == few or few > OF_EACH
