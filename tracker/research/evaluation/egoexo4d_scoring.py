"""The command ``egoexo4d evaluate``: predictions or a system against the answers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tracker.errors import UsageError
from tracker.joints import FloatArray
from tracker.research.evaluation.egoexo4d_categories import CategoryScores, scores_by_category
from tracker.research.evaluation.egoexo4d_categories import to_text as categories_to_text
from tracker.research.evaluation.egoexo4d_command import Run, Say, run_hands
from tracker.research.evaluation.egoexo4d_gain import temporal_report
from tracker.research.evaluation.egoexo4d_lines import LINES, read_lines
from tracker.research.evaluation.egoexo4d_metric import (
    ChallengeScores,
    HandKey,
    ScoredHands,
    required_hands,
    scored_hands,
)
from tracker.research.evaluation.egoexo4d_page import page_of, write_page
from tracker.research.evaluation.egoexo4d_submission import (
    read_submission,
    refuse_wrist_relative,
    warn_of_placed,
)
from tracker.research.evaluation.egoexo4d_table import scores_by_take, to_text
from tracker.research.evaluation.figures import print_line, write_figures
from tracker.research.ground_truth.egoexo4d import PreparedTake, annotation_path, takes_of, with_pictures
from tracker.research.ground_truth.egoexo4d_prepared import read_annotations
from tracker.research.ground_truth.egoexo4d_values import AnnotatedFrame, Tally


@dataclass(frozen=True)
class Extras:
    """What is asked for beside the figures."""

    page: Path | None = None
    """Folder for the best and worst hands."""
    cases: int = 4
    """Of each kind."""
    overwrite: bool = False
    """Replace a page that is there."""
    temporal: bool = False
    """The gain of smoothing through each take."""
    figures: Path | None = None
    """A file of JSON for all figures."""

    def check(self) -> None:
        """Refuse what would be refused after hours of running.

        Raises:
            UsageError: the page is there already.
        """
        if self.page is not None:
            page_of(self.page, overwrite=self.overwrite)

    def write_page(self, systems: Mapping[str, ScoredHands], takes: Sequence[PreparedTake], say: Say) -> None:
        """The page, if it is asked for."""
        if self.page is not None:
            page = write_page(self.page, systems, takes, count=self.cases, overwrite=self.overwrite)
            say(f"wrote {page}")

    def write_figures(self, figures: Mapping[str, Any], overall: Mapping[str, Any], say: Say) -> None:
        """All figures into the file, if it is asked for, and the overall ones as the last line."""
        if self.figures is not None:
            write_figures(self.figures, figures)
            say(f"wrote {self.figures}")
        print_line(overall)


@dataclass(frozen=True)
class Answers:
    """What is scored against: an annotation file and where its pictures are."""

    prepared: Path
    annotations: Path
    split: str
    release: Path | None = None

    @property
    def name(self) -> str:
        """For people: the split, and the file where it is not that of the split's manual annotations."""
        usual = self.annotations == annotation_path(self.prepared, self.split)
        return self.split if usual else f"{self.split} ({self.annotations})"

    def to_json(self, left_out: Tally) -> dict[str, Any]:
        """What figures are of, and what had to be left out."""
        return {
            "split": self.split,
            "annotations": str(self.annotations),
            "left_out": dict(left_out.counts),
        }

    def open(self, tally: Tally) -> "OpenedTakes":
        """The takes, of which those without a usable camera pose are left out.

        Raises:
            UsageError: a file cannot be read, or has no answers.
        """
        frames = read_annotations(self.annotations)
        hands = required_hands(frames).values()
        if not hands:
            raise UsageError(f"{self.annotations} has no hand in any of its {len(frames)} frames")
        if not any(hand.valid.any() for hand in hands):
            placed = sum(bool(np.isfinite(hand.joints_in_camera_m).any()) for hand in hands)
            unscored = f"{placed} hands with joints, and not one of the joints is valid"
            found = unscored if placed else "boxes but no answers; the test set's are not public"
            raise UsageError(f"{self.annotations} has {found}")
        takes = takes_of(frames, self.prepared, self.split, release=self.release, tally=tally)
        return OpenedTakes(frames, takes)

    def open_with_pictures(self, tally: Tally) -> "OpenedTakes":
        """What of the takes has pictures, for a system to read.

        Raises:
            UsageError: nothing has; or see `open`.
        """
        opened = self.open(tally)
        readable = with_pictures(opened.takes, tally)
        if not readable:
            raise UsageError("; ".join(["no frame has a picture", *tally.lines()]))
        return OpenedTakes(opened.wanted, readable)


