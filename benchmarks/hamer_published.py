"""HaMeR's own way from a picture to hands, in torch: what benchmarks/hamer_gpu.py compares with.

Its demo blurs the whole picture in float64 where a crop shrinks it, warps, normalises on the CPU, and runs
float32 with attention as softmax between two products.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from tracker.networks.hamer import CROP_PX, IMAGE_MEAN, IMAGE_STD, Hamer
from tracker.structs import HandBox, ImageArray


class Published:
    """HaMeR's own path, hand by hand: blur the frame, warp, normalise on the CPU; then float32."""

    def __init__(self, hamer: Hamer, image_rgb: ImageArray, boxes: Sequence[HandBox]) -> None:
        self._hamer, self._image_rgb, self._boxes = hamer, image_rgb, boxes

    def preprocess(self) -> Tensor:
        """(B, 3, 256, 256) on the CPU."""
        mean, std = (torch.tensor(values)[:, None, None] * 255 for values in (IMAGE_MEAN, IMAGE_STD))
        return torch.stack([(self._warped(box) - mean) / std for box in self._boxes]).float()

    def _warped(self, box: HandBox) -> Tensor:
        planes = torch.from_numpy(self._image_rgb.copy()).permute(2, 0, 1).double()
        shrunk = box.size_px / CROP_PX / 2
        if shrunk > 1.1:
            planes = blurred(planes, (shrunk - 1) / 2)
        along = (torch.arange(CROP_PX, dtype=torch.float64) / CROP_PX - 0.5) * box.size_px
        height, width = planes.shape[1:]
        x = 2 * (along + box.center_px[0]) / (width - 1) - 1
        y = 2 * (along + box.center_px[1]) / (height - 1) - 1
        grid = torch.stack(torch.meshgrid(x, y, indexing="xy"), dim=-1)[None]
        return F.grid_sample(planes[None], grid, padding_mode="zeros", align_corners=True)[0]

    def run(self) -> Tensor:
        """Joints (B, 21, 3) on the CPU; the mesh is brought there too."""
        crops = self.preprocess().to(next(self._hamer.parameters()).device)
        with sdpa_kernel(SDPBackend.MATH):
            output = self._hamer(crops)
        output.vertices_m.cpu()
        return output.joints_m.cpu()


def blurred(planes: Tensor, sigma: float) -> Tensor:
    """Gaussian over a whole picture (3, H, W), cut at 4 sigma."""
    reach = int(4 * sigma + 0.5)
    kernel = torch.exp(-0.5 * (torch.arange(-reach, reach + 1).double() / sigma) ** 2)
    kernel = (kernel / kernel.sum()).expand(3, 1, 1, -1)
    wide = F.conv2d(F.pad(planes[None], (reach, reach, 0, 0), mode="replicate"), kernel, groups=3)
    high = F.pad(wide, (0, 0, reach, reach), mode="replicate")
    return F.conv2d(high, kernel.transpose(2, 3), groups=3)[0]
