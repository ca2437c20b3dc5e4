"""The paper's systems by name, and its Table 1 beside what is measured, on a made release."""

import hashlib
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args, get_type_hints

import pytest
from egoexo4d_release import FIRST, MadeRelease
from test_egoexo4d_run import KnowingSystem, command, spoiled

from tracker.cli_systems import SystemOptions
from tracker.errors import UnknownNameError, UsageError
from tracker.networks.training_checkpoint import TRAINING_FORMAT
from tracker.pipeline import TrackerConfig
from tracker.pose.ensemble import Member
from tracker.pose.hamer import HamerOptions
from tracker.pose.potter import PotterOptions
from tracker.research.evaluation import egoexo4d_command
from tracker.research.evaluation.egoexo4d_presets import PRESETS, find_preset
from tracker.research.evaluation.egoexo4d_temporal import AS_READ, HINDSIGHT
from tracker.research.evaluation.egoexo4d_weights import weight_files
from tracker.research.ground_truth.egoexo4d_prepared import read_annotations

FILES = TrackerConfig(
    hamer=HamerOptions(checkpoint=Path("hamer.ckpt"), mano=Path("mano.pkl"), engine="eager"),
    potter=PotterOptions(checkpoint=Path("potter.pth")),
)
FINE = Path("fine.ckpt")


@pytest.mark.parametrize(
    ("name", "backend", "crop", "placement"),
    [
        ("hamer", "hamer", "affine", "weak"),
        ("hamer-align", "hamer", "affine", "align"),
        ("hamer-ft", "hamer", "affine", "align"),
        ("hamer-ray", "hamer", "virtual", "ray"),
        ("potter", "potter", "affine", "ray"),
        ("ensemble", "ensemble", "affine", "ray"),
        ("ensemble-ft", "ensemble", "affine", "ray"),
        ("landmarks", "landmarks", None, "ray"),
    ],
)
def test_a_preset_fixes_backend_crop_and_placement_and_nothing_else(
    name: str, backend: str, crop: str | None, placement: str
) -> None:
    config = find_preset(name).over(FILES, finetuned=FINE)
    assert (config.backend, config.placement) == (backend, placement)
    if crop is not None:
        assert config.hamer.crop == config.potter.crop == crop
    assert config.hamer.checkpoint == (FINE if name == "hamer-ft" else Path("hamer.ckpt"))
    assert config.hamer.mano == Path("mano.pkl") and config.hamer.engine == "eager"
    assert config.potter.checkpoint == Path("potter.pth")
    assert config.detector == FILES.detector and config.tracks == FILES.tracks


def test_ensembles_keep_potters_axes_and_know_the_fine_tuned_weights() -> None:
    assert find_preset("ensemble").over(FILES).ensemble.members == (Member("potter"), Member("hamer"))
    three = find_preset("ensemble-ft").over(FILES, finetuned=FINE).ensemble.members
    assert three == (Member("potter"), Member("hamer"), Member("hamer", checkpoint=FINE))
    own = (Member("hamer", weight=2.0), Member("landmarks"))
    assert find_preset("ensemble").over(FILES, members=own).ensemble.members == own


def test_every_system_is_a_choice_of_the_command_and_others_are_refused() -> None:
    choices = get_args(get_args(get_type_hints(SystemOptions)["system"])[0])
    assert set(choices) == set(PRESETS)
    with pytest.raises(UnknownNameError, match="hamer-align, ensemble"):
        find_preset("wilor")
    with pytest.raises(UsageError, match="needs --finetuned"):
        find_preset("hamer-ft").over(FILES)


