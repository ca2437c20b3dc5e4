"""A killed program leaves every frame older than a second in its recording, whatever the format."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tracker.sinks import files_of
from tracker.sinks.recording import read_recording
from tracker.structs import TrackedFrame

LIBRARIES = {".jsonl": "msgspec", ".mcap": "mcap", ".rrd": "rerun", ".parquet": "pyarrow"}
RECORD_S = 1.7


def recorded_indices(path: Path) -> list[int]:
    """The frames that a reader finds in what is left of ``path``."""
    if path.suffix == ".rrd":
        from rerun_files import mended, recorded_frames

        return recorded_frames(mended(path))
    left = files_of(path)[-1]  # for Parquet, the lines that it would have been made from
    return [value.frame_index for value in read_recording(left) if isinstance(value, TrackedFrame)]


@pytest.mark.parametrize("ending", LIBRARIES)
def test_a_killed_program_leaves_every_frame_older_than_a_second(tmp_path: Path, ending: str) -> None:
    pytest.importorskip(LIBRARIES[ending])
    path = tmp_path / f"a{ending}"
    tests = Path(__file__).parent
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(tests), str(tests.parent)])}
    process = subprocess.Popen(
        [sys.executable, str(tests / "killed_writer.py"), str(path)],
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
    )
    assert process.stdout is not None
    assert process.stdout.readline().startswith("0 ")
    time.sleep(RECORD_S)
    killed_s = time.monotonic()
    process.send_signal(signal.SIGKILL)
    sent = [line.split() for line in process.stdout.read().splitlines(keepends=True) if line.endswith("\n")]
    process.wait(timeout=20)
    process.stdout.close()
    old = [int(index) for index, sent_s in sent if float(sent_s) < killed_s - 1.0]
    assert len(old) > 8
    found = recorded_indices(path)
    assert found == list(range(len(found)))
    assert len(found) > old[-1]
