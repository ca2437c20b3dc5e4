"""Calibrations in YAML, as robots have them: ROS's ``camera_info`` and Kalibr's camera chain.

ROS: http://wiki.ros.org/camera_calibration writes it, and its values are those of the message
https://docs.ros.org/en/api/sensor_msgs/html/msg/CameraInfo.html, which is read too, as ``ros2 topic echo``
prints it. Kalibr: https://github.com/ethz-asl/kalibr/wiki/yaml-formats.
"""

import math
import re
import reprlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tracker.errors import CameraError, MissingDependencyError

if TYPE_CHECKING:
    import yaml

ENDINGS = (".yaml", ".yml")
MAX_CHARACTERS = 1 << 17
"""Such files hold some thousand characters; PyYAML needs seconds for a million."""

ROS_MODELS: dict[str, tuple[str, tuple[int, ...]]] = {
    "plumb_bob": ("brown_conrady", (4, 5)),
    "rational_polynomial": ("brown_conrady", (8,)),
    "equidistant": ("kannala_brandt", (4,)),
    "fisheye": ("kannala_brandt", (4,)),
}
"""ROS's distortion models: ours, and how many coefficients it takes."""
KALIBR_DISTORTIONS: dict[str, tuple[str, int]] = {
    "radtan": ("brown_conrady", 4),
    "equidistant": ("kannala_brandt", 4),
    "equi": ("kannala_brandt", 4),
    "none": ("pinhole", 0),
}

_short = reprlib.Repr()
_short.maxlevel, _short.maxlist, _short.maxdict, _short.maxstring, _short.maxlong = 1, 4, 4, 60, 40


@dataclass(frozen=True)
class FoundCamera:
    """What a file says of one camera."""

    values: object
    """In the layout of our own camera file, not yet checked."""
    notes: tuple[str, ...] = ()
    """What a person should hear of it."""


def camera_from_yaml(text: str, *, which: str | None = None) -> FoundCamera:
    """The camera that a ROS or Kalibr calibration describes.

    Args:
        text: the file's content.
        which: the name of one of Kalibr's cameras; needed where there are several.

    Raises:
        CameraError: the text is not YAML, not one of these layouts, or lacks or contradicts something.
        MissingDependencyError: PyYAML is not installed.
    """
    values = _decode(text)
    if not isinstance(values, Mapping):
        raise CameraError(f"the YAML holds {_show(values)}, not the keys of a calibration")
    chain = {str(name): camera for name, camera in values.items() if re.fullmatch(r"cam\d+", str(name))}
    if chain:
        return _from_kalibr(chain, which)
    if "camera_model" in values and "intrinsics" in values:
        return _from_kalibr({"cam0": values}, which)
    if which is not None:
        raise CameraError(f"the file holds one camera without a name; leave --which {which} out")
    if "camera_matrix" in values:
        return _from_ros(values)
    message = {str(name).lower(): value for name, value in values.items()}  # ROS 1 has K, ROS 2 has k
    if "k" in message and "distortion_model" in message:
        return _from_ros(_as_file(message))
    raise CameraError(
        "the YAML is neither ROS's camera_info (it has no camera_matrix) nor Kalibr's chain (no cam0)"
    )


def _decode(text: str) -> object:
    """The first document of ``text``, in plain Python values."""
    try:
        import yaml
    except ImportError as error:
        raise MissingDependencyError(
            "reading a YAML camera file needs PyYAML; install this package again, or `pip install pyyaml`"
        ) from error
    if len(text) > MAX_CHARACTERS:
        raise CameraError(f"the YAML has more than {MAX_CHARACTERS} characters; no calibration is that long")

    class Strict(yaml.SafeLoader):
        """Keys differ, and nothing is merged: merges can grow without bound."""

        def flatten_mapping(self, node: "yaml.MappingNode") -> None:
            names = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
            if "<<" in names:
                raise CameraError("the YAML merges keys (<<), which calibrations have no need of")
            if len(set(names)) < len(names):
                raise CameraError(f"key {_show(max(names, key=names.count))} is given twice")

    try:
        return next(iter(yaml.load_all(text, Loader=Strict)), None)
    except yaml.MarkedYAMLError as error:
        line = f" in line {error.problem_mark.line + 1}" if error.problem_mark is not None else ""
        problem = " ".join(str(error.problem or error.context).split())
        raise CameraError(f"it is not YAML: {problem}{line}") from error
    except yaml.YAMLError as error:
        raise CameraError(f"it is not YAML: {' '.join(str(error).split())[:120]}") from error
    except (ValueError, TypeError, RecursionError) as error:  # a date or number that is none, nesting
        raise CameraError(f"it is not YAML that can be read: {type(error).__name__}") from error


