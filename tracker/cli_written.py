"""What became of the files that a run writes, for a person."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from tracker.cli_running import say
from tracker.errors import SinkFailedError

if TYPE_CHECKING:
    from tracker.cli_outputs import OutputOptions
    from tracker.sinks import Sink
    from tracker.structs import Frame, StreamInfo, TrackedFrame


class WrittenFile:
    """Passes everything on to ``sink``, which writes ``path``, and remembers whether it began and broke."""

    def __init__(self, path: Path, sink: "Sink") -> None:
        self._path = path
        self._sink = sink
        self._begun = False
        self._broken = False

    def begin(self, info: "StreamInfo") -> None:
        """See ``Sink``."""
        self._begun = True
        self._watch(lambda: self._sink.begin(info))

    def send(self, tracked: "TrackedFrame", frame: "Frame | None") -> None:
        """See ``Sink``."""
        self._watch(lambda: self._sink.send(tracked, frame))

    def notify(self, state: str) -> None:
        """See ``Sink``."""
        self._watch(lambda: self._sink.notify(state))

    def close(self) -> None:
        """See ``Sink``."""
        self._watch(self._sink.close)

    def outcome(self) -> str | None:
        """One line, once closed; None where nothing of this run is there."""
        from tracker.sinks import files_of

        if not self._begun:
            return None
        if not self._broken:
            return f"wrote {self._path}" if self._path.exists() else None
        kept = [str(file) for file in files_of(self._path) if file.is_file() and file.stat().st_size]
        return f"kept in part: {', '.join(kept)}" if kept else f"nothing of {self._path} is kept"

    def _watch(self, action: Callable[[], None]) -> None:
        try:
            action()
        except SinkFailedError:
            self._broken = True
            raise


def watch_files(options: "OutputOptions", sinks: "list[Sink]") -> list[WrittenFile]:
    """Put a ``WrittenFile`` in the place of each of ``sinks`` that writes one: the last ones, in order."""
    paths = [path for path in (options.record, options.video) if path is not None]
    first = len(sinks) - len(paths)
    files = [WrittenFile(path, sink) for path, sink in zip(paths, sinks[first:], strict=True)]
    sinks[first:] = files
    return files


@contextmanager
def telling_of(files: list[WrittenFile]) -> Iterator[None]:
    """Say what became of ``files``, which are closed within, also after an error."""
    try:
        yield
    finally:
        for file in files:
            if (outcome := file.outcome()) is not None:
                say(outcome)
