"""calibrate-camera: known lenses come back from pictures of a board, errors are honest, bad ones refused."""

import json
import re
import signal
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import av
import numpy as np
import pytest
from lenses import LENSES
from PIL import Image

cv2 = pytest.importorskip("cv2")

from board_views import BoardStudio, Pose, varied_poses  # noqa: E402 - they need OpenCV

from tracker.calibrate_camera.adjustment import (  # noqa: E402
    adjust,
    place_board,
    residuals_px,
    slopes_px,
)
from tracker.calibrate_camera.boards import Board, BoardFinder, board_from_options  # noqa: E402
from tracker.calibrate_camera.coverage import coverage_of  # noqa: E402
from tracker.calibrate_camera.coverage_picture import draw_coverage  # noqa: E402
from tracker.calibrate_camera.gathering import gather_views  # noqa: E402
from tracker.calibrate_camera.lens_fits import fit_lens, standard_deviations  # noqa: E402
from tracker.calibrate_camera.pictures import Picture  # noqa: E402
from tracker.calibrate_camera.printing import CAPTION_MM, DOTS_PER_INCH, board_sheet, dots  # noqa: E402
from tracker.calibrate_camera.report import Calibration, refuse_bad, warnings  # noqa: E402
from tracker.calibrate_camera.solve import held_out_rms_px, solve  # noqa: E402
from tracker.calibrate_camera.views import BoardView, ViewSelection, difference, view_of  # noqa: E402
from tracker.cameras import BrownConrady, Camera, KannalaBrandt, load_camera  # noqa: E402
from tracker.cli import main  # noqa: E402
from tracker.errors import MeasurementError  # noqa: E402
from tracker.joints import FloatArray  # noqa: E402
from tracker.structs import Frame, ImageArray  # noqa: E402

CHESS = board_from_options("chessboard", None, 25.0, None, "4X4_50")
CHARUCO = board_from_options("charuco", None, 25.0, None, "4X4_50")
WEBCAM, BARREL = LENSES["webcam"], LENSES["barrel"]
FISHEYE = LENSES["fisheye"].resized(530, 500)


def quiet(line: str) -> None:
    """Nobody listens."""


def expected_px(camera: Camera, board: Board, pose: Pose) -> FloatArray:
    """(N, 2) where the corners of the printed board really are."""
    above_middle_m = (0, CAPTION_MM / 2e3, 0)
    points_m = board.corners_m - board.corners_m.mean(axis=0) - above_middle_m
    turned = cv2.Rodrigues(np.array(pose.turn_rad))[0]
    return camera.project(points_m @ turned.T + np.array(pose.place_m))


def projected_views(
    camera: Camera, poses: Sequence[Pose], *, noise_px: float = 0.1, seed: int = 0
) -> list[BoardView]:
    """What a perfect finder would see, with noise."""
    rng = np.random.default_rng(seed)
    grey = np.zeros((camera.height, camera.width), np.uint8)
    views = []
    for number, pose in enumerate(poses):
        corners_px = expected_px(camera, CHESS, pose) + rng.normal(0, noise_px, (54, 2))
        if np.isfinite(corners_px).all():
            view = view_of(CHESS, f"p{number}", grey, np.arange(54), corners_px)
            assert view is not None
            views.append(view)
    return views


@pytest.fixture(scope="module")
def webcam_pictures() -> list[ImageArray]:
    """A chessboard before a webcam, in all parts of the picture and tilts, near too."""
    near = varied_poses(WEBCAM, 6, near_m=0.30, edge=0.15, seed=1)
    studio = BoardStudio(WEBCAM, CHESS)
    poses = varied_poses(WEBCAM, 20, near_m=0.40, edge=0.62) + near
    return [studio.picture(pose, seed=number) for number, pose in enumerate(poses)]


def gathered_views(pictures: Sequence[ImageArray], board: Board) -> list[BoardView]:
    named = [Picture(f"p{number}", picture) for number, picture in enumerate(pictures)]
    return gather_views(named, BoardFinder(board), model="auto", live=False, say=quiet).views


def calibrated(views: Sequence[BoardView], camera: Camera, model: Any = "auto") -> Calibration:
    solution, errors_px = solve(views, camera.width, camera.height, model)
    return Calibration(solution, errors_px, coverage_of(views, camera.width, camera.height))


