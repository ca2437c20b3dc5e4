"""The path of a frame: one call takes it from picture to tracked hands, the same live and recorded."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from tracker.detect import Detector, DetectorConfig, load_detector
from tracker.errors import UsageError
from tracker.placement import find_placement
from tracker.pose import PoseBackend, PreparesFrames, StartsEarly, load_pose_backend
from tracker.pose.ensemble import EnsembleOptions
from tracker.pose.hamer import HamerOptions
from tracker.pose.potter import PotterOptions
from tracker.structs import Frame, HandPose, TrackedFrame, TrackedHand
from tracker.temporal.prediction import MAX_LEAD_S, predict_hand
from tracker.temporal.tracks import Tracks, TracksConfig
from tracker.timing import StageTimer


@dataclass(frozen=True)
class TrackerConfig:
    """Everything about tracking that can be set."""

    backend: str = "landmarks"
    """Pose backend: what reads a hand's joints from its crop."""
    hamer: HamerOptions = field(default_factory=HamerOptions)
    """For the backend hamer."""
    potter: PotterOptions = field(default_factory=PotterOptions)
    """For the backend potter."""
    ensemble: EnsembleOptions = field(default_factory=EnsembleOptions)
    """For the backend ensemble, whose members take the options above."""
    placement: str = "ray"
    """How estimates become hands in metres; ``weak`` and ``align`` are for comparison."""
    lead_s: float = 0.0
    """Give hands for this much later than the frame, damped and capped at 0.05."""
    detector: DetectorConfig = field(default_factory=DetectorConfig)
    tracks: TracksConfig = field(default_factory=TracksConfig)

    def unsmoothed(self) -> "TrackerConfig":
        """The same, but hands are given as they were placed, for others to smooth."""
        smoothing = replace(self.tracks.smoothing, publish_measured=True)
        return replace(self, tracks=replace(self.tracks, smoothing=smoothing))


class HandTracker:
    """Tracks hands through the frames of one source, given in order.

    Use it for one source at a time, from one thread; ``close`` or a ``with`` statement frees its threads.

    Raises:
        UsageError: the lead time is negative.
        UnknownNameError: no such backend or placement.
        MissingDependencyError: the backend or the light networks need a package that is not installed.
    """

    def __init__(
        self,
        config: TrackerConfig | None = None,
        *,
        backend: PoseBackend | None = None,
        detector: Detector | None = None,
    ) -> None:
        self.config = config or TrackerConfig()
        if not self.config.lead_s >= 0:
            raise UsageError(f"the lead time is {self.config.lead_s} s; it cannot be negative")
        self._lead_s = min(self.config.lead_s, MAX_LEAD_S)
        self._place = find_placement(self.config.placement)
        self._backend = backend or load_pose_backend(
            self.config.backend,
            hamer=self.config.hamer,
            potter=self.config.potter,
            ensemble=self.config.ensemble,
        )
        self._detector = detector or load_detector(self.config.detector)
        self._tracks = Tracks(self.config.tracks, max_hands=self.config.detector.max_hands)

    def prepare(self, frame: Frame) -> None:
        """Do ahead what the backend can of a frame that ``process`` will get, or that may be dropped.

        Never needed, and changes no result; call it in the thread that reads the source.
        """
        if isinstance(self._backend, PreparesFrames):
            self._backend.prepare(frame)

    def process(self, frame: Frame) -> TrackedFrame:
        """The hands in ``frame``, in metres in its camera's frame."""
        timer = StageTimer()
        with timer.stage("detect"):
            regions = self._tracks.expected_regions(frame)
        if isinstance(self._backend, StartsEarly):
            with timer.stage("pose"):
                self._backend.start(frame, regions)
        with timer.stage("detect"):
            detections = self._detector.detect(frame, regions)
            # Identity and side are decided here: before any crop that depends on the side.
            observed = self._tracks.assign(detections, frame)
        with timer.stage("pose"):
            estimates = self._backend.estimate(frame, observed)
            observed = self._tracks.sized(observed, estimates)
        with timer.stage("placement"):
            poses = self._place(estimates, observed, frame.camera)
        with timer.stage("temporal"):
            hands = self._tracks.update(observed, poses, frame.capture_time_s)
            published = publish(frame, hands, self._lead_s)
        return TrackedFrame(
            frame_index=frame.index,
            capture_time_s=frame.capture_time_s,
            valid_at_s=frame.capture_time_s + self._lead_s,
            hands=published,
            stage_durations_s=timer.durations_s,
        )

    def close(self) -> None:
        """Free the tracker's threads; safe to call twice."""
        self._detector.close()

    def __enter__(self) -> "HandTracker":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def publish(frame: Frame, hands: Sequence[TrackedHand], lead_s: float) -> tuple[TrackedHand, ...]:
    """The hands at the time they are given for, projected, MANO's model moved to where they are."""
    predicted = (predict_hand(hand, lead_s) for hand in hands)
    return tuple(
        replace(
            hand,
            pose=with_placed_mano(hand.pose),
            joints_px=frame.camera.project(hand.pose.joints_in_camera_m),
        )
        for hand in predicted
    )


def with_placed_mano(pose: HandPose) -> HandPose:
    """The pose with MANO's translation such that its joints come closest to the published ones.

    That is where their means meet. Done once, at the end: placement, hand size, smoothing, coasting and
    prediction have all moved the joints, and none of them needs to know of MANO.
    """
    if pose.mano is None:
        return pose
    translation_m = pose.mano.translation_m + pose.joints_in_camera_m.mean(axis=0)
    return replace(pose, mano=replace(pose.mano, translation_m=translation_m))
