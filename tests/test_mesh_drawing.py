"""Meshes drawn over a picture: where, in which colour, and what they hide."""

import numpy as np
import pytest
from tracked_values import CAMERA, some_frame, some_hand

from tracker.cameras import pinhole_from_fov
from tracker.joints import Side
from tracker.sinks.canvas import blank_picture
from tracker.sinks.drawing import MeshStyle, draw_tracking
from tracker.structs import ImageArray


def coloured(image: ImageArray, side: Side) -> np.ndarray:
    """Where the picture has a shade of the side's colour: the left is warm, the right is cold."""
    red, blue = image[..., 0].astype(int), image[..., 2].astype(int)
    return (red - blue if side is Side.LEFT else blue - red) > 40


def test_meshes_cover_the_joints_in_the_colour_of_their_side() -> None:
    apart = some_hand(wrist_m=(-0.15, 0.08, 0.42)), some_hand(Side.RIGHT, wrist_m=(0.15, 0.08, 0.42))
    frame = some_frame(*apart)
    drawn = draw_tracking(blank_picture(CAMERA), frame, meshes=MeshStyle(CAMERA))
    for hand in frame.hands:
        own = coloured(drawn, hand.pose.side)
        columns, rows = hand.joints_px.round().astype(int).T
        near_joints = [own[y - 3 : y + 4, x - 3 : x + 4].any() for x, y in zip(columns, rows, strict=True)]
        assert all(near_joints)
        half = slice(None, 320) if hand.pose.side is Side.LEFT else slice(320, None)
        assert own[60:, half].sum() > 8000  # a hand's area, not its bones'
        assert own[60:].sum() == own[60:, half].sum()


def test_the_nearer_mesh_hides_the_farther_one() -> None:
    near_hand = some_hand(Side.RIGHT, wrist_m=(0.0, 0.08, 0.40), track_id=1)
    far_hand = some_hand(Side.LEFT, wrist_m=(0.0, 0.10, 0.50), track_id=2)
    for hands in ((near_hand, far_hand), (far_hand, near_hand)):
        drawn = draw_tracking(blank_picture(CAMERA), some_frame(*hands), meshes=MeshStyle(CAMERA))
        x, y = near_hand.joints_px[[0, 5, 9, 13, 17]].mean(axis=0).astype(int)
        assert coloured(drawn, Side.RIGHT)[y - 5 : y + 6, x - 5 : x + 6].all()


def test_the_picture_shimmers_through_a_mesh_and_more_so_while_it_coasts() -> None:
    spread = []
    for unseen_s in (0.0, 0.1):
        frame = some_frame(some_hand(unseen_s=unseen_s))
        x, y = frame.hands[0].joints_px[[0, 5, 9, 13, 17]].mean(axis=0).astype(int)
        dark, light = (
            draw_tracking(np.full((480, 640, 3), grey, np.uint8), frame, meshes=MeshStyle(CAMERA))[y, x]
            for grey in (0, 255)
        )
        spread.append(int(light[0]) - int(dark[0]))
    assert 20 < spread[0] < 60 < spread[1] < 160


def test_a_hand_without_skin_is_drawn_as_a_skeleton() -> None:
    frame = some_frame(some_hand(unknown_joints=(8,)))
    skeleton = draw_tracking(blank_picture(CAMERA), frame)
    np.testing.assert_array_equal(
        draw_tracking(blank_picture(CAMERA), frame, meshes=MeshStyle(CAMERA)), skeleton
    )


@pytest.mark.parametrize(
    "wrist_m", [(-3.0, 0, 0.4), (0, 0.2, 0.4), (0.25, 0, 0.4), (0, 0, 0.02), (0, 0, -1.0)]
)
@pytest.mark.parametrize("size", [(640, 480), (64, 48), (1, 1)])
def test_meshes_beyond_the_edge_close_by_or_behind_the_camera_can_be_drawn(
    wrist_m: tuple[float, float, float], size: tuple[int, int]
) -> None:
    hand = some_hand(wrist_m=wrist_m)
    camera = pinhole_from_fov(*size, 65.0)
    image = np.zeros((size[1], size[0], 3), np.uint8)
    assert draw_tracking(image, some_frame(hand), meshes=MeshStyle(camera)).shape == image.shape
