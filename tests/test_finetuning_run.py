"""Training runs: validation, held-out takes, the best weights, several devices, what a person sees."""

import json
import multiprocessing
import os
import pickle
import signal
import sys
import warnings
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image
from test_published_sets import write_freihand, write_hint

pytest.importorskip("torch")
pytest.importorskip("lightning_fabric")

import torch
from lightning_fabric import Fabric
from tiny_hamer import eight_hands, tiny_hamer
from torch.utils.data import default_collate

from tracker.cli_running import interruptible
from tracker.errors import SinkFailedError, UsageError
from tracker.research.evaluation.hand_errors import egoexo4d_errors_m
from tracker.research.finetuning import checkpoints, dataset
from tracker.research.finetuning.augmentation import UNCHANGED
from tracker.research.finetuning.crop_sheet import COLUMNS, ROWS, write_crop_sheet
from tracker.research.finetuning.curves import draw_curves, read_log
from tracker.research.finetuning.dataset import Draw, Draws, HandPictures, Sample, batches_of, usual_workers
from tracker.research.finetuning.losses import losses
from tracker.research.finetuning.options import (
    Augmentation,
    Figure,
    TrainingOptions,
    ValidationOptions,
)
from tracker.research.finetuning.run import BEST, CHECKPOINT, LOG, Schedule, Session
from tracker.research.finetuning.sources import Hands, Sources, chosen, find_hands, split_takes
from tracker.research.finetuning.training import Learner, part_devices
from tracker.research.finetuning.training_hands import TrainingHand
from tracker.research.finetuning.validation import validate
from tracker.research.ground_truth.egoexo4d import annotation_path, open_takes

if TYPE_CHECKING:
    from egoexo4d_release import MadeRelease

pytestmark = pytest.mark.usefixtures("one_thread")
OPTIONS = TrainingOptions(batch=2, precision="32-true", learning_rate=3e-3, warmup_steps=0)
CONFIG = checkpoints.configuration(OPTIONS, data="these hands", devices=1)


@pytest.fixture(scope="module")
def hands(made_release: "MadeRelease") -> list[TrainingHand]:
    return eight_hands(made_release)


def learner_of(options: TrainingOptions = OPTIONS, **device: Any) -> Learner:
    fabric = Fabric(accelerator="cpu", devices=1, precision=options.precision)
    return Learner(fabric, tiny_hamer(depth=1), options)


def schedule_of(steps: int, *, every: int = 2, by: Figure = "loss") -> Schedule:
    return Schedule(steps, checkpoint_every=every, validate_every=every, best_by=by, workers=0)


def figures_of(folder: Path) -> list[dict[str, float]]:
    """The log without what the clock says."""
    return [
        {name: value for name, value in entry.items() if name != "seconds"}
        for entry in read_log(folder / LOG)
    ]


def trained(folder: Path, hands: Hands, schedule: Schedule, learner: Learner | None = None) -> Path:
    folder.mkdir(exist_ok=True)
    Session(folder, learner or learner_of(), CONFIG, hands, schedule, say=print).run()
    return folder


# Validation.


def test_validation_is_the_mean_over_readable_hands_however_they_are_batched(
    hands: list[TrainingHand], tmp_path: Path
) -> None:
    (tmp_path / "cut.jpg").write_bytes(b"no picture")
    spoiled = [*hands[:5], replace(hands[5], picture=tmp_path / "cut.jpg")]
    learner = learner_of()
    pictures = HandPictures(hands, augmentation=UNCHANGED, seed=0)
    batch: Sample = default_collate([pictures[Draw(0, index)] for index in range(5)])
    with torch.no_grad():
        said = learner.hamer(batch.crops)
    wanted = losses(said, batch.targets, OPTIONS.losses)
    true_m, known = (part.numpy() for part in (batch.targets.joints_m, batch.targets.known > 0))
    mpjpe_m, pa_mpjpe_m = egoexo4d_errors_m(said.joints_m.numpy(), true_m, known)
    for size in (1, 2, 8):
        learner.options = replace(OPTIONS, batch=size)
        measured = validate(learner, spoiled, workers=0)
        assert measured == pytest.approx(
            {
                "loss": float(wanted["loss"]),
                "reprojection_px": float(wanted["reprojection_px"]),
                "mpjpe_mm": 1e3 * mpjpe_m.mean(),
                "pa_mpjpe_mm": 1e3 * pa_mpjpe_m.mean(),
            },
            rel=1e-4,
        )


