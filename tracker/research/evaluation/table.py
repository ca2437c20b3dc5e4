"""Our figures beside the baselines', as text for a person and as JSON for a program."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from tracker.research.evaluation.baselines import BASELINES
from tracker.research.evaluation.run import ClipResult, by_source

SUMMED = {
    "frames",
    "hands",
    "false_duplicate",
    "false_near",
    "false_far",
    "id_switches",
    "fragments",
    "fragments_ideal",
}
"""Figures that add up over clips; of the others the mean is taken, and of times the median clip."""


@dataclass(frozen=True)
class Row:
    """A line of the table."""

    label: str
    figure: str
    decimals: int = 1
    video: bool = False
    """Of no use for pictures that stand alone."""


ROWS = (
    Row("hands to be found", "hands", 0),
    Row("recall, right side demanded", "recall", 3),
    Row("recall, any side", "recall_any", 3),
    Row("precision", "precision", 4),
    Row("false: on a taken hand", "false_duplicate", 0),
    Row("false: near a hand", "false_near", 0),
    Row("false: far", "false_far", 0),
    Row("side error", "side_error", 3),
    Row("identity switches", "id_switches", 0, video=True),
    Row("fragments", "fragments", 0, video=True),
    Row("fragments, ideal", "fragments_ideal", 0, video=True),
    Row("first match, frames", "first_match_frames", 1, video=True),
    Row("2D error, px", "error_2d_px", 1),
    Row("PCK@.2 with misses", "pck_20", 3),
    Row("proj_px", "reprojection_px", 2),
    Row("MPJPE MCP-relative, mm", "mpjpe_mcp_mm"),
    Row("PA-MPJPE, mm", "pa_mpjpe_mm"),
    Row("AUC 0-50 mm, MCP-relative", "auc_50mm", 3),
    Row("MPJPE camera frame, mm", "mpjpe_camera_mm"),
    Row("range error, mm", "range_error_mm"),
    Row("range bias, mm", "range_bias_mm"),
    Row("range error, share", "range_error_share", 3),
    Row("lateral error, mm", "lateral_error_mm"),
    Row("finger length, ours / true", "bone_ratio", 3),
    Row("EgoExo4D's MPJPE, mm", "egoexo4d_mpjpe_mm"),
    Row("EgoExo4D's PA-MPJPE, mm", "egoexo4d_pa_mpjpe_mm"),
    Row("bone length, variation", "bone_variation", 4, video=True),
    Row("acceleration MCP-rel., mm/s2", "acceleration_mcp_mm_s2", 0, video=True),
    Row("  of the truth", "true_acceleration_mcp_mm_s2", 0, video=True),
    Row("acceleration camera, mm/s2", "acceleration_camera_mm_s2", 0, video=True),
    Row("  error, mm/s2", "acceleration_error_camera_mm_s2", 0, video=True),
    Row("rest, along the ray, mm", "rest_range_mm", 2, video=True),
    Row("  of the truth", "true_rest_range_mm", 2, video=True),
    Row("rest, across the ray, mm", "rest_lateral_mm", 2, video=True),
    Row("vcorr_px", "velocity_correlation_px", 3, video=True),
    Row("lag_px, frames", "lag_px", 2, video=True),
    Row("lag_cam, frames", "lag_camera", 2, video=True),
    Row("truth late by, frames", "lateness_frames", 1, video=True),
    Row("process() p50, ms", "process_p50_ms", 2),
    Row("process() p95, ms", "process_p95_ms", 2),
)


def figures_of(result: ClipResult) -> dict[str, float]:
    """All figures of a clip by name, NaN where there is none."""
    values = result.to_json()
    return {name: np.nan if value is None else float(value) for name, value in values.items()}  # type: ignore[arg-type]


def over_clips(clips: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Sums and means over the clips that have a figure."""
    total = {}
    for name in clips[0]:
        known = np.array([clip[name] for clip in clips if np.isfinite(clip[name])])
        total[name] = float(known.sum() if name in SUMMED else known.mean()) if known.size else float("nan")
    return total


def to_text(results: Sequence[ClipResult]) -> str:
    """A table for each data set, clips in columns, then all clips and the baselines."""
    return "\n\n".join(_table(source, group) for source, group in by_source(results).items())


def _table(source: str, results: Sequence[ClipResult]) -> str:
    clips = [figures_of(result) for result in results]
    titles = [result.clip.name.removeprefix(_common_prefix(results)) for result in results]
    columns: list[tuple[str, Mapping[str, float]]] = list(zip(titles, clips, strict=True))
    if len(clips) > 1:
        columns.append(("ALL", over_clips(clips)))
    columns += [
        (baseline.system, baseline.figures) for baseline in BASELINES if source.startswith(baseline.source)
    ]
    video = results[0].clip.frame_rate_hz is not None
    rows = [row for row in ROWS if video or not row.video]
    widths = [max(len(title), 9) for title, _ in columns]
    margin = max(29, len(source))
    lines = [
        f"{source:<{margin}}"
        + "".join(f"  {title:>{w}}" for (title, _), w in zip(columns, widths, strict=True))
    ]
    for row in rows:
        cells = (_cell(values.get(row.figure), row) for _, values in columns)
        lines.append(
            f"{row.label:<{margin}}"
            + "".join(f"  {cell:>{w}}" for cell, w in zip(cells, widths, strict=True))
        )
    if any(result.lateness_estimated for result in results):
        lines.append("(truth late by: estimated where the data set's reader does not know it)")
    return "\n".join(lines)


def _common_prefix(results: Sequence[ClipResult]) -> str:
    """What all names begin with up to an underscore; nothing for a single clip."""
    first, last = min(r.clip.name for r in results), max(r.clip.name for r in results)
    if first == last:
        return ""
    same = next(k for k, (a, b) in enumerate(zip(f"{first} ", f"{last} ", strict=False)) if a != b)
    return first[:same][: first[:same].rfind("_") + 1]


def _cell(value: float | None, row: Row) -> str:
    return "-" if value is None or not np.isfinite(value) else f"{value:.{row.decimals}f}"


def to_json(results: Sequence[ClipResult]) -> dict[str, dict[str, object]]:
    """By data set: each clip's figures and those over all clips; null where there is no figure."""
    return {
        source: {
            "all": _without_nan(over_clips([figures_of(result) for result in group])),
            "clips": {result.clip.name: result.to_json() for result in group},
        }
        for source, group in by_source(results).items()
    }


def _without_nan(figures: Mapping[str, float]) -> dict[str, float | int | None]:
    return {name: _number(name, value) for name, value in figures.items() if name != "lateness_estimated"}


def _number(name: str, value: float) -> float | int | None:
    if not np.isfinite(value):
        return None
    return int(value) if name in SUMMED else value
