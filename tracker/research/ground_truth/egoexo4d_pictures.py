"""EgoExo4D's pictures: the annotated frames out of a take's video, turned to landscape and undistorted.

Only the frames needed are decoded, as far as key frames allow, and pictures that are there are left alone, so
a run that was stopped goes on where it was. Takes are done side by side, each in a thread of its own.
"""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from threading import Event, Lock
from typing import Any

import av
import numpy as np
from av.error import FFmpegError
from PIL import Image

from tracker.cameras import Camera
from tracker.errors import UsageError
from tracker.research.ground_truth.egoexo4d_release import (
    ARIA_SIZE_PX,
    Take,
    calibration_path,
    nominal_camera,
    pixel_grid,
    read_aria_lens,
    read_takes,
)
from tracker.research.ground_truth.egoexo4d_values import SIZE_PX, AnnotatedFrame, Tally
from tracker.research.ground_truth.quarter_turn import QuarterTurn
from tracker.sampling import Float32Array, Places, sample_levels
from tracker.structs import ImageArray
from tracker.whole_file import whole_file

JPEG_QUALITY = 95
_JPEG_END = b"\xff\xd9"
_OUTSIDE_PX = -30_000.0
HEARD_AGAIN_S = 0.2
"""How often the waiting thread looks up: on Windows a wait without end hears no Ctrl-C."""


def picture_path(prepared: Path, split: str, frame: AnnotatedFrame) -> Path:
    """Where a frame's landscape picture is.

    Raises:
        UsageError: the take's name in the annotation is no name of a folder.
    """
    name = PurePosixPath(frame.take_name)
    if not frame.take_name or name.is_absolute() or ".." in name.parts or "\\" in frame.take_name:
        raise UsageError(f"{frame.where}: {frame.take_name!r} is no take's name")
    return prepared / "image" / "undistorted" / split / name / f"{frame.frame_number:06d}.jpg"


def prepare_pictures(
    release: Path,
    prepared: Path,
    split: str,
    frames: Sequence[AnnotatedFrame],
    tally: Tally,
    *,
    observe: Callable[[int], None],
    workers: int | None = None,
) -> None:
    """Write the undistorted pictures of annotated frames that are not there yet, or are damaged.

    Args:
        release: the downloaded release, with the takes' videos.
        prepared: the folder of prepared files, with Aria's calibrations in it.
        split: whose folder the pictures go to.
        frames: of one or more takes.
        tally: gets what could not be done, by take.
        observe: called with the number of frames dealt with, again and again.
        workers: takes done side by side; as many as there are cores unless given.

    Raises:
        UsageError: ``takes.json`` cannot be read, or a take's name is none.
        SinkFailedError: a picture cannot be written.
    """
    takes = read_takes(release)
    by_take: dict[str, list[AnnotatedFrame]] = {}
    for frame in frames:
        by_take.setdefault(frame.take_uid, []).append(frame)
    jobs: list[_Job] = []
    for take_uid, of_take in by_take.items():
        paths = {frame.frame_number: picture_path(prepared, split, frame) for frame in of_take}
        wanted = {number: path for number, path in paths.items() if not _is_whole(path)}
        for path in wanted.values():
            if path.exists():
                tally.add("pictures that were damaged and are made again", str(path.relative_to(prepared)))
        tally.add("pictures that were there", count=len(of_take) - len(wanted))
        observe(len(of_take) - len(wanted))
        if wanted:
            jobs.append(_Job(release, prepared, takes.get(take_uid), take_uid, wanted))
    _run(jobs, max(min(workers or os.cpu_count() or 1, len(jobs)), 1), tally, observe)


def _is_whole(path: Path) -> bool:
    """Whether a prepared picture is there, by its header and its end; what lies between is not decoded."""
    try:
        with path.open("rb") as file:
            file.seek(-len(_JPEG_END), os.SEEK_END)
            if file.read() != _JPEG_END:
                return False
            file.seek(0)
            with Image.open(file, formats=("JPEG",)) as picture:
                return picture.size == (SIZE_PX, SIZE_PX)
    except (OSError, ValueError, SyntaxError):  # none, an empty one, or no picture
        return False


@dataclass(frozen=True)
class _Job:
    """One take's missing pictures."""

    release: Path
    prepared: Path
    take: Take | None
    take_uid: str
    wanted: Mapping[int, Path]
    """By frame number."""

    def pictures(self, *, alone: bool) -> Iterator[tuple[Path, ImageArray]]:
        """Landscape pictures (512, 512, 3), each with its path; ``alone`` if no other job is done meanwhile.

        Raises:
            UsageError: a file of the take is missing or something else.
        """
        if self.take is None or self.take.aria is None:
            raise UsageError(f"take {self.take_uid} is not in takes.json, or has no one Aria camera")
        calibration_at = calibration_path(self.prepared, self.take.name)
        if calibration_at is None:
            raise UsageError(f"take {self.take_uid} has no calibration aria_calib_json/{self.take.name}.json")
        undistort = Undistortion(read_aria_lens(calibration_at))
        folder = self.release / "takes" / self.take.name / "frame_aligned_videos"
        video = folder / f"{self.take.aria}_214-1.mp4"
        for number, upright in read_frames(video, sorted(self.wanted), threads=alone):
            yield self.wanted[number], undistort(upright)


