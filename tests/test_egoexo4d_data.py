"""EgoExo4D's files: raw to prepared, what each filter rejects, turning upright, and damaged files."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from egoexo4d_release import (
    FIRST,
    LENS,
    SECOND,
    TAKES,
    MadeRelease,
    annotated_joints,
    kept_joints,
    prepared_annotations,
    raw_copy,
    undistorted,
    upright_joints,
    upright_picture,
    write_calibrations,
)
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from tracker.cameras import Pinhole
from tracker.errors import CameraError, UsageError
from tracker.joints import Side
from tracker.research.ground_truth import egoexo4d, egoexo4d_filters, find_clips
from tracker.research.ground_truth.egoexo4d_pictures import prepare_pictures, read_frames
from tracker.research.ground_truth.egoexo4d_prepared import read_annotations, write_annotations
from tracker.research.ground_truth.egoexo4d_preparing import prepare_annotations
from tracker.research.ground_truth.egoexo4d_release import read_aria_lens
from tracker.research.ground_truth.egoexo4d_values import Tally
from tracker.research.ground_truth.labelled import SIDES
from tracker.research.ground_truth.quarter_turn import QuarterTurn
from tracker.structs import Frame

steps = st.integers(-(2**20), 2**20).map(lambda k: k / 1024)


def prepare(raw: Path, prepared: Path, kind: str = "manual") -> tuple[list[Any], Tally]:
    tally = Tally()
    return list(prepare_annotations(raw, prepared, "val", kind, tally)), tally  # type: ignore[arg-type]


def change_json(path: Path, change: Any) -> None:
    values = json.loads(path.read_text())
    change(values)
    path.write_text(json.dumps(values))


# Landscape and portrait


@given(arrays(np.float64, (5, 2), elements=steps), st.integers(1, 600), st.integers(1, 600))
def test_pixels_come_back_from_upright(pixels: Any, width: int, height: int) -> None:
    turn = QuarterTurn(width, height)
    np.testing.assert_array_equal(turn.pixels_landscape(turn.pixels_upright(pixels)), pixels)


@given(arrays(np.float64, (4, 3), elements=st.floats(-1e6, 1e6)))
def test_points_come_back_from_upright(points: Any) -> None:
    turn = QuarterTurn(512, 512)
    np.testing.assert_array_equal(turn.points_landscape(turn.points_upright(points)), points)
    np.testing.assert_array_equal(points @ turn.upright_from_landscape.T, turn.points_upright(points))


def test_picture_camera_and_points_turn_together() -> None:
    """A point's image shows the same pixel before and after; and the public rule for pixels holds."""
    turn, camera = QuarterTurn(64, 48), Pinhole(64, 48, 50.0, 55.0, 30.25, 25.5)
    picture = np.random.default_rng(0).integers(0, 255, (48, 64, 3)).astype(np.uint8)
    upright = turn.frame_upright(Frame(3, 0.1, picture, camera))
    assert upright.image_rgb.shape == (64, 48, 3)
    for x, y in ((0, 0), (63, 5), (17, 47)):
        point = camera.unproject(np.array([x, y], dtype=float))
        seen = upright.camera.project(turn.points_upright(point))
        np.testing.assert_allclose(seen, (48 - 1 - y, x), atol=1e-9)
        column, row = np.rint(seen).astype(int)
        assert (upright.image_rgb[row, column] == picture[y, x]).all()
    assert turn.camera_landscape(upright.camera) == camera


def test_a_box_turned_upright_holds_the_pixels_it_held() -> None:
    box = QuarterTurn(512, 512).boxes_upright(np.array([10.0, 20.0, 110.0, 60.0]))
    np.testing.assert_array_equal(box, [451, 10, 491, 110])


def test_a_camera_that_cannot_be_turned_is_refused() -> None:
    with pytest.raises(CameraError, match="64 x 48, want 512 x 512"):
        QuarterTurn(512, 512).camera_upright(Pinhole(64, 48, 50.0, 50.0, 32.0, 24.0))
    with pytest.raises(CameraError, match="fisheye624 camera cannot be turned"):
        QuarterTurn(1408, 1408).camera_upright(LENS)


# Raw to prepared


