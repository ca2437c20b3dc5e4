"""The official MANO pickle as plain arrays, without running anything of it: numpy alone.

The file was written by Python 2 and refers to classes of chumpy, scipy and numpy. Each is read as an
``Inert`` that keeps its arguments and state; ``plain`` knows what these mean. Arrays are decoded here too,
from their bytes and a short list of number types, so that not even numpy's own unpickling sees the file.
"""

import math
import re
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tracker.errors import TrackerError, WeightsError
from tracker.joints import FloatArray
from tracker.mano_numpy import ManoModel, load_mano, mano_from_arrays
from tracker.networks.unpickle import EncodedText, Inert, InertUnpickler, damaged

Array = npt.NDArray[Any]

ARRAY_NAMES = ("v_template", "shapedirs", "posedirs", "J_regressor", "weights", "f", "kintree_table")
"""What a hand needs of the file."""
NUM_BETAS = 10
WRIST = 0
LONG_FINGERS = ((1, 2, 3, 320), (4, 5, 6, 443), (10, 11, 12, 554), (7, 8, 9, 671))
"""Index, middle, ring, pinky: MANO's joints from the palm outwards, and the vertex of the tip."""
LONGEST_ARRAY = 1 << 24

_NUMBERS = re.compile(r"[<>|=]?(?:f4|f8|i1|i2|i4|i8|u1|u2|u4|u8|b1)")


class StoredArray(Inert):
    """A numpy array: its state is (version, shape, dtype, column by column, bytes)."""


class ArrayOfBuffer(Inert):
    """A numpy array made as (bytes, dtype, shape, order)."""


class Dtype(Inert):
    """A numpy dtype made as (name, ...); its state's second item is the byte order."""


class Scalar(Inert):
    """A numpy number made as (dtype, bytes)."""


class Chumpy(Inert):
    """A chumpy array; its value is ``x``."""


class ChumpySelect(Inert):
    """Entries ``idxs`` of the chumpy array ``a``, counted flat, as an array of ``preferred_shape``."""


class SparseColumns(Inert):
    """A scipy matrix, column by column."""


class SparseRows(Inert):
    """A scipy matrix, row by row."""


_STAND_INS: dict[tuple[str, str], type[Inert]] = {
    ("numpy", "ndarray"): Inert,
    ("numpy", "dtype"): Dtype,
    ("chumpy.ch", "Ch"): Chumpy,
    ("chumpy.reordering", "Select"): ChumpySelect,
    **{
        (f"numpy.{core}.{module}", name): kind
        for core in ("core", "_core")
        for module, name, kind in (
            ("multiarray", "_reconstruct", StoredArray),
            ("multiarray", "scalar", Scalar),
            ("numeric", "_frombuffer", ArrayOfBuffer),
        )
    },
    **{
        (module, f"{layout}_{form}"): kind
        for layout, kind in (("csc", SparseColumns), ("csr", SparseRows))
        for module in ("scipy.sparse", f"scipy.sparse.{layout}", f"scipy.sparse._{layout}")
        for form in ("matrix", "array")
    },
}


def read_mano(path: Path) -> ManoModel:
    """The right hand from the official pickle, or from the .npz that ``tracker.weights_store`` makes of it.

    Raises:
        TrackerError: the file is missing, damaged, hostile, or not MANO's right hand.
    """
    return load_mano(path) if zipfile.is_zipfile(path) else mano_from_arrays(read_mano_arrays(path))


