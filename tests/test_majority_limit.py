"""Majority without end: the chance of each answer to be the likeliest, its Bayes factor, and the limit for N → ∞."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate, special, stats
from search_trees import SAMPLING, play, written
from test_answer_counts import BOINF, WANTING

from overthink.tasks.analysis.intervals import mean_interval
from overthink.tasks.analysis.majority_limit import bayes_factor, limit_of, majority_limit, mode_doubts
from overthink.tasks.analysis.selectors import Candidates, candidates
from overthink.tasks.importers.answer_counts import read_answer_counts
from overthink.tasks.methods.adaptive import adaptive, by_bayes_factor
from overthink.tasks.methods.requests import Generate, Score
from overthink.tasks.records import Sample, Scores


def chances(votes: Sequence[int]) -> list[float]:
    return [float(chance) for chance in 1 - mode_doubts(votes)]


# Votes alike: P(X <= 1/2) for X of Beta(a + 1, 1) is 2^-(a + 1).
@pytest.mark.parametrize("votes", [1, 2, 3, 10, 80, 1000])
def test_an_answer_alone_is_doubted_by_half_as_much_with_every_vote(votes: int) -> None:
    assert mode_doubts([votes])[0] == pytest.approx(2.0 ** -(votes + 1), rel=1e-9, abs=0)


def test_two_answers_with_one_vote_each() -> None:
    # The unseen answer's gamma E is exponential, the others' have F(x) = 1 - e^-x (1 + x). P(E is the largest) =
    # integral of e^-x F(x)^2 = 1 - 2 (1/2 + 1/4) + (1/3 + 2/9 + 2/27) = 7/54, and each of the two has half the rest.
    assert chances([1, 1]) == pytest.approx([47 / 108] * 2, abs=1e-12)
    assert bayes_factor([1, 1]) == pytest.approx(3 * 47 / 61, rel=1e-12)


def test_two_answers_with_two_votes_and_one() -> None:
    # P(the leader is the largest) = integral of x^2/2 e^-x (1 - e^-x (1 + x)) (1 - e^-x)
    # = 1 - (1/8 + 3/16) - 1/8 + (1/27 + 3/81) = 275/432.
    assert chances([2, 1])[0] == pytest.approx(275 / 432, abs=1e-12)
    assert bayes_factor([2, 1]) == pytest.approx(3 * 275 / 157, rel=1e-12)


@pytest.mark.parametrize(("votes", "expected"), [([], 0), ([1], 6), ([2], 14), ([3], 30), ([4], 62), ([7], 510)])
def test_the_bayes_factor_of_votes_alike(votes: list[int], expected: float) -> None:
    assert bayes_factor(votes) == pytest.approx(expected, rel=1e-10)  # 2 (2^(a + 1) - 1)


def test_the_bayes_factor_is_the_leaders_wherever_it_stands() -> None:
    assert bayes_factor([1, 5, 2]) == pytest.approx(bayes_factor([5, 2, 1]), rel=1e-12)
    assert bayes_factor([5, 2, 1]) < bayes_factor([6, 2, 1])


def by_quadrature(votes: Sequence[int], place: int) -> float:
    """P(an answer is the mode), by another rule of integration, over x."""
    shapes = [vote + 1 for vote in votes] + [1]
    others = shapes[:place] + shapes[place + 1 :]

    def density(x: float) -> float:
        return float(stats.gamma.pdf(x, shapes[place]) * np.prod([special.gammainc(shape, x) for shape in others]))

    return float(integrate.quad(density, 0, 400, points=[*shapes], epsabs=1e-12, limit=400)[0])


@given(st.lists(st.integers(1, 60), min_size=1, max_size=4))
@settings(max_examples=25, deadline=None, derandomize=True)
def test_chances_are_those_of_another_integration(votes: list[int]) -> None:
    assert chances(votes) == pytest.approx([by_quadrature(votes, place) for place in range(len(votes))], abs=1e-9)


@given(st.lists(st.integers(1, 100), min_size=1, max_size=80))
@settings(max_examples=60, deadline=None, derandomize=True)
def test_chances_add_up_to_one_with_the_unseen_at_most(votes: list[int]) -> None:
    found = chances(votes)
    assert sum(found) <= 1 + 1e-9
    assert all(0 <= chance <= 1 for chance in found)
    order = np.argsort(votes, kind="stable")
    assert np.all(np.diff(np.array(found)[order]) >= -1e-12), "more votes, more chance"


def test_chances_are_the_shares_of_drawn_probabilities() -> None:
    drawn = np.random.default_rng(0).dirichlet([8, 6, 2, 1], 200_000).argmax(axis=1)
    shares = np.bincount(drawn, minlength=4)[:3] / len(drawn)
    assert chances([7, 5, 1]) == pytest.approx(shares.tolist(), abs=0.005)


def drawn(letters: str, right: str = "a", unknown: str = "") -> Candidates:
    verdicts = [None if letter in unknown else letter in right for letter in letters]
    return candidates([None if letter == "-" else letter for letter in letters], verdicts, None)


def test_the_limit_of_a_problem_is_the_chance_that_its_mode_is_right() -> None:
    assert limit_of(drawn("aaa")) == pytest.approx((15 / 16, 15 / 16), abs=1e-12)
    assert limit_of(drawn("-ba")) == pytest.approx((47 / 108, 47 / 108), abs=1e-12)
    assert limit_of(drawn("ba", right="ab")) == pytest.approx((47 / 54, 47 / 54), abs=1e-12)
    assert limit_of(drawn("ba", unknown="b")) == pytest.approx((47 / 108, 47 / 54), abs=1e-12)
    assert limit_of(drawn("bbb")) == limit_of(drawn("---")) == (0.0, 0.0)


def test_the_limit_over_problems_has_the_interval_of_their_mean() -> None:
    found = majority_limit([limit_of(drawn("aaa")), limit_of(drawn("ba")), limit_of(drawn("bbb"))])
    assert found is not None
    values = np.array([15 / 16, 47 / 108, 0.0])
    assert found.accuracy == found.highest == pytest.approx(values.mean(), abs=1e-12)
    assert found.interval == pytest.approx(mean_interval(values), abs=1e-12)
    assert (found.problems, found.unknown) == (3, 0)
    doubted = majority_limit([limit_of(drawn("aaa")), limit_of(drawn("ba", unknown="b"))])
    assert doubted is not None
    assert (doubted.accuracy, doubted.highest) == pytest.approx(((15 / 16 + 47 / 108) / 2, (15 / 16 + 47 / 54) / 2))
    assert (doubted.problems, doubted.unknown) == (2, 1)
    assert majority_limit([]) is None


class Stored:
    """A policy whose n-th solution is the n-th answer that a file holds, "" where there was none."""

    def __init__(self, answers: Sequence[str]) -> None:
        self._answers = answers

    def sample(self, request: Generate) -> Sample:
        return written(self._answers[request.sample_index], "stop")

    def score(self, request: Score) -> Scores:
        raise AssertionError("no PRM is asked")


@dataclass(frozen=True)
class Voted:
    """One problem's answers by equal texts; a tie is won by the answer that came first."""

    answers: list[str]
    reference: str | None

    @property
    def is_right(self) -> bool:
        """Whether the majority is."""
        votes = Counter(filter(None, self.answers)).most_common(1)
        return bool(votes) and votes[0][0] == self.reference

    @property
    def rollouts(self) -> Candidates:
        return candidates(
            [answer or None for answer in self.answers], [answer == self.reference for answer in self.answers], None
        )

    def stopped(self, factor: float) -> "Voted":
        """What `adaptive` draws of them."""
        method = adaptive(SAMPLING, len(self.answers), 4, by_bayes_factor(factor), lambda text: text or None)
        drawn = len(play(method, Stored(self.answers)).result.rollouts)
        return Voted(self.answers[:drawn], self.reference)


