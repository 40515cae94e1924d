"""Difficulty as if it were known: it gains nothing where there is nothing to know."""

from dataclasses import replace

import numpy as np
import pytest
from no_signal import accuracy_at, known_at, rollouts, world

from overthink.tasks.analysis.difficulty import DifficultyConfig
from overthink.tasks.strategy.baselines import KNOWN_BINS, compare_baselines
from overthink.tasks.strategy.fit_strategy import KnownDifficulty, Observations, cross_validate

BINS = DifficultyConfig()
BUDGET, ROLLOUTS, WORLDS = 8, 16, 40


def gain(observations: Observations, seed: int) -> float:
    """By how much choosing by known difficulty is ahead of the accuracy of every option."""
    return float(cross_validate(observations, BINS, 1000 + seed).known_bins[BUDGET].accuracy.mean()) - accuracy_at(
        BUDGET
    )


def test_where_difficulty_tells_nothing_it_gains_nothing() -> None:
    worlds = [world(150, ROLLOUTS, (BUDGET,), seed) for seed in range(WORLDS)]
    gains = [gain(one, seed) for seed, one in enumerate(worlds)]
    assert np.mean(gains) == pytest.approx(0, abs=3 * np.std(gains) / WORLDS**0.5)
    assert abs(np.mean(gains)) < 0.02


def test_told_by_the_rollouts_that_are_scored_it_would_seem_to_gain() -> None:
    """What the parting is for: the same worlds, their difficulty told by all rollouts."""
    worlds = [world(150, ROLLOUTS, (BUDGET,), seed) for seed in range(WORLDS)]
    told = [replace(one, known={BUDGET: KnownDifficulty(one.pass_at_1, one.options, one.fixed)}) for one in worlds]
    assert np.mean([gain(one, seed) for seed, one in enumerate(told)]) > 0.05


def test_the_difficulty_does_not_move_with_what_is_scored_nor_the_other_way_round() -> None:
    generator = np.random.default_rng(0)
    pools = [rollouts(generator, ROLLOUTS) for _ in range(20)]
    options = world(20, ROLLOUTS, (BUDGET,), 0).options
    was = known_at(BUDGET, pools, options)
    assert was is not None
    for half, same, other in (
        (slice(0, 8), "pass_at_1", "accuracy"),
        (slice(8, 16), "accuracy", "pass_at_1"),
    ):
        turned = [replace(pool, correct=pool.correct.copy()) for pool in pools]
        for pool in turned:
            pool.correct[half] = ~pool.correct[half]
        now = known_at(BUDGET, turned, options)
        assert now is not None
        found = {
            "pass_at_1": (was.pass_at_1, now.pass_at_1),
            "accuracy": (was.options[0].accuracy, now.options[0].accuracy),
        }
        assert np.array_equal(*found[same])
        assert not np.array_equal(*found[other])
    assert [option.accuracy.tolist() for option in was.fixed[1:]] == [
        option.accuracy.tolist() for option in options[1:]
    ], "searches"


def test_where_all_rollouts_are_scored_there_is_no_known_difficulty_and_no_row_of_it() -> None:
    observations = world(40, ROLLOUTS, (BUDGET, ROLLOUTS), 0)
    assert list(observations.known) == [BUDGET]
    observations = replace(observations, any_right=dict.fromkeys((BUDGET, ROLLOUTS), observations.fixed[0]))
    rows = compare_baselines(observations, cross_validate(observations, BINS, 0), None, BINS)
    assert [row.budget for row in rows if row.name == KNOWN_BINS] == [BUDGET]