def test_prepared_from_raw_is_what_was_true(made_release: MadeRelease, tmp_path: Path) -> None:
    frames, _ = prepare(made_release.raw, made_release.prepared)
    write_annotations(tmp_path / "built.json", frames)
    built = json.loads((tmp_path / "built.json").read_text())
    expected = prepared_annotations()
    assert {uid: list(frames) for uid, frames in built.items()} == {
        uid: list(frames) for uid, frames in expected.items()
    }
    for uid, entries in expected.items():
        for key, entry in entries.items():
            assert isinstance(entry, dict)
            assert built[uid][key].keys() == entry.keys()
            for name, value in entry.items():
                if name == "metadata":
                    assert built[uid][key][name] == value
                else:
                    np.testing.assert_allclose(
                        np.array(built[uid][key][name], dtype=float),
                        np.array(value, dtype=float),
                        atol=1e-9,
                        err_msg=f"{uid} {key} {name}",
                    )


def test_what_is_left_out_is_counted_by_reason(made_release: MadeRelease) -> None:
    _, tally = prepare(made_release.raw, made_release.prepared)
    assert tally.counts == {
        "takes read": 2,
        "frames kept": 9,
        "hands kept": 15,
        "hands with fewer than 10 joints left": 2,
        "joints from fewer than 3 views": 3,
        "joints of hands without wrist": 20,
        "joints at an implausible bone": 1,
        "joints at an implausible angle": 1,
        "joints outside Aria's mask": 1,
        "joints not marked in Aria's picture": 1,
        "joints more than 30 px from their mark": 2,
    }


def test_automatic_annotation_needs_no_three_views(made_release: MadeRelease) -> None:
    frames, tally = prepare(made_release.raw, made_release.prepared, "auto")
    assert "joints from fewer than 3 views" not in tally.counts
    by_place = {(frame.take_uid, frame.frame_number): frame for frame in frames}
    valid = by_place[FIRST.uid, 8].hands[Side.RIGHT].valid
    assert np.flatnonzero(valid).tolist() == kept_joints((FIRST.uid, 8, Side.RIGHT), manual=False)
    assert valid.all()


GOOD = upright_joints((FIRST.uid, 2, Side.LEFT))
MASK = np.ones((100, 100), dtype=bool)
MASK[:, :30] = False


def moved(joint: int, *offset: float) -> Any:
    joints = GOOD.copy()
    joints[joint] += offset
    return joints


def pixels(joint: int, x: float, y: float) -> Any:
    inside = np.full((21, 2), 50.0)
    inside[joint] = (x, y)
    return inside


def views(joint: int, count: float) -> Any:
    counts = np.full(21, 3.0)
    counts[joint] = count
    return counts


def straight_finger_bent(deg: float, base: int) -> Any:
    """The hand with one finger straight but in its second joint, where bones meet at an angle."""
    joints = GOOD.copy()
    along = (joints[base] - joints[0]) / np.linalg.norm(joints[base] - joints[0])
    aside = np.cross(along, [1.0, 0.0, 0.0]) / np.linalg.norm(np.cross(along, [1.0, 0.0, 0.0]))
    turned = -np.cos(np.radians(deg)) * along + np.sin(np.radians(deg)) * aside
    joints[base + 1] = joints[base] + 0.03 * along
    joints[base + 2] = joints[base + 1] + 0.03 * turned
    joints[base + 3] = joints[base + 2] + 0.03 * turned
    return joints


F = egoexo4d_filters


