"""Why hands are hard, on constructed cases; the page of best and worst hands."""

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from egoexo4d_release import FIRST, MadeRelease, landscape, upright_joints
from PIL import Image
from test_egoexo4d_run import KnowingSystem, command, run_system, takes_of

from tracker.errors import UsageError
from tracker.joints import FloatArray, Side
from tracker.research.evaluation.egoexo4d_categories import (
    NONE,
    categories,
    occluded,
    off_centre,
    scores_by_category,
    truncated,
    turns_deg,
    wrist_ambiguous,
)
from tracker.research.evaluation.egoexo4d_drawing import PREDICTED_COLOUR, TRUE_COLOUR, HandToDraw, draw_hand
from tracker.research.evaluation.egoexo4d_metric import HandKey, ScoredHands, scored_hands
from tracker.research.evaluation.egoexo4d_page import best_and_worst, write_page
from tracker.research.ground_truth.egoexo4d import open_takes
from tracker.research.ground_truth.egoexo4d_values import Tally
from tracker.rotations import rotation_from_vector

SIZES = np.array([[512.0, 512.0]])
INSIDE, SHOWN = np.full((1, 21, 2), 200.0), np.zeros((1, 21), bool)


@pytest.mark.parametrize(
    ("box", "cut"),
    [
        ((100, 100, 200, 200), False),
        ((0.5, 100, 90, 200), True),
        ((100, 100, 200, 511), True),
        ((2.5, 100, 509, 200), False),
    ],
)
def test_truncated_by_the_box(box: tuple[float, ...], cut: bool) -> None:
    assert truncated(np.array([box], dtype=float), INSIDE, SIZES, SHOWN).tolist() == [cut]


def test_truncated_by_a_joint_outside_the_picture_but_not_by_one_that_is_unknown() -> None:
    box, outside, unknown = np.array([[100.0, 100, 200, 200]]), INSIDE.copy(), INSIDE.copy()
    outside[0, 0] = (512.0, 200.0)
    unknown[0, 0] = np.nan
    assert truncated(box, outside, SIZES, SHOWN).all()
    assert not truncated(box, unknown, SIZES, SHOWN).any()
    assert truncated(box, INSIDE, SIZES, np.arange(21)[None] == 20).all()


def test_occluded_are_hands_with_few_valid_joints_that_the_picture_does_not_cut() -> None:
    valid = np.arange(21)[None] < np.array([[15], [16], [15]])
    assert occluded(valid, np.array([False, False, True])).tolist() == [True, False, False]


def test_a_box_is_off_centre_by_its_joints() -> None:
    joints = np.full((3, 21, 2), np.nan)
    joints[:, 0], joints[:, 1] = (110.0, 110.0), (190.0, 190.0)
    boxes = np.array([[100.0, 100, 200, 200], [100, 100, 219, 200], [100, 100, 226, 200]])
    assert off_centre(boxes, joints).tolist() == [False, False, True]
    assert not off_centre(boxes, np.full_like(joints, np.nan)).any()


@pytest.mark.parametrize("angle_deg", [0.0, 25.0, 120.0, 180.0])
def test_the_turn_between_hands_is_measured_whatever_their_size_and_place(angle_deg: float) -> None:
    true_m = upright_joints((FIRST.uid, 2, Side.LEFT))
    turn = rotation_from_vector(np.radians(angle_deg) * np.array([0.6, 0.0, 0.8]))
    valid = np.ones((1, 21), bool)
    valid[0, 5:9] = False
    spoiled = 1.3 * true_m @ turn.T + 0.2
    spoiled[5:9] += 1.0
    assert turns_deg(spoiled[None], true_m[None], valid)[0] == pytest.approx(angle_deg, abs=1e-4)


def test_ambiguous_is_a_good_hand_turned_wrongly() -> None:
    assert wrist_ambiguous(np.array([40.0, 40.0, 20.0]), np.array([10.0, 20.0, 10.0])).tolist() == [1, 0, 0]


def scored(made: MadeRelease, change: object = None) -> ScoredHands:
    takes = takes_of(made)
    hands = {
        (take.uid, frame.frame_number, side): landscape(upright_joints((take.uid, frame.frame_number, side)))
        for take in takes
        for frame in take.frames
        for side in frame.hands
    }
    if callable(change):
        hands = {key: change(key, joints_m) for key, joints_m in hands.items()}
    return scored_hands(takes, hands, wrist_relative=False)


def turned_in_frame_2(key: HandKey, joints_m: FloatArray) -> FloatArray:
    if key[1] != 2:
        return joints_m
    return (joints_m - joints_m[0]) @ rotation_from_vector(np.array([0.0, 1.0, 0.0])).T + joints_m[0]


def test_categories_of_the_made_hands_and_their_figures(made_release: MadeRelease) -> None:
    hands = scored(made_release, turned_in_frame_2)
    found = categories(hands)
    named = {name: [hands.keys[row][1:] for row in np.flatnonzero(rows)] for name, rows in found.items()}
    assert named["wrist ambiguity"] == [(2, Side.RIGHT), (2, Side.LEFT)]
    assert named["truncated"] == [(10, Side.RIGHT)]  # its wrist is where the lens shows nothing
    assert not categories(replace(hands, lenses=(None,) * 15))["truncated"].any()
    assert named["occluded"] == [(11, Side.RIGHT)]  # the file lacks nine of its joints
    assert sum(rows.any() for rows in np.array(list(found.values())).T) == 15
    assert not (found[NONE] & found["wrist ambiguity"]).any()
    figures = scores_by_category(hands)
    assert figures["wrist ambiguity"].hands == 2 and figures["wrist ambiguity"].mpjpe_mm > 30
    assert (
        figures["wrist ambiguity"].pa_mpjpe_mm < 1 and figures["off-centre box"].to_json()["mpjpe_mm"] is None
    )
    assert figures["truncated"].hands == 1
    assert figures[NONE].share == pytest.approx(found[NONE].mean())
    relative = replace(hands, wrist_relative=True)
    assert np.isnan(scores_by_category(relative)["wrist ambiguity"].camera_mpjpe_mm)


