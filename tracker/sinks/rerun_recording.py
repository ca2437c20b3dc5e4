"""Recordings for the Rerun viewer: hands in space, what the camera saw, and the camera itself.

Everything in space is in the camera's frame: +x right, +y down, +z forward, metres. The library writes the
file; it is told twice a second to hand on what it holds, so a killed program loses the last half second. A
file that ends in part of a message (killed program, full disk) is read up to there by ``rerun rrd
optimize``, which makes it whole.
"""

import threading
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from tracker.cameras import Camera
from tracker.errors import MissingDependencyError, SinkFailedError
from tracker.hand_mesh import mesh_of
from tracker.joints import BONES
from tracker.mano_numpy import ManoModel
from tracker.sinks.drawing import SIDE_COLOURS
from tracker.sinks.foxglove_messages import BONE_THICKNESS_M, JOINT_DIAMETER_M
from tracker.sinks.messages import FORMAT, Clock
from tracker.sinks.output_file import OutputFile
from tracker.sinks.periodic import Periodic
from tracker.sinks.pictures import PictureRecorder
from tracker.sinks.wire import encode_header, read_clock
from tracker.structs import Frame, StreamInfo, TrackedFrame, TrackedHand

FLUSH_TIMEOUT_S = 5.0
_PINHOLES = ("pinhole", "brown_conrady")
"""Lenses that Rerun's pinhole is close to; others have pictures and joints in pixels, but no frustum."""


