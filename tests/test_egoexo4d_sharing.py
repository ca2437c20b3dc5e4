"""Table 1 in one pass: what its systems share is read once, and each says what it says alone."""

import json
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from egoexo4d_release import FIRST, SECOND, MadeRelease, landscape
from test_egoexo4d_run import ALL, KnowingSystem, command, takes_of
from tracked_values import open_hand

from tracker.crops import Crop
from tracker.errors import EngineError, TrackerError, WeightsError
from tracker.joints import FloatArray, Side
from tracker.pipeline import TrackerConfig
from tracker.pose import Networks
from tracker.pose.hamer import HamerOptions
from tracker.pose.potter import PotterOptions
from tracker.progress import CountingBar
from tracker.research.evaluation import egoexo4d_sharing
from tracker.research.evaluation.egoexo4d_command import Run, run_side_by_side
from tracker.research.evaluation.egoexo4d_lines import ReadHands
from tracker.research.evaluation.egoexo4d_presets import PRESETS, find_preset
from tracker.research.evaluation.egoexo4d_run import Job, run_systems
from tracker.research.evaluation.egoexo4d_sharing import FrameMemory
from tracker.research.evaluation.egoexo4d_systems import BoxReader
from tracker.research.ground_truth import egoexo4d
from tracker.research.ground_truth.egoexo4d_values import Tally
from tracker.sampling import sample_crop
from tracker.structs import Frame, HandDetection

pytest.importorskip("onnxruntime")

FILES = ("base", "mano", "potter", "fine")
OPTIONS = ("--checkpoint", "base", "--mano", "mano", "--potter-checkpoint", "potter")
TABLE = (*OPTIONS, "--finetuned", "fine")
HANDS = 15
SEEN: dict[object, HandDetection | None] = {}
"""What the light network, which is no fake, made of a box: it says the same in every test."""


def said_of(pixels: np.ndarray[Any, np.dtype[Any]], weights: str) -> FloatArray:
    """(21, 3) a hand that follows from what a crop shows and from a file of weights."""
    seed = zlib.crc32(np.ascontiguousarray(pixels).tobytes() + weights.encode())
    return open_hand(Side.RIGHT, (0.0, 0.0, 0.0)) + 0.003 * np.random.default_rng(seed).normal(size=(21, 3))


class Fakes:
    """Networks that say what `said_of` says, and count; one of them may fail."""

    def __init__(self) -> None:
        self.loaded: Counter[str] = Counter()
        self.read: Counter[str] = Counter()
        """Calls by file of weights."""
        self.unusable: set[str] = set()
        self.fails_after: dict[str, tuple[int, BaseException]] = {}

    def networks(self) -> Networks:
        return Networks(self._hamer, self._potter)

    def counted(self, name: str) -> None:
        limit, error = self.fails_after.get(name, (10**9, KeyError()))
        if self.read[name] >= limit:
            raise error
        self.read[name] += 1

    def _load(self, path: Path | None) -> str:
        assert path is not None
        self.loaded[path.name] += 1
        if path.name in self.unusable:
            raise WeightsError(f"{path.name} is damaged")
        return path.name

    def _hamer(self, options: HamerOptions) -> Any:
        name = self._load(options.checkpoint)

        def begin(frame: Frame, crops: Sequence[Crop], mirrored: Sequence[bool]) -> Any:
            self.counted(name)
            read = tuple(
                SimpleNamespace(
                    global_orient=np.eye(3),
                    hand_pose=np.tile(np.eye(3), (15, 1, 1)),
                    betas=np.zeros(10),
                    camera=np.array([5.0, 0.05, -0.03]),
                    joints_m=said_of(sample_crop(frame.image_rgb, crop, "black"), name),
                )
                for crop in crops
            )
            return SimpleNamespace(wait=lambda: read)

        return SimpleNamespace(prepare=lambda frame: None, begin=begin)

    def _potter(self, options: PotterOptions) -> Any:
        name = self._load(options.checkpoint)

        def read(crops: Sequence[FloatArray]) -> FloatArray:
            self.counted(name)
            return np.stack([landscape(said_of(crop, name)) for crop in crops])

        return SimpleNamespace(read=read)


