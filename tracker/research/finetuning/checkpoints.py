"""Where training stands, and its best weights: files that are whole whenever the program is killed.

A checkpoint holds network, optimiser, schedule, the scaler of half precision and the number of steps done;
that number and the seed say where in the data training stands and what chance does next. The best weights
are a network with the figures that were measured. Files are read as tensors and plain values only, so a
hostile one runs nothing.
"""

import dataclasses
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from lightning_fabric import Fabric

from tracker.errors import SinkFailedError, UsageError
from tracker.networks.checkpoint_file import save_tensors
from tracker.networks.training_checkpoint import TRAINING_FORMAT
from tracker.research.finetuning.options import TrainingOptions
from tracker.research.finetuning.training import Learner
from tracker.whole_file import whole_file

FORMAT = f"{TRAINING_FORMAT} 2"


def configuration(
    options: TrainingOptions, *, data: str, devices: int, held_out: float = 0.0
) -> dict[str, Any]:
    """What must be the same for training to go on, as a person types it: options, devices, and the data."""
    flat: dict[str, Any] = {}
    for name, value in dataclasses.asdict(options).items():
        inner = value.items() if isinstance(value, dict) else ()
        flat |= {f"{name}.{key}": part for key, part in inner} if inner else {name: value}
    typed = {f"--{name.replace('_', '-')}": value for name, value in flat.items()}
    return typed | {"--devices": devices, "--held-out": held_out, "the training data": data}


def save(path: Path, learner: Learner, config: Mapping[str, Any]) -> None:
    """Write where training stands; called by all processes, written by the first.

    Raises:
        UsageError: in all of them: the file cannot be written; the one before is still there.
    """
    state = _beginning(learner, config) | {
        "optimizer": learner.optimizer.state_dict(),
        "schedule": learner.schedule.state_dict(),
        "precision": learner.fabric.strategy.precision.state_dict(),
    }
    _write(path, state, learner.fabric)


def save_best(
    path: Path, learner: Learner, config: Mapping[str, Any], measured: Mapping[str, float], *, on: str
) -> None:
    """Write the weights with the figures ``measured`` on hands of the fingerprint ``on``; see ``save``."""
    _write(path, _beginning(learner, config) | {"measured": dict(measured), "on": on}, learner.fabric)


def _beginning(learner: Learner, config: Mapping[str, Any]) -> dict[str, Any]:
    network = learner.hamer.network.state_dict()
    return {"format": FORMAT, "configuration": dict(config), "step": learner.step, "network": network}


def _write(path: Path, state: dict[str, Any], fabric: Fabric) -> None:
    problem = ""
    if fabric.is_global_zero:
        try:
            with whole_file(path) as part:
                save_tensors(state, part)
        except SinkFailedError as error:
            problem = str(error)
    problem = fabric.broadcast(problem)  # all end together, or none does
    if problem:
        raise SinkFailedError(problem)


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


def read_own(path: Path, config: Mapping[str, Any]) -> dict[str, Any]:
    """A checkpoint that this configuration made.

    Raises:
        UsageError: it cannot be read, or was made by another one; says what differs.
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
    return state


def restore(learner: Learner, state: Mapping[str, Any]) -> None:
    """Put a learner where a checkpoint says that training stood."""
    learner.hamer.network.load_state_dict(state["network"])
    learner.optimizer.load_state_dict(state["optimizer"])
    learner.schedule.load_state_dict(state["schedule"])
    learner.fabric.strategy.precision.load_state_dict(state["precision"])
    learner.step = state["step"]
