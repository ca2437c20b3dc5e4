"""A small EgoExo4D release of the exact layout, raw and prepared, of two made takes.

Open hands are rendered through Project Aria's fisheye lens, so pictures, joints and intrinsics are true. Some
joints are absent, seen from one camera, or spoiled so that one filter of the preparation rejects them; what a
right preparation keeps is worked out here from the table of what was spoiled, not by the filters.
"""

import json
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import av
import numpy as np
from PIL import Image

from tracker.cameras import Fisheye624, Pinhole
from tracker.hand_mesh import HandMesh, carry, open_hand_at_rest
from tracker.hand_shape import HandShape
from tracker.joints import BONES, FINGERS, FloatArray, Side
from tracker.kinematic_hand import KinematicPose, joints
from tracker.rotations import rotation_from_vector
from tracker.sinks.mesh_drawing import draw_mesh
from tracker.structs import ImageArray

LENS = Fisheye624(
    1408,
    1408,
    607.5,
    607.5,
    701.2,
    711.8,
    (0.35, -0.31, 0.12, 0.03, -0.045, 0.01, 2e-4, -5e-4, -1.8e-3, 5e-4, 7e-4, -2e-4),
)
"""Of the landscape picture; numbers of the kind that Aria's RGB cameras have."""
CAMERA = Pinhole(512, 512, 150.0, 150.0, 255.5, 255.5)
"""Of the undistorted landscape picture."""
NAN = float("nan")
KEYS = ("wrist", *(f"{finger}_{k}" for finger in FINGERS for k in range(1, 5)))
SKIN = {Side.LEFT: (214, 160, 132), Side.RIGHT: (198, 142, 116)}


@dataclass(frozen=True)
class MadeTake:
    uid: str
    name: str
    aria: str
    frames: tuple[int, ...]


TAKES = (
    MadeTake("11111111-aaaa-4bbb-8ccc-000000000001", "made_kitchen_1_2", "aria01", (2, 5, 8, 11, 17)),
    MadeTake("22222222-aaaa-4bbb-8ccc-000000000002", "made_piano_2_1", "aria02", (1, 4, 7, 10)),
)
FIRST, SECOND = TAKES
Place = tuple[str, int, Side]

ABSENT: dict[Place, tuple[int, ...]] = {
    (FIRST.uid, 5, Side.LEFT): tuple(range(21)),
    (FIRST.uid, 11, Side.RIGHT): tuple(range(12, 21)),  # 12 joints stay
    (FIRST.uid, 11, Side.LEFT): tuple(range(8, 21)),  # 8 do: too few
    (FIRST.uid, 17, Side.LEFT): (0,),  # no wrist, no hand
    (SECOND.uid, 4, Side.RIGHT): (4,),
}
ONE_VIEW: dict[Place, tuple[int, ...]] = {
    (FIRST.uid, 8, Side.RIGHT): (7, 8),
    (SECOND.uid, 1, Side.LEFT): (20,),
}
LONG_BONE: dict[Place, tuple[int, ...]] = {(SECOND.uid, 1, Side.RIGHT): (8,)}
FOLDED: dict[Place, tuple[int, ...]] = {(SECOND.uid, 4, Side.LEFT): (11,)}
UNMARKED: dict[Place, tuple[int, ...]] = {(SECOND.uid, 7, Side.RIGHT): (0, 16)}
"""Without a mark in Aria's picture; a wrist needs none."""
MARKED_FAR: dict[Place, tuple[int, ...]] = {(SECOND.uid, 7, Side.LEFT): (0, 12, 19)}
"""Marked 40 px off; a wrist may be."""
AT_THE_EDGE: tuple[Place, ...] = ((SECOND.uid, 10, Side.RIGHT),)
"""A hand of which a part is beyond what the lens sees."""
PLACES = tuple((take.uid, frame, side) for take in TAKES for frame in take.frames for side in Side)


def upright_joints(place: Place) -> FloatArray:
    """(21, 3) where the hand truly is, in the upright camera's axes, before anything is spoiled."""
    uid, frame, side = place
    time_s = frame / 30
    outward = 1.0 if side is Side.RIGHT else -1.0
    wrist_m = np.array([outward * 0.11, 0.10, 0.34]) + 0.02 * np.sin([3 * time_s, 5 * time_s, 2 * time_s])
    if place in AT_THE_EDGE:
        wrist_m = np.array([0.47, 0.05, 0.28])
    fingers, back = np.array([-0.2 * outward, -0.55, 0.8]), np.array([0.1 * outward, -0.8, -0.5])
    z = -fingers / np.linalg.norm(fingers)
    x = np.cross(back, z) / np.linalg.norm(np.cross(back, z))
    turn = rotation_from_vector(np.array([0.1, 0.2, 0.15]) * np.sin(time_s + (uid == SECOND.uid)))
    bend = 0.25 + 0.1 * np.sin(4 * time_s + np.arange(5))
    angles_rad = np.stack([bend, np.zeros(5), bend, 0.6 * bend], axis=-1)
    pose = KinematicPose(wrist_m, turn @ np.stack([x, np.cross(z, x), z], axis=-1), angles_rad)
    return joints(HandShape.mean(), pose, side)


