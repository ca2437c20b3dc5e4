"""What systems that run side by side share: networks' weights, and what was read of the frame at hand.

In challenge mode a network says the same of a frame's boxes whichever system asks, so systems that differ in
placement, or in an ensemble's members, share its reading. Trackers share none: where one looks depends on
what it has tracked. They share weights and pictures.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import TypeVar, cast

from tracker.pipeline import TrackerConfig
from tracker.pose import Networks, PoseBackend, load_member
from tracker.pose.ensemble import Member
from tracker.pose.hamer import HamerOptions
from tracker.pose.networks import Once
from tracker.pose.potter import PotterOptions
from tracker.research.evaluation.egoexo4d_systems import BoxReader, OnTightBoxes, ReadBox, load_box_reader
from tracker.research.ground_truth.egoexo4d_values import GivenHands
from tracker.structs import Frame, HandEstimate, ObservedHand

Reading = TypeVar("Reading")
Choice = tuple[str, HamerOptions | None, PotterOptions | None]
"""A backend's name, and its options if it has any."""


class FrameMemory:
    """What was read of the newest frame, and how long it took."""

    def __init__(self, *, now_s: Callable[[], float] = time.perf_counter) -> None:
        self._now_s = now_s
        self._frame: Frame | None = None
        self._read: dict[object, tuple[object, float]] = {}
        self._spared_s = 0.0

    def clock_s(self) -> float:
        """As `time.perf_counter` would be, had nothing been shared.

        A reading that was there already passes on this clock as if it had been made: durations by it are a
        system's own, whatever runs beside it.
        """
        return self._now_s() + self._spared_s

    def once(self, frame: Frame, of: object, read: Callable[[], Reading]) -> Reading:
        """What ``read`` gives, or gave for the same frame and the same ``of``."""
        if frame is not self._frame:
            self._frame, self._read = frame, {}
        if of in self._read:
            reading, took_s = self._read[of]
            self._spared_s += took_s
            return cast(Reading, reading)
        start_s = self.clock_s()
        made = read()
        self._read[of] = made, self.clock_s() - start_s
        return made


class SharedBoxReader:
    """The light network, which reads the given boxes of a frame once."""

    def __init__(self, reader: BoxReader, memory: FrameMemory) -> None:
        self._reader, self._memory = reader, memory

    def read_all(self, frame: Frame, given: GivenHands) -> tuple[ReadBox, ...]:
        """See `BoxReader`."""
        return self._memory.once(frame, (self, given), lambda: self._reader.read_all(frame, given))


class SharedBackend:
    """A backend that reads the same detections of a frame once."""

    def __init__(self, backend: PoseBackend, memory: FrameMemory) -> None:
        self.name = backend.name
        self._backend, self._memory = backend, memory

    def estimate(self, frame: Frame, observed: Sequence[ObservedHand]) -> tuple[HandEstimate, ...]:
        """One estimate for each hand, in order."""
        detections = tuple(hand.detection for hand in observed)
        return self._memory.once(frame, (self, detections), lambda: self._backend.estimate(frame, observed))


class Shared:
    """What is loaded for systems that run side by side; what cannot be loaded is tried once."""

    def __init__(self) -> None:
        self.memory = FrameMemory()
        self.networks = Networks().shared()
        self.box_reader = Once(partial(_load_box_reader, self.memory))
        """By the name of the light network."""
        self._backends = Once(partial(_load_backend, self.networks, self.memory))

    def backend(self, member: Member, config: TrackerConfig) -> SharedBackend:
        """The backend of a member, or of a system that is one alone, for given boxes.

        Raises:
            TrackerError: it is unknown or cannot be loaded.
        """
        return self._backends(_choice(member, config))


def _load_box_reader(memory: FrameMemory, model: str) -> SharedBoxReader:
    return SharedBoxReader(load_box_reader(model), memory)


def _load_backend(networks: Networks, memory: FrameMemory, choice: Choice) -> SharedBackend:
    name, hamer, potter = choice
    backend = load_member(Member(name), hamer or HamerOptions(), potter or PotterOptions(), networks)
    return SharedBackend(OnTightBoxes(backend), memory)


def _choice(member: Member, config: TrackerConfig) -> Choice:
    """What a member is read with: equal for those that read alike."""
    hamer = config.hamer if member.backend == "hamer" else None
    potter = config.potter if member.backend == "potter" else None
    if member.checkpoint is not None:
        hamer = hamer and replace(hamer, checkpoint=member.checkpoint)
        potter = potter and replace(potter, checkpoint=member.checkpoint)
    return member.backend, hamer, potter
