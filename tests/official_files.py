"""Stand-ins for the licensed HaMeR and MANO files, written by the reference data's own script."""

import importlib.util
from pathlib import Path
from types import ModuleType

SEED = 7
"""The seed whose outputs of the public implementation are stored."""


def fixture_module(shared: Path) -> ModuleType:
    """The script that writes files of the official layout and gives seeded crops."""
    path = shared / "reference" / "hamer" / "fixture.py"
    spec = importlib.util.spec_from_file_location("hamer_fixture", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class OfficialFiles:
    """A checkpoint and a MANO_RIGHT.pkl in a folder, and what else the script knows."""

    def __init__(self, shared: Path, folder: Path, *, depth: int = 2) -> None:
        self.script = fixture_module(shared)
        self.shared = shared
        self.checkpoint = folder / "hamer.ckpt"
        self.mano = folder / "MANO_RIGHT.pkl"
        self.script.write_checkpoint(self.checkpoint, SEED, depth=depth)
        self.mano_arrays = self.script.write_mano(self.mano, SEED)

    def golden(self, name: str) -> Path:
        """Outputs of the public implementation."""
        return self.shared / "reference" / "hamer" / name
