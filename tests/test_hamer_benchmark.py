"""The benchmark for a GPU runs where there is none, small: nobody finds out on the card that it does not."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("torch")

PROJECT = Path(__file__).resolve().parents[1]


def test_it_prints_a_table_and_one_json_line() -> None:
    command = [sys.executable, "benchmarks/hamer_gpu.py", "--device", "cpu", "--depth", "1", "--quick"]
    done = subprocess.run(
        [*command, "--hands", "1", "--engines", "graph"],
        cwd=PROJECT,
        env={**os.environ, "PYTHONPATH": str(PROJECT)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert "needs an NVIDIA GPU" in done.stderr
    summary = json.loads(done.stdout.splitlines()[-1])
    rows = {row["engine"]: row for row in summary["rows"]}
    assert list(rows) == ["float32", "published", "bfloat16"]
    assert rows["float32"]["joint_difference_mm"] == 0.0
    assert rows["published"]["joint_difference_mm"] < 0.5  # other code, the same hands
    assert set(rows["bfloat16"]["ms"]) == {
        "upload",
        "crop",
        "vit",
        "head",
        "mano",
        "whole",
        "end to end",
        "sent ahead",
    }
