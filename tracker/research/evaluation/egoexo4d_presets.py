"""The systems of the paper's Table 1 and ours beside them, by name: which backend, crops and placement.

A preset goes over a tracker's settings and fixes these three (of an ensemble also its members); files and all
else stay. The paper is "HaMeR: Hand Mesh Recovery for the EgoExo4D Hand Pose Challenge" (2024); its figures
are of the test set, by the leaderboard.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType

from tracker.crops import CropKind
from tracker.errors import UnknownNameError, UsageError
from tracker.pipeline import TrackerConfig
from tracker.pose.ensemble import EnsembleOptions, Member

PAPER = "HaMeR: Hand Mesh Recovery for the EgoExo4D Hand Pose Challenge, 2024, Table 1 (test set)"
FINETUNED = "finetuned"
"""Stands for the fine-tuned weights in a preset's members."""


@dataclass(frozen=True)
class PaperRow:
    """What the paper reports of a system, mm."""

    name: str
    mpjpe_mm: float
    pa_mpjpe_mm: float


@dataclass(frozen=True)
class Preset:
    """A system by name."""

    name: str
    backend: str
    placement: str
    crop: CropKind | None = None
    """Of all networks that read crops; None where the backend reads none of its own."""
    members: tuple[str, ...] = ()
    """Of an ensemble: backends, or `FINETUNED` for hamer with the fine-tuned weights."""
    finetuned: bool = False
    """Its hamer reads the fine-tuned weights."""
    paper: PaperRow | None = None

    @property
    def needs_finetuned(self) -> bool:
        """Whether a file of fine-tuned weights must be given."""
        return self.finetuned or FINETUNED in self.members

    @property
    def networks(self) -> frozenset[str]:
        """The backends whose files are needed; fine-tuned weights are hamer's."""
        named = self.members or (self.backend,)
        return frozenset("hamer" if name == FINETUNED else name for name in named)

    def member_options(self, finetuned: Path | None) -> tuple[str, ...]:
        """The members as the command line names them: BACKEND or BACKEND=CHECKPOINT."""
        return tuple(f"hamer={finetuned}" if name == FINETUNED else name for name in self.members)

    def described(self) -> str:
        """For messages."""
        crop = "" if self.crop is None else f", {self.crop} crops"
        return f"backend {self.backend}{crop}, placement {self.placement}"

    def over(
        self,
        config: TrackerConfig,
        *,
        finetuned: Path | None = None,
        members: tuple[Member, ...] | None = None,
    ) -> TrackerConfig:
        """The settings of this system.

        Args:
            config: what is not the preset's, such as the networks' files, is taken from here.
            finetuned: the fine-tuned weights of hamer.
            members: of an ensemble, in place of the preset's, with their weights in the mean.

        Raises:
            UsageError: fine-tuned weights are needed and not given.
        """
        if self.needs_finetuned and finetuned is None:
            raise UsageError(
                f"the system {self.name} needs --finetuned FILE, the fine-tuned weights of hamer"
            )
        hamer, potter = config.hamer, config.potter
        if self.crop is not None:
            hamer, potter = replace(hamer, crop=self.crop), replace(potter, crop=self.crop)
        if self.finetuned:
            hamer = replace(hamer, checkpoint=finetuned)
        ensemble = config.ensemble
        if self.members:
            ensemble = EnsembleOptions(members or tuple(_member(name, finetuned) for name in self.members))
        return replace(
            config,
            backend=self.backend,
            placement=self.placement,
            hamer=hamer,
            potter=potter,
            ensemble=ensemble,
        )


def _member(name: str, finetuned: Path | None) -> Member:
    return Member("hamer", checkpoint=finetuned) if name == FINETUNED else Member(name)


_ALL = (
    Preset("potter", "potter", "ray", "affine", paper=PaperRow("POTTER (baseline)", 28.94, 11.07)),
    Preset("hamer", "hamer", "weak", "affine", paper=PaperRow("HaMeR out of the box", 76.95, 10.36)),
    Preset("hamer-align", "hamer", "align", "affine", paper=PaperRow("HaMeR-align", 36.75, 10.36)),
    Preset(
        "ensemble",
        "ensemble",
        "ray",
        "affine",
        members=("potter", "hamer"),
        paper=PaperRow("HaMeR + POTTER", 29.18, 9.32),
    ),
    Preset(
        "ensemble-ft",
        "ensemble",
        "ray",
        "affine",
        members=("potter", "hamer", FINETUNED),
        paper=PaperRow("HaMeR + POTTER + HaMeR-ft", 30.52, 9.30),
    ),
    Preset("hamer-ft", "hamer", "align", "affine", finetuned=True),
    Preset("hamer-ray", "hamer", "ray", "virtual"),
    Preset("landmarks", "landmarks", "ray"),
)
PRESETS: Mapping[str, Preset] = MappingProxyType({preset.name: preset for preset in _ALL})
"""By name, in the order of the table: the paper's rows first."""


def find_preset(name: str) -> Preset:
    """The system of this name.

    Raises:
        UnknownNameError: there is none; the message lists those there are.
    """
    if name not in PRESETS:
        raise UnknownNameError(f"system {name!r} is unknown; choose one of {', '.join(PRESETS)}")
    return PRESETS[name]
