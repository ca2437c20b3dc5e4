"""Runtime: live keeps to the newest frame, and whatever fails, everything ends and is heard of."""

import signal
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scripted_runs import NotedSink, ScriptedSource, finish, join_or_fail, wait_or_fail
from tracked_values import picture, some_frame

from tracker.errors import SinkFailedError, SourceFailedError
from tracker.runtime import loops
from tracker.runtime.latest import MOST_KEPT, ClosedError, Latest
from tracker.runtime.loops import run_live, run_recorded
from tracker.runtime.outputs import Outputs
from tracker.structs import Frame, TrackedFrame

# The mailbox.


def test_a_mailbox_keeps_the_newest_item_and_counts_the_replaced() -> None:
    mailbox: Latest[int] = Latest()
    for item in range(4):
        mailbox.put(item)
    assert (mailbox.take(), mailbox.replaced) == (3, 3)
    mailbox.put(4)
    assert (mailbox.take(), mailbox.replaced) == (4, 3)


def test_a_closed_mailbox_gives_what_waits_and_then_says_so() -> None:
    mailbox: Latest[int] = Latest()
    mailbox.put(1)
    mailbox.close()
    mailbox.put(2)
    assert mailbox.take() == 1
    for _ in range(2):
        with pytest.raises(ClosedError):
            mailbox.take()


def test_a_taker_that_waits_hears_of_an_item_and_of_the_close() -> None:
    mailbox: Latest[int] = Latest()
    taken: list[int] = []
    first = threading.Event()

    def take_all() -> None:
        with pytest.raises(ClosedError):
            while True:
                taken.append(mailbox.take())
                first.set()

    thread = finish(take_all)
    mailbox.put(7)
    wait_or_fail(first)
    mailbox.close()
    join_or_fail(thread)
    assert taken == [7]


def test_kept_items_keep_their_place_and_outlive_newer_ones() -> None:
    mailbox: Latest[str] = Latest()
    for leave, item in [
        (mailbox.put, "a"),
        (mailbox.keep, "lost"),
        (mailbox.keep, "playing"),
        (mailbox.put, "b"),
        (mailbox.keep, "lost"),
    ]:
        leave(item)
    mailbox.close()
    mailbox.keep("ignored")
    assert [mailbox.take() for _ in range(4)] == ["lost", "playing", "b", "lost"]
    assert mailbox.replaced == 1
    with pytest.raises(ClosedError):
        mailbox.take()


def test_kept_items_do_not_pile_up_before_a_taker_that_is_stuck() -> None:
    mailbox: Latest[int] = Latest()
    mailbox.put(-1)
    for item in range(10 * MOST_KEPT):
        mailbox.keep(item)
    mailbox.close()
    assert mailbox.take() == -1
    assert [mailbox.take() for _ in range(MOST_KEPT)] == list(range(9 * MOST_KEPT, 10 * MOST_KEPT))
    with pytest.raises(ClosedError):
        mailbox.take()


@given(st.lists(st.sampled_from(["put", "keep", "take"]), max_size=40))
def test_whatever_the_order_nothing_kept_is_lost_and_nothing_overtakes(actions: list[str]) -> None:
    mailbox: Latest[tuple[int, str]] = Latest()
    left, taken = 0, []
    for number, action in enumerate(actions):
        if action == "take":
            if left > len(taken) + mailbox.replaced:
                taken.append(mailbox.take())
        else:
            getattr(mailbox, action)((number, action))
            left += 1
    mailbox.close()
    while len(taken) + mailbox.replaced < left:
        taken.append(mailbox.take())
    assert taken == sorted(taken)
    assert [item for item in taken if item[1] == "keep"] == [
        (number, action) for number, action in enumerate(actions) if action == "keep"
    ]


def test_between_two_threads_no_item_is_lost_uncounted_nor_taken_twice() -> None:
    mailbox: Latest[int] = Latest()
    taken: list[int] = []

    def take_all() -> None:
        with pytest.raises(ClosedError):
            while True:
                taken.append(mailbox.take())

    thread = finish(take_all)
    for item in range(5000):
        mailbox.put(item)
    mailbox.close()
    join_or_fail(thread)
    assert len(taken) + mailbox.replaced == 5000
    assert taken == sorted(set(taken)) and taken[-1] == 4999


# The loops.


