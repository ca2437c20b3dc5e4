"""The commands `finetune` and `export`, with weights of the real width, two layers deep."""

import json
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from egoexo4d_release import write_calibrations
from test_egoexo4d_run import command

from tracker import cli_options
from tracker.cli_finetune import Export, Finetune
from tracker.errors import MissingDependencyError, UsageError, WeightsError

pytest.importorskip("torch")
pytest.importorskip("lightning_fabric")

import torch

from tracker.networks.hamer import load_hamer, network_of, seeded_crops
from tracker.networks.potter import load_potter
from tracker.research.finetuning import checkpoints
from tracker.research.finetuning import command as finetuning
from tracker.research.finetuning.curves import read_log
from tracker.research.finetuning.options import LossWeights, TrainingOptions, ValidationOptions
from tracker.research.ground_truth.egoexo4d import annotation_path
from tracker.weights_store import import_weights

if TYPE_CHECKING:
    from egoexo4d_release import MadeRelease
    from official_files import OfficialFiles


@pytest.fixture(scope="module")
def training_set(made_release: "MadeRelease", tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Prepared files of a training set, and no other."""
    prepared = tmp_path_factory.mktemp("prepared")
    path = annotation_path(prepared, "train")
    path.parent.mkdir(parents=True)
    shutil.copy(made_release.annotations, path)
    shutil.copytree(made_release.prepared / "image/undistorted/val", prepared / "image/undistorted/train")
    return prepared


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="this system cannot kill at once")
def test_from_a_release_to_figures_of_fine_tuned_weights(
    made_release: "MadeRelease",
    hamer_files: "OfficialFiles",
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As docs/egoexo4d.md says it, with a kill between two checkpoints and a picture that is damaged."""
    raw, prepared, run = tmp_path / "raw", tmp_path / "prepared", tmp_path / "run"
    shutil.copytree(made_release.raw, raw)
    shutil.copytree(raw / "annotations/ego_pose/val", raw / "annotations/ego_pose/train")
    write_calibrations(prepared)
    assert command("prepare", raw, prepared) == 0
    for picture in (prepared / "image/undistorted/train").rglob("made_kitchen_1_2/*.jpg"):
        picture.write_bytes(b"no picture")
    weights = ("--checkpoint", hamer_files.checkpoint, "--mano", hamer_files.mano)
    how = ("--batch", 2, "--precision", "32-true", "--backbone", "frozen", "--learning-rate", 1e-3)
    options = (*how, "--warmup-steps", 0, "--workers", 0, "--validate-every", 2, "--validation-hands", 2)
    _kill_after_first_checkpoint("finetune", prepared, run, *weights, *options, "--checkpoint-every", 1)

    capsys.readouterr()
    begun = run / ".checkpoint.pt-0.part"  # as a kill while it is written leaves it
    begun.write_bytes(b"PK")
    done = checkpoints.read(run / "checkpoint.pt")["step"]
    # Where it goes on, the weights that it began with are not needed any more.
    resumed = ("--mano", hamer_files.mano, *options, "--resume", "--steps", done + 1)
    assert command("finetune", prepared, run, *resumed) == 0 and not begun.exists()
    said = capsys.readouterr().err
    assert f"going on after step {done}" in said and "15 hands to train on, 2 to validate on" in said
    assert "a picture could not be read" in said and "made_kitchen_1_2/0000" in said
    entries = read_log(run / "log.jsonl")
    assert [entry["step"] for entry in entries] == list(range(done + 2))
    assert (run / "curves.png").stat().st_size > 5000
    _check_steps_done(prepared, run, options, done + 1, capsys)

    tuned = tmp_path / "hamer-ft.safetensors"
    assert command("export", run, tuned, "--mano", hamer_files.mano) == 0
    assert "float16 moves joints by " in capsys.readouterr().err
    assert tuned.stat().st_mode == (run / "log.jsonl").stat().st_mode
    _check_weights(tuned, run / "checkpoint.pt", hamer_files)
    for file in ("checkpoint.pt", "best.pt"):
        _check_refused_as_weights(run / file, hamer_files)
    files = ("--finetuned", tuned, "--mano", hamer_files.mano, "--hands", tmp_path / "hands.jsonl")
    assert command("evaluate", prepared, "--system", "hamer-ft", *files) == 0
    figures = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert figures["scores"]["all"]["hands"] == 15 and figures["scores"]["all"]["pa_mpjpe_mm"] > 0
    _check_best(run, capsys, monkeypatch)


def _kill_after_first_checkpoint(*arguments: object) -> None:
    run = Path(str(arguments[2]))
    line = [sys.executable, "-m", "tracker", "egoexo4d", *map(str, arguments), "--steps", "1000"]
    process = subprocess.Popen(line, stderr=subprocess.PIPE)
    try:
        give_up_s = time.monotonic() + 120
        while not (run / "checkpoint.pt").exists():
            assert process.poll() is None and time.monotonic() < give_up_s
            time.sleep(0.02)
    finally:
        process.kill()
        process.communicate()


def _check_steps_done(
    prepared: Path, run: Path, options: tuple[object, ...], done: int, capsys: pytest.CaptureFixture[str]
) -> None:
    for steps, status, message in (
        (done, 0, f"{done} steps are done already; more --steps go on"),
        (done - 1, 2, f"error: {run / 'checkpoint.pt'}: {done} steps are done already, and --steps"),
    ):
        mano = ("--mano", run / "log.jsonl")  # any file: it is not read
        assert command("finetune", prepared, run, *options, *mano, "--resume", "--steps", steps) == status
        (said,) = capsys.readouterr().err.splitlines()
        assert said.startswith(message)


def _check_refused_as_weights(checkpoint: Path, files: "OfficialFiles") -> None:
    for read in (lambda: load_hamer(checkpoint, files.mano), lambda: load_potter(checkpoint)):
        with pytest.raises(WeightsError, match=f"export {checkpoint} hamer-ft.safetensors"):
            read()
    with pytest.raises(WeightsError, match="make weights of it first"):
        import_weights(checkpoint, checkpoint.parent / "weights", say=print)


def _check_weights(weights: Path, checkpoint: Path, files: "OfficialFiles") -> None:
    crops = seeded_crops(1)
    state = checkpoints.read(checkpoint)["network"]
    trained = network_of(state, source="trained", dtype=torch.float32)
    with torch.inference_mode():
        wanted = trained(crops)
        read = load_hamer(weights, files.mano).network(crops)
        before = load_hamer(files.checkpoint, files.mano).network(crops)
    torch.testing.assert_close(read, wanted, rtol=0, atol=5e-3)  # matrices are kept in float16
    assert (read - before).abs().max() > 10 * (read - wanted).abs().max()


def _check_best(run: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """The best weights are exported where they are asked for, and only of a run that has some."""
    to, written = run / "best.safetensors", []
    monkeypatch.setattr(finetuning, "export_weights", lambda path, to, *, mano: written.append((path, mano)))
    monkeypatch.setattr(finetuning, "read_facts", lambda path: {})
    monkeypatch.setattr(cli_options, "stored_mano", lambda home: None)
    best = checkpoints.read(run / "best.pt")
    capsys.readouterr()
    assert command("export", run, to, "--best") == 0
    said = capsys.readouterr().err
    assert f"rounding the weights of step {best['step']} to float16 (" in said
    assert "what float16 costs was not measured: MANO is missing (--mano)" in said
    assert written == [(run / "best.pt", None)] and best["measured"]["mpjpe_mm"] > 0
    (run / "best.pt").unlink()
    assert command("export", run, to, "--best") == command("export", run / "checkpoint.pt", to, "--best") == 2
    refused = capsys.readouterr().err.splitlines()
    assert len(refused) == 2 and "holds no best.pt" in refused[0] and "--best chooses in" in refused[1]


def test_export_checks_everything_before_it_works(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command("export", tmp_path, tmp_path / "a.safetensors") == 2
    (tmp_path / "checkpoint.pt").write_bytes(b"no checkpoint")
    assert command("export", tmp_path, tmp_path / "a.safetensors") == 2
    torch.save({"format": checkpoints.FORMAT, "step": 3}, tmp_path / "checkpoint.pt")
    assert command("export", tmp_path, tmp_path / "checkpoint.pt" / "a.safetensors") == 2
    assert command("export", tmp_path, tmp_path / "a.safetensors", "--mano", tmp_path / "no.pkl") == 2
    said = capsys.readouterr().err.splitlines()
    for line, message in zip(
        said, ("cannot read", "is damaged", "cannot make the folder", "no.pkl"), strict=True
    ):
        assert line.startswith("error: ") and message in line


@pytest.fixture
def ready(training_set: Path, tmp_path: Path) -> Finetune:
    """All that is needed, but for weights: files that are there, and none of which can be read."""
    for name in ("hamer.ckpt", "mano.pkl"):
        (tmp_path / name).write_bytes(b"not read")
    return Finetune(
        training_set, tmp_path / "run", checkpoint=tmp_path / "hamer.ckpt", mano=tmp_path / "mano.pkl"
    )


def test_what_cannot_be_trained_is_said_before_weights_are_read(
    ready: Finetune, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "empty.json"
    annotations = json.loads(annotation_path(ready.prepared, "train").read_text())
    for frames in annotations.values():
        for frame in frames.values():
            for side in ("left", "right"):
                frame[f"{side}_hand_2d"] = []
    path.write_text(json.dumps(annotations))
    of_mano = TrainingOptions(losses=LossWeights(hand_pose=1e-3))
    in_space = TrainingOptions(losses=LossWeights(keypoints_3d=0.05))
    nothing = TrainingOptions(losses=LossWeights(0.0))
    for changed, message in (
        ({"annotation_file": path}, "no hand to train on; hands with fewer than 5 marked joints: "),
        ({"training": of_mano}, "no hand has its parameters"),
        ({"training": nothing}, "every term of --losses is 0"),
        ({"checkpoint": tmp_path / "none.ckpt"}, "none.ckpt: no such file of weights"),
        ({"mano": tmp_path / "none.pkl"}, "none.pkl: no such file of weights"),
        ({"pseudo_labels": tmp_path / "labels"}, "--pseudo-labels: there is no folder"),
        ({"pseudo_labels": tmp_path}, "no term of --losses learns from them"),
        (
            {"pseudo_labels": tmp_path, "training": in_space},
            r"no hand has joints in space: --pseudo-labels .* has no good one of any; hands without a pseudo",
        ),
        ({"also": (ready.prepared,)}, "holds prepared files of EgoExo4D"),
        ({"out": tmp_path / "mano.pkl"}, "cannot make the folder"),
        ({"show_crops": tmp_path / "mano.pkl"}, "ends in .png"),
        ({"validation": ValidationOptions(held_out=0.9)}, "--held-out 0.9 leaves none of 2 takes"),
    ):
        with pytest.raises(UsageError, match=message):
            replace(ready, **changed).run()
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(UsageError, match="--devices 2: torch finds 1"):
        replace(ready, devices=2).run()
    assert not ready.out.exists()


@pytest.mark.parametrize(
    ("option", "value", "allowed"),
    [
        ("--steps", 0, "1 or more"),
        ("--batch", 0, "1 or more"),
        ("--workers", -1, "0 or more"),
        ("--held-out", 1.5, "0 to 1"),
        ("--learning-rate", "nan", "0 or more"),
        ("--losses.keypoints-3d", -1, "0 or more"),
        ("--augmentation.scale", 1.0, "0 to 0.9"),
        ("--augmentation.extreme-crop-rate", 2, "0 to 1"),
    ],
)
def test_a_number_that_makes_no_sense_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], option: str, value: Any, allowed: str
) -> None:
    assert command("finetune", tmp_path, tmp_path / "run", option, value) == 2
    assert capsys.readouterr().err == f"error: {option} is {float(value):g}; give {allowed}\n"


def test_another_run_or_a_folder_in_use_is_refused_before_weights_are_read(ready: Finetune) -> None:
    ready.out.mkdir()
    torch.save(
        {"format": checkpoints.FORMAT, "step": 3, "configuration": {"--batch": 4}},
        ready.out / "checkpoint.pt",
    )
    with pytest.raises(UsageError, match="--resume goes on with it"):
        ready.run()
    differing = r"belongs to another run: .*--batch was 4, is 8; .*--held-out was None, is 0\.0; "
    with pytest.raises(UsageError, match=differing):
        replace(ready, resume=True).run()


def test_crops_are_shown_without_weights_and_validation_is_missed_aloud(
    ready: Finetune, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert replace(ready, checkpoint=None, mano=None, show_crops=tmp_path / "crops.png").run() == 0
    assert (tmp_path / "crops.png").stat().st_size > 50_000 and not ready.out.exists()
    with pytest.raises(WeightsError):  # the weights, which come last
        ready.run()
    said = capsys.readouterr().err
    assert "nothing was trained" in said
    assert "ego_pose_gt_anno_val_public.json is not there; --held-out 0.1 keeps a tenth" in said


def test_without_fabric_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "lightning_fabric", None)
    monkeypatch.delitem(sys.modules, "tracker.research.finetuning.command", raising=False)
    monkeypatch.delitem(sys.modules, "tracker.research.finetuning.training", raising=False)
    for either in (Finetune(tmp_path, tmp_path / "run"), Export(tmp_path, tmp_path / "w.safetensors")):
        with pytest.raises(MissingDependencyError, match="extras `hamer` and `finetune`"):
            either.run()
