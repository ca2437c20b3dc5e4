"""Hand and forearm as one smooth skin: the open hand, a lofted forearm, a sleeve, one Loop subdivision."""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from demo_clip.motion import Arm
from tracker.joints import Side
from tracker.skinned_hand import SkinnedHand, load_open_hand

FOREARM_M = 0.30
SECTION_M = 0.011
SLEEVE_FROM_M = 0.195
BEND_FROM_M, BEND_TO_M = -0.008, 0.042
"""Where along the rest frame's z the skin goes over from the hand to the forearm."""
SLEEVE_LABEL = 255


@dataclass(frozen=True, eq=False)
class Body:
    """The right arm's fine mesh; the left one has the same numbering."""

    forearm_rest_m: np.ndarray
    """(A, 3) coarse vertices of forearm and sleeve, right rest frame, numbered after the hand's."""
    coarse_faces: np.ndarray
    fine_faces: np.ndarray
    fine_sources: np.ndarray
    """(N, K) coarse vertices each fine vertex is made of."""
    fine_weights: np.ndarray
    """(N, K) and their shares."""
    rest_m: np.ndarray
    """(N, 3) fine vertices in the right hand's rest frame."""
    rest_normals: np.ndarray
    labels: np.ndarray
    """(N,) skeleton joint that moves a fine vertex most, or ``SLEEVE_LABEL``."""

    def coarse(self, arm: Arm) -> np.ndarray:
        """World positions (C, 3) of the coarse vertices of ``arm``."""
        hand = arm.posed.hand
        flip = np.array([1.0 if hand.side is Side.RIGHT else -1.0, 1.0, 1.0])
        rest = np.vstack([hand.vertices_m, self.forearm_rest_m * flip])
        wrist = arm.posed.skeleton_m[0]
        stiff = rest @ arm.posed.rotations[0].T + wrist
        skin = np.vstack([arm.posed.vertices_m, stiff[len(hand.vertices_m) :]])
        forearm = rest @ arm.world_from_forearm.T + wrist
        share = np.clip((rest[:, 2] - BEND_FROM_M) / (BEND_TO_M - BEND_FROM_M), 0.0, 1.0)
        share = (share**2 * (3 - 2 * share))[:, None]
        return skin + share * (forearm - stiff)

    def fine(self, coarse_m: np.ndarray) -> np.ndarray:
        """The subdivided skin (N, 3) of coarse vertices (C, 3)."""
        return np.einsum("nk,nkd->nd", self.fine_weights, coarse_m[self.fine_sources])


def build_body() -> Body:
    """The arm at rest."""
    hand = load_open_hand(Side.RIGHT)
    forearm, faces, sleeve_from = _with_forearm(hand)
    coarse = np.vstack([hand.vertices_m, forearm])
    sources, weights, fine_faces = subdivision(faces, len(coarse))
    rest = np.einsum("nk,nkd->nd", weights, coarse[sources])
    strongest = np.zeros(len(coarse), dtype=np.int64)
    strongest[: len(hand.vertices_m)] = hand.skin_joints[
        np.arange(len(hand.vertices_m)), hand.skin_weights.argmax(axis=1)
    ]
    strongest[sleeve_from:] = SLEEVE_LABEL
    labels = strongest[sources[np.arange(len(sources)), weights.argmax(axis=1)]]
    return Body(forearm, faces, fine_faces, sources, weights, rest, vertex_normals(rest, fine_faces), labels)


def vertex_normals(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """Unit normals (N, 3): the area-weighted mean of the faces around a vertex, zero where there are none."""
    corners = vertices[faces]
    face_normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    normals = np.zeros(vertices.shape)
    for axis in range(3):
        for corner in faces.T:
            normals[:, axis] += np.bincount(corner, face_normals[:, axis], len(vertices))
    return normals / np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-12)