@pytest.fixture
def fakes(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Fakes]:
    """Stand-ins for HaMeR and POTTER; pictures and boxes that were read are counted beside their calls."""
    made = Fakes()
    monkeypatch.setattr(egoexo4d_sharing, "Networks", made.networks)
    for name in FILES:
        (tmp_path / name).write_text(name)
    monkeypatch.chdir(tmp_path)
    read_picture, read_box = egoexo4d.read_picture, BoxReader.read

    def picture(path: Path, camera: Any) -> Any:
        made.counted("picture")
        return read_picture(path, camera)

    def box(reader: BoxReader, frame: Frame, box_px: FloatArray, side: Side) -> HandDetection | None:
        made.counted("box")
        key = (zlib.crc32(frame.image_rgb.tobytes()), box_px.tobytes(), side)
        if key not in SEEN:
            SEEN[key] = read_box(reader, frame, box_px, side)
        return SEEN[key]

    monkeypatch.setattr(egoexo4d, "read_picture", picture)
    monkeypatch.setattr(BoxReader, "read", box)
    yield made


def lines_of(name: str, folder: str = "table") -> list[dict[str, Any]]:
    """A system's lines without times, the header first."""
    path = Path(folder) / f"egoexo4d_val_{name}_challenge.jsonl"
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert all(line.pop("took_ms") > 0 for line in lines[1:])
    return lines


def table(made: MadeRelease, *more: str, folder: str = "table") -> int:
    files = ("--hands", folder, *FIGURES)
    return command("evaluate", made.prepared, "--table1", *TABLE, *files, *more)


FIGURES = ("--json", "figures.json", "--overwrite")


def figures() -> dict[str, Any]:
    systems: dict[str, Any] = json.loads(Path("figures.json").read_text())["systems"]
    return {name: system["scores"] for name, system in systems.items()}


def test_the_table_reads_everything_once_and_says_what_each_system_says_alone(
    made_release: MadeRelease, fakes: Fakes
) -> None:
    assert table(made_release) == 0
    of_table = figures()
    assert fakes.loaded == {"base": 1, "potter": 1, "fine": 1}
    # The base network reads affine and virtual crops.
    once = {"picture": 9, "box": HANDS, "potter": 9, "base": 2 * 9, "fine": 9}
    assert fakes.read == once
    for preset in PRESETS.values():
        path = f"alone/egoexo4d_val_{preset.name}_challenge.jsonl"
        weights = TABLE if preset.needs_finetuned else OPTIONS
        alone = ("evaluate", made_release.prepared, "--system", preset.name, *weights, "--hands", path)
        assert command(*alone, *FIGURES) == 0
        scores = json.loads(Path("figures.json").read_text())["scores"]["all"]
        assert scores == of_table[preset.name]  # to the last digit
        assert lines_of(preset.name, "alone") == lines_of(preset.name)
    assert fakes.read["picture"] == 9 * 9 and fakes.read["base"] == (2 + 5) * 9  # as it was: seven times


def test_a_system_goes_on_with_its_lines_of_the_table_and_reads_nothing(
    made_release: MadeRelease, fakes: Fakes
) -> None:
    assert table(made_release) == 0
    of_table = figures()
    fakes.read.clear()
    fakes.loaded.clear()
    lines = "table/egoexo4d_val_ensemble_challenge.jsonl"
    alone = ("evaluate", made_release.prepared, "--system", "ensemble", *OPTIONS, "--hands", lines)
    assert command(*alone, *FIGURES, "--resume") == 0
    assert not fakes.read and not fakes.loaded
    assert json.loads(Path("figures.json").read_text())["scores"]["all"] == of_table["ensemble"]


