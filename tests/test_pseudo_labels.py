"""Pseudo labels: hands fitted to keypoints whose truth is known, whole, noisy, partly missing and wrong."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from labelled_takes import MadeTake, distances_m, made_take
from standin_mano import mano_arrays

from tracker.hand_shape import HandShape
from tracker.joints import FINGERS, FloatArray, Side, bone_lengths, camera_from_wrist
from tracker.kinematic_hand import (
    ANGLE_LOWER_RAD,
    ANGLE_UPPER_RAD,
    END_FLEXION,
    FLEXION,
    MIDDLE_FLEXION,
    KinematicPose,
    angles_of,
    joints,
    step,
)
from tracker.mano_numpy import ManoModel, mano_from_arrays
from tracker.research.pseudo_labels.labels import (
    REASONS,
    Demands,
    ManoTake,
    OpenHandParameters,
    TakeLabels,
    labels_of,
)
from tracker.research.pseudo_labels.mano_hand import FINGER_AND_BONE, ManoHand
from tracker.research.pseudo_labels.mano_rig import left_jacobian
from tracker.research.pseudo_labels.open_hand import OpenHand, hand_shape
from tracker.research.pseudo_labels.problem import MIRROR, FitSettings, HandModel, TakeKeypoints
from tracker.research.pseudo_labels.solver import fit_take
from tracker.rotations import rotation_from_vector

NOISE_M = 0.005


def labelled(keypoints: TakeKeypoints, model: OpenHand | ManoHand | None = None) -> TakeLabels:
    model = model or OpenHand()
    return labels_of(model, keypoints, fit_take(model, keypoints))


def open_hand(labels: TakeLabels) -> OpenHandParameters:
    assert isinstance(labels.parameters, OpenHandParameters)
    return labels.parameters


def with_joints(keypoints: TakeKeypoints, joints_m: FloatArray) -> TakeKeypoints:
    return replace(keypoints, joints_m=joints_m)


@pytest.fixture(scope="module")
def clean() -> MadeTake:
    return made_take(40, seed=1)


@pytest.fixture(scope="module")
def noisy() -> MadeTake:
    return made_take(200, seed=2, noise_m=NOISE_M)


@pytest.fixture(scope="module")
def noisy_labels(noisy: MadeTake) -> TakeLabels:
    return labelled(noisy.keypoints)


@pytest.fixture(scope="module")
def mano() -> ManoHand:
    return ManoHand(mano_from_arrays(mano_arrays()))


# The open hand


def test_hands_without_noise_come_back(clean: MadeTake) -> None:
    labels = labelled(clean.keypoints)
    assert distances_m(labels.joints_m, clean.joints_m).max() < 1e-4
    found = open_hand(labels)
    np.testing.assert_allclose(found.shape.finger_bones_m, clean.shape.finger_bones_m, atol=1e-4)
    np.testing.assert_allclose(found.shape.palm_m, clean.shape.palm_m, atol=1e-4)
    np.testing.assert_allclose(found.angles_rad, clean.angles_rad, atol=0.02)
    assert labels.good.all()
    assert not labels.outliers.any()


def test_fitted_joints_are_nearer_to_the_truth_than_noisy_ones(
    noisy: MadeTake, noisy_labels: TakeLabels
) -> None:
    """63 coordinates for 26 unknowns of a pose: sqrt(26 / 63) = 0.64 without knowing anything of hands."""
    given = distances_m(noisy.keypoints.joints_m, noisy.joints_m).mean()
    fitted = distances_m(noisy_labels.joints_m, noisy.joints_m).mean()
    assert fitted < 0.66 * given
    assert noisy_labels.noise_m == pytest.approx(NOISE_M, rel=0.1)
    assert noisy_labels.good.mean() > 0.95


def test_one_shape_of_a_take_is_nearer_to_the_truth_than_one_of_each_frame(
    noisy: MadeTake, noisy_labels: TakeLabels
) -> None:
    def off_m(shape: HandShape) -> float:
        return float(np.abs(shape.finger_bones_m - noisy.shape.finger_bones_m).mean())

    given = noisy.keypoints
    alone = []
    for row in range(8):
        rows = slice(row, row + 1)
        one = TakeKeypoints(
            "one", given.frames[rows], given.left[rows], given.joints_m[rows], given.weights[rows]
        )
        alone.append(off_m(open_hand(labelled(one)).shape))
    assert off_m(open_hand(noisy_labels).shape) < 0.6 * np.mean(alone)
    assert np.mean(alone) < off_m(HandShape.mean())  # even one frame says more than the mean hand


def test_every_hand_of_a_take_has_the_same_bones(noisy_labels: TakeLabels) -> None:
    lengths_m = bone_lengths(noisy_labels.joints_m)
    np.testing.assert_allclose(lengths_m, np.broadcast_to(lengths_m[0], lengths_m.shape), atol=1e-9)


def test_the_parameters_give_the_joints(noisy_labels: TakeLabels) -> None:
    found = open_hand(noisy_labels)
    for row in range(10):
        pose = KinematicPose(found.wrists_m[row], found.rotations[row], found.angles_rad[row])
        side = Side.LEFT if noisy_labels.left[row] else Side.RIGHT
        np.testing.assert_allclose(joints(found.shape, pose, side), noisy_labels.joints_m[row], atol=1e-9)
    assert {True, False} == set(noisy_labels.left[:10].tolist())


def test_a_mirrored_take_has_mirrored_labels(noisy: MadeTake, noisy_labels: TakeLabels) -> None:
    given = noisy.keypoints
    mirrored = labelled(replace(given, left=~given.left, joints_m=given.joints_m * MIRROR))
    np.testing.assert_allclose(mirrored.joints_m, noisy_labels.joints_m * MIRROR, atol=1e-9)
    np.testing.assert_allclose(open_hand(mirrored).angles_rad, open_hand(noisy_labels).angles_rad, atol=1e-9)


def test_angles_keep_their_limits_and_say_what_went_beyond(clean: MadeTake) -> None:
    """Index fingers bent 40 degrees back where 10 are the limit."""
    angles_rad = clean.angles_rad.copy()
    bent = np.arange(len(angles_rad)) % 4 == 0
    angles_rad[bent, 1, 2] = np.radians(-40.0)
    sides = [Side.LEFT if left else Side.RIGHT for left in clean.keypoints.left]
    poses = [KinematicPose(np.zeros(3), np.eye(3), angles) for angles in angles_rad]
    posed = [joints(clean.shape, pose, side) for pose, side in zip(poses, sides, strict=True)]
    labels = labelled(with_joints(clean.keypoints, np.stack(posed)))
    found = open_hand(labels).angles_rad
    assert (found >= ANGLE_LOWER_RAD - 1e-12).all()
    assert (found <= ANGLE_UPPER_RAD + 1e-12).all()
    column = REASONS.index("beyond_limits")
    np.testing.assert_array_equal(labels.bad[:, column], bent)
    np.testing.assert_allclose(labels.beyond_rad[bent, 1, 2], np.radians(-30.0), atol=0.02)
    assert np.abs(labels.beyond_rad[~bent]).max() < 1e-9
    assert labels.only(labels.good).frames.tolist() == labels.frames[~labels.bad.any(axis=1)].tolist()


@pytest.mark.parametrize("missing", [(8,), (3, 4), (10, 11, 12), (0,), (5, 9), (1, 2, 3, 4)])
def test_joints_nobody_saw_are_put_where_the_hand_has_them(noisy: MadeTake, missing: tuple[int, ...]) -> None:
    """Half of the hands lack them; these keep the bones, and the other joints their places."""
    seen_m = noisy.keypoints.joints_m[:80].copy()
    seen_m[:40, missing] = np.nan
    given = noisy.keypoints
    part = TakeKeypoints("part", given.frames[:80], given.left[:80], seen_m, given.weights[:80])
    labels = labelled(part)
    assert np.isfinite(labels.joints_m).all()
    assert np.isnan(labels.residuals_m[:40][:, missing]).all()
    assert np.isfinite(labels.residuals_m[40:]).all()
    off_m = distances_m(labels.joints_m, noisy.joints_m[:80])
    filled, others = off_m[:40][:, missing], np.delete(off_m[:40], missing, axis=1)
    assert others.mean() < 1.1 * off_m[40:].mean()
    reach_m = {(0,): 0.012, (5, 9): 0.012, (8,): 0.020, (3, 4): 0.030}.get(missing, 0.05)
    assert filled.mean() < reach_m  # a whole thumb or finger can be anywhere; a knuckle cannot


def test_a_joint_far_off_does_not_drag_the_hand_and_is_named(noisy: MadeTake) -> None:
    """Every joint in turn is 50 mm off, in any direction."""
    rng = np.random.default_rng(4)
    seen_m = noisy.keypoints.joints_m.copy()
    rows, spoiled = np.arange(len(seen_m)), np.arange(len(seen_m)) % 21
    aside = rng.normal(size=(len(seen_m), 3))
    seen_m[rows, spoiled] += 0.05 * aside / np.linalg.norm(aside, axis=1, keepdims=True)
    labels = labelled(with_joints(noisy.keypoints, seen_m))
    others = np.ones(seen_m.shape[:2], dtype=bool)
    others[rows, spoiled] = False
    off_m = distances_m(labels.joints_m, noisy.joints_m)
    before = distances_m(labelled(noisy.keypoints).joints_m, noisy.joints_m)
    assert off_m[others].mean() < 1.08 * before[others].mean()
    assert off_m[~others].mean() < 0.012
    named = np.nanargmax(labels.residuals_m, axis=1) == spoiled
    assert named.mean() > 0.95
    assert labels.outliers[rows, spoiled].mean() > 0.95
    assert labels.outliers[others].mean() < 0.01
    assert labels.good.mean() > 0.95  # the label is what the other joints say


def test_a_hand_that_is_none_is_called_bad(noisy: MadeTake) -> None:
    """Points in a ball; a hand with its joints in another order; nine points; ten of the wrong side."""
    rng = np.random.default_rng(6)
    seen_m = noisy.keypoints.joints_m.copy()
    seen_m[0] = rng.normal(0.0, 0.08, (21, 3))
    seen_m[1] = seen_m[1, rng.permutation(21)]
    seen_m[2, 1:13] = np.nan
    seen_m[3:13] *= MIRROR
    bad = labelled(with_joints(noisy.keypoints, seen_m)).bad
    assert bad[:3].any(axis=1).all()
    assert bad[2, REASONS.index("few_keypoints")]
    assert bad[3:13].any(axis=1).sum() >= 8
    assert bad[13:].any(axis=1).mean() < 0.05


def test_weights_count(clean: MadeTake) -> None:
    """Of two takes in one, one shape: the part that counts a thousandth says nothing."""
    seen_m, weights = clean.keypoints.joints_m.copy(), clean.keypoints.weights.copy()
    weights[:, 8] = 1e-3
    seen_m[:, 8] += 0.004
    heavy = labelled(with_joints(clean.keypoints, seen_m))
    light = labelled(replace(clean.keypoints, joints_m=seen_m, weights=weights))
    off_heavy = distances_m(heavy.joints_m, clean.joints_m)[:, 7].mean()
    off_light = distances_m(light.joints_m, clean.joints_m)[:, 7].mean()
    assert off_light < 0.2 * off_heavy


def test_hands_of_a_take_in_another_order_get_the_same_labels(noisy: MadeTake) -> None:
    """Batches do not matter, nor which hands the shape is taken from, where all are."""
    given, order = noisy.keypoints, np.random.default_rng(0).permutation(len(noisy.keypoints))
    shuffled = labelled(
        TakeKeypoints(
            "s", given.frames[order], given.left[order], given.joints_m[order], given.weights[order]
        )
    )
    np.testing.assert_allclose(shuffled.joints_m, labelled(given).joints_m[order], atol=1e-7)


def test_hands_without_keypoints_are_refused(clean: MadeTake) -> None:
    seen_m = clean.keypoints.joints_m.copy()
    seen_m[3] = np.nan
    with pytest.raises(ValueError, match="needs keypoints"):
        fit_take(OpenHand(), with_joints(clean.keypoints, seen_m))
    with pytest.raises(ValueError, match=r"weights has shape \(40, 20\), want \(40, 21\)"):
        replace(clean.keypoints, weights=np.ones((40, 20)))


@pytest.mark.parametrize("clip", ["basic_pick_and_place_0", "insert_remove_3"])
def test_real_hands_are_hands_of_this_model(shared: Path, clip: str) -> None:
    """What a headset measured of one wearer fits to a millimetre, bends within the limits, and noise goes."""
    with np.load(shared / "data" / "gt" / f"egodex_{clip}.npz") as stored:
        true_m = stored["joints_cam"][::4].astype(np.float64)
    count = len(true_m)
    left = np.tile([True, False], count)
    flat_m = true_m.reshape(-1, 21, 3)
    there = np.isfinite(flat_m).all(axis=(1, 2))
    take = TakeKeypoints(
        clip, np.repeat(np.arange(count), 2)[there], left[there], flat_m[there], np.ones((there.sum(), 21))
    )
    labels = labelled(take)
    assert np.median(labels.rms_m) < 0.0015
    assert labels.good.all()
    seen_m = take.joints_m + NOISE_M * np.random.default_rng(1).normal(size=take.joints_m.shape)
    fitted = labelled(with_joints(take, seen_m))
    given_m = distances_m(seen_m, take.joints_m).mean()
    assert distances_m(fitted.joints_m, take.joints_m).mean() < 0.65 * given_m
    assert fitted.good.mean() > 0.95


# Slopes


@pytest.mark.parametrize("name", ["open hand", "mano"])
def test_slopes_agree_with_finite_differences(name: str, mano: ManoHand) -> None:
    model: HandModel = OpenHand() if name == "open hand" else mano
    rng = np.random.default_rng(9)
    shape = rng.normal(size=len(model.shape_precision)) * np.diag(model.shape_precision) ** -0.5
    share = rng.uniform(0.0, 1.0, (3, len(model.lower_rad)))
    angles_rad = model.lower_rad + share * (model.upper_rad - model.lower_rad)
    angles_rad[0] = 0.0  # where a rotation vector has no direction
    pose = (rng.normal(size=(3, 3)), rotation_from_vector(rng.normal(size=(3, 3))), angles_rad)
    linear = model.linearize(shape, pose, with_shape=True)
    assert linear.by_shape is not None

    def moved(change: FloatArray) -> FloatArray:
        return model.linearize(shape, step(*pose, change), with_shape=False).joints_m.reshape(3, -1)

    for column in range(linear.by_pose.shape[-1]):
        change = np.zeros((3, linear.by_pose.shape[-1]))
        change[:, column] = 1e-5
        slope = (moved(change) - moved(-change)) / 2e-5
        np.testing.assert_allclose(linear.by_pose[..., column], slope, atol=1e-8)
    for number in range(len(shape)):
        change = 1e-6 * np.eye(len(shape))[number]
        more = model.linearize(shape + change, pose, with_shape=False).joints_m
        less = model.linearize(shape - change, pose, with_shape=False).joints_m
        slope = ((more - less) / 2e-6).reshape(3, -1)
        np.testing.assert_allclose(linear.by_shape[..., number], slope, atol=1e-8)


def test_the_left_jacobian_is_the_derivative_of_a_rotation() -> None:
    """Also where the closed form gives way to the series."""
    rng = np.random.default_rng(2)
    for length in (0.0, 5e-3, 9.9e-3, 1.01e-2, 0.5, 3.0):
        vector = rng.normal(size=3)
        vector *= length / np.linalg.norm(vector)
        for axis in np.eye(3):
            turned = rotation_from_vector(vector + 1e-6 * axis) @ rotation_from_vector(vector - 1e-6 * axis).T
            skew = (turned - turned.T) / 4e-6
            found = left_jacobian(vector) @ axis
            np.testing.assert_allclose((skew[2, 1], skew[0, 2], skew[1, 0]), found, atol=1e-8)


def test_a_shape_is_counted_from_the_mean_hand_in_the_wrists_own_axes() -> None:
    rng = np.random.default_rng(0)
    np.testing.assert_array_equal(hand_shape(np.zeros(27)).palm_m, HandShape.mean().palm_m)
    shape = hand_shape(rng.normal(0.0, 0.004, 27))
    upright = KinematicPose(np.zeros(3), np.eye(3), np.zeros((5, 4)))
    posed = joints(shape, upright, Side.RIGHT)
    np.testing.assert_allclose(HandShape.from_joints(posed, Side.RIGHT).palm_m, shape.palm_m, atol=1e-12)


# MANO


def mano_take(mano: ManoHand, count: int, noise_m: float) -> tuple[TakeKeypoints, FloatArray, ManoTake]:
    """A take of MANO hands made by the model itself, left ones its mirror images."""
    rng = np.random.default_rng(12)
    share = rng.uniform(0.2, 0.8, (count, 45))
    vectors_rad = mano.vectors_rad(mano.lower_rad + share * (mano.upper_rad - mano.lower_rad))
    truth = ManoTake(
        betas=rng.normal(size=10),
        global_orient=rotation_from_vector(rng.normal(size=(count, 3))),
        hand_pose=rotation_from_vector(vectors_rad),
        translation_m=rng.normal(0.0, 0.3, (count, 3)),
    )
    left = np.arange(count) % 2 == 0
    joints_m = mano_joints(mano.model, truth, left)
    seen_m = joints_m + noise_m * rng.normal(size=joints_m.shape)
    return TakeKeypoints("mano", np.arange(count), left, seen_m, np.ones((count, 21))), joints_m, truth


def mano_joints(model: ManoModel, hands: ManoTake, left: FloatArray) -> FloatArray:
    count = len(left)
    posed = model.pose(
        global_orient=hands.global_orient,
        hand_pose=hands.hand_pose,
        betas=np.broadcast_to(hands.betas, (count, 10)),
    )
    mirrors = np.where(left[:, None], MIRROR, 1.0)
    return posed.joints_m * mirrors[:, None] + hands.translation_m[:, None]


def test_mano_comes_back_and_poses_to_its_labels(mano: ManoHand) -> None:
    keypoints, joints_m, _ = mano_take(mano, 24, 0.0)
    labels = labelled(keypoints, mano)
    assert distances_m(labels.joints_m, joints_m).mean() < 1e-4
    assert distances_m(labels.joints_m, joints_m).max() < 3e-4
    assert isinstance(labels.parameters, ManoTake)
    again = mano_joints(mano.model, labels.parameters, labels.left)
    np.testing.assert_allclose(again, labels.joints_m, atol=1e-9)
    for row in (0, 1):
        one = labels.mano(row)
        assert one.mirrored == labels.left[row]
        np.testing.assert_array_equal(one.betas, labels.parameters.betas)
    assert labels.good.all()


def test_mano_is_nearer_to_the_truth_than_noisy_keypoints(mano: ManoHand) -> None:
    keypoints, joints_m, _ = mano_take(mano, 48, NOISE_M)
    labels = labelled(keypoints, mano)
    given, fitted = distances_m(keypoints.joints_m, joints_m), distances_m(labels.joints_m, joints_m)
    assert fitted.mean() < 0.7 * given.mean()
    assert labels.only(labels.good).joints_m.shape == (labels.good.sum(), 21, 3)


@pytest.mark.parametrize("finger", range(len(FINGERS)))
def test_mano_and_the_open_hand_mean_the_same_by_a_bend(mano: ManoHand, finger: int) -> None:
    """So limits and filled joints are not turned the wrong way round; other fingers stay."""

    def angles(of_mano_rad: FloatArray) -> FloatArray:
        pose = (np.zeros((1, 3)), np.eye(3)[None], of_mano_rad.reshape(1, 45))
        joints_m = mano.linearize(np.zeros(10), pose, with_shape=False).joints_m[0]
        return angles_of((joints_m - joints_m[0]) @ camera_from_wrist(joints_m, Side.RIGHT))

    bent_rad = np.zeros((15, 3))
    bent_rad[[of == finger for of, _ in FINGER_AND_BONE], 0] = 0.5
    change = angles(bent_rad) - angles(np.zeros((15, 3)))
    assert change[finger, [FLEXION, MIDDLE_FLEXION, END_FLEXION]].min() > 0.3
    np.testing.assert_allclose(np.delete(change, finger, axis=0), 0.0, atol=0.02)  # pose blend shapes


def test_demands_and_settings_are_what_is_asked(noisy: MadeTake) -> None:
    """A stricter demand calls more hands bad; a fit of too few iterations says so."""
    fit = fit_take(OpenHand(), noisy.keypoints, FitSettings(iterations=2))
    column = REASONS.index("unsettled")
    assert labels_of(OpenHand(), noisy.keypoints, fit).bad[:, column].all()
    whole = fit_take(OpenHand(), noisy.keypoints)
    strict = labels_of(OpenHand(), noisy.keypoints, whole, Demands(most_rms_m=0.006))
    loose = labels_of(OpenHand(), noisy.keypoints, whole, Demands(most_rms_m=0.02))
    column = REASONS.index("large_residual")
    assert loose.bad[:, column].sum() == 0 < strict.bad[:, column].sum() < len(strict)
