"""The command line: options, what they are put together to, and what a person is told.

``python run_live.py`` is ``live``; ``python -m tracker`` and ``hand-tracker`` offer all commands.
Exit status: 0 done, also when a live run is stopped; 1 failed while running; 2 the request cannot be
carried out; 130 a file was left unfinished because somebody stopped the run; 141 nobody reads the output
any more (``| head``).
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import tyro

from tracker.cli_cameras import CalibrateCamera
from tracker.cli_egoexo4d import EgoExo4D
from tracker.cli_running import run_command
from tracker.cli_sockets import SocketOptions
from tracker.cli_tools import CalibrateHand, Evaluate, Weights
from tracker.cli_tracking import Live, Process, Replay
from tracker.errors import SourceError


def main(arguments: Sequence[str] | None = None) -> None:
    """All commands, as ``python -m tracker`` and ``hand-tracker``."""
    commands = (
        Annotated[Live, tyro.conf.subcommand(name="live")]
        | Annotated[Process, tyro.conf.subcommand(name="process")]
        | Annotated[Replay, tyro.conf.subcommand(name="replay")]
        | Annotated[CalibrateCamera, tyro.conf.subcommand(name="calibrate-camera")]
        | Annotated[CalibrateHand, tyro.conf.subcommand(name="calibrate-hand")]
        | Annotated[Weights, tyro.conf.subcommand(name="weights")]
        | Annotated[Evaluate, tyro.conf.subcommand(name="evaluate")]
        | Annotated[EgoExo4D, tyro.conf.subcommand(name="egoexo4d")]
    )
    sys.exit(run_command(lambda: tyro.cli(commands, args=arguments, prog="hand-tracker").run()))


def live(arguments: Sequence[str] | None = None) -> None:
    """The ``live`` command alone, as ``run_live.py``; without arguments it shows the first webcam's hands."""
    given = sys.argv[1:] if arguments is None else list(arguments)
    if not given:
        sys.exit(run_command(FirstLook(Live(sockets=SocketOptions(viewer=True))).run))
    sys.exit(run_command(lambda: tyro.cli(Live, args=given, prog="run_live.py").run()))


@dataclass(frozen=True)
class FirstLook:
    """A run that nobody gave a source for."""

    live: Live

    def run(self) -> int:
        """Track the first webcam.

        Raises:
            SourceError: there is none.
        """
        try:
            return self.live.run()
        except SourceError as error:
            raise SourceError(
                f"{error}; without a camera, try: run_live.py --source demo --viewer"
            ) from error
