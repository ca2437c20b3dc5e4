"""What all test files share: patience, and the folder of reference data, which not every checkout has."""

import signal
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

if TYPE_CHECKING:
    from egoexo4d_release import MadeRelease
    from official_files import OfficialFiles

# A busy machine is no failure: properties have no time limit of their own.
settings.register_profile("patient", deadline=None)
settings.load_profile("patient")

# Tests send Ctrl-C, which programs that a shell started in the background ignore, and what they start.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

SHARED = Path(__file__).resolve().parents[2] / "shared"


@pytest.fixture(autouse=True)
def signals() -> Iterator[None]:
    """Signals are heard as before: a command that was interrupted leaves them ignored for good."""
    numbers = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
    before = {number: signal.getsignal(number) for number in numbers}
    yield
    for number, handler in before.items():
        if handler is not None:  # None: not Python's
            signal.signal(number, handler)


@pytest.fixture
def one_thread() -> Iterator[None]:
    """Torch sums in one order, whatever else the machine does."""
    torch = pytest.importorskip("torch")
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of public pictures, clips and reference outputs next to the checkout."""
    if not SHARED.is_dir():
        pytest.skip("the reference data lies in ../shared, which is not here")
    return SHARED


@pytest.fixture(scope="session")
def hamer_files(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator["OfficialFiles"]:
    """Stand-ins for HaMeR's checkpoint, 2 layers deep, and for MANO."""
    pytest.importorskip("torch")
    pytest.importorskip("scipy")  # the stand-in MANO file holds a sparse matrix
    from official_files import OfficialFiles

    files = OfficialFiles(shared, tmp_path_factory.mktemp("hamer"))
    yield files
    files.checkpoint.unlink()


@pytest.fixture(scope="session")
def made_release(tmp_path_factory: pytest.TempPathFactory) -> "MadeRelease":
    """A small EgoExo4D release, raw and prepared; to be read only."""
    from egoexo4d_release import MadeRelease

    return MadeRelease.write(tmp_path_factory.mktemp("egoexo4d"))


@pytest.fixture(scope="session")
def potter_file(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A stand-in for POTTER's checkpoint, of its size."""
    pytest.importorskip("torch")
    from potter_files import seeded_weights, shapes_of, write_checkpoint

    from tracker.networks.potter import Potter

    weights = seeded_weights(shapes_of(Potter()))
    path = write_checkpoint(tmp_path_factory.mktemp("potter") / "potter.pth", weights)
    yield path
    path.unlink()
