"""The command ``evaluate``: the table, the line of JSON, plots, and what it says when it cannot go on."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from labelled_clips import careless, labelled_clip, moving_hands
from test_ground_truth import write_egodex, write_interhand

from tracker.cli import main
from tracker.pipeline import HandTracker, TrackerConfig
from tracker.pose import load_pose_backend
from tracker.research.evaluation import command
from tracker.research.evaluation.baselines import BASELINES
from tracker.research.evaluation.matching import Truth
from tracker.research.evaluation.metrics import ClipMetrics, measure
from tracker.research.evaluation.run import ClipResult
from tracker.research.evaluation.table import ROWS, SUMMED, figures_of, to_text
from tracker.research.ground_truth import find_clips
from tracker.sinks.recording import read_recording
from tracker.structs import Frame, TrackedFrame

pytest.importorskip("onnxruntime")


def run(*arguments: str | Path) -> int:
    with pytest.raises(SystemExit) as ended:
        main(["evaluate", *map(str, arguments)])
    assert isinstance(ended.value.code, int)
    return ended.value.code


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    write_egodex(folder)
    write_interhand(folder)
    return folder


def test_the_last_line_is_json_and_the_table_stands_before_it(
    data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = data.parent / "new" / "figures.json"
    assert run(data, "--json", path) == 0
    output = capsys.readouterr()
    *table, last = output.out.strip().splitlines()
    assert "clips" not in last  # one line, however many there are
    figures = json.loads(last)
    whole = json.loads(path.read_text())
    assert whole["EgoDex"]["clips"]["egodex_some_0"]["frames"] == 6
    assert figures == {name: {"all": pytest.approx(of["all"], abs=5.1e-5)} for name, of in whole.items()}
    assert figures["EgoDex"]["all"]["frames"] == 6
    assert figures["InterHand2.6M"]["all"]["recall"] == 0
    assert figures["InterHand2.6M"]["all"]["precision"] is None
    titles = [line for line in table if line.startswith(("EgoDex", "InterHand2.6M"))]
    assert "MediaPipe Tasks" in titles[0] and "MediaPipe" not in titles[1]
    assert "8 frames" in output.err
    assert run(data, "--json", path) == 2 and "--overwrite" in capsys.readouterr().err
    assert run(data, "--json", path, "--overwrite", "--clips", "interhand_some") == 0
    assert "EgoDex" not in json.loads(path.read_text())


def test_plots_and_recordings_are_kept_and_never_lost(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("matplotlib")
    out = data.parent / "new" / "out"
    assert run(data, "--out", out) == 0
    assert {path.name for path in out.iterdir()} == {
        f"{name}{ending}"
        for name in ("egodex_some_0", "interhand_some", "interhand_some_palm_given")
        for ending in (".png", ".jsonl")
    }
    assert (out / "egodex_some_0.png").read_bytes()[:4] == b"\x89PNG"
    _, *frames = read_recording(out / "egodex_some_0.jsonl")
    assert [frame.frame_index for frame in frames] == list(range(6))
    capsys.readouterr()
    assert run(data, "--out", out) == 2
    assert "--overwrite" in capsys.readouterr().err
    assert run(data, "--out", out, "--overwrite", "--clips", "interhand_some") == 0


def test_without_matplotlib_there_is_a_table_and_one_line_about_plots(
    data: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command, "find_spec", lambda name: None)
    assert run(data, "--clips", "interhand_some", "--out", data.parent / "out") == 0
    output = capsys.readouterr()
    assert [line for line in output.err.splitlines() if "[research]" in line] == [command.NO_PLOTS]
    assert "recall" in output.out
    assert sorted(path.name for path in (data.parent / "out").iterdir()) == [
        "interhand_some.jsonl",
        "interhand_some_palm_given.jsonl",
    ]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["{data}/gt"], "no folder gt"),
        (["{data}", "--clips", "kitchen"], "no clip is called 'kitchen'"),
        (["{data}", "--out", "{data}/out"], "only read"),
        (["{data}", "--out", "{data}/../file/out"], "cannot make the folder"),
        (["{data}", "--backend", "nonsense"], "nonsense"),
        (["{data}", "--system", "landmarks", "--placement", "weak"], "--placement weak contradicts it"),
        (["{data}", "--system", "hamer-ft", "--checkpoint", "x", "--mano", "y"], "needs --finetuned"),
        (["{data}", "--system", "potter", "--finetuned", "x"], "no use for --finetuned"),
        (["{data}", "--finetuned", "x"], "--finetuned is for"),
    ],
)
def test_a_mistake_is_one_line_and_status_2(
    data: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    (data.parent / "file").touch()
    assert run(*(argument.format(data=data) for argument in arguments)) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ") and message in line


def test_a_system_by_name_is_what_runs(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    configs: list[TrackerConfig] = []

    class Noting(HandTracker):
        def __init__(self, config: TrackerConfig, **more: Any) -> None:
            configs.append(config)
            super().__init__(config, **more)

    monkeypatch.setattr(command, "HandTracker", Noting)
    monkeypatch.setattr(command, "load_pose_backend", lambda name, **more: load_pose_backend("landmarks"))
    files = ("--checkpoint", data / "a", "--mano", data / "b", "--potter-checkpoint", data / "c")
    assert run(data, "--system", "hamer-align", *files) == 0
    assert {(c.backend, c.placement, c.hamer.crop) for c in configs} == {("hamer", "align", "affine")}
    assert {c.hamer.checkpoint for c in configs} == {data / "a"}
    assert {c.tracks.sighting.view for c in configs} == {"first-person", "any"}


def test_after_ctrl_c_the_finished_clips_are_reported(
    data: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Stopped(HandTracker):
        def process(self, frame: Frame) -> TrackedFrame:
            if frame.camera.width == 64:  # the picture of the second clip
                raise KeyboardInterrupt
            return super().process(frame)

    monkeypatch.setattr(command, "HandTracker", Stopped)
    assert run(data) == 130
    output = capsys.readouterr()
    assert "stopped after 1 of 3 clips" in output.err
    assert list(json.loads(output.out.splitlines()[-1])) == ["EgoDex"]


def test_a_tracker_is_told_the_palm_of_its_first_picture_and_only_when_asked(tmp_path: Path) -> None:
    write_interhand(tmp_path, "interacting")
    plain, given = command.with_sizes_given(find_clips(tmp_path)[0])
    (labelled,) = given.labelled_frames()
    backend = load_pose_backend("landmarks")
    widths_m = np.linalg.norm(labelled.joints_in_camera_m[:, 5] - labelled.joints_in_camera_m[:, 17], axis=1)
    for clip, expected in ((plain, None), (given, widths_m.mean())):
        made = command.trackers(TrackerConfig(), backend, palm_given=clip is given)(labelled)
        made.close()
        hand = made.config.tracks.hand
        assert (hand and hand.palm_width_m) == (expected and pytest.approx(expected))


def some_result() -> ClipResult:
    joints_m = moving_hands(60)
    clip = labelled_clip(joints_m)
    truth, predictions = Truth(clip), careless(joints_m)
    return ClipResult(clip, truth, predictions, measure(truth, predictions), 0.0, False, (0.01, 0.02))


def test_the_table_names_only_figures_that_there_are() -> None:
    names = set(figures_of(some_result()))
    assert {row.figure for row in ROWS} <= names
    assert names >= SUMMED
    for baseline in BASELINES:
        assert baseline.figures.keys() <= ClipMetrics.__dataclass_fields__.keys()


def test_several_clips_are_summed_or_averaged() -> None:
    result = some_result()
    lines = to_text([result, result]).splitlines()
    cells = {line[:29].strip(): line[29:].split() for line in lines[1:]}
    assert cells["hands to be found"] == [str(n * result.metrics.hands) for n in (1, 1, 2)]
    recall = cells["recall, any side"]
    assert recall[0] == recall[1] == recall[2]


def test_drawing_a_clip_shows_misses_wrong_sides_and_identities() -> None:
    pytest.importorskip("matplotlib")
    from tracker.research.evaluation.plots import MISS, WRONG_SIDE, draw

    figure = draw(some_result())
    colours = {
        tuple(colour) for axes in figure.axes for bars in axes.collections for colour in bars.get_facecolor()
    }
    from matplotlib.colors import to_rgba

    assert {to_rgba(MISS), to_rgba(WRONG_SIDE)} <= colours
    texts = {text.get_text() for axes in figure.axes for text in axes.texts}
    assert {"#1", "#2", "#7"} <= texts
