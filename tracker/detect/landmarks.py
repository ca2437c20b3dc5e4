"""Confirm a hand and read its 21 points: the published landmark network and its region rule.

Flows in: a picture and a box. Flows out: a `HandDetection`, or None where the network sees no hand.
Source of every constant: google-ai-edge/mediapipe, modules/hand_landmark.
"""

from dataclasses import dataclass

import numpy as np

from tracker.cameras import Camera
from tracker.crops import Crop, CropKind, make_crop
from tracker.detect.palm import wrap_angle
from tracker.joints import NUM_JOINTS, WRIST, FloatArray, Side
from tracker.networks.onnx_session import OnnxNetwork
from tracker.sampling import Places, places_of, sample_at
from tracker.structs import HandBox, HandDetection, HandEstimate, ImageArray

INPUT_SAMPLES = 224
REGION_JOINTS = (0, 1, 2, 3, 5, 6, 9, 10, 13, 14, 17, 18)
REGION_SCALE = 2.0
REGION_SHIFT = -0.1
MIN_BOX_PX = 8.0
"""A smaller hand cannot be read again."""
DEPTH_PER_PIXEL = 1 / 0.4
"""Depth of the published landmarks, in pixels, for each unit of the network's third coordinate."""
IMAGE_SHAPE_SHARE = 0.7
"""Weight of the landmarks' own shape against the world landmarks' (see ``combined_shape``)."""


@dataclass(frozen=True, eq=False)
class LandmarkReading:
    """What the landmark network says of one crop, undone to pixels of the picture."""

    joints_px: FloatArray
    """(21, 2) in the picture; NaN where the crop reaches beyond the lens."""
    world_joints_m: FloatArray
    """(21, 3) in the crop's axes, about the hand's centre, as the network's world output gives them."""
    shape_m: FloatArray
    """(21, 3) likewise, from both of the network's outputs."""
    presence: float
    p_right: float


class LandmarkReader:
    """Runs the landmark network on boxes of a picture; calls from several threads at once are allowed."""

    def __init__(
        self, network: OnnxNetwork, *, crop_kind: CropKind = "virtual", min_presence: float = 0.5
    ) -> None:
        self._network = network
        self._crop_kind = crop_kind
        self._min_presence = min_presence

    def crop(self, box: HandBox, camera: Camera) -> tuple[Crop, Places]:
        """The crop of ``box``, and where in the picture its samples lie, ready to be read.

        Apart from reading: many short array operations in two threads at once would wait for each other
        more than they work, while sampling and the networks run side by side.
        """
        crop = make_crop(self._crop_kind, box, INPUT_SAMPLES, camera)
        return crop, places_of(crop)

    def read(self, image_rgb: ImageArray, crop: Crop, places: Places) -> LandmarkReading:
        """The network's reading of one crop, sampled at ``places``."""
        outputs = self._network(sample_at(image_rgb, places)[None])
        landmarks = outputs["landmarks_px"][0].astype(np.float64)
        world_joints_m = outputs["world_landmarks_m"][0].astype(np.float64)
        return LandmarkReading(
            joints_px=crop.image_from_crop(landmarks[:, :2]),
            world_joints_m=world_joints_m,
            shape_m=combined_shape(landmarks, world_joints_m),
            presence=float(outputs["presence"][0]),
            p_right=float(outputs["right_probability"][0]),
        )

    def confirm(
        self,
        image_rgb: ImageArray,
        crop: Crop,
        places: Places,
        *,
        expected_track_id: int | None = None,
    ) -> HandDetection | None:
        """The hand in a crop, or None where presence is too low or its points cannot be used."""
        reading = self.read(image_rgb, crop, places)
        if not reading.presence >= self._min_presence or not np.isfinite(reading.joints_px).all():
            return None
        box = box_around(reading.joints_px)
        if box.size_px < MIN_BOX_PX:
            return None
        joints_m = reading.shape_m @ crop.camera_from_crop.T
        return HandDetection(
            box=box,
            p_right=reading.p_right,
            presence=reading.presence,
            estimate=HandEstimate(
                side=Side.RIGHT if reading.p_right >= 0.5 else Side.LEFT,
                joints_px=reading.joints_px,
                joints_from_wrist_m=joints_m - joints_m[WRIST],
                joint_scores=np.full(NUM_JOINTS, reading.presence),
                knows_size=False,
            ),
            expected_track_id=expected_track_id,
        )


def combined_shape(landmarks: FloatArray, world_joints_m: FloatArray) -> FloatArray:
    """The hand (21, 3) in metres about its centre, from both outputs of the network.

    The landmarks (21, 3), x and y in crop pixels and a depth, agree with the picture but have no scale; the
    world landmarks (21, 3) have one but bend otherwise. They err in different ways, so a weighted mean, after
    the scale that fits the first to the second best, beats either: benchmarks/RESULTS.md has the figures.
    """
    shape = landmarks * (1.0, 1.0, DEPTH_PER_PIXEL)
    shape -= shape.mean(axis=0)
    world = world_joints_m - world_joints_m.mean(axis=0)
    scale = (shape * world).sum() / max(float((shape * shape).sum()), 1e-12)
    return np.asarray(world + IMAGE_SHAPE_SHARE * (scale * shape - world))


def box_around(joints_px: FloatArray) -> HandBox:
    """The square in which to look for the hand next, from its joints (21, 2)."""
    forward = ((joints_px[5] + joints_px[13]) / 2 + joints_px[9]) / 2 - joints_px[WRIST]
    rotation = wrap_angle(np.pi / 2 - np.arctan2(-forward[1], forward[0]))
    c, s = np.cos(rotation), np.sin(rotation)
    image_from_box = np.array([[c, -s], [s, c]])
    points = joints_px[list(REGION_JOINTS)] @ image_from_box
    low, high = points.min(axis=0), points.max(axis=0)
    center = (low + high) / 2 + [0.0, REGION_SHIFT * (high[1] - low[1])]
    return HandBox(image_from_box @ center, float((high - low).max()) * REGION_SCALE, rotation)
