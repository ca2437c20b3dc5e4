"""Run the small networks that ship with the package in ONNX Runtime: numbers in, numbers out.

| file | input `image` (N, H, W, RGB), 0..1 | outputs |
|---|---|---|
| `palm_detection_full`, `_lite` | (N, 192, 192, 3) | `boxes_px` (N, 2016, 18), `score_logits` (N, 2016) |
| `hand_landmark_full`, `_lite` | (N, 224, 224, 3) | `landmarks_px` (N, 21, 3), `presence` (N,), \
`right_probability` (N,), `world_landmarks_m` (N, 21, 3) |

`boxes_px` counts input pixels: centre relative to the anchor's, width, height, then 7 keypoints relative to
the anchor's centre. `landmarks_px` counts input pixels, depth in the same unit with the wrist near 0;
`right_probability` holds for a picture that is not mirrored; `world_landmarks_m` is centred on the hand.

On two cores, two calls from two Python threads take less time than one batch of two in a session of two
threads (4.4 against 5.0 ms for `hand_landmark_full`; 8.0 on one thread).
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from tracker.errors import MissingDependencyError, UnknownNameError

FloatArray = npt.NDArray[np.float32]
Device = Literal["cpu", "cuda"]

MODELS_FOLDER = Path(__file__).resolve().parents[1] / "models"
_ONLY_ERRORS = 3
_CUDA_OPTIONS = {"cudnn_conv_algo_search": "HEURISTIC", "arena_extend_strategy": "kSameAsRequested"}


def model_path(name: str) -> Path:
    """Where the shipped network ``name`` (without ``.onnx``) lies.

    Raises:
        UnknownNameError: no such file ships with the package.
    """
    path = MODELS_FOLDER / f"{name}.onnx"
    if not path.is_file():
        known = ", ".join(sorted(file.stem for file in MODELS_FOLDER.glob("*.onnx")))
        raise UnknownNameError(f"network {name!r} does not ship with this package; choose one of {known}")
    return path


class OnnxNetwork:
    """One network opened in ONNX Runtime; calls from several threads at once are allowed."""

    def __init__(self, model: str | Path, *, threads: int = 1, device: Device = "cpu") -> None:
        """Open ``model``: the name of a shipped network, or the path of an ONNX file with one input.

        Args:
            model: see above.
            threads: CPU threads one call uses, its own included.
            device: where it runs; ``cuda`` needs the ``gpu`` extra and an NVIDIA GPU.

        Raises:
            MissingDependencyError: ONNX Runtime, or its CUDA part, is not installed.
            UnknownNameError: no such network ships with the package.
        """
        path = model if isinstance(model, Path) else model_path(model)
        self._session = _open_session(path, threads=threads, device=device)
        self._input_name: str = self._session.get_inputs()[0].name
        self.input_shape: tuple[int, ...] = tuple(self._session.get_inputs()[0].shape[1:])
        """Of one item, without the batch axis."""
        self.output_names: tuple[str, ...] = tuple(item.name for item in self._session.get_outputs())

    def __call__(self, batch: FloatArray) -> Mapping[str, FloatArray]:
        """Run the network on ``batch`` (N, *input_shape); the caller owns the returned outputs, by name."""
        outputs = self._session.run(None, {self._input_name: batch})
        return dict(zip(self.output_names, outputs, strict=True))


def _open_session(path: Path, *, threads: int, device: Device) -> Any:
    try:
        import onnxruntime
    except ImportError as error:
        raise MissingDependencyError(
            "ONNX Runtime is not installed; install this package with the extra `cpu`, or `gpu` for NVIDIA"
        ) from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    # Threads that spin while they wait take the cores from the rest of the pipeline.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.log_severity_level = _ONLY_ERRORS
    providers: list[Any] = ["CPUExecutionProvider"]
    if device == "cuda":
        if "CUDAExecutionProvider" not in onnxruntime.get_available_providers():
            raise MissingDependencyError(
                "the installed ONNX Runtime has no CUDA part; replace the extra `cpu` by `gpu`"
            )
        providers.insert(0, ("CUDAExecutionProvider", _CUDA_OPTIONS))
    session = onnxruntime.InferenceSession(str(path), options, providers=providers)
    if device == "cuda" and "CUDAExecutionProvider" not in session.get_providers():
        raise MissingDependencyError(
            "ONNX Runtime could not start CUDA; check that its CUDA and cuDNN libraries are installed"
        )
    return session
