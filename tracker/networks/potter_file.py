"""POTTER's checkpoint in a file of our own: its tensors alone, checked."""

from pathlib import Path

import torch

from tracker.errors import WeightsError
from tracker.networks.checkpoint_file import read_state_dict
from tracker.networks.potter import potter_of, without_prefixes

_MARK = "poolattnformer_pose."
"""Begins the names of most of its tensors."""


def holds_potter(path: Path) -> bool:
    """Whether a checkpoint is one of POTTER's hand network, whole or not.

    Raises:
        WeightsError: the file is missing, damaged, hostile or no checkpoint.
    """
    return any(_MARK in name for name in read_state_dict(path))


def convert_potter(path: Path, to: Path) -> None:
    """Write the tensors of a checkpoint, by their names without prefixes, as ``load_potter`` reads them.

    Raises:
        WeightsError: they are not those of POTTER, or ``to`` cannot be written.
    """
    network = potter_of(without_prefixes(read_state_dict(path), source=str(path)), source=str(path))
    try:
        torch.save({"state_dict": network.state_dict()}, to)
    except (OSError, RuntimeError) as error:  # torch's writer raises the latter on a full disk
        raise WeightsError(f"{to}: {error}; is the disk full?") from error