def test_the_table_takes_in_what_a_system_read_alone(made_release: MadeRelease, fakes: Fakes) -> None:
    """As where weights fit into memory only one by one."""
    lines = Path("table/egoexo4d_val_hamer-ft_challenge.jsonl")
    alone = ("evaluate", made_release.prepared, "--system", "hamer-ft", *TABLE, "--hands", lines)
    assert command(*alone) == 0
    before = lines.read_bytes()
    fakes.read.clear()
    fakes.unusable.add("base")
    assert table(made_release, "--resume") == 1
    assert lines.read_bytes() == before and not fakes.read["fine"]


def test_systems_that_are_ahead_wait_for_the_others(made_release: MadeRelease, fakes: Fakes) -> None:
    assert table(made_release) == 0
    whole = {name: lines_of(name) for name in PRESETS}
    of_table = figures()
    for name in PRESETS:
        path = Path(f"table/egoexo4d_val_{name}_challenge.jsonl")
        kept = {"hamer-align": 10, "potter": 7}.get(name, 4)  # with the header
        path.write_text("".join(path.read_text().splitlines(keepends=True)[:kept]))
    fakes.read.clear()
    assert table(made_release, "--resume") == 0
    assert figures() == of_table
    assert {name: lines_of(name) for name in PRESETS} == whole
    # Three frames were done by all; of the six left the ensembles ask POTTER, hamer and others the base.
    assert fakes.read["picture"] == fakes.read["potter"] == fakes.read["fine"] == 6
    assert fakes.read["base"] == 2 * 6


def test_ctrl_c_is_one_line_and_the_table_goes_on(
    made_release: MadeRelease, fakes: Fakes, capsys: pytest.CaptureFixture[str]
) -> None:
    assert table(made_release, folder="whole") == 0
    of_table = figures()
    capsys.readouterr()
    fakes.fails_after["fine"] = (9 + 4, KeyboardInterrupt())  # in the midst of the fifth frame's systems
    assert table(made_release) != 0
    assert capsys.readouterr().err.splitlines() == [
        "stopped; the hands so far are in 8 files in table, --resume goes on from there"
    ]
    assert len(lines_of("hamer")) == 1 + 5 and len(lines_of("hamer-ft")) == 1 + 4
    fakes.fails_after.clear()
    assert table(made_release, "--resume") == 0
    assert figures() == of_table
    for name in PRESETS:
        assert lines_of(name)[1:] == lines_of(name, "whole")[1:]


def test_weights_that_cannot_be_used_fail_their_systems_only(
    made_release: MadeRelease, fakes: Fakes, capsys: pytest.CaptureFixture[str]
) -> None:
    fakes.unusable.add("potter")
    assert table(made_release) == 1
    output = capsys.readouterr()
    systems = json.loads(output.out.splitlines()[-1])["systems"]
    failed = {name: system["missing"] for name, system in systems.items() if system["missing"]}
    assert failed == dict.fromkeys(("potter", "ensemble", "ensemble-ft"), "cannot run: potter is damaged")
    assert fakes.loaded["potter"] == 1
    assert output.err.splitlines()[:3] == [f"{name} cannot run: potter is damaged" for name in failed]
    assert all(scores["hands"] == HANDS for name, scores in figures().items() if name not in failed)
    # Nothing of theirs is there, so mended weights can take their place.
    fakes.unusable.clear()
    Path("potter").write_text("mended")
    assert table(made_release, "--resume") == 0
    assert all(scores["hands"] == HANDS for scores in figures().values())
    assert fakes.read["base"] == (2 + 1) * 9  # again for the ensembles only


