"""Webcams on Linux (v4l2), macOS (avfoundation) and Windows (dshow)."""

import logging
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import av
from av import FFmpegError

from tracker.cameras import CameraChoice
from tracker.errors import SourceError, SourceFailedError
from tracker.sources.decoding import reason
from tracker.sources.live_pictures import LivePictures
from tracker.sources.reopening import Reopening
from tracker.structs import Frame

if TYPE_CHECKING:
    from av.container import InputContainer

OPEN_TIMEOUT_S = 10.0
READ_TIMEOUT_S = 5.0

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class WebcamConfig:
    """What to ask a webcam for; it gives the nearest mode it has.

    Raises:
        SourceError: a value is not positive.
    """

    width: int = 1280
    """Pixels."""
    height: int = 720
    """Pixels."""
    frame_rate_hz: float = 30.0
    """Pictures a second."""

    def __post_init__(self) -> None:
        for name in ("width", "height", "frame_rate_hz"):
            if not getattr(self, name) > 0:
                raise SourceError(f"webcam {name} is {getattr(self, name)}; it must be positive")


class DeviceArguments(NamedTuple):
    """What ``av.open`` needs to open a device."""

    file: str
    format: str
    options: dict[str, str]


class Device(NamedTuple):
    """A camera that the system lists."""

    number: int
    file: str
    """What FFmpeg opens."""
    description: str


class Webcam:
    """A source over one webcam.

    ``capture_time_s`` is the driver's time of the picture where it is on the monotonic clock (v4l2),
    else the time it arrived.

    Args:
        number: N of ``/dev/videoN`` on Linux; elsewhere the position in the system's list, from 0.
        config: the mode to ask for.
        cameras: what is known of the camera.
        max_frames: end after so many frames.

    Raises:
        SourceError: no such webcam, or it cannot be used.
        CameraError: the calibration is for another aspect.
        SourceFailedError: while iterating: it was unplugged or stopped.
    """

    live = True
    frame_count: int | None = None

    def __init__(
        self,
        number: int,
        *,
        config: WebcamConfig | None = None,
        cameras: CameraChoice | None = None,
        max_frames: int | None = None,
    ) -> None:
        self.name = f"webcam {number}"
        self._pictures = LivePictures(
            _open_device(sys.platform, number, config or WebcamConfig()),
            self.name,
            cameras=cameras or CameraChoice(),
            max_frames=max_frames,
            driver_times=True,
        )
        self.frame_rate_hz = self._pictures.frame_rate_hz

    def __iter__(self) -> Iterator[Frame]:
        try:
            while (frame := self._pictures.next_frame()) is not None:
                yield frame
        except SourceFailedError as error:
            raise SourceFailedError(f"{error}; was it unplugged?") from None
        finally:
            self.close()
        if self._pictures.ended:
            raise SourceFailedError(f"{self.name} stopped giving pictures; was it unplugged?")

    def close(self) -> None:
        """End the iteration and release the device; safe to call twice and from another thread."""
        self._pictures.close()


def reopening_webcam(
    number: int,
    *,
    config: WebcamConfig | None = None,
    cameras: CameraChoice | None = None,
    max_frames: int | None = None,
) -> Reopening:
    """The webcam, opened again whenever it was unplugged and is back, perhaps under another number.

    Arguments and errors are those of ``Webcam``.
    """
    description = next((d.description for d in list_webcams(sys.platform) if d.number == number), None)
    first = Webcam(number, config=config, cameras=cameras)

    def open_again() -> Webcam:
        again = same_webcam(list_webcams(sys.platform), number, description)
        return Webcam(again, config=config, cameras=cameras)

    return Reopening(first, open_again, max_frames=max_frames)


def same_webcam(listed: Sequence[Device], number: int, description: str | None) -> int:
    """The number of the camera that was ``number``: systems number those that are left anew.

    Args:
        listed: the cameras that are there.
        number: what it had.
        description: what the system called it; None where it was not listed, and its number has to do.

    Raises:
        SourceError: it is not there.
    """
    if description is None:
        return number
    numbers = [device.number for device in listed if device.description == description]
    if not numbers:
        raise SourceError(f"{description} is not connected")
    return number if number in numbers else numbers[0]


