"""Options of where results go, and the sinks that they ask for."""

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from tracker.cli_options import load_mano_model
from tracker.errors import UsageError

if TYPE_CHECKING:
    from tracker.sinks import Sink
    from tracker.sinks.layout import Layout


@dataclass(frozen=True)
class OutputOptions:
    """Where results go."""

    record: Path | None = None
    """Write the hands to this file: .jsonl (JSON lines, wire format version 1), .mcap (the same, and what
    Foxglove shows), .rrd (for the Rerun viewer) or .parquet (a table)."""
    record_pictures: bool = False
    """Record the camera's pictures too, as JPEG, in a .mcap or .rrd file."""
    video: Path | None = None
    """Write the picture with the hands drawn over it to this .mp4, .mkv or .mov file."""
    draw: Literal["skeleton", "mesh"] = "skeleton"
    """How --video and .rrd show hands; a mesh is MANO's skin where there is one, else an open hand."""
    overwrite: bool = False
    """Replace output files that exist."""
    skeleton: Literal["hand21", "openxr26", "webxr25"] = "hand21"
    """The joints in JSON lines: our 21, or those of OpenXR or WebXR, metacarpals (and palm) synthesised."""
    axes: Literal["opencv", "opengl", "unity", "openxr"] = "opencv"
    """The axes in JSON lines, all +x right: opencv +y down +z ahead, opengl and openxr +y up -z ahead, unity
    +y up +z ahead."""

    @property
    def layout(self) -> "Layout":
        """How JSON lines lay hands out."""
        from tracker.sinks.layout import find_layout

        return find_layout(self.skeleton, self.axes)

    def open(
        self, *, reads: Sequence[str | Path | None], mano: Path | None = None, live: bool = False
    ) -> "list[Sink]":
        """The sinks asked for, their files open.

        Args:
            reads: files that the run reads and no output may replace.
            mano: the hand model's file, for meshes.
            live: no output may hold the tracker up.
        """
        from tracker.sinks import files_of, open_recording
        from tracker.sinks.output_file import refuse_shared_files

        self._check_record()
        outputs = [file for path in (self.record, self.video) if path is not None for file in files_of(path)]
        refuse_shared_files(outputs, [Path(path) for path in (*reads, mano) if path is not None])
        model = load_mano_model(mano) if mano is not None and self.draws_meshes else None
        sinks: list[Sink] = []
        with ExitStack() as on_failure:
            if self.record is not None:
                recording = open_recording(
                    self.record,
                    overwrite=self.overwrite,
                    pictures=self.record_pictures,
                    live=live,
                    meshes=self.draws_meshes,
                    mano=model,
                    layout=self.layout,
                )
                sinks.append(recording)
                on_failure.callback(sinks[0].close)
            if self.video is not None:
                from tracker.sinks.video import VideoSink

                sinks.append(VideoSink(self.video, overwrite=self.overwrite, draw=self.draw, mano=model))
            on_failure.pop_all()
        return sinks

    @property
    def draws_meshes(self) -> bool:
        """Whether MANO is of use to them."""
        recorded = self.record is not None and self.record.suffix.lower() == ".rrd"
        return self.draw == "mesh" and (self.video is not None or recorded)

    def _check_record(self) -> None:
        """Refuse names and pictures that recordings do not have."""
        from tracker.sinks import PICTURE_RECORDINGS, RECORDINGS

        ending = "" if self.record is None else self.record.suffix.lower()
        if self.record is not None and ending not in RECORDINGS and not _is_device(self.record):
            raise UsageError(f"--record is {self.record}; end its name in {', '.join(RECORDINGS)}")
        if self.record_pictures and ending not in PICTURE_RECORDINGS:
            raise UsageError(
                f"--record-pictures needs --record with a file that ends in {' or '.join(PICTURE_RECORDINGS)}"
            )


def _is_device(path: Path) -> bool:
    """A device or pipe, such as /dev/stdout: it may have any name."""
    return path.exists() and not path.is_file() and not path.is_dir()
