"""HaMeR as a pose backend: observed hands in, joints and MANO parameters in the camera's axes out.

Crops are upright, never turned with the hand: HaMeR was trained on upright pictures, turned by up to 60
degrees, and its published crops are upright. Left hands are mirrored in the crop, and their results back.

With ``start`` the device reads the hands that are tracked already where they are expected, before the light
networks look; ``estimate`` keeps what turns out right and reads the others.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol

import numpy as np

from tracker.crops import Crop, CropKind, make_crop
from tracker.errors import MissingDependencyError
from tracker.joints import NUM_JOINTS, WRIST, FloatArray, Side
from tracker.structs import (
    ExpectedRegion,
    Frame,
    HandBox,
    HandEstimate,
    ManoParameters,
    ObservedHand,
)

if TYPE_CHECKING:
    from tracker.networks.picture_reader import HandReading

CROP_SAMPLES = 256
BOX_SCALE = 2.0
"""Side of the crop over the tight box around the joints, widened to ``BOX_ASPECT``, as published."""
BOX_ASPECT = 192 / 256
FOCAL_SAMPLES = 5000.0
"""Focal length of the published camera, in crop samples."""
MAX_SHIFT = 0.1
MAX_GROWTH = 1.2
"""An early crop is used if the hand lies within this share of its side, and within this factor in size."""

_MIRROR = np.array([-1.0, 1.0, 1.0])


@dataclass(frozen=True)
class HamerOptions:
    """Which files the backend reads, and how it runs."""

    checkpoint: Path | None = None
    """Official hamer.ckpt, or what the weights command made of it."""
    mano: Path | None = None
    """Official MANO_RIGHT.pkl, or what the weights command made of it."""
    engine: Literal["graph", "inductor", "tensorrt", "eager"] | None = None
    """How the network runs; graph on a GPU and eager on a CPU unless given."""
    crop: CropKind = "virtual"
    """Crops as turned cameras seen through the lens, or as plain squares of the picture."""
    compiled_folder: Path | None = None
    """Where compiled engines are kept."""


class Readings(Protocol):
    """Hands that are being read."""

    def wait(self) -> "tuple[HandReading, ...]":
        """One for each crop, in order."""
        ...


class Reader(Protocol):
    """What reads crops: ``tracker.networks.hand_reader.HandReader``."""

    def prepare(self, frame: Frame) -> None:
        """Bring a frame's picture to where it is read before its turn; from any thread."""
        ...

    def begin(self, frame: Frame, crops: list[Crop], mirrored: list[bool]) -> Readings:
        """Start reading crops of a frame's picture, mirrored where asked."""
        ...


@dataclass(frozen=True, eq=False)
class _Started:
    """Hands of one frame that are being read where they were expected."""

    frame: Frame
    regions: tuple[ExpectedRegion, ...]
    crops: list[Crop]
    boxes: list[HandBox]
    readings: Readings


@dataclass(frozen=True, eq=False)
class _Seen:
    """Where a track's hand was: its light network's box and HaMeR's."""

    box: HandBox
    hamer_box: HandBox


class HamerBackend:
    """Reads every hand with HaMeR; all hands of a frame are one batch."""

    name = "hamer"

    def __init__(self, reader: Reader, *, crop: CropKind = "virtual") -> None:
        self._reader = reader
        self._crop_kind: CropKind = crop
        self._seen: dict[int, _Seen] = {}
        self._started: _Started | None = None

    def prepare(self, frame: Frame) -> None:
        """Bring the frame's picture to the device before its turn; from any thread."""
        self._reader.prepare(frame)

    def start(self, frame: Frame, regions: Sequence[ExpectedRegion]) -> None:
        """Begin to read the hands of tracks that were seen a frame ago, where they are expected."""
        known = tuple(
            region for region in regions if region.unseen_s == 0.0 and region.track_id in self._seen
        )
        if not known:
            return
        boxes = [moved_box(self._seen[region.track_id], region.box) for region in known]
        crops = [make_crop(self._crop_kind, box, CROP_SAMPLES, frame.camera) for box in boxes]
        readings = self._reader.begin(frame, crops, [r.side is Side.LEFT for r in known])
        self._started = _Started(frame, known, crops, boxes, readings)

    def estimate(self, frame: Frame, observed: Sequence[ObservedHand]) -> tuple[HandEstimate, ...]:
        """One estimate for each hand, in order, each of the side that was observed."""
        boxes = [crop_box(hand.detection.estimate.joints_px) for hand in observed]
        self._seen = {
            hand.track_id: _Seen(hand.detection.box, box) for hand, box in zip(observed, boxes, strict=True)
        }
        started, self._started = self._started, None
        kept = usable(started, frame, observed, boxes) if started is not None else {}
        late = [index for index in range(len(observed)) if index not in kept]
        crops = [make_crop(self._crop_kind, boxes[i], CROP_SAMPLES, frame.camera) for i in late]
        mirrored = [observed[i].side is Side.LEFT for i in late]
        awaited = self._reader.begin(frame, crops, mirrored)  # given to the device before any wait
        read: dict[int, tuple[HandReading, Crop]] = {}
        if started is not None and kept:
            readings = started.readings.wait()
            read |= {index: (readings[number], started.crops[number]) for index, number in kept.items()}
        read |= dict(zip(late, zip(awaited.wait(), crops, strict=True), strict=True))
        return tuple(
            hand_estimate(*read[index], hand.side, hand.detection.presence)
            for index, hand in enumerate(observed)
        )


