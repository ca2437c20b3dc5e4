"""A training run at work in its folder: steps, validations, checkpoints, the log and its curves."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tracker.progress import CountingBar
from tracker.research.finetuning import checkpoints
from tracker.research.finetuning.curves import VALIDATED, TrainingLog, draw_curves, read_log
from tracker.research.finetuning.dataset import Draws, HandPictures, Sample, batches_of
from tracker.research.finetuning.options import Figure
from tracker.research.finetuning.sources import Hands, Say
from tracker.research.finetuning.training import Learner, train
from tracker.research.finetuning.training_hands import TrainingHand, fingerprint
from tracker.research.finetuning.validation import validate
from tracker.research.ground_truth.egoexo4d_values import Tally

CHECKPOINT, BEST, LOG, CURVES = "checkpoint.pt", "best.pt", "log.jsonl", "curves.png"
"""What a run keeps in its folder."""

Hold = Callable[[Callable[[], None]], AbstractContextManager[None]]
"""Has the first interruption call something, as long as its context lasts."""


@dataclass(frozen=True)
class Schedule:
    """How long training goes on, and what is done when."""

    steps: int
    """In all, those before this run included."""
    checkpoint_every: int
    """Steps."""
    validate_every: int
    """Steps."""
    best_by: Figure
    workers: int
    """Processes that read pictures, for each device."""


class Session:
    """One run of the program on a training run."""

    def __init__(
        self,
        folder: Path,
        learner: Learner,
        config: Mapping[str, Any],
        hands: Hands,
        schedule: Schedule,
        *,
        say: Say,
        held: Hold = lambda note: nullcontext(),
    ) -> None:
        self._folder, self._learner, self._config = folder, learner, config
        self._hands, self._schedule, self._say, self._held = hands, schedule, say, held
        self._best = Best(folder / BEST, schedule.best_by, fingerprint(hands.validation), learner)
        self._report: Report | None = None
        self._saved = learner.step
        """Steps in the checkpoint; 0 where there is none."""

    def run(self) -> None:
        """Train until all steps are done, or an interruption asks for the end: a checkpoint is written first.

        Raises:
            KeyboardInterrupt: it was stopped, after the step under way or, by a second one, at once.
            TrackerError: a file cannot be written, or the loss is no number.
        """
        learner, unread = self._learner, Tally()
        with ExitStack() as stack:
            if learner.fabric.is_global_zero:
                self._report = stack.enter_context(Report(self._folder, learner.step, self._schedule.steps))
            if learner.step == 0:
                self._done({"step": 0})
            batches = _noting(self._batches(), self._hands.training, unread)
            try:
                with self._held(self._stop):
                    train(learner, batches, self._schedule.steps, self._done)
            except RuntimeError:
                # Other processes were stopped too, and ended before this step could.
                if not learner.stop_asked or learner.step == self._schedule.steps:
                    raise
        for line in unread.lines():  # of this process's share
            self._say(line)
        if learner.step < self._schedule.steps:
            raise KeyboardInterrupt

    def where_it_stopped(self) -> str:
        """What is kept of a run that was stopped, for a person."""
        step, saved = self._learner.step, self._saved
        if not saved:
            return f"stopped after step {step}, before the first checkpoint: --resume begins anew"
        if saved < step:
            return f"stopped after step {step}; --resume goes on from the checkpoint, after step {saved}"
        return f"stopped after step {step}; the checkpoint has it, and --resume goes on from there"

    def _stop(self) -> None:
        self._learner.stop_asked = True
        if self._learner.fabric.is_global_zero:
            with suppress(RuntimeError):  # the signal came while a line was being written
                self._say("stopping after this step, with a checkpoint; once more stops at once, without one")

    def _batches(self) -> Iterator[Sample]:
        options, fabric = self._learner.options, self._learner.fabric
        hands = self._hands.training
        draws = Draws(
            len(hands),
            options.batch,
            seed=options.seed,
            first=self._learner.step * options.accumulate,
            rank=fabric.global_rank,
            ranks=fabric.world_size,
        )
        pictures = HandPictures(
            hands, augmentation=options.augmentation, seed=options.seed, crop=options.crop
        )
        pinned = fabric.device.type == "cuda"
        return batches_of(pictures, draws, workers=self._schedule.workers, pinned=pinned)

    def _done(self, figures: dict[str, float]) -> None:
        """After each step, and before the first."""
        step, measured, is_best = self._learner.step, {}, False
        if self._hands.validation and self._is_due(self._schedule.validate_every):
            measured = validate(self._learner, self._hands.validation, workers=self._schedule.workers)
            is_best = self._best.offer(self._learner, self._config, measured)
        if self._report is not None and (step or measured):
            self._report.note(figures | {VALIDATED + name: value for name, value in measured.items()})
        due = self._learner.stopping or self._is_due(self._schedule.checkpoint_every)
        saved = step > 0 and due
        if saved:
            checkpoints.save(self._folder / CHECKPOINT, self._learner, self._config)
            self._saved = step
        if self._report is not None and (measured or saved):
            self._report.show(_line(figures, measured, is_best))

    def _is_due(self, every: int) -> bool:
        """Whether what is done every so many steps, and after the last, is done now."""
        return self._learner.step in (0, self._schedule.steps) or self._learner.step % every == 0


class Best:
    """The weights of the validation whose figure was least."""

    def __init__(self, path: Path, by: Figure, on: str, learner: Learner) -> None:
        """Find what was best so far.

        Args:
            path: the file of them.
            by: which figure.
            on: the fingerprint of the hands it is measured on; what was best on others does not count.
            learner: where training stands. If that is the beginning, what the file holds is of another run.
        """
        self._path, self._by, self._on = path, by, on
        self._least = math.inf
        if learner.step == 0:
            if learner.fabric.is_global_zero:
                path.unlink(missing_ok=True)
        elif path.exists():
            stored = checkpoints.read(path)
            if stored["on"] == on:
                self._least = stored["measured"].get(by, math.inf)

    def offer(self, learner: Learner, config: Mapping[str, Any], measured: Mapping[str, float]) -> bool:
        """Keep the weights if they are the best; called by all processes, with equal figures."""
        if not measured.get(self._by, math.inf) < self._least:
            return False
        self._least = measured[self._by]
        checkpoints.save_best(self._path, learner, config, measured, on=self._on)
        return True


class Report:
    """What a person gets to see of a run, told by its first process: log, curves, bar, lines."""

    def __init__(self, folder: Path, steps_done: int, steps: int) -> None:
        self._folder = folder
        self._log = TrainingLog(folder / LOG, steps_done=steps_done)
        self._bar = CountingBar(steps, unit="step", what="training")
        if steps_done:
            self._bar.pass_over(steps_done)

    def note(self, figures: Mapping[str, float]) -> None:
        """Put a step, with a validation after it or not, into the log, and count it."""
        self._log.write(figures)
        if figures["step"]:
            self._bar.note(_said(figures))
            self._bar.observe()

    def show(self, line: str) -> None:
        """Say how training stands, and draw its curves."""
        self._bar.say(line)
        try:
            draw_curves(read_log(self._folder / LOG), self._folder / CURVES)
        except ImportError:
            self._bar.say("no curves are drawn: matplotlib is not installed (extra `research`)")

    def __enter__(self) -> "Report":
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.close()
        self._log.close()


def _line(figures: Mapping[str, float], measured: Mapping[str, float], is_best: bool) -> str:
    """How training stands, for a person."""
    parts = [_said(figures)] if "loss" in figures else []
    if measured:
        parts.append(f"validation: {_said(measured)}{' (the best so far)' if is_best else ''}")
    return f"step {figures['step']:.0f}: {'; '.join(parts)}"


def _said(figures: Mapping[str, float]) -> str:
    shown = (
        ("loss", "loss {:.4f}"),
        ("reprojection_px", "joints {:.1f} px off"),
        ("mpjpe_mm", "MPJPE {:.1f} mm"),
        ("pa_mpjpe_mm", "PA-MPJPE {:.1f} mm"),
    )
    known = [(name, form) for name, form in shown if math.isfinite(figures.get(name, math.nan))]
    return ", ".join(form.format(figures[name]) for name, form in known) or "no picture could be read"


def _noting(batches: Iterator[Sample], hands: Sequence[TrainingHand], tally: Tally) -> Iterator[Sample]:
    """The batches, with pictures that could not be read counted and named."""
    for batch in batches:
        for index in batch.indices[batch.readable == 0].tolist():
            tally.add("times that a picture could not be read", hands[index].where)
        yield batch
