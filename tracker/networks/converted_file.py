"""HaMeR's weights in our own file, which loads fast: safetensors, matrices in float16, the rest in float32.

The header holds a few facts about its origin as text; ``tracker.weights_store`` says which.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tracker.errors import MissingDependencyError, WeightsError

if TYPE_CHECKING:  # what the header says is read without torch
    import torch
    from torch import Tensor

FORMAT = "hand-tracker hamer 1"
"""Written into the header; another layout gets another number."""


def is_converted(path: Path) -> bool:
    """Whether a file looks like safetensors: the length of the header, then the header, a JSON object.

    Raises:
        WeightsError: it cannot be read.
    """
    try:
        with path.open("rb") as file:
            return file.read(9)[8:] == b"{"
    except OSError as error:
        raise WeightsError(f"cannot read {path}: {error.strerror or error}") from error


def read_converted(path: Path, *, device: "torch.device") -> "dict[str, Tensor]":
    """The tensors in the types that the file keeps them in; on the CPU they read the disk when they are used.

    Raises:
        TrackerError: the file is damaged or not ours, or safetensors is not installed.
    """
    with _opened(path, framework="pt", device=str(device)) as file:
        return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (it is no dict)


def read_facts(path: Path) -> dict[str, str]:
    """What the header says of the file's origin.

    Raises:
        TrackerError: the file is damaged or not ours, or safetensors is not installed.
    """
    with _opened(path, framework="np", device="cpu") as file:
        return dict(file.metadata())


def write_converted(path: Path, state: "Mapping[str, Tensor]", facts: Mapping[str, str]) -> None:
    """Write the file; what was written when that failed is left to the caller to remove.

    Raises:
        OSError: the disk is full, say.
        MissingDependencyError: safetensors is not installed.
    """
    try:
        from safetensors import SafetensorError
        from safetensors.torch import save_file
    except ImportError as error:
        raise _missing() from error

    path.touch()
    mode = path.stat().st_mode
    try:
        save_file(dict(state), path, {"format": FORMAT, **facts})
    except SafetensorError as error:
        raise OSError(str(error)) from error
    path.chmod(mode)  # the library makes files that only their owner may read


@contextmanager
def _opened(path: Path, *, framework: str, device: str) -> Iterator[Any]:
    try:
        from safetensors import SafetensorError, safe_open
    except ImportError as error:
        raise _missing() from error
    try:
        with safe_open(path, framework=framework, device=device) as file:
            if (file.metadata() or {}).get("format") != FORMAT:
                raise WeightsError(
                    f"{path} was not made by this version of the program; import the official file again"
                )
            yield file
    except (SafetensorError, OSError) as error:
        raise WeightsError(f"{path}: {error}; is the file damaged?") from error


def _missing() -> MissingDependencyError:
    return MissingDependencyError("safetensors is not installed; install this package with the extra `hamer`")
