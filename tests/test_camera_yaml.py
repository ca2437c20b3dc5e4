"""Calibrations of ROS and Kalibr: the same picture as OpenCV makes of their numbers, or one clear line."""

import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from tracker.cameras import BrownConrady, Camera, KannalaBrandt, Pinhole, load_camera, read_calibration
from tracker.cli import main
from tracker.errors import CameraError, MissingDependencyError
from tracker.joints import FloatArray

K = [605.25, 0.0, 322.5, 0.0, 604.75, 236.125, 0.0, 0.0, 1.0]
PLUMB_BOB = [-0.28, 0.09, 0.0012, -0.0007, -0.011]
RATIONAL = [0.45, -0.6, 8e-4, -3e-4, 0.15, 0.73, -0.4, 0.13]
EQUIDISTANT = [-0.0071, 0.0443, -0.0411, 0.0073]


def written(path: Path, values: object) -> Path:
    path.write_text(values if isinstance(values, str) else yaml.safe_dump(values))
    return path


def ros(model: str, coefficients: list[float], **changes: object) -> dict[str, Any]:
    """As ``camera_calibration`` of ROS writes a camera's file."""
    matrix = {"rows": 3, "cols": 3, "data": K}
    return {
        "image_width": 640,
        "image_height": 480,
        "camera_name": "head_camera",
        "camera_matrix": matrix,
        "distortion_model": model,
        "distortion_coefficients": {"rows": 1, "cols": len(coefficients), "data": coefficients},
        "rectification_matrix": {"rows": 3, "cols": 3, "data": [1, 0, 0, 0, 1, 0, 0, 0, 1]},
        "projection_matrix": {"rows": 3, "cols": 4, "data": [*K[:3], 0, *K[3:6], 0, *K[6:], 0]},
    } | changes


def kalibr(distortion: str = "radtan", coefficients: list[float] | None = None, **changes: object) -> Any:
    """One camera as Kalibr writes it."""
    return {
        "cam_overlaps": [1],
        "camera_model": "pinhole",
        "distortion_coeffs": PLUMB_BOB[:4] if coefficients is None else coefficients,
        "distortion_model": distortion,
        "intrinsics": [K[0], K[4], K[2], K[5]],
        "resolution": [640, 480],
        "rostopic": "/cam0/image_raw",
    } | changes


def opencv_pixels(points_m: FloatArray, coefficients: list[float], *, fisheye: bool) -> FloatArray:
    """What OpenCV makes of the file's numbers."""
    cv2 = pytest.importorskip("cv2")
    project = cv2.fisheye.projectPoints if fisheye else cv2.projectPoints
    matrix, none = np.array(K).reshape(3, 3), np.zeros(3)
    arguments = (none, none, matrix, np.array(coefficients))
    return np.asarray(project(points_m[:, None], *arguments)[0])[:, 0]


POINTS_M = np.stack(
    np.meshgrid(np.linspace(-0.4, 0.4, 9), np.linspace(-0.3, 0.3, 7), [0.8, 1.0]), axis=-1
).reshape(-1, 3)

FILES: dict[str, tuple[Any, list[float], type[Camera]]] = {
    "ros plumb_bob": (ros("plumb_bob", PLUMB_BOB), PLUMB_BOB, BrownConrady),
    "ros plumb_bob of four": (ros("plumb_bob", PLUMB_BOB[:4]), PLUMB_BOB[:4], BrownConrady),
    "ros rational_polynomial": (ros("rational_polynomial", RATIONAL), RATIONAL, BrownConrady),
    "ros rational, padded": (ros("rational_polynomial", [*RATIONAL, 0, 0, 0, 0]), RATIONAL, BrownConrady),
    "ros equidistant": (ros("equidistant", EQUIDISTANT), EQUIDISTANT, KannalaBrandt),
    "ros fisheye": (ros("fisheye", EQUIDISTANT), EQUIDISTANT, KannalaBrandt),
    "ros without distortion": (ros("plumb_bob", [0.0] * 5), [0.0] * 5, Pinhole),
    "ros 2 message": (
        {
            "header": {"frame_id": "camera"},
            "height": 480,
            "width": 640,
            "distortion_model": "plumb_bob",
            "d": PLUMB_BOB,
            "k": K,
            "r": [1.0, 0, 0, 0, 1, 0, 0, 0, 1],
            "p": [*K[:3], 0, *K[3:6], 0, *K[6:], 0],
            "binning_x": 0,
            "binning_y": 0,
            "roi": {"x_offset": 0, "y_offset": 0, "height": 0, "width": 0, "do_rectify": False},
        },
        PLUMB_BOB,
        BrownConrady,
    ),
    "kalibr radtan": ({"cam0": kalibr()}, PLUMB_BOB[:4], BrownConrady),
    "kalibr equi": ({"cam0": kalibr("equidistant", EQUIDISTANT)}, EQUIDISTANT, KannalaBrandt),
    "kalibr none": ({"cam0": kalibr("none", [])}, [0.0] * 4, Pinhole),
}


