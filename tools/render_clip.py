"""Render the demo: a short first-person clip of two hands over a desk, with the exact answer.

    PYTHONPATH=. python tools/render_clip.py tracker/models

Everything is synthetic: the open hand (``tracker/skinned_hand.py``), an authored motion, a procedural desk,
and pictures made on the CPU in numpy (``tools/demo_clip``), about 4 s each on one core. Writes ``demo.mp4``
(1280 x 720, 30 frames/s), ``demo_camera.json`` and ``demo_truth.npz``:

    joints_in_camera_m  (T, 2, 21, 3) float32, axis 1: left, right; NaN while a hand is out of the picture
    joints_cam          the same, under the name the evaluator reads
    K                   (3, 3) pixels from camera axes; pixel centres at whole coordinates
    size, fps           (width, height), frames a second
    complete            1: every hand in the pictures has its joints here
"""

import argparse
import json
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

import av
import numpy as np
from demo_clip.motion import arm_at, camera_at
from demo_clip.studio import CAMERA, FOCAL_PX, HEIGHT, WIDTH, Studio

from tracker.cli_running import run_command
from tracker.joints import Side

FPS = 30
DURATION_S = 9.0
CODEC_OPTIONS = {"crf": "22", "preset": "veryslow", "threads": "1"}


def truth(times_s: np.ndarray) -> np.ndarray:
    """Joints (T, 2, 21, 3) in the camera frame; NaN where no vertex of the hand falls into the picture."""
    answer = np.full((len(times_s), 2, 21, 3), np.nan, dtype=np.float32)
    for frame, time_s in enumerate(times_s):
        camera_from_world, place_m = camera_at(float(time_s))
        for number, side in enumerate((Side.LEFT, Side.RIGHT)):
            posed = arm_at(side, float(time_s)).posed
            if _any_in_picture((posed.vertices_m - place_m) @ camera_from_world.T):
                answer[frame, number] = (posed.joints_m - place_m) @ camera_from_world.T
    return answer


def _any_in_picture(points_m: np.ndarray) -> bool:
    homogeneous = points_m[points_m[:, 2] > 0] @ CAMERA.T
    pixels = homogeneous[:, :2] / homogeneous[:, 2:]
    return bool(((pixels > -0.5) & (pixels < [WIDTH - 0.5, HEIGHT - 0.5])).all(axis=1).any())


def write_truth(folder: Path, times_s: np.ndarray) -> None:
    """Write the answer and the camera."""
    joints = truth(times_s)
    np.savez(
        folder / "demo_truth.npz",
        joints_in_camera_m=joints,
        joints_cam=joints,
        K=CAMERA,
        size=np.array([WIDTH, HEIGHT]),
        fps=np.array(float(FPS)),
        complete=np.array(1),
    )
    lens = {"fx": FOCAL_PX, "fy": FOCAL_PX, "cx": CAMERA[0, 2], "cy": CAMERA[1, 2], "distortion": []}
    camera = {"model": "pinhole", "width": WIDTH, "height": HEIGHT, **lens}
    (folder / "demo_camera.json").write_text(json.dumps(camera) + "\n")


def pictures(times_s: np.ndarray) -> Iterator[np.ndarray]:
    """The frames (HEIGHT, WIDTH, 3) uint8, one after the other."""
    studio = Studio()
    for frame, time_s in enumerate(times_s):
        yield studio.picture(float(time_s), np.random.default_rng(frame))


def write_video(path: Path, frames: Iterable[np.ndarray]) -> None:
    """Write an H.264 file."""
    with av.open(str(path), "w", options={"movflags": "+faststart"}) as container:
        stream = container.add_stream("libx264", rate=FPS, options=CODEC_OPTIONS)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        for picture in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))


def main() -> None:
    """Write the clip, its camera and its truth into a folder."""
    parser = argparse.ArgumentParser(description="Render the demo clip and its ground truth.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--truth-only", action="store_true", help="leave the video as it is")
    arguments = parser.parse_args()
    times_s = np.arange(round(FPS * DURATION_S)) / FPS
    write_truth(arguments.folder, times_s)
    if not arguments.truth_only:
        write_video(arguments.folder / "demo.mp4", pictures(times_s))


if __name__ == "__main__":
    sys.exit(run_command(main))
