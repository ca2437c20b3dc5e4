"""Pictures for clients that want them: scaled down and encoded as JPEG on a thread of their own."""

import asyncio
import io
from concurrent.futures import ThreadPoolExecutor

from PIL import Image

from tracker.structs import Frame, ImageArray
from tracker.web.server_messages import PreviewMessage

MAX_SIDE_PX = 640
QUALITY = 75


class Previews:
    """Encodes one picture at a time; those that come meanwhile are left out."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="previews")
        self._under_way: asyncio.Future[PreviewMessage] | None = None

    @property
    def busy(self) -> bool:
        """Whether a picture is being encoded."""
        return self._under_way is not None and not self._under_way.done()

    def begin(self, picture: Frame) -> "asyncio.Future[PreviewMessage]":
        """Begin with the message that shows ``picture``; not to be called while busy."""
        assert not self.busy, "one picture at a time"
        loop = asyncio.get_running_loop()
        self._under_way = loop.run_in_executor(self._thread, preview_of, picture)
        return self._under_way

    def close(self) -> None:
        """End the thread after the picture it works on."""
        self._thread.shutdown(wait=False, cancel_futures=True)


def preview_of(picture: Frame) -> PreviewMessage:
    """The message that shows ``picture``."""
    width, height, jpeg = encode_small(picture.image_rgb)
    return PreviewMessage(picture.index, round(picture.capture_time_s, 6), width, height, jpeg)


def encode_small(image_rgb: ImageArray) -> tuple[int, int, bytes]:
    """Width, height and JPEG file of ``image_rgb`` (H, W, 3), at most ``MAX_SIDE_PX`` on its longer side."""
    image = Image.fromarray(image_rgb)
    shrink = max(image.size) / MAX_SIDE_PX
    if shrink > 1:
        size = (max(1, round(image.width / shrink)), max(1, round(image.height / shrink)))
        image = image.resize(size, Image.Resampling.BILINEAR, reducing_gap=1.0)
    file = io.BytesIO()
    image.save(file, "JPEG", quality=QUALITY)
    return image.width, image.height, file.getvalue()