@pytest.mark.parametrize(("values", "coefficients", "kind"), FILES.values(), ids=FILES.keys())
def test_a_file_of_ros_or_kalibr_gives_the_pixels_that_opencv_gives(
    values: object, coefficients: list[float], kind: type[Camera], tmp_path: Path
) -> None:
    camera = load_camera(written(tmp_path / "camera.yaml", values))
    assert type(camera) is kind and (camera.width, camera.height) == (640, 480)
    expected = opencv_pixels(POINTS_M, coefficients, fisheye=kind is KannalaBrandt)
    np.testing.assert_allclose(camera.project(POINTS_M), expected, rtol=0, atol=1e-6)


def test_numbers_as_ross_c_writer_prints_them_are_numbers(tmp_path: Path) -> None:
    """YAML 1.1 takes 1e-05 for text."""
    text = yaml.safe_dump(ros("plumb_bob", PLUMB_BOB)).replace("0.0012", "1e-05")
    camera = load_camera(written(tmp_path / "ost.yml", text))
    assert camera.distortion[2] == 1e-5


def test_only_the_first_of_several_messages_is_read(tmp_path: Path) -> None:
    text = "---\n".join(yaml.safe_dump(ros("plumb_bob", PLUMB_BOB, image_width=w)) for w in (640, 641))
    assert load_camera(written(tmp_path / "camera.yaml", text + "---\n")).width == 640


RECTIFIED = {
    "turned": {"rectification_matrix": {"data": [0.999, 0.01, 0, -0.01, 0.999, 0, 0, 0, 1]}},
    "another projection": {"projection_matrix": {"data": [500.0, 0, 320, 0, 0, 500, 240, 0, 0, 0, 1, 0]}},
    "none": {},
    "all zero, as before rectifying": {"rectification_matrix": {"data": [0] * 9}},
}


@pytest.mark.parametrize("name", RECTIFIED)
def test_that_the_raw_picture_is_meant_is_said_where_a_rectified_one_is_described(
    name: str, tmp_path: Path
) -> None:
    path = written(tmp_path / "ost.yaml", ros("plumb_bob", PLUMB_BOB, **RECTIFIED[name]))
    camera, notes = read_calibration(path)
    assert camera.fx == K[0]
    assert ["raw picture" in note for note in notes] == [True] * (name in ("turned", "another projection"))


CHAIN = {"cam0": kalibr(), "cam1": kalibr("equidistant", EQUIDISTANT, resolution=[848, 800])}


def test_one_of_kalibrs_cameras_is_chosen_by_its_name(tmp_path: Path) -> None:
    path = written(tmp_path / "chain.yaml", CHAIN)
    assert load_camera(path, which="cam1").model == "kannala_brandt"
    assert load_camera(path, which="cam0").model == "brown_conrady"
    with pytest.raises(CameraError, match="2 cameras; choose one with --which: cam0, cam1"):
        load_camera(path)
    with pytest.raises(CameraError, match="no camera 'cam2'; choose one of cam0, cam1"):
        load_camera(path, which="cam2")


def without(values: dict[str, Any], key: str) -> dict[str, Any]:
    return {name: value for name, value in values.items() if name != key}


