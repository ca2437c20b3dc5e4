"""Runs the tracker over clips whose answers are known, and measures what it says."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from tracker.pipeline import HandTracker
from tracker.research.evaluation.matching import Truth
from tracker.research.evaluation.metrics import ClipMetrics, lag_of_pixels, measure
from tracker.research.evaluation.predictions import Predictions, by_frame, collect
from tracker.research.ground_truth.labelled import LabelledClip, LabelledFrame
from tracker.runtime.outputs import Outputs
from tracker.sinks.recording import RecordingSink
from tracker.structs import TrackedFrame

Lateness = Literal["auto", "estimate", "none"]
"""How far answers are taken to trail their pictures: as known or else estimated, always estimated, not."""
NewTracker = Callable[[LabelledFrame], HandTracker]
"""Makes the tracker of a stream, given its first picture; a fresh one for each picture that stands alone."""
Observer = Callable[[TrackedFrame, float], None]


@dataclass(frozen=True, eq=False)
class ClipResult:
    """What was found out about one clip."""

    clip: LabelledClip
    truth: Truth
    """The answers as they were scored."""
    predictions: Predictions
    metrics: ClipMetrics
    lateness_frames: float
    lateness_estimated: bool
    process_s: tuple[float, ...]
    """Duration of `process` for each frame."""

    def process_ms(self, percentile: float) -> float:
        """A percentile of the time a frame took."""
        return float(np.percentile(self.process_s, percentile)) * 1000

    def to_json(self) -> dict[str, object]:
        """What the command writes of this clip as JSON."""
        return {
            **self.metrics.to_json(),
            "lateness_frames": self.lateness_frames,
            "lateness_estimated": self.lateness_estimated,
            "process_p50_ms": round(self.process_ms(50), 3),
            "process_p95_ms": round(self.process_ms(95), 3),
        }


def evaluate_clip(
    clip: LabelledClip,
    new_tracker: NewTracker,
    *,
    backend: str = "landmarks",
    recording: Path | None = None,
    lateness: Lateness = "auto",
    observe: Observer | None = None,
) -> ClipResult:
    """Track a whole clip and measure the hands.

    Args:
        clip: pictures and answers.
        new_tracker: see `NewTracker`.
        backend: the tracker's pose backend, for the recording's header.
        recording: where to record the hands, replacing what is there.
        lateness: see `Lateness`.
        observe: called after each frame with its result and the seconds it took.

    Raises:
        UsageError: the pictures cannot be read; SourceFailedError when only part of a video can.
        SinkError: the recording cannot be written.
    """
    tracked, durations_s = [], []
    sinks = [RecordingSink(recording, overwrite=True)] if recording is not None else []
    with Outputs(sinks, source=clip.name, backend=backend) as outputs:
        for labelled, result, took_s in _track(clip, new_tracker):
            outputs.send(result, labelled.frame)
            tracked.append(result)
            durations_s.append(took_s)
            if observe is not None:
                observe(result, took_s)
    hands = by_frame(tracked, len(clip), clip.name)
    lateness_frames, estimated = clip_lateness(clip, collect(hands, unfiltered=True), lateness)
    truth, predictions = Truth(clip, lateness_frames), collect(hands)
    return ClipResult(
        clip=clip,
        truth=truth,
        predictions=predictions,
        metrics=measure(truth, predictions),
        lateness_frames=lateness_frames,
        lateness_estimated=estimated,
        process_s=tuple(durations_s),
    )


def _track(
    clip: LabelledClip, new_tracker: NewTracker
) -> Iterator[tuple[LabelledFrame, TrackedFrame, float]]:
    """Each picture, its hands and how long they took; each picture that stands alone begins a stream."""
    tracker = None
    try:
        for labelled in clip.labelled_frames():
            if tracker is None or clip.frame_rate_hz is None:
                if tracker is not None:
                    tracker.close()
                tracker = new_tracker(labelled)
            start = time.perf_counter()
            result = tracker.process(labelled.frame)
            yield labelled, result, time.perf_counter() - start
    finally:
        if tracker is not None:
            tracker.close()


def clip_lateness(clip: LabelledClip, seen: Predictions, wanted: Lateness) -> tuple[float, bool]:
    """By how many frames the clip's answers trail its pictures, and whether that was estimated.

    What a network saw in each frame by itself has no lag, so answers that it seems to be ahead of are late. A
    clip without enough motion to tell is taken to be on time.

    Args:
        clip: its answers as stored.
        seen: the unfiltered hands.
        wanted: see `Lateness`.
    """
    if wanted == "none" or clip.frame_rate_hz is None:
        return 0.0, False
    if wanted == "auto" and clip.lateness_frames is not None:
        return clip.lateness_frames, False
    lag = lag_of_pixels(Truth(clip), seen)
    return (round(-lag, 1) if np.isfinite(lag) else 0.0), True


def by_source(results: Sequence[ClipResult]) -> dict[str, list[ClipResult]]:
    """Results of each data set, in the order they came."""
    groups: dict[str, list[ClipResult]] = {}
    for result in results:
        groups.setdefault(result.clip.source, []).append(result)
    return groups
