"""The hands of a run: those that are trained on and those it is checked on, or why there are none."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tracker.errors import UsageError
from tracker.research.finetuning.fitted_hands import FittedHands
from tracker.research.finetuning.options import TrainingOptions, ValidationOptions
from tracker.research.finetuning.training_hands import TrainingHand, hands_of_clips, hands_of_takes
from tracker.research.ground_truth import find_clips
from tracker.research.ground_truth.egoexo4d import PreparedTake, annotation_path, holds, open_takes
from tracker.research.ground_truth.egoexo4d_values import Tally

Say = Callable[[str], None]
LEAST_KNOWN = 3
"""A hand with fewer joints of known place has no PA-MPJPE, and no MPJPE worth the name."""
_HELD_OUT, _CHOSEN = 2, 3
"""What a generator is for, beside those of `dataset`."""


@dataclass(frozen=True)
class Sources:
    """Where the hands are."""

    prepared: Path
    """EgoExo4D's prepared files, whose training set is learnt and whose validation set measured."""
    annotations: Path
    """The annotation file of that."""
    release: Path | None = None
    """For the takes' own intrinsics."""
    pseudo_labels: Path | None = None
    """A folder of them, for the terms in space and of MANO."""
    also: tuple[Path, ...] = ()
    """Folders of other data sets, of which the training sets are taken."""


@dataclass(frozen=True, eq=False)
class Hands:
    """What a run is made of."""

    training: list[TrainingHand]
    validation: list[TrainingHand]
    """Without pseudo labels: what they are compared with is annotated. Empty for no validation."""


def find_hands(
    sources: Sources, options: TrainingOptions, validation: ValidationOptions, *, tell: Say
) -> Hands:
    """The hands; what is left out is counted and named.

    Raises:
        UsageError: there is nothing to train on, a file cannot be used, or an option has nothing to work on.
    """
    if sources.pseudo_labels is not None and not sources.pseudo_labels.is_dir():
        raise UsageError(f"--pseudo-labels: there is no folder {sources.pseudo_labels}")
    path = sources.annotations
    tally = Tally()
    takes = open_takes(sources.prepared, path, "train", release=sources.release, tally=tally)
    takes, held_out = split_takes(takes, validation.held_out, options.seed)
    fitted = FittedHands(sources.pseudo_labels, tally) if sources.pseudo_labels is not None else None
    hands = hands_of_takes(takes, tally, fitted=fitted)
    for folder in sources.also:
        hands += _hands_of_others(folder, tally)
    for line in tally.lines():
        tell(line)
    if not hands:
        raise UsageError("; ".join([f"{path} has no hand to train on", *tally.lines()]))
    _check_terms(hands, options, sources.pseudo_labels, tally)
    return Hands(hands, _validation_hands(sources, held_out, validation, options.seed, tell))


def _hands_of_others(folder: Path, tally: Tally) -> list[TrainingHand]:
    """The hands of another data set's training sets.

    Raises:
        UsageError: it has none, or a file cannot be used.
    """
    if holds(folder):
        raise UsageError(
            f"--also {folder} holds prepared files of EgoExo4D, which come first, as PREPARED; --also takes "
            "FreiHAND and HInt"
        )
    clips = find_clips(folder, tally=tally)
    for clip in clips:
        if clip.to_measure_by:
            tally.add("sets that are not for training", clip.name)
    to_learn = [clip for clip in clips if not clip.to_measure_by]
    if not to_learn:
        raise UsageError(f"--also {folder}: nothing there is for training, only to be measured by")
    return hands_of_clips(to_learn, tally)


def split_takes(
    takes: Sequence[PreparedTake], share: float, seed: int
) -> tuple[list[PreparedTake], list[PreparedTake]]:
    """The takes to train on, and a share of them, one at least, to validate on, by chance; none for 0.

    Raises:
        UsageError: nothing would be left to train on.
    """
    if share == 0:
        return list(takes), []
    count = max(1, round(share * len(takes)))
    if count >= len(takes):
        raise UsageError(f"--held-out {share:g} leaves none of {len(takes)} takes to train on")
    by_name = sorted(range(len(takes)), key=lambda index: takes[index].uid)
    kept_back = set(np.random.default_rng([seed, _HELD_OUT]).permutation(by_name)[:count].tolist())
    return (
        [take for index, take in enumerate(takes) if index not in kept_back],
        [take for index, take in enumerate(takes) if index in kept_back],
    )


def _check_terms(
    hands: Sequence[TrainingHand], options: TrainingOptions, pseudo_labels: Path | None, tally: Tally
) -> None:
    """Refuse terms that nothing could be compared with: they would be zero without a word."""
    weights = options.losses
    if not any(vars(weights).values()):
        raise UsageError("every term of --losses is 0: there is nothing to learn")
    in_space = weights.keypoints_3d > 0
    of_mano = max(weights.global_orient, weights.hand_pose, weights.betas) > 0
    if in_space and not any(hand.known.any() for hand in hands):
        labels = [line for line in tally.lines() if "pseudo label" in line]
        of_labels = f": --pseudo-labels {pseudo_labels} has no good one of any; {'; '.join(labels)}"
        raise UsageError(
            f"--losses.keypoints-3d: no hand has joints in space{of_labels if pseudo_labels else ''}"
        )
    if of_mano and not any(hand.mano is not None for hand in hands):
        raise UsageError("MANO's terms need --pseudo-labels of MANO; no hand has its parameters")
    if pseudo_labels is not None and not (in_space or of_mano):
        raise UsageError(
            "--pseudo-labels: no term of --losses learns from them; give --losses.keypoints-3d 0.05, say"
        )


def _validation_hands(
    sources: Sources, held_out: list[PreparedTake], options: ValidationOptions, seed: int, tell: Say
) -> list[TrainingHand]:
    if not options.validate_every:
        return []
    path, tally = annotation_path(sources.prepared, "val"), Tally()
    if not held_out and not path.is_file():
        tell(f"no validation: {path} is not there; --held-out 0.1 keeps a tenth of the takes for it")
        return []
    takes = held_out or open_takes(sources.prepared, path, "val", release=sources.release, tally=tally)
    hands = hands_of_takes(takes, tally)
    for line in tally.lines():
        tell(f"validation, {line}")
    if not hands:
        tell(f"no validation: {path} has no hand that can be used; --held-out 0.1 keeps a tenth of the takes")
    elif options.best_by.endswith("_mm") and not any(hand.known.sum() >= LEAST_KNOWN for hand in hands):
        raise UsageError(f"--best-by {options.best_by}: no hand to validate on has joints in space")
    return chosen(hands, options.validation_hands, seed)


def chosen(hands: list[TrainingHand], most: int, seed: int) -> list[TrainingHand]:
    """At most so many, by chance, in their order; 0 is all."""
    if not 0 < most < len(hands):
        return hands
    rows = np.random.default_rng([seed, _CHOSEN]).permutation(len(hands))[:most]
    return [hands[row] for row in sorted(rows.tolist())]
