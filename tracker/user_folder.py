"""Where this program keeps files of the user's own: weights that were imported, hands that were measured."""

import os
import sys
from collections.abc import Mapping
from pathlib import Path

from tracker.errors import UsageError

NAME = "hand-tracker"


def user_folder(
    home: Path | None = None,
    *,
    platform: str = sys.platform,
    environment: Mapping[str, str] = os.environ,
) -> Path:
    r"""``home`` (what ``TRACKER_HOME`` says) where given, else this program's folder in the user's cache.

    That is ``%LOCALAPPDATA%\hand-tracker\Cache`` on Windows, ``~/Library/Caches/hand-tracker`` on macOS,
    and elsewhere ``hand-tracker`` in ``$XDG_CACHE_HOME`` or ``~/.cache``.

    Raises:
        UsageError: the system does not say where the user's own folder is.
    """
    if home is not None:
        return home
    if platform == "win32":
        base = environment.get("LOCALAPPDATA") or _in_home("AppData", "Local")
        return Path(base, NAME, "Cache")
    if platform == "darwin":
        return Path(_in_home("Library", "Caches"), NAME)
    cache = environment.get("XDG_CACHE_HOME", "")
    return Path(cache if os.path.isabs(cache) else _in_home(".cache"), NAME)


def _in_home(*parts: str) -> str:
    home = os.path.expanduser("~")
    if not os.path.isabs(home):
        raise UsageError(
            "this user has no home folder; set TRACKER_HOME to a folder for this program's files"
        )
    return os.path.join(home, *parts)