def _from_ros(values: Mapping[str, object]) -> FoundCamera:
    """A calibration in the layout that ROS's camera_calibration writes."""
    width, height = (_number(values.get(key), key) for key in ("image_width", "image_height"))
    k = _matrix(values.get("camera_matrix"), "camera_matrix", 3, 3)
    if not any(k):
        raise CameraError("camera_matrix is all zero: this camera has not been calibrated")
    if k[3] or k[6] or k[7] or k[8] != 1 or not abs(k[1]) <= 1e-6 * abs(k[0]):
        raise CameraError(f"camera_matrix is {_show(k)}; only fx, cx, fy, cy may differ from the unit matrix")
    model, distortion = _ros_lens(values)
    return FoundCamera(
        {
            "model": model,
            "width": width,
            "height": height,
            **dict(zip(("fx", "cx", "fy", "cy"), (k[0], k[2], k[4], k[5]), strict=True)),
            "distortion": distortion,
        },
        _about_rectification(values, k),
    )


def _ros_lens(values: Mapping[str, object]) -> tuple[str, list[float]]:
    """Our model and its coefficients."""
    coefficients = values.get("distortion_coefficients")
    if isinstance(coefficients, Mapping):
        coefficients = coefficients.get("data")
    distortion = _numbers(coefficients, "distortion_coefficients")
    name = values.get("distortion_model")
    if name in ("", "none", None) and not any(distortion):
        return "pinhole", []
    if not isinstance(name, str) or name not in ROS_MODELS:
        raise CameraError(f"distortion_model {_show(name)} is unknown; choose one of {', '.join(ROS_MODELS)}")
    model, counts = ROS_MODELS[name]
    while len(distortion) > max(counts) and distortion[-1] == 0:  # OpenCV pads with terms it did not fit
        distortion = distortion[:-1]
    if model == "brown_conrady" and not any(distortion):
        return "pinhole", []
    if len(distortion) not in counts:
        raise CameraError(
            f"distortion_model {name} takes {' or '.join(map(str, counts))} coefficients, "
            f"found {len(distortion)}"
        )
    return model, distortion


def _about_rectification(values: Mapping[str, object], k: Sequence[float]) -> tuple[str, ...]:
    """What to say where the file also describes a rectified picture.

    Raises:
        CameraError: either matrix is malformed, or the picture is a part of what was calibrated.
    """
    for name in ("binning_x", "binning_y"):
        if _number(values.get(name, 0), name) > 1:
            raise CameraError(f"{name} is {_show(values[name])}; give the calibration of unbinned pictures")
    part = values.get("roi")
    if isinstance(part, Mapping) and any(
        _number(part.get(key, 0), f"roi {key}") for key in ("width", "height")
    ):
        raise CameraError("roi names a part of the picture; give the calibration of the whole picture")
    turned = moved = False
    if values.get("rectification_matrix") is not None:
        rectification = _matrix(values["rectification_matrix"], "rectification_matrix", 3, 3)
        unit = (1, 0, 0, 0, 1, 0, 0, 0, 1)
        turned = (
            any(rectification) and max(abs(a - b) for a, b in zip(rectification, unit, strict=True)) > 1e-6
        )
    if values.get("projection_matrix") is not None:
        projection = _matrix(values["projection_matrix"], "projection_matrix", 3, 4)
        moved = any(projection) and any(
            abs(projection[4 * row + column] - k[3 * row + column]) > 1e-6 * abs(k[0])
            for row in range(3)
            for column in range(3)
        )
    if not (turned or moved):
        return ()
    return (
        "the camera file also describes a rectified picture; its camera_matrix and distortion are used, "
        "which are for the raw picture (image_raw)",
    )


