"""Who is who: keeps an identity, a side, a size and a motion for each hand over time."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from tracker.cameras import Camera
from tracker.hand_shape import HandShape
from tracker.joints import Side
from tracker.structs import (
    ExpectedRegion,
    Frame,
    HandDetection,
    HandEstimate,
    HandPose,
    ObservedHand,
    TrackedHand,
)
from tracker.temporal.bones import BoneEstimator, BonesConfig
from tracker.temporal.same_hand import separation
from tracker.temporal.sides import CLEAR_EVIDENCE, SideConfig, SideEvidence, decide_sides
from tracker.temporal.sighting import Sighting, SightingConfig, sighting_of
from tracker.temporal.smoothing import HandFilter, SmoothingConfig
from tracker.temporal.track import Track


@dataclass(frozen=True)
class TracksConfig:
    """When tracks begin, meet and end."""

    max_unseen_s: float = 0.15
    """A hand not seen for longer is gone; until then its track coasts and says so."""
    reset_gap_s: float = 0.5
    """After a pause this long, or when time goes back by as much, every track ends."""
    same_hand_distance: float = 0.06
    """A detection whose joints lie closer than this share of another's box to its bones, in the mean, is
    that hand. In recorded clips ghosts on a hand measured below 0.02, touching hands above 0.15."""
    surer_by: float = 0.1
    """A detection whose presence is higher by this much replaces what a track's region showed."""
    rejoin_distance: float = 0.5
    """A new detection within this share of the box of a track without one continues it."""
    max_doubtful_frames: int = 3
    """Frames in a row in which a hand may look like none of the wearer's before its track ends; what looked
    so from its first frame on is not published."""
    bones: BonesConfig = field(default_factory=BonesConfig)
    hand: HandShape | None = None
    """The wearer's hand as measured once; None has it estimated while it is tracked."""
    sighting: SightingConfig = field(default_factory=SightingConfig)
    sides: SideConfig = field(default_factory=SideConfig)
    smoothing: SmoothingConfig = field(default_factory=SmoothingConfig)


