"""Engines that share a thread: turns in order, sleep without work, an end and a new beginning."""

import threading
import time
from itertools import pairwise

from tasks.engines.step_thread import PATIENCE, StepThread, step_thread

DEADLINE = 120.0  # seconds, after which a thread is taken to hang


class Counting:
    """An engine with some steps to do, which notes on which thread and in which order it got its turns."""

    def __init__(self, name: str, steps: int, turns: list[str], waiting: int = 1) -> None:
        self.name = name
        self.steps = steps
        self.waiting = waiting
        self.turns = turns
        self.threads: set[int] = set()
        self.idle_turns = 0
        self.done = False

    def turn(self) -> bool:
        self.threads.add(threading.get_ident())
        if not self.steps:
            self.idle_turns += 1
            return False
        self.steps -= 1
        self.turns.append(self.name)
        return True


def until(reached: object) -> None:
    deadline = time.monotonic() + DEADLINE
    while not reached():  # type: ignore[operator]
        assert time.monotonic() < deadline
        time.sleep(0.001)


def test_engines_take_turns_on_one_thread() -> None:
    turns: list[str] = []
    thread = StepThread()
    engines = [Counting("a", 100_000, turns), Counting("b", 100_000, turns)]
    for engine in engines:
        thread.add(engine)
    until(lambda: turns.count("b") > 50)
    for engine in engines:
        engine.done = True
    until(lambda: not thread._running)
    assert engines[0].threads == engines[1].threads
    both = turns[turns.index("b") :]
    assert all(first != second for first, second in pairwise(both))


def test_an_engine_with_less_to_do_lets_the_busiest_go_first_but_not_for_ever() -> None:
    turns: list[str] = []
    thread = StepThread()
    engines = [Counting("busy", 100_000, turns, waiting=200), Counting("few", 100_000, turns, waiting=3)]
    thread._engines = list(engines)
    rounds = [[engine.name for engine in thread._next()] for _ in range(2 * PATIENCE + 2)]
    assert rounds == [*[["busy"]] * PATIENCE, ["busy", "few"]] * 2
    engines[1].waiting = 200
    assert [engine.name for engine in thread._next()] == ["busy", "few"], "as many: both"
    engines[1].waiting = 0
    assert [engine.name for engine in thread._next()] == ["busy", "few"], (
        "without requests it may want to load or close"
    )


def test_an_engine_that_let_another_go_first_is_not_slept_over_where_that_one_had_nothing_to_do() -> None:
    thread = StepThread()
    refusing, few = Counting("refusing", 0, [], waiting=200), Counting("few", 2, [], waiting=3)
    thread._engines = [refusing]
    thread.add(few)
    until(lambda: few.steps == 0)
    refusing.done = few.done = True
    thread.wake()
    until(lambda: not thread._running)


def test_without_work_the_thread_sleeps_until_it_is_woken() -> None:
    thread = StepThread()
    engine = Counting("a", 0, [])
    thread.add(engine)
    until(lambda: engine.idle_turns)
    time.sleep(0.05)
    asleep = engine.idle_turns
    time.sleep(0.1)
    assert engine.idle_turns == asleep <= 2
    engine.steps = 3
    thread.wake()
    until(lambda: engine.steps == 0)


def test_the_thread_ends_with_its_last_engine_and_begins_again_with_the_next() -> None:
    thread = StepThread()
    first = Counting("a", 1, [])
    first.done = True
    thread.add(first)
    until(lambda: not thread._running)
    second = Counting("b", 2, [])
    thread.add(second)
    until(lambda: second.steps == 0)
    assert first.steps == 0


def test_engines_with_a_process_of_their_own_have_a_thread_of_their_own() -> None:
    assert step_thread(own_process=False) is step_thread(own_process=False)
    assert step_thread(own_process=True) is not step_thread(own_process=True)
