"""The folder of the user's own weights: what belongs there, where to get it, and bringing it in.

The network's weights and MANO are licensed to each user and ship with no program. The user downloads them,
and ``import_weights`` turns the two official files into two that load fast. Importing this needs no torch.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tracker.errors import MissingDependencyError, WeightsError
from tracker.mano_numpy import ManoModel, load_mano
from tracker.user_folder import user_folder
from tracker.weights_store.archives import official_files
from tracker.whole_file import whole_file


@dataclass(frozen=True)
class OfficialFile:
    """One file that a user has to get."""

    name: str
    """Of the file as its authors give it out."""
    stored_as: str
    """Of what is made of it."""
    what: str
    where: str
    licence: str


CHECKPOINT = OfficialFile(
    name="hamer.ckpt",
    stored_as="hamer.safetensors",
    what="the weights of HaMeR",
    where=(
        "hamer_demo_data.tar.gz, which fetch_demo_data.sh of https://github.com/geopavlakos/hamer downloads; "
        "no registration"
    ),
    licence=(
        "given out by its authors with their code (MIT); it was trained with MANO and on data sets for "
        "research, so read their terms before any other use"
    ),
)
MANO = OfficialFile(
    name="MANO_RIGHT.pkl",
    stored_as="mano_right.npz",
    what="the hand model MANO",
    where="mano_v1_2.zip from https://mano.is.tue.mpg.de, after registration there",
    licence=(
        "non-commercial scientific research only, not to be passed on: "
        "https://mano.is.tue.mpg.de/license.html"
    ),
)
OFFICIAL_FILES = (CHECKPOINT, MANO)
"""What the backend hamer needs."""
POTTER = OfficialFile(
    name="the .pth file of hand-ego-pose-potter",
    stored_as="potter.pt",
    what="the weights of EgoExo4D's POTTER baseline, for the backend potter",
    where=(
        "the folder linked under `Download model weight` in handpose/models/POTTER/README.md of "
        "https://github.com/EGO4D/ego-exo4d-egopose; no registration for it, import the file itself"
    ),
    licence=(
        "none is stated with it; it was trained on Ego-Exo4D, so read that data set's licence "
        "(https://ego-exo4d-data.org) before any use"
    ),
)

IMPORT_COMMAND = "hand-tracker weights import FILE"


def default_folder(home: Path | None = None) -> Path:
    """Where weights are kept: below the user's folder of this program."""
    return user_folder(home) / "weights"


def find_weights(
    folder: Path, *, checkpoint: Path | None = None, mano: Path | None = None
) -> tuple[Path, Path]:
    """What ``load_hamer`` reads: the network's weights and MANO, as they lie in ``folder`` unless given.

    Raises:
        WeightsError: one that is not given is not there; says where to get it.
    """
    needed = [file for file, given in ((CHECKPOINT, checkpoint), (MANO, mano)) if given is None]
    missing = [file for file in needed if not (folder / file.stored_as).is_file()]
    if missing:
        lines = "; ".join(f"{file.name} ({file.what}): {file.where}" for file in missing)
        raise WeightsError(f"{folder} lacks {lines}. Then: {IMPORT_COMMAND}")
    return checkpoint or folder / CHECKPOINT.stored_as, mano or folder / MANO.stored_as


def find_potter(folder: Path) -> Path:
    """What ``load_potter`` reads, as it lies in ``folder``.

    Raises:
        WeightsError: it is not there; says where to get it.
    """
    path = folder / POTTER.stored_as
    if not path.is_file():
        raise WeightsError(f"{folder} lacks {POTTER.what}: {POTTER.where}. Then: {IMPORT_COMMAND}")
    return path


def describe(folder: Path) -> str:
    """What is in ``folder`` and where to get the rest, for a person to read."""
    return "\n".join(
        [
            f"weights in {folder}",
            *(line for file in (*OFFICIAL_FILES, POTTER) for line in _lines(file, folder)),
        ]
    )