def _run(jobs: Sequence[_Job], workers: int, tally: Tally, observe: Callable[[int], None]) -> None:
    """Do the jobs, several side by side; whatever ends this ends them after the picture they are at."""
    stopped, lock = Event(), Lock()

    def write(job: _Job) -> None:
        for path, picture in job.pictures(alone=workers == 1):
            if stopped.is_set():
                break
            with whole_file(path) as part:
                Image.fromarray(picture).save(part, format="JPEG", quality=JPEG_QUALITY, subsampling=0)
            with lock:
                observe(1)
                tally.add("pictures written")

    with ThreadPoolExecutor(workers, "take") as pool:  # decoding, sampling and JPEG leave the interpreter
        try:
            for done in [pool.submit(write, job) for job in jobs]:
                while not wait([done], timeout=HEARD_AGAIN_S).done:
                    pass
                try:
                    done.result()
                except UsageError as error:
                    with lock:
                        tally.add("takes that lack pictures", str(error))
        except BaseException:
            stopped.set()
            pool.shutdown(wait=False, cancel_futures=True)
            raise


class Undistortion:
    """From Aria's upright fisheye pictures to landscape pinholes; black where the lens shows nothing."""

    def __init__(self, lens: Camera) -> None:
        self._turn = QuarterTurn.of_landscape(lens)
        self._places = Places(SIZE_PX, None, _positions(lens, self._turn))

    def __call__(self, upright: ImageArray) -> ImageArray:
        """The landscape picture (512, 512, 3) of an upright one of the video.

        Raises:
            UsageError: the video is of another size than the calibration.
        """
        if upright.shape[:2] != (self._turn.width, self._turn.height):
            size = f"{upright.shape[1]} x {upright.shape[0]}"
            raise UsageError(f"the video is {size}, want {ARIA_SIZE_PX} x {ARIA_SIZE_PX}")
        return sample_levels(upright, self._places, "black")


def _positions(lens: Camera, turn: QuarterTurn) -> Float32Array:
    """(512, 512, 2) pixels of the upright picture that the landscape pinhole's pixels show.

    The positions are turned, not the pictures: that is done once, and costs nothing afterwards.
    """
    seen_px = lens.project(nominal_camera().unproject(pixel_grid(nominal_camera())))
    return np.nan_to_num(turn.pixels_upright(seen_px), nan=_OUTSIDE_PX).astype(np.float32)


def read_frames(
    video: Path, numbers: Sequence[int], *, threads: bool = True
) -> Iterator[tuple[int, ImageArray]]:
    """Single frames of a video, numbered as they are shown, in rising order.

    Decoding goes on from one wanted frame to the next unless a key frame lies between them. With ``threads``
    the decoder has several, which costs a fifth more work in all.

    Raises:
        UsageError: it is no video that can be read, or has no frame of such a number, which is said when the
            frames that it has are given.
    """
    try:
        times, keys = _index(video)
        there = [number for number in numbers if number < len(times)]
        with av.open(str(video)) as container:
            stream = container.streams.video[0]
            stream.thread_type = "AUTO" if threads else "NONE"
            decoded = iter(container.decode(stream))
            reached = -1
            for number in there:
                start = times[number]
                if reached < 0 or any(times[reached] < key <= start for key in keys):
                    container.seek(start, stream=stream)
                    decoded = iter(container.decode(stream))
                picture = next(
                    (frame for frame in decoded if frame.pts is not None and frame.pts >= start), None
                )
                if picture is None:
                    raise UsageError(f"{video} ends before frame {number}")
                reached = number
                image: Any = picture.to_ndarray(format="rgb24")
                yield number, image
        if len(there) < len(numbers):
            raise UsageError(f"{video} has {len(times)} frames, no frame {numbers[len(there)]}")
    except (FFmpegError, OSError, IndexError) as error:
        raise UsageError(f"cannot read the video {video}: {error}") from error


def _index(video: Path) -> tuple[list[int], list[int]]:
    """The times of all frames in the order they are shown, and of the key frames; nothing is decoded."""
    times, keys = [], []
    with av.open(str(video)) as container:
        for packet in container.demux(video=0):
            if packet.pts is not None:
                times.append(packet.pts)
                if packet.is_keyframe:
                    keys.append(packet.pts)
    return sorted(times), sorted(keys)
