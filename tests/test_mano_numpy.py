"""The numpy MANO: parity with the public implementation, its equations, and files that are no MANO."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
from standin_mano import mano_arrays

from tracker.errors import UsageError
from tracker.joints import FloatArray
from tracker.mano_numpy import (
    FROM_MANO,
    PARENTS,
    TIP_VERTICES,
    ManoModel,
    PosedMano,
    load_mano,
    mano_from_arrays,
)
from tracker.rotations import rotation_from_vector


@pytest.fixture(scope="module")
def model() -> ManoModel:
    return mano_from_arrays(mano_arrays())


def some_pose(*batch: int) -> dict[str, FloatArray]:
    rng = np.random.default_rng(8)
    return {
        "global_orient": rotation_from_vector(rng.normal(size=(*batch, 3))),
        "hand_pose": rotation_from_vector(0.4 * rng.normal(size=(*batch, 15, 3))),
        "betas": rng.normal(size=(*batch, 10)),
    }


@pytest.mark.parametrize("golden", ["golden_7.npz", "golden_7_depth2.npz"])
def test_the_public_implementation_is_matched(shared: Path, tmp_path: Path, golden: str) -> None:
    pytest.importorskip("scipy")
    folder = shared / "reference" / "hamer"
    spec = importlib.util.spec_from_file_location("hamer_fixture", folder / "fixture.py")
    assert spec is not None and spec.loader is not None
    fixture = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(fixture)
    arrays = fixture.write_mano(tmp_path / "MANO_RIGHT.pkl", 7)
    arrays["J_regressor"] = arrays["J_regressor"].toarray()
    with np.load(folder / golden) as expected:
        posed = mano_from_arrays(arrays).pose(
            **{name: expected[name].astype(float) for name in ("global_orient", "hand_pose", "betas")}
        )
        np.testing.assert_allclose(posed.joints_m, expected["joints_m"], atol=1e-6)
        np.testing.assert_allclose(posed.vertices_m, expected["vertices_m"], atol=1e-6)


def naive(pose: dict[str, FloatArray]) -> PosedMano:
    """The paper's equations, one vertex and joint at a time."""
    arrays = mano_arrays()
    rotations = np.concatenate([pose["global_orient"][None], pose["hand_pose"]])
    shaped = arrays["v_template"] + arrays["shapedirs"] @ pose["betas"]
    rest = arrays["J_regressor"] @ shaped
    skin = shaped + arrays["posedirs"] @ (rotations[1:] - np.eye(3)).ravel()
    chains: list[FloatArray] = []
    for joint, parent in enumerate(PARENTS):
        local = np.eye(4)
        local[:3, :3] = rotations[joint]
        local[:3, 3] = rest[joint] - (rest[parent] if joint else 0)
        chains.append(chains[parent] @ local if joint else local)
    vertices = np.zeros_like(skin)
    for vertex, at in enumerate(skin):
        for joint, chain in enumerate(chains):
            moved = chain[:3, :3] @ (at - rest[joint]) + chain[:3, 3]
            vertices[vertex] += arrays["weights"][vertex, joint] * moved
    joints = [*(chain[:3, 3] for chain in chains), *vertices[list(TIP_VERTICES)]]
    return PosedMano(vertices, np.array(joints)[list(FROM_MANO)])


def test_the_fast_model_equals_the_naive_one(model: ManoModel) -> None:
    pose = some_pose()
    posed, expected = model.pose(**pose), naive(pose)
    np.testing.assert_allclose(posed.vertices_m, expected.vertices_m, atol=1e-12)
    np.testing.assert_allclose(posed.joints_m, expected.joints_m, atol=1e-12)


def test_batches_of_any_shape_equal_single_hands(model: ManoModel) -> None:
    pose = some_pose(2, 3)
    posed = model.pose(**pose)
    assert posed.vertices_m.shape == (2, 3, 778, 3) and posed.joints_m.shape == (2, 3, 21, 3)
    for index in np.ndindex(2, 3):
        one = model.pose(**{name: value[index] for name, value in pose.items()})
        np.testing.assert_allclose(posed.vertices_m[index], one.vertices_m, atol=1e-12)
        np.testing.assert_allclose(posed.joints_m[index], one.joints_m, atol=1e-12)


