"""The command ``egoexo4d pseudo-labels``: a body model fitted to 3D keypoints."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from tracker.cli_options import load_mano_model, stored_mano
from tracker.cli_running import home_folder, interruptible, say, saying_when_stopped
from tracker.errors import UsageError

if TYPE_CHECKING:
    from tracker.mano_numpy import ManoModel
    from tracker.research.pseudo_labels.problem import TakeKeypoints


@dataclass(frozen=True)
class PseudoLabels:
    """Fit a body model to noisy 3D keypoints: parameters to train on, with residuals to drop bad ones by."""

    keypoints: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="PREPARED|KEYPOINTS")]
    """The folder of prepared files, one prepared annotation file (.json), or lines of JSON (.jsonl)."""
    out: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="LABELS")]
    """The folder for the labels, one .npz for each take; made if it is not there."""
    split: Literal["train", "val"] = "train"
    """Which annotations."""
    annotations: Literal["manual", "auto"] = "manual"
    """Marked by people, or found automatically."""
    model: Literal["mano", "open-hand"] | None = None
    """MANO where the weights' folder has it and nothing else is said, else the open hand."""
    mano: Path | None = None
    """MANO's file, where it is not in the weights' folder."""
    release: Path | None = None
    """The downloaded release: joints then count by how many cameras saw them."""
    most_rms_mm: float = 12.0
    """A label whose hand lies farther than this from its keypoints is bad."""
    sheet: bool = False
    """Also draw the best, middling and worst hands in their pictures, into hands.png in that folder."""
    resume: bool = False
    """Keep the takes that are done, with the same model and settings; those whose keypoints changed are made
    again."""
    overwrite: bool = False
    """Replace labels that are there; with --resume those of another model or settings only."""

    def run(self) -> int:
        """Fit and write; returns the exit status."""
        from tracker.research.ground_truth.egoexo4d import annotation_path
        from tracker.research.ground_truth.egoexo4d_values import Tally
        from tracker.research.pseudo_labels.command import Labelling, label_takes
        from tracker.research.pseudo_labels.keypoints import read_keypoints, weighted_by_views
        from tracker.research.pseudo_labels.labels import Demands

        if self.sheet and not self.keypoints.is_dir():
            raise UsageError("--sheet needs pictures: give the folder of prepared files")
        if not 0 < self.most_rms_mm < math.inf:
            raise UsageError(f"--most-rms-mm is {self.most_rms_mm:g}; want millimetres")
        labelling = Labelling(self._mano(), demands=Demands(most_rms_m=self.most_rms_mm / 1e3))
        tally, path = Tally(), self.keypoints
        with interruptible():
            if path.is_dir():
                path = annotation_path(path, self.split, self.annotations)
            with saying_when_stopped("no labels were made"):
                takes = read_keypoints(path, tally)
                if self.release is not None:
                    takes = weighted_by_views(takes, self.release, self.split, self.annotations, tally)
            for line in tally.lines():
                say(line)
            status = label_takes(
                takes, self.out, labelling, resume=self.resume, overwrite=self.overwrite, say=say
            )
            if self.sheet:
                with saying_when_stopped("the labels are made, the sheet is not"):
                    self._draw(takes, path)
            return status

    def _draw(self, takes: "list[TakeKeypoints]", annotations: Path) -> None:
        from tracker.research.ground_truth.egoexo4d import open_takes
        from tracker.research.pseudo_labels.sheet import write_sheet

        sheet = self.out / "hands.png"
        shown = write_sheet(sheet, self.out, takes, open_takes(self.keypoints, annotations, self.split))
        say(f"wrote {sheet}: {shown} hands" if shown else "no sheet: none of their pictures can be read")

    def _mano(self) -> "ManoModel | None":
        if self.model == "open-hand":
            if self.mano is not None:
                raise UsageError("--mano names a model that --model open-hand leaves out")
            return None
        path = self.mano or stored_mano(home_folder())
        if path is None:
            if self.model == "mano":
                raise UsageError("there is no MANO file; `hand-tracker weights status` says where to get it")
            say("no MANO file is there, so open hands are fitted")
            return None
        return load_mano_model(path)