def angles_but_for_a_turn(rays: FloatArray, others: FloatArray) -> FloatArray:
    """(N,) between unit rays after the turn that brings them closest: no calibration tells that one."""
    left, _, right = np.linalg.svd(rays.T @ others)
    turned = rays @ (left @ np.diag([1, 1, np.linalg.det(left @ right)]) @ right)
    return np.asarray(2 * np.arcsin(np.linalg.norm(turned - others, axis=-1) / 2))


@pytest.mark.parametrize("which", ["webcam by a chessboard", "barrel by charuco", "fisheye by a chessboard"])
def test_a_known_lens_comes_back_from_pictures_of_a_board(
    which: str, webcam_pictures: list[ImageArray]
) -> None:
    """Focal length within 0.4 %, centre within 0.3 % of the width, rays (but for a turn of all) 0.4 px."""
    board = CHARUCO if "charuco" in which else CHESS
    if which.startswith("webcam"):
        true, pictures = WEBCAM, webcam_pictures
    else:
        true, near_m, edge = (BARREL, 0.30, 0.8) if "barrel" in which else (FISHEYE, 0.17, 0.62)
        studio = BoardStudio(true, board, near_m=near_m)
        poses = varied_poses(true, 18, near_m=near_m, edge=edge)
        pictures = [studio.picture(pose, seed=number) for number, pose in enumerate(poses)]
    views = gathered_views(pictures, board)
    assert len(views) > 0.7 * len(pictures)
    found = calibrated(views, true, "brown_conrady" if true is WEBCAM else "auto")
    camera = found.solution.fit.camera
    assert camera.model == true.model
    assert camera.fx == pytest.approx(true.fx, rel=4e-3) and camera.fy == pytest.approx(true.fy, rel=4e-3)
    assert np.hypot(camera.cx - true.cx, camera.cy - true.cy) < 3e-3 * true.width
    seen_px = np.concatenate([view.corners_px for view in views])
    apart_rad = angles_but_for_a_turn(true.unproject(seen_px), camera.unproject(seen_px))
    assert np.sqrt(np.mean(apart_rad**2)) * true.fx < 0.4
    assert found.solution.fit.rms_px < 0.25 and found.solution.held_out_px < 0.4
    refuse_bad(found)


@pytest.mark.parametrize("true", [WEBCAM, BARREL, FISHEYE], ids=["webcam", "barrel", "fisheye"])
def test_the_stated_deviations_are_those_of_repeated_calibrations(true: Camera) -> None:
    """Over six draws of the noise, errors in units of the stated deviation are about one."""
    model: Any = true.model
    near_m = 0.2 if true is FISHEYE else 0.4
    poses = varied_poses(true, 12, near_m=near_m, edge=0.6)
    true_values = np.array([true.fx, true.fy, true.cx, true.cy])
    scores = []
    for seed in range(6):
        fit = fit_lens(projected_views(true, poses, seed=seed), true.width, true.height, model)
        camera = fit.camera
        off = np.array([camera.fx, camera.fy, camera.cx, camera.cy]) - true_values
        scores.append(off / [fit.deviations[name] for name in ("fx", "fy", "cx", "cy")])
        assert fit.rms_px == pytest.approx(0.1 * np.sqrt(2), rel=0.1)
    assert 0.6 < float(np.sqrt(np.mean(np.square(scores)))) < 1.6


def test_our_deviations_are_opencvs_where_it_gives_them() -> None:
    views = projected_views(BARREL, varied_poses(BARREL, 14, near_m=0.4, edge=0.6))
    fit = fit_lens(views, 640, 480, "brown_conrady")
    ours = standard_deviations(fit)
    for name, deviation in fit.deviations.items():
        assert ours[name] == pytest.approx(deviation, rel=0.02), name


