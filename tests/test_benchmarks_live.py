"""Benchmarks of live running: their arithmetic, and that they run; a short soak is a test of its own."""

import json
import math
import sys
import time
from fractions import Fraction
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from small_videos import write_video

import tracker

pytest.importorskip("benchmarks.measure", reason="benchmarks are not part of the package")
from benchmarks import churn, clips, sinks, soak
from benchmarks.listening import Arrival
from benchmarks.measure import fit_slope
from benchmarks.program import Footprint

DEMO = Path(tracker.__file__).parent / "models" / "demo.mp4"


def result_of(output: str) -> dict[str, object]:
    result: dict[str, object] = json.loads(output.splitlines()[-1])
    return result


# Arithmetic.


def test_a_slope_is_found_and_its_error_covers_what_it_misses() -> None:
    rng = np.random.default_rng(0)
    times = np.arange(0.0, 1800.0, 10.0)
    misses = []
    for _ in range(200):
        slope = fit_slope(times, 300.0 + 0.01 * times + rng.normal(scale=2.0, size=len(times)))
        assert slope is not None
        misses.append((slope.per_s - 0.01) / slope.error_per_s)
    assert np.std(misses) == pytest.approx(1.0, abs=0.15)


def test_the_error_of_a_slope_holds_for_readings_that_wander() -> None:
    rng = np.random.default_rng(1)
    times = np.arange(0.0, 1800.0, 10.0)
    misses = []
    for _ in range(200):
        wander = np.zeros(len(times))
        for k in range(1, len(times)):
            wander[k] = 0.7 * wander[k - 1] + rng.normal()
        slope = fit_slope(times, wander)
        assert slope is not None
        misses.append(slope.per_s / slope.error_per_s)
    assert 0.7 < np.std(misses) < 1.4  # plain least squares would give 2.4


def test_a_straight_line_has_an_exact_slope_and_too_few_readings_have_none() -> None:
    slope = fit_slope([0.0, 1.0, 2.0, 3.0, 4.0], [1.0, 3.0, 5.0, 7.0, 9.0])
    assert slope is not None and slope.per_s == pytest.approx(2.0) and slope.error_per_s < 1e-9
    assert fit_slope([0.0, 1.0, 2.0], [0.0, 1.0, 2.0]) is None


def some_look(time_s: float, **values: object) -> soak.Look:
    usual: dict[str, object] = {
        "resident_mb": 350.0, "own_mb": 300.0, "threads": 12, "files": 16, "cpu_percent": 50.0, "frames": 300,
        "p50_ms": 10.0, "p95_ms": 12.0, "p99_ms": 15.0, "visits": 1, "playing": True,
    }  # fmt: skip
    return soak.Look(time_s=time_s, **(usual | values))  # type: ignore[arg-type]


