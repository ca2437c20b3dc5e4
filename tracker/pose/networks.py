"""Networks that backends read with, from their files: each loaded anew, or each once for all who ask."""

from collections.abc import Callable, Hashable
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

from tracker.errors import TrackerError
from tracker.pose.hamer import HamerOptions, load_hamer_reader
from tracker.pose.hamer import Reader as HamerReader
from tracker.pose.potter import PotterOptions, load_potter_reader
from tracker.pose.potter import Reader as PotterReader

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


@dataclass(frozen=True)
class Networks:
    """How a network comes from its files."""

    hamer: Callable[[HamerOptions], HamerReader] = load_hamer_reader
    potter: Callable[[PotterOptions], PotterReader] = load_potter_reader

    def shared(self) -> "Networks":
        """The same, but each set of weights is in memory once, whatever crops are read with it."""
        hamer_once, potter_once = Once(self.hamer), Once(self.potter)
        return Networks(
            lambda options: hamer_once(replace(options, crop="virtual")),
            lambda options: potter_once(replace(options, crop="virtual")),
        )


class Once(Generic[Key, Value]):
    """Makes a value once for each key; what could not be made is not tried again."""

    def __init__(self, make: Callable[[Key], Value]) -> None:
        self._make = make
        self._made: dict[Key, Value | TrackerError] = {}

    def __call__(self, key: Key) -> Value:
        """The value.

        Raises:
            TrackerError: it could not be made, now or before.
        """
        if key not in self._made:
            try:
                self._made[key] = self._make(key)
            except TrackerError as error:
                self._made[key] = without_trace(error)
        made = self._made[key]
        if isinstance(made, TrackerError):
            raise without_trace(made)
        return made


def without_trace(error: TrackerError) -> TrackerError:
    """The same error without what it holds of where it arose, such as weights that were loaded half."""
    return type(error)(*error.args)
