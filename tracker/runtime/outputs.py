"""The sinks of one run, told of every change of camera before the frames it holds for."""

from collections.abc import Callable, Sequence
from contextlib import suppress

from tracker.cameras import Camera
from tracker.errors import SinkFailedError
from tracker.sinks import Sink
from tracker.structs import Frame, HandUsed, StreamInfo, TrackedFrame


class Outputs:
    """Feeds every sink in order; leaving the ``with`` statement closes them all, whatever happened.

    A sink that cannot be closed is heard of, unless something else failed before: that is the cause to tell.
    With ``on_broken`` a sink that breaks is closed and left out from then on, and that is called; without,
    it ends the run.
    """

    def __init__(
        self,
        sinks: Sequence[Sink],
        *,
        source: str,
        backend: str,
        hand: HandUsed | None = None,
        weights: tuple[str, ...] = (),
        on_broken: Callable[[SinkFailedError], None] | None = None,
    ) -> None:
        self._sinks = tuple(sinks)
        self._source = source
        self._backend = backend
        self._hand = hand
        self._weights = weights
        self._camera: Camera | None = None
        self._on_broken = on_broken

    def send(self, tracked: TrackedFrame, frame: Frame) -> None:
        """Give one result and its picture to every sink.

        Raises:
            SinkFailedError: an output broke, and nobody was named to be told.
        """
        self._send(tracked, frame, frame.camera)

    def send_without_picture(self, tracked: TrackedFrame, camera: Camera) -> None:
        """Give one result, seen by ``camera``, to every sink.

        Raises:
            SinkFailedError: an output broke, and nobody was named to be told.
        """
        self._send(tracked, None, camera)

    def _send(self, tracked: TrackedFrame, frame: Frame | None, camera: Camera) -> None:
        if camera is not self._camera and camera != self._camera:
            info = StreamInfo(self._source, self._backend, camera, self._hand, weights=self._weights)
            self._each(lambda sink: sink.begin(info))
        self._camera = camera
        self._each(lambda sink: sink.send(tracked, frame))

    def notify(self, state: str) -> None:
        """Tell every sink of the source's state; before the first frame there is nothing it could be of."""
        if self._camera is not None:
            self._each(lambda sink: sink.notify(state))

    def _each(self, action: Callable[[Sink], None]) -> None:
        for sink in self._sinks:
            try:
                action(sink)
            except SinkFailedError as failure:
                if self._on_broken is None:
                    raise
                self._sinks = tuple(other for other in self._sinks if other is not sink)
                with suppress(SinkFailedError):
                    sink.close()
                self._on_broken(failure)

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
