"""Clips as benchmarks need them: longer than they are, at another rate, of another size."""

from collections.abc import Iterator
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
        written = 0
        for turn in turns(source, stream):
            for packet, pts, dts in turn:
                packet.pts, packet.dts = round(pts / speed), round(dts / speed)
                packet.stream = copy
                target.mux(packet)
            written += len(turn)
            if written >= frames:
                break
    return longer


Turn = list[tuple["Packet[VideoStream]", int, int]]
"""One showing of a clip: its packets, each with its presentation and decoding times."""


def turns(source: InputContainer, stream: VideoStream) -> Iterator[Turn]:
    """The clip again and again, without end; times go on from turn to turn as within one.

    Raises:
        ValueError: a packet has no time, so that the clip cannot be copied.
    """
    interval = round(1 / ((stream.average_rate or 30) * Fraction(stream.time_base or 1)))
    offset = 0
    while True:
        source.seek(0)
        turn: Turn = []
        for packet in source.demux(stream):
            if packet.size == 0:  # the flush at the end
                continue
            if packet.pts is None or packet.dts is None:
                raise ValueError(f"{source.name} has packets without times")
            turn.append((packet, packet.pts + offset, packet.dts + offset))
        yield turn
        times = [pts for _, pts, _ in turn]
        offset += max(times) - min(times) + interval


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
