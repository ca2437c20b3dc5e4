"""The demo clip, whose joints are known exactly, through the command a new user runs."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tracker
from tracker.cli import live

MODELS = Path(tracker.__file__).parent / "models"
FINGERS = slice(5, 21)
"""Index to pinky: the networks' wrist and thumb base lie elsewhere than the rig's."""


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """The demo tracked twice."""
    folder = tmp_path_factory.mktemp("demo")
    paths = [folder / "first.jsonl", folder / "second.jsonl"]
    for path in paths:
        with pytest.raises(SystemExit) as stop:
            live(["--source", "demo", "--record", str(path)])
        assert stop.value.code == 0
    return paths


@pytest.fixture(scope="module")
def frames(recordings: list[Path]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in recordings[0].read_text().splitlines()[1:]]


@pytest.fixture(scope="module")
def truth() -> np.ndarray:
    """Joints (frames, 2, 21, 3) in the camera frame, left then right, NaN where there is no hand."""
    with np.load(MODELS / "demo_truth.npz") as stored:
        return np.asarray(stored["joints_in_camera_m"], dtype=np.float64)


@pytest.fixture(scope="module")
def pairs(frames: list[dict[str, Any]], truth: np.ndarray) -> list[tuple[dict[str, Any], np.ndarray]]:
    """Each recorded hand with the true joints of its side in its frame."""
    sides = ("left", "right")
    return [
        (hand, truth[frame["frame"], sides.index(hand["side"])])
        for frame in frames
        for hand in frame["hands"]
        if hand["unseen_s"] == 0 and np.isfinite(truth[frame["frame"], sides.index(hand["side"])]).all()
    ]


def projected_px(joints_m: np.ndarray) -> np.ndarray:
    camera = json.loads((MODELS / "demo_camera.json").read_text())
    return joints_m[:, :2] / joints_m[:, 2:] * (camera["fx"], camera["fy"]) + (camera["cx"], camera["cy"])


def test_every_frame_is_recorded_once(frames: list[dict[str, Any]], truth: np.ndarray) -> None:
    assert [frame["frame"] for frame in frames] == list(range(len(truth)))


def test_both_hands_are_found_in_95_of_100_frames(
    frames: list[dict[str, Any]], truth: np.ndarray, pairs: list[tuple[dict[str, Any], np.ndarray]]
) -> None:
    there = sum(int(inside(joints)) for hands in truth for joints in hands)
    found = sum(
        np.median(np.linalg.norm(np.array(hand["joints_px"]) - projected_px(joints), axis=1)) < 40
        for hand, joints in pairs
        if inside(joints)
    )
    assert found >= 0.95 * there


def inside(joints_m: np.ndarray) -> bool:
    """At least 15 joints lie in the picture."""
    if not np.isfinite(joints_m).all():
        return False
    pixels = projected_px(joints_m)
    return int(((pixels >= 0) & (pixels <= (1279, 719))).all(axis=1).sum()) >= 15


def test_fingers_lie_on_the_picture(pairs: list[tuple[dict[str, Any], np.ndarray]]) -> None:
    errors = [
        np.linalg.norm(np.array(hand["joints_px"]) - projected_px(joints), axis=1)[FINGERS]
        for hand, joints in pairs
    ]
    assert np.median(errors) < 15  # a hand is about 170 pixels large


def test_hands_stand_where_they_are_in_metres(pairs: list[tuple[dict[str, Any], np.ndarray]]) -> None:
    measured = np.array([np.mean(hand["joints_in_camera_m"], axis=0) for hand, _ in pairs])
    true = np.array([joints.mean(axis=0) for _, joints in pairs])
    ranges, true_ranges = np.linalg.norm(measured, axis=1), np.linalg.norm(true, axis=1)
    cosines = (measured * true).sum(axis=1) / (ranges * true_ranges)
    assert np.degrees(np.arccos(np.median(cosines))) < 1.5
    assert np.median(np.abs(ranges / true_ranges - 1)) < 0.15


def test_sides_and_identities_hold_until_a_hand_leaves(frames: list[dict[str, Any]]) -> None:
    seen = {(hand["side"], hand["track_id"]) for frame in frames for hand in frame["hands"]}
    assert len([identity for side, identity in seen if side == "left"]) == 1
    assert len([identity for side, identity in seen if side == "right"]) == 2  # it leaves once
    assert len({identity for _, identity in seen}) == 3


def test_the_same_file_gives_the_same_numbers_every_time(recordings: list[Path]) -> None:
    first, second = (
        [json.loads(line)["hands"] for line in path.read_text().splitlines()[1:]] for path in recordings
    )
    assert first == second
