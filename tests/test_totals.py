"""A total shared out among problems, held out: where it must win, where it cannot, and what it never does."""

from dataclasses import replace

import numpy as np
from fitting_samples import drawn_evidence, observations, option
from hypothesis import given, settings
from hypothesis import strategies as st

from overthink.tasks.analysis.difficulty import DifficultyConfig
from overthink.tasks.strategy.fit_strategy import Observations, cross_validate
from overthink.tasks.strategy.totals import Shared, share_out

BINS = DifficultyConfig()
HALF = 40


def shared(known: Observations, seed: int = 0) -> list[Shared]:
    return share_out(known, cross_validate(known, BINS, seed), BINS)


def two_kinds(hard_at_64: float) -> Observations:
    """Easy problems that 4 solutions solve, and hard ones that only 64 may solve; 16 solve no more than 4 do."""
    easy = np.array([1.0] * HALF + [0.0] * HALF)
    most = np.maximum(easy, hard_at_64)
    options = [
        option(accuracy, f"best_of_n-n{n}", budget=n, tokens=50.0 * n / 4, flops=float(n))
        for n, accuracy in ((4, easy), (16, easy), (32, easy), (64, most))
    ]
    return observations(np.where(easy > 0, 0.9, 0.01), options, options)


def test_what_easy_problems_do_not_need_solves_hard_ones() -> None:
    at = {one.budget: one for one in shared(two_kinds(hard_at_64=1.0))}
    assert sorted(at) == [16, 32, 64], "of the smallest budget nothing is left to share out"
    assert at[32].uniform.accuracy.mean() == 0.5
    # 4 for an easy one and 60 for a hard one: 4 short of what a hard one needs, so one in sixteen goes without.
    assert at[32].shared.accuracy[:HALF].tolist() == [1.0] * HALF
    assert at[32].shared.accuracy.mean() > 0.9
    assert at[32].shared.tokens.sum() <= 32 * 12.5 * 2 * HALF
    assert at[64].shared.accuracy.mean() == 1.0
    assert at[64].foreseen.tokens.tolist() == [50.0] * HALF + [800.0] * HALF, "what helps nobody is not spent"


def test_where_more_helps_nobody_it_stays_with_the_smallest_budget() -> None:
    for one in shared(two_kinds(hard_at_64=0.0)):
        assert one.shared.accuracy.mean() == one.uniform.accuracy.mean() == one.foreseen.accuracy.mean() == 0.5
        assert one.foreseen.tokens.tolist() == [50.0] * (2 * HALF)


def test_a_total_that_does_not_pay_for_the_pilots_is_left_out() -> None:
    known = two_kinds(hard_at_64=1.0)
    cheap = [replace(one, tokens=one.tokens / 100) if one.budget == 16 else one for one in known.fixed]
    assert [one.budget for one in shared(replace(known, fixed=cheap))] == [32, 64]


@settings(deadline=None, derandomize=True, max_examples=8)
@given(st.integers(16, 60), st.integers(0, 1000))
def test_what_is_foreseen_stays_within_the_total(count: int, seed: int) -> None:
    known = drawn_evidence(count, seed)
    validation = cross_validate(known, BINS, seed)
    for one in share_out(known, validation, BINS):
        for fold in validation.folds:
            assert one.foreseen.tokens[fold].sum() <= one.uniform.tokens[fold].sum()
