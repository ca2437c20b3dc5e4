"""Recordings as Parquet tables.

A Parquet file cannot be read before its end is written. So hands are recorded as JSON lines beside it, which
a killed program leaves readable, and become the table when the recording is closed, some thousand rows at a
time.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import islice
from pathlib import Path

from tracker.errors import SinkFailedError
from tracker.sinks import files_of
from tracker.sinks.messages import FORMAT, Clock
from tracker.sinks.output_file import open_output, remove_if_empty
from tracker.sinks.parquet_columns import Row, import_pyarrow, table_of
from tracker.sinks.recording import RecordingSink, read_recording
from tracker.sinks.wire import encode_header, read_clock
from tracker.structs import Frame, StreamInfo, TrackedFrame

ROWS_A_GROUP = 4096
"""About 5 MB of hands."""


class ParquetSink:
    """Records into JSON lines beside ``path``, and writes ``path`` when it is closed.

    Raises:
        SinkError: one of the two files cannot be opened, or it holds something and ``overwrite`` is False.
        MissingDependencyError: the library pyarrow is not installed.
    """

    def __init__(
        self, path: str | Path, *, overwrite: bool = False, clock: Callable[[], Clock] = read_clock
    ) -> None:
        import_pyarrow()
        self.path = Path(path)
        self._clock = clock
        self._now = clock()
        self._headers: list[bytes] = []
        _, self._lines_path = files_of(self.path)
        self._recording: RecordingSink | None = None
        os.close(open_output(self.path, overwrite=overwrite))
        try:
            self._recording = RecordingSink(self._lines_path, overwrite=overwrite, clock=lambda: self._now)
        finally:
            if self._recording is None:
                remove_if_empty(self.path)
        self._failed = False

    def begin(self, info: StreamInfo) -> None:
        """Write a header to the JSON lines; the table holds it in its metadata.

        Raises:
            SinkFailedError: the file cannot be written.
        """
        self._now = self._clock()
        self._headers.append(encode_header(info, self._now))
        self._try(lambda recording: recording.begin(info))

    def send(self, tracked: TrackedFrame, frame: Frame | None) -> None:
        """Write one frame's result to the JSON lines.

        Raises:
            SinkFailedError: the disk is full, say; the JSON lines stay, and no table is made of them.
        """
        self._try(lambda recording: recording.send(tracked, frame))

    def notify(self, state: str) -> None:
        """Write the state to the JSON lines; the table has no place for it.

        Raises:
            SinkFailedError: as for ``send``.
        """
        self._try(lambda recording: recording.notify(state))

    def close(self) -> None:
        """Make the table of the JSON lines and take those away; safe to call twice.

        Raises:
            SinkFailedError: the table cannot be written; the JSON lines stay.
        """
        recording, self._recording = self._recording, None
        if recording is None:
            return
        recording.close()
        if self._failed or not self._headers:
            remove_if_empty(self.path)
            return
        try:
            self._write_table()
        except OSError as error:
            raise SinkFailedError(
                f"writing {self.path} failed: {error.strerror or error}; "
                f"the recording is kept in {self._lines_path}"
            ) from error
        self._lines_path.unlink()

    def _try(self, action: Callable[[RecordingSink], None]) -> None:
        if self._recording is None:
            raise SinkFailedError(f"{self.path} is closed; nothing more can be recorded in it")
        try:
            action(self._recording)
        except SinkFailedError:
            self._failed = True
            raise

    def _write_table(self) -> None:
        """Write beside the path and rename: whoever sees ``path`` sees it whole."""
        import pyarrow.parquet as parquet

        growing = self.path.with_name(f"{self.path.name}.growing")
        try:
            with parquet.ParquetWriter(growing, table_of(()).schema, compression="zstd") as writer:
                hands = self._rows()
                while rows := list(islice(hands, ROWS_A_GROUP)):
                    writer.write_table(table_of(rows))
                headers = b"[" + b",".join(self._headers) + b"]"
                writer.add_key_value_metadata({f"{FORMAT}.headers": headers.decode()})
            os.replace(growing, self.path)
        finally:
            with suppress(OSError):
                growing.unlink()

    def _rows(self) -> Iterator[Row]:
        header = -1
        for value in read_recording(self._lines_path):
            if isinstance(value, StreamInfo):
                header += 1
            elif isinstance(value, TrackedFrame):
                yield from (Row(header, value, hand) for hand in value.hands)
