"""The command ``evaluate``: every clip under a folder, a table, plots, one line of JSON."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from tracker.errors import UsageError
from tracker.hand_shape import HandShape
from tracker.joints import FloatArray
from tracker.pipeline import HandTracker, TrackerConfig
from tracker.pose import PoseBackend, load_pose_backend
from tracker.progress import Progress
from tracker.research.evaluation.figures import print_line, write_figures
from tracker.research.evaluation.run import ClipResult, Lateness, NewTracker, evaluate_clip
from tracker.research.evaluation.table import to_json, to_text
from tracker.research.ground_truth import LabelledClip, LabelledFrame, find_clips
from tracker.research.ground_truth.egoexo4d_values import Tally

GIVEN = ", palm width given"
"""Marks the data set of clips for which the tracker is told the true width of the palm."""
NO_PLOTS = "no plots: they need matplotlib, which the extra research brings (pip install -e '.[research]')"
INTERRUPTED_STATUS = 130


def evaluate(
    data: Path,
    config_for: Callable[[bool], TrackerConfig],
    *,
    clips: Sequence[str],
    out: Path | None,
    overwrite: bool,
    lateness: Lateness,
    say: Callable[[str], None],
    figures: Path | None = None,
) -> int:
    """Track and measure clips; prints the table and the line of JSON, returns the exit status.

    After Ctrl-C the clips that were finished are still reported.

    Args:
        data: folder of clips and answers.
        config_for: the tracker's settings for first-person clips (True) and for others; of one backend.
        clips: names or patterns, none for all.
        out: folder for plots and recordings.
        overwrite: whether to replace those.
        lateness: see `Lateness`.
        say: tells a person something.
        figures: file of JSON for all figures.

    Raises:
        UsageError: see `find_clips`; or the folder for plots cannot be used.
    """
    tally = Tally()
    found = [variant for clip in find_clips(data, clips, tally=tally) for variant in with_sizes_given(clip)]
    for line in tally.lines():
        say(line)
    plots = find_spec("matplotlib") is not None
    if out is not None:
        _prepare(out, data, found, overwrite=overwrite)
    results: list[ClipResult] = []
    progress = Progress(live=False, total_frames=sum(map(len, found)))
    config = config_for(True)
    backend = load_pose_backend(
        config.backend, hamer=config.hamer, potter=config.potter, ensemble=config.ensemble
    )
    interrupted = False
    try:
        for clip in found:
            results.append(
                evaluate_clip(
                    clip,
                    trackers(config_for(clip.first_person), backend, palm_given=clip.source.endswith(GIVEN)),
                    backend=config.backend,
                    recording=out / f"{clip.name}.jsonl" if out is not None else None,
                    lateness=lateness,
                    observe=progress.observe,
                )
            )
            if out is not None and plots:
                _plot(results[-1], out)
    except KeyboardInterrupt:
        interrupted = True
    finally:
        progress.close()
    say(progress.summary() + (f"; stopped after {len(results)} of {len(found)} clips" if interrupted else ""))
    _report(results, out, figures, plots=plots, say=say)
    return INTERRUPTED_STATUS if interrupted else 0


def with_sizes_given(clip: LabelledClip) -> tuple[LabelledClip, ...]:
    """The clip, and once more where the tracker can be told the true width of the palm."""
    if not clip.sizes_are_true:
        return (clip,)
    return clip, replace(clip, name=f"{clip.name}_palm_given", source=clip.source + GIVEN)


def trackers(config: TrackerConfig, backend: PoseBackend, *, palm_given: bool) -> NewTracker:
    """Makes trackers that share one pose backend, which may be slow to load and remembers no hands.

    With ``palm_given`` each is told the palm's width of the hands truly in its first picture, as a user who
    measured that one length would tell it, and nothing else.
    """

    def new_tracker(first: LabelledFrame) -> HandTracker:
        width_m = palm_width_m(first.joints_in_camera_m)
        if not palm_given or not np.isfinite(width_m):
            return HandTracker(config, backend=backend)
        tracks = replace(config.tracks, hand=HandShape.from_palm_width(width_m))
        return HandTracker(replace(config, tracks=tracks), backend=backend)

    return new_tracker


def palm_width_m(joints_m: FloatArray) -> float:
    """Mean distance of the index knuckle from the little finger's over hands (2, 21, 3) with both."""
    widths = np.linalg.norm(joints_m[:, 5] - joints_m[:, 17], axis=-1)
    known = widths[np.isfinite(widths)]
    return float(known.mean()) if known.size else float("nan")


def _prepare(out: Path, data: Path, clips: Sequence[LabelledClip], *, overwrite: bool) -> None:
    """Make the folder; refuse one inside the data, and files that would be lost."""
    if data.resolve() in (out.resolve(), *out.resolve().parents):
        raise UsageError(f"{out} lies in the data folder, which is only read; choose another")
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"cannot make the folder {out}: {error.strerror}; choose another") from error
    there = [
        path
        for clip in clips
        for path in (out / f"{clip.name}.jsonl", out / f"{clip.name}.png")
        if path.exists()
    ]
    if there and not overwrite:
        raise UsageError(f"{there[0]} exists; choose another folder or pass --overwrite")


def _plot(result: ClipResult, out: Path) -> None:
    from tracker.research.evaluation.plots import draw, save

    save(draw(result), out / f"{result.clip.name}.png")


def _report(
    results: Sequence[ClipResult],
    out: Path | None,
    figures: Path | None,
    *,
    plots: bool,
    say: Callable[[str], None],
) -> None:
    if not plots:
        say(NO_PLOTS)
    elif out is None:
        say("no plots: give --out FOLDER for one of each clip")
    else:
        say(f"plots and recordings of {len(results)} clips are in {out}")
    if results:
        print(to_text(results), end="\n\n")
        measured = to_json(results)
        if figures is not None:
            write_figures(figures, measured)
            say(f"wrote {figures}")
        print_line({source: {"all": of_source["all"]} for source, of_source in measured.items()})
