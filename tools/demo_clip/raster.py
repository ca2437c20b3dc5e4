"""A z-buffer rasteriser in numpy: triangles in, for each sample the face seen there and where on it."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

MAX_CANDIDATES = 3_000_000
"""Samples tested at once; bounds the memory."""

Candidates = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]
"""Sample, face, weights in the picture (not perspective-correct) and nearness."""


@dataclass(frozen=True, eq=False)
class Fragments:
    """The visible samples of a picture; S of them, in no particular order."""

    sample: np.ndarray
    """(S,) index into the flattened (height, width) picture."""
    face: np.ndarray
    """(S,) face seen there."""
    weights: np.ndarray
    """(S, 3) barycentric weights of that face's corners, perspective-correct."""


def rasterise(
    corners_px: np.ndarray, nearness: np.ndarray, faces: np.ndarray, *, width: int, height: int
) -> Fragments:
    """What a picture of ``width`` x ``height`` samples sees of a mesh; faces that turn away are left out.

    Args:
        corners_px: (V, 2) vertices in samples, sample centres on integers, y down.
        nearness: (V,) 1/z for a perspective view; any quantity linear in the picture, larger nearer.
        faces: (F, 3) wound counter-clockwise seen from outside.
        width: samples per row.
        height: rows.
    """
    nearest = np.full(width * height, -np.inf)
    kept: list[Candidates] = []
    for candidates in _covered(corners_px, nearness, faces, width, height):
        np.maximum.at(nearest, candidates[0], candidates[3])
        kept.append(candidates)
    if not kept:
        return Fragments(np.zeros(0, int), np.zeros(0, int), np.zeros((0, 3)))
    sample, face, weights, near = (np.concatenate(column) for column in zip(*kept, strict=True))
    front = near >= nearest[sample]
    sample, face, weights = sample[front], face[front], weights[front]
    sample, first = np.unique(sample, return_index=True)
    weights = weights[first] * nearness[faces[face[first]]]
    return Fragments(sample, face[first], weights / weights.sum(axis=1, keepdims=True))


def nearest_map(
    corners_px: np.ndarray, nearness: np.ndarray, faces: np.ndarray, *, width: int, height: int
) -> np.ndarray:
    """The largest nearness (height, width) over a mesh at each sample, -inf where there is nothing."""
    nearest = np.full(width * height, -np.inf)
    for sample, _, _, near in _covered(corners_px, nearness, faces, width, height):
        np.maximum.at(nearest, sample, near)
    return nearest.reshape(height, width)


def _covered(
    corners_px: np.ndarray, nearness: np.ndarray, faces: np.ndarray, width: int, height: int
) -> Iterator[Candidates]:
    """The samples inside faces that turn to the viewer, some faces at a time."""
    a, b, c = (corners_px[faces[:, k]] for k in range(3))
    area = (b[:, 0] - a[:, 0]) * (c[:, 1] - a[:, 1]) - (b[:, 1] - a[:, 1]) * (c[:, 0] - a[:, 0])
    low = np.ceil(np.minimum(np.minimum(a, b), c)).clip(0)
    high = np.floor(np.maximum(np.maximum(a, b), c))
    high = np.minimum(high, [width - 1, height - 1])
    size = np.maximum(high - low + 1, 0).astype(np.int64)
    # With y down, a face seen from outside turns clockwise: its area here is negative.
    shown = np.flatnonzero((area < 0) & (size.prod(axis=1) > 0))
    if not len(shown):
        return
    counts = size[shown].prod(axis=1)
    blocks = np.cumsum(counts) // MAX_CANDIDATES
    for block in np.unique(blocks):
        which = shown[blocks == block]
        count = counts[blocks == block]
        face = np.repeat(which, count)
        local = np.arange(count.sum()) - np.repeat(np.cumsum(count) - count, count)
        x = low[face, 0] + local % size[face, 0]
        y = low[face, 1] + local // size[face, 0]
        weights = []
        for p, q in ((b, c), (c, a)):
            edge_x, edge_y = (q - p)[face].T
            weights.append(((x - p[face, 0]) * -edge_y + (y - p[face, 1]) * edge_x) / area[face])
        weights.append(1.0 - weights[0] - weights[1])
        inside = (weights[0] >= 0) & (weights[1] >= 0) & (weights[2] >= 0)
        face = face[inside]
        bary = np.stack([w[inside] for w in weights], axis=1)
        sample = (y[inside] * width + x[inside]).astype(np.int64)
        yield sample, face, bary, (bary * nearness[faces[face]]).sum(axis=1)
