"""``egoexo4d prepare``: what a release may hold wrong, stopping and going on, takes done side by side."""

import copy
import json
import random
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from egoexo4d_release import (
    FIRST,
    SECOND,
    TAKES,
    MadeRelease,
    prepared_annotations,
    raw_copy,
    raw_frame,
    write_calibrations,
)
from PIL import Image

from tracker.cli import main
from tracker.errors import SinkFailedError, TrackerError, UsageError
from tracker.research.evaluation import egoexo4d_command
from tracker.research.evaluation.egoexo4d_command import prepare
from tracker.research.ground_truth.egoexo4d import annotation_path
from tracker.research.ground_truth.egoexo4d_pictures import prepare_pictures
from tracker.research.ground_truth.egoexo4d_prepared import read_annotations
from tracker.research.ground_truth.egoexo4d_preparing import prepare_annotations
from tracker.research.ground_truth.egoexo4d_raw import raw_hands
from tracker.research.ground_truth.egoexo4d_release import (
    read_aria_lens,
    read_poses,
    read_takes,
    takes_of_split,
)
from tracker.research.ground_truth.egoexo4d_values import Tally

NAN, INFINITE = float("nan"), float("inf")
WRONG: tuple[Any, ...] = (None, "x", "", [], {}, 5, -1, NAN, INFINITE, 10**400, True, [None], [[1]], {"a": 1})


def change_json(path: Path, change: Any) -> None:
    values = json.loads(path.read_text())
    change(values)
    path.write_text(json.dumps(values))


def tally_of(raw: Path, prepared: Path) -> Tally:
    tally = Tally()
    list(prepare_annotations(raw, prepared, "val", "manual", tally))
    return tally


# What a release may hold


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (NAN, "NaN or infinite"),
        (-INFINITE, "NaN or infinite"),
        (10**400, "NaN or infinite"),
        (None, "no numbers"),
        ("0.3", "no numbers"),
        (True, "no numbers"),
        ([0.3], "no numbers"),
    ],
)
def test_coordinates_that_are_none_are_counted_by_kind_and_named(
    made_release: MadeRelease, tmp_path: Path, value: Any, kind: str
) -> None:
    raw = raw_copy(made_release, tmp_path)

    def change(frames: Any) -> None:
        frames["2"][0]["annotation3D"]["left_index_3"]["y"] = value
        frames["2"][0]["annotation3D"]["left_index_4"]["x"] = value
        frames["8"][0]["annotation2D"]["aria01"]["right_wrist"]["x"] = value

    change_json(raw / f"annotations/ego_pose/val/hand/annotation/{FIRST.uid}.json", change)
    before, tally = tally_of(made_release.raw, made_release.prepared), tally_of(raw, made_release.prepared)
    new = {name: count for name, count in tally.counts.items() if count != before.counts[name]}
    assert new == {f"joints in space that are {kind}": 2, f"marks that are {kind}": 1}
    assert tally.places[f"joints in space that are {kind}"] == [f"{FIRST.uid}, frame 2, left"]
    assert tally.places[f"marks that are {kind}"] == [f"{FIRST.uid}, frame 8, right"]


def test_a_listed_joint_that_is_no_object_is_counted(made_release: MadeRelease, tmp_path: Path) -> None:
    raw = raw_copy(made_release, tmp_path)
    path = raw / f"annotations/ego_pose/val/hand/annotation/{FIRST.uid}.json"
    change_json(path, lambda frames: frames["2"][0]["annotation3D"].update(left_wrist=None))
    tally = tally_of(raw, made_release.prepared)
    assert tally.counts["joints in space that are no numbers"] == 1
    assert f"{FIRST.uid}, frame 2, left" in tally.places["hands with fewer than 10 joints left"]


def test_a_hand_in_millimetres_is_suspected_and_one_with_a_joint_far_off_is_not(
    made_release: MadeRelease, tmp_path: Path
) -> None:
    raw = raw_copy(made_release, tmp_path)

    def spoil(frames: Any) -> None:
        for key, point in frames["2"][0]["annotation3D"].items():
            for axis in "xyz" if key.startswith("left") or key == "right_index_4" else "":
                point[axis] *= 1000

    change_json(raw / f"annotations/ego_pose/val/hand/annotation/{FIRST.uid}.json", spoil)
    kind = "hands larger than half a metre; millimetres?"
    tally = tally_of(raw, made_release.prepared)
    assert tally.counts[kind] == 1 and tally.places[kind] == [f"{FIRST.uid}, frame 2, left"]


