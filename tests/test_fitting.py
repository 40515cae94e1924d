"""Fitting: the one-standard-error rule by hand, two folds that see nothing of each other, and what both are held to."""

from dataclasses import replace

import numpy as np
import pytest
from fitting_samples import drawn_evidence, observations, option
from hypothesis import given, settings
from hypothesis import strategies as st

from overthink.tasks.analysis.difficulty import DIFFICULTIES, DifficultyConfig
from overthink.tasks.analysis.selectors import Integers
from overthink.tasks.strategy.baselines import ANY_RIGHT, KNOWN_BINS, PAPER, STRATEGY, compare_baselines
from overthink.tasks.strategy.fit_strategy import (
    FEWEST,
    Observations,
    Option,
    Validation,
    cross_validate,
    folds_of,
    follow_paper,
    learn,
    pick,
)
from overthink.tasks.strategy.paper_rule import PaperRule, paper_rule

BINS = DifficultyConfig()
CHECKED = settings(deadline=None, derandomize=True, max_examples=8)
TEN = np.arange(10)
BEAM = PaperRule(dict.fromkeys(DIFFICULTIES, "beam_search"))


def rights(count: int, of: int = 10) -> list[float]:
    """The first `count` of some problems right."""
    return [1.0] * count + [0.0] * (of - count)


# Behind by two problems of ten: 0.2 behind, with a standard error of sqrt(0.2 * 0.8 / 9) = 0.133. By one: 0.1 and 0.1.
@pytest.mark.parametrize(("behind", "taken"), [(0, "cheap"), (1, "cheap"), (2, "dear"), (5, "dear")])
def test_within_one_standard_error_of_the_best_the_cheapest_is_taken(behind: int, taken: str) -> None:
    dear, cheap = option(rights(8), "dear", flops=9), option(rights(8 - behind), "cheap", flops=1)
    assert pick([dear, cheap], TEN).method_id == taken


def test_the_error_is_that_of_the_paired_difference() -> None:
    # Both have 5 of 10 right or one less, but not the same ones: the difference varies more, so they are alike.
    dear = option([1, 1, 1, 1, 1, 1, 0, 0, 0, 0], "dear", flops=9)
    other = option([0, 0, 0, 0, 0, 0, 1, 1, 1, 1], "cheap", flops=1)
    assert pick([dear, other], TEN).method_id == "cheap", "0.2 behind, with a standard error of 0.327"
    assert pick([dear, option(rights(4), "cheap", flops=1)], TEN).method_id == "dear", "0.2 behind, of 0.133"


def test_of_equally_cheap_ones_the_most_accurate_is_taken_and_of_those_the_first() -> None:
    options = [option(rights(right), name) for right, name in [(7, "a"), (8, "b"), (8, "c")]]
    assert pick(options, TEN).method_id == "b"


def test_where_one_costs_unknown_flops_the_tokens_decide() -> None:
    unknown = option(rights(8), "unknown", flops=float("nan"), tokens=5)
    assert pick([option(rights(8), "known", flops=1, tokens=9), unknown], TEN).method_id == "unknown"


def test_the_cost_is_that_of_these_problems() -> None:
    first = option(rights(8), "first")
    first = replace(first, flops=np.array([1.0] * 5 + [999.0] * 5))
    assert pick([first, option(rights(8), "other", flops=2)], TEN[:5]).method_id == "first"


def test_each_difficulty_gets_the_method_that_suits_it() -> None:
    pass_at_1 = np.array([0.02] * 20 + [0.3] * 20 + [0.9] * 20)
    suits = {"hard": (0, 20), "medium": (20, 40), "easy": (40, 60)}
    options = []
    for difficulty, (begin, end) in suits.items():
        accuracy = np.zeros(60)
        accuracy[begin:end] = 1
        options.append(option(accuracy, difficulty))
    rule = learn(observations(pass_at_1, options), BINS, np.arange(60))
    assert {difficulty: rule.picked[16, difficulty].option.method_id for difficulty in DIFFICULTIES} == {
        difficulty: difficulty for difficulty in DIFFICULTIES
    }
    assert rule.picked[16, "medium"].members.tolist() == list(range(20, 40))


def test_a_difficulty_of_too_few_problems_takes_the_choice_of_all() -> None:
    pass_at_1 = np.array([0.9] * 40 + [0.0] * (FEWEST - 1))
    few = np.zeros(len(pass_at_1))
    few[40:] = 1
    options = [option(1 - few, "for most"), option(few, "for few")]
    rule = learn(observations(pass_at_1, options), BINS, np.arange(len(pass_at_1)), by_known=True)
    assert rule.picked[16, "hard"].option.method_id == "for most"
    assert len(rule.picked[16, "hard"].members) == len(pass_at_1)


