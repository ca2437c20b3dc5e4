"""The backend hamer between a true hand and the camera: boxes, mirrors, axes, MANO, and early starts."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from lenses import LENSES
from seen_hands import detection_of, frame_at, hand_on_ray
from standin_mano import mano_arrays

from tracker.cameras import Camera
from tracker.crops import Crop, CropKind
from tracker.errors import MissingDependencyError
from tracker.joints import WRIST, FloatArray, Side
from tracker.mano_numpy import ManoModel, mano_from_arrays
from tracker.pipeline import HandTracker, with_placed_mano
from tracker.placement import place_hand
from tracker.placement.align import place_aligned
from tracker.placement.weak import place_weakly
from tracker.pose import load_pose_backend
from tracker.pose.hamer import HamerBackend, HamerOptions, crop_box, projected
from tracker.rotations import rotation_from_vector, vector_from_rotation
from tracker.structs import (
    ExpectedRegion,
    Frame,
    HandDetection,
    HandEstimate,
    HandPose,
    ManoParameters,
    ObservedHand,
)

pytest.importorskip("torch")

from tracker.networks.picture_reader import HandReading

CAMERA = LENSES["webcam"]
every_kind = pytest.mark.parametrize("kind", ["affine", "virtual"])
every_side = pytest.mark.parametrize("side", list(Side))
MIRROR = np.diag([-1.0, 1.0, 1.0])


class Ready:
    def __init__(self, readings: Sequence[HandReading]) -> None:
        self.readings = tuple(readings)

    def wait(self) -> tuple[HandReading, ...]:
        return self.readings


class PerfectReader:
    """Reads one MANO hand, given in the axes of a crop, wherever it is asked to; notes what it is asked."""

    def __init__(self, mano: ManoModel, seed: int = 0) -> None:
        rng = np.random.default_rng(seed)
        self.reading = reading_of(mano, rng)
        self.begun: list[tuple[list[Crop], list[bool]]] = []
        self.prepared: list[Frame] = []

    def prepare(self, frame: Frame) -> None:
        self.prepared.append(frame)

    def begin(self, frame: Frame, crops: list[Crop], mirrored: list[bool]) -> Ready:
        self.begun.append((crops, mirrored))
        return Ready([self.reading] * len(crops))


def reading_of(mano: ManoModel, rng: np.random.Generator) -> HandReading:
    """A hand in some pose."""
    orient = rotation_from_vector(rng.normal(size=3))
    pose = rotation_from_vector(0.3 * rng.normal(size=(15, 3)))
    betas = 0.5 * rng.normal(size=10)
    joints = mano.pose(global_orient=orient, hand_pose=pose, betas=betas).joints_m
    return HandReading(orient, pose, betas, np.array([0.9, 0.05, -0.03]), joints)


@pytest.fixture(scope="module")
def mano() -> ManoModel:
    return mano_from_arrays(mano_arrays())


def observed(side: Side = Side.RIGHT, *, x: float = 0.3, track_id: int = 1) -> ObservedHand:
    return ObservedHand(track_id, side, detection_of(hand_on_ray(CAMERA, x, 0.4), camera=CAMERA))


def region_of(hand: ObservedHand, **changes: object) -> ExpectedRegion:
    return replace(ExpectedRegion(hand.track_id, hand.side, hand.detection.box), **changes)  # type: ignore[arg-type]


def model_joints(mano: ManoModel, parameters: ManoParameters) -> FloatArray:
    """Joints (21, 3) where the parameters, as the wire format defines them, put them."""
    posed = mano.pose(
        global_orient=parameters.global_orient, hand_pose=parameters.hand_pose, betas=parameters.betas
    )
    return posed.joints_m * (-1.0 if parameters.mirrored else 1.0, 1.0, 1.0) + parameters.translation_m


# Boxes.


@pytest.mark.parametrize(
    ("tight", "center", "size"),
    [
        ((300, 150, 520, 400), (410, 275), 586.6667),
        ((100, 100, 220, 260), (160, 180), 320.0),
        ((300, 600, 1100, 1500), (700, 1050), 2133.3333),
    ],
)
def test_the_box_is_the_published_one(
    tight: tuple[float, ...], center: tuple[float, ...], size: float
) -> None:
    joints = np.tile(np.array([tight[:2], tight[2:]], dtype=np.float64), (11, 1))[:21]
    box = crop_box(joints)
    np.testing.assert_allclose(box.center_px, center)
    np.testing.assert_allclose(box.size_px, size, rtol=1e-6)
    assert box.rotation_rad == 0.0


# Axes.


@every_kind
@every_side
@pytest.mark.parametrize("camera", LENSES.values(), ids=LENSES.keys())
def test_what_is_seen_in_the_crop_is_turned_and_mirrored_back(
    mano: ManoModel, kind: CropKind, side: Side, camera: Camera
) -> None:
    reader = PerfectReader(mano)
    hand = ObservedHand(1, side, detection_of(hand_on_ray(camera, 0.3, 0.4), camera=camera))
    (estimate,) = HamerBackend(reader, crop=kind).estimate(frame_at(0.0, camera=camera), [hand])
    ((crop,), mirrored) = reader.begun[-1]
    assert mirrored == [side is Side.LEFT]
    in_crop = reader.reading.joints_m @ (MIRROR if side is Side.LEFT else np.eye(3))
    in_camera = in_crop @ crop.camera_from_crop.T
    np.testing.assert_allclose(estimate.joints_from_wrist_m, in_camera - in_camera[WRIST], atol=1e-12)
    seen = projected(reader.reading)
    if side is Side.LEFT:
        seen[:, 0] = 256 - seen[:, 0]
    np.testing.assert_allclose(estimate.joints_px, crop.image_from_crop(seen))
    assert estimate.mano is not None
    np.testing.assert_allclose(
        model_joints(mano, estimate.mano),
        in_camera - in_camera.mean(axis=0),
        atol=1e-9,
        err_msg="MANO's model, turned and mirrored as its parameters say, has other joints",
    )


def test_mirroring_a_rotation_negates_y_and_z_of_its_axis() -> None:
    vectors = np.random.default_rng(0).normal(size=(20, 3))
    mirrored = MIRROR @ rotation_from_vector(vectors) @ MIRROR
    np.testing.assert_allclose(vector_from_rotation(mirrored), vectors * (1, -1, -1), atol=1e-9)


def test_the_camera_is_the_published_weak_perspective_one(mano: ManoModel) -> None:
    reading = reading_of(mano, np.random.default_rng(1))
    scale, x, y = reading.camera
    placed = reading.joints_m + np.array([x, y, 2 * 5000 / (256 * scale)])
    half_crops = placed[:, :2] / placed[:, 2:] * 5000 / 256
    np.testing.assert_allclose(projected(reading), 256 * (half_crops + 0.5))
    # Nearly scale * (joint + shift) in half crops, hence the name.
    weak = scale * (reading.joints_m[:, :2] + [x, y])
    np.testing.assert_allclose(projected(reading), 128 * (1 + weak), atol=0.5)


@every_side
def test_weak_placement_is_the_published_formula_with_the_true_focal_length(
    mano: ManoModel, side: Side
) -> None:
    """As HaMeR's demo brings its crop's camera to the whole picture, less its made-up focal length.

    Its (W/2, H/2) is the lens's principal point, its mirror of left hands the crop's.
    """
    reader = PerfectReader(mano)
    (estimate,) = HamerBackend(reader, crop="affine").estimate(frame_at(0.0, camera=CAMERA), [observed(side)])
    box = crop_box(observed(side).detection.estimate.joints_px)
    scale, x, y = reader.reading.camera
    x, joints_m = (
        (-x, reader.reading.joints_m @ MIRROR) if side is Side.LEFT else (x, reader.reading.joints_m)
    )
    per_metre = 2 / (box.size_px * scale)
    offset_px = box.center_px - (CAMERA.cx, CAMERA.cy)
    depth_m = 0.5 * (CAMERA.fx + CAMERA.fy) * per_metre
    published = joints_m + np.array([x + per_metre * offset_px[0], y + per_metre * offset_px[1], depth_m])
    pose = place_weakly(estimate, CAMERA)
    np.testing.assert_allclose(pose.joints_in_camera_m, published, atol=1e-12)


@every_side
def test_weak_placement_in_a_turned_camera_is_that_cameras_own(mano: ManoModel, side: Side) -> None:
    """There the hand is straight ahead, so weak perspective is wrong by its depth alone."""
    reader = PerfectReader(mano)
    (estimate,) = HamerBackend(reader).estimate(frame_at(0.0, camera=CAMERA), [observed(side)])
    joints_m = place_weakly(estimate, CAMERA).joints_in_camera_m
    np.testing.assert_allclose(joints_m - joints_m[WRIST], estimate.joints_from_wrist_m, atol=1e-12)
    off_px = np.linalg.norm(CAMERA.project(joints_m) - estimate.joints_px, axis=1)
    assert off_px.max() < 0.25 * np.ptp(estimate.joints_px, axis=0).max()


# MANO where the hand is published.


@every_side
@every_kind
@pytest.mark.parametrize("place", [place_hand, place_weakly, place_aligned])
def test_the_model_is_turned_with_the_joints_however_they_are_placed(
    mano: ManoModel, side: Side, kind: CropKind, place: Callable[[HandEstimate, Camera], HandPose]
) -> None:
    backend = HamerBackend(PerfectReader(mano), crop=kind)
    (estimate,) = backend.estimate(frame_at(0.0, camera=CAMERA), [observed(side)])
    pose = with_placed_mano(place(estimate, CAMERA))
    assert pose.mano is not None
    np.testing.assert_allclose(model_joints(mano, pose.mano), pose.joints_in_camera_m, atol=1e-6)


@every_side
def test_published_parameters_put_the_model_on_the_published_joints(mano: ManoModel, side: Side) -> None:
    (estimate,) = HamerBackend(PerfectReader(mano)).estimate(frame_at(0.0, camera=CAMERA), [observed(side)])
    placed = place_hand(estimate, CAMERA)
    pose = with_placed_mano(placed)
    assert pose.mano is not None
    np.testing.assert_allclose(model_joints(mano, pose.mano), pose.joints_in_camera_m, atol=1e-9)
    larger = with_placed_mano(place_hand(estimate, CAMERA, hand_scale=1.1))
    assert larger.mano is not None
    off = larger.joints_in_camera_m - model_joints(mano, larger.mano)
    np.testing.assert_allclose(off.mean(axis=0), 0.0, atol=1e-9)


class SteadyDetector:
    """Sees what it is told to, in the expected regions."""

    def __init__(self) -> None:
        self.hands: list[HandDetection] = []

    def detect(self, frame: Frame, regions: Sequence[ExpectedRegion]) -> tuple[HandDetection, ...]:
        ids = [region.track_id for region in regions] or [None] * len(self.hands)
        return tuple(replace(hand, expected_track_id=i) for hand, i in zip(self.hands, ids, strict=False))

    def close(self) -> None: ...


def test_through_the_pipeline_model_and_joints_keep_together(mano: ManoModel) -> None:
    """Moving, smoothed, coasting, predicted: whatever moves the joints, the model is there too."""
    detector, reader = SteadyDetector(), PerfectReader(mano)
    with HandTracker(backend=HamerBackend(reader), detector=detector) as tracker:
        for index in range(8):
            x = 0.3 + 0.02 * index
            detector.hands = [observed(x=x).detection] if index < 6 else []
            tracked = tracker.process(frame_at(index / 30, index, CAMERA))
            (hand,) = tracked.hands
            assert (hand.unseen_s > 0) == (index >= 6)
            assert hand.pose.mano is not None
            off = hand.pose.joints_in_camera_m - model_joints(mano, hand.pose.mano)
            np.testing.assert_allclose(off.mean(axis=0), 0.0, atol=1e-9)
            assert np.linalg.norm(off, axis=-1).max() < 0.01
    assert list(tracked.stage_durations_s) == ["detect", "pose", "placement", "temporal"]


def test_the_hands_size_is_the_median_of_what_hamer_saw(mano: ManoModel) -> None:
    """Not of what the light network saw: its sizes say nothing of MANO's."""
    detector, reader = SteadyDetector(), PerfectReader(mano)
    with HandTracker(backend=HamerBackend(reader), detector=detector) as tracker:
        for index, size in enumerate((1.0, 1.3, 0.8, 1.1)):
            steady = observed().detection
            shape = steady.estimate.joints_from_wrist_m * size
            detector.hands = [replace(steady, estimate=replace(steady.estimate, joints_from_wrist_m=shape))]
            (hand,) = tracker.process(frame_at(index / 30, index, CAMERA)).hands
            lengths = np.linalg.norm(np.diff(hand.pose.joints_in_camera_m[[0, 9]], axis=0))
            np.testing.assert_allclose(
                lengths, np.linalg.norm(np.diff(reader.reading.joints_m[[0, 9]], axis=0)), rtol=1e-6
            )