def import_weights(source: Path, folder: Path, *, say: Callable[[str], None]) -> tuple[Path, ...]:
    """Bring official files into ``folder``, converted.

    Args:
        source: ``hamer.ckpt`` or ``MANO_RIGHT.pkl``, the archives they come in, or a folder that holds them;
            or POTTER's checkpoint, known by its tensors.
        folder: made if missing.
        say: told what is being done.

    Returns:
        The files written.

    Raises:
        TrackerError: the files are missing, damaged, hostile or of other models, or the folder cannot be
            written. The folder is then as it was, but for files that had been completed.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with official_files(source, tuple(file.name for file in OFFICIAL_FILES), folder, say=say) as found:
            written = []
            if MANO.name in found:
                written += _import_mano(found[MANO.name], folder, say)
            if CHECKPOINT.name in found:
                written += _import_checkpoint(found[CHECKPOINT.name], folder, say)
            return tuple(written)
    except OSError as error:
        raise WeightsError(f"cannot import {source} into {folder}: {error.strerror or error}") from error


def _import_mano(path: Path, folder: Path, say: Callable[[str], None]) -> list[Path]:
    """MANO, and the joint error of weights that came before it."""
    from tracker.networks.mano_file import read_mano_arrays

    arrays = read_mano_arrays(path)
    written = [folder / MANO.stored_as]
    with whole_file(written[0]) as temporary, temporary.open("wb") as file:
        np.savez(file, allow_pickle=False, **arrays)
    say(f"wrote {written[0]}")
    weights = folder / CHECKPOINT.stored_as
    if weights.is_file():
        from tracker.networks.conversion import JOINT_ERROR, add_joint_error
        from tracker.networks.converted_file import read_facts

        if JOINT_ERROR not in read_facts(weights):
            with whole_file(weights) as temporary:
                add_joint_error(weights, temporary, mano=_stored_mano(folder))
            written.append(weights)
    return written


def _import_checkpoint(path: Path, folder: Path, say: Callable[[str], None]) -> list[Path]:
    try:
        from tracker.networks.conversion import convert
        from tracker.networks.potter_file import convert_potter, holds_potter
    except ImportError as error:
        raise MissingDependencyError(
            "PyTorch is not installed; install this package with the extra `hamer`"
        ) from error

    if holds_potter(path):
        to = folder / POTTER.stored_as
        with whole_file(to) as temporary:
            convert_potter(path, temporary)
        say(f"wrote {to}")
        return [to]
    say(f"converting {path.name} and measuring what float16 costs (half a minute)")
    to = folder / CHECKPOINT.stored_as
    mano = _stored_mano(folder) if (folder / MANO.stored_as).is_file() else None
    with whole_file(to) as temporary:
        convert(path, temporary, mano=mano)
    say(f"wrote {to}")
    return [to]


def _stored_mano(folder: Path) -> ManoModel:
    return load_mano(folder / MANO.stored_as)


def _lines(file: OfficialFile, folder: Path) -> list[str]:
    path = folder / file.stored_as
    if path.is_file():
        size = f"{path.stat().st_size / 1e6:.0f} MB"
        return [
            f"  {file.stored_as}: {file.what}, {size}{_origin(file, path)}",
            f"    licence: {file.licence}",
        ]
    return [
        f"  {file.stored_as}: missing; it is made of {file.name}, {file.what}",
        f"    get it: {file.where}",
        f"    licence: {file.licence}",
        f"    then: {IMPORT_COMMAND}",
    ]


def _origin(file: OfficialFile, path: Path) -> str:
    """What is known of a stored file; a damaged one is named so here, not refused."""
    if file is not CHECKPOINT:
        return ""
    from tracker.networks.converted_file import read_facts

    try:
        facts = read_facts(path)
    except (WeightsError, MissingDependencyError) as error:
        return f"; {error}"
    joint_error = facts.get("float16_joint_error_mm")
    cost = f"{joint_error} mm at most" if joint_error else "not measured, MANO is missing"
    return (
        f", {facts['layers']} layers, from {facts['source_name']} (sha256 {facts['source_sha256'][:16]}), "
        f"made with torch {facts['torch']}; float16 moves joints by {cost}"
    )
