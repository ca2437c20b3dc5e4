import numpy as np
import pytest

torch = pytest.importorskip("torch")

from hypothesis import given, settings  # noqa: E402
from hypothesis import strategies as st  # noqa: E402
from standin_mano import mano_arrays  # noqa: E402

from tracker.mano_numpy import FROM_MANO, TIP_VERTICES, ManoModel, mano_from_arrays  # noqa: E402
from tracker.networks.mano import Mano, PosedMano  # noqa: E402
from tracker.rotations import rotation_from_vector  # noqa: E402

MODEL = mano_from_arrays(mano_arrays())
LAYER = Mano(MODEL)


def rotations(count: int, *, seed: int, turn_rad: float = 0.8) -> np.ndarray:
    vectors = turn_rad * np.random.default_rng(seed).normal(size=(count * 16, 3))
    return np.stack([rotation_from_vector(vector) for vector in vectors]).reshape(count, 16, 3, 3)


def posed(turns: np.ndarray, betas: np.ndarray, layer: Mano = LAYER) -> PosedMano:
    tensor = torch.from_numpy(turns).float()
    return layer(tensor[:, 0], tensor[:, 1:], torch.from_numpy(betas).float())


def betas_of(count: int, seed: int = 5) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(count, 10))


def still(count: int) -> np.ndarray:
    return np.broadcast_to(np.eye(3), (count, 16, 3, 3)).copy()


def assert_close(found: torch.Tensor, expected: np.ndarray) -> None:
    np.testing.assert_allclose(found.numpy(), expected, rtol=0, atol=1e-6)


def test_the_layer_equals_the_numpy_hand() -> None:
    turns, betas = rotations(4, seed=1), betas_of(4)
    expected = MODEL.pose(global_orient=turns[:, 0], hand_pose=turns[:, 1:], betas=betas)
    output = posed(turns, betas)
    assert_close(output.vertices_m, expected.vertices_m)
    assert_close(output.joints_m, expected.joints_m)


def test_the_layer_equals_smplx() -> None:
    smplx = pytest.importorskip("smplx")
    from smplx.utils import Struct

    arrays = mano_arrays() | {"hands_components": np.eye(45), "hands_mean": np.zeros(45)}
    oracle = smplx.MANOLayer("", data_struct=Struct(**arrays), use_pca=False, flat_hand_mean=True)
    turns, betas = rotations(4, seed=2), betas_of(4)
    tensor = torch.from_numpy(turns).float()
    with torch.inference_mode():
        expected = oracle(
            betas=torch.from_numpy(betas).float(), global_orient=tensor[:, :1], hand_pose=tensor[:, 1:]
        )
        output = posed(turns, betas)
    assert_close(output.vertices_m, expected.vertices.numpy())
    with_tips = torch.cat([expected.joints[:, :16], expected.vertices[:, list(TIP_VERTICES)]], dim=1)
    assert_close(output.joints_m, with_tips[:, list(FROM_MANO)].numpy())


def test_no_turn_gives_the_template_and_its_shape() -> None:
    betas = betas_of(3)
    shape = (betas @ MODEL.shape_directions_m).reshape(3, 778, 3)
    assert_close(posed(still(3), betas).vertices_m, MODEL.template_m + shape)
    assert_close(posed(still(1), np.zeros((1, 10))).vertices_m[0], MODEL.template_m)


@settings(max_examples=20, deadline=None)
@given(
    st.lists(st.floats(-3.0, 3.0, width=32), min_size=3, max_size=3),
    st.integers(0, 1000),
)
def test_turning_the_root_moves_the_hand_rigidly(turn_rad: list[float], seed: int) -> None:
    turns, betas = rotations(1, seed=seed), betas_of(1, seed)
    before = posed(turns, betas)
    wrist = before.joints_m[0, 0].numpy()
    extra = rotation_from_vector(np.array(turn_rad))
    turned = turns.copy()
    turned[:, 0] = extra @ turns[:, 0]
    after = posed(turned, betas)
    for old, new in ((before.vertices_m, after.vertices_m), (before.joints_m, after.joints_m)):
        assert_close(new[0], (old[0].numpy() - wrist) @ extra.T + wrist)


@pytest.mark.parametrize(("mano_joint", "moved"), [(3, {8}), (2, {7, 8}), (13, {2, 3, 4}), (9, {20})])
def test_a_finger_joint_moves_only_what_is_beyond_it(mano_joint: int, moved: set[int]) -> None:
    turns = still(1)
    before = posed(turns, np.zeros((1, 10)))
    turns[0, mano_joint] = rotation_from_vector(np.array([0.3, 0.5, 0.2]))
    no_pose_shape = Mano(without_pose_shape())
    distance = torch.linalg.norm(
        posed(turns, np.zeros((1, 10)), no_pose_shape).joints_m - before.joints_m, dim=-1
    )[0]
    assert set(torch.nonzero(distance > 1e-6)[:, 0].tolist()) == moved


def without_pose_shape() -> ManoModel:
    """The hand whose finger tips, being skin, do not bulge with the pose."""
    arrays = mano_arrays()
    return mano_from_arrays(arrays | {"posedirs": np.zeros_like(arrays["posedirs"])})


def test_a_batch_of_two_equals_two_of_one() -> None:
    turns, betas = rotations(2, seed=3), betas_of(2)
    together = posed(turns, betas)
    for index in range(2):
        alone = posed(turns[index : index + 1], betas[index : index + 1])
        assert_close(alone.vertices_m[0], together.vertices_m[index].numpy())
        assert_close(alone.joints_m[0], together.joints_m[index].numpy())


def test_the_layer_is_float32_and_in_no_state_dict() -> None:
    assert not LAYER.state_dict()
    assert {b.dtype for b in LAYER.buffers() if b.is_floating_point()} == {torch.float32}
