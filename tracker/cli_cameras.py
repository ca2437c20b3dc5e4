"""The command calibrate-camera: a camera file from pictures of a board, or from another program's."""

import json
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from tracker.cli_running import FILE_STATUS, LIVE_STATUS, interruptible, open_interruptibly, say
from tracker.errors import UsageError

if TYPE_CHECKING:
    from tracker.calibrate_camera.boards import Board
    from tracker.calibrate_camera.gathering import Gathered
    from tracker.calibrate_camera.pictures import Picture


@dataclass(frozen=True)
class CalibrateCamera:
    """Measure your camera once, with a printed board, so that hands lie where they are; --camera uses it.

    Print a board (--print-board board.pdf), glue it on something flat, and show it to the camera: near and
    far, in every part of the picture, tilted to each side. A live run ends when it has seen enough; Ctrl-C
    ends it with what it has.
    """

    source: str = "0"
    """Webcam number, video file, URL, or folder of pictures that shows the board."""
    out: Path = Path("camera.json")
    """The camera file to write."""
    board: Literal["chessboard", "charuco"] = "chessboard"
    """The kind of board; of a ChArUco board, which has markers, a part in view is enough."""
    size: str | None = None
    """Inner corners of a chessboard (9x6 unless given), or squares of a ChArUco board (10x7)."""
    square_mm: float = 25.0
    """Side of a square; only poses depend on it, the lens does not."""
    marker_mm: float | None = None
    """Side of a ChArUco board's markers; 0.72 of a square unless given."""
    dictionary: str = "4X4_50"
    """Of the markers, by OpenCV's name."""
    model: Literal["auto", "pinhole", "brown_conrady", "kannala_brandt"] = "auto"
    """The lens; auto takes Brown-Conrady or, for fisheyes, Kannala-Brandt, by held-out error."""
    coverage: Path | None = None
    """Draw what was seen to this .png while it runs: corners over the picture's area, and tilts."""
    print_board: Path | None = None
    """Only write the board as a .pdf or .png to print on A4."""
    import_file: Annotated[Path | None, tyro.conf.arg(name="import")] = None
    """Only turn this camera file (ROS's or Kalibr's YAML, Project Aria's JSON) into ours."""
    which: str | None = None
    """Of --import with several cameras this one: cam0, cam1, ..."""
    max_frames: int | None = None
    """Stop after this many frames of the source."""
    overwrite: bool = False
    """Replace files that exist."""

    def run(self) -> int:
        """Print, import or calibrate; returns the exit status."""
        if self.import_file is not None:
            return import_camera(self, self.import_file)
        if self.which is not None:
            raise UsageError(f"--which {self.which} needs --import FILE")
        if self.print_board is not None:
            return print_board(self, self.print_board)
        return calibrate(self)


def import_camera(options: CalibrateCamera, path: Path) -> int:
    """Write another program's camera file as ours; returns the exit status."""
    from tracker.cameras import read_calibration

    _check_output(options.out, (".json",), options.overwrite, reads=path)
    camera, notes = read_calibration(path, which=options.which)
    for note in notes:
        say(note)
    _write(options.out, lambda place: _write_json(place, camera.to_json()))
    say(f"wrote {options.out}: {camera.model}, {camera.width} x {camera.height}")
    return 0


def print_board(options: CalibrateCamera, path: Path) -> int:
    """Write the board to print; returns the exit status."""
    from tracker.calibrate_camera.printing import ENDINGS, board_sheet, save_sheet

    _check_output(path, ENDINGS, options.overwrite)
    board = _board(options)
    sheet = board_sheet(board)
    _write(path, lambda place: save_sheet(sheet, place, path.suffix.lower()))
    say(f"wrote {path}: {board.description}; print it on A4 at 100 %")
    return 0


