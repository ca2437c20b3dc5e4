"""Skin posed to the published joints: it agrees with them, on both sides, for the open hand and MANO."""

import time
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from standin_mano import mano_arrays
from tracked_values import some_hand

from tracker.hand_mesh import HandMesh, RestSkin, carry, mano_at_rest, mesh_of, open_hand_at_rest
from tracker.joints import FINGERS, FloatArray, Side
from tracker.mano_numpy import TIP_VERTICES, mano_from_arrays
from tracker.rotations import rotation_from_vector
from tracker.skinned_hand import load_open_hand
from tracker.structs import HandPose, ManoParameters

MANO = mano_from_arrays(mano_arrays())
TIPS = [chain[-1] for chain in FINGERS.values()]
FLIP = np.array([-1.0, 1.0, 1.0])

both_sides = pytest.mark.parametrize("side", Side, ids=[side.value for side in Side])
seeds = pytest.mark.parametrize("seed", range(6))


def joints_of(side: Side, seed: int) -> FloatArray:
    """Joints (21, 3) of a hand of its own proportions, curled and turned somehow, in front of the camera."""
    rng = np.random.default_rng(seed)
    hand = load_open_hand(Side.RIGHT)
    vectors = hand.flexion_axes * rng.uniform(-0.1, 1.3, (25, 1)) + rng.normal(size=(25, 3)) * 0.05
    vectors[[5, 10, 15, 20]] = 0.0
    vectors[0] = rng.normal(size=3)
    long = replace(hand, joints_m=hand.joints_m * rng.uniform(0.8, 1.2))
    posed = long.pose(rotations=rotation_from_vector(vectors), wrist_m=np.array([0.05, 0.02, 0.45]))
    joints = posed.joints_m + rng.normal(size=(21, 3)) * 0.002
    return joints if side is Side.RIGHT else joints * FLIP


def pose_of(side: Side, joints: FloatArray, mano: ManoParameters | None = None) -> HandPose:
    return replace(some_hand(side).pose, joints_in_camera_m=joints, mano=mano)


def some_parameters(side: Side, seed: int = 0) -> ManoParameters:
    rng = np.random.default_rng(seed)
    return ManoParameters(
        global_orient=rotation_from_vector(rng.normal(size=3)),
        hand_pose=rotation_from_vector(0.15 * rng.normal(size=(15, 3))),
        betas=rng.normal(size=10),
        translation_m=np.array([0.1, 0.0, 0.5]),
        mirrored=side is Side.LEFT,
    )


def mano_joints(parameters: ManoParameters) -> FloatArray:
    """The joints in the camera that the parameters stand for."""
    return mano_at_rest(MANO, parameters).joints_m + parameters.translation_m


def skin_of(pose: HandPose) -> HandMesh:
    mesh = mesh_of(pose, MANO)
    assert mesh is not None and mesh.side is pose.side
    return mesh


def volume_m3(mesh: HandMesh) -> float:
    a, b, c = (mesh.vertices_m[mesh.faces[:, k]] - mesh.vertices_m.mean(axis=0) for k in range(3))
    return float(np.einsum("ij,ij->", a, np.cross(b, c)) / 6)


def some_poses(side: Side, seed: int) -> list[HandPose]:
    """An open hand, and a MANO hand whose joints were smoothed away from its parameters."""
    parameters = some_parameters(side, seed)
    noise = np.random.default_rng(seed).normal(size=(21, 3)) * 0.003
    return [
        pose_of(side, joints_of(side, seed)),
        pose_of(side, mano_joints(parameters) + noise, parameters),
    ]


@both_sides
@seeds
def test_finger_tips_of_the_skin_lie_on_the_published_tips(side: Side, seed: int) -> None:
    for pose in some_poses(side, seed):
        vertices, joints = skin_of(pose).vertices_m, pose.joints_in_camera_m
        distances = np.linalg.norm(vertices[:, None] - joints[TIPS], axis=-1)
        np.testing.assert_array_less(distances.min(axis=0), 1e-3)
        if pose.mano is not None:
            np.testing.assert_array_less(np.diag(distances[list(TIP_VERTICES)]), 1e-3)


