"""Intervals of means: Wilson's of zeros and ones, sound for anything in between, and of paired differences."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from overthink.tasks.analysis.intervals import mean_interval, paired_difference
from overthink.tasks.analysis.selectors import Floats

NAN = float("nan")
MEANS = (0.02, 0.05, 0.1, 0.3, 0.5, 0.7, 0.9, 0.95, 0.98)
Draw = Callable[[np.random.Generator, float, int], Floats]  # problems' accuracies, by their mean


def right_or_wrong(generator: np.random.Generator, mean: float, size: int) -> Floats:
    return (generator.random(size) < mean).astype(float)


def expected(generator: np.random.Generator, mean: float, size: int) -> Floats:
    """Accuracies to expect of problems most of which are solved always or never."""
    return generator.beta(mean / 2, (1 - mean) / 2, size)


def shares_of_16(generator: np.random.Generator, mean: float, size: int) -> Floats:
    """pass@1 of 16 rollouts."""
    return generator.binomial(16, generator.beta(mean, 1 - mean, size)) / 16


def alike(generator: np.random.Generator, mean: float, size: int) -> Floats:
    """Problems that are about as hard as each other."""
    return generator.beta(20 * mean, 20 * (1 - mean), size)


def interval(values: Floats) -> tuple[float, float]:
    return mean_interval(values) or (NAN, NAN)


def coverage(draw: Draw, mean: float, size: int, repeats: int) -> tuple[float, float]:
    """(share of intervals that hold the mean, mean width)."""
    generator = np.random.default_rng([size, round(1000 * mean)])
    found = np.array([interval(draw(generator, mean, size)) for _ in range(repeats)])
    return float(((found[:, 0] <= mean) & (mean <= found[:, 1])).mean()), float(np.diff(found, axis=1).mean())


@given(st.integers(1, 400).flatmap(lambda count: st.tuples(st.integers(0, count), st.just(count))))
def test_of_zeros_and_ones_it_is_wilsons(counts: tuple[int, int]) -> None:
    right, count = counts
    wilson = stats.binomtest(right, count).proportion_ci(method="wilson")
    found = interval(np.r_[np.ones(right), np.zeros(count - right)])
    assert found == pytest.approx((wilson.low, wilson.high), abs=1e-9)


@pytest.mark.parametrize("draw", [right_or_wrong, expected, shares_of_16, alike])
@pytest.mark.parametrize("size", [10, 30, 100])
def test_it_covers_the_mean_about_19_times_in_20_and_more(draw: Draw, size: int) -> None:
    # Wilson's own coverage of zeros and ones swings about 95 %, as their sums are whole numbers.
    least = {mean: coverage(draw, mean, size, repeats=1000)[0] for mean in MEANS}
    assert min(least.values()) >= 0.90, least
    assert np.mean(list(least.values())) >= 0.935


def test_the_mean_of_accuracies_to_expect_is_known_better_than_wilsons_interval_says() -> None:
    for mean in (0.1, 0.5, 0.9):
        wilson = stats.binomtest(round(500 * mean), 500).proportion_ci(method="wilson")
        width = coverage(alike, mean, 500, repeats=50)[1]
        assert width < 0.35 * (wilson.high - wilson.low), mean


def test_a_jump_that_the_sample_did_not_show_is_allowed_for() -> None:
    """One problem in 100 is solved, the others hardly ever: 30 of them mostly show nothing of it."""
    generator = np.random.default_rng(0)
    mean = 0.01 + 0.99 * 0.001
    draws = [np.where(generator.random(30) < 0.01, 1.0, 0.001) for _ in range(400)]
    assert np.mean([low <= mean <= high for low, high in map(interval, draws)]) >= 0.95


@pytest.mark.parametrize("size", [1, 2, 10, 200])
def test_it_contains_the_mean_and_stays_within_the_bounds(size: int) -> None:
    accuracies = np.random.default_rng(size).random(size)
    low, high = interval(accuracies)
    assert 0 <= low < accuracies.mean() < high <= 1


def test_it_shrinks_with_more_problems() -> None:
    widths = [np.diff(interval(np.tile([0.0, 1.0], count)))[0] for count in (10, 250)]
    # The width goes with 1/sqrt(problems): 25 times the problems, a fifth of the width.
    assert widths[0] / widths[1] == pytest.approx(5, rel=0.1)


@pytest.mark.parametrize("value", [0.0, 0.25, 1.0])
def test_of_values_that_are_all_alike_it_is_no_point(value: float) -> None:
    low, high = interval(np.full(30, value))
    assert low <= value <= high
    # As of 30 wrong answers on the way to all right, of 30 right ones on the way to all wrong: Wilson's 11.35 %.
    assert (value - low, high - value) == pytest.approx((0.113513 * value, 0.113513 * (1 - value)), abs=1e-6)


def test_more_confidence_is_a_wider_interval() -> None:
    accuracies = np.tile([0.0, 0.5, 1.0], 20)
    narrow, wide = (mean_interval(accuracies, confidence) or (NAN, NAN) for confidence in (0.8, 0.99))
    assert wide[0] < narrow[0] < narrow[1] < wide[1]


def test_of_no_problem_there_is_none() -> None:
    assert mean_interval(np.ones(0)) is None


def test_a_paired_difference_is_the_difference_of_the_means_and_its_interval_holds_it() -> None:
    generator = np.random.default_rng(0)
    first, second = generator.random(80), generator.random(80)
    found = paired_difference(first, second)
    assert found.accuracy == pytest.approx(first.mean() - second.mean(), abs=1e-12)
    assert found.interval is not None
    assert found.interval[0] < found.accuracy < found.interval[1]


def test_pairing_takes_the_difficulty_of_the_problems_out_of_the_interval() -> None:
    difficulty = np.linspace(0, 0.9, 100)
    better = paired_difference(difficulty + 0.1, difficulty)
    assert better.interval is not None
    assert better.interval[0] > 0.05
    assert interval(difficulty + 0.1)[0] < interval(difficulty)[1], "apart, the two could not be told apart"


def test_a_paired_difference_turns_its_sign_with_its_sides() -> None:
    first, second = np.tile([0.0, 1.0, 1.0], 20), np.tile([1.0, 0.0, 0.5], 20)
    there, back = paired_difference(first, second), paired_difference(second, first)
    assert there.accuracy == -back.accuracy
    assert there.interval is not None
    assert back.interval is not None
    assert there.interval == pytest.approx((-back.interval[1], -back.interval[0]), abs=1e-12)


@pytest.mark.parametrize(("first", "second"), [(0.0, 0.0), (1.0, 1.0), (1.0, 0.0)])
def test_a_difference_of_what_is_always_or_never_right_is_no_point(first: float, second: float) -> None:
    found = paired_difference(np.full(60, first), np.full(60, second))
    assert found.interval is not None
    unseen = 2 if first != second else 1  # how far a problem could be from those seen
    share = 3.841459 / 63.841459
    assert found.interval[0] == pytest.approx(first - second - unseen * share, abs=1e-6)
    assert found.interval[1] == pytest.approx(min(1.0, first - second + share), abs=1e-6)


@pytest.mark.parametrize(("better", "worse"), [(0.7, 0.5), (0.05, 0.0), (0.98, 0.98), (0.3, 0.0)])
def test_the_interval_of_a_paired_difference_covers_the_truth_19_times_in_20(better: float, worse: float) -> None:
    generator = np.random.default_rng(2)
    covered = 0
    for _ in range(400):
        first, second = generator.random(60) < better, generator.random(60) < worse
        low, high = paired_difference(first.astype(float), second.astype(float)).interval or (NAN, NAN)
        covered += low <= better - worse <= high
    assert covered / 400 >= 0.94


def test_one_problem_has_a_difference_and_hardly_an_interval() -> None:
    found = paired_difference(np.ones(1), np.zeros(1))
    assert found.accuracy == 1.0
    assert found.interval == pytest.approx((1 - 2 * 0.793454, 1.0), abs=1e-5)


@pytest.mark.parametrize(("first", "second"), [(3, 2), (0, 0)])
def test_problems_that_cannot_be_paired_are_refused(first: int, second: int) -> None:
    with pytest.raises(ValueError, match=f"{first} and {second} problems cannot be paired"):
        paired_difference(np.ones(first), np.ones(second))