@pytest.mark.parametrize(
    ("rejected", "expected"),
    [
        (F.too_few_views(GOOD, views(7, 2)), [7]),
        (F.too_few_views(GOOD, views(7, 3)), []),
        (F.too_few_views(GOOD, views(7, float("nan"))), [7]),
        (F.of_a_hand_without_wrist(moved(0, float("nan"), 0, 0)), list(range(1, 21))),
        (F.of_a_hand_without_wrist(GOOD), []),
        (F.at_an_implausible_bone(GOOD), []),
        (F.at_an_implausible_bone(moved(4, 0.09, 0, 0)), [4]),
        (F.at_an_implausible_bone(1.6 * GOOD), [5, 9, 13, 17]),  # 131 mm and more from the wrist
        (F.at_an_implausible_bone(0.7 * GOOD), [9, 13, 17]),  # 60 mm and less
        (F.at_an_implausible_angle(GOOD), []),
        (F.at_an_implausible_angle(straight_finger_bent(69, 5)), [6]),
        (F.at_an_implausible_angle(straight_finger_bent(71, 5)), []),
        (F.at_an_implausible_angle(straight_finger_bent(89, 1)), [2]),
        (F.at_an_implausible_angle(straight_finger_bent(91, 1)), []),
        (F.outside_the_picture(pixels(3, -0.1, 5), 100, 100), [3]),
        (F.outside_the_picture(pixels(3, 0, 99.99), 100, 100), []),
        (F.outside_the_picture(pixels(3, 5, 100), 100, 100), [3]),
        (F.outside_the_mask(pixels(3, 29.9, 5), MASK), [3]),
        (F.outside_the_mask(pixels(3, 30, 5), MASK), []),
        (F.outside_the_mask(pixels(3, -5, 5), MASK), []),  # another filter's business
        (F.not_marked(pixels(3, 9, 9), pixels(3, float("nan"), 0)), [3]),
        (F.not_marked(pixels(3, 9, 9), pixels(0, float("nan"), 0)), []),
        (F.far_from_their_mark(pixels(3, 50, 80.1), pixels(3, 50, 50)), [3]),
        (F.far_from_their_mark(pixels(3, 50, 80), pixels(3, 50, 50)), []),
        (F.far_from_their_mark(pixels(0, 50, 90), pixels(3, 50, 50)), []),
    ],
)
def test_each_filter_rejects_what_it_names(rejected: Any, expected: list[int]) -> None:
    assert np.flatnonzero(rejected).tolist() == expected


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (
            lambda raw, pre: (raw / f"annotations/ego_pose/val/camera_pose/{FIRST.uid}.json").unlink(),
            "camera pose",
        ),
        (lambda raw, pre: change_json(raw / "takes.json", lambda takes: takes.pop(0)), "not in takes.json"),
        (lambda raw, pre: (pre / f"aria_calib_json/{FIRST.name}.json").unlink(), "no calibration"),
        (
            lambda raw, pre: change_json(
                raw / "takes.json", lambda takes: takes[0]["capture"]["cameras"][0].update(is_ego=False)
            ),
            "no one Aria camera",
        ),
        (
            lambda raw, pre: change_json(
                raw / f"annotations/ego_pose/val/camera_pose/{FIRST.uid}.json",
                lambda poses: poses["aria01"].update(
                    camera_intrinsics=[[611, 0, 703.5], [0, 611, 703.5], [0, 0, 1]]
                ),
            ),
            "not those of the undistorted picture",
        ),
        (
            lambda raw, pre: change_json(
                raw / f"annotations/ego_pose/val/camera_pose/{FIRST.uid}.json",
                lambda poses: poses["aria01"].update(camera_intrinsics=[[150, 0], [0, 150]]),
            ),
            "no 3 x 3 matrix",
        ),
        (
            lambda raw, pre: (raw / f"annotations/ego_pose/val/hand/annotation/{FIRST.uid}.json").write_text(
                "{"
            ),
            "cannot read",
        ),
    ],
)
def test_a_take_that_cannot_be_prepared_is_named_and_the_others_are(
    made_release: MadeRelease, tmp_path: Path, spoil: Any, message: str
) -> None:
    raw, prepared = raw_copy(made_release, tmp_path / "raw"), tmp_path / "prepared"
    (tmp_path / "prepared").mkdir()
    write_calibrations(prepared)
    spoil(raw, prepared)
    frames, tally = prepare(raw, prepared)
    assert {frame.take_uid for frame in frames} == {SECOND.uid}
    assert tally.counts["takes left out"] == 1
    (where,) = tally.places["takes left out"]
    assert message in where and (FIRST.uid in where or FIRST.name in where)