def test_growing_memory_threads_and_files_are_faults_and_flat_ones_are_none() -> None:
    rng = np.random.default_rng(2)
    flat = [some_look(10.0 * k, own_mb=300 + rng.normal()) for k in range(180)]
    assert not soak.growth_faults(slope_of(flat)) and not soak.count_faults(flat)
    growing = [some_look(10.0 * k, own_mb=300 + 0.1 * k + rng.normal()) for k in range(180)]
    assert "36" in soak.growth_faults(slope_of(growing))[0]
    leaking = [some_look(10.0 * k, files=16 + k // 100, threads=12) for k in range(180)]
    assert soak.count_faults(leaking) == ["files went from 16 to 17"]


def slope_of(looks: list[soak.Look]) -> soak.Slope | None:
    return fit_slope([look.time_s for look in looks], [look.own_mb for look in looks])


def test_what_is_held_while_the_camera_is_away_does_not_count() -> None:
    looks = [some_look(10.0 * k, files=16 if k < 29 else 20, playing=k < 29) for k in range(30)]
    assert not soak.count_faults(looks)


def test_the_warm_up_is_a_fifth_and_at_least_a_minute_of_a_long_run() -> None:
    def first_of(seconds: int) -> float:
        return soak.after_warm_up([some_look(float(k)) for k in range(seconds + 1)])[0].time_s

    assert [first_of(1800), first_of(200), first_of(60)] == [360.0, 60.0, 20.0]


def test_errors_on_standard_error_are_seen_and_news_are_not() -> None:
    said = "--serve listens at http://127.0.0.1:1/\nthe stream ended; trying again until it is back\n"
    assert soak.error_lines(said) == []
    assert soak.error_lines(said + "Traceback (most recent call last):\nValueError: 3\n") == [
        "Traceback (most recent call last):",
        "ValueError: 3",
    ]


def test_lost_frames_are_those_published_and_not_received() -> None:
    cell = sinks.Cell()
    held = Footprint(cpu_s=1.0, resident_mb=250.0, own_mb=200.0, threads=12, files=16)
    late = Footprint(cpu_s=1.1, resident_mb=260.0, own_mb=210.0, threads=13, files=16)
    arrivals = {k: Arrival(k / 30 + 0.010, k, k / 30, dropped_frames=0 if k < 5 else 2) for k in (3, 4, 7, 9)}
    cell.add(arrivals, held, late)
    row = cell.values(None)
    assert (row["frames"], row["dropped"], row["lost"], row["threads"]) == (4, 2, 1, 13)
    assert row["p50_ms"] == pytest.approx(10.0)
    assert row["cpu_ms_per_frame"] == pytest.approx(25.0)
    assert sinks.added_ms([[12.0, 13.0, 14.0]], [[10.0, 10.0, 19.0]]) == pytest.approx(3.0)


def test_a_lengthened_clip_has_whole_turns_at_the_rate_asked_for(tmp_path: Path) -> None:
    longer = clips.lengthened(DEMO, 300, tmp_path, speed=Fraction(2))
    with clips.av.open(str(longer)) as container:
        times = [packet.pts for packet in container.demux(video=0) if packet.pts is not None]
        base = container.streams.video[0].time_base
    steps_s = np.diff(np.sort(times)) * float(base)
    assert len(times) >= 300 and np.allclose(steps_s, 1 / 60, atol=2e-3)
    assert not math.isclose(steps_s.max(), 0.0)


def test_turns_of_a_clip_follow_without_a_gap_wherever_its_times_begin(tmp_path: Path) -> None:
    """A piece of a recording begins where it was cut out."""
    clip = write_video(tmp_path / "clip.ts", frames=12, rate=40, times=range(1400, 1700, 25))
    with clips.av.open(str(clip)) as container:
        stream = container.streams.video[0]
        ticks = [pts for turn in islice(clips.turns(container, stream), 3) for _, pts, _ in turn]
    times_s = np.sort(ticks) * float(stream.time_base)
    assert len(ticks) == 36 and times_s[0] > 1.0
    np.testing.assert_allclose(np.diff(times_s), 1 / 40, atol=1e-3)


def test_a_resized_clip_keeps_its_pictures_and_times(tmp_path: Path) -> None:
    smaller = clips.resized(DEMO, 640, 360, tmp_path)
    longer = clips.lengthened(smaller, 300, tmp_path)
    with clips.av.open(str(longer)) as container:
        stream = container.streams.video[0]
        times_s = [picture.time for picture in container.decode(stream)]
        assert (stream.width, stream.height) == (640, 360)
    assert len(times_s) == 540 and np.allclose(np.diff(times_s), 1 / 30, atol=2e-3)
    with pytest.raises(ValueError, match="another aspect"):
        clips.resized(DEMO, 640, 480, tmp_path)


# They run.


def test_what_clients_see_is_measured(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("onnxruntime")
    few = ["--rates", "30", "--others", "0", "2", "--frames", "6", "--rounds", "1", "--warm-up", "2"]
    monkeypatch.setattr(sys, "argv", ["sinks", "--ways", "websocket-msgpack, vertices", *few])
    sinks.main()
    rows = result_of(capsys.readouterr().out)["rows"]
    assert isinstance(rows, list) and [row["others"] for row in rows] == [0, 2]
    assert all(row["frames"] >= 1 and 0 < row["p50_ms"] <= row["p99_ms"] for row in rows)
    assert all(row["message_kb"] > 50 for row in rows)


@pytest.mark.skipif(
    not Path("/proc/self/fd").is_dir(), reason="the system does not tell what a process holds"
)
def test_clients_that_come_and_go_leave_no_thread_and_no_file_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The short form of the soak."""
    pytest.importorskip("onnxruntime")
    monkeypatch.setattr(churn, "LONGEST_STAY_S", 0.6)
    monkeypatch.setattr(churn, "LONGEST_PAUSE_S", 0.02)
    args = soak.Args(stream=False, preview=False, visitors=8, minutes=1.0)
    with soak.started(args, tmp_path) as run:
        for turn in range(3):
            end_s = time.monotonic() + 60.0
            while sum(run.churn.visits.values()) < 24 * (turn + 1):
                assert time.monotonic() < end_s, "nobody visits"
                time.sleep(0.02)
            run.look()
        assert run.program.runs and run.listener.cut_off is None
        assert not run.churn.failures and len(run.churn.visits) > 8
        assert not soak.count_faults(run.looks)
        assert not soak.error_lines(run.program.said())
