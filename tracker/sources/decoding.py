"""From an opened container to upright RGB pictures: what files, webcams and network streams share.

Sample aspect ratio is ignored: pictures keep their stored pixels, which is what a calibration refers to.
Nothing is tone-mapped; HDR video comes out flat but in the right place.
"""

import logging
import re
import time
from collections.abc import Callable, Generator, Iterator
from typing import TYPE_CHECKING, cast

import numpy as np
from av import ExitError, FFmpegError, InvalidDataError, Packet, VideoFrame, VideoStream
from av.sidedata.sidedata import SideDataContainer
from av.stream import Disposition
from av.video.reformatter import VideoReformatter

from tracker.cameras import Camera, CameraChoice
from tracker.errors import CameraError, CameraMismatchError, SourceError, SourceFailedError
from tracker.structs import ImageArray

if TYPE_CHECKING:
    from av.container import InputContainer

MAX_DAMAGED_IN_A_ROW = 100
"""Packets that may fail to decode one after another before the source counts as broken."""
KEY_FRAME_S = 12.0
"""How long a stream may have no picture that decodes when it is joined: encoders' groups last up to 10 s."""
STALLED_S = 5.0
"""How long a camera that does not block may have no picture."""
POLL_INTERVAL_S = 0.002
TEXT_FORMATS = frozenset({"tty"})
"""What FFmpeg would play as the video of a terminal."""

_log = logging.getLogger(__name__)


class UprightPictures:
    """Turns decoded frames into upright RGB arrays and knows the camera that fits each."""

    def __init__(self, cameras: CameraChoice) -> None:
        self._cameras = cameras
        self._camera: Camera | None = None
        self._reformatter = VideoReformatter()
        self._rotation_deg: int | None = None
        self._display_matrix = (1, 0, 0, 1)

    def convert(self, picture: VideoFrame) -> tuple[ImageArray, Camera]:
        """The picture as contiguous (H, W, 3) RGB and its camera, the same object while the size stays.

        Raises:
            CameraError: the calibration is for another aspect.
            CameraMismatchError: the same, of a picture that is not the first.
        """
        # One reformatter keeps its tables from frame to frame; one thread costs the least CPU in all.
        rgb = self._reformatter.reformat(picture, format="rgb24", threads=1).to_ndarray()
        image = turn_upright(np.ascontiguousarray(rgb), self._matrix_of(picture))
        return image, self._camera_for(image)

    def _matrix_of(self, picture: VideoFrame) -> tuple[int, int, int, int]:
        if picture.rotation != self._rotation_deg:
            self._rotation_deg = picture.rotation
            self._display_matrix = display_matrix(picture)
        return self._display_matrix

    def _camera_for(self, image: ImageArray) -> Camera:
        height, width = image.shape[:2]
        if self._camera is None or (self._camera.width, self._camera.height) != (width, height):
            try:
                self._camera = self._cameras.for_size(width, height)
            except CameraError as error:
                if self._camera is None:
                    raise
                raise CameraMismatchError(f"the picture's size changed: {error}") from None
        return self._camera


def display_matrix(picture: VideoFrame) -> tuple[int, int, int, int]:
    """How stored pixels are shown: a, b, c, d of ``x' = a x + c y, y' = b x + d y`` (x right, y down)."""
    # Not `picture.side_data`: that makes a reference cycle, which keeps the whole decoded picture until the
    # garbage collector happens to run.
    stored = SideDataContainer(picture).get("DISPLAYMATRIX")  # type: ignore[call-arg]  # missing in the stub
    if stored is None:
        return (1, 0, 0, 1)
    a, b, _, c, d = np.frombuffer(cast(bytes, stored), np.int32)[:5].tolist()
    return (a, b, c, d)


def turn_upright(image: ImageArray, matrix: tuple[int, int, int, int]) -> ImageArray:
    """Apply the nearest of the eight turns and mirrorings to contiguous ``image`` (H, W, 3)."""
    a, b, c, d = matrix
    swapped = abs(b) + abs(c) > abs(a) + abs(d)
    mirror_x, mirror_y = (c < 0, b < 0) if swapped else (a < 0, d < 0)
    if not (swapped or mirror_x or mirror_y):
        return image
    pixels = image.view("V3")[..., 0]  # whole pixels move twice as fast as single channels
    turned = pixels.T if swapped else pixels
    turned = turned[:: -1 if mirror_y else 1, :: -1 if mirror_x else 1]
    return np.ascontiguousarray(turned).view(np.uint8).reshape(*turned.shape, 3)


def find_video_stream(container: "InputContainer", name: str) -> VideoStream:
    """The stream that holds the video.

    Raises:
        SourceError: there is none, or no decoder for it.
    """
    stream = container.streams.best("video")
    is_text = container.format.name in TEXT_FORMATS
    if not isinstance(stream, VideoStream) or stream.disposition & Disposition.attached_pic or is_text:
        types = {"text"} if is_text else {other.type for other in container.streams} - {"video"}
        held = ", ".join(sorted(types)) or "nothing playable"
        raise SourceError(f"{name} holds no video (found: {held}); give a video file or stream")
    if stream.codec_context is None:
        raise SourceError(f"{name} is coded in a way this FFmpeg cannot decode; convert it to H.264, say")
    return stream


