"""Options that several commands share, and what they are put together to."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from tracker.errors import UsageError
from tracker.user_folder import user_folder

if TYPE_CHECKING:
    from tracker.cameras import Camera
    from tracker.hand_shape import HandShape
    from tracker.mano_numpy import ManoModel
    from tracker.pipeline import HandTracker, TrackerConfig
    from tracker.pose.ensemble import Member
    from tracker.pose.hamer import HamerOptions
    from tracker.pose.potter import PotterOptions
    from tracker.structs import HandUsed


@dataclass(frozen=True)
class CameraOptions:
    """What is known of the camera."""

    camera: Path | None = None
    """Calibration of the camera: a JSON file, or ROS's or Kalibr's YAML (see docs/formats.md)."""
    which: str | None = None
    """Of a camera file with several cameras this one: cam0, cam1, ..."""
    fov: float | None = None
    """Horizontal field of view in degrees, 10 to 170, where there is no calibration; of --source browser
    across the picture's longer side."""

    def load(self) -> "Camera | None":
        """The calibration, if one is given."""
        from tracker.cameras import CameraChoice

        CameraChoice(horizontal_fov_deg=self.fov)
        return self._read()[0]

    def notes(self) -> tuple[str, ...]:
        """What a person should hear of the camera file."""
        return self._read()[1]

    def _read(self) -> "tuple[Camera | None, tuple[str, ...]]":
        from tracker.cameras import read_calibration

        if self.camera is not None:
            return read_calibration(self.camera, which=self.which)
        if self.which is not None:
            raise UsageError(f"--which {self.which} needs --camera FILE")
        return None, ()


@dataclass(frozen=True, eq=False)
class ChosenHand:
    """Bones that a run is told, and where they come from."""

    name: str
    shape: "HandShape"

    @property
    def used(self) -> "HandUsed":
        """What outputs say of it."""
        from tracker.structs import HandUsed

        return HandUsed(self.name, self.shape.palm_width_m)