def process(frame: Frame) -> TrackedFrame:
    return replace(some_frame(index=frame.index, time_s=frame.capture_time_s), dropped_frames=0)


def pictures(count: int) -> Callable[[ScriptedSource], Iterator[Frame]]:
    return lambda source: (picture(index) for index in range(count))


class Run:
    """One run of a loop into a sink, with what was observed."""

    def __init__(self, sink: NotedSink | None = None) -> None:
        self.sink = sink or NotedSink()
        self.observed: list[tuple[TrackedFrame, float]] = []

    def __call__(
        self,
        loop: Callable[..., None],
        source: ScriptedSource,
        process: Callable[[Frame], TrackedFrame] = process,
    ) -> None:
        with Outputs([self.sink], source=source.name, backend="landmarks") as outputs:
            loop(source, process, outputs, lambda tracked, took_s: self.observed.append((tracked, took_s)))

    @property
    def sent(self) -> list[object]:
        return [note for note in self.sink.notes if isinstance(note, int)]


def test_recorded_frames_are_all_processed_in_order() -> None:
    run = Run()
    run(run_recorded, ScriptedSource(pictures(7)))
    assert run.sent == list(range(7))
    assert all(took_s >= 0 and tracked.dropped_frames == 0 for tracked, took_s in run.observed)


class ReadingAhead(ScriptedSource):
    """Reads its frames in a thread of its own before the first is given."""

    def call_when_read(self, prepare: Callable[[Frame], object]) -> None:
        self._prepare = prepare

    def __iter__(self) -> Iterator[Frame]:
        frames = list(super().__iter__())
        join_or_fail(finish(lambda: [self._prepare(frame) for frame in frames]))
        return iter(frames)


@pytest.mark.parametrize(("loop", "kind"), [(run_recorded, ReadingAhead), (run_live, ScriptedSource)])
def test_every_frame_is_prepared_once_in_the_sources_thread_before_its_turn(
    loop: Callable[..., None], kind: type[ScriptedSource]
) -> None:
    prepared: list[Frame] = []
    threads: set[int | None] = set()

    def prepare(frame: Frame) -> None:
        prepared.append(frame)
        threads.add(threading.get_ident())

    def process_prepared(frame: Frame) -> TrackedFrame:
        assert any(frame is other for other in prepared)
        return process(frame)

    with Outputs([], source="script", backend="landmarks") as outputs:
        loop(kind(pictures(7)), process_prepared, outputs, lambda *_: None, prepare)
    assert [frame.index for frame in prepared] == list(range(7))
    assert len(threads) == 1 and threading.get_ident() not in threads


def test_a_source_that_reads_nothing_ahead_needs_no_preparing() -> None:
    def prepare(frame: Frame) -> None:
        raise AssertionError("there is no thread to prepare it in")

    run = Run()
    with Outputs([run.sink], source="script", backend="landmarks") as outputs:
        run_recorded(ScriptedSource(pictures(3)), process, outputs, lambda *_: None, prepare)
    assert run.sent == [0, 1, 2]


def test_a_live_loop_drops_what_it_has_no_time_for_and_counts_it(monkeypatch: pytest.MonkeyPatch) -> None:
    first_taken, all_given = threading.Event(), threading.Event()

    def script(source: ScriptedSource) -> Iterator[Frame]:
        yield picture(0)
        wait_or_fail(first_taken)
        yield from (picture(index) for index in range(1, 5))
        all_given.set()

    def slow_process(frame: Frame) -> TrackedFrame:
        first_taken.set()
        wait_or_fail(all_given)
        return process(frame)

    monkeypatch.setattr(loops.time, "monotonic", lambda: 100.0)
    run, source = Run(), ScriptedSource(script)
    run(run_live, source, slow_process)
    assert run.sent == [0, 4]
    assert run.observed[-1][0].dropped_frames == 3
    assert run.observed[-1][1] == pytest.approx(100.0 - picture(4).capture_time_s)  # since capture
    assert source.closing.is_set()


class Flickering(ScriptedSource):
    """Can be away for a while; its script says when by ``tell``."""

    def call_on_state(self, tell: Callable[[str], None]) -> None:
        self.tell = tell


