"""What a calibration is worth: refused, accepted with warnings, or accepted; and in words."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tracker.calibrate_camera.coverage import Coverage
from tracker.calibrate_camera.lens_fits import sees_whole_picture
from tracker.calibrate_camera.opencv import cv2
from tracker.calibrate_camera.solve import Solution
from tracker.calibrate_camera.views import BoardView, facing
from tracker.errors import MeasurementError

MIN_VIEWS, GOOD_VIEWS = 8, 15
MIN_TILT_DEG = 10.0
"""Boards all parallel to the picture look the same with any focal length, at another distance."""
MAX_FOCAL_DEVIATION, GOOD_FOCAL_DEVIATION = 0.03, 0.005
MAX_RMS, GOOD_RMS = 4.0, 0.8
"""Pixels in a picture 1280 wide; in proportion in larger ones, never less."""
MIN_COVERAGE = 0.25
"""Corners only in the middle say nothing of the distortion, which grows toward the edges."""
OVERFITTED = 1.5
ASPECT = 0.02
CENTER_SHARE = 0.1


@dataclass(frozen=True, eq=False)
class Calibration:
    """A lens, how it was chosen, and what it rests on."""

    solution: Solution
    errors_px: dict[str, float]
    """Held-out error of each model that was tried."""
    coverage: Coverage

    @property
    def largest_tilt_deg(self) -> float:
        """Between the picture's plane and the board most tilted out of it."""
        fit = self.solution.fit
        ahead = [-facing(cv2.Rodrigues(pose[0])[0])[2] for pose in fit.poses]
        return float(np.degrees(np.arccos(np.clip(min(ahead), -1, 1))))

    @property
    def focal_deviation(self) -> float:
        """Standard deviation of the focal length, as a share of it."""
        fit = self.solution.fit
        return max(fit.deviations["fx"] / fit.camera.fx, fit.deviations["fy"] / fit.camera.fy)

    @property
    def rms_at_1280(self) -> float:
        """Error in pixels as it would be in a picture 1280 wide, where the picture is larger than that."""
        camera = self.solution.fit.camera
        return self.solution.fit.rms_px / max(1.0, max(camera.width, camera.height) / 1280)

    def to_json(self) -> dict[str, object]:
        """The camera file, with the calibration's quality beside the camera."""
        fit = self.solution.fit
        return fit.camera.to_json() | {
            "quality": {
                "rms_px": round(fit.rms_px, 4),
                "held_out_px": round(self.solution.held_out_px, 4),
                "views": len(fit.views),
                "coverage": round(self.coverage.share, 3),
                "standard_deviations": {name: float(f"{sd:.3g}") for name, sd in fit.deviations.items()},
            }
        }


def refuse_bad(calibration: Calibration) -> None:
    """Refuse a calibration that would mislead.

    Raises:
        MeasurementError: for what reason, and what to show instead.
    """
    fit, coverage = calibration.solution.fit, calibration.coverage
    if len(fit.views) < MIN_VIEWS:
        raise MeasurementError(
            f"only {len(fit.views)} usable views; {MIN_VIEWS} are needed, {GOOD_VIEWS} are good"
        )
    if calibration.largest_tilt_deg < MIN_TILT_DEG:
        raise MeasurementError(
            f"the board was never tilted by more than {calibration.largest_tilt_deg:.0f} degrees, so "
            "its views do not tell the focal length; tilt it by 30 degrees and more, each side toward the "
            "camera once"
        )
    if coverage.share < MIN_COVERAGE:
        raise MeasurementError(
            f"corners were seen in {100 * coverage.share:.0f} % of the picture only, which does not tell the "
            f"distortion; show {coverage.missing or 'the board near the edges'}"
        )
    if not calibration.focal_deviation <= MAX_FOCAL_DEVIATION:
        raise MeasurementError(
            f"the focal length is known to {100 * calibration.focal_deviation:.1f} % only; tilt the board "
            "more and show it nearer"
        )
    if not calibration.rms_at_1280 <= MAX_RMS:
        raise MeasurementError(
            f"the lens fits the corners to {fit.rms_px:.1f} px only; check that the board is flat, that the "
            "lens does not refocus or zoom, and that the picture is not stabilised; try another --model"
        )


