"""Where does the time of a frame go?

    python -m benchmarks.stages CLIP [--camera CAMERA.json] [--max-frames N]

Runs the stages over a clip one after the other, each timed alone on what the stage before gave, and the
networks and the crop by themselves. Frames are decoded when their turn comes, so nothing else runs while a
stage does. CPU time is that of all threads: where two hands are read in two threads it exceeds the wall
time. "process()" is the whole path of a frame as the program calls it, in a second tracker on the same
frames. Palm looks are squares of the picture that the palm network was shown.

Results of several machines are in RESULTS.md.
"""

import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tyro

from benchmarks.measure import Durations, decoded_frames, describe_machine, print_json, print_table, summarize
from tracker import HandTracker
from tracker.cameras import Camera
from tracker.cli_running import run_command
from tracker.crops import make_crop
from tracker.detect import load_detector
from tracker.detect.landmarks import INPUT_SAMPLES
from tracker.detect.palm import PalmFinder, letterbox_square
from tracker.networks.onnx_session import OnnxNetwork
from tracker.pipeline import publish
from tracker.placement import place_hands
from tracker.pose import load_pose_backend
from tracker.sampling import Float32Array, sample_crop
from tracker.sinks.drawing import draw_tracking
from tracker.sinks.wire import encode_frame
from tracker.structs import Frame, HandBox, ImageArray
from tracker.temporal.tracks import Tracks

NETWORKS = ("hand_landmark_full", "hand_landmark_lite")


@dataclass(frozen=True)
class Args:
    """Time each stage alone on the frames of a recorded clip."""

    clip: tyro.conf.Positional[Path]
    """A video file."""
    camera: Path | None = None
    """Calibration of the clip's camera, a JSON file."""
    max_frames: int | None = None
    """Use only this many frames."""
    warm_up: int = 10
    """Frames at the start that do not count."""


class Stages:
    """The path of a frame as in ``HandTracker.process``, every stage timed."""

    def __init__(self, durations: Durations) -> None:
        self._durations = durations
        self._tracks = Tracks()
        self._detector = load_detector()
        self._backend = load_pose_backend("landmarks")

    def process(self, frame: Frame) -> list[HandBox]:
        """Run all of them; returns the boxes of the hands seen."""
        call = self._durations.call
        time_s = frame.capture_time_s
        regions = call("tracks: where to look", self._tracks.expected_regions, frame)
        detections = call("detect", self._detector.detect, frame, regions)
        observed = call("tracks: who is who", self._tracks.assign, detections, frame)
        estimates = self._backend.estimate(frame, observed)
        observed = call("tracks: bones", self._tracks.sized, observed, estimates)
        count = f"placement, {len(observed)} hands"
        poses = call(count, place_hands, estimates, observed, frame.camera)
        hands = call("tracks: smoothing", self._tracks.update, observed, poses, time_s)
        call("publish", publish, frame, hands, 0.0)
        return [detection.box for detection in detections]

    def close(self) -> None:
        """Free the detector's threads."""
        self._detector.close()


class Parts:
    """The crop and the networks by themselves."""

    def __init__(self, durations: Durations) -> None:
        self._durations = durations
        self._pool = ThreadPoolExecutor(2)
        self._networks = {name: OnnxNetwork(name) for name in NETWORKS}
        self._palm = OnnxNetwork("palm_detection_full")
        self._palms = PalmFinder(self._palm)
        self._palm_input = np.zeros((1, *self._palm.input_shape), np.float32)

    def run(self, frame: Frame, boxes: Sequence[HandBox]) -> None:
        """Time every part that this frame has work for."""
        call = self._durations.call
        image, camera = frame.image_rgb, frame.camera
        call("palm network alone", self._palm, self._palm_input)
        call("palm look, whole picture", self._palms.find, image, [letterbox_square(camera)], camera)
        inputs = []
        for box in boxes:
            crop = call("crop: geometry", make_crop, "virtual", box, INPUT_SAMPLES, camera)
            inputs.append(call("crop: sampling", sample_crop, image, crop)[None])
        for name, network in self._networks.items():
            if inputs:
                call(f"{name}, 1 hand", network, inputs[0])
            if len(inputs) == 2:
                call(f"{name}, 2 hands in 2 threads", self._run_both, network, inputs)

    def _run_both(self, network: OnnxNetwork, inputs: Sequence[Float32Array]) -> None:
        list(self._pool.map(network, inputs))

    def close(self) -> None:
        """Free the threads."""
        self._pool.shutdown()


@contextmanager
def counted_palm_looks() -> Iterator[Callable[[], int]]:
    """Count the squares shown to the palm network inside the ``with`` statement."""
    find, looks = PalmFinder.find, 0

    def counting(self: PalmFinder, image: ImageArray, squares: list[HandBox], camera: Camera) -> object:
        nonlocal looks
        looks += len(squares)
        return find(self, image, squares, camera)

    PalmFinder.find = counting  # type: ignore[method-assign,assignment]
    try:
        yield lambda: looks
    finally:
        PalmFinder.find = find  # type: ignore[method-assign]


def main() -> None:
    args = tyro.cli(Args, description=__doc__)
    durations = Durations()
    stages, parts = Stages(durations), Parts(durations)
    looks: list[int] = []
    hands: list[int] = []
    frames = decoded_frames(args.clip, args.camera, args.max_frames)
    call = durations.call
    with HandTracker() as tracker:
        while (frame := call("decode and convert", next, frames, None)) is not None:
            with counted_palm_looks() as count:
                tracked = call("process()", tracker.process, frame)
            looks.append(count())
            hands.append(len(tracked.hands))
            boxes = stages.process(frame)
            call("wire encoding", encode_frame, tracked)
            call("drawing", draw_tracking, frame.image_rgb, tracked)
            parts.run(frame, boxes)
            if frame.index + 1 == args.warm_up:
                durations.of.clear()
    stages.close()
    parts.close()
    report(args, durations, looks, hands)


def report(args: Args, durations: Durations, looks: Sequence[int], hands: Sequence[int]) -> None:
    """Print the table, the palm budget and the JSON line."""
    rows = {name: {"count": len(spent), **summarize(spent)} for name, spent in durations.of.items()}
    print("  ".join(f"{key} {value}" for key, value in describe_machine().items()))
    print_table(["stage", "calls", "p50 ms", "p95 ms", "p99 ms", "CPU ms"], [
        [name, *row.values()] for name, row in rows.items()
    ])  # fmt: skip
    all_looks = np.array(looks)
    palm = {
        "looks_per_frame": float(all_looks.mean()),
        "frames_without_look": float((all_looks == 0).mean()),
        "most_in_one_frame": int(all_looks.max()),
        "hands_per_frame": float(np.mean(hands)),
    }
    print("  ".join(["palm:", *(f"{name} {value:.2f}" for name, value in palm.items())]))
    print_json("stages", {"clip": args.clip.name, "frames": len(looks), "stages": rows, "palm": palm})


if __name__ == "__main__":
    sys.exit(run_command(main))
