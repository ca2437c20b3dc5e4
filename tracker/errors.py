"""Errors a user can cause or must hear of; each message says what was found and what to do."""

import zipfile
import zlib

DAMAGED_ZIP = (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError)
"""What Python raises of zip archives that are damaged, locked, or packed in a way that it does not know."""


class TrackerError(Exception):
    """Base of every error this package raises on purpose; its message is one line for a person."""


class UsageError(TrackerError):
    """The request cannot be carried out as given; the command line exits with status 2."""


class SourceError(UsageError):
    """A video source cannot be opened, or what it holds is not video."""


class SourceFailedError(TrackerError):
    """A source that was running failed (camera unplugged, damaged file); exit status 1."""


class CameraMismatchError(SourceFailedError):
    """A running source's pictures came to have a size that its calibration is not for; exit status 1."""


class CameraError(UsageError):
    """A calibration is malformed, impossible, or does not fit the picture."""


class SinkError(UsageError):
    """An output cannot be opened."""


class SinkFailedError(TrackerError):
    """An output that was running failed (disk full, say); exit status 1."""


class RecordingError(UsageError):
    """A file is not a recording in the wire format, or of a version this program does not read."""


class UnknownNameError(UsageError):
    """A backend, engine or sink is named that does not exist."""


class MissingDependencyError(UsageError):
    """An optional package is needed that is not installed; the message says which extra brings it."""


class PlacementError(TrackerError):
    """A hand cannot be placed in the camera frame from what was observed."""


class HandFileError(UsageError):
    """A measured hand is missing, malformed or implausible."""


class MeasurementError(TrackerError):
    """What a camera saw does not give a hand's measure."""


class WeightsError(UsageError):
    """A file of weights is missing, damaged, refused, of another network, or cannot be written."""


class EngineError(UsageError):
    """A way to run a network cannot be built, or gives other results than it must."""