def calibrate(options: CalibrateCamera) -> int:
    """Look at the board, fit the lens, say how sure it is, and write it; returns the exit status."""
    from tracker.calibrate_camera.boards import BoardFinder
    from tracker.calibrate_camera.gathering import gather_views, refuse_too_few
    from tracker.calibrate_camera.report import Calibration, describe, refuse_bad, warnings
    from tracker.calibrate_camera.solve import solve

    _check_output(options.out, (".json",), options.overwrite)
    if options.coverage is not None:
        _check_output(options.coverage, (".png",), options.overwrite)
    board = _board(options)
    with interruptible(), ExitStack() as stack:
        finder = BoardFinder(board, thorough=Path(options.source).is_dir())
        pictures, live = _open(options, stack)
        gathered = gather_views(
            pictures, finder, model=options.model, live=live, say=say, show=_shower(options.coverage)
        )
        stack.close()
        if gathered.other_sizes:
            say(f"left out {gathered.other_sizes} pictures of another size than the first")
        refuse_too_few(gathered, board)
        say(f"{gathered.status}; fitting")
        solution, errors_px = solve(gathered.views, gathered.width, gathered.height, options.model)
    calibration = Calibration(solution, errors_px, gathered.coverage)
    print(describe(calibration))
    refuse_bad(calibration)
    for doubt in warnings(calibration):
        say(f"warning: {doubt}")
    _write(options.out, lambda place: _write_json(place, calibration.to_json()))
    say(f"wrote {options.out}; use it with --camera {options.out}")
    if gathered.interrupted and not live:
        say("stopped before the end: what came later was not looked at")
        return FILE_STATUS
    return LIVE_STATUS


def _board(options: CalibrateCamera) -> "Board":
    from tracker.calibrate_camera.boards import board_from_options

    return board_from_options(
        options.board, options.size, options.square_mm, options.marker_mm, options.dictionary
    )


def _open(options: CalibrateCamera, stack: ExitStack) -> "tuple[Iterable[Picture], bool]":
    """The pictures to look through, and whether they are live."""
    from tracker.calibrate_camera.pictures import folder_pictures, frame_pictures
    from tracker.sources import open_source

    folder = Path(options.source)
    if folder.is_dir():
        return folder_pictures(folder, say), False
    source = open_interruptibly(partial(open_source, options.source, max_frames=options.max_frames))
    stack.callback(source.close)
    return frame_pictures(source, live=source.live), source.live


def _shower(path: Path | None) -> "Callable[[Gathered], None]":
    """Draws what was gathered so far to ``path``, if there is one."""
    from tracker.calibrate_camera.coverage_picture import draw_coverage

    def show(gathered: "Gathered") -> None:
        if path is not None:
            picture = draw_coverage(gathered.views, gathered.coverage, gathered.width, gathered.height)
            _write(path, lambda place: picture.save(place, format="PNG"))

    return show


def _check_output(
    path: Path, endings: tuple[str, ...], overwrite: bool, *, reads: Path | None = None
) -> None:
    """Refuse, before any work, a place that cannot or must not be written.

    Raises:
        UsageError: another ending, no such folder, a folder, something there, or a file that is read.
    """
    from tracker.sinks.output_file import refuse_shared_files

    if path.suffix.lower() not in endings:
        raise UsageError(f"the output is {path}; end its name in {' or '.join(endings)}")
    if path.is_dir():
        raise UsageError(f"cannot write {path}: it is a folder; give a file name in it")
    if not path.parent.is_dir():
        raise UsageError(f"cannot write {path}: there is no folder {path.parent}; make it first")
    if reads is not None:
        refuse_shared_files([path], [reads])
    if path.exists() and not overwrite:
        raise UsageError(f"{path} exists; choose another name or pass --overwrite")


def _write(path: Path, write: "Callable[[Path], None]") -> None:
    """Write a file wholly or not at all; see `whole_file`."""
    from tracker.whole_file import whole_file

    with whole_file(path) as place:
        write(place)


def _write_json(path: Path, values: dict[str, object]) -> None:
    path.write_text(json.dumps(values, indent=1) + "\n", encoding="utf-8")
