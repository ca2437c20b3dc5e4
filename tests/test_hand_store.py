"""Measured hands: what is stored comes back, and no hostile file gets further than one clear line."""

import json
import math
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tracker.errors import HandFileError, SinkFailedError
from tracker.hand_shape import HandShape
from tracker.hand_store import (
    MeasuredHand,
    find_hand,
    hand_path,
    load_hand,
    store_hand,
    stored_names,
)

HAND = MeasuredHand(
    replace(HandShape.from_palm_width(0.0643), size_sd=0.031),
    "distance",
    frames=57,
    spread=0.031,
    size_spread=0.02,
)


def stored(tmp_path: Path, **changes: object) -> Path:
    """A stored hand with some of its values changed."""
    path = hand_path("default", tmp_path)
    store_hand(HAND, path)
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    return path


def test_a_stored_hand_comes_back_to_the_micrometre(tmp_path: Path) -> None:
    store_hand(HAND, hand_path("left-glove_2", tmp_path))
    found = find_hand("left-glove_2", tmp_path)
    np.testing.assert_allclose(found.shape.palm_m, HAND.shape.palm_m, atol=1e-6)
    np.testing.assert_allclose(found.shape.finger_bones_m, HAND.shape.finger_bones_m, atol=1e-6)
    assert found.shape.size_sd == 0.031
    assert (found.size_from, found.frames, found.spread, found.size_spread) == ("distance", 57, 0.031, 0.02)
    assert stored_names(tmp_path) == ["left-glove_2"]


def test_a_file_is_found_by_its_path(tmp_path: Path) -> None:
    store_hand(HAND, tmp_path / "mine.json")
    assert find_hand(str(tmp_path / "mine.json"), tmp_path / "other").frames == 57
    with pytest.raises(HandFileError, match="No such file"):
        find_hand(str(tmp_path / "absent.json"), tmp_path)


def test_a_name_that_is_not_there_lists_those_that_are(tmp_path: Path) -> None:
    with pytest.raises(HandFileError, match=r"'me' \(there is: none yet\).*calibrate-hand"):
        find_hand("me", tmp_path)
    store_hand(HAND, hand_path("default", tmp_path))
    with pytest.raises(HandFileError, match="there is: default"):
        find_hand("me", tmp_path)


@pytest.mark.parametrize("name", ["", "..", "a b", "-x", "none", "a" * 65, "ä", "a.b", "x\n"])
def test_a_name_that_is_no_file_name_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(HandFileError, match="cannot name a hand"):
        hand_path(name, tmp_path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format": "hand-track"}, "not a measured hand"),
        ({"version": 2}, "version is 2"),
        ({"palm_m": None}, "palm_m must be 6 rows"),
        ({"palm_m": [[0, 0, 0]] * 5}, "palm_m must be 6 rows"),
        ({"palm_m": [[0, 0]] * 6}, "palm_m must be 6 rows"),
        ({"palm_m": [[0, 0, math.nan]] * 6}, "palm_m must be 6 rows of 3 finite"),
        ({"palm_m": [[0, 0, 10**400]] * 6}, "palm_m must be 6 rows of 3 finite"),
        ({"palm_m": [[0, 0, True]] * 6}, "palm_m must be 6 rows of 3 finite"),
        ({"palm_m": [[0, 0, 0]] * 6}, "palm width is 0 mm"),
        ({"finger_bones_m": [[0.04, 0.03, math.inf]] * 5}, "finger_bones_m must be 5 rows"),
        ({"finger_bones_m": [[0.04, 0.03, -0.02]] * 5}, "a bone of the hand is -20.0 mm"),
        ({"finger_bones_m": [[0.4, 0.3, 0.2]] * 5}, "a bone of the hand is 400.0 mm"),
        ({"size_from": "thin air"}, "size_from is 'thin air'"),
        ({"frames": -1}, "frames is -1"),
        ({"size_sd": 0}, "size_sd is 0"),
        ({"size_sd": 5}, "size_sd is 5; it is a share"),
        ({"spread": "much"}, "spread must be"),
    ],
)
def test_a_file_with_an_impossible_value_is_refused_by_name(
    changes: dict[str, object], message: str, tmp_path: Path
) -> None:
    path = stored(tmp_path, **changes)
    with pytest.raises(HandFileError, match=message) as caught:
        load_hand(path)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"{", b"[" * 60_000, b"\xff\xfe\x00", b"[1]", b"1" * 5000])
def test_what_is_no_hand_is_refused_in_one_line(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "hand.json"
    path.write_bytes(content)
    with pytest.raises(HandFileError) as caught:
        load_hand(path)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("width_mm", "hint"), [(84.0, "outer breadth"), (39.0, "give 40 to 80"), (0.0, "give")]
)
def test_a_palm_of_no_hand_is_refused_with_how_to_measure_it(width_mm: float, hint: str) -> None:
    with pytest.raises(HandFileError, match=hint):
        MeasuredHand(HandShape.from_palm_width(width_mm / 1e3), "palm width")


def test_what_cannot_be_written_is_said_and_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "hands").write_text("a file where the folder should be")
    with pytest.raises(SinkFailedError, match="cannot write"):
        store_hand(HAND, hand_path("default", tmp_path))


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_without_permission_is_said(tmp_path: Path) -> None:
    (tmp_path / "hands").mkdir(mode=0o500)
    with pytest.raises(SinkFailedError, match="Permission"):
        store_hand(HAND, hand_path("default", tmp_path))


def test_a_failed_write_keeps_the_hand_that_was_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = hand_path("default", tmp_path)
    store_hand(HAND, path)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.replace", full)
    with pytest.raises(SinkFailedError, match="No space left"):
        store_hand(MeasuredHand(HandShape.from_palm_width(0.07), "palm width"), path)
    assert load_hand(path).shape.palm_width_m == pytest.approx(0.0643, abs=1e-6)
    assert list(path.parent.iterdir()) == [path]
