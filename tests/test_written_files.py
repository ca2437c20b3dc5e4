"""What a person is told of the files of a run is what is there."""

from pathlib import Path

import pytest
from scripted_runs import NotedSink
from tracked_values import some_info, two_hands

from tracker.cli import live, main
from tracker.cli_outputs import OutputOptions
from tracker.cli_written import WrittenFile, telling_of, watch_files
from tracker.errors import SinkFailedError
from tracker.sinks import Sink
from tracker.sinks.recording import RecordingSink


def told(
    capsys: pytest.CaptureFixture[str], files: list[WrittenFile], *, failing: bool = False, frames: int = 1
) -> list[str]:
    """The lines after a run that sends ``frames`` to all."""
    with telling_of(files):
        for index in range(frames):
            for file in files:
                if index == 0:
                    file.begin(some_info())
                try:
                    file.send(two_hands(index), None)
                except SinkFailedError:
                    assert failing
        for file in files:
            file.close()
    return capsys.readouterr().err.splitlines()


def test_a_broken_output_is_never_written_and_what_is_kept_of_it_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table, video = tmp_path / "a.parquet", tmp_path / "b.mp4"
    lines = tmp_path / "a.parquet.unfinished.jsonl"
    table.touch()
    lines.write_text("{}\n")
    video.write_text("video")
    sinks: list[Sink] = [NotedSink(), NotedSink(failing=("send",)), NotedSink()]
    files = watch_files(OutputOptions(record=table, video=video), sinks)
    assert sinks[1:] == files and isinstance(sinks[0], NotedSink)
    assert told(capsys, files, failing=True) == [f"kept in part: {lines}", f"wrote {video}"]
    lines.unlink()
    files = [WrittenFile(table, NotedSink(failing=("send",)))]
    assert told(capsys, files, failing=True) == [f"nothing of {table} is kept"]


def test_an_output_that_no_frame_came_to_is_not_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = tmp_path / "before.jsonl"
    before.write_text("what an earlier run wrote\n")
    assert told(capsys, [WrittenFile(before, NotedSink())], frames=0) == []


def test_an_output_that_breaks_on_closing_is_told_of_though_the_run_ends_with_the_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text("{}\n")
    with pytest.raises(SinkFailedError):
        told(capsys, [WrittenFile(path, NotedSink(failing=("close",)))])
    assert capsys.readouterr().err.splitlines() == [f"kept in part: {path}"]


def test_replay_says_what_it_wrote(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    recorded, again = tmp_path / "a.jsonl", tmp_path / "b.jsonl"
    sink = RecordingSink(recorded)
    sink.begin(some_info())
    sink.send(two_hands(0), None)
    sink.close()
    with pytest.raises(SystemExit) as stop:
        main(["replay", str(recorded), "--full-speed", "--record", str(again)])
    assert stop.value.code == 0
    assert capsys.readouterr().err.splitlines()[-1] == f"wrote {again}"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs Linux's /dev/full")
def test_a_full_disk_leaves_nothing_to_be_called_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("onnxruntime")
    video = tmp_path / "a.mp4"
    with pytest.raises(SystemExit) as stop:
        live(f"--source demo --realtime --max-frames 20 --record /dev/full --video {video}".split())
    assert stop.value.code == 1
    assert capsys.readouterr().err.splitlines()[-2:] == [
        "nothing of /dev/full is kept",
        f"wrote {video}",
    ]