def test_hands_without_joints_in_space_have_no_figure_there(hands: list[TrainingHand]) -> None:
    flat = [replace(hand, joints_in_camera_m=np.full((21, 3), np.nan)) for hand in hands]
    assert list(validate(learner_of(), flat, workers=0)) == ["loss", "reprojection_px"]


def test_training_is_the_same_with_validation_without_it_and_with_a_stop(
    hands: list[TrainingHand], tmp_path: Path
) -> None:
    both = Hands(hands[:5], hands[5:])
    whole = figures_of(trained(tmp_path / "whole", both, schedule_of(6)))
    alone = figures_of(trained(tmp_path / "alone", Hands(hands[:5], []), schedule_of(6)))
    shared = [{name: v for name, v in entry.items() if not name.startswith("validation")} for entry in whole]
    assert shared[1:] == alone and shared[0] == {"step": 0}
    assert [entry["step"] for entry in whole if "validation_loss" in entry] == [0, 2, 4, 6]

    part = trained(tmp_path / "part", both, schedule_of(4))
    with (part / LOG).open("a") as log:
        log.write(json.dumps({"step": 5, "loss": 1.0}) + "\n")  # after the last checkpoint, so done again
    again = learner_of()
    checkpoints.restore(again, checkpoints.read_own(part / CHECKPOINT, CONFIG))
    assert figures_of(trained(part, both, schedule_of(6), again)) == whole
    best = [checkpoints.read(folder / BEST) for folder in (tmp_path / "whole", part)]
    assert best[0]["step"] == best[1]["step"] and best[0]["measured"] == best[1]["measured"]


def interrupting(learner: Learner, step: int, times: int) -> Learner:
    """A learner in whose step, from 1, somebody interrupts the program at its terminal."""
    train_step = learner.train_step

    def interrupted(batches: Sequence[Sample]) -> dict[str, float]:
        for _ in range(times if learner.step + 1 == step else 0):
            for process in multiprocessing.active_children():  # those that read pictures hear it too
                os.kill(process.pid or 0, signal.SIGINT)
            signal.raise_signal(signal.SIGINT)
        return train_step(batches)

    learner.train_step = interrupted  # type: ignore[method-assign]
    return learner


@pytest.mark.skipif(sys.platform == "win32", reason="there os.kill only kills")
def test_ctrl_c_ends_training_with_a_checkpoint_and_a_second_one_at_once(
    hands: list[TrainingHand], tmp_path: Path
) -> None:
    both, schedule = Hands(hands[:5], hands[5:]), schedule_of(4, every=100)
    whole = figures_of(trained(tmp_path / "whole", both, schedule))
    for times, step, ending in (
        (1, 2, "stopped after step 2; the checkpoint has it, and --resume goes on from there"),
        (2, 1, "stopped after step 1, before the first checkpoint: --resume begins anew"),
    ):
        folder = tmp_path / str(times)
        folder.mkdir()
        some = replace(schedule, workers=1)
        learner = interrupting(learner_of(), 2, times)
        with (
            (tmp_path / f"said {times}").open("a", buffering=1) as said,  # by any process
            pytest.raises(KeyboardInterrupt),
            interruptible() as interruptions,
        ):
            say = partial(print, file=said)
            session = Session(folder, learner, CONFIG, both, some, say=say, held=interruptions.held)
            session.run()
        assert (learner.step, session.where_it_stopped()) == (step, ending)
        assert (tmp_path / f"said {times}").read_text().count("stopping after this step") == 1
    assert not (tmp_path / "2" / CHECKPOINT).exists()
    again = learner_of()
    checkpoints.restore(again, checkpoints.read_own(tmp_path / "1" / CHECKPOINT, CONFIG))
    assert figures_of(trained(tmp_path / "1", both, schedule, again)) == whole


