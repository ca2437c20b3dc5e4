"""Who may import whom, as ARCHITECTURE.md says: stages know the values between them, not each other."""

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "tracker"
BASE = (
    "errors",
    "timing",
    "joints",
    "axes",
    "skeletons",
    "rotations",
    "hand_shape",
    "kinematic_hand",
    "kinematic_fit",
    "cameras",
    "structs",
    "crops",
    "sampling",
    "skinned_hand",
    "mano_numpy",
    "user_folder",
    "whole_file",
    "interrupts",
)
"""The ground all stages stand on: each part may import those before it."""
STAGES: dict[str, set[str]] = {
    "networks": set(),
    "weights_store": {"networks"},
    "sources": set(),
    "detect": {"networks"},
    "pose": {"networks"},
    "placement": set(),
    "temporal": set(),
    "hand_mesh": set(),
    "sinks": {"hand_mesh"},
    "web": {"hand_mesh", "sinks"},
    "hand_store": set(),
    "hand_measurement": {"hand_store", "placement", "temporal"},
    "pipeline": {"networks", "detect", "pose", "placement", "temporal"},
    "calibrate_camera": set(),
    "progress": set(),
    "runtime": {"sources", "sinks"},
    "calibrate_hand": {"hand_store", "hand_measurement", "pipeline", "detect", "pose", "temporal"},
}
"""The other parts a part may import, besides itself and the ground."""
TOPS = (
    "cli",
    "cli_running",
    "cli_idle",
    "cli_opening",
    "cli_tracking",
    "cli_tools",
    "cli_cameras",
    "cli_options",
    "cli_outputs",
    "cli_sockets",
    "cli_systems",
    "cli_egoexo4d",
    "cli_pseudo_labels",
    "cli_finetune",
    "cli_web",
    "cli_written",
    "__main__",
    "research",
)
"""What may import everything. Of these only the command line knows `research`, and only inside functions."""
CLI_OF_RESEARCH = ("cli_tools", "cli_systems", "cli_egoexo4d", "cli_finetune", "cli_pseudo_labels")
RUNTIME_KNOWS = {"tracker.sources", "tracker.sinks", "tracker.sinks.recording", "tracker.sinks.messages"}
LIBRARIES: dict[str, set[str]] = {
    "cameras": {"numpy", "yaml"},
    "sampling": {"numpy", "cv2"},
    "networks": {"numpy", "onnxruntime", "safetensors", "torch", "torch_tensorrt"},
    "weights_store": {"numpy"},
    "sources": {"numpy", "av"},
    "sinks": {"numpy", "av", "mcap", "msgspec", "PIL", "pyarrow", "rerun", "zstandard"},
    "web": {"numpy", "aiortc", "av", "msgspec", "PIL", "websockets"},
    "cli": {"tyro"},
    "cli_tracking": {"tyro"},
    "cli_tools": {"tyro"},
    "cli_sockets": {"tyro"},
    "cli_cameras": {"tyro"},
    "calibrate_camera": {"numpy", "cv2", "PIL"},
    "cli_egoexo4d": {"tyro"},
    "cli_systems": {"tyro"},
    "cli_pseudo_labels": {"tyro"},
    "cli_finetune": {"tyro"},
    "progress": {"numpy", "tqdm"},
    "research": {"numpy", "PIL", "av", "tyro", "matplotlib", "torch", "lightning_fabric"},
}
PACKAGES = {
    "PIL": "pillow",
    "cv2": "opencv-python-headless",
    "lightning_fabric": "lightning-fabric",
    "rerun": "rerun-sdk",
    "torch_tensorrt": "torch-tensorrt",
    "yaml": "pyyaml",
}
"""Of libraries whose package has another name."""
MODULES = sorted(PACKAGE.rglob("*.py"))


def part_of(name: str) -> str:
    """``tracker.sinks.wire`` belongs to the part ``sinks``."""
    return name.split(".")[1] if "." in name else ""


