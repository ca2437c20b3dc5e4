"""Sources that follow a script, sinks that note what they are told, and waiting that never hangs a test."""

import threading
from collections.abc import Callable, Iterator

from tracker.errors import SinkFailedError
from tracker.structs import Frame, StreamInfo, TrackedFrame

PATIENCE_S = 10.0
"""How long a test waits for another thread before it fails; it never waits when all is well."""


def finish(action: Callable[[], object]) -> threading.Thread:
    """Start ``action`` in a thread; join it with ``join_or_fail``."""
    thread = threading.Thread(target=action, daemon=True)
    thread.start()
    return thread


def join_or_fail(thread: threading.Thread) -> None:
    thread.join(PATIENCE_S)
    assert not thread.is_alive(), "the thread did not end"


def wait_or_fail(event: threading.Event) -> None:
    assert event.wait(PATIENCE_S), "what the test waits for did not happen"


class ScriptedSource:
    """Gives the frames that ``script`` yields; closing it sets ``closing``."""

    name, live, frame_count, frame_rate_hz = "script", True, None, None

    def __init__(self, script: Callable[["ScriptedSource"], Iterator[Frame]]) -> None:
        self._script = script
        self.closing = threading.Event()

    def __iter__(self) -> Iterator[Frame]:
        return self._script(self)

    def close(self) -> None:
        self.closing.set()


class NotedSink:
    """Notes what it is told; fails where it is asked to."""

    def __init__(self, *, failing: tuple[str, ...] = ()) -> None:
        self.notes: list[object] = []
        self._failing = failing

    def _note(self, kind: str, note: object) -> None:
        self.notes.append(note)
        if kind in self._failing:
            raise SinkFailedError(f"{kind} broke")

    def begin(self, info: StreamInfo) -> None:
        self._note("begin", info)

    def send(self, tracked: TrackedFrame, frame: Frame | None) -> None:
        self._note("send", tracked.frame_index)

    def notify(self, state: str) -> None:
        self._note("notify", state)

    def close(self) -> None:
        self._note("close", "closed")
