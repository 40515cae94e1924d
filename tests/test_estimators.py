"""Estimators against brute force over all subsets."""

import math
from dataclasses import replace
from functools import partial
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from overthink.tasks.analysis import selectors
from overthink.tasks.analysis.estimators import (
    SUBSETS,
    Estimate,
    all_subsets,
    best_of,
    estimates,
    estimates_after,
    pass_at_n,
    random_subsets,
    vote_of,
)
from overthink.tasks.analysis.selectors import (
    BY_DEFAULT,
    SELECTORS,
    Candidates,
    Floats,
    Selector,
    SelectorName,
    candidates,
    choose,
    needs_prm,
    values_of,
)
from overthink.tasks.analysis.signals import SIGNAL_NAMES

NAN = float("nan")
DRAWINGS = 16  # of subsets, so that chance leaves little room
CHECKED = settings(deadline=None, derandomize=True, max_examples=120)
SCORE = st.one_of(st.integers(0, 8).map(lambda eighths: eighths / 8), st.just(NAN))
ROLLOUTS = st.lists(st.tuples(st.sampled_from([None, "a", "b", "c"]), SCORE), min_size=1, max_size=8)
Rollouts = list[tuple[str | None, float]]
VOTED: Rollouts = [
    *[("a", 0.5), ("b", 0.625), ("c", 0.25), ("b", 0.25)],
    *[("a", 0.375), ("a", 0.25), ("c", 1.0), ("b", 0.125)],
]


def graded(rollouts: Rollouts) -> Candidates:
    """Answer a is right, b is wrong, and the verdict on c is unknown; each signal is the score."""
    keys = [key for key, _ in rollouts]
    verdicts = {"a": True, "c": None}
    scores = [score for _, score in rollouts]
    signals = dict.fromkeys(SIGNAL_NAMES, scores)
    return candidates(keys, [verdicts.get(str(key), False) for key in keys], [[score] for score in scores], signals)


def estimate(selector: SelectorName, rollouts: Candidates, n: int, seed: int) -> Estimate:
    return estimates([selector], rollouts, [n], seed)[selector, n]


def brute_force(selector: SelectorName, rollouts: Rollouts, n: int, pilot: int = 0) -> tuple[float, float]:
    """The shares of subsets whose choice is right, and right or unknown; the first `pilot` are in all of them."""
    right, perhaps = [], []
    for others in combinations(rollouts[pilot:], n - pilot):
        subset = [*rollouts[:pilot], *others]
        chosen = choose(selector, graded(subset))
        answer = None if chosen is None else subset[chosen][0]
        right.append(answer == "a")
        perhaps.append(answer in ("a", "c"))
    return sum(right) / len(right), sum(perhaps) / len(perhaps)


@CHECKED
@given(rollouts=ROLLOUTS)
def test_every_selector_at_every_n_equals_the_mean_over_all_subsets(rollouts: Rollouts) -> None:
    budgets = range(1, len(rollouts) + 1)
    found = estimates([*SELECTORS], graded(rollouts), budgets, seed=7)
    assert set(found) == {(selector, n) for selector in SELECTORS for n in budgets}
    for (selector, n), estimated in found.items():
        low, high = brute_force(selector, rollouts, n)
        assert estimated == Estimate(pytest.approx(low, abs=1e-12), pytest.approx(high, abs=1e-12), "exact")
        if high - low < 1 - 1e-9:
            assert estimated.accuracy == pytest.approx(low / (1 - high + low), abs=1e-12)
            assert low - 1e-12 <= estimated.accuracy <= high + 1e-12
        else:
            assert estimated.accuracy is None


def test_a_choice_whose_verdict_is_unknown_is_not_a_wrong_one() -> None:
    rollouts = candidates(["x", "x", "y"], [None, None, True], None)
    voted, oracle, one = (estimate(*case, seed=0) for case in (("majority", rollouts, 3), ("oracle", rollouts, 3),
                                                               ("majority", rollouts, 1)))  # fmt: skip
    assert (voted.low, voted.high, voted.unknown, voted.accuracy) == (0.0, 1.0, 1.0, None)
    assert (oracle.low, oracle.high, oracle.unknown, oracle.accuracy) == (1.0, 1.0, 0.0, 1.0)
    assert (one.low, one.high) == (pytest.approx(1 / 3), pytest.approx(1.0))
    assert one.accuracy == pytest.approx(1.0), "the only verdict that is known is a right one"


@pytest.mark.parametrize("selector", SELECTORS)
@pytest.mark.parametrize("n", [1, 4, 20])
def test_where_every_verdict_is_unknown_so_is_the_accuracy(selector: SelectorName, n: int) -> None:
    found = estimate(selector, graded([("c", 0.5)] * 20), n, seed=0)
    assert (found.low, found.high, found.accuracy) == (0.0, pytest.approx(1.0), None)