def test_where_a_fixed_way_is_better_than_any_choice_no_pilot_is_paid_for() -> None:
    pass_at_1 = np.linspace(0, 1, 40)
    after = [option(np.array([0.0, 1.0] * 20), "best_of_n-n16")]
    rule = learn(observations(pass_at_1, after, [*after, option(np.ones(40), "dvts-n16-m4")]), BINS, np.arange(40))
    assert rule.without_pilot[16].method_id == "dvts-n16-m4"
    assert {rule.best(16, difficulty).method_id for difficulty in DIFFICULTIES} == {"dvts-n16-m4"}
    assert {rule.after_pilot(16, difficulty).method_id for difficulty in DIFFICULTIES} == {"best_of_n-n16"}


def test_a_pilot_is_paid_for_where_choosing_is_better_or_as_good_and_cheaper() -> None:
    pass_at_1 = np.array([0.9] * 20 + [0.0] * 20)
    easy = np.array([1.0] * 20 + [0.0] * 20)
    options = [option(easy, "for easy", flops=1), option(1 - easy, "for hard", flops=5)]
    for fixed, paid in ((option(rights(20, 40), flops=1), True), (option(np.ones(40), flops=9), True)):
        assert (learn(observations(pass_at_1, options, [fixed]), BINS, np.arange(40)).without_pilot == {}) is paid
    cheap = option(np.ones(40), "cheap", flops=0.5)
    assert learn(observations(pass_at_1, options, [cheap]), BINS, np.arange(40)).without_pilot[16].method_id == "cheap"


@pytest.mark.parametrize("count", [16, 17, 60])
def test_the_folds_are_two_halves_that_a_seed_decides(count: int) -> None:
    first, second = folds_of(count, seed=3)
    assert sorted([*first, *second]) == list(range(count))
    assert abs(len(first) - len(second)) <= 1
    assert folds_of(count, seed=3)[0].tolist() == first.tolist() != folds_of(count, seed=4)[0].tolist()


def test_too_few_problems_for_two_folds_are_told() -> None:
    with pytest.raises(ValueError, match="15 problems are too few for two folds: take 16 at least"):
        folds_of(15, seed=0)


def disturbed(known: Observations, members: Integers) -> Observations:
    """Every outcome, cost and pass@1 of these problems turned upside down; their pilots look as before."""

    def other(one: Option) -> Option:
        accuracy, flops = one.accuracy.copy(), one.flops.copy()
        accuracy[members] = 1 - accuracy[members]
        flops[members] = np.nan
        return replace(one, accuracy=accuracy, flops=flops)

    pass_at_1 = known.pass_at_1.copy()
    pass_at_1[members] = 1 - pass_at_1[members]
    options, fixed = list(map(other, known.options)), list(map(other, known.fixed))
    return replace(known, pass_at_1=pass_at_1, options=options, fixed=fixed)


@CHECKED
@given(st.integers(16, 60), st.integers(0, 1000))
def test_what_is_chosen_for_problems_knows_nothing_of_what_becomes_of_them(count: int, seed: int) -> None:
    known = drawn_evidence(count, seed)
    before = cross_validate(known, BINS, seed)
    for fold in before.folds:
        after = cross_validate(disturbed(known, fold), BINS, seed)
        assert after.predicted[fold].tolist() == before.predicted[fold].tolist()
        for budget in known.budgets:
            # No two options write equally many tokens.
            assert after.strategy[budget].tokens[fold].tolist() == before.strategy[budget].tokens[fold].tolist()
            assert (after.strategy[budget].accuracy + before.strategy[budget].accuracy)[fold].tolist() == [1] * len(
                fold
            )
            assert after.after_pilot[budget].tokens[fold].tolist() == before.after_pilot[budget].tokens[fold].tolist()


@CHECKED
@given(st.integers(16, 60), st.integers(0, 1000))
def test_a_rule_of_known_difficulty_never_sees_the_other_fold(count: int, seed: int) -> None:
    known = drawn_evidence(count, seed)
    scored, choosing = folds_of(count, seed)
    before, after = (learn(one, BINS, choosing, by_known=True) for one in (known, disturbed(known, scored)))
    for place, picked in before.picked.items():
        assert picked.option.tokens[0] == after.picked[place].option.tokens[0]


