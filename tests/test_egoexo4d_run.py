"""Systems on EgoExo4D's takes: given boxes, runs that are killed and go on, bad input, and the commands."""

import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from egoexo4d_release import (
    FIRST,
    PLACES,
    SECOND,
    TAKES,
    MadeRelease,
    kept_joints,
    raw_copy,
    upright_joints,
    write_calibrations,
)
from PIL import Image

from tracker.cameras import Pinhole
from tracker.cli import main
from tracker.errors import TrackerError, UsageError
from tracker.joints import FloatArray, Side
from tracker.pipeline import TrackerConfig
from tracker.placement import find_placement
from tracker.pose.ensemble import EnsembleBackend, EnsembleOptions, Member
from tracker.pose.potter import BOX_OVER_HAND, crop_box
from tracker.research.evaluation.egoexo4d_command import described, load_system
from tracker.research.evaluation.egoexo4d_lines import ReadHands, digest, read_lines
from tracker.research.evaluation.egoexo4d_metric import challenge_scores, scored_hands
from tracker.research.evaluation.egoexo4d_presets import find_preset
from tracker.research.evaluation.egoexo4d_run import Job, run_systems
from tracker.research.evaluation.egoexo4d_sharing import Shared
from tracker.research.evaluation.egoexo4d_systems import (
    ChallengeSystem,
    OnTightBoxes,
    load_box_reader,
    open_hand_in_box,
)
from tracker.research.ground_truth.egoexo4d import TURN, PreparedTake, annotation_path, open_takes
from tracker.research.ground_truth.egoexo4d_prepared import read_annotations, write_annotations
from tracker.research.ground_truth.egoexo4d_values import GivenHands, Tally
from tracker.structs import Frame, HandEstimate, ObservedHand

pytest.importorskip("onnxruntime")


class KnowingSystem:
    """Says where hands truly are, in the upright frame's axes, and what it was asked."""

    def __init__(self, *, stateful: bool = False, dies_after: int = 1000, spoil: Any = None) -> None:
        self.stateful, self.dies_after, self.spoil = stateful, dies_after, spoil
        self.asked: list[int] = []
        self.begun = 0

    def begin_take(self) -> None:
        self.begun += 1

    def __call__(self, frame: Frame, given: GivenHands) -> Mapping[Side, FloatArray]:
        if len(self.asked) >= self.dies_after:
            raise KeyboardInterrupt
        number = round(30 * frame.capture_time_s)
        self.asked.append(number)
        uid = next(take.uid for take in TAKES if number in take.frames)
        hands = {side: upright_joints((uid, number, side)) for side in given.sides}
        return hands if self.spoil is None else self.spoil(number, hands)

    def close(self) -> None:
        pass


def run_system(
    system: Any, takes: list[PreparedTake], path: Path, tally: Tally, *, observe: Any = None, **of_job: Any
) -> ReadHands:
    """One system alone."""
    stateful = getattr(system, "stateful", False)
    job = Job("knowing", lambda: system, path, tally, stateful=stateful, **of_job)
    (read,) = run_systems([job], takes, observe=observe or (lambda frames: None))
    if isinstance(read, TrackerError):
        raise read
    return read


def takes_of(made: MadeRelease, prepared: Path | None = None) -> list[PreparedTake]:
    return open_takes(prepared or made.prepared, made.annotations, "val")


KEPT = [place for place in PLACES if kept_joints(place)]
ALL = [*FIRST.frames, *SECOND.frames]


def test_frames_come_upright_with_their_boxes_and_answers_go_back_to_landscape(
    made_release: MadeRelease, tmp_path: Path
) -> None:
    takes, system, seen = takes_of(made_release), KnowingSystem(), [0]
    read = run_system(
        system,
        takes,
        tmp_path / "hands.jsonl",
        Tally(),
        observe=lambda count: seen.__setitem__(0, seen[0] + count),
    )
    assert system.asked == ALL and system.begun == 2 and seen == [9]
    scores = challenge_scores(scored_hands(takes, read.hands, wrist_relative=False))
    assert scores.hands == 15 and scores.camera_mpjpe_mm < 8  # two joints are annotated where they are not
    assert scores.pa_mpjpe_mm > 0
    for uid, frame, side in PLACES:
        assert ((uid, frame, side) in read.hands) == bool(kept_joints((uid, frame, side)))