class RerunSink:
    """Writes ``path``, with the camera's pictures or posed skin where asked.

    Raises:
        SinkError: the file cannot be opened, or it holds something and ``overwrite`` is False.
        MissingDependencyError: the library rerun is not installed.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        overwrite: bool = False,
        pictures: bool = False,
        live: bool = False,
        meshes: bool = False,
        mano: ManoModel | None = None,
        clock: Callable[[], Clock] = read_clock,
    ) -> None:
        self._rerun = import_rerun()
        self._path = Path(path)
        self._file = OutputFile(self._path, overwrite=overwrite)
        self._meshes, self._mano = meshes, mano
        self._clock = clock
        self._stream: Any = None
        self._shown: dict[str, int] = {}
        """Entity of each hand of the last frame, and how many faces its skin has."""
        self._lock = threading.Lock()
        self._closed = False
        self._untold: SinkFailedError | None = None
        self._flusher: Periodic | None = None
        self._pictures = PictureRecorder(self._write_picture, live=live) if pictures else None

    def begin(self, info: StreamInfo) -> None:
        """Write the header and the camera.

        Raises:
            SinkFailedError: the file cannot be written.
        """
        with self._lock:
            self._check()
            if self._stream is None:
                self._start()
            rerun, stream = self._rerun, self._stream
            header = encode_header(info, self._clock()).decode()
            stream.log("header", rerun.TextDocument(header, media_type="application/json"), static=True)
            if info.camera.model in _PINHOLES:
                stream.log("camera", _pinhole(rerun, info.camera), static=True)
            else:
                stream.log("camera", rerun.Clear(recursive=False), static=True)

    def send(self, tracked: TrackedFrame, frame: Frame | None) -> None:
        """Write one frame's result, and its picture if pictures are recorded.

        Raises:
            SinkFailedError: the disk is full, say; what was written before stays readable.
        """
        with self._lock:
            self._check()
            assert self._stream is not None, "begin() opens the recording and comes first"
            self._set_time(tracked.frame_index, tracked.capture_time_s)
            shown = {_entity(hand): self._log_hand(hand) for hand in tracked.hands}
            for gone in self._shown.keys() - shown.keys():
                for place in ("hands", "camera"):
                    self._stream.log(f"{place}/{gone}", self._rerun.Clear(recursive=True))
            self._shown = shown
        if self._pictures is not None and frame is not None:
            self._pictures.send(frame)

    def notify(self, state: str) -> None:
        """Write that the source's state changed.

        Raises:
            SinkFailedError: the recording failed or is closed.
        """
        with self._lock:
            self._check()
            assert self._stream is not None, "begin() opens the recording and comes first"
            self._stream.log("state", self._rerun.TextLog(state))

    def close(self) -> None:
        """Write what is held back and close the file; safe to call twice.

        Raises:
            SinkFailedError: the rest cannot be written; what was written before stays readable.
        """
        for thread in (self._pictures, self._flusher):
            if thread is not None:
                thread.close()
        with self._lock:
            closed, self._closed = self._closed, True
            if self._stream is None:
                self._file.close()
            elif not closed:
                self._flush_stream()
                self._stream.disconnect()
        self._tell()

    def _start(self) -> None:
        """Open the file through the library.

        There is no index at its end: the library would gather it in memory, more and more all day.
        """
        self._file.begin()
        self._file.close()
        self._stream = self._rerun.RecordingStream(FORMAT)
        try:
            self._stream.save(self._path, write_footer=False)
        except RuntimeError as error:
            self._closed = True
            raise self._failed(error) from error
        self._stream.log("hands", self._rerun.ViewCoordinates.RDF, static=True)
        self._flusher = Periodic(self._flush)

    def _log_hand(self, hand: TrackedHand) -> int:
        """Log a hand at the time set; returns how many faces its skin has, 0 without."""
        rerun, stream, entity = self._rerun, self._stream, _entity(hand)
        joints = hand.pose.joints_in_camera_m
        known = np.asarray(np.isfinite(joints).all(axis=-1))
        bones = [joints[list(bone)] for bone in BONES if known[list(bone)].all()]
        colour = [*SIDE_COLOURS[hand.pose.side], 110 if hand.unseen_s > 0 else 255]
        stream.log(
            f"hands/{entity}/joints",
            rerun.Points3D(joints[known], radii=JOINT_DIAMETER_M / 2, colors=colour),
        )
        stream.log(
            f"hands/{entity}/bones", rerun.LineStrips3D(bones, radii=BONE_THICKNESS_M / 2, colors=colour)
        )
        in_picture = np.isfinite(hand.joints_px).all(axis=-1)
        stream.log(f"camera/{entity}", rerun.Points2D(hand.joints_px[in_picture], radii=3.0, colors=colour))
        mesh = mesh_of(hand.pose, self._mano) if self._meshes else None
        if mesh is None:
            if self._shown.get(entity):
                stream.log(f"hands/{entity}/skin", rerun.Clear(recursive=False))
            return 0
        faces = None if self._shown.get(entity) == len(mesh.faces) else mesh.faces
        skin = rerun.Mesh3D.from_fields(
            vertex_positions=mesh.vertices_m, triangle_indices=faces, albedo_factor=colour
        )
        stream.log(f"hands/{entity}/skin", skin)
        return len(mesh.faces)

    def _write_picture(self, frame: Frame, jpeg: bytes) -> None:
        with self._lock:
            if not self._closed:
                self._set_time(frame.index, frame.capture_time_s)
                picture = self._rerun.EncodedImage(contents=jpeg, media_type="image/jpeg")
                self._stream.log("camera/picture", picture)

    def _set_time(self, frame_index: int, capture_time_s: float) -> None:
        self._stream.set_time("capture_time", duration=capture_time_s)
        self._stream.set_time("frame", sequence=frame_index)

    def _flush(self) -> None:
        # Not under the lock: the library has its own, and a slow disk must not hold the tracker up.
        if self._closed:
            return
        try:
            self._flush_stream()
        except SinkFailedError as failure:
            with self._lock:
                self._closed, self._untold = True, failure

    def _flush_stream(self) -> None:
        try:
            self._stream.flush(timeout_sec=FLUSH_TIMEOUT_S)
        except RuntimeError as error:
            raise self._failed(error) from error

    def _failed(self, error: RuntimeError) -> SinkFailedError:
        first = str(error).splitlines()[0]
        return SinkFailedError(
            f"writing {self._path} failed ({first}): is the disk full? What was recorded before is kept"
        )

    def _check(self) -> None:
        self._tell()
        if self._closed:
            raise SinkFailedError(f"{self._path} is closed; nothing more can be recorded in it")

    def _tell(self) -> None:
        """Raise what a thread met, once."""
        untold, self._untold = self._untold, None
        if untold is not None:
            raise untold
        for thread in (self._pictures, self._flusher):
            if thread is not None:
                thread.check()


def import_rerun() -> ModuleType:
    """The library rerun.

    Raises:
        MissingDependencyError: it is not installed.
    """
    try:
        import rerun
    except ImportError as error:
        raise MissingDependencyError(
            "Rerun files need the library rerun-sdk; install this package with the extra `rerun`"
        ) from error
    return rerun  # type: ignore[no-any-return, unused-ignore]


def _entity(hand: TrackedHand) -> str:
    return f"{hand.pose.side.value}_{hand.track_id}"


def _pinhole(rerun: ModuleType, camera: Camera) -> object:
    return rerun.Pinhole(
        resolution=[camera.width, camera.height],
        focal_length=[camera.fx, camera.fy],
        principal_point=[camera.cx, camera.cy],
        camera_xyz=rerun.ViewCoordinates.RDF,
        image_plane_distance=0.1,
    )
