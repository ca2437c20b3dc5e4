"""The tensors of a PyTorch checkpoint, mapped from the disk, without running anything of the file.

A checkpoint is an uncompressed zip: ``data.pkl`` describes objects and tensors; ``data/0``, ``data/1``, ...
hold the tensors' numbers. Beside the tensors, Lightning pickles the training configuration (yacs or
OmegaConf) and the state of its callbacks; all that is read as ``Inert`` and dropped. ``torch.load`` cannot do
this: with ``weights_only`` it stumbles over the configuration, without it runs what the file asks for.
"""

import math
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tracker.errors import DAMAGED_ZIP, WeightsError
from tracker.networks.training_checkpoint import refuse_training_checkpoint
from tracker.networks.unpickle import Inert, InertUnpickler, damaged

_DTYPES = {
    "FloatStorage": torch.float32,
    "DoubleStorage": torch.float64,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "ShortStorage": torch.int16,
    "CharStorage": torch.int8,
    "ByteStorage": torch.uint8,
    "BoolStorage": torch.bool,
}
_CONFIGURATION = (
    "yacs",
    "omegaconf",
    "typing",
    "collections",
    "pathlib",
    "enum",
    "argparse",
    "numpy",
    "hydra",
    "hamer",
    "lightning",
    "lightning_fabric",
    "lightning_utilities",
    "pytorch_lightning",
)
"""Modules of what training leaves in a checkpoint; nothing of them is imported."""
_LOCAL_HEADER_BYTES = 30


class Storage(Inert):
    """The type of a block of numbers."""

    dtype: torch.dtype


class StoredTensor(Inert):
    """A tensor made as (storage, offset, size, stride, ...)."""


class StoredParameter(Inert):
    """A tensor that was a parameter, made as (tensor, ...)."""


_STAND_INS: dict[tuple[str, str], type[Inert]] = {
    ("torch._utils", "_rebuild_tensor_v2"): StoredTensor,
    ("torch._utils", "_rebuild_parameter"): StoredParameter,
    ("torch", "Size"): Inert,
    ("torch", "device"): Inert,
    ("_operator", "getitem"): Inert,  # how typing.Dict[str, Any] is pickled
    ("operator", "getitem"): Inert,
    **{("torch", name): type(name, (Storage,), {"dtype": dtype}) for name, dtype in _DTYPES.items()},
}


def read_state_dict(path: Path) -> dict[str, Tensor]:
    """The tensors under ``state_dict``, or of a file of nothing but tensors, by name.

    They read the file when they are used.

    Raises:
        WeightsError: the file is missing, damaged, hostile, of a fine-tuning run, or no checkpoint.
    """
    refuse_training_checkpoint(path)
    try:
        with zipfile.ZipFile(path) as archive:
            return _read(path, archive)
    except DAMAGED_ZIP as error:
        raise WeightsError(f"{path} is no PyTorch checkpoint, damaged or cut short; get it again") from error
    except OSError as error:
        raise WeightsError(f"cannot read {path}: {error.strerror or error}") from error


def _read(path: Path, archive: zipfile.ZipFile) -> dict[str, Tensor]:
    entries = {entry.filename: entry for entry in archive.infolist()}
    pickles = [name for name in entries if name.endswith("/data.pkl")]
    if len(pickles) != 1:
        raise WeightsError(f"{path} is a zip file but no PyTorch checkpoint: it holds no data.pkl")
    root = pickles[0].removesuffix("data.pkl")
    with archive.open(entries[pickles[0]]) as file:
        held = InertUnpickler(file, resolve=_resolve, source=str(path)).read()
    state = held.get("state_dict", held if _holds_tensors(held) else None) if isinstance(held, dict) else None
    if not isinstance(state, dict):
        raise WeightsError(f"{path} is a PyTorch file but no Lightning checkpoint: it has no state_dict")
    numbers = torch.from_numpy(
        np.memmap(path, np.uint8, mode="c")
    )  # "c": the file cannot be changed through it
    blocks = _Blocks(numbers, {name.removeprefix(root): entry for name, entry in entries.items()})
    try:
        return {str(name): _tensor(stored, blocks) for name, stored in state.items()}
    except WeightsError as error:
        raise WeightsError(f"{path} is damaged or no checkpoint that this program reads: {error}") from error
    except Exception as error:  # what a damaged file says of its tensors can fail in any way
        raise damaged(str(path), error) from error


def _holds_tensors(held: dict[Any, Any]) -> bool:
    """Whether a file is a state dict itself."""
    return bool(held) and all(isinstance(value, StoredTensor | StoredParameter) for value in held.values())


class _Blocks:
    """The blocks of numbers in the file, each found when it is asked for."""

    def __init__(self, file: Tensor, entries: dict[str, zipfile.ZipInfo]) -> None:
        self._file = file
        self._entries = entries

    def block(self, key: str, dtype: torch.dtype) -> Tensor:
        """All numbers of a block, (N,)."""
        entry = self._entries[f"data/{key}"]
        if entry.compress_type != zipfile.ZIP_STORED:
            raise WeightsError("its tensors are compressed, which PyTorch never does")
        header = bytes(self._file[entry.header_offset :][:_LOCAL_HEADER_BYTES].numpy())
        name_and_extra = int.from_bytes(header[26:28], "little") + int.from_bytes(header[28:30], "little")
        start = entry.header_offset + _LOCAL_HEADER_BYTES + name_and_extra
        numbers = self._file[start : start + entry.file_size]
        if len(numbers) != entry.file_size:
            raise WeightsError(f"its block {key} is cut short")
        return (numbers if start % dtype.itemsize == 0 else numbers.clone()).view(dtype)


def _resolve(module: str, name: str) -> type[Inert] | None:
    if module.split(".")[0] in _CONFIGURATION:
        return Inert
    return _STAND_INS.get((module, name))


def _tensor(stored: Any, blocks: _Blocks) -> Tensor:
    """The tensor that a stored value stands for."""
    if isinstance(stored, StoredParameter):
        stored = stored.arguments[0]
    if not isinstance(stored, StoredTensor):
        raise WeightsError(f"its state_dict holds something other than tensors: {type(stored).__name__}")
    (_, storage, key, *_), offset, size, stride = stored.arguments[:4]
    block = blocks.block(key, storage.dtype)
    last = offset + sum((length - 1) * step for length, step in zip(size, stride, strict=True))
    if min(offset, *size, *stride, 0) < 0 or (math.prod(size) > 0 and last >= len(block)):
        raise WeightsError("a tensor reaches beyond its numbers")
    return block[offset:].as_strided(size, stride)


def save_tensors(values: Mapping[str, Any], to: Path) -> None:
    """Write tensors and plain values as PyTorch does.

    Raises:
        OSError: the disk is full, say.
    """
    try:
        torch.save(values, to)
    except RuntimeError as error:  # of torch's own writer, where it cannot write
        raise OSError(str(error)) from error