def webcam_open_arguments(
    platform: str, number: int, config: WebcamConfig, *, device_file: str | None = None
) -> list[DeviceArguments]:
    """Ways to open a webcam, the wanted one first: devices refuse modes that they lack.

    Args:
        platform: as ``sys.platform``.
        number: which webcam.
        config: the mode to ask for.
        device_file: its name on Windows, where there are no numbers.
    """
    size = {"video_size": f"{config.width}x{config.height}"}
    rate = {"framerate": f"{config.frame_rate_hz:g}"}
    match platform:
        case "darwin":
            # Without a rate FFmpeg asks for 29.97, which Apple's cameras refuse.
            modes = [size | rate, rate, size | {"framerate": "30"}, {"framerate": "30"}, {}]
            file, name = str(number), "avfoundation"
        case "win32":
            modes = [size | rate, size, {}]
            file, name = f"video={device_file}", "dshow"
        case _:
            # USB carries full-size pictures at full rate only as JPEG.
            modes = [{"input_format": "mjpeg"} | size | rate, size | rate, {}]
            file, name = f"/dev/video{number}", "v4l2"
    return [DeviceArguments(file, name, mode) for mode in modes]


def list_webcams(platform: str, *, devices: Path = Path("/dev"), about: Path = Path("/sys")) -> list[Device]:
    """The cameras the system lists; empty where it lists none or cannot say."""
    if platform not in ("darwin", "win32"):
        return _list_v4l2(devices, about / "class" / "video4linux")
    try:
        listed = av.enumerate_input_devices("avfoundation" if platform == "darwin" else "dshow")
    except (FFmpegError, ValueError):  # ValueError: this PyAV was built without that format
        return []
    cameras = [device for device in listed if "video" in device.media_types]
    return [Device(number, device.name, device.description) for number, device in enumerate(cameras)]


def _list_v4l2(devices: Path, about: Path) -> list[Device]:
    found = []
    for path in devices.glob("video*"):
        if not path.name.removeprefix("video").isdigit():
            continue
        try:
            if (about / path.name / "index").read_text().strip() != "0":
                continue  # a camera's second node carries metadata, no pictures
            description = (about / path.name / "name").read_text().strip()
        except OSError:
            description = path.name
        found.append(Device(int(path.name.removeprefix("video")), str(path), description))
    return sorted(found)


def _open_device(platform: str, number: int, config: WebcamConfig) -> "InputContainer":
    device_file = None
    if platform == "win32":
        device_file = next((d.file for d in list_webcams(platform) if d.number == number), None)
        if device_file is None:
            raise SourceError(_not_found(platform, number))
    refusal: Exception | None = None
    for file, name, options in webcam_open_arguments(platform, number, config, device_file=device_file):
        try:
            container = av.open(file, format=name, options=options, timeout=(OPEN_TIMEOUT_S, READ_TIMEOUT_S))
        except FileNotFoundError:
            raise SourceError(_not_found(platform, number)) from None
        except PermissionError:
            raise SourceError(
                f"webcam {number} ({file}) may not be used by this user; add the user to the group 'video', "
                "or allow camera access in the system's privacy settings"
            ) from None
        except (FFmpegError, OSError, ValueError) as error:  # ValueError: no such format in this build
            refusal = error
            continue
        _log.info("webcam %d opened with %s", number, options)
        return container
    assert refusal is not None
    listed = [device.number for device in list_webcams(platform)]
    if listed and number not in listed:
        raise SourceError(_not_found(platform, number))
    raise SourceError(
        f"webcam {number} cannot be opened ({reason(refusal)}); is another program using it? "
        + _found(platform)
    )


def _not_found(platform: str, number: int) -> str:
    return f"there is no webcam {number}; {_found(platform)}"


def _found(platform: str) -> str:
    listed = list_webcams(platform)
    if not listed:
        return "no webcam was found; connect one, or give a video file or URL"
    return "found: " + ", ".join(f"{device.number} ({device.description})" for device in listed)
