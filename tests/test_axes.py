"""Axes: each map undoes itself, keeps rotations rotations, and says what its name promises."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from test_joints import palm_down_fingers_ahead

from tracker.axes import AXES, OPENCV, Axes
from tracker.joints import FloatArray, Side, camera_from_wrist
from tracker.rotations import rotation_from_vector

RIGHT, DOWN, AHEAD = np.eye(3)
"""In OpenCV's axes."""
points = arrays(np.float64, (5, 3), elements=st.floats(-10, 10))
turns = arrays(np.float64, 3, elements=st.floats(-3, 3)).map(rotation_from_vector)
each = pytest.mark.parametrize("axes", AXES.values(), ids=AXES)


@each
@given(points=points, turn=turns, spread=points)
def test_each_map_undoes_itself(axes: Axes, points: FloatArray, turn: FloatArray, spread: FloatArray) -> None:
    covariance = spread.T @ spread
    np.testing.assert_array_equal(axes.vectors(axes.vectors(points)), points)
    np.testing.assert_array_equal(axes.camera_from_wrist(axes.camera_from_wrist(turn)), turn)
    np.testing.assert_array_equal(axes.covariance(axes.covariance(covariance)), covariance)


@each
@given(turn=turns)
def test_a_rotation_stays_a_rotation_also_in_left_handed_axes(axes: Axes, turn: FloatArray) -> None:
    turned = axes.camera_from_wrist(turn)
    np.testing.assert_allclose(turned @ turned.T, np.eye(3), atol=1e-12)
    assert np.linalg.det(turned) > 0


@each
@given(points=points, turn=turns)
def test_points_of_the_wrist_land_where_its_rotation_says(
    axes: Axes, points: FloatArray, turn: FloatArray
) -> None:
    in_wrist = points * axes.wrist_signs
    np.testing.assert_allclose(
        axes.vectors(points @ turn.T), in_wrist @ axes.camera_from_wrist(turn).T, atol=1e-9
    )


@each
@given(spread=points, points=points)
def test_distances_by_the_covariance_are_kept(axes: Axes, spread: FloatArray, points: FloatArray) -> None:
    covariance = spread.T @ spread
    turned = axes.vectors(points)
    np.testing.assert_allclose(
        np.einsum("ni,ij,nj->n", turned, axes.covariance(covariance), turned),
        np.einsum("ni,ij,nj->n", points, covariance, points),
        rtol=1e-9,
        atol=1e-9,
    )


@pytest.mark.parametrize(
    ("name", "up", "ahead", "handed"),
    [
        ("opencv", (0, -1, 0), (0, 0, 1), 1),
        ("opengl", (0, 1, 0), (0, 0, -1), 1),
        ("openxr", (0, 1, 0), (0, 0, -1), 1),
        ("unity", (0, 1, 0), (0, 0, 1), -1),
    ],
)
def test_right_up_and_ahead_are_where_the_name_says(
    name: str, up: tuple[int, ...], ahead: tuple[int, ...], handed: int
) -> None:
    axes = AXES[name]
    np.testing.assert_array_equal(axes.vectors(RIGHT), (1, 0, 0))
    np.testing.assert_array_equal(axes.vectors(-DOWN), up)
    np.testing.assert_array_equal(axes.vectors(AHEAD), ahead)
    assert np.prod(axes.signs) == np.prod(axes.wrist_signs) == handed


@pytest.mark.parametrize("side", Side)
@pytest.mark.parametrize("name", ["opengl", "openxr", "unity"])
def test_palm_down_and_fingers_ahead_is_no_rotation(name: str, side: Side) -> None:
    in_opencv = AXES["openxr"].vectors(palm_down_fingers_ahead(side))
    rotation = camera_from_wrist(in_opencv, side)
    np.testing.assert_allclose(AXES[name].camera_from_wrist(rotation), np.eye(3), atol=1e-12)


def test_opencv_changes_nothing() -> None:
    rotation = rotation_from_vector(np.array([0.3, -0.2, 1.0]))
    np.testing.assert_array_equal(OPENCV.camera_from_wrist(rotation), rotation)
    np.testing.assert_array_equal(OPENCV.vectors(rotation), rotation)


@pytest.mark.parametrize("shape", [(3, 1), (1, 3), (2, 2)])
def test_an_array_of_another_shape_is_refused_and_not_stretched(shape: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="want its last axes"):
        AXES["unity"].covariance(np.ones(shape))
