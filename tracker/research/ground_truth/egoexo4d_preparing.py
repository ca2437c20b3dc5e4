"""From a raw EgoExo4D release to prepared annotations: world to camera, filters, boxes, what was left out.

The public preparation's steps, redone: what it drops is dropped here too, but counted and named.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tracker.cameras import Camera, Pinhole
from tracker.errors import UsageError
from tracker.joints import WRIST, FloatArray, Side
from tracker.research.ground_truth import egoexo4d_filters as filters
from tracker.research.ground_truth.egoexo4d_raw import RawHand, raw_hands
from tracker.research.ground_truth.egoexo4d_release import (
    AriaPoses,
    Kind,
    Take,
    annotation_paths,
    calibration_path,
    pixel_grid,
    pose_path,
    read_aria_lens,
    read_poses,
    read_takes,
    takes_of_split,
)
from tracker.research.ground_truth.egoexo4d_values import (
    LARGEST_HAND_M,
    AnnotatedFrame,
    AnnotatedHand,
    Tally,
    spread_m,
)
from tracker.research.ground_truth.files import read_json
from tracker.research.ground_truth.labelled import BoolArray


@dataclass(frozen=True, eq=False)
class TakeFiles:
    """What preparing one take needs, read and checked."""

    take: Take
    annotation: Mapping[str, Any]
    poses: AriaPoses
    mask: BoolArray
    """(H, W) where the undistorted landscape picture shows anything."""


def lens_mask(lens: Camera, camera: Pinhole) -> BoolArray:
    """(H, W) the pixels of ``camera``'s picture whose rays fall into ``lens``'s picture."""
    seen_px = lens.project(camera.unproject(pixel_grid(camera)))
    with np.errstate(invalid="ignore"):
        inside = (seen_px >= 0) & (seen_px <= (lens.width - 1, lens.height - 1))
    return np.asarray(inside.all(axis=-1))


def prepare_annotations(
    release: Path,
    prepared: Path,
    split: str,
    kind: Kind,
    tally: Tally,
    *,
    observe: Callable[[int], None] = lambda takes: None,
) -> Iterator[AnnotatedFrame]:
    """The frames of a split that have a hand to keep, take by take.

    Args:
        release: the downloaded release.
        prepared: the folder of prepared files, with Aria's calibrations in it.
        split: train or val; the test set's annotations are not public.
        kind: marked by people, or automatic.
        tally: gets what was left out.
        observe: called with the number of takes dealt with, again and again.

    Raises:
        UsageError: there are no takes or no annotations.
    """
    takes, of_split = read_takes(release), takes_of_split(release, split)
    for take_uid, path in annotation_paths(release, split, kind).items():
        observe(1)
        if of_split is not None and take_uid not in of_split:
            tally.add(f"takes that splits.json counts to no hand poses of {split}", take_uid)
            continue
        try:
            files = read_take(release, prepared, split, takes, take_uid, path)
        except UsageError as error:
            tally.add("takes left out", str(error))
            continue
        tally.add("takes read")
        frames = list(take_frames(files, kind, tally))
        tally.add("takes without a frame to keep", take_uid, count=int(not frames))
        yield from frames


def read_take(
    release: Path, prepared: Path, split: str, takes: Mapping[str, Take], take_uid: str, path: Path
) -> TakeFiles:
    """All that one take needs.

    Raises:
        UsageError: something is missing or wrong; the message says what, and of which take.
    """
    take = takes.get(take_uid)
    if take is None:
        raise UsageError(f"take {take_uid} is not in takes.json")
    if not take.name:
        raise UsageError(f"take {take_uid} has no name in takes.json")
    if take.aria is None:
        raise UsageError(f"take {take_uid} has no one Aria camera")
    poses_at = pose_path(release, split, take_uid)
    if poses_at is None:
        raise UsageError(f"take {take_uid} has no camera pose")
    calibration_at = calibration_path(prepared, take.name)
    if calibration_at is None:
        raise UsageError(f"take {take_uid} has no calibration aria_calib_json/{take.name}.json")
    annotation = read_json(path)
    if not isinstance(annotation, Mapping):
        raise UsageError(f"{path} is no object of frames")
    poses = read_poses(poses_at, take.aria)
    return TakeFiles(take, annotation, poses, lens_mask(read_aria_lens(calibration_at), poses.camera))


def take_frames(files: TakeFiles, kind: Kind, tally: Tally) -> Iterator[AnnotatedFrame]:
    """The frames of one take that have a hand to keep, in the order of their numbers."""
    assert files.take.aria is not None
    numbered = sorted((int(key), key) for key in files.annotation if str(key).isdecimal())
    tally.add("frames whose key is no number", files.take.uid, len(files.annotation) - len(numbered))
    for number, key in numbered:
        where = f"{files.take.uid}, frame {key}"
        hands = raw_hands(files.annotation[key], files.take.aria)
        pose = files.poses.camera_from_world.get(key)
        if hands is None:
            tally.add("frames without joints in space", where)
            continue
        if pose is None:
            unusable = key in files.poses.unusable
            tally.add(
                "frames with no usable camera pose" if unusable else "frames without camera pose", where
            )
            continue
        kept = {
            side: hand
            for side in Side
            if (hand := keep_hand(hands[side], pose, files, kind, tally, f"{where}, {side.value}"))
            is not None
        }
        if kept:
            tally.add("frames kept")
            yield AnnotatedFrame(files.take.uid, files.take.name, number, kept)
        else:
            tally.add("frames without a hand to keep")


def keep_hand(
    raw: RawHand, camera_from_world: FloatArray, files: TakeFiles, kind: Kind, tally: Tally, where: str
) -> AnnotatedHand | None:
    """One hand with its joints filtered; None where too few are left. ``where`` names it for the tally."""
    for name, count in raw.unusable.items():
        tally.add(name, where, count)
    if spread_m(raw.joints_in_world_m) > LARGEST_HAND_M:
        tally.add("hands larger than half a metre; millimetres?", where)
    in_world_m = plausible_joints(raw, kind, tally)
    in_camera_m = in_world_m @ camera_from_world[:, :3].T + camera_from_world[:, 3]
    tally.add("joints behind Aria's camera", count=int((in_camera_m[:, 2] <= 0).sum()))
    camera, mask = files.poses.camera, files.mask
    projected_px = seen_joints(camera.project(in_camera_m), camera, mask, tally)
    marked_px = seen_joints(raw.marked_px, camera, mask)
    valid = filters.known(projected_px)
    for name, reject in (
        ("joints not marked in Aria's picture", filters.not_marked),
        (f"joints more than {filters.MAX_REPROJECTION_PX:g} px from their mark", filters.far_from_their_mark),
    ):
        rejected = reject(projected_px, marked_px) & valid
        tally.add(name, count=int(rejected.sum()))
        valid &= ~rejected
    if valid.sum() < filters.MIN_VALID_JOINTS:
        if np.isfinite(raw.joints_in_world_m).any():
            tally.add(f"hands with fewer than {filters.MIN_VALID_JOINTS} joints left", where)
        return None
    tally.add("hands kept")
    kept_m = filters.without(in_camera_m, ~valid)
    kept_m[WRIST] = in_camera_m[WRIST]  # what everything is measured from, scored or not
    box_px = filters.padded_box(filters.without(projected_px, ~valid), camera.width, camera.height)
    return AnnotatedHand(box_px, marked_px, kept_m, valid)


def plausible_joints(raw: RawHand, kind: Kind, tally: Tally) -> FloatArray:
    """(21, 3) joints in the world that hands can have; NaN for the others."""
    joints_m = raw.joints_in_world_m
    if kind == "manual":
        few = filters.too_few_views(joints_m, raw.views)
        unsaid = few & np.isnan(raw.views)
        tally.add("joints without a number of views", count=int(unsaid.sum()))
        tally.add(f"joints from fewer than {filters.MIN_VIEWS} views", count=int((few & ~unsaid).sum()))
        joints_m = filters.without(joints_m, few)
    headless = filters.of_a_hand_without_wrist(joints_m)
    tally.add("joints of hands without wrist", count=int(headless.sum()))
    joints_m = filters.without(joints_m, headless)
    bones, angles = filters.at_an_implausible_bone(joints_m), filters.at_an_implausible_angle(joints_m)
    tally.add("joints at an implausible bone", count=int(bones.sum()))
    tally.add("joints at an implausible angle", count=int((angles & ~bones).sum()))
    return filters.without(joints_m, bones | angles)


def seen_joints(
    joints_px: FloatArray, camera: Pinhole, mask: BoolArray, tally: Tally | None = None
) -> FloatArray:
    """(21, 2) the pixels that lie in the picture, where it shows something; NaN for the others."""
    outside = filters.outside_the_picture(joints_px, camera.width, camera.height)
    dark = filters.outside_the_mask(joints_px, mask)
    if tally is not None:
        tally.add("joints outside the picture", count=int(outside.sum()))
        tally.add("joints outside Aria's mask", count=int(dark.sum()))
    return filters.without(joints_px, outside | dark)
