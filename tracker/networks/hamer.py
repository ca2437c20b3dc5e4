"""HaMeR: crops of right hands in, MANO parameters and mesh out (Pavlakos et al., 2024).

A ViT-H reads the crop; a decoder of 6 layers with a single query token looks at its 192 tokens; one linear
map gives 16 rotations, 10 shape numbers and a weak-perspective camera, as differences from the mean hand.

Matrix products run in the dtype asked for; LayerNorm, the residual streams, the last linear map, rotations,
camera and MANO stay in float32. Left hands are mirrored by the caller. Official files need no library but
torch and numpy.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 (the name everyone knows)
from torch import Tensor, nn

from tracker.errors import MissingDependencyError, WeightsError
from tracker.mano_numpy import NUM_BETAS, NUM_MANO_JOINTS, ManoModel
from tracker.networks.mano import Mano
from tracker.networks.mano_file import read_mano
from tracker.networks.vit import CROP_COLUMNS_PX, CROP_ROWS_PX, Norm, Vit, VitConfig
from tracker.networks.weights import check_shapes, depth_of, read_weights

CROP_PX = 256
IMAGE_MEAN = (0.485, 0.456, 0.406)
"""Of red, green and blue in 0..1, to be taken from a crop before the network sees it (ImageNet)."""
IMAGE_STD = (0.229, 0.224, 0.225)
"""To divide by after that."""

HEAD_NORM_EPS = 1e-5
FIRST_COLUMN_PX = (CROP_PX - CROP_COLUMNS_PX) // 2
NUM_ROTATION_NUMBERS = 6 * NUM_MANO_JOINTS
NUM_READOUTS = NUM_ROTATION_NUMBERS + NUM_BETAS + 3


@dataclass(frozen=True)
class HamerConfig:
    """Size of the network; the defaults are the published one."""

    vit: VitConfig = field(default_factory=VitConfig)
    head_depth: int = 6
    """Layers of the decoder."""
    head_width: int = 1024
    """Numbers in its token, and hidden numbers of its MLPs."""
    head_heads: int = 8
    """Attention heads of 64 numbers each."""
    head_numbers: int = 64
    """Numbers of a head."""


class HamerOutput(NamedTuple):
    """What HaMeR makes of a batch of crops, all float32 (a named tuple, so that compilers see through)."""

    global_orient: Tensor
    """(B, 3, 3) camera-from-hand rotation of MANO's root"""
    hand_pose: Tensor
    """(B, 15, 3, 3) rotations of MANO's finger joints, each against its parent"""
    betas: Tensor
    """(B, 10) shape"""
    camera: Tensor
    """(B, 3) scale, x and y of a weak-perspective camera over the crop, in half crops"""
    joints_m: Tensor
    """(B, 21, 3) in the order of ``tracker.joints``, in crop camera axes about MANO's own origin"""
    vertices_m: Tensor
    """(B, 778, 3) likewise"""


