"""A phone's or headset's browser as the camera: pictures that a server hands over from its own thread."""

import logging
import math
import threading
import time
from collections.abc import Callable, Iterator
from typing import NamedTuple

from av import FFmpegError, Packet, VideoFrame
from av.video.codeccontext import VideoCodecContext

from tracker.cameras import CameraChoice
from tracker.errors import CameraError, SourceFailedError
from tracker.sources.decoding import UprightPictures
from tracker.structs import Frame

NAME = "browser"
SIDES_PX = (64, 4096)
"""How short and how long a picture's sides may be."""
SILENT_S = 2.0
"""After so long without a picture the camera counts as lost, though its browser is still connected."""
OLDEST_S = 1.0
"""A picture's stated time may lie so far before its arrival; times before that are no times of a camera."""
SMALLEST_STEP_S = 1e-6
_START, _END = b"\xff\xd8", b"\xff\xd9"
_SIZES = (0xC0, 0xC1, 0xC2)
"""JPEG's markers of a picture's size: baseline, extended and progressive; browsers write no others."""

_log = logging.getLogger(__name__)


class BrowserCamera:
    """A source fed from another thread; only the newest picture waits, those that it replaces are dropped.

    The server's thread calls ``connected``, ``put_jpeg``, ``put_picture``, ``complaint`` and
    ``disconnected``, none of which waits for anything. Pictures are decoded in the thread that iterates.
    Browsers may come and go: the iteration waits for the next one without end, until ``close``.

    Args:
        cameras: what is known of the camera; a picture that does not fit is dropped and complained of.
        max_frames: end after so many.
        clock: the monotonic clock.
    """

    name = NAME
    live = True
    frame_count: int | None = None
    frame_rate_hz: float | None = None

    def __init__(
        self,
        *,
        cameras: CameraChoice | None = None,
        max_frames: int | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.dropped_frames = 0
        """Pictures that arrived and never became frames: replaced by newer ones, or unusable."""
        self._decoder = _JpegDecoder()
        self._upright = UprightPictures(cameras or CameraChoice())
        self._max_frames = max_frames
        self._clock = clock
        self._tell: Callable[[str], None] = lambda state: None
        self._state = ""
        self._changed = threading.Condition()
        self._waiting: _Arrival | None = None
        self._attended = False
        self._visit = 0
        self._seen_visit = 0
        self._arrived = 0
        self._complaint: str | None = None
        self._complained = False
        self._closed = False
        self._time_s = -math.inf

    def connected(self) -> bool:
        """A browser is there; False, and nothing changes, where there is one already."""
        with self._changed:
            if self._attended or self._closed:
                return False
            self._attended = True
            self._visit += 1
            self._complaint, self._complained = None, False
            return True

    def put_jpeg(self, jpeg: bytes, capture_time_s: float) -> None:
        """Leave a picture as a JPEG, taken at ``capture_time_s`` of our clock as far as the browser knows."""
        self._put(jpeg, capture_time_s)

    def put_picture(self, picture: VideoFrame, capture_time_s: float) -> None:
        """Leave a decoded picture that nobody else changes any more."""
        self._put(picture, capture_time_s)

    def complaint(self) -> str | None:
        """What was last wrong with a picture, if anything was since this was last asked."""
        with self._changed:
            complaint, self._complaint = self._complaint, None
            return complaint

    def disconnected(self) -> None:
        """The browser is gone."""
        with self._changed:
            self._attended = False
            self._changed.notify()

    def call_on_state(self, tell: Callable[[str], None]) -> None:
        """Call ``tell`` with ``playing`` and ``lost``, each before the frames that it holds for."""
        self._tell = tell

    def __iter__(self) -> Iterator[Frame]:
        given = 0
        self._become("lost")
        try:
            while given != self._max_frames and not self._closed:
                arrival = self._wait()
                if self._closed:
                    return
                if arrival is None or arrival.visit != self._seen_visit:
                    self._become("lost")
                if arrival is None:
                    continue
                self._seen_visit = arrival.visit
                frame = self._read(arrival)
                if frame is not None:
                    self._become("playing")
                    given += 1
                    yield frame
        finally:
            self.close()

    def close(self) -> None:
        """End the iteration, also while it waits; safe to call twice and from any thread."""
        with self._changed:
            self._closed = True
            self._waiting = None
            self._changed.notify()

    def _put(self, picture: bytes | VideoFrame, stated_s: float) -> None:
        now_s = self._clock()
        time_s = now_s if math.isnan(stated_s) else min(max(stated_s, now_s - OLDEST_S), now_s)
        with self._changed:
            if self._closed or not self._attended:
                return
            if self._waiting is not None:
                self.dropped_frames += 1
            self._waiting = _Arrival(picture, time_s, self._arrived, self._visit)
            self._arrived += 1
            self._changed.notify()

    def _wait(self) -> "_Arrival | None":
        """The newest picture; None once closed, or when a camera that was playing is gone or silent."""
        playing = self._state == "playing"
        with self._changed:
            self._changed.wait_for(
                lambda: self._waiting is not None or self._closed or (playing and not self._attended),
                timeout=SILENT_S if playing else None,
            )
            arrival, self._waiting = self._waiting, None
            return arrival

    def _read(self, arrival: "_Arrival") -> Frame | None:
        """The frame, or None for a picture that cannot be used."""
        picture = arrival.picture
        try:
            if isinstance(picture, bytes):
                picture = self._decoder.decode(picture)
            _check_size(picture.width, picture.height)
            image, camera = self._upright.convert(picture)
        except (_UnusableError, FFmpegError, CameraError, SourceFailedError) as error:
            self._refuse("it is no whole JPEG" if isinstance(error, FFmpegError) else str(error))
            return None
        self._time_s = max(arrival.capture_time_s, self._time_s + SMALLEST_STEP_S)
        return Frame(index=arrival.number, capture_time_s=self._time_s, image_rgb=image, camera=camera)

    def _refuse(self, why: str) -> None:
        with self._changed:
            self.dropped_frames += 1
            self._complaint = f"a picture cannot be used: {why}"
            first, self._complained = not self._complained, True
        if first:
            _log.warning("the browser's pictures: %s; such pictures are dropped", why)

    def _become(self, state: str) -> None:
        if state != self._state:
            self._state = state
            self._tell(state)


class _Arrival(NamedTuple):
    picture: bytes | VideoFrame
    capture_time_s: float
    number: int
    visit: int


class _UnusableError(Exception):
    """A picture that is none, or too large or small."""


class _JpegDecoder:
    """FFmpeg's decoder: of those at hand the fastest (1.5 ms for 1280 x 720, Pillow takes 3.6)."""

    def __init__(self) -> None:
        self._context = _new_context()

    def decode(self, jpeg: bytes) -> VideoFrame:
        """The picture.

        Raises:
            _UnusableError: this is no JPEG, is cut short, or has another size than is allowed.
            FFmpegError: it is damaged.
        """
        size = jpeg_size(jpeg)
        if size is None or not jpeg.endswith(_END):
            raise _UnusableError("it is no whole JPEG")
        _check_size(*size)
        try:
            pictures = self._context.decode(Packet(jpeg))
        except FFmpegError:
            self._context = _new_context()
            raise
        if len(pictures) != 1:
            raise _UnusableError("it is no whole JPEG")
        return pictures[0]


def _new_context() -> VideoCodecContext:
    context = VideoCodecContext.create("mjpeg", "r")
    context.thread_count = 1
    # A file may state its size twice; FFmpeg then sees to the limit.
    context.options = {"max_pixels": str(SIDES_PX[1] ** 2)}
    return context


def jpeg_size(jpeg: bytes) -> tuple[int, int] | None:
    """Width and height as stated before the picture itself; None where this is no JPEG as browsers write."""
    if not jpeg.startswith(_START):
        return None
    at = len(_START)
    while at + 9 <= len(jpeg) and jpeg[at] == 0xFF:
        marker, length = jpeg[at + 1], int.from_bytes(jpeg[at + 2 : at + 4], "big")
        if marker in _SIZES:
            return int.from_bytes(jpeg[at + 7 : at + 9], "big"), int.from_bytes(jpeg[at + 5 : at + 7], "big")
        at += 2 + length
    return None


def _check_size(width: int, height: int) -> None:
    shortest, longest = SIDES_PX
    if not (shortest <= min(width, height) and max(width, height) <= longest):
        raise _UnusableError(
            f"it is {width} x {height}; its sides may be {shortest} to {longest} pixels long"
        )
