"""Which files of weights a tracker's settings read, and whether they can be those."""

from pathlib import Path

from tracker.errors import UsageError, WeightsError
from tracker.networks.training_checkpoint import refuse_training_checkpoint
from tracker.pipeline import TrackerConfig
from tracker.pose.ensemble import Member


def weight_files(config: TrackerConfig) -> tuple[Path, ...]:
    """The files that the backend, or each member of an ensemble, reads; none for one that ships with ours."""
    members = config.ensemble.members if config.backend == "ensemble" else (Member(config.backend),)
    files: list[Path | None] = []
    for member in members:
        if member.backend == "hamer":
            files += [member.checkpoint or config.hamer.checkpoint, config.hamer.mano]
        elif member.backend == "potter":
            files.append(member.checkpoint or config.potter.checkpoint)
    return tuple(dict.fromkeys(path for path in files if path is not None))


def refuse_unusable_weights(config: TrackerConfig) -> None:
    """Before hours of running, what can be told of the files of weights without loading them.

    Raises:
        UsageError: one is not there, or is a checkpoint to train on from.
    """
    files = weight_files(config)
    missing = [str(path) for path in files if not path.is_file()]
    if missing:
        raise UsageError(f"{', '.join(missing)}: no such file of weights")
    for path in files:
        try:
            refuse_training_checkpoint(path)
        except WeightsError as error:
            raise UsageError(str(error)) from error