def test_turning_the_wrist_turns_the_hand_rigidly_about_it(model: ManoModel) -> None:
    pose = some_pose()
    still = model.pose(**pose | {"global_orient": np.eye(3)})
    turned = model.pose(**pose)
    wrist = still.joints_m[0]
    np.testing.assert_allclose(turned.joints_m[0], wrist, atol=1e-12)
    expected = (still.vertices_m - wrist) @ pose["global_orient"].T + wrist
    np.testing.assert_allclose(turned.vertices_m, expected, atol=1e-12)


def test_no_rotation_and_no_shape_give_the_template(model: ManoModel) -> None:
    posed = model.pose(
        global_orient=np.eye(3), hand_pose=np.broadcast_to(np.eye(3), (15, 3, 3)), betas=np.zeros(10)
    )
    np.testing.assert_allclose(posed.vertices_m, mano_arrays()["v_template"], atol=1e-12)


def test_a_file_of_the_arrays_is_read(tmp_path: Path, model: ManoModel) -> None:
    arrays = mano_arrays()
    arrays["faces"] = arrays.pop("f")  # both names are in use
    np.savez(tmp_path / "mano.npz", **arrays)
    found = load_mano(tmp_path / "mano.npz")
    np.testing.assert_array_equal(found.faces, model.faces)
    pose = some_pose()
    np.testing.assert_array_equal(found.pose(**pose).vertices_m, model.pose(**pose).vertices_m)


def swapped_tree() -> np.ndarray:
    tree = mano_arrays()["kintree_table"].copy()
    tree[0, 5] = 3
    return tree


@pytest.mark.parametrize(
    ("name", "value", "complaint"),
    [
        ("posedirs", None, r"holds an array 'posedirs'; found J_regressor, f,"),
        ("f", None, r"holds an array 'faces'"),
        ("v_template", np.zeros((6890, 3)), r"'v_template' has shape \(6890, 3\), want \(778, 3\)"),
        ("weights", np.full((778, 16), np.nan), "'weights' holds values that are not finite"),
        ("weights", np.full((778, 16), "x"), "'weights' is not an array of numbers"),
        ("f", np.full((1538, 3), 778), "faces name vertices outside 0 to 777"),
        ("kintree_table", swapped_tree(), "the skeleton of a MANO hand has parents"),
    ],
)
def test_arrays_of_something_else_are_refused(name: str, value: np.ndarray | None, complaint: str) -> None:
    arrays = mano_arrays()
    if value is None:
        del arrays[name]
    else:
        arrays[name] = value
    with pytest.raises(UsageError, match=complaint):
        mano_from_arrays(arrays)


@pytest.mark.parametrize("content", [None, b"", b"not an archive", b"PK\x03\x04 cut off"])
def test_a_file_that_is_no_archive_of_arrays_is_refused(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "mano.npz"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UsageError, match=r"cannot read the MANO file .*mano\.npz"):
        load_mano(path)


def test_a_file_with_pickled_objects_is_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "mano.npz", v_template=np.array([print], dtype=object))
    with pytest.raises(UsageError, match=r"mano\.npz"):
        load_mano(tmp_path / "mano.npz")
    np.save(tmp_path / "mano.npy", np.zeros(3))
    with pytest.raises(UsageError, match=r"mano\.npy"):
        load_mano(tmp_path / "mano.npy")


def test_of_a_file_of_many_arrays_a_few_are_named(tmp_path: Path) -> None:
    """Weights given in MANO's place have hundreds."""
    np.savez(tmp_path / "weights.npz", **{f"layer_{number:03}": np.zeros(1) for number in range(300)})
    with pytest.raises(UsageError, match=r"found layer_000, .*layer_007 and 292 more"):
        load_mano(tmp_path / "weights.npz")
