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
    Fisheye62,
    Fisheye624,
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
    """OpenCV's and Project Aria's documented formulas, one point at a time."""
    x, y, z = map(float, point)
    if isinstance(camera, Fisheye62):
        theta, phi = math.atan2(math.hypot(x, y), z), math.atan2(y, x)
        k, p, s = camera.distortion[:6], camera.distortion[6:8], (*camera.distortion[8:], *(0.0,) * 4)
        r = theta + sum(k[i] * theta ** (2 * i + 3) for i in range(6))
        ur, vr = r * math.cos(phi), r * math.sin(phi)
        u = ur + p[0] * (2 * ur**2 + r**2) + 2 * p[1] * ur * vr + s[0] * r**2 + s[1] * r**4
        v = vr + p[1] * (2 * vr**2 + r**2) + 2 * p[0] * ur * vr + s[2] * r**2 + s[3] * r**4
    elif isinstance(camera, KannalaBrandt):
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
def test_projection_agrees_with_the_documented_formulas(camera: Camera) -> None:
    rays = camera.unproject(picture_grid(camera, 15)).reshape(-1, 3)
    points = 0.4 * rays[np.isfinite(rays).all(axis=-1)]
    expected = [naive_project(camera, point) for point in points]
    np.testing.assert_allclose(camera.project(points), expected, rtol=0, atol=1e-4)


@every_lens
def test_projection_agrees_with_opencv(camera: Camera) -> None:
    cv2 = pytest.importorskip("cv2")
    if isinstance(camera, Fisheye62):
        pytest.skip("OpenCV has no such model")
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
    "text", [b"", b"not json", b"{", b'{"fx": ' + b"1" * 5000 + b"}", b"\xff\xfe", b"[1]", b"[" * 100_000]
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


def test_fisheye62_is_fisheye624_without_its_prism_and_kannala_brandt_without_its_tangents() -> None:
    k = (-0.026, 0.101, -0.071, 0.0125)
    size = (640, 480, 241.0, 241.0, 318.6, 238.9)
    rays = LENSES["aria slam"].unproject(picture_grid(LENSES["aria slam"], 15))
    radial = KannalaBrandt(*size, k).project(rays)
    np.testing.assert_allclose(Fisheye62(*size, (*k, 0, 0, 0, 0)).project(rays), radial, atol=1e-9)
    tangents = (*k, 0.001, 0.0, 6e-4, -5e-4)
    np.testing.assert_allclose(
        Fisheye624(*size, (*tangents, 0, 0, 0, 0)).project(rays),
        Fisheye62(*size, tangents).project(rays),
        atol=1e-9,
    )


@pytest.mark.parametrize("name", ["webcam", "rational", "aria slam", "strong prism"])
def test_the_slopes_of_a_distortion_are_its_finite_differences(name: str) -> None:
    camera = LENSES[name]
    if isinstance(camera, Fisheye62):
        bend, slopes = camera._bend, camera._bend_slopes
    else:
        assert isinstance(camera, BrownConrady)
        bend, slopes = camera._shift, camera._shift_slopes
    x, y = np.random.default_rng(4).uniform(-0.6, 0.6, (2, 50))
    step = 1e-6
    by_x = [(a - b) / (2 * step) for a, b in zip(bend(x + step, y), bend(x - step, y), strict=True)]
    by_y = [(a - b) / (2 * step) for a, b in zip(bend(x, y + step), bend(x, y - step), strict=True)]
    np.testing.assert_allclose(slopes(x, y), [by_x[0], by_y[0], by_x[1], by_y[1]], atol=1e-8)


def test_golden_pixels_of_fisheye624() -> None:
    """Worked out by hand for the direction (3, 4, 12): theta = atan(5/12), phi = atan(4/3)."""
    camera = Fisheye624(
        640, 480, 200.0, 200.0, 320.0, 240.0, (0.1, 0, 0, 0, 0, 0, 0.01, 0.02, 0.03, 0.04, 0.05, 0.06)
    )
    # theta = 0.394791, r = theta + 0.1 theta^3 = 0.400944, r^2 = 0.160756, r^4 = 0.025843;
    # u_r = 0.6 r = 0.240567, v_r = 0.8 r = 0.320755
    # u = 0.240567 + 0.01 (0.115745 + 0.160756) + 0.04 * 0.077163 + 0.03 * 0.160756 + 0.04 * 0.025843
    # v = 0.320755 + 0.02 (0.205768 + 0.160756) + 0.02 * 0.077163 + 0.05 * 0.160756 + 0.06 * 0.025843
    expected = [320 + 200 * 0.252275, 240 + 200 * 0.339217]
    np.testing.assert_allclose(camera.project(np.array([3.0, 4.0, 12.0])), expected, atol=5e-4)


