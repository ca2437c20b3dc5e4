"""Pseudo labels of a take as values: parameters of a body model, residuals, what speaks against each hand."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from tracker.hand_shape import NUM_FINGERS, HandShape
from tracker.joints import FloatArray, Side
from tracker.kinematic_hand import (
    ANGLE_LOWER_RAD,
    ANGLE_UPPER_RAD,
    NUM_ANGLES,
    angles_of,
    poses_from_joints,
)
from tracker.research.pseudo_labels.mano_hand import ManoHand
from tracker.research.pseudo_labels.open_hand import OpenHand, hand_shape
from tracker.research.pseudo_labels.problem import MIRROR, BoolArray, IntArray, TakeFit, TakeKeypoints
from tracker.rotations import rotation_from_vector
from tracker.structs import ManoParameters

OUTLIER_WEIGHT = 0.1
"""A joint whose Tukey weight is below this is called an outlier: about four spreads off."""
REASONS = ("few_keypoints", "many_outliers", "large_residual", "beyond_limits", "unsettled")
"""Why a label is bad, in the order of the columns of ``bad``."""


@dataclass(frozen=True)
class Demands:
    """What a good label fulfils."""

    least_keypoints: int = 10
    most_outliers: int = 3
    most_rms_m: float = 0.012
    """RMS distance of the hand from its keypoints, outliers left out."""
    most_beyond_rad: float = 0.35
    """How far beyond a limit the keypoints may bend a finger, besides three spreads of what noise does."""


@dataclass(frozen=True, eq=False)
class OpenHandParameters:
    """The open hand's: one shape, a pose for each row."""

    shape: HandShape
    wrists_m: FloatArray
    """(H, 3)"""
    rotations: FloatArray
    """(H, 3, 3) of the wrist's OpenXR axes, for both sides."""
    angles_rad: FloatArray
    """(H, 5, 4) as in ``kinematic_hand``."""


@dataclass(frozen=True, eq=False)
class ManoTake:
    """MANO's: one set of betas, a pose for each row, of the right-hand model; left ones are mirrored in x."""

    betas: FloatArray
    """(10,)"""
    global_orient: FloatArray
    """(H, 3, 3)"""
    hand_pose: FloatArray
    """(H, 15, 3, 3)"""
    translation_m: FloatArray
    """(H, 3) from the model, mirrored where it is, to the keypoints' axes."""


@dataclass(frozen=True, eq=False)
class TakeLabels:
    """The labels of one take; arrays lead with H, one row a hand and frame."""

    take: str
    frames: IntArray
    """(H,)"""
    left: BoolArray
    """(H,)"""
    joints_m: FloatArray
    """(H, 21, 3) of the fitted hand, in the keypoints' axes; none is missing."""
    residuals_m: FloatArray
    """(H, 21) distance from the keypoints; NaN where there was none."""
    outliers: BoolArray
    """(H, 21) keypoints that the fit did not believe."""
    rms_m: FloatArray
    """(H,) RMS residual of the others."""
    beyond_rad: FloatArray
    """(H, 5, 4) how far beyond the limits of ``kinematic_hand`` the keypoints themselves bend each finger,
    signed, zero within; NaN where a joint is unknown or an outlier. The fitted hand keeps its limits."""
    bad: BoolArray
    """(H, 5) which of `REASONS` hold."""
    noise_m: float
    """Spread of the take's keypoints an axis, as the residuals have it."""
    parameters: OpenHandParameters | ManoTake

    def __len__(self) -> int:
        return len(self.frames)

    @property
    def good(self) -> BoolArray:
        """(H,) the rows that nothing speaks against."""
        return np.asarray(~self.bad.any(axis=1))

    def counts(self) -> Mapping[str, int]:
        """How many hands each reason holds for."""
        return dict(zip(REASONS, self.bad.sum(axis=0).tolist(), strict=True))

    def mano(self, row: int) -> ManoParameters:
        """One hand as the tracker's MANO parameters.

        Raises:
            ValueError: these are labels of the open hand.
        """
        if not isinstance(self.parameters, ManoTake):
            raise ValueError("the labels are of the open hand, not of MANO")
        return ManoParameters(
            global_orient=self.parameters.global_orient[row],
            hand_pose=self.parameters.hand_pose[row],
            betas=self.parameters.betas,
            translation_m=self.parameters.translation_m[row],
            mirrored=bool(self.left[row]),
        )

    def only(self, rows: BoolArray) -> "TakeLabels":
        """Some of the rows: ``labels.only(labels.good)`` drops bad labels."""
        names = ("frames", "left", "joints_m", "residuals_m", "outliers", "rms_m", "beyond_rad", "bad")
        posed = ("wrists_m", "rotations", "angles_rad", "global_orient", "hand_pose", "translation_m")
        kept = {
            name: getattr(self.parameters, name)[rows] for name in posed if hasattr(self.parameters, name)
        }
        arrays = {name: getattr(self, name)[rows] for name in names}
        return replace(self, **arrays, parameters=replace(self.parameters, **kept))


