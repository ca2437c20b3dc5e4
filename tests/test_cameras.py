"""Cameras: every pixel's ray leads back to the pixel, and nothing is seen where a lens sees nothing."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from lenses import FOLDING, LENSES

from tracker.cameras import (
    CAMERA_MODELS,
    BrownConrady,
    Camera,
    CameraChoice,
    KannalaBrandt,
    Pinhole,
    camera_from_json,
    load_camera,
    pinhole_from_fov,
)
from tracker.errors import CameraError
from tracker.joints import FloatArray

ALL = LENSES | FOLDING
every_lens = pytest.mark.parametrize("camera", ALL.values(), ids=ALL.keys())
whole_lens = pytest.mark.parametrize("camera", LENSES.values(), ids=LENSES.keys())


def picture_grid(camera: Camera, count: int = 81) -> FloatArray:
    """Pixels (count, count, 2) from edge to edge."""
    x = np.linspace(-0.5, camera.width - 0.5, count)
    y = np.linspace(-0.5, camera.height - 0.5, count)
    return np.stack(np.meshgrid(x, y), axis=-1)


def naive_project(camera: Camera, point: FloatArray) -> tuple[float, float]:
    """OpenCV's documented formulas, one point at a time."""
    x, y, z = map(float, point)
    if isinstance(camera, KannalaBrandt):
        across = math.hypot(x, y)
        theta = math.atan2(across, z)
        series = sum(k * theta ** (2 * i + 3) for i, k in enumerate(camera.distortion))
        u, v = ((theta + series) * c / across if across else 0.0 for c in (x, y))
    else:
        a, b = x / z, y / z
        k1, k2, p1, p2, k3, k4, k5, k6 = (*camera.distortion, *(0.0,) * 8)[:8]
        r2 = a * a + b * b
        radial = (1 + k1 * r2 + k2 * r2**2 + k3 * r2**3) / (1 + k4 * r2 + k5 * r2**2 + k6 * r2**3)
        u = a * radial + 2 * p1 * a * b + p2 * (r2 + 2 * a * a)
        v = b * radial + p1 * (r2 + 2 * b * b) + 2 * p2 * a * b
    return camera.fx * u + camera.cx, camera.fy * v + camera.cy


def test_every_model_has_a_lens_here() -> None:
    assert {camera.model for camera in LENSES.values()} == set(CAMERA_MODELS)
    counts = {len(camera.distortion) for camera in LENSES.values() if camera.model == "brown_conrady"}
    assert counts == set(BrownConrady.distortion_counts)


@whole_lens
def test_every_pixel_of_the_picture_leads_back_to_itself(camera: Camera) -> None:
    pixels = picture_grid(camera)
    np.testing.assert_allclose(camera.project(camera.unproject(pixels)), pixels, rtol=0, atol=1e-6)


@pytest.mark.parametrize("camera", FOLDING.values(), ids=FOLDING.keys())
def test_a_pixel_beyond_the_fold_has_no_ray_and_all_others_lead_back(camera: Camera) -> None:
    pixels = picture_grid(camera, 301)
    again = camera.project(camera.unproject(pixels))
    seen = np.isfinite(camera.unproject(pixels)).all(axis=-1)
    assert 0.2 < seen.mean() < 1.0 and not seen[0, 0]
    np.testing.assert_allclose(again[seen], pixels[seen], rtol=0, atol=1e-5)


@every_lens
def test_points_in_view_come_back_as_their_direction(camera: Camera) -> None:
    rays = camera.unproject(picture_grid(camera, 25)).reshape(-1, 3)
    rays = rays[np.isfinite(rays).all(axis=-1)]
    distances_m = np.random.default_rng(0).uniform(0.05, 3.0, (len(rays), 1))
    again = camera.unproject(camera.project(rays * distances_m))
    seen = np.isfinite(again).all(axis=-1)  # a ray on the fold itself may round to either side
    assert seen.mean() > 0.99
    # On a fold the picture hardly moves with the ray, so the ray is only as sure as a square root.
    np.testing.assert_allclose(again[seen], rays[seen], atol=1e-7 if camera in LENSES.values() else 1e-3)


@every_lens
def test_rays_are_unit_and_the_principal_point_looks_ahead(camera: Camera) -> None:
    rays = camera.unproject(picture_grid(camera))
    lengths = np.linalg.norm(rays, axis=-1)
    np.testing.assert_allclose(lengths[np.isfinite(lengths)], 1.0, atol=1e-12)
    np.testing.assert_allclose(camera.unproject(np.array([camera.cx, camera.cy])), [0, 0, 1], atol=1e-12)


@every_lens
def test_projection_agrees_with_the_formulas_of_opencv(camera: Camera) -> None:
    rays = camera.unproject(picture_grid(camera, 15)).reshape(-1, 3)
    points = 0.4 * rays[np.isfinite(rays).all(axis=-1)]
    expected = [naive_project(camera, point) for point in points]
    np.testing.assert_allclose(camera.project(points), expected, rtol=0, atol=1e-4)


