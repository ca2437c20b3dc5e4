"""The command ``evaluate``: every clip under a folder, a table, plots, one line of JSON."""

import json
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path

from tracker.errors import UsageError
from tracker.pipeline import HandTracker, TrackerConfig
from tracker.pose import PoseBackend, load_pose_backend
from tracker.progress import Progress
from tracker.research.evaluation.run import ClipResult, Lateness, NewTracker, evaluate_clip
from tracker.research.evaluation.table import to_json, to_text
from tracker.research.ground_truth import LabelledClip, LabelledFrame, find_clips

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

    Raises:
        UsageError: see `find_clips`; or the folder for plots cannot be used.
    """
    found = find_clips(data, clips)
    plots = find_spec("matplotlib") is not None
    if out is not None:
        _prepare(out, data, found, overwrite=overwrite)
    results: list[ClipResult] = []
    progress = Progress(live=False, total_frames=sum(map(len, found)))
    config = config_for(True)
    backend = load_pose_backend(config.backend, hamer=config.hamer)
    interrupted = False
    try:
        for clip in found:
            results.append(
                evaluate_clip(
                    clip,
                    trackers(config_for(clip.first_person), backend),
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
    _report(results, out, plots=plots, say=say)
    return INTERRUPTED_STATUS if interrupted else 0


def trackers(config: TrackerConfig, backend: PoseBackend) -> NewTracker:
    """Makes trackers that share one pose backend, which may take long to load and remembers no hands."""

    def new_tracker(first: LabelledFrame) -> HandTracker:
        return HandTracker(config, backend=backend)

    return new_tracker


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
    results: Sequence[ClipResult], out: Path | None, *, plots: bool, say: Callable[[str], None]
) -> None:
    if not plots:
        say(NO_PLOTS)
    elif out is None:
        say("no plots: give --out FOLDER for one of each clip")
    else:
        say(f"plots and recordings of {len(results)} clips are in {out}")
    if results:
        print(to_text(results), end="\n\n")
        print(json.dumps(to_json(results)), flush=True)
