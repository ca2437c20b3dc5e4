import hashlib
import json
from pathlib import Path

import av
import numpy as np
import pytest

import tracker
from tracker.joints import NUM_JOINTS, FloatArray, Side, bone_lengths, camera_from_wrist

MODELS = Path(tracker.__file__).parent / "models"
SIDES = (Side.LEFT, Side.RIGHT)


@pytest.fixture(scope="module")
def truth() -> dict[str, np.ndarray]:
    with np.load(MODELS / "demo_truth.npz", allow_pickle=False) as stored:
        return {name: stored[name] for name in stored.files}


@pytest.fixture(scope="module")
def joints(truth: dict[str, np.ndarray]) -> FloatArray:
    return np.asarray(truth["joints_in_camera_m"], dtype=np.float64)


def projected_px(joints_m: FloatArray, camera: np.ndarray) -> FloatArray:
    homogeneous = joints_m @ camera.T
    return np.asarray(homogeneous[..., :2] / homogeneous[..., 2:])


def test_truth_has_a_row_for_every_frame_of_the_video(joints: FloatArray) -> None:
    with av.open(str(MODELS / "demo.mp4")) as container:
        stream = container.streams.video[0]
        assert (stream.codec_context.width, stream.codec_context.height) == (1280, 720)
        assert stream.average_rate == 30
        frames = sum(1 for _ in container.decode(stream))
    assert joints.shape == (frames, 2, NUM_JOINTS, 3)
    assert 240 <= frames <= 300


def test_camera_file_and_truth_describe_the_same_pinhole(truth: dict[str, np.ndarray]) -> None:
    camera = json.loads((MODELS / "demo_camera.json").read_text())
    assert camera["model"] == "pinhole"
    assert camera["distortion"] == []
    assert [camera["width"], camera["height"]] == truth["size"].tolist() == [1280, 720]
    expected = [[camera["fx"], 0, camera["cx"]], [0, camera["fy"], camera["cy"]], [0, 0, 1]]
    np.testing.assert_array_equal(truth["K"], expected)
    assert truth["fps"] == 30
    assert truth["complete"] == 1


def test_evaluator_reads_the_same_joints(truth: dict[str, np.ndarray]) -> None:
    np.testing.assert_array_equal(truth["joints_cam"], truth["joints_in_camera_m"])


def test_a_hand_is_known_whole_or_not_at_all(joints: FloatArray) -> None:
    known = np.isfinite(joints).reshape(len(joints), 2, -1)
    assert (known.all(axis=-1) == known.any(axis=-1)).all()


def test_both_hands_are_in_view_in_most_frames(truth: dict[str, np.ndarray], joints: FloatArray) -> None:
    pixels = projected_px(joints, truth["K"])
    inside = ((pixels >= 0) & (pixels <= truth["size"] - 1)).all(axis=-1).sum(axis=-1)
    in_view = inside >= 15
    assert in_view[:, 0].mean() > 0.9
    assert in_view[:, 1].mean() > 0.75
    assert in_view.all(axis=1).mean() > 0.75
    whole = inside == NUM_JOINTS
    assert whole[in_view].mean() > 0.9


def test_the_right_hand_leaves_the_picture_once_and_comes_back(joints: FloatArray) -> None:
    known = np.isfinite(joints[:, 1, 0, 0])
    changes = np.flatnonzero(np.diff(known.astype(int)))
    assert known[0] and known[-1]
    assert len(changes) == 2
    assert 0.4 < (changes[1] - changes[0]) / 30 < 2.0


def test_hands_are_within_reach_and_never_swap_places(joints: FloatArray) -> None:
    distance = np.linalg.norm(joints, axis=-1)
    assert np.nanmin(distance) > 0.2
    assert np.nanmax(distance) < 0.7
    left, right = joints[:, 0, :, 0], joints[:, 1, :, 0]
    both = np.isfinite(left).all(axis=1) & np.isfinite(right).all(axis=1)
    assert (left[both].max(axis=1) < right[both].min(axis=1)).all()


def test_bones_are_rigid_over_time(joints: FloatArray) -> None:
    for number in range(2):
        present = joints[np.isfinite(joints[:, number, 0, 0]), number]
        fingers = bone_lengths(present).reshape(-1, 5, 4)[..., 1:]
        assert np.ptp(fingers, axis=0).max() < 1e-6
        palm = present[:, [0, 5, 9, 13, 17]]
        spans = np.linalg.norm(palm[:, :, None] - palm[:, None], axis=-1)
        assert np.ptp(spans, axis=0).max() < 1e-6


def test_both_hands_are_mirror_images_of_one_size(joints: FloatArray) -> None:
    lengths = [bone_lengths(joints[np.isfinite(joints[:, n, 0, 0]), n]).mean(axis=0) for n in range(2)]
    np.testing.assert_allclose(lengths[0], lengths[1], atol=1e-6)


def test_fingers_bend_toward_the_palm_on_both_sides(joints: FloatArray) -> None:
    for number, side in enumerate(SIDES):
        for hand in joints[np.isfinite(joints[:, number, 0, 0]), number]:
            back = camera_from_wrist(hand, side)[:, 1]
            first_bones = hand[[6, 10, 14, 18]] - hand[[5, 9, 13, 17]]
            beyond = hand[[8, 12, 16, 20]] - hand[[6, 10, 14, 18]]
            along = first_bones / np.linalg.norm(first_bones, axis=-1, keepdims=True)
            across = beyond - (beyond * along).sum(axis=-1, keepdims=True) * along
            assert (across @ back < 0.002).all()


def test_motion_is_smooth(joints: FloatArray) -> None:
    acceleration = np.diff(joints, n=2, axis=0) * 30**2
    assert np.nanmax(np.linalg.norm(acceleration, axis=-1)) < 30.0


def test_checksums_of_the_demo_files_are_right() -> None:
    lines = [line.split() for line in (MODELS / "SHA256SUMS").read_text().splitlines()]
    sums = {name: digest for digest, name in lines}
    assert len(sums) == len(lines)
    for name in ("demo.mp4", "demo_truth.npz", "demo_camera.json", "open_hand.npz"):
        assert hashlib.sha256((MODELS / name).read_bytes()).hexdigest() == sums[name]


def test_video_is_small_enough_to_ship() -> None:
    assert (MODELS / "demo.mp4").stat().st_size <= 1_500_000