def test_a_damaged_calibration_is_named_and_only_the_lens_is_unknown(
    made_release: MadeRelease, tmp_path: Path
) -> None:
    (tmp_path / "aria_calib_json").mkdir()
    (tmp_path / "aria_calib_json" / f"{FIRST.name}.json").write_text("{}")
    tally = Tally()
    takes = open_takes(tmp_path, made_release.annotations, "val", tally=tally)
    assert [take.lens for take in takes] == [None, None] and tally.counts == {
        "calibrations that cannot be read": 1
    }
    assert takes_of(made_release)[0].only([0]).lens == takes_of(made_release)[0].lens is not None


# The page


def test_best_and_worst_are_by_mpjpe_and_no_hand_is_both(made_release: MadeRelease) -> None:
    hands = scored(made_release, turned_in_frame_2)
    best, worst = best_and_worst(hands, 4)
    assert {case.key[1] for case in worst[:2]} == {2} and worst[0].mpjpe_mm >= worst[1].mpjpe_mm
    assert "wrist ambiguity" in worst[0].tags and best[0].mpjpe_mm <= best[-1].mpjpe_mm < worst[1].mpjpe_mm
    everything = best_and_worst(hands, 100)
    assert sorted(case.row for some in everything for case in some) == list(range(15))
    readable = np.array([key[1] != 2 for key in hands.keys])
    assert all(case.key[1] != 2 for some in best_and_worst(hands, 100, readable) for case in some)


def test_the_page_and_its_pictures_are_written(made_release: MadeRelease, tmp_path: Path) -> None:
    takes = takes_of(made_release)
    systems = {"first/of <two>": scored(made_release), "second": scored(made_release, turned_in_frame_2)}
    page = write_page(tmp_path / "page", systems, takes, count=1)
    text = page.read_text()
    sources = re.findall(r'<img src="([^"]+)"', text)
    assert len(sources) == len(set(sources)) == 4 == len(list((tmp_path / "page" / "pictures").iterdir()))
    for source in sources:
        with Image.open(page.parent / source) as picture:
            assert picture.size == (972, 320)
    assert "first/of &lt;two&gt;" in text and "frame 2, right hand" in text and "wrist ambiguity" in text
    assert "http" not in text and list(tmp_path.iterdir()) == [tmp_path / "page"]
    with pytest.raises(UsageError, match="--overwrite"):
        write_page(tmp_path / "page", systems, takes)
    write_page(tmp_path / "page", {"first": systems["second"]}, takes, count=1, overwrite=True)
    assert "two" not in page.read_text()
    assert len(list((tmp_path / "page" / "pictures").iterdir())) == 2


def near_colour(panel: FloatArray, colour: tuple[int, int, int]) -> FloatArray:
    return np.argwhere(np.abs(panel - colour).sum(axis=-1) < 40)


def test_skeletons_lie_where_hands_are_and_the_side_view_shows_depth(made_release: MadeRelease) -> None:
    """The wrists' and tips' pixels are coloured in the picture; a hand twice as deep is so from the side."""
    take = takes_of(made_release)[0]
    frame, box = take.read_upright(0), take.given(0).box_px(Side.LEFT)
    true_m = upright_joints((FIRST.uid, 2, Side.LEFT))
    predicted_m = true_m.copy()
    predicted_m[:, 2] += true_m[:, 2] - true_m[0, 2]
    drawn = np.asarray(draw_hand(HandToDraw(frame.image_rgb, frame.camera, box, true_m, predicted_m)), float)
    side_px = 1.3 * (box[2:] - box[:2]).max()
    at = (frame.camera.project(true_m) - (box[:2] + box[2:]) / 2 + side_px / 2) * 320 / side_px
    coloured = near_colour(drawn[:, :320], TRUE_COLOUR)
    for x, y in at:
        assert np.abs(coloured - (y, x)).max(axis=1).min() < 3
    panel = drawn[:, 652:]
    spans = [np.ptp(near_colour(panel, colour)[:, 1]) for colour in (TRUE_COLOUR, PREDICTED_COLOUR)]
    assert spans[1] == pytest.approx(2 * spans[0], rel=0.15)


def test_the_command_reports_categories_and_writes_the_page(
    made_release: MadeRelease, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = tmp_path / "hands.jsonl"
    run_system(KnowingSystem(), takes_of(made_release), lines, Tally())
    arguments = ("evaluate", made_release.prepared, lines, "--page", tmp_path / "page")
    assert command(*arguments, "--cases", 1, "--json", tmp_path / "all.json") == 0
    figures = json.loads((tmp_path / "all.json").read_text())
    assert figures["categories"]["occluded"]["hands"] == 1
    assert len(list((tmp_path / "page" / "pictures").iterdir())) == 2
    assert command(*arguments) == 2
    assert "--overwrite" in capsys.readouterr().err