def test_frames_without_pose_or_joints_are_named(made_release: MadeRelease, tmp_path: Path) -> None:
    raw = raw_copy(made_release, tmp_path / "raw")
    folder = raw / "annotations/ego_pose/val"
    change_json(
        folder / "camera_pose" / f"{FIRST.uid}.json",
        lambda poses: poses["aria01"]["camera_extrinsics"].pop("5"),
    )
    change_json(
        folder / "hand/annotation" / f"{FIRST.uid}.json", lambda raw: raw["8"][0].update(annotation3D={})
    )
    frames, tally = prepare(raw, made_release.prepared)
    assert [frame.frame_number for frame in frames if frame.take_uid == FIRST.uid] == [2, 11, 17]
    assert tally.places["frames without camera pose"] == [f"{FIRST.uid}, frame 5"]
    assert tally.places["frames without joints in space"] == [f"{FIRST.uid}, frame 8"]


@pytest.mark.parametrize(
    "spoil",
    [
        lambda pose: pose * 1.01,
        lambda pose: pose * [[1], [1], [-1]],
        lambda pose: pose + np.array([[0, 0.01, 0, 0], [0] * 4, [0] * 4]),
        lambda pose: pose * 0,
        lambda pose: pose[:2],
        lambda pose: pose + float("nan"),
        lambda pose: np.array("pose"),
    ],
    ids=["scaled", "mirrored", "sheared", "zero", "two rows", "NaN", "text"],
)
def test_a_pose_that_is_no_rotation_is_named_and_places_no_hand(
    made_release: MadeRelease, tmp_path: Path, spoil: Any
) -> None:
    raw = raw_copy(made_release, tmp_path / "raw")

    def change(poses: Any) -> None:
        of_aria = poses["aria01"]["camera_extrinsics"]
        of_aria["5"] = spoil(np.array(of_aria["5"])).tolist()

    change_json(raw / f"annotations/ego_pose/val/camera_pose/{FIRST.uid}.json", change)
    frames, tally = prepare(raw, made_release.prepared)
    assert [frame.frame_number for frame in frames if frame.take_uid == FIRST.uid] == [2, 8, 11, 17]
    assert tally.places["frames with no usable camera pose"] == [f"{FIRST.uid}, frame 5"]
    assert "frames without camera pose" not in tally.counts


def test_a_pose_rounded_in_the_file_is_still_one(made_release: MadeRelease, tmp_path: Path) -> None:
    raw = raw_copy(made_release, tmp_path / "raw")

    def change(poses: Any) -> None:
        of_aria = poses["aria01"]["camera_extrinsics"]
        of_aria["5"] = np.round(np.array(of_aria["5"]), 4).tolist()

    change_json(raw / f"annotations/ego_pose/val/camera_pose/{FIRST.uid}.json", change)
    assert "frames with no usable camera pose" not in prepare(raw, made_release.prepared)[1].counts


def test_a_split_that_is_not_there_is_refused(made_release: MadeRelease) -> None:
    with pytest.raises(UsageError, match="holds no annotations"):
        list(prepare_annotations(made_release.raw, made_release.prepared, "train", "manual", Tally()))


# Calibrations and pictures


@pytest.mark.parametrize("full_size", [False, True])
def test_calibrations_of_both_sizes_are_the_same_lens(tmp_path: Path, full_size: bool) -> None:
    write_calibrations(tmp_path, full_size=full_size)
    lens = read_aria_lens(tmp_path / "aria_calib_json" / f"{FIRST.name}.json")
    np.testing.assert_allclose(
        lens.project(np.array([0.2, -0.3, 1.0])), LENS.project(np.array([0.2, -0.3, 1.0])), atol=1e-9
    )


def test_pictures_are_those_of_the_video_undistorted(made_release: MadeRelease, tmp_path: Path) -> None:
    write_calibrations(tmp_path)
    frames, tally, seen = read_annotations(made_release.annotations), Tally(), [0]
    wanted = [frame for frame in frames if frame.take_uid == SECOND.uid]
    (tmp_path / "image/undistorted/val" / SECOND.name).mkdir(parents=True)
    kept = tmp_path / "image/undistorted/val" / SECOND.name / "000004.jpg"
    Image.new("RGB", (512, 512), "red").save(kept)
    made_before = kept.read_bytes()
    prepare_pictures(
        made_release.raw, tmp_path, "val", wanted, tally, observe=lambda n: seen.__setitem__(0, seen[0] + n)
    )
    assert kept.read_bytes() == made_before
    assert tally.counts == {"pictures that were there": 1, "pictures written": 3} and seen == [4]
    for number in (1, 7, 10):
        written = np.asarray(Image.open(kept.with_name(f"{number:06d}.jpg")), dtype=float)
        expected = undistorted(upright_picture(SECOND, number)).astype(float)
        assert np.abs(written - expected).mean() < 2.5  # two codecs lie between