class DecoderLayer(nn.Module):
    """One layer of the head: the query token looks at itself, at the picture, and thinks.

    Attention of one token to itself has weight 1 whatever query and key are: it is the linear map
    ``self_attention``, the product of the official value and output maps.
    """

    def __init__(self, config: HamerConfig, dtype: torch.dtype) -> None:
        super().__init__()
        width, inner = config.head_width, config.head_heads * config.head_numbers
        self.heads = config.head_heads
        self.self_norm = Norm(width, eps=HEAD_NORM_EPS, output_dtype=dtype)
        self.self_attention = nn.Linear(width, width, dtype=dtype)
        self.cross_norm = Norm(width, eps=HEAD_NORM_EPS, output_dtype=dtype)
        self.cross_query = nn.Linear(width, inner, bias=False, dtype=dtype)
        self.cross_out = nn.Linear(inner, width, dtype=dtype)
        self.mlp_norm = Norm(width, eps=HEAD_NORM_EPS, output_dtype=dtype)
        self.up = nn.Linear(width, width, dtype=dtype)
        self.down = nn.Linear(width, width, dtype=dtype)

    def forward(self, x: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        """(B, C) float32 and the picture's keys and values (B, H, N, D) -> (B, C) float32."""
        x = x + self.self_attention(self.self_norm(x))
        query = self.cross_query(self.cross_norm(x)).view(-1, self.heads, 1, keys.shape[-1])
        seen = F.scaled_dot_product_attention(query, keys, values)  # (B, H, 1, D)
        x = x + self.cross_out(seen.flatten(1))
        mixed: Tensor = self.down(F.gelu(self.up(self.mlp_norm(x))))
        return x + mixed


class Head(nn.Module):
    """Tokens of the picture in, the 109 numbers that describe the hand out."""

    def __init__(self, config: HamerConfig, dtype: torch.dtype) -> None:
        super().__init__()
        width, inner = config.head_width, config.head_heads * config.head_numbers
        self.kv_shape = (config.head_depth, 2, config.head_heads, config.head_numbers)
        self.start = nn.Parameter(torch.empty(width, dtype=torch.float32))
        self.keys_values = nn.Linear(config.vit.width, config.head_depth * 2 * inner, bias=False, dtype=dtype)
        self.layers = nn.ModuleList(DecoderLayer(config, dtype) for _ in range(config.head_depth))
        self.readout = nn.Linear(width, NUM_READOUTS, dtype=torch.float32)

    def forward(self, tokens: Tensor) -> Tensor:
        """(B, N, C) -> (B, 109) float32: 16 rotations of 6 numbers, 10 betas, camera."""
        batch, count, _ = tokens.shape
        keys_values = self.keys_values(tokens).view(batch, count, *self.kv_shape)  # of all layers at once
        keys_values = keys_values.permute(2, 3, 0, 4, 1, 5)  # (L, 2, B, H, N, D)
        x = self.start.expand(batch, -1)
        for layer, (keys, values) in zip(self.layers, keys_values, strict=True):
            x = layer(x, keys, values)
        numbers: Tensor = self.readout(x)
        return numbers


class HamerNetwork(nn.Module):
    """Backbone and head: what has weights. They are on torch's meta device until a file's are put in."""

    def __init__(self, config: HamerConfig, dtype: torch.dtype) -> None:
        super().__init__()
        with torch.device("meta"):
            self.backbone = Vit(config.vit, dtype)
            self.head = Head(config, dtype)

    def forward(self, crops: Tensor) -> Tensor:
        """Normalised crops (B, 3, 256, 256) -> (B, 109) float32: what ``Hamer.decode`` makes a hand of."""
        middle = crops[..., FIRST_COLUMN_PX : FIRST_COLUMN_PX + CROP_COLUMNS_PX]
        numbers: Tensor = self.head(self.backbone(middle))
        return numbers


class Hamer(nn.Module):
    """The network, and MANO to make a hand of its numbers."""

    def __init__(self, network: HamerNetwork, mano: ManoModel) -> None:
        super().__init__()
        self.network = network
        self.mano = Mano(mano)

    def decode(self, numbers: Tensor) -> HamerOutput:
        """Numbers (B, 109) -> the hand they describe."""
        rotation_numbers, betas, camera = torch.split(numbers, [NUM_ROTATION_NUMBERS, NUM_BETAS, 3], dim=1)
        rotations = rotations_from_numbers(rotation_numbers.view(-1, NUM_MANO_JOINTS, 6))
        global_orient, hand_pose = rotations[:, 0], rotations[:, 1:]
        joints_m, vertices_m = self.mano(global_orient, hand_pose, betas)
        return HamerOutput(global_orient, hand_pose, betas, camera, joints_m, vertices_m)

    def forward(self, crops: Tensor) -> HamerOutput:
        """Read crops of right hands.

        Args:
            crops: (B, 3, 256, 256) RGB in 0..1, less ``IMAGE_MEAN``, over ``IMAGE_STD``; left hands mirrored.
        """
        return self.decode(self.network(crops))


def rotations_from_numbers(numbers: Tensor) -> Tensor:
    """Rotations (..., 3, 3) from (..., 6): two columns, made orthonormal (Zhou et al., 2019, section 4).

    b1 = a1 / |a1|, b2 = (a2 - (b1 a2) b1) / |.|, b3 = b1 x b2.
    """
    a1, a2 = numbers[..., :3], numbers[..., 3:]
    b1 = F.normalize(a1, dim=-1)
    b2 = F.normalize(a2 - (b1 * a2).sum(-1, keepdim=True) * b1, dim=-1)
    return torch.stack([b1, b2, torch.linalg.cross(b1, b2)], dim=-1)


def seeded_crops(count: int, *, seed: int = 0) -> Tensor:
    """Normalised stand-ins for crops (count, 3, 256, 256) to compare two runs on: blobs and noise."""
    generator = np.random.Generator(np.random.Philox(seed))
    blobs = generator.standard_normal((count, 3, CROP_PX // 16, CROP_PX // 16), dtype=np.float32)
    noise = generator.standard_normal((count, 3, CROP_ROWS_PX, CROP_PX), dtype=np.float32)
    return torch.from_numpy(np.kron(blobs, np.ones((1, 1, 16, 16), np.float32)) + 0.3 * noise)


def load_hamer(
    checkpoint: str | Path,
    mano: str | Path,
    *,
    device: str | torch.device = "cpu",
    dtype: torch.dtype = torch.float32,
) -> Hamer:
    """The network with its weights, ready to run.

    Args:
        checkpoint: the official ``hamer.ckpt``, or what ``tracker.weights_store`` made of it (faster).
        mano: the official ``MANO_RIGHT.pkl``, or what ``tracker.weights_store`` made of it.
        device: where it will run.
        dtype: of the matrix products: float32, float16 or bfloat16.

    Raises:
        TrackerError: a file is missing, damaged, hostile or of another network, or there is no such device.
    """
    device = torch.device(device)
    if device.type == "cuda" and not torch.cuda.is_available():
        raise MissingDependencyError("torch finds no CUDA device; install its CUDA build, or run on the cpu")
    model = read_mano(Path(mano))
    try:
        state = read_weights(Path(checkpoint), device=device)
        network = network_of(state, source=str(checkpoint), dtype=dtype)
        return Hamer(network, model).to(device).eval().requires_grad_(False)
    except torch.OutOfMemoryError as error:
        raise WeightsError(
            f"{device} has no room for HaMeR's weights (1.3 GB in float16, 2.7 in float32); free some"
        ) from error


def network_of(state: Mapping[str, Tensor], *, source: str, dtype: torch.dtype) -> HamerNetwork:
    """The network holding the tensors of ``state`` in the types it wants; errors name ``source``.

    Raises:
        WeightsError: they are not those of HaMeR.
    """
    network = HamerNetwork(HamerConfig(vit=VitConfig(depth=depth_of(state, source))), dtype)
    empty = network.state_dict()
    check_shapes(state, {name: tuple(tensor.shape) for name, tensor in empty.items()}, source)
    network.load_state_dict({name: state[name].to(empty[name].dtype) for name in empty}, assign=True)
    return network.eval().requires_grad_(False)
