"""The backend potter between a true hand and the camera: crops on their side, axes, points, one batch."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
from lenses import LENSES
from seen_hands import detection_of, hand_on_ray

from tracker.cameras import Camera, Pinhole
from tracker.crops import AffineCrop, CropKind
from tracker.errors import EngineError, MissingDependencyError
from tracker.joints import WRIST, FloatArray, Side
from tracker.placement import place_hand
from tracker.pose import load_pose_backend
from tracker.pose.potter import PotterBackend, PotterOptions, crop_box
from tracker.rotations import rotation_between
from tracker.sampling import Float32Array, sample_crop
from tracker.structs import Frame, HandBox, ObservedHand

LYING = Pinhole(640, 480, 300.0, 300.0, 330.5, 231.5)
"""A camera whose picture lies on its side, as Aria's do: its -x is up."""
UPRIGHT = Pinhole(480, 640, 300.0, 300.0, 479 - 231.5, 330.5)
UPRIGHT_FROM_LYING = np.array([[0.0, -1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])


def upright_px(points_px: FloatArray) -> FloatArray:
    """The data set's map to its portrait view: (x, y) -> (height - 1 - y, x)."""
    return np.stack([LYING.height - 1 - points_px[..., 1], points_px[..., 0]], axis=-1)


class KnowsHands:
    """Reads the hands it is told, one for each crop, in the crops' axes; keeps the crops."""

    def __init__(self, *hands_m: FloatArray) -> None:
        self.hands_m = hands_m
        self.batches: list[list[Float32Array]] = []

    def read(self, crops: Sequence[Float32Array]) -> FloatArray:
        self.batches.append(list(crops))
        return np.stack(self.hands_m)


def picture(seed: int = 0) -> np.ndarray:
    """(480, 640, 3) smooth noise, on its side."""
    cells = np.random.default_rng(seed).integers(0, 256, (48, 64, 3))
    return np.kron(cells, np.ones((10, 10, 1))).astype(np.uint8)


def upright_frame(image: np.ndarray | None = None) -> Frame:
    return Frame(0, 0.0, np.rot90(picture() if image is None else image, k=-1).copy(), UPRIGHT)


def observed_at(joints_px: FloatArray, side: Side = Side.RIGHT, track_id: int = 1) -> ObservedHand:
    """A hand whose light network saw these points (21, 2)."""
    detection = detection_of(hand_on_ray(UPRIGHT, 0.5, 0.5, side=side), side=side, camera=UPRIGHT)
    return ObservedHand(
        track_id, side, replace(detection, estimate=replace(detection.estimate, joints_px=joints_px))
    )


@pytest.mark.parametrize("side", Side)
def test_a_hand_read_on_its_side_comes_out_upright_exactly(side: Side) -> None:
    """Known joints in the lying camera; seen, turned and placed upright they are the same joints, turned."""
    joints_m = hand_on_ray(LYING, 0.3, 0.7, side=side)
    seen_px = upright_px(LYING.project(joints_m))
    reader = KnowsHands(joints_m)
    (estimate,) = PotterBackend(reader).estimate(upright_frame(), [observed_at(seen_px, side)])
    expected_m = joints_m @ UPRIGHT_FROM_LYING.T
    np.testing.assert_allclose(UPRIGHT.project(expected_m), seen_px, atol=1e-9)
    np.testing.assert_allclose(estimate.joints_from_wrist_m, expected_m - expected_m[WRIST], atol=1e-15)
    np.testing.assert_allclose(place_hand(estimate, UPRIGHT).joints_in_camera_m, expected_m, atol=1e-6)


def test_the_crop_is_the_one_of_the_picture_on_its_side() -> None:
    joints_m = hand_on_ray(LYING, 0.3, 0.7)
    lying_px = LYING.project(joints_m)
    reader = KnowsHands(joints_m)
    PotterBackend(reader).estimate(upright_frame(), [observed_at(upright_px(lying_px))])
    low, high = lying_px.min(axis=0), lying_px.max(axis=0)
    size_px = 1.25 * 1.5 * float((high - low).max())
    published = AffineCrop(HandBox((low + high) / 2, size_px, 0.0), 224, LYING)
    wanted = sample_crop(picture(), published, "black")
    ((crop,),) = reader.batches
    # Places are rounded to 1/32 pixel, those halfway down in either picture: there the crops may differ by
    # 1/32 of a step from black to white.
    assert np.abs(crop - wanted).max() < 8.5 / 255
    assert (np.abs(crop - wanted) > 1e-3).mean() < 0.02


def test_hands_are_read_in_one_batch_and_none_is_mirrored() -> None:
    hands = [hand_on_ray(LYING, x, 0.5, side=side) for x, side in ((0.3, Side.LEFT), (0.6, Side.RIGHT))]
    seen = [upright_px(LYING.project(hand)) for hand in hands]
    reader = KnowsHands(*hands)
    observed = [observed_at(seen[0], Side.LEFT), observed_at(seen[1], Side.RIGHT, 2)]
    estimates = PotterBackend(reader).estimate(upright_frame(), observed)
    assert [len(batch) for batch in reader.batches] == [2]
    swapped = KnowsHands(*hands)
    others = [replace(hand, side=hand.side.other) for hand in observed]
    PotterBackend(swapped).estimate(upright_frame(), others)
    for crop, other in zip(reader.batches[0], swapped.batches[0], strict=True):
        np.testing.assert_array_equal(crop, other)
    assert [estimate.side for estimate in estimates] == [Side.LEFT, Side.RIGHT]
    for estimate, points_px in zip(estimates, seen, strict=True):
        np.testing.assert_array_equal(estimate.joints_px, points_px)
        assert estimate.mano is None


def test_nothing_is_read_where_no_hand_is() -> None:
    reader = KnowsHands()
    assert PotterBackend(reader).estimate(upright_frame(), []) == () and reader.batches == []


@pytest.mark.parametrize("kind", ["affine", "virtual"])
@pytest.mark.parametrize("camera", LENSES.values(), ids=LENSES.keys())
def test_only_a_turned_cameras_answer_is_turned_to_its_ray(camera: Camera, kind: CropKind) -> None:
    hand_m = hand_on_ray(LYING, 0.5, 0.5)
    observed = ObservedHand(1, Side.RIGHT, detection_of(hand_on_ray(camera, 0.3, 0.4), camera=camera))
    frame = Frame(0, 0.0, np.zeros((camera.height, camera.width, 3), np.uint8), camera)
    (estimate,) = PotterBackend(KnowsHands(hand_m), crop=kind).estimate(frame, [observed])
    upright_m = (hand_m - hand_m[WRIST]) @ UPRIGHT_FROM_LYING.T
    if kind == "virtual":
        box = crop_box(observed.detection.estimate.joints_px)
        to_ray = rotation_between(np.array([0.0, 0.0, 1.0]), camera.unproject(box.center_px))
        # Up to a turn about the ray: the turned camera's up is the picture's there, not the axis's.
        ahead = estimate.joints_from_wrist_m @ to_ray
        np.testing.assert_allclose(ahead[:, 2], upright_m[:, 2], atol=1e-6)
        assert np.abs(estimate.joints_from_wrist_m - upright_m).max() > 0.01
    else:
        np.testing.assert_allclose(estimate.joints_from_wrist_m, upright_m, atol=1e-15)


def test_the_box_is_the_published_one_around_one_of_the_data_sets() -> None:
    joints = np.tile(np.array([[300.0, 150.0], [520.0, 400.0]]), (11, 1))[:21]
    box = crop_box(joints)
    np.testing.assert_allclose(box.center_px, (410, 275))
    assert box.size_px == pytest.approx(1.25 * 1.5 * 250)


def test_what_the_network_says_is_in_metres_by_the_data_sets_joints() -> None:
    """An answer of zero is the mean hand: fingers to the left, which is up once the picture stands."""
    pytest.importorskip("torch")
    from tracker.networks.potter_reader import joints_in_m

    mean_m = joints_in_m(np.zeros((1, 21, 3), np.float32))
    (estimate,) = PotterBackend(KnowsHands(mean_m[0])).estimate(
        upright_frame(), [observed_at(upright_px(LYING.project(hand_on_ray(LYING, 0.5, 0.5))))]
    )
    knuckle_m = estimate.joints_from_wrist_m[9]
    assert 0.06 < np.linalg.norm(knuckle_m) < 0.12
    assert knuckle_m[1] < -0.04 and knuckle_m[2] > 0.04  # up and ahead, as a wearer's hands are
    one_sd_m = joints_in_m(np.ones((1, 21, 3), np.float32)) - mean_m
    np.testing.assert_array_equal(one_sd_m[0, WRIST], 0.0)
    assert one_sd_m[0, 1:].min() > 0.01 and one_sd_m.max() < 0.09


def test_the_published_network_reads_a_picture(potter_file: Path) -> None:
    backend = load_pose_backend("potter", potter=PotterOptions(potter_file))
    observed = observed_at(upright_px(LYING.project(hand_on_ray(LYING, 0.5, 0.5))))
    (estimate,) = backend.estimate(upright_frame(), [observed])
    assert np.isfinite(estimate.joints_from_wrist_m).all()
    assert 0.005 < np.abs(estimate.joints_from_wrist_m).max() < 1.0
    (other,) = backend.estimate(upright_frame(picture(1)), [observed])
    assert np.abs(other.joints_from_wrist_m - estimate.joints_from_wrist_m).max() > 1e-6


def test_without_its_file_it_says_what_it_needs() -> None:
    pytest.importorskip("torch")
    with pytest.raises(MissingDependencyError, match=r"potter\.checkpoint"):
        load_pose_backend("potter")


def test_a_full_gpu_is_one_line_and_no_traceback() -> None:
    torch = pytest.importorskip("torch")
    from tracker.networks.potter_reader import PotterReader

    def full(crops: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB")

    reader: Any = PotterReader(cast(Any, full), torch.device("cpu"))
    with pytest.raises(EngineError, match="no memory left for POTTER"):
        reader.read([np.zeros((224, 224, 3), np.float32)])
