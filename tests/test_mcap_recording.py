"""MCAP recordings: the messages of JSON lines, what Foxglove draws, and nothing lost by full disks."""

import json
import logging
import random
import sys
import time
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from limited_disk import LimitedDisk
from PIL import Image
from scripted_runs import wait_or_fail
from tracked_values import LENS, picture, some_frame, some_hand, some_info, two_hands

from tracker.cameras import CAMERA_MODELS, Camera, pinhole_from_fov
from tracker.errors import MissingDependencyError, RecordingError, SinkFailedError
from tracker.joints import BONES, Side
from tracker.rotations import rotation_from_quaternion
from tracker.sinks import Sink
from tracker.sinks.messages import Clock
from tracker.sinks.recording import RecordingSink, _messages, read_recording
from tracker.structs import Frame, StreamInfo, TrackedFrame

pytest.importorskip("mcap")

from tracker.sinks.mcap_format import CHANNELS
from tracker.sinks.mcap_recording import McapSink


def fill(sink: Sink, count: int = 4) -> None:
    """Two cameras, states, unknown joints, frames without hands."""
    sink.begin(some_info(LENS))
    sink.notify("playing")
    for index in range(count):
        sink.send(two_hands(index), picture(index))
    sink.notify("lost")
    sink.begin(some_info(pinhole_from_fov(480, 480, 40.0, assumed=True)))
    sink.send(some_frame(index=count), None)
    sink.send(some_frame(some_hand(Side.RIGHT, unknown_joints=(4, 9)), index=count + 1), None)
    sink.notify("ended")
    sink.close()


def raw_messages(path: Path) -> list[bytes]:
    with open(path, "rb") as file:
        return [message.rstrip(b"\n") for _, message, _ in _messages(path, file)]


def decoded(path: Path, topic: str) -> list[tuple[int, dict[str, Any]]]:
    """Log times and messages of a topic, by the library's own reader."""
    from mcap.reader import make_reader

    with open(path, "rb") as file:
        found = make_reader(file, validate_crcs=True).iter_messages(topics=[topic])
        return [(message.log_time, json.loads(message.data)) for _, _, message in found]


def indices(path: Path) -> list[int]:
    return [value.frame_index for value in read_recording(path) if isinstance(value, TrackedFrame)]


def test_the_messages_are_those_of_json_lines_in_the_same_order(tmp_path: Path) -> None:
    lines, mcap = tmp_path / "a.jsonl", tmp_path / "a.mcap"
    fill(RecordingSink(lines, clock=lambda: Clock(1.0, 2.0)))
    fill(McapSink(mcap, clock=lambda: Clock(1.0, 2.0)))
    assert len(raw_messages(lines)) == 11
    assert raw_messages(mcap) == raw_messages(lines)
    assert [type(value) for value in read_recording(mcap)] == [type(value) for value in read_recording(lines)]


def test_messages_stand_at_their_frames_capture_times(tmp_path: Path) -> None:
    path = tmp_path / "a.mcap"
    fill(McapSink(path))
    frames = decoded(path, "/hands/frame")
    times_ns = [round(message["capture_time_s"] * 1e9) for _, message in frames]
    np.testing.assert_allclose([log_ns for log_ns, _ in frames], times_ns, atol=1000)
    assert [log_ns for log_ns, _ in decoded(path, "/hands/scene")] == [log_ns for log_ns, _ in frames]
    # Headers, lenses and axes come with the first frame they hold for.
    for topic in ("/hands/header", "/camera/calibration", "/tf"):
        assert [log_ns for log_ns, _ in decoded(path, topic)] == [frames[0][0], frames[4][0]]


