"""How long each stage of a frame took."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class StageTimer:
    """Collects the duration of named stages; one timer serves one frame.

    A stage entered twice adds up. The clock is passed in so that tests need not sleep.
    """

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        self._clock = clock
        self.durations_s: dict[str, float] = {}

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Time the body of a ``with`` statement as part of stage ``name``."""
        start = self._clock()
        try:
            yield
        finally:
            self.durations_s[name] = self.durations_s.get(name, 0.0) + self._clock() - start
