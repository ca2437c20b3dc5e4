"""The sinks of one run, told of every change of camera before the frames it holds for."""

from collections.abc import Sequence

from tracker.cameras import Camera
from tracker.sinks import Sink
from tracker.structs import Frame, HandUsed, StreamInfo, TrackedFrame


class Outputs:
    """Feeds every sink in order; leaving the ``with`` statement closes them all, whatever happened.

    A sink that cannot be closed is heard of, unless something else failed before: that is the cause to tell.
    """

    def __init__(
        self, sinks: Sequence[Sink], *, source: str, backend: str, hand: HandUsed | None = None
    ) -> None:
        self._sinks = tuple(sinks)
        self._source = source
        self._backend = backend
        self._hand = hand
        self._camera: Camera | None = None

    def send(self, tracked: TrackedFrame, frame: Frame) -> None:
        """Give one result and its picture to every sink.

        Raises:
            SinkFailedError: an output broke.
        """
        self._send(tracked, frame, frame.camera)

    def send_without_picture(self, tracked: TrackedFrame, camera: Camera) -> None:
        """Give one result, seen by ``camera``, to every sink.

        Raises:
            SinkFailedError: an output broke.
        """
        self._send(tracked, None, camera)

    def _send(self, tracked: TrackedFrame, frame: Frame | None, camera: Camera) -> None:
        if camera is not self._camera and camera != self._camera:
            info = StreamInfo(self._source, self._backend, camera, self._hand)
            for sink in self._sinks:
                sink.begin(info)
        self._camera = camera
        for sink in self._sinks:
            sink.send(tracked, frame)

    def notify(self, state: str) -> None:
        """Tell every sink of the source's state."""
        for sink in self._sinks:
            sink.notify(state)

    def __enter__(self) -> "Outputs":
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        failures = []
        for sink in self._sinks:
            try:
                sink.close()
            except Exception as failure:
                failures.append(failure)
        if failures and kind is None:
            raise failures[0]
