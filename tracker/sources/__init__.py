"""Where pictures come from: recorded files, webcams and network streams behind one protocol."""

import os
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeGuard, runtime_checkable
from urllib.parse import unquote

from tracker.cameras import Camera, CameraChoice, load_camera
from tracker.errors import SourceError
from tracker.structs import Frame

if TYPE_CHECKING:
    from tracker.sources.network_stream import NetworkConfig
    from tracker.sources.webcam import WebcamConfig

DEMO_LOCATION = "demo"
BROWSER_LOCATION = "browser"
MODELS_DIRECTORY = Path(__file__).parents[1] / "models"


class Source(Protocol):
    """An open source of frames; iterating it gives them in order, closing it ends the iteration.

    Leaving the iteration early and calling ``close`` frees the device or file at once.
    """

    name: str
    """For people and recordings; user names and passwords of URLs are taken out."""
    live: bool
    """True when frames come at the world's pace and are lost if nobody takes them."""
    frame_count: int | None
    """How many frames a file says it holds (an estimate); None when unknown or live."""
    frame_rate_hz: float | None
    """Nominal frames a second; None when unknown."""

    def __iter__(self) -> Iterator[Frame]: ...

    def close(self) -> None:
        """Release the device or file; safe to call twice."""
        ...


@runtime_checkable
class ReadsAhead(Protocol):
    """A source with a thread of its own that reads frames before they are asked for."""

    def call_when_read(self, prepare: Callable[[Frame], object]) -> None:
        """Call ``prepare`` with every frame in that thread, before the frame is given.

        To be said before the first frame is asked for.
        """
        ...


@runtime_checkable
class CountsDrops(Protocol):
    """A live source that itself keeps the newest picture only."""

    dropped_frames: int
    """Pictures that came and were never given."""


@runtime_checkable
class TellsState(Protocol):
    """A live source that can be away for a while."""

    def call_on_state(self, tell: Callable[[str], None]) -> None:
        """Call ``tell`` with ``lost`` when pictures stop coming, and ``playing`` before they come again.

        To be said before the first frame is asked for. Calls come in order with the frames.
        """
        ...


def open_source(
    location: str | Path,
    *,
    camera: Camera | None = None,
    horizontal_fov_deg: float | None = None,
    max_frames: int | None = None,
    webcam: "WebcamConfig | None" = None,
    network: "NetworkConfig | None" = None,
    reconnect: bool = False,
) -> Source:
    """Open whatever ``location`` names; its frames can then be iterated once.

    Args:
        location: a webcam's number (``0``; on Linux also ``/dev/video0``), a URL, ``demo`` for the clip
            that comes with the package, ``browser`` for a browser's camera that a server hands over, or the
            path of a recorded video. ``Path("demo")`` and ``Path("0")`` are files of that name.
        camera: calibration of the source's camera; the demo brings its own.
        horizontal_fov_deg: how much it sees across its width, where there is no calibration; of ``browser``
            across the longer side, as phones are turned.
        max_frames: end after so many frames.
        webcam: the mode to ask a webcam for.
        network: time limits for URLs.
        reconnect: open a webcam or live stream again whenever it is lost; see ``Reopening``.

    Raises:
        SourceError: nothing there that gives pictures; the message says what was found.
        CameraError: both camera arguments are given, or the calibration is for another aspect.
    """
    if max_frames is not None and max_frames < 1:
        raise SourceError(f"the number of frames to read is {max_frames}; give 1 or more")
    if location == DEMO_LOCATION and camera is None and horizontal_fov_deg is None:
        camera = load_camera(MODELS_DIRECTORY / "demo_camera.json")
    cameras = CameraChoice(calibration=camera, horizontal_fov_deg=horizontal_fov_deg)
    if location == BROWSER_LOCATION:
        from tracker.sources.browser_camera import BrowserCamera

        return BrowserCamera(cameras=replace(cameras, turns=True), max_frames=max_frames)
    if (number := webcam_number(location)) is not None:
        from tracker.sources.webcam import Webcam, reopening_webcam

        open_webcam = reopening_webcam if reconnect else Webcam
        return open_webcam(number, config=webcam, cameras=cameras, max_frames=max_frames)
    if _is_url(location):
        from tracker.sources.network_stream import NetworkStream, reopening_stream

        open_stream = reopening_stream if reconnect else NetworkStream
        return open_stream(location, config=network, cameras=cameras, max_frames=max_frames)
    from tracker.sources.video_file import VideoFile

    return VideoFile(_file_path(location), cameras=cameras, max_frames=max_frames)


def webcam_number(location: str | Path) -> int | None:
    """The number of the webcam that ``location`` names, if it names one."""
    device = re.fullmatch(r"/dev/video([0-9]+)", str(location))
    if device is not None:
        return int(device[1])
    return int(location) if isinstance(location, str) and re.fullmatch(r"[0-9]{1,3}", location) else None


def names_live_source(location: str) -> bool:
    """Whether it names a webcam, a browser's camera or a URL, behind which may be a file after all."""
    return location == BROWSER_LOCATION or webcam_number(location) is not None or _is_url(location)


def _is_url(location: str | Path) -> TypeGuard[str]:
    """Whether it is read over the network; ``file://`` names a file."""
    return isinstance(location, str) and re.match(r"(?!file:)[A-Za-z][\w+.-]*://", location) is not None


def _file_path(location: str | Path) -> Path:
    if location == DEMO_LOCATION:
        return MODELS_DIRECTORY / "demo.mp4"
    if isinstance(location, str) and location.startswith("file://"):
        return Path(unquote(location.removeprefix("file://")))
    if isinstance(location, str):
        _refuse_mistyped(location)
    return Path(location)


def _refuse_mistyped(location: str) -> None:
    """Say what is wrong with names that are meant for something else, and never a password of a URL.

    Raises:
        SourceError: it is empty, a negative number, or a URL without its protocol, and no such file is there.
    """
    if not location.strip():
        raise SourceError("the source is empty; give a webcam's number, a video file or a URL")
    if os.path.exists(location):
        return
    if re.fullmatch(r"-[0-9]+", location):
        raise SourceError(f"there is no webcam {location}; they are numbered from 0")
    if re.search(r":.*@", location, re.DOTALL):
        place = re.split(r"[?#]", location.rpartition("@")[2], maxsplit=1)[0]
        raise SourceError(
            f"...@{place} is no file, and no URL either; write it as protocol://user:password@host/path"
        )
