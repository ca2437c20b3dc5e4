"""A HaMeR small enough to train in a test, and eight rendered hands to train it on."""

import torch
from egoexo4d_release import MadeRelease
from standin_mano import mano_arrays
from torch import nn

from tracker.mano_numpy import mano_from_arrays
from tracker.networks.hamer import Hamer, HamerConfig, HamerNetwork
from tracker.networks.vit import VitConfig
from tracker.research.finetuning.training_hands import TrainingHand, hands_of_takes
from tracker.research.ground_truth.egoexo4d import open_takes
from tracker.research.ground_truth.egoexo4d_values import Tally


def tiny_hamer(*, depth: int = 2, width: int = 64, seed: int = 0) -> Hamer:
    """Seeded weights that say about the same of every crop: MANO upright and at rest."""
    generator = torch.Generator().manual_seed(seed)
    vit = VitConfig(depth=depth, width=width, heads=2)
    network = HamerNetwork(HamerConfig(vit, 1, width, 2, width // 2), torch.float32)
    network.to_empty(device="cpu")
    for module in network.modules():
        if isinstance(module, nn.LayerNorm):
            nn.init.ones_(module.weight)
            nn.init.zeros_(module.bias)
        elif isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, std=0.05, generator=generator)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    for parameter in (network.backbone.positions, network.head.start):
        nn.init.normal_(parameter, std=0.1, generator=generator)
    rest = torch.tensor([1.0, 0.0, 0.0, 0.0, 1.0, 0.0])
    with torch.no_grad():
        network.head.readout.bias.copy_(
            torch.cat([rest.repeat(16), torch.zeros(10), torch.tensor([5.0, 0, 0])])
        )
    return Hamer(network, mano_from_arrays(mano_arrays()))


def eight_hands(release: MadeRelease) -> list[TrainingHand]:
    """Left and right hands of rendered pictures, all but a few joints marked."""
    takes = open_takes(release.prepared, release.annotations, "val")
    hands = hands_of_takes(takes, Tally())
    return sorted(hands, key=lambda hand: -int(hand.visible.sum()))[:8]