def labels_of(
    model: OpenHand | ManoHand, keypoints: TakeKeypoints, fit: TakeFit, demands: Demands | None = None
) -> TakeLabels:
    """The labels that a fit gives, in the keypoints' axes, each judged."""
    demands = demands or Demands()
    mirrors = np.where(keypoints.left[:, None], MIRROR, 1.0)
    known = np.isfinite(fit.residuals_m)
    outliers = known & (np.nan_to_num(fit.inlier_weights, nan=1.0) < OUTLIER_WEIGHT)
    squares = np.where(known & ~outliers, fit.residuals_m, 0.0) ** 2
    rms_m = np.sqrt(squares.sum(axis=1) / np.maximum((known & ~outliers).sum(axis=1), 1))
    beyond_rad, uncertainty_rad = _beyond_limits(fit, keypoints.joints_m * mirrors[:, None], outliers)
    bad = np.stack(
        [
            known.sum(axis=1) < demands.least_keypoints,
            outliers.sum(axis=1) > demands.most_outliers,
            rms_m > demands.most_rms_m,
            (np.abs(beyond_rad) > demands.most_beyond_rad + 3 * uncertainty_rad).any(axis=(1, 2)),
            ~fit.settled,
        ],
        axis=1,
    )
    return TakeLabels(
        take=keypoints.take,
        frames=keypoints.frames,
        left=keypoints.left,
        joints_m=fit.joints_m * mirrors[:, None],
        residuals_m=fit.residuals_m,
        outliers=outliers,
        rms_m=rms_m,
        beyond_rad=beyond_rad,
        bad=bad,
        noise_m=fit.noise_m,
        parameters=_parameters(model, fit, mirrors),
    )


def _beyond_limits(fit: TakeFit, seen_m: FloatArray, outliers: BoolArray) -> tuple[FloatArray, FloatArray]:
    """How far (H, 5, 4) right-hand keypoints bend beyond the limits, and what noise does to that (5, 4)."""
    count = len(seen_m)
    shape = HandShape.from_joints(fit.joints_m[0], Side.RIGHT)
    palm_m = np.broadcast_to(shape.palm_m, (count, *shape.palm_m.shape))
    wrists_m, rotations, _ = poses_from_joints(fit.joints_m, palm_m, [Side.RIGHT] * count)
    believed_m = np.where(outliers[..., None], np.nan, seen_m)
    angles_rad = angles_of((believed_m - wrists_m[:, None]) @ rotations)
    middle_rad = (ANGLE_LOWER_RAD + ANGLE_UPPER_RAD) / 2
    angles_rad = middle_rad + np.remainder(angles_rad - middle_rad + np.pi, 2 * np.pi) - np.pi
    bones_m = shape.finger_bones_m[:, (0, 0, 1, 2)]
    relative = np.array([1.0, 1.0, np.sqrt(2.0), np.sqrt(2.0)])
    uncertainty_rad = relative * np.sqrt(2.0) * fit.noise_m / bones_m
    return angles_rad - np.clip(angles_rad, ANGLE_LOWER_RAD, ANGLE_UPPER_RAD), uncertainty_rad


def _parameters(
    model: OpenHand | ManoHand, fit: TakeFit, mirrors: FloatArray
) -> OpenHandParameters | ManoTake:
    places_m, rotations, angles_rad = fit.pose
    if isinstance(model, OpenHand):
        mirrored = (
            mirrors[:, :, None] * rotations * mirrors[:, None]
        )  # M R M: the wrist's axes are mirrored too
        angles_rad = angles_rad.reshape(len(places_m), NUM_FINGERS, NUM_ANGLES)
        return OpenHandParameters(hand_shape(fit.shape), places_m * mirrors, mirrored, angles_rad)
    hand_pose = rotation_from_vector(model.vectors_rad(angles_rad))
    return ManoTake(fit.shape, rotations, hand_pose, places_m * mirrors)
