"""Cores go to the engines that are at work."""

import os
import time

import pytest

from overthink.tasks.engines.vllm.cores import SEATS, SECONDS_KEPT, CoreTable, Seat, SharedCores, part


@pytest.mark.parametrize(
    ("cores", "engines", "parts"), [(2, 1, [2]), (2, 2, [1, 1]), (7, 3, [3, 2, 2]), (2, 3, [1, 1, 1])]
)
def test_parts_are_equal_and_take_all(cores: int, engines: int, parts: list[int]) -> None:
    assert [part(cores, engines, before) for before in range(engines)] == parts


def engine(seat: Seat, told: list[int]) -> SharedCores:
    return SharedCores(os.dup(seat.descriptor), seat.number, 8, told.append)


def test_an_engine_alone_at_work_has_all_cores_and_two_share_them(monkeypatch: pytest.MonkeyPatch) -> None:
    table, policy, prm = CoreTable(), [0], [0]
    seats = table.seat(), table.seat()
    first, second = engine(seats[0], policy), engine(seats[1], prm)
    first.work()
    first.work()
    assert policy == [0, 8], "threads are set only when their number changes"
    second.work()
    first.work()
    assert (policy, prm) == ([0, 8, 4], [0, 4])
    second.rest()
    first.work()
    assert policy[-1] == 4, "it is back in a moment"
    now = time.monotonic()
    monkeypatch.setattr("time.monotonic", lambda: now + 2 * SECONDS_KEPT)
    first.work()
    assert policy[-1] == 8


def test_an_engine_that_died_at_work_is_not_counted_and_its_place_is_free() -> None:
    table, told = CoreTable(), [0]
    dead, living = table.seat(), table.seat()
    engine(dead, [0]).work()
    dead.leave()
    dead.leave()
    engine(living, told).work()
    assert told[-1] == 8
    numbers = {table.seat().number for _ in range(SEATS - 2)}
    assert dead.number not in numbers
    assert table.seat().number == dead.number
