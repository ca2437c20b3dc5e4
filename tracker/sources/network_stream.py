"""Video that comes over the network: RTSP and HTTP cameras, UDP and RTP senders."""

import re
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import av
from av import FFmpegError

from tracker.cameras import CameraChoice
from tracker.errors import SourceError
from tracker.sources.decoding import reason
from tracker.sources.live_pictures import LivePictures
from tracker.sources.reopening import Reopening
from tracker.structs import Frame

if TYPE_CHECKING:
    from av.container import InputContainer

PROTOCOLS = ("rtsp", "rtsps", "http", "https", "udp", "tcp", "rtp", "rtmp", "rtmps")

STALLED_S = 2.0
"""How long a stream that can be opened again may be silent, unless told otherwise. Over HTTP, where it may
be a recording that cannot, the usual limit holds."""
LEAST_PATIENCE_S = 2.0
PATIENCE_FACTOR = 3.0
"""An attempt to open again may take as many times what the first opening took: one that began before its
peer was back may get no answer, and must not keep the next one waiting."""


@dataclass(frozen=True)
class NetworkConfig:
    """How long to wait for a peer.

    Raises:
        SourceError: a time is not positive.
    """

    open_timeout_s: float = 5.0
    """Seconds until an address that does not answer counts as unreachable."""
    read_timeout_s: float = 5.0
    """Seconds without data after which a running stream counts as broken off."""

    def __post_init__(self) -> None:
        for name in ("open_timeout_s", "read_timeout_s"):
            if not getattr(self, name) > 0:
                raise SourceError(f"network {name} is {getattr(self, name)}; it must be positive")


class NetworkStream:
    """A source over a URL.

    A stream is live and ``capture_time_s`` is when a picture arrived. What a web server states the length
    of, such as an MP4, is a recording: ``live`` is False and times are its own.

    Args:
        url: with one of ``PROTOCOLS``; may carry ``user:password@``, which never leaves this class.
        config: time limits.
        cameras: what is known of the camera.
        max_frames: end after so many frames.

    Raises:
        SourceError: unknown protocol, unreachable, refused, or no video there.
        CameraError: the calibration is for another aspect.
        SourceFailedError: while iterating: the stream broke off or stalled.
    """

    def __init__(
        self,
        url: str,
        *,
        config: NetworkConfig | None = None,
        cameras: CameraChoice | None = None,
        max_frames: int | None = None,
    ) -> None:
        self.name = public_name(url)
        config = config or NetworkConfig()
        container = _open(url, self.name, config)
        recorded = _protocol(url) in ("http", "https") and _has_an_end(container)
        duration_s = (container.duration or 0) / 1e6
        self.live = not recorded
        self._pictures = LivePictures(
            container,
            self.name,
            cameras=cameras or CameraChoice(),
            quiet_s=None if recorded else config.read_timeout_s,
            max_frames=max_frames,
            presentation_times=recorded,
        )
        self.frame_rate_hz = self._pictures.frame_rate_hz
        self.frame_count: int | None = None
        if recorded and duration_s and self.frame_rate_hz:
            count = round(duration_s * self.frame_rate_hz)
            self.frame_count = count if max_frames is None else min(count, max_frames)

    def __iter__(self) -> Iterator[Frame]:
        try:
            while (frame := self._pictures.next_frame()) is not None:
                yield frame
        finally:
            self.close()

    def close(self) -> None:
        """End the iteration and drop the connection; safe to call twice and from another thread.

        Returns within half a second; a read that waits for a silent peer ends at its time limit.
        """
        self._pictures.close()


def reopening_stream(
    url: str,
    *,
    config: NetworkConfig | None = None,
    cameras: CameraChoice | None = None,
    max_frames: int | None = None,
) -> NetworkStream | Reopening:
    """The stream at ``url``, opened again whenever it is lost; a recording on a web server is read once.

    Arguments and errors are those of ``NetworkStream``.
    """
    if config is None and _protocol(url) not in ("http", "https"):
        config = NetworkConfig(read_timeout_s=STALLED_S)
    config = config or NetworkConfig()
    began_s = time.monotonic()
    first = NetworkStream(url, config=config, cameras=cameras, max_frames=max_frames)
    if not first.live:
        return first
    patience_s = max(LEAST_PATIENCE_S, PATIENCE_FACTOR * (time.monotonic() - began_s))
    hasty = replace(config, open_timeout_s=min(config.open_timeout_s, patience_s))

    def open_again() -> NetworkStream:
        stream = NetworkStream(url, config=hasty, cameras=cameras)
        if not stream.live:
            stream.close()
            raise SourceError(f"{stream.name} is a recording now")
        return stream

    return Reopening(first, open_again, max_frames=max_frames)


def public_name(url: str) -> str:
    """The URL without user, password, query and fragment, all of which may hold secrets."""
    protocol, _, rest = url.partition("://")
    authority = re.split(r"[/?#]", rest, maxsplit=1)[0]
    if ":" in authority and "@" in rest[len(authority) :]:
        return f"{protocol}://..."  # perhaps a password with an unescaped / ? or #
    path = re.split(r"[?#]", rest[len(authority) :], maxsplit=1)[0]
    return f"{protocol}://{authority.rpartition('@')[2]}{path}"


def stream_options(url: str) -> dict[str, str]:
    """FFmpeg's options that open ``url`` quickly and lose no picture.

    Without ``fpsprobesize`` FFmpeg collects 20 pictures to measure their rate, which then come in one
    burst. With ``merge_pmt_versions`` an MPEG-TS sender may come back with its video under another number;
    as another program it is not heard while it sends, since PyAV passes over what a container began without.
    Never ``fflags=nobuffer``: it throws away the first key frame, so nothing decodes until the next.
    """
    options = {"probesize": "65536", "analyzeduration": "0", "fpsprobesize": "0"}
    match _protocol(url):
        case "rtsp" | "rtsps":
            options["rtsp_transport"] = "tcp"
        case "udp" | "rtp":
            options["overrun_nonfatal"] = "1"
    return options | {"merge_pmt_versions": "1"}


def _has_an_end(container: "InputContainer") -> bool:
    return bool(container.duration) or (container.format.name == "mpegts" and container.size > 0)


def _protocol(url: str) -> str:
    return url.partition("://")[0].lower()


def _open(url: str, name: str, config: NetworkConfig) -> "InputContainer":
    if _protocol(url) not in PROTOCOLS:
        raise SourceError(
            f"{name}: protocol {_protocol(url)!r} is unknown; use one of {', '.join(PROTOCOLS)}"
        )
    try:
        return av.open(
            url, options=stream_options(url), timeout=(config.open_timeout_s, config.read_timeout_s)
        )
    except av.ProtocolNotFoundError:
        raise SourceError(f"{name}: this FFmpeg was built without {_protocol(url)!r}") from None
    except av.HTTPUnauthorizedError:
        raise SourceError(
            f"{name} wants a user and password; check them in protocol://user:password@..."
        ) from None
    except (FFmpegError, OSError, ValueError) as error:
        # FFmpeg's own text would repeat the URL, password and all.
        why = reason(error) if isinstance(error, FFmpegError) else "the address is malformed"
        raise SourceError(
            f"{name} cannot be opened ({why}); check the address and that it is sending"
        ) from None
