"""Adaptive best-of-N: how sure it is of the leader, and when it stops."""

from fractions import Fraction
from itertools import islice
from math import comb

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from search_trees import SAMPLING, play, written

from overthink.tasks.methods.adaptive import adaptive, by_bayes_factor, by_certainty, certainty
from overthink.tasks.methods.requests import Generate, Method, Outcome, Score
from overthink.tasks.records import Sample, Scores


class Solutions:
    """A policy whose n-th solution says the n-th letter: "-" has no answer, nor has "~", which is cut by length."""

    def __init__(self, letters: str) -> None:
        self._letters = letters

    def sample(self, request: Generate) -> Sample:
        letter = self._letters[request.sample_index]
        return written(letter, "length" if letter == "~" else "stop")

    def score(self, request: Score) -> Scores:
        raise AssertionError("no PRM is asked")


def answer_of(text: str) -> str | None:
    return None if text in "-~" else text


def search(n: int, wave: int, threshold: float) -> Method:
    return adaptive(SAMPLING, n, wave, by_certainty(threshold), answer_of)


def solutions(outcome: Outcome) -> str:
    return "".join(sample.text for rollout in outcome.rollouts for sample in rollout.path)


def waves(method: Method, letters: str) -> list[list[int]]:
    """The numbers of the solutions asked for, wave by wave."""
    asked: list[list[int]] = []
    batch = next(method)
    while True:
        assert batch == [Generate((), index, SAMPLING) for index in _numbers(batch)]
        asked.append(_numbers(batch))
        try:
            batch = method.send([Solutions(letters).sample(Generate((), index, SAMPLING)) for index in asked[-1]])
        except StopIteration:
            return asked


def _numbers(batch: object) -> list[int]:
    assert isinstance(batch, list)
    return [request.sample_index for request in batch]


# P(X > 1/2) for X of Beta(a + 1, b + 1) is P(at most a heads in a + b + 1 fair tosses).
@pytest.mark.parametrize(
    ("votes", "expected"),
    [
        ("", 0.5),
        ("a", 0.75),  # 1 - 1/4
        ("aa", 0.875),  # 1 - 1/8
        ("aaa", 0.9375),  # 1 - 1/16
        ("aaaa", 0.96875),  # 1 - 1/32
        ("ab", 0.5),
        ("aab", 0.6875),  # 11/16
        ("abaa", 0.8125),  # 26/32
        ("aabb", 0.5),
        ("aaaab", 0.890625),  # 57/64
        ("aabaaa", 0.9375),  # 120/128
    ],
)
def test_certainty_is_the_mass_above_a_half(votes: str, expected: float) -> None:
    assert certainty(list(votes)) == pytest.approx(expected, abs=1e-12)


def test_only_the_leader_and_the_next_are_compared() -> None:
    assert certainty(list("aaabc")) == pytest.approx(0.8125, abs=1e-12)  # 3 against 1


def test_the_leader_need_not_come_first() -> None:
    assert certainty(list("baa")) == pytest.approx(0.6875, abs=1e-12)


def test_solutions_without_an_answer_do_not_vote() -> None:
    assert certainty([None, "a", None, "a", None, None, None, "a"]) == pytest.approx(0.9375, abs=1e-12)


def test_nothing_is_certain_without_votes() -> None:
    assert certainty([None, None, None]) == pytest.approx(0.5, abs=1e-12)


@given(st.integers(0, 40), st.integers(0, 40))
@settings(max_examples=60, deadline=None)
def test_certainty_agrees_with_counting_coin_tosses(leader: int, runner_up: int) -> None:
    leader, runner_up = max(leader, runner_up), min(leader, runner_up)
    tosses = leader + runner_up + 1
    expected = Fraction(sum(comb(tosses, heads) for heads in range(leader + 1)), 2**tosses)
    assert certainty(["a"] * leader + ["b"] * runner_up) == pytest.approx(float(expected), abs=1e-12)


def test_stops_after_the_first_wave_where_all_agree() -> None:
    assert waves(search(64, 4, 0.95), "aaaa") == [[0, 1, 2, 3]]  # 4-0: 0.96875


def test_goes_on_where_one_of_the_first_wave_has_no_answer() -> None:
    assert waves(search(64, 4, 0.95), "aa-aa---") == [[0, 1, 2, 3], [4, 5, 6, 7]]  # 3-0: 0.9375, 4-0: 0.96875