@CHECKED
@given(rollouts=ROLLOUTS, selector=st.sampled_from([s for s in SELECTORS if s.endswith("_vote")]), data=st.data())
def test_sampled_votes_are_within_3_standard_errors_of_the_mean_over_all_subsets(
    rollouts: Rollouts, selector: SelectorName, data: st.DataObject
) -> None:
    n, seed = data.draw(st.integers(1, len(rollouts))), data.draw(st.integers(0, 1_000))
    problem = graded(rollouts)
    drawings = [random_subsets(len(rollouts), n, 1_000 * drawing + seed) for drawing in range(DRAWINGS)]
    values, ballot = values_of(selector, problem), SELECTORS[selector].ballot
    found = [vote_of(values, problem.groups, subsets, problem.correct, ballot) for subsets in drawings]
    expected, _ = brute_force(selector, rollouts, n)
    error = math.sqrt(expected * (1 - expected) / (DRAWINGS * SUBSETS))
    assert abs(np.mean(found) - expected) <= 3 * error + 1e-12


def test_sampled_votes_scatter_around_the_truth_as_independent_draws_do() -> None:
    problem = graded(VOTED)
    values = values_of("majority", problem)
    expected, _ = brute_force("majority", VOTED, 4)
    found = [vote_of(values, problem.groups, random_subsets(8, 4, seed), problem.correct) for seed in range(200)]
    error = math.sqrt(expected * (1 - expected) / SUBSETS)
    assert np.mean(found) == pytest.approx(expected, abs=3 * error / math.sqrt(200))
    assert np.std(found) == pytest.approx(error, rel=0.2)


@pytest.mark.parametrize("selector", SELECTORS)
@pytest.mark.parametrize("n", [1, 6])
def test_one_rollout_and_all_rollouts_are_exact(selector: SelectorName, n: int) -> None:
    rollouts = graded([("a", 0.5), ("b", 0.25), (None, 0.75), ("a", NAN), ("b", 1.0), ("c", 0.5)])
    assert estimate(selector, rollouts, n, seed=0).estimator == "exact"


@pytest.mark.parametrize("selector", ["oracle", *(s for s in SELECTORS if s.endswith("_max"))])
def test_oracle_and_best_score_are_exact_at_every_n(selector: SelectorName) -> None:
    rollouts = graded([("a", 0.5), ("b", 0.25), (None, 0.75), ("a", NAN), ("b", 1.0)])
    assert {estimate(selector, rollouts, n, seed=0).estimator for n in range(1, 6)} == {"exact"}


@pytest.mark.parametrize(("n", "estimator"), [(1, "exact"), (2, "exact"), (3, "monte_carlo"), (18, "exact")])
def test_votes_say_that_they_are_sampled_where_there_are_too_many_subsets(n: int, estimator: str) -> None:
    rollouts = graded([("a", 1.0), ("b", 1.0)] * 10)  # 20, 190, 1,140 and 190 subsets
    assert estimate("majority", rollouts, n, seed=0).estimator == estimator


@pytest.mark.parametrize("n", [1, 599, 600])
def test_one_all_but_one_and_all_of_many_rollouts_are_exact(n: int) -> None:
    assert estimate("majority", graded([("b", 1.0), ("a", 1.0)] * 300), n, seed=0).estimator == "exact"


def test_estimates_are_those_of_each_selector_and_n_alone() -> None:
    rollouts = graded(VOTED * 3)
    together = estimates([*SELECTORS], rollouts, [1, 5, 24], seed=3)
    assert together == {pair: estimate(pair[0], rollouts, pair[1], seed=3) for pair in together}


def test_one_rollout_counts_right_ones_that_have_a_say() -> None:
    rollouts = graded([("a", 0.5), ("a", NAN), ("b", 0.5), (None, 0.5)])
    assert (estimate("prm_min_vote", rollouts, 1, 0).accuracy, estimate("majority", rollouts, 1, 0).accuracy) == (
        0.25,
        0.5,
    )


@pytest.mark.parametrize("selector", ["majority", "prm_last_vote", "oracle", "prm_last_max"])
def test_nobody_has_a_say_is_accuracy_zero(selector: SelectorName) -> None:
    rollouts = graded([(None, 0.5)] * 4)
    assert [estimate(selector, rollouts, n, 0).accuracy for n in (1, 2, 4)] == [0.0, 0.0, 0.0]


@pytest.mark.parametrize("n", [-1, 0, 4])
def test_n_out_of_range_is_refused(n: int) -> None:
    with pytest.raises(ValueError, match=r"must lie within 1\.\.3"):
        estimate("majority", graded([("a", 1.0)] * 3), n, seed=0)


def test_no_rollouts_are_refused() -> None:
    with pytest.raises(ValueError, match=r"1\.\.0"):
        estimate("majority", graded([]), 1, seed=0)


def test_the_estimate_depends_on_its_arguments_alone() -> None:
    rollouts = graded(VOTED * 3)
    first = estimate("prm_last_vote", rollouts, 3, seed=5)
    np.random.seed(1)
    for other in range(3):
        estimate("majority", rollouts, 3, seed=other)
    random_subsets.cache_clear()
    assert estimate("prm_last_vote", rollouts, 3, seed=5) == first


def test_another_seed_draws_other_subsets() -> None:
    assert not np.array_equal(random_subsets(8, 3, 0), random_subsets(8, 3, 1))