def usable(
    started: _Started, frame: Frame, observed: Sequence[ObservedHand], boxes: Sequence[HandBox]
) -> Mapping[int, int]:
    """Which hands were read early and are of the side and in the place that was expected.

    Returns:
        Numbers of the early crops by the index of their hand in ``observed``.
    """
    if started.frame is not frame:
        return {}
    numbers = {region.track_id: number for number, region in enumerate(started.regions)}
    return {
        index: number
        for index, (hand, box) in enumerate(zip(observed, boxes, strict=True))
        if (number := numbers.get(hand.track_id)) is not None
        and started.regions[number].side is hand.side
        and covers(started.boxes[number], box)
    }


def crop_box(joints_px: FloatArray) -> HandBox:
    """HaMeR's upright box around joints (21, 2): twice the tight box widened to 192:256, as a square."""
    low, high = joints_px.min(axis=0), joints_px.max(axis=0)
    width, height = high - low
    side = BOX_SCALE * max(float(height), float(width) / BOX_ASPECT)
    return HandBox((low + high) / 2, max(side, 1.0), 0.0)


def moved_box(seen: _Seen, expected: HandBox) -> HandBox:
    """HaMeR's box for a hand whose light network's box is expected at ``expected``."""
    growth = expected.size_px / seen.box.size_px
    offset = seen.hamer_box.center_px - seen.box.center_px
    return HandBox(expected.center_px + growth * offset, growth * seen.hamer_box.size_px, 0.0)


def covers(early: HandBox, box: HandBox) -> bool:
    """Whether a crop of ``early`` shows the hand about as one of ``box`` would."""
    shift = np.abs(early.center_px - box.center_px).max() / box.size_px
    growth = early.size_px / box.size_px
    return bool(shift <= MAX_SHIFT and 1 / MAX_GROWTH <= growth <= MAX_GROWTH)


def hand_estimate(reading: "HandReading", crop: Crop, side: Side, score: float) -> HandEstimate:
    """A hand in the camera's axes from what HaMeR says of its crop; left hands are mirrored back.

    With M the mirror (x negated) and R camera-from-crop, the joints of a left hand are R M J. MANO's root
    then turns by M R M: mirroring the model so turned gives the same.
    """
    flip = _MIRROR if side is Side.LEFT else np.ones(3)
    camera_from_crop = crop.camera_from_crop
    joints_m = (reading.joints_m * flip) @ camera_from_crop.T
    from_wrist_m = joints_m - joints_m[WRIST]
    seen = projected(reading)
    samples_per_m, middle = weak_camera(reading, side)
    weak_joints_m = (reading.joints_m * flip) @ crop.camera_from_flat_crop.T
    weak_joints_m += crop.weak_place(middle, samples_per_m)
    if side is Side.LEFT:
        seen = np.array([CROP_SAMPLES, 0.0]) + seen * (-1.0, 1.0)
    # MANO's wrist joint is where its root turns, so it stays; the model's mean joint is brought to zero.
    model_mean_m = from_wrist_m.mean(axis=0) + reading.joints_m[WRIST] * flip
    return HandEstimate(
        side=side,
        joints_px=crop.image_from_crop(seen),
        joints_from_wrist_m=from_wrist_m,
        joint_scores=np.full(NUM_JOINTS, score),
        mano=ManoParameters(
            global_orient=(flip[:, None] * camera_from_crop * flip) @ reading.global_orient,
            hand_pose=reading.hand_pose,
            betas=reading.betas,
            translation_m=-model_mean_m,
            mirrored=side is Side.LEFT,
        ),
        weak_joints_m=weak_joints_m,
    )


def projected(reading: "HandReading") -> FloatArray:
    """Crop points (21, 2) of the joints as HaMeR's weak-perspective camera sees them."""
    scale, x, y = reading.camera
    depth = 2.0 * FOCAL_SAMPLES / (CROP_SAMPLES * max(float(scale), 1e-6))
    placed = reading.joints_m + np.array([x, y, depth])
    return np.asarray(FOCAL_SAMPLES * placed[:, :2] / placed[:, 2:] + CROP_SAMPLES / 2)


def weak_camera(reading: "HandReading", side: Side) -> tuple[float, FloatArray]:
    """Samples a metre, and the crop point (2,) of MANO's origin, by HaMeR's scaled orthographic camera.

    With (s, x, y) its camera a joint J is seen at 128 (1 + s (J + (x, y))), a left hand's mirrored.
    """
    scale, x, y = reading.camera
    samples_per_m = CROP_SAMPLES / 2 * max(float(scale), 1e-6)
    middle = np.array([-x if side is Side.LEFT else x, y])
    return samples_per_m, CROP_SAMPLES / 2 + samples_per_m * middle


def load_hamer_reader(options: HamerOptions) -> Reader:
    """The network with its weights; of the options all but the crop matter.

    Raises:
        TrackerError: PyTorch is not installed, a file is not given or cannot be used, or the engine cannot.
    """
    try:
        from tracker.networks.hand_reader import load_hand_reader
    except ImportError as error:
        raise MissingDependencyError(
            "PyTorch is not installed; install this package with the extra `hamer`"
        ) from error
    if options.checkpoint is None or options.mano is None:
        raise MissingDependencyError(
            "the backend hamer needs the files of its network and of MANO: hamer.checkpoint and hamer.mano"
        )
    return load_hand_reader(
        options.checkpoint, options.mano, engine=options.engine, compiled_folder=options.compiled_folder
    )
