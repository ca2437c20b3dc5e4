"""JSON lines on a connection: the messages of a recording, as they happen."""

from collections.abc import Callable
from dataclasses import dataclass

from tracker.sinks.layout import NATIVE, Layout
from tracker.sinks.messages import Clock
from tracker.sinks.wire import encode_frame, encode_header, encode_state, read_clock
from tracker.structs import StreamInfo, TrackedFrame


@dataclass(frozen=True)
class JsonLines:
    """Wire format version 1, one message a line, hands in ``layout``."""

    layout: Layout = NATIVE
    clock: Callable[[], Clock] = read_clock

    def header(self, info: StreamInfo) -> bytes:
        """The header's line."""
        return encode_header(info, self.clock(), self.layout) + b"\n"

    def frame(self, tracked: TrackedFrame, info: StreamInfo) -> bytes:
        """One result's line."""
        return encode_frame(tracked, self.layout, info.camera) + b"\n"

    def state(self, state: str) -> bytes:
        """The line of a state."""
        return encode_state(state) + b"\n"