def test_a_live_loop_passes_states_on_between_the_frames_where_they_belong() -> None:
    """Also where the frames around them were dropped."""
    first_taken, all_given = threading.Event(), threading.Event()

    def script(source: ScriptedSource) -> Iterator[Frame]:
        assert isinstance(source, Flickering)
        yield picture(0)
        wait_or_fail(first_taken)
        yield picture(1)
        source.tell("lost")
        source.tell("playing")
        yield picture(2)
        source.tell("lost")
        all_given.set()

    def slow_process(frame: Frame) -> TrackedFrame:
        first_taken.set()
        wait_or_fail(all_given)
        return process(frame)

    run = Run()
    run(run_live, Flickering(script), slow_process)
    assert run.sink.notes[1:] == [0, "lost", "playing", 2, "lost", "ended", "closed"]
    assert run.observed[-1][0].dropped_frames == 1


def test_ctrl_c_while_the_source_stalls_ends_the_run_and_outputs_are_told() -> None:
    """The handler's exception comes while the loop waits for a frame that never comes."""
    sent = threading.Event()

    def script(source: ScriptedSource) -> Iterator[Frame]:
        yield picture(0)
        wait_or_fail(sent)
        signal.raise_signal(signal.SIGINT)
        wait_or_fail(source.closing)

    sink, source = NotedSink(), ScriptedSource(script)
    with pytest.raises(KeyboardInterrupt), Outputs([sink], source="script", backend="landmarks") as outputs:
        run_live(source, process, outputs, lambda *_: sent.set())
    assert sink.notes[-3:] == [0, "ended", "closed"]
    assert source.closing.is_set() and not source_threads()


def test_ctrl_c_while_the_sources_thread_starts_closes_the_source() -> None:
    def script(source: ScriptedSource) -> Iterator[Frame]:
        signal.raise_signal(signal.SIGINT)
        wait_or_fail(source.closing)
        yield picture(0)

    sink, source = NotedSink(), ScriptedSource(script)
    with pytest.raises(KeyboardInterrupt), Outputs([sink], source="script", backend="landmarks") as outputs:
        run_live(source, process, outputs, lambda *_: None)
    assert source.closing.is_set() and not source_threads()


@pytest.mark.parametrize("failure", [SourceFailedError("unplugged"), ValueError("a bug")])
@pytest.mark.parametrize("loop", [run_live, run_recorded])
def test_a_source_that_fails_is_heard_of_after_its_frames_were_sent(
    loop: Callable[..., None], failure: Exception
) -> None:
    sent = threading.Event()

    def script(source: ScriptedSource) -> Iterator[Frame]:
        yield picture(0)
        if loop is run_live:
            wait_or_fail(sent)
        yield picture(1)
        raise failure

    def noted_process(frame: Frame) -> TrackedFrame:
        sent.set()
        return process(frame)

    run = Run()
    with pytest.raises(type(failure), match=str(failure)):
        run(loop, ScriptedSource(script), noted_process)
    assert run.sent == [0, 1]
    assert run.sink.notes[-2:] == (["ended", "closed"] if loop is run_live else [1, "closed"])


def source_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "source"]


def endless(source: ScriptedSource) -> Iterator[Frame]:
    """A camera that stalls after its first frame, until it is closed."""
    yield picture(0)
    wait_or_fail(source.closing)


def test_a_bug_while_processing_ends_the_source_and_its_thread() -> None:
    def buggy(frame: Frame) -> TrackedFrame:
        raise ZeroDivisionError

    run, source = Run(), ScriptedSource(endless)
    with pytest.raises(ZeroDivisionError):
        run(run_live, source, buggy)
    assert source.closing.is_set() and not source_threads()
    assert run.sink.notes == ["closed"]


def test_an_output_that_breaks_ends_a_live_run() -> None:
    run, source = Run(NotedSink(failing=("send",))), ScriptedSource(endless)
    with pytest.raises(SinkFailedError, match="send broke"):
        run(run_live, source)
    assert source.closing.is_set() and run.sink.notes[-1] == "closed"


def test_a_source_that_does_not_end_when_closed_is_left_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    release = threading.Event()

    def stuck(source: ScriptedSource) -> Iterator[Frame]:
        yield picture(0)
        wait_or_fail(release)

    monkeypatch.setattr(loops, "SOURCE_JOIN_S", 0.01)
    with pytest.raises(SinkFailedError):
        Run(NotedSink(failing=("send",)))(run_live, ScriptedSource(stuck))
    (thread,) = source_threads()
    release.set()
    join_or_fail(thread)