HAS_DEVICES = pytest.mark.skipif(not Path("/dev/null").exists(), reason="the system has no /dev/null")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("--system hamer --placement ray", "placement weak; --placement ray contradicts it"),
        ("--system hamer --backend landmarks", "--backend landmarks contradicts it"),
        ("--system hamer-align --crop virtual", "affine crops, placement align; --crop virtual contradicts"),
        ("--system potter --ensemble hamer potter", "--ensemble hamer potter contradicts it"),
        ("--system hamer-ft --checkpoint x --mano y", "needs --finetuned"),
        ("--system hamer --finetuned x --checkpoint x --mano y", "no use for --finetuned"),
        ("--backend hamer --finetuned x", "--finetuned is for --system"),
        ("--table1 --system hamer", "no --system beside it"),
        ("--annotations auto --annotation-file x", "give no --annotation-file beside it"),
        ("p.json --table1", "measured as it is"),
        ("p.json --hands h.jsonl", "measured as it is"),
        ("p.json --mode tracker", "measured as it is"),
        ("--page a/page", "a is no folder; choose another"),
        ("--page .", "index.html exists; give --overwrite"),
        ("--json .", ". is a folder; name a file"),
        ("--json a", "a exists; choose another name or pass --overwrite"),
        ("--json a/b", "cannot make the folder a: "),
        pytest.param("--json /dev/null --overwrite", "/dev/null is no ordinary file", marks=HAS_DEVICES),
        ("a --json a --overwrite", "a is a file this run reads"),
        ("--annotation-file a --json a --overwrite", "a is a file this run reads"),
        ("--system potter --potter-checkpoint a --json a --overwrite", "a is a file this run reads"),
        ("--hands .", ". is a folder; name a file"),
        ("--hands a/b", "cannot make the folder a: "),
        ("--table1 --hands a", "a is a file; with --table1 --hands is a folder"),
        ("--table1 --split test", "has boxes but no answers"),
        ("--system landmarks --split test", "has boxes but no answers"),
    ],
)
def test_what_cannot_be_done_is_one_clear_line_before_anything_is_loaded(
    made_release: MadeRelease,
    capsys: pytest.CaptureFixture[str],
    options: str,
    message: str,
    loaded: list[object],
) -> None:
    Path("index.html").touch()
    assert command("evaluate", made_release.prepared, *options.split()) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1 and message in lines[0] and not loaded


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("s.txt", "s.txt: a submission ends in .json"),
        ("a/s.json", "cannot make the folder a: "),
        ("s.json --hands s.json", "--hands s.json is the submission too"),
        ("s.json --hands .", ". is a folder; name a file"),
        ("s.json --boxes s.json --overwrite", "s.json is a file this run reads"),
        ("s.json --boxes nothere", "nothere is not there; "),
        ("s.json --system hamer --placement ray", "--placement ray contradicts it"),
    ],
)
def test_what_cannot_be_submitted_is_one_clear_line_before_anything_is_loaded(
    made_release: MadeRelease,
    capsys: pytest.CaptureFixture[str],
    options: str,
    message: str,
    loaded: list[object],
) -> None:
    assert command("submit", made_release.prepared, *options.split()) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1 and message in lines[0] and not loaded


# Table 1


class WarpedSystem(KnowingSystem):
    """Says hands some millimetres larger than they are, by its backend."""

    def __init__(self, backend: str, **more: Any) -> None:
        super().__init__(**more)
        growth = {"hamer": 1.2, "ensemble": 1.05}.get(backend, 1.1)
        self.spoil = lambda number, hands: {side: growth * hand for side, hand in hands.items()}


@pytest.fixture
def loaded(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[tuple[str, WarpedSystem]]]:
    """Stand-ins for all networks; what was loaded, by placement."""
    made: list[tuple[str, WarpedSystem]] = []

    def load(mode: str, config: TrackerConfig, shared: object) -> WarpedSystem:
        made.append((f"{config.backend} {config.placement}", WarpedSystem(config.backend)))
        return made[-1][1]

    monkeypatch.setattr(egoexo4d_command, "load_system", load)
    yield made


def table_of(capsys: pytest.CaptureFixture[str]) -> tuple[list[str], dict[str, Any], str]:
    output = capsys.readouterr()
    *text, _, line = output.out.splitlines()
    return text, json.loads(line)["systems"], output.err


WEIGHTS = ["--checkpoint", "a", "--mano", "b", "--potter-checkpoint", "c", "--finetuned", "d"]


