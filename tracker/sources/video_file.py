"""Recorded video: every picture once, none dropped, decoded and converted ahead in a thread."""

import logging
import os
import threading
from collections.abc import Callable, Generator, Iterator
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

import av
from av import FFmpegError, VideoFrame, VideoStream

from tracker.cameras import CameraChoice
from tracker.errors import SourceError, SourceFailedError
from tracker.sources.decoding import (
    UprightPictures,
    decode_pictures,
    find_video_stream,
    frame_rate_hz,
    reason,
)
from tracker.sources.pipe import Pipe
from tracker.sources.read_ahead import ReadAhead
from tracker.structs import Frame

if TYPE_CHECKING:
    from av.container import InputContainer

FRAMES_AHEAD = 3
"""At 1080p each waiting frame holds 6 MB."""
MAX_DECODER_THREADS = 4
"""Each holds pictures of its own; FFmpeg's choice on 16 cores would take 150 MB more at 1080p."""
UNKNOWN_FRAME_RATE_HZ = 30.0
"""Spaces pictures that carry no time in a file that states no rate."""
SHORTFALL_S = 1.0
"""How much less than its header states a file may hold before it counts as cut off."""

_log = logging.getLogger(__name__)


class VideoFile:
    """A source over one recorded video; can be read once.

    ``capture_time_s`` is the presentation time the file states (also for variable frame rates), always
    increasing; where a picture has none it follows the one before by the nominal interval.

    Args:
        path: a file in any container and codec that FFmpeg reads, or a pipe to which a program writes one.
        cameras: what is known of the camera.
        max_frames: end after so many frames.

    Raises:
        SourceError: no such file, or no picture can be decoded from it.
        CameraError: the calibration is for another aspect.
        SourceFailedError: while iterating, after the last good frame: the file is cut off or damaged.
    """

    live = False

    def __init__(
        self, path: str | Path, *, cameras: CameraChoice | None = None, max_frames: int | None = None
    ) -> None:
        self.name = str(path)
        self._max_frames = max_frames
        self._prepare: Callable[[Frame], object] | None = None
        self._closing = threading.RLock()
        self._pipe = _open_pipe(Path(path))
        self._container = _open(Path(path), self._pipe)
        try:
            self._stream = find_video_stream(self._container, self.name)
            self._stream.thread_type = "AUTO"
            self._stream.codec_context.thread_count = min(MAX_DECODER_THREADS, os.cpu_count() or 1)
            self._pictures = decode_pictures(self._container, self._stream, self.name)
            self._first = _first_picture(self._pictures, self.name)
            self._upright = UprightPictures(cameras or CameraChoice())
            self._upright.convert(self._first)
        except BaseException:
            self._container.close()
            raise
        self.frame_rate_hz = frame_rate_hz(self._stream)
        self.frame_count = _frame_count(self._container, self._stream, max_frames)
        self._ahead = ReadAhead(self._frames(), depth=FRAMES_AHEAD)

    def __iter__(self) -> Iterator[Frame]:
        try:
            yield from self._ahead
        finally:
            self.close()

    def call_when_read(self, prepare: Callable[[Frame], object]) -> None:
        """Call ``prepare`` with every frame in the thread that reads ahead; see ``ReadsAhead``."""
        self._prepare = prepare

    def close(self) -> None:
        """End the iteration and release the file; safe to call twice and from another thread."""
        if self._pipe is not None:
            self._pipe.close()
        with self._closing:  # PyAV lets go of the interpreter while it frees; two at once would free twice
            if self._ahead.close():
                self._container.close()

    def _frames(self) -> Generator[Frame, None, None]:
        """Runs in the read-ahead thread, the only one that touches the container meanwhile."""
        interval_s = 1.0 / (self.frame_rate_hz or UNKNOWN_FRAME_RATE_HZ)
        time_s = -interval_s
        index = 0
        for index, picture in enumerate(chain([self._first], self._pictures)):
            if index == self._max_frames:
                return
            time_s = _presentation_time_s(picture, None if index == 0 else time_s, interval_s)
            image, camera = self._upright.convert(picture)
            frame = Frame(index=index, capture_time_s=time_s, image_rgb=image, camera=camera)
            if self._prepare is not None:
                self._prepare(frame)
            yield frame
        shortfall = _shortfall(self._container, self._stream, time_s + interval_s)
        if shortfall is not None:
            raise SourceFailedError(
                f"{self.name} is cut off or damaged: {shortfall}; the first {index + 1} frames were read"
            )