def test_the_scene_shows_each_hand_where_it_is(tmp_path: Path) -> None:
    path = tmp_path / "a.mcap"
    fill(McapSink(path))
    scenes = [message for _, message in decoded(path, "/hands/scene")]
    published = [value for value in read_recording(path) if isinstance(value, TrackedFrame)]
    for scene, tracked in zip(scenes, published, strict=True):
        assert [deletion["type"] for deletion in scene["deletions"]] == [1]  # all, so that lost hands go
        for entity, hand in zip(scene["entities"], tracked.hands, strict=True):
            joints = hand.pose.joints_in_camera_m
            known = np.isfinite(joints).all(axis=-1)
            spheres = [[ball["pose"]["position"][axis] for axis in "xyz"] for ball in entity["spheres"]]
            np.testing.assert_allclose(spheres, joints[known], atol=1e-9)
            (line,) = entity["lines"]
            ends = np.array([[point[axis] for axis in "xyz"] for point in line["points"]]).reshape(-1, 2, 3)
            bones = [joints[list(bone)] for bone in BONES if known[list(bone)].all()]
            np.testing.assert_allclose(ends, bones, atol=1e-9)
            assert (entity["frame_id"], line["type"]) == ("camera", 2)
    left, right = ((e["lines"][0]["color"]["r"], e["lines"][0]["color"]["b"]) for e in scenes[0]["entities"])
    assert left[0] > left[1] and right[0] < right[1]  # orange, blue


def test_the_camera_stands_upright_in_the_world(tmp_path: Path) -> None:
    path = tmp_path / "a.mcap"
    fill(McapSink(path))
    transform = decoded(path, "/tf")[0][1]
    assert (transform["parent_frame_id"], transform["child_frame_id"]) == ("world", "camera")
    world_from_camera = rotation_from_quaternion(np.array([transform["rotation"][k] for k in "wxyz"]))
    np.testing.assert_allclose(world_from_camera @ (0, -1, 0), (0, 0, 1), atol=1e-12)  # up
    np.testing.assert_allclose(world_from_camera @ (0, 0, 1), (1, 0, 0), atol=1e-12)  # forward


@pytest.mark.parametrize(("count", "name"), [(4, "plumb_bob"), (5, "plumb_bob"), (8, "rational_polynomial")])
def test_the_calibration_is_opencvs(tmp_path: Path, count: int, name: str) -> None:
    path = tmp_path / "a.mcap"
    coefficients = tuple(0.01 * (k + 1) for k in range(count))
    lens = CAMERA_MODELS["brown_conrady"](640, 480, 512.0, 511.0, 318.5, 241.0, coefficients)
    found = calibration_of(path, lens)
    assert found["distortion_model"] == name
    np.testing.assert_allclose(found["D"][:count], coefficients)
    assert found["D"][count:] == [0.0] * (5 - count)
    assert found["K"] == [512.0, 0.0, 318.5, 0.0, 511.0, 241.0, 0.0, 0.0, 1.0]
    assert (found["width"], found["height"], found["frame_id"]) == (640, 480, "camera")


def calibration_of(path: Path, lens: Camera) -> dict[str, Any]:
    sink = McapSink(path)
    sink.begin(some_info(lens))
    sink.send(some_frame(), None)
    sink.close()
    ((_, found),) = decoded(path, "/camera/calibration")
    return found


def test_a_lens_that_foxglove_has_no_name_for_is_named_none(tmp_path: Path) -> None:
    counts = {"pinhole": 0, "kannala_brandt": 4, "fisheye62": 8, "fisheye624": 12}
    names = {}
    for model, count in counts.items():
        lens = CAMERA_MODELS[model](640, 480, 300.0, 300.0, 319.5, 239.5, (0.001,) * count)
        found = calibration_of(tmp_path / f"{model}.mcap", lens)
        names[model] = found["distortion_model"], len(found["D"])
    assert names == {
        "pinhole": ("", 0),
        "kannala_brandt": ("kannala_brandt", 4),
        "fisheye62": ("", 0),
        "fisheye624": ("", 0),
    }


def check_schema(schema: dict[str, Any], name: str) -> None:
    """Foxglove reads objects, plain values, and lists of either; nothing nullable or referred to."""
    assert schema["type"] == "object", name
    for key, field in schema["properties"].items():
        if field["type"] == "array":
            field = field["items"]
            assert field["type"] != "array", f"{name}.{key}"
        if field["type"] == "object":
            check_schema(field, f"{name}.{key}")
        else:
            assert field["type"] in ("boolean", "string", "number", "integer"), f"{name}.{key}"