ROS = ros("plumb_bob", PLUMB_BOB)
BOMB = "a: &a [lol, lol]\n" + "".join(
    f"{chr(98 + i)}: &{chr(98 + i)} [{', '.join([f'*{chr(97 + i)}'] * 9)}]\n" for i in range(20)
)
BAD: dict[str, tuple[object, str]] = {
    "no size": (without(ROS, "image_width"), "image_width must be a number, found none"),
    "size of text": (
        ros("plumb_bob", PLUMB_BOB, image_width="wide"),
        "image_width must be a number, found 'wide'",
    ),
    "half pixels": (ros("plumb_bob", PLUMB_BOB, image_width=640.5), "whole pixels"),
    "no size at all": (ros("plumb_bob", PLUMB_BOB, image_height=0), "640 x 0; both must be positive"),
    "eight in the matrix": (
        ros("plumb_bob", PLUMB_BOB, camera_matrix={"data": K[:8]}),
        "camera_matrix must be a list of 9 numbers, found 8 of them",
    ),
    "matrix of text": (
        ros("plumb_bob", PLUMB_BOB, camera_matrix={"data": ["f", *K[1:]]}),
        "camera_matrix must be a number, found 'f'",
    ),
    "matrix of another shape": (
        ros("plumb_bob", PLUMB_BOB, camera_matrix={"rows": 9, "cols": 1, "data": K}),
        "camera_matrix's rows is 9, not 3",
    ),
    "skew": (
        ros("plumb_bob", PLUMB_BOB, camera_matrix={"data": [K[0], 3.0, *K[2:]]}),
        "only fx, cx, fy, cy may differ",
    ),
    "nan": (
        ros("plumb_bob", PLUMB_BOB, camera_matrix={"data": [float("nan"), *K[1:]]}),
        "camera_matrix must be a finite number, found nan",
    ),
    "infinite distortion": (ros("plumb_bob", [float("inf"), 0, 0, 0, 0]), "a finite number, found inf"),
    "negative focal length": (
        ros("plumb_bob", PLUMB_BOB, camera_matrix={"data": [-K[0], *K[1:]]}),
        "fx -605.25, fy 604.75; both must be positive",
    ),
    "an uncalibrated camera": (
        ros("plumb_bob", [], camera_matrix={"data": [0] * 9}),
        "has not been calibrated",
    ),
    "millimetres": (
        ros("plumb_bob", PLUMB_BOB, camera_matrix={"data": [4.2, 0, 320, 0, 4.2, 240, 0, 0, 1]}),
        "fx is 4.2, not plausible",
    ),
    "three coefficients": (ros("plumb_bob", [0.1, 0.2, 0.3]), "plumb_bob takes 4 or 5 coefficients, found 3"),
    "a thin prism": (
        ros("rational_polynomial", [*RATIONAL, 0.1, 0, 0, 0.1]),
        "takes 8 coefficients, found 12",
    ),
    "another model": (ros("omnidirectional", [0.1]), "'omnidirectional' is unknown; choose one of plumb_bob"),
    "model of a list": (ros("x", [0.1], distortion_model=[1]), r"distortion_model \[1\] is unknown"),
    "coefficients that are no list": (
        ros("plumb_bob", PLUMB_BOB, distortion_coefficients=7),
        "distortion_coefficients must be a list of numbers, found 7",
    ),
    "part of a picture": (ros("plumb_bob", PLUMB_BOB, roi={"width": 320, "height": 240}), "roi names a part"),
    "binned": (ros("plumb_bob", PLUMB_BOB, binning_x=2), "binning_x is 2"),
    "rectification too short": (
        ros("plumb_bob", PLUMB_BOB, rectification_matrix={"data": [1, 0]}),
        "rectification_matrix must be a list of 9 numbers, found 2",
    ),
    "omni": ({"cam0": kalibr(camera_model="omni")}, "'omni' is not supported.*pinhole-equi"),
    "ds": ({"cam0": kalibr(camera_model="ds")}, "'ds' is not supported.*pinhole-equi"),
    "eucm": ({"cam0": kalibr(camera_model="eucm")}, "'eucm' is not supported.*pinhole-equi"),
    "fov": ({"cam0": kalibr("fov", [0.9])}, "'fov' is not supported"),
    "radtan of five": ({"cam0": kalibr("radtan", PLUMB_BOB)}, "coeffs must be a list of 4 numbers, found 5"),
    "no intrinsics": ({"cam0": without(kalibr(), "intrinsics")}, "cam0's intrinsics must be a list of 4"),
    "resolution of one": (
        {"cam0": kalibr(resolution=[640])},
        "resolution must be a list of 2 numbers, found 1",
    ),
    "a camera of text": ({"cam0": "front"}, "cam0 is 'front', not the keys of a camera"),
    "something else": ({"name": "robot"}, "neither ROS's camera_info .* nor Kalibr's chain"),
    "a list": ([1, 2], "not the keys of a calibration"),
    "nothing": ("", "holds None"),
    "not YAML": ("image_width: [640\nimage_height: 3", "not YAML: .* in line 2"),
    "a tab": ("a:\n\tb: 1", "not YAML"),
    "a control character": ("a: \x01", "not YAML"),
    "a Python object": ("a: !!python/object/apply:os.system ['true']", "not YAML: could not determine"),
    "a date that is none": ("a: 2020-13-45", "not YAML that can be read: ValueError"),
    "deep": ("[" * 5000 + "]" * 5000, "not YAML that can be read: RecursionError"),
    "a key twice": ("image_width: 640\nimage_width: 320\n", "'image_width' is given twice"),
    "a bomb of merges": ("a: &a {x: 1}\nb: {<<: [*a, *a]}", "merges keys"),
    "too long": ("# " + "x" * 200_000, "more than 131072 characters"),
    "a number beyond floats": (
        ros("plumb_bob", PLUMB_BOB, image_width=10**400),
        "too large a number",
    ),
    "itself": ("cam0: &a\n  camera_model: *a\n", r"camera_model \{.*\} is not supported"),
}


