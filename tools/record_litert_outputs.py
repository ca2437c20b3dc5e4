"""Write what LiteRT, the runtime the hand networks were made for, makes of them, for tests to compare with.

    pip install ai-edge-litert
    python tools/record_litert_outputs.py mediapipe-0.10.21-*.whl

The input is a coarse random picture, stored as ``grid`` (8, 8, RGB) uint8: each cell becomes a square of
equal pixels. ``tests/data/hand_networks_litert.npz`` holds, for network N and its output number I, ``N.I``;
of the palm networks every 37th anchor, which meets all anchors of a cell.
"""

import argparse
import zipfile
from pathlib import Path

import numpy as np
from ai_edge_litert.interpreter import Interpreter

GOLDEN_FILE = Path(__file__).resolve().parents[1] / "tests" / "data" / "hand_networks_litert.npz"
NETWORKS = {
    "palm_detection_full": "palm_detection",
    "palm_detection_lite": "palm_detection",
    "hand_landmark_full": "hand_landmark",
    "hand_landmark_lite": "hand_landmark",
}
NUM_ANCHORS, ANCHOR_STEP = 2016, 37


def outputs(content: bytes, grid: np.ndarray) -> list[np.ndarray]:
    """All outputs of a .tflite file for the picture made of ``grid``, without the batch axis."""
    interpreter = Interpreter(model_content=content, num_threads=1)
    interpreter.allocate_tensors()
    image = interpreter.get_input_details()[0]
    cell = np.ones((image["shape"][1] // len(grid), image["shape"][2] // len(grid), 1), np.float32)
    interpreter.set_tensor(image["index"], np.kron(grid.astype(np.float32) / 255, cell)[None])
    interpreter.invoke()
    values = [interpreter.get_tensor(output["index"])[0] for output in interpreter.get_output_details()]
    return [value[::ANCHOR_STEP] if len(value) == NUM_ANCHORS else value for value in values]


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("wheel", type=Path, help="a mediapipe 0.10.21 wheel")
    arguments = parser.parse_args()
    grid = np.random.default_rng(7).integers(0, 256, (8, 8, 3), np.uint8)
    arrays = {"grid": grid}
    with zipfile.ZipFile(arguments.wheel) as archive:
        for name, module in NETWORKS.items():
            content = archive.read(f"mediapipe/modules/{module}/{name}.tflite")
            arrays |= {f"{name}.{index}": value for index, value in enumerate(outputs(content, grid))}
    np.savez_compressed(GOLDEN_FILE, **arrays)


if __name__ == "__main__":
    main()
