import hashlib
import os
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from tracker.errors import MissingDependencyError, UnknownNameError
from tracker.networks.onnx_session import MODELS_FOLDER, OnnxNetwork, model_path

TOOLS_FOLDER = Path(__file__).resolve().parents[1] / "tools"
GOLDEN_FILE = Path(__file__).parent / "data" / "hand_networks_litert.npz"
GOLDEN_ANCHOR_STEP = 37  # see tools/record_litert_outputs.py
TEXTS = {"NOTICE", "SHA256SUMS", "LICENSE-APACHE-2.0"}

PALM_SHAPES = {"boxes_px": (2016, 18), "score_logits": (2016,)}
LANDMARK_SHAPES = {
    "landmarks_px": (21, 3),
    "presence": (),
    "right_probability": (),
    "world_landmarks_m": (21, 3),
}
NETWORKS = {
    "palm_detection_full": ((192, 192, 3), PALM_SHAPES),
    "palm_detection_lite": ((192, 192, 3), PALM_SHAPES),
    "hand_landmark_full": ((224, 224, 3), LANDMARK_SHAPES),
    "hand_landmark_lite": ((224, 224, 3), LANDMARK_SHAPES),
}


def listed_checksums() -> dict[str, str]:
    lines = (MODELS_FOLDER / "SHA256SUMS").read_text().splitlines()
    return {name: checksum for checksum, name in (line.split(maxsplit=1) for line in lines)}


def coarse_picture(grid: np.ndarray, size: int) -> np.ndarray:
    """(1, size, size, 3) in 0..1: each cell of ``grid`` becomes a square of equal pixels."""
    cell = np.ones((size // grid.shape[0], size // grid.shape[1], 1), np.float32)
    return np.kron(grid.astype(np.float32) / 255, cell)[None]


def random_pictures(name: str, count: int) -> np.ndarray:
    grids = np.random.default_rng(1).integers(0, 256, (count, 8, 8, 3), np.uint8)
    return np.concatenate([coarse_picture(grid, NETWORKS[name][0][0]) for grid in grids])


@pytest.fixture(scope="module", params=sorted(NETWORKS))
def network_name(request):
    return request.param


@pytest.fixture(scope="module")
def network(network_name):
    pytest.importorskip("onnxruntime")
    return OnnxNetwork(network_name)


def test_every_shipped_file_is_the_listed_one():
    listed = listed_checksums()
    shipped = {path.name for path in MODELS_FOLDER.iterdir() if path.is_file()} - TEXTS
    assert shipped == set(listed)
    for name, checksum in listed.items():
        assert hashlib.sha256((MODELS_FOLDER / name).read_bytes()).hexdigest() == checksum, name


def test_notice_names_every_network():
    notice = (MODELS_FOLDER / "NOTICE").read_text()
    for path in MODELS_FOLDER.glob("*.onnx"):
        assert path.name in notice


def test_inputs_and_outputs_are_as_documented(network_name, network):
    input_shape, output_shapes = NETWORKS[network_name]
    outputs = network(random_pictures(network_name, 3))
    assert network.input_shape == input_shape
    assert {name: value.shape[1:] for name, value in outputs.items()} == output_shapes
    assert network.output_names == tuple(output_shapes)
    for value in outputs.values():
        assert value.dtype == np.float32
        assert len(value) == 3
        assert np.isfinite(value).all()


def test_batch_of_two_equals_two_batches_of_one(network_name, network):
    pictures = random_pictures(network_name, 2)
    together = network(pictures)
    apart = [network(pictures[index : index + 1]) for index in range(2)]
    for name, value in together.items():
        np.testing.assert_allclose(value, np.concatenate([each[name] for each in apart]), atol=1e-5)


def test_two_threads_give_the_same_numbers(network_name, network):
    picture = random_pictures(network_name, 1)
    outputs = OnnxNetwork(network_name, threads=2)(picture)
    for name, value in network(picture).items():
        np.testing.assert_allclose(outputs[name], value, atol=1e-5)


def test_networks_agree_with_litert(network_name, network):
    with np.load(GOLDEN_FILE) as golden:
        outputs = network(coarse_picture(golden["grid"], network.input_shape[0]))
        for index, (name, value) in enumerate(outputs.items()):
            expected = golden[f"{network_name}.{index}"]
            step = GOLDEN_ANCHOR_STEP if "palm" in network_name else 1
            np.testing.assert_allclose(
                value[0][::step].reshape(expected.shape) if value.ndim > 1 else value,
                expected,
                atol=1e-3,
                err_msg=name,
            )


def test_unknown_network_is_told_the_known_ones():
    with pytest.raises(UnknownNameError, match="hand_landmark_full"):
        model_path("face")


def test_missing_onnxruntime_is_told_the_extras(monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(MissingDependencyError, match=r"`cpu`.*`gpu`"):
        OnnxNetwork("palm_detection_full")


def test_cuda_without_its_onnxruntime_is_told_the_extra(monkeypatch):
    onnxruntime = pytest.importorskip("onnxruntime")
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["CPUExecutionProvider"])
    with pytest.raises(MissingDependencyError, match="`gpu`"):
        OnnxNetwork("palm_detection_full", device="cuda")


def test_cuda_that_does_not_start_is_an_error_not_the_cpu(monkeypatch):
    onnxruntime = pytest.importorskip("onnxruntime")
    both = ["CUDAExecutionProvider", "CPUExecutionProvider"]
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: both)
    fallen_back = SimpleNamespace(get_providers=lambda: ["CPUExecutionProvider"])
    monkeypatch.setattr(onnxruntime, "InferenceSession", lambda *_, **__: fallen_back)
    with pytest.raises(MissingDependencyError, match="cuDNN"):
        OnnxNetwork("palm_detection_full", device="cuda")


@pytest.fixture
def converter(monkeypatch):
    for package in ("onnx", "tflite"):
        pytest.importorskip(package)
    monkeypatch.syspath_prepend(str(TOOLS_FOLDER))
    import convert_mediapipe_models

    return convert_mediapipe_models


def test_unknown_operator_stops_the_conversion(converter):
    softmax = converter.Operator(name="SOFTMAX", inputs=(0,), output=1, options=None)
    graph = SimpleNamespace(
        subgraph=SimpleNamespace(Inputs=lambda _: 0), operators=lambda: [softmax], constants={}
    )
    with pytest.raises(converter.ConversionError, match="SOFTMAX"):
        converter.Converter(graph).convert((), name="other")


def test_checksums_of_other_files_are_kept(converter, tmp_path):
    (tmp_path / "SHA256SUMS").write_text("0  z.npz\n1  a.onnx\n")
    (tmp_path / "a.onnx").write_bytes(b"")
    converter.update_checksums(tmp_path, ["a.onnx"])
    empty = hashlib.sha256(b"").hexdigest()
    assert (tmp_path / "SHA256SUMS").read_text() == f"{empty}  a.onnx\n0  z.npz\n"


@pytest.mark.skipif("MEDIAPIPE_WHEEL" not in os.environ, reason="MEDIAPIPE_WHEEL names no mediapipe wheel")
def test_wheel_converts_to_the_shipped_bytes(converter, tmp_path):
    converter.convert_wheel(Path(os.environ["MEDIAPIPE_WHEEL"]), tmp_path)
    for name in NETWORKS:
        assert (tmp_path / f"{name}.onnx").read_bytes() == model_path(name).read_bytes(), name