def test_a_network_that_fails_on_the_way_fails_its_systems_only(
    made_release: MadeRelease, fakes: Fakes, capsys: pytest.CaptureFixture[str]
) -> None:
    fakes.fails_after["fine"] = (4, EngineError("cuda has no memory left"))
    assert table(made_release) == 1
    systems = json.loads(capsys.readouterr().out.splitlines()[-1])["systems"]
    failed = {name: system["missing"] for name, system in systems.items() if system["missing"]}
    assert failed == dict.fromkeys(("ensemble-ft", "hamer-ft"), "cannot run: cuda has no memory left")
    assert len(lines_of("hamer")) == 1 + 9 and len(lines_of("hamer-ft")) == len(lines_of("ensemble-ft")) == 5
    fakes.fails_after.clear()
    fakes.read.clear()
    assert table(made_release, "--resume") == 0
    assert fakes.read["fine"] == fakes.read["picture"] == 5
    assert all(scores["hands"] == HANDS for scores in figures().values())


def test_trackers_share_pictures_and_weights_and_nothing_else(
    made_release: MadeRelease, fakes: Fakes, tmp_path: Path
) -> None:
    """Side by side each finds what it finds alone."""
    files = TrackerConfig(hamer=HamerOptions(Path("base"), Path("mano")))
    configs = {name: find_preset(name).over(files) for name in ("hamer-align", "hamer-ray")}

    def runs(folder: str, names: Sequence[str]) -> list[tuple[Run, Tally]]:
        paths = {name: tmp_path / folder / f"{name}.jsonl" for name in names}
        return [(Run(name, "tracker", configs[name], paths[name], False), Tally()) for name in names]

    def silent(line: str) -> None: ...

    takes = takes_of(made_release)
    among = [frame for take in takes for frame in take.frames]
    both = run_side_by_side(runs("both", list(configs)), takes, silent, among=among)
    assert fakes.loaded == {"base": 1} and fakes.read["picture"] == 9
    for name, read in zip(configs, both, strict=True):
        (alone,) = run_side_by_side(runs("alone", [name]), takes, silent, among=among)
        assert isinstance(read, ReadHands) and isinstance(alone, ReadHands)
        assert read.hands and read.hands.keys() == alone.hands.keys()
        for key, joints_m in alone.hands.items():
            np.testing.assert_array_equal(read.hands[key], joints_m)


# The parts


def test_a_shared_reading_takes_each_system_as_long_as_it_took_the_first() -> None:
    now = [0.0]
    memory = FrameMemory(now_s=lambda: now[0])
    frame, other = object(), object()

    def reading(seconds: float) -> Callable[[], str]:
        def read() -> str:
            now[0] += seconds
            return "hand"

        return read

    def timed(frame: Any, of: str, seconds: float) -> float:
        start_s = memory.clock_s()
        assert memory.once(frame, of, reading(seconds)) == "hand"
        return memory.clock_s() - start_s

    assert timed(frame, "hamer", 2.0) == 2.0 and now[0] == 2.0
    assert timed(frame, "hamer", 99.0) == 2.0 and now[0] == 2.0
    assert timed(frame, "potter", 1.0) == 1.0 and now[0] == 3.0
    # Within another reading it counts for that one too.
    whole = memory.clock_s()
    memory.once(frame, "ensemble", lambda: memory.once(frame, "hamer", reading(99.0)))
    assert memory.clock_s() - whole == 2.0 and timed(frame, "ensemble", 99.0) == 2.0 and now[0] == 3.0
    assert timed(other, "hamer", 5.0) == 5.0 and now[0] == 8.0


def test_what_two_systems_were_not_asked_alike_is_read_twice(made_release: MadeRelease) -> None:
    """The same network on other hands of a frame is another reading."""
    calls: list[int] = []
    backend = SimpleNamespace(name="hamer", estimate=lambda frame, hands: calls.append(len(hands)) or hands)
    shared = egoexo4d_sharing.SharedBackend(backend, FrameMemory())
    frame: Any = object()
    hands: list[Any] = [SimpleNamespace(detection=object()) for _ in range(3)]
    assert list(shared.estimate(frame, hands[:2])) == hands[:2]
    assert list(shared.estimate(frame, hands[2:])) == hands[2:]
    assert list(shared.estimate(frame, hands[:2])) == hands[:2]
    assert calls == [2, 1]