@pytest.fixture(autouse=True)
def weights_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files for `WEIGHTS`, in the working folder."""
    folder = tmp_path / "weights there"
    folder.mkdir()
    for name in WEIGHTS[1::2]:
        (folder / name).write_text(name)
    monkeypatch.chdir(folder)


@pytest.mark.parametrize("option", WEIGHTS[::2])
def test_a_file_of_weights_that_is_not_there_is_said_before_anything_runs(
    made_release: MadeRelease,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    loaded: list[object],
    option: str,
) -> None:
    given = ["nothere" if WEIGHTS[index - 1] == option else name for index, name in enumerate(WEIGHTS)]
    assert command("evaluate", made_release.prepared, "--table1", *given, "--hands", tmp_path / "hands") == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line == "error: nothere: no such file of weights"
    assert not loaded and not (tmp_path / "hands").exists()


def test_fine_tuned_weights_that_are_not_there_are_said_also_where_others_are_missing(
    made_release: MadeRelease,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    loaded: list[object],
) -> None:
    monkeypatch.setenv("TRACKER_HOME", str(tmp_path / "empty"))
    arguments = ("--finetuned", "nothere", "--hands", tmp_path / "hands")
    assert command("evaluate", made_release.prepared, "--table1", *arguments) == 2
    assert capsys.readouterr().err.splitlines() == ["error: nothere: no such file of weights"]
    assert not loaded and not (tmp_path / "hands").exists()


@pytest.mark.parametrize("options", ["--table1", "--system hamer-ft"])
def test_a_checkpoint_to_train_on_from_is_refused_before_anything_runs(
    made_release: MadeRelease, capsys: pytest.CaptureFixture[str], loaded: list[object], options: str
) -> None:
    torch = pytest.importorskip("torch")
    torch.save({"format": f"{TRAINING_FORMAT} 1", "network": {"a": torch.zeros(9)}}, "checkpoint.pt")
    given = [*WEIGHTS[:-1], "checkpoint.pt", "--hands", "hands"]
    assert command("evaluate", made_release.prepared, *options.split(), *given) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "python -m tracker egoexo4d export checkpoint.pt hamer-ft.safetensors" in line
    assert not loaded and not Path("hands").exists()


def test_fine_tuned_weights_need_no_others_of_the_network(
    made_release: MadeRelease, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, loaded: Any
) -> None:
    monkeypatch.setenv("TRACKER_HOME", str(tmp_path / "empty"))
    weights = ("--finetuned", "d", "--mano", "b", "--hands", tmp_path / "hands.jsonl")
    assert command("evaluate", made_release.prepared, "--system", "hamer-ft", *weights) == 0
    assert [name for name, _ in loaded] == ["hamer align"]


def test_all_systems_run_beside_the_papers_figures(
    made_release: MadeRelease, tmp_path: Path, capsys: pytest.CaptureFixture[str], loaded: Any
) -> None:
    arguments = ("evaluate", made_release.prepared, "--table1", *WEIGHTS, "--hands", tmp_path)
    assert command(*arguments, "--json", tmp_path / "all.json") == 0
    text, shown, _ = table_of(capsys)
    systems = json.loads((tmp_path / "all.json").read_text())["systems"]
    assert list(systems) == list(PRESETS) == [line.split()[0] for line in text[2:]]
    assert all(system["missing"] is None and system["scores"]["hands"] == 15 for system in systems.values())
    hamer, ensemble = systems["hamer"]["scores"], systems["ensemble"]["scores"]
    assert hamer["mpjpe_mm"] > ensemble["mpjpe_mm"] > 0
    (row,) = (line for line in text if line.startswith("hamer "))
    assert row.split()[-7:] == [
        "76.95",
        "10.36",
        *(f"{hamer[key]:.2f}" for key in ("mpjpe_mm", "pa_mpjpe_mm", "camera_mpjpe_mm")),
        "15",
        "0",
    ]
    assert systems["hamer-ray"]["paper"] is None and "-" in next(t for t in text if t.startswith("hamer-ray"))
    assert [name for name, _ in loaded] == [
        *("potter ray", "hamer weak", "hamer align", "ensemble ray", "ensemble ray"),
        *("hamer align", "hamer ray", "landmarks ray"),
    ]

    # A run that was cut short goes on, and files of an earlier run are never overwritten.
    lines = tmp_path / "egoexo4d_val_hamer-align_challenge.jsonl"
    lines.write_text("".join(lines.read_text().splitlines(keepends=True)[:4]))
    (tmp_path / "egoexo4d_val_hamer-ray_challenge.jsonl").unlink()
    assert command(*arguments) == 2
    assert "there already; go on with --resume" in capsys.readouterr().err
    loaded.clear()
    assert command(*arguments, "--resume") == 0
    assert table_of(capsys)[1] == shown
    # What has nothing left to read is not loaded.
    assert [(name, len(system.asked)) for name, system in loaded] == [("hamer align", 6), ("hamer ray", 9)]

    # Smoothing needs no network.
    loaded.clear()
    smoothed = (*arguments, "--resume", "--temporal", "--json", tmp_path / "smoothed.json")
    assert command(*smoothed) == 0 and not loaded
    text, again, _ = table_of(capsys)
    assert again == shown
    systems = json.loads((tmp_path / "smoothed.json").read_text())["systems"]
    start = text.index("smoothed through takes; mm")
    for name, line in zip(PRESETS, text[start + 3 :], strict=True):
        scores = systems[name]["temporal"]["scores"]
        assert scores[AS_READ] == systems[name]["scores"] and scores[HINDSIGHT] != scores[AS_READ]
        figures = (f"{way[key]:.2f}" for way in scores.values() for key in ("mpjpe_mm", "pa_mpjpe_mm"))
        assert line.split() == [name, *figures]

    # Lines of another run are said before the other systems run.
    loaded.clear()
    lines.unlink()
    Path("d").write_text("other weights")
    assert command(*arguments, "--resume") == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "ensemble-ft_challenge.jsonl is of another run: ensemble.members.2.checkpoint had other" in line
    assert not loaded


def test_systems_without_their_weights_say_so_and_have_no_number(
    made_release: MadeRelease,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    loaded: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TRACKER_HOME", str(tmp_path))
    arguments = ("evaluate", made_release.prepared, "--table1", "--hands", tmp_path)
    assert command(*arguments, "--potter-checkpoint", "c") == 0
    text, systems, said = table_of(capsys)
    there = {name for name, system in systems.items() if system["scores"] is not None}
    assert there == {"potter", "landmarks"}
    for line in text[2:]:
        name, shown = line.split()[0], "weights missing: " in line
        assert shown == (name not in there)
        assert systems[name]["hands_missing"] == (0 if name in there else None)
    assert "lacks hamer.ckpt" in next(line for line in text if line.startswith("hamer-align"))
    assert "fetch_demo_data.sh" in said and "--finetuned FILE is not given" in systems["hamer-ft"]["missing"]
    assert not (tmp_path / "egoexo4d_val_hamer_challenge.jsonl").exists()


def test_a_system_that_cannot_run_does_not_keep_the_others_from_it(
    made_release: MadeRelease,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def load(mode: str, config: TrackerConfig, shared: object) -> WarpedSystem:
        if config.backend == "potter":
            raise UsageError("c is no checkpoint")
        return WarpedSystem(config.backend)

    monkeypatch.setattr(egoexo4d_command, "load_system", load)
    page = ("--page", tmp_path / "page", "--cases", 1)
    files = ("--hands", tmp_path, "--json", tmp_path / "all.json")
    assert command("evaluate", made_release.prepared, "--table1", *WEIGHTS, *files, *page) == 1
    systems = json.loads((tmp_path / "all.json").read_text())["systems"]
    text = (tmp_path / "page" / "index.html").read_text()
    assert "<h2>hamer-ft</h2>" in text and "<h2>potter</h2>" not in text and text.count("<img") == 14
    assert systems["hamer"]["categories"]["occluded"]["hands"] == 1
    assert systems["potter"]["missing"] == "cannot run: c is no checkpoint"
    assert systems["hamer-ft"]["scores"]["hands"] == 15


def test_a_system_that_finds_no_hand_has_no_figures_and_the_others_have(
    made_release: MadeRelease,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def load(mode: str, config: TrackerConfig, shared: object) -> KnowingSystem:
        blind = config.backend == "potter"
        return KnowingSystem(spoil=(lambda number, hands: {}) if blind else None)

    monkeypatch.setattr(egoexo4d_command, "load_system", load)
    assert command("evaluate", made_release.prepared, "--table1", *WEIGHTS, "--hands", tmp_path) == 1
    systems = table_of(capsys)[1]
    assert "no hand with joints to score" in systems["potter"]["missing"]
    assert all(system["scores"]["hands"] == 15 for name, system in systems.items() if name != "potter")


def test_one_system_by_name_runs_and_its_file_bears_it(
    made_release: MadeRelease,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    loaded: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in "zabc":
        Path(name).write_text(name)
    options = (
        "--system",
        "ensemble",
        "--ensemble",
        "potter",
        "hamer=z",
        "--ensemble-weights",
        3,
        1,
        *WEIGHTS[:6],
    )
    assert command("evaluate", made_release.prepared, *options) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["system"] == "ensemble, challenge"
    header = json.loads((tmp_path / "egoexo4d_val_ensemble_challenge.jsonl").read_text().splitlines()[0])
    settings = header["settings"]
    assert settings["ensemble.members.0.weight"] == 3.0
    assert settings["ensemble.members.1.checkpoint"] == f"sha256 {hashlib.sha256(b'z').hexdigest()}"
    assert len(loaded[0][1].asked) == 9


def test_a_run_does_not_go_on_with_other_weights_of_the_same_name(
    made_release: MadeRelease, tmp_path: Path, capsys: pytest.CaptureFixture[str], loaded: Any
) -> None:
    """Of the same size, and other in one byte only; a copy is the same, wherever it lies."""
    weights = tmp_path / "weights.pth"
    content = bytes(40 * 2**20)
    weights.write_bytes(content)
    arguments = ("evaluate", made_release.prepared, "--system", "potter", "--potter-checkpoint", weights)
    arguments += ("--hands", tmp_path / "hands.jsonl")
    assert command(*arguments) == 0
    weights.rename(tmp_path / "copy.pth")
    moved = [tmp_path / "copy.pth" if argument == weights else argument for argument in arguments]
    assert command(*moved, "--resume") == 0
    weights.write_bytes(content[:1_900_000] + b"1" + content[1_900_001:])
    capsys.readouterr()
    assert command(*arguments, "--resume") == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "is of another run: potter.checkpoint had other weights in it" in line


def test_every_file_of_an_ensemble_is_told_apart() -> None:
    config = find_preset("ensemble-ft").over(FILES, finetuned=FINE)
    assert set(map(str, weight_files(config))) == {"potter.pth", "hamer.ckpt", "mano.pkl", "fine.ckpt"}
    assert weight_files(find_preset("landmarks").over(FILES)) == ()


@pytest.fixture
def without_a_pose(made_release: MadeRelease, tmp_path: Path) -> Path:
    """The release, of whose first take the camera pose is not there."""
    raw = tmp_path / "raw"
    shutil.copytree(made_release.raw, raw, ignore=shutil.ignore_patterns("*.mp4"))
    (raw / "annotations/ego_pose/val/camera_pose" / f"{FIRST.uid}.json").unlink()
    return raw


def test_hands_of_takes_that_are_left_out_are_missing_in_every_score(
    made_release: MadeRelease,
    tmp_path: Path,
    without_a_pose: Path,
    capsys: pytest.CaptureFixture[str],
    loaded: Any,
) -> None:
    """A score over fewer takes does not look complete, and lines go on when the take's pose is there."""
    gone = sum(
        len(frame.hands) for frame in read_annotations(made_release.truth) if frame.take_uid == FIRST.uid
    )
    files = ("--hands", tmp_path / "hands.jsonl")
    poses = ("--release", without_a_pose)
    assert command("evaluate", made_release.prepared, *poses, *files) == 0
    output = capsys.readouterr()
    figures = json.loads(output.out.splitlines()[-1])
    assert (figures["hands_wanted"], figures["hands_missing"]) == (15, gone) and gone
    assert f"takes left out: 1 (take {FIRST.uid} has no camera pose)" in output.err
    assert f"{gone} of 15 hands have no figure" in output.err

    assert command("evaluate", made_release.prepared, "--release", made_release.raw, *files, "--resume") == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["hands_missing"] == 0
    assert [len(system.asked) for _, system in loaded] == [4, 5]

    assert command("evaluate", made_release.prepared, tmp_path / "hands.jsonl", *poses) == 0
    figures = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (figures["hands_wanted"], figures["hands_missing"]) == (15, gone)

    arguments = ("--table1", *WEIGHTS, *poses, "--hands", tmp_path / "lines")
    assert command("evaluate", made_release.prepared, *arguments) == 0
    assert {system["hands_missing"] for system in table_of(capsys)[1].values()} == {gone}

    arguments = ("--annotation-file", made_release.truth, *arguments, "--resume")
    assert command("evaluate", made_release.prepared, *arguments) == 0
    output = capsys.readouterr().out.splitlines()
    assert output[0].endswith("; measured: val; mm")  # the split's own file
    about = json.loads(output[-1])
    assert (about["hands_wanted"], about["left_out"]) == (15, {"takes left out": 1})
    assert about["annotations"] == str(made_release.truth)


def test_hands_without_a_picture_are_missing_in_the_table(
    made_release: MadeRelease, tmp_path: Path, capsys: pytest.CaptureFixture[str], loaded: Any
) -> None:
    prepared = spoiled(made_release, tmp_path / "prepared", lambda path: path.unlink())
    arguments = ("evaluate", prepared, "--annotation-file", made_release.annotations, "--table1", *WEIGHTS)
    assert command(*arguments, "--hands", tmp_path) == 0
    systems = table_of(capsys)[1]
    hands = [(system["hands_missing"], system["scores"]["hands"]) for system in systems.values()]
    assert all(missing > 0 and missing + scored == 15 for missing, scored in hands)