def name_of(path: Path) -> str:
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports_of(path: Path) -> Iterator[str]:
    """Full names of the modules a file imports anywhere, also inside functions and for types only."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path.name} line {node.lineno} is a relative import"
            assert node.module is not None
            modules = {node.module}
            for alias in node.names:  # "from tracker import cli" names a module too
                folder = PACKAGE.parent.joinpath(*node.module.split("."))
                if folder.joinpath(f"{alias.name}.py").exists() or folder.joinpath(alias.name).is_dir():
                    modules.add(f"{node.module}.{alias.name}")
            yield from modules - ({"tracker"} if len(modules) > 1 else set())


def may_import(importer: str, imported: str) -> bool:
    """Whether module ``importer`` of this package may import its module ``imported``."""
    part, other = part_of(importer), part_of(imported)
    if part in BASE:
        return other in BASE[: BASE.index(part) + 1]
    if part == "":  # the package's own lazy exports
        return other not in (*TOPS, "progress", "runtime", "weights_store")
    if other == "research":
        return part in CLI_OF_RESEARCH or part == "research"
    if part in TOPS:
        return True
    if part == "runtime" and other in ("sources", "sinks"):
        return imported in RUNTIME_KNOWS
    return other == part or other in BASE or other in STAGES[part]


@pytest.mark.parametrize("path", MODULES, ids=lambda path: name_of(path))
def test_a_module_imports_only_what_its_place_allows(path: Path) -> None:
    name = name_of(path)
    for imported in imports_of(path):
        top = imported.split(".")[0]
        if top == "tracker":
            assert may_import(name, imported), f"{name} may not import {imported}"
        elif top not in sys.stdlib_module_names:
            allowed = LIBRARIES.get(part_of(name), {"numpy"})
            assert top in allowed, f"{name} may not import {imported}; its libraries are {sorted(allowed)}"


def test_every_library_is_a_declared_dependency() -> None:
    project = tomllib.loads((PACKAGE.parent / "pyproject.toml").read_text())["project"]
    extras = [package for extra in project["optional-dependencies"].values() for package in extra]
    declared = {re.split(r"[^\w-]", package)[0].lower() for package in project["dependencies"] + extras}
    for path in MODULES:
        for top in (
            {name.split(".")[0] for name in imports_of(path)} - {"tracker"} - set(sys.stdlib_module_names)
        ):
            assert PACKAGES.get(top, top) in declared, f"{name_of(path)} needs {top}"


def test_every_part_has_a_place() -> None:
    parts = {part_of(name_of(path)) for path in MODULES}
    assert parts - set(BASE) - set(STAGES) == {"", *TOPS}


@pytest.mark.parametrize(
    ("importer", "imported", "allowed"),
    [
        ("tracker.cameras", "tracker.joints", True),
        ("tracker.joints", "tracker.cameras", False),
        ("tracker.detect.palm", "tracker.networks.onnx_session", True),
        ("tracker.detect.palm", "tracker.temporal.tracks", False),
        ("tracker.temporal.tracks", "tracker.networks.onnx_session", False),
        ("tracker.pipeline", "tracker.sinks", False),
        ("tracker.runtime.loops", "tracker.sources", True),
        ("tracker.runtime.loops", "tracker.sources.webcam", False),
        ("tracker.sinks.recording", "tracker.cli", False),
        ("tracker.sinks.recording", "tracker.progress", False),
        ("tracker.cli_tools", "tracker.research.evaluation.simulate", True),
        ("tracker.pipeline", "tracker.research.evaluation.simulate", False),
        ("tracker.research.evaluation.simulate", "tracker.temporal.tracks", True),
    ],
)
def test_the_rule_itself_tells_right_from_wrong(importer: str, imported: str, allowed: bool) -> None:
    assert may_import(importer, imported) is allowed


def test_the_reader_of_imports_sees_those_inside_functions(tmp_path: Path) -> None:
    file = tmp_path / "some.py"
    file.write_text("def f():\n    from tracker import cli\n    import torch.nn\n")
    assert set(imports_of(file)) == {"tracker.cli", "torch.nn"}


WATCHED = """
import sys

class Watch:
    asked = set()

    def find_spec(self, name, path=None, target=None):
        self.asked.add(name.split(".")[0])

sys.meta_path.insert(0, Watch())
{body}
print(*sorted(Watch.asked))
"""


def asked_for(body: str) -> set[str]:
    """Top names of the modules that Python was asked for while running ``body``, found or not."""
    command = [sys.executable, "-c", WATCHED.replace("{body}", body)]
    done = subprocess.run(command, cwd=PACKAGE.parent, capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_importing_the_package_imports_no_library() -> None:
    assert asked_for("import tracker") - set(sys.stdlib_module_names) == {"tracker"}


def test_every_exported_name_can_be_imported() -> None:
    import tracker

    assert set(tracker.__all__) == set(tracker._MODULES)
    for name in tracker.__all__:
        assert getattr(tracker, name).__name__ == name
    with pytest.raises(AttributeError, match="nonsense"):
        _ = tracker.nonsense  # type: ignore[attr-defined]


def test_the_cpu_default_never_asks_for_torch() -> None:
    pytest.importorskip("onnxruntime")
    asked = asked_for(
        """
import numpy
from tracker import Frame, HandTracker
from tracker.cameras import pinhole_from_fov
with HandTracker() as tracker:
    tracker.process(Frame(0, 0.0, numpy.zeros((48, 64, 3), numpy.uint8), pinhole_from_fov(64, 48, 65.0)))
"""
    )
    assert {"tracker", "numpy", "onnxruntime"} <= asked
    assert asked.isdisjoint({"torch", "safetensors", "av", "tyro", "mediapipe"})