@pytest.mark.parametrize(("values", "message"), BAD.values(), ids=BAD.keys())
def test_a_malformed_file_is_one_clear_line(values: object, message: str, tmp_path: Path) -> None:
    path = written(tmp_path / "bad.yaml", values)
    with pytest.raises(CameraError, match=message) as caught:
        load_camera(path)
    line = str(caught.value)
    assert str(path) in line and "\n" not in line and len(line) < 400 + len(str(path)), line


@pytest.mark.parametrize("where", ["image_width", "distortion_model", "camera_matrix"])
def test_a_bomb_of_aliases_costs_nothing(where: str, tmp_path: Path) -> None:
    """Written out, the twenty-first list would have 2 * 9^20 entries."""
    text = BOMB + yaml.safe_dump(without(ROS, where)) + f"{where}: *u\n"
    began_s = time.process_time()
    with pytest.raises(CameraError, match=where) as caught:
        load_camera(written(tmp_path / "bomb.yaml", text))
    assert time.process_time() - began_s < 2.0
    assert len(str(caught.value)) < 400 + len(str(tmp_path))


def test_a_binary_file_is_one_clear_line(tmp_path: Path) -> None:
    path = tmp_path / "picture.yaml"
    path.write_bytes(bytes(range(256)) * 40)
    with pytest.raises(CameraError, match=r"cannot read the camera file .*: not text"):
        load_camera(path)


def test_without_pyyaml_one_line_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "yaml", None)
    path = tmp_path / "ost.yaml"
    path.write_text("image_width: 640")
    with pytest.raises(MissingDependencyError, match="pip install pyyaml"):
        load_camera(path)


def test_a_run_uses_a_yaml_camera_and_says_that_raw_pictures_are_meant(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    size = {"image_width": 1280, "image_height": 720}
    path = written(tmp_path / "ost.yaml", ros("plumb_bob", PLUMB_BOB, **RECTIFIED["turned"], **size))
    record = tmp_path / "hands.jsonl"
    options = ("process", "demo", "--max-frames", "1", "--record", str(record), "--camera", str(path))
    with pytest.raises(SystemExit) as stop:
        main(options)
    said = capsys.readouterr().err
    assert said.count("raw picture") == 1
    assert stop.value.code == 0
    camera = json.loads(record.read_text().splitlines()[0])["camera"]
    assert (camera["model"], camera["fx"]) == ("brown_conrady", K[0])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--which", "cam1"), "--which cam1 needs --camera"),
        (("--camera", "{json}", "--which", "cam1"), "holds one camera without a name"),
        (("--camera", "{chain}"), "choose one with --which"),
    ],
)
def test_a_camera_of_the_file_is_asked_for_in_one_clear_way(
    options: tuple[str, ...], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "camera.json").write_text("{}")
    chain = written(tmp_path / "chain.yaml", CHAIN)
    given = [option.format(json=tmp_path / "camera.json", chain=chain) for option in options]
    with pytest.raises(SystemExit) as stop:
        main(("process", "demo", *given))
    lines = capsys.readouterr().err.strip().splitlines()
    assert stop.value.code == 2 and len(lines) == 1 and message in lines[0], lines
