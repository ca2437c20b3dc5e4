"""A picture of how one clip went: paths and range against the truth, sides, identities, misses, false hands.

Needs matplotlib (extra ``research``). Figures are made without a window or any global state.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure

from tracker.joints import FloatArray
from tracker.research.evaluation.hand_errors import (
    both_known,
    centre,
    mpjpe,
    mpjpe_mcp_relative,
)
from tracker.research.evaluation.matching import false_hands, match
from tracker.research.evaluation.motion import runs
from tracker.research.evaluation.run import ClipResult
from tracker.research.ground_truth.labelled import SIDES, BoolArray
from tracker.whole_file import whole_file

if TYPE_CHECKING:
    from matplotlib.axes import Axes

TRUTH, RIGHT_SIDE, WRONG_SIDE = "0.55", "tab:blue", "tab:orange"
MISS, FALSE = "tab:red", "black"
IDENTITIES = ("tab:green", "tab:purple", "tab:brown", "tab:pink", "tab:olive", "tab:cyan")
"""Colours of successive identities of one hand, in turn."""


def draw(result: ClipResult) -> Figure:
    """The picture that suits the clip: over time, or picture by picture."""
    return _over_time(result) if result.clip.frame_rate_hz is not None else _one_by_one(result)


def save(figure: Figure, path: Path) -> None:
    """Write a PNG, replacing what is there.

    Raises:
        SinkFailedError: the file cannot be written.
    """
    with whole_file(path) as part:
        figure.savefig(part, format="png", dpi=80)


def _over_time(result: ClipResult) -> Figure:
    matches = match(result.truth, result.predictions)
    side = matches.take_numbers(result.predictions.side)
    wrong = matches.matched & (side != np.arange(2))
    hands_m = centre(matches.take(result.predictions.joints_in_camera_m))
    true_m = np.where(result.truth.in_view[..., None], centre(result.truth.joints_in_camera_m), np.nan)
    figure = Figure(figsize=(17, 15), layout="constrained")
    axes = figure.subplots(5, 2, sharex=True, squeeze=False, gridspec_kw={"height_ratios": [1, 1, 1, 1, 0.9]})
    for column, name in enumerate(hand.value for hand in SIDES):
        curves = [(f"{axis}, m", hands_m[:, column, k], true_m[:, column, k]) for k, axis in enumerate("xyz")]
        curves.append(("range, m", *(np.linalg.norm(path[:, column], axis=-1) for path in (hands_m, true_m))))
        for row, (label, ours, true) in enumerate(curves):
            _curve(axes[row, column], label, ours, true, wrong[:, column])
        axes[0, column].set_title(f"truly {name} hand: centre of its MCPs")
        axes[0, column].legend(loc="best", fontsize=8)
        _timeline(axes[4, column], result, column)
        axes[4, column].set_xlabel("frame")
    figure.suptitle(_headline(result))
    return figure


def _headline(result: ClipResult) -> str:
    figures = result.metrics
    words = [
        f"{result.clip.name}: recall {figures.recall:.3f} (any side {figures.recall_any:.3f})",
        f"precision {figures.precision:.3f}",
        f"side error {figures.side_error:.3f}",
        f"MPJPE MCP-relative {figures.mpjpe_mcp_mm:.1f} mm, camera {figures.mpjpe_camera_mm:.1f} mm",
        f"range {figures.range_error_mm:.0f} mm (bias {figures.range_bias_mm:+.0f})",
    ]
    return ", ".join(words)


def _curve(axes: "Axes", label: str, ours: FloatArray, true: FloatArray, wrong: BoolArray) -> None:
    frames = np.arange(len(ours))
    axes.plot(frames, true, color=TRUTH, linewidth=3, label="truth")
    axes.plot(frames, ours, color=RIGHT_SIDE, linewidth=1, marker=".", markersize=3, label="tracked")
    if wrong.any():
        axes.plot(
            frames[wrong], ours[wrong], ".", color=WRONG_SIDE, markersize=6, label="tracked as the other side"
        )
    axes.set_ylabel(label)
    axes.grid(alpha=0.3)


def _timeline(axes: "Axes", result: ClipResult, column: int) -> None:
    """Four lanes: in view and missed, side said, identity, false hands of that side."""
    matches = match(result.truth, result.predictions)
    matched, in_view = matches.matched[:, column], result.truth.scored_in_view[:, column]
    right_side = matches.take_numbers(result.predictions.side)[:, column] == column
    _bars(axes, 3, in_view, TRUTH)
    _bars(axes, 3, in_view & ~matched, MISS)
    _bars(axes, 2, matched & right_side, RIGHT_SIDE)
    _bars(axes, 2, matched & ~right_side, WRONG_SIDE)
    _identities(axes, 1, matches.take_numbers(result.predictions.track_id)[:, column], matched)
    false = false_hands(result.truth, result.predictions, matches)
    said = result.predictions.side == column
    for kind, marker in ((false.duplicate, "x"), (false.near, "+"), (false.far, "o")):
        frames = np.flatnonzero((kind & said).any(axis=1))
        axes.plot(frames, np.zeros(len(frames)), marker, color=FALSE)
    axes.set_ylim(-0.6, 3.6)
    axes.set_yticks(
        [3, 2, 1, 0],
        ["in view,\nred: missed", "side,\norange: wrong", "track", "false: x taken\n+ near  o far"],
    )


def _bars(axes: "Axes", lane: int, mask: BoolArray, colour: str) -> None:
    spans = [(start - 0.5, end - start) for start, end in runs(mask)]
    axes.broken_barh(spans, (lane - 0.3, 0.6), facecolors=colour)


def _identities(
    axes: "Axes", lane: int, track_id: "np.ndarray[tuple[int, ...], np.dtype[np.int64]]", matched: BoolArray
) -> None:
    order: list[int] = []
    for number in track_id[matched].tolist():
        if number not in order:
            order.append(number)
    for place, number in enumerate(order):
        mask = matched & (track_id == number)
        _bars(axes, lane, mask, IDENTITIES[place % len(IDENTITIES)])
        axes.text(float(np.flatnonzero(mask)[0]), lane, f"#{number}", fontsize=8, va="center")


def _one_by_one(result: ClipResult) -> Figure:
    matches = match(result.truth, result.predictions)
    hands_m = matches.take(result.predictions.joints_in_camera_m)
    true_m = result.truth.joints_in_camera_m
    valid = both_known(hands_m, true_m)
    side = matches.take_numbers(result.predictions.side)
    wrong = matches.matched & (side != np.arange(2))
    figure = Figure(figsize=(17, 12), layout="constrained")
    top, middle, bottom = figure.subplots(3, 1)
    true_range_m = np.linalg.norm(centre(true_m), axis=-1)
    range_m = np.linalg.norm(centre(hands_m), axis=-1)
    _ranges(top, true_range_m, range_m, wrong)
    bars = (
        ("MPJPE camera frame", 1000 * mpjpe(hands_m, true_m, valid)),
        ("range error, signed", 1000 * (range_m - true_range_m)),
        ("MPJPE MCP-relative", 1000 * mpjpe_mcp_relative(hands_m, true_m, valid)),
    )
    for label, values in bars:
        _by_picture(middle, label, values)
    middle.set_ylabel("mm")
    middle.axhline(0, color=TRUTH)
    _found_by_picture(bottom, result, matches.matched, wrong)
    for axes in (middle, bottom):
        axes.set_xlim(-1, len(hands_m))
    figure.suptitle(_headline(result))
    return figure


def _ranges(axes: "Axes", true_m: FloatArray, tracked_m: FloatArray, wrong: BoolArray) -> None:
    known = np.isfinite(true_m) & np.isfinite(tracked_m)
    axes.plot(true_m[known], tracked_m[known], ".", color=RIGHT_SIDE, label="hand")
    if (known & wrong).any():
        axes.plot(
            true_m[known & wrong], tracked_m[known & wrong], ".", color=WRONG_SIDE, label="as the other side"
        )
    if known.any():
        ends = [true_m[known].min(), true_m[known].max()]
        axes.plot(ends, ends, color=TRUTH, label="truth")
    axes.set_xlabel("true range, m")
    axes.set_ylabel("range, m")
    axes.legend(loc="best", fontsize=8)
    axes.grid(alpha=0.3)


def _by_picture(axes: "Axes", label: str, values: FloatArray) -> None:
    """Values (T, 2): left hands a little left of their picture's number."""
    pictures = np.arange(len(values))[:, None] + np.array([-0.15, 0.15])
    axes.plot(pictures.ravel(), values.ravel(), ".", label=label)
    axes.legend(loc="best", fontsize=8)
    axes.grid(alpha=0.3)


def _found_by_picture(axes: "Axes", result: ClipResult, matched: BoolArray, wrong: BoolArray) -> None:
    for column in range(2):
        in_view = result.truth.scored_in_view[:, column]
        _bars(axes, 2 - column, matched[:, column], RIGHT_SIDE)
        _bars(axes, 2 - column, wrong[:, column], WRONG_SIDE)
        _bars(axes, 2 - column, in_view & ~matched[:, column], MISS)
    false = false_hands(result.truth, result.predictions, match(result.truth, result.predictions)).any
    pictures = np.flatnonzero(false.any(axis=1))
    axes.plot(pictures, np.zeros(len(pictures)), "x", color=FALSE)
    _lanes(axes, ("false", "right hand", "left hand"))
    axes.set_xlabel("picture; blue found, orange as the other side, red missed")


def _lanes(axes: "Axes", names: Sequence[str]) -> None:
    axes.set_ylim(-0.6, len(names) - 0.4)
    axes.set_yticks(range(len(names)), names)