def test_a_step_whose_helpers_were_stopped_too_is_a_stop_and_else_an_error(
    hands: list[TrainingHand], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for asked, error in ((True, KeyboardInterrupt), (False, RuntimeError)):
        learner = learner_of()
        learner.stop_asked = asked

        def broken(batches: Sequence[Sample]) -> dict[str, float]:
            raise RuntimeError("DataLoader worker exited unexpectedly")

        monkeypatch.setattr(learner, "train_step", broken)
        session = Session(tmp_path, learner, CONFIG, Hands(hands[:5], []), schedule_of(3), say=print)
        with pytest.raises(error):
            session.run()
        assert session.where_it_stopped().startswith("stopped after step 0, before the first checkpoint")


@pytest.mark.parametrize("by", ["loss", "mpjpe_mm"])
def test_the_best_weights_are_those_of_the_least_figure(
    hands: list[TrainingHand], tmp_path: Path, by: Figure
) -> None:
    wild = replace(OPTIONS, learning_rate=0.03)  # so that it does not only get better
    learner = learner_of(wild)
    folder = trained(tmp_path, Hands(hands[:5], hands[5:]), schedule_of(6, every=1, by=by), learner)
    measured = {entry["step"]: entry[f"validation_{by}"] for entry in read_log(folder / LOG)}
    best = checkpoints.read(folder / BEST)
    assert best["step"] == min(measured, key=lambda step: measured[step])
    assert best["measured"][by] == pytest.approx(min(measured.values()), abs=1e-6)
    assert list(measured.values()) != sorted(measured.values(), reverse=True)
    learner.hamer.network.load_state_dict(best["network"])
    assert validate(learner, hands[5:], workers=0)[by] == pytest.approx(best["measured"][by], rel=1e-6)


def test_a_run_that_begins_anew_forgets_the_best_of_another(
    hands: list[TrainingHand], tmp_path: Path
) -> None:
    checkpoints.save_best(tmp_path / BEST, learner_of(), CONFIG, {"loss": -1.0}, on="other hands")
    both = Hands(hands[:5], hands[5:])
    trained(tmp_path, both, schedule_of(1))
    assert checkpoints.read(tmp_path / BEST)["measured"]["loss"] > 0
    # Of the same run but measured on other hands: it is no figure to compare with.
    again = learner_of()
    checkpoints.restore(again, checkpoints.read(tmp_path / CHECKPOINT))
    checkpoints.save_best(tmp_path / BEST, again, CONFIG, {"loss": -1.0}, on="other hands")
    trained(tmp_path, both, schedule_of(2), again)
    assert checkpoints.read(tmp_path / BEST)["measured"]["loss"] > 0


def test_takes_held_out_are_whole_and_follow_from_the_seed(made_release: "MadeRelease") -> None:
    (take, other) = open_takes(made_release.prepared, made_release.annotations, "val")
    takes = [replace(take, uid=f"{number:02d}") for number in range(10)]
    kept, held_out = split_takes(takes, 0.3, 1)
    assert len(held_out) == 3 and sorted(t.uid for t in (*kept, *held_out)) == [t.uid for t in takes]
    again = split_takes(takes[::-1], 0.3, 1)[1]  # in whatever order files list them
    assert sorted(t.uid for t in again) == sorted(t.uid for t in held_out)
    others = {frozenset(t.uid for t in split_takes(takes, 0.3, seed)[1]) for seed in range(5)}
    assert len(others) > 1
    assert split_takes(takes, 0.0, 1) == (takes, [])
    assert len(split_takes([take, other], 0.01, 1)[1]) == 1
    with pytest.raises(UsageError, match="leaves none of 2 takes"):
        split_takes([take, other], 0.9, 1)


def test_some_of_many_validation_hands_are_chosen_by_the_seed(hands: list[TrainingHand]) -> None:
    few = chosen(hands, 3, seed=1)
    assert len(few) == 3 and few == chosen(hands, 3, seed=1) and few != chosen(hands, 3, seed=3)
    assert [hands.index(hand) for hand in few] == sorted(hands.index(hand) for hand in few)
    assert chosen(hands, 0, seed=1) == chosen(hands, 8, seed=1) == hands


def test_what_is_held_out_is_not_trained_on(made_release: "MadeRelease", tmp_path: Path) -> None:
    for name in ("train", "val"):
        (tmp_path / "image/undistorted").mkdir(parents=True, exist_ok=True)
        (tmp_path / "image/undistorted" / name).symlink_to(made_release.prepared / "image/undistorted/val")
        path = annotation_path(tmp_path, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(made_release.annotations.read_bytes())

    def counts(**options: Any) -> tuple[int, int]:
        sources = Sources(tmp_path, annotation_path(tmp_path, "train"))
        found = find_hands(sources, OPTIONS, ValidationOptions(**options), tell=print)
        parts = (found.training, found.validation)
        taught, measured = ({hand.picture.parent.name for hand in part} for part in parts)
        assert not options.get("held_out") or not taught & measured
        return len(found.training), len(found.validation)

    assert counts() == (15, 15)  # the validation set's own
    assert counts(validation_hands=4) == (15, 4)
    assert counts(validate_every=0) == (15, 0)
    held_out = counts(held_out=0.5)
    assert sum(held_out) == 15 and min(held_out) > 5
    assert counts(held_out=0.5, validate_every=0) == (held_out[0], 0)


# Several devices.


def test_of_other_data_only_training_sets_are_trained_on(made_release: "MadeRelease", tmp_path: Path) -> None:
    """Of HInt there without the marks of hidden joints."""
    to_learn, to_measure, freihand = (tmp_path / name for name in ("both", "measured", "freihand"))
    for folder in (to_learn, to_measure, freihand):
        folder.mkdir()
    write_hint(to_measure)
    write_hint(to_learn)
    (to_learn / "TEST_newdays_img").rename(to_learn / "TRAIN_newdays_img")
    write_hint(to_learn)
    write_freihand(freihand)
    annotations = annotation_path(made_release.prepared, "val")
    told: list[str] = []

    def found(folder: Path) -> list[TrainingHand]:
        sources = Sources(made_release.prepared, annotations, also=(folder,))
        return find_hands(sources, OPTIONS, ValidationOptions(validate_every=0), tell=told.append).training

    (hint,) = [hand for hand in found(to_learn) if hand.source == "HInt"]
    assert hint.picture.parent.name == "TRAIN_newdays_img" and hint.visible.tolist() == [True, False] * 10 + [
        True
    ]
    assert "sets that are not for training: 1 (TEST_newdays_img)" in told
    assert sum(hand.source == "FreiHAND" for hand in found(freihand)) == 3
    with pytest.raises(UsageError, match="measured: nothing there is for training"):
        found(to_measure)


def run_on(fabric: Fabric, packed: bytes) -> None:
    """In each process; Fabric takes no frozen values apart, so they come as bytes."""
    torch.set_num_threads(1)
    folder, hands, options = pickle.loads(packed)
    learner = Learner(fabric, tiny_hamer(depth=1), options)
    Session(folder, learner, CONFIG, hands, schedule_of(3, every=1), say=print).run()
    stopped = Learner(fabric, tiny_hamer(depth=1), options)
    stopped.stop_asked = fabric.global_rank == fabric.world_size - 1  # the last one only
    with pytest.raises(KeyboardInterrupt):
        Session(folder / "stopped", stopped, CONFIG, hands, schedule_of(3, every=9), say=print).run()
    assert stopped.step == checkpoints.read(folder / "stopped" / CHECKPOINT)["step"] == 1
    del learner, stopped
    part_devices()


def test_two_devices_learn_and_validate_as_one_does(hands: list[TrainingHand], tmp_path: Path) -> None:
    """Validation hands are shared unevenly, and the second process's picture cannot be read."""
    (tmp_path / "cut.jpg").write_bytes(b"no picture")
    validation = [hands[5], replace(hands[6], picture=tmp_path / "cut.jpg"), hands[7]]
    both = Hands(hands[:5], validation)
    for name in ("one", "two"):
        (tmp_path / name / "stopped").mkdir(parents=True)
    one = Fabric(accelerator="cpu", devices=1, precision="32-true")
    run_on(one, pickle.dumps((tmp_path / "one", both, replace(OPTIONS, batch=4))))
    two = Fabric(accelerator="cpu", devices=2, precision="32-true", strategy="ddp_spawn")
    two.launch(run_on, pickle.dumps((tmp_path / "two", both, OPTIONS)))
    logs = [figures_of(tmp_path / name) for name in ("one", "two")]
    assert len(logs[0]) == len(logs[1]) == 4
    for alone, shared in zip(*logs, strict=True):
        assert shared == pytest.approx(alone, rel=1e-4)
    for file in (CHECKPOINT, BEST):
        alone, shared = (checkpoints.read(tmp_path / name / file) for name in ("one", "two"))
        assert alone["step"] == shared["step"]
        for name, weights in alone["network"].items():
            torch.testing.assert_close(shared["network"][name], weights, rtol=0, atol=1e-3)


def test_a_checkpoint_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "nowhere").write_text("a file where the folder should be")
    with pytest.raises(SinkFailedError, match=r"cannot write .*nowhere"):
        checkpoints.save(tmp_path / "nowhere" / CHECKPOINT, learner_of(), CONFIG)


# What a person sees.


def test_curves_show_validation_beside_training(hands: list[TrainingHand], tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    with_validation = [{"step": 0, "validation_loss": 2.0, "validation_mpjpe_mm": 30.0}]
    with_validation += [{"step": n, "loss": 2.0 / n, "seconds": 1.0, "learning_rate": 1e-5} for n in (1, 2)]
    with_validation[2] |= {"validation_loss": 1.5, "validation_mpjpe_mm": 25.0}
    draw_curves(with_validation, tmp_path / "both.png")
    draw_curves([{"step": 1, "loss": 2.0, "learning_rate": 1e-5}], tmp_path / "training.png")
    heights = {name: Image.open(tmp_path / f"{name}.png").height for name in ("both", "training")}
    assert heights["both"] * 2 == heights["training"] * 3  # loss, mpjpe and rate; loss and rate
    colours = np.asarray(Image.open(tmp_path / "both.png").convert("RGB")).reshape(-1, 3)
    assert (colours == (255, 127, 14)).all(axis=1).sum() > 100  # the line of validation
    draw_curves([], tmp_path / "none.png")
    assert not (tmp_path / "none.png").exists()


def test_a_sheet_shows_the_first_crops_of_training_with_their_marks(
    hands: list[TrainingHand], tmp_path: Path
) -> None:
    options = replace(OPTIONS, augmentation=Augmentation(extreme_crop_rate=0.3), seed=3)
    write_crop_sheet(hands, options, tmp_path / "crops.png")
    sheet = np.asarray(Image.open(tmp_path / "crops.png"))
    assert sheet.shape == (256 * ROWS, 256 * COLUMNS, 3)
    pictures = HandPictures(hands, augmentation=options.augmentation, seed=3)
    first = next(iter(Draws(len(hands), ROWS * COLUMNS, seed=3)))
    for number in (0, 11, 39):
        row, column = divmod(number, COLUMNS)
        tile = sheet[256 * row : 256 * (row + 1), 256 * column : 256 * (column + 1)]
        targets = pictures[first[number]].targets
        points = (targets.points[targets.seen > 0].numpy() + 0.5) * 256
        inside = points[((points > 8) & (points < 248)).all(axis=1)]
        yellow = (tile == (255, 255, 0)).all(axis=-1)
        assert len(inside)
        for x, y in np.rint(inside).astype(int):
            assert yellow[y - 4 : y + 5, x - 4 : x + 5].any()
        # The backbone does not see what is left and right of its columns.
        assert tile[40:, 2:30][~yellow[40:, 2:30]].mean() < 0.6 * tile[40:, 34:220].mean()
    with pytest.raises(SinkFailedError, match="cannot write"):
        write_crop_sheet(hands, options, tmp_path / "crops.png" / "crops.png")


def test_more_workers_than_cores_are_no_warning(
    hands: list[TrainingHand], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dataset.os, "sched_getaffinity", lambda _: {0, 1, 2, 3}, raising=False)
    assert (usual_workers(1), usual_workers(2), usual_workers(8)) == (4, 2, 1)
    monkeypatch.setattr(dataset.os, "sched_getaffinity", lambda _: set(range(64)), raising=False)
    assert usual_workers(2) == dataset.MOST_WORKERS
    monkeypatch.undo()
    pictures = HandPictures(hands, augmentation=UNCHANGED, seed=0)
    plain = [pictures[Draw(0, index)].crops for index in (0, 1)]
    many = (os.cpu_count() or 1) + 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        (batch,) = batches_of(pictures, [[Draw(0, 0), Draw(0, 1)]], workers=many, pinned=False)
    torch.testing.assert_close(batch.crops, torch.stack(plain), rtol=0, atol=0)
