"""Systems read the hands of all takes side by side; a run that was stopped can go on.

Flows in: takes, and of each system how it is loaded and which frames it has read before. Flows out: its
lines (`egoexo4d_lines`) and its hands. Each picture is read once, for all systems that lack it.
"""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, TextIO

from tracker.errors import TrackerError, UsageError
from tracker.joints import FloatArray, Side
from tracker.pose.networks import without_trace
from tracker.research.evaluation.egoexo4d_identity import Settings
from tracker.research.evaluation.egoexo4d_lines import (
    FrameKey,
    ReadHands,
    begin_lines,
    digest,
    frames_before,
    header_of,
    read_lines,
)
from tracker.research.evaluation.egoexo4d_submission import wrong_with_hand
from tracker.research.evaluation.egoexo4d_systems import System
from tracker.research.ground_truth.egoexo4d import TURN, PreparedTake
from tracker.research.ground_truth.egoexo4d_values import AnnotatedFrame, GivenHands, Tally
from tracker.research.ground_truth.labelled import SIDES
from tracker.structs import Frame
from tracker.whole_file import writing


@dataclass(frozen=True, eq=False)
class Job:
    """A system to run over takes, and where its hands go."""

    system: str
    """Its backend's name."""
    load: Callable[[], System]
    """Called where frames are left to read, and only there."""
    path: Path
    """Of the lines; must not be there unless resumed."""
    tally: Tally
    """Gets frames that could not be read and hands that were not found or are NaN."""
    stateful: bool = False
    """What it says of a frame depends on the frames before, so a take can only be read from its start."""
    settings: Settings = field(default_factory=dict)
    """How it is set up; a run is only resumed with the same."""
    resume: bool = False
    """Go on after the frames, of stateful systems the takes, that ``path`` holds already."""


def run_systems(
    jobs: Sequence[Job],
    takes: Sequence[PreparedTake],
    *,
    among: Sequence[AnnotatedFrame] | None = None,
    clock_s: Callable[[], float] = time.perf_counter,
    passed: Callable[[int], None] = lambda frames: None,
    observe: Callable[[int], None] = lambda frames: None,
    failed: Callable[[Job, TrackerError], None] = lambda job, error: None,
) -> list[ReadHands | TrackerError]:
    """Read all takes' hands with all systems, side by side, and write them: each picture is read once.

    A system that fails leaves the others running; its lines so far stay.

    Args:
        jobs: the systems; each begins each take anew.
        takes: frames in order.
        among: all frames of the annotation file, where some of it are not to be read, for want of a picture
            say; a run is only resumed on the same. Those of ``takes`` unless given.
        clock_s: by which a line's ``took_ms`` is measured.
        passed: called once with the number of frames that all systems have done before.
        observe: called with the number of frames dealt with, again and again.
        failed: called at once with a job that ends, and why.

    Returns:
        For each job its hands with those of the run that was resumed, or why there are none: a package or
        file it needs is not there, its lines are there, of another run or cannot be written.
    """
    boxes = digest([frame for take in takes for frame in take.frames] if among is None else among)
    runners = [_Runner(job, clock_s, failed) for job in jobs]
    try:
        for runner in runners:
            runner.attempt(partial(runner.begin, takes, boxes))
        work = [(take, _lacking(runners, take)) for take in takes]
        passed(sum(len(take) - len(lacking) for take, lacking in work))
        for take, lacking in work:
            _read_take(take, lacking, observe)
    finally:
        for runner in runners:
            runner.close()
    return [runner.result() for runner in runners]


def refuse_other_lines(jobs: Sequence[Job], among: Sequence[AnnotatedFrame]) -> None:
    """Before anything is loaded: lines that a job would not go on with.

    Raises:
        UsageError: they are there, and are not to be gone on with or are of another run.
    """
    boxes = digest(among)
    for job in jobs:
        frames_before(job.path, header_of(job.system, job.settings, boxes), resume=job.resume)


def _lacking(runners: Sequence["_Runner"], take: PreparedTake) -> dict[int, list["_Runner"]]:
    """By the index of a frame, in order, the systems that have not read it."""
    keys = [(take.uid, frame.frame_number) for frame in take.frames]
    lacking = [[runner for runner in runners if runner.lacks(key)] for key in keys]
    return {index: those for index, those in enumerate(lacking) if those}