@pytest.mark.parametrize("channel", CHANNELS, ids=lambda channel: channel.schema_name)
def test_schemas_keep_to_what_foxglove_reads_and_messages_to_their_schemas(
    tmp_path: Path, channel: Any
) -> None:
    schema = channel.schema()
    check_schema(schema, channel.schema_name)
    path = tmp_path / "a.mcap"
    fill(McapSink(path, pictures=True))
    messages = decoded(path, channel.topic)
    assert messages
    for _, message in messages:
        check_message(message, schema)


def check_message(value: Any, schema: dict[str, Any]) -> None:
    kinds = {"object": dict, "array": list, "string": str, "boolean": bool, "integer": int, "number": float}
    assert isinstance(value, kinds[schema["type"]]), (value, schema["type"])
    if schema["type"] == "object":
        assert set(schema.get("required", ())) <= set(value)
        for key, part in schema["properties"].items():
            check_message(value[key], part)
    if schema["type"] == "array":
        for item in value:
            check_message(item, schema["items"])


# Pictures.


def pictures_of(path: Path) -> list[tuple[int, np.ndarray]]:
    import base64

    found = []
    for log_ns, message in decoded(path, "/camera/image"):
        assert message["format"] == "jpeg"
        found.append((log_ns, np.asarray(Image.open(BytesIO(base64.b64decode(message["data"]))))))
    return found


def test_every_picture_of_a_recorded_file_is_kept_if_asked(tmp_path: Path) -> None:
    path = tmp_path / "a.mcap"
    fill(McapSink(path, pictures=True))
    found = pictures_of(path)
    assert [log_ns for log_ns, _ in found] == [round(index / 30 * 1e9) for index in range(4)]
    for index, (_, shown) in enumerate(found):
        np.testing.assert_allclose(shown, picture(index).image_rgb, atol=2)
    fill(McapSink(tmp_path / "b.mcap"))
    assert pictures_of(tmp_path / "b.mcap") == []


def test_live_pictures_hold_nobody_up_and_only_they_are_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import threading

    busy, go = threading.Event(), threading.Event()

    def encode(image_rgb: np.ndarray) -> bytes:
        busy.set()
        wait_or_fail(go)
        return b"jpeg"

    monkeypatch.setattr("tracker.sinks.pictures.encode_jpeg", encode)
    path = tmp_path / "a.mcap"
    sink = McapSink(path, pictures=True, live=True)
    sink.begin(some_info())
    sink.send(two_hands(0), picture(0))
    wait_or_fail(busy)
    for index in range(1, 5):  # the encoder still has the first
        sink.send(two_hands(index), picture(index))
    go.set()
    sink.close()
    assert indices(path) == [0, 1, 2, 3, 4]
    assert [log_ns for log_ns, _ in decoded(path, "/camera/image")] == [0, round(4 / 30 * 1e9)]


# What is left of recordings that were not finished.


def test_frames_reach_the_file_within_a_second_though_no_other_follows(tmp_path: Path) -> None:
    path = tmp_path / "a.mcap"
    sink = McapSink(path)
    sink.begin(some_info())
    sink.send(two_hands(0), None)
    sent_s = time.monotonic()
    size = path.stat().st_size
    while path.stat().st_size == size:
        assert time.monotonic() < sent_s + 1.0
        time.sleep(0.02)
    assert indices(path) == [0]
    sink.close()


def record(path: Path, count: int = 120) -> bytes:
    """A recording of several chunks."""
    sink = McapSink(path)
    sink.begin(some_info())
    for index in range(count):
        sink.send(two_hands(index), None)
        if index % 30 == 29:
            sink._flush()
    sink.close()
    return path.read_bytes()


