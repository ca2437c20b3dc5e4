"""A checkpoint of our own fine-tuning, told from weights: it is to go on from, and to export weights of."""

import zipfile
from pathlib import Path

from tracker.errors import DAMAGED_ZIP, WeightsError

TRAINING_FORMAT = "hand-tracker finetuning"
"""Stands at the beginning of such a file, with a number after it."""
_BEGINNING_BYTES = 256


def refuse_training_checkpoint(path: Path) -> None:
    """Refuse a file of a fine-tuning run where weights are wanted; reads its beginning only.

    Raises:
        WeightsError: it is one; says how weights are made of it.
    """
    if is_training_checkpoint(path):
        raise WeightsError(
            f"{path} is a fine-tuning run's own, to go on from; make weights of it first: "
            f"python -m tracker egoexo4d export {path} hamer-ft.safetensors"
        )


def is_training_checkpoint(path: Path) -> bool:
    """Whether a file is PyTorch's and begins as `TRAINING_FORMAT` says; False where it cannot be read."""
    try:
        with zipfile.ZipFile(path) as archive:
            pickled = [name for name in archive.namelist() if name.endswith("/data.pkl")]
            if not pickled:
                return False
            with archive.open(pickled[0]) as file:
                return TRAINING_FORMAT.encode() in file.read(_BEGINNING_BYTES)
    except (OSError, *DAMAGED_ZIP):
        return False
