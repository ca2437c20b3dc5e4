"""Which files of weights a tracker's settings read, and a quick name for what is in them."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

from tracker.errors import UsageError
from tracker.pipeline import TrackerConfig
from tracker.pose.ensemble import Member

SAMPLE_BYTES = 2**20
SAMPLES = 16
"""Read of each file at even distances, its beginning and its end among them: files have gigabytes."""


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


def identities(config: TrackerConfig) -> dict[str, str]:
    """By path, `identity` of every file of weights; "missing" for one that is not there."""
    return {str(path): identity(path) if path.is_file() else "missing" for path in weight_files(config)}


def identity(path: Path) -> str:
    """Size and SHA-256 of samples of a file: the same for a copy, another for other weights of that size.

    Raises:
        UsageError: it cannot be read.
    """
    try:
        size = path.stat().st_size
        digest = hashlib.sha256()
        with path.open("rb") as file:
            for start in _starts(size):
                file.seek(start)
                digest.update(file.read(SAMPLE_BYTES))
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from error
    return f"{size} bytes, sha256 {digest.hexdigest()[:16]}"


def _starts(size: int) -> Iterator[int]:
    last = max(size - SAMPLE_BYTES, 0)
    return (last * sample // (SAMPLES - 1) for sample in range(SAMPLES))