def test_subsets_are_ascending_and_without_repeats() -> None:
    subsets = random_subsets(8, 3, 0)
    assert subsets.shape == (SUBSETS, 3)
    assert (np.diff(subsets, axis=1) > 0).all()


def test_all_subsets_are_each_there_once() -> None:
    assert all_subsets(4, 2).tolist() == [[0, 1], [0, 2], [0, 3], [1, 2], [1, 3], [2, 3]]


@pytest.mark.parametrize(
    ("right", "count", "n"), [(r, c, n) for c in (1, 4, 6) for r in range(c + 1) for n in range(1, c + 1)]
)
def test_pass_at_n_equals_enumeration(right: int, count: int, n: int) -> None:
    subsets = list(combinations([True] * right + [False] * (count - right), n))
    assert pass_at_n(right, count, n) == pytest.approx(sum(map(any, subsets)) / len(subsets), abs=1e-12)


@pytest.mark.parametrize(("right", "count", "n"), [(3, 200, 10), (100, 256, 64), (1, 10_000, 4)])
def test_pass_at_n_equals_humanevals_product_form(right: int, count: int, n: int) -> None:
    product = math.prod(1 - n / k for k in range(count - right + 1, count + 1))
    assert pass_at_n(right, count, n) == pytest.approx(1 - product, abs=1e-9)


def test_best_of_is_a_probability_for_many_rollouts() -> None:
    values = np.linspace(0, 1, 512)
    assert best_of(values, 256, np.ones(512, dtype=np.bool_)) == pytest.approx(1.0, abs=1e-12)


def test_selectors_that_need_a_prm_are_those_named_for_it() -> None:
    assert [s for s in SELECTORS if needs_prm(s)] == [s for s in SELECTORS if s.startswith("prm_")]


def test_a_recipe_that_lists_no_selectors_gets_those_of_answers_step_scores_and_tests() -> None:
    by_tests = ("tests_max", "tests_vote", "behaviour_vote", "codet")
    assert ("majority", *(s for s in SELECTORS if needs_prm(s)), *by_tests, "oracle") == BY_DEFAULT


@CHECKED
@given(ROLLOUTS, st.data())
def test_after_a_pilot_every_selector_agrees_with_all_subsets_that_hold_it(
    rollouts: Rollouts, data: st.DataObject
) -> None:
    pilot = data.draw(st.integers(0, len(rollouts)))
    n = data.draw(st.integers(max(pilot, 1), len(rollouts)))
    found = estimates_after(SELECTORS, graded(rollouts), pilot, n, seed=0)
    for selector in SELECTORS:
        low, high = brute_force(selector, rollouts, n, pilot)
        assert (found[selector].low, found[selector].high) == pytest.approx((low, high), abs=1e-12), selector


def test_a_lucky_pilot_stays_in_what_is_estimated_after_it() -> None:
    # The only right one is in the pilot: with it any best score is right, over all subsets of four but half the time.
    rollouts = candidates(["a"] + ["b"] * 7, [True] + [False] * 7, [[0.9]] + [[0.1]] * 7)
    assert estimates_after(["prm_last_max"], rollouts, 2, 4, seed=0) == {"prm_last_max": Estimate(1.0, 1.0, "exact")}
    assert estimates(["prm_last_max"], rollouts, [4], seed=0)["prm_last_max", 4].accuracy == pytest.approx(0.5)


@pytest.mark.parametrize("n", [1, 5])
def test_after_a_pilot_n_is_neither_less_than_it_nor_more_than_there_are(n: int) -> None:
    rollouts = candidates(["a"] * 4, [True] * 4, None)
    with pytest.raises(ValueError, match=r"must lie within 2\.\.4"):
        estimates_after(["majority"], rollouts, 2, n, seed=0)


@pytest.mark.parametrize(("ours", "twin"), [("ours_vote", "prm_min_vote"), ("ours_max", "prm_min_max")])
def test_a_selector_of_other_make_is_estimated_by_its_own_choices(
    ours: str, twin: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that chooses as a known one does, by a function that the closed forms do not know."""
    known = SELECTORS[twin]

    def least(rollouts: Candidates) -> Floats:
        assert rollouts.steps is not None
        return np.array([min(steps) for steps in rollouts.steps])

    other = Selector(ours, partial(known.pick), least, signal="prm")
    monkeypatch.setattr(selectors, "SELECTORS", {**SELECTORS, ours: other})
    rollouts = graded(VOTED)
    found = estimates([ours, twin], rollouts, range(1, 9), seed=7)
    after = estimates_after([ours, twin], rollouts, 2, 5, seed=7)
    for one, other_one in [*((found[ours, n], found[twin, n]) for n in range(1, 9)), (after[ours], after[twin])]:
        assert (one.low, one.high) == pytest.approx((other_one.low, other_one.high))


def test_one_that_serves_no_subsets_is_estimated_on_all_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = replace(SELECTORS["majority"], name="whole", serves_subsets=False)
    monkeypatch.setattr(selectors, "SELECTORS", {"whole": whole})
    assert [n for _, n in estimates(["whole"], graded(VOTED), [1, 4, 8], seed=7)] == [8]