def _as_file(message: Mapping[str, object]) -> Mapping[str, object]:
    """A camera_info message, its keys in lower case, in the layout of the file."""
    names = {
        "width": "image_width",
        "height": "image_height",
        "k": "camera_matrix",
        "d": "distortion_coefficients",
        "r": "rectification_matrix",
        "p": "projection_matrix",
    }
    return {names.get(name, name): value for name, value in message.items()}


def _from_kalibr(chain: Mapping[str, object], which: str | None) -> FoundCamera:
    """One camera of Kalibr's chain."""
    if which is None and len(chain) > 1:
        raise CameraError(f"the file holds {len(chain)} cameras; choose one with --which: {', '.join(chain)}")
    name = which or next(iter(chain))
    values = chain.get(name)
    if name not in chain:
        raise CameraError(f"the file holds no camera {_show(name)}; choose one of {', '.join(chain)}")
    if not isinstance(values, Mapping):
        raise CameraError(f"{name} is {_show(values)}, not the keys of a camera")
    model, distortion_model = values.get("camera_model"), values.get("distortion_model")
    for key, value, known in (
        ("camera_model", model, ("pinhole",)),
        ("distortion_model", distortion_model, tuple(KALIBR_DISTORTIONS)),
    ):
        if not isinstance(value, str) or value not in known:
            raise CameraError(
                f"{name}'s {key} {_show(value)} is not supported, only {' '.join(known)}; calibrate with "
                "Kalibr's pinhole-radtan, or pinhole-equi for a fisheye"
            )
    ours, count = KALIBR_DISTORTIONS[str(distortion_model)]
    distortion = values.get("distortion_coeffs")
    size = _numbers(values.get("resolution"), f"{name}'s resolution", 2)
    intrinsics = _numbers(values.get("intrinsics"), f"{name}'s intrinsics", 4)
    coefficients = (
        [] if count == 0 and not distortion else _numbers(distortion, f"{name}'s distortion_coeffs", count)
    )
    keys = ("width", "height", "fx", "fy", "cx", "cy")
    numbers = dict(zip(keys, (*size, *intrinsics), strict=True))
    return FoundCamera({"model": ours, **numbers, "distortion": coefficients})


def _matrix(value: object, name: str, rows: int, columns: int) -> list[float]:
    """The numbers of a matrix, row by row, given as such a list or with its ``rows`` and ``cols``."""
    if isinstance(value, Mapping):
        for key, count in (("rows", rows), ("cols", columns)):
            if value.get(key, count) != count:
                raise CameraError(f"{name}'s {key} is {_show(value[key])}, not {count}")
        value = value.get("data")
    return _numbers(value, name, rows * columns)


def _numbers(value: object, name: str, count: int | None = None) -> list[float]:
    if not isinstance(value, list) or (count is not None and len(value) != count):
        found = f"{len(value)} of them" if isinstance(value, list) else _show(value)
        raise CameraError(
            f"{name} must be a list of {'' if count is None else f'{count} '}numbers, found {found}"
        )
    return [_number(entry, name) for entry in value]


def _number(value: object, name: str) -> float:
    """A number; YAML 1.1 takes 1e-05 for text, and ROS's writer writes it so."""
    if isinstance(value, str) and re.fullmatch(r"[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+", value):
        value = float(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise CameraError(f"{name} must be a number, found {'none' if value is None else _show(value)}")
    try:
        number = float(value)
    except OverflowError:
        raise CameraError(f"{name} is too large a number") from None
    if not math.isfinite(number):
        raise CameraError(f"{name} must be a finite number, found {number}")
    return number


def _show(value: object) -> str:
    """A value in a few characters: aliases let a short file hold what would fill the memory in print."""
    return " ".join(_short.repr(value).split())
