"""HaMeR with seeded random weights of the official shapes, for timing."""

import numpy as np
import torch

from tracker.mano_numpy import NUM_FACES, NUM_VERTICES, PARENTS, ManoModel, mano_from_arrays
from tracker.networks.hamer import Hamer, HamerConfig, HamerNetwork
from tracker.networks.vit import NUM_TOKENS


def network_cost(config: HamerConfig) -> tuple[float, float]:
    """Operations for a crop, and bytes of weights in float16."""
    vit = config.vit
    products = (4 + 2 * vit.mlp_ratio) * vit.width**2  # weights of a layer
    per_layer = 2 * NUM_TOKENS * products + 4 * NUM_TOKENS**2 * vit.width
    head = config.head_depth * 2 * 2 * config.head_heads * config.head_numbers * vit.width * NUM_TOKENS
    network = HamerNetwork(config, torch.float16)
    return vit.depth * per_layer + head, 2.0 * sum(weight.numel() for weight in network.parameters())


def half_type(device: torch.device) -> torch.dtype:
    return torch.float16 if device.type == "cuda" else torch.bfloat16


def random_mano() -> ManoModel:
    """A body of MANO's shapes and about a hand's size."""
    rng = np.random.default_rng(0)
    regressor = rng.dirichlet(np.full(NUM_VERTICES, 0.02), size=16)
    return mano_from_arrays(
        {
            "v_template": 0.04 * rng.normal(size=(NUM_VERTICES, 3)),
            "shapedirs": 0.003 * rng.normal(size=(NUM_VERTICES, 3, 10)),
            "posedirs": 0.001 * rng.normal(size=(NUM_VERTICES, 3, 135)),
            "J_regressor": regressor,
            "weights": rng.dirichlet(np.full(16, 0.2), size=NUM_VERTICES),
            "faces": rng.integers(0, NUM_VERTICES, (NUM_FACES, 3)),
            "kintree_table": np.array([PARENTS, range(16)]),
        }
    )


@torch.no_grad()
def random_hamer(config: HamerConfig, device: torch.device) -> Hamer:
    """The network in float32 with seeded weights."""
    network = HamerNetwork(config, torch.float32).to_empty(device=device)
    generator = torch.Generator(device).manual_seed(7)
    for name, weight in network.named_parameters():
        weight.normal_(0.0, 0.02, generator=generator)
        if "norm" in name and name.endswith("weight"):
            weight.add_(1.0)
    identity = torch.tensor([1.0, 0, 0, 0, 1, 0], device=device).repeat(16)
    network.head.readout.bias[:96] += identity
    network.head.readout.bias[-3] += 0.9
    return Hamer(network, random_mano()).to(device).eval().requires_grad_(False)


def in_half(hamer: Hamer, config: HamerConfig, device: torch.device) -> Hamer:
    """A copy with the matrices in half precision."""
    network = HamerNetwork(config, half_type(device))
    types = {name: empty.dtype for name, empty in network.state_dict().items()}
    state = {name: weight.to(types[name]) for name, weight in hamer.network.state_dict().items()}
    network.load_state_dict(state, assign=True)
    return Hamer(network, random_mano()).to(device).eval().requires_grad_(False)
