"""A user's mistake is one clear line and a status, never a traceback; what was recorded is kept."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import av
import numpy as np
import pytest
from scripted_runs import ScriptedSource

from tracker.cli import live, main
from tracker.cli_options import TrackingOptions
from tracker.sinks.recording import read_recording
from tracker.structs import TrackedFrame

if TYPE_CHECKING:
    from official_files import OfficialFiles

CAMERA = {"model": "pinhole", "width": 64, "height": 48, "fx": 50, "fy": 50, "cx": 31.5, "cy": 23.5}


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    """A grey video, 64 x 48, 12 frames."""
    path = tmp_path / "clip.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=30, width=64, height=48, pix_fmt="yuv420p")
        for _ in range(12):
            frame = av.VideoFrame.from_ndarray(np.full((48, 64, 3), 128, np.uint8), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def run_live(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, list[str]]:
    """Exit status and the lines on standard error."""
    with pytest.raises(SystemExit) as stop:
        live([str(argument) for argument in arguments])
    return int(stop.value.code or 0), capsys.readouterr().err.strip().splitlines()


def one_error(lines: list[str]) -> str:
    errors = [line for line in lines if line.startswith("error: ")]
    assert len(errors) == 1, lines
    assert not any("Traceback" in line for line in lines)
    return errors[0]


def write(path: Path, content: bytes | str) -> Path:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def test_a_file_is_tracked_to_its_end_and_recorded(clip: Path, capsys: pytest.CaptureFixture[str]) -> None:
    record = clip.with_suffix(".jsonl")
    status, lines = run_live(capsys, "--source", clip, "--fov", 80, "--record", record)
    assert status == 0, lines
    messages = [json.loads(line) for line in record.read_text().splitlines()]
    assert [message["type"] for message in messages] == ["header"] + ["frame"] * 12
    assert [message["frame"] for message in messages[1:]] == list(range(12))
    assert messages[0]["camera_assumed"] is False


def test_unknown_intrinsics_are_said_once_and_marked(clip: Path, capsys: pytest.CaptureFixture[str]) -> None:
    record = clip.with_suffix(".jsonl")
    status, lines = run_live(capsys, "--source", clip, "--record", record)
    assert status == 0
    assert sum("assuming 65 degrees" in line for line in lines) == 1
    assert json.loads(record.read_text().splitlines()[0])["camera_assumed"] is True


def process(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, list[str]]:
    """Exit status and the lines on standard error of the command process."""
    with pytest.raises(SystemExit) as stop:
        main(["process", *map(str, arguments)])
    return int(stop.value.code or 0), capsys.readouterr().err.strip().splitlines()


def test_a_smoothed_recording_has_the_frames_and_hands_of_the_other(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plain, smooth, video = tmp_path / "plain.jsonl", tmp_path / "smooth.jsonl", tmp_path / "smooth.mp4"
    options = ("demo", "--max-frames", 25)
    assert process(capsys, *options, "--record", plain)[0] == 0
    status, lines = process(capsys, *options, "--smooth", "--record", smooth, "--video", video)
    assert status == 0, lines
    messages = [[json.loads(line) for line in path.read_text().splitlines()] for path in (plain, smooth)]
    heads, *frames = zip(*messages, strict=True)
    assert heads[0] | {"clock": {}} == heads[1] | {"clock": {}}
    moved = 0
    for before, after in frames:
        assert [before[key] for key in ("frame", "capture_time_s")] == [
            after[key] for key in ("frame", "capture_time_s")
        ]
        for hand, other in zip(before["hands"], after["hands"], strict=True):
            assert (hand["track_id"], hand["side"]) == (other["track_id"], other["side"])
            moved += hand["joints_in_camera_m"] != other["joints_in_camera_m"]
    assert moved > 20
    with av.open(str(video)) as container:
        pictures = [frame.to_ndarray(format="gray") for frame in container.decode(video=0)]
    assert len(pictures) == 25 and all(np.std(shown) > 5 for shown in pictures)  # not the blank ones


def test_a_live_feed_cannot_be_smoothed_from_both_sides(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    feed = ScriptedSource(lambda _: iter(()))
    monkeypatch.setattr("tracker.sources.open_source", lambda *_, **__: feed)
    status, lines = process(capsys, "udp://127.0.0.1:9", "--smooth")
    assert feed.closing.is_set()
    assert status == 2
    assert "--smooth" in one_error(lines)


def test_max_frames_counts_frames_of_the_source(clip: Path, capsys: pytest.CaptureFixture[str]) -> None:
    record = clip.with_suffix(".jsonl")
    assert run_live(capsys, "--source", clip, "--record", record, "--max-frames", 5)[0] == 0
    assert len(record.read_text().splitlines()) == 6


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (lambda folder: folder / "absent.mp4", "absent.mp4"),
        (lambda folder: folder, "directory"),
        (lambda folder: write(folder / "text.mp4", "no video\n" * 50), "text.mp4"),
        (lambda folder: write(folder / "empty.mp4", b""), "empty"),
    ],
    ids=["missing", "directory", "text", "zero-length"],
)
def test_what_is_no_video_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], make: object, expected: str
) -> None:
    status, lines = run_live(capsys, "--source", make(tmp_path))  # type: ignore[operator]
    assert status == 2
    assert expected in one_error(lines)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"model": "magic"}, "brown_conrady"),
        ({"fx": -50}, "positive"),
        ({"model": "kannala_brandt", "distortion": [0.1, float("nan"), 0, 0]}, "not finite"),
        ({"width": 64, "height": 64}, "another aspect"),
        ({"distortion": [0.1]}, "takes 0 distortion values"),
        ({"cx": None}, "cx must be a number"),
        ({"fx": 1e-6}, "give it in pixels"),
        ({"fx": 1e12}, "give it in pixels"),
        ({"cx": -99999}, "far outside"),
        ({"model": "kannala_brandt", "distortion": [-50, 0, 0, 0]}, "check model and distortion"),
        ({"model": "brown_conrady", "distortion": [1e300, -1e300, 0, 0]}, "check model and distortion"),
    ],
    ids=[
        *("model", "negative focal", "nan distortion", "aspect", "distortion count", "missing value"),
        *("tiny focal", "huge focal", "center", "folded fisheye", "folded lens"),
    ],
)
def test_an_impossible_camera_is_refused(
    clip: Path, capsys: pytest.CaptureFixture[str], change: dict[str, object], expected: str
) -> None:
    camera = write(clip.with_suffix(".json"), json.dumps(CAMERA | change))
    status, lines = run_live(capsys, "--source", clip, "--camera", camera)
    assert status == 2
    assert expected in one_error(lines)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--fov", "400"], "10 to 170"),
        (["--fov", "nan"], "10 to 170"),
        (["--backend", "magic"], "choose one of landmarks, hamer"),
        (["--max-frames", "0"], "give 1 or more"),
        (["--max-hands", "0"], "give 1 or more"),
        (["--predict", "-1"], "--predict is -1; give 0 to 50 milliseconds"),
        (["--predict", "50.1"], "--predict is 50.1; give 0 to 50 milliseconds"),
        (["--predict", "nan"], "give 0 to 50"),
        (["--record", "/nowhere/at/all.jsonl"], "/nowhere/at"),
        (["--video", "out.gif"], ".mp4"),
        (["--record", "out.txt"], ".jsonl, .mcap, .rrd, .parquet"),
        (["--record-pictures"], "needs --record"),
        (["--record-pictures", "--record", "never.jsonl"], ".mcap or .rrd"),
        (["--camera", "/dev/zero"], "not JSON"),
    ],
)
def test_an_impossible_option_is_refused(
    clip: Path, capsys: pytest.CaptureFixture[str], options: list[str], expected: str
) -> None:
    status, lines = run_live(capsys, "--source", clip, *options)
    assert status == 2
    assert expected in one_error(lines)


def test_predicted_hands_say_when_they_are_for_and_move_as_their_velocity_says(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recordings = []
    for predict in ([], ["--predict", "40"]):
        record = tmp_path / f"{len(predict)}.jsonl"
        status, lines = run_live(capsys, "--source", "demo", "--max-frames", 70, *predict, "--record", record)
        assert status == 0, lines
        recordings.append([frame for frame in read_recording(record) if isinstance(frame, TrackedFrame)])
    moved = 0
    for plain, predicted in zip(*recordings, strict=True):
        assert plain.valid_at_s == plain.capture_time_s == predicted.capture_time_s
        assert predicted.valid_at_s == pytest.approx(plain.capture_time_s + 0.04)
        for hand, later in zip(plain.hands, predicted.hands, strict=True):
            np.testing.assert_allclose(hand.velocity_m_per_s, later.velocity_m_per_s, atol=1e-9)
            assert np.isfinite(hand.velocity_m_per_s).all()
            step_m = (later.pose.joints_in_camera_m - hand.pose.joints_in_camera_m).mean(axis=0)
            velocity = hand.velocity_m_per_s.mean(axis=0)
            assert np.linalg.norm(step_m) <= 0.04 * np.linalg.norm(velocity) + 1e-6
            moved += step_m @ velocity > 0
    assert moved > 20


def test_no_webcam_is_one_clear_line(capsys: pytest.CaptureFixture[str]) -> None:
    status, lines = run_live(capsys, "--source", "87")
    assert status == 2
    assert "87" in one_error(lines)


def test_a_recording_is_not_replaced_unasked(clip: Path, capsys: pytest.CaptureFixture[str]) -> None:
    record = write(clip.with_suffix(".jsonl"), "precious\n")
    status, lines = run_live(capsys, "--source", clip, "--record", record)
    assert status == 2
    assert "--overwrite" in one_error(lines)
    assert record.read_text() == "precious\n"
    assert run_live(capsys, "--source", clip, "--record", record, "--overwrite")[0] == 0
    assert "precious" not in record.read_text()


def test_no_file_that_a_run_reads_is_replaced(clip: Path, capsys: pytest.CaptureFixture[str]) -> None:
    camera = write(clip.with_suffix(".jsonl"), json.dumps(CAMERA))
    hard_link, symbolic_link = clip.with_name("hard.mp4"), clip.with_name("symbolic.mp4")
    hard_link.hardlink_to(clip)
    symbolic_link.symlink_to(clip)
    before = clip.read_bytes()
    for output in (clip, hard_link, symbolic_link):
        status, lines = run_live(capsys, "--source", clip, "--video", output, "--overwrite")
        assert status == 2
        assert "a file this run reads" in one_error(lines)
    status, lines = run_live(capsys, "--source", clip, "--camera", camera, "--record", camera, "--overwrite")
    assert status == 2
    assert "a file this run reads" in one_error(lines)
    assert clip.read_bytes() == before and json.loads(camera.read_text()) == CAMERA


def test_replay_replaces_neither_its_recording_nor_its_picture(
    clip: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    record = clip.with_suffix(".jsonl")
    run_live(capsys, "--source", clip, "--record", record)
    before = (clip.read_bytes(), record.read_bytes())
    for output in (["--video", str(clip)], ["--record", str(record)]):
        with pytest.raises(SystemExit) as stop:
            main(["replay", str(record), "--picture", str(clip), "--full-speed", "--overwrite", *output])
        assert stop.value.code == 2
        assert "a file this run reads" in one_error(capsys.readouterr().err.strip().splitlines())
    assert (clip.read_bytes(), record.read_bytes()) == before


def test_the_lines_a_killed_parquet_recording_left_can_become_a_table(
    clip: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("pyarrow")
    left, table = clip.with_name("a.parquet.unfinished.jsonl"), clip.with_name("a.parquet")
    run_live(capsys, "--source", clip, "--record", left)
    for output, expected in (
        (table, 2),
        (clip.with_name("b.parquet"), 0),
    ):  # the first would replace its lines
        with pytest.raises(SystemExit) as stop:
            main(["replay", str(left), "--full-speed", "--overwrite", "--record", str(output)])
        assert stop.value.code == expected
    assert len(left.read_text().splitlines()) == 13


def test_two_outputs_need_two_names(clip: Path, capsys: pytest.CaptureFixture[str]) -> None:
    same = clip.with_name("same.jsonl")
    linked = clip.with_name("same.mp4")
    linked.symlink_to(same)
    status, lines = run_live(capsys, "--source", clip, "--record", same, "--video", linked)
    assert status == 2
    assert "named for two outputs" in one_error(lines)


def test_a_run_that_cannot_start_leaves_no_empty_output(
    clip: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    record, video = clip.with_name("a.jsonl"), clip.with_name("a.gif")
    assert run_live(capsys, "--source", clip, "--record", record, "--video", video)[0] == 2
    assert not record.exists() and not video.exists()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs Linux's /dev/full")
def test_a_full_disk_is_a_failure_while_running(clip: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, lines = run_live(capsys, "--source", clip, "--record", "/dev/full")
    assert status == 1
    assert "No space left" in one_error(lines)


# Outputs over the network.


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("--tcp 0.0.0.0:0", "other machines; give --token"),
        ("--hts-listen 0.0.0.0:0 --token s3cret --tcp 127.0.0.1:0", "other machines; listen at 127.0.0.1"),
        ("--hts no-such-host.invalid:9000", "there is no host 'no-such-host.invalid'"),
        ("--hts-tcp 127.0.0.1", "give HOST:PORT"),
        ("--hts 127.0.0.1:0", "port from 1"),
        ("--hts 127.0.0.1:9000 --token s3cret", "there is neither"),
        ("--tcp 192.0.2.1:8766 --token s3cret", "cannot listen at 192.0.2.1:8766"),
    ],
)
def test_an_impossible_address_is_one_clear_line_and_leaves_no_output(
    clip: Path, capsys: pytest.CaptureFixture[str], arguments: str, said: str
) -> None:
    record = clip.with_suffix(".jsonl")
    status, lines = run_live(capsys, "--source", clip, "--record", record, *arguments.split())
    assert status == 2 and said in one_error(lines)
    assert not any("s3cret" in line for line in lines)
    assert not record.exists()


def test_a_run_with_clients_is_in_other_axes_too_and_keeps_its_token_to_itself(
    clip: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    record = clip.with_suffix(".jsonl")
    status, lines = run_live(
        capsys,
        *("--source", clip, "--fov", 80, "--tcp", "127.0.0.1:0", "--token", "s3cret"),
        *("--hts-tcp", "127.0.0.1:9", "--record", record, "--skeleton", "webxr25", "--axes", "unity"),
    )
    assert status == 0, lines
    assert any(line.startswith("--tcp listens at 127.0.0.1:") for line in lines)
    header = json.loads(record.read_text().splitlines()[0])
    assert (header["axes"], header["skeleton"]) == ("unity", "webxr25")
    assert "s3cret" not in record.read_text() + "".join(lines)


def test_a_recording_in_other_axes_is_replayed_as_ours(
    clip: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from tracked_values import CAMERA as LENS
    from tracked_values import some_info, two_hands

    from tracker.sinks.recording import RecordingSink

    ours, unity, back = (clip.with_name(f"{name}.jsonl") for name in ("ours", "unity", "back"))
    sink = RecordingSink(ours)
    sink.begin(some_info(LENS))
    for index in range(3):
        sink.send(two_hands(index), None)
    sink.close()
    to_unity = ("--record", unity, "--axes", "unity", "--skeleton", "openxr26")
    for source, arguments in ((ours, to_unity), (unity, ("--record", back))):
        with pytest.raises(SystemExit) as stop:
            main(["replay", str(source), "--full-speed", *map(str, arguments)])
        assert not stop.value.code, capsys.readouterr().err
    assert b'"axes":"unity"' in unity.read_bytes()
    assert back.read_text().splitlines()[1:] == ours.read_text().splitlines()[1:]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs Linux's /dev/full")
def test_live_tracking_goes_on_when_the_recordings_disk_is_full(
    clip: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    video = clip.with_name("live.mp4")
    status, lines = run_live(
        capsys, "--source", clip, "--realtime", "--record", "/dev/full", "--video", video
    )
    assert status == 1
    assert one_error(lines).endswith("tracking goes on without it")
    with av.open(str(video)) as container:
        assert sum(1 for _ in container.decode(video=0)) >= 2


@pytest.mark.parametrize("ending", [".jsonl", ".mcap"])
def test_a_recording_replayed_at_full_speed_is_the_same(
    clip: Path, capsys: pytest.CaptureFixture[str], ending: str
) -> None:
    if ending == ".mcap":
        pytest.importorskip("mcap")
    first, between, second = (clip.with_name(name) for name in ("a.jsonl", f"b{ending}", "c.jsonl"))
    run_live(capsys, "--source", clip, "--record", first)
    for read, written in ((first, between), (between, second)):
        with pytest.raises(SystemExit) as stop:
            main(["replay", str(read), "--full-speed", "--record", str(written)])
        assert stop.value.code == 0
    assert second.read_text().splitlines()[1:] == first.read_text().splitlines()[1:]


# The backend hamer.


def hamer_run(files: "OfficialFiles", *more: object) -> list[object]:
    """Three frames of the demo through HaMeR."""
    hands = ["--source", "demo", "--max-frames", 3, "--backend", "hamer"]
    return [*hands, "--checkpoint", files.checkpoint, "--mano", files.mano, *more]


@pytest.mark.parametrize("crop", ["virtual", "affine"])
def test_hamer_writes_mano_parameters_and_draws_its_mesh(
    hamer_files: "OfficialFiles", tmp_path: Path, capsys: pytest.CaptureFixture[str], crop: str
) -> None:
    record, skins, bones = (tmp_path / name for name in ("hands.jsonl", "skins.mp4", "bones.mp4"))
    asked = hamer_run(hamer_files, "--crop", crop, "--record", record, "--video", skins, "--draw", "mesh")
    status, lines = run_live(capsys, *asked)
    assert status == 0, lines
    messages = [json.loads(line) for line in record.read_text().splitlines()]
    assert messages[0]["backend"] == "hamer"
    assert len(messages) == 4
    for message in messages[1:]:
        assert [hand["side"] for hand in message["hands"]] == ["left", "right"]
        for hand in message["hands"]:
            assert np.shape(hand["mano"]["global_orient"]) == (3, 3)
            assert np.shape(hand["mano"]["hand_pose"]) == (15, 3, 3)
            assert np.shape(hand["mano"]["betas"]) == (10,)
            assert hand["mano"]["mirrored"] == (hand["side"] == "left")
            joints = np.array(hand["joints_in_camera_m"])
            assert np.abs(np.array(hand["mano"]["translation_m"]) - joints.mean(axis=0)).max() < 0.3
    again = ["replay", record, "--full-speed", "--video", bones]
    with pytest.raises(SystemExit) as stop:
        main([str(argument) for argument in again])
    assert stop.value.code == 0
    with av.open(str(skins)) as container:
        assert sum(1 for _ in container.decode(video=0)) == 3


def test_a_replay_draws_mano_where_it_is_given(
    hamer_files: "OfficialFiles", tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    record = tmp_path / "hands.jsonl"
    assert run_live(capsys, *hamer_run(hamer_files, "--record", record))[0] == 0
    pictures = []
    for more in ([], ["--mano", str(hamer_files.mano)]):
        video = tmp_path / f"{len(more)}.mkv"
        with pytest.raises(SystemExit) as stop:
            asked = ["replay", str(record), "--full-speed", "--video", str(video), "--draw", "mesh", *more]
            main(asked)
        assert stop.value.code == 0, capsys.readouterr().err
        with av.open(str(video)) as container:
            pictures.append(next(container.decode(video=0)).to_ndarray(format="rgb24").astype(float))
    assert np.abs(pictures[0] - pictures[1]).max() > 50  # an open hand, and MANO's


def test_hamer_without_its_files_says_how_to_get_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRACKER_HOME", str(tmp_path))
    status, lines = run_live(capsys, "--source", "demo", "--backend", "hamer")
    assert status == 2
    error = one_error(lines)
    for told in ("hamer_demo_data.tar.gz", "mano.is.tue.mpg.de", "weights import", str(tmp_path)):
        assert told in error


def test_potter_without_its_file_says_how_to_get_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRACKER_HOME", str(tmp_path))
    for options in (("potter",), ("ensemble", "--ensemble", "landmarks", "potter")):
        status, lines = run_live(capsys, "--source", "demo", "--backend", *options)
        assert status == 2
        error = one_error(lines)
        for told in ("ego-exo4d-egopose", "weights import", str(tmp_path)):
            assert told in error


@pytest.mark.parametrize(
    "options", [("potter", "--placement", "weak"), ("ensemble", "--placement", "align", "--crop", "affine")]
)
def test_potter_and_ensembles_track_the_demo(
    potter_file: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    options: tuple[str, ...],
) -> None:
    record = tmp_path / "hands.jsonl"
    members = ("--ensemble", "landmarks", "potter", f"potter={potter_file}", "--ensemble-weights", 1, 2, 3)
    status, lines = run_live(
        capsys,
        *("--source", "demo", "--max-frames", 1, "--record", record, "--backend", *options),
        *("--potter-checkpoint", potter_file, *(members if options[0] == "ensemble" else ())),
    )
    assert status == 0, lines
    header, frame = map(json.loads, record.read_text().splitlines()[:2])
    assert header["backend"] == options[0] and frame["type"] == "frame"


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (("--backend", "ensemble", "--ensemble", "landmarks", "magic"), "magic"),
        (("--backend", "ensemble", "--ensemble-weights", "1", "2", "3"), "--ensemble names 2 members"),
        (("--backend", "ensemble", "--ensemble", "landmarks", "--ensemble-weights", "0"), "nor all zero"),
    ],
)
def test_an_ensemble_that_is_none_is_refused(
    capsys: pytest.CaptureFixture[str], options: tuple[str, ...], expected: str
) -> None:
    status, lines = run_live(capsys, "--source", "demo", *options)
    assert status == 2
    assert expected in one_error(lines)


@pytest.mark.parametrize("engine", ["graph", "inductor", "tensorrt"])
def test_an_engine_that_needs_a_gpu_says_so(
    hamer_files: "OfficialFiles",
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    engine: str,
) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    status, lines = run_live(capsys, *hamer_run(hamer_files, "--engine", engine))
    assert status == 2
    assert "needs an NVIDIA GPU" in one_error(lines)


def weights(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    """Exit status, standard output and standard error of the command."""
    with pytest.raises(SystemExit) as stop:
        main(["weights", *(str(argument) for argument in arguments)])
    out, err = capsys.readouterr()
    return int(stop.value.code or 0), out, err


def test_weights_are_shown_imported_and_used(
    hamer_files: "OfficialFiles",
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pytest.importorskip("safetensors")
    monkeypatch.setenv("TRACKER_HOME", str(tmp_path))
    status, out, _ = weights(capsys, "status")
    assert status == 0
    for told in ("hamer.ckpt", "MANO_RIGHT.pkl", "get it:", "licence:", "mano.is.tue.mpg.de"):
        assert told in out
    status, out, err = weights(capsys, "import", hamer_files.mano, hamer_files.checkpoint)
    assert status == 0, err
    assert out.count("missing") == 1 and "potter.pt: missing" in out
    assert "float16 moves joints by" in out
    status, lines = run_live(capsys, "--source", "demo", "--max-frames", 1, "--backend", "hamer")
    assert status == 0, lines


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["import"], "name the files"),
        (["status", "hamer.ckpt"], "takes no files"),
        (["import", "absent.zip"], "absent.zip"),
    ],
)
def test_an_impossible_weights_command_is_refused(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    expected: str,
) -> None:
    monkeypatch.setenv("TRACKER_HOME", str(tmp_path))
    status, _, err = weights(capsys, *arguments)
    assert status == 2
    assert expected in one_error(err.splitlines())


CTRL_C_WHILE_LOADING = """
import signal, sys
class Person:
    def find_spec(self, name, *_):
        if name == "tyro":
            signal.raise_signal(signal.SIGINT)