@dataclass(frozen=True, eq=False)
class OpenedTakes:
    """What an annotation file asks for, and what of it can be used."""

    wanted: Sequence[AnnotatedFrame]
    """All of its frames."""
    takes: Sequence[PreparedTake]
    """Without those that were left out, and where pictures are needed without the frames that have none."""

    def hands_of(self, run: Run, tally: Tally, say: Say) -> Mapping[HandKey, FloatArray]:
        """See `run_hands`."""
        return run_hands(run, self.takes, tally, say, among=self.wanted)

    def count_wanted(self) -> int:
        """How many hands are asked for."""
        return len(required_hands(self.wanted))

    def count_missing(self, scored: ScoredHands) -> int:
        """How many of them no figure is of, for whatever reason."""
        return self.count_wanted() - len(scored)


def score_predictions(
    answers: Answers, predictions: Path, extras: Extras, *, wrist_relative: bool, say: Say
) -> int:
    """Score a file of predictions; prints the table and one line of JSON."""
    extras.check()
    tally = Tally()
    opened = answers.open(tally)
    lines = predictions.suffix == LINES
    if lines:
        hands = _hands_of_lines(predictions, wrist_relative=wrist_relative, temporal=extras.temporal)
    else:
        hands = read_submission(predictions, opened.wanted)
    if wrist_relative:
        warn_of_placed(predictions, hands, "so give no --offset", say)
    elif not lines:
        refuse_wrist_relative(predictions, hands)
    scored = scored_hands(opened.takes, hands, wrist_relative=wrist_relative, found_only=lines)
    _report(Scored(str(predictions), opened, scored, hands), answers, extras, tally, say)
    return 0


def _hands_of_lines(path: Path, *, wrist_relative: bool, temporal: bool) -> Mapping[HandKey, FloatArray]:
    """The hands of a run, if what is asked can be said of them.

    Raises:
        UsageError: it cannot, or they cannot be read.
    """
    if wrist_relative:
        raise UsageError(f"{path}: lines of a run are in the camera's frame; give no --offset")
    read = read_lines(path)
    if temporal and read.smoothed:
        raise UsageError(
            f"{path}: the tracker smoothed these hands as it read them, so --temporal would do it twice; run "
            "the system with --temporal, which has them unsmoothed"
        )
    return read.hands


def score_system(answers: Answers, run: Run, extras: Extras, *, say: Say) -> int:
    """Run a system and score it; prints the table and one line of JSON."""
    extras.check()
    tally = Tally()
    opened = answers.open_with_pictures(tally)
    hands = opened.hands_of(run, tally, say)
    scored = scored_hands(opened.takes, hands, wrist_relative=False, found_only=True)
    _report(Scored(f"{run.name}, {run.mode}", opened, scored, hands), answers, extras, tally, say)
    return 0


@dataclass(frozen=True, eq=False)
class Scored:
    """Hands of one system or file beside the answers."""

    name: str
    opened: OpenedTakes
    scored: ScoredHands
    hands: Mapping[HandKey, FloatArray]


def _report(of: Scored, answers: Answers, extras: Extras, tally: Tally, say: Say) -> None:
    """Say what was left out, print the tables and the JSON, write the page."""
    takes, wanted = of.opened.takes, of.opened.count_wanted()
    missing = of.opened.count_missing(of.scored)
    scores = scores_by_take(of.scored, {take.uid: take.name for take in takes})
    by_category = scores_by_category(of.scored)
    for line in tally.lines():
        say(line)
    if missing:
        say(
            f"{missing} of {wanted} hands have no figure: not found, without a picture, or of a take that is "
            "left out; the figures are of the others"
        )
    print(to_text(scores), end="\n\n")
    print(categories_to_text(by_category), end="\n\n")
    about = {"system": of.name, **answers.to_json(tally), "hands_wanted": wanted, "hands_missing": missing}
    figures = about | {"scores": _to_json(scores), "categories": _to_json(by_category)}
    if extras.temporal:
        report = temporal_report(takes, of.hands)
        print(report.text(), end="\n\n")
        figures["temporal"] = report.to_json()
    extras.write_page({of.name: of.scored}, takes, say)
    extras.write_figures(figures, about | {"scores": {"all": figures["scores"]["all"]}}, say)


def _to_json(scores: Mapping[str, ChallengeScores] | Mapping[str, CategoryScores]) -> dict[str, Any]:
    return {name: figures.to_json() for name, figures in scores.items()}