@pytest.mark.parametrize(("stateful", "again"), [(False, ALL[6:]), (True, ALL[5:])])
@pytest.mark.parametrize("torn", ["", '{"type": "frame", "take_uid": "111'])
def test_a_killed_run_goes_on_where_it_was(
    made_release: MadeRelease, tmp_path: Path, stateful: bool, again: list[int], torn: str
) -> None:
    """A system that goes by earlier frames begins the take anew in which it was killed."""
    takes, path = takes_of(made_release), tmp_path / "hands.jsonl"
    whole = run_system(KnowingSystem(stateful=stateful), takes, tmp_path / "whole.jsonl", Tally())
    with pytest.raises(KeyboardInterrupt):
        run_system(KnowingSystem(stateful=stateful, dies_after=6), takes, path, Tally())
    with path.open("a") as file:
        file.write(torn)
    system = KnowingSystem(stateful=stateful)
    read = run_system(system, takes, path, Tally(), resume=True)
    assert system.asked == again and system.begun == 1
    assert read.frames == whole.frames and read.hands.keys() == whole.hands.keys()
    for key, joints_m in whole.hands.items():
        np.testing.assert_array_equal(read.hands[key], joints_m)
    lines = path.read_text().splitlines()
    assert len(lines) == 10 and all(json.loads(line) for line in lines)


RAY = {"placement": "ray", "network": "sha256 1"}


def test_another_runs_lines_are_never_mixed_in(made_release: MadeRelease, tmp_path: Path) -> None:
    takes, path = takes_of(made_release), tmp_path / "hands.jsonl"
    run_system(KnowingSystem(), takes, path, Tally(), settings=RAY)
    with pytest.raises(UsageError, match="exists; go on with it by --resume"):
        run_system(KnowingSystem(), takes, path, Tally(), settings=RAY)
    with pytest.raises(UsageError, match="another run: placement was ray, is weak; choose another file"):
        run_system(KnowingSystem(), takes, path, Tally(), settings={**RAY, "placement": "weak"}, resume=True)
    with pytest.raises(UsageError, match="its boxes are of other annotations"):
        run_system(KnowingSystem(), takes[:1], path, Tally(), settings=RAY, resume=True)
    path.write_text('{"type": "header"}\n')
    with pytest.raises(UsageError, match="does not hold EgoExo4D hands"):
        run_system(KnowingSystem(), takes, path, Tally(), resume=True)
    assert digest(takes[0].frames) != digest(takes[0].frames[1:])


def in_millimetres(line: str) -> str:
    values = json.loads(line)
    hand_m = np.array(values["left_hand_3d"])
    return json.dumps(values | {"left_hand_3d": (1e3 * hand_m).tolist()})


def test_a_damaged_line_is_named(made_release: MadeRelease, tmp_path: Path) -> None:
    path = tmp_path / "hands.jsonl"
    run_system(KnowingSystem(), takes_of(made_release), path, Tally())
    lines = path.read_text().splitlines()
    for damaged, message in (
        ("{", "line 4, is not JSON"),
        ("[]", "line 4, is no object"),
        (lines[3].replace('"left_hand_3d": [[', '"left_hand_3d": [[1.0], ['), "line 4: "),
        (lines[3].replace('"frame": 8', '"frames": 8'), "line 4: 'frame'"),
        (in_millimetres(lines[3]), "line 4: the left hand: its size is 1.. m; millimetres"),
    ):
        path.write_text("\n".join([*lines[:3], damaged, *lines[4:]]) + "\n")
        with pytest.raises(UsageError, match=message):
            read_lines(path)


# Bad input


