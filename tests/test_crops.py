"""Crops: which pixels they copy, and that a straight direction stays one through any lens."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from lenses import FOLDING, LENSES

from tracker.cameras import Camera, Pinhole
from tracker.crops import (
    AffineCrop,
    Crop,
    CropKind,
    VirtualCrop,
    in_subpixels,
    make_crop,
    sample_bilinear,
    sample_crop,
    sample_positions,
)
from tracker.joints import FloatArray
from tracker.structs import HandBox, ImageArray

PINHOLE = LENSES["pinhole"]
KINDS: tuple[CropKind, ...] = ("affine", "virtual")
every_lens = pytest.mark.parametrize("camera", LENSES.values(), ids=LENSES.keys())
every_kind = pytest.mark.parametrize("kind", KINDS)


def noise_picture(width: int, height: int, seed: int = 0) -> ImageArray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def box_at(camera: Camera, x: float, y: float, *, size_px: float = 150.0, turn_rad: float = 0.0) -> HandBox:
    """A box whose centre lies at a share ``x``, ``y`` of the picture."""
    return HandBox(np.array([x * camera.width, y * camera.height]), size_px, turn_rad)


BOXES = [(0.5, 0.5, 0.0), (0.3, 0.7, 0.6), (0.8, 0.25, -2.5), (0.15, 0.2, 3.1)]


def naive_bilinear(image_rgb: ImageArray, x: float, y: float) -> FloatArray:
    """One sample, written out; positions outside take the nearest edge pixel."""
    height, width = image_rgb.shape[:2]
    x, y = (np.rint(value * 32 - 1e-6) / 32 for value in (x, y))
    x, y = min(max(x, 0.0), width - 1.0), min(max(y, 0.0), height - 1.0)
    left, top = int(x), int(y)
    right, bottom = min(left + 1, width - 1), min(top + 1, height - 1)
    a, b = x - left, y - top
    upper = (1 - a) * image_rgb[top, left] + a * image_rgb[top, right]
    lower = (1 - a) * image_rgb[bottom, left] + a * image_rgb[bottom, right]
    return np.asarray((1 - b) * upper + b * lower)


def exact_positions(crop: Crop) -> FloatArray:
    """Pixels (samples, samples, 2) of every sample, each traced through the lens on its own."""
    index = np.arange(crop.samples, dtype=np.float64)
    return crop.image_from_crop(np.stack(np.meshgrid(index, index), axis=-1))


def sampled_positions(crop: Crop) -> FloatArray:
    """Pixels (samples, samples, 2) at which the crop is sampled."""
    return np.stack(sample_positions(crop), axis=-1) / 32


def test_an_upright_affine_crop_at_whole_positions_copies_the_very_pixels() -> None:
    image = noise_picture(64, 48)
    crop = AffineCrop(HandBox(np.array([30.0, 20.0]), 16.0, 0.0), 16, Pinhole(64, 48, 50, 50, 31.5, 23.5))
    expected = image[12:28, 22:38].astype(np.float32) * np.float32(1 / 255)
    np.testing.assert_array_equal(sample_crop(image, crop), expected)


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


@every_lens
@pytest.mark.parametrize("size_px", [60.0, 200.0])
def test_a_virtual_crop_samples_where_a_pixel_by_pixel_trace_does(camera: Camera, size_px: float) -> None:
    """The lens is traced at every eighth sample only."""
    for x, y, turn in BOXES:
        crop = VirtualCrop(box_at(camera, x, y, turn_rad=turn, size_px=size_px), 224, camera)
        exact = exact_positions(crop)
        reach = np.abs(exact - [camera.cx, camera.cy]).max(axis=-1)
        near = reach < camera.width  # farther out nothing is seen, and the edge is repeated anyway
        error_px = np.linalg.norm(sampled_positions(crop) - exact, axis=-1)
        assert error_px[near].max() < 0.2


@every_kind
def test_a_crop_is_its_samples_in_whole_levels(kind: CropKind) -> None:
    image = noise_picture(640, 480)
    crop = make_crop(kind, box_at(PINHOLE, 0.9, 0.4, turn_rad=0.4, size_px=90.0), 40, PINHOLE)
    x, y = np.moveaxis(sampled_positions(crop), -1, 0)
    found = sample_crop(image, crop) * 255
    np.testing.assert_allclose(found, np.round(found), atol=1e-4)
    for index in np.ndindex(40, 40):
        expected = naive_bilinear(image, x[index], y[index])
        assert np.abs(found[index] - expected).max() <= 0.5 + 1e-3


@pytest.mark.parametrize("samples", [1, 40, 100, 191, 192])
@every_kind
def test_any_number_of_samples_covers_the_box(kind: CropKind, samples: int) -> None:
    crop = make_crop(kind, box_at(PINHOLE, 0.6, 0.4, size_px=80.0), samples, PINHOLE)
    found = sampled_positions(crop)
    assert found.shape == (samples, samples, 2)
    np.testing.assert_allclose(found, exact_positions(crop), atol=0.2)


def test_the_border_is_repeated_or_black() -> None:
    image = np.full((48, 64, 3), 200, np.uint8)
    crop = AffineCrop(HandBox(np.array([0.0, 24.0]), 32.0, 0.0), 32, Pinhole(64, 48, 50, 50, 31.5, 23.5))
    edge, black = (sample_crop(image, crop, border)[:, :, 0] * 255 for border in ("edge", "black"))
    np.testing.assert_allclose(edge, 200, atol=1e-3)
    np.testing.assert_allclose(black[:, :16], 0, atol=1e-3)
    np.testing.assert_allclose(black[:, 16:], 200, atol=1e-3)


def test_half_a_pixel_over_the_edge_is_half_black() -> None:
    image = np.full((48, 64, 3), 200, np.uint8)
    crop = AffineCrop(HandBox(np.array([15.5, 24.0]), 32.0, 0.0), 32, Pinhole(64, 48, 50, 50, 31.5, 23.5))
    np.testing.assert_allclose(sample_crop(image, crop, "black")[:, 0, 0] * 255, 100, atol=1e-3)


@pytest.mark.parametrize("camera", FOLDING.values(), ids=FOLDING.keys())
def test_samples_beyond_the_lens_leave_the_others_as_they_are(camera: Camera) -> None:
    """A hand at the rim of a lens: part of its crop has no image, the rest must still show the hand."""
    inside = np.isfinite(camera.unproject(np.stack([np.arange(640.0), np.full(640, camera.cy)], axis=-1)))
    rim_px = float(np.flatnonzero(inside.all(axis=-1)).max())
    crop = VirtualCrop(HandBox(np.array([rim_px - 8.0, camera.cy]), 200.0, 0.3), 96, camera)
    exact = exact_positions(crop)
    seen = np.isfinite(exact).all(axis=-1)
    assert 0.1 < seen.mean() < 0.95
    np.testing.assert_allclose(sampled_positions(crop)[seen], exact[seen], atol=0.2)


def test_a_box_without_a_ray_is_cropped_as_a_plain_square() -> None:
    camera = FOLDING["folding barrel"]
    box = HandBox(np.array([2.0, 2.0]), 50.0, 0.5)
    crop = make_crop("virtual", box, 96, camera)
    assert isinstance(crop, AffineCrop)
    assert np.isfinite(crop.camera_from_crop).all()
    with pytest.raises(ValueError, match="no ray"):
        VirtualCrop(box, 96, camera)


@settings(max_examples=60)
@given(
    st.tuples(st.integers(1, 5), st.integers(1, 5)).flatmap(
        lambda size: arrays(np.uint8, (*size, 3), elements=st.integers(0, 255))
    ),
    arrays(np.float64, (3, 4), elements=st.floats(-9.0, 9.0)),
    arrays(np.float64, (3, 4), elements=st.floats(-9.0, 9.0)),
)
def test_sampling_all_at_once_equals_a_loop_down_to_pictures_of_one_pixel(
    image: ImageArray, x: FloatArray, y: FloatArray
) -> None:
    found = sample_bilinear(image, in_subpixels(x), in_subpixels(y))
    assert found.shape == (3, 4, 3)
    for index in np.ndindex(3, 4):
        np.testing.assert_allclose(found[index], naive_bilinear(image, x[index], y[index]), atol=1e-3)


def test_sampling_of_a_picture_that_is_a_view_equals_that_of_its_copy() -> None:
    image = noise_picture(60, 40)[::2, ::-1]
    at = in_subpixels(np.random.default_rng(1).uniform(0, 29, (2, 50)))
    np.testing.assert_array_equal(sample_bilinear(image, *at), sample_bilinear(image.copy(), *at))


def test_positions_without_a_number_take_some_pixel_and_no_warning() -> None:
    x = np.array([np.nan, np.inf, -np.inf, 1e12])
    with np.errstate(all="raise"):
        found = sample_bilinear(np.full((4, 4, 3), 7, np.uint8), in_subpixels(x), np.zeros(4, np.int32))
    np.testing.assert_array_equal(found, 7)
