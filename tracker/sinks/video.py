"""Overlay videos: the picture with what was tracked in it, as H.264 with the source's own timing.

Files are written in pieces of at most a second, each complete, so a killed program leaves a playable file;
a normal end turns the pieces into a plain MP4. There are no B-frames: every picture is stored as it comes.
"""

import os
from contextlib import suppress
from fractions import Fraction
from pathlib import Path

import av
from av.container import OutputContainer
from av.video.frame import PictureType
from av.video.reformatter import Colorspace
from av.video.stream import VideoStream

from tracker.errors import SinkError, SinkFailedError
from tracker.mano_numpy import ManoModel
from tracker.sinks.canvas import blank_picture, fit_picture
from tracker.sinks.drawing import HandStyle, MeshStyle, draw_tracking
from tracker.sinks.output_file import empty_file, open_output, remove_if_empty
from tracker.structs import Frame, ImageArray, StreamInfo, TrackedFrame

TICKS_PER_S = 90_000
MIN_STEP_TICKS = TICKS_PER_S // 1000
"""Matroska counts milliseconds; pictures closer than that would fall on one."""
DEFAULT_STEP_TICKS = TICKS_PER_S // 30
KEY_FRAME_TICKS = TICKS_PER_S

_PIECES = {"movflags": "frag_keyframe+hybrid_fragmented", "flush_packets": "1"}
CONTAINERS: dict[str, tuple[str, dict[str, str]]] = {
    ".mp4": ("mp4", _PIECES),
    ".mov": ("mov", _PIECES),
    ".mkv": ("matroska", {"cluster_time_limit": "1000", "flush_packets": "1"}),
}
"""File name ending: FFmpeg's name of the container, and its options."""
_ENCODER = {"crf": "20", "preset": "veryfast", "bf": "0", "forced-idr": "1"}
_BT709 = 1
FAILURES = (OSError, av.error.FFmpegError)
"""What PyAV raises when the file or the encoder fails."""


class Timeline:
    """Presentation times of a video from capture times: equal steps, and always rising.

    A source that starts over (its time steps back) goes on one picture later.
    """

    def __init__(self) -> None:
        self._start_s = 0.0
        self._start_ticks = 0
        self._last_s = 0.0
        self._last_ticks: int | None = None

    def ticks(self, capture_time_s: float) -> int:
        """The time of the next picture, from 0, in 1 / ``TICKS_PER_S``."""
        if self._last_ticks is None:
            self._start_s = capture_time_s
            ticks = 0
        elif capture_time_s < self._last_s:
            self._start_s = capture_time_s
            ticks = self._start_ticks = self._last_ticks + DEFAULT_STEP_TICKS
        else:
            ticks = self._start_ticks + round((capture_time_s - self._start_s) * TICKS_PER_S)
            ticks = max(ticks, self._last_ticks + MIN_STEP_TICKS)
        self._last_s, self._last_ticks = capture_time_s, ticks
        return ticks


