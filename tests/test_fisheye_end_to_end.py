"""The demo clip seen through Project Aria's lens: the tracker finds the same hands in the same places."""

from collections.abc import Iterable, Iterator
from dataclasses import replace

import numpy as np
import pytest

from tracker import HandTracker
from tracker.cameras import Camera, Fisheye624, Pinhole
from tracker.joints import FINGER_MCPS, FloatArray, Side
from tracker.sampling import sample_with_numpy
from tracker.sources import open_source
from tracker.structs import Frame

FIRST, COUNT = 60, 12
LENS = Fisheye624(
    1100,
    1100,
    611.0,
    611.0,
    560.4,
    545.2,
    (-0.026, 0.101, -0.071, 0.0125, 0.0012, -0.0004, 0.03, -0.02, -0.04, 0.02, 0.03, -0.02),
)
"""Like the lens of Aria's grey cameras, with a prism and tangents a hundred times as strong."""


def demo_frames() -> Iterator[Frame]:
    source = open_source("demo", max_frames=FIRST + COUNT)
    try:
        yield from (frame for frame in source if frame.index >= FIRST)
    finally:
        source.close()


def through(lens: Camera, frames: Iterator[Frame]) -> Iterator[Frame]:
    """The frames as ``lens`` would have taken them; black where they show nothing."""
    grid = np.stack(np.meshgrid(np.arange(lens.width), np.arange(lens.height)), axis=-1).astype(np.float64)
    rays = lens.unproject(grid)
    for frame in frames:
        at = frame.camera.project(rays)
        positions = np.nan_to_num(np.clip(at, -9, 9999), nan=-9).astype(np.float32)
        yield replace(frame, image_rgb=sample_with_numpy(frame.image_rgb, positions, "black"), camera=lens)


def bearings(frames: Iterable[Frame]) -> dict[tuple[int, Side], FloatArray]:
    """Unit directions (3,) of the middles of the palms that were found."""
    found = {}
    with HandTracker() as hands:
        for frame in frames:
            for hand in hands.process(frame).hands:
                middle = hand.pose.joints_in_camera_m[[0, *FINGER_MCPS]].mean(axis=0)
                found[frame.index, hand.pose.side] = np.asarray(middle / np.linalg.norm(middle))
    return found


def test_hands_are_seen_where_a_pinhole_sees_them_and_elsewhere_if_the_lens_is_neglected() -> None:
    """Bearings, because range is a matter of the network's noise."""
    pytest.importorskip("onnxruntime")
    seen = list(through(LENS, demo_frames()))
    straight = Pinhole(*(getattr(LENS, name) for name in ("width", "height", "fx", "fy", "cx", "cy")))
    neglected = [replace(frame, camera=straight) for frame in seen]
    true, right, wrong = bearings(demo_frames()), bearings(seen), bearings(neglected)
    assert len(true) == 2 * COUNT and right.keys() == true.keys()
    off_right, off_wrong = (
        np.median([np.degrees(np.arccos(min(1.0, found[key] @ true[key]))) for key in found if key in true])
        for found in (right, wrong)
    )
    assert off_right < 0.3
    assert off_wrong > 3 * off_right, (off_wrong, off_right)