def test_a_file_cut_anywhere_gives_the_frames_before_with_one_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "a.mcap"
    whole = record(path)
    counts = []
    for cut in np.linspace(len(whole) * 0.25, len(whole) - 1, 30).astype(int):
        path.write_bytes(whole[:cut])
        caplog.clear()
        with caplog.at_level(logging.WARNING):
            found = indices(path)
        assert found == list(range(len(found)))
        assert ["was not finished" in record.message for record in caplog.records] == [True]
        counts.append(len(found))
    assert counts[0] > 0 and counts[-1] == 120 and sorted(counts) == counts


def test_damage_is_one_clear_error_or_harms_nothing(tmp_path: Path) -> None:
    path = tmp_path / "a.mcap"
    whole = record(path, 60)
    chance = random.Random(7)
    refused = 0
    for _ in range(150):
        broken = bytearray(whole)
        for _ in range(chance.choice([1, 1, 8])):
            broken[chance.randrange(len(broken))] = chance.randrange(256)
        path.write_bytes(broken)
        try:
            found = indices(path)
        except (RecordingError, MissingDependencyError) as error:
            assert "\n" not in str(error)
            refused += 1
        else:
            assert found in (list(range(60)), list(range(30)))
    assert refused > 75


def test_what_is_no_recording_is_refused(tmp_path: Path) -> None:
    from mcap.writer import Writer

    path = tmp_path / "a.mcap"
    path.write_bytes(b'{"type":"header"}\n')
    with pytest.raises(RecordingError, match="is not an MCAP file"):
        next(read_recording(path))
    path.write_bytes(b"")
    with pytest.raises(RecordingError, match="is not an MCAP file"):
        next(read_recording(path))
    with open(path, "wb") as file:
        writer = Writer(file)
        writer.start()
        channel = writer.register_channel(
            "/points", "json", writer.register_schema("Points", "jsonschema", b"{}")
        )
        writer.add_message(channel, 0, b"{}", 0)
        writer.finish()
    with pytest.raises(RecordingError, match="holds no recorded hands"):
        next(read_recording(path))
    with pytest.raises(RecordingError, match="No such file"):
        next(read_recording(tmp_path / "none.mcap"))


def test_a_missing_library_is_named_with_its_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mcap.writer", None)
    with pytest.raises(MissingDependencyError, match="extra `mcap`"):
        McapSink(tmp_path / "a.mcap")
    assert not (tmp_path / "a.mcap").exists()


@pytest.mark.parametrize("found_by", ["send", "thread", "close"])
def test_a_full_disk_is_said_once_and_what_was_recorded_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, found_by: str
) -> None:
    path = tmp_path / "a.mcap"
    sink = McapSink(path)
    sink.begin(some_info())
    for index in range(10):
        sink.send(two_hands(index), None)
    sink._flush()
    kept = path.stat().st_size
    disk = LimitedDisk(monkeypatch, room=100)
    sink.send(two_hands(10), None)
    with pytest.raises(SinkFailedError, match=r"a\.mcap failed: No space left on device; .* is kept$"):
        match found_by:
            case "send":
                for index in range(11, 1000):
                    sink.send(two_hands(index), None)
            case "thread":
                wait_or_fail(disk.full)
                sink.send(two_hands(11), None)
            case "close":
                sink.close()
    with pytest.raises(SinkFailedError, match="is closed"):
        sink.send(two_hands(12), None)
    sink.close()
    assert path.stat().st_size == kept
    assert indices(path) == list(range(10))


def test_replaying_into_another_mcap_gives_the_same_messages(tmp_path: Path) -> None:
    fill(McapSink(tmp_path / "a.mcap", clock=lambda: Clock(1.0, 2.0)))
    sink = McapSink(tmp_path / "b.mcap", clock=lambda: Clock(1.0, 2.0))
    for value in read_recording(tmp_path / "a.mcap"):
        match value:
            case StreamInfo():
                sink.begin(value)
            case TrackedFrame():
                shown: Frame | None = None
                sink.send(value, shown)
            case _:
                sink.notify(value.state)
    sink.close()
    assert raw_messages(tmp_path / "b.mcap") == raw_messages(tmp_path / "a.mcap")
