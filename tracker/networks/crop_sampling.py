"""Crops of a picture sampled where the network runs: the same geometry as ``tracker.crops``, in torch.

The host traces a coarse grid of each crop through the lens (``trace``, numpy); the device refines it and
reads the picture there (``sample``). All shapes are static, so a CUDA graph captures it.

A crop that shrinks the picture must average what a sample covers. Each sample is the mean of four bilinear
readings around it, in one level of a small pyramid of the picture: the coarsest that does not blur more
than is wanted, the readings so far apart that the blur's variance is right. In a virtual camera that is
the variance of the area that a sample covers; in an affine crop that of the blur of HaMeR's publication,
which these crops are there to match.
"""

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 (the name everyone knows)
from torch import Tensor, nn

from tracker.crops import AffineCrop, Crop
from tracker.joints import FloatArray
from tracker.networks.hamer import CROP_PX, IMAGE_MEAN, IMAGE_STD
from tracker.sampling import Float32Array

CELL = 8
"""Samples between two nodes of the coarse grid."""
NODES = CROP_PX // CELL + 2
"""Nodes along a side: one cell more than the crop, for the steps between its last samples."""
DENSE_NODES = (NODES - 1) * CELL + 1
"""Nodes along a side where every sample is one: for crops that reach beyond the lens."""
FAR_PX = 1e5
"""Stands for a place beyond the lens: far outside any picture, so it is black."""
_LEVELS = 4
"""Of the pyramid, the picture itself included; each halves the one before."""
_GAP_PX = 2
"""Black between the levels where they lie side by side."""
_BILINEAR_VARIANCE = 1.0 / 6.0
"""Of one reading between pixels, in squared pixels, over all places it can have."""

PUBLISHED_OVERSAMPLING = 2.0
"""HaMeR's crops are blurred as if they had twice the samples,"""
PUBLISHED_THRESHOLD = 1.1
"""and only where even then a sample covers more pixels than this."""


@dataclass(frozen=True, eq=False)
class TracedCrops:
    """Where the samples of a batch of crops lie in the picture."""

    nodes_px: Float32Array
    """(B, 2, N, N) x and y in the picture's pyramid of every CELL-th sample, from 0, mirrored where asked; N
    is NODES, or DENSE_NODES with every sample a node where a crop of the batch reaches beyond the lens."""
    reads: Float32Array
    """(B, 5) how far from a sample, in samples, its readings lie, and the first x, first y, last x and last y
    of the level that they read."""


def trace(crops: list[Crop], mirrored: list[bool], picture_size: tuple[int, int]) -> TracedCrops:
    """The coarse grids of crops of ``CROP_PX`` samples in a picture whose array is (H, W, 3).

    A mirrored crop is seen from right to left.
    """
    nodes = _traced_nodes(crops, mirrored, NODES)
    if not np.isfinite(nodes).all():
        # A cell with a node beyond the lens has no places to go between: trace each of its samples.
        nodes = np.nan_to_num(_traced_nodes(crops, mirrored, DENSE_NODES), nan=-FAR_PX)
    places = level_places(*picture_size)
    reads = np.empty((len(crops), 5), np.float32)
    for index, crop in enumerate(crops):
        distance, level = spread_of(crop)
        reads[index] = (distance, *places[level])
        nodes[index] = (nodes[index] + 0.5) / 2**level - 0.5 + np.array(places[level][:2])[:, None, None]
    return TracedCrops(nodes, reads)


def _traced_nodes(crops: list[Crop], mirrored: list[bool], count: int) -> Float32Array:
    along = np.linspace(0.0, CELL * (NODES - 1), count)
    grid = np.stack(np.meshgrid(along, along), axis=-1)
    nodes = np.empty((len(crops), 2, count, count), np.float32)
    for index, (crop, mirror) in enumerate(zip(crops, mirrored, strict=True)):
        nodes[index] = crop.image_from_crop(mirrored_points(grid) if mirror else grid).transpose(2, 0, 1)
    return nodes


