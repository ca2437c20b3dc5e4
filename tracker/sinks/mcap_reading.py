"""Reading MCAP recordings back: the wire format's messages in the order they were written."""

import logging
import os
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from tracker.errors import MissingDependencyError, RecordingError
from tracker.sinks.mcap_format import HANDS_PREFIX, MAGIC, import_mcap

if TYPE_CHECKING:
    from mcap.records import McapRecord

MAX_RECORD_BYTES = 1 << 28
"""Far above any chunk (about 1 MiB): a record said to be larger is damage."""

_log = logging.getLogger(__name__)


def mcap_messages(path: str | Path, file: BinaryIO) -> Iterator[bytes]:
    """The messages of the hands' channels; one chunk is in memory at a time.

    A file whose end is missing (killed program, or still being written) is read up to its last whole chunk,
    with one warning.

    Raises:
        MissingDependencyError: the library mcap, or what the file is compressed with, is not installed.
        RecordingError: the file is no MCAP file, is damaged, or holds no channel of this format.
    """
    if file.read(len(MAGIC)) != MAGIC:
        raise RecordingError(f"{path} is not an MCAP file, or its first bytes are damaged")
    schemas: set[int] = set()
    channels: set[int] = set()
    from_wire = import_mcap("records")
    for record in _records(path, file):
        match record:
            case from_wire.Schema():
                if record.name.startswith(HANDS_PREFIX):
                    schemas.add(record.id)
            case from_wire.Channel():
                if record.schema_id in schemas:
                    channels.add(record.id)
            case from_wire.Message():
                if record.channel_id in channels:
                    yield record.data
    if not channels:
        raise RecordingError(f"{path} holds no recorded hands: no channel's schema is {HANDS_PREFIX}*")


def _records(path: str | Path, file: BinaryIO) -> "Iterator[McapRecord]":
    """Every record of an MCAP file, those in chunks too, checked against the sums written with them."""
    reading, exceptions = import_mcap("stream_reader"), import_mcap("exceptions")
    compression_errors = _compression_errors()
    finished = _is_finished(file)
    whole = _WholeReads(file, exceptions.EndOfFile)
    reader = reading.StreamReader(
        whole, skip_magic=True, emit_chunks=True, record_size_limit=MAX_RECORD_BYTES
    )
    try:
        for record in reader.records:
            if type(record).__name__ == "Chunk":
                if record.uncompressed_size > MAX_RECORD_BYTES:
                    raise RecordingError(f"{path} is damaged: a chunk of {record.uncompressed_size} bytes")
                yield from reading.breakup_chunk(record, validate_crc=True)
            else:
                yield record
    except exceptions.UnsupportedCompressionError as error:
        raise MissingDependencyError(f"{path} cannot be read: {error}") from error
    except exceptions.EndOfFile as error:
        if finished:
            raise RecordingError(f"{path} is damaged: its end comes in the middle of a record") from error
        _log.warning("%s was not finished; it is read up to its last whole chunk", path)
    except (exceptions.McapError, *compression_errors) as error:
        raise RecordingError(f"{path} is damaged: {type(error).__name__}: {error}") from error


class _WholeReads:
    """A file of which every read gives all that was asked for, or raises ``end``."""

    def __init__(self, file: BinaryIO, end: type[Exception]) -> None:
        self._file = file
        self._end = end

    def read(self, count: int) -> bytes:
        """``count`` bytes."""
        if count > MAX_RECORD_BYTES:
            raise ValueError(f"a field of {count} bytes")
        found = self._file.read(count)
        if len(found) < count:
            raise self._end
        return found


def _is_finished(file: BinaryIO) -> bool:
    """Whether the file has the end that a closed recording has; False where that cannot be seen (a pipe)."""
    if not file.seekable():
        return False
    place = file.tell()
    end = file.seek(0, os.SEEK_END)
    file.seek(max(place, end - len(MAGIC)))
    found = file.read()
    file.seek(place)
    return found == MAGIC


def _compression_errors() -> tuple[type[Exception], ...]:
    """What broken bytes raise besides mcap's own: from struct, text, and the decompressors."""
    import zstandard

    return (ValueError, struct.error, RuntimeError, MemoryError, OverflowError, zstandard.ZstdError)
