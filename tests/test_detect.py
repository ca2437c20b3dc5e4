"""Detection: what palms and landmarks become, and where hands are looked for."""

from typing import cast

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from seen_hands import CAMERA, detection_of, hand_on_ray

from tracker.detect import new_hand_boxes
from tracker.detect.landmarks import (
    DEPTH_PER_PIXEL,
    box_around,
    combined_shape,
)
from tracker.detect.palm import (
    Palm,
    PalmFinder,
    _anchors,
    box_iou,
    letterbox_square,
    suppress_overlaps,
    wrap_angle,
)
from tracker.joints import FloatArray
from tracker.networks.onnx_session import OnnxNetwork
from tracker.rotations import rotation_from_vector
from tracker.structs import HandBox

# Palms.


def palm_at(x: float, y: float, score: float, *, size_px: float = 50.0, turn_rad: float = 0.0) -> Palm:
    """A palm whose wrist-to-middle direction is turned clockwise from up."""
    up = np.array([np.sin(turn_rad), -np.cos(turn_rad)])
    keypoints = np.array([x, y]) + np.linspace(-0.4, 0.4, 7)[[0, 3, 6, 4, 2, 1, 5], None] * size_px * up
    return Palm(score, np.array([x, y, size_px, size_px]), keypoints)


def test_there_are_2016_anchors_in_the_published_order() -> None:
    anchors = _anchors()
    assert anchors.shape == (2016, 2)
    np.testing.assert_allclose(anchors[:4] * 24, [[0.5, 0.5], [0.5, 0.5], [1.5, 0.5], [1.5, 0.5]])
    np.testing.assert_allclose(anchors[48] * 24, [0.5, 1.5])
    np.testing.assert_allclose(anchors[24 * 24 * 2 - 1] * 24, [23.5, 23.5])
    np.testing.assert_allclose(anchors[24 * 24 * 2 : 24 * 24 * 2 + 7] * 12, [[0.5, 0.5]] * 6 + [[1.5, 0.5]])
    np.testing.assert_allclose(anchors[-1] * 12, [11.5, 11.5])


def test_what_the_network_says_of_a_square_is_undone_to_pixels_of_the_picture() -> None:
    """Anchor 48 lies half a cell from the left, one and a half from the top; a cell is 8 of 192 samples."""

    def network(batch: FloatArray) -> dict[str, FloatArray]:
        boxes, logits = np.zeros((len(batch), 2016, 18)), np.full((len(batch), 2016), -9.0)
        logits[1, 48] = 2.0
        boxes[1, 48, :4] = [4.0, -2.0, 24.0, 48.0]
        boxes[1, 48, 4:] = 8.0
        return {"boxes_px": boxes, "score_logits": logits}

    finder = PalmFinder(cast(OnnxNetwork, network))
    squares = [letterbox_square(CAMERA), HandBox(np.array([340.0, 240.0]), 384.0, 0.0)]
    (palm,) = finder.find(np.zeros((480, 640, 3), np.uint8), squares, CAMERA)
    left, top, pixels_per_sample = 340 - 192, 240 - 192, 2
    np.testing.assert_allclose(
        palm.box_px, [left + (4 + 4) * pixels_per_sample, top + (12 - 2) * pixels_per_sample, 48, 96]
    )
    np.testing.assert_allclose(palm.keypoints_px, [[left + 12 * 2, top + 20 * 2]] * 7)
    assert palm.score == pytest.approx(1 / (1 + np.exp(-2)))
    assert (
        PalmFinder(cast(OnnxNetwork, network), min_score=0.9).find(
            np.zeros((480, 640, 3), np.uint8), squares, CAMERA
        )
        == []
    )


def test_overlapping_palms_become_their_mean_weighted_by_score() -> None:
    merged, alone = suppress_overlaps(
        [palm_at(108, 100, 0.6), palm_at(300, 100, 0.7), palm_at(100, 100, 0.9)]
    )
    assert (merged.score, alone.score) == (0.9, 0.7)
    np.testing.assert_allclose(merged.box_px, [(0.9 * 100 + 0.6 * 108) / 1.5, 100, 50, 50])
    expected = (0.9 * palm_at(100, 100, 1).keypoints_px + 0.6 * palm_at(108, 100, 1).keypoints_px) / 1.5
    np.testing.assert_allclose(merged.keypoints_px, expected)


def test_palms_that_overlap_little_both_stay_best_first() -> None:
    apart = suppress_overlaps([palm_at(100, 100, 0.6), palm_at(135, 100, 0.8)])
    assert [palm.score for palm in apart] == [0.8, 0.6]
    assert suppress_overlaps([]) == []


def test_a_palm_without_extent_is_kept_once() -> None:
    assert len(suppress_overlaps([palm_at(10, 10, 0.9, size_px=0.0)])) == 1