def test_frames_are_those_of_their_number_whatever_the_order_of_coding(made_release: MadeRelease) -> None:
    video = made_release.raw / "takes" / FIRST.name / "frame_aligned_videos" / "aria01_214-1.mp4"
    for wanted in ([2, 17], [5, 8, 11], list(range(0, 19, 3))):
        for number, picture in read_frames(video, wanted):
            grey = np.full_like(picture, 60)
            expected = upright_picture(FIRST, number) if number in FIRST.frames else grey
            assert np.abs(picture.astype(float) - expected).mean() < 3
    with pytest.raises(UsageError, match="has 19 frames, no frame 19"):
        list(read_frames(video, [2, 19]))


def test_a_take_without_video_is_named_and_the_others_go_on(
    made_release: MadeRelease, tmp_path: Path
) -> None:
    write_calibrations(tmp_path)
    shutil.copytree(made_release.raw / "takes" / SECOND.name, tmp_path / "raw/takes" / SECOND.name)
    shutil.copy(made_release.raw / "takes.json", tmp_path / "raw")
    frames, tally = read_annotations(made_release.annotations), Tally()
    prepare_pictures(tmp_path / "raw", tmp_path, "val", frames, tally, observe=lambda n: None)
    assert tally.counts["takes that lack pictures"] == 1 and tally.counts["pictures written"] == 4
    assert FIRST.name in tally.places["takes that lack pictures"][0]


# Prepared files as clips


def test_clips_are_upright_and_project_onto_the_hands(made_release: MadeRelease) -> None:
    clips = find_clips(made_release.prepared)
    assert [clip.name for clip in clips] == [take.name for take in TAKES]
    for take, clip in zip(TAKES, clips, strict=True):
        assert clip.frame_rate_hz == 10
        for number, labelled in zip(take.frames, clip.labelled_frames(), strict=True):
            assert labelled.frame.capture_time_s == number / 30
            for column, side in enumerate(SIDES):
                kept = [j for j in kept_joints((take.uid, number, side)) if j]
                if number == 4:
                    continue  # its folded finger is annotated as it is not
                truth = upright_joints((take.uid, number, side))
                kept = [j for j in kept if (take.uid, number, side, j) != (SECOND.uid, 1, Side.RIGHT, 8)]
                np.testing.assert_allclose(labelled.joints_in_camera_m[column][kept], truth[kept], atol=1e-9)
                for x, y in labelled.frame.camera.project(truth[kept]):
                    red, _, blue = labelled.frame.image_rgb[round(y), round(x)].astype(int)
                    assert red > blue + 10, "the joint lies on no skin"


def test_reading_and_writing_annotations_changes_nothing(made_release: MadeRelease, tmp_path: Path) -> None:
    for path, boxes_only in ((made_release.annotations, False), (made_release.test_boxes, True)):
        write_annotations(tmp_path / "again.json", read_annotations(path), boxes_only=boxes_only)
        np.testing.assert_equal(
            json.loads((tmp_path / "again.json").read_text()), json.loads(path.read_text())
        )


def test_a_missing_picture_is_counted_and_left_out(made_release: MadeRelease, tmp_path: Path) -> None:
    shutil.copytree(made_release.prepared / "image", tmp_path / "image")
    (tmp_path / "image/undistorted/val" / FIRST.name / "000005.jpg").unlink()
    tally = Tally()
    takes = egoexo4d.with_pictures(egoexo4d.open_takes(tmp_path, made_release.annotations, "val"), tally)
    assert [len(take) for take in takes] == [4, 4]
    assert tally.lines() == [f"frames without a picture: 1 ({FIRST.uid}, frame 5)"]


