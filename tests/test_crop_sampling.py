"""Crops sampled in torch: those of the CPU sampler and of the publication, means where they shrink."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from pathlib import Path  # noqa: E402

from lenses import FOLDING, LENSES  # noqa: E402
from PIL import Image  # noqa: E402

from tracker.cameras import Camera, pinhole_from_fov  # noqa: E402
from tracker.crops import AffineCrop, Crop, CropKind, make_crop  # noqa: E402
from tracker.networks.crop_sampling import (  # noqa: E402
    CropSampler,
    level_places,
    pyramid,
    sample,
    sample_sharp,
    spread_of,
    trace,
)
from tracker.networks.hamer import IMAGE_MEAN, IMAGE_STD  # noqa: E402
from tracker.sampling import sample_crop  # noqa: E402
from tracker.structs import HandBox, ImageArray  # noqa: E402

KINDS: tuple[CropKind, ...] = ("affine", "virtual")
every_kind = pytest.mark.parametrize("kind", KINDS)
every_lens = pytest.mark.parametrize("camera", LENSES.values(), ids=LENSES.keys())


def smooth_picture(camera: Camera, seed: int = 0) -> ImageArray:
    """Blobs some 16 pixels wide."""
    coarse = np.random.default_rng(seed).integers(
        0, 256, (camera.height // 16 + 1, camera.width // 16 + 1, 3), np.uint8
    )
    return np.array(Image.fromarray(coarse).resize((camera.width, camera.height), Image.Resampling.BICUBIC))


def sampled(image_rgb: ImageArray, *crops: Crop, mirrored: bool = False) -> np.ndarray:
    """Crops (B, 256, 256, 3) in 0..255."""
    traced = trace(list(crops), [mirrored] * len(crops), image_rgb.shape[:2])
    pixels = sample(
        torch.from_numpy(image_rgb.copy()),
        torch.from_numpy(traced.nodes_px),
        torch.from_numpy(traced.reads),
    )
    return np.asarray(pixels.permute(0, 2, 3, 1).numpy())


def crop_at(kind: CropKind, camera: Camera, x: float, y: float, size_px: float) -> Crop:
    """A crop around a place given as a share of the picture."""
    return make_crop(
        kind, HandBox(np.array([x * camera.width, y * camera.height]), size_px, 0.0), 256, camera
    )


@every_kind
@every_lens
@pytest.mark.parametrize(("x", "y", "size_px"), [(0.5, 0.5, 200.0), (0.25, 0.7, 120.0), (0.97, 0.1, 240.0)])
def test_a_crop_is_that_of_the_cpu_sampler(
    kind: CropKind, camera: Camera, x: float, y: float, size_px: float
) -> None:
    image = smooth_picture(camera)
    crop = crop_at(kind, camera, x, y, size_px)
    (ours,) = sampled(image, crop)
    difference = np.abs(ours - 255 * sample_crop(image, crop, "black"))
    assert difference.mean() < 0.5
    assert np.quantile(difference, 0.98) < 2.0  # but for the picture's edge and the lens's


def test_crops_are_those_of_the_publication(shared: Path) -> None:
    """Boxes, mirroring, blur and black border; the third picture is shrunk 8 times."""
    with np.load(shared / "reference" / "hamer" / "crops.npz") as stored:
        published = {name: stored[name] for name in stored.files}
    for index, name in enumerate(("test1", "test1", "test5")):
        path = shared / "data" / "hamer" / "example_data" / f"{name}.jpg"
        image = np.asarray(Image.open(path).convert("RGB"))
        camera = pinhole_from_fov(image.shape[1], image.shape[0], 65.0)
        box = HandBox(
            published["box_center"][index].astype(np.float64), float(published["box_size"][index]), 0.0
        )
        (ours,) = sampled(image, AffineCrop(box, 256, camera), mirrored=published["right"][index] == 0)
        normalised = published["crops"][index].astype(np.float64).transpose(1, 2, 0)
        theirs = 255 * (normalised * IMAGE_STD + IMAGE_MEAN)
        assert np.abs(ours - theirs).mean() < 1.0, name


@every_kind
def test_a_mirrored_crop_is_the_crop_of_the_mirrored_picture(kind: CropKind) -> None:
    camera = LENSES["pinhole"]
    image = smooth_picture(camera)
    box = HandBox(np.array([0.3 * camera.width, 0.6 * camera.height]), 180.0, 0.0)
    crop = make_crop(kind, box, 256, camera)
    (ours,) = sampled(image, crop, mirrored=True)
    if kind == "affine":
        there = HandBox(np.array([camera.width - 1 - box.center_px[0], box.center_px[1]]), 180.0, 0.0)
        (expected,) = sampled(image[:, ::-1], AffineCrop(there, 256, camera))
        np.testing.assert_allclose(ours, expected, atol=0.05)
    (plain,) = sampled(image, crop)
    # Sample i of the mirrored crop lies at 256 - i of the plain one.
    np.testing.assert_allclose(ours[:, 1:], plain[:, :0:-1], atol=0.05)


@every_kind
def test_what_shrinks_is_averaged(kind: CropKind) -> None:
    """Lines of one pixel become grey, where single samples would show stripes."""
    camera = pinhole_from_fov(1920, 1080, 65.0)
    image = np.zeros((1080, 1920, 3), np.uint8)
    image[:, ::2] = 255
    (ours,) = sampled(image, crop_at(kind, camera, 0.5, 0.5, 1000.0))
    (single,) = (255 * sample_crop(image, crop_at(kind, camera, 0.5, 0.5, 1000.0)),)
    allowed = 0.5 if kind == "affine" else 0.25  # the published blur is a mild one
    assert ours[64:192, 64:192].std() < allowed * single[64:192, 64:192].std()
    np.testing.assert_allclose(ours[64:192, 64:192].mean(), 127.5, atol=3.0)


def test_a_shrunk_virtual_crop_is_the_mean_over_what_its_samples_cover() -> None:
    camera = pinhole_from_fov(1920, 1080, 65.0)
    image = np.random.default_rng(1).integers(0, 256, (1080, 1920, 3), np.uint8)
    box = HandBox(np.array([960.0, 540.0]), 1024.0, 0.0)
    (ours,) = sampled(image, make_crop("virtual", box, 256, camera))
    fine = np.asarray(255 * sample_crop(image, make_crop("virtual", box, 1024, camera)), np.float64)
    # Blocks of 4 x 4 fine samples around each sample; half a sample is 2 fine ones.
    covered = np.pad(fine, ((2, 0), (2, 0), (0, 0)), mode="edge")[:1024, :1024]
    means = covered.reshape(256, 4, 256, 4, 3).mean(axis=(1, 3))
    inner = (slice(32, 224), slice(32, 224))
    single = sample_crop(image, make_crop("virtual", box, 256, camera))

    def agreement(samples: np.ndarray) -> float:
        return float(np.corrcoef(samples[inner].ravel(), means[inner].ravel())[0, 1])

    assert agreement(ours) > 0.85 > 0.6 > agreement(single)


@every_kind
@every_lens
@pytest.mark.parametrize(("x", "y"), [(0.5, 0.5), (0.97, 0.02), (-0.02, 0.9)])
def test_where_nothing_shrinks_a_sample_is_read_in_one_place(
    kind: CropKind, camera: Camera, x: float, y: float
) -> None:
    image, crop = smooth_picture(camera), crop_at(kind, camera, x, y, 80.0)
    assert spread_of(crop) == (0.0, 0)
    nodes_px = torch.from_numpy(trace([crop], [True], image.shape[:2]).nodes_px)
    sharp = sample_sharp(torch.from_numpy(image), nodes_px).permute(0, 2, 3, 1)
    np.testing.assert_allclose(sharp, sampled(image, crop, mirrored=True), atol=1e-4)


@pytest.mark.parametrize("camera", FOLDING.values(), ids=FOLDING.keys())
def test_beyond_the_lens_is_black(camera: Camera) -> None:
    image = np.full((camera.height, camera.width, 3), 200, np.uint8)
    (ours,) = sampled(image, crop_at("virtual", camera, 0.6, 0.5, 3.0 * camera.width))
    assert np.isfinite(ours).all()
    assert ours.min() == 0.0
    np.testing.assert_allclose(ours[128, 128], 200.0, atol=0.1)


@pytest.mark.parametrize("camera", FOLDING.values(), ids=FOLDING.keys())
@pytest.mark.parametrize("size_px", [200.0, 500.0])
def test_up_to_where_the_lens_ends_a_crop_is_that_of_the_cpu_sampler(camera: Camera, size_px: float) -> None:
    """Not only up to the last cell of the coarse grid that lies in it."""
    inside = np.isfinite(camera.unproject(np.stack([np.arange(640.0), np.full(640, camera.cy)], axis=-1)))
    rim_px = float(np.flatnonzero(inside.all(axis=-1)).max())
    crop = make_crop("virtual", HandBox(np.array([rim_px - 8.0, camera.cy]), size_px, 0.0), 256, camera)
    at = np.arange(256.0)
    exact = crop.image_from_crop(np.stack(np.meshgrid(at, at), axis=-1))
    seen = np.isfinite(exact).all(axis=-1)
    seen &= (exact > 1).all(axis=-1) & (exact < [camera.width - 2, camera.height - 2]).all(axis=-1)
    assert 0.05 < seen.mean() < 0.95
    image = np.clip(smooth_picture(camera), 40, None)
    (ours,) = sampled(image, crop)
    difference = np.abs(ours - 255 * sample_crop(image, crop, "black"))[seen]
    assert difference.mean() < 1.0
    assert (ours[seen].max(axis=-1) > 20.0).all()  # black nowhere
    batch = sampled(image, crop, crop_at("virtual", camera, 0.5, 0.5, 150.0))
    np.testing.assert_allclose(batch[0], ours, atol=1e-3)


@pytest.mark.parametrize(("height", "width"), [(1, 1), (7, 5), (64, 48), (33, 130)])
def test_each_level_of_the_pyramid_is_means_and_black_lies_between(height: int, width: int) -> None:
    image = np.random.default_rng(2).integers(1, 256, (height, width, 3), np.uint8)
    levels = pyramid(torch.from_numpy(image))[0].permute(1, 2, 0).numpy().copy()
    for number, (first_x, first_y, last_x, last_y) in enumerate(level_places(height, width)):
        found = levels[first_y : last_y + 1, first_x : last_x + 1]
        size = 2**number
        whole = image[: height // size * size, : width // size * size]
        blocks = whole.reshape(height // size, size, width // size, size, 3).mean(axis=(1, 3))
        np.testing.assert_allclose(found[: height // size, : width // size], blocks, rtol=1e-5)
        around = np.pad(levels, ((1, 1), (1, 1), (0, 0)))[first_y : last_y + 3, first_x : last_x + 3].copy()
        around[1:-1, 1:-1] = 0.0
        assert found.min() >= 1.0 and around.max() == 0.0


@every_kind
@pytest.mark.parametrize("side_px", [300.0, 700.0, 1000.0, 3000.0])
def test_a_shrunk_crop_keeps_to_the_picture_up_to_its_edges(kind: CropKind, side_px: float) -> None:
    """Whatever level is read, an edge lies where it was, and no other level shows beyond it."""
    camera = pinhole_from_fov(1000, 600, 65.0)
    image = np.full((600, 1000, 3), 200, np.uint8)
    (ours,) = sampled(image, crop_at(kind, camera, 0.95, 0.9, side_px))
    (single,) = (255 * sample_crop(image, crop_at(kind, camera, 0.95, 0.9, side_px), "black"),)
    assert ours.min() >= 0.0 and ours.max() <= 200.01
    np.testing.assert_allclose(ours.mean(), single.mean(), rtol=0.02)
    away = np.abs(ours - single).max(axis=-1) > 110.0  # more than half a step, so the edge has moved
    assert away.mean() < 0.005


def test_a_batch_gives_what_each_crop_gives() -> None:
    camera = LENSES["pinhole"]
    image = smooth_picture(camera)
    crops = [
        crop_at("virtual", camera, x, 0.5, size) for x, size in ((0.3, 150.0), (0.6, 420.0), (0.8, 90.0))
    ]
    together = sampled(image, *crops)
    for crop, expected in zip(crops, together, strict=True):
        np.testing.assert_allclose(sampled(image, crop)[0], expected, atol=1e-4)


def test_the_network_sees_them_normalised() -> None:
    camera = LENSES["pinhole"]
    image = smooth_picture(camera)
    crop = crop_at("affine", camera, 0.5, 0.5, 200.0)
    traced = trace([crop], [False], image.shape[:2])
    normalised = CropSampler()(
        torch.from_numpy(image), torch.from_numpy(traced.nodes_px), torch.from_numpy(traced.reads)
    )
    expected = (sampled(image, crop)[0] / 255 - IMAGE_MEAN) / IMAGE_STD
    np.testing.assert_allclose(normalised[0].permute(1, 2, 0).numpy(), expected, atol=1e-4)


def test_compilers_and_graphs_see_one_function_of_tensors() -> None:
    camera = LENSES["pinhole"]
    image = smooth_picture(camera)
    traced = trace([crop_at("virtual", camera, 0.5, 0.5, 200.0)], [False], image.shape[:2])
    arguments = [torch.from_numpy(a) for a in (image, traced.nodes_px, traced.reads)]
    compiled = torch.compile(CropSampler(), backend="eager", fullgraph=True)
    torch.testing.assert_close(compiled(*arguments), CropSampler()(*arguments))
