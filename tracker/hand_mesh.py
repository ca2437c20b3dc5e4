"""The skin of a placed hand: MANO's own where the hand carries MANO's parameters, else the open hand.

Skin is always posed to the published joints, so skin and skeleton agree whatever smoothing, prediction or
hand size did to the joints after the network. Every body is carried the same way:

1. the palm (wrist and four knuckles) by the similarity (s, R, t) closest to the published palm;
2. from there outward each bone by the smallest swing of its parent's frame onto the published bone, so twist
   is inherited, never invented; bones stretch along themselves to the published length, across by s;
3. joints lie on the published ones; the open hand's metacarpals start where the similarity puts them.

A MANO hand is first shaped and posed by its parameters (mirrored for a left hand) and then carried in this
way from there: the swings are small, and its own twist and pose-dependent shape remain.
"""

from dataclasses import dataclass
from functools import cache, cached_property

import numpy as np

from tracker.joints import FINGER_MCPS, NUM_JOINTS, WRIST, FloatArray, Side
from tracker.mano_numpy import FROM_MANO, NUM_MANO_JOINTS, ManoModel
from tracker.rotations import rotation_between, similarity
from tracker.skinned_hand import FROM_SKELETON, IntArray, blend_skin, load_open_hand
from tracker.structs import HandPose, ManoParameters

PALM = (WRIST, *FINGER_MCPS)
MANO_PARENTS = (-1, 0, 1, 2, 3, 0, 5, 6, 7, 0, 9, 10, 11, 0, 13, 14, 15, 0, 17, 18, 19)
"""MANO's skeleton with its tips, in the order of the 21 joints."""
MIN_PALM_WIDTH_M = 1e-3
MIN_PALM_ASPECT = 0.02
"""A palm narrower than these has no plane: its joints lie on one point or line."""
_MIN_BONE_M = 1e-9
_WRIST_CUT_M = 0.024
"""The open hand ends in a jagged ring 25 to 45 mm behind the wrist joint; it is cut straight before that."""

_FLIP_X = np.array([-1.0, 1.0, 1.0])


@dataclass(frozen=True, eq=False)
class HandMesh:
    """The skin of one hand in the camera frame."""

    side: Side
    vertices_m: FloatArray
    """(V, 3) in the camera frame, metres."""
    faces: IntArray
    """(F, 3) vertex indices, counter-clockwise seen from outside for both sides."""


@dataclass(frozen=True, eq=False)
class RestSkin:
    """A hand before it is carried to its joints, in any frame; the side is right for the hand."""

    vertices_m: FloatArray
    """(V, 3)"""
    faces: IntArray
    """(F, 3) wound outward."""
    weights: FloatArray
    """(V, J) how much each joint carries each vertex; tips carry none."""
    joints_m: FloatArray
    """(J, 3)"""
    parents: tuple[int, ...]
    """(J) -1 for the wrist; every joint but the wrist has one child, tips have none."""
    published: tuple[int, ...]
    """For each of the 21 joints, its index among the J."""

    @cached_property
    def bones_by_depth(self) -> tuple[tuple[list[int], list[int]], ...]:
        """Joints and their children, wrist excluded, those nearest the wrist first."""
        return _bones_by_depth(self.parents)


def mesh_of(pose: HandPose, mano: ManoModel | None = None) -> HandMesh | None:
    """The skin of a hand, its skeleton lying on ``pose.joints_in_camera_m``.

    Args:
        pose: the hand as published; its ``mano`` decides whether MANO's skin can be used.
        mano: the model; without it every hand is an open hand.

    Returns:
        None where the hand has no pose: a joint is not finite, or the palm's joints lie on one point or line.
    """
    if pose.mano is not None and mano is not None:
        rest = mano_at_rest(mano, pose.mano)
    else:
        rest = open_hand_at_rest(pose.side)
    vertices = carry(rest, pose.joints_in_camera_m)
    return None if vertices is None else HandMesh(pose.side, vertices, rest.faces)


@cache
def open_hand_at_rest(side: Side) -> RestSkin:
    """The open hand; its bones end in skin: each tip is the skin's vertex nearest to the skeleton's tip."""
    hand = load_open_hand(side)
    joints = hand.joints_m.copy()
    for tip in sorted(set(range(len(joints))) - set(hand.parents)):
        distances = np.linalg.norm(hand.vertices_m - joints[tip], axis=-1)
        joints[tip] = hand.vertices_m[np.argmin(distances)]
    vertices = np.minimum(hand.vertices_m, (np.inf, np.inf, _WRIST_CUT_M))
    return RestSkin(vertices, hand.faces, hand.joint_weights, joints, hand.parents, FROM_SKELETON)


