"""Where pictures come from: recorded files, webcams and network streams behind one protocol."""

from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

from tracker.cameras import Camera, CameraChoice, load_camera
from tracker.structs import Frame

DEMO_LOCATION = "demo"
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


def open_source(
    location: str | Path,
    *,
    camera: Camera | None = None,
    horizontal_fov_deg: float | None = None,
    max_frames: int | None = None,
) -> Source:
    """Open whatever ``location`` names; frames can then be iterated once.

    Args:
        location: path of a recorded video, or ``demo`` for the clip that comes with the package.
        camera: calibration of the source's camera.
        horizontal_fov_deg: how much it sees across its width, where there is no calibration.
        max_frames: end after so many frames.

    Raises:
        SourceError: nothing there that gives pictures; the message says what was found.
        CameraError: both camera arguments are given, or the calibration is for another aspect.
    """
    from tracker.sources.video_file import VideoFile

    if location == DEMO_LOCATION:
        location = MODELS_DIRECTORY / "demo.mp4"
        if camera is None and horizontal_fov_deg is None:
            camera = load_camera(MODELS_DIRECTORY / "demo_camera.json")
    cameras = CameraChoice(calibration=camera, horizontal_fov_deg=horizontal_fov_deg)
    return VideoFile(location, cameras=cameras, max_frames=max_frames)
