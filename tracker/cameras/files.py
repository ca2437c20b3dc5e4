"""Reading and checking calibrations: our own JSON, Project Aria's layouts, and YAML (``yaml_files.py``).

Aria's tools give a camera's parameters as one list, focal length (one for both axes, or two) first, then
the principal point, then the distortion in the model's order:
https://facebookresearch.github.io/projectaria_tools/docs/tech_insights/camera_intrinsic_models
"""

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from tracker.cameras.base import Camera
from tracker.cameras.fisheyes import Fisheye62, Fisheye624, KannalaBrandt
from tracker.cameras.perspective import BrownConrady, Pinhole
from tracker.cameras.yaml_files import ENDINGS as YAML_ENDINGS
from tracker.cameras.yaml_files import FoundCamera, camera_from_yaml
from tracker.errors import CameraError

FOCAL_RANGE = (0.05, 50.0)
"""Plausible focal lengths, in widths or heights of the picture."""
MIN_SHARE_WITH_RAYS = 0.1
"""A circular fisheye leaves the corners dark; less than this is no lens."""
MAX_FILE_CHARACTERS = 1 << 20

CAMERA_MODELS: dict[str, type[Camera]] = {
    model.model: model for model in (Pinhole, BrownConrady, KannalaBrandt, Fisheye62, Fisheye624)
}
ARIA_NAMES = {
    "linear": Pinhole.model,
    "kannalabrandtk3": KannalaBrandt.model,
    "fisheye62": Fisheye62.model,
    "fisheye624": Fisheye624.model,
    "fisheyeradtanthinprism": Fisheye624.model,
}
"""What Aria's tools and data sets call the models, in lower case without underscores."""


def load_camera(path: str | Path, *, which: str | None = None) -> Camera:
    """Read a calibration from a file: our JSON, one camera of Project Aria's, or ROS's or Kalibr's YAML.

    Args:
        path: a file as docs/formats.md describes; one that ends in .yaml or .yml is YAML.
        which: the name of one of several cameras in the file.

    Raises:
        CameraError: the file is missing, malformed, or not a calibration; the message says which value.
    """
    return read_calibration(path, which=which)[0]


def read_calibration(path: str | Path, *, which: str | None = None) -> tuple[Camera, tuple[str, ...]]:
    """What ``load_camera`` gives, and what a person should hear of it.

    Raises:
        CameraError: as for ``load_camera``.
    """
    text = _read_text(path)
    yaml = Path(path).suffix.lower() in YAML_ENDINGS
    try:
        found = camera_from_yaml(text, which=which) if yaml else _from_json_text(text, which)
        camera = camera_from_json(found.values)
        check_plausible(camera)
    except (ValueError, RecursionError) as error:  # json's own, numbers of thousands of digits
        raise CameraError(f"the camera file {path} is not JSON: {error}") from error
    except CameraError as error:
        raise CameraError(f"{error} (in {path})") from error
    return camera, found.notes


def _read_text(path: str | Path) -> str:
    try:
        with open(path, encoding="utf-8-sig") as file:
            return file.read(MAX_FILE_CHARACTERS)
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not text"
        raise CameraError(f"cannot read the camera file {path}: {reason}") from error


def _from_json_text(text: str, which: str | None) -> FoundCamera:
    if which is not None:
        raise CameraError(f"a JSON camera file holds one camera without a name; leave --which {which} out")
    return FoundCamera(from_aria(json.loads(text, object_pairs_hook=_unique_keys)))


def check_plausible(camera: Camera) -> None:
    """Refuse a calibration that no camera has: most often millimetres for pixels, or a wrong model.

    Raises:
        CameraError: the focal length, the principal point, or how much of the picture has a ray.
    """
    for name, focal, extent in (("fx", camera.fx, camera.width), ("fy", camera.fy, camera.height)):
        low, high = FOCAL_RANGE[0] * extent, FOCAL_RANGE[1] * extent
        if not low <= focal <= high:
            raise CameraError(
                f"camera {name} is {focal:g}, not plausible for a picture of {extent} pixels; "
                f"give it in pixels, {low:g} to {high:g}"
            )
    for name, center, extent in (("cx", camera.cx, camera.width), ("cy", camera.cy, camera.height)):
        if not -extent <= center <= 2 * extent:
            raise CameraError(f"camera {name} is {center:g}, far outside a picture of {extent} pixels")
    grid = np.meshgrid(np.linspace(0, camera.width - 1, 15), np.linspace(0, camera.height - 1, 15))
    with np.errstate(all="ignore"):
        seen = np.isfinite(camera.unproject(np.stack(grid, axis=-1))).all(axis=-1).mean()
    if seen < MIN_SHARE_WITH_RAYS:
        raise CameraError(
            f"only {100 * seen:.0f} % of the picture has a ray through this lens; check model and distortion"
        )