@both_sides
@seeds
def test_skin_around_a_joint_moves_to_the_published_joint(side: Side, seed: int) -> None:
    # A vertex put on each joint at rest, carried by the bones that meet there, shows where the skin has it.
    for pose in some_poses(side, seed):
        rest = mano_at_rest(MANO, pose.mano) if pose.mano is not None else open_hand_at_rest(side)
        own = list(rest.published)
        inside = [joint for joint in own if joint in rest.parents]
        carriers = np.eye(len(rest.parents))[inside]
        parents = [rest.parents[joint] for joint in inside[1:]]
        carriers[1:] = 0.5 * carriers[1:] + 0.5 * np.eye(len(rest.parents))[parents]
        marked = replace(rest, vertices_m=rest.joints_m[inside], weights=carriers)
        moved = carry(marked, pose.joints_in_camera_m)
        assert moved is not None
        expected = pose.joints_in_camera_m[[own.index(joint) for joint in inside]]
        from_wrist = [k for k, joint in enumerate(inside) if rest.parents[joint] == 0]
        exact = [k for k in range(len(inside)) if k not in from_wrist]
        np.testing.assert_allclose(moved[exact], expected[exact], atol=1e-6)
        # The palm is one rigid body of the hand's size: joints that hang on it meet it half way.
        np.testing.assert_allclose(moved[from_wrist], expected[from_wrist], atol=0.012)


@both_sides
@seeds
def test_skin_is_wound_outward(side: Side, seed: int) -> None:
    open_hand, mano = (skin_of(pose) for pose in some_poses(side, seed))
    assert 1.2e-4 < volume_m3(open_hand) < 8e-4
    assert 1e-4 < volume_m3(mano) < 2e-3


@both_sides
def test_a_wrist_is_cut_straight(side: Side) -> None:
    rest = open_hand_at_rest(side)
    assert 1e-4 < volume_m3(HandMesh(side, rest.vertices_m, rest.faces)) < 5e-4
    behind = rest.vertices_m[:, 2] > 0.02
    assert behind.sum() > 30 and rest.vertices_m[behind, 2].max() < 0.025


@seeds
def test_left_skin_is_the_mirror_image_of_the_right(seed: int) -> None:
    for right in some_poses(Side.RIGHT, seed):
        mirrored = replace(right.mano, mirrored=True) if right.mano is not None else None
        left = skin_of(pose_of(Side.LEFT, right.joints_in_camera_m * FLIP, mirrored))
        other = skin_of(right)
        np.testing.assert_allclose(left.vertices_m, other.vertices_m * FLIP, atol=1e-9)
        np.testing.assert_array_equal(left.faces, other.faces[:, ::-1])


@both_sides
@seeds
def test_moving_turning_and_scaling_the_joints_does_so_to_the_skin(side: Side, seed: int) -> None:
    turn, shift = rotation_from_vector(np.array([0.3, -1.2, 0.8])), np.array([0.1, -0.3, 0.2])
    for pose in some_poses(side, seed):
        joints = 1.13 * pose.joints_in_camera_m @ turn.T + shift
        moved = skin_of(replace(pose, joints_in_camera_m=joints))
        expected = 1.13 * skin_of(pose).vertices_m @ turn.T + shift
        np.testing.assert_allclose(moved.vertices_m, expected, atol=1e-9)


@both_sides
@seeds
def test_the_skeletons_own_joints_give_its_own_skin(side: Side, seed: int) -> None:
    rest = open_hand_at_rest(side)
    at_rest = carry(rest, rest.joints_m[list(rest.published)])
    np.testing.assert_allclose(at_rest, rest.vertices_m, atol=1e-9)
    parameters = some_parameters(side, seed)
    mesh = skin_of(pose_of(side, mano_joints(parameters), parameters))
    posed = MANO.pose(
        global_orient=parameters.global_orient, hand_pose=parameters.hand_pose, betas=parameters.betas
    )
    expected = posed.vertices_m * (FLIP if side is Side.LEFT else 1.0) + parameters.translation_m
    np.testing.assert_allclose(mesh.vertices_m, expected, atol=1e-9)


