"""Reading pickles of strangers: a file may name only what is on a list, and all of that is inert.

A pickle is a program that imports names and calls them. ``InertUnpickler`` imports nothing: each name that is
expected in the kind of file at hand becomes a kind of ``Inert``, which keeps what it was given; any other
name is refused. What the kept arguments and states mean is for the reader of that kind of file to say.
"""

import pickle
from collections.abc import Callable
from typing import IO, Any

from tracker.errors import WeightsError

PLAIN_TYPES = {
    *("set", "frozenset", "list", "dict", "tuple", "slice", "object"),
    *("int", "long", "float", "complex", "bool", "str", "unicode", "bytes", "bytearray"),
}
"""Types of Python 2 and 3 that a pickle may name."""


class Inert(dict[Any, Any]):
    """Stands for a class or function: takes any arguments, contents and state, and does nothing with them.

    It is a dict because the pickles of dict subclasses fill their instances.
    """

    arguments: tuple[Any, ...] = ()
    """What it was called with."""
    state: Any = None
    """What a pickle would have set its attributes from."""

    def __new__(cls, *arguments: Any, **named: Any) -> Any:
        """Keeps what it was called with."""
        made = super().__new__(cls)
        made.arguments = arguments
        return made

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__()

    def __setstate__(self, state: Any) -> None:
        self.state = state

    def append(self, item: Any) -> None:
        """What pickles of list subclasses call."""

    def extend(self, items: Any) -> None:
        """What pickles of list subclasses call."""

    def __hash__(self) -> int:  # type: ignore[override]  # so that it can be a key
        return id(self)

    def __eq__(self, other: object) -> bool:
        return self is other

    @property
    def attributes(self) -> dict[Any, Any]:
        """The state as attributes; a class with slots has a pair of dicts for a state."""
        parts = self.state if isinstance(self.state, tuple) else (self.state,)
        return {key: value for part in parts if isinstance(part, dict) for key, value in part.items()}


class EncodedText(Inert):
    """Bytes, as protocol 2 writes them: (text, "latin1")."""


class Instance(Inert):
    """An instance of its first argument, as protocols 0 to 2 make it."""

    def __new__(cls, *arguments: Any, **named: Any) -> Any:
        """An instance of the class that is meant, which ``find_class`` has made inert."""
        kind = arguments[0] if arguments else None
        return kind() if isinstance(kind, type) and issubclass(kind, Inert) else super().__new__(cls)


Resolve = Callable[[str, str], type[Inert] | None]
"""What stands for (module, name), or None to refuse it."""


def python_itself(module: str, name: str) -> type[Inert] | None:
    """What stands for the names that pickles of plain values hold."""
    if module in ("builtins", "__builtin__") and name in PLAIN_TYPES:
        return Inert
    if module in ("copyreg", "copy_reg") and name == "_reconstructor":
        return Instance
    if (module, name) == ("_codecs", "encode"):
        return EncodedText
    return None


class InertUnpickler(pickle.Unpickler):
    """Makes of every name what ``resolve`` or ``python_itself`` says."""

    def __init__(self, file: IO[bytes], *, resolve: Resolve, source: str, encoding: str = "ASCII") -> None:
        super().__init__(file, encoding=encoding)
        self._resolve = resolve
        self._source = source

    def find_class(self, module: str, name: str) -> type[Inert]:
        """The stand-in for a name.

        Raises:
            WeightsError: it is not expected in this kind of file.
        """
        found = self._resolve(module, name) or python_itself(module, name)
        if found is None:
            raise WeightsError(
                f"{self._source} asks for {module}.{name}, which no such file needs; it was refused and "
                "nothing of it was run. Get the file from its official place"
            )
        return found

    def persistent_load(self, pid: Any) -> Any:
        """References to data outside the pickle stay as they are."""
        return pid

    def read(self) -> Any:
        """What the pickle holds.

        Raises:
            WeightsError: it is damaged, or names something that is not expected in it.
        """
        try:
            return self.load()
        except WeightsError:
            raise
        except Exception as error:  # the bytes of a damaged pickle can make the reader raise anything
            raise damaged(self._source, error) from error


def damaged(source: str, error: Exception) -> WeightsError:
    """The error for a file whose contents make no sense."""
    reason = " ".join(str(error).split())[:120] or type(error).__name__
    return WeightsError(f"{source} is damaged or not what it should be ({reason}); get it again")
