"""Stand-ins for POTTER's checkpoint: seeded weights, as the reference data's README says."""

import json
import zlib
from pathlib import Path

import numpy as np
import torch

from tracker.networks.pool_attn_former import FormerConfig
from tracker.networks.potter import Potter, PotterConfig

SEED = 7
"""The seed whose output of the public implementation is stored."""
State = dict[str, torch.Tensor]


def public_tensors(shared: Path) -> dict[str, tuple[int, ...]]:
    """Names and shapes of the public checkpoint."""
    listed = json.loads((shared / "reference" / "potter" / "tensors.json").read_text())
    assert {kind for _, _, kind in listed} == {"torch.float32"}
    return {name: tuple(shape) for name, shape, _ in listed}


def numbers(*key: int, shape: tuple[int, ...]) -> np.ndarray:
    return np.random.Generator(np.random.Philox(key=list(key))).standard_normal(shape)


def seeded_weights(shapes: dict[str, tuple[int, ...]], seed: int = SEED) -> State:
    """Tensors of these names and shapes."""
    state = {}
    for name, shape in shapes.items():
        x = numbers(seed, zlib.crc32(name.encode()), shape=shape)
        scales = name.endswith("weight") and any(
            part in name for part in ("norm", "pose_layer.2", "pose_3d_head.2")
        )
        if "layer_scale" in name:
            x = 0.5 + 0.1 * x
        elif scales:
            x = 1.0 + 0.1 * x
        else:
            x = x / np.sqrt(np.prod(shape[1:]) if len(shape) > 1 else 2500)
        state[name] = torch.from_numpy(x.astype(np.float32))
    return state


SMALL = PotterConfig(
    FormerConfig(depths=(1, 1, 1, 1), widths=(32, 32, 64, 96), branch_depths=(1, 1, 1)),
    head_width=8,
    profile_width=16,
)
"""A network of the published form, but narrow."""


def shapes_of(network: torch.nn.Module) -> dict[str, tuple[int, ...]]:
    return {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}


def small_state() -> State:
    """Weights for ``SMALL``."""
    return seeded_weights(shapes_of(Potter(SMALL)))


def seeded_input(seed: int = SEED) -> torch.Tensor:
    """Crops (2, 3, 224, 224)."""
    return torch.from_numpy(numbers(seed, 1, shape=(2, 3, 224, 224)).astype(np.float32))


def write_checkpoint(path: Path, state: State, *, prefix: str = "", wrapped: bool = True) -> Path:
    """A file as training writes it."""
    named = {prefix + name: tensor for name, tensor in state.items()}
    torch.save({"epoch": 3, "state_dict": named} if wrapped else named, path)
    return path
