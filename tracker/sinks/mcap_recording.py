"""Recordings as MCAP: the wire format's messages, and beside them what Foxglove draws.

Messages are gathered into chunks, which are handed to the system twice a second, also while no frame comes:
a killed program loses the last half second. Each message is logged at its frame's capture time on the
recording's own clock.
"""

import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from tracker.errors import SinkFailedError
from tracker.sinks.foxglove_messages import (
    camera_calibration,
    compressed_image,
    frame_transform,
    scene_update,
)
from tracker.sinks.mcap_format import (
    CALIBRATION,
    CHANNELS,
    FRAME,
    HEADER,
    PICTURE,
    SCENE,
    STATE,
    TRANSFORM,
    Channel,
    import_mcap,
)
from tracker.sinks.messages import FORMAT, Clock
from tracker.sinks.output_file import OutputFile
from tracker.sinks.periodic import Periodic
from tracker.sinks.pictures import PictureRecorder
from tracker.sinks.wire import encode_frame, encode_header, encode_state, read_clock
from tracker.structs import Frame, StreamInfo, TrackedFrame

if TYPE_CHECKING:
    from mcap.writer import Writer

CHUNK_BYTES = 1 << 20
_ENCODER = msgspec.json.Encoder()
_Message = tuple[Channel, bytes]


class McapSink:
    """Writes ``path``; with ``pictures`` also the camera's, which ``live`` encodes outside ``send``.

    Raises:
        SinkError: the file cannot be opened, or it holds something and ``overwrite`` is False.
        MissingDependencyError: the library mcap is not installed.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        overwrite: bool = False,
        pictures: bool = False,
        live: bool = False,
        clock: Callable[[], Clock] = read_clock,
    ) -> None:
        library = import_mcap("writer")
        self._file = OutputFile(Path(path), overwrite=overwrite)
        self._writer: Writer = library.Writer(self._file, chunk_size=CHUNK_BYTES)
        self._clock = clock
        self._lock = threading.Lock()
        self._channels: dict[Channel, int] = {}
        self._waiting: list[tuple[StreamInfo | str, bytes]] = []
        self._time_ns = 0
        self._frames = 0
        self._closed = False
        self._untold: SinkFailedError | None = None
        self._flusher: Periodic | None = None
        self._pictures = PictureRecorder(self._write_picture, live=live) if pictures else None

    def begin(self, info: StreamInfo) -> None:
        """Take a new header; it is written with the frame that follows, at that frame's time.

        Raises:
            SinkFailedError: the file cannot be written.
        """
        with self._lock:
            self._check()
            if self._flusher is None:
                self._file.begin()
                self._start(info.clock or self._clock())
                self._flusher = Periodic(self._flush)
            self._waiting.append((info, encode_header(info, self._clock())))

    def send(self, tracked: TrackedFrame, frame: Frame | None) -> None:
        """Write one frame's result, and its picture if pictures are recorded.

        Raises:
            SinkFailedError: the disk is full, say; every chunk before stays readable.
        """
        time_ns = log_time_ns(tracked.capture_time_s)
        message, scene = encode_frame(tracked), _ENCODER.encode(scene_update(tracked, time_ns))
        with self._lock:
            self._check()
            assert self._flusher is not None, "begin() writes the header and comes first"
            self._time_ns = time_ns
            self._write_waiting()
            self._add(FRAME, message, time_ns, sequence=tracked.frame_index)
            self._add(SCENE, scene, time_ns)
        if self._pictures is not None and frame is not None:
            self._pictures.send(frame)

    def notify(self, state: str) -> None:
        """Write that the source's state changed, at the time of the last frame; before the first, with it.

        Raises:
            SinkFailedError: the disk is full, say; every chunk before stays readable.
        """
        with self._lock:
            self._check()
            assert self._flusher is not None, "begin() writes the header and comes first"
            self._waiting.append((state, encode_state(state)))
            if self._frames:
                self._write_waiting()

    def close(self) -> None:
        """Write what is held back and the index, and close the file; safe to call twice.

        Raises:
            SinkFailedError: the rest cannot be written; what was written before stays readable.
        """
        for thread in (self._pictures, self._flusher):
            if thread is not None:
                thread.close()
        with self._lock:
            closed, self._closed = self._closed, True
            if not closed and self._file.begun:
                self._write_waiting()
                self._writer.finish()
            self._file.close()
        self._tell()

    def _start(self, now: Clock) -> None:
        self._writer.start(profile="", library="egocentric-hand-tracker")
        for channel in CHANNELS:
            schema = self._writer.register_schema(
                channel.schema_name, "jsonschema", msgspec.json.encode(channel.schema())
            )
            self._channels[channel] = self._writer.register_channel(channel.topic, "json", schema)
        self._writer.add_metadata(
            FORMAT,
            {
                "clock": "capture time: presentation time of a file, monotonic clock when live",
                "monotonic_s": f"{now.monotonic_s:.6f}",
                "unix_s": f"{now.unix_s:.6f}",
            },
        )

    def _write_waiting(self) -> None:
        """Write headers and states that came since the last frame, in order."""
        waiting, self._waiting = self._waiting, []
        for value, message in waiting:
            if isinstance(value, str):
                self._add(STATE, message, self._time_ns)
                continue
            self._add(HEADER, message, self._time_ns)
            lens = camera_calibration(value.camera, self._time_ns)
            self._add(CALIBRATION, _ENCODER.encode(lens), self._time_ns)
            self._add(TRANSFORM, _ENCODER.encode(frame_transform(self._time_ns)), self._time_ns)

    def _add(self, channel: Channel, message: bytes, time_ns: int, *, sequence: int = 0) -> None:
        self._frames += channel is FRAME
        try:
            self._writer.add_message(
                self._channels[channel], time_ns, message, time_ns, sequence & 0xFFFFFFFF
            )
        except SinkFailedError:
            self._closed = True
            raise

    def _write_picture(self, frame: Frame, jpeg: bytes) -> None:
        time_ns = log_time_ns(frame.capture_time_s)
        message = _ENCODER.encode(compressed_image(jpeg, time_ns))
        self._on_thread(lambda: self._add(PICTURE, message, time_ns, sequence=frame.index))

    def _flush(self) -> None:
        self._on_thread(self._writer.flush)

    def _on_thread(self, work: Callable[[], object]) -> None:
        """Do what nobody waits for: what it meets is told at the next ``send`` or on closing."""
        with self._lock:
            if self._closed:
                return
            try:
                work()
            except SinkFailedError as failure:
                self._closed, self._untold = True, failure

    def _check(self) -> None:
        self._tell()
        if self._closed:
            raise SinkFailedError(f"{self._file.path} is closed; nothing more can be recorded in it")

    def _tell(self) -> None:
        """Raise what a thread met, once."""
        untold, self._untold = self._untold, None
        if untold is not None:
            raise untold
        for thread in (self._pictures, self._flusher):
            if thread is not None:
                thread.check()


def log_time_ns(capture_time_s: float) -> int:
    """MCAP's time of a frame; its times begin at 0."""
    return max(0, round(capture_time_s * 1e9))