@every_lens
def test_projection_agrees_with_opencv(camera: Camera) -> None:
    cv2 = pytest.importorskip("cv2")
    rays = camera.unproject(picture_grid(camera, 15)).reshape(-1, 3)
    points = 0.4 * rays[np.isfinite(rays).all(axis=-1)]
    matrix = np.array([[camera.fx, 0, camera.cx], [0, camera.fy, camera.cy], [0, 0, 1]])
    lens = np.array(camera.distortion)
    if isinstance(camera, KannalaBrandt):
        points = points[points[:, 2] > 0.01]  # OpenCV's fisheye divides by z
        found = cv2.fisheye.projectPoints(points[:, None], np.zeros(3), np.zeros(3), matrix, lens)[0]
    else:
        found = cv2.projectPoints(points, np.zeros(3), np.zeros(3), matrix, lens)[0]
    np.testing.assert_allclose(camera.project(points), found[:, 0], rtol=0, atol=1e-4)


@pytest.mark.parametrize("name", ["pinhole", "webcam", "barrel", "pincushion", "rational"])
def test_points_behind_a_perspective_camera_have_no_image(name: str) -> None:
    camera = LENSES[name]
    points = np.array([[0.0, 0.0, -1.0], [0.1, 0.1, -0.5], [0.1, 0.0, 0.0], [0.0, 0.0, 0.0]])
    assert np.isnan(camera.project(points)).all()
    assert np.isfinite(camera.project(np.array([0.01, 0.01, 0.5]))).all()


def test_points_beyond_the_fold_have_no_image() -> None:
    """Without this a hand at the side of the head would appear inside the picture."""
    for name, angles_deg in {"folding barrel": (40.0, 50.0), "folding fisheye": (85.0, 95.0)}.items():
        steep = np.array([[math.sin(angle), 0.0, math.cos(angle)] for angle in np.radians(angles_deg)])
        inside, beyond = FOLDING[name].project(steep)
        assert np.isfinite(inside).all() and np.isnan(beyond).all(), name


def test_a_fisheye_sees_behind_its_own_plane() -> None:
    camera = LENSES["sphere"]
    point = np.array([math.sin(2.0), 0.0, math.cos(2.0)])
    assert point[2] < 0
    np.testing.assert_allclose(camera.project(point), [319.5 + 150.0 * 2.0, 319.5], atol=1e-9)
    assert camera.unproject(np.array([0.0, 319.5]))[2] < 0


def test_a_point_with_no_direction_has_no_image_in_a_fisheye() -> None:
    points = np.array([[0.0, 0.0, -1.0], [0.0, 0.0, 0.0]])
    assert np.isnan(LENSES["sphere"].project(points)).all()
    np.testing.assert_allclose(LENSES["sphere"].project(np.array([0.0, 0.0, 1.0])), [319.5, 319.5])


@every_lens
def test_one_bad_point_or_pixel_spoils_no_other_and_raises_no_warning(camera: Camera) -> None:
    points = np.array([[0.02, 0.01, 0.4], [np.nan, 0, 1], [0, 0, -1], [1e9, 1e9, 1e-3], [0, 0, 0]])
    pixels = np.array([[300.0, 200.0], [np.nan, 3.0], [1e9, -1e9], [3e3, 5e3], [-4e4, 2e2]])
    with np.errstate(all="raise", under="ignore"):
        np.testing.assert_array_equal(camera.project(points)[0], camera.project(points[0]))
        np.testing.assert_array_equal(camera.unproject(pixels)[0], camera.unproject(pixels[0]))
    assert np.isnan(camera.project(points)[1]).any() and np.isnan(camera.unproject(pixels)[1]).any()