class VideoSink:
    """Draws every frame and encodes it into ``path`` before ``send`` returns; nothing is dropped.

    The first ``begin`` fixes the video's size, odd sizes rounded up by repeating the edge. Pictures of
    another size later on are scaled into it with dark bars. Where there is no picture (replay), hands are
    drawn on a dark one of the camera's size.

    Args:
        path: its ending chooses the container.
        overwrite: replace what the file holds.
        draw: hands as skeletons, or as shaded meshes.
        mano: for meshes of hands that carry MANO's parameters; without it they are open hands.

    Raises:
        SinkError: the name ends in no container we write, the file cannot be opened, or it holds something
            and ``overwrite`` is False.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        overwrite: bool = False,
        draw: HandStyle = "skeleton",
        mano: ManoModel | None = None,
    ) -> None:
        self.path = Path(path)
        self._draw = draw
        self._mano = mano
        if self.path.suffix.lower() not in CONTAINERS:
            raise SinkError(f"cannot write video to {path}: end its name in one of {', '.join(CONTAINERS)}")
        os.close(open_output(self.path, overwrite=overwrite))
        self._info: StreamInfo | None = None
        self._encoder: _Encoder | None = None
        self._closed = False

    def begin(self, info: StreamInfo) -> None:
        """Drop what the file held and set the video's size; later calls change only the dark pictures'.

        Raises:
            SinkFailedError: the file cannot be written.
        """
        self._info = info
        if self._encoder is None and not self._closed:
            try:
                empty_file(self.path)
                self._encoder = _Encoder(self.path, info.camera.width, info.camera.height)
            except FAILURES as error:
                raise self._failed(error) from error

    def send(self, tracked: TrackedFrame, frame: Frame | None) -> None:
        """Draw and encode one frame.

        Raises:
            SinkFailedError: the disk is full, say; the video up to the last second stays playable.
        """
        if self._closed:
            raise SinkFailedError(f"{self.path} is closed; nothing more can be written to it")
        assert self._encoder is not None and self._info is not None, "begin() comes first"
        picture = blank_picture(self._info.camera) if frame is None else frame.image_rgb
        # The lens the hands were tracked with: on replay the picture's own may be a guess.
        meshes = MeshStyle(self._info.camera, self._mano) if self._draw == "mesh" else None
        try:
            self._encoder.encode(draw_tracking(picture, tracked, meshes=meshes), tracked.capture_time_s)
        except FAILURES as error:
            raise self._failed(error) from error

    def notify(self, state: str) -> None:
        """Nothing: a video shows pictures only."""

    def close(self) -> None:
        """Write what the encoder still holds and finish the file; safe to call twice.

        Raises:
            SinkFailedError: the rest cannot be written.
        """
        closed, self._closed = self._closed, True
        if self._encoder is not None:
            try:
                self._encoder.finish()
            except FAILURES as error:
                raise self._failed(error) from error
            self._encoder = None
        if not closed:
            remove_if_empty(self.path)  # no frame came

    def _failed(self, error: OSError | av.error.FFmpegError) -> SinkFailedError:
        """Close the file as it is, and say what happened."""
        self._closed = True
        if self._encoder is not None:
            self._encoder.abandon()
            self._encoder = None
        return SinkFailedError(
            f"writing {self.path} failed: {error.strerror}; the video up to the last second is kept"
        )


class _Encoder:
    """One H.264 stream in one container.

    The newest packet is held back until the next tells how long its picture lasts. The container writes its
    header with the first packet, never without one: FFmpeg 8 crashes on finishing an MP4 of no pictures.

    Raises:
        OSError, FFmpegError: the file or the encoder fails; so do the methods.
    """

    def __init__(self, path: Path, width: int, height: int) -> None:
        self.width, self.height = width + width % 2, height + height % 2
        name, options = CONTAINERS[path.suffix.lower()]
        self._container: OutputContainer = av.open(
            f"file:{path}", "w", format=name, container_options=options
        )
        self._stream: VideoStream = self._container.add_stream("libx264", options=_ENCODER)
        self._configure()
        self._timeline = Timeline()
        self._held: av.Packet[VideoStream] | None = None
        self._step_ticks = DEFAULT_STEP_TICKS
        self._last_key_ticks: int | None = None

    def _configure(self) -> None:
        codec = self._stream.codec_context
        codec.width, codec.height, codec.pix_fmt = self.width, self.height, "yuv420p"
        codec.time_base = self._stream.time_base = Fraction(1, TICKS_PER_S)
        codec.colorspace = codec.color_primaries = codec.color_trc = _BT709

    def encode(self, image_rgb: ImageArray, capture_time_s: float) -> None:
        fitted = fit_picture(image_rgb, self.width, self.height)
        picture = av.VideoFrame.from_ndarray(fitted, format="rgb24").reformat(
            format="yuv420p", dst_colorspace=Colorspace.ITU709
        )
        picture.time_base = Fraction(1, TICKS_PER_S)
        picture.pts = ticks = self._timeline.ticks(capture_time_s)
        if self._last_key_ticks is None or ticks - self._last_key_ticks >= KEY_FRAME_TICKS:
            picture.pict_type = PictureType.I
            self._last_key_ticks = ticks
        for packet in self._stream.encode(picture):
            self._write(packet)

    def finish(self) -> None:
        for packet in self._stream.encode(None):
            self._write(packet)
        self._write(None)
        self._container.close()

    def abandon(self) -> None:
        """Close after an error; a second error says nothing new."""
        with suppress(*FAILURES):
            self._container.close()

    def _write(self, following: "av.Packet[VideoStream] | None") -> None:
        """Write the packet held back, now that the one after it (None at the end) is known."""
        held, self._held = self._held, following
        if held is None:
            return
        if following is not None and following.pts is not None and held.pts is not None:
            self._step_ticks = following.pts - held.pts
        held.duration = self._step_ticks
        self._container.mux(held)