def mano_at_rest(mano: ManoModel, parameters: ManoParameters) -> RestSkin:
    """MANO as shaped and posed by its parameters, in the model's frame; x mirrored if they say so."""
    posed = mano.pose(
        global_orient=parameters.global_orient, hand_pose=parameters.hand_pose, betas=parameters.betas
    )
    flip = _FLIP_X if parameters.mirrored else 1.0
    weights = np.zeros((len(mano.weights), NUM_JOINTS))
    for joint, own in enumerate(FROM_MANO):
        if own < NUM_MANO_JOINTS:
            weights[:, joint] = mano.weights[:, own]
    return RestSkin(
        vertices_m=posed.vertices_m * flip,
        faces=mano.faces[:, ::-1] if parameters.mirrored else mano.faces,
        weights=weights,
        joints_m=posed.joints_m * flip,
        parents=MANO_PARENTS,
        published=tuple(range(NUM_JOINTS)),
    )


def carry(rest: RestSkin, joints_m: FloatArray) -> FloatArray | None:
    """Skin (V, 3) of ``rest`` with its skeleton on ``joints_m`` (21, 3), in their frame.

    Returns None where ``mesh_of`` does.
    """
    if not (np.isfinite(joints_m).all() and np.isfinite(rest.joints_m).all()):
        return None
    rest_palm_m = rest.joints_m[[rest.published[joint] for joint in PALM]]
    palm_m = joints_m[list(PALM)]
    if not (spans_a_plane(rest_palm_m) and spans_a_plane(palm_m)):
        return None
    scale, rotation, shift = similarity(rest_palm_m, palm_m)
    placed = scale * rest.joints_m @ rotation.T + shift
    placed[list(rest.published)] = joints_m
    return blend_skin(
        rest.vertices_m,
        rest.weights,
        linear=bone_maps(rest, placed, scale, rotation),
        rest_joints_m=rest.joints_m,
        joints_m=placed,
    )


def bone_maps(rest: RestSkin, placed_m: FloatArray, scale: float, rotation: FloatArray) -> FloatArray:
    """Target-from-rest linear maps (J, 3, 3) of the joints, each carrying the bone beyond it onto its place.

    Args:
        rest: where the bones come from.
        placed_m: (J, 3) where its joints go.
        scale: of the palm, and of the fingers' thickness.
        rotation: (3, 3) of the palm, target-from-rest.
    """
    frames = np.broadcast_to(rotation, (len(rest.parents), 3, 3)).copy()
    maps = scale * frames
    for joints, children in rest.bones_by_depth:
        bone = rest.joints_m[children] - rest.joints_m[joints]
        rest_length = np.maximum(np.linalg.norm(bone, axis=-1, keepdims=True), _MIN_BONE_M)
        along = bone / rest_length
        inherited = frames[[rest.parents[joint] for joint in joints]]
        start = (inherited @ along[..., None])[..., 0]
        target = placed_m[children] - placed_m[joints]
        length = np.linalg.norm(target, axis=-1, keepdims=True)
        end = np.where(length > _MIN_BONE_M, target / np.maximum(length, _MIN_BONE_M), start)
        frames[joints] = rotation_between(start, end) @ inherited
        stretch = (length / rest_length - scale)[..., None] * along[..., :, None] * along[..., None, :]
        maps[joints] = frames[joints] @ (scale * np.eye(3) + stretch)
    return maps


def spans_a_plane(points_m: FloatArray) -> bool:
    """Whether points (N, 3) leave no turn of them open, as those on one point or line do."""
    spread = np.linalg.svd(points_m - points_m.mean(axis=0), compute_uv=False)
    return bool(spread[1] >= max(MIN_PALM_WIDTH_M, MIN_PALM_ASPECT * spread[0]))


@cache
def _bones_by_depth(parents: tuple[int, ...]) -> tuple[tuple[list[int], list[int]], ...]:
    depths = [0] * len(parents)
    for joint, parent in enumerate(parents[1:], start=1):
        depths[joint] = depths[parent] + 1
    bones = [(parents[child], child) for child in range(1, len(parents)) if parents[child] > 0]
    levels = sorted({depths[joint] for joint, _ in bones})
    return tuple(
        ([j for j, _ in bones if depths[j] == level], [c for j, c in bones if depths[j] == level])
        for level in levels
    )
