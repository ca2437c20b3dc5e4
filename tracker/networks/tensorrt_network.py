"""HaMeR's network compiled by TensorRT, once for each set of weights, versions, card and shapes.

Networks of TensorRT 11 are strongly typed: what runs in float16 is decided by the module, not by an option,
so the network is compiled as it is, its matrices in float16 and its norms in float32.
"""

import hashlib
import logging
from collections.abc import Callable, Sequence
from contextlib import suppress
from importlib import metadata
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from tracker.errors import EngineError
from tracker.networks.hamer import CROP_PX, HamerNetwork

logger = logging.getLogger(__name__)
Network = Callable[[Tensor], Tensor]


def load_tensorrt(network: HamerNetwork, batch_sizes: Sequence[int], *, folder: Path | None) -> Network:
    """The network for these batch sizes, read from ``folder`` or compiled and kept there.

    Raises:
        EngineError: the network's matrices are not in float16.
    """
    if network.backbone.dtype is not torch.float16:
        raise EngineError("engine 'tensorrt' runs in float16; load the network in it")
    names = {size: f"hamer-{engine_key(network, size)}.ep" for size in batch_sizes}
    compiled = {
        size: _read(folder / name) if folder is not None and (folder / name).is_file() else None
        for size, name in names.items()
    }
    for size, module in compiled.items():
        if module is None:
            logger.warning("compiling HaMeR for %d hands with TensorRT; this takes minutes, once", size)
            compiled[size] = _compile(network, size, None if folder is None else folder / names[size])
    modules: dict[int, Any] = dict(compiled)

    def run(crops: Tensor) -> Tensor:
        numbers: Tensor = modules[len(crops)](crops)
        return numbers

    return run


def engine_key(network: HamerNetwork, batch_size: int) -> str:
    """Names a compiled network: another key, another engine."""
    digest = hashlib.sha256()
    for name, tensor in sorted(network.state_dict().items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.contiguous().view(torch.uint8).cpu().numpy().tobytes())
    card = torch.cuda.get_device_properties(0) if torch.cuda.is_available() else None
    digest.update(f"{card and (card.name, card.major, card.minor)} {batch_size} {CROP_PX}".encode())
    for library in ("torch", "torch_tensorrt", "tensorrt"):
        with suppress(metadata.PackageNotFoundError):
            digest.update(f"{library} {metadata.version(library)}".encode())
    return digest.hexdigest()[:24]


def _read(path: Path) -> Any:
    """A kept network, or None where it cannot be read: then it is compiled again."""
    import torch_tensorrt

    try:
        return torch_tensorrt.load(str(path)).module()
    except Exception as error:  # a file of another version, or cut short
        logger.warning("%s cannot be read (%s); compiling again", path, error)
        return None


def _compile(network: HamerNetwork, batch_size: int, to: Path | None) -> Any:
    import torch_tensorrt

    example = torch.zeros(batch_size, 3, CROP_PX, CROP_PX, device=next(network.parameters()).device)
    module = torch_tensorrt.compile(network, ir="dynamo", inputs=[example])
    if to is not None:
        to.parent.mkdir(parents=True, exist_ok=True)
        unfinished = to.with_suffix(".unfinished")
        try:
            torch_tensorrt.save(module, str(unfinished), output_format="exported_program", inputs=[example])
            unfinished.replace(to)
        finally:
            unfinished.unlink(missing_ok=True)
    return module
