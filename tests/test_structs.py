"""The values between stages refuse arrays of another shape, and stages are timed."""

from dataclasses import FrozenInstanceError, fields, replace
from typing import Any

import numpy as np
import pytest
from seen_hands import CAMERA, detection_of, hand_on_ray
from tracked_values import some_hand, some_mano

from tracker.structs import Frame
from tracker.timing import StageTimer

HAND = some_hand(mano=some_mano())
DETECTION = detection_of(hand_on_ray(CAMERA, 0.5, 0.5))
VALUES = [HAND, HAND.pose, HAND.pose.mano, DETECTION.box, DETECTION.estimate]
ARRAYS = [
    (value, item.name)
    for value in VALUES
    for item in fields(value)
    if isinstance(getattr(value, item.name), np.ndarray)
]


@pytest.mark.parametrize(("value", "name"), ARRAYS, ids=[f"{type(v).__name__}.{n}" for v, n in ARRAYS])
def test_an_array_of_another_shape_is_refused_by_name(value: Any, name: str) -> None:
    with pytest.raises(ValueError, match=name):
        replace(value, **{name: getattr(value, name)[:-1]})


def test_a_picture_must_have_the_size_of_its_camera() -> None:
    with pytest.raises(ValueError, match=r"image_rgb has shape \(640, 480, 3\), want \(480, 640, 3\)"):
        Frame(0, 0.0, np.zeros((640, 480, 3), np.uint8), CAMERA)


def test_a_value_cannot_be_changed_and_equals_only_itself() -> None:
    with pytest.raises(FrozenInstanceError):
        HAND.score = 1.0  # type: ignore[misc]
    assert HAND == HAND and replace(HAND) != HAND


def test_a_stage_entered_twice_adds_up_and_one_that_fails_counts() -> None:
    ticks = iter([1.0, 1.5, 2.0, 2.25, 3.0, 5.0])
    timer = StageTimer(clock=lambda: next(ticks))
    for _ in range(2):
        with timer.stage("detect"):
            pass
    with pytest.raises(ZeroDivisionError), timer.stage("pose"):
        raise ZeroDivisionError
    assert timer.durations_s == {"detect": 0.75, "pose": 2.0}
