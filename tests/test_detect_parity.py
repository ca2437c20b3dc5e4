"""Detection finds what the published pipeline finds: MediaPipe's own results on public pictures."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from seen_hands import CAMERA

from tracker.cameras import pinhole_from_fov
from tracker.crops import AffineCrop, Crop
from tracker.detect.landmarks import LandmarkReader, LandmarkReading
from tracker.detect.palm import PalmFinder, letterbox_square
from tracker.detect.schedule import squares_of
from tracker.joints import FloatArray
from tracker.networks.onnx_session import OnnxNetwork
from tracker.rotations import rotation_from_vector
from tracker.structs import HandBox, ImageArray

PICTURES = ("test1.jpg", "test2.jpg", "test3.jpg", "test4.jpg", "test5.jpg")


@pytest.fixture(scope="module")
def published(shared: Path) -> dict[str, Any]:
    """MediaPipe's own results, see ../shared/reference/README.md."""
    path = shared / "reference" / "mediapipe" / "landmarks.json"
    if not path.is_file():
        pytest.skip(f"no {path.name} in the reference data")
    return dict(json.loads(path.read_text()))


@pytest.fixture(scope="module")
def networks() -> tuple[PalmFinder, LandmarkReader]:
    pytest.importorskip("onnxruntime")
    palm, landmark = OnnxNetwork("palm_detection_full"), OnnxNetwork("hand_landmark_full")
    return PalmFinder(palm), LandmarkReader(landmark, crop_kind="affine")


def read_jpeg(path: Path) -> ImageArray:
    """Pixels as OpenCV decodes them, which Pillow does too: both use libjpeg's own upsampling."""
    return np.array(Image.open(path).convert("RGB"))


@pytest.mark.parametrize("name", PICTURES)
def test_a_letterboxed_picture_gives_the_published_palms_and_hands(
    name: str, shared: Path, published: dict[str, Any], networks: tuple[PalmFinder, LandmarkReader]
) -> None:
    finder, reader = networks
    image = read_jpeg(shared / "data" / "hamer" / "example_data" / name)
    height, width = image.shape[:2]
    camera = pinhole_from_fov(width, height, 65.0)
    palms = finder.find(image, [letterbox_square(camera)], camera)
    prepared = [reader.crop(palm.hand_box(), camera) for palm in palms]
    readings = [(reader.read(image, crop, at), crop) for crop, at in prepared]
    hands = [pair for pair in readings if pair[0].presence >= 0.5]

    scores = [palm["score"] for palm in published["palms"][f"hamer/{name}"]["palms"]]
    assert [palm.score for palm in palms] == pytest.approx(scores, abs=1e-3)
    expected = next(picture for picture in published["images"] if picture["name"] == name)["hands"]
    assert len(hands) == len(expected)
    for hand in expected:
        joints_px = np.array(hand["landmarks_px"])[:, :2]
        reading, crop = min(hands, key=lambda pair: float(np.abs(pair[0].joints_px - joints_px).max()))
        assert_as_published(reading, crop, hand, joints_px)


def assert_as_published(
    reading: LandmarkReading, crop: Crop, hand: dict[str, Any], joints_px: FloatArray
) -> None:
    assert np.abs(reading.joints_px - joints_px).max() < 1.0
    assert isinstance(crop, AffineCrop)
    turn = rotation_from_vector(np.array([0.0, 0.0, crop.box.rotation_rad]))
    assert np.abs(reading.world_joints_m @ turn.T - np.array(hand["world_m"])).max() < 1e-3
    # Its label is for mirrored pictures, so "Left" is a right hand here.
    p_label = reading.p_right if hand["label"] == "Left" else 1.0 - reading.p_right
    assert p_label == pytest.approx(hand["score"], abs=2e-3)


def test_an_empty_picture_has_no_palms(networks: tuple[PalmFinder, LandmarkReader]) -> None:
    image = np.full((480, 640, 3), 90, np.uint8)
    assert networks[0].find(image, squares_of(CAMERA), CAMERA) == []
    assert networks[0].find(image, [], CAMERA) == []
    box = HandBox(np.array([320.0, 240.0]), 200.0, 0.0)
    assert networks[1].confirm(image, *networks[1].crop(box, CAMERA)) is None
