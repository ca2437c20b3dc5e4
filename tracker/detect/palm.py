"""Find palms: the published palm detection network, its decode, suppression and region rules.

Flows in: a picture and squares of it to look at. Flows out: a box per hand, ready for the landmark network.
Source of every constant: google-ai-edge/mediapipe, modules/palm_detection and modules/hand_landmark.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np

from tracker.cameras import Camera
from tracker.crops import AffineCrop
from tracker.joints import FloatArray
from tracker.networks.onnx_session import OnnxNetwork
from tracker.sampling import sample_crop
from tracker.structs import HandBox, ImageArray

INPUT_SAMPLES = 192
SUPPRESSION_IOU = 0.3
WRIST_KEYPOINT, MIDDLE_KEYPOINT = 0, 2
REGION_SCALE = 2.6
REGION_SHIFT = -0.5
_ANCHORS_PER_CELL = ((24, 2), (12, 6))
"""(cells along a side, anchors in each cell) for strides 8 and 16."""


@dataclass(frozen=True, eq=False)
class Palm:
    """One palm as the network sees it, in pixels of the picture."""

    score: float
    box_px: FloatArray
    """(4,) centre x, centre y, width, height, along the picture's axes."""
    keypoints_px: FloatArray
    """(7, 2): wrist; index, middle, ring, pinky MCP; thumb CMC, MCP."""

    def hand_box(self) -> HandBox:
        """The square around the whole hand, the middle finger pointing up in it."""
        forward = self.keypoints_px[MIDDLE_KEYPOINT] - self.keypoints_px[WRIST_KEYPOINT]
        rotation = wrap_angle(np.pi / 2 - np.arctan2(-forward[1], forward[0]))
        down = np.array([-np.sin(rotation), np.cos(rotation)])
        center = self.box_px[:2] + REGION_SHIFT * self.box_px[3] * down
        return HandBox(center, float(self.box_px[2:].max()) * REGION_SCALE, rotation)


class PalmFinder:
    """Runs the palm network over squares of a picture."""

    def __init__(self, network: OnnxNetwork, *, min_score: float = 0.5) -> None:
        self._network = network
        self._min_score = min_score

    def find(self, image_rgb: ImageArray, squares: list[HandBox], camera: Camera) -> list[Palm]:
        """All palms in upright ``squares`` of the picture, best first, each once."""
        if not squares:
            return []
        crops = [AffineCrop(square, INPUT_SAMPLES, camera) for square in squares]
        outputs = self._network(np.stack([sample_crop(image_rgb, crop, "black") for crop in crops]))
        found = [
            palm
            for crop, boxes, logits in zip(crops, outputs["boxes_px"], outputs["score_logits"], strict=True)
            for palm in _decode(crop, boxes.astype(np.float64), logits.astype(np.float64), self._min_score)
        ]
        return suppress_overlaps(found)


def letterbox_square(camera: Camera) -> HandBox:
    """The upright square that holds the whole picture, as the published pipeline looks at it."""
    return HandBox(
        np.array([camera.width / 2, camera.height / 2]), float(max(camera.width, camera.height)), 0.0
    )


def suppress_overlaps(palms: list[Palm]) -> list[Palm]:
    """Weighted non-maximum suppression: overlapping palms become their mean, the best score stays."""
    remaining = sorted(palms, key=lambda palm: -palm.score)
    kept = []
    while remaining:
        overlaps = [box_iou(remaining[0].box_px, palm.box_px) > SUPPRESSION_IOU for palm in remaining]
        overlaps[0] = True
        group = [palm for palm, overlap in zip(remaining, overlaps, strict=True) if overlap]
        weights = np.array([palm.score for palm in group])
        kept.append(
            Palm(
                group[0].score,
                np.average([palm.box_px for palm in group], axis=0, weights=weights),
                np.average([palm.keypoints_px for palm in group], axis=0, weights=weights),
            )
        )
        remaining = [palm for palm, overlap in zip(remaining, overlaps, strict=True) if not overlap]
    return kept


def box_iou(a: FloatArray, b: FloatArray) -> float:
    """Intersection over union of two upright boxes (centre x, centre y, width, height)."""
    low = np.maximum(a[:2] - a[2:] / 2, b[:2] - b[2:] / 2)
    high = np.minimum(a[:2] + a[2:] / 2, b[:2] + b[2:] / 2)
    intersection = float(np.prod(np.maximum(high - low, 0.0)))
    union = float(np.prod(a[2:]) + np.prod(b[2:])) - intersection
    return intersection / union if union > 0 else 0.0


def wrap_angle(angle_rad: float) -> float:
    """The same angle in [-pi, pi)."""
    return float((angle_rad + np.pi) % (2 * np.pi) - np.pi)


def _decode(crop: AffineCrop, boxes: FloatArray, logits: FloatArray, min_score: float) -> list[Palm]:
    """Palms of one crop from raw ``boxes`` (2016, 18) and ``logits`` (2016,)."""
    scores = 1.0 / (1.0 + np.exp(-np.clip(logits, -100.0, 100.0)))
    chosen = np.flatnonzero(scores >= min_score)
    anchors = _anchors()[chosen] * crop.samples
    points = boxes[chosen].reshape(-1, 9, 2)  # centre, size, 7 keypoints
    scale = crop.box.size_px / crop.samples
    return [
        Palm(
            float(scores[index]),
            np.concatenate([crop.image_from_crop(row[0] + anchor), row[1] * scale]),
            crop.image_from_crop(row[2:] + anchor),
        )
        for index, anchor, row in zip(chosen, anchors, points, strict=True)
    ]


@cache
def _anchors() -> FloatArray:
    """Anchor centres (2016, 2) in [0, 1], row by row, in the network's order."""
    rows = []
    for cells, repeats in _ANCHORS_PER_CELL:
        centers = (np.arange(cells) + 0.5) / cells
        grid = np.stack(np.meshgrid(centers, centers), axis=-1).reshape(-1, 1, 2)
        rows.append(np.broadcast_to(grid, (cells * cells, repeats, 2)).reshape(-1, 2))
    return np.concatenate(rows)
