"""Crops of a picture sampled where the network runs: the same geometry as ``tracker.crops``, in torch.

The host traces a coarse grid of each crop through the lens (``trace``, numpy); the device refines it and
reads the picture there (``sample``). All shapes are static but the picture's, so a CUDA graph captures it.

A crop that shrinks the picture must average what a sample covers. Each sample is the weighted sum of
``TAPS`` x ``TAPS`` bilinear ones spread around it: in a virtual camera evenly over the area that the sample
covers; in an affine crop so as to give the blur of HaMeR's publication, which these crops are there to
match. A batch in which no crop shrinks the picture is read with one bilinear reading a sample.
"""

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 (the name everyone knows)
from torch import Tensor, nn

from tracker.crops import AffineCrop, Crop, Float32Array
from tracker.joints import FloatArray
from tracker.networks.hamer import CROP_PX, IMAGE_MEAN, IMAGE_STD

CELL = 8
"""Samples between two nodes of the coarse grid."""
NODES = CROP_PX // CELL + 2
"""Nodes along a side: one cell more than the crop, for the steps between its last samples."""
TAPS = 4
"""Readings along each axis of a sample that must average."""
SINGLE_TAP = np.array([[0.0], [1.0]], np.float32)
"""Offset and weight of the only reading of other samples."""
FAR_PX = 1e5
"""Stands for a place beyond the lens: far outside any picture, so cells with such a node are black."""

PUBLISHED_OVERSAMPLING = 2.0
"""HaMeR's crops are blurred as if they had twice the samples,"""
PUBLISHED_THRESHOLD = 1.1
"""and only where even then a sample covers more pixels than this."""
_GAUSS_NODES, _GAUSS_WEIGHTS = np.polynomial.hermite_e.hermegauss(TAPS)
_BOX_NODES = (np.arange(TAPS) + 0.5) / TAPS - 0.5


@dataclass(frozen=True, eq=False)
class TracedCrops:
    """Where the samples of a batch of crops lie in the picture."""

    nodes_px: Float32Array
    """(B, 2, NODES, NODES) x and y in the picture of every CELL-th sample, from 0; mirrored where asked."""
    taps: Float32Array
    """(B, 2, K) how far from a sample it is read, in samples, and how much each reading counts; K is TAPS, or
    1 where no crop of the batch needs more."""


def trace(crops: list[Crop], mirrored: list[bool]) -> TracedCrops:
    """The coarse grids of crops of ``CROP_PX`` samples; a mirrored one is seen from right to left."""
    along = np.arange(NODES, dtype=np.float64) * CELL
    grid = np.stack(np.meshgrid(along, along), axis=-1)
    nodes = np.empty((len(crops), 2, NODES, NODES), np.float32)
    taps = np.empty((len(crops), 2, TAPS), np.float32)
    for index, (crop, mirror) in enumerate(zip(crops, mirrored, strict=True)):
        traced_px = crop.image_from_crop(mirrored_points(grid) if mirror else grid)
        nodes[index] = np.nan_to_num(traced_px, nan=-FAR_PX).transpose(2, 0, 1)
        taps[index] = taps_of(crop)
    spread = taps[:, 0].any()
    return TracedCrops(nodes, taps if spread else np.tile(SINGLE_TAP, (len(crops), 1, 1)))


def mirrored_points(points: FloatArray) -> FloatArray:
    """Points (..., 2) of a crop in its mirror image, and back."""
    return np.asarray((CROP_PX, 0.0) + points * (-1.0, 1.0))


def taps_of(crop: Crop) -> FloatArray:
    """Offsets in samples and weights (2, TAPS) along each axis of the readings that make one sample."""
    covered_px = pixels_per_sample(crop)
    if isinstance(crop, AffineCrop):
        shrunk = covered_px / PUBLISHED_OVERSAMPLING
        sigma_px = (shrunk - 1.0) / 2.0 if shrunk > PUBLISHED_THRESHOLD else 0.0
        return np.stack([_GAUSS_NODES * sigma_px / covered_px, _GAUSS_WEIGHTS / _GAUSS_WEIGHTS.sum()])
    # A reading already averages over about a pixel, so the rest is spread over that much less.
    width_px = np.sqrt(max(covered_px**2 - 1.0, 0.0))
    return np.stack([_BOX_NODES * width_px / covered_px, np.full(TAPS, 1.0 / TAPS)])


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

    def forward(self, picture: Tensor, nodes_px: Tensor, taps: Tensor) -> Tensor:
        """Sample crops.

        Args:
            picture: (H, W, 3) uint8 RGB.
            nodes_px: (B, 2, NODES, NODES), see ``TracedCrops``.
            taps: (B, 2, K) likewise.

        Returns:
            (B, 3, 256, 256) float32, ``IMAGE_MEAN`` and ``IMAGE_STD`` undone; black beyond the picture.
        """
        return (sample(picture, nodes_px, taps) - self.mean) / self.std


def sample(picture: Tensor, nodes_px: Tensor, taps: Tensor) -> Tensor:
    """Crops (B, 3, 256, 256) in 0..255 of a picture (H, W, 3); see ``CropSampler.forward``."""
    height, width, _ = picture.shape
    batch = len(nodes_px)
    planes = picture.permute(2, 0, 1)[None].float()  # (1, 3, H, W), still pixel by pixel in memory
    positions = F.interpolate(nodes_px, size=(NODES - 1) * CELL + 1, mode="bilinear", align_corners=True)
    here = positions[:, :, :CROP_PX, :CROP_PX]
    right = positions[:, :, :CROP_PX, 1 : CROP_PX + 1] - here  # a step of one sample, in pixels
    down = positions[:, :, 1 : CROP_PX + 1, :CROP_PX] - here
    offsets, weights = taps.unbind(1)  # each (B, K)
    readings = offsets.shape[1] ** 2
    across = offsets[:, None, :, None, None, None] * right[:, None, None]  # (B, 1, K, 2, 256, 256)
    along = offsets[:, :, None, None, None, None] * down[:, None, None]
    x, y = (here[:, None, None] + across + along).unbind(3)  # each (B, K, K, 256, 256)
    # grid_sample counts from -1 at the first pixel's centre to 1 at the last one's.
    grid = torch.stack([x * (2.0 / max(width - 1, 1)) - 1.0, y * (2.0 / max(height - 1, 1)) - 1.0], dim=-1)
    grid = grid.view(1, batch * readings * CROP_PX, CROP_PX, 2)
    read = F.grid_sample(planes, grid, mode="bilinear", padding_mode="zeros", align_corners=True)
    each = read.reshape(3, batch, readings, CROP_PX * CROP_PX)
    shares = (weights[:, :, None] * weights[:, None, :]).view(1, batch, readings, 1)
    return (each * shares).sum(2).view(3, batch, CROP_PX, CROP_PX).transpose(0, 1)
