"""What fine-tuning is shown: hands, crops and their targets, changes by chance, losses."""

import math
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image
from standin_mano import mano_arrays

from tracker.cameras import Pinhole
from tracker.cli_finetune import Export
from tracker.crops import CropKind, make_crop
from tracker.errors import UsageError
from tracker.joints import WRIST, FloatArray, Side
from tracker.mano_numpy import mano_from_arrays
from tracker.pose.hamer import crop_box, hand_estimate, projected
from tracker.research.finetuning.augmentation import UNCHANGED, Change, changed_box, draw
from tracker.research.finetuning.curves import SMOOTHED_OVER, TrainingLog, read_log, smoothed
from tracker.research.finetuning.fitted_hands import FittedHands
from tracker.research.finetuning.training_hands import (
    TrainingHand,
    fingerprint,
    hands_of_clips,
    hands_of_takes,
    usable,
)
from tracker.research.ground_truth.egoexo4d import TURN, open_takes
from tracker.research.ground_truth.egoexo4d_values import Tally
from tracker.research.ground_truth.labelled import LabelledClip
from tracker.research.pseudo_labels.files import labels_path, write_labels
from tracker.research.pseudo_labels.labels import ManoTake, TakeLabels
from tracker.rotations import rotation_from_vector

pytest.importorskip("torch")

import torch

from tracker.networks.crop_sampling import CropSampler, trace
from tracker.networks.hamer import HamerOutput
from tracker.networks.picture_reader import HandReading
from tracker.research.finetuning.dataset import Draw, Draws, HandPictures, make_sample, targets_of
from tracker.research.finetuning.losses import Targets, crop_projection, losses
from tracker.research.finetuning.options import Augmentation, LossWeights

if TYPE_CHECKING:
    from egoexo4d_release import MadeRelease

CAMERA = Pinhole(512, 512, 150.0, 150.0, 255.5, 255.5)
NOWHERE = np.full((21, 3), np.nan)
every_side = pytest.mark.parametrize("side", list(Side))
every_kind = pytest.mark.parametrize("kind", ["affine", "virtual"])
STRONG = Augmentation(0.3, 40.0, 1.0, 0.1, 0.2, 0.5)


def hand_at(joints_px: FloatArray, side: Side = Side.RIGHT, picture: Path = Path("none.png")) -> TrainingHand:
    seen = joints_px[np.isfinite(joints_px).all(axis=-1)]
    box = np.concatenate([seen.min(axis=0), seen.max(axis=0)])
    return TrainingHand(picture, CAMERA, False, side, box, joints_px, NOWHERE, "made")


def scattered(seed: int, middle: tuple[float, float] = (300.0, 220.0)) -> FloatArray:
    return np.random.default_rng(seed).uniform(-45, 45, (21, 2)) + middle


# Hands.


def test_every_annotated_hand_of_a_release_is_found_upright(made_release: "MadeRelease") -> None:
    takes = open_takes(made_release.prepared, made_release.annotations, "val")
    tally = Tally()
    hands = hands_of_takes(takes, tally)
    annotated = [hand for take in takes for frame in take.frames for hand in frame.hands.values()]
    assert len(hands) == len(annotated) > 8 and not tally.counts
    for hand, given in zip(hands, annotated, strict=True):
        np.testing.assert_array_equal(hand.joints_px, TURN.pixels_upright(given.joints_px))
        # In space and in the picture they agree: both were turned alike.
        both = hand.visible & given.valid
        off_px = hand.camera.project(hand.joints_in_camera_m[both]) - hand.joints_px[both]
        assert np.median(np.abs(off_px)) < 1e-6
        tight = TURN.boxes_upright(given.box_px)
        np.testing.assert_allclose(hand.box_px[2:] - hand.box_px[:2], (tight[2:] - tight[:2]) / 1.5)


def test_a_picture_that_is_missing_is_counted_and_named(made_release: "MadeRelease", tmp_path: Path) -> None:
    (take, *_) = open_takes(made_release.prepared, made_release.annotations, "val")
    gone = replace(take, pictures=(tmp_path / "gone.jpg", *take.pictures[1:]))
    tally = Tally()
    hands = hands_of_takes([gone], tally)
    assert len(hands) == sum(len(frame.hands) for frame in take.frames[1:])
    (line,) = tally.lines()
    assert line.startswith("frames without a picture: 1") and take.frames[0].where in line


