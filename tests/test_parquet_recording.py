"""Parquet recordings: every hand a row with its numbers; JSON lines stay until the table is whole."""

import json
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from limited_disk import LimitedDisk
from tracked_values import LENS, some_frame, some_hand, some_info, some_mano, two_hands

from tracker.cameras import pinhole_from_fov
from tracker.errors import MissingDependencyError, SinkError, SinkFailedError
from tracker.joints import Side
from tracker.sinks.recording import read_recording
from tracker.structs import TrackedFrame

pytest.importorskip("pyarrow")

import pyarrow as pa
import pyarrow.parquet as pq

from tracker.sinks.parquet_recording import ParquetSink

FRAMES = (
    two_hands(0),
    some_frame(index=1),
    some_frame(some_hand(Side.RIGHT, unknown_joints=(4, 9), mano=some_mano(mirrored=True)), index=2),
    some_frame(some_hand(unknown_joints=tuple(range(21)), unseen_s=0.1), index=3),
)


def fill(sink: ParquetSink) -> None:
    sink.begin(some_info(LENS))
    sink.notify("playing")
    for tracked in FRAMES[:2]:
        sink.send(tracked, None)
    sink.begin(some_info(pinhole_from_fov(480, 480, 40.0, assumed=True)))
    for tracked in FRAMES[2:]:
        sink.send(tracked, None)


def recorded(path: Path) -> Any:
    sink = ParquetSink(path)
    fill(sink)
    sink.close()
    return pq.read_table(path)


def unfinished(path: Path) -> Path:
    return path.with_name(path.name + ".unfinished.jsonl")


def test_every_hand_is_a_row_with_its_numbers(tmp_path: Path) -> None:
    table = recorded(tmp_path / "a.parquet")
    hands = [(tracked, hand) for tracked in FRAMES for hand in tracked.hands]
    assert table.num_rows == len(hands) == 4
    for row, (tracked, hand) in zip(table.to_pylist(), hands, strict=True):
        assert (row["frame"], row["track_id"], row["side"]) == (
            tracked.frame_index,
            hand.track_id,
            hand.pose.side.value,
        )
        expected = {
            "capture_time_s": tracked.capture_time_s,
            "valid_at_s": tracked.valid_at_s,
            "dropped_frames": 2,
            "score": hand.score,
            "unseen_s": hand.unseen_s,
            "joints_in_camera_m": hand.pose.joints_in_camera_m,
            "velocity_m_per_s": hand.velocity_m_per_s,
            "joint_scores": hand.pose.joint_scores,
            "covariance_m2": hand.pose.covariance_m2,
        }
        for name, value in expected.items():
            np.testing.assert_allclose(
                row[name], value, rtol=1e-6, atol=5.1e-5 if "score" in name else 5.1e-6
            )
        np.testing.assert_allclose(row["joints_px"], hand.joints_px, atol=6e-3)
        np.testing.assert_allclose(row["observed_px"], hand.pose.observed_px, atol=6e-3)
        np.testing.assert_allclose(row["reprojection_error_px"], hand.pose.reprojection_error_px, atol=6e-3)
        mano = hand.pose.mano
        assert row["mano_mirrored"] == (None if mano is None else mano.mirrored)
        pose = np.full((15, 3, 3), np.nan) if mano is None else mano.hand_pose
        np.testing.assert_allclose(row["mano_hand_pose"], pose, atol=1e-6)


def test_lists_are_of_fixed_size_and_metadata_holds_every_header(tmp_path: Path) -> None:
    table = recorded(tmp_path / "a.parquet")
    sizes = {"joints_in_camera_m": (21, 3), "joints_px": (21, 2), "wrist_rotation_wxyz": (4,)}
    for name, shape in sizes.items():
        kind = table.schema.field(name).type
        for size in shape:
            assert isinstance(kind, pa.FixedSizeListType) and kind.list_size == size
            kind = kind.value_type
        assert kind == pa.float32()
    assert table["header_index"].to_pylist() == [0, 0, 1, 1]
    metadata = pq.read_metadata(tmp_path / "a.parquet").metadata
    headers = json.loads(metadata[b"hand-track.headers"])
    assert [header["camera"]["model"] for header in headers] == ["brown_conrady", "pinhole"]
    assert [header["type"] for header in headers] == ["header", "header"]


def test_groups_are_small_so_that_memory_stays_flat(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tracker.sinks.parquet_recording.ROWS_A_GROUP", 3)
    recorded(tmp_path / "a.parquet")
    file = pq.ParquetFile(tmp_path / "a.parquet")
    assert [file.metadata.row_group(k).num_rows for k in range(file.num_row_groups)] == [3, 1]


def test_the_lines_are_readable_while_recording_and_gone_afterwards(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    sink = ParquetSink(path)
    fill(sink)
    found = [
        value.frame_index for value in read_recording(unfinished(path)) if isinstance(value, TrackedFrame)
    ]
    assert found == [0, 1, 2, 3]
    assert path.stat().st_size == 0
    sink.close()
    assert sorted(tmp_path.iterdir()) == [path]


def test_what_a_killed_program_left_is_not_written_over(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    unfinished(path).write_bytes(b"precious")
    with pytest.raises(SinkError, match=r"unfinished\.jsonl exists and is not empty"):
        ParquetSink(path)
    assert sorted(tmp_path.iterdir()) == [unfinished(path)]
    assert unfinished(path).read_bytes() == b"precious"


def test_a_disk_that_fills_while_recording_leaves_the_lines(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.parquet"
    sink = ParquetSink(path)
    sink.begin(some_info())
    LimitedDisk(monkeypatch, room=9000)
    sink.send(two_hands(0), None)
    with pytest.raises(SinkFailedError, match=r"unfinished\.jsonl failed: No space left .* is kept$"):
        sink.send(two_hands(1), None)
    monkeypatch.undo()
    sink.close()
    with pytest.raises(SinkFailedError, match="is closed"):
        sink.send(two_hands(2), None)
    assert sorted(tmp_path.iterdir()) == [unfinished(path)]
    assert len(list(read_recording(unfinished(path)))) == 2


def test_a_disk_too_full_for_the_table_leaves_the_lines(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.parquet"
    sink = ParquetSink(path)
    fill(sink)

    def replace(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", replace)
    with pytest.raises(SinkFailedError, match=r"No space left on device; the recording is kept in .*jsonl$"):
        sink.close()
    sink.close()
    assert len(list(read_recording(unfinished(path)))) == 7
    assert not list(tmp_path.glob("*.growing"))


def test_an_old_table_stays_until_the_new_one_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    recorded(path)
    sink = ParquetSink(path, overwrite=True)
    sink.begin(some_info())
    sink.send(two_hands(7), None)
    assert pq.read_table(path).num_rows == 4
    sink.close()
    assert pq.read_table(path)["frame"].to_pylist() == [7, 7]


def test_a_missing_library_is_named_with_its_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(MissingDependencyError, match="extra `parquet`"):
        ParquetSink(tmp_path / "a.parquet")
    assert not list(tmp_path.iterdir())
