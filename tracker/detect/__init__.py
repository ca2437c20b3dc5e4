"""Find the hands of a frame: the light networks look where tracks expect hands, and for new ones.

Flows in: a `Frame` and the tracks' `ExpectedRegion`s. Flows out: a `HandDetection` per hand seen.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Literal, Protocol

import numpy as np

from tracker.crops import CropKind
from tracker.detect.landmarks import LandmarkReader
from tracker.detect.palm import Palm, PalmFinder, box_iou
from tracker.detect.schedule import PalmSchedule
from tracker.detect.second_core import SecondCore
from tracker.errors import UsageError
from tracker.networks.onnx_session import Device, OnnxNetwork
from tracker.sampling import opencv
from tracker.structs import ExpectedRegion, Frame, HandBox, HandDetection

ASSOCIATION_IOU = 0.5
"""A palm whose region overlaps a hand already seen by more than this is that hand."""


class Detector(Protocol):
    """Finds the hands of a frame."""

    def detect(self, frame: Frame, regions: Sequence[ExpectedRegion]) -> tuple[HandDetection, ...]:
        """Hands seen in ``frame``: those in expected regions first, in their order, then new ones."""
        ...

    def close(self) -> None:
        """End the detector's threads."""
        ...


@dataclass(frozen=True)
class DetectorConfig:
    """How hands are found."""

    max_hands: int = 2
    """Look for new hands while fewer than this are tracked."""
    landmark_model: Literal["full", "lite"] = "full"
    """Landmark network: full is more exact, lite takes half the time."""
    landmark_crop: CropKind = "virtual"
    """Crops as turned cameras seen through the lens, or as plain squares of the picture."""
    min_palm_score: float = 0.3
    """Palms below this are not looked at further."""
    min_presence: float = 0.5
    """Hands below this are not there."""

    def __post_init__(self) -> None:
        if self.max_hands < 1:
            raise UsageError(f"the number of hands to look for is {self.max_hands}; give 1 or more")


class HandDetector:
    """Palm and landmark networks; hands are read in parallel, one thread each."""

    def __init__(self, config: DetectorConfig, *, device: Device = "cpu") -> None:
        self._config = config
        self._second_core = SecondCore()
        self._pool = ThreadPoolExecutor(
            max_workers=2, thread_name_prefix="landmarks", initializer=self._second_core.join
        )
        networks = self._pool.map(
            lambda name: OnnxNetwork(name, threads=1, device=device),
            ("palm_detection_full", f"hand_landmark_{config.landmark_model}"),
        )
        opencv()  # imported while the networks are opened
        palm, landmark = networks
        self._palms = PalmFinder(palm, min_score=config.min_palm_score)
        self._reader = LandmarkReader(
            landmark, crop_kind=config.landmark_crop, min_presence=config.min_presence
        )
        self._schedule = PalmSchedule(config.max_hands)

    def detect(self, frame: Frame, regions: Sequence[ExpectedRegion]) -> tuple[HandDetection, ...]:
        """Hands seen in ``frame``: those in expected regions first, in their order, then new ones."""
        palms: list[Palm] = []
        squares = self._schedule.squares(frame.camera, regions)

        def find_palms() -> None:
            palms.extend(self._palms.find(frame.image_rgb, squares, frame.camera))

        hands = [(region.box, region.track_id) for region in regions]
        expected = self._read(frame, hands, meanwhile=find_palms if squares else None)
        live = {region.track_id for region in regions if region.unseen_s == 0}
        missing = self._config.max_hands - sum(hand.expected_track_id in live for hand in expected)
        boxes = new_hand_boxes(palms, expected, missing)
        found = self._read(frame, [(box, None) for box in boxes])
        return (*expected, *found)

    def _read(
        self,
        frame: Frame,
        hands: Sequence[tuple[HandBox, int | None]],
        meanwhile: Callable[[], None] | None = None,
    ) -> list[HandDetection]:
        """The hands seen in boxes, in order; with each box, the track that expects a hand there.

        This thread says where each crop's samples lie, since short array operations in two threads wait for
        each other; sampling and the networks run side by side. Once the others are being read, this thread
        would only wait, so it reads the last one itself unless it has something to do meanwhile.
        """
        self._second_core.keep_clear()
        given = len(hands) if meanwhile is not None else max(len(hands) - 1, 0)
        awaited = [self._pool.submit(self._prepared(frame, *hand)) for hand in hands[:given]]
        own = [self._prepared(frame, *hand) for hand in hands[given:]]
        if meanwhile is not None:
            meanwhile()
        read = [job() for job in own]
        return [seen for seen in (*(future.result() for future in awaited), *read) if seen is not None]

    def _prepared(
        self, frame: Frame, box: HandBox, track_id: int | None
    ) -> Callable[[], HandDetection | None]:
        """What reads ``box``, its samples' places known already."""
        crop, places = self._reader.crop(box, frame.camera)
        return partial(self._reader.confirm, frame.image_rgb, crop, places, expected_track_id=track_id)

    def close(self) -> None:
        """End the detector's threads."""
        self._pool.shutdown(wait=True, cancel_futures=True)


def load_detector(config: DetectorConfig | None = None, *, device: Device = "cpu") -> HandDetector:
    """The shipped networks, opened.

    Raises:
        MissingDependencyError: ONNX Runtime is not installed.
    """
    return HandDetector(config or DetectorConfig(), device=device)


def new_hand_boxes(palms: list[Palm], seen: Sequence[HandDetection], limit: int) -> list[HandBox]:
    """Boxes of at most ``limit`` palms that lie on no hand in ``seen``, best first."""
    taken = [_upright(detection.box) for detection in seen]
    boxes: list[HandBox] = []
    for palm in palms:
        box = palm.hand_box()
        if len(boxes) < limit and all(box_iou(_upright(box), other) <= ASSOCIATION_IOU for other in taken):
            boxes.append(box)
            taken.append(_upright(box))
    return boxes


def _upright(box: HandBox) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    return np.array([*box.center_px, box.size_px, box.size_px])
