"""Sampling: which pixels a crop copies, and that OpenCV and numpy copy the same, bit for bit."""

import os
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from lenses import FOLDING, LENSES

from tracker import HandTracker, sampling
from tracker.cameras import Camera, Pinhole
from tracker.crops import AffineCrop, Crop, CropKind, VirtualCrop, make_crop
from tracker.joints import FloatArray
from tracker.sampling import (
    Border,
    Places,
    places_of,
    rounded_positions,
    sample_crop,
    sample_levels,
    sample_positions,
    sample_with_numpy,
)
from tracker.sources import open_source
from tracker.structs import HandBox, ImageArray

PINHOLE = LENSES["pinhole"]
SMALL = Pinhole(64, 48, 50, 50, 31.5, 23.5)
KINDS: tuple[CropKind, ...] = ("affine", "virtual")
BORDERS: tuple[Border, ...] = ("edge", "black")
BOXES = [(0.5, 0.5, 0.0), (0.3, 0.7, 0.6), (0.8, 0.25, -2.5), (0.15, 0.2, 3.1)]
ALL_LENSES = LENSES | FOLDING
every_lens = pytest.mark.parametrize("camera", LENSES.values(), ids=LENSES.keys())
every_kind = pytest.mark.parametrize("kind", KINDS)
needs_opencv = pytest.mark.skipif(sampling.opencv() is None, reason="OpenCV is not installed")


