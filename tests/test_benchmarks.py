"""Benchmarks run: one that a change of the stages broke would else be noticed only when it is needed."""

import json
import sys
from pathlib import Path

import pytest

import tracker

DEMO = Path(tracker.__file__).parent / "models" / "demo.mp4"


def test_the_stages_of_a_frame_are_timed(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("onnxruntime")
    stages = pytest.importorskip("benchmarks.stages", reason="benchmarks are not part of the package")
    monkeypatch.setattr(sys, "argv", ["stages", str(DEMO), "--max-frames", "3", "--warm-up", "0"])
    stages.main()
    result = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert result["frames"] == 3
    assert {"process()", "detect", "tracks: who is who", "drawing"} <= set(result["stages"])
    assert all(row["count"] > 0 and row["p50_ms"] >= 0 for row in result["stages"].values())


def test_pseudo_labels_are_timed(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    timed = pytest.importorskip("benchmarks.pseudo_labels", reason="benchmarks are not part of the package")
    monkeypatch.setattr(sys, "argv", ["pseudo_labels", "--hands", "20", "--takes", "2", "--runs", "1"])
    timed.main()
    result = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert result["hands"] == 20
    assert result["hands/s, median of runs"] > 0
    assert result["labels off by, mm"] < result["keypoints off by, mm"]