def test_hands_with_few_marks_or_no_box_are_counted() -> None:
    few, tally = np.full((21, 2), np.nan), Tally()
    few[:4] = scattered(0)[:4]
    box = np.array([0.0, 0.0, 9.0, 9.0])
    assert not usable(box, few, "here", tally)
    assert not usable(np.array([5.0, 0.0, 5.0, 9.0]), scattered(0), "there", tally)
    assert usable(box, scattered(0), "elsewhere", tally)
    assert [line.split(" (")[1] for line in tally.lines()] == ["here)", "there)"]


def clip_of(pictures: tuple[Path, ...], joints_px: FloatArray) -> LabelledClip:
    count = len(joints_px)
    nothing = np.full((count, 2, 21, 3), np.nan)
    return LabelledClip(
        "clip", "made", nothing, joints_px, (CAMERA,) * count, lambda: iter(()), None, pictures=pictures
    )


def test_other_data_sets_give_a_hand_for_each_marked_side(tmp_path: Path) -> None:
    picture = tmp_path / "a.png"
    Image.new("RGB", (512, 512)).save(picture)
    joints_px = np.full((2, 2, 21, 2), np.nan)
    joints_px[0, 1], joints_px[1] = scattered(1), (scattered(2), scattered(3))
    tally = Tally()
    hands = hands_of_clips([clip_of((picture, tmp_path / "b.png"), joints_px)], tally)
    assert [hand.side for hand in hands] == [Side.RIGHT] and tally.counts["frames without a picture"] == 1
    np.testing.assert_array_equal(hands[0].box_px, [*scattered(1).min(axis=0), *scattered(1).max(axis=0)])
    with pytest.raises(UsageError, match="no set of picture files"):
        hands_of_clips([clip_of((), joints_px)], tally)


def test_a_hand_of_wrong_shape_is_refused() -> None:
    with pytest.raises(UsageError, match="want"):
        replace(hand_at(scattered(0)), joints_in_camera_m=np.zeros((20, 3)))
    with pytest.raises(UsageError, match="holds nothing"):
        replace(hand_at(scattered(0)), box_px=np.array([5.0, 5.0, np.nan, 9.0]))


def test_the_fingerprint_is_of_the_hands_not_of_their_folder() -> None:
    hand, other = hand_at(scattered(0)), hand_at(scattered(1))
    moved = replace(hand, picture=Path("/elsewhere") / hand.picture.name)
    assert fingerprint([hand]) == fingerprint([moved])
    assert len({fingerprint(hands) for hands in ([hand], [other], [hand, other], [other, hand])}) == 4


def test_the_options_need_no_library_so_that_commands_start_fast() -> None:
    body = "import sys, tracker.cli_finetune; assert not {'numpy', 'torch'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", body], check=True)


# Crops and targets.


@every_side
@every_kind
@pytest.mark.parametrize("seed", range(4))
def test_a_mark_stays_under_its_joint_however_the_crop_is_changed(
    side: Side, kind: CropKind, seed: int
) -> None:
    """A bright spot drawn at a joint is found in the crop where the target says."""
    hand = hand_at(scattered(seed), side)
    rows, columns = np.mgrid[:512, :512]
    found = 0
    for joint in range(0, 21, 4):
        x, y = hand.joints_px[joint]
        spot = 255 * np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / (2 * 1.5**2))
        image = np.repeat(np.rint(spot).astype(np.uint8)[..., None], 3, axis=2)
        change = draw(STRONG, 21, np.random.default_rng([seed, joint]))
        shown = make_sample(hand, image, replace(change, gains=np.ones(3)), 0, kind)
        target = (shown.targets.points[joint].numpy() + 0.5) * 256
        if not ((target > 12) & (target < 244)).all():
            continue
        levels = shown.crops[0].numpy() * 0.229 + 0.485
        v, u = np.mgrid[:256, :256]
        weight = np.where(np.hypot(u - target[0], v - target[1]) < 12, levels, 0)
        assert weight.sum() > 0.9 * levels.sum() > 0
        at = np.array([(weight * u).sum(), (weight * v).sum()]) / weight.sum()
        assert np.abs(at - target).max() < 0.3
        found += 1
    assert found >= 2