def camera_from_json(values: object, *, assumed: bool = False) -> Camera:
    """Build the camera that a decoded JSON object describes; the inverse of ``Camera.to_json``.

    Raises:
        CameraError: a key is missing, of the wrong type, or has an impossible value.
    """
    if not isinstance(values, Mapping):
        raise CameraError(f"a camera must be a JSON object, found {type(values).__name__}")
    name = values.get("model")
    if not isinstance(name, str) or name not in CAMERA_MODELS:
        raise CameraError(f"camera model {name!r} is unknown; choose one of {', '.join(CAMERA_MODELS)}")
    width, height = (_number(values, key) for key in ("width", "height"))
    if not (width.is_integer() and height.is_integer()):
        raise CameraError(f"camera size {width} x {height} must be whole pixels")
    distortion = values.get("distortion", [])
    if not isinstance(distortion, list):
        raise CameraError(f"camera distortion must be a list of numbers, found {distortion!r}")
    return CAMERA_MODELS[name](
        width=int(width),
        height=int(height),
        **{key: _number(values, key) for key in ("fx", "fy", "cx", "cy")},
        distortion=tuple(_number({"distortion": value}, "distortion") for value in distortion),
        assumed=assumed,
    )


def from_aria(values: object) -> object:
    """Our calibration of what is laid out as Aria's files are; anything else comes back as it is.

    Two layouts: ``Projection: {Name, Params}`` of the calibration in Aria's recordings, which lacks the
    picture's size (``width`` and ``height`` have to be added), and ``projection_model_type``,
    ``projection_params``, ``image_width``, ``image_height`` of HOT3D, there under the key ``calibration``.

    Raises:
        CameraError: an unknown model, or another number of parameters than it has.
    """
    if not isinstance(values, Mapping):
        return values
    inner = values.get("calibration")
    if isinstance(inner, Mapping):
        values = inner
    projection = values.get("Projection")
    if isinstance(projection, Mapping):
        name, parameters = projection.get("Name"), projection.get("Params")
        size = {key: values[key] for key in ("width", "height") if key in values}
        if len(size) < 2:
            raise CameraError(
                "Project Aria's calibration does not say how large the picture is; add width and height, "
                "and scale focal length and principal point if the picture was scaled"
            )
    elif "projection_params" in values:
        name, parameters = values.get("projection_model_type"), values["projection_params"]
        size = {key: values.get(f"image_{key}") for key in ("width", "height")}
    else:
        return values
    return {"model": _aria_model(name), **size, **_from_list(_aria_model(name), parameters)}


def _aria_model(name: object) -> str:
    model = ARIA_NAMES.get(str(name).rpartition(".")[2].lower().replace("_", ""))
    if model is None:
        raise CameraError(f"Aria camera model {name!r} is unknown; choose one of {', '.join(ARIA_NAMES)}")
    return model


def _from_list(model: str, parameters: object) -> dict[str, object]:
    """Our keys for Aria's one list of parameters."""
    count = CAMERA_MODELS[model].distortion_counts[0]
    if not isinstance(parameters, list) or len(parameters) not in (count + 3, count + 4):
        found = f"{len(parameters)} of them" if isinstance(parameters, list) else repr(parameters)
        raise CameraError(f"{model} takes a list of {count + 3} or {count + 4} parameters, found {found}")
    ends = len(parameters) - count
    focal, center, distortion = parameters[: ends - 2], parameters[ends - 2 : ends], parameters[ends:]
    return {
        "fx": focal[0],
        "fy": focal[-1],
        "cx": center[0],
        "cy": center[1],
        "distortion": distortion,
    }


def _unique_keys(pairs: list[tuple[str, object]]) -> dict[str, object]:
    """A JSON object whose keys differ: of two the second would win unseen."""
    keys = [key for key, _ in pairs]
    if len(set(keys)) < len(keys):
        raise CameraError(f"camera key {max(keys, key=keys.count)!r} is given twice")
    return dict(pairs)


def _number(values: Mapping[str, object], key: str) -> float:
    value = values.get(key)
    if isinstance(value, bool) or not isinstance(value, int | float):
        found = repr(value) if key in values else "none"
        raise CameraError(f"camera {key} must be a number, found {found}")
    try:
        return float(value)
    except OverflowError:
        raise CameraError(f"camera {key} is too large a number") from None
