"""How far joints are from the true ones, hand by hand; all functions take any number of leading axes.

Joints (..., J, 3) or (..., J, 2); ``valid`` (..., J) says which joints count, and NaN never counts. A mean
over no joint at all is NaN.
"""

import numpy as np

from tracker.joints import FINGER_MCPS, WRIST, FloatArray
from tracker.research.ground_truth.labelled import BoolArray

FINGER_JOINTS = tuple(range(5, 21))
"""MCP to tip of the four long fingers: no data set disputes what these are."""
FINGER_BONES = tuple((mcp + step, mcp + step + 1) for mcp in FINGER_MCPS for step in range(3))
"""The 12 bones of the long fingers."""
_FROM, _TO = np.array(FINGER_BONES).T


def masked_mean(values: FloatArray, valid: BoolArray) -> FloatArray:
    """Mean over the last axis of what is valid; NaN where nothing is."""
    counted = valid & np.isfinite(values)
    count = counted.sum(axis=-1)
    total = np.where(counted, values, 0.0).sum(axis=-1)
    return np.asarray(np.divide(total, count, out=np.full(np.shape(total), np.nan), where=count > 0))


def distances(a: FloatArray, b: FloatArray) -> FloatArray:
    """(..., J) lengths of ``a - b``."""
    lengths: FloatArray = np.linalg.norm(a - b, axis=-1)
    return lengths


def both_known(predicted: FloatArray, true: FloatArray) -> BoolArray:
    """(..., J) joints that both sides give."""
    return np.asarray(np.isfinite(predicted).all(axis=-1) & np.isfinite(true).all(axis=-1))


def centre(joints: FloatArray) -> FloatArray:
    """(..., 2 or 3) mean of the long fingers' MCPs; NaN unless all four are known."""
    mean: FloatArray = joints[..., FINGER_MCPS, :].mean(axis=-2)
    return mean


def mpjpe(predicted: FloatArray, true: FloatArray, valid: BoolArray) -> FloatArray:
    """(...) mean distance of the joints as they are: nothing is aligned."""
    return masked_mean(distances(predicted, true), valid)


def mpjpe_mcp_relative(predicted: FloatArray, true: FloatArray, valid: BoolArray) -> FloatArray:
    """(...) mean distance after the centres of the MCPs are brought together, unturned and unscaled."""
    return mpjpe(predicted - centre(predicted)[..., None, :], true - centre(true)[..., None, :], valid)


def similarity_aligned(points: FloatArray, target: FloatArray, valid: BoolArray) -> FloatArray:
    """``points`` moved, turned and scaled (never mirrored) as near as can be to ``target`` in least squares.

    Umeyama, "Least-squares estimation of transformation parameters between two point patterns", 1991, eq.
    39-43. NaN where fewer than three joints are valid.
    """
    weight = valid[..., None].astype(np.float64)
    count = weight.sum(axis=-2, keepdims=True)
    few = count[..., 0, 0] < 3
    count = np.maximum(count, 1.0)
    source, aim = np.where(valid[..., None], points, 0.0), np.where(valid[..., None], target, 0.0)
    source_mean = source.sum(axis=-2, keepdims=True) / count
    aim_mean = aim.sum(axis=-2, keepdims=True) / count
    source, aim = (source - source_mean) * weight, (aim - aim_mean) * weight
    u, singular, vt = np.linalg.svd(np.swapaxes(source, -1, -2) @ aim)
    signs = np.ones_like(singular)
    signs[..., -1] = np.sign(np.linalg.det(u @ vt))
    rotation = (u * signs[..., None, :]) @ vt
    scale = (singular * signs).sum(axis=-1) / np.maximum((source**2).sum(axis=(-1, -2)), 1e-12)
    aligned = scale[..., None, None] * ((points - source_mean) @ rotation) + aim_mean
    return np.where(few[..., None, None], np.nan, aligned)


def pa_mpjpe(predicted: FloatArray, true: FloatArray, valid: BoolArray) -> FloatArray:
    """(...) mean distance after the best similarity over the valid joints."""
    return mpjpe(similarity_aligned(predicted, true, valid & both_known(predicted, true)), true, valid)


def pck(distance: FloatArray, valid: BoolArray, threshold: FloatArray | float) -> FloatArray:
    """(...) share of the valid joints nearer than ``threshold`` (broadcast against (..., J))."""
    within = np.where(np.isfinite(distance), distance < threshold, np.nan)
    return masked_mean(np.asarray(within, dtype=np.float64), valid)


def auc(distance: FloatArray, valid: BoolArray, *, up_to: float, steps: int = 100) -> float:
    """Area under PCK over thresholds 0 to ``up_to``, 1 for perfect; all joints of all hands pooled."""
    known = distance[valid & np.isfinite(distance)]
    if not known.size:
        return float("nan")
    thresholds = np.linspace(0.0, up_to, steps + 1)
    shares = (known[:, None] <= thresholds).mean(axis=0)
    return float(np.trapezoid(shares, thresholds) / up_to)


def finger_length(joints: FloatArray) -> FloatArray:
    """(...) summed length of the long fingers' twelve bones; NaN unless all their joints are known."""
    bones = np.linalg.norm(joints[..., _TO, :] - joints[..., _FROM, :], axis=-1)
    total: FloatArray = bones.sum(axis=-1)
    return total


def egoexo4d_errors_m(
    predicted: FloatArray, true: FloatArray, valid: BoolArray
) -> tuple[FloatArray, FloatArray]:
    """MPJPE and PA-MPJPE (...) of each hand as in the EgoExo4D challenge; its figures are their means.

    The challenge takes hands relative to the wrist in camera axes and puts them at the true wrist, so that
    the wrist itself counts as a joint without error. Alignment and means go over the valid joints, wrist
    included.
    """
    at_true_wrist = predicted - predicted[..., WRIST, None, :] + true[..., WRIST, None, :]
    return mpjpe(at_true_wrist, true, valid), pa_mpjpe(predicted, true, valid)