def decode_pictures(
    container: "InputContainer",
    stream: VideoStream,
    name: str,
    *,
    quiet_s: float | None = None,
    wait: Callable[[float], object] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> Generator[VideoFrame, None, None]:
    """Every picture that can be decoded, in the order they are shown; damaged packets are skipped.

    Args:
        container: read by nobody else meanwhile.
        stream: of ``container``.
        name: for messages.
        quiet_s: for streams that are joined while they run: how long others may come without this one.
        wait: how to pass the time until a camera that never blocks has its next picture.
        clock: the monotonic clock.

    Raises:
        SourceFailedError: the container broke off, or nothing decodes any more; all good pictures
            before came first.
    """
    given = 0
    damage = _Damage(name, KEY_FRAME_S if quiet_s is not None else 0.0, clock)
    try:
        for packet in _read_packets(container, stream, quiet_s, wait, clock):
            try:
                pictures = _decode(packet)
            except FFmpegError as error:
                damage.count(error, given)
                continue
            for picture in pictures:
                damage.in_a_row = 0
                given += 1
                yield picture
    except (FFmpegError, OSError) as error:
        for picture in _drain(stream):
            given += 1
            yield picture
        raise SourceFailedError(f"{name} broke off after {given} frames: {reason(error)}") from None
    if damage.packets:
        _log.info("%s: %d damaged packets were skipped", name, damage.packets)


class _Damage:
    """Counts packets that do not decode, says so once, and knows when there are too many.

    Whoever joins a stream gets the middle of a group of pictures first, which is no damage: for ``joining_s``
    nothing needs to decode.
    """

    def __init__(self, name: str, joining_s: float, clock: Callable[[], float]) -> None:
        self.packets = self.in_a_row = 0
        self._name = name
        self._clock = clock
        self._joined_by_s = clock() + joining_s
        self._told = False

    def count(self, error: FFmpegError, given: int) -> None:
        """One more, after ``given`` pictures.

        Raises:
            SourceFailedError: too many, one after another.
        """
        self.packets, self.in_a_row = self.packets + 1, self.in_a_row + 1
        if not given and self._clock() < self._joined_by_s:
            return
        if not self._told:
            _log.warning("%s is damaged after %d frames; such parts are skipped", self._name, given)
            self._told = True
        if self.in_a_row >= MAX_DAMAGED_IN_A_ROW:
            raise SourceFailedError(
                f"{self._name} cannot be decoded after {given} frames: {reason(error)}"
            ) from None


def _read_packets(
    container: "InputContainer",
    stream: VideoStream,
    quiet_s: float | None,
    wait: Callable[[float], object],
    clock: Callable[[], float],
) -> Iterator["Packet[VideoStream] | InvalidDataError"]:
    """The packets of ``stream``; in place of one that the container or driver spoilt, the error.

    Raises:
        ConnectionError: the container got other streams, and ended.
        TimeoutError: only other streams came for ``quiet_s``.
    """
    # PyAV's own choice of one stream would loop over the others' packets for as long as they come.
    wanted = (stream,) if quiet_s is None else tuple(container.streams)
    packets = container.demux(wanted)
    waited_s, came_s = 0.0, clock()
    while True:
        try:
            packet = next(packets, None)
        except InvalidDataError as error:
            yield error
        except IndexError:  # PyAV's, at the end of a container that got more streams than it began with
            raise ConnectionError("its streams changed") from None
        except BlockingIOError:  # macOS cameras say so until the next picture is there
            if waited_s > STALLED_S:
                raise
            wait(POLL_INTERVAL_S)
            waited_s += POLL_INTERVAL_S
        else:
            if packet is None:
                return
            if packet.stream is stream:
                waited_s, came_s = 0.0, clock()
                yield cast("Packet[VideoStream]", packet)
            elif quiet_s is not None and clock() - came_s > quiet_s:
                raise TimeoutError("what came held no picture")
            continue
        packets = container.demux(wanted)  # an error ends PyAV's generator, not the container


def _decode(packet: "Packet[VideoStream] | InvalidDataError") -> list[VideoFrame]:
    if isinstance(packet, InvalidDataError):
        raise packet
    return packet.decode()


def _drain(stream: VideoStream) -> list[VideoFrame]:
    """The pictures that the decoder still holds back for its threads and for reordering."""
    try:
        return stream.codec_context.decode(None)
    except FFmpegError:
        return []


def frame_rate_hz(stream: VideoStream) -> float | None:
    """Nominal frames a second; None when the stream does not say."""
    rate = stream.average_rate or stream.guessed_rate
    return float(rate) if rate else None


def reason(error: Exception) -> str:
    """FFmpeg's words for an error without its number, file name (which may hold a password) or log."""
    if isinstance(error, ExitError):
        return "no data came in time"
    text = getattr(error, "strerror", None) or str(error)
    return re.sub(r"\s+", " ", str(text)).strip()