@both_sides
def test_a_hand_in_a_known_pose_has_the_skin_of_that_pose(side: Side) -> None:
    # Fingers curled about their flexion axes: inheriting the parent's frame must not twist them.
    hand = load_open_hand(side)
    vectors = 0.7 * hand.flexion_axes
    vectors[[0, 1, 5, 10, 15, 20]] = 0.0
    posed = hand.pose(rotations=rotation_from_vector(vectors), wrist_m=np.array([0.0, 0.0, 0.4]))
    mesh = mesh_of(pose_of(side, posed.joints_m))
    assert mesh is not None
    in_reach = hand.vertices_m[:, 2] < 0.02
    errors = np.linalg.norm(mesh.vertices_m - posed.vertices_m, axis=-1)[in_reach]
    assert np.median(errors) < 0.001
    assert errors.max() < 0.006


def test_a_hand_with_parameters_but_no_model_is_an_open_hand() -> None:
    parameters = some_parameters(Side.RIGHT)
    pose = pose_of(Side.RIGHT, mano_joints(parameters), parameters)
    without = mesh_of(pose)
    assert without is not None and len(without.vertices_m) == len(load_open_hand(Side.RIGHT).vertices_m)
    assert len(skin_of(pose).vertices_m) == 778


def spoiled(joint: int, value: float) -> FloatArray:
    joints = joints_of(Side.RIGHT, 1)
    joints[joint, 1] = value
    return joints


@pytest.mark.parametrize(
    "joints",
    [
        np.zeros((21, 3)),
        np.full((21, 3), 0.4),
        np.full((21, 3), np.nan),
        spoiled(12, np.nan),
        spoiled(0, np.inf),
        np.linspace(0, 0.2, 21)[:, None] * np.array([0.3, 0.4, 0.5]),
        joints_of(Side.RIGHT, 1) * 1e-6,
    ],
    ids=["zero", "equal", "nan", "one nan", "infinite", "on a line", "microscopic"],
)
@pytest.mark.parametrize("mano", [None, some_parameters(Side.RIGHT)], ids=["open hand", "mano"])
def test_joints_that_are_no_hand_have_no_skin(joints: FloatArray, mano: ManoParameters | None) -> None:
    assert mesh_of(pose_of(Side.RIGHT, joints, mano), MANO) is None


def test_parameters_that_are_not_finite_have_no_skin() -> None:
    parameters = some_parameters(Side.RIGHT)
    broken = replace(parameters, betas=np.full(10, np.nan))
    assert mesh_of(pose_of(Side.RIGHT, mano_joints(parameters), broken), MANO) is None


def test_a_finger_without_length_or_bent_straight_back_has_finite_skin() -> None:
    joints = joints_of(Side.RIGHT, 2)
    joints[5:9] = joints[5]
    along = joints[9] - joints[0]
    joints[10:13] = joints[9] - along * np.array([[0.3], [0.5], [0.6]])
    assert np.isfinite(skin_of(pose_of(Side.RIGHT, joints)).vertices_m).all()


@settings(max_examples=60, deadline=None)
@given(st.lists(st.floats(-1.0, 1.0), min_size=63, max_size=63))
def test_joints_anywhere_have_finite_skin_or_none(values: list[float]) -> None:
    mesh = mesh_of(pose_of(Side.RIGHT, np.array(values).reshape(21, 3)))
    assert mesh is None or np.isfinite(mesh.vertices_m).all()


def test_bones_are_walked_from_the_wrist_outward() -> None:
    def chain(rest: RestSkin) -> list[int]:
        return [len(joints) for joints, _ in rest.bones_by_depth]

    assert chain(open_hand_at_rest(Side.LEFT)) == [5, 5, 5, 4]
    assert chain(mano_at_rest(MANO, some_parameters(Side.LEFT))) == [5, 5, 5]


@pytest.mark.parametrize("with_mano", [False, True], ids=["open hand", "mano"])
def test_skin_is_computed_in_the_callers_thread_alone(with_mano: bool) -> None:
    """A BLAS that shares the work leaves threads spinning: that took 30 ms of processor time a live frame."""
    parameters = some_parameters(Side.RIGHT)
    joints = mano_joints(parameters)
    pose = pose_of(Side.RIGHT, joints, parameters if with_mano else None)
    skin_of(pose)
    time.sleep(0.1)  # what threads of tests before may still spin
    start_s, own_s = time.process_time(), time.thread_time()
    for _ in range(20):
        skin_of(pose)
    own_s, all_s = time.thread_time() - own_s, time.process_time() - start_s
    assert all_s < 1.5 * own_s
