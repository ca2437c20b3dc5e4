"""Finding the official files: given as they are, in a folder, or in the archives they come in.

Of an archive only the wanted files are unpacked, into a temporary folder that goes away afterwards; nothing
of an archive decides where a file is written.
"""

import shutil
import tarfile
import tempfile
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path, PurePosixPath
from typing import IO

from tracker.errors import DAMAGED_ZIP, WeightsError

Say = Callable[[str], None]

_CHECKPOINT_SUFFIXES = (".ckpt", ".pt", ".pth")
_PICKLE_START = b"\x80"
_PIECE_BYTES = 1 << 22


@contextmanager
def official_files(
    source: Path, names: Sequence[str], folder: Path, *, say: Say
) -> Iterator[dict[str, Path]]:
    """Those of the files ``names`` that ``source`` is or holds, to be read while the block runs.

    Args:
        source: one of the files (by whatever name), a zip or tar archive, or a folder with any of them in it.
        names: the checkpoint's name, then MANO's.
        folder: on whose disk archives are unpacked.
        say: told what takes long.

    Raises:
        WeightsError: there is none of them in it, or it is damaged.
    """
    checkpoint, mano = names
    if source.is_dir():
        found = {name: path for name in names for path in sorted(source.rglob(name))[:1]}
        yield _some(found, source, names)
    elif not source.exists():
        raise WeightsError(f"there is no {source}")
    elif _is_checkpoint(source):
        yield {checkpoint: source}
    elif _is_tar(source) or zipfile.is_zipfile(source):
        with tempfile.TemporaryDirectory(dir=folder, prefix=".import-") as unpacked:
            yield _some(_unpack(source, names, Path(unpacked), say), source, names)
    elif _starts_like_pickle(source):
        yield {mano: source}
    else:
        raise _none_there(source, names)


def _unpack(source: Path, names: Sequence[str], to: Path, say: Say) -> dict[str, Path]:
    found: dict[str, Path] = {}
    try:
        for name, size, content in _members(source):
            if name in names and name not in found:
                if size > shutil.disk_usage(to).free:
                    raise WeightsError(
                        f"the disk of {to.parent} has no room for {name} ({size / 1e9:.1f} GB)"
                    )
                say(f"unpacking {name} ({size / 1e6:.0f} MB)")
                found[name] = to / name
                with content() as packed, found[name].open("wb") as file:
                    shutil.copyfileobj(packed, file, _PIECE_BYTES)
            if names[0] in found:  # what follows the checkpoint is gigabytes more
                break
    except (tarfile.TarError, *DAMAGED_ZIP) as error:
        raise WeightsError(f"{source} is cut short or damaged ({error}); download it again") from error
    return found


def _members(source: Path) -> Iterator[tuple[str, int, Callable[[], IO[bytes]]]]:
    """Name without folders, size, and a way to read each file of an archive, in the archive's order."""
    if not _is_tar(source):
        with zipfile.ZipFile(source) as archive:
            for entry in archive.infolist():
                yield (
                    PurePosixPath(entry.filename).name,
                    entry.file_size,
                    partial(archive.open, entry),
                )
        return
    with tarfile.open(source, "r|*") as stream:
        for member in stream:
            if member.isfile():
                yield (
                    PurePosixPath(member.name).name,
                    member.size,
                    partial(_content, stream, member),
                )


def _content(stream: tarfile.TarFile, member: tarfile.TarInfo) -> IO[bytes]:
    content = stream.extractfile(member)
    assert content is not None, "it is a file"
    return content


def _is_checkpoint(source: Path) -> bool:
    """Whether it is a PyTorch file, which is a zip too; one that is cut short is known by its name."""
    if source.suffix.lower() in _CHECKPOINT_SUFFIXES:
        return True
    if _is_tar(source) or not zipfile.is_zipfile(source):
        return False
    with zipfile.ZipFile(source) as archive:
        return any(name.endswith("/data.pkl") for name in archive.namelist())


def _is_tar(source: Path) -> bool:
    """Whether it is a tar archive; to be asked first, for one whose last file is a zip passes for a zip."""
    return tarfile.is_tarfile(source)


def _starts_like_pickle(source: Path) -> bool:
    with source.open("rb") as file:
        return source.suffix.lower() == ".pkl" or file.read(1) == _PICKLE_START


def _some(found: dict[str, Path], source: Path, names: Sequence[str]) -> dict[str, Path]:
    if not found:
        raise _none_there(source, names)
    return found


def _none_there(source: Path, names: Sequence[str]) -> WeightsError:
    return WeightsError(f"{source} is none of {', '.join(names)}, nor an archive or folder that holds one")
