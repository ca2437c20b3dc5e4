"""POTTER's network: the public one's numbers, from the public one's files."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

import potter_files  # noqa: E402
import torch.nn.functional as F  # noqa: E402, N812
from potter_files import (  # noqa: E402
    SMALL,
    public_tensors,
    seeded_input,
    seeded_weights,
    shapes_of,
    write_checkpoint,
)

from tracker.errors import MissingDependencyError, WeightsError  # noqa: E402
from tracker.networks.pool_attn_former import FormerConfig, PoolAttention, averages  # noqa: E402
from tracker.networks.potter import Potter, load_potter, potter_of, without_prefixes  # noqa: E402

Tensors = dict[str, torch.Tensor]


@pytest.fixture(scope="module")
def small_state() -> Tensors:
    return potter_files.small_state()


def test_names_and_shapes_are_the_public_checkpoints(shared: Path) -> None:
    assert shapes_of(Potter()) == public_tensors(shared)


def test_a_public_checkpoint_gives_what_the_public_code_gives(shared: Path, tmp_path: Path) -> None:
    """The two prefixes are those that training in parallel, and as a part of another model, leaves."""
    checkpoint = write_checkpoint(
        tmp_path / "potter.pth", seeded_weights(public_tensors(shared)), prefix="module.backbone."
    )
    network = load_potter(checkpoint)
    with torch.inference_mode():
        output = network(seeded_input())
    with np.load(shared / "reference" / "potter" / "golden_7.npz") as golden:
        np.testing.assert_allclose(output.numpy(), golden["y"], rtol=0, atol=1e-4)
    assert not network.training and not any(tensor.requires_grad for tensor in network.parameters())


def test_one_crop_is_read_as_in_a_batch(small_state: Tensors) -> None:
    network, crops = potter_of(small_state, source="it", config=SMALL), seeded_input()
    with torch.inference_mode():
        together, alone = network(crops), network(crops[1:])
    torch.testing.assert_close(together[1:], alone, rtol=0, atol=1e-5)


@pytest.mark.parametrize("length", [2, 4, 7, 10, 14, 32])
def test_the_averages_are_those_of_adaptive_pooling(length: int) -> None:
    column = torch.randn(1, 3, length, generator=torch.Generator().manual_seed(length))
    pooled = column @ averages(length, 4, torch.device("cpu")).T
    torch.testing.assert_close(pooled, F.adaptive_avg_pool1d(column, 4))


def test_pooling_over_channels_is_pooling_over_pictures_of_each_pixels_channels() -> None:
    """As the public code lays it out: (B, C, H, W) as tokens (B, HW, 32, C / 32), averaged and multiplied."""
    x = torch.randn(2, 320, 7, 5, generator=torch.Generator().manual_seed(0))
    tokens = x.flatten(2).transpose(1, 2).reshape(2, 35, 32, 10)
    product = F.adaptive_avg_pool2d(tokens, (32, 4)) @ F.adaptive_avg_pool2d(tokens, (4, 10))
    expected = product.reshape(2, 35, 320).transpose(1, 2).reshape(2, 320, 7, 5)
    with torch.device("meta"):
        mixer = PoolAttention(320, FormerConfig())
    torch.testing.assert_close(mixer.over_channels(x), expected)


@pytest.mark.parametrize("prefix", ["", "module.", "backbone.", "module.backbone."])
def test_prefixes_of_training_are_taken_off(prefix: str) -> None:
    tensor = torch.zeros(1)
    assert without_prefixes({f"{prefix}norm1.weight": tensor}, source="it") == {"norm1.weight": tensor}


def test_a_name_under_two_prefixes_is_refused() -> None:
    both = {"norm1.weight": torch.zeros(1), "module.norm1.weight": torch.ones(1)}
    with pytest.raises(WeightsError, match=r"norm1\.weight twice"):
        without_prefixes(both, source="it")


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda state: state.pop("norm1.weight"), r"lacks norm1\.weight"),
        (lambda state: state.update(more=torch.zeros(1)), "has unknown more"),
        (
            lambda state: state.update({"norm1.bias": torch.zeros(3)}),
            r"norm1\.bias is \(3,\) instead of \(8,\)",
        ),
    ],
)
def test_another_networks_tensors_are_named(
    small_state: Tensors, change: Callable[[Tensors], object], told: str
) -> None:
    state = dict(small_state)
    change(state)
    with pytest.raises(WeightsError, match=f"it does not hold POTTER.*{told}"):
        potter_of(state, source="it", config=SMALL)


def test_tensors_of_half_precision_are_read_as_float32(small_state: Tensors) -> None:
    halved = {name: tensor.half() for name, tensor in small_state.items()}
    network = potter_of(halved, source="it", config=SMALL)
    assert {tensor.dtype for tensor in network.state_dict().values()} == {torch.float32}


def test_a_file_of_nothing_but_tensors_is_a_checkpoint_too(small_state: Tensors, tmp_path: Path) -> None:
    path = write_checkpoint(tmp_path / "small.pt", small_state, wrapped=False)
    with pytest.raises(WeightsError, match="does not hold POTTER"):
        load_potter(path)


def test_a_hostile_file_is_refused_and_not_run(tmp_path: Path) -> None:
    class Hostile:
        def __reduce__(self) -> tuple[object, ...]:
            return Path.touch, (tmp_path / "was_run",)

    torch.save({"state_dict": {}, "more": Hostile()}, tmp_path / "bad.pt")
    with pytest.raises(WeightsError, match="refused"):
        load_potter(tmp_path / "bad.pt")
    assert not (tmp_path / "was_run").exists()


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"none\.pt"):
        load_potter(tmp_path / "none.pt")


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_a_device_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(MissingDependencyError, match="CUDA"):
        load_potter(tmp_path / "none.pt", device="cuda")
