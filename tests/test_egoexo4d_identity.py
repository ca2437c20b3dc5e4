"""What tells a run of a system from another: its settings and what is in the files of its networks."""

import json

import pytest

from tracker.hand_shape import HandShape
from tracker.networks.onnx_session import MODELS_FOLDER
from tracker.pipeline import TrackerConfig
from tracker.research.evaluation.egoexo4d_identity import differences, settings_of
from tracker.temporal.tracks import TracksConfig

RAY = {"placement": "ray", "network": "sha256 1"}


def test_what_differs_is_named_shortly() -> None:
    assert differences(RAY, dict(RAY)) == ""
    assert differences(RAY, RAY | {"network": "sha256 2"}) == "network had other weights in it"
    many = {f"option {number}": number for number in range(9)}
    assert differences({}, many) == (
        "option 0 was None, is 0, option 1 was None, is 1, option 2 was None, is 2, and 6 more"
    )


@pytest.mark.parametrize("mode", ["challenge", "tracker"])
def test_a_run_knows_the_networks_that_ship_with_the_program(mode: str) -> None:
    """Every system reads with them, and they may change too."""
    settings = settings_of(mode, TrackerConfig(), own_cameras=False)
    lines = (MODELS_FOLDER / "SHA256SUMS").read_text().splitlines()
    known = {name.removesuffix(".onnx"): f"sha256 {digest}" for digest, name in map(str.split, lines)}
    assert settings["hand_landmark_full"] == known["hand_landmark_full"]
    assert settings.get("palm_detection_full") == (
        known["palm_detection_full"] if mode == "tracker" else None
    )
    assert json.loads(json.dumps(settings, allow_nan=False)) == settings


def test_a_measured_hand_and_a_release_make_another_run() -> None:
    plain = settings_of("challenge", TrackerConfig(), own_cameras=False)
    own = settings_of("challenge", TrackerConfig(), own_cameras=True)
    assert differences(plain, own) == "intrinsics was nominal, is the takes' own"
    tracks = TracksConfig(hand=HandShape.mean())
    measured = settings_of("challenge", TrackerConfig(tracks=tracks), own_cameras=False)
    assert "tracks.hand" in differences(plain, measured) and len(differences(plain, measured)) < 250
    scaled = TracksConfig(hand=HandShape.mean().scaled(1.01))
    other = settings_of("challenge", TrackerConfig(tracks=scaled), own_cameras=False)
    assert "tracks.hand" in differences(measured, other)
