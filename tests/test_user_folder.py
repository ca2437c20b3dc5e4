"""The user's folder: what TRACKER_HOME says, else the system's own place."""

from pathlib import Path

import pytest

from tracker.errors import UsageError
from tracker.user_folder import user_folder


def test_tracker_home_wins_over_the_system(tmp_path: Path) -> None:
    environment = {"XDG_CACHE_HOME": "/elsewhere", "LOCALAPPDATA": "/elsewhere"}
    for platform in ("linux", "darwin", "win32"):
        assert user_folder(tmp_path, platform=platform, environment=environment) == tmp_path


def test_each_system_has_its_own_place(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    assert user_folder(platform="linux", environment={}) == tmp_path / ".cache" / "hand-tracker"
    assert user_folder(platform="darwin", environment={}) == tmp_path / "Library/Caches/hand-tracker"
    assert user_folder(platform="win32", environment={}) == tmp_path / "AppData/Local/hand-tracker/Cache"
    local = {"LOCALAPPDATA": str(tmp_path / "local")}
    assert user_folder(platform="win32", environment=local) == tmp_path / "local/hand-tracker/Cache"
    cache = {"XDG_CACHE_HOME": str(tmp_path / "cache")}
    assert user_folder(platform="linux", environment=cache) == tmp_path / "cache" / "hand-tracker"


def test_a_relative_cache_folder_is_not_used(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The XDG specification says to ignore it; weights must not be spread over working folders."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    found = user_folder(platform="linux", environment={"XDG_CACHE_HOME": "cache"})
    assert found == tmp_path / ".cache" / "hand-tracker"


def test_the_places_are_those_of_platformdirs() -> None:
    """Weights that were imported when platformdirs chose the folder must still be found."""
    platformdirs = pytest.importorskip("platformdirs")
    assert user_folder() == platformdirs.user_cache_path("hand-tracker", appauthor=False)


def test_a_user_without_a_home_is_told_what_to_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.path.expanduser", lambda path: path)
    with pytest.raises(UsageError, match="set TRACKER_HOME"):
        user_folder(platform="linux", environment={})
