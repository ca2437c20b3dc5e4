"""Smoothing of recorded tracks: no lag, less error than live, gaps filled, nothing else changed."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from seen_hands import CAMERA, estimate_of, hand_on_ray
from tracked_values import some_frame, some_hand, some_mano

from tracker.hand_shape import HandShape
from tracker.joints import FloatArray, Side
from tracker.kinematic_hand import KinematicPose, joints
from tracker.placement import place_hand
from tracker.rotations import rotation_from_vector
from tracker.structs import HandPose, TrackedFrame, TrackedHand
from tracker.temporal.hindsight import HindsightSmoother, MotionParameters, smooth_in_hindsight
from tracker.temporal.smoothing import MAX_STEP_M, PALM, HandFilter, SmoothingConfig
from tracker.temporal.two_sided import smooth_recorded

FRAME_S = 1 / 30
HAND = hand_on_ray(CAMERA, 0.6, 0.4)
POSE = place_hand(estimate_of(HAND, CAMERA), CAMERA)
SHAPE = HandShape.mean()


def pose_at(joints_m: FloatArray, side: Side = Side.RIGHT) -> HandPose:
    return replace(POSE, side=side, joints_in_camera_m=joints_m)


def fitted(kinematics: KinematicPose) -> HandPose:
    joints_m = joints(SHAPE, kinematics, Side.RIGHT)
    turn = kinematics.camera_from_wrist
    return replace(pose_at(joints_m), camera_from_wrist=turn, kinematics=kinematics, shape=SHAPE)


def hand_of(pose: HandPose, *, track_id: int = 1, unseen_s: float = 0.0) -> TrackedHand:
    joints_px = CAMERA.project(pose.joints_in_camera_m)
    return TrackedHand(track_id, 0.9, unseen_s, pose, joints_px, np.zeros((21, 3)))


def smoothed(
    hands: Sequence[Sequence[TrackedHand]], times_s: Sequence[float] | None = None
) -> list[TrackedFrame]:
    times_s = times_s if times_s is not None else [FRAME_S * index for index in range(len(hands))]
    frames = [
        some_frame(*found, index=i, time_s=t) for i, (found, t) in enumerate(zip(hands, times_s, strict=True))
    ]
    with np.errstate(all="raise"):
        result = smooth_recorded([(frame, CAMERA) for frame in frames])
    assert [frame.frame_index for frame in result] == [frame.frame_index for frame in frames]
    for frame in result:
        for hand in frame.hands:
            assert (
                np.isfinite(hand.pose.joints_in_camera_m).all() and np.isfinite(hand.velocity_m_per_s).all()
            )
            np.testing.assert_allclose(hand.joints_px, CAMERA.project(hand.pose.joints_in_camera_m))
    return result


def joints_of(frames: Sequence[TrackedFrame]) -> FloatArray:
    """(T, 21, 3) of the only hand."""
    return np.array([frame.hands[0].pose.joints_in_camera_m for frame in frames])


def palms_of(joints_m: FloatArray) -> FloatArray:
    return np.asarray(joints_m[..., PALM, :].mean(axis=-2))


def reaching(count: int) -> FloatArray:
    """Palm offsets (T, 3) of reaches and holds: across, up and away, up to 0.8 m/s."""
    phase = np.clip(np.sin(np.arange(count) * FRAME_S * 3.0) * 1.5, -1, 1)
    blend = np.cumsum(np.convolve(phase, np.ones(7) / 7, "same")) * FRAME_S
    return np.stack([0.6 * blend, -0.3 * blend, 0.5 * blend], axis=-1)


def bent_path(count: int) -> list[KinematicPose]:
    """A hand that moves, turns and closes."""
    offsets = reaching(count)
    return [
        KinematicPose(
            np.array([0.05, 0.08, 0.4]) + offset,
            rotation_from_vector(np.array([0.3, 0.8 * np.sin(0.05 * k), -0.2])) @ POSE.camera_from_wrist,
            np.full((5, 4), 0.5) + 0.3 * np.sin(0.1 * k) * np.array([1.0, 0.1, 1.0, 0.6]),
        )
        for k, offset in enumerate(offsets)
    ]


def noisy(path: Sequence[KinematicPose], seed: int) -> list[KinematicPose]:
    """The path as a network errs: 2 mm across, 8 mm along, 3 degrees, 6 degrees in the joints."""
    rng = np.random.default_rng(seed)
    found = []
    for pose in path:
        ray = pose.wrist_in_camera_m / np.linalg.norm(pose.wrist_in_camera_m)
        turn = rotation_from_vector(np.radians(3) / np.sqrt(3) * rng.standard_normal(3))
        found.append(
            KinematicPose(
                pose.wrist_in_camera_m + 0.002 * rng.standard_normal(3) + 0.008 * rng.standard_normal() * ray,
                turn @ pose.camera_from_wrist,
                pose.angles_rad + np.radians(6) * rng.standard_normal((5, 4)),
            )
        )
    return found


def causal(poses: Sequence[HandPose]) -> FloatArray:
    hand_filter = HandFilter(SmoothingConfig())
    return np.array([hand_filter(pose, FRAME_S)[0].joints_in_camera_m for pose in poses])


def lag_frames(found_m: FloatArray, truth_m: FloatArray) -> float:
    """Shift (3, T palms) that explains the error best: least squares of it against the velocity."""
    velocity = np.gradient(truth_m, axis=0)
    return -float(((found_m - truth_m) * velocity).sum() / (velocity * velocity).sum())


@pytest.mark.parametrize("with_angles", [True, False])
def test_the_error_is_smaller_than_live_and_there_is_no_lag(with_angles: bool) -> None:
    truth = bent_path(150)
    truth_m = np.array([joints(SHAPE, pose, Side.RIGHT) for pose in truth])
    poses = [fitted(pose) for pose in noisy(truth, 1)]
    if not with_angles:
        poses = [replace(pose, kinematics=None, shape=None) for pose in poses]
    raw_m = np.array([pose.joints_in_camera_m for pose in poses])
    live_m, found_m = causal(poses), joints_of(smoothed([[hand_of(pose)] for pose in poses]))

    def error_m(path_m: FloatArray) -> float:
        return float(np.linalg.norm(path_m - truth_m, axis=-1)[5:].mean())

    assert error_m(found_m) < 0.8 * error_m(raw_m)
    assert error_m(found_m) < 0.6 * error_m(live_m)
    assert abs(lag_frames(palms_of(found_m), palms_of(truth_m))) < 0.05
    assert lag_frames(palms_of(live_m), palms_of(truth_m)) > 0.1
    shaken = np.linalg.norm(np.diff(found_m - truth_m, n=2, axis=0), axis=-1).mean()
    assert shaken < 0.15 * np.linalg.norm(np.diff(raw_m - truth_m, n=2, axis=0), axis=-1).mean()


def test_velocities_are_those_of_the_path_published() -> None:
    truth = bent_path(90)
    frames = smoothed([[hand_of(fitted(pose))] for pose in noisy(truth, 2)])
    joints_m = joints_of(frames)
    velocities = np.array([frame.hands[0].velocity_m_per_s for frame in frames])
    np.testing.assert_allclose(velocities[1:-1], (joints_m[2:] - joints_m[:-2]) / (2 * FRAME_S), atol=1e-9)
    true_m_per_s = np.gradient(np.array([pose.wrist_in_camera_m for pose in truth]), FRAME_S, axis=0)
    assert np.linalg.norm(velocities[:, 0] - true_m_per_s, axis=-1)[5:-5].mean() < 0.1


def test_a_hand_that_moves_straight_along_its_ray_or_rests_is_left_as_it_was() -> None:
    along = palms_of(HAND) / np.linalg.norm(palms_of(HAND))
    growth = np.exp(0.002 * np.arange(60))  # steady in the logarithm of the range
    resting, receding = [HAND] * 60, [HAND + (g - 1) * np.linalg.norm(palms_of(HAND)) * along for g in growth]
    for path in (resting, receding):
        found_m = joints_of(smoothed([[hand_of(pose_at(joints_m))] for joints_m in path]))
        np.testing.assert_allclose(found_m, path, atol=1e-7)


def test_a_hand_that_moves_evenly_across_the_view_is_left_almost_as_it_was() -> None:
    path = [HAND + np.array([0.005 * k, 0.0, 0.0]) for k in range(40)]
    found_m = joints_of(smoothed([[hand_of(pose_at(joints_m))] for joints_m in path]))
    assert np.linalg.norm(found_m - path, axis=-1).max() < 0.004  # rays bend a straight path


def test_a_gap_is_filled_between_its_ends_and_marked_as_unseen() -> None:
    path = [HAND + np.array([0.012 * k, 0.0, 0.0]) for k in range(30)]
    hands = [[hand_of(pose_at(joints_m))] for joints_m in path]
    for k in range(12, 16):  # as tracks coast: at the last place, anywhere
        hands[k] = [hand_of(pose_at(path[11] - 0.02), unseen_s=(k - 11) * FRAME_S)]
    frames = smoothed(hands)
    assert [frame.hands[0].unseen_s > 0 for frame in frames] == [12 <= k < 16 for k in range(30)]
    assert np.linalg.norm(joints_of(frames) - path, axis=-1)[12:16].max() < 0.004


def test_coasting_past_the_last_sight_is_undone() -> None:
    hands = [[hand_of(pose_at(HAND), unseen_s=max(k - 19, 0) * FRAME_S)] for k in range(24)]
    assert [len(frame.hands) for frame in smoothed(hands)] == [1] * 20 + [0] * 4


def test_tracks_sides_order_and_what_was_seen_stay() -> None:
    rng = np.random.default_rng(3)
    other = hand_on_ray(CAMERA, 0.2, 0.5, side=Side.LEFT)
    hands = [
        [
            hand_of(pose_at(other + 0.002 * rng.standard_normal(3), Side.LEFT), track_id=7),
            hand_of(pose_at(HAND + 0.002 * rng.standard_normal(3)), track_id=4),
        ][:: 1 if k % 2 else -1]
        for k in range(20)
    ]
    for found, measured in zip(smoothed(hands), hands, strict=True):
        assert [hand.track_id for hand in found.hands] == [hand.track_id for hand in measured]
        for hand, before in zip(found.hands, measured, strict=True):
            assert hand.pose.side is before.pose.side and hand.score == before.score
            assert hand.pose.observed_px is before.pose.observed_px


def test_a_track_that_changes_its_side_is_smoothed_apart() -> None:
    left = hand_on_ray(CAMERA, 0.3, 0.4, side=Side.LEFT)
    hands = [[hand_of(pose_at(HAND) if k < 10 else pose_at(left, Side.LEFT))] for k in range(20)]
    found_m = joints_of(smoothed(hands))
    np.testing.assert_allclose(found_m[:10], [HAND] * 10, atol=1e-9)
    np.testing.assert_allclose(found_m[10:], [left] * 10, atol=1e-9)


def test_a_track_of_one_frame_is_left_as_it_was() -> None:
    frames = smoothed([[], [hand_of(pose_at(HAND))], []])
    np.testing.assert_allclose(frames[1].hands[0].pose.joints_in_camera_m, HAND, atol=1e-12)
    np.testing.assert_array_equal(frames[1].hands[0].velocity_m_per_s, 0.0)


def test_times_that_repeat_share_one_pose_and_times_that_go_back_start_anew() -> None:
    rng = np.random.default_rng(4)
    path = [HAND + np.array([0.01 * k, 0.0, 0.0]) + 0.003 * rng.standard_normal(3) for k in range(20)]
    times_s = [FRAME_S * (k // 2) for k in range(20)]
    found_m = joints_of(smoothed([[hand_of(pose_at(joints_m))] for joints_m in path], times_s))
    np.testing.assert_allclose(found_m[0::2], found_m[1::2], atol=1e-9)

    frozen = smoothed([[hand_of(pose_at(joints_m))] for joints_m in path[:2]], [1.0, 1.0])
    np.testing.assert_array_equal(frozen[0].hands[0].velocity_m_per_s, 0.0)

    there = HAND + np.array([0.2, 0.0, 0.1])
    hands = [[hand_of(pose_at(HAND if k < 10 else there))] for k in range(20)]
    found_m = joints_of(smoothed(hands, [FRAME_S * (k % 10) for k in range(20)]))
    np.testing.assert_allclose(found_m[:10], [HAND] * 10, atol=1e-9)
    np.testing.assert_allclose(found_m[10:], [there] * 10, atol=1e-9)


def test_one_wild_measurement_hardly_moves_the_path() -> None:
    path = [HAND + np.array([0.005 * k, 0.0, 0.0]) for k in range(40)]
    hands = [[hand_of(pose_at(joints_m))] for joints_m in path]
    calm_m = joints_of(smoothed(hands))
    hands[20] = [hand_of(pose_at(path[20] + np.array([0.1, -0.1, 0.2])))]
    moved_m = np.linalg.norm(palms_of(joints_of(smoothed(hands))) - palms_of(calm_m), axis=-1)
    assert moved_m.max() < 0.03


def test_whatever_was_measured_no_hand_leaps() -> None:
    rng = np.random.default_rng(5)
    path = [HAND * rng.choice([0.5, 1.0, 4.0]) + rng.uniform(-0.2, 0.2, 3) for _ in range(60)]
    path[30:] = [joints_m + np.array([0.0, 0.0, 1.5]) for joints_m in path[30:]]
    palms_m = palms_of(joints_of(smoothed([[hand_of(pose_at(joints_m))] for joints_m in path])))
    assert np.linalg.norm(np.diff(palms_m, axis=0), axis=-1).max() < MAX_STEP_M + 1e-9


def test_a_fitted_hand_keeps_its_bones() -> None:
    for frame in smoothed([[hand_of(fitted(pose))] for pose in noisy(bent_path(20), 6)]):
        pose = frame.hands[0].pose
        assert pose.kinematics is not None
        np.testing.assert_allclose(
            joints(SHAPE, pose.kinematics, Side.RIGHT), pose.joints_in_camera_m, atol=1e-12
        )


def test_a_mesh_moves_with_its_joints() -> None:
    rng = np.random.default_rng(7)
    hands = []
    for _ in range(10):
        hand = some_hand(mano=some_mano())
        shift_m = 0.01 * rng.standard_normal(3)
        assert hand.pose.mano is not None
        mano = replace(hand.pose.mano, translation_m=hand.pose.mano.translation_m + shift_m)
        joints_m = hand.pose.joints_in_camera_m + shift_m
        hands.append([replace(hand, pose=replace(hand.pose, joints_in_camera_m=joints_m, mano=mano))])
    for frame, before in zip(smoothed(hands), hands, strict=True):
        pose = frame.hands[0].pose
        assert pose.mano is not None and before[0].pose.mano is not None
        moved_m = pose.joints_in_camera_m.mean(axis=0) - before[0].pose.joints_in_camera_m.mean(axis=0)
        found_m = pose.mano.translation_m - before[0].pose.mano.translation_m
        np.testing.assert_allclose(found_m, moved_m, atol=1e-12)
        assert np.linalg.norm(moved_m) > 0


def test_no_frames_and_no_hands_are_fine() -> None:
    assert smoothed([]) == []
    assert all(not frame.hands for frame in smoothed([[], []]))


def test_the_smoother_is_the_least_squares_solution() -> None:
    """Against the same problem written out: all states at once, noise and unrest as weights."""
    rng = np.random.default_rng(8)
    times_s = np.cumsum(rng.uniform(0.02, 0.1, 12))
    values, variances = rng.standard_normal(12), rng.uniform(0.5, 2.0, 12)
    variances[5] = np.inf
    densities = rng.uniform(1.0, 30.0, 12)
    rows, wanted = [], []
    for k in range(12):  # unknowns: value and velocity of each time
        row = np.zeros(24)
        row[2 * k] = 1 / np.sqrt(variances[k])
        rows.append(row)
        wanted.append(values[k] / np.sqrt(variances[k]))
    for k in range(1, 12):
        dt_s = times_s[k] - times_s[k - 1]
        noise = densities[k] * np.array([[dt_s**3 / 3, dt_s**2 / 2], [dt_s**2 / 2, dt_s]])
        white = np.linalg.cholesky(np.linalg.inv(noise)).T
        block = np.zeros((2, 24))
        block[:, 2 * k : 2 * k + 2] = white
        block[:, 2 * k - 2 : 2 * k] = -white @ [[1, dt_s], [0, 1]]
        rows.extend(block)
        wanted.extend([0.0, 0.0])
    expected = np.linalg.lstsq(np.array(rows), np.array(wanted), rcond=None)[0].reshape(12, 2)
    found, slopes = smooth_in_hindsight(
        times_s, values[:, None, None], variances[:, None], densities[:, None]
    )
    np.testing.assert_allclose(found[:, 0, 0], expected[:, 0], atol=2e-3)
    np.testing.assert_allclose(slopes[:, 0, 0], expected[:, 1], atol=2e-2)


@pytest.mark.parametrize("rate_hz", [10.0, 30.0])
def test_a_path_and_the_same_backwards_are_smoothed_alike(rate_hz: float) -> None:
    """A hand that rests, darts away and turns back, with outliers, gaps and uneven times."""
    rng = np.random.default_rng(9)
    times_s = np.cumsum(rng.uniform(0.8, 1.2, 60)) / rate_hz
    path = np.where(np.arange(60) % 20 < 10, 0.0, np.sin(np.arange(60.0)))[:, None, None]
    values = path + 0.01 * rng.standard_normal((60, 4, 3))
    values[[17, 41]] += 0.5
    seen = np.ones(60, bool)
    seen[25:28] = False
    motion = MotionParameters(0.01, 0.01, 1.0)
    forward = HindsightSmoother(times_s, seen, 2.0)(values, motion, freedom=3)
    backward = HindsightSmoother(-times_s[::-1], seen[::-1], 2.0)(values[::-1], motion, freedom=3)
    np.testing.assert_allclose(
        backward[::-1], forward, rtol=0, atol=1e-4
    )  # the first velocity is all but unknown
