"""Standard output whose reader has gone (``| head``) or that is full: no traceback, a status of its own."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from egoexo4d_release import MadeRelease, write_calibrations
from test_egoexo4d_metric import written

from tracker.cli_running import run_command

pytestmark = pytest.mark.skipif(os.name == "nt", reason="pipes as on POSIX")


def run(
    *arguments: object,
    output: int,
    errors: int = subprocess.PIPE,
    buffered: bool = True,
    program: str = "tracker",
) -> tuple[int, str]:
    """The exit status of a command and what it said on standard error."""
    command = [sys.executable, "-m", program, *map(str, arguments)]
    environment = os.environ | {"PYTHONUNBUFFERED": "" if buffered else "1"}
    done = subprocess.run(command, stdout=output, stderr=errors, env=environment, text=True, timeout=60)
    return done.returncode, done.stderr


@pytest.fixture
def unread() -> int:
    """A pipe that nobody reads any more."""
    reading, writing = os.pipe()
    os.close(reading)
    return writing


@pytest.mark.parametrize("buffered", [True, False])
@pytest.mark.parametrize("arguments", ["weights status", "evaluate --help"])
def test_nobody_reading_the_output_ends_a_command_without_a_word(
    arguments: str, buffered: bool, unread: int
) -> None:
    assert run(*arguments.split(), output=unread, buffered=buffered) == (141, "")


def test_nobody_reading_its_long_tables_ends_evaluate_without_a_word(
    made_release: MadeRelease, tmp_path: Path, unread: int
) -> None:
    submission = tmp_path / "s.json"
    written(made_release, submission, wrist_relative=False)
    assert run("egoexo4d", "evaluate", made_release.prepared, submission, output=unread) == (141, "")


def test_what_nobody_reads_of_prepare_is_not_blamed_on_its_folder(
    made_release: MadeRelease, tmp_path: Path, unread: int
) -> None:
    write_calibrations(tmp_path)
    arguments = ("egoexo4d", "prepare", made_release.raw, tmp_path, "--splits", "val", "--no-pictures")
    status, said = run(*arguments, output=unread)
    assert status == 141 and "wrote" in said and "error" not in said


def test_nobody_reading_either_output_is_the_same(unread: int) -> None:
    """As of ``2>&1 | head``, of a command that fails."""
    assert run("evaluate", "nothere", output=unread, errors=subprocess.STDOUT)[0] == 141


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="the system has no /dev/full")
def test_a_full_disk_behind_the_output_is_one_line() -> None:
    with Path("/dev/full").open("w") as full:
        status, said = run("weights", "status", output=full.fileno())
    assert (status, said) == (1, "error: cannot write to standard output: No space left on device\n")


def test_another_pipe_that_broke_is_not_taken_for_the_output() -> None:
    def run() -> None:
        raise BrokenPipeError("a bug")

    with pytest.raises(BrokenPipeError, match="a bug"):
        run_command(run)


def test_programs_beside_the_commands_end_as_those_do(unread: int) -> None:
    simulate = "tracker.research.evaluation.simulate"
    assert run("--tracks", 1, "--frames", 9, output=unread, program=simulate) == (141, "")
    status, said = run("--network", "guess", output=subprocess.DEVNULL, program=simulate)
    assert status == 2 and said.startswith("error: network 'guess' is unknown") and said.count("\n") == 1
