"""A downloaded EgoExo4D release: takes, where its annotations are, camera poses, and Aria's calibrations.

- ``takes.json``: ``[{take_uid, take_name, root_dir, capture: {cameras: [{cam_id, is_ego}]}, ...}]``;
- ``annotations/splits.json``: ``{split_to_take_uids: {split: [uid]}, take_uid_to_benchmark: {uid: [name]}}``;
- ``annotations/ego_pose/{train,val}/hand/{annotation,automatic}/<take_uid>.json``: see `egoexo4d_raw`;
- ``annotations/ego_pose/{train,val}/camera_pose/<take_uid>.json``:
  ``{cam: {camera_intrinsics: 3 x 3, camera_extrinsics: {frame: 3 x 4, camera from world}}}``;
- ``takes/<take_name>/frame_aligned_videos/<cam>_214-1.mp4``: the upright video;
- ``aria_calib_json/<take_name>.json``, in the folder of prepared files: the calibration of Aria's recording.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Literal

import numpy as np

from tracker.cameras import Camera, Pinhole, camera_from_json
from tracker.cameras.files import from_aria
from tracker.errors import CameraError, UsageError
from tracker.joints import FloatArray
from tracker.research.ground_truth.egoexo4d_values import CENTRE_TOLERANCE_PX, FOCAL_PX, SIZE_PX
from tracker.research.ground_truth.files import numbers, pinhole, read_json

Kind = Literal["manual", "auto"]
FOLDER_OF_KIND: dict[Kind, str] = {"manual": "annotation", "auto": "automatic"}
BENCHMARK = "ego_pose"
"""The name in ``splits.json`` of what has hand poses."""
ROTATION_TOLERANCE = 1e-3
"""A matrix farther from orthonormal than this, in any entry of R R^T, is no rotation."""
ARIA_SIZE_PX = 1408
"""Of the videos, and of the calibration that belongs to them."""
FULL_SIZE_FOCAL_PX = 900.0
"""A greater focal length is that of the sensor's own 2880 pixels."""
FULL_SIZE_BORDER_PX = 32
"""The videos are the middle 2816 of 2880 pixels, halved."""


@dataclass(frozen=True)
class Take:
    """One take, as ``takes.json`` lists it."""

    uid: str
    name: str
    """The name of its folder."""
    aria: str | None
    """The name of its one Aria camera; None where there is none, or several that cannot be told apart."""


@dataclass(frozen=True, eq=False)
class AriaPoses:
    """Aria's undistorted camera and where it was."""

    camera: Pinhole
    camera_from_world: Mapping[str, FloatArray]
    """(3, 4) by the frame's key."""
    unusable: frozenset[str] = frozenset()
    """The keys of frames whose pose is none: no numbers, or no rotation."""


def read_takes(release: Path) -> dict[str, Take]:
    """The takes of a release by their uid.

    Raises:
        UsageError: ``takes.json`` cannot be read or is something else.
    """
    path = release / "takes.json"
    entries = read_json(path)
    if not isinstance(entries, list):
        raise UsageError(f"{path} is no list of takes")
    takes = {}
    for entry in entries:
        if not isinstance(entry, Mapping) or not isinstance(entry.get("take_uid"), str):
            raise UsageError(f"{path} has a take without take_uid")
        name = PurePosixPath(str(entry.get("root_dir") or entry.get("take_name") or "")).name
        takes[entry["take_uid"]] = Take(entry["take_uid"], name, aria_name(entry))
    return takes


def aria_name(take: Mapping[str, Any]) -> str | None:
    """The name of a take's Aria camera, by the rule of the public tools.

    The camera that is worn; of several those with a frame-aligned video; of several the one named after Aria.
    """
    capture, videos = take.get("capture"), take.get("frame_aligned_videos")
    listed = capture.get("cameras") if isinstance(capture, Mapping) else None
    cameras = [camera for camera in listed if isinstance(camera, Mapping)] if isinstance(listed, list) else []
    worn = [str(camera.get("cam_id")) for camera in cameras if str(camera.get("is_ego")).lower() == "true"]
    if len(worn) > 1:
        worn = [name for name in worn if isinstance(videos, Mapping) and name in videos]
    if len(worn) > 1:
        worn = [name for name in worn if "aria" in name.lower()]
    return worn[0] if len(worn) == 1 else None


def annotation_paths(release: Path, split: str, kind: Kind) -> dict[str, Path]:
    """The raw annotation files of a split by take.

    Raises:
        UsageError: there are none.
    """
    folder = release / "annotations" / "ego_pose" / split / "hand" / FOLDER_OF_KIND[kind]
    found = {path.stem: path for path in sorted(folder.glob("*.json"))}
    if not found:
        raise UsageError(f"{folder} holds no annotations; download the parts annotations and metadata")
    return found


def takes_of_split(release: Path, split: str) -> frozenset[str] | None:
    """The takes that ``splits.json`` counts to a split and to the benchmark; None without that file.

    Raises:
        UsageError: the file cannot be read or does not say it.
    """
    path = release / "annotations" / "splits.json"
    if not path.is_file():
        return None
    values = read_json(path)
    splits, benchmarks = (
        values.get(name) if isinstance(values, Mapping) else None
        for name in ("split_to_take_uids", "take_uid_to_benchmark")
    )
    of_split = splits.get(split) if isinstance(splits, Mapping) else None
    if not isinstance(of_split, list) or not isinstance(benchmarks, Mapping):
        raise UsageError(f"{path} does not say which takes are of {split} and of which benchmark")
    return frozenset(
        uid
        for uid in of_split
        if isinstance(uid, str) and isinstance(names := benchmarks.get(uid), list) and BENCHMARK in names
    )


