"""Readers of data sets: what they give fits together, and what is wrong with a file is said in one line."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from small_videos import HEIGHT, WIDTH, write_video

from tracker.errors import TrackerError, UsageError
from tracker.joints import FINGER_MCPS, FloatArray, Side
from tracker.research.ground_truth import DATA_SETS, LabelledClip, find_clips
from tracker.research.ground_truth.egodex import LATENESS_FRAMES
from tracker.research.ground_truth.labelled import SIDES, projected

K = [[300.0, 0, WIDTH / 2], [0, 300.0, HEIGHT / 2], [0, 0, 1]]


def some_joints(frames: int) -> FloatArray:
    return np.random.default_rng(3).normal(0, 0.03, (frames, 2, 21, 3)) + np.array([0.0, 0.0, 0.5])


def write_egodex(data: Path, name: str = "egodex_some_0", frames: int = 6, **changes: object) -> Path:
    (data / "gt").mkdir(parents=True, exist_ok=True)
    write_video(data / "clip.mp4", frames=frames)
    stored: dict[str, object] = {
        "joints_cam": some_joints(frames),
        "uv": np.zeros((frames, 2, 21, 2)),
        "K": np.array(K),
        "size": np.array([WIDTH, HEIGHT]),
        "fps": 30.0,
        "video": "clip.mp4",
    }
    stored |= changes
    path = data / "gt" / f"{name}.npz"
    np.savez(path, **{key: value for key, value in stored.items() if value is not None})  # type: ignore[arg-type]
    return path


def write_interhand(data: Path, hand_type: str = "right", **changes: object) -> Path:
    (data / "gt").mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.zeros((48, 64, 3), np.uint8)).save(data / "still.png")
    left, right = some_joints(1)[0].tolist()
    matrix = [[100.0, 0, 32], [0, 100.0, 24], [0, 0, 1]]
    entry = {
        "image": "still.png",
        "K": matrix,
        "left": left,
        "right": right,
        "hand_type": hand_type,
    } | changes
    path = data / "gt" / "interhand_some.json"
    path.write_text(json.dumps([entry]))
    return path


def test_a_video_comes_with_its_answers_frame_by_frame(tmp_path: Path) -> None:
    write_egodex(tmp_path)
    (clip,) = find_clips(tmp_path)
    labelled = list(clip.labelled_frames())
    assert [frame.frame.index for frame in labelled] == list(range(6))
    assert np.array_equal([frame.joints_in_camera_m for frame in labelled], some_joints(6))
    assert {frame.source for frame in labelled} == {"EgoDex"}
    assert labelled[0].frame.camera == clip.cameras[0]
    assert labelled[0].valid_3d.all() and labelled[0].valid_2d.all()


def test_a_clip_whose_lateness_nobody_measured_says_so(tmp_path: Path) -> None:
    write_egodex(tmp_path)
    write_egodex(tmp_path, "egodex_insert_remove_2")
    lateness = {clip.name: clip.lateness_frames for clip in find_clips(tmp_path)}
    assert lateness == {
        "egodex_some_0": None,
        "egodex_insert_remove_2": LATENESS_FRAMES["egodex_insert_remove_2"],
    }


@pytest.mark.parametrize("hand_type", ["left", "right", "interacting"])
def test_only_the_hands_that_are_in_the_picture_are_true(tmp_path: Path, hand_type: str) -> None:
    write_interhand(tmp_path, hand_type)
    (labelled,) = next(iter(find_clips(tmp_path))).labelled_frames()
    there = [hand_type in ("interacting", side.value) for side in SIDES]
    assert labelled.valid_3d.all(axis=1).tolist() == labelled.valid_2d.any(axis=1).tolist() == there


def test_clips_are_chosen_by_name_or_pattern(tmp_path: Path) -> None:
    write_egodex(tmp_path)
    write_egodex(tmp_path, "egodex_some_1")
    write_interhand(tmp_path)
    assert [clip.name for clip in find_clips(tmp_path, ["egodex_*"])] == ["egodex_some_0", "egodex_some_1"]
    assert [clip.name for clip in find_clips(tmp_path, ["interhand_some"])] == ["interhand_some"]
    with pytest.raises(
        UsageError, match=r"'kitchen'; there are egodex_some_0, egodex_some_1, interhand_some"
    ):
        find_clips(tmp_path, ["egodex_some_1", "kitchen"])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"uv": None}, "holds no uv"),
        ({"video": "gone.mp4"}, "gone.mp4, which is not there"),
        ({"joints_cam": np.zeros((6, 2, 20, 3))}, "shape"),
        ({"K": np.eye(2)}, "K is no 3 x 3 matrix"),
        ({"K": np.zeros((3, 3))}, "focal length"),
        ({"uv": np.zeros((5, 2, 21, 2))}, "want the same hands"),
        ({"size": np.array([WIDTH])}, "size"),
        ({"fps": 0.0}, "frames a second"),
    ],
)
def test_a_damaged_file_of_answers_is_named(tmp_path: Path, changes: dict[str, object], message: str) -> None:
    path = write_egodex(tmp_path, **changes)
    with pytest.raises(TrackerError, match=message) as raised:
        find_clips(tmp_path)
    assert path.stem in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("content", [b"", b"no archive", b"PK\x03\x04 cut short"])
def test_a_file_that_is_no_archive_is_one_line(tmp_path: Path, content: bytes) -> None:
    write_egodex(tmp_path).write_bytes(content)
    with pytest.raises(UsageError, match=r"egodex_some_0\.npz"):
        find_clips(tmp_path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"image": "gone.png"}, "cannot read the picture"),
        ({"image": "gt/interhand_some.json"}, "cannot read the picture"),
        ({"right": [[0, 0, 1]] * 20}, "shape"),
        ({"right": "hand"}, "no array of numbers"),
        ({"right": None}, "shape"),
    ],
)
def test_a_damaged_list_of_pictures_is_named(
    tmp_path: Path, changes: dict[str, object], message: str
) -> None:
    write_interhand(tmp_path, **changes)
    with pytest.raises(UsageError, match=message):
        find_clips(tmp_path)


@pytest.mark.parametrize("text", ["", "[", "{}", "[]", "[1]", '[{"image": "still.png"}]'])
def test_json_of_something_else_is_named(tmp_path: Path, text: str) -> None:
    write_interhand(tmp_path).write_text(text)
    with pytest.raises(UsageError, match=r"interhand_some\.json"):
        find_clips(tmp_path)


def test_a_folder_without_answers_says_what_belongs_there(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no folder gt"):
        find_clips(tmp_path)
    (tmp_path / "gt").mkdir()
    with pytest.raises(UsageError, match=r"egodex_\*.npz"):
        find_clips(tmp_path)


@pytest.fixture(scope="module")
def real_clips(shared: Path) -> list[LabelledClip]:
    if not (shared / "data" / "gt").is_dir():
        pytest.skip("the clips with true hands are not in ../shared/data")
    return find_clips(shared / "data")


def test_every_data_set_is_read(real_clips: list[LabelledClip]) -> None:
    assert len({clip.source for clip in real_clips}) == len(DATA_SETS)
    for clip in real_clips:
        labelled = next(clip.labelled_frames())
        assert labelled.valid_2d.any(), clip.name


def test_answers_in_space_and_in_the_picture_are_the_same(real_clips: list[LabelledClip]) -> None:
    for clip in real_clips:
        again_px = projected(clip.joints_in_camera_m, clip.cameras)
        off_px = np.linalg.norm(again_px - clip.joints_px, axis=-1)
        assert np.nanmax(off_px) < 0.1, clip.name


def test_true_hands_bend_as_hands_of_their_side_do(real_clips: list[LabelledClip]) -> None:
    """Fingers close toward the palm: which side that is tells a left hand from a right one."""
    for clip in real_clips:
        if len(clip) < 9:
            continue  # InterHand's stills hold a hand bent backward
        for column, side in enumerate(SIDES):
            hands = clip.joints_in_camera_m[:, column]
            across = hands[:, 5] - hands[:, 17]
            along = hands[:, 9] - hands[:, 0]
            out_of_palm = np.cross(along, across) * (1 if side is Side.RIGHT else -1)
            curl = hands[:, [joint + 3 for joint in FINGER_MCPS]] - hands[:, FINGER_MCPS]
            bent = np.einsum("ti,tji->tj", out_of_palm, curl).mean(axis=1)
            assert (bent[np.isfinite(bent)] < 0).all(), (clip.name, side)


@pytest.mark.parametrize(
    "changes",
    [
        {"size": np.array([2 * WIDTH, 2 * HEIGHT])},
        {"joints_cam": some_joints(7), "uv": np.zeros((7, 2, 21, 2))},
    ],
    ids=["size", "length"],
)
def test_another_video_in_the_place_of_the_annotated_one_is_noticed(
    tmp_path: Path, changes: dict[str, object]
) -> None:
    write_egodex(tmp_path, **changes)
    (clip,) = find_clips(tmp_path)
    with pytest.raises(UsageError, match="another video"):
        list(clip.labelled_frames())
