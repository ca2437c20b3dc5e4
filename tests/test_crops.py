"""Crops: where they lie, and that a straight direction stays one through any lens."""

import numpy as np
import pytest
from lenses import FOLDING, LENSES

from tracker.cameras import Camera, Pinhole
from tracker.crops import AffineCrop, Crop, CropKind, VirtualCrop, make_crop
from tracker.joints import FloatArray
from tracker.structs import HandBox

PINHOLE = LENSES["pinhole"]
KINDS: tuple[CropKind, ...] = ("affine", "virtual")
every_lens = pytest.mark.parametrize("camera", LENSES.values(), ids=LENSES.keys())
every_kind = pytest.mark.parametrize("kind", KINDS)


def box_at(camera: Camera, x: float, y: float, *, size_px: float = 150.0, turn_rad: float = 0.0) -> HandBox:
    """A box whose centre lies at a share ``x``, ``y`` of the picture."""
    return HandBox(np.array([x * camera.width, y * camera.height]), size_px, turn_rad)


BOXES = [(0.5, 0.5, 0.0), (0.3, 0.7, 0.6), (0.8, 0.25, -2.5), (0.15, 0.2, 3.1)]


def exact_positions(crop: Crop) -> FloatArray:
    """Pixels (samples, samples, 2) of every sample, each traced through the lens on its own."""
    index = np.arange(crop.samples, dtype=np.float64)
    return crop.image_from_crop(np.stack(np.meshgrid(index, index), axis=-1))


def test_a_quarter_turn_puts_the_right_of_the_picture_at_the_top_of_the_crop() -> None:
    """Clockwise as seen: the crop's upward direction points to the right in the picture."""
    crop = AffineCrop(HandBox(np.array([320.0, 240.0]), 100.0, np.pi / 2), 100, PINHOLE)
    np.testing.assert_allclose(crop.image_from_crop(np.array([50.0, 0.0])), [370.0, 240.0], atol=1e-9)
    virtual = VirtualCrop(crop.box, 100, PINHOLE)
    np.testing.assert_allclose(virtual.image_from_crop(np.array([50.0, 0.0])), [370.0, 240.0], atol=2.0)


@every_lens
@every_kind
def test_the_middle_of_a_crop_is_the_centre_of_its_box(kind: CropKind, camera: Camera) -> None:
    for x, y, turn in BOXES:
        box = box_at(camera, x, y, turn_rad=turn)
        crop = make_crop(kind, box, 224, camera)
        np.testing.assert_allclose(crop.image_from_crop(np.array([112.0, 112.0])), box.center_px, atol=1e-6)


@every_lens
@every_kind
def test_crop_axes_are_a_rotation_that_looks_along_the_box_centres_ray(
    kind: CropKind, camera: Camera
) -> None:
    for x, y, turn in BOXES:
        box = box_at(camera, x, y, turn_rad=turn)
        axes = make_crop(kind, box, 224, camera).camera_from_crop
        np.testing.assert_allclose(axes @ axes.T, np.eye(3), atol=1e-9)
        assert np.linalg.det(axes) == pytest.approx(1.0)
        np.testing.assert_allclose(axes[:, 2], camera.unproject(box.center_px), atol=1e-9)


@every_lens
@every_kind
def test_up_in_a_crop_is_where_its_box_points(kind: CropKind, camera: Camera) -> None:
    for x, y, turn in BOXES:
        box = box_at(camera, x, y, turn_rad=turn, size_px=60.0)
        crop = make_crop(kind, box, 224, camera)
        step = crop.image_from_crop(np.array([112.0, 111.0])) - crop.image_from_crop(np.array([112.0, 112.0]))
        np.testing.assert_allclose(step / np.linalg.norm(step), [np.sin(turn), -np.cos(turn)], atol=0.02)
        assert np.linalg.norm(step) == pytest.approx(60.0 / 224, rel=0.02)


@every_lens
def test_a_straight_direction_of_a_virtual_crop_is_the_same_direction_of_the_lens(camera: Camera) -> None:
    rng = np.random.default_rng(3)
    for x, y, turn in BOXES:
        crop = VirtualCrop(box_at(camera, x, y, turn_rad=turn), 224, camera)
        points = rng.uniform(0, 224, (40, 2))
        in_crop = np.concatenate([(points - 112) / crop.focal, np.ones((40, 1))], axis=-1)
        in_camera = in_crop @ crop.camera_from_crop.T * rng.uniform(0.1, 2.0, (40, 1))
        np.testing.assert_allclose(camera.project(in_camera), crop.image_from_crop(points), atol=1e-6)


@pytest.mark.parametrize("turn_rad", [0.0, 0.7, -2.0])
def test_both_kinds_agree_for_a_small_hand_straight_ahead(turn_rad: float) -> None:
    camera = Pinhole(640, 480, 500.0, 500.0, 320.0, 240.0)
    box = HandBox(np.array([320.0, 240.0]), 20.0, turn_rad)
    affine, virtual = AffineCrop(box, 192, camera), VirtualCrop(box, 192, camera)
    np.testing.assert_allclose(exact_positions(virtual), exact_positions(affine), atol=0.05)
    np.testing.assert_allclose(virtual.camera_from_crop, affine.camera_from_crop, atol=1e-3)


def test_a_box_without_a_ray_is_cropped_as_a_plain_square() -> None:
    camera = FOLDING["folding barrel"]
    box = HandBox(np.array([2.0, 2.0]), 50.0, 0.5)
    crop = make_crop("virtual", box, 96, camera)
    assert isinstance(crop, AffineCrop)
    assert np.isfinite(crop.camera_from_crop).all()
    with pytest.raises(ValueError, match="no ray"):
        VirtualCrop(box, 96, camera)
