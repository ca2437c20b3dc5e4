"""Hands to train on: which picture each is in, its box, its marks, and what else is known of it.

Whatever has annotations becomes `TrainingHand`s, so training knows no data set. All is in upright pictures
and their cameras' axes, as backends take frames; EgoExo4D's pictures lie on their side and are turned when
they are read. Hands that cannot be used are counted and named, never silently left out.
"""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tracker.cameras import Camera
from tracker.errors import UsageError
from tracker.joints import NUM_JOINTS, WRIST, FloatArray, Side
from tracker.pose.potter import BOX_OVER_HAND
from tracker.research.finetuning.fitted_hands import FittedHands
from tracker.research.ground_truth.egoexo4d import SOURCE, TURN, PreparedTake
from tracker.research.ground_truth.egoexo4d_values import Tally
from tracker.research.ground_truth.files import read_picture
from tracker.research.ground_truth.labelled import SIDES, BoolArray, LabelledClip
from tracker.research.ground_truth.quarter_turn import QuarterTurn
from tracker.structs import ImageArray, ManoParameters

LEAST_MARKED = 5
"""A hand with fewer marked joints says too little to train on."""


@dataclass(frozen=True, eq=False)
class TrainingHand:
    """One hand in one picture.

    Raises:
        UsageError: an array has another shape, or the box is none.
    """

    picture: Path
    camera: Camera
    """Of the upright picture."""
    on_its_side: bool
    """The file holds the picture in landscape, as `quarter_turn` says; it is turned upright on reading."""
    side: Side
    box_px: FloatArray
    """(4,) left, upper, right and lower edge around the joints, without a margin."""
    joints_px: FloatArray
    """(21, 2); NaN where a joint is not marked."""
    joints_in_camera_m: FloatArray
    """(21, 3); NaN where not known."""
    source: str
    """The data set."""
    mano: ManoParameters | None = None
    """Parameters that were fitted to the hand, in the camera's axes."""

    def __post_init__(self) -> None:
        shapes = (self.box_px.shape, self.joints_px.shape, self.joints_in_camera_m.shape)
        if shapes != ((4,), (NUM_JOINTS, 2), (NUM_JOINTS, 3)):
            raise UsageError(
                f"{self.picture}: box and joints have shapes {shapes}, want (4,), (21, 2), (21, 3)"
            )
        if not (np.isfinite(self.box_px).all() and (self.box_px[2:] > self.box_px[:2]).all()):
            raise UsageError(f"{self.picture}: the box {self.box_px.tolist()} holds nothing")

    @property
    def visible(self) -> BoolArray:
        """(21,) joints that are marked."""
        return np.asarray(np.isfinite(self.joints_px).all(axis=-1))

    @property
    def known(self) -> BoolArray:
        """(21,) joints whose place against the wrist is known; none where the wrist's is not."""
        known: BoolArray = np.asarray(np.isfinite(self.joints_in_camera_m).all(axis=-1))
        return known if known[WRIST] else np.zeros_like(known)

    @property
    def where(self) -> str:
        """For messages."""
        return f"{self.picture}, {self.side.value} hand"

    def read_picture(self) -> ImageArray:
        """The upright picture (H, W, 3).

        Raises:
            UsageError: missing, damaged, or of another size than the camera.
        """
        if not self.on_its_side:
            return read_picture(self.picture, self.camera)
        turn = QuarterTurn(self.camera.height, self.camera.width)
        return turn.image_upright(read_picture(self.picture, turn.camera_landscape(self.camera)))


def hands_of_takes(
    takes: Iterable[PreparedTake], tally: Tally, *, fitted: FittedHands | None = None
) -> list[TrainingHand]:
    """The hands of EgoExo4D's takes, with boxes as the challenge's systems read them: margins taken off.

    Args:
        takes: of an annotation file with joints.
        tally: gets frames without a picture and hands that cannot be used.
        fitted: pseudo labels, which then take the place of the annotated joints in space; a hand without a
            good one has none.
    """
    return [hand for take in takes for hand in _hands_of_take(take, tally, fitted)]


