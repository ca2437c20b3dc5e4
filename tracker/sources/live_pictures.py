"""What webcams and network streams share: pictures as they arrive, and an end from another thread."""

import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from av import VideoFrame
from av.codec.context import Flags

from tracker.cameras import CameraChoice
from tracker.errors import SourceError, SourceFailedError
from tracker.sources.decoding import UprightPictures, decode_pictures, find_video_stream, frame_rate_hz
from tracker.structs import Frame

if TYPE_CHECKING:
    from av.container import InputContainer

CLOSE_WAIT_S = 0.5
LARGEST_DRIVER_DELAY_S = 0.5
"""How far before its arrival a picture's own time may lie to count as a time on our clock."""
SMALLEST_STEP_S = 1e-6
MAX_PIXELS = 7680 * 4320
"""Larger pictures are not decoded: a few wrong bits in a stream's header ask for gigabytes of memory."""


class LivePictures:
    """Frames of an opened container, none read ahead: nothing waits here and grows old.

    PyAV is not thread-safe, so every use of the container is under one lock. ``close`` from another
    thread waits ``CLOSE_WAIT_S`` at most for a read that is under way; a longer read releases the
    container itself when it ends, at the next picture or at the container's read timeout.

    Args:
        container: taken over, and closed if this raises.
        name: for messages.
        cameras: what is known of the camera.
        quiet_s: how long other streams, such as sound, may come without a picture.
        max_frames: end after so many.
        driver_times: pictures may carry times on the monotonic clock, as camera drivers give them.
        presentation_times: keep the times that the stream states, as for a recording.
        clock: the monotonic clock.

    Raises:
        SourceError: no picture comes.
        CameraError: the calibration is for another aspect.
    """

    def __init__(
        self,
        container: "InputContainer",
        name: str,
        *,
        cameras: CameraChoice,
        quiet_s: float | None = None,
        max_frames: int | None = None,
        driver_times: bool = False,
        presentation_times: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.ended = False
        """The stream came to its end, rather than to ``close`` or ``max_frames``."""
        self._container = container
        self._clock = clock
        self._max_frames = max_frames
        self._driver_times = driver_times
        self._keep_stated_times = presentation_times
        self._upright = UprightPictures(cameras)
        self._lock = threading.Lock()
        self._closed = threading.Event()
        self._given = 0
        self._time_s: float | None = None
        try:
            stream = find_video_stream(container, name)
            stream.thread_type = "SLICE"  # frame threads would hold back three pictures
            stream.codec_context.flags |= Flags.low_delay
            stream.codec_context.options = {"max_pixels": str(MAX_PIXELS)}
            self.frame_rate_hz = frame_rate_hz(stream)
            self._pictures = decode_pictures(container, stream, name, quiet_s=quiet_s)
            self._first = self._read()
            if self._first is None:
                raise SourceError(f"{name} gives no picture that can be decoded")
        except SourceFailedError as error:
            container.close()
            raise SourceError(str(error)) from None
        except BaseException:
            container.close()
            raise

    def next_frame(self) -> Frame | None:
        """The next frame, waiting for it; None once closed or at the end.

        Raises:
            SourceFailedError: the stream broke off.
        """
        with self._lock:
            if self._closed.is_set():
                return None
            try:
                frame = self._first or self._read()
            except SourceFailedError:
                if not self._closed.is_set():
                    raise
                frame = None
            self._first = None
            if frame is None or self._closed.is_set():
                self._release()
                return None
            return frame

    def close(self) -> None:
        """End the frames and release the container; safe to call twice and from any thread."""
        self._closed.set()
        if self._lock.acquire(timeout=CLOSE_WAIT_S):
            self._release()
            self._lock.release()

    def _read(self) -> Frame | None:
        if self._given == self._max_frames:
            return None
        picture = next(self._pictures, None)
        if picture is None:
            self.ended = True
            return None
        self._time_s = self._capture_time_s(picture, self._clock())
        image, camera = self._upright.convert(picture)
        self._given += 1
        return Frame(index=self._given - 1, capture_time_s=self._time_s, image_rgb=image, camera=camera)

    def _capture_time_s(self, picture: VideoFrame, arrival_s: float) -> float:
        """The picture's own time where it is to be trusted, else its arrival; always later than the last."""
        stated_s = picture.time
        if self._time_s is None and self._driver_times and stated_s is not None:
            # Drivers keep pictures nobody took yet, so their own times are truer than arrival times.
            self._keep_stated_times = 0.0 <= arrival_s - stated_s <= LARGEST_DRIVER_DELAY_S
        time_s = stated_s if self._keep_stated_times and stated_s is not None else arrival_s
        return time_s if self._time_s is None else max(time_s, self._time_s + SMALLEST_STEP_S)

    def _release(self) -> None:
        self._first = None
        self._pictures.close()
        self._container.close()