def landscape(upright_m: FloatArray) -> FloatArray:
    """Points in the landscape camera's axes: what is right in the upright picture is up on its side."""
    return upright_m @ np.array([[0.0, -1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])


def annotated_joints(place: Place) -> FloatArray:
    """(21, 3) in the landscape camera's axes as annotated: spoiled, but none taken away."""
    joints_m = landscape(upright_joints(place))
    parents = dict((child, parent) for parent, child in BONES)
    for joint in LONG_BONE.get(place, ()):
        bone = joints_m[joint] - joints_m[parents[joint]]
        joints_m[joint] += 0.07 * bone / np.linalg.norm(bone)
    for joint in FOLDED.get(place, ()):
        back = joints_m[parents[joint]] - joints_m[joint]
        length = np.linalg.norm(joints_m[joint + 1] - joints_m[joint])
        aside = np.cross(back, [0.0, 0.0, 1.0])
        direction = back / np.linalg.norm(back) + 0.4 * aside / np.linalg.norm(aside)
        joints_m[joint + 1] = joints_m[joint] + length * direction / np.linalg.norm(direction)
    return joints_m


def marks(place: Place) -> FloatArray:
    """(21, 2) as marked in the undistorted landscape picture; NaN where not."""
    marked_px = CAMERA.project(annotated_joints(place))
    for joint in MARKED_FAR.get(place, ()):
        marked_px[joint] += (24.0, -32.0)
    missing = {*ABSENT.get(place, ()), *UNMARKED.get(place, ())}
    marked_px[sorted(missing)] = NAN
    return marked_px


def camera_from_world(frame: int) -> FloatArray:
    """(3, 4) of a head that turns and moves."""
    rotation = rotation_from_vector(np.array([0.3, -0.5, 0.2]) + 0.01 * frame)
    return np.concatenate([rotation, np.array([[0.4], [-1.2], [0.7]]) + 0.005 * frame], axis=1)


def visible(pixels_px: FloatArray) -> list[bool]:
    """Whether the undistorted picture shows anything at each pixel (N, 2)."""
    seen = []
    for x, y in pixels_px:
        if not (0 <= x < 512 and 0 <= y < 512):
            seen.append(False)
            continue
        ray = np.array([(int(x) - 255.5) / 150.0, (int(y) - 255.5) / 150.0, 1.0])
        u, v = LENS.project(ray)
        seen.append(bool(0 <= u <= 1407 and 0 <= v <= 1407))
    return seen


def kept_joints(place: Place, *, manual: bool = True) -> list[int]:
    """The joints that a right preparation calls valid; none where it drops the hand."""
    if 0 in ABSENT.get(place, ()):
        return []
    tables: list[Mapping[Place, tuple[int, ...]]] = [ABSENT, LONG_BONE, FOLDED]
    if manual:
        tables.append(ONE_VIEW)
    gone = {joint for table in tables for joint in table.get(place, ())}
    gone |= {joint for table in (UNMARKED, MARKED_FAR) for joint in table.get(place, ()) if joint}
    shown = visible(CAMERA.project(annotated_joints(place)))
    kept = [joint for joint in range(21) if joint not in gone and shown[joint]]
    return kept if len(kept) >= 10 else []


def prepared_entry(take: MadeTake, frame: int) -> dict[str, object] | None:
    """A frame of the prepared file; None where no hand is kept."""
    entry: dict[str, object] = {}
    hands = 0
    for side in (Side.RIGHT, Side.LEFT):
        place, name = (take.uid, frame, side), f"{side.value}_hand"
        kept = kept_joints(place)
        valid = [joint in kept for joint in range(21)]
        joints_m, marked_px = annotated_joints(place), marks(place)
        projected_px = CAMERA.project(joints_m)[kept]
        marked_px[[not seen for seen in visible(marked_px)]] = NAN
        joints_m[[joint for joint in range(1, 21) if joint not in kept]] = NAN
        entry[f"{name}_3d"] = joints_m.tolist() if kept else []
        entry[f"{name}_2d"] = marked_px.tolist() if kept else []
        entry[f"{name}_bbox"] = _box(projected_px, 20.0) if kept else []
        entry[f"{name}_valid_3d"] = valid if kept else []
        hands += bool(kept)
    entry["metadata"] = {"take_uid": take.uid, "take_name": take.name, "frame_number": frame}
    return entry if hands else None


def _box(pixels_px: FloatArray, padding_px: float) -> list[float]:
    low, high = pixels_px.min(axis=0) - padding_px, pixels_px.max(axis=0) + padding_px
    return [float(edge) for edge in np.clip([*low, *high], 0.0, 511.0)]


def prepared_annotations() -> dict[str, dict[str, object]]:
    """The prepared file of both takes."""
    return {
        take.uid: {
            str(frame): entry for frame in take.frames if (entry := prepared_entry(take, frame)) is not None
        }
        for take in TAKES
    }


def boxes_only(annotations: Mapping[str, Mapping[str, object]]) -> dict[str, dict[str, object]]:
    """The same as the public test file has it."""
    return {
        uid: {
            frame: {key: value for key, value in entry.items() if "bbox" in key or key == "metadata"}
            for frame, entry in frames.items()
            if isinstance(entry, Mapping)
        }
        for uid, frames in annotations.items()
    }


def raw_frame(take: MadeTake, frame: int) -> list[dict[str, object]]:
    """A frame of a raw annotation."""
    pose = camera_from_world(frame)
    in_space: dict[str, object] = {}
    marked: dict[str, object] = {}
    for side in Side:
        place = (take.uid, frame, side)
        world_m = (annotated_joints(place) - pose[:, 3]) @ pose[:, :3]
        marked_px = marks(place)
        for joint, key in enumerate(KEYS):
            if joint not in ABSENT.get(place, ()):
                views = 1 if joint in ONE_VIEW.get(place, ()) else 4
                point = dict(zip("xyz", world_m[joint].tolist(), strict=True))
                in_space[f"{side.value}_{key}"] = point | {"num_views_for_3d": views}
            if np.isfinite(marked_px[joint]).all():
                x, y = marked_px[joint].tolist()
                marked[f"{side.value}_{key}"] = {"x": x, "y": y, "placement": "manual"}
    return [{"annotation2D": {take.aria: marked, "cam01": {}}, "annotation3D": in_space}]


@cache
def upright_picture(take: MadeTake, frame: int) -> ImageArray:
    """(1408, 1408, 3) both hands through Aria's lens, upright as in the videos."""
    rows, columns = np.mgrid[0:1408, 0:1408]
    checks = ((rows // 64 + columns // 64) % 2) * 24
    picture = np.stack([checks + 90, checks + 105, checks + 118], axis=-1).astype(np.uint8)
    for side in Side:
        if kept_joints((take.uid, frame, side)):
            joints_m = landscape(upright_joints((take.uid, frame, side)))
            skin = open_hand_at_rest(side)
            vertices_m = carry(skin, joints_m)
            assert vertices_m is not None
            draw_mesh(picture, HandMesh(side, vertices_m, skin.faces), LENS, SKIN[side], 1.0)
    return np.ascontiguousarray(np.rot90(picture, -1))


def write_raw(release: Path, *, split: str = "val") -> None:
    """A downloaded release: takes, annotations, camera poses, videos."""
    takes = [
        {
            "take_uid": take.uid,
            "take_name": take.name,
            "root_dir": f"takes/{take.name}",
            "capture": {
                "cameras": [{"cam_id": take.aria, "is_ego": True}, {"cam_id": "cam01", "is_ego": False}]
            },
            "frame_aligned_videos": {take.aria: {}},
        }
        for take in TAKES
    ]
    _write_json(release / "takes.json", takes)
    folder = release / "annotations" / "ego_pose" / split
    for take in TAKES:
        raw = {str(frame): raw_frame(take, frame) for frame in take.frames}
        _write_json(folder / "hand" / "annotation" / f"{take.uid}.json", raw)
        _write_json(folder / "hand" / "automatic" / f"{take.uid}.json", raw)
        poses = {str(frame): camera_from_world(frame).tolist() for frame in take.frames}
        matrix = [[150.0, 0.0, 255.5], [0.0, 150.0, 255.5], [0.0, 0.0, 1.0]]
        aria = {"camera_intrinsics": matrix, "camera_extrinsics": poses}
        _write_json(folder / "camera_pose" / f"{take.uid}.json", {"metadata": {}, take.aria: aria})
        video = release / "takes" / take.name / "frame_aligned_videos" / f"{take.aria}_214-1.mp4"
        _write_video(video, _video_pictures(take))


def write_calibrations(prepared: Path, *, full_size: bool = False) -> None:
    """Aria's calibrations as the public tools leave them, or of the sensor's own 2880 pixels."""
    focal, centre = LENS.fx, [LENS.cx, LENS.cy]
    if full_size:
        focal, centre = 2 * focal, [2 * value + 32.5 for value in centre]
    projection = {"Name": "FisheyeRadTanThinPrism", "Params": [focal, *centre, *LENS.distortion]}
    cameras = [{"Label": "camera-slam-left"}, {"Label": "camera-rgb", "Projection": projection}]
    for take in TAKES:
        _write_json(prepared / "aria_calib_json" / f"{take.name}.json", {"CameraCalibrations": cameras})


def write_prepared(prepared: Path) -> Path:
    """Prepared annotations and pictures for validation; returns the annotation file."""
    annotations = prepared_annotations()
    path = prepared / "annotation" / "manual" / "ego_pose_gt_anno_val_public.json"
    _write_json(path, annotations)
    for take in TAKES:
        folder = prepared / "image" / "undistorted" / "val" / take.name
        folder.mkdir(parents=True, exist_ok=True)
        for frame in annotations[take.uid]:
            picture = undistorted(upright_picture(take, int(frame)))
            Image.fromarray(picture).save(folder / f"{int(frame):06d}.jpg", quality=95, subsampling=0)
    return path


def undistorted(upright: ImageArray) -> ImageArray:
    """(512, 512, 3) landscape pinhole of an upright fisheye picture, plainly bilinear."""
    at_px = _seen_px()
    sideways = np.rot90(upright).astype(np.float64)
    inside = ((at_px >= 0) & (at_px < 1407)).all(axis=-1)
    at_px = np.where(inside[..., None], at_px, 0.0)
    x, y = np.floor(at_px).astype(int).transpose(2, 0, 1)
    share_x, share_y = (at_px - np.floor(at_px)).transpose(2, 0, 1)[..., None]
    above = sideways[y, x] * (1 - share_x) + sideways[y, x + 1] * share_x
    below = sideways[y + 1, x] * (1 - share_x) + sideways[y + 1, x + 1] * share_x
    return np.where(inside[..., None], np.rint(above * (1 - share_y) + below * share_y), 0).astype(np.uint8)


@cache
def _seen_px() -> FloatArray:
    """(512, 512, 2) where the lens sees what the pinhole's pixels show."""
    rays = CAMERA.unproject(np.stack(np.meshgrid(np.arange(512.0), np.arange(512.0)), axis=-1))
    return LENS.project(rays)


def _video_pictures(take: MadeTake) -> Iterator[ImageArray]:
    grey = np.full((1408, 1408, 3), 60, np.uint8)
    for frame in range(take.frames[-1] + 2):
        yield upright_picture(take, frame) if frame in take.frames else grey


def _write_video(path: Path, pictures: Iterator[ImageArray]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    options = {"crf": "12", "preset": "ultrafast", "g": "8", "bf": "2"}
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=30, options=options)
        stream.width, stream.height, stream.pix_fmt = 1408, 1408, "yuv420p"
        for picture in pictures:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))


def _write_json(path: Path, value: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value))


@dataclass(frozen=True)
class MadeRelease:
    """Where a made release lies."""

    raw: Path
    prepared: Path
    """With calibrations, and with the files of val and test."""
    annotations: Path
    test_boxes: Path
    truth: Path
    """The answers to the test boxes, which nobody outside has."""

    @staticmethod
    def write(folder: Path) -> "MadeRelease":
        raw, prepared = folder / "raw", folder / "prepared"
        write_raw(raw)
        write_calibrations(prepared)
        annotations = write_prepared(prepared)
        test_boxes = prepared / "annotation" / "manual" / "ego_pose_gt_anno_test_public.json"
        test_boxes.write_text(json.dumps(boxes_only(prepared_annotations())))
        images = prepared / "image" / "undistorted"
        shutil.copytree(images / "val", images / "test")
        return MadeRelease(raw, prepared, annotations, test_boxes, annotations)


def raw_copy(made: MadeRelease, folder: Path) -> Path:
    """The release without its videos, to be spoiled."""
    shutil.copytree(made.raw / "annotations", folder / "annotations")
    shutil.copy(made.raw / "takes.json", folder)
    return folder