def spoiled(made: MadeRelease, folder: Path, change: Callable[[Path], object]) -> Path:
    shutil.copytree(made.prepared / "image" / "undistorted" / "val", folder / "image/undistorted/val")
    change(folder / "image/undistorted/val" / FIRST.name / "000008.jpg")
    return folder


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda path: path.unlink(), "cannot read the picture"),
        (lambda path: path.write_bytes(b"no picture"), "cannot read the picture"),
        (lambda path: Image.new("RGB", (1408, 1408)).save(path), "1408 x 1408, its camera 512 x 512"),
    ],
)
def test_a_picture_that_cannot_be_read_is_counted_and_named_and_tried_again(
    made_release: MadeRelease, tmp_path: Path, change: Any, reason: str
) -> None:
    prepared, tally = spoiled(made_release, tmp_path, change), Tally()
    read = run_system(KnowingSystem(), takes_of(made_release, prepared), tmp_path / "h.jsonl", tally)
    assert tally.counts == {"frames that could not be read": 1}
    assert tally.places["frames that could not be read"][0].startswith(f"{FIRST.uid}, frame 8: ")
    assert reason in tally.places["frames that could not be read"][0]
    assert (FIRST.uid, 8) not in read.frames and len(read.frames) == 8
    system = KnowingSystem()
    run_system(system, takes_of(made_release), tmp_path / "h.jsonl", Tally(), resume=True)
    assert system.asked == [8]