class Tracks:
    """All live tracks; used once a frame in the order expected_regions, assign, sized, update."""

    def __init__(self, config: TracksConfig | None = None, *, max_hands: int = 2) -> None:
        self._config = config or TracksConfig()
        self._max_hands = max_hands
        self._tracks: list[Track] = []
        self._next_id = 1
        self._bones = BoneEstimator(self._config.bones, self._config.hand)
        self._time_s: float | None = None
        self._frame_time_s = 0.0
        self._camera: Camera | None = None

    def expected_regions(self, frame: Frame) -> tuple[ExpectedRegion, ...]:
        """Where to look for the live hands in ``frame``, oldest first."""
        if frame.camera != self._camera:  # places in the last picture mean nothing in this one
            self._tracks = []
            self._camera = frame.camera
        self._end_tracks(frame.capture_time_s)
        return tuple(
            ExpectedRegion(
                track.track_id,
                track.side,
                track.expected_box(frame.capture_time_s),
                unseen_s=0.0 if track.seen_at_s == self._time_s else frame.capture_time_s - track.seen_at_s,
            )
            for track in self._tracks
        )

    def assign(self, detections: Sequence[HandDetection], frame: Frame) -> tuple[ObservedHand, ...]:
        """Give each detection of ``frame`` its track and side; two detections of one hand become one.

        What does not look like a hand that can be there is left out: from the start, or after a few frames.
        """
        time_s = self._frame_time_s = frame.capture_time_s
        assigned: list[tuple[Track, HandDetection]] = []
        known = list(self._tracks)
        for detection in self._without_duplicates(detections, time_s):
            sighting = sighting_of(detection, frame.camera, self._config.sighting, self._config.sides)
            track = self._track_of(sighting, time_s, taken=[track for track, _ in assigned])
            track.see(sighting, time_s)
            if track not in known:
                self._end_refound(track, sighting, taken=[track for track, _ in assigned])
            assigned.append((track, detection))
        self._end_doubtful()
        self._end_surplus([track for track, _ in assigned])
        assigned = [(track, detection) for track, detection in assigned if self._is_live(track)]
        decide_sides([t.side_evidence for t in self._tracks if t.confirmed], self._config.sides)
        return tuple(ObservedHand(track.track_id, track.side, detection) for track, detection in assigned)

    def sized(
        self, observed: Sequence[ObservedHand], estimates: Sequence[HandEstimate]
    ) -> tuple[ObservedHand, ...]:
        """The observed hands, each with the bones of its track, this frame's estimate included.

        Both hands of one wearer are measured together: they are of one size, and either shows the other's.
        """
        tracks = {track.track_id: track for track in self._tracks}
        shared = self._bones if self._config.sides.one_wearer else None
        return tuple(
            replace(
                hand,
                shape=(shared or tracks[hand.track_id].bones).see(estimate),
                predicted=tracks[hand.track_id].predicted(),
                predicted_over_s=self._frame_time_s - tracks[hand.track_id].seen_at_s,
                may_recover_fingers=tracks[hand.track_id].may_recover_fingers(),
            )
            for hand, estimate in zip(observed, estimates, strict=True)
        )

    def update(
        self, observed: Sequence[ObservedHand], poses: Sequence[HandPose | None], time_s: float
    ) -> tuple[TrackedHand, ...]:
        """Take the placed poses of the observed hands; returns every live hand, coasting ones included."""
        tracks = {track.track_id: track for track in self._tracks}
        placed = set()
        for hand, pose in zip(observed, poses, strict=True):
            if pose is not None:
                tracks[hand.track_id].place(pose, time_s)
                placed.add(hand.track_id)
        self._time_s = time_s
        hands: Iterable[TrackedHand | None] = (
            track.hand if track.track_id in placed else track.coast(time_s, self._config.max_unseen_s)
            for track in self._tracks
        )
        return tuple(hand for hand in hands if hand is not None)

    def _end_tracks(self, time_s: float) -> None:
        """End tracks unseen for too long, and all of them after a gap or a jump back in time."""
        if self._time_s is not None and abs(time_s - self._time_s) > self._config.reset_gap_s:
            self._tracks = []
        # A frame's own duration never ends a track: at 10 frames/s one miss is 0.1 s.
        last_s = time_s if self._time_s is None else self._time_s
        self._tracks = [
            track for track in self._tracks if last_s - track.seen_at_s <= self._config.max_unseen_s
        ]

    def _end_doubtful(self) -> None:
        """End tracks that have long not looked like a hand of the wearer's; new ones go unseen and end so."""
        most = self._config.max_doubtful_frames
        self._tracks = [t for t in self._tracks if not t.confirmed or t.doubtful_frames <= most]

    def _is_live(self, track: Track) -> bool:
        return track.confirmed and track in self._tracks

    def _end_refound(self, new: Track, sighting: Sighting, taken: Sequence[Track]) -> None:
        """End the track of a hand of one wearer that was clearly found again, too far off to go on.

        Lost, it would coast on beside its own hand, and claim its side; seen, and by far less surely, it has
        slid onto something else.
        """
        clear = sighting.credible and abs(sighting.right_log_odds) >= CLEAR_EVIDENCE
        if not (clear and self._config.sides.one_wearer):
            return
        side = Side.RIGHT if sighting.right_log_odds > 0 else Side.LEFT
        surer = [t for t in taken if new.presence < t.presence + self._config.surer_by]
        self._tracks = [
            t for t in self._tracks if t is new or t in surer or t.side is not side or not t.confirmed
        ]

    def _end_surplus(self, seen: Sequence[Track]) -> None:
        """End the longest unseen of more tracks than there can be hands, whose hands were found again.

        Where all are seen, the newest ends.
        """
        confirmed = [track for track in self._tracks if track.confirmed]
        unseen = sorted((t for t in confirmed if t not in seen), key=lambda track: track.seen_at_s)
        newest = sorted((t for t in confirmed if t in seen), key=lambda track: -track.track_id)
        for track in [*unseen, *newest][: max(len(confirmed) - self._max_hands, 0)]:
            self._tracks.remove(track)

    def _without_duplicates(self, detections: Sequence[HandDetection], time_s: float) -> list[HandDetection]:
        """One detection for each hand: the one that lies nearest to where its own track expected it.

        A track left without its detection because another track holds the hand ends at once. Where palm
        detection sees a track's hand far more surely than its region did, that is what is kept: the region
        had begun to slide off the hand.
        """

        def surprise(detection: HandDetection) -> float:
            track = self._find(detection.expected_track_id)
            if track is None:
                return np.inf
            moved = detection.box.center_px - track.expected_box(time_s).center_px
            return float(np.linalg.norm(moved)) / detection.box.size_px

        kept: list[HandDetection] = []
        for detection in sorted(detections, key=surprise):
            same = [i for i, other in enumerate(kept) if self._same_hand(detection, other)]
            if not same:
                kept.append(detection)
            elif detection.expected_track_id is not None:
                self._tracks = [t for t in self._tracks if t.track_id != detection.expected_track_id]
            elif detection.presence >= kept[same[0]].presence + self._config.surer_by:
                kept[same[0]] = replace(detection, expected_track_id=kept[same[0]].expected_track_id)
        return kept

    def _same_hand(self, a: HandDetection, b: HandDetection) -> bool:
        return separation(a, b) <= self._config.same_hand_distance

    def _track_of(self, sighting: Sighting, time_s: float, taken: list[Track]) -> Track:
        """The track that expected this detection, else the nearest of those not seen, else a new one.

        What is no credible hand continues no hand's track.
        """
        detection = sighting.detection
        expected = self._find(detection.expected_track_id)
        if expected is not None:
            return expected

        def distance(track: Track) -> float:
            offset = track.expected_box(time_s).center_px - detection.box.center_px
            return float(np.linalg.norm(offset)) / track.box.size_px

        free = (t for t in self._tracks if t not in taken and (sighting.credible or not t.confirmed))
        lost = min(free, key=distance, default=None)
        if lost is not None and distance(lost) < self._config.rejoin_distance:
            return lost
        track = Track(
            self._next_id,
            detection,
            time_s,
            side=SideEvidence(self._config.sides),
            bones=BoneEstimator(self._config.bones, self._config.hand),
            motion=HandFilter(self._config.smoothing),
        )
        self._next_id += 1
        self._tracks.append(track)
        return track

    def _find(self, track_id: int | None) -> Track | None:
        return next((track for track in self._tracks if track.track_id == track_id), None)
