"""Where pictures come from: recorded files, webcams and network streams behind one protocol."""

from collections.abc import Iterator
from typing import Protocol

from tracker.structs import Frame


class Source(Protocol):
    """An open source of frames; iterating it gives them in order, closing it ends the iteration.

    Leaving the iteration early and calling ``close`` frees the device or file at once.
    """

    name: str
    """For people and recordings; user names and passwords of URLs are taken out."""
    live: bool
    """True when frames come at the world's pace and are lost if nobody takes them."""
    frame_count: int | None
    """How many frames a file says it holds (an estimate); None when unknown or live."""
    frame_rate_hz: float | None
    """Nominal frames a second; None when unknown."""

    def __iter__(self) -> Iterator[Frame]: ...

    def close(self) -> None:
        """Release the device or file; safe to call twice."""
        ...