@every_lens
def test_resizing_keeps_every_ray(camera: Camera) -> None:
    small = camera.resized(camera.width // 2, camera.height // 2)
    pixels = picture_grid(camera, 17)
    same_place = (pixels + 0.5) / 2 - 0.5
    np.testing.assert_allclose(small.unproject(same_place), camera.unproject(pixels), atol=1e-6)
    assert small.resized(camera.width, camera.height) == camera
    assert camera.resized(camera.width, camera.height) is camera


def test_another_aspect_is_refused_with_both_sizes_named() -> None:
    with pytest.raises(CameraError, match=r"640 x 480.*1280 x 720"):
        LENSES["pinhole"].resized(1280, 720)
    with pytest.raises(CameraError):
        LENSES["pinhole"].resized(640, 0)


@every_lens
def test_a_calibration_file_gives_the_same_camera_back(camera: Camera, tmp_path: Path) -> None:
    path = tmp_path / "camera.json"
    path.write_text(json.dumps(camera.to_json()))
    assert load_camera(path) == camera
    assert camera_from_json(camera.to_json(), assumed=True).assumed


GOOD: dict[str, object] = {
    "model": "brown_conrady",
    "width": 640,
    "height": 480,
    "fx": 500.0,
    "fy": 500.0,
    "cx": 320.0,
    "cy": 240.0,
    "distortion": [0.1, 0.0, 0.0, 0.0],
}
BAD_VALUES = [
    ({"model": "pinhol"}, r"'pinhol'.*pinhole, brown_conrady, kannala_brandt"),
    ({"model": 3}, "model 3 is unknown"),
    ({"model": None}, "model None is unknown"),
    ({"fx": -500.0}, "focal length.*-500"),
    ({"fy": 0.0}, "focal length.*fy 0"),
    ({"cx": math.nan}, "cx is nan"),
    ({"fx": math.inf}, "fx is inf"),
    ({"fx": 10**400}, "fx"),
    ({"fx": None}, "fx must be a number, found None"),
    ({"fx": "500"}, "fx must be a number, found '500'"),
    ({"fx": True}, "fx must be a number, found True"),
    ({"width": 0}, "size is 0 x 480"),
    ({"height": -480}, "size is 640 x -480"),
    ({"width": 640.5}, "640.5"),
    ({"width": math.nan}, "nan"),
    ({"height": math.inf}, "inf"),
    ({"distortion": [0.1, math.nan, 0.0, 0.0]}, "distortion.*nan.*not finite"),
    ({"distortion": [0.1, 0.2]}, "brown_conrady takes 4 or 5 or 8 distortion values, found 2"),
    ({"distortion": []}, "found 0"),
    ({"distortion": {"k1": 0.1}}, "list of numbers"),
    ({"distortion": ["a", 0.0, 0.0, 0.0]}, "distortion must be a number, found 'a'"),
]


@pytest.mark.parametrize(("change", "message"), BAD_VALUES)
def test_an_impossible_value_is_named_with_its_file(
    change: dict[str, object], message: str, tmp_path: Path
) -> None:
    path = tmp_path / "camera.json"
    path.write_text(json.dumps(GOOD | change))
    with pytest.raises(CameraError, match=message) as caught:
        load_camera(path)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("key", [key for key in GOOD if key != "distortion"])
def test_a_missing_key_is_named(key: str) -> None:
    with pytest.raises(CameraError, match=key):
        camera_from_json({name: value for name, value in GOOD.items() if name != key})


@pytest.mark.parametrize(
    "text", [b"", b"not json", b"{", b'{"fx": ' + b"1" * 5000 + b"}", b"\xff\xfe", b"[1]"]
)
def test_a_file_that_is_no_calibration_is_refused_in_one_line(text: bytes, tmp_path: Path) -> None:
    path = tmp_path / "camera.json"
    path.write_bytes(text)
    with pytest.raises(CameraError) as caught:
        load_camera(path)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


def test_a_missing_file_and_a_directory_are_told_apart(tmp_path: Path) -> None:
    with pytest.raises(CameraError, match="No such file"):
        load_camera(tmp_path / "camera.json")
    with pytest.raises(CameraError, match=r"directory|Permission"):
        load_camera(tmp_path)


@given(st.floats(10, 170), st.integers(2, 4000), st.integers(2, 4000))
def test_a_field_of_view_spans_the_width(fov_deg: float, width: int, height: int) -> None:
    camera = pinhole_from_fov(width, height, fov_deg)
    middle = (height - 1) / 2
    left, right = camera.unproject(np.array([[-0.5, middle], [width - 0.5, middle]]))
    assert math.degrees(math.acos(np.clip(left @ right, -1, 1))) == pytest.approx(fov_deg, abs=1e-4)
    assert not camera.assumed


@pytest.mark.parametrize("fov_deg", [400.0, 180.0, 9.0, 0.0, -60.0, math.nan, math.inf])
def test_an_impossible_field_of_view_is_refused_with_the_range(fov_deg: float) -> None:
    with pytest.raises(CameraError, match="from 10 to 170"):
        CameraChoice(horizontal_fov_deg=fov_deg)


def test_a_choice_knows_which_cameras_are_guesses() -> None:
    calibration = LENSES["webcam"]
    with pytest.raises(CameraError, match="both"):
        CameraChoice(calibration=calibration, horizontal_fov_deg=60.0)
    assert CameraChoice(calibration=calibration).for_size(640, 480) is calibration
    assert not CameraChoice(horizontal_fov_deg=90.0).for_size(640, 480).assumed
    assert CameraChoice().for_size(640, 480).assumed
    with pytest.raises(CameraError, match="aspect"):
        CameraChoice(calibration=calibration).for_size(640, 360)


def test_a_pinhole_takes_no_distortion() -> None:
    with pytest.raises(CameraError, match="pinhole takes 0 distortion values, found 1"):
        Pinhole(640, 480, 500.0, 500.0, 320.0, 240.0, (0.1,))