def read_mano_arrays(path: Path) -> dict[str, Array]:
    """The arrays of the official pickle by the file's own names, in float64, sparse ones made dense.

    Raises:
        TrackerError: the file is missing, damaged, hostile, or not MANO's right hand.
    """
    try:
        with path.open("rb") as file:
            held = InertUnpickler(file, resolve=_resolve, source=str(path), encoding="latin1").read()
    except OSError as error:
        raise WeightsError(f"cannot read {path}: {error.strerror}; {HOW_TO_GET}") from error
    if not isinstance(held, dict):
        raise WeightsError(f"{path} is a pickle, but not of a MANO model; {HOW_TO_GET}")
    missing = [name for name in ARRAY_NAMES if name not in held]
    if missing:
        raise WeightsError(f"{path} is no MANO model: it lacks {', '.join(missing)}; {HOW_TO_GET}")
    try:
        arrays = {name: np.asarray(plain(held[name])) for name in ARRAY_NAMES}
        arrays["shapedirs"] = arrays["shapedirs"][..., :NUM_BETAS]
        mano_from_arrays(arrays)
    except TrackerError as error:
        raise WeightsError(f"{path}: {error}") from error
    except Exception as error:  # what a damaged file says of its arrays can fail in any way
        raise damaged(str(path), error) from error
    if is_left_hand(arrays) or "left" in path.stem.lower():
        raise WeightsError(f"{path} is MANO's left hand; HaMeR needs the right one, MANO_RIGHT.pkl")
    return arrays


HOW_TO_GET = "MANO_RIGHT.pkl comes with mano_v1_2.zip from https://mano.is.tue.mpg.de after registration"


def is_left_hand(arrays: dict[str, Array]) -> bool:
    """Whether all long fingers run toward +x from the wrist, joint by joint, as in MANO's left hand.

    MANO's hands lie flat with the palm down; the right one's fingers run toward -x, and the left one is its
    mirror image.
    """
    template: FloatArray = arrays["v_template"]
    joints = arrays["J_regressor"] @ template
    for *chain, tip in LONG_FINGERS:
        along_x = np.concatenate([joints[[WRIST, *chain], 0], template[tip, :1]])
        if not (np.diff(along_x) > 0).all():
            return False
    return True


def plain(value: Any) -> Any:
    """What an inert value of a MANO file stands for: arrays, numbers, bytes; others stay as they are."""
    match value:
        case StoredArray():
            _, shape, dtype, by_columns, data = value.state
            return _array(data, dtype, shape, "F" if by_columns else "C")
        case ArrayOfBuffer():
            return _array(*value.arguments)
        case Scalar():
            return _array(value.arguments[1], value.arguments[0], (), "C")[()]
        case Chumpy():
            return plain(value.attributes["x"])
        case ChumpySelect():
            kept = value.attributes
            return np.ravel(plain(kept["a"]))[plain(kept["idxs"])].reshape(kept["preferred_shape"])
        case SparseColumns():
            rows, columns = _shape_of(value)
            return _dense(value, columns, rows).T
        case SparseRows():
            return _dense(value, *_shape_of(value))
        case _:
            return value


def _resolve(module: str, name: str) -> type[Inert] | None:
    return _STAND_INS.get((module, name))


def _array(data: Any, dtype: Any, shape: Any, order: Any) -> Array:
    """An array of numbers from its bytes; anything but numbers is refused."""
    kind = str(dtype.arguments[0])
    if not _NUMBERS.fullmatch(kind):
        raise WeightsError(f"it holds an array of {kind!r}, which is no type of number")
    byte_order: Any = dtype.state[1] if dtype.state else "="
    array = np.frombuffer(_bytes(data), np.dtype(kind).newbyteorder(byte_order))
    return array.reshape(shape, order=order)


def _bytes(data: Any) -> bytes:
    if isinstance(data, EncodedText):
        data = data.arguments[0]
    return data.encode("latin1") if isinstance(data, str) else bytes(data)


def _shape_of(matrix: Inert) -> tuple[int, int]:
    kept = matrix.attributes
    rows, columns = (int(plain(size)) for size in kept["_shape" if "_shape" in kept else "shape"])
    if not 0 < math.prod((rows, columns)) <= LONGEST_ARRAY:
        raise WeightsError(f"it holds a sparse matrix of {rows} x {columns}")
    return rows, columns


def _dense(matrix: Inert, count: int, length: int) -> Array:
    """``count`` lines of ``length``, each given by its entries' places and values (Compressed Sparse Row)."""
    kept = matrix.attributes
    values, places, ends = (plain(kept[name]) for name in ("data", "indices", "indptr"))
    dense = np.zeros((count, length))
    np.add.at(dense, (np.repeat(np.arange(count), np.diff(ends)), places), values)
    return dense
