"""Clips as benchmarks need them: longer than they are, at another rate, of another size."""

from fractions import Fraction
from pathlib import Path

import av
from av import Packet, VideoStream
from av.container import InputContainer


def lengthened(clip: Path, frames: int, folder: Path, *, speed: Fraction = Fraction(1)) -> Path:
    """A file that shows the clip again and again for at least ``frames`` frames, its packets copied.

    Args:
        clip: a video file.
        frames: how many, rounded up to whole turns of the clip.
        folder: where the file is written.
        speed: 2 plays the clip at twice its rate.
    """
    longer = folder / f"{clip.stem}-{frames}-{float(speed):g}.mkv"
    with av.open(str(clip)) as source, av.open(str(longer), "w") as target:
        stream = source.streams.video[0]
        copy = target.add_stream_from_template(stream)
        written, offset = 0, 0
        while written < frames:
            packets = _packets(source, stream)
            length = max(pts + (packet.duration or 1) for packet, pts, _ in packets)
            for packet, pts, dts in packets:  # writing one changes its times
                packet.pts, packet.dts = round((pts + offset) / speed), round((dts + offset) / speed)
                packet.stream = copy
                target.mux(packet)
            written += len(packets)
            offset += length
    return longer


def _packets(source: InputContainer, stream: VideoStream) -> list[tuple["Packet[VideoStream]", int, int]]:
    """The stream's packets from its start, each with its times.

    Raises:
        ValueError: a packet has none, so that the clip cannot be copied.
    """
    source.seek(0)
    packets = []
    for packet in source.demux(stream):
        if packet.size == 0:  # the flush at the end
            continue
        if packet.pts is None or packet.dts is None:
            raise ValueError(f"{source.name} has packets without times")
        packets.append((packet, packet.pts, packet.dts))
    return packets


def resized(clip: Path, width: int, height: int, folder: Path) -> Path:
    """The clip at another size of the same aspect, encoded anew; the clip itself where it has that size.

    Raises:
        ValueError: the aspect would change, and with it the camera.
    """
    with av.open(str(clip)) as source:
        stream = source.streams.video[0]
        if (stream.width, stream.height) == (width, height):
            return clip
        if stream.width * height != stream.height * width:
            raise ValueError(
                f"{clip} has {stream.width} x {stream.height}, another aspect than {width} x {height}"
            )
        smaller = folder / f"{clip.stem}-{height}p.mp4"
        with av.open(str(smaller), "w") as target:
            copy = target.add_stream(
                "libx264", rate=stream.average_rate, options={"crf": "18", "preset": "veryfast"}
            )
            copy.width, copy.height, copy.pix_fmt = width, height, "yuv420p"
            for index, picture in enumerate(source.decode(stream)):
                small = picture.reformat(width, height, "yuv420p")
                small.pts, small.time_base = index, 1 / Fraction(stream.average_rate or 30)
                target.mux(copy.encode(small))
            target.mux(copy.encode(None))
    return smaller


def clip_rate_hz(clip: Path) -> Fraction:
    """Frames a second as the file states them."""
    with av.open(str(clip)) as source:
        rate = source.streams.video[0].average_rate
    if rate is None:
        raise ValueError(f"{clip} states no rate")
    return rate
