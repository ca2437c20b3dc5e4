"""A page of the best and worst hands of each system, with what may have made them hard."""

import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tracker.errors import UsageError
from tracker.research.evaluation.egoexo4d_categories import (
    NONE,
    CategoryScores,
    categories,
    scores_by_category,
)
from tracker.research.evaluation.egoexo4d_drawing import HandToDraw, draw_hand
from tracker.research.evaluation.egoexo4d_metric import HandKey, ScoredHands, hand_errors_mm
from tracker.research.ground_truth.egoexo4d import TURN, PreparedTake
from tracker.research.ground_truth.labelled import BoolArray
from tracker.structs import Frame
from tracker.whole_file import whole_file, writing

STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2em auto; max-width: 1020px; padding: 0 1em;
  color: #222; background: #fff; }
figure { margin: 1em 0 1.6em; } img { max-width: 100%; border-radius: 4px; } figcaption { color: #555; }
table { border-collapse: collapse; } td, th { padding: .15em .9em .15em 0; text-align: right; }
td:first-child, th:first-child { text-align: left; } .true { color: #1c8a4c; } .predicted { color: #c46a00; }
@media (prefers-color-scheme: dark) { body { color: #ddd; background: #181818; } figcaption { color: #aaa; } }
"""


KINDS = ("best", "worst")


@dataclass(frozen=True)
class Case:
    """A hand of the page."""

    row: int
    """In its system's `ScoredHands`."""
    key: HandKey
    mpjpe_mm: float
    pa_mpjpe_mm: float
    tags: tuple[str, ...]


def best_and_worst(
    hands: ScoredHands, count: int, readable: BoolArray | None = None
) -> tuple[list[Case], list[Case]]:
    """The ``count`` hands of least and of most MPJPE, each the most telling first; no hand is in both.

    Args:
        hands: those of one system.
        count: of each kind.
        readable: (N,) which may be shown.
    """
    mpjpe_mm, pa_mm = hand_errors_mm(hands)
    usable = np.isfinite(mpjpe_mm) if readable is None else np.isfinite(mpjpe_mm) & readable
    order = [int(row) for row in np.argsort(mpjpe_mm, kind="stable") if usable[row]]
    found = {name: inside for name, inside in categories(hands).items() if name != NONE}
    cases = [
        Case(
            row,
            hands.keys[row],
            float(mpjpe_mm[row]),
            float(pa_mm[row]),
            tuple(name for name, inside in found.items() if inside[row]),
        )
        for row in order
    ]
    best = cases[: min(count, (len(cases) + 1) // 2)]
    return best, cases[max(len(best), len(cases) - count) :][::-1]


def page_of(folder: Path, *, overwrite: bool) -> Path:
    """Where the page goes.

    Raises:
        UsageError: it is there already.
    """
    page = folder / "index.html"
    if page.exists() and not overwrite:
        raise UsageError(f"{page} exists; give --overwrite to replace it, or choose another folder")
    return page


def write_page(
    folder: Path,
    systems: Mapping[str, ScoredHands],
    takes: Sequence[PreparedTake],
    *,
    count: int = 4,
    overwrite: bool = False,
) -> Path:
    """Write ``index.html`` and its pictures; returns the page.

    Hands whose picture cannot be read are passed over.

    Raises:
        UsageError: the page is there already.
        SinkFailedError: it cannot be written.
    """
    page = page_of(folder, overwrite=overwrite)
    pictures = _Pictures(takes)
    with writing(folder):
        (folder / "pictures").mkdir(parents=True, exist_ok=True)
        for kind in KINDS:
            for old in (folder / "pictures").glob(f"[0-9]*-{kind}-*.png"):
                old.unlink()  # of the page that is replaced
        sections = [
            _section(folder / "pictures", f"{number}", name, hands, pictures, count)
            for number, (name, hands) in enumerate(systems.items(), start=1)
            if len(hands)
        ]
        with whole_file(page) as part:
            part.write_text(_page(sections), encoding="utf-8")
    return page


class _Pictures:
    """Upright frames and cameras by hand."""

    def __init__(self, takes: Sequence[PreparedTake]) -> None:
        self._takes = {take.uid: take for take in takes}
        self._rows = {
            (take.uid, frame.frame_number): row for take in takes for row, frame in enumerate(take.frames)
        }

    def name(self, key: HandKey) -> str:
        return self._takes[key[0]].name

    def there(self, keys: Sequence[HandKey]) -> BoolArray:
        """(N,) whose picture is a file."""
        return np.array(
            [self._takes[uid].pictures[self._rows[uid, frame]].is_file() for uid, frame, _ in keys]
        )

    def read(self, key: HandKey) -> Frame | None:
        """None where the picture cannot be read."""
        try:
            return self._takes[key[0]].read_upright(self._rows[key[0], key[1]])
        except UsageError:
            return None


def _section(folder: Path, files: str, name: str, hands: ScoredHands, pictures: _Pictures, count: int) -> str:
    """A system's table and figures; its pictures go into ``folder`` under names that begin with ``files``."""
    best, worst = best_and_worst(hands, count, pictures.there(hands.keys))
    figures = []
    for kind, cases in zip(KINDS, (best, worst), strict=True):
        figures.append(f"<h3>{kind.capitalize()}</h3>")
        for number, case in enumerate(cases, start=1):
            frame = pictures.read(case.key)
            if frame is None:
                continue
            file = f"{files}-{kind}-{number}.png"
            draw_hand(_to_draw(hands, case.row, frame)).save(folder / file)
            figures.append(_figure(file, case, pictures.name(case.key)))
    table = _table(scores_by_category(hands))
    return f"<h2>{html.escape(name)}</h2>\n{table}\n" + "\n".join(figures)


def _to_draw(hands: ScoredHands, row: int, frame: Frame) -> HandToDraw:
    """Turned upright; hands without a place are shown at the true wrist."""
    shown_m = (hands.at_true_wrist_m if hands.wrist_relative else hands.predicted_m)[row]
    return HandToDraw(
        frame.image_rgb,
        frame.camera,
        TURN.boxes_upright(hands.box_px[row]),
        TURN.points_upright(hands.true_m[row]),
        TURN.points_upright(shown_m),
    )


def _figure(file: str, case: Case, take: str) -> str:
    uid, frame, side = case.key
    words = [f"{take} ({uid}), frame {frame}, {side.value} hand", f"MPJPE {case.mpjpe_mm:.1f} mm"]
    words += [f"PA-MPJPE {case.pa_mpjpe_mm:.1f} mm", *case.tags]
    caption = html.escape("; ".join(words))
    picture = f'<img src="pictures/{file}" alt="true, predicted, and both from the side">'
    return f"<figure>{picture}<figcaption>{caption}</figcaption></figure>"


def _table(scores: Mapping[str, CategoryScores]) -> str:
    rows = ["<tr><th>category</th><th>share</th><th>hands</th><th>MPJPE, mm</th><th>PA-MPJPE, mm</th></tr>"]
    for name, row in scores.items():
        cells = (
            f"{100 * row.share:.1f} %",
            f"{row.hands}",
            *("-" if np.isnan(value) else f"{value:.2f}" for value in (row.mpjpe_mm, row.pa_mpjpe_mm)),
        )
        shown = "".join(f"<td>{cell}</td>" for cell in cells)
        rows.append(f"<tr><td>{html.escape(name)}</td>{shown}</tr>")
    return "<table>" + "".join(rows) + "</table>"


def _page(sections: Sequence[str]) -> str:
    return "\n".join(
        [
            '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width">',
            f"<title>Best and worst hands</title><style>{STYLE}</style></head><body>",
            "<h1>Best and worst hands</h1>",
            '<p>By MPJPE with wrists together. <span class="true">Green</span> is the true hand, '
            '<span class="predicted">orange</span> the predicted one, where it was placed; from the '
            "side their wrists are together. White is the given box.</p>",
            "<p>docs/egoexo4d.md defines the categories; a hand may be in several.</p>",
            *sections,
            "</body></html>\n",
        ]
    )
