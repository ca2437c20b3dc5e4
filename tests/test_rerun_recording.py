"""Rerun recordings, read back by Rerun: hands where they are, gone when lost, pictures and camera."""

import json
import subprocess
import sys
import time
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tracked_values import LENS, picture, some_frame, some_hand, some_info, two_hands

from tracker.cameras import CAMERA_MODELS
from tracker.errors import MissingDependencyError
from tracker.hand_mesh import mesh_of
from tracker.joints import BONES, Side

pytest.importorskip("rerun")
from rerun_files import chunks, column, mended, points, recorded_frames

from tracker.sinks.rerun_recording import RerunSink

pytestmark = pytest.mark.filterwarnings("ignore:RRD file has no footer")

FRAMES = (
    two_hands(0),
    some_frame(some_hand(Side.RIGHT, track_id=4, unknown_joints=(4, 9)), index=1),
    two_hands(2),
)


def recorded(path: Path, **options: bool) -> Path:
    sink = RerunSink(path, **options)
    sink.begin(some_info(LENS))
    for tracked in FRAMES:
        sink.send(tracked, picture(tracked.frame_index))
    sink.notify("ended")
    sink.close()
    return path


def test_hands_are_where_they_were_published(tmp_path: Path) -> None:
    path = recorded(tmp_path / "a.rrd")
    for entity, place in (("left_3", 0), ("right_4", 1)):
        joints, strips = (
            points(path, f"hands/{entity}/joints"),
            column(path, f"hands/{entity}/bones", "strips"),
        )
        seen_px = points(path, f"camera/{entity}")
        for tracked in FRAMES:
            hands = [hand for hand in tracked.hands if hand.track_id == 3 + place]
            assert (tracked.frame_index in joints) == bool(hands)
            for hand in hands:
                expected = hand.pose.joints_in_camera_m
                known = np.isfinite(expected).all(axis=-1)
                np.testing.assert_allclose(joints[tracked.frame_index], expected[known], atol=1e-6)
                np.testing.assert_allclose(seen_px[tracked.frame_index], hand.joints_px[known], atol=1e-3)
                bones = [expected[list(bone)] for bone in BONES if known[list(bone)].all()]
                np.testing.assert_allclose(strips[tracked.frame_index], bones, atol=1e-6)


def test_a_lost_hand_is_cleared_in_space_and_in_the_picture(tmp_path: Path) -> None:
    path = recorded(tmp_path / "a.rrd")
    for place in ("hands", "camera"):
        assert column(path, f"{place}/left_3", "is_recursive") == {1: [True]}
        assert not column(path, f"{place}/right_4", "is_recursive")


def test_the_camera_and_the_header_are_there(tmp_path: Path) -> None:
    path = recorded(tmp_path / "a.rrd")
    (matrix,) = column(path, "camera", "image_from_camera").values()
    expected = [[LENS.fx, 0, LENS.cx], [0, LENS.fy, LENS.cy], [0, 0, 1]]
    np.testing.assert_allclose(np.reshape(matrix, (3, 3)).T, expected)
    (text,) = column(path, "header", "text").values()
    assert json.loads(text[0])["camera"]["model"] == "brown_conrady"


def test_a_fisheye_has_no_pinhole(tmp_path: Path) -> None:
    sink = RerunSink(tmp_path / "a.rrd")
    sink.begin(some_info(CAMERA_MODELS["kannala_brandt"](640, 480, 300, 300, 319.5, 239.5, (0.01,) * 4)))
    sink.send(two_hands(), None)
    sink.close()
    assert not column(tmp_path / "a.rrd", "camera", "image_from_camera")
    assert recorded_frames(tmp_path / "a.rrd") == [0]


def test_skin_is_that_of_the_published_joints_and_its_faces_come_back_after_a_loss(tmp_path: Path) -> None:
    path = recorded(tmp_path / "a.rrd", meshes=True)
    skin = points(path, "hands/left_3/skin", "vertex_positions")
    faces = points(path, "hands/left_3/skin", "triangle_indices")
    mesh = mesh_of(FRAMES[0].hands[0].pose)
    assert mesh is not None
    assert set(skin) == {0, 2} and set(faces) == {0, 2}
    np.testing.assert_allclose(skin[0], mesh.vertices_m, atol=1e-6)
    np.testing.assert_array_equal(faces[0], mesh.faces)
    assert set(points(path, "hands/right_4/skin", "triangle_indices")) == {
        0,
        2,
    }  # none while joints are unknown
    assert not [name for name, _ in chunks(recorded(tmp_path / "b.rrd")) if "skin" in name]


def test_pictures_are_kept_if_asked(tmp_path: Path) -> None:
    blobs = column(recorded(tmp_path / "a.rrd", pictures=True), "camera/picture", "blob")
    assert sorted(blobs) == [0, 1, 2]
    for index, blob in blobs.items():
        shown = np.asarray(Image.open(BytesIO(np.array(blob[0], np.uint8).tobytes())))
        np.testing.assert_allclose(shown, picture(index).image_rgb, atol=2)
    assert not column(recorded(tmp_path / "b.rrd"), "camera/picture", "blob")


def test_frames_reach_the_file_within_a_second_though_no_other_follows(tmp_path: Path) -> None:
    path = tmp_path / "a.rrd"
    sink = RerunSink(path)
    sink.begin(some_info())
    sink.send(two_hands(0), None)
    time.sleep(0.95)
    assert recorded_frames(path) == [0]
    sink.close()


LIMITED = """
import resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (150_000, 150_000))
from tracked_values import picture, some_info, two_hands
from tracker.errors import SinkFailedError
from tracker.sinks.rerun_recording import RerunSink
sink = RerunSink(sys.argv[1])
sink.begin(some_info())
try:
    for index in range(100_000):
        sink.send(two_hands(index), None)
except SinkFailedError as error:
    print(error)
sink.close()
try:
    sink.send(two_hands(0), None)
except SinkFailedError as error:
    print(error)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="a process's files cannot be limited")
def test_a_full_disk_is_said_and_what_was_recorded_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "a.rrd"
    tests = Path(__file__).parent
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, str(path)],
        capture_output=True,
        text=True,
        env={"PYTHONPATH": f"{tests}:{tests.parent}", "PATH": ""},
        timeout=60,
    )
    failed, closed = done.stdout.splitlines()
    assert "a.rrd failed" in failed and failed.endswith("What was recorded before is kept")
    assert "is closed" in closed
    found = recorded_frames(mended(path))
    assert len(found) > 5 and found == list(range(len(found)))


def test_a_missing_library_is_named_with_its_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "rerun", None)
    with pytest.raises(MissingDependencyError, match="extra `rerun`"):
        RerunSink(tmp_path / "a.rrd")
    assert not list(tmp_path.iterdir())
