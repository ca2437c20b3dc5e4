"""POTTER's checkpoint in a file of our own: its tensors alone, checked."""

from pathlib import Path

from tracker.networks.checkpoint_file import read_state_dict, save_tensors
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
        WeightsError: they are not those of POTTER.
        OSError: ``to`` cannot be written.
    """
    network = potter_of(without_prefixes(read_state_dict(path), source=str(path)), source=str(path))
    save_tensors({"state_dict": network.state_dict()}, to)
