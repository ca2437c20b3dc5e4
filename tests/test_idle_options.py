"""Options that do nothing are told of, each in a line, and those that do something are not."""

from pathlib import Path
from typing import Any

import pytest

from tracker.cli_idle import warn_of_idle_networks, warn_of_idle_options
from tracker.cli_options import TrackingOptions
from tracker.cli_outputs import OutputOptions
from tracker.cli_systems import SystemOptions
from tracker.cli_tracking import Live, Replay

MCAP, RRD, VIDEO = Path("a.mcap"), Path("a.rrd"), Path("a.mp4")
PICTURES, MESH = OutputOptions(record=MCAP, record_pictures=True), OutputOptions(draw="mesh")


@pytest.mark.parametrize(
    ("idle", "works", "option"),
    [
        (Replay(MCAP, output=PICTURES), Replay(MCAP, picture=VIDEO, output=PICTURES), "--record-pictures"),
        (Live("browser", realtime=True), Live("demo", realtime=True), "--realtime"),
        (Live("0", realtime=True), Live("http://host/a.mp4", realtime=True), "--realtime"),
        (Live(output=MESH), Live(output=OutputOptions(draw="mesh", video=VIDEO)), "--draw mesh"),
        (Replay(MCAP, output=MESH), Live(output=OutputOptions(draw="mesh", record=RRD)), "--draw mesh"),
        (
            Live(tracking=TrackingOptions(engine="eager")),
            Live(tracking=TrackingOptions(engine="eager", backend="ensemble")),
            "--engine",
        ),
        (
            Live(tracking=TrackingOptions(crop="affine")),
            Live(tracking=TrackingOptions(crop="affine", backend="potter")),
            "--crop",
        ),
        (
            Live(tracking=TrackingOptions(ensemble=("hamer",), backend="hamer")),
            Live(tracking=TrackingOptions(ensemble=("hamer",), backend="ensemble")),
            "--ensemble",
        ),
    ],
)
def test_an_option_without_effect_is_told_of_once(
    idle: Live | Replay, works: Live | Replay, option: str, capsys: pytest.CaptureFixture[str]
) -> None:
    warn_of_idle_options(works)
    assert capsys.readouterr().err == ""
    warn_of_idle_options(idle)
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"warning: {option} has no effect with")


@pytest.mark.parametrize(
    ("idle", "works", "tracking"),
    [
        ("landmarks", "hamer-align", TrackingOptions(checkpoint=VIDEO)),
        ("hamer", "ensemble", TrackingOptions(potter_checkpoint=VIDEO)),
        ("potter", "hamer-ray", TrackingOptions(engine="eager")),
        ("hamer-ft", "ensemble-ft", TrackingOptions(checkpoint=VIDEO)),
    ],
)
def test_options_of_networks_that_a_system_does_not_run_are_told_of(
    idle: Any, works: Any, tracking: TrackingOptions, capsys: pytest.CaptureFixture[str]
) -> None:
    warn_of_idle_networks(SystemOptions(works, tracking=tracking))
    assert capsys.readouterr().err == ""
    warn_of_idle_networks(SystemOptions(idle, tracking=tracking))
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("warning: --") and f" has no effect with {idle}" in line
