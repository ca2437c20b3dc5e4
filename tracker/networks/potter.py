"""POTTER's hand network: crops of either hand in, 21 joints out (Zheng et al., 2023; EgoExo4D's baseline).

A PoolAttnFormer reads the crop. The head makes a volume (depth, y, x) of each joint, sums it over two axes at
a time, and reads the joint from what is left.

Everything is float32. Modules are named as in the public checkpoint, so its tensors go in as they are.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch
import torch.nn.functional as F  # noqa: N812 (the name everyone knows)
from torch import Tensor, nn

from tracker.errors import MissingDependencyError, WeightsError
from tracker.joints import NUM_JOINTS
from tracker.networks.checkpoint_file import read_state_dict
from tracker.networks.pool_attn_former import FormerConfig, PoolAttnFormer, norm_of_all
from tracker.networks.weights import check_shapes

CROP_PX = 224
PREFIXES = ("module.", "backbone.")
"""What training may have left before every name of a checkpoint's tensors."""


@dataclass(frozen=True)
class PotterConfig:
    """Size of the network; the defaults are the published one."""

    former: FormerConfig = field(default_factory=FormerConfig)
    head_width: int = 256
    """Channels before the volumes."""
    bins: int = 56
    """Places along each axis of a joint's volume: the branch's resolution."""
    profile_width: int = 512
    """Hidden numbers of the map from profiles to coordinates."""


class Potter(nn.Module):
    """The network. Its modules are on torch's meta device until a file's tensors are put in."""

    def __init__(self, config: PotterConfig | None = None) -> None:
        super().__init__()
        config = config or PotterConfig()
        self.bins, width = config.bins, config.former.widths[0]
        with torch.device("meta"):
            self.poolattnformer_pose = PoolAttnFormer(config.former)
            self.up_sample = nn.Sequential(nn.Conv2d(width, config.head_width, 1))
            self.norm1 = norm_of_all(config.head_width)
            self.final_layer = nn.Conv2d(config.head_width, NUM_JOINTS * config.bins, 1)
            self.pose_layer = nn.Sequential(
                nn.Conv3d(NUM_JOINTS, NUM_JOINTS, 1),
                nn.GELU(),
                nn.GroupNorm(NUM_JOINTS, NUM_JOINTS),
                nn.Conv3d(NUM_JOINTS, NUM_JOINTS, 1),
            )
            self.pose_3d_head = nn.Sequential(
                nn.Linear(3 * config.bins, config.profile_width),
                nn.ReLU(),
                nn.GroupNorm(NUM_JOINTS, NUM_JOINTS),
                nn.Linear(config.profile_width, 3),
            )

    def forward(self, crops: Tensor) -> Tensor:
        """Read crops of hands of either side, left ones as they are.

        Args:
            crops: (B, 3, 224, 224) RGB in 0..1, less ImageNet's mean, over its standard deviation.

        Returns:
            (B, 21, 3), to be multiplied by the joints' standard deviations and added to their means.
        """
        features = self.poolattnformer_pose(crops)  # (B, 64, 56, 56)
        wide = self.norm1(F.gelu(self.up_sample(features)))  # (B, 256, 56, 56)
        volumes = self.final_layer(wide).unflatten(1, (NUM_JOINTS, self.bins))  # (B, 21, depth, y, x)
        volumes = self.pose_layer(volumes)
        seen = volumes.sum(dim=2)
        profiles = [seen.sum(dim=2), seen.sum(dim=3), volumes.sum(dim=(3, 4))]  # x, y, z: each (B, 21, 56)
        coordinates: Tensor = self.pose_3d_head(torch.cat(profiles, dim=-1))
        return coordinates


def load_potter(checkpoint: str | Path, *, device: str | torch.device = "cpu") -> Potter:
    """The network with its weights, ready to run.

    Args:
        checkpoint: of the public baseline, with or without ``PREFIXES`` before its tensors' names.
        device: where it will run.

    Raises:
        TrackerError: the file is missing, damaged, hostile or of another network, or there is no such device.
    """
    device = torch.device(device)
    if device.type == "cuda" and not torch.cuda.is_available():
        raise MissingDependencyError("torch finds no CUDA device; install its CUDA build, or run on the cpu")
    state = without_prefixes(read_state_dict(Path(checkpoint)), source=str(checkpoint))
    try:
        return potter_of(state, source=str(checkpoint)).to(device)
    except torch.OutOfMemoryError as error:
        raise WeightsError(f"{device} has no room for POTTER's weights (58 MB); free some") from error


def without_prefixes(state: Mapping[str, Tensor], *, source: str) -> dict[str, Tensor]:
    """The tensors by the names they have without what training may have left before them.

    Raises:
        WeightsError: two then have one name.
    """
    bare: dict[str, Tensor] = {}
    for name, tensor in state.items():
        short = name
        while prefix := next((prefix for prefix in PREFIXES if short.startswith(prefix)), ""):
            short = short.removeprefix(prefix)
        if short in bare:
            raise WeightsError(f"{source} holds {short} twice, under several prefixes")
        bare[short] = tensor
    return bare


def potter_of(state: Mapping[str, Tensor], *, source: str, config: PotterConfig | None = None) -> Potter:
    """The network holding copies of the tensors of ``state``, in float32; errors name ``source``.

    Raises:
        WeightsError: they are not those of POTTER.
    """
    network = Potter(config)
    wanted = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
    check_shapes(state, wanted, source, network="POTTER")
    copies = {name: state[name].to(torch.float32, copy=True) for name in wanted}
    network.load_state_dict(copies, strict=True, assign=True)
    return network.eval().requires_grad_(False)
