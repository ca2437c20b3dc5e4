"""Two threads on two cores: each has one of its own, wherever the caller runs."""

import os
import threading
from collections.abc import Iterable

import pytest
from scripted_runs import PATIENCE_S, finish, join_or_fail

from tracker.detect.second_core import SecondCore


class Machine:
    """Notes where threads are moved to; the caller is on ``core``."""

    def __init__(self, cores: Iterable[int], *, joined: int = 1) -> None:
        self.core = 0
        self.moves: list[set[int]] = []
        self.second_core = SecondCore(cores=cores, current_core=lambda: self.core, move=self.move)
        for _ in range(joined):
            join_or_fail(finish(self.second_core.join))

    def move(self, thread: int, cores: Iterable[int]) -> None:
        assert thread != threading.get_native_id(), "the caller's own thread is not ours to move"
        self.moves.append(set(cores))


def test_readers_run_where_the_caller_is_not() -> None:
    machine = Machine({0, 1}, joined=2)
    for machine.core in (0, 0, 1, 1, 0):
        machine.second_core.keep_clear()
    assert machine.moves == [{1}, {1}, {0}, {0}, {1}, {1}]  # both, and only when something changed


def test_a_reader_that_joins_later_is_moved_too() -> None:
    machine = Machine({4, 7}, joined=0)
    machine.core = 4
    machine.second_core.keep_clear()
    join_or_fail(finish(machine.second_core.join))
    machine.second_core.keep_clear()
    assert machine.moves == [{7}]


@pytest.mark.parametrize("cores", [(), {0}, {0, 1, 2}, range(16)])
def test_on_other_numbers_of_cores_nothing_is_moved(cores: Iterable[int]) -> None:
    machine = Machine(cores)
    machine.second_core.keep_clear()
    assert machine.moves == []


def test_a_caller_that_is_on_neither_core_moves_nobody() -> None:
    machine = Machine({0, 1})
    machine.core = 5
    machine.second_core.keep_clear()
    assert machine.moves == []


def test_a_system_that_forbids_it_is_asked_once() -> None:
    asked = []

    def forbid(thread: int, cores: Iterable[int]) -> None:
        asked.append(thread)
        raise PermissionError

    second_core = SecondCore(cores={0, 1}, current_core=iter([0, 1, 0]).__next__, move=forbid)
    join_or_fail(finish(second_core.join))
    for _ in range(3):
        second_core.keep_clear()
    assert len(asked) == 1


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="this system does not tell")
def test_the_callers_own_cores_stay_as_they_are() -> None:
    before = os.sched_getaffinity(0)
    joined, done = threading.Event(), threading.Event()
    second_core = SecondCore()
    kept: set[int] = set()

    def read() -> None:
        second_core.join()
        joined.set()
        done.wait(PATIENCE_S)
        kept.update(os.sched_getaffinity(0))

    thread = finish(read)
    assert joined.wait(PATIENCE_S)
    second_core.keep_clear()
    done.set()
    join_or_fail(thread)
    assert os.sched_getaffinity(0) == before
    assert kept < before if len(before) == 2 else kept == before
