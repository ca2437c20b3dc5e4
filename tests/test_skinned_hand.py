import hashlib
from pathlib import Path

import numpy as np
import pytest

from tracker.joints import FloatArray, Side, bone_lengths, camera_from_wrist
from tracker.rotations import rotation_from_vector
from tracker.skinned_hand import NUM_SKELETON_JOINTS, SkinnedHand, load_open_hand

MODELS = Path(__file__).parent.parent / "tracker" / "models"
TIPS = [4, 8, 12, 16, 20]

both_sides = pytest.mark.parametrize(
    "hand", [load_open_hand(side) for side in Side], ids=[s.value for s in Side]
)


def random_rotations(*leading: int, size_rad: float = 0.4) -> FloatArray:
    vectors = np.random.default_rng(5).normal(size=(*leading, NUM_SKELETON_JOINTS, 3)) * size_rad
    return rotation_from_vector(vectors)


def at_rest() -> FloatArray:
    return np.broadcast_to(np.eye(3), (NUM_SKELETON_JOINTS, 3, 3))


def volume_m3(vertices: FloatArray, faces: np.ndarray) -> float:
    a, b, c = (vertices[faces[:, k]] for k in range(3))
    return float(np.einsum("ij,ij->", a, np.cross(b, c)) / 6)


@both_sides
def test_rest_pose_gives_back_the_rest_skin(hand: SkinnedHand) -> None:
    posed = hand.pose(rotations=at_rest(), wrist_m=np.zeros(3))
    np.testing.assert_allclose(posed.vertices_m, hand.vertices_m, atol=1e-9)
    np.testing.assert_allclose(posed.skeleton_m, hand.joints_m, atol=1e-9)


@both_sides
def test_turning_the_wrist_moves_skin_and_joints_as_one_rigid_body(hand: SkinnedHand) -> None:
    turn, wrist = rotation_from_vector(np.array([0.4, -1.1, 0.7])), np.array([0.1, -0.2, 0.5])
    rotations = random_rotations()
    before = hand.pose(rotations=rotations, wrist_m=np.zeros(3))
    turned = np.concatenate([turn @ rotations[:1], rotations[1:]])
    after = hand.pose(rotations=turned, wrist_m=wrist)
    np.testing.assert_allclose(after.vertices_m, before.vertices_m @ turn.T + wrist, atol=1e-9)
    np.testing.assert_allclose(after.joints_m, before.joints_m @ turn.T + wrist, atol=1e-9)


def test_left_hand_is_the_mirror_image_of_the_right() -> None:
    left, right = load_open_hand(Side.LEFT), load_open_hand(Side.RIGHT)
    vectors = np.random.default_rng(1).normal(size=(NUM_SKELETON_JOINTS, 3)) * 0.4
    flip = np.array([-1.0, 1.0, 1.0])
    posed_right = right.pose(rotations=rotation_from_vector(vectors), wrist_m=np.array([0.1, 0.2, 0.3]))
    posed_left = left.pose(
        rotations=rotation_from_vector(vectors * -flip), wrist_m=np.array([-0.1, 0.2, 0.3])
    )
    np.testing.assert_allclose(posed_left.vertices_m, posed_right.vertices_m * flip, atol=1e-9)
    np.testing.assert_allclose(posed_left.joints_m, posed_right.joints_m * flip, atol=1e-9)
    assert left.mirrored().side is Side.RIGHT
    np.testing.assert_array_equal(left.mirrored().faces, right.faces)


@both_sides
def test_skin_is_closed_and_wound_outward(hand: SkinnedHand) -> None:
    edges = np.concatenate([hand.faces[:, [0, 1]], hand.faces[:, [1, 2]], hand.faces[:, [2, 0]]])
    directed = {(int(a), int(b)) for a, b in edges}
    assert len(directed) == len(edges)
    assert all((b, a) in directed for a, b in directed)
    assert 0.0003 < volume_m3(hand.vertices_m, hand.faces) < 0.0005
    assert set(np.unique(hand.faces)) == set(range(len(hand.vertices_m)))


@both_sides
def test_bones_keep_their_length_in_any_pose(hand: SkinnedHand) -> None:
    posed = hand.pose(rotations=random_rotations(6), wrist_m=np.zeros((6, 3)))
    rest = hand.pose(rotations=at_rest(), wrist_m=np.zeros(3))
    assert posed.vertices_m.shape == (6, *hand.vertices_m.shape)
    long_bones = bone_lengths(posed.joints_m).reshape(6, 5, 4)[..., 1:]
    np.testing.assert_allclose(
        long_bones, np.broadcast_to(bone_lengths(rest.joints_m).reshape(5, 4)[:, 1:], (6, 5, 3))
    )
    skeleton = np.linalg.norm(posed.skeleton_m[:, 1:] - posed.skeleton_m[:, list(hand.parents[1:])], axis=-1)
    expected = np.linalg.norm(hand.joints_m[1:] - hand.joints_m[list(hand.parents[1:])], axis=-1)
    np.testing.assert_allclose(skeleton, np.broadcast_to(expected, skeleton.shape))


@both_sides
def test_finger_tips_lie_on_the_skin(hand: SkinnedHand) -> None:
    curled = rotation_from_vector(0.3 * hand.flexion_axes)
    curled[0] = np.eye(3)
    for rotations in (at_rest(), curled):
        posed = hand.pose(rotations=rotations, wrist_m=np.zeros(3))
        for tip in TIPS:
            assert np.linalg.norm(posed.vertices_m - posed.joints_m[tip], axis=-1).min() < 0.002


@both_sides
def test_positive_flexion_brings_the_finger_tips_toward_the_palm(hand: SkinnedHand) -> None:
    curled = rotation_from_vector(0.3 * hand.flexion_axes)
    curled[0] = np.eye(3)
    rest = hand.pose(rotations=at_rest(), wrist_m=np.zeros(3)).joints_m
    bent = hand.pose(rotations=curled, wrist_m=np.zeros(3)).joints_m
    assert (bent[TIPS[1:], 1] < rest[TIPS[1:], 1] - 0.02).all()
    toward_little_finger = 1.0 if hand.side is Side.RIGHT else -1.0
    assert (bent[4, 0] - rest[4, 0]) * toward_little_finger > 0.02


@both_sides
def test_rest_frame_is_the_wrist_frame_of_the_joints(hand: SkinnedHand) -> None:
    joints = hand.pose(rotations=at_rest(), wrist_m=np.zeros(3)).joints_m
    np.testing.assert_allclose(camera_from_wrist(joints, hand.side), np.eye(3), atol=1e-6)


def test_skin_weights_sum_to_one() -> None:
    hand = load_open_hand(Side.RIGHT)
    np.testing.assert_allclose(hand.skin_weights.sum(axis=1), 1.0)
    assert hand.skin_joints.max() < NUM_SKELETON_JOINTS


def test_shipped_file_is_the_one_the_tool_wrote() -> None:
    stored = (MODELS / "open_hand.npz").read_bytes()
    sums = dict(line.split()[::-1] for line in (MODELS / "SHA256SUMS").read_text().splitlines())
    assert hashlib.sha256(stored).hexdigest() == sums["open_hand.npz"]
    assert len(stored) == 96361
    hand = load_open_hand(Side.RIGHT)
    assert hand.vertices_m.shape == (2937, 3)
    assert hand.faces.shape == (5870, 3)
    assert volume_m3(hand.vertices_m, hand.faces) == pytest.approx(3.9015e-4, rel=1e-4)