def test_a_solution_cut_short_does_not_vote_but_is_returned() -> None:
    played = play(search(8, 4, 0.95), Solutions("aaa~a-bb"))
    assert solutions(played.result) == "aaa~a-bb"
    assert [rollout.stop_reason for rollout in played.result.rollouts] == ["stop"] * 3 + ["length"] + ["stop"] * 4


@pytest.mark.parametrize(
    ("threshold", "expected"),
    [
        (0.74, "a"),  # 1-0: 0.75
        (0.76, "aa"),  # 2-0: 0.875
        (0.87, "aa"),
        (0.88, "aaa"),  # 3-0: 0.9375
        (0.93, "aaa"),
        (0.94, "aaab" + "aaa"),  # 3-1: 0.8125, 4-1: 0.890625, 5-1: 0.9375, 6-1: 1 - 9/256 = 0.96484375
        (0.96, "aaabaaa"),
        (0.97, "aaabaaaa"),  # 7-1: 1 - 10/512 = 0.98046875
    ],
)
def test_stops_as_soon_as_the_certainty_reaches_the_threshold(threshold: float, expected: str) -> None:
    played = play(search(20, 1, threshold), Solutions("aaab" + "a" * 16))
    assert solutions(played.result) == expected


def test_the_votes_are_counted_only_after_a_whole_wave() -> None:
    assert waves(search(64, 6, 0.95), "aaaaab" + "a" * 6) == [[0, 1, 2, 3, 4, 5], [6, 7, 8, 9, 10, 11]]  # 5-1: 0.9375


def test_the_last_wave_is_cut_at_n() -> None:
    assert waves(search(10, 4, 0.95), "abababababab") == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]


def test_a_wave_wider_than_n_asks_for_n() -> None:
    assert waves(search(3, 8, 0.95), "aaa") == [[0, 1, 2]]


def test_solutions_without_any_answer_are_all_drawn() -> None:
    played = play(search(10, 4, 0.51), Solutions("-" * 10))
    assert solutions(played.result) == "-" * 10


def test_scores_instead_of_samples_are_a_type_error() -> None:
    method = search(2, 2, 0.95)
    next(method)
    with pytest.raises(TypeError, match="Generate request"):
        method.send([Scores((0.5,), 3), Scores((0.5,), 3)])


def _stops_after(letters: str, wave: int, threshold: float) -> int:
    """How many of `letters` are drawn, said plainly."""
    ends = [*range(wave, len(letters), wave), len(letters)]
    sure = (end for end in ends if certainty([answer_of(letter) for letter in letters[:end]]) >= threshold)
    return next(islice(sure, 1), len(letters))


@given(st.text("aab-", min_size=1, max_size=20), st.integers(1, 7), st.sampled_from([0.6, 0.8, 0.9, 0.95]))
@settings(max_examples=60, deadline=None)
def test_never_more_than_n_are_drawn_and_none_is_left_out(letters: str, wave: int, threshold: float) -> None:
    outcome = play(search(len(letters), wave, threshold), Solutions(letters)).result
    drawn = _stops_after(letters, wave, threshold)
    assert solutions(outcome) == letters[:drawn]
    assert [rollout.sample_index for rollout in outcome.rollouts] == list(range(drawn))
    assert outcome.nodes == ()


# Of a votes alike the factor is 2 (2^(a + 1) - 1): tests/test_majority_limit.py.
@pytest.mark.parametrize(
    ("factor", "expected"),
    [
        (6, "a"),  # 1-0: 2 * 3
        (6.1, "aa"),  # 2-0: 2 * 7
        (14, "aa"),
        (14.1, "aaa"),  # 3-0: 2 * 15
        (30, "aaa"),
        # 3-1: 10.6, 4-1: 20.1, 5-1: 37.5
        (31, "aaab" + "aa"),
    ],
)
def test_stops_as_soon_as_the_bayes_factor_reaches_its_bound(factor: float, expected: str) -> None:
    method = adaptive(SAMPLING, 20, 1, by_bayes_factor(factor), answer_of)
    assert solutions(play(method, Solutions("aaab" + "a" * 16)).result) == expected


def test_by_the_bayes_factor_too_solutions_without_an_answer_do_not_vote() -> None:
    method = adaptive(SAMPLING, 8, 2, by_bayes_factor(14), answer_of)
    assert solutions(play(method, Solutions("-a~-a-aa")).result) == "-a~-a-"
    method = adaptive(SAMPLING, 6, 2, by_bayes_factor(1.1), answer_of)
    assert solutions(play(method, Solutions("------")).result) == "------"
