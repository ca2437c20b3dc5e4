"""Which of HaMeR's parameters are trained: the head, and of the backbone nothing, its last layers, or all."""

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from tracker.errors import UsageError
from tracker.networks.hamer import HamerNetwork
from tracker.research.finetuning.options import BackbonePart


class ExactLinear(nn.Linear):
    """A linear map in float32 also where mixed precision would have it in less."""

    def forward(self, x: Tensor) -> Tensor:
        """(..., C) -> (..., D)."""
        with torch.autocast(x.device.type, enabled=False):
            return super().forward(x.float())


def make_trainable(network: HamerNetwork, backbone: BackbonePart, last_layers: int) -> list[nn.Parameter]:
    """Say which parameters are trained, and keep the last linear map exact, as it is when hands are read.

    Args:
        network: with weights in float32; parameters that a file shares with it are copied.
        backbone: what of the ViT is trained beside the head.
        last_layers: how many of its layers, and its last norm, if that is ``last``.

    Returns:
        The parameters that are trained.

    Raises:
        UsageError: the backbone has fewer layers, or none is asked for.
    """
    depth = len(network.backbone.blocks)
    if backbone == "last" and not 0 < last_layers <= depth:
        raise UsageError(f"the last {last_layers} layers cannot be trained; the backbone has {depth}")
    network.head.readout = _exact(network.head.readout)
    for parameter in network.parameters():
        parameter.data = parameter.data.clone()
        parameter.requires_grad_(False)
    for module in _trained(network, backbone, last_layers):
        module.requires_grad_(True)
    return [parameter for parameter in network.parameters() if parameter.requires_grad]


def _exact(linear: nn.Linear) -> ExactLinear:
    exact = ExactLinear(linear.in_features, linear.out_features, device="meta")
    exact.weight, exact.bias = linear.weight, linear.bias
    return exact


def _trained(network: HamerNetwork, backbone: BackbonePart, last_layers: int) -> Iterator[nn.Module]:
    yield network.head
    if backbone == "all":
        yield network.backbone
    elif backbone == "last":
        yield from network.backbone.blocks[-last_layers:]
        yield network.backbone.norm
