"""PoolAttnFormer: a crop in, features at a quarter of its resolution out (Zheng et al., POTTER, 2023).

Four stages read the crop; a second branch stays at a quarter of its resolution and takes the stages' outputs
in, deepest last. Attention is by pooling: outer products of averages.

Modules are named as in the public checkpoint, so its tensors go in as they are; some names are therefore not
ours (``Block1``), and ``norm3`` is there but not used.
"""

from dataclasses import dataclass
from functools import cache

import torch
import torch.nn.functional as F  # noqa: N812 (the name everyone knows)
from torch import Tensor, nn


@dataclass(frozen=True)
class FormerConfig:
    """Size of the network; the defaults are the published one."""

    depths: tuple[int, ...] = (2, 2, 6, 2)
    """Blocks of each stage."""
    widths: tuple[int, ...] = (64, 128, 320, 512)
    """Channels of each stage; multiples of ``groups``."""
    mlp_ratio: int = 4
    """Hidden channels of a stage's MLPs over its width."""
    branch_depths: tuple[int, ...] = (2, 2, 4)
    """Blocks of the branch of high resolution, after each stage but the first."""
    branch_mlp_ratios: tuple[int, ...] = (2, 2, 4)
    """Hidden channels of their MLPs over the width."""
    groups: int = 32
    """Rows in which a pixel's channels are laid out to be pooled."""
    pooled: int = 4
    """Length that averages are pooled to."""


def norm_of_all(width: int) -> nn.GroupNorm:
    """GroupNorm over all channels and pixels together."""
    return nn.GroupNorm(1, width)


@cache
@torch.inference_mode(False)  # kept ones must also serve where slopes are wanted
def averages(length: int, bins: int, device: torch.device) -> Tensor:
    """(bins, length): times a column, it gives the averages that adaptive pooling to ``bins`` does."""
    rows = torch.zeros(bins, length)
    for index, row in enumerate(rows):
        start, end = index * length // bins, -(-(index + 1) * length // bins)
        row[start:end] = 1.0 / (end - start)
    return rows.to(device)


class PoolAttention(nn.Module):
    """Mixes pixels and channels by products of averages."""

    def __init__(self, width: int, config: FormerConfig) -> None:
        super().__init__()
        self.groups, self.pooled = config.groups, config.pooled
        self.norm = norm_of_all(width)
        self.proj0 = nn.Conv2d(width, width, 3, padding=1, groups=width)
        self.proj1 = nn.Conv2d(width, width, 3, padding=1, groups=width)
        self.proj2 = nn.Conv2d(width, width, 3, padding=1, groups=width)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, H, W)."""
        sums = self.proj0(self.over_pixels(x)) + self.proj1(self.over_channels(x))
        mixed: Tensor = self.proj2(self.norm(sums))
        return mixed

    def over_pixels(self, x: Tensor) -> Tensor:
        """Each channel (H, W) averaged to (H, 4) and (4, W), and multiplied."""
        rows = x @ averages(x.shape[3], self.pooled, x.device).T
        return rows @ (averages(x.shape[2], self.pooled, x.device) @ x)

    def over_channels(self, x: Tensor) -> Tensor:
        """The same of each pixel's channels, laid out as (32, C / 32)."""
        batch, width, height, columns = x.shape
        table = x.view(batch, self.groups, width // self.groups, height * columns)
        rows = averages(table.shape[2], self.pooled, x.device) @ table  # (B, 32, 4, HW)
        down = averages(self.groups, self.pooled, x.device) @ table.flatten(2)  # (B, 4, C / 32 * HW)
        down = down.view(batch, 1, self.pooled, *table.shape[2:])
        products = [rows[:, :, k, None] * down[:, :, k] for k in range(self.pooled)]
        return sum(products[1:], products[0]).view_as(x)


class Mlp(nn.Module):
    """The same two maps at every pixel."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.fc1 = nn.Conv2d(width, hidden, 1)
        self.fc2 = nn.Conv2d(hidden, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, H, W)."""
        mixed: Tensor = self.fc2(F.gelu(self.fc1(x)))
        return mixed


class Block(nn.Module):
    """Pool attention, then an MLP, each added to what came in at a learned scale of every channel."""

    def __init__(self, width: int, mlp_ratio: int, config: FormerConfig) -> None:
        super().__init__()
        self.norm1 = norm_of_all(width)
        self.token_mixer = PoolAttention(width, config)
        self.norm2 = norm_of_all(width)
        self.mlp = Mlp(width, mlp_ratio * width)
        self.layer_scale_1 = nn.Parameter(torch.empty(width))
        self.layer_scale_2 = nn.Parameter(torch.empty(width))

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, H, W)."""
        x = x + self.layer_scale_1[:, None, None] * self.token_mixer(self.norm1(x))
        mixed: Tensor = x + self.layer_scale_2[:, None, None] * self.mlp(self.norm2(x))
        return mixed


def blocks(count: int, width: int, mlp_ratio: int, config: FormerConfig) -> nn.Sequential:
    """Several blocks, one after the other."""
    return nn.Sequential(*(Block(width, mlp_ratio, config) for _ in range(count)))


class Patches(nn.Module):
    """A convolution that makes the picture smaller."""

    def __init__(self, incoming: int, width: int, *, size: int, stride: int, padding: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(incoming, width, size, stride=stride, padding=padding)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C', H / stride, W / stride)."""
        smaller: Tensor = self.proj(x)
        return smaller