@given(st.lists(st.floats(-50, 50), min_size=4, max_size=4), st.floats(1, 40), st.floats(1, 40))
def test_overlap_is_symmetric_and_one_only_for_itself(at: list[float], width: float, height: float) -> None:
    a, b = np.array([*at[:2], width, height]), np.array([*at[2:], height, width])
    assert box_iou(a, b) == pytest.approx(box_iou(b, a))
    assert 0.0 <= box_iou(a, b) <= 1.0 + 1e-12 and box_iou(a, a) == pytest.approx(1.0)
    beside = a + np.array([0.5 * width, 0, 0, 0])
    assert box_iou(a, beside) == pytest.approx(1 / 3)


@pytest.mark.parametrize("turn_rad", [0.0, 0.5, np.pi / 2, -3.0])
def test_the_hand_lies_ahead_of_its_palm(turn_rad: float) -> None:
    box = palm_at(200, 150, 0.9, turn_rad=turn_rad).hand_box()
    assert box.rotation_rad == pytest.approx(turn_rad) and box.size_px == pytest.approx(2.6 * 50)
    ahead = 0.5 * 50 * np.array([np.sin(turn_rad), -np.cos(turn_rad)])
    np.testing.assert_allclose(box.center_px, np.array([200, 150]) + ahead)


@given(st.floats(-50, 50))
def test_a_wrapped_angle_is_the_same_turn(angle: float) -> None:
    wrapped = wrap_angle(angle)
    assert -np.pi <= wrapped < np.pi
    assert np.exp(1j * wrapped) == pytest.approx(np.exp(1j * angle), abs=1e-9)


# The shape of a hand from both of the network's outputs.


@given(st.floats(0.2, 5.0), st.floats(-300, 300))
def test_outputs_that_agree_give_the_world_landmarks_whatever_the_crops_scale(
    scale: float, shift: float
) -> None:
    world = hand_on_ray(CAMERA, 0.5, 0.5)
    landmarks = 1000 * scale * world / [1.0, 1.0, DEPTH_PER_PIXEL] + shift
    np.testing.assert_allclose(combined_shape(landmarks, world), world - world.mean(axis=0), atol=1e-9)


def test_outputs_that_differ_give_a_hand_between_them_of_the_world_landmarks_size() -> None:
    world = hand_on_ray(CAMERA, 0.5, 0.5)
    world -= world.mean(axis=0)
    bent = world @ rotation_from_vector(np.array([0.2, 0.0, 0.0])).T
    found = combined_shape(500 * bent / [1.0, 1.0, DEPTH_PER_PIXEL], world)
    apart, to_world, to_bent = (
        np.linalg.norm(a - b) for a, b in ((world, bent), (found, world), (found, bent))
    )
    assert 0 < to_world < apart and 0 < to_bent < apart
    assert np.linalg.norm(found) == pytest.approx(np.linalg.norm(world), rel=0.05)


# Where a hand is looked for next.


@given(st.floats(-3, 3), st.floats(0.3, 3), st.floats(-500, 500), st.floats(-500, 500))
def test_the_box_around_a_hand_turns_grows_and_moves_with_it(
    turn_rad: float, scale: float, x: float, y: float
) -> None:
    joints = CAMERA.project(hand_on_ray(CAMERA, 0.5, 0.5))
    rotation = rotation_from_vector(np.array([0.0, 0.0, turn_rad]))[:2, :2]
    moved = scale * joints @ rotation.T + [x, y]
    box, other = box_around(joints), box_around(moved)
    np.testing.assert_allclose(other.center_px, scale * rotation @ box.center_px + [x, y], atol=1e-6)
    assert other.size_px == pytest.approx(scale * box.size_px)
    assert wrap_angle(other.rotation_rad - box.rotation_rad - turn_rad) == pytest.approx(0, abs=1e-9)


def test_the_box_around_a_hand_holds_it_and_points_along_its_fingers() -> None:
    joints = CAMERA.project(hand_on_ray(CAMERA, 0.5, 0.5))
    box = box_around(joints)
    assert abs(box.rotation_rad) < 0.2  # fingers up
    assert np.abs(joints - box.center_px).max() < box.size_px / 2


def test_a_palm_on_a_hand_already_seen_is_not_looked_at_again() -> None:
    seen = detection_of(hand_on_ray(CAMERA, 0.3, 0.5))
    x, y = seen.box.center_px
    size_px = seen.box.size_px / 2.6
    on_it, elsewhere = palm_at(x, y + size_px / 2, 0.9, size_px=size_px), palm_at(500, 200, 0.6, size_px=40)
    boxes = new_hand_boxes([on_it, elsewhere], [seen], 2)
    np.testing.assert_allclose([box.center_px for box in boxes], [[500, 180]])
    assert len(new_hand_boxes([on_it, on_it], [], 2)) == 1
    assert new_hand_boxes([elsewhere], [seen], 0) == []