def test_annotations_that_nothing_can_be_compared_with_are_named(
    made_release: MadeRelease, tmp_path: Path
) -> None:
    annotations = json.loads(made_release.annotations.read_text())
    annotations[FIRST.uid]["2"]["left_hand_valid_3d"] = [False] * 21
    for name in ("3d", "2d", "bbox", "valid_3d"):
        annotations[FIRST.uid]["5"][f"right_hand_{name}"] = []
    path = tmp_path / "annotations.json"
    path.write_text(json.dumps(annotations))
    tally, of_boxes = Tally(), Tally()
    egoexo4d.open_takes(tmp_path, path, "val", tally=tally)
    assert tally.places == {
        "hands without a valid joint": [f"{FIRST.uid}, frame 2, left"],
        "frames without a hand": [f"{FIRST.uid}, frame 5"],
    }
    egoexo4d.open_takes(tmp_path, made_release.test_boxes, "test", tally=of_boxes)
    assert not of_boxes.counts  # boxes have no joints, and none are missed


def test_the_takes_own_intrinsics_are_used_where_the_release_is_given(
    made_release: MadeRelease, tmp_path: Path
) -> None:
    raw, tally = raw_copy(made_release, tmp_path / "raw"), Tally()
    folder = raw / "annotations/ego_pose/val/camera_pose"
    change_json(
        folder / f"{FIRST.uid}.json",
        lambda poses: poses["aria01"].update(camera_intrinsics=[[151, 0, 256], [0, 152, 254], [0, 0, 1]]),
    )
    (folder / f"{SECOND.uid}.json").unlink()
    (take,) = egoexo4d.open_takes(
        made_release.prepared, made_release.annotations, "val", release=raw, tally=tally
    )
    assert take.camera == Pinhole(512, 512, 151.0, 152.0, 256.0, 254.0)
    assert take.read_upright(0).camera == Pinhole(512, 512, 152.0, 151.0, 257.0, 256.0)
    assert tally.places["takes left out"] == [f"take {SECOND.uid} has no camera pose"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda entry: entry.pop("metadata"), "no metadata"),
        (lambda entry: entry["metadata"].update(frame_number=3), "of another frame"),
        (lambda entry: entry.pop("left_hand_bbox"), "no left_hand_bbox"),
        (lambda entry: entry.update(left_hand_bbox=[]), "joints but no box"),
        (lambda entry: entry.update(left_hand_bbox=[1, 2, 3]), r"shape \(3,\), want \(4,\)"),
        (lambda entry: entry.update(left_hand_bbox=[9, 2, 3, 4]), "want left, upper, right, lower"),
        (lambda entry: entry.update(left_hand_3d=[[0, 0, 0]] * 20), r"shape \(20, 3\)"),
        (lambda entry: entry["right_hand_3d"].__setitem__(7, [float("nan")] * 3), "called valid and are NaN"),
        (lambda entry: entry.pop("left_hand_valid_3d"), "left_hand_valid_3d"),
        (lambda entry: entry["metadata"].update(take_name="../../elsewhere"), "no take's name"),
    ],
)
def test_a_damaged_annotation_is_named(
    made_release: MadeRelease, tmp_path: Path, change: Any, message: str
) -> None:
    annotations = json.loads(made_release.annotations.read_text())
    change(annotations[FIRST.uid]["2"])
    path = tmp_path / "damaged.json"
    path.write_text(json.dumps(annotations))
    with pytest.raises(UsageError, match=message) as raised:
        egoexo4d.open_takes(tmp_path, path, "val")
    assert "frame 2" in str(raised.value) and "\n" not in str(raised.value)


def test_the_known_wrist_of_a_hand_whose_wrist_is_not_valid_stays(made_release: MadeRelease) -> None:
    at_edge = next(
        frame
        for frame in read_annotations(made_release.annotations)
        if (frame.take_uid, frame.frame_number) == (SECOND.uid, 10)
    ).hands[Side.RIGHT]
    assert not at_edge.valid[0] and at_edge.valid[1:].all()
    np.testing.assert_allclose(
        at_edge.joints_in_camera_m[0], annotated_joints((SECOND.uid, 10, Side.RIGHT))[0]
    )