def test_weights_are_loaded_once_for_all_crops_and_other_files_apart() -> None:
    fakes = Fakes()
    networks = fakes.networks().shared()
    base = HamerOptions(Path("base"), Path("mano"))
    affine = networks.hamer(HamerOptions(Path("base"), Path("mano"), crop="affine"))
    assert affine is networks.hamer(base) and affine is not networks.hamer(HamerOptions(Path("fine")))
    assert affine is not networks.hamer(HamerOptions(Path("base"), Path("mano"), engine="eager"))
    assert fakes.loaded == {"base": 2, "fine": 1}
    fakes.unusable.add("potter")
    for crop in ("affine", "virtual"):
        with pytest.raises(WeightsError, match="potter is damaged") as refused:
            networks.potter(PotterOptions(Path("potter"), crop=crop))
        assert refused.value.__cause__ is None and refused.value.__context__ is None
    assert fakes.loaded["potter"] == 1


def test_takes_begin_anew_only_for_systems_that_lack_frames_of_them(
    made_release: MadeRelease, tmp_path: Path
) -> None:
    """Of a system that goes by earlier frames a take that was cut short is read from its start."""
    takes, passed, seen = takes_of(made_release), [0], [0]

    def jobs(systems: Mapping[str, KnowingSystem], *, resume: bool) -> list[Job]:
        return [
            Job(name, lambda it=it: it, tmp_path / name, Tally(), stateful=it.stateful, resume=resume)
            for name, it in systems.items()
        ]

    def new() -> dict[str, KnowingSystem]:
        return {"alone": KnowingSystem(), "stream": KnowingSystem(stateful=True), "done": KnowingSystem()}

    run_systems(jobs(new(), resume=False), takes)
    for name, frames in (("alone", 2), ("stream", 7)):
        lines = (tmp_path / name).read_text().splitlines(keepends=True)
        (tmp_path / name).write_text("".join(lines[: 1 + frames]))
    systems = new()
    results = run_systems(
        jobs(systems, resume=True),
        takes,
        passed=lambda frames: passed.append(frames),
        observe=lambda frames: seen.append(frames),
    )
    assert not any(isinstance(result, TrackerError) for result in results)
    assert systems["alone"].asked == ALL[2:] and systems["alone"].begun == 2
    assert systems["stream"].asked == list(SECOND.frames) and systems["stream"].begun == 1
    assert systems["done"].asked == [] and systems["done"].begun == 0
    assert (sum(passed), sum(seen)) == (2, 7) and len(FIRST.frames) == 5


def test_a_log_says_the_rate_and_the_time_to_go_of_this_run(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    now = [0.0]
    monkeypatch.setattr("tracker.progress.time.monotonic", lambda: now[0])
    with CountingBar(1000, unit="frame", what="8 systems") as bar:
        now[0] = 100.0  # weights are loaded
        bar.pass_over(400)
        now[0] = 120.0
        bar.observe(10)
    assert capsys.readouterr().err.splitlines() == ["8 systems: 410 of 1000 frames, 0.50/s, 19:40 to go"]


def test_the_table_is_timed(
    made_release: MadeRelease,
    fakes: Fakes,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    timed = pytest.importorskip("benchmarks.table1", reason="benchmarks are not part of the package")
    monkeypatch.setattr(timed, "PRESETS", {name: PRESETS[name] for name in ("hamer", "hamer-align")})
    monkeypatch.setattr("sys.argv", ["table1", str(made_release.prepared), *TABLE, "--runs", "1"])
    timed.main()
    result = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert result["frames"] == 9 and fakes.read["picture"] == (2 + 1) * 9
    assert result["side by side"]["ms a frame, median"] < result["one after another"]["ms a frame, median"]
