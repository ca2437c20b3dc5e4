"""A hand of MANO's exact layout without MANO: an egg around the open hand's skeleton, its tips pulled out."""

import numpy as np

from tracker.joints import FINGERS, FloatArray, Side
from tracker.mano_numpy import FROM_MANO, NUM_FACES, NUM_MANO_JOINTS, NUM_VERTICES, PARENTS, TIP_VERTICES
from tracker.skinned_hand import FROM_SKELETON, load_open_hand

RINGS, SEGMENTS = 8, 97


def egg() -> tuple[FloatArray, np.ndarray]:
    """778 points on the unit sphere, and 1538 faces wound outward; a hole of 14 faces around one pole."""
    polar = np.pi * np.arange(1, RINGS + 1) / (RINGS + 1)
    around = 2 * np.pi * np.arange(SEGMENTS) / SEGMENTS
    sine = np.sin(polar)[:, None]
    rings = np.stack(
        [
            sine * np.cos(around),
            sine * np.sin(around),
            np.broadcast_to(np.cos(polar)[:, None], (RINGS, SEGMENTS)),
        ],
        axis=-1,
    ).reshape(-1, 3)
    vertices = np.vstack([rings, (0, 0, -1), (0, 0, 1)])
    faces = []
    for k in range(SEGMENTS):
        following = (k + 1) % SEGMENTS
        last = (RINGS - 1) * SEGMENTS
        faces.append((last + following, last + k, len(rings)))
        for row in range(0, last, SEGMENTS):
            a, b = row + k, row + following
            faces += [(a, a + SEGMENTS, b), (b, a + SEGMENTS, b + SEGMENTS)]
    upper = [(k, (k + 1) % SEGMENTS, len(rings) + 1) for k in range(SEGMENTS)]
    return vertices, np.array(faces + upper)[:NUM_FACES]


def mano_arrays(seed: int = 3) -> dict[str, np.ndarray]:
    """The arrays of a MANO file, under its names, for a right hand at rest in the open hand's frame."""
    rng = np.random.default_rng(seed)
    hand = load_open_hand(Side.RIGHT)
    published = hand.joints_m[list(FROM_SKELETON)]
    joints = np.empty((NUM_MANO_JOINTS, 3))
    for joint, own in enumerate(FROM_MANO):
        if own < NUM_MANO_JOINTS:
            joints[own] = published[joint]
    sphere, faces = egg()
    vertices = sphere * (0.06, 0.03, 0.10) + published.mean(axis=0)
    distances = np.linalg.norm(vertices[:, None] - joints, axis=-1)
    weights = np.exp(-((distances / 0.02) ** 2) + (distances.min(axis=1, keepdims=True) / 0.02) ** 2)
    weights /= weights.sum(axis=1, keepdims=True)
    for tip, chain in zip(TIP_VERTICES, FINGERS.values(), strict=True):
        vertices[tip] = published[chain[-1]]
        weights[tip] = np.eye(NUM_MANO_JOINTS)[FROM_MANO[chain[-2]]]
    homogeneous = np.vstack([vertices.T, np.ones(NUM_VERTICES)])
    regressor = np.linalg.pinv(homogeneous) @ np.vstack([joints.T, np.ones(NUM_MANO_JOINTS)])
    parents = np.array([4294967295, *PARENTS[1:]], dtype=np.uint32)
    return {
        "v_template": vertices,
        "shapedirs": rng.normal(size=(NUM_VERTICES, 3, 10)) * 3e-4,
        "posedirs": rng.normal(size=(NUM_VERTICES, 3, 135)) * 1e-4,
        "J_regressor": regressor.T,
        "weights": weights,
        "f": faces.astype(np.uint32),
        "kintree_table": np.stack([parents, np.arange(NUM_MANO_JOINTS, dtype=np.uint32)]),
    }