def test_pseudo_labels_replace_joints_in_space_where_they_are_good(
    made_release: "MadeRelease", tmp_path: Path
) -> None:
    """MANO of each hand's own keypoints, one of them called bad, and one take without a file."""
    takes = open_takes(made_release.prepared, made_release.annotations, "val")
    mano, rng = mano_from_arrays(mano_arrays()), np.random.default_rng(1)
    rows = [(frame, side) for frame in takes[0].frames for side in frame.hands]
    left = np.array([side is Side.LEFT for _, side in rows])
    orient = rotation_from_vector(rng.normal(size=(len(rows), 3)))
    pose, betas = rotation_from_vector(0.3 * rng.normal(size=(len(rows), 15, 3))), rng.normal(size=10)
    place = rng.normal(size=(len(rows), 3)) + np.array([0.0, 0.0, 0.5])
    posed = [mano.pose(global_orient=orient[k], hand_pose=pose[k], betas=betas) for k in range(len(rows))]
    flips = np.where(left[:, None, None], [-1.0, 1.0, 1.0], 1.0)
    joints_m = np.stack([hand.joints_m for hand in posed]) * flips + place[:, None]
    bad = np.zeros((len(rows), 5), dtype=bool)
    bad[2, 1] = True
    labels = TakeLabels(
        take=takes[0].uid,
        frames=np.array([frame.frame_number for frame, _ in rows]),
        left=left,
        joints_m=joints_m,
        residuals_m=np.zeros((len(rows), 21)),
        outliers=np.zeros((len(rows), 21), dtype=bool),
        rms_m=np.zeros(len(rows)),
        beyond_rad=np.zeros((len(rows), 5, 4)),
        bad=bad,
        noise_m=0.005,
        parameters=ManoTake(betas, orient, pose, place),
    )
    write_labels(labels_path(tmp_path, takes[0].uid), labels, "made")
    tally = Tally()
    hands = hands_of_takes(takes, tally, fitted=FittedHands(tmp_path, tally))
    assert tally.counts["hands with a bad pseudo label"] == 1
    assert tally.counts["hands without a pseudo label"] == len(hands) - len(rows)
    assert [hand.mano is not None for hand in hands[: len(rows)]] == [row != 2 for row in range(len(rows))]
    for number, hand in enumerate(hands):
        if hand.mano is None:
            assert not hand.known.any()
            continue
        np.testing.assert_allclose(hand.joints_in_camera_m, TURN.points_upright(joints_m[number]))
        upright = mano.pose(
            global_orient=hand.mano.global_orient, hand_pose=hand.mano.hand_pose, betas=hand.mano.betas
        ).joints_m
        flip = np.array([-1.0, 1.0, 1.0]) if hand.mano.mirrored else np.ones(3)
        np.testing.assert_allclose(
            upright * flip + hand.mano.translation_m, hand.joints_in_camera_m, atol=1e-9
        )


@every_side
def test_the_crop_is_the_one_that_the_backend_reads(side: Side) -> None:
    image = np.random.default_rng(0).integers(0, 256, (512, 512, 3), dtype=np.uint8)
    hand = hand_at(scattered(1), side)
    crop = make_crop("affine", crop_box(hand.joints_px), 256, CAMERA)
    traced = trace([crop], [side is Side.LEFT], (512, 512))
    (read,) = CropSampler()(*map(torch.from_numpy, (image, traced.nodes_px, traced.reads)))
    shown = make_sample(hand, image, draw(UNCHANGED, 21, np.random.default_rng(0)), 0, "affine")
    np.testing.assert_allclose(shown.crops, read, atol=1e-5)


@every_side
@every_kind
def test_targets_are_what_the_network_should_say(side: Side, kind: CropKind) -> None:
    """A hand that the backend makes of a reading has that reading as its target."""
    mano, rng = mano_from_arrays(mano_arrays()), np.random.default_rng(3)
    orient, pose = (
        rotation_from_vector(rng.normal(size=3)),
        rotation_from_vector(0.3 * rng.normal(size=(15, 3))),
    )
    betas = 0.5 * rng.normal(size=10)
    joints_m = mano.pose(global_orient=orient, hand_pose=pose, betas=betas).joints_m
    reading = HandReading(orient, pose, betas, np.array([5.0, 0.05, -0.03]), joints_m)
    crop = make_crop(kind, replace(crop_box(scattered(2)), rotation_rad=0.4), 256, CAMERA)
    estimate = hand_estimate(reading, crop, side, 1.0)
    hand = replace(
        hand_at(estimate.joints_px, side),
        joints_in_camera_m=estimate.joints_from_wrist_m + np.array([0.1, 0.2, 0.5]),
        mano=estimate.mano,
    )
    targets = targets_of(hand, crop, 100.0)
    np.testing.assert_allclose(targets.points, projected(reading) / 256 - 0.5, atol=1e-5)
    np.testing.assert_allclose(targets.joints_m, joints_m - joints_m[WRIST], atol=1e-6)
    np.testing.assert_allclose(targets.rotations, [orient, *pose], atol=1e-6)
    np.testing.assert_allclose(targets.betas, betas, atol=1e-6)
    assert targets.seen.all() and targets.known.all() and targets.fitted == 1