def _hands_of_take(take: PreparedTake, tally: Tally, fitted: FittedHands | None) -> Iterator[TrainingHand]:
    camera = TURN.camera_upright(take.camera)
    for frame, picture in zip(take.frames, take.pictures, strict=True):
        if not picture.is_file():
            tally.add("frames without a picture", frame.where)
            continue
        for side, hand in frame.hands.items():
            box_px = tightened(TURN.boxes_upright(hand.box_px))
            joints_px = TURN.pixels_upright(hand.joints_px)
            if not usable(box_px, joints_px, f"{frame.where}, {side.value} hand", tally):
                continue
            in_camera_m, mano = TURN.points_upright(hand.joints_in_camera_m), None
            if fitted is not None:
                label = fitted.find(frame.take_uid, frame.frame_number, side)
                in_camera_m, mano = label or (np.full_like(in_camera_m, np.nan), None)
            yield TrainingHand(picture, camera, True, side, box_px, joints_px, in_camera_m, SOURCE, mano)


def hands_of_clips(clips: Iterable[LabelledClip], tally: Tally) -> list[TrainingHand]:
    """The hands of other data sets, with boxes around their marks; marks of hidden joints are not trained on.

    Raises:
        UsageError: a clip's pictures are no files of their own, as a video's are.
    """
    return [hand for clip in clips for hand in _hands_of_clip(clip, tally)]


def _hands_of_clip(clip: LabelledClip, tally: Tally) -> Iterator[TrainingHand]:
    if len(clip.pictures) != len(clip):
        raise UsageError(f"{clip.name} is no set of picture files; training reads pictures in any order")
    for row, picture in enumerate(clip.pictures):
        if not picture.is_file():
            tally.add("frames without a picture", str(picture))
            continue
        for column, side in enumerate(SIDES):
            joints_px = clip.joints_px[row, column]
            if np.isnan(joints_px).all():
                continue  # no such hand in this picture
            marked_px = joints_px[np.isfinite(joints_px).all(axis=-1)]
            box_px = (
                np.concatenate([marked_px.min(axis=0), marked_px.max(axis=0)]) if len(marked_px) else None
            )
            if clip.hidden is not None:
                joints_px = np.where(clip.hidden[row, column, :, None], np.nan, joints_px)
            if box_px is not None and usable(box_px, joints_px, f"{picture}, {side.value} hand", tally):
                in_camera_m = clip.joints_in_camera_m[row, column]
                camera = clip.cameras[row]
                yield TrainingHand(picture, camera, False, side, box_px, joints_px, in_camera_m, clip.source)


def usable(box_px: FloatArray, joints_px: FloatArray, where: str, tally: Tally) -> bool:
    """Whether a hand says enough to train on; counted and named where not."""
    if np.isfinite(joints_px).all(axis=-1).sum() < LEAST_MARKED:
        tally.add(f"hands with fewer than {LEAST_MARKED} marked joints", where)
        return False
    if not (np.isfinite(box_px).all() and (box_px[2:] > box_px[:2]).all()):
        tally.add("hands with an empty box", where)
        return False
    return True


def tightened(box_px: FloatArray) -> FloatArray:
    """The box (4,) without the margin of EgoExo4D's boxes."""
    middle, half = (box_px[:2] + box_px[2:]) / 2, (box_px[2:] - box_px[:2]) / (2 * BOX_OVER_HAND)
    return np.concatenate([middle - half, middle + half])


def fingerprint(hands: Sequence[TrainingHand]) -> str:
    """Of the hands in their order, wherever their pictures lie: two runs on one data set have the same."""
    digest = hashlib.sha256()
    for hand in hands:
        digest.update(f"{hand.picture.name} {hand.side.value}".encode())
        mano = () if hand.mano is None else (hand.mano.global_orient, hand.mano.hand_pose, hand.mano.betas)
        for values in (hand.box_px, hand.joints_px, hand.joints_in_camera_m, *mano):
            digest.update(np.ascontiguousarray(values, dtype=np.float64).tobytes())
    return digest.hexdigest()[:16]
