"""Files appear under their name wholly or not at all, as readable as any other file of the user."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tracker.errors import SinkFailedError
from tracker.whole_file import whole_file


def test_a_file_is_written_wholly_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "file"
    with whole_file(path) as temporary:
        temporary.write_text("first")
    for error in (RuntimeError, KeyboardInterrupt):
        with pytest.raises(error), whole_file(path) as temporary:
            temporary.write_text("second")
            raise error
    assert path.read_text() == "first"
    assert [found.name for found in tmp_path.iterdir()] == ["file"]


@pytest.mark.skipif(os.name != "posix", reason="this system has no such rights")
def test_others_may_read_it_where_they_may_read_the_users_files(tmp_path: Path) -> None:
    (tmp_path / "ordinary").touch()
    with whole_file(tmp_path / "file") as temporary:
        temporary.write_text("contents")
    assert (tmp_path / "file").stat().st_mode == (tmp_path / "ordinary").stat().st_mode


@pytest.mark.skipif(os.name != "posix", reason="this system has no such locks")
def test_what_a_killed_writer_left_goes_with_the_next_one_and_what_a_living_one_writes_stays(
    tmp_path: Path,
) -> None:
    path = tmp_path / "file"
    killed = """
import os, signal, sys
from pathlib import Path
from tracker.whole_file import whole_file
with whole_file(Path(sys.argv[1])) as part:
    part.write_text("half, and longer than what comes")
    os.kill(os.getpid(), signal.SIGKILL)
"""
    for _ in range(2):
        assert subprocess.run([sys.executable, "-c", killed, str(path)]).returncode == -signal.SIGKILL
    assert len(list(tmp_path.iterdir())) == 1
    with whole_file(path) as mine:
        mine.write_text("mine")
        with whole_file(path) as other:
            other.write_text("other")
        assert path.read_text() == "other" and mine.read_text() == "mine"
    assert path.read_text() == "mine"
    assert [found.name for found in tmp_path.iterdir()] == ["file"]


def test_without_locks_writers_have_files_of_their_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.platform", "win32")
    with whole_file(tmp_path / "file") as mine, whole_file(tmp_path / "file") as other:
        assert mine != other
        mine.write_text("mine")
        other.write_text("other")
    assert (tmp_path / "file").read_text() == "mine"
    assert [found.name for found in tmp_path.iterdir()] == ["file"]


def test_whatever_the_system_refuses_is_one_line_that_names_the_file(tmp_path: Path) -> None:
    path = tmp_path / "made" / "file"
    said = re.escape(f"cannot write {path}: No space left on device")
    with pytest.raises(SinkFailedError, match=said), whole_file(path):
        raise OSError(28, "No space left on device")
    assert list(path.parent.iterdir()) == []
    path.write_text("in the way")
    with pytest.raises(SinkFailedError, match="cannot write"), whole_file(path / "other"):
        pass