def test_marks_of_hidden_joints_are_in_the_box_but_not_learnt(tmp_path: Path) -> None:
    picture, joints_px = tmp_path / "a.png", np.full((1, 2, 21, 2), np.nan)
    Image.new("RGB", (512, 512)).save(picture)
    joints_px[0, 1] = scattered(1)
    hidden = np.zeros((1, 2, 21), dtype=bool)
    lowest = int(scattered(1)[:, 1].argmax())
    hidden[0, 1, [lowest, (lowest + 5) % 21]] = True
    clip = replace(clip_of((picture,), joints_px), hidden=hidden)
    (hand,) = hands_of_clips([clip], Tally())
    np.testing.assert_array_equal(hand.visible, ~hidden[0, 1])
    np.testing.assert_array_equal(hand.box_px, [*scattered(1).min(axis=0), *scattered(1).max(axis=0)])
    hidden[0, 1, :18] = True
    tally = Tally()
    assert hands_of_clips([clip], tally) == [] and "fewer than 5 marked joints: 1" in tally.lines()[0]


def test_what_is_not_known_is_masked_and_no_nan() -> None:
    joints_px, joints_m = scattered(0), np.random.default_rng(0).normal(size=(21, 3))
    joints_px[[3, 9]], joints_m[[4]] = np.nan, np.nan
    hand = replace(hand_at(joints_px), joints_in_camera_m=joints_m)
    crop = make_crop("affine", crop_box(scattered(0)), 256, CAMERA)
    targets = targets_of(hand, crop, 100.0)
    assert all(torch.isfinite(part).all() for part in targets)
    assert np.flatnonzero(targets.seen == 0).tolist() == [3, 9]
    assert np.flatnonzero(targets.known == 0).tolist() == [4]
    joints_m[WRIST] = np.nan  # everything in space is measured from it
    assert not targets_of(replace(hand, joints_in_camera_m=joints_m), crop, 100.0).known.any()


def test_a_damaged_picture_teaches_nothing(tmp_path: Path) -> None:
    (tmp_path / "cut.jpg").write_bytes(b"\xff\xd8\xff\xe0 no picture")
    pictures = HandPictures(
        [hand_at(scattered(0), picture=tmp_path / "cut.jpg")], augmentation=STRONG, seed=0
    )
    shown = pictures[Draw(0, 0)]
    assert shown.readable == 0 and not shown.crops.any()
    assert not any(mask.any() for mask in (shown.targets.seen, shown.targets.known, shown.targets.fitted))


# Chance.


def dealt(draws: Draws, batches: int) -> list[list[Draw]]:
    stream: Iterator[list[Draw]] = iter(draws)
    return list(islice(stream, batches))


def test_every_hand_is_shown_once_a_round_in_a_new_order() -> None:
    flat = [which for batch in dealt(Draws(10, 4, seed=1), 5) for which in batch]
    rounds = [[which.hand for which in flat[:10]], [which.hand for which in flat[10:]]]
    assert [sorted(order) for order in rounds] == [list(range(10))] * 2 and rounds[0] != rounds[1]


def test_the_stream_goes_on_where_it_stopped_and_is_dealt_to_devices() -> None:
    whole = dealt(Draws(10, 4, seed=1), 6)
    assert dealt(Draws(10, 4, seed=1, first=4), 2) == whole[4:]
    assert dealt(Draws(10, 4, seed=1, rank=1, ranks=2), 3) == whole[1::2]
    assert dealt(Draws(10, 4, seed=1, first=1, rank=0, ranks=2), 2) == whole[2::2]
    assert dealt(Draws(10, 8, seed=1), 3) == [a + b for a, b in zip(whole[::2], whole[1::2], strict=True)]
    assert dealt(Draws(10, 4, seed=2), 6) != whole


