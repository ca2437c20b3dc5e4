"""Options that do nothing beside the others that were given: a person is told, and the run goes on."""

from typing import TYPE_CHECKING

from tracker.cli_running import say

if TYPE_CHECKING:
    from tracker.cli_outputs import OutputOptions
    from tracker.cli_tracking import Live, Replay


def warn_of_idle_options(options: "Live | Replay") -> None:
    """One line for each option that has no effect."""
    from tracker.cli_tracking import Live

    idle = _idle_live(options) if isinstance(options, Live) else _idle_replay(options)
    for without_effect, option, why in (*idle, _idle_drawing(options.output)):
        if without_effect:
            say(f"warning: {option} has no effect {why}")


def _idle_live(options: "Live") -> list[tuple[bool, str, str]]:
    from tracker.sources import BROWSER_LOCATION, webcam_number

    camera = options.source == BROWSER_LOCATION or webcam_number(options.source) is not None
    backend, tracking = options.tracking.backend_name, options.tracking
    runs_hamer = backend == "hamer" or (
        backend == "ensemble" and any(member.backend == "hamer" for member in tracking.members())
    )
    return [
        (options.realtime and camera, "--realtime", "with a camera, which is live anyway; it is for files"),
        (tracking.engine is not None and not runs_hamer, "--engine", f"with the backend {backend}"),
    ]


def _idle_replay(options: "Replay") -> list[tuple[bool, str, str]]:
    missing = options.output.record_pictures and options.picture is None
    return [(missing, "--record-pictures", "without --picture: a recording's own are not read")]


def _idle_drawing(output: "OutputOptions") -> tuple[bool, str, str]:
    return output.draw == "mesh" and not output.draws_meshes, "--draw mesh", "without --video or a .rrd file"