def _read_take(
    take: PreparedTake, lacking: Mapping[int, Sequence["_Runner"]], observe: Callable[[int], None]
) -> None:
    for runner in dict.fromkeys(runner for those in lacking.values() for runner in those):
        runner.attempt(runner.begin_take)
    for index, those in lacking.items():
        going = [runner for runner in those if runner.error is None]
        if not going:
            continue
        try:
            picture: Frame | UsageError = take.read_upright(index)
        except UsageError as error:
            picture = error
        given = take.given(index)
        for runner in going:
            runner.attempt(partial(runner.read, take.frames[index], picture, given))
        observe(1)


class _Runner:
    """A job under way."""

    def __init__(
        self, job: Job, clock_s: Callable[[], float], failed: Callable[[Job, TrackerError], None]
    ) -> None:
        self.error: TrackerError | None = None
        self._job, self._clock_s, self._failed = job, clock_s, failed
        self._done: set[FrameKey] = set()
        self._system: System | None = None
        self._file: TextIO | None = None

    def attempt(self, part: Callable[[], None]) -> None:
        """Do a part of the job; what fails ends this job and no other."""
        if self.error is None:
            try:
                part()
            except TrackerError as error:
                self.error = without_trace(error)
                self.close()
                self._failed(self._job, self.error)

    def begin(self, takes: Sequence[PreparedTake], boxes: str) -> None:
        """See what is done already; where frames are left, load the system and begin its lines."""
        job = self._job
        header = header_of(job.system, job.settings, boxes)
        kept = frames_before(job.path, header, resume=job.resume)
        wanted = {take.uid: {(take.uid, frame.frame_number) for frame in take.frames} for take in takes}
        if job.stateful:
            kept = {key: line for key, line in kept.items() if wanted.get(key[0], set()) <= kept.keys()}
        self._done = set(kept)
        if set().union(*wanted.values()) - self._done:
            self._system = job.load()
        begin_lines(job.path, header, kept.values())

    def lacks(self, key: FrameKey) -> bool:
        """Whether it is to read a frame that it has not read."""
        return self.error is None and key not in self._done

    def begin_take(self) -> None:
        """A new take begins."""
        assert self._system is not None
        self._system.begin_take()

    def read(self, annotated: AnnotatedFrame, picture: Frame | UsageError, given: GivenHands) -> None:
        """Read one frame, or take down why its picture cannot be read."""
        line: dict[str, Any] = {
            "type": "frame",
            "take_uid": annotated.take_uid,
            "frame": annotated.frame_number,
        }
        if isinstance(picture, UsageError):
            self._job.tally.add("frames that could not be read", f"{annotated.where}: {picture}")
            self._write(line | {"type": "unreadable", "reason": str(picture)})
            return
        assert self._system is not None
        start_s = self._clock_s()
        hands = self._system(picture, given)
        line["took_ms"] = round(1e3 * (self._clock_s() - start_s), 3)
        for side in SIDES:
            joints_m = self._usable(hands.get(side), side, given, annotated.where)
            in_landscape = None if joints_m is None else TURN.points_landscape(joints_m).tolist()
            line[f"{side.value}_hand_3d"] = in_landscape
        self._write(line)

    def _usable(
        self, joints_m: FloatArray | None, side: Side, given: GivenHands, where: str
    ) -> FloatArray | None:
        """A hand, if it is one; counted where it is none."""
        wrong = None if joints_m is None else wrong_with_hand(joints_m)
        if wrong is not None:
            self._job.tally.add("answers that are no hand", f"{where}, {side.value}: {wrong[1]}")
            return None
        if joints_m is None and side in given.sides:
            self._job.tally.add("hands not found", f"{where}, {side.value}")
        return joints_m

    def _write(self, line: Mapping[str, Any]) -> None:
        with writing(self._job.path):
            if self._file is None:
                self._file = self._job.path.open("a", encoding="utf-8")
            self._file.write(json.dumps(line) + "\n")  # one write a line
            self._file.flush()

    def close(self) -> None:
        """Free what it holds; safe to call twice."""
        system, self._system = self._system, None
        file, self._file = self._file, None
        if system is not None:
            system.close()
        if file is not None:
            with suppress(OSError):  # of a full disk, which `_write` has said
                file.close()

    def result(self) -> ReadHands | TrackerError:
        """All hands of its lines, or why there are none."""
        hands: list[ReadHands] = []
        self.attempt(lambda: hands.append(read_lines(self._job.path)))
        return hands[0] if self.error is None else self.error
