"""Feed a recording back through sinks, as it came or as fast as it goes."""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence

from tracker.sinks import Sink
from tracker.sinks.messages import State
from tracker.structs import Frame, StreamInfo, TrackedFrame


def replay_messages(
    messages: Iterable[StreamInfo | TrackedFrame | State],
    sinks: Sequence[Sink],
    *,
    pictures: Iterator[Frame] | None = None,
    wait_until_s: Callable[[float], None] | None = None,
    observe: Callable[[TrackedFrame, float], None],
) -> None:
    """Send ``messages`` to every sink in order.

    Args:
        messages: what ``read_recording`` gives.
        sinks: they are begun with every header; the caller closes them.
        pictures: the frames the recording was made from, matched by index.
        wait_until_s: called with each frame's capture time before it is sent; None for full speed.
        observe: called with each frame and the seconds its sending took.

    Raises:
        SinkFailedError: an output broke.
        RecordingError: the recording is damaged; the frames before were sent.
    """
    picture: Frame | None = None
    for message in messages:
        if isinstance(message, StreamInfo):
            for sink in sinks:
                sink.begin(message)
        elif isinstance(message, TrackedFrame):
            if wait_until_s is not None:
                wait_until_s(message.capture_time_s)
            start = time.perf_counter()
            picture = _picture_of(message, pictures, picture)
            shown = picture if picture is not None and picture.index == message.frame_index else None
            for sink in sinks:
                sink.send(message, shown)
            observe(message, time.perf_counter() - start)
        else:
            for sink in sinks:
                sink.notify(message.state)


class Pacer:
    """Waits so that capture times pass at the rate they were recorded; the first does not wait."""

    def __init__(
        self, clock: Callable[[], float] = time.monotonic, wait: Callable[[float], None] = time.sleep
    ) -> None:
        self._clock = clock
        self._wait = wait
        self._offset_s: float | None = None

    def __call__(self, capture_time_s: float) -> None:
        """Wait until ``capture_time_s`` is due; a late or earlier time does not wait."""
        now = self._clock()
        if self._offset_s is None:
            self._offset_s = now - capture_time_s
        ahead_s = capture_time_s + self._offset_s - now
        if ahead_s > 0:
            self._wait(ahead_s)


def _picture_of(
    message: TrackedFrame, pictures: Iterator[Frame] | None, current: Frame | None
) -> Frame | None:
    """The first picture that is not older than the message; ``current`` is the last one read."""
    if pictures is None:
        return None
    while current is None or current.index < message.frame_index:
        following = next(pictures, None)
        if following is None:
            return current
        current = following
    return current