def subdivision(faces: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """One step of Loop's scheme: sources (N, K), weights (N, K), new faces; old vertices come first."""
    directed = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
    opposite = np.concatenate([faces[:, 2], faces[:, 0], faces[:, 1]])
    edges, which = np.unique(np.sort(directed, axis=1), axis=0, return_inverse=True)
    which = which.reshape(-1)
    uses = np.bincount(which, minlength=len(edges))
    border = uses == 1
    wings = np.zeros((len(edges), 2), dtype=np.int64)
    order = np.argsort(which, kind="stable")
    starts = np.cumsum(uses) - uses
    wings[:, 0] = opposite[order[starts]]
    wings[:, 1] = opposite[order[starts + uses - 1]]

    neighbours: list[list[int]] = [[] for _ in range(count)]
    on_border = np.zeros(count, dtype=bool)
    on_border[edges[border]] = True
    for (a, b), is_border in zip(edges.tolist(), border.tolist(), strict=True):
        if is_border or not on_border[a]:
            neighbours[a].append(b)
        if is_border or not on_border[b]:
            neighbours[b].append(a)
    width = 1 + max(len(row) for row in neighbours)
    sources = np.zeros((count + len(edges), width), dtype=np.int64)
    weights = np.zeros((count + len(edges), width))
    for vertex, row in enumerate(neighbours):
        valence = len(row)
        share = 0.0
        if valence:
            share = (
                0.125
                if on_border[vertex]
                else (0.625 - (0.375 + 0.25 * np.cos(2 * np.pi / valence)) ** 2) / valence
            )
        sources[vertex, : valence + 1] = [vertex, *row]
        weights[vertex, : valence + 1] = [1.0 - valence * share] + [share] * valence
    sources[count:, :4] = np.hstack([edges, wings])
    weights[count:, :4] = np.where(border[:, None], [0.5, 0.5, 0.0, 0.0], [0.375, 0.375, 0.125, 0.125])

    ab, bc, ca = (count + part for part in which.reshape(3, -1))
    a, b, c = faces.T
    finer = [np.stack(t, axis=1) for t in ((a, ab, ca), (ab, b, bc), (ca, bc, c), (ab, bc, ca))]
    return sources, weights, np.concatenate(finer)


def _with_forearm(hand: SkinnedHand) -> tuple[np.ndarray, np.ndarray, int]:
    """Forearm and sleeve vertices, all faces, and the number of the first sleeve vertex."""
    cap = len(hand.vertices_m) - 1
    faces = hand.faces[(hand.faces != cap).all(axis=1)]
    ring = _open_ring(faces)
    offsets = hand.vertices_m[ring]
    centre = offsets.mean(axis=0)
    angle = np.unwrap(np.arctan2(offsets[:, 1] - centre[1], offsets[:, 0] - centre[0]))
    heights = np.arange(0.05, FOREARM_M, SECTION_M)
    sections = [_section(offsets[:, :2], centre, angle, float(z)) for z in heights]
    first, around = len(hand.vertices_m), len(ring)
    numbers = [ring, *(first + around * k + np.arange(around) for k in range(len(heights)))]
    tubes = [_tube(inner, outer) for inner, outer in pairwise(numbers)]
    forearm = np.concatenate(sections)

    sleeve_from = len(hand.vertices_m) + len(forearm)
    cloth = _sleeve(centre, np.linspace(0, np.sign(angle[-1] - angle[0]) * 2 * np.pi, around + 1)[:-1])
    numbers = [sleeve_from + around * k + np.arange(around) for k in range(len(cloth))]
    tubes += [_tube(inner, outer) for inner, outer in pairwise(numbers)]
    return np.vstack([forearm, *cloth]), np.concatenate([faces, *tubes]), sleeve_from


def _open_ring(faces: np.ndarray) -> np.ndarray:
    """The vertices around the one hole of a mesh, in the order in which its faces pass them."""
    edges = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]]).tolist()
    present = {(a, b) for a, b in edges}
    follow = {a: b for a, b in edges if (b, a) not in present}
    ring = [next(iter(follow))]
    while follow[ring[-1]] != ring[0]:
        ring.append(follow[ring[-1]])
    return np.array(ring)


def _radii(z: float) -> np.ndarray:
    """Half width and half thickness of the forearm at ``z`` metres from the wrist joint."""
    return np.array(
        [
            np.interp(z, [0.03, 0.06, 0.12, 0.19, 0.30], [0.0285, 0.0295, 0.036, 0.042, 0.045]),
            np.interp(z, [0.03, 0.06, 0.12, 0.19, 0.30], [0.0205, 0.0225, 0.031, 0.038, 0.042]),
        ]
    )


def _section(ring_xy: np.ndarray, centre: np.ndarray, angle: np.ndarray, z: float) -> np.ndarray:
    blend = np.clip((z - 0.035) / 0.06, 0.0, 1.0)
    blend = blend**2 * (3 - 2 * blend)
    turn = 2 * np.pi * np.sign(angle[-1] - angle[0])
    even = angle.mean() + turn * (np.arange(len(angle)) / len(angle) - 0.5 + 0.5 / len(angle))
    angle = angle + blend * (even - angle)
    ellipse = np.stack([np.cos(angle), np.sin(angle)], axis=1) * _radii(z) + centre[:2] * (1 - 0.6 * blend)
    xy = (1 - blend) * ring_xy + blend * ellipse
    return np.column_stack([xy, np.full(len(xy), z)])


def _sleeve(centre: np.ndarray, around: np.ndarray) -> list[np.ndarray]:
    """Rings of the sleeve: turned in at the cuff, then outside with soft folds."""
    inside, cuff = [(0.030, 0.97), (0.004, 1.06)], [(-0.001, 1.11), (0.0, 1.16), (0.006, 1.19), (0.014, 1.19)]
    outside = [(0.016, 1.17), *((offset, 1.18) for offset in np.arange(0.026, 0.13, 0.012))]
    rings = []
    for offset, scale in [*inside, *cuff, *outside]:
        z = SLEEVE_FROM_M + offset
        folds = 0.0022 * np.sin(3 * around + 90 * z) + 0.002 * np.sin(260 * z + 2 * np.sin(around))
        radii = _radii(z) * scale + (folds[:, None] if offset > 0.015 else 0.0)
        xy = np.stack([np.cos(around), np.sin(around)], axis=1) * radii + centre[:2] * 0.4
        rings.append(np.column_stack([xy, np.full(len(xy), z)]))
    return rings


def _tube(inner: np.ndarray, outer: np.ndarray) -> np.ndarray:
    """Faces between two rings; ``inner`` runs as the open edge of a surface wound outward."""
    a, b = inner, np.roll(inner, -1)
    c, d = outer, np.roll(outer, -1)
    return np.concatenate([np.stack([b, a, c], axis=1), np.stack([b, c, d], axis=1)])
