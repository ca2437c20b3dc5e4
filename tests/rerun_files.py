"""What a Rerun file holds, read back by Rerun itself."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa


def chunks(path: Path) -> list[tuple[str, pa.RecordBatch]]:
    """Entity and table of every chunk."""
    from rerun.chunk import RrdReader

    return [(chunk.entity_path, chunk.to_record_batch()) for chunk in RrdReader(path).stream()]


def column(path: Path, entity: str, name: str) -> dict[int, Any]:
    """The values of an entity's component by frame; rows without a frame (static) at -1."""
    found: dict[int, Any] = {}
    for place, table in chunks(path):
        names = [field for field in table.schema.names if field == name or field.endswith(f":{name}")]
        if place.strip("/") != entity or not names:
            continue
        frames = table.column("frame").to_pylist() if "frame" in table.schema.names else [-1] * len(table)
        values = table.column(names[0]).to_pylist()
        found |= {frame: value for frame, value in zip(frames, values, strict=True) if value is not None}
    return found


def points(path: Path, entity: str, name: str = "positions") -> dict[int, np.ndarray]:
    return {frame: np.array(value) for frame, value in column(path, entity, name).items()}


def mended(path: Path) -> Path:
    """What Rerun's own tool makes of a file that may end in part of a message."""
    whole = path.with_suffix(".whole.rrd")
    tool = [sys.executable, "-m", "rerun", "rrd", "optimize", str(path), "-o", str(whole)]
    subprocess.run(tool, check=True, capture_output=True)
    return whole


def recorded_frames(path: Path) -> list[int]:
    """Frames in which the left hand of ``two_hands`` is."""
    return sorted(points(path, "hands/left_3/joints"))