def pose_path(release: Path, split: str, take_uid: str) -> Path | None:
    """Where a take's camera poses are, if anywhere."""
    folder = release / "annotations" / "ego_pose" / split
    for path in (folder / "camera_pose", folder / "hand" / "camera_pose"):
        if (path / f"{take_uid}.json").is_file():
            return path / f"{take_uid}.json"
    return None


def read_poses(path: Path, aria: str) -> AriaPoses:
    """Aria's intrinsics and poses; those that are none are named as `AriaPoses.unusable`.

    Raises:
        UsageError: the file lacks them, or the intrinsics are not those of a prepared picture.
    """
    values = read_json(path)
    of_aria = values.get(aria) if isinstance(values, Mapping) else None
    extrinsics = of_aria.get("camera_extrinsics") if isinstance(of_aria, Mapping) else None
    if not isinstance(of_aria, Mapping) or not isinstance(extrinsics, Mapping):
        raise UsageError(f"{path} has no poses of the camera {aria}")
    read = {str(key): _pose(matrix) for key, matrix in extrinsics.items()}
    poses = {key: pose for key, pose in read.items() if pose is not None}
    camera = read_intrinsics(of_aria.get("camera_intrinsics"), str(path))
    return AriaPoses(camera, poses, frozenset(read.keys() - poses.keys()))


def _pose(matrix: Any) -> FloatArray | None:
    """(3, 4) a rotation beside a translation; None for what is no such pose."""
    try:
        pose = numbers(matrix, "")
    except UsageError:
        return None
    if pose.shape != (3, 4) or not np.isfinite(pose).all():
        return None
    rotation = pose[:, :3]
    off = float(np.abs(rotation @ rotation.T - np.eye(3)).max())
    return pose if off <= ROTATION_TOLERANCE and np.linalg.det(rotation) > 0 else None


def read_intrinsics(matrix: Any, where: str) -> Pinhole:
    """The pinhole of the undistorted picture.

    Raises:
        UsageError: no 3 x 3 matrix, or one of a picture of another size or focal length.
    """
    camera = pinhole(matrix, (SIZE_PX, SIZE_PX), where)
    middle = (SIZE_PX - 1) / 2
    off_px = max(abs(camera.cx - middle), abs(camera.cy - middle))
    if (
        off_px > CENTRE_TOLERANCE_PX
        or not 0.5 < camera.fx / FOCAL_PX < 2
        or not 0.5 < camera.fy / FOCAL_PX < 2
    ):
        raise UsageError(
            f"{where}: the intrinsics (f {camera.fx:g}, {camera.fy:g}, c {camera.cx:g}, {camera.cy:g}) are "
            f"not those of the undistorted picture of {SIZE_PX} x {SIZE_PX} (f {FOCAL_PX:g}, c {middle:g})"
        )
    return camera


def nominal_camera() -> Pinhole:
    """The landscape pinhole to which every picture is undistorted."""
    middle = (SIZE_PX - 1) / 2
    return Pinhole(SIZE_PX, SIZE_PX, FOCAL_PX, FOCAL_PX, middle, middle)


def pixel_grid(camera: Camera) -> FloatArray:
    """(H, W, 2) the middles of a camera's pixels."""
    columns, rows = np.arange(camera.width, dtype=np.float64), np.arange(camera.height, dtype=np.float64)
    return np.stack(np.meshgrid(columns, rows), axis=-1)


def calibration_path(prepared: Path, take_name: str) -> Path | None:
    """Where a take's calibration is, if anywhere: the public tools have used both places."""
    for folder in (prepared / "aria_calib_json", prepared / "aria_calib_json" / "takes"):
        if (folder / f"{take_name}.json").is_file():
            return folder / f"{take_name}.json"
    return None


def read_aria_lens(path: Path) -> Camera:
    """The lens of Aria's RGB camera for the landscape picture of 1408 pixels.

    A calibration of the sensor's 2880 pixels is brought to the videos' size as the public tools do it:
    f / 2 and (c - 0.5 - 32) / 2.

    Raises:
        UsageError: the file holds no calibration of that camera, or one that no lens has.
    """
    values = read_json(path)
    listed = values.get("CameraCalibrations") if isinstance(values, Mapping) else None
    entries = [entry for entry in listed if isinstance(entry, Mapping)] if isinstance(listed, list) else []
    rgb = [entry for entry in entries if entry.get("Label") == "camera-rgb"]
    if len(rgb) != 1 or not isinstance(rgb[0].get("Projection"), Mapping):
        raise UsageError(f"{path} holds no calibration of camera-rgb")
    projection = dict(rgb[0]["Projection"])
    parameters = numbers(projection.get("Params"), f"{path}: Params").tolist()
    if isinstance(parameters, list) and len(parameters) == 15 and parameters[0] > FULL_SIZE_FOCAL_PX:
        centre = [(value - 0.5 - FULL_SIZE_BORDER_PX) / 2 for value in parameters[1:3]]
        parameters = [parameters[0] / 2, *centre, *parameters[3:]]
    projection["Params"] = parameters
    size = {"width": ARIA_SIZE_PX, "height": ARIA_SIZE_PX}
    try:
        return camera_from_json(from_aria({"Projection": projection, **size}))
    except CameraError as error:
        raise UsageError(f"{path}: {error}") from error
