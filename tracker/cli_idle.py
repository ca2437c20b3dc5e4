"""Options that do nothing beside the others that were given: a person is told, and the run goes on."""

from collections.abc import Sequence, Set
from typing import TYPE_CHECKING

from tracker.cli_running import say

if TYPE_CHECKING:
    from tracker.cli_options import TrackingOptions
    from tracker.cli_outputs import OutputOptions
    from tracker.cli_systems import SystemOptions
    from tracker.cli_tracking import Live, Replay

Idle = tuple[bool, str, str]
"""Whether an option has no effect, its name, and beside what."""


def warn_of_idle_options(options: "Live | Replay") -> None:
    """One line for each option that has no effect."""
    from tracker.cli_tracking import Live

    idle = _idle_live(options) if isinstance(options, Live) else _idle_replay(options)
    warn_of([*idle, _idle_drawing(options.output)])


def warn_of_idle_networks(options: "SystemOptions") -> None:
    """One line for each option of a network that the system does not run or reads from another file."""
    given = options.tracking
    overridden = options.reads_finetuned_only and given.checkpoint is not None
    warn_of(
        [
            *_idle_networks(given, options.name, options.backends),
            (overridden, "--checkpoint", f"with {options.name}, which reads --finetuned"),
        ]
    )


def warn_of(idle: Sequence[Idle]) -> None:
    """One line for each option that has no effect."""
    for without_effect, option, why in idle:
        if without_effect:
            say(f"warning: {option} has no effect {why}")


def _idle_live(options: "Live") -> list[Idle]:
    from tracker.sources import BROWSER_LOCATION, webcam_number

    camera = options.source == BROWSER_LOCATION or webcam_number(options.source) is not None
    tracking = options.tracking
    return [
        (options.realtime and camera, "--realtime", "with a camera, which is live anyway; it is for files"),
        *_idle_networks(tracking, f"the backend {tracking.backend_name}", tracking.backends),
    ]


def _idle_networks(tracking: "TrackingOptions", name: str, backends: Set[str]) -> list[Idle]:
    """Options of networks that are not among the ``backends`` of ``name``."""
    given = (
        (tracking.engine is not None, "--engine", {"hamer"}),
        (tracking.checkpoint is not None, "--checkpoint", {"hamer"}),
        (tracking.potter_checkpoint is not None, "--potter-checkpoint", {"potter"}),
        (tracking.crop is not None, "--crop", {"hamer", "potter"}),
        (bool(tracking.ensemble), "--ensemble", {"ensemble"}),
        (bool(tracking.ensemble_weights), "--ensemble-weights", {"ensemble"}),
    )
    return [(there and not backends & its, option, f"with {name}") for there, option, its in given]


def _idle_replay(options: "Replay") -> list[Idle]:
    missing = options.output.record_pictures and options.picture is None
    return [(missing, "--record-pictures", "without --picture: a recording's own are not read")]


def _idle_drawing(output: "OutputOptions") -> Idle:
    return output.draw == "mesh" and not output.draws_meshes, "--draw mesh", "without --video or a .rrd file"
