"""The camera's pictures inside a recording, as JPEG; live ones are encoded on a thread of their own."""

import io
import threading
from collections.abc import Callable

import numpy as np
from PIL import Image

from tracker.structs import Frame, ImageArray

QUALITY = 80


def encode_jpeg(image_rgb: ImageArray) -> bytes:
    """``image_rgb`` (H, W, 3) uint8 as a JPEG file."""
    file = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(image_rgb)).save(file, "JPEG", quality=QUALITY)
    return file.getvalue()


class PictureRecorder:
    """Gives each frame and its JPEG to ``write``.

    Encoding takes longer than a live tracker may wait: with ``live`` a thread encodes the newest picture and
    those that come meanwhile are left out. Without it every picture is written before ``send`` returns.
    """

    def __init__(self, write: Callable[[Frame, bytes], None], *, live: bool) -> None:
        self._write = write
        self._newest: Frame | None = None
        self._closed = False
        self._changed = threading.Condition()
        self._failure: Exception | None = None
        self._thread: threading.Thread | None = None
        if live:
            self._thread = threading.Thread(target=self._work, name="recorded-pictures", daemon=True)
            self._thread.start()

    def send(self, frame: Frame) -> None:
        """Take a picture."""
        if self._thread is None:
            self._write(frame, encode_jpeg(frame.image_rgb))
            return
        with self._changed:
            self._newest = frame
            self._changed.notify()

    def check(self) -> None:
        """Raise what ``write`` raised on the thread, if it did; once."""
        failure, self._failure = self._failure, None
        if failure is not None:
            raise failure

    def close(self) -> None:
        """Let the picture that waits be written; safe to call twice."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        if self._thread is not None:
            self._thread.join()

    def _work(self) -> None:
        try:
            while (frame := self._take()) is not None:
                self._write(frame, encode_jpeg(frame.image_rgb))
        except Exception as failure:  # raised again in the tracker's thread
            self._failure = failure

    def _take(self) -> Frame | None:
        """The newest picture; None at the end."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed or self._newest is not None)
            frame, self._newest = self._newest, None
            return frame