def warnings(calibration: Calibration) -> list[str]:
    """What is doubtful, each with what would help."""
    solution, fit, coverage = calibration.solution, calibration.solution.fit, calibration.coverage
    camera = fit.camera
    doubts = []
    if len(fit.views) < GOOD_VIEWS:
        doubts.append(f"{len(fit.views)} views are few; {GOOD_VIEWS} or more are good")
    if coverage.missing:
        doubts.append(f"not shown: {coverage.missing}")
    if calibration.rms_at_1280 > GOOD_RMS:
        doubts.append(f"an error of {fit.rms_px:.2f} px is large; is the board flat, and the lens in focus?")
    if solution.held_out_px > max(OVERFITTED * fit.rms_px, fit.rms_px + 0.1):
        doubts.append(
            f"held-out views are off by {solution.held_out_px:.2f} px, others by {fit.rms_px:.2f}; show more"
        )
    if calibration.focal_deviation > GOOD_FOCAL_DEVIATION:
        doubts.append(
            f"the focal length is known to {100 * calibration.focal_deviation:.1f} %; tilt the board more"
        )
    if abs(camera.fx / camera.fy - 1) > ASPECT:
        doubts.append(
            f"pixels are not square (fx / fy is {camera.fx / camera.fy:.3f}); was the picture stretched?"
        )
    off = (camera.cx - (camera.width - 1) / 2, camera.cy - (camera.height - 1) / 2)
    if np.hypot(*off) > CENTER_SHARE * max(camera.width, camera.height):
        doubts.append(
            f"the optical axis is {off[0]:.0f}, {off[1]:.0f} px off the middle; was the picture cropped?"
        )
    if camera.model == "brown_conrady" and not sees_whole_picture(camera):
        doubts.append("beyond the corners that were seen this lens folds back; show the board near the edges")
    return doubts


def describe(calibration: Calibration) -> str:
    """The lens and how sure it is, for a person to read."""
    solution, fit = calibration.solution, calibration.solution.fit
    camera = fit.camera
    errors = ", ".join(
        f"{name} {error:.3f} px" if np.isfinite(error) else f"{name} does not fit"
        for name, error in calibration.errors_px.items()
    )
    lines = [
        f"{camera.model} lens, {camera.width} x {camera.height}"
        + (f", chosen by its error on held-out views ({errors})" if len(calibration.errors_px) > 1 else "")
    ]
    values = (camera.fx, camera.fy, camera.cx, camera.cy, *camera.distortion)
    for (name, deviation), value in zip(fit.deviations.items(), values, strict=True):
        digits = 3 if name in ("fx", "fy", "cx", "cy") else 5
        lines.append(f"  {name:>2} {value:12.{digits}f} +- {deviation:.{digits}f}")
    lines += [
        f"error {fit.rms_px:.3f} px (root mean square over {len(fit.views)} views; per view "
        f"{fit.view_rms_px.min():.3f} to {fit.view_rms_px.max():.3f}, "
        f"median {np.median(fit.view_rms_px):.3f})",
        f"error on held-out views {solution.held_out_px:.3f} px (cross-validation)",
        f"corners in {100 * calibration.coverage.share:.0f} % of the picture; "
        f"largest tilt {calibration.largest_tilt_deg:.0f} degrees",
    ]
    worst = np.argsort(-fit.view_rms_px)[:3]
    lines.append("largest: " + ", ".join(f"{fit.views[i].name} {fit.view_rms_px[i]:.3f} px" for i in worst))
    if solution.outliers:
        lines.append(f"left out, as they disagree with the rest: {_names(solution.outliers)}")
    if fit.unfit:
        lines.append(f"left out, as no board can be placed from them: {_names(fit.unfit)}")
    return "\n".join(lines)


def _names(views: Sequence[BoardView]) -> str:
    return ", ".join(view.name for view in views)