def test_the_fisheye_fit_ends_where_opencvs_does_if_that_gets_there() -> None:
    views = projected_views(FISHEYE, varied_poses(FISHEYE, 14, near_m=0.3, edge=0.3))
    fit = fit_lens(views, FISHEYE.width, FISHEYE.height, "kannala_brandt")
    assert len(fit.views) == len(views)
    flags = cv2.fisheye.CALIB_RECOMPUTE_EXTRINSIC | cv2.fisheye.CALIB_FIX_SKEW
    rms_px, matrix, distortion, _, _ = cv2.fisheye.calibrate(
        [view.points_m[:, None] for view in views],
        [view.corners_px[:, None] for view in views],
        (FISHEYE.width, FISHEYE.height),
        None,
        None,
        flags=flags,
        criteria=(cv2.TERM_CRITERIA_COUNT + cv2.TERM_CRITERIA_EPS, 100, 1e-9),
    )
    assert fit.rms_px <= rms_px * 1.0001
    theirs = (matrix[0, 0], matrix[1, 1], matrix[0, 2], matrix[1, 2])
    camera = fit.camera
    np.testing.assert_allclose((camera.fx, camera.fy, camera.cx, camera.cy), theirs, rtol=1e-4)
    np.testing.assert_allclose(camera.distortion, distortion.reshape(-1), atol=2e-3)


def test_a_fisheye_is_fitted_to_views_at_the_rim_too() -> None:
    """OpenCV's own fit gives up on these."""
    views = projected_views(FISHEYE, varied_poses(FISHEYE, 24, near_m=0.25, edge=0.85))
    fit = fit_lens(views, FISHEYE.width, FISHEYE.height, "kannala_brandt")
    assert len(fit.views) >= len(views) - 1
    assert abs(fit.camera.fx - FISHEYE.fx) < 4 * fit.deviations["fx"] < 0.01 * FISHEYE.fx
    assert fit.rms_px == pytest.approx(0.1 * np.sqrt(2), rel=0.15)


@pytest.mark.parametrize("camera", [WEBCAM, FISHEYE], ids=["webcam", "fisheye"])
def test_slopes_are_those_of_small_steps(camera: Camera) -> None:
    """For the fisheye also where the board reaches behind the camera's plane."""
    pose = np.array([[0.3, -1.2, 0.2], [0.02, 0.05, 0.3 if camera is WEBCAM else -0.05]])
    view = some_view()
    if camera is FISHEYE:
        assert ((view.points_m @ cv2.Rodrigues(pose[0])[0].T + pose[1])[:, 2] < 0).any()
    by_lens, by_pose = slopes_px(camera, view, pose)
    values = np.array([camera.fx, camera.fy, camera.cx, camera.cy, *camera.distortion])
    for place in range(len(values)):
        ends = []
        for step in (-1e-6, 1e-6):
            fx, fy, cx, cy, *k = (values + step * (np.arange(len(values)) == place)).tolist()
            ends.append(
                residuals_px(replace(camera, fx=fx, fy=fy, cx=cx, cy=cy, distortion=tuple(k)), view, pose)
            )
        np.testing.assert_allclose(by_lens[:, place], ((ends[1] - ends[0]) / 2e-6).reshape(-1), atol=1e-3)
    for place in range(6):
        step = 1e-7 * (np.arange(6) == place).reshape(2, 3)
        slope = (residuals_px(camera, view, pose + step) - residuals_px(camera, view, pose - step)) / 2e-7
        np.testing.assert_allclose(by_pose[:, place], slope.reshape(-1), rtol=1e-4, atol=1e-2)


def test_adjusting_from_the_truth_stays_there() -> None:
    views = projected_views(FISHEYE, varied_poses(FISHEYE, 8, near_m=0.25, edge=0.5), noise_px=0.0)
    poses = [place_board(FISHEYE, view) for view in views]
    camera, _ = adjust(FISHEYE, views, np.stack([pose for pose in poses if pose is not None]))
    assert camera.fx == pytest.approx(FISHEYE.fx, rel=1e-6) and camera.cx == pytest.approx(
        FISHEYE.cx, abs=1e-4
    )


def test_auto_takes_the_lens_that_errs_less_on_held_out_views_and_says_both() -> None:
    for true, near_m in ((BARREL, 0.3), (FISHEYE, 0.2)):
        views = projected_views(true, varied_poses(true, 16, near_m=near_m, edge=0.7))
        solution, errors_px = solve(views, true.width, true.height, "auto")
        assert set(errors_px) == {"brown_conrady", "kannala_brandt"}
        assert solution.fit.camera.model == true.model == min(errors_px, key=lambda name: errors_px[name])


