"""Figures for programs: all of them in a file, the overall ones in the last line of what a command prints."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tracker.whole_file import whole_file

DECIMALS = 4
"""Of the figures in the line, whose finest are hundredths of millimetres and thousandths of a share."""


def print_line(figures: Mapping[str, Any]) -> None:
    """One line of JSON with rounded figures."""
    print(json.dumps(_rounded(figures)), flush=True)


def write_figures(path: Path, figures: Mapping[str, Any]) -> None:
    """All figures, exact, a line each; a file that is there is replaced, wholly or not at all.

    Raises:
        SinkFailedError: it cannot be written.
    """
    with whole_file(path) as part:
        part.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")


def _rounded(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _rounded(part) for name, part in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_rounded(part) for part in value]
    return round(value, DECIMALS) if isinstance(value, float) else value
