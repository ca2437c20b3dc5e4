import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("scipy")  # the stand-in MANO file holds a sparse matrix

from official_files import SEED, OfficialFiles  # noqa: E402

from tracker.errors import MissingDependencyError  # noqa: E402
from tracker.networks.hamer import (  # noqa: E402
    Hamer,
    HamerOutput,
    load_hamer,
    rotations_from_numbers,
    seeded_crops,
)

PROJECT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def hamer(hamer_files: OfficialFiles) -> Hamer:
    return load_hamer(hamer_files.checkpoint, hamer_files.mano)


def run(hamer: Hamer, crops: torch.Tensor) -> HamerOutput:
    with torch.inference_mode():
        return hamer(crops)


def assert_golden(output: HamerOutput, path: Path) -> None:
    with np.load(path) as golden:
        for name, values in output._asdict().items():
            assert values.shape == golden[name].shape, name
            np.testing.assert_allclose(values.numpy(), golden[name], rtol=0, atol=1e-4, err_msg=name)


def test_two_layers_give_what_the_public_implementation_gives(
    hamer_files: OfficialFiles, hamer: Hamer
) -> None:
    crops = torch.from_numpy(hamer_files.script.crops(SEED))
    assert_golden(run(hamer, crops), hamer_files.golden("golden_7_depth2.npz"))
    with np.load(hamer_files.golden("golden_7_depth2.npz")) as golden, torch.inference_mode():
        tokens = hamer.network.backbone(crops[..., 32:224])
        np.testing.assert_allclose(tokens.mean(1).numpy(), golden["feature_mean"], rtol=0, atol=1e-4)


def test_a_batch_of_two_equals_two_of_one(hamer: Hamer) -> None:
    crops = seeded_crops(2)
    together = run(hamer, crops)
    for index in range(2):
        alone = run(hamer, crops[index : index + 1])
        for name, values in alone._asdict().items():
            torch.testing.assert_close(values[0], getattr(together, name)[index], rtol=0, atol=1e-5)


def test_what_lies_beside_the_middle_columns_is_not_seen(hamer: Hamer) -> None:
    crops = seeded_crops(1)
    other = crops.clone()
    other[..., :32] = 9.0
    other[..., 224:] = 9.0
    assert torch.equal(run(hamer, crops).joints_m, run(hamer, other).joints_m)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_keeps_rotations_and_mesh_in_float32(
    hamer_files: OfficialFiles, hamer: Hamer, dtype: torch.dtype
) -> None:
    half = load_hamer(hamer_files.checkpoint, hamer_files.mano, dtype=dtype)
    network = half.network
    products = {network.backbone.patch.weight.dtype, network.backbone.blocks[0].qkv.weight.dtype}
    products |= {network.head.keys_values.weight.dtype, network.head.layers[0].up.weight.dtype}
    assert products == {dtype}
    exact = {tensor.dtype for name, tensor in half.state_dict().items() if "norm" in name}
    exact |= {network.head.readout.weight.dtype, network.head.start.dtype, network.backbone.positions.dtype}
    assert exact == {torch.float32}
    crops = seeded_crops(1)
    output = run(half, crops)
    assert {values.dtype for values in output} == {torch.float32}
    error_m = torch.linalg.norm(output.joints_m - run(hamer, crops).joints_m, dim=-1).max()
    assert error_m < (0.5e-3 if dtype == torch.float16 else 5e-3)
    rotations = torch.cat([output.global_orient[:, None], output.hand_pose], dim=1)
    torch.testing.assert_close(rotations.mT @ rotations, torch.eye(3).expand_as(rotations), rtol=0, atol=1e-5)


def test_six_numbers_make_a_rotation() -> None:
    numbers = torch.from_numpy(np.random.default_rng(0).normal(size=(50, 6))).double()
    rotations = rotations_from_numbers(numbers)
    torch.testing.assert_close(rotations.mT @ rotations, torch.eye(3).double().expand(50, 3, 3))
    torch.testing.assert_close(torch.linalg.det(rotations), torch.ones(50).double())


def test_six_numbers_that_are_two_columns_of_a_rotation_give_that_rotation() -> None:
    rotations = rotations_from_numbers(torch.from_numpy(np.random.default_rng(1).normal(size=(50, 6))))
    again = rotations_from_numbers(rotations[..., :2].mT.flatten(-2))
    torch.testing.assert_close(again, rotations)


def test_seeded_crops_are_the_same_every_time() -> None:
    assert seeded_crops(2).shape == (2, 3, 256, 256)
    assert torch.equal(seeded_crops(2), seeded_crops(2))
    assert not torch.equal(seeded_crops(1, seed=1), seeded_crops(1, seed=2))


def test_nothing_in_the_network_learns_or_waits(hamer: Hamer) -> None:
    assert not hamer.training
    assert not any(parameter.requires_grad for parameter in hamer.parameters())
    assert not any(tensor.is_meta for tensor in [*hamer.parameters(), *hamer.buffers()])


def test_nothing_depends_on_the_numbers_but_the_numbers(hamer: Hamer) -> None:
    """What can be traced without numbers asks the host for none, so that a CUDA graph can capture it."""
    traced = torch.export.export(hamer, (torch.zeros(2, 3, 256, 256),), strict=False)
    crops = seeded_crops(2)
    torch.testing.assert_close(traced.module()(crops).joints_m, run(hamer, crops).joints_m)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")
def test_a_cuda_graph_captures_the_whole(hamer_files: OfficialFiles) -> None:
    hamer = load_hamer(hamer_files.checkpoint, hamer_files.mano, device="cuda", dtype=torch.float16)
    crops = seeded_crops(2).cuda()
    with torch.inference_mode():
        expected = hamer(crops)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            captured = hamer(crops)
        graph.replay()
    torch.testing.assert_close(captured.vertices_m, expected.vertices_m)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_a_device_that_is_not_there_is_named(hamer_files: OfficialFiles) -> None:
    with pytest.raises(MissingDependencyError, match="CUDA"):
        load_hamer(hamer_files.checkpoint, hamer_files.mano, device="cuda")


def test_the_network_needs_numpy_and_torch_alone() -> None:
    code = """
import sys
before = set(sys.modules)
import numpy, torch
libraries = {name.split(".")[0] for name in sys.modules}
import tracker.networks.hamer
print(*sorted({name.split(".")[0] for name in sys.modules} - libraries))
"""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=PROJECT, capture_output=True, text=True, check=True
    )
    assert set(done.stdout.split()) - set(sys.stdlib_module_names) == {"tracker"}
