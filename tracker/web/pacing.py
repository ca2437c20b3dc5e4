"""How often: what a client is sent, and what is heard of it."""


class Pace:
    """Lets through at most so many a second, evenly over time though they come when they come."""

    def __init__(self, rate_hz: float | None) -> None:
        self._interval_s = 0.0 if rate_hz is None else 1.0 / rate_hz
        self._due_s = float("-inf")

    def lets(self, now_s: float) -> bool:
        """Whether it is time; if so, that was the turn."""
        if now_s < self._due_s:
            return False
        self._due_s = max(self._due_s, now_s - self._interval_s) + self._interval_s
        return True


class Budget:
    """So many a second, and so many at once after a while of none."""

    def __init__(self, per_s: float, at_once: float) -> None:
        self._per_s = per_s
        self._at_once = at_once
        self._left = at_once
        self._at_s: float | None = None

    def wait_s(self, now_s: float) -> float:
        """Spend one; how long to wait before the next, 0 while there are some left."""
        if self._at_s is not None:
            self._left = min(self._at_once, self._left + (now_s - self._at_s) * self._per_s)
        self._at_s = now_s
        self._left -= 1.0
        return max(0.0, -self._left / self._per_s)
