"""Find the hands of a frame: the light networks look where tracks expect hands, and for new ones.

Flows in: a `Frame` and the tracks' `ExpectedRegion`s. Flows out: a `HandDetection` per hand seen.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np

from tracker.crops import CropKind
from tracker.detect.landmarks import LandmarkReader
from tracker.detect.palm import Palm, PalmFinder, box_iou
from tracker.detect.schedule import PalmSchedule
from tracker.errors import UsageError
from tracker.networks.onnx_session import Device, OnnxNetwork
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
    min_palm_score: float = 0.5
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
        self._pool = ThreadPoolExecutor(max_workers=2, thread_name_prefix="landmarks")
        palm, landmark = self._pool.map(
            lambda name: OnnxNetwork(name, threads=1, device=device),
            ("palm_detection_full", f"hand_landmark_{config.landmark_model}"),
        )
        self._palms = PalmFinder(palm, min_score=config.min_palm_score)
        self._reader = LandmarkReader(
            landmark, crop_kind=config.landmark_crop, min_presence=config.min_presence
        )
        self._schedule = PalmSchedule(config.max_hands)

    def detect(self, frame: Frame, regions: Sequence[ExpectedRegion]) -> tuple[HandDetection, ...]:
        """Hands seen in ``frame``: those in expected regions first, in their order, then new ones."""
        image, camera = frame.image_rgb, frame.camera

        def confirm(box: HandBox, track_id: int | None = None) -> HandDetection | None:
            return self._reader.confirm(image, box, camera, expected_track_id=track_id)

        live_hands = sum(region.unseen_s == 0 for region in regions)
        squares = self._schedule.squares(camera, live_hands)
        # With no palms to find this thread would only wait: it reads the first hand itself.
        mine = 0 if squares else 1
        awaited = [self._pool.submit(confirm, region.box, region.track_id) for region in regions[mine:]]
        palms = self._palms.find(image, squares, camera)
        read = [confirm(region.box, region.track_id) for region in regions[:mine]]
        read += [future.result() for future in awaited]
        expected = [seen for seen in read if seen is not None]
        boxes = new_hand_boxes(palms, expected, self._config.max_hands - len(expected))
        found = [seen for seen in self._pool.map(confirm, boxes) if seen is not None]
        return (*expected, *found)

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
