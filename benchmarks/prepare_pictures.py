"""How many pictures a second does ``egoexo4d prepare`` make, and what does one cost?

    PYTHONPATH=. python benchmarks/prepare_pictures.py [--takes N] [--seconds S] [--runs N]

Made takes: H.264 of 1408 x 1408 at 30/s, a drifting texture with noise, of which every third frame is asked
for, as most annotated frames of EgoExo4D are. Timed are whole runs, from videos to JPEG files on disk, one
take after the other and as many side by side as there are cores, in turn; and the steps of one picture alone.
Results are in RESULTS.md.
"""

import json
import os
import shutil
import sys
import tempfile
from dataclasses import dataclass
from fractions import Fraction
from io import BytesIO
from pathlib import Path

import av
import numpy as np
import tyro
from PIL import Image

from benchmarks.measure import Durations, print_json, print_table, summarize
from tracker.cli_running import run_command
from tracker.research.ground_truth.egoexo4d_pictures import (
    JPEG_QUALITY,
    Undistortion,
    prepare_pictures,
    read_frames,
)
from tracker.research.ground_truth.egoexo4d_release import ARIA_SIZE_PX, read_aria_lens
from tracker.research.ground_truth.egoexo4d_values import AnnotatedFrame, Tally
from tracker.whole_file import whole_file

RATE_HZ, STEP = 30, 3
PARAMETERS = [
    607.5,
    701.2,
    711.8,
    0.35,
    -0.31,
    0.12,
    0.03,
    -0.045,
    0.01,
    2e-4,
    -5e-4,
    -1.8e-3,
    5e-4,
    7e-4,
    -2e-4,
]
"""Numbers of the kind that Aria's RGB cameras have."""


@dataclass(frozen=True)
class Args:
    """Prepare pictures of made takes."""

    takes: int = 4
    seconds: int = 10
    """Of each take's video."""
    runs: int = 5


def write_video(path: Path, frames: int) -> None:
    """A texture that drifts by up to 8 pixels a frame, with noise: neither still nor beyond coding."""
    rng = np.random.default_rng(0)
    coarse = Image.fromarray(rng.integers(0, 255, (320, 320, 3)).astype(np.uint8))
    texture = np.asarray(coarse.resize((1920, 1920), Image.Resampling.BICUBIC))
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=RATE_HZ, options={"crf": "23", "preset": "veryfast"})
        stream.width, stream.height, stream.pix_fmt = ARIA_SIZE_PX, ARIA_SIZE_PX, "yuv420p"
        stream.time_base = Fraction(1, RATE_HZ)
        for number in range(frames):
            x, y = (250 + 240 * np.array([np.sin(number / 30), np.cos(number / 37)])).astype(int)
            picture = texture[y : y + ARIA_SIZE_PX, x : x + ARIA_SIZE_PX].copy()
            picture[::4, ::4] ^= rng.integers(0, 8, picture[::4, ::4].shape).astype(np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))


def write_takes(folder: Path, args: Args) -> list[AnnotatedFrame]:
    """A release of takes that share one video, their calibrations, and the frames that are asked for."""
    frames = args.seconds * RATE_HZ
    write_video(folder / "video.mp4", frames)
    projection = {"Name": "FisheyeRadTanThinPrism", "Params": PARAMETERS}
    calibration = {"CameraCalibrations": [{"Label": "camera-rgb", "Projection": projection}]}
    listed = []
    for take in range(args.takes):
        listed.append(
            {"take_uid": f"uid{take}", "take_name": f"take{take}"}
            | {"capture": {"cameras": [{"cam_id": "aria01", "is_ego": True}]}}
        )
        videos = folder / "raw/takes" / f"take{take}" / "frame_aligned_videos"
        videos.mkdir(parents=True)
        os.link(folder / "video.mp4", videos / "aria01_214-1.mp4")
        _write_json(folder / "prepared/aria_calib_json" / f"take{take}.json", calibration)
    _write_json(folder / "raw/takes.json", listed)
    numbers = range(0, frames, STEP)
    return [AnnotatedFrame(f"uid{k}", f"take{k}", n, {}) for k in range(args.takes) for n in numbers]


def _write_json(path: Path, values: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(values))


def prepare(folder: Path, frames: list[AnnotatedFrame], workers: int) -> None:
    """What is timed."""
    prepare_pictures(
        folder / "raw",
        folder / "prepared",
        "val",
        frames,
        Tally(),
        observe=lambda pictures: None,
        workers=workers,
    )


def time_steps(folder: Path, durations: Durations) -> None:
    """One picture's steps, in one thread, one after the other."""
    undistort = Undistortion(read_aria_lens(folder / "prepared/aria_calib_json/take0.json"))
    upright = read_frames(folder / "video.mp4", range(0, 90, STEP), threads=False)
    for _ in range(90 // STEP):
        _, picture = durations.call("decode (3 frames, the last as RGB)", next, upright)
        landscape = durations.call("undistort and turn", undistort, picture)
        encoded = durations.call("encode", _encoded, landscape)
        durations.call("write, wholly", _write, folder / "picture.jpg", encoded)


def _encoded(picture: np.ndarray) -> bytes:
    buffer = BytesIO()
    Image.fromarray(picture).save(buffer, format="JPEG", quality=JPEG_QUALITY, subsampling=0)
    return buffer.getvalue()


def _write(path: Path, content: bytes) -> None:
    with whole_file(path) as part:
        part.write_bytes(content)


def main() -> None:
    """Measure and print."""
    args = tyro.cli(Args, description=__doc__)
    cores = os.cpu_count() or 1
    durations, steps = Durations(), Durations()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        frames = write_takes(folder, args)
        bits_per_s = 8 * (folder / "video.mp4").stat().st_size / args.seconds
        for _ in range(args.runs):
            for workers in dict.fromkeys((1, cores)):
                durations.call(f"{workers} at a time", prepare, folder, frames, workers)
                shutil.rmtree(folder / "prepared/image")
        time_steps(folder, steps)
    rows = [
        (name, len(frames) / (took["p50_ms"] / 1e3), took["cpu_ms"] / len(frames))
        for name, runs in durations.of.items()
        for took in (summarize(runs),)
    ]
    print_table(
        (f"{args.takes} takes of {args.seconds} s", "pictures/s, median of runs", "CPU ms each"), rows
    )
    step_rows = [
        (name, *(summarize(runs)[key] for key in ("p50_ms", "cpu_ms"))) for name, runs in steps.of.items()
    ]
    print_table(("one picture", "ms, median", "CPU ms, mean"), step_rows)
    print_json(
        "prepare_pictures",
        {"takes": args.takes, "pictures": len(frames), "video_mbit_per_s": bits_per_s / 1e6}
        | {name: {"pictures_per_s": rate, "cpu_ms": cpu_ms} for name, rate, cpu_ms in rows}
        | {name: {"p50_ms": p50, "cpu_ms": cpu} for name, p50, cpu in step_rows},
    )


if __name__ == "__main__":
    sys.exit(run_command(main))
