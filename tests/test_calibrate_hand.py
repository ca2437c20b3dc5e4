"""The command calibrate-hand, and how its hand gets into a run: measured once, used where asked, said so."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from seen_hands import CAMERA, frame_at

import tracker
from tracker.calibrate_hand import LIVE_LIMIT_S, watch_hands
from tracker.cli import main
from tracker.cli_options import TrackingOptions
from tracker.errors import HandFileError, MeasurementError, UsageError
from tracker.hand_shape import HandShape
from tracker.hand_store import MeasuredHand, hand_path, load_hand, store_hand
from tracker.joints import Side
from tracker.sources import open_source
from tracker.structs import Frame

MODELS = Path(tracker.__file__).parent / "models"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's folder of this test."""
    monkeypatch.setenv("TRACKER_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def run(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, list[str]]:
    """Exit status, standard output and the lines on standard error."""
    with pytest.raises(SystemExit) as stop:
        main([str(argument) for argument in arguments])
    printed = capsys.readouterr()
    return int(stop.value.code or 0), printed.out, printed.err.strip().splitlines()


def refused(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str]:
    """Status and the one line with which a command refuses."""
    status, _, lines = run(capsys, *arguments)
    errors = [line for line in lines if line.startswith("error: ")]
    assert len(errors) == 1 and "Traceback" not in "".join(lines), lines
    return status, errors[0]


def recorded_header(
    capsys: pytest.CaptureFixture[str], record: Path, *arguments: object
) -> dict[str, object]:
    """The header of a recording of the demo clip's first frames."""
    options = ("process", "demo", "--max-frames", 2, "--record", record, "--overwrite")
    status, _, lines = run(capsys, *options, *arguments)
    assert status == 0, lines
    header: dict[str, object] = json.loads(record.read_text().splitlines()[0])
    return header


def test_a_palm_width_alone_scales_an_average_hand(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, out, lines = run(capsys, "calibrate-hand", "--palm-width-mm", 67.5)
    assert status == 0 and "average hand" in out and "67.5 mm" in out
    hand = load_hand(hand_path("default", home))
    assert hand.shape.palm_width_m == pytest.approx(0.0675, abs=1e-6) and hand.frames == 0
    assert any("wrote" in line and "--hand default" in line for line in lines)
    assert any("replaced" in line for line in run(capsys, "calibrate-hand", "--palm-width-mm", 60)[2])
    assert load_hand(hand_path("default", home)).shape.palm_width_m == pytest.approx(0.06, abs=1e-6)


def test_the_demo_clips_hand_is_measured(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """As well as the network knows proportions: fingers within a sixth of the clip's truth."""
    options = ("--source", "demo", "--max-frames", 90, "--palm-width-mm", 61.7, "--name", "demo")
    status, out, lines = run(capsys, "calibrate-hand", *options)
    assert status == 0, lines
    assert "views of a flat hand" in out and "(given)" in out
    hand = load_hand(hand_path("demo", home))
    with np.load(MODELS / "demo_truth.npz", allow_pickle=False) as truth:
        left_m = truth["joints_in_camera_m"][60, 0]
    true = HandShape.from_joints(left_m, Side.LEFT)
    assert true.palm_width_m == pytest.approx(0.0617, abs=1e-4)
    ratio = hand.shape.finger_bones_m.sum(axis=1) / true.finger_bones_m.sum(axis=1)
    assert np.abs(ratio - 1).max() < 1 / 6, ratio
    assert hand.frames >= 20 and 0 < hand.spread < 0.1


@pytest.mark.parametrize(
    ("options", "status", "message"),
    [
        (("--palm-width-mm", 84), 2, "84 mm; give 40 to 80.*not the palm's outer breadth"),
        (("--palm-width-mm", 12), 2, "12 mm; give 40 to 80"),
        (("--palm-width-mm", "nan"), 2, "nan mm; give 40 to 80"),
        (
            ("--palm-width-mm", 66, "--distance-m", 0.5, "--fov", 60),
            2,
            "both --palm-width-mm and --distance-m",
        ),
        (("--distance-m", 0.5), 2, "intrinsics; give --camera FILE or --fov"),
        (("--distance-m", 5, "--fov", 60), 2, "5 m; give 0.15 to 1.5"),
        (("--palm-width-mm", 66, "--name", "a/b"), 2, "cannot name a hand"),
        (("--palm-width-mm", 66, "--name", "none"), 2, "cannot name a hand"),
        (("--source", "absent.mp4"), 2, "absent.mp4"),
        (("--source", "demo", "--max-frames", 20), 1, r"flat, open and facing the lens in 0 .*turned away"),
    ],
)
def test_what_gives_no_measure_is_one_clear_line(
    options: tuple[object, ...],
    status: int,
    message: str,
    home: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    found, line = refused(capsys, "calibrate-hand", *options)
    assert found == status
    assert re.search(message, line), line
    assert not home.exists()


def test_a_folder_that_cannot_be_written_is_one_clear_line(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    home.write_text("a file where the folder should be")
    status, line = refused(capsys, "calibrate-hand", "--palm-width-mm", 66)
    assert status == 1 and "cannot write" in line


def test_a_recording_says_which_hand_was_used(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    record = tmp_path / "demo.jsonl"
    run(capsys, "calibrate-hand", "--palm-width-mm", 64)
    assert "hand" not in recorded_header(capsys, record), "a recorded file may show anybody's hand"
    assert recorded_header(capsys, record, "--hand", "default")["hand"] == {
        "name": "default",
        "palm_width_mm": 64.0,
    }
    file = hand_path("default", home)
    assert recorded_header(capsys, record, "--hand", file)["hand"] == {
        "name": str(file),
        "palm_width_mm": 64.0,
    }
    assert recorded_header(capsys, record, "--palm-width-mm", 71)["hand"] == {
        "name": "palm width",
        "palm_width_mm": 71.0,
    }


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--hand", "me"), "no hand is stored as 'me'"),
        (("--hand", "absent.json"), "absent.json"),
        (("--hand", "default", "--palm-width-mm", 66), "both --hand and --palm-width-mm"),
        (("--palm-width-mm", 90), "outer breadth"),
    ],
)
def test_a_hand_that_is_not_there_stops_the_run_at_once(
    options: tuple[object, ...], message: str, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status, line = refused(capsys, "process", "demo", *options)
    assert status == 2 and message in line


def test_a_webcam_uses_the_owners_hand_and_says_how_not_to(tmp_path: Path) -> None:
    store_hand(MeasuredHand(HandShape.from_palm_width(0.07), "palm width"), hand_path("default", tmp_path))
    said: list[str] = []
    options = TrackingOptions()
    used = options.hand_used(tmp_path, webcam=True, say=said.append)
    assert used is not None and used.shape.palm_width_m == pytest.approx(0.07, abs=1e-6)
    assert len(said) == 1 and "--hand none" in said[0]
    assert options.hand_used(tmp_path, webcam=False, say=said.append) is None
    assert TrackingOptions(hand="none").hand_used(tmp_path, webcam=True, say=said.append) is None
    assert options.hand_used(tmp_path / "empty", webcam=True, say=said.append) is None
    assert len(said) == 1


def test_a_damaged_default_is_refused_not_ignored(tmp_path: Path) -> None:
    path = hand_path("default", tmp_path)
    path.parent.mkdir()
    path.write_text("{")
    with pytest.raises(HandFileError, match="not JSON"):
        TrackingOptions().hand_used(tmp_path, webcam=True, say=print)


def test_the_tracker_is_told_the_hand(tmp_path: Path) -> None:
    options = TrackingOptions(palm_width_mm=71.0)
    hand = options.hand_used(tmp_path, webcam=False, say=print)
    with options.load(tmp_path, webcam=False, hand=hand) as loaded:
        told = loaded.config.tracks.hand
    assert told is not None and told.palm_width_m == pytest.approx(0.071)


def endless(times_per_s: float = 2.0) -> Iterator[Frame]:
    """Black frames for ever, as a camera that nobody sits before."""
    index = 0
    while True:
        yield frame_at(index / times_per_s, index, CAMERA)
        index += 1


def test_a_camera_without_a_hand_is_not_waited_for_for_ever() -> None:
    said: list[str] = []
    meter = watch_hands(endless(), live=True, say=said.append)
    with pytest.raises(MeasurementError, match="no hand was seen"):
        meter.measured()
    assert said and "0 of 60 good frames: no hand in view" in said[0]
    assert len(said) <= LIVE_LIMIT_S / 2


def test_a_live_run_ends_when_it_has_seen_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tracker.calibrate_hand.GOOD_FRAMES", 15)
    source = open_source("demo")
    frames = (frame for frame in source if frame.index >= 62)
    try:
        meter = watch_hands(frames, live=True, say=print)
    finally:
        source.close()
    assert 15 <= len(meter.flat) <= 17


def test_distances_that_give_no_size_are_refused() -> None:
    from tracker.calibrate_hand import check_distance

    check_distance(None, camera_is_known=False)
    check_distance(0.5, camera_is_known=True)
    for distance_m in (0.1, 2.0, float("nan")):
        with pytest.raises(UsageError, match=r"give 0\.15 to 1\.5"):
            check_distance(distance_m, camera_is_known=True)
