"""Numbers as the wire spells them: rounded, and unknown ones as None; and back."""

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from tracker.joints import FloatArray
from tracker.rotations import quaternion_from_rotation, rotation_from_quaternion
from tracker.sinks.messages import Number, Row, Rows

ROTATION_DECIMALS = 6


def number(value: float, decimals: int) -> Number:
    """``value`` rounded, None where it is not finite."""
    value = float(value)
    return round(value, decimals) + 0.0 if math.isfinite(value) else None  # + 0.0: no "-0.0"


def nested(values: npt.NDArray[np.floating[Any]], decimals: int) -> Any:
    """Nested lists of ``values`` rounded, None where not finite."""
    scale = 10.0**decimals
    rounded = np.rint(values.astype(np.float64) * scale) / scale + 0.0  # + 0.0: no "-0.0"
    finite = np.isfinite(rounded)
    if finite.all():
        return rounded.tolist()
    nullable = rounded.astype(object)
    nullable[~finite] = None
    return nullable.tolist()


def quaternion(rotation: FloatArray) -> Row | None:
    """(w, x, y, z) of a rotation (3, 3), None where it is not finite.

    It comes back from ``rotation`` as it is: rounding leaves it longer or shorter than one, so it is rounded
    again at length one; and of the two that name a half turn it is always the same one.
    """
    if not np.isfinite(rotation).all():
        return None
    rounded = quaternion_from_rotation(rotation).round(ROTATION_DECIMALS)
    if rounded.tolist() < [0.0] * 4:
        rounded = -rounded
    wxyz: Row = nested(rounded / np.linalg.norm(rounded), ROTATION_DECIMALS)
    return wxyz


def known(value: Number) -> float:
    """The number, NaN for None."""
    return math.nan if value is None else value


def array(values: Row | Rows | list[Rows]) -> FloatArray:
    """The array of nested lists, NaN for None; ragged lists raise ValueError."""
    return np.array(values, dtype=np.float64)


def rotation(wxyz: Row | None) -> FloatArray:
    """Rotation (3, 3); NaN where the wire says unknown.

    Raises:
        ValueError: ``wxyz`` is no quaternion.
    """
    if wxyz is None or None in wxyz:
        return np.full((3, 3), math.nan)
    values = array(wxyz)
    if values.shape != (4,) or not np.linalg.norm(values) > 1e-9:
        raise ValueError(f"wrist_rotation_wxyz {wxyz} is not a quaternion")
    return rotation_from_quaternion(values)


def plain(value: object) -> object:
    """Numpy's own numbers as Python's, for encoders."""
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"cannot encode {type(value).__name__}")