@dataclass(frozen=True)
class TrackingOptions:
    """How hands are tracked."""

    backend: str | None = None
    """What reads a hand's joints from its crop: landmarks (any computer; unless given), hamer (a GPU),
    potter, or ensemble, the mean of several."""
    placement: Literal["ray", "weak", "align"] | None = None
    """How hands come to metres: by the rays through their joints (unless given), or as published, for
    comparison: by weak perspective, or turned and moved onto their own points."""
    landmark_model: Literal["full", "lite"] = "full"
    """Light landmark network: full is more exact, lite takes half the time."""
    max_hands: int = 2
    """Hands to look for."""
    several_people: bool = False
    """Hands of several people are in view: two hands need not be one left and one right."""
    view: Literal["first-person", "any"] | None = None
    """Whose hands are seen: first-person, of whoever wears or holds the camera, or any. Sides are decided
    accordingly. Unless given: any for a webcam and for several people, else first-person."""
    hand: str | None = None
    """The hand that is tracked: a name that calibrate-hand stored, a .json file, or none. A webcam uses the
    one stored as default unless told otherwise; files and streams use none, as they may show anybody."""
    palm_width_mm: float | None = None
    """The tracked hand's palm width, knuckle to knuckle, 40 to 80; instead of --hand."""
    engine: Literal["graph", "inductor", "tensorrt", "eager"] | None = None
    """How hamer runs: graph unless given, eager where there is no GPU."""
    crop: Literal["virtual", "affine"] | None = None
    """Crops for hamer and potter: turned cameras seen through the lens (hamer's unless given), or plain
    squares of the picture as published (potter's unless given)."""
    checkpoint: Path | None = None
    """HaMeR's hamer.ckpt; what the weights command imported unless given."""
    mano: Path | None = None
    """MANO_RIGHT.pkl; what the weights command imported unless given."""
    potter_checkpoint: Path | None = None
    """The checkpoint of EgoExo4D's POTTER baseline; what the weights command imported unless given."""
    ensemble: tuple[str, ...] = ()
    """Members of the ensemble: backends, or BACKEND=CHECKPOINT for other weights of one; potter and hamer
    unless given. The first one's axes and size are kept."""
    ensemble_weights: tuple[float, ...] = ()
    """Weights of their joints in the mean; equal unless given."""

    @property
    def backend_name(self) -> str:
        """The backend, given or not."""
        return self.backend or "landmarks"

    @property
    def backends(self) -> frozenset[str]:
        """The backend, and of an ensemble its members too."""
        members = self.members() if self.backend_name == "ensemble" else ()
        return frozenset((self.backend_name, *(member.backend for member in members)))

    @property
    def weights_named(self) -> tuple[str, ...]:
        """Names of the files of weights, given as options, that the backend reads; not of imported ones."""
        from tracker.pose.ensemble import Member

        given = {"hamer": self.checkpoint, "potter": self.potter_checkpoint}
        alone = (Member(self.backend_name),)
        members = self.members() if self.backend_name == "ensemble" else alone
        files = [member.checkpoint or given.get(member.backend) for member in members]
        return tuple(file.name for file in files if file is not None)

    def hand_used(
        self, home: Path | None, *, webcam: bool, say: "Callable[[str], None]"
    ) -> "ChosenHand | None":
        """The hand's bones that the options name; of a webcam's owner those stored as default.

        Raises:
            HandFileError: both options are given, the width is no hand's, or the file is not there.
        """
        from tracker.hand_shape import HandShape
        from tracker.hand_store import DEFAULT_NAME, NO_HAND, check_palm_width_mm, find_hand, hand_path

        if self.palm_width_mm is not None:
            if self.hand is not None:
                raise UsageError("both --hand and --palm-width-mm are given; give one of them")
            check_palm_width_mm(self.palm_width_mm)
            return ChosenHand("palm width", HandShape.from_palm_width(self.palm_width_mm / 1e3))
        if self.hand == NO_HAND:
            return None
        if self.hand is not None:
            return ChosenHand(self.hand, find_hand(self.hand, user_folder(home)).shape)
        if not webcam or not hand_path(DEFAULT_NAME, user_folder(home)).is_file():
            return None
        shape = find_hand(DEFAULT_NAME, user_folder(home)).shape
        say(
            f"using the hand stored as {DEFAULT_NAME!r} (palm {1e3 * shape.palm_width_m:.0f} mm); "
            f"for somebody else's hands give --hand {NO_HAND}"
        )
        return ChosenHand(DEFAULT_NAME, shape)

    def load(
        self,
        home: Path | None,
        *,
        webcam: bool,
        hand: "ChosenHand | None" = None,
        publish_measured: bool = False,
        lead_s: float = 0.0,
    ) -> "HandTracker":
        """The tracker, its networks opened; arguments as for `config`.

        With ``publish_measured`` the smoothing of hands is left to whoever takes them; hands are given for
        ``lead_s`` later than their frame.
        """
        from tracker.pipeline import HandTracker

        config = self.config(home, webcam=webcam, hand=hand)
        if publish_measured:
            config = config.unsmoothed()
        return HandTracker(replace(config, lead_s=lead_s))

    def config(self, home: Path | None, *, webcam: bool, hand: "ChosenHand | None" = None) -> "TrackerConfig":
        """What the tracker is made from.

        Args:
            home: where TRACKER_HOME points, if it does.
            webcam: the pictures come from one, which mostly faces the hands' owner.
            hand: whose bones are known; None has them estimated.
        """
        from tracker.detect import DetectorConfig
        from tracker.pipeline import TrackerConfig
        from tracker.pose.ensemble import EnsembleOptions
        from tracker.pose.hamer import HamerOptions
        from tracker.pose.potter import PotterOptions
        from tracker.temporal.sides import SideConfig
        from tracker.temporal.sighting import SightingConfig
        from tracker.temporal.tracks import TracksConfig

        members = self.members()
        return TrackerConfig(
            backend=self.backend_name,
            placement=self.placement or "ray",
            hamer=self.hamer(home) if "hamer" in self.backends else HamerOptions(),
            potter=self.potter(home) if "potter" in self.backends else PotterOptions(),
            ensemble=EnsembleOptions(members),
            detector=DetectorConfig(max_hands=self.max_hands, landmark_model=self.landmark_model),
            tracks=TracksConfig(
                sighting=SightingConfig(
                    view=self.view or ("any" if webcam or self.several_people else "first-person")
                ),
                sides=SideConfig(one_wearer=not self.several_people),
                hand=None if hand is None else hand.shape,
            ),
        )

    def hamer(self, home: Path | None) -> "HamerOptions":
        """What the backend hamer needs; files that are not given come from the weights' folder."""
        from tracker.pose.hamer import HamerOptions
        from tracker.weights_store import default_folder, find_weights

        checkpoint, mano = find_weights(default_folder(home), checkpoint=self.checkpoint, mano=self.mano)
        return HamerOptions(
            checkpoint=checkpoint,
            mano=mano,
            engine=self.engine,
            crop=self.crop or "virtual",
            compiled_folder=default_folder(home) / "compiled" if self.engine == "tensorrt" else None,
        )

    def potter(self, home: Path | None) -> "PotterOptions":
        """What the backend potter needs; a file that is not given comes from the weights' folder."""
        from tracker.pose.potter import PotterOptions
        from tracker.weights_store import default_folder, find_potter

        checkpoint = self.potter_checkpoint or find_potter(default_folder(home))
        return PotterOptions(checkpoint=checkpoint, crop=self.crop or "affine")

    def members(self) -> "tuple[Member, ...]":
        """Who takes part in an ensemble.

        Raises:
            UsageError: there are weights, but not as many as members.
        """
        from tracker.pose.ensemble import Member

        names = self.ensemble or ("potter", "hamer")
        weights = self.ensemble_weights or (1.0,) * len(names)
        if len(weights) != len(names):
            raise UsageError(
                f"--ensemble names {len(names)} members and --ensemble-weights gives {len(weights)}; "
                "give one for each"
            )
        named = (member.partition("=") for member in names)
        return tuple(
            Member(name, Path(checkpoint) if checkpoint else None, weight)
            for (name, _, checkpoint), weight in zip(named, weights, strict=True)
        )


def stored_mano(home: Path | None) -> Path | None:
    """The MANO file in the weights' folder, if it is there."""
    from tracker.weights_store import MANO, default_folder

    path = default_folder(home) / MANO.stored_as
    return path if path.is_file() else None


def load_mano_model(path: Path) -> "ManoModel":
    """MANO from the official file or the imported one."""
    from tracker.networks.mano_file import read_mano

    return read_mano(path)
