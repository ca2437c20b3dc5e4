"""The few rotation maps the tracker uses, and fits of points; leading axes are batch axes.

Quaternions are (w, x, y, z) with w >= 0; rotation vectors are axis times angle in radians.
"""

import numpy as np

from tracker.joints import FloatArray


def crosses(vectors: FloatArray) -> FloatArray:
    """[v]x (..., 3, 3) of vectors (..., 3): the matrix with which v x u = [v]x u."""
    flat = np.zeros((*vectors.shape[:-1], 9))
    flat[..., [7, 2, 3]] = vectors
    flat[..., [5, 6, 1]] = -vectors
    return flat.reshape(*vectors.shape, 3)


def rotation_from_vector(vector_rad: FloatArray) -> FloatArray:
    """Rotation matrices (..., 3, 3) of rotation vectors (..., 3): Rodrigues' formula."""
    vector_rad = np.asarray(vector_rad, dtype=np.float64)
    angle = np.linalg.norm(vector_rad, axis=-1)[..., None, None]
    cross = crosses(vector_rad)
    # sin(a)/a and (1 - cos(a))/a^2, both finite at zero.
    first = np.sinc(angle / np.pi)
    second = 0.5 * np.sinc(angle / (2 * np.pi)) ** 2
    rotation: FloatArray = np.eye(3) + first * cross + second * (cross @ cross)
    return rotation


def vector_from_rotation(rotation: FloatArray) -> FloatArray:
    """Rotation vectors (..., 3) of rotation matrices (..., 3, 3), angle in [0, pi]."""
    quaternion = quaternion_from_rotation(rotation)
    w, xyz = quaternion[..., :1], quaternion[..., 1:]
    norm = np.linalg.norm(xyz, axis=-1, keepdims=True)
    angle = 2.0 * np.arctan2(norm, w)
    scale = np.where(norm > 1e-12, angle / np.maximum(norm, 1e-12), 2.0)
    return np.asarray(xyz * scale)


def quaternion_from_rotation(rotation: FloatArray) -> FloatArray:
    """Unit quaternions (..., 4) of rotation matrices (..., 3, 3).

    The eigenvector of Bar-Itzhack's symmetric 4 x 4 matrix: exact for rotations, nearest for noisy ones.
    """
    r = np.asarray(rotation, dtype=np.float64)
    m00, m01, m02 = r[..., 0, 0], r[..., 0, 1], r[..., 0, 2]
    m10, m11, m12 = r[..., 1, 0], r[..., 1, 1], r[..., 1, 2]
    m20, m21, m22 = r[..., 2, 0], r[..., 2, 1], r[..., 2, 2]
    rows = [
        [m00 + m11 + m22, m21 - m12, m02 - m20, m10 - m01],
        [m21 - m12, m00 - m11 - m22, m10 + m01, m20 + m02],
        [m02 - m20, m10 + m01, m11 - m00 - m22, m21 + m12],
        [m10 - m01, m20 + m02, m21 + m12, m22 - m00 - m11],
    ]
    symmetric = np.stack([np.stack(row, axis=-1) for row in rows], axis=-2)
    quaternion = np.linalg.eigh(symmetric)[1][..., -1]
    signed: FloatArray = np.where(quaternion[..., :1] < 0, -quaternion, quaternion)
    return signed


def rotation_from_quaternion(quaternion_wxyz: FloatArray) -> FloatArray:
    """Rotation matrices (..., 3, 3) of quaternions (..., 4) of any length but zero."""
    q = np.asarray(quaternion_wxyz, dtype=np.float64)
    w, x, y, z = np.moveaxis(q / np.linalg.norm(q, axis=-1, keepdims=True), -1, 0)
    return np.stack(
        [
            np.stack([1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)], axis=-1),
            np.stack([2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)], axis=-1),
            np.stack([2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)], axis=-1),
        ],
        axis=-2,
    )


def rotation_between(start: FloatArray, end: FloatArray) -> FloatArray:
    """The smallest rotations (..., 3, 3) that turn unit vectors ``start`` (..., 3) onto ``end`` (..., 3).

    Opposite vectors have no unique answer; a half turn about some axis across ``start`` is returned.
    """
    start, end = np.broadcast_arrays(start, end)
    cross = crosses(np.cross(start, end))
    # 1 + cosine as half the squared length of the sum keeps its digits where the cosine nears -1.
    one_plus_cosine = 0.5 * np.sum((start + end) ** 2, axis=-1)
    opposite = one_plus_cosine < 1e-12
    scale = np.where(opposite, 1.0, one_plus_cosine)[..., None, None]
    rotation: FloatArray = np.eye(3) + cross + cross @ cross / scale
    if opposite.any():
        across = np.cross(start, np.eye(3)[np.argmin(np.abs(start), axis=-1)])
        half_turn = rotation_from_vector(np.pi * across / np.linalg.norm(across, axis=-1, keepdims=True))
        rotation = np.where(opposite[..., None, None], half_turn, rotation)
    return rotation


def closest_rotation(points: FloatArray, source: FloatArray) -> FloatArray:
    """Rotations (..., 3, 3) that bring ``source`` (..., N, 3) closest to centred ``points`` (Kabsch)."""
    u, _, vt = np.linalg.svd(np.swapaxes(points, -1, -2) @ source)
    u[..., 2] *= np.linalg.det(u @ vt)[..., None]
    return np.asarray(u @ vt)


def similarity(start_m: FloatArray, end_m: FloatArray) -> tuple[float, FloatArray, FloatArray]:
    """Scale, rotation (3, 3) and shift (3,) that bring points (N, 3) closest to others (Umeyama, 1991)."""
    start_mean_m, end_mean_m = start_m.mean(axis=0), end_m.mean(axis=0)
    start, end = start_m - start_mean_m, end_m - end_mean_m
    turn = closest_rotation(end, start)
    scale = float((end * (start @ turn.T)).sum() / max(float((start * start).sum()), 1e-12))
    return scale, turn, end_mean_m - scale * turn @ start_mean_m
