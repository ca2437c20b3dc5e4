"""Rotations: each map and its inverse, and the corners where such code usually breaks."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from tracker.joints import FloatArray
from tracker.rotations import (
    crosses,
    quaternion_from_rotation,
    rotation_between,
    rotation_from_quaternion,
    rotation_from_vector,
    similarity,
    vector_from_rotation,
)

components = st.floats(-4.0, 4.0)
vectors = arrays(np.float64, (3,), elements=components)
directions = vectors.filter(lambda v: np.linalg.norm(v) > 1e-3).map(lambda v: v / np.linalg.norm(v))
quaternions = arrays(np.float64, (4,), elements=components).filter(lambda q: np.linalg.norm(q) > 1e-3)


def assert_rotation(matrix: FloatArray, atol: float = 1e-9) -> None:
    np.testing.assert_allclose(matrix @ np.swapaxes(matrix, -1, -2), np.eye(3), atol=atol)
    assert np.linalg.det(matrix) == pytest.approx(1.0, abs=1e-9)


@given(vectors)
def test_a_vector_gives_a_rotation_that_leaves_it_in_place(vector: FloatArray) -> None:
    rotation = rotation_from_vector(vector)
    assert_rotation(rotation)
    np.testing.assert_allclose(rotation @ vector, vector, atol=1e-9)


@given(directions, st.floats(0.0, np.pi - 1e-6))
def test_the_vector_of_a_rotation_is_the_one_it_was_made_from(axis: FloatArray, angle: float) -> None:
    np.testing.assert_allclose(
        vector_from_rotation(rotation_from_vector(axis * angle)), axis * angle, atol=1e-8
    )


@given(directions, st.floats(-20.0, 20.0))
def test_any_rotation_comes_back_from_its_vector(axis: FloatArray, angle: float) -> None:
    """Half turns included: there the vector's sign is free, its rotation is not."""
    for turn in (angle, np.pi, 0.0, 1e-9):
        rotation = rotation_from_vector(axis * turn)
        vector = vector_from_rotation(rotation)
        assert np.linalg.norm(vector) <= np.pi + 1e-9
        np.testing.assert_allclose(rotation_from_vector(vector), rotation, atol=1e-7)


def test_rotation_vectors_turn_by_the_right_hand() -> None:
    quarter = rotation_from_vector(np.array([0.0, 0.0, np.pi / 2]))
    np.testing.assert_allclose(quarter @ [1.0, 0.0, 0.0], [0.0, 1.0, 0.0], atol=1e-12)


@given(quaternions)
def test_a_quaternion_comes_back_with_its_real_part_positive(quaternion: FloatArray) -> None:
    rotation = rotation_from_quaternion(quaternion)
    assert_rotation(rotation)
    back = quaternion_from_rotation(rotation)
    unit = quaternion / np.linalg.norm(quaternion)
    assert back[0] >= 0 and np.linalg.norm(back) == pytest.approx(1.0)
    assert abs(back @ unit) == pytest.approx(1.0, abs=1e-9)


def test_quaternions_and_vectors_name_the_same_rotation() -> None:
    vector = np.array([0.3, -0.2, 0.5])
    angle = np.linalg.norm(vector)
    quaternion = np.array([np.cos(angle / 2), *(np.sin(angle / 2) * vector / angle)])
    np.testing.assert_allclose(rotation_from_quaternion(quaternion), rotation_from_vector(vector), atol=1e-12)


def test_a_noisy_matrix_gives_the_nearest_rotation() -> None:
    rotation = rotation_from_vector(np.array([0.4, 1.1, -0.7]))
    noisy = rotation + 1e-3 * np.random.default_rng(0).standard_normal((3, 3))
    u, _, vt = np.linalg.svd(noisy)
    again = rotation_from_quaternion(quaternion_from_rotation(noisy))
    assert_rotation(again)
    np.testing.assert_allclose(again, u @ vt, atol=1e-5)


@given(arrays(np.float64, (2, 4, 3), elements=components))
def test_batches_equal_single_calls(batch: FloatArray) -> None:
    rotations = rotation_from_vector(batch)
    quaternions = quaternion_from_rotation(rotations)
    assert rotations.shape == (2, 4, 3, 3) and quaternions.shape == (2, 4, 4)
    for index in np.ndindex(2, 4):
        np.testing.assert_allclose(rotations[index], rotation_from_vector(batch[index]), atol=1e-12)
        np.testing.assert_allclose(rotation_from_quaternion(quaternions)[index], rotations[index], atol=1e-9)
        alone = rotation_from_vector(vector_from_rotation(rotations[index]))
        np.testing.assert_allclose(
            rotation_from_vector(vector_from_rotation(rotations))[index], alone, atol=1e-9
        )


@given(directions, directions)
def test_the_rotation_between_maps_start_to_end_about_an_axis_across_both(
    start: FloatArray, end: FloatArray
) -> None:
    rotation = rotation_between(start, end)
    assert_rotation(rotation)
    np.testing.assert_allclose(rotation @ start, end, atol=1e-9)
    assert np.trace(rotation) == pytest.approx(1 + 2 * (start @ end), abs=1e-9)  # no larger than needed


@given(directions, st.sampled_from([0.0, 1e-12, 1e-9, 1e-7, 1e-6, 2e-6, 1e-5, 1e-3]), directions)
def test_nearly_opposite_vectors_still_give_a_rotation(
    start: FloatArray, step: float, aside: FloatArray
) -> None:
    end = -start + step * aside
    end /= np.linalg.norm(end)
    rotation = rotation_between(start, end)
    assert_rotation(rotation)
    np.testing.assert_allclose(rotation @ start, end, atol=2e-6)


@given(st.integers(0, 1000), st.floats(0.1, 10.0))
def test_a_similarity_is_found_exactly(seed: int, scale: float) -> None:
    rng = np.random.default_rng(seed)
    points, shift = rng.normal(size=(5, 3)), rng.normal(size=3)
    points[:, 2] *= seed % 3  # flat sets too
    rotation = rotation_from_vector(rng.normal(size=3))
    found = similarity(points, scale * points @ rotation.T + shift)
    np.testing.assert_allclose(found[0], scale, rtol=1e-9)
    np.testing.assert_allclose(found[1], rotation, atol=1e-7)
    np.testing.assert_allclose(found[2], shift, atol=1e-7)


def test_a_similarity_turns_what_is_mirrored_and_never_mirrors() -> None:
    points = np.random.default_rng(0).normal(size=(21, 3))
    assert_rotation(similarity(points, points * (-1.0, 1.0, 1.0))[1])


@given(vectors, vectors)
def test_crosses_are_cross_products(a: FloatArray, b: FloatArray) -> None:
    np.testing.assert_allclose(crosses(a) @ b, np.cross(a, b), atol=1e-12)
