"""Make our own file of the official checkpoint, and measure what float16 costs while float32 is at hand.

The cost is measured without a GPU: the network runs in float32 but rounds every matrix, and what goes into
and comes out of every product with one, to float16. A GPU's matrix units do just that, and add in float32.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from importlib import metadata
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from tracker.errors import WeightsError
from tracker.mano_numpy import ManoModel
from tracker.networks.converted_file import read_converted, read_facts, write_converted
from tracker.networks.hamer import Hamer, HamerConfig, HamerNetwork, network_of, seeded_crops
from tracker.networks.vit import VitConfig
from tracker.networks.weights import depth_of, from_official, read_official

NUM_CROPS = 2
PACKAGE = "egocentric-hand-tracker"
JOINT_ERROR = "float16_joint_error_mm"
"""The fact that says how far float16 moves a joint at most, in millimetres, over the seeded crops."""


def convert(checkpoint: Path, to: Path, *, mano: ManoModel | None) -> None:
    """Write the weights of the official checkpoint to our file ``to``, with facts about their origin.

    Without MANO the joint error waits for ``add_joint_error``; the network's answers are kept for it.

    Raises:
        TrackerError: the checkpoint is not as it should be, or the file cannot be written.
    """
    write_weights(from_official(read_official(checkpoint)), to, source=checkpoint, mano=mano)


def write_weights(
    state: Mapping[str, Tensor],
    to: Path,
    *,
    source: Path,
    mano: ManoModel | None,
    note: Mapping[str, str] | None = None,
) -> None:
    """Write weights under our modules' names to our file ``to``, with facts about their origin.

    Args:
        state: float32.
        to: see ``convert``.
        source: the file that they came from.
        mano: see ``convert``.
        note: further facts.

    Raises:
        TrackerError: they are not HaMeR's, or the file cannot be written.
    """
    halved = in_float16(state, source=str(source))
    crops = seeded_crops(NUM_CROPS)
    answers = {"float32": answer(state, crops), "float16": answer(halved, crops, round_products=True)}
    facts = {
        "source_name": source.name,
        "source_sha256": sha256(source),
        "layers": str(depth_of(state, str(source))),
        "torch": torch.__version__,
        "program": program_version(),
        "seeded_crops": str(NUM_CROPS),
        "answers": json.dumps({precision: numbers.tolist() for precision, numbers in answers.items()}),
        **(note or {}),
    }
    write_converted(to, halved, facts | (joint_error(facts, mano) if mano is not None else {}))


def add_joint_error(path: Path, to: Path, *, mano: ManoModel) -> None:
    """Write our file ``path`` again as ``to``, with the joint error that MANO was missing for.

    Raises:
        TrackerError: one cannot be read, or the other not written.
    """
    facts = read_facts(path)
    write_converted(to, read_converted(path, device=torch.device("cpu")), facts | joint_error(facts, mano))


def joint_error(facts: Mapping[str, str], mano: ManoModel) -> dict[str, str]:
    """The fact ``JOINT_ERROR`` from the kept answers in float32 and float16."""
    answers = {name: torch.tensor(numbers) for name, numbers in json.loads(facts["answers"]).items()}
    hamer = Hamer(HamerNetwork(HamerConfig(vit=VitConfig(depth=0)), torch.float32), mano)
    exact, rounded = (hamer.decode(answers[name]).joints_m for name in ("float32", "float16"))
    error_m = torch.linalg.norm(exact - rounded, dim=-1).max()
    return {JOINT_ERROR: f"{1000 * float(error_m):.4f}"}


def in_float16(state: Mapping[str, Tensor], *, source: str) -> dict[str, Tensor]:
    """The tensors in the types that the network keeps them in when it runs in float16.

    Raises:
        WeightsError: a number does not fit into float16.
    """
    network = HamerNetwork(HamerConfig(vit=VitConfig(depth=depth_of(state, source))), torch.float16)
    halved = {name: state[name].to(empty.dtype).contiguous() for name, empty in network.state_dict().items()}
    endless = [name for name, tensor in halved.items() if not bool(torch.isfinite(tensor).all())]
    if endless:
        raise WeightsError(
            f"{source}: {endless[0]} holds numbers that are not finite or too large for float16"
        )
    return halved


@torch.inference_mode()
def answer(state: Mapping[str, Tensor], crops: Tensor, *, round_products: bool = False) -> Tensor:
    """What the network makes of crops, computed in float32: (B, 109)."""
    network = network_of(state, source="the network", dtype=torch.float32)
    with rounded_products(network) if round_products else nullcontext():
        numbers: Tensor = network(crops)
    return numbers


@contextmanager
def rounded_products(network: HamerNetwork) -> Iterator[None]:
    """Round what goes into and comes out of every product that would run in float16."""
    kept_exact = network.head.readout
    layers = [
        layer for layer in network.modules() if isinstance(layer, nn.Linear) and layer is not kept_exact
    ]
    hooks = [layer.register_forward_pre_hook(_round_inputs) for layer in layers]
    hooks += [layer.register_forward_hook(_round_output) for layer in layers]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def _round_inputs(layer: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    return tuple(x.half().float() for x in inputs)


def _round_output(layer: nn.Module, inputs: tuple[Any, ...], output: Tensor) -> Tensor:
    return output.half().float()


def sha256(path: Path) -> str:
    """Of a whole file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def program_version() -> str:
    """Of this package, where it is installed."""
    try:
        return metadata.version(PACKAGE)
    except metadata.PackageNotFoundError:
        return "not installed"