@pytest.fixture(params=["OpenCV", "numpy"])
def sampler(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both samplers in turn."""
    if request.param == "numpy":
        monkeypatch.setattr(sampling, "opencv", lambda: None)
    elif sampling.opencv() is None:
        pytest.skip("OpenCV is not installed")


by_both = pytest.mark.usefixtures("sampler")


def noise_picture(width: int, height: int, seed: int = 0) -> ImageArray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def box_at(camera: Camera, x: float, y: float, *, size_px: float = 150.0, turn_rad: float = 0.0) -> HandBox:
    """A box whose centre lies at a share ``x``, ``y`` of the picture."""
    return HandBox(np.array([x * camera.width, y * camera.height]), size_px, turn_rad)


def at_positions(positions_px: np.ndarray) -> Places:
    return Places(len(positions_px), None, positions_px.astype(np.float32))


def sampled_positions(crop: Crop) -> FloatArray:
    """Pixels (samples, samples, 2) at which the crop is sampled, by its homography if it has one."""
    return rounded_positions(places_of(crop)).astype(np.float64)


def exact_positions(crop: Crop) -> FloatArray:
    """Pixels (samples, samples, 2) of every sample, each traced through the lens on its own."""
    index = np.arange(crop.samples, dtype=np.float64)
    return crop.image_from_crop(np.stack(np.meshgrid(index, index), axis=-1))


def naive_bilinear(image_rgb: ImageArray, x: float, y: float) -> FloatArray:
    """One sample, written out; positions outside take the nearest edge pixel."""
    height, width = image_rgb.shape[:2]
    x, y = (np.rint(np.float32(value) * 32) / 32 for value in (x, y))
    x, y = min(max(x, 0.0), width - 1.0), min(max(y, 0.0), height - 1.0)
    left, top = int(x), int(y)
    right, bottom = min(left + 1, width - 1), min(top + 1, height - 1)
    a, b = x - left, y - top
    upper = (1 - a) * image_rgb[top, left] + a * image_rgb[top, right]
    lower = (1 - a) * image_rgb[bottom, left] + a * image_rgb[bottom, right]
    return np.asarray((1 - b) * upper + b * lower)


# Where samples lie.


@every_lens
@pytest.mark.parametrize("size_px", [60.0, 200.0])
def test_a_virtual_crop_samples_where_a_pixel_by_pixel_trace_does(camera: Camera, size_px: float) -> None:
    """The lens is traced at every eighth sample only."""
    for x, y, turn in BOXES:
        crop = VirtualCrop(box_at(camera, x, y, turn_rad=turn, size_px=size_px), 224, camera)
        exact = exact_positions(crop)
        reach = np.abs(exact - [camera.cx, camera.cy]).max(axis=-1)
        near = reach < camera.width  # farther out nothing is seen, and the edge is repeated anyway
        error_px = np.linalg.norm(sample_positions(crop) - exact, axis=-1)
        assert error_px[near].max() < 0.2
        error_px = np.linalg.norm(sampled_positions(crop) - exact, axis=-1)
        assert error_px[near].max() < (0.025 if isinstance(camera, Pinhole) else 0.2)


@pytest.mark.parametrize("turn_rad", [0.0, 0.4, -2.0])
@pytest.mark.parametrize("place", [0.1, 0.9])
def test_an_affine_crop_samples_on_straight_lines(turn_rad: float, place: float) -> None:
    """Up to the last bits of float32, which positions in the largest pictures still have to spare."""
    wide = Pinhole(4096, 3072, 3000.0, 3000.0, 2047.5, 1535.5)
    crop = AffineCrop(box_at(wide, place, place, size_px=900.0, turn_rad=turn_rad), 224, wide)
    np.testing.assert_allclose(sample_positions(crop), exact_positions(crop), rtol=0, atol=1.5e-3)
    np.testing.assert_allclose(sampled_positions(crop), exact_positions(crop), rtol=0, atol=1 / 64 + 1e-3)


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


@every_kind
def test_a_homography_says_where_any_point_of_its_crop_lies(kind: CropKind) -> None:
    points = np.random.default_rng(5).uniform(0, 224, (50, 2))
    for x, y, turn in BOXES:
        crop = make_crop(kind, box_at(PINHOLE, x, y, turn_rad=turn), 224, PINHOLE)
        assert crop.homography is not None
        seen = np.column_stack([points, np.ones(50)]) @ crop.homography.T
        np.testing.assert_allclose(seen[:, :2] / seen[:, 2:], crop.image_from_crop(points), atol=1e-9)


def test_only_crops_that_lie_before_a_pinhole_have_a_homography() -> None:
    """Behind the camera it would show the picture upside down."""
    wide = Pinhole(1000, 400, 60.0, 60.0, 499.5, 199.5)
    middle, rim = (VirtualCrop(box_at(wide, x, 0.5, size_px=300.0), 64, wide) for x in (0.5, 1.0))
    assert middle.homography is not None
    behind = ~np.isfinite(exact_positions(rim)).all(axis=-1)
    assert rim.homography is None and behind.any()
    image = np.full((400, 1000, 3), 90, np.uint8)
    assert (sample_crop(image, rim, "black")[behind] == 0.0).all()
    fisheye = LENSES["fisheye"]
    assert VirtualCrop(box_at(fisheye, 0.5, 0.5), 64, fisheye).homography is None


@pytest.mark.parametrize("samples", [1, 40, 100, 191, 192])
@every_kind
def test_any_number_of_samples_covers_the_box(kind: CropKind, samples: int) -> None:
    crop = make_crop(kind, box_at(PINHOLE, 0.6, 0.4, size_px=80.0), samples, PINHOLE)
    for found in (sample_positions(crop), sampled_positions(crop)):
        assert found.shape == (samples, samples, 2)
        np.testing.assert_allclose(found, exact_positions(crop), atol=0.2)
    assert sample_crop(noise_picture(640, 480), crop).shape == (samples, samples, 3)


# What is read there.


@by_both
def test_an_upright_affine_crop_at_whole_positions_copies_the_very_pixels() -> None:
    image = noise_picture(64, 48)
    crop = AffineCrop(HandBox(np.array([30.0, 20.0]), 16.0, 0.0), 16, SMALL)
    expected = image[12:28, 22:38].astype(np.float32) * np.float32(1 / 255)
    np.testing.assert_array_equal(sample_crop(image, crop), expected)


@by_both
@every_kind
def test_a_crop_is_its_samples_in_whole_levels(kind: CropKind) -> None:
    image = noise_picture(640, 480)
    crop = make_crop(kind, box_at(PINHOLE, 0.9, 0.4, turn_rad=0.4, size_px=90.0), 40, PINHOLE)
    at = sampled_positions(crop)
    found = sample_crop(image, crop) * 255
    np.testing.assert_allclose(found, np.round(found), atol=1e-4)
    for index in np.ndindex(40, 40):
        expected = naive_bilinear(image, *at[index])
        assert np.abs(found[index] - expected).max() <= 0.5 + 1e-3


@by_both
@pytest.mark.parametrize("turn_rad", [0.0, np.pi / 2, np.pi, -np.pi / 2])
def test_positions_in_the_middle_of_two_steps_go_down(turn_rad: float) -> None:
    """Turns bring errors into the last bits; which way such positions go must not depend on those."""
    image = np.zeros((48, 64, 3), np.uint8)
    image[:, ::2] = 32  # a step of 1/32 pixel is one level
    image[::2, 1::2] = 16
    for shift in (1 / 64, 3 / 64, 33 / 64):
        crop = AffineCrop(HandBox(np.array([31.0, 23.0]) + shift, 16.0, turn_rad), 16, SMALL)
        below = AffineCrop(HandBox(np.array([31.0, 23.0]) + shift - 1 / 64, 16.0, turn_rad), 16, SMALL)
        np.testing.assert_array_equal(sample_crop(image, crop), sample_crop(image, below))


@by_both
def test_the_border_is_repeated_or_black() -> None:
    image = np.full((48, 64, 3), 200, np.uint8)
    crop = AffineCrop(HandBox(np.array([0.0, 24.0]), 32.0, 0.0), 32, SMALL)
    edge, black = (sample_crop(image, crop, border)[:, :, 0] * 255 for border in BORDERS)
    np.testing.assert_allclose(edge, 200, atol=1e-3)
    np.testing.assert_allclose(black[:, :16], 0, atol=1e-3)
    np.testing.assert_allclose(black[:, 16:], 200, atol=1e-3)


@by_both
def test_half_a_pixel_over_the_edge_is_half_black() -> None:
    image = np.full((48, 64, 3), 200, np.uint8)
    crop = AffineCrop(HandBox(np.array([15.5, 24.0]), 32.0, 0.0), 32, SMALL)
    np.testing.assert_allclose(sample_crop(image, crop, "black")[:, 0, 0] * 255, 100, atol=1e-3)


@pytest.mark.parametrize("numpy_only", [False, True])
@settings(max_examples=60)
@given(
    st.tuples(st.integers(1, 5), st.integers(1, 5)).flatmap(
        lambda size: arrays(np.uint8, (*size, 3), elements=st.integers(0, 255))
    ),
    arrays(np.float32, (3, 4, 2), elements=st.floats(-9.0, 9.0, width=32)),
)
def test_sampling_all_at_once_equals_a_loop_down_to_pictures_of_one_pixel(
    numpy_only: bool, image: ImageArray, at: np.ndarray
) -> None:
    found = sample_with_numpy(image, at) if numpy_only else sample_levels(image, at_positions(at))
    assert found.shape == (3, 4, 3)
    for index in np.ndindex(3, 4):
        assert np.abs(found[index] - naive_bilinear(image, *at[index])).max() <= 0.5 + 1e-3


@by_both
def test_sampling_of_a_picture_that_is_a_view_equals_that_of_its_copy() -> None:
    image = noise_picture(60, 40)[::2, ::-1]
    image.flags.writeable = False
    at = at_positions(np.random.default_rng(1).uniform(0, 29, (10, 10, 2)))
    np.testing.assert_array_equal(sample_levels(image, at), sample_levels(image.copy(), at))
    turned = places_of(AffineCrop(HandBox(np.array([15.0, 10.0]), 20.0, 0.4), 24, PINHOLE))
    np.testing.assert_array_equal(sample_levels(image, turned), sample_levels(image.copy(), turned))


class Nowhere:
    """A crop whose samples have no position, or none that any picture reaches."""

    samples = 4
    camera_from_crop = np.eye(3)
    homography = None

    def __init__(self, value: float) -> None:
        self._value = value

    def image_from_crop(self, points: FloatArray) -> FloatArray:
        return np.full(points.shape, self._value)


@by_both
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e12, -1e300])
def test_positions_without_a_number_take_some_pixel_and_no_warning(value: float) -> None:
    image = np.full((4, 4, 3), 7, np.uint8)
    with np.errstate(all="raise"):
        edge, black = (sample_crop(image, Nowhere(value), border) for border in BORDERS)
    np.testing.assert_allclose(255 * edge, 7)
    np.testing.assert_array_equal(black, 0)


# OpenCV and numpy.


@needs_opencv
@settings(max_examples=150)
@given(
    lens=st.sampled_from(sorted(ALL_LENSES)),
    kind=st.sampled_from(KINDS),
    border=st.sampled_from(BORDERS),
    place=st.tuples(st.floats(-0.3, 1.3), st.floats(-0.3, 1.3)),
    size_px=st.floats(4.0, 1500.0),
    turn_rad=st.floats(-3.2, 3.2),
    samples=st.sampled_from([1, 7, 64, 192, 224]),
)
def test_opencv_and_numpy_sample_the_same_bits(
    lens: str,
    kind: CropKind,
    border: Border,
    place: tuple[float, float],
    size_px: float,
    turn_rad: float,
    samples: int,
) -> None:
    """Crops in the picture, over its edges, and beyond them and the lens."""
    camera = ALL_LENSES[lens]
    crop = make_crop(kind, box_at(camera, *place, size_px=size_px, turn_rad=turn_rad), samples, camera)
    image = noise_picture(camera.width, camera.height)
    for places in (places_of(crop), at_positions(sample_positions(crop))):
        np.testing.assert_array_equal(
            sample_levels(image, places, border), sample_with_numpy(image, rounded_positions(places), border)
        )


@needs_opencv
@pytest.mark.parametrize("border", BORDERS)
def test_opencv_and_numpy_give_the_same_bits_at_every_part_of_a_pixel(border: Border) -> None:
    """All 1024 places between four pixels, extreme ones too, in the picture and at its corners."""
    steps = (np.arange(-96, 352, dtype=np.float32)) / 64  # also halves of 1/32
    at = at_positions(np.stack(np.meshgrid(steps, steps), axis=-1))
    for image in (
        noise_picture(5, 4),
        noise_picture(5, 4, 1) // 128 * 255,
        noise_picture(1, 3),
        noise_picture(4, 1),
    ):
        expected = sample_with_numpy(image, rounded_positions(at), border)
        np.testing.assert_array_equal(sample_levels(image, at, border), expected)


def test_a_picture_too_wide_for_opencv_is_sampled_all_the_same() -> None:
    image = noise_picture(40_000, 2)
    at = np.array([[[29_990.0, 0.0], [29_998.0, 1.0]]] * 2)
    np.testing.assert_array_equal(
        sample_levels(image, at_positions(at))[0], [image[0, 29_990], image[1, 29_998]]
    )


@needs_opencv
@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="threads are counted as Linux shows them")
def test_sampling_starts_no_threads() -> None:
    """OpenCV's would contend with the networks'; its settings are the whole program's, so they stay."""
    image = noise_picture(1920, 1080)
    crop = make_crop("virtual", box_at(PINHOLE, 0.5, 0.5, size_px=300.0), 224, PINHOLE)
    before = len(os.listdir("/proc/self/task"))
    for _ in range(3):
        sample_crop(image, crop)
    assert len(os.listdir("/proc/self/task")) == before


@pytest.fixture
def fresh_choice() -> None:
    sampling.opencv.cache_clear()
    yield
    sampling.opencv.cache_clear()


class OtherOpenCV:
    __version__ = "5.0.0"


@pytest.mark.parametrize("module", [None, OtherOpenCV])
def test_without_a_usable_opencv_numpy_samples(
    module: object, monkeypatch: pytest.MonkeyPatch, fresh_choice: None
) -> None:
    monkeypatch.setitem(sys.modules, "cv2", module)
    assert sampling.opencv() is None
    image = noise_picture(64, 48)
    crop = AffineCrop(HandBox(np.array([30.0, 20.0]), 16.0, 0.0), 16, SMALL)
    np.testing.assert_array_equal(
        np.rint(255 * sample_crop(image, crop)).astype(np.uint8),
        sample_with_numpy(image, rounded_positions(places_of(crop))),
    )


def test_on_macos_opencv_is_left_alone(monkeypatch: pytest.MonkeyPatch, fresh_choice: None) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    assert sampling.opencv() is None


@needs_opencv
def test_the_hands_of_a_clip_are_the_same_with_and_without_opencv(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("onnxruntime")

    def joints() -> list[np.ndarray]:
        with HandTracker() as tracker:
            tracked = [tracker.process(frame) for frame in open_source("demo", max_frames=12)]
        return [hand.pose.joints_in_camera_m for each in tracked for hand in each.hands]

    with_opencv = joints()
    monkeypatch.setattr(sampling, "opencv", lambda: None)
    without = joints()
    assert len(with_opencv) >= 12
    np.testing.assert_array_equal(with_opencv, without)
