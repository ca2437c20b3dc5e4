"""One hand over time: where it is expected, its side and bones so far, its smoothed motion."""

from dataclasses import replace

import numpy as np

from tracker.joints import FloatArray, Side
from tracker.kinematic_hand import KinematicPose
from tracker.structs import HandBox, HandDetection, HandPose, TrackedHand
from tracker.temporal.bones import BoneEstimator
from tracker.temporal.sides import SideEvidence
from tracker.temporal.sighting import Sighting
from tracker.temporal.smoothing import HandFilter

MAX_COAST_M_PER_S = 3.0
"""A hand that is not seen moves on no faster; people reach with 1 to 2."""

LOST_FRAMES = 10
"""Frames for which fingers that could not be recovered are left as they are."""
JOINT_OFFSET_SD_M = 0.003
"""A network's joints lie so far from the true ones whatever the frame; measured across the ray, on metric
pictures and on rendered hands. It does not shake a hand, so the filter is not told of it."""


class Track:
    """One hand over time."""

    def __init__(
        self,
        track_id: int,
        detection: HandDetection,
        time_s: float,
        *,
        side: SideEvidence,
        bones: BoneEstimator,
        motion: HandFilter,
    ) -> None:
        self.track_id = track_id
        self.side_evidence = side
        self.box = detection.box
        self.box_velocity_px_per_s: FloatArray = np.zeros(2)
        self.seen_at_s = time_s
        self.presence = detection.presence
        self.hand: TrackedHand | None = None
        self.confirmed = False
        """Whether it ever looked like a hand that can be there; until then it is not published."""
        self.doubtful_frames = 0
        """Frames in a row, up to the last, in which it looked like none."""
        self.bones = bones
        self._filter = motion
        self._lost_frames = 0

    @property
    def side(self) -> Side:
        """The side decided so far."""
        return self.side_evidence.side

    def see(self, sighting: Sighting, time_s: float) -> None:
        """Take a detection of this hand; the side is decided for all tracks together afterwards."""
        detection = sighting.detection
        elapsed_s = time_s - self.seen_at_s
        if elapsed_s > 0:
            velocity = (detection.box.center_px - self.box.center_px) / elapsed_s
            self.box_velocity_px_per_s = 0.5 * self.box_velocity_px_per_s + 0.5 * velocity
        self.box = detection.box
        self.presence = detection.presence
        self.side_evidence.see(sighting.right_log_odds)
        if sighting.credible:
            self.confirmed, self.doubtful_frames = True, 0
        else:
            self.doubtful_frames += 1

    def expected_box(self, time_s: float) -> HandBox:
        """Where the hand should be at ``time_s`` if it keeps its velocity in the picture."""
        moved = self.box.center_px + self.box_velocity_px_per_s * max(time_s - self.seen_at_s, 0.0)
        return replace(self.box, center_px=moved)

    def place(self, pose: HandPose, time_s: float) -> None:
        """Smooth a placed pose."""
        smoothed, velocity = self._filter(pose, time_s - self.seen_at_s)
        self.seen_at_s = time_s
        if pose.fingers_lost:
            self._lost_frames = LOST_FRAMES
        self.hand = TrackedHand(
            track_id=self.track_id,
            score=self.presence,
            unseen_s=0.0,
            pose=replace(smoothed, covariance_m2=smoothed.covariance_m2 + JOINT_OFFSET_SD_M**2 * np.eye(3)),
            joints_px=smoothed.observed_px,
            velocity_m_per_s=velocity,
            side_score=self.side_evidence.probability,
        )

    def may_recover_fingers(self) -> bool:
        """Whether lost fingers may be looked for; asked once a frame."""
        self._lost_frames = max(self._lost_frames - 1, 0)
        return self._lost_frames == 0

    def predicted(self) -> KinematicPose | None:
        """How the hand is expected; None before it was fitted, and when it has changed its side."""
        if self.hand is None or self.hand.pose.side is not self.side:
            return None
        return self.hand.pose.kinematics

    def coast(self, time_s: float, memory_s: float) -> TrackedHand | None:
        """The hand moved on with its fading velocity; None where there is nothing to go on from.

        That is so before it was ever placed, without memory, and when the other hand has since turned out
        to be of this side: the pose was then read as that of the wrong hand.
        """
        if self.hand is None or memory_s <= 0 or self.hand.pose.side is not self.side:
            return None
        unseen_s = max(time_s - self.seen_at_s, 0.0)
        # A velocity that fades with e^(-t / memory) carries the hand memory (1 - e^(-t / memory)) of it.
        reach_s = memory_s * (1.0 - np.exp(-unseen_s / memory_s))
        velocity = self.hand.velocity_m_per_s.mean(axis=0)
        velocity /= max(float(np.linalg.norm(velocity)) / MAX_COAST_M_PER_S, 1.0)
        return replace(
            self.hand,
            score=self.presence * max(1.0 - unseen_s / (2 * memory_s), 0.0),
            unseen_s=unseen_s,
            pose=self._filter.coast(self.hand.pose, reach_s * velocity),
            velocity_m_per_s=self.hand.velocity_m_per_s * (1.0 - reach_s / memory_s),
        )
