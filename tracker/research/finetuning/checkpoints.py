"""Where training stands, in one file that is whole whenever the program is killed.

It holds network, optimiser, schedule, the scaler of half precision and the number of steps done; that number
and the seed say where in the data training stands and what chance does next. It is read as tensors and plain
values only, so a hostile file runs nothing.
"""

import dataclasses
import pickle
from pathlib import Path
from typing import Any

import torch

from tracker.errors import UsageError
from tracker.networks.training_checkpoint import TRAINING_FORMAT
from tracker.research.finetuning.options import TrainingOptions
from tracker.research.finetuning.training import Learner
from tracker.whole_file import whole_file

FORMAT = f"{TRAINING_FORMAT} 1"


def configuration(options: TrainingOptions, *, data: str, devices: int, layers: int) -> dict[str, Any]:
    """What must be the same for training to go on: all options, the data, how many share the work."""
    flat: dict[str, Any] = {}
    for name, value in dataclasses.asdict(options).items():
        flat |= (
            {f"{name}.{key}": part for key, part in value.items()}
            if isinstance(value, dict)
            else {name: value}
        )
    return flat | {"data": data, "devices": devices, "layers": layers}


def save(path: Path, learner: Learner, config: dict[str, Any]) -> None:
    """Write where training stands; called by all processes, written by the first.

    Raises:
        UsageError: the file cannot be written; the one before is still there.
    """
    if learner.fabric.is_global_zero:
        state = {
            "format": FORMAT,
            "configuration": config,
            "step": learner.step,
            "network": learner.hamer.network.state_dict(),
            "optimizer": learner.optimizer.state_dict(),
            "schedule": learner.schedule.state_dict(),
            "precision": learner.fabric.strategy.precision.state_dict(),
        }
        try:
            with whole_file(path) as part:
                torch.save(state, part)
        except (OSError, RuntimeError) as error:  # torch says a full disk with the latter
            raise UsageError(f"cannot write {path}: {error}") from error
    learner.fabric.barrier()


def read(path: Path) -> dict[str, Any]:
    """What a file holds; its tensors read the disk when they are used.

    Raises:
        UsageError: it cannot be read, or is something else.
    """
    try:
        state = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror or error}") from error
    except (RuntimeError, pickle.UnpicklingError, EOFError, ValueError) as error:
        raise UsageError(f"{path} is damaged, or no checkpoint of the finetune command") from error
    if not isinstance(state, dict) or state.get("format") != FORMAT:
        raise UsageError(f"{path} is no checkpoint of the finetune command of this version")
    return state


def resume(path: Path, learner: Learner, config: dict[str, Any]) -> None:
    """Put a learner where a file says that training stood.

    Raises:
        UsageError: it cannot be read, or was made by another configuration; says what differs.
    """
    state = read(path)
    stored = state["configuration"]
    differing = [
        f"{name} was {stored.get(name)}, is {config.get(name)}"
        for name in sorted({*stored, *config})
        if stored.get(name) != config.get(name)
    ]
    if differing:
        raise UsageError(f"{path} belongs to another run: {'; '.join(differing)}")
    learner.hamer.network.load_state_dict(state["network"])
    learner.optimizer.load_state_dict(state["optimizer"])
    learner.schedule.load_state_dict(state["schedule"])
    learner.fabric.strategy.precision.load_state_dict(state["precision"])
    learner.step = state["step"]
