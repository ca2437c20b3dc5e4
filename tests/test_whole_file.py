"""Files appear under their name wholly or not at all, as readable as any other file of the user."""

import os
from pathlib import Path

import pytest

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