def test_joints_without_a_number_of_views_and_behind_the_camera_are_counted(
    made_release: MadeRelease, tmp_path: Path
) -> None:
    raw = raw_copy(made_release, tmp_path)

    def forget_views(frames: Any) -> None:
        for joint in ("left_index_3", "left_index_4"):
            del frames["2"][0]["annotation3D"][joint]["num_views_for_3d"]

    def look_away(poses: Any) -> None:
        for axis in (0, 2):  # half a turn about y
            row = poses["aria02"]["camera_extrinsics"]["10"][axis]
            poses["aria02"]["camera_extrinsics"]["10"][axis] = [-value for value in row]

    folder = raw / "annotations/ego_pose/val"
    change_json(folder / f"hand/annotation/{FIRST.uid}.json", forget_views)
    change_json(folder / f"camera_pose/{SECOND.uid}.json", look_away)
    before, tally = tally_of(made_release.raw, made_release.prepared), tally_of(raw, made_release.prepared)
    assert tally.counts["joints without a number of views"] == 2
    assert tally.counts["joints from fewer than 3 views"] == before.counts["joints from fewer than 3 views"]
    assert tally.counts["joints behind Aria's camera"] == 42
    assert tally.counts["frames without a hand to keep"] == 1


def spoiled(value: Any, count: int) -> Iterator[Any]:
    """Copies of a JSON value with something else in one place; places near the root come first."""
    places = sorted(_places(value), key=len)
    chance = random.Random(0)
    for place in places[:12] + [chance.choice(places) for _ in range(count)]:
        for wrong in WRONG:
            changed = copy.deepcopy(value) if place else wrong
            within = changed
            for key in place[:-1]:
                within = within[key]
            if place:
                within[place[-1]] = wrong
            yield changed


