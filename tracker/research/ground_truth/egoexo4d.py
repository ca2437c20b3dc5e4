"""EgoExo4D's hand pose benchmark: takes seen by Project Aria glasses, 30/s, most every third frame annotated.

Prepared files lie as the public preparation writes them, in one folder::

    annotation/{manual,auto}/ego_pose_gt_anno_{train,val,test}_public.json
    image/undistorted/{train,val,test}/<take_name>/<frame, six digits>.jpg      landscape, 512 x 512
    aria_calib_json/<take_name>.json                                            only to make the pictures

A take is a clip at 10/s, turned upright, as trackers take it; its annotations, boxes and camera are also
there as they are, in landscape.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np

from tracker.cameras import Camera, Pinhole
from tracker.errors import UsageError
from tracker.joints import NUM_JOINTS
from tracker.research.ground_truth.egoexo4d_pictures import picture_path
from tracker.research.ground_truth.egoexo4d_prepared import annotation_name, read_annotations
from tracker.research.ground_truth.egoexo4d_release import (
    Take,
    calibration_path,
    nominal_camera,
    pose_path,
    read_aria_lens,
    read_poses,
    read_takes,
)
from tracker.research.ground_truth.egoexo4d_values import (
    ANNOTATED_RATE_HZ,
    FRAME_RATE_HZ,
    SIZE_PX,
    AnnotatedFrame,
    GivenHands,
    Tally,
)
from tracker.research.ground_truth.files import read_picture
from tracker.research.ground_truth.labelled import SIDES, LabelledClip
from tracker.research.ground_truth.quarter_turn import QuarterTurn
from tracker.structs import Frame

SOURCE = "EgoExo4D"
TURN = QuarterTurn(SIZE_PX, SIZE_PX)
SPLITS = ("train", "val", "test")
KINDS = ("manual", "auto")


@dataclass(frozen=True, eq=False)
class PreparedTake:
    """One take's annotated frames with the camera of their pictures."""

    uid: str
    name: str
    frames: tuple[AnnotatedFrame, ...]
    """In the order of their numbers."""
    camera: Pinhole
    """Of the landscape pictures."""
    pictures: tuple[Path, ...]
    """One for each frame, there or not."""
    lens: Camera | None = None
    """What took the pictures before they were undistorted, in landscape; None without its calibration."""
    own_camera: bool = False
    """The camera is the take's own, from the release, not the pinhole that every picture is made for."""

    def __len__(self) -> int:
        return len(self.frames)

    def given(self, index: int) -> GivenHands:
        """The boxes of a frame's hands, in the upright picture."""
        return GivenHands(self.frames[index].boxes_px()).upright(TURN)

    def read_upright(self, index: int) -> Frame:
        """One frame as a tracker takes it: upright, with the upright camera.

        Raises:
            UsageError: the picture is missing, damaged or of another size than 512 x 512.
        """
        frame = self.frames[index]
        image = read_picture(self.pictures[index], self.camera)
        return TURN.frame_upright(Frame(index, frame.frame_number / FRAME_RATE_HZ, image, self.camera))

    def only(self, indices: Sequence[int]) -> "PreparedTake":
        """The take with some of its frames."""
        return replace(
            self,
            frames=tuple(self.frames[index] for index in indices),
            pictures=tuple(self.pictures[index] for index in indices),
        )


def annotation_path(prepared: Path, split: str, kind: str = "manual") -> Path:
    """Where a split's prepared annotations are."""
    return prepared / "annotation" / kind / annotation_name(split)


def open_takes(
    prepared: Path, annotations: Path, split: str, *, release: Path | None = None, tally: Tally | None = None
) -> list[PreparedTake]:
    """The takes of an annotation file; see `takes_of`."""
    return takes_of(read_annotations(annotations), prepared, split, release=release, tally=tally)