def mirrored_points(points: FloatArray) -> FloatArray:
    """Points (..., 2) of a crop in its mirror image, and back."""
    return np.asarray((CROP_PX, 0.0) + points * (-1.0, 1.0))


def spread_of(crop: Crop) -> tuple[float, int]:
    """How far from a sample, in samples, its readings lie along each axis, and the level they read.

    A reading in level l blurs by its pixels' own extent and by lying between them: in squared pixels of
    the picture (4^l - 1) / 12 + 4^l / 6. The readings at -d and d add d^2.
    """
    covered_px = pixels_per_sample(crop)
    wanted = wanted_variance_px2(crop, covered_px)
    level = int(np.clip(np.log2((12.0 * wanted + 1.0) / 3.0) // 2.0, 0, _LEVELS - 1))
    missing = wanted - ((4.0**level - 1.0) / 12.0 + 4.0**level * _BILINEAR_VARIANCE)
    return float(np.sqrt(max(missing, 0.0))) / covered_px, level


def wanted_variance_px2(crop: Crop, covered_px: float) -> float:
    """The variance along an axis of what one sample averages, whose neighbours are ``covered_px`` away."""
    if isinstance(crop, AffineCrop):
        shrunk = covered_px / PUBLISHED_OVERSAMPLING
        sigma_px = (shrunk - 1.0) / 2.0 if shrunk > PUBLISHED_THRESHOLD else 0.0
        return sigma_px**2 + _BILINEAR_VARIANCE
    return max(covered_px**2 / 12.0, _BILINEAR_VARIANCE)


def pixels_per_sample(crop: Crop) -> float:
    """How far apart neighbouring samples lie in the picture, in the middle of the crop."""
    if isinstance(crop, AffineCrop):
        return crop.box.size_px / crop.samples
    middle = crop.samples / 2
    cross = crop.image_from_crop(np.array([[-1, 0], [1, 0], [0, -1], [0, 1]]) + middle)
    apart_px = np.linalg.norm(cross[1::2] - cross[::2], axis=-1).mean() / 2
    return float(apart_px) if np.isfinite(apart_px) and apart_px > 0 else 1.0


class CropSampler(nn.Module):
    """Reads normalised crops from a picture."""

    mean: Tensor
    std: Tensor

    def __init__(self) -> None:
        super().__init__()
        for name, values in (("mean", IMAGE_MEAN), ("std", IMAGE_STD)):
            self.register_buffer(name, 255.0 * torch.tensor(values)[:, None, None], persistent=False)

    def forward(self, picture: Tensor, nodes_px: Tensor, reads: Tensor) -> Tensor:
        """Sample crops.

        Args:
            picture: (H, W, 3) uint8 RGB, black where it is larger than what was seen.
            nodes_px: (B, 2, N, N), see ``TracedCrops``.
            reads: (B, 5) likewise.

        Returns:
            (B, 3, 256, 256) float32, ``IMAGE_MEAN`` and ``IMAGE_STD`` undone; black beyond the picture.
        """
        return (sample(picture, nodes_px, reads) - self.mean) / self.std


def sample(picture: Tensor, nodes_px: Tensor, reads: Tensor) -> Tensor:
    """Crops (B, 3, 256, 256) in 0..255 of a picture (H, W, 3); see ``CropSampler.forward``."""
    levels = pyramid(picture)
    distance, first, last = reads[:, :1], reads[:, 1:3] - 1.0, reads[:, 3:] + 1.0
    positions = _positions(nodes_px)
    here = positions[:, :, :CROP_PX, :CROP_PX]
    right = _steps(positions[:, :, :CROP_PX, 1 : CROP_PX + 1] - here, distance)
    down = _steps(positions[:, :, 1 : CROP_PX + 1, :CROP_PX] - here, distance)
    ahead, aside = right + down, right - down
    corners = torch.stack([here - ahead, here + aside, here - aside, here + ahead], dim=1)
    # One pixel outside its level all is black, and toward there it fades, as at any edge.
    corners = corners.clamp(first[:, None, :, None, None], last[:, None, :, None, None])
    return _readings(levels, corners).mean(2).transpose(0, 1)


def sample_sharp(picture: Tensor, nodes_px: Tensor) -> Tensor:
    """What ``sample`` gives of crops whose four readings are one, in a fraction of the time.

    They are those whose `spread_of` is no distance, in the picture's own level. That is read where it lies in
    the pyramid, so that places round alike.
    """
    height, width = picture.shape[:2]
    outside = nodes_px.new_tensor([width, height])[None, :, None, None]
    here = _positions(nodes_px)[:, :, :CROP_PX, :CROP_PX].clamp(-torch.ones_like(outside), outside)
    return _readings(pyramid(picture, filled=1), here[:, None])[:, :, 0].transpose(0, 1)


def _positions(nodes_px: Tensor) -> Tensor:
    """Where each sample lies (B, 2, DENSE_NODES, DENSE_NODES)."""
    return F.interpolate(nodes_px, size=DENSE_NODES, mode="bilinear", align_corners=True)


def _readings(levels: Tensor, places_px: Tensor) -> Tensor:
    """What lies (3, B, R, 256, 256) in a picture (1, 3, H, W) at places (B, R, 2, 256, 256)."""
    batch, reads = places_px.shape[:2]
    # grid_sample counts from -1 at the first pixel's centre to 1 at the last one's.
    height, width = levels.shape[2:]
    x, y = places_px.unbind(2)  # each (B, R, 256, 256)
    grid = torch.stack([x * (2.0 / (width - 1)) - 1.0, y * (2.0 / (height - 1)) - 1.0], dim=-1)
    grid = grid.view(1, batch * reads * CROP_PX, CROP_PX, 2)
    read = F.grid_sample(levels, grid, mode="bilinear", padding_mode="zeros", align_corners=True)
    return read.view(3, batch, reads, CROP_PX, CROP_PX)


def _steps(apart: Tensor, distance: Tensor) -> Tensor:
    """How far to both sides the readings lie, from where the next samples lie (B, 2, 256, 256).

    Nowhere, where the next sample is beyond the lens.
    """
    return torch.where(apart.abs() < FAR_PX / 1000, apart, 0.0) * distance[:, :, None, None]


def pyramid(picture: Tensor, *, filled: int = _LEVELS) -> Tensor:
    """A picture (H, W, 3) and its means over 2 x 2, 4 x 4 and 8 x 8 pixels, side by side.

    Returns:
        (1, 3, H', W') float32, the first ``filled`` levels where ``level_places`` says, black elsewhere.
    """
    places = level_places(picture.shape[0], picture.shape[1])
    width, height = (max(place[axis] for place in places) + 1 for axis in (2, 3))
    level = picture.permute(2, 0, 1)[None].float()
    levels = level.new_zeros(1, 3, height + 1, width + 1)
    for number, (first_x, first_y, last_x, last_y) in enumerate(places[:filled]):
        if number > 0:
            level = F.avg_pool2d(level, 2, ceil_mode=True)
        levels[:, :, first_y : last_y + 1, first_x : last_x + 1] = level
    return levels


def level_places(height: int, width: int) -> list[tuple[int, int, int, int]]:
    """Where the levels of a picture's pyramid lie in it: x and y of the first and of the last pixel of each.

    The picture itself at the upper left, the others on its right, one below the other.
    """
    left = top = 0
    places = []
    for number in range(_LEVELS):
        columns, rows = (-(-size // 2**number) for size in (width, height))
        places.append((left, top, left + columns - 1, top + rows - 1))
        top = 0 if number == 0 else top + rows + _GAP_PX
        left = width + _GAP_PX
    return places