sys.meta_path.insert(0, Person())
from tracker.__main__ import {command}
{command}()
"""


@pytest.mark.skipif(os.name == "nt", reason="signals as on POSIX")
@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
@pytest.mark.parametrize(
    ("command", "options", "option"),
    [
        ("live", ["--loop", "--source"], "--loop"),
        ("process", ["--smooth", "--video", "o.mp4"], "--smooth with"),
    ],
)
def test_a_pipe_is_refused_where_it_would_be_read_twice(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], command: str, options: list[str], option: str
) -> None:
    """Before anything waits for a program that writes to it."""
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(SystemExit) as stop:
        main([command, *options, str(tmp_path / "pipe")])
    assert stop.value.code == 2
    assert option in (said := capsys.readouterr().err) and "is a pipe; give a file" in said


@pytest.mark.parametrize("command", ["live", "main"])
def test_ctrl_c_while_the_program_loads_ends_it_without_a_word(command: str) -> None:
    code = CTRL_C_WHILE_LOADING.format(command=command)
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (run.returncode, run.stdout, run.stderr) == (-signal.SIGINT, "", "")


@pytest.mark.skipif(os.name == "nt", reason="signals as on POSIX")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["ctrl-c", "terminate"])
def test_an_interrupted_run_leaves_whole_files(tmp_path: Path, number: signal.Signals) -> None:
    record, video = tmp_path / "demo.jsonl", tmp_path / "demo.mkv"
    command = [sys.executable, "-m", "tracker", "live", "--source", "demo", "--realtime"]
    run = subprocess.Popen(
        [*command, "--record", str(record), "--video", str(video)], stderr=subprocess.PIPE, text=True
    )
    assert run.stderr is not None
    while not (record.exists() and record.read_bytes().count(b"\n") > 10):
        assert run.poll() is None, run.stderr.read()
    run.send_signal(number)
    run.send_signal(number)  # an impatient second one breaks nothing off
    _, errors = run.communicate(timeout=20)
    assert run.returncode == 0, errors
    assert "Traceback" not in errors
    lines = record.read_text().splitlines()
    last, end = (json.loads(line) for line in lines[-2:])
    assert (last["type"], end) == ("frame", {"type": "state", "state": "ended"})
    with av.open(str(video)) as container:
        assert sum(1 for _ in container.decode(video=0)) > 0


@pytest.mark.parametrize(
    ("options", "webcam", "view"),
    [
        (TrackingOptions(), False, "first-person"),
        (TrackingOptions(), True, "any"),
        (TrackingOptions(several_people=True), False, "any"),
        (TrackingOptions(view="first-person"), True, "first-person"),
    ],
)
def test_only_worn_cameras_take_a_hand_to_be_their_wearers(
    options: TrackingOptions, webcam: bool, view: str
) -> None:
    with options.load(None, webcam=webcam) as tracker:
        assert tracker.config.tracks.sighting.view == view
