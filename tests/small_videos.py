"""Small videos written for the tests of sources."""

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from tracker.structs import ImageArray

WIDTH, HEIGHT = 96, 64
CORNERS_RGB = ((200, 40, 40), (40, 200, 40), (40, 40, 200), (220, 220, 220))


def drawn_picture(index: int, width: int = WIDTH, height: int = HEIGHT) -> ImageArray:
    """Four corners of different colours, and a grey bar in the middle whose length is the index."""
    image = np.empty((height, width, 3), np.uint8)
    rows, columns = (
        (slice(0, height // 2), slice(height // 2, None)),
        (slice(0, width // 2), slice(width // 2, None)),
    )
    for colour, (row, column) in zip(CORNERS_RGB, [(r, c) for r in rows for c in columns], strict=True):
        image[row, column] = colour
    image[height // 2 - 6 : height // 2 + 6, : 8 * (index + 1)] = 128
    return image


def corner_colours(image: ImageArray) -> ImageArray:
    """(4, 3) means around the corners: top left, top right, bottom left, bottom right."""
    height, width = image.shape[:2]
    spots = [(y, x) for y in (height // 8, height - height // 8) for x in (width // 8, width - width // 8)]
    return np.array([image[y - 2 : y + 3, x - 2 : x + 3].mean((0, 1)) for y, x in spots])


def write_video(
    path: Path,
    *,
    frames: int = 6,
    codec: str = "mpeg4",
    pixel_format: str = "yuv420p",
    size: tuple[int, int] = (WIDTH, HEIGHT),
    rate: int = 30,
    times: Sequence[int] | None = None,
    display_matrix: tuple[int, int, int, int] | None = None,
    muxer_options: dict[str, str] | None = None,
    codec_options: dict[str, str] | None = None,
    container_format: str | None = None,
    colorspace: int | None = None,
    color_range: int | None = None,
) -> Path:
    """Write ``drawn_picture`` 0, 1, ... to ``path``; ``times`` are in milliseconds."""
    with av.open(str(path), "w", format=container_format, options=muxer_options or {}) as container:
        stream = container.add_stream(codec, rate=rate, options=codec_options or {})
        stream.width, stream.height = size
        stream.pix_fmt = pixel_format
        if colorspace is not None:
            stream.codec_context.colorspace = colorspace
        if color_range is not None:
            stream.codec_context.color_range = color_range
        if display_matrix is not None:
            a, b, c, d = (value << 16 for value in display_matrix)
            stream.set_display_matrix([a, b, 0, c, d, 0, 0, 0, 1 << 30])
        if times is not None:
            stream.time_base = stream.codec_context.time_base = Fraction(1, 1000)
        container.start_encoding()  # writes the header also when no picture follows
        for index in range(frames):
            picture = av.VideoFrame.from_ndarray(drawn_picture(index, *size), format="rgb24").reformat(
                format=pixel_format, dst_colorspace=colorspace, dst_color_range=color_range
            )
            if times is not None:
                picture.pts, picture.time_base = times[index], Fraction(1, 1000)
            container.mux(stream.encode(picture))
        container.mux(stream.encode())
    return path