def _open_pipe(path: Path) -> Pipe | None:
    """The pipe at ``path``, once a program writes to it; None where there is something else, or nothing."""
    try:
        if not path.is_fifo():
            return None
        _log.warning("%s is a pipe: waiting for a program that writes to it", path)
        return Pipe(path)
    except OSError as error:
        raise SourceError(_why_unreadable(path, error)) from None


def _open(path: Path, pipe: Pipe | None) -> "InputContainer":
    """Open ``path`` with FFmpeg after checks that need no FFmpeg and give clearer words."""
    try:
        head = _head(path) if pipe is None else b""
    except OSError as error:
        raise SourceError(_why_unreadable(path, error)) from None
    if pipe is None and not head:
        raise SourceError(f"{path} is empty (0 bytes); give a file that holds video")
    try:
        # The prefix keeps FFmpeg from taking a name such as "clip:1.mp4" for a protocol.
        return av.open(f"file:{path}" if pipe is None else pipe, mode="r")
    except FFmpegError as error:
        if head[4:8] in (b"ftyp", b"mdat", b"wide", b"free"):
            raise SourceError(
                f"{path} cannot be played: its index is missing or damaged, as when a recording is cut off "
                "before it is finished; record it again, or repair it with a tool such as untrunc"
            ) from None
        raise SourceError(
            f"{path} cannot be read as video ({reason(error)}); give a video file such as .mp4, .mov or .mkv"
        ) from None


def _head(path: Path) -> bytes:
    """The first bytes, which tell containers apart; not to be asked of a pipe, which gives them once."""
    with path.open("rb") as file:
        return file.read(12)


def _why_unreadable(path: Path, error: OSError) -> str:
    match error:
        case FileNotFoundError():
            return f"{path} does not exist; give a video file, a webcam number such as 0, a URL, or demo"
        case IsADirectoryError():
            return f"{path} is a directory; give one video file"
        case PermissionError() if path.is_dir():  # Windows
            return f"{path} is a directory; give one video file"
        case PermissionError():
            return f"{path} may not be read by this user; change its permissions"
    return f"{path} cannot be read: {error.strerror}"


def _first_picture(pictures: Iterator[VideoFrame], name: str) -> VideoFrame:
    """The first picture, decoded while opening, so that its size is known and bad files fail early."""
    try:
        picture = next(pictures, None)
    except SourceFailedError as error:
        raise SourceError(str(error)) from None
    if picture is None:
        raise SourceError(f"{name} holds no picture that can be decoded; it is empty or damaged")
    return picture


def _presentation_time_s(picture: VideoFrame, previous_s: float | None, interval_s: float) -> float:
    """The stated time where it is later than the one before, else one nominal interval after that."""
    stated_s = picture.time
    if previous_s is None:
        return stated_s or 0.0
    return stated_s if stated_s is not None and stated_s > previous_s else previous_s + interval_s


def _frame_count(container: "InputContainer", stream: VideoStream, max_frames: int | None) -> int | None:
    rate, duration_us = frame_rate_hz(stream), container.duration
    count: int | None = stream.frames
    if not count:
        count = round(duration_us / 1e6 * rate) if rate and duration_us else None
    return count if max_frames is None or count is None else min(count, max_frames)


def _shortfall(container: "InputContainer", stream: VideoStream, end_s: float) -> str | None:
    """What a file that ended at ``end_s`` lacks; None when it is whole or nothing tells.

    FFmpeg reports no error when a file is cut off: it just ends. The signs differ between containers.
    """
    index = stream.index_entries
    if "mp4" in container.format.name and len(index) and container.size > 0:  # a pipe has no size
        missing_bytes = index[len(index) - 1].pos + index[len(index) - 1].size - container.size
        return f"its last {missing_bytes} bytes are missing" if missing_bytes > 0 else None
    stated_end_s = _stated_end_s(container, stream)
    if stated_end_s is None or end_s > stated_end_s - SHORTFALL_S:
        return None
    return f"it ends at {end_s:.1f} s though its header states {stated_end_s:.1f} s"


def _stated_end_s(container: "InputContainer", stream: VideoStream) -> float | None:
    """When the header says the pictures end; None where FFmpeg only estimates it from what is there."""
    match container.format.name:
        case "avi" if stream.frames and stream.average_rate:
            return stream.frames / float(stream.average_rate)
        case "matroska,webm" | "flv" if len(container.streams) == 1 and container.duration:
            return container.duration / 1e6
    return None
