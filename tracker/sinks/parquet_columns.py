"""Recorded hands as a table: one row a hand a frame, units in the columns' names.

Numbers that are unknown are NaN: lists keep their fixed size, and readers give them as arrays.
"""

from collections.abc import Callable, Iterable
from types import ModuleType
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from tracker.errors import MissingDependencyError
from tracker.joints import FloatArray
from tracker.rotations import quaternion_from_rotation
from tracker.structs import HandPose, ManoParameters, TrackedFrame, TrackedHand

if TYPE_CHECKING:
    import pyarrow as pa


class Row(NamedTuple):
    """One hand of one frame."""

    header: int
    """Which of the recording's headers holds for it, from 0."""
    tracked: TrackedFrame
    hand: TrackedHand


class Column(NamedTuple):
    """Numbers that every hand has: the shape of its list, () for a plain number, and where they come from."""

    name: str
    shape: tuple[int, ...]
    value: Callable[[Row], Any]
    kind: str = "float32"


def _pose(read: Callable[[HandPose], Any]) -> Callable[[Row], Any]:
    return lambda row: read(row.hand.pose)


def _mano(shape: tuple[int, ...], read: Callable[[ManoParameters], FloatArray]) -> Callable[[Row], Any]:
    unknown = np.full(shape, np.nan)
    return lambda row: unknown if row.hand.pose.mano is None else read(row.hand.pose.mano)


def _quaternion(pose: HandPose) -> FloatArray:
    known = np.isfinite(pose.camera_from_wrist).all()
    return quaternion_from_rotation(pose.camera_from_wrist) if known else np.full(4, np.nan)


COLUMNS = (
    Column("header_index", (), lambda row: row.header, "int32"),
    Column("frame", (), lambda row: row.tracked.frame_index, "int64"),
    Column("capture_time_s", (), lambda row: row.tracked.capture_time_s, "float64"),
    Column("valid_at_s", (), lambda row: row.tracked.valid_at_s, "float64"),
    Column("dropped_frames", (), lambda row: row.tracked.dropped_frames, "int64"),
    Column("track_id", (), lambda row: row.hand.track_id, "int64"),
    Column("score", (), lambda row: row.hand.score),
    Column("side_score", (), lambda row: row.hand.side_score),
    Column("unseen_s", (), lambda row: row.hand.unseen_s),
    Column("joints_in_camera_m", (21, 3), _pose(lambda pose: pose.joints_in_camera_m)),
    Column("joints_px", (21, 2), lambda row: row.hand.joints_px),
    Column("observed_px", (21, 2), _pose(lambda pose: pose.observed_px)),
    Column("joint_scores", (21,), _pose(lambda pose: pose.joint_scores)),
    Column("wrist_rotation_wxyz", (4,), _pose(_quaternion)),
    Column("velocity_m_per_s", (21, 3), lambda row: row.hand.velocity_m_per_s),
    Column("reprojection_error_px", (), _pose(lambda pose: pose.reprojection_error_px)),
    Column("covariance_m2", (3, 3), _pose(lambda pose: pose.covariance_m2)),
    Column("mano_global_orient", (3, 3), _mano((3, 3), lambda mano: mano.global_orient)),
    Column("mano_hand_pose", (15, 3, 3), _mano((15, 3, 3), lambda mano: mano.hand_pose)),
    Column("mano_betas", (10,), _mano((10,), lambda mano: mano.betas)),
    Column("mano_translation_m", (3,), _mano((3,), lambda mano: mano.translation_m)),
)


def import_pyarrow() -> ModuleType:
    """The library pyarrow with its Parquet part.

    Raises:
        MissingDependencyError: it is not installed.
    """
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise MissingDependencyError(
            "Parquet files need the library pyarrow; install this package with the extra `parquet`"
        ) from error
    return pyarrow  # type: ignore[no-any-return, unused-ignore]


def table_of(rows: Iterable[Row]) -> "pa.Table":
    """The rows as a table; lists are of fixed size, nested as their shape says."""
    arrow = import_pyarrow()
    rows = list(rows)
    columns = {column.name: _array(column, rows) for column in COLUMNS}
    columns["side"] = arrow.array([row.hand.pose.side.value for row in rows], arrow.string())
    columns["mano_mirrored"] = arrow.array(
        [None if row.hand.pose.mano is None else row.hand.pose.mano.mirrored for row in rows], arrow.bool_()
    )
    return arrow.table(columns)


def _array(column: Column, rows: list[Row]) -> "pa.Array":
    arrow = import_pyarrow()
    values = np.array([column.value(row) for row in rows], dtype=column.kind)
    array = arrow.array(values.reshape(-1))
    for size in reversed(column.shape):
        array = arrow.FixedSizeListArray.from_arrays(array, size)
    return array