# Early starts.


def begun_hands(reader: PerfectReader) -> list[int]:
    return [len(crops) for crops, _ in reader.begun]


def second_frame(mano: ManoModel, now: Sequence[ObservedHand], **expected: object) -> list[int]:
    """How many hands were read in the first frame, early and late in the second."""
    reader = PerfectReader(mano)
    backend = HamerBackend(reader)
    before = observed()
    backend.estimate(frame_at(0.0, camera=CAMERA), [before])
    frame = frame_at(1 / 30, 1, CAMERA)
    backend.start(frame, [region_of(before, **expected)])
    assert len(backend.estimate(frame, now)) == len(now)
    return begun_hands(reader)


def test_a_tracked_hand_is_read_before_it_is_confirmed(mano: ManoModel) -> None:
    assert second_frame(mano, [observed()]) == [1, 1, 0]


def test_a_small_move_keeps_the_early_result(mano: ManoModel) -> None:
    assert second_frame(mano, [observed(x=0.31)]) == [1, 1, 0]


def test_a_new_hand_waits_for_the_light_networks(mano: ManoModel) -> None:
    assert second_frame(mano, [observed(x=0.7, track_id=2), observed()]) == [1, 1, 1]


def test_a_hand_of_the_other_side_is_read_again(mano: ManoModel) -> None:
    assert second_frame(mano, [observed(Side.LEFT)]) == [1, 1, 1]


