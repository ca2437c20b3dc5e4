"""ViT-H/16 as HaMeR uses it: (B, 3, 256, 192) crops in, 192 tokens out (Dosovitskiy et al., 2021).

Matrix products run in the dtype that was asked for; LayerNorm, positions and the residual stream stay in
float32, so half precision loses digits only inside a product. All shapes are static and nothing waits for
the host, so a CUDA graph can capture the whole.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F  # noqa: N812 (the name everyone knows)
from torch import Tensor, nn

PATCH_PX = 16
PATCH_PADDING_PX = 2
CROP_ROWS_PX, CROP_COLUMNS_PX = 256, 192
NUM_TOKENS = (CROP_ROWS_PX // PATCH_PX) * (CROP_COLUMNS_PX // PATCH_PX)
LAYER_NORM_EPS = 1e-6


@dataclass(frozen=True)
class VitConfig:
    """Size of the network; the defaults are ViT-H."""

    depth: int = 32
    """Layers."""
    width: int = 1280
    """Numbers in a token."""
    heads: int = 16
    """Attention heads; each has width / heads numbers."""
    mlp_ratio: int = 4
    """Hidden numbers of the MLP over the width."""


class Norm(nn.LayerNorm):
    """LayerNorm in float32 whatever comes in; its output has ``output_dtype``."""

    def __init__(self, width: int, *, eps: float, output_dtype: torch.dtype) -> None:
        super().__init__(width, eps=eps, dtype=torch.float32)
        self.output_dtype = output_dtype

    def forward(self, x: Tensor) -> Tensor:
        """(..., C) -> (..., C)."""
        return super().forward(x.float()).to(self.output_dtype)


class Block(nn.Module):
    """One layer: self-attention, then an MLP, each on a normalised copy of the residual stream."""

    def __init__(self, config: VitConfig, dtype: torch.dtype) -> None:
        super().__init__()
        width, hidden = config.width, config.width * config.mlp_ratio
        self.heads = config.heads
        self.attention_norm = Norm(width, eps=LAYER_NORM_EPS, output_dtype=dtype)
        self.qkv = nn.Linear(width, 3 * width, dtype=dtype)
        self.out = nn.Linear(width, width, dtype=dtype)
        self.mlp_norm = Norm(width, eps=LAYER_NORM_EPS, output_dtype=dtype)
        self.up = nn.Linear(width, hidden, dtype=dtype)
        self.down = nn.Linear(hidden, width, dtype=dtype)

    def attend(self, x: Tensor) -> Tensor:
        """softmax(q k' / sqrt(D)) v, head by head: (B, N, C) -> (B, N, C)."""
        batch, tokens, width = x.shape
        qkv = self.qkv(x).view(batch, tokens, 3, self.heads, width // self.heads)
        q, k, v = qkv.permute(2, 0, 3, 1, 4).unbind(0)  # each (B, H, N, D)
        seen = F.scaled_dot_product_attention(q, k, v)
        joined: Tensor = self.out(seen.transpose(1, 2).reshape(batch, tokens, width))
        return joined

    def forward(self, x: Tensor) -> Tensor:
        """(B, N, C) float32 -> (B, N, C) float32."""
        x = x + self.attend(self.attention_norm(x))
        mixed: Tensor = self.down(F.gelu(self.up(self.mlp_norm(x))))
        return x + mixed


class Vit(nn.Module):
    """The backbone."""

    def __init__(self, config: VitConfig, dtype: torch.dtype) -> None:
        super().__init__()
        self.dtype = dtype
        self.patch = nn.Linear(3 * PATCH_PX**2, config.width, dtype=dtype)
        self.positions = nn.Parameter(torch.empty(NUM_TOKENS, config.width, dtype=torch.float32))
        self.blocks = nn.ModuleList(Block(config, dtype) for _ in range(config.depth))
        self.norm = Norm(config.width, eps=LAYER_NORM_EPS, output_dtype=dtype)

    def forward(self, crops: Tensor) -> Tensor:
        """(B, 3, 256, 192) -> (B, 192, C), tokens row by row of the picture."""
        x = self.patch(patches(crops.to(self.dtype))).float() + self.positions
        for block in self.blocks:
            x = block(x)
        tokens: Tensor = self.norm(x)
        return tokens


def patches(crops: Tensor) -> Tensor:
    """Cut (B, 3, 256, 192) into (B, 192, 768): what a 16 x 16 convolution of stride 16 and padding 2 reads.

    With that padding the last 2 rows and columns of the picture are read by no patch, so the convolution is a
    shift by 2 and a product. Channels, then rows, then columns of a patch, as in the convolution's weight.
    """
    shift = PATCH_PADDING_PX
    shifted = F.pad(crops, (shift, -shift, shift, -shift))
    rows, columns = CROP_ROWS_PX // PATCH_PX, CROP_COLUMNS_PX // PATCH_PX
    grid = shifted.view(-1, 3, rows, PATCH_PX, columns, PATCH_PX)
    return grid.permute(0, 2, 4, 1, 3, 5).reshape(-1, NUM_TOKENS, 3 * PATCH_PX**2)
