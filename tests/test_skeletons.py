"""Joint sets: ours are in every one of them, in its place; the rest lies in the palm."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from tracked_values import open_hand

from tracker.joints import JOINT_NAMES, FloatArray, Side
from tracker.rotations import rotation_from_vector
from tracker.skeletons import HAND21, PALM_JOINTS, SKELETONS, Skeleton
from tracker.skinned_hand import FROM_SKELETON, load_open_hand

hands = arrays(np.float64, (21, 3), elements=st.floats(-1, 1))
each = pytest.mark.parametrize("skeleton", SKELETONS.values(), ids=SKELETONS)
OPENXR, WEBXR = SKELETONS["openxr26"], SKELETONS["webxr25"]


@each
@given(joints=hands)
def test_ours_come_back(skeleton: Skeleton, joints: FloatArray) -> None:
    for larger in (skeleton.vectors(joints), skeleton.seen(joints)):
        assert larger.shape == (len(skeleton.joint_names), 3)
        np.testing.assert_array_equal(skeleton.ours(larger), joints)
    np.testing.assert_array_equal(skeleton.ours(skeleton.scores(joints[:, 0])), joints[:, 0])


@each
def test_places_are_taken_once_and_names_given_once(skeleton: Skeleton) -> None:
    assert sorted(skeleton.places + skeleton.made) == list(range(len(skeleton.joint_names)))
    assert len(set(skeleton.joint_names)) == len(skeleton.joint_names)


def test_names_and_places_are_those_of_the_standards() -> None:
    assert HAND21.joint_names == JOINT_NAMES
    assert (len(OPENXR.joint_names), len(WEBXR.joint_names)) == (26, 25)
    assert [OPENXR.joint_names[k] for k in (0, 1, 5, 6, 7, 11, 22, 25)] == [
        *("palm", "wrist", "thumb_tip", "index_metacarpal", "index_proximal"),
        *("middle_metacarpal", "little_proximal", "little_tip"),
    ]
    assert [WEBXR.joint_names[k] for k in (0, 3, 5, 8, 24)] == [
        *("wrist", "thumb-phalanx-distal", "index-finger-metacarpal"),
        *("index-finger-phalanx-distal", "pinky-finger-tip"),
    ]
    assert WEBXR.places == FROM_SKELETON
    for skeleton in (OPENXR, WEBXR):
        tips = [skeleton.joint_names[skeleton.places[tip]] for tip in (4, 8, 12, 16, 20)]
        assert all(name.endswith("tip") for name in tips)
        made = [skeleton.joint_names[place] for place in skeleton.made]
        assert all("metacarpal" in name or name == "palm" for name in made)


@given(joints=hands)
def test_webxr_is_openxr_without_the_palm(joints: FloatArray) -> None:
    np.testing.assert_allclose(WEBXR.vectors(joints), OPENXR.vectors(joints)[1:], atol=1e-12)


@pytest.mark.parametrize("side", Side)
def test_the_open_hands_metacarpals_are_where_it_has_them(side: Side) -> None:
    model_m = load_open_hand(side).joints_m
    made_m = WEBXR.vectors(model_m[list(FROM_SKELETON)])
    errors_m = np.linalg.norm(made_m - model_m, axis=1)[list(WEBXR.made)]
    assert (errors_m < (0.007, 0.0015, 0.0015, 0.004)).all(), errors_m


@pytest.mark.parametrize("side", Side)
def test_made_joints_lie_between_wrist_and_knuckles(side: Side) -> None:
    joints = OPENXR.vectors(open_hand(side, (0.1, 0.0, 0.5)))
    wrist = joints[1]
    for metacarpal, knuckle in ((6, 7), (11, 12), (16, 17), (21, 22)):
        along = joints[knuckle] - wrist
        share = (joints[metacarpal] - wrist) @ along / (along @ along)
        assert 0.2 < share < 0.6, share
    np.testing.assert_allclose(joints[0], (joints[11] + joints[12]) / 2, atol=1e-12)


@given(joints=hands, vector=arrays(np.float64, 3, elements=st.floats(-3, 3)))
def test_made_joints_move_and_turn_with_the_hand(joints: FloatArray, vector: FloatArray) -> None:
    turn = rotation_from_vector(vector)
    np.testing.assert_allclose(
        OPENXR.vectors(joints @ turn.T + vector), OPENXR.vectors(joints) @ turn.T + vector, atol=1e-9
    )


@given(joints=hands, velocity=hands)
def test_velocities_of_made_joints_are_how_they_move(joints: FloatArray, velocity: FloatArray) -> None:
    moved = (OPENXR.vectors(joints + 0.5 * velocity) - OPENXR.vectors(joints)) / 0.5
    made = list(OPENXR.made)
    np.testing.assert_allclose(
        (OPENXR.vectors(joints + velocity) - OPENXR.vectors(joints))[made], moved[made], atol=1e-9
    )


def test_what_is_made_of_unknown_joints_is_unknown_and_nothing_else() -> None:
    joints = open_hand(Side.LEFT, (0.0, 0.0, 0.5))
    joints[4] = np.nan  # the thumb's tip is no part of the palm
    assert np.isnan(OPENXR.vectors(joints)).any(axis=1).nonzero()[0].tolist() == [5]
    joints[4] = 0.0
    joints[9] = np.nan
    unknown = np.isnan(OPENXR.vectors(joints)).any(axis=1).nonzero()[0]
    assert unknown.tolist() == [0, 6, 11, 12, 16, 21]


def test_a_made_joint_is_as_sure_as_the_least_sure_and_was_seen_by_nobody() -> None:
    scores = np.linspace(0.2, 1.0, 21)
    scores[13] = 0.1
    assert (OPENXR.scores(scores)[list(OPENXR.made)] == 0.1).all()
    assert 13 in PALM_JOINTS
    assert np.isnan(OPENXR.seen(np.ones((21, 2)))[list(OPENXR.made)]).all()


def test_another_number_of_joints_is_refused() -> None:
    with pytest.raises(ValueError, match="21 joints, want 26 of openxr26"):
        OPENXR.ours(np.zeros((21, 3)))