def test_changes_stay_within_their_bounds_and_each_option_changes_one_thing() -> None:
    changes = [draw(Augmentation(extreme_crop_rate=0.5), 21, np.random.default_rng(k)) for k in range(400)]
    assert min(c.scale for c in changes) == pytest.approx(0.7) and max(c.scale for c in changes) == 1.3
    assert max(abs(c.rotation_rad) for c in changes) <= np.deg2rad(60)
    assert 0.5 < np.mean([c.rotation_rad != 0 for c in changes]) < 0.7
    assert max(np.abs(c.shift).max() for c in changes) == pytest.approx(0.02)
    assert 0.8 <= min(c.gains.min() for c in changes) < max(c.gains.max() for c in changes) <= 1.2
    assert 0.4 < np.mean([c.part is not None for c in changes]) < 0.6
    plain = [draw(Augmentation(), 21, np.random.default_rng(k)) for k in range(400)]
    assert all(a.scale == b.scale and (a.gains == b.gains).all() for a, b in zip(changes, plain, strict=True))
    assert all(c.part is None for c in plain)


def test_an_extreme_crop_shows_a_part_of_the_hand() -> None:
    hand = hand_at(scattered(0))
    box = crop_box(hand.joints_px)
    change = replace(draw(UNCHANGED, 21, np.random.default_rng(0)), part=(7, 0.5))
    changed = changed_box(box, change, hand.joints_px)
    np.testing.assert_array_equal(changed.center_px, hand.joints_px[7])
    assert changed.size_px == pytest.approx(0.5 * box.size_px)


def test_a_change_scales_turns_and_shifts_the_box() -> None:
    box = crop_box(scattered(0))
    change = Change(1.2, 0.3, np.array([0.1, -0.05]), np.ones(3), None)
    changed = changed_box(box, change, scattered(0))
    np.testing.assert_allclose(changed.center_px - box.center_px, np.array([0.1, -0.05]) * box.size_px)
    assert (changed.size_px, changed.rotation_rad) == (1.2 * box.size_px, 0.3)


# The log.


