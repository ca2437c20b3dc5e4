"""EgoDex: first-person video, 1080p at 30/s, both hands as a headset's own tracker saw them.

The headset's joints are good to 1-2 cm; its wrist lies up the forearm and its hands project 5 to 26 % large.
So the answers are good for presence, side, motion and the picture, and loose in space. Read from ``npz``
files that hold ``joints_cam`` (T, 2, 21, 3), ``uv`` (T, 2, 21, 2), ``K``, ``size``, ``fps`` and ``video``,
the clip's path from the data folder; the original hdf5 needs a package of its own and says no more.
"""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

from tracker.cameras import Camera
from tracker.errors import UsageError
from tracker.research.ground_truth.files import joints, pinhole, read_arrays
from tracker.research.ground_truth.labelled import LabelledClip, with_image_only
from tracker.sources import open_source
from tracker.structs import Frame

PATTERN = "egodex_*.npz"
LATENESS_FRAMES = {
    "egodex_basic_pick_and_place_0": 0.5,
    "egodex_basic_pick_and_place_1": 0.6,
    "egodex_insert_remove_2": 1.1,
    "egodex_insert_remove_3": 1.0,
}
"""How far the poses trail the video: minus the mean lag of two per-frame trackers without filters."""


def open_clip(data: Path, answers: Path) -> LabelledClip:
    """The clip that ``answers`` belongs to.

    Raises:
        UsageError: damaged answers, or no video where they say.
    """
    stored = read_arrays(answers, "joints_cam", "uv", "K", "size", "fps", "video")
    camera = pinhole(stored["K"], stored["size"], str(answers))
    video = data / str(stored["video"])
    if not video.is_file():
        raise UsageError(f"{answers.name} belongs to {video}, which is not there")
    in_camera_m = joints(stored["joints_cam"], 3, str(answers))
    in_picture_px = joints(stored["uv"], 2, str(answers))
    if in_picture_px.shape[:-1] != in_camera_m.shape[:-1]:
        raise UsageError(
            f"{answers}: uv is {in_picture_px.shape}, joints_cam {in_camera_m.shape}; want the same hands"
        )
    return LabelledClip(
        name=answers.stem,
        source="EgoDex",
        joints_in_camera_m=in_camera_m,
        joints_px=with_image_only(in_picture_px, in_camera_m),
        cameras=(camera,) * len(in_camera_m),
        read_frames=partial(_frames, video, camera, len(in_camera_m)),
        frame_rate_hz=float(stored["fps"]),
        lateness_frames=LATENESS_FRAMES.get(answers.stem),
    )


def _frames(video: Path, camera: Camera, count: int) -> Iterator[Frame]:
    """The video's frames, which must be those that were annotated.

    Raises:
        UsageError: pictures of another size, or another number of them.
    """
    source, seen = open_source(video, camera=camera), 0
    try:
        for frame in source:
            if (frame.camera.width, frame.camera.height) != (camera.width, camera.height):
                size = f"{frame.camera.width} x {frame.camera.height}"
                raise UsageError(
                    f"{video} is {size}, its truth is for {camera.width} x {camera.height}: another video?"
                )
            seen += 1
            yield frame
    finally:
        source.close()
    if seen != count:
        raise UsageError(f"{video} has {seen} frames, its truth {count}: another video?")