def test_a_prism_that_folds_the_picture_ends_the_lens() -> None:
    """Without this a hand at the side of the head would appear inside the picture."""
    camera = FOLDING["folding prism"]
    angles = np.radians(np.arange(1.0, 180.0))
    around = np.radians(np.arange(0.0, 360.0, 15.0))[:, None]
    across = np.stack([np.cos(around) * np.sin(angles), np.sin(around) * np.sin(angles)], axis=-1)
    ahead = np.broadcast_to(np.cos(angles), across.shape[:2])
    pixels = camera.project(np.concatenate([across, ahead[..., None]], axis=-1))
    seen = np.isfinite(pixels).all(axis=-1)
    assert seen.sum(axis=1).min() > 60 and not seen[:, -1].any()
    outward, onward = np.diff(pixels, axis=1)[:-1], np.diff(pixels, axis=0)[:, :-1]
    areas = outward[..., 0] * onward[..., 1] - outward[..., 1] * onward[..., 0]
    assert (areas[np.isfinite(areas)] > 0).all()  # no part of the picture is turned inside out


ARIA_PARAMETERS = [611.0, 715.4, 705.2, 0.36, -0.32, 0.13, 0.02, -0.04, 0.009, 3e-4, -7e-4]
ARIA_PRISM = [-2.1e-3, 4e-4, 9e-4, -3e-4]
ARIA_FILES: dict[str, dict[str, object]] = {
    "recording": {
        "Label": "camera-rgb",
        "Projection": {"Name": "FisheyeRadTanThinPrism", "Params": [*ARIA_PARAMETERS, *ARIA_PRISM]},
        "T_Device_Camera": {"Translation": [0, 0, 0], "UnitQuaternion": [1, [0, 0, 0]]},
        "width": 1408,
        "height": 1408,
    },
    "hot3d": {
        "T_world_from_camera": {"translation_xyz": [0, 0, 0]},
        "calibration": {
            "projection_model_type": "CameraModelType.FISHEYE624",
            "projection_params": [*ARIA_PARAMETERS, *ARIA_PRISM],
            "image_width": 1408,
            "image_height": 1408,
        },
    },
}


@pytest.mark.parametrize("layout", ARIA_FILES)
def test_the_layouts_of_project_aria_give_the_same_lens(layout: str, tmp_path: Path) -> None:
    path = tmp_path / "camera.json"
    path.write_text(json.dumps(ARIA_FILES[layout]))
    assert load_camera(path) == LENSES["aria rgb"]


@pytest.mark.parametrize(
    ("name", "parameters", "expected"),
    [
        ("LINEAR", [500.0, 510.0, 320.0, 240.0], Pinhole(640, 480, 500.0, 510.0, 320.0, 240.0)),
        ("KANNALA_BRANDT_K3", [300.0, 301.0, 320.0, 240.0, 0.1, 0.0, 0.0, 0.0], None),
        ("FISHEYE62", ARIA_PARAMETERS, None),
        ("FISHEYE62", [611.0, 612.0, *ARIA_PARAMETERS[1:]], None),
    ],
)
def test_one_focal_length_or_two(
    name: str, parameters: list[float], expected: Camera | None, tmp_path: Path
) -> None:
    values = {
        "projection_model_type": name,
        "projection_params": parameters,
        "image_width": 640,
        "image_height": 480,
    }
    path = tmp_path / "camera.json"
    path.write_text(json.dumps(values))
    camera = load_camera(path)
    assert expected is None or camera == expected
    two = len(parameters) - len(camera.distortion) == 4
    assert (camera.fx, camera.fy) == (parameters[0], parameters[1 if two else 0])
    assert [camera.cx, camera.cy, *camera.distortion] == parameters[2 if two else 1 :]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"width": None}, "width must be a number, found None"),
        (
            {"Projection": {"Name": "Fisheye625", "Params": []}},
            "'Fisheye625' is unknown; choose one of linear",
        ),
        ({"Projection": {"Name": "Fisheye62", "Params": [1.0] * 15}}, "11 or 12 parameters, found 15"),
        ({"Projection": {"Name": "Fisheye62"}}, "11 or 12 parameters, found None"),
        ({"Projection": {"Name": "Fisheye62", "Params": [[1]] * 11}}, r"fx must be a number, found \[1\]"),
        ({"Projection": {"Params": [1.0] * 15}}, "None is unknown"),
        ({"Projection": []}, "model None is unknown"),
    ],
)
def test_a_broken_file_of_aria_is_named(change: dict[str, object], message: str, tmp_path: Path) -> None:
    path = tmp_path / "camera.json"
    path.write_text(json.dumps(ARIA_FILES["recording"] | change))
    with pytest.raises(CameraError, match=message) as caught:
        load_camera(path)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


def test_arias_own_file_lacks_the_size_and_says_so(tmp_path: Path) -> None:
    path = tmp_path / "camera.json"
    path.write_text(json.dumps({key: ARIA_FILES["recording"][key] for key in ("Label", "Projection")}))
    with pytest.raises(CameraError, match="add width and height"):
        load_camera(path)


def test_a_pinhole_takes_no_distortion() -> None:
    with pytest.raises(CameraError, match="pinhole takes 0 distortion values, found 1"):
        Pinhole(640, 480, 500.0, 500.0, 320.0, 240.0, (0.1,))


def test_an_upright_phone_is_assumed_to_see_as_much_as_a_turned_one() -> None:
    wide, tall = CameraChoice().for_size(1280, 720), CameraChoice().for_size(720, 1280)
    assert wide.fx == pytest.approx(tall.fx, rel=1e-12)