def test_the_held_out_error_sees_what_the_fitted_error_hides() -> None:
    """Of few views, all alike, a lens says little of other places."""
    poses = varied_poses(WEBCAM, 5, near_m=0.7, edge=0.1)
    few = projected_views(WEBCAM, poses, noise_px=0.5)
    fit = fit_lens(few, 640, 480, "brown_conrady")
    assert held_out_rms_px(few, 640, 480, "brown_conrady") > 1.02 * fit.rms_px


def test_a_view_that_disagrees_with_all_others_is_left_out() -> None:
    views = projected_views(WEBCAM, varied_poses(WEBCAM, 14, near_m=0.4, edge=0.6))
    bent = views[3].corners_px + 3.0 * np.sin(np.arange(54))[:, None]
    views[3] = replace(views[3], corners_px=bent)
    solution, _ = solve(views, 640, 480, "brown_conrady")
    assert [view.name for view in solution.outliers] == ["p3"]
    assert solution.fit.camera.fx == pytest.approx(WEBCAM.fx, rel=4e-3)


@pytest.mark.parametrize("board", [CHESS, CHARUCO], ids=["chessboard", "charuco"])
@pytest.mark.parametrize("width", [640, 1280])
def test_corners_are_found_to_a_fraction_of_a_pixel(board: Board, width: int) -> None:
    """Also where a large picture is searched at a smaller size."""
    camera = BARREL.resized(width, width * 3 // 4)
    pose = Pose((0.01, -0.02, 0.32), (0.35, -0.3, 0.1))
    found = BoardFinder(board).find(BoardStudio(camera, board).picture(pose, noise=1.0))
    assert found is not None
    ids, corners_px = found
    expected = expected_px(camera, board, pose)[ids]
    if np.linalg.norm(corners_px[0] - expected[0]) > 20:  # a chessboard looks the same upside down
        expected = expected[::-1]
    off = corners_px - expected
    off -= off.mean(axis=0)  # the sheet is centred to half a dot of its coarse copy
    assert np.sqrt((off**2).sum(axis=-1).mean()) < (0.15 if width == 640 else 0.4)


def test_a_charuco_board_of_the_layout_before_opencv_4_6_is_found() -> None:
    board = board_from_options("charuco", "9x6", 25.0, None, "5x5_50")
    old = cv2.aruco.CharucoBoard(
        (9, 6), 0.025, 0.018, cv2.aruco.getPredefinedDictionary(cv2.aruco.DICT_5X5_50)
    )
    for legacy in (False, True):
        old.setLegacyPattern(legacy)
        found = BoardFinder(board).find(old.generateImage((900, 600), marginSize=30))
        assert found is not None and len(found[0]) == 40, legacy
        steps = np.diff(found[1].reshape(5, 8, 2), axis=1)
        assert (steps[..., 0] > 50).all() and np.abs(steps[..., 1]).max() < 1


def test_no_board_is_found_in_noise() -> None:
    noise = np.random.default_rng(0).integers(0, 255, (480, 640), dtype=np.uint8)
    assert BoardFinder(CHESS).find(noise) is None and BoardFinder(CHARUCO).find(noise) is None


def some_view(**changes: Any) -> BoardView:
    pose = Pose((0.0, 0.0, 0.5), (0.3, 0.2, 0.0))
    return replace(projected_views(WEBCAM, [pose])[0], edge_width_px=2.0, **changes)


def test_of_like_views_the_sharper_stays_and_blurred_ones_never_enter() -> None:
    selection = ViewSelection(640)
    assert selection.add(some_view()) == "new"
    assert selection.add(some_view()) == "alike"
    assert selection.add(replace(some_view(), edge_width_px=1.2)) == "sharper"
    assert selection.add(replace(some_view(), edge_width_px=9.0)) == "blurred"
    assert [view.edge_width_px for view in selection.views] == [1.2]
    moved = some_view(center=np.array([0.9, 0.9]))
    assert selection.add(moved) == "new" and len(selection.views) == 2


def test_kept_views_all_differ_and_are_never_too_many() -> None:
    rng = np.random.default_rng(0)
    selection = ViewSelection(640)
    base = some_view()
    for _ in range(300):
        selection.add(
            replace(
                base, center=rng.uniform(0, 1, 2), size=rng.uniform(0.1, 0.6), tilt=rng.uniform(-0.6, 0.6, 2)
            )
        )
    views = selection.views
    assert len(views) == 50
    assert min(difference(a, b) for i, a in enumerate(views) for b in views[:i]) >= 1


def test_blur_and_motion_widen_edges() -> None:
    studio, pose = BoardStudio(WEBCAM, CHESS), Pose((0.0, 0.0, 0.45), (0.2, 0.2, 0.1))
    sharp = studio.picture(pose, blur_px=0.5)
    smeared = cv2.blur(sharp, (13, 1))  # a move to the side leaves edges along it sharp
    widths = []
    for picture in (sharp, cv2.GaussianBlur(sharp, (0, 0), 1.5), smeared):
        found = BoardFinder(CHESS).find(picture)
        assert found is not None
        view = view_of(CHESS, "p", picture, *found)
        assert view is not None
        widths.append(view.edge_width_px)
    assert widths[0] < 3 and widths[1] > 1.4 * widths[0] and widths[2] > 4


def test_coverage_only_grows_and_names_what_is_missing() -> None:
    views = projected_views(WEBCAM, varied_poses(WEBCAM, 24, near_m=0.3, edge=0.8))
    shares = [coverage_of(views[:count], 640, 480).share for count in range(len(views) + 1)]
    assert shares[0] == 0 and shares == sorted(shares) and shares[-1] > 0.6
    left = [view for view in views if view.corners_px[:, 0].max() < 320]
    missing = coverage_of(left, 640, 480).missing_parts
    assert {"upper right", "middle right", "lower right"} <= set(missing) and "middle left" not in missing
    assert len(coverage_of([], 640, 480).missing_parts) == 9
    assert coverage_of(views, 640, 480).missing_tilts == ()


@pytest.mark.parametrize(
    ("turn_rad", "side"),
    [((0, 0.6, 0), "right"), ((0, -0.6, 0), "left"), ((0.6, 0, 0), "upper"), ((-0.6, 0, 0), "lower")],
)
def test_a_tilt_is_named_by_the_side_that_is_nearer(turn_rad: Any, side: str) -> None:
    pose = Pose((0.0, 0.0, 0.4), turn_rad)
    turned = cv2.Rodrigues(np.array(turn_rad, dtype=float))[0]
    ends = {"right": (1, 0, 0), "left": (-1, 0, 0), "upper": (0, -1, 0), "lower": (0, 1, 0)}
    assert (turned @ np.array(ends[side], dtype=float))[2] < -0.5, "the side named is nearer to the camera"
    missing = coverage_of(projected_views(WEBCAM, [pose]), 640, 480).missing_tilts
    assert len(missing) == 3 and f"its {side} side nearer" not in missing


def test_what_the_lens_leaves_dark_is_not_asked_for() -> None:
    lit = np.zeros((8, 10), bool)
    lit[2:6, 3:7] = True
    views = projected_views(WEBCAM, varied_poses(WEBCAM, 12, near_m=0.4, edge=0.2))
    coverage = coverage_of(views, 640, 480, lit)
    assert coverage.share > 0.9 and coverage.missing_parts == ()


def test_the_coverage_picture_is_red_where_no_corner_was() -> None:
    views = projected_views(WEBCAM, varied_poses(WEBCAM, 20, near_m=0.4, edge=0.8))
    left = [view for view in views if view.corners_px[:, 0].max() < 320]
    picture = np.asarray(draw_coverage(left, coverage_of(left, 640, 480), 640, 480)).astype(int)
    area = picture[30:690, 30:915]
    red = (area[..., 0] - area[..., 1] > 30).mean(axis=0)
    assert red[600:].mean() > 0.9 and red[100:300].mean() < 0.5


REFUSED: dict[str, tuple[list[Pose], str]] = {
    "never tilted": (
        [
            Pose((x, y, 0.35 + 0.05 * abs(x) + z))
            for x in (-0.1, 0, 0.1)
            for y in (-0.06, 0.06)
            for z in (0, 0.1)
        ],
        "never tilted by more than .* degrees, so its views do not tell the focal length",
    ),
    "only in the middle": (varied_poses(WEBCAM, 14, near_m=0.9, edge=0.05), "of the picture only"),
    "few": (varied_poses(WEBCAM, 6, near_m=0.4, edge=0.5), "only 6 usable views; 8 are needed"),
}


@pytest.mark.parametrize(("poses", "message"), REFUSED.values(), ids=REFUSED.keys())
def test_views_that_do_not_tell_the_lens_are_refused(poses: list[Pose], message: str) -> None:
    with pytest.raises(MeasurementError, match=message):
        refuse_bad(calibrated(projected_views(WEBCAM, poses), WEBCAM, "brown_conrady"))


def test_a_large_error_is_refused_and_a_middling_one_warned_of() -> None:
    poses = varied_poses(WEBCAM, 20, near_m=0.35, edge=0.8)
    with pytest.raises(MeasurementError, match=r"fits the corners to .* px only|known to .* only"):
        refuse_bad(calibrated(projected_views(WEBCAM, poses, noise_px=5.0), WEBCAM, "brown_conrady"))
    middling = calibrated(projected_views(WEBCAM, poses, noise_px=0.8), WEBCAM, "brown_conrady")
    refuse_bad(middling)
    assert any("px is large" in doubt for doubt in warnings(middling))
    good = calibrated(projected_views(WEBCAM, poses), WEBCAM, "brown_conrady")
    assert not any("px is large" in doubt for doubt in warnings(good))


def test_stretched_and_cropped_pictures_are_warned_of() -> None:
    for change, word in (({"fx": 560.0}, "not square"), ({"cx": 420.0}, "off the middle")):
        odd = replace(WEBCAM, **change)
        views = projected_views(odd, varied_poses(odd, 16, near_m=0.4, edge=0.5))
        assert any(word in doubt for doubt in warnings(calibrated(views, odd, "brown_conrady")))


@pytest.mark.parametrize("board", [CHESS, CHARUCO], ids=["chessboard", "charuco"])
def test_the_printed_board_is_true_to_size(board: Board) -> None:
    sheet = board_sheet(board)
    assert sheet.size == (dots(297), dots(210))
    small = np.asarray(sheet.convert("L").resize((sheet.width // 4, sheet.height // 4), Image.Resampling.BOX))
    found = BoardFinder(board, thorough=True).find(small)
    assert found is not None and len(found[0]) == len(board.corners_m)
    corners_mm = (found[1] + 0.5) * 4 / DOTS_PER_INCH * 25.4
    grid_mm = 1e3 * board.corners_m[found[0], :2]
    if corners_mm[0, 0] > corners_mm[-1, 0]:
        grid_mm = grid_mm[::-1]
    np.testing.assert_allclose(corners_mm - corners_mm[0], grid_mm - grid_mm[0], atol=0.1)


# The command


def run(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, list[str]]:
    """Exit status, standard output and the lines on standard error."""
    with pytest.raises(SystemExit) as stop:
        main(["calibrate-camera", *map(str, arguments)])
    printed = capsys.readouterr()
    assert "Traceback" not in printed.err
    return int(stop.value.code or 0), printed.out, printed.err.strip().splitlines()


def as_rgb(grey: ImageArray) -> ImageArray:
    return np.repeat(grey[..., None], 3, axis=-1)


def test_the_command_calibrates_from_a_video(
    webcam_pictures: list[ImageArray], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    video, out, picture = tmp_path / "board.mp4", tmp_path / "camera.json", tmp_path / "seen.png"
    with av.open(str(video), "w") as container:
        stream = container.add_stream("mpeg4", rate=6, options={"qscale": "2"})
        stream.width, stream.height, stream.pix_fmt = 640, 480, "yuv420p"
        for grey in webcam_pictures:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(as_rgb(grey), format="rgb24")))
        container.mux(stream.encode())
    options = ("--source", video, "--out", out, "--coverage", picture, "--model", "brown_conrady")
    status, printed, lines = run(capsys, *options)
    assert status == 0, lines
    camera = load_camera(out)
    assert camera.fx == pytest.approx(WEBCAM.fx, rel=1e-2)
    assert (
        "+-" in printed and "held-out" in printed and re.search(r"corners in \d+ % of the picture", printed)
    )
    quality = json.loads(out.read_text())["quality"]
    assert quality["rms_px"] < 0.5 and set(quality["standard_deviations"]) >= {"fx", "fy", "cx", "cy"}
    assert Image.open(picture).size[0] > 900
    assert any("use it with --camera" in line for line in lines)
    before = out.read_bytes()
    status, _, lines = run(capsys, *options)
    assert status == 2 and "exists; choose another name or pass --overwrite" in lines[-1]
    assert out.read_bytes() == before


def test_the_command_calibrates_from_a_folder_and_leaves_out_what_is_no_picture(
    webcam_pictures: list[ImageArray], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "views"
    folder.mkdir()
    for number, grey in enumerate(webcam_pictures[::2]):
        Image.fromarray(grey).save(folder / f"{number:02}.png")
    (folder / "notes.txt").write_text("no picture")
    (folder / "broken.jpg").write_bytes(b"\xff\xd8 no more")
    Image.new("L", (320, 240)).save(folder / "small.png")
    status, _, lines = run(
        capsys, "--source", folder, "--out", tmp_path / "c.json", "--model", "brown_conrady"
    )
    assert status == 0, lines
    assert any("left out broken.jpg" in line for line in lines)
    assert any("left out 1 pictures of another size" in line for line in lines)
    assert load_camera(tmp_path / "c.json").fx == pytest.approx(WEBCAM.fx, rel=1e-2)


def fake_source(pictures: Sequence[ImageArray], *, live: bool, stop_after: int | None = None) -> Any:
    """A source of these pictures again and again; Ctrl-C comes after so many."""

    def frames() -> Iterator[Frame]:
        for index in range(1000):
            if index == stop_after:
                signal.raise_signal(signal.SIGINT)
            grey = pictures[index % len(pictures)]
            yield Frame(index, 0.2 * index, as_rgb(grey), replace(WEBCAM, width=grey.shape[1]))
        raise AssertionError("nobody stopped it")

    closed: list[bool] = []
    source = SimpleNamespace(live=live, name="fake", close=lambda: closed.append(True), closed=closed)
    return type("Fake", (SimpleNamespace,), {"__iter__": lambda self: frames()})(**vars(source))


@pytest.mark.parametrize(("live", "status"), [(True, 0), (False, 130)], ids=["live", "file"])
def test_ctrl_c_calibrates_with_what_there_is(
    live: bool,
    status: int,
    webcam_pictures: list[ImageArray],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    source = fake_source(webcam_pictures, live=live, stop_after=14)
    monkeypatch.setattr("tracker.sources.open_source", lambda *_, **__: source)
    out = tmp_path / "camera.json"
    found, printed, lines = run(capsys, "--out", out, "--model", "brown_conrady")
    assert found == status, lines
    assert load_camera(out).fx == pytest.approx(WEBCAM.fx, rel=2e-2) and source.closed
    assert "over 14 views" in printed


def test_ctrl_c_with_too_little_says_so_and_writes_nothing(
    webcam_pictures: list[ImageArray],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    source = fake_source(webcam_pictures, live=True, stop_after=3)
    monkeypatch.setattr("tracker.sources.open_source", lambda *_, **__: source)
    status, _, lines = run(capsys, "--out", tmp_path / "camera.json")
    assert status == 1 and re.search("only 3 usable views .* 8 are needed.*: show the board", lines[-1]), (
        lines
    )
    assert list(tmp_path.iterdir()) == []


def test_a_live_run_ends_by_itself_when_nothing_is_missing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    studio = BoardStudio(WEBCAM, CHARUCO)
    poses = varied_poses(WEBCAM, 40, near_m=0.26, edge=0.95)
    pictures = [studio.picture(pose, seed=number) for number, pose in enumerate(poses)]
    source = fake_source(pictures, live=True)
    monkeypatch.setattr("tracker.sources.open_source", lambda *_, **__: source)
    options = ("--out", tmp_path / "camera.json", "--board", "charuco", "--model", "brown_conrady")
    status, printed, lines = run(capsys, *options)
    assert status == 0, lines
    assert load_camera(tmp_path / "camera.json").fx == pytest.approx(WEBCAM.fx, rel=5e-3), printed
    assert not any("still to show" in line for line in lines[-3:])


@pytest.mark.parametrize(
    ("options", "status", "message"),
    [
        (("--source", "absent.mp4"), 2, "absent.mp4 does not exist"),
        (("--source", "{folder}"), 2, "holds no pictures"),
        (("--size", "9"), 2, "the board's size is '9'; give two numbers, such as 9x6"),
        (("--size", "2x9"), 2, "2 x 9 inner corners; use one with 3 to 60"),
        (("--square-mm", "0"), 2, "squares are 0 mm; give 1 to 1000"),
        (("--square-mm", "nan"), 2, "squares are nan mm"),
        (("--board", "charuco", "--marker-mm", "25", "--source", "demo"), 2, "must be smaller than a square"),
        (
            ("--board", "charuco", "--dictionary", "9x9", "--source", "demo"),
            2,
            "'9X9' is unknown; choose one of",
        ),
        (("--board", "charuco", "--size", "20x20", "--source", "demo"), 2, "needs 200 markers"),
        (("--source", "demo", "--max-frames", "10"), 1, "no chessboard of 9 x 6 inner corners.*count inner"),
        (("--out", "{folder}/none/camera.json"), 2, "there is no folder"),
        (("--out", "{folder}/camera.yaml"), 2, r"end its name in \.json"),
        (("--coverage", "{folder}/seen.jpg"), 2, r"end its name in \.png"),
        (("--print-board", "{folder}/board.pdf", "--square-mm", "40"), 2, "fit on A4; give --square-mm 26"),
        (("--print-board", "{folder}/board.svg"), 2, r"end its name in \.png or \.pdf"),
        (("--which", "cam0"), 2, "needs --import"),
        (("--import", "{folder}/absent.yaml"), 2, "cannot read the camera file"),
    ],
)
def test_a_request_that_cannot_be_carried_out_is_one_clear_line(
    options: tuple[str, ...], status: int, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "empty"
    folder.mkdir()
    given = [option.format(folder=folder) for option in options]
    if "--out" not in given:
        given += ["--out", str(tmp_path / "camera.json")]
    found, _, lines = run(capsys, *given)
    assert found == status and re.search(message, lines[-1]), lines
    assert list(folder.iterdir()) == [] and not (tmp_path / "camera.json").exists()


def test_without_opencv_one_line_names_the_extra(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in sys.modules if name.startswith("tracker.calibrate_camera")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "cv2", None)
    status, _, lines = run(capsys, "--source", "demo", "--out", tmp_path / "camera.json")
    assert status == 2 and len(lines) == 1 and "extra `calibrate`" in lines[0]
    assert run(capsys, "--print-board", tmp_path / "board.png")[0] == 0, "a chessboard needs no OpenCV"


@pytest.mark.parametrize("ending", ["pdf", "png"])
def test_the_board_is_written_as_a_page_of_a4(
    ending: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / f"board.{ending}"
    assert run(capsys, "--print-board", path, "--board", "charuco", "--size", "5x7")[0] == 0
    if ending == "pdf":
        box = re.search(rb"/MediaBox \[ 0 0 ([\d.]+) ([\d.]+) \]", path.read_bytes())
        assert box is not None
        size_mm = [float(points) / 72 * 25.4 for points in box.groups()]
    else:
        with Image.open(path) as image:
            size_mm = [n / d * 25.4 for n, d in zip(image.size, image.info["dpi"], strict=True)]
    np.testing.assert_allclose(size_mm, (210, 297), atol=0.1)


def test_another_programs_file_becomes_ours(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    chain = tmp_path / "chain.yaml"
    chain.write_text(
        "cam0: {camera_model: pinhole, intrinsics: [400, 401, 320, 240], distortion_model: radtan,\n"
        "  distortion_coeffs: [-0.1, 0.01, 0, 0], resolution: [640, 480]}\n"
        "cam1: {camera_model: pinhole, intrinsics: [280, 281, 420, 400], distortion_model: equidistant,\n"
        "  distortion_coeffs: [0.01, 0.002, 0, 0], resolution: [848, 800]}\n"
    )
    out = tmp_path / "camera.json"
    status, _, lines = run(capsys, "--import", chain, "--which", "cam1", "--out", out)
    assert status == 0, lines
    assert load_camera(out) == KannalaBrandt(848, 800, 280, 281, 420, 400, (0.01, 0.002, 0.0, 0.0))
    status, _, lines = run(capsys, "--import", chain, "--out", tmp_path / "other.json")
    assert status == 2 and "choose one with --which: cam0, cam1" in lines[-1]
    status, _, lines = run(capsys, "--import", chain, "--which", "cam0", "--out", out, "--overwrite")
    assert status == 0 and isinstance(load_camera(out), BrownConrady)
