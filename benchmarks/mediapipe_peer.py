"""The other side of versus_mediapipe.py: MediaPipe's own hand tracker, in a virtual environment of its own.

Knows nothing of this project. Reads frames from standard input, each a line of JSON (``width``, ``height``,
``time_ms``) and then the RGB bytes; answers each with one line of JSON on standard output: what
``detect_for_video`` cost and the hands it found. Making the ``mp.Image`` (one copy) is not counted.

Usage: python mediapipe_peer.py HAND_LANDMARKER.task
"""

import json
import os
import sys
import time

import mediapipe as mp
import numpy as np
from mediapipe.tasks.python import BaseOptions
from mediapipe.tasks.python.vision import (
    HandLandmarker,
    HandLandmarkerOptions,
    HandLandmarkerResult,
    RunningMode,
)


def main() -> None:
    # Nothing but answers may go where the answers go.
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    options = HandLandmarkerOptions(
        base_options=BaseOptions(model_asset_path=sys.argv[1]),
        running_mode=RunningMode.VIDEO,
        num_hands=2,
    )
    with HandLandmarker.create_from_options(options) as landmarker:
        print(json.dumps({"mediapipe": mp.__version__}), file=answers, flush=True)
        while line := sys.stdin.buffer.readline():
            request = json.loads(line)
            pixels = np.empty((request["height"], request["width"], 3), np.uint8)
            sys.stdin.buffer.readinto(memoryview(pixels).cast("B"))
            image = mp.Image(image_format=mp.ImageFormat.SRGB, data=pixels)
            cpu_s, wall_s = time.process_time(), time.perf_counter()
            result = landmarker.detect_for_video(image, request["time_ms"])
            answer = {
                "wall_s": time.perf_counter() - wall_s,
                "cpu_s": time.process_time() - cpu_s,
                "hands": hands_of(result, request["width"], request["height"]),
            }
            print(json.dumps(answer), file=answers, flush=True)


def hands_of(result: HandLandmarkerResult, width: int, height: int) -> list[dict[str, object]]:
    """The hands with their joints in pixels."""
    return [
        {
            "side": handedness[0].category_name.lower(),
            "score": handedness[0].score,
            "joints_px": [[point.x * width, point.y * height] for point in landmarks],
        }
        for handedness, landmarks in zip(result.handedness, result.hand_landmarks, strict=True)
    ]


if __name__ == "__main__":
    main()