class Backbone(nn.Module):
    """The four stages: ``network`` holds stage, reduction, stage, ..., as the checkpoint numbers them."""

    def __init__(self, config: FormerConfig) -> None:
        super().__init__()
        widths = config.widths
        self.patch_embed = Patches(3, widths[0], size=7, stride=4, padding=2)
        self.network = nn.ModuleList()
        for stage, (depth, width) in enumerate(zip(config.depths, widths, strict=True)):
            self.network.append(blocks(depth, width, config.mlp_ratio, config))
            self.add_module(f"norm{2 * stage}", norm_of_all(width))
            if stage + 1 < len(widths):
                self.network.append(Patches(width, widths[stage + 1], size=3, stride=2, padding=1))

    def forward(self, crops: Tensor) -> list[Tensor]:
        """(B, 3, 224, 224) -> the stages' outputs, normed: (B, 64, 56, 56) to (B, 512, 7, 7)."""
        x = self.patch_embed(crops)
        outputs = []
        for index, part in enumerate(self.network):
            x = part(x)
            if index % 2 == 0:
                outputs.append(self.get_submodule(f"norm{index}")(x))  # the next stage reads x without it
        return outputs


class Doubling(nn.Module):
    """Twice the resolution, and the channels of the stage before."""

    def __init__(self, incoming: int, width: int, *, normed: bool) -> None:
        super().__init__()
        self.proj = nn.Conv2d(incoming, width, 3, padding=1)
        self.norm = norm_of_all(width) if normed else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C', 2 H, 2 W)."""
        larger: Tensor = self.norm(self.proj(F.interpolate(x, scale_factor=2.0, mode="nearest")))
        return larger


class Branch(nn.Module):
    """Stays at the first stage's resolution and takes the deeper stages in, one by one."""

    def __init__(self, config: FormerConfig) -> None:
        super().__init__()
        widths = config.widths
        for stage in range(1, len(widths)):
            steps = [
                Doubling(widths[level], widths[level - 1], normed=level > 1) for level in range(stage, 0, -1)
            ]
            # The checkpoint numbers the steps only where there are several.
            self.add_module(f"patch_emb{stage}", nn.Sequential(*steps) if stage > 1 else steps[0])
            depth, ratio = config.branch_depths[stage - 1], config.branch_mlp_ratios[stage - 1]
            self.add_module(f"Block{stage}", blocks(depth, widths[0], ratio, config))

    def forward(self, outputs: list[Tensor]) -> Tensor:
        """The stages' outputs -> (B, 64, 56, 56)."""
        x = outputs[0]
        for stage, output in enumerate(outputs[1:], start=1):
            enlarged = self.get_submodule(f"patch_emb{stage}")(output)
            x = self.get_submodule(f"Block{stage}")(x + enlarged)
        return x


class PoolAttnFormer(nn.Module):
    """Stages and branch."""

    def __init__(self, config: FormerConfig) -> None:
        super().__init__()
        self.poolattn_cls = Backbone(config)
        self.stage1 = Branch(config)
        self.norm0 = norm_of_all(config.widths[0])
        self.norm3 = norm_of_all(config.widths[-1])  # of the classifier it was made from

    def forward(self, crops: Tensor) -> Tensor:
        """(B, 3, 224, 224) -> (B, 64, 56, 56)."""
        features: Tensor = self.norm0(self.stage1(self.poolattn_cls(crops)))
        return features