def takes_of(
    frames: Sequence[AnnotatedFrame],
    prepared: Path,
    split: str,
    *,
    release: Path | None = None,
    tally: Tally | None = None,
) -> list[PreparedTake]:
    """Annotated frames as takes, each with its camera and pictures.

    Args:
        frames: of a prepared file.
        prepared: the folder of pictures.
        split: whose folder the pictures are in.
        release: where the takes' own intrinsics are; without it the pinhole that every picture is made for.
        tally: gets takes that have no usable camera pose, which are left out, and hands and frames without
            anything to compare with, which are not.

    Raises:
        UsageError: a file cannot be read or is something else.
    """
    by_take: dict[str, list[AnnotatedFrame]] = {}
    for frame in frames:
        by_take.setdefault(frame.take_uid, []).append(frame)
    listed = read_takes(release) if release is not None else {}
    takes = []
    for uid, of_take in by_take.items():
        try:
            camera = (
                nominal_camera() if release is None else _own_camera(release, split, uid, listed.get(uid))
            )
        except UsageError as error:
            if tally is None:
                raise
            tally.add("takes left out", str(error))
            continue
        if tally is not None:
            _tell_empty(of_take, tally)
        pictures = tuple(picture_path(prepared, split, frame) for frame in of_take)
        name = of_take[0].take_name
        lens = _lens(prepared, name, tally)
        takes.append(
            PreparedTake(uid, name, tuple(of_take), camera, pictures, lens, own_camera=release is not None)
        )
    return takes


def _lens(prepared: Path, take_name: str, tally: Tally | None) -> Camera | None:
    """None where there is no calibration that can be read; that is said of one that is there."""
    path = calibration_path(prepared, take_name)
    try:
        return None if path is None else read_aria_lens(path)
    except UsageError as error:
        if tally is not None:
            tally.add("calibrations that cannot be read", str(error))
        return None


def _own_camera(release: Path, split: str, take_uid: str, take: Take | None) -> Pinhole:
    path = pose_path(release, split, take_uid)
    if take is None or take.aria is None:
        raise UsageError(f"take {take_uid} is not in takes.json, or has no one Aria camera")
    if path is None:
        raise UsageError(f"take {take_uid} has no camera pose")
    return read_poses(path, take.aria).camera


def _tell_empty(frames: Sequence[AnnotatedFrame], tally: Tally) -> None:
    """Count what is annotated and has nothing to compare with."""
    for frame in frames:
        if not frame.hands:
            tally.add("frames without a hand", frame.where)
        for side, hand in frame.hands.items():
            if np.isfinite(hand.joints_in_camera_m).any() and not hand.valid.any():
                tally.add("hands without a valid joint", f"{frame.where}, {side.value}")


def with_pictures(takes: Sequence[PreparedTake], tally: Tally) -> list[PreparedTake]:
    """The takes without the frames whose picture is missing, which the public tools leave out too."""
    kept = []
    for take in takes:
        there = [index for index, path in enumerate(take.pictures) if path.is_file()]
        for index in sorted(set(range(len(take))) - set(there)):
            tally.add("frames without a picture", take.frames[index].where)
        if there:
            kept.append(take.only(there))
    return kept


def labelled_clip(take: PreparedTake) -> LabelledClip:
    """A take as a clip: upright pictures and answers."""
    frames = take.frames
    in_camera_m = np.full((len(frames), 2, NUM_JOINTS, 3), np.nan)
    marked_px = np.full((len(frames), 2, NUM_JOINTS, 2), np.nan)
    for row, frame in enumerate(frames):
        for column, side in enumerate(SIDES):
            if side in frame.hands:
                in_camera_m[row, column] = frame.hands[side].joints_in_camera_m
                marked_px[row, column] = frame.hands[side].joints_px
    return LabelledClip(
        name=take.name,
        source=SOURCE,
        joints_in_camera_m=TURN.points_upright(in_camera_m),
        joints_px=TURN.pixels_upright(marked_px),
        cameras=(TURN.camera_upright(take.camera),) * len(frames),
        read_frames=partial(_upright_frames, take),
        frame_rate_hz=ANNOTATED_RATE_HZ,
        complete=False,  # hands with too few valid joints are not annotated
        complete_by_side=False,
    )


def _upright_frames(take: PreparedTake) -> Iterator[Frame]:
    return (take.read_upright(index) for index in range(len(take)))


def holds(data: Path) -> bool:
    """Whether a folder is one of prepared files."""
    return any(annotation_path(data, split, kind).is_file() for split in SPLITS for kind in KINDS)


def open_clips(data: Path, tally: Tally) -> list[LabelledClip]:
    """The takes of the validation files, as ``evaluate`` takes them; without those, of the training files.

    Frames without a picture are left out, as the public tools do it, and counted.

    Raises:
        UsageError: nothing with answers and pictures is there.
    """
    for split in ("val", "train"):
        for kind in KINDS:
            path = annotation_path(data, split, kind)
            if path.is_file():
                takes = with_pictures(open_takes(data, path, split), tally)
                if takes:
                    return [labelled_clip(take) for take in takes]
    raise UsageError("; ".join([f"{data} has no EgoExo4D frames with answers", *tally.lines()]))