@lru_cache
def stored(name: str) -> tuple[Voted, ...]:
    return tuple(
        Voted([said.answer or "" for said in each.reported if said.measure == "answer"], each.problem.reference)
        for each in read_answer_counts(BOINF / f"analysis_{name}.jsonl").problems
    )


def accuracy(problems: Sequence[Voted]) -> float:
    return 100 * sum(each.is_right for each in problems) / len(problems)


def saved(problems: Sequence[Voted], ended: Sequence[Voted]) -> float:
    return 100 - 100 * sum(len(each.answers) for each in ended) / sum(len(each.answers) for each in problems)


# Majority of all 80, the limit for N → ∞ and its interval.
LIMITS = {
    "math500_Qwen3-14B": (95.60, 95.47, (93.3, 96.9)),
    "aime2025_Qwen3-4B": (73.33, 73.34, (55.6, 85.8)),
    "gpqa_diamond_gpt-oss-20b": (71.21, 72.00, (65.7, 77.5)),
}


@WANTING
@pytest.mark.parametrize("name", LIMITS)
def test_limits_over_stored_counts(name: str) -> None:
    majority, limit, interval = LIMITS[name]
    assert accuracy(stored(name)) == pytest.approx(majority, abs=0.01)
    found = majority_limit([limit_of(each.rollouts) for each in stored(name)])
    assert found is not None
    assert 100 * found.accuracy == pytest.approx(limit, abs=0.01)
    assert [100 * bound for bound in found.interval] == pytest.approx(interval, abs=0.1)


# % of the samples saved in waves of 4, by the bound on the Bayes factor.
SAVED = {
    "math500_Qwen3-14B": {30: 93.9, 100: 88.9, 300: 88.0},
    "aime2025_Qwen3-4B": {30: 82.8, 100: 75.0, 300: 71.5},
    "gpqa_diamond_gpt-oss-20b": {100: 69.1, 300: 64.2},
}


@WANTING
@pytest.mark.parametrize(("name", "factor"), [(name, factor) for name in SAVED for factor in SAVED[name]])
def test_the_bayes_factor_saves_most_samples_over_stored_counts_and_loses_half_a_point_at_most(
    name: str, factor: int
) -> None:
    problems = stored(name)
    ended = [each.stopped(factor) for each in problems]
    assert saved(problems, ended) == pytest.approx(SAVED[name][factor], abs=0.05)
    assert saved(problems, ended) >= 60, "the bar"
    assert accuracy(problems) - accuracy(ended) <= 0.5, "the bar"
