"""FreiHAND and HInt as they are published: what their readers give, and what is wrong with a file."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tracker.cli import main
from tracker.errors import UsageError
from tracker.joints import Side
from tracker.research.ground_truth import find_clips
from tracker.research.ground_truth.egoexo4d_values import Tally
from tracker.research.ground_truth.hint import open_subset
from tracker.research.ground_truth.labelled import SIDES

RIGHT, LEFT = SIDES.index(Side.RIGHT), SIDES.index(Side.LEFT)
HANDS = np.random.default_rng(5).normal(0, 0.04, (3, 21, 3)) + np.array([0.0, 0.0, 0.7])
MATRICES = [[[480.0 + k, 0, 112], [0, 480.0 + k, 110], [0, 0, 1]] for k in range(3)]


def write_freihand(data: Path, **changes: Any) -> None:
    stored = {"training_xyz": HANDS.tolist(), "training_K": MATRICES} | changes
    for name, value in stored.items():
        (data / f"{name}.json").write_text(json.dumps(value))
    (data / "training" / "rgb").mkdir(parents=True)
    for number in range(12):  # every hand four times
        picture = np.full((224, 224, 3), number, np.uint8)
        Image.fromarray(picture).save(data / "training" / "rgb" / f"{number:08d}.jpg")


def test_freihand_shows_right_hands_in_their_own_cameras(tmp_path: Path) -> None:
    write_freihand(tmp_path)
    (clip,) = find_clips(tmp_path)
    frames = list(clip.labelled_frames())
    assert clip.name == "freihand_training" and len(frames) == 3 and clip.frame_rate_hz is None
    np.testing.assert_array_equal([frame.joints_in_camera_m[RIGHT] for frame in frames], HANDS)
    for frame, hand, matrix in zip(frames, HANDS, np.array(MATRICES), strict=True):
        homogeneous = hand @ matrix.T
        np.testing.assert_allclose(frame.joints_px[RIGHT], homogeneous[:, :2] / homogeneous[:, 2:], atol=1e-9)
        assert not frame.valid_3d[LEFT].any() and not frame.valid_2d[LEFT].any()
    assert [frame.frame.image_rgb[0, 0, 0] for frame in frames] == [0, 1, 2]
    shown = [np.asarray(Image.open(path)) for path in clip.pictures]  # what training reads in any order
    np.testing.assert_array_equal(shown, [frame.frame.image_rgb for frame in frames])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"training_K": MATRICES[:2]}, "holds 3 hands; want as many matrices"),
        ({"training_xyz": [hand[:20] for hand in HANDS.tolist()]}, "shape"),
        ({"training_K": [np.eye(2).tolist()] * 3}, "no 3 x 3 matrix"),
        ({"training_K": "none"}, "want as many matrices"),
    ],
)
def test_damaged_freihand_is_named(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    write_freihand(tmp_path, **changes)
    with pytest.raises(UsageError, match=message):
        find_clips(tmp_path)


def test_hands_of_freihand_without_a_picture_are_left_out_and_named(tmp_path: Path) -> None:
    write_freihand(tmp_path)
    pictures = tmp_path / "training" / "rgb"
    (pictures / "00000001.jpg").unlink()
    tally = Tally()
    (clip,) = find_clips(tmp_path, tally=tally)
    assert tally.lines() == ["hands without a picture: 1 (training 00000001.jpg)"]
    frames = list(clip.labelled_frames())
    np.testing.assert_array_equal([frame.joints_in_camera_m[RIGHT] for frame in frames], HANDS[[0, 2]])
    assert [frame.frame.image_rgb[0, 0, 0] for frame in frames] == [0, 2]
    assert [frame.frame.camera.fx for frame in frames] == [480.0, 482.0]
    for number in (0, 2):
        (pictures / f"{number:08d}.jpg").unlink()
    with pytest.raises(UsageError, match=r"none of the 3 pictures is there, the first would be .*00000000"):
        find_clips(tmp_path)


def write_hint(data: Path, name: str = "ND_some_frame000012_l", **changes: Any) -> Path:
    folder = data / "TEST_newdays_img"
    folder.mkdir(exist_ok=True)
    Image.fromarray(np.zeros((60, 80, 3), np.uint8)).save(folder / f"{name}.jpg")
    marks = {"keypoints": [[k, 2 * k] for k in range(21)], "occlusion": [k % 2 for k in range(21)]}
    entry = {"bbox": [[0, 0, 20, 40]]} | marks | changes
    (folder / f"{name}.json").write_text(json.dumps([entry]))
    return folder


def test_hint_marks_the_side_its_name_says_in_the_picture_alone(tmp_path: Path) -> None:
    write_hint(tmp_path)
    folder = write_hint(tmp_path, "ND_some_frame000040_r")
    (folder / "TEST_lonely_l.json").write_text("[]")  # an Ego4D picture that was not fetched
    (clip,) = find_clips(tmp_path)
    left, right = clip.labelled_frames()
    np.testing.assert_array_equal(left.joints_px[LEFT], [[k, 2 * k] for k in range(21)])
    assert left.valid_2d.any(axis=1).tolist() == [True, False] == right.valid_2d.any(axis=1).tolist()[::-1]
    assert not left.valid_3d.any() and left.frame.camera.assumed
    assert [path.suffix for path in clip.pictures] == [".jpg"] * len(clip)
    tally = Tally()
    subset = open_subset(folder, tally)
    assert subset is not None and tally.lines() == ["marks without a picture: 1 (TEST_newdays_img)"]
    hidden = subset.hidden
    assert hidden is not None
    assert hidden[0, LEFT].tolist() == [k % 2 == 1 for k in range(21)] and not hidden[0, RIGHT].any()


@pytest.mark.parametrize(
    ("name", "changes", "message"),
    [
        ("ND_some_frame000012", {}, "does not end in _l or _r"),
        ("ND_some_l", {"keypoints": [[0, 0]] * 20}, "shape"),
        ("ND_some_l", {"keypoints": None}, "shape"),
        ("ND_some_l", {"occlusion": [0] * 20}, "21 words on occlusion"),
    ],
)
def test_damaged_hint_is_named(tmp_path: Path, name: str, changes: dict[str, Any], message: str) -> None:
    write_hint(tmp_path, name, **changes)
    with pytest.raises(UsageError, match=message) as raised:
        find_clips(tmp_path)
    assert name in str(raised.value)


def test_hint_without_its_pictures_is_refused(tmp_path: Path) -> None:
    folder = write_hint(tmp_path)
    next(iter(folder.glob("*.jpg"))).unlink()
    with pytest.raises(UsageError, match=r"holds no pictures with marks; .* 1 \(TEST_newdays_img\)"):
        find_clips(tmp_path)


def test_hint_as_downloaded_is_read_without_folders_that_have_no_pictures(
    tmp_path: Path,
) -> None:
    write_hint(tmp_path)
    for name in ("TEST_ego4d_img", "TRAIN_ego4d_img", "VAL_ego4d_seq"):
        (tmp_path / name).mkdir()
        for clip_id in ("0037b816_d60098ce_505_pnr_frame_r", "09e662dd_a31fee4e_8852_pre_30_l"):
            (tmp_path / name / f"{clip_id}.json").write_text("[]")
    tally = Tally()
    assert [clip.name for clip in find_clips(tmp_path, tally=tally)] == ["TEST_newdays_img"]
    assert tally.counts == {"marks without a picture": 6}
    assert tally.places["marks without a picture"] == ["TEST_ego4d_img", "VAL_ego4d_seq", "TRAIN_ego4d_img"]


def test_evaluate_says_what_it_leaves_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write_hint(tmp_path)
    (folder / "ND_unfetched_frame000013_r.json").write_text("[]")
    with pytest.raises(SystemExit) as exit_status:
        main(["evaluate", str(tmp_path)])
    assert exit_status.value.code == 0
    assert "marks without a picture: 1 (TEST_newdays_img)" in capsys.readouterr().err.splitlines()