def test_a_picture_that_was_missing_is_read_when_the_run_goes_on(
    made_release: MadeRelease, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Frames of a missing picture are left out before the run; that they come back makes it no other one."""
    prepared = spoiled(made_release, tmp_path / "prepared", lambda path: path.rename(tmp_path / "away.jpg"))
    arguments = (
        "evaluate",
        prepared,
        "--annotation-file",
        made_release.annotations,
        "--hands",
        tmp_path / "h.jsonl",
    )
    assert command(*arguments) == 0
    assert len((tmp_path / "h.jsonl").read_text().splitlines()) == 1 + 8
    output = capsys.readouterr()
    figures, hands = json.loads(output.out.splitlines()[-1]), sum(key[:2] == (FIRST.uid, 8) for key in KEPT)
    assert hands and "hands of 8 of 9 frames" in output.err
    assert (figures["hands_wanted"], figures["hands_missing"]) == (15, hands)
    assert figures["scores"]["all"]["hands"] == 15 - hands
    assert f"{hands} of 15 hands have no figure" in output.err
    (tmp_path / "away.jpg").rename(prepared / "image/undistorted/val" / FIRST.name / "000008.jpg")
    assert command(*arguments, "--resume") == 0
    assert len((tmp_path / "h.jsonl").read_text().splitlines()) == 1 + 9
    assert "hands of 9 of 9 frames" in capsys.readouterr().err


def test_lines_are_measured_as_their_run_was(
    made_release: MadeRelease, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What was not found is missing; of a submission it is refused."""
    lines = tmp_path / "h.jsonl"
    system = KnowingSystem(spoil=lambda number, hands: {} if number == 7 else hands)
    run_system(system, takes_of(made_release), lines, Tally())
    assert command("evaluate", made_release.prepared, lines) == 0
    output = capsys.readouterr()
    assert json.loads(output.out.splitlines()[-1])["hands_missing"] == 2
    assert "2 of 15 hands have no figure" in output.err


@pytest.mark.parametrize(
    ("spoil", "kind", "why"),
    [
        (
            lambda hands: hands | {Side.RIGHT: np.full((21, 3), np.nan)},
            "answers that are no hand",
            ": 21 joints are NaN or infinite",
        ),
        (
            lambda hands: hands | {Side.RIGHT: np.zeros((20, 3))},
            "answers that are no hand",
            ": 20 x 3, want 21 x 3",
        ),
        (
            lambda hands: hands | {Side.RIGHT: 1e3 * hands[Side.RIGHT]},
            "answers that are no hand",
            ": its size is 176 m; millimetres?",
        ),
        (lambda hands: {Side.LEFT: hands[Side.LEFT]}, "hands not found", ""),
    ],
)
def test_a_hand_that_a_system_does_not_give_is_named_and_never_a_zero(
    made_release: MadeRelease, tmp_path: Path, spoil: Any, kind: str, why: str
) -> None:
    tally = Tally()
    system = KnowingSystem(spoil=lambda number, hands: spoil(hands) if number == 7 else hands)
    read = run_system(system, takes_of(made_release), tmp_path / "h.jsonl", tally)
    assert tally.lines() == [f"{kind}: 1 ({SECOND.uid}, frame 7, right{why})"]
    assert (SECOND.uid, 7, Side.RIGHT) not in read.hands and (SECOND.uid, 7, Side.LEFT) in read.hands


# Challenge mode and tracker mode


@pytest.fixture(scope="module")
def challenge() -> Any:
    return load_system("challenge", TrackerConfig(), Shared())


def test_given_boxes_are_read_without_a_palm(
    made_release: MadeRelease, challenge: Any, tmp_path: Path
) -> None:
    """Every hand has an answer, of the side that was given, about where it truly is."""
    takes, tally = takes_of(made_release), Tally()
    read = run_system(challenge, takes, tmp_path / "h.jsonl", tally)
    assert tally.lines() == [] and len(read.hands) == 15
    scores = challenge_scores(scored_hands(takes, read.hands, wrist_relative=False))
    assert scores.mpjpe_mm < 45 and scores.pa_mpjpe_mm < 15 and scores.pck_15 > 0.85


def test_boxes_are_turned_with_the_picture(made_release: MadeRelease, challenge: Any) -> None:
    """The landscape boxes on the upright picture hold no hands, and what is read there is far off."""
    take = takes_of(made_release)[0]
    frame = take.read_upright(0)
    truth = {side: upright_joints((FIRST.uid, 2, side)) for side in Side}
    right_way = challenge(frame, take.given(0))
    wrong_way = challenge(frame, GivenHands(take.frames[0].boxes_px()))
    for side in Side:
        near, far = (np.linalg.norm(hands[side][9] - truth[side][9]) for hands in (right_way, wrong_way))
        assert near < 0.08 < far


def test_an_ensemble_of_the_light_network_says_what_the_light_network_says(
    made_release: MadeRelease, challenge: Any
) -> None:
    """Its sizes say as little there as alone."""
    twice = EnsembleOptions((Member("landmarks"), Member("landmarks")))
    ensemble = load_system("challenge", TrackerConfig(backend="ensemble", ensemble=twice), Shared())
    take = takes_of(made_release)[0]
    alone, together = (system(take.read_upright(0), take.given(0)) for system in (challenge, ensemble))
    assert list(alone) == list(together) == list(Side)
    for side in Side:
        np.testing.assert_allclose(together[side], alone[side], atol=1e-6)


class RecordingBackend:
    """A backend without points of its own, that keeps what it was given."""

    name = "potter"

    def __init__(self) -> None:
        self.observed: list[ObservedHand] = []

    def estimate(self, frame: Frame, observed: Any) -> tuple[HandEstimate, ...]:
        self.observed = list(observed)
        return tuple(self._knowing(hand) for hand in observed)

    def _knowing(self, hand: ObservedHand) -> HandEstimate:
        true_m = upright_joints((FIRST.uid, 2, hand.side))
        points_px = hand.detection.estimate.joints_px
        return HandEstimate(hand.side, points_px, true_m - true_m[0], np.ones(21))


def test_a_backend_gets_the_box_and_its_hands_the_light_networks_points(made_release: MadeRelease) -> None:
    backend, take = RecordingBackend(), takes_of(made_release)[0]
    reader = load_box_reader()
    system = ChallengeSystem(backend, find_placement("ray"), reader=reader)
    frame, given = take.read_upright(0), take.given(0)
    hands = system(frame, given)
    for hand in backend.observed:
        points, box = hand.detection.estimate.joints_px, given.box_px(hand.side)
        np.testing.assert_allclose([*points.min(axis=0), *points.max(axis=0)], box, atol=1e-9)
        seen = reader.read(frame, box, hand.side)
        assert seen is not None and seen.p_right == (hand.side is Side.RIGHT)
        # Placed on the points, not on the box: the projection is near them.
        projected = frame.camera.project(hands[hand.side])
        assert np.median(np.linalg.norm(projected - seen.estimate.joints_px, axis=-1)) < 20
    assert [hand.side for hand in backend.observed] == list(Side)


def span(hands: list[ObservedHand]) -> list[list[float]]:
    points = [hand.detection.estimate.joints_px for hand in hands]
    return [[*some.min(axis=0).tolist(), *some.max(axis=0).tolist()] for some in points]


def test_backends_get_boxes_without_their_margin_and_potter_adds_it_again(made_release: MadeRelease) -> None:
    """Alone or in an ensemble, which then has the mean of what its members say."""
    members = [RecordingBackend(), RecordingBackend()]
    take = takes_of(made_release)[0]
    ensemble = EnsembleBackend([OnTightBoxes(member) for member in members], [1.0, 1.0])
    system = ChallengeSystem(ensemble, find_placement("ray"), reader=load_box_reader())
    hands = system(take.read_upright(0), take.given(0))
    boxes = take.given(0).boxes_px
    middles, halves = (boxes[:, :2] + boxes[:, 2:]) / 2, (boxes[:, 2:] - boxes[:, :2]) / 2
    tight = np.concatenate([middles - halves / BOX_OVER_HAND, middles + halves / BOX_OVER_HAND], axis=1)
    for member in members:
        np.testing.assert_allclose(span(member.observed), tight, atol=1e-9)
        for hand, middle, half in zip(member.observed, middles, halves, strict=True):
            crop = crop_box(hand.detection.estimate.joints_px)
            np.testing.assert_allclose(crop.center_px, middle, atol=1e-9)
            assert crop.size_px == pytest.approx(1.25 * 2 * half.max())
    for side in Side:  # both say what is true, and so does their mean
        true_m = upright_joints((FIRST.uid, 2, side))
        from_wrist_m = hands[side] - hands[side][0]
        np.testing.assert_allclose(from_wrist_m, true_m - true_m[0], atol=1e-9)


@pytest.mark.parametrize("side", list(Side))
def test_an_open_hand_in_a_box_fills_it(side: Side) -> None:
    box = np.array([300.0, 200.0, 390.0, 260.0])
    camera = Pinhole(512, 512, 150.0, 150.0, 255.5, 255.5)
    seen = camera.project(open_hand_in_box(camera, box, side))
    middle, extent = (seen.min(axis=0) + seen.max(axis=0)) / 2, np.ptp(seen, axis=0).max()
    np.testing.assert_allclose(middle, [345, 230], atol=8)
    assert extent == pytest.approx(60, rel=0.25)


# The commands


def command(*arguments: object) -> int:
    with pytest.raises(SystemExit) as ended:
        main(["egoexo4d", *map(str, arguments)])
    assert isinstance(ended.value.code, int)
    return ended.value.code


def test_from_a_release_to_figures_and_a_submission(
    made_release: MadeRelease, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    prepared = tmp_path / "prepared"
    write_calibrations(prepared)
    assert command("prepare", made_release.raw, prepared, "--splits", "val") == 0
    assert "  joints from fewer than 3 views: 3" in capsys.readouterr().out.splitlines()
    shutil.copy(made_release.test_boxes, prepared / "annotation" / "manual")
    assert command("prepare", made_release.raw, prepared, "--splits", "test") == 0
    capsys.readouterr()

    assert command("evaluate", prepared, "--hands", tmp_path / "val.jsonl") == 0
    output = capsys.readouterr()
    assert output.err.startswith("running landmarks: backend landmarks; placement ray, challenge mode\n")
    figures = json.loads(output.out.splitlines()[-1])
    assert figures["scores"]["all"]["hands"] == 15 and figures["hands_missing"] == 0
    assert output.out.splitlines()[1].startswith("all") and FIRST.name in output.out

    assert command("submit", prepared, tmp_path / "s.json") == 0
    capsys.readouterr()
    assert command("validate", tmp_path / "s.json", made_release.test_boxes) == 0
    assert capsys.readouterr().err == ""
    assert command("evaluate", prepared, tmp_path / "s.json", "--offset") == 0
    again = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert again["scores"]["all"]["mpjpe_mm"] == pytest.approx(figures["scores"]["all"]["mpjpe_mm"])
    assert again["scores"]["all"]["camera_mpjpe_mm"] is None
    assert command("evaluate", prepared, tmp_path / "s.json") == 2  # its wrists are at zero
    (line,) = capsys.readouterr().err.splitlines()
    assert "15 of 15 hands" in line and "look relative to the wrist; give --offset" in line
    assert command("submit", prepared, tmp_path / "placed.json", "--camera-space") == 0
    capsys.readouterr()
    assert command("validate", tmp_path / "placed.json", made_release.test_boxes) == 0
    warned = f"warning: {tmp_path / 'placed.json'} looks as if its hands were in the camera's frame"
    assert capsys.readouterr().err.startswith(warned)
    assert command("evaluate", prepared, tmp_path / "placed.json") == 0
    assert capsys.readouterr().err == ""
    assert command("evaluate", prepared, tmp_path / "placed.json", "--offset") == 0
    assert "looks as if its hands were in the camera's frame" in capsys.readouterr().err
    assert command("evaluate", prepared, tmp_path / "s.jsonl", "--offset") == 2
    assert "in the camera's frame; give no --offset" in capsys.readouterr().err
    assert command("evaluate", prepared, tmp_path / "s.jsonl") == 0
    from_lines = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert from_lines["scores"]["all"] == pytest.approx(figures["scores"]["all"])


def test_automatic_annotations_are_another_file_and_another_run(
    made_release: MadeRelease,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    prepared = tmp_path / "prepared"
    write_calibrations(prepared)
    options = ("--splits", "val", "--annotations", "auto")
    assert command("prepare", made_release.raw, prepared, *options) == 0
    assert command("evaluate", prepared) == 2  # there are no manual ones
    capsys.readouterr()
    assert command("evaluate", prepared, "--annotations", "auto") == 0
    figures = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert figures["annotations"] == str(annotation_path(prepared, "val", "auto"))
    assert (tmp_path / "egoexo4d_val_auto_landmarks_challenge.jsonl").is_file()


def test_validate_says_what_is_wrong_and_ends_with_1(
    made_release: MadeRelease, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "s.json").write_text(json.dumps({SECOND.uid: {}}))
    assert command("validate", tmp_path / "s.json", made_release.test_boxes) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"take {FIRST.uid}: missing, 7 hands are asked for"
    assert lines[1] == f"take {SECOND.uid}, frame 1: missing"
    assert lines[-1] == "in all: missing take 1, missing frame 4"


def test_lines_of_a_run_are_no_submission_and_become_one(
    made_release: MadeRelease, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What validate says to do with them works: nothing is read again."""
    pictures, boxes, lines = made_release.prepared, made_release.test_boxes, tmp_path / "mine.jsonl"
    submit = ("submit", pictures, "--boxes", boxes, "--fill-missing", "--hands", lines)
    assert command(*submit, tmp_path / "first.json") == 0
    written = lines.read_text()
    capsys.readouterr()
    assert command("validate", lines, boxes) == 2
    said = capsys.readouterr().err
    assert f"{lines} holds the lines of a run" in said and f"--hands {lines} --resume" in said
    assert command(*submit, tmp_path / "second.json", "--resume") == 0
    assert lines.read_text() == written
    assert (tmp_path / "second.json").read_text() == (tmp_path / "first.json").read_text()


def test_the_same_run_is_submitted_smoothed_and_a_run_that_is_not_there_begins_anew(
    made_release: MadeRelease, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    submit = ("submit", made_release.prepared, "--boxes", made_release.test_boxes, "--fill-missing")
    submit += ("--system", "landmarks", "--resume")
    assert command(*submit, tmp_path / "s.json") == 0
    lines = tmp_path / "s.jsonl"
    said = capsys.readouterr().err.splitlines()
    assert f"--resume: nothing there yet, so beginning anew: {lines}" in said
    written = lines.read_text()
    assert command(*submit, tmp_path / "smooth.json", "--smooth", "hindsight", "--hands", lines) == 0
    assert "beginning anew" not in capsys.readouterr().err
    assert lines.read_text() == written
    assert (tmp_path / "smooth.json").read_text() != (tmp_path / "s.json").read_text()


def test_boxes_are_told_from_submissions(
    made_release: MadeRelease, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """In the wrong order, or twice."""
    boxes, submission = made_release.test_boxes, tmp_path / "s.json"
    submission.write_text("{}")
    for arguments in ((boxes, submission), (boxes, boxes)):
        assert command("validate", *arguments) == 2
        assert f"{boxes} is a file of boxes, not a submission" in capsys.readouterr().err


def changed_annotations(made: MadeRelease, path: Path, **changes: Callable[[Any], Any]) -> Path:
    """The annotations with values of every hand changed, by the end of their names."""
    takes = json.loads(made.annotations.read_text())
    for entries in takes.values():
        for entry in entries.values():
            for name, value in entry.items():
                for end, change in changes.items():
                    if name.endswith(end):
                        entry[name] = change(np.array(value, dtype=float)).tolist()
    path.write_text(json.dumps(takes))
    return path


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"_hand_3d": lambda joints_m: 1e3 * joints_m}, "joints are to be in metres"),
        ({"valid_3d": np.zeros_like}, "15 hands with joints, and not one of the joints is valid"),
    ],
)
def test_annotations_that_say_nothing_of_hands_are_refused_by_what_they_hold(
    made_release: MadeRelease,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    changes: Any,
    said: str,
) -> None:
    changed = changed_annotations(made_release, tmp_path / "changed.json", **changes)
    assert command("evaluate", made_release.prepared, "--annotation-file", changed) == 2
    assert f"{changed}" in (line := capsys.readouterr().err) and said in line


@pytest.mark.parametrize(("kind", "options"), [("manual", ""), ("auto", " with --annotations auto")])
def test_without_annotations_it_is_said_what_makes_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], kind: str, options: str
) -> None:
    for action in (("evaluate", tmp_path), ("pseudo-labels", tmp_path, tmp_path / "labels")):
        assert command(*action, "--annotations", kind) == 2
        said = capsys.readouterr().err
        assert f"is not there; egoexo4d prepare RELEASE PREPARED{options} makes" in said


@pytest.mark.parametrize(
    ("action", "names"),
    [
        ("prepare", "RELEASE PREPARED"),
        ("evaluate", "PREPARED [PREDICTIONS]"),
        ("submit", "PREPARED SUBMISSION"),
        ("validate", "SUBMISSION BOXES"),
        ("pseudo-labels", "PREPARED|KEYPOINTS LABELS"),
        ("finetune", "PREPARED RUN"),
        ("export", "RUN FILE"),
    ],
)
def test_help_names_what_it_takes_in_which_order(
    capsys: pytest.CaptureFixture[str], action: str, names: str
) -> None:
    assert command(action, "--help") == 0
    assert " ".join(capsys.readouterr().out.split("\n\n")[0].split()).endswith(f"] {names}")


def test_a_submission_on_a_full_disk_is_one_line_and_a_failure_while_running(
    made_release: MadeRelease,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    write = Path.write_text

    def limited(path: Path, text: str, **options: Any) -> int:
        if path.name.startswith(".s.json-"):
            raise OSError(28, "No space left on device")
        return write(path, text, **options)

    monkeypatch.setattr(Path, "write_text", limited)
    submit = ("submit", made_release.prepared, tmp_path / "s.json", "--boxes", made_release.test_boxes)
    assert command(*submit, "--fill-missing") == 1
    assert capsys.readouterr().err.splitlines()[-1] == (
        f"error: cannot write {tmp_path / 's.json'}: No space left on device"
    )
    assert [path.name for path in tmp_path.iterdir()] == ["s.jsonl"]


def test_what_is_run_is_said_member_by_member() -> None:
    config = find_preset("ensemble").over(TrackerConfig())
    assert described(config) == (
        "backend ensemble of potter with affine crops, hamer with affine crops; placement ray"
    )


def test_annotations_without_any_hand_are_said_to_be_that(
    made_release: MadeRelease, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    empty = tmp_path / "empty.json"
    write_annotations(
        empty, [replace(frame, hands={}) for frame in read_annotations(made_release.annotations)]
    )
    assert command("evaluate", made_release.prepared, "--annotation-file", empty) == 2
    assert f"{empty} has no hand in any of its 9 frames" in capsys.readouterr().err


def test_a_submission_without_all_hands_is_not_written_unless_filled(
    made_release: MadeRelease, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The tracker finds no hand in some pictures: it says so, and only where asked puts open hands there."""
    arguments = ("submit", made_release.prepared, tmp_path / "s.json", "--mode", "tracker")
    assert command(*arguments) == 1
    assert "hands are missing" in capsys.readouterr().err and not (tmp_path / "s.json").exists()
    assert command(*arguments) == 2  # its lines are there
    assert "--resume" in capsys.readouterr().err
    assert command(*arguments, "--resume", "--fill-missing") == 0
    assert "open hands of a mean adult stand in their boxes" in capsys.readouterr().err
    assert command("validate", tmp_path / "s.json", made_release.test_boxes) == 0

    written = (tmp_path / "s.json").read_bytes()
    (tmp_path / "s.json").write_bytes(written + b" ")
    assert command(*arguments, "--resume", "--fill-missing") == 2
    assert "s.json exists; choose another name or pass --overwrite" in capsys.readouterr().err
    assert (tmp_path / "s.json").read_bytes() == written + b" "
    assert command(*arguments, "--resume", "--fill-missing", "--overwrite") == 0
    assert (tmp_path / "s.json").read_bytes() == written


def test_a_submission_of_nothing_but_open_hands_is_refused(
    made_release: MadeRelease, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """No picture, or no box: what would be written says nothing of any system."""
    boxes = tmp_path / "boxes.json"
    shutil.copy(made_release.test_boxes, boxes)
    arguments = ("submit", tmp_path, tmp_path / "s.json", "--boxes", boxes, "--fill-missing")
    assert command(*arguments) == 2
    assert f"{tmp_path} has no picture of these boxes" in capsys.readouterr().err
    emptied = json.loads(boxes.read_text())
    for frame in (frame for take in emptied.values() for frame in take.values()):
        frame.update(left_hand_bbox=[], right_hand_bbox=[])
    boxes.write_text(json.dumps(emptied))
    (tmp_path / "any.json").write_text("{}")
    assert command(*arguments) == command("validate", tmp_path / "any.json", boxes) == 2
    assert capsys.readouterr().err.count("has no box, so it asks for no hand") == 2
    assert not (tmp_path / "s.json").exists()


def test_open_hands_stand_in_for_no_take_that_is_left_out(
    made_release: MadeRelease, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    raw = raw_copy(made_release, tmp_path / "raw")
    shutil.move(raw / "annotations/ego_pose/val", raw / "annotations/ego_pose/test")
    (raw / f"annotations/ego_pose/test/camera_pose/{FIRST.uid}.json").unlink()
    arguments = ("submit", made_release.prepared, tmp_path / "s.json", "--fill-missing", "--release", raw)
    assert command(*arguments) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert f"takes left out: 1 (take {FIRST.uid} has no camera pose)" in line
    assert "7 hands are missing" in line and "open hands" not in line
    assert not (tmp_path / "s.jsonl").exists()


def test_a_picture_that_is_missing_is_said_before_a_submission_is_run(
    made_release: MadeRelease, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    prepared = tmp_path / "prepared"
    shutil.copytree(made_release.prepared / "image/undistorted/test", prepared / "image/undistorted/test")
    next(prepared.rglob("000008.jpg")).unlink()
    arguments = ("submit", prepared, tmp_path / "s.json", "--boxes", made_release.test_boxes)
    assert command(*arguments) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "2 hands are missing" in line and f"frames without a picture: 1 ({FIRST.uid}, frame 8)" in line
    assert "--fill-missing" in line and not (tmp_path / "s.jsonl").exists()
    assert command(*arguments, "--fill-missing") == 0
    assert "2 hands were not found; open hands" in capsys.readouterr().err
    assert command("validate", tmp_path / "s.json", made_release.test_boxes) == 0


def test_prepare_ends_with_1_where_a_take_was_left_out(
    made_release: MadeRelease, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    raw = raw_copy(made_release, tmp_path / "raw")
    (raw / "annotations/ego_pose/val/camera_pose" / f"{FIRST.uid}.json").unlink()
    write_calibrations(tmp_path / "prepared")
    arguments = ("prepare", raw, tmp_path / "prepared", "--splits", "val", "--no-pictures")
    assert command(*arguments) == 1
    assert f"takes left out: 1 (take {FIRST.uid} has no camera pose)" in capsys.readouterr().out


def test_requests_that_cannot_be_carried_out_end_with_2(made_release: MadeRelease, tmp_path: Path) -> None:
    assert command("prepare", tmp_path, tmp_path / "prepared") == 2
    assert command("evaluate", tmp_path) == 2
    assert command("evaluate", made_release.prepared, "--offset") == 2
    assert command("submit", tmp_path, tmp_path / "s.json") == 2
    assert command("validate", tmp_path / "s.json", made_release.test_boxes) == 2
    assert command("prepare", made_release.raw, tmp_path / "prepared", "--splits", "test") == 2


def test_turning_is_the_same_for_boxes_and_joints(made_release: MadeRelease) -> None:
    """The upright boxes of a take hold its upright joints."""
    for take in takes_of(made_release):
        camera = TURN.camera_upright(take.camera)
        for index, frame in enumerate(take.frames):
            for side, hand in frame.hands.items():
                box = take.given(index).box_px(side)
                seen = camera.project(TURN.points_upright(hand.joints_in_camera_m[hand.valid]))
                assert (seen >= box[:2]).all() and (seen <= box[2:]).all()
