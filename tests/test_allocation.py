"""A total shared out among problems: by hand, and against every way there is."""

from collections.abc import Sequence
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from overthink.tasks.analysis.selectors import Floats
from overthink.tasks.strategy.allocation import allocate

CHECKED = settings(deadline=None, derandomize=True, max_examples=60)
COSTS = np.array([[1.0, 2.0, 4.0]] * 3)
VALUES = np.array([[0.9, 0.9, 0.95], [0.2, 0.5, 0.8], [0.0, 0.1, 0.7]])


@pytest.mark.parametrize(
    ("total", "chosen"),
    [
        (3, [0, 0, 0]),
        (4, [0, 1, 0]),  # 0.3 for 1 is the steepest step
        (6, [0, 2, 0]),  # then comes 0.7 for 3, which does not fit into 2; 0.3 for 2 does
        (7, [0, 1, 2]),
        (9, [0, 2, 2]),
        (11, [0, 2, 2]),  # the second option gains the first problem nothing
        (12, [2, 2, 2]),
        (1000, [2, 2, 2]),
    ],
)
def test_by_hand(total: float, chosen: list[int]) -> None:
    assert allocate(VALUES, COSTS, total).tolist() == chosen


def test_options_need_no_order_and_worse_ones_are_never_bought() -> None:
    values, costs = np.array([[0.6, 0.1, 0.5]]), np.array([[3.0, 1.0, 7.0]])
    assert allocate(values, costs, 100).tolist() == [0]
    assert allocate(values, costs, 2.9).tolist() == [1]


def test_of_equally_cheap_options_the_best_is_the_start() -> None:
    assert allocate(np.array([[0.1, 0.3, 0.2]]), np.array([[1.0, 1.0, 1.0]]), 1).tolist() == [1]


def test_what_even_the_cheapest_cost_is_said() -> None:
    with pytest.raises(ValueError, match="the cheapest options cost 3 in all, more than 2.5"):
        allocate(VALUES, COSTS, 2.5)


@pytest.mark.parametrize(("values", "costs"), [(np.nan, 1.0), (0.5, np.nan), (0.5, np.inf)])
def test_nothing_is_shared_out_by_unknown_numbers(values: float, costs: float) -> None:
    with pytest.raises(ValueError, match="with known values"):
        allocate(np.array([[values]]), np.array([[costs]]), 10)


WHOLE = st.integers(0, 20).map(float)
SIZES = st.tuples(st.integers(1, 4), st.integers(1, 4))
DRAWN = SIZES.flatmap(lambda size: st.tuples(arrays(float, size, elements=WHOLE), arrays(float, size, elements=WHOLE)))


def at(numbers: Floats, chosen: Sequence[int]) -> float:
    return float(numbers[np.arange(len(numbers)), list(chosen)].sum())


def best_of_all(values: Floats, costs: Floats, total: float) -> float:
    ways = product(range(values.shape[1]), repeat=len(values))
    return max(at(values, way) for way in ways if at(costs, way) <= total)


@CHECKED
@given(DRAWN, st.integers(0, 60))
def test_the_total_holds_and_less_than_one_step_is_lost(drawn: tuple[Floats, Floats], spare: int) -> None:
    values, costs = drawn
    total = costs.min(axis=1).sum() + spare
    chosen = allocate(values, costs, total).tolist()
    assert at(costs, chosen) <= total
    largest = (values.max(axis=1) - values.min(axis=1)).max()
    best = best_of_all(values, costs, total)
    assert best - max(largest, 1e-9) < at(values, chosen) <= best


@CHECKED
@given(DRAWN, st.integers(0, 60))
def test_no_problem_could_do_better_with_what_is_left(drawn: tuple[Floats, Floats], spare: int) -> None:
    values, costs = drawn
    total = costs.min(axis=1).sum() + spare
    chosen = allocate(values, costs, total).tolist()
    left = total - at(costs, chosen)
    for problem, option in enumerate(chosen):
        within = costs[problem] <= costs[problem, option] + left
        assert values[problem][within].max() == values[problem, option]


@CHECKED
@given(st.lists(st.lists(st.integers(1, 9), min_size=3, max_size=3), min_size=1, max_size=4), st.integers(0, 12))
def test_where_gains_fall_and_steps_cost_alike_it_is_the_best(gains: list[list[int]], spare: int) -> None:
    values = np.cumsum([sorted(row, reverse=True) for row in gains], axis=1).astype(float)
    costs = np.tile(np.arange(3.0), (len(values), 1))
    assert at(values, allocate(values, costs, spare).tolist()) == best_of_all(values, costs, spare)
