"""How training went: a line of JSON a step, and a picture of the curves."""

import json
import math
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from tracker.errors import UsageError
from tracker.joints import FloatArray
from tracker.whole_file import whole_file, writing

SMOOTHED_OVER = 50
"""Steps that the smooth curve averages."""
VALIDATED = "validation_"
"""What the names of a validation's figures begin with."""


class TrainingLog:
    """A file of JSON lines, one a step, which a run that goes on continues."""

    def __init__(self, path: Path, *, steps_done: int) -> None:
        """Open the file; lines of steps after the last checkpoint, which are done again, are taken out.

        So are all where nothing is done: the validation before the first step is done again too.
        """
        kept = read_log(path) if path.exists() and steps_done else []
        before = [line for line in kept if line["step"] <= steps_done]
        with whole_file(path) as part:
            part.write_text("".join(json.dumps(line) + "\n" for line in before), encoding="utf-8")
        with writing(path):
            self._file = path.open("a", encoding="utf-8", buffering=1)
        self._path = path

    def write(self, figures: Mapping[str, float]) -> None:
        """Add a step; what is not known is null."""
        known = {name: round(value, 7) if math.isfinite(value) else None for name, value in figures.items()}
        with writing(self._path):
            self._file.write(json.dumps(known) + "\n")

    def close(self) -> None:
        """Close the file."""
        with suppress(OSError):  # of a full disk, which `write` has said
            self._file.close()


def read_log(path: Path) -> list[dict[str, Any]]:
    """The lines of a log, in order; a last one that was cut short is left out.

    Raises:
        UsageError: it cannot be read, or is something else.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
        entries = [json.loads(line) for line in lines if line.endswith("\n")]
    except (OSError, ValueError) as error:
        raise UsageError(f"cannot read {path}: {error}") from error
    if not all(isinstance(entry, dict) and "step" in entry for entry in entries):
        raise UsageError(f"{path} is no log of the finetune command")
    return entries


def draw_curves(entries: Sequence[Mapping[str, float | None]], path: Path) -> None:
    """Write a PNG: loss, its terms, reprojection error and learning rate over the steps, and validations.

    Raises:
        ImportError: matplotlib (extra ``research``) is not installed.
        UsageError: the file cannot be written.
    """
    from matplotlib.figure import Figure

    names = list(dict.fromkeys(name.removeprefix(VALIDATED) for entry in entries for name in entry))
    names = [name for name in names if name not in ("step", "seconds")]
    if not names:
        return
    figure = Figure(figsize=(9, 2.2 * len(names)), layout="constrained")
    all_axes = figure.subplots(len(names), 1, sharex=True, squeeze=False)[:, 0]
    for axes, name in zip(all_axes, names, strict=True):
        trained, validated = _of(entries, name), _of(entries, VALIDATED + name)
        if name == "learning_rate":
            axes.plot(*trained, color="tab:blue", linewidth=1.6)
        elif len(trained[0]):
            axes.plot(*trained, color="tab:blue", alpha=0.35, linewidth=0.8)
            axes.plot(trained[0], smoothed(trained[1]), color="tab:blue", linewidth=1.6, label="training")
        if len(validated[0]):
            axes.plot(*validated, color="tab:orange", marker="o", markersize=4, label="validation")
            axes.legend()
        axes.set_ylabel(name)
        axes.grid(alpha=0.3)
    all_axes[-1].set_xlabel(f"step (the strong line is the mean of the last {SMOOTHED_OVER})")
    with whole_file(path) as part:
        figure.savefig(part, format="png", dpi=80)


def _of(entries: Sequence[Mapping[str, float | None]], name: str) -> tuple[FloatArray, FloatArray]:
    """The steps (N,) that have a figure, and the figure (N,)."""
    known = [(entry["step"], entry[name]) for entry in entries if entry.get(name) is not None]
    steps, values = np.array(known, dtype=np.float64).reshape(-1, 2).T
    return steps, values


def smoothed(values: FloatArray) -> FloatArray:
    """The mean (N,) of each value and those before it, `SMOOTHED_OVER` in all where there are as many."""
    sums = np.cumsum(np.concatenate([[0.0], np.nan_to_num(values)]))
    ends = np.arange(1, len(values) + 1)
    starts = np.maximum(ends - SMOOTHED_OVER, 0)
    return np.asarray((sums[ends] - sums[starts]) / (ends - starts))