def _places(value: Any, here: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield here
    keys = value if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    for key in keys:
        yield from _places(value[key], (*here, key))


@pytest.mark.parametrize("which", ["takes", "splits", "poses", "calibration", "prepared", "raw"])
def test_whatever_lies_in_a_files_place_is_read_or_named(
    made_release: MadeRelease, tmp_path: Path, which: str
) -> None:
    (tmp_path / "annotations").mkdir()
    annotations = made_release.raw / "annotations"
    path, original, read = {
        "takes": (tmp_path / "takes.json", made_release.raw / "takes.json", lambda: read_takes(tmp_path)),
        "splits": (
            tmp_path / "annotations/splits.json",
            {
                "split_to_take_uids": {"val": ["a", "b"]},
                "take_uid_to_benchmark": {"a": ["ego_pose"], "b": []},
            },
            lambda: takes_of_split(tmp_path, "val"),
        ),
        "poses": (
            tmp_path / "poses.json",
            annotations / f"ego_pose/val/camera_pose/{FIRST.uid}.json",
            lambda: read_poses(tmp_path / "poses.json", "aria01"),
        ),
        "calibration": (
            tmp_path / "lens.json",
            made_release.prepared / f"aria_calib_json/{FIRST.name}.json",
            lambda: read_aria_lens(tmp_path / "lens.json"),
        ),
        "prepared": (
            tmp_path / "prepared.json",
            {FIRST.uid: {"5": prepared_annotations()[FIRST.uid]["5"]}},
            lambda: read_annotations(tmp_path / "prepared.json"),
        ),
        "raw": (
            tmp_path / "raw.json",
            raw_frame(FIRST, 2),
            lambda: raw_hands(json.loads((tmp_path / "raw.json").read_text()), "aria01"),
        ),
    }[which]
    value = json.loads(original.read_text()) if isinstance(original, Path) else original
    for changed in spoiled(value, 25):
        path.write_text(json.dumps(changed))
        try:
            read()
        except TrackerError as error:
            assert "\n" not in str(error)


# Which takes are of a split


def splits(val: list[str], benchmarks: dict[str, list[str]]) -> dict[str, Any]:
    return {"split_to_take_uids": {"train": [], "val": val}, "take_uid_to_benchmark": benchmarks}


def test_takes_of_another_split_or_benchmark_are_left_out_as_the_public_tools_do(
    made_release: MadeRelease, tmp_path: Path
) -> None:
    raw = raw_copy(made_release, tmp_path)
    both = {FIRST.uid: ["keystep", "ego_pose"], SECOND.uid: ["ego_pose"]}
    for listed, left_out in (
        (splits([FIRST.uid, SECOND.uid], both), []),
        (splits([SECOND.uid], both), [FIRST.uid]),
        (splits([FIRST.uid, SECOND.uid], {**both, SECOND.uid: ["keystep"]}), [SECOND.uid]),
    ):
        (raw / "annotations/splits.json").write_text(json.dumps(listed))
        tally = tally_of(raw, made_release.prepared)
        assert tally.places.get("takes that splits.json counts to no hand poses of val", []) == left_out
        assert tally.counts["takes read"] == 2 - len(left_out)


def test_a_frame_that_the_video_lacks_is_named_and_the_others_have_pictures(
    made_release: MadeRelease, tmp_path: Path
) -> None:
    write_calibrations(tmp_path)
    first = [frame for frame in read_annotations(made_release.annotations) if frame.take_uid == FIRST.uid]
    frames, tally = [*first, replace(first[0], frame_number=400)], Tally()
    prepare_pictures(made_release.raw, tmp_path, "val", frames, tally, observe=lambda pictures: None)
    assert tally.counts == {"pictures written": len(first), "takes that lack pictures": 1}
    assert tally.places["takes that lack pictures"][0].endswith("has 19 frames, no frame 400")


def test_a_take_without_a_frame_to_keep_is_named(made_release: MadeRelease, tmp_path: Path) -> None:
    raw = raw_copy(made_release, tmp_path)
    (raw / f"annotations/ego_pose/val/hand/annotation/{FIRST.uid}.json").write_text("{}")
    assert tally_of(raw, made_release.prepared).places["takes without a frame to keep"] == [FIRST.uid]


# Writing


def test_a_run_that_was_stopped_leaves_whole_files_and_goes_on(
    made_release: MadeRelease, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_calibrations(tmp_path)
    said: list[str] = []
    seen = [0]

    def interrupted(*args: Any, observe: Any) -> None:
        def count(pictures: int) -> None:
            observe(pictures)
            seen[0] += pictures
            if seen[0] == 3:
                raise KeyboardInterrupt

        prepare_pictures(*args, observe=count)

    options: dict[str, Any] = {"splits": ("val",), "kind": "manual", "pictures": True, "say": said.append}
    with monkeypatch.context() as patch:
        patch.setattr(egoexo4d_command, "prepare_pictures", interrupted)
        with pytest.raises(KeyboardInterrupt):
            prepare(made_release.raw, tmp_path, **options)
    assert (
        said[-1] == "stopped; what is written is whole and is kept, and the same command goes on from there"
    )
    written = [path for path in (tmp_path / "image").rglob("*") if path.is_file()]
    assert 3 <= len(written) < 9
    for path in written:
        Image.open(path).load()
    assert prepare(made_release.raw, tmp_path, **options) == 0
    assert said[-1].endswith("is there already, with the same hands")
    assert len([path for path in (tmp_path / "image").rglob("*.jpg")]) == 9


def test_an_annotation_file_of_something_else_is_kept_and_pictures_can_be_made_for_it(
    made_release: MadeRelease, tmp_path: Path
) -> None:
    write_calibrations(tmp_path)
    path = annotation_path(tmp_path, "val")
    shutil.copytree(made_release.annotations.parent, path.parent)
    change_json(path, lambda takes: takes.pop(SECOND.uid))
    published = path.read_bytes()
    options: dict[str, Any] = {"splits": ("val",), "kind": "manual", "say": lambda line: None}
    with pytest.raises(UsageError, match=r"it has 1 takes, \d frames, .*, the release 2 takes, 9 frames"):
        prepare(made_release.raw, tmp_path, pictures=True, **options)
    assert path.read_bytes() == published and not (tmp_path / "image").exists()
    assert prepare(made_release.raw, tmp_path, pictures=True, only_pictures=True, **options) == 0
    assert path.read_bytes() == published
    assert len(list((tmp_path / "image").rglob("*.jpg"))) == len(json.loads(published)[FIRST.uid])
    assert prepare(made_release.raw, tmp_path, pictures=False, overwrite=True, **options) == 0
    assert {frame.take_uid for frame in read_annotations(path)} == {take.uid for take in TAKES}
    path.unlink()
    with pytest.raises(UsageError, match="annotations of val are made from a release, or published"):
        prepare(made_release.raw, tmp_path, pictures=True, only_pictures=True, **options)


def test_pictures_that_are_empty_cut_short_or_of_another_size_are_made_again(
    made_release: MadeRelease, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_calibrations(tmp_path)
    shutil.copytree(made_release.annotations.parent, annotation_path(tmp_path, "val").parent)
    options: dict[str, Any] = {"splits": ("val",), "kind": "manual", "say": lambda line: None}
    options |= {"pictures": True, "only_pictures": True}
    assert prepare(made_release.raw, tmp_path, **options) == 0
    pictures = sorted((tmp_path / "image").rglob("*.jpg"))
    before = [path.read_bytes() for path in pictures]
    pictures[0].write_bytes(b"")
    pictures[2].write_bytes(before[2][:-700])
    pictures[4].write_bytes(b"no picture" + before[4][-2:])
    Image.new("RGB", (256, 512)).save(pictures[5])
    capsys.readouterr()
    assert prepare(made_release.raw, tmp_path, **options) == 0
    assert [path.read_bytes() for path in pictures] == before
    said = capsys.readouterr().out
    assert "pictures that were damaged and are made again: 4 (" in said and "pictures written: 4" in said


def test_a_folder_that_cannot_be_written_to_is_one_line(made_release: MadeRelease, tmp_path: Path) -> None:
    write_calibrations(tmp_path)
    (tmp_path / "image").write_text("in the way")
    with pytest.raises(SinkFailedError, match=f"cannot write {tmp_path}"):
        prepare(
            made_release.raw, tmp_path, splits=("val",), kind="manual", pictures=True, say=lambda line: None
        )


def test_pictures_made_side_by_side_are_those_made_one_take_after_the_other(
    made_release: MadeRelease, tmp_path: Path
) -> None:
    frames = read_annotations(made_release.annotations)
    for workers in (1, 2):
        prepared, tally = tmp_path / str(workers), Tally()
        write_calibrations(prepared)
        prepare_pictures(
            made_release.raw, prepared, "val", frames, tally, observe=lambda n: None, workers=workers
        )
        assert tally.counts == {"pictures written": 9}
    for path in (tmp_path / "1/image").rglob("*.jpg"):
        assert path.read_bytes() == (tmp_path / "2" / path.relative_to(tmp_path / "1")).read_bytes()


def test_automatic_annotations_are_prepared_beside_the_manual_ones(
    made_release: MadeRelease, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_calibrations(tmp_path)
    command = [
        "egoexo4d",
        "prepare",
        str(made_release.raw),
        str(tmp_path),
        "--splits",
        "val",
        "--no-pictures",
    ]
    with pytest.raises(SystemExit) as exit_status:
        main([*command, "--annotations", "auto"])
    assert exit_status.value.code == 0
    path = tmp_path / "annotation/auto/ego_pose_gt_anno_val_public.json"
    assert {frame.take_uid for frame in read_annotations(path)} == {take.uid for take in TAKES}
    assert "views" not in capsys.readouterr().out
    assert not (tmp_path / "annotation/manual").exists()


def test_what_a_later_split_lacks_is_said_before_any_is_prepared(
    made_release: MadeRelease, tmp_path: Path
) -> None:
    write_calibrations(tmp_path)
    for last, missing in (("test", "the test boxes are published"), ("train", "holds no annotations")):
        with pytest.raises(UsageError, match=missing):
            prepare(
                made_release.raw,
                tmp_path,
                splits=("val", last),
                kind="manual",
                pictures=True,
                say=lambda line: None,
            )
    assert [path.name for path in tmp_path.iterdir()] == ["aria_calib_json"]