def test_a_hand_that_is_elsewhere_is_read_again(mano: ManoModel) -> None:
    assert second_frame(mano, [observed(x=0.5)]) == [1, 1, 1]


def test_a_hand_that_is_gone_loses_its_early_result(mano: ManoModel) -> None:
    assert second_frame(mano, []) == [1, 1, 0]


def test_a_coasting_track_is_not_read_early(mano: ManoModel) -> None:
    assert second_frame(mano, [observed()], unseen_s=0.03) == [1, 1]


def test_an_early_crop_follows_the_expected_box(mano: ManoModel) -> None:
    reader = PerfectReader(mano)
    backend = HamerBackend(reader, crop="affine")
    before, after = observed(), observed(x=0.45)
    backend.estimate(frame_at(0.0, camera=CAMERA), [before])
    frame = frame_at(1 / 30, 1, CAMERA)
    backend.start(frame, [region_of(before, box=after.detection.box)])
    middle = np.array([128.0, 128.0])
    (early,) = reader.begun[-1][0]
    wanted = crop_box(after.detection.estimate.joints_px)
    assert np.abs(early.image_from_crop(middle) - wanted.center_px).max() < 0.02 * wanted.size_px


def test_what_was_started_for_another_frame_is_dropped(mano: ManoModel) -> None:
    reader = PerfectReader(mano)
    backend = HamerBackend(reader)
    hand = observed()
    backend.estimate(frame_at(0.0, camera=CAMERA), [hand])
    backend.start(frame_at(1 / 30, 1, CAMERA), [region_of(hand)])
    backend.estimate(frame_at(2 / 30, 2, CAMERA), [hand])
    assert begun_hands(reader) == [1, 1, 1]


def test_frames_are_prepared_where_the_backend_offers_it(mano: ManoModel) -> None:
    reader = PerfectReader(mano)
    frame = frame_at(0.0, camera=CAMERA)
    with HandTracker(backend=HamerBackend(reader), detector=SteadyDetector()) as tracker:
        tracker.prepare(frame)
    assert reader.prepared == [frame]
    with HandTracker(detector=SteadyDetector()) as tracker:
        tracker.prepare(frame)  # the light backend has nothing to prepare


# Files.


def test_without_files_it_says_what_it_needs() -> None:
    with pytest.raises(MissingDependencyError, match="MANO"):
        load_pose_backend("hamer", hamer=HamerOptions(checkpoint=Path("hamer.ckpt")))