def test_every_problem_is_scored_once_by_the_rule_of_the_other_fold() -> None:
    known = drawn_evidence(40, seed=1)
    found = cross_validate(known, BINS, seed=1)
    for scored, choosing in (found.folds, found.folds[::-1]):
        rule = learn(known, BINS, choosing)
        for problem in scored.tolist():
            taken = rule.picked[16, BINS.of(found.predicted[problem])].option
            assert found.strategy[16].accuracy[problem] == taken.accuracy[problem]
            assert found.strategy[16].tokens[problem] == taken.tokens[problem]


def test_fitting_again_gives_the_same() -> None:
    one, other = (cross_validate(drawn_evidence(50, seed=2), BINS, seed=9) for _ in range(2))
    assert one.predicted.tolist() == other.predicted.tolist()
    assert one.strategy[4].accuracy.tolist() == other.strategy[4].accuracy.tolist()


def suited(count: int = 400) -> tuple[Observations, Validation]:
    """Half of the problems are for one method, half for the other, and the pilot tells which."""
    draw = np.random.default_rng(0)
    easy = draw.random(count) < 0.5
    right = [draw.random(count) < np.where(easy == liked, 0.9, 0.3) for liked in (True, False)]
    options = [
        option(right[0].astype(float), "best_of_n-n16", flops=1.0, tokens=1.0),
        option(right[1].astype(float), "beam_search-n16-m4", flops=2.0, tokens=2.0),
    ]
    known = observations(np.where(easy, 0.9, 0.05), options, options)
    return known, cross_validate(known, BINS, seed=0)


def test_where_methods_suit_difficulties_the_strategy_is_ahead_of_every_fixed_way() -> None:
    known, validation = suited()
    rows = compare_baselines(known, validation, BEAM, BINS)
    assert [row.name for row in rows][:3] == [STRATEGY, KNOWN_BINS, PAPER]
    fixed = [row for row in rows if row.name.endswith(("-n16", "-m4"))]
    assert len(fixed) == 2 and fixed[0].accuracy >= fixed[1].accuracy
    for row in fixed:
        assert row.lead.interval is not None and row.lead.interval[0] > 0.1
        assert row.lead.accuracy == pytest.approx(rows[0].accuracy - row.accuracy)
    assert rows[-1].name == ANY_RIGHT and rows[-1].accuracy == 1.0 and rows[-1].lead.accuracy < 0
    assert rows[0].accuracy == pytest.approx(0.9, abs=0.05)
    assert 1.0 < (rows[0].tokens or 0) < 2.0, "each problem bears what its own method costs"


def test_unknown_costs_stay_unknown() -> None:
    known = observations(np.linspace(0, 1, 20), [option(rights(10, of=20), flops=float("nan"))])
    rows = compare_baselines(known, cross_validate(known, BINS, seed=0), None, BINS)
    assert (rows[0].flops, rows[0].tokens) == (None, 10.0)
    assert PAPER not in [row.name for row in rows]


def test_the_papers_rule_goes_by_known_difficulty_and_takes_the_selector_of_the_other_fold() -> None:
    pass_at_1 = np.array([0.0, 0.9] * 10)
    votes = option(pass_at_1 > 0.5, "dvts-n16-m4", "majority")
    scores = option(np.zeros(20), "dvts-n16-m4", "prm_last_max")
    beams = option(pass_at_1 < 0.5, "beam_search-n16-m4", "majority")
    known = observations(pass_at_1, [votes], [scores, votes, beams])
    validation = cross_validate(known, BINS, seed=0)
    rule = paper_rule("policy", 8_000_000_000, {"math500"})
    assert rule is not None
    followed = follow_paper(known, validation, rule, BINS, 16)
    assert followed is not None and followed.accuracy.tolist() == [1.0] * 20


def test_a_rule_that_names_its_selector_takes_no_other() -> None:
    options = [option(np.zeros(20)), option(np.ones(20), selector="prm_last_max")]
    known = observations(np.linspace(0, 1, 20), options, options)
    rule = PaperRule(dict.fromkeys(DIFFICULTIES, "best_of_n"), "majority")
    followed = follow_paper(known, cross_validate(known, BINS, seed=0), rule, BINS, 16)
    assert followed is not None and followed.accuracy.sum() == 0


def test_a_rule_whose_method_was_not_run_cannot_be_followed() -> None:
    known = observations(np.linspace(0, 1, 20), [option(rights(10, of=20))])
    assert follow_paper(known, cross_validate(known, BINS, seed=0), BEAM, BINS, 16) is None