def test_steps_after_the_last_checkpoint_leave_the_log_and_a_cut_line_too(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    log = TrainingLog(path, steps_done=0)
    for step in range(1, 6):
        log.write({"step": step, "loss": 1.0 / step})
    log.close()
    with path.open("a") as file:
        file.write('{"step": 6, "lo')  # a kill
    assert [entry["step"] for entry in read_log(path)] == [1, 2, 3, 4, 5]
    again = TrainingLog(path, steps_done=3)
    again.write({"step": 4, "loss": 0.5})
    again.close()
    assert [(entry["step"], entry["loss"]) for entry in read_log(path)][2:] == [(3, 0.3333333), (4, 0.5)]
    path.write_text("[1, 2]\n")
    with pytest.raises(UsageError, match="no log of the finetune command"):
        TrainingLog(path, steps_done=3)
    TrainingLog(path, steps_done=0).close()  # nothing was done, the validation before the first step included
    assert read_log(path) == []


def test_a_step_of_which_nothing_is_known_is_null_in_the_log(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    log = TrainingLog(path, steps_done=0)
    log.write({"step": 1, "loss": math.nan})
    log.close()
    assert path.read_text() == '{"step": 1, "loss": null}\n'


def test_the_smooth_curve_is_the_mean_of_the_last_values() -> None:
    values = np.random.default_rng(0).normal(size=130)
    wanted = [values[max(0, k - SMOOTHED_OVER + 1) : k + 1].mean() for k in range(130)]
    np.testing.assert_allclose(smoothed(values), wanted, atol=1e-12)


# Losses.


def said(seed: int = 0, count: int = 2) -> HamerOutput:
    rng = torch.Generator().manual_seed(seed)
    joints_m = 0.05 * torch.randn(count, 21, 3, generator=rng)
    eye = torch.eye(3).expand(count, 16, 3, 3)
    camera = torch.tensor([[5.0, 0.01, -0.02]]).repeat(count, 1)
    return HamerOutput(eye[:, 0], eye[:, 1:], torch.zeros(count, 10), camera, joints_m, torch.zeros(0))


def perfect(hand: HamerOutput) -> Targets:
    count = len(hand.joints_m)
    rotations = torch.cat([hand.global_orient[:, None], hand.hand_pose], dim=1)
    from_wrist_m = hand.joints_m - hand.joints_m[:, :1]
    ones, sides_px = torch.ones(count, 21), torch.full((count,), 200.0)
    return Targets(
        crop_projection(hand), ones, from_wrist_m, ones, rotations, hand.betas, torch.ones(count), sides_px
    )


def test_a_perfect_hand_has_no_loss_and_each_term_counts_what_it_says() -> None:
    hand = said()
    weights = LossWeights(1.0, 1.0, 1.0, 1.0, 1.0)
    assert all(float(value) == 0 for value in losses(hand, perfect(hand), weights).values())
    targets = perfect(hand)
    turned = targets.rotations.clone()
    turned[:, 0, 0, 0] += 2.0
    turned[:, 5, 1, 1] += 3.0
    targets = targets._replace(
        points=targets.points + torch.tensor([0.03, -0.04]),
        joints_m=targets.joints_m + 0.01,
        rotations=turned,
        betas=targets.betas + 0.5,
    )
    figures = {name: float(value) for name, value in losses(hand, targets, weights).items()}
    terms = {
        "keypoints_2d": 21 * 0.07,
        "keypoints_3d": 21 * 0.03,
        "global_orient": 4.0,
        "hand_pose": 9.0,
        "betas": 10 * 0.25,
    }
    assert figures == pytest.approx(
        terms | {"loss": sum(terms.values()), "reprojection_px": 0.05 * 200}, rel=1e-4
    )
    alone = {name: float(value) for name, value in losses(hand, targets, LossWeights()).items()}
    assert alone == pytest.approx(
        {"loss": 0.01 * 21 * 0.07, "keypoints_2d": 21 * 0.07, "reprojection_px": 10.0}, rel=1e-4
    )


def test_the_projection_is_the_backend_s() -> None:
    hand = said()
    for number, points in enumerate(crop_projection(hand).numpy()):
        joints_m, camera = hand.joints_m[number].double().numpy(), hand.camera[number].double().numpy()
        reading = HandReading(np.eye(3), np.tile(np.eye(3), (15, 1, 1)), np.zeros(10), camera, joints_m)
        np.testing.assert_allclose(points, projected(reading) / 256 - 0.5, atol=1e-5)


def test_an_invisible_joint_has_no_gradient() -> None:
    hand = said()
    joints_m = hand.joints_m.clone().requires_grad_()
    targets = perfect(hand)
    seen, known = torch.zeros(2, 21), torch.zeros(2, 21)
    seen[0, 8], known[1, 12] = 1.0, 1.0
    targets = targets._replace(
        points=targets.points + 0.1, joints_m=targets.joints_m + 0.1, seen=seen, known=known
    )
    losses(hand._replace(joints_m=joints_m), targets, LossWeights(1.0, 1.0))["loss"].backward()
    pulled = torch.nonzero(joints_m.grad.abs().sum(-1)).tolist()
    assert pulled == [[0, 8], [1, 0], [1, 12]]  # in space a joint is measured from the wrist


def test_a_hand_without_mano_teaches_no_rotation() -> None:
    hand = said()
    orient = hand.global_orient.clone().requires_grad_()
    targets = perfect(hand)._replace(fitted=torch.tensor([0.0, 1.0]), rotations=torch.zeros(2, 16, 3, 3))
    weights = LossWeights(0.0, 0.0, 1.0, 1.0, 1.0)
    losses(hand._replace(global_orient=orient), targets, weights)["loss"].backward()
    assert not orient.grad[0].any() and orient.grad[1].any()


def test_export_replaces_no_file_unasked_and_wants_its_ending(tmp_path: Path) -> None:
    there = tmp_path / "fine.safetensors"
    there.write_bytes(b"weights")
    with pytest.raises(
        UsageError, match=r"fine\.safetensors exists; choose another name or pass --overwrite"
    ):
        Export(tmp_path, there).run()
    with pytest.raises(UsageError, match=r"fine\.ckpt: a file of weights ends in \.safetensors"):
        Export(tmp_path, tmp_path / "fine.ckpt").run()
    assert there.read_bytes() == b"weights"
