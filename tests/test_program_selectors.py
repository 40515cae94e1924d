"""Selectors of programs, by tests and by behaviour: hand-computed cases, and a plain reference over all subsets."""

import math
from collections.abc import Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from overthink.storage.manifest import Extent
from overthink.storage.part_tables import rows_table
from overthink.storage.store import Store
from overthink.tasks.analysis.estimators import Estimate, estimates, estimates_after, pass_at_n
from overthink.tasks.analysis.selectors import Candidates, SelectorName, candidates, choose
from overthink.tasks.domains.math.judge import MathJudge
from overthink.tasks.stages.graded import Pool, join, read_graded
from overthink.tasks.stages.known_signals import KnownSignals
from overthink.tasks.stages.select import SelectSettings, without_unknown

BY_TESTS = ("tests_max", "tests_vote", "behaviour_vote", "codet")
# A program's text, None: none; the share of public tests; which generated tests it passes; its behaviour.
Program = tuple[str | None, float | None, str | None, str | None]


def of(programs: Sequence[Program], right: Sequence[bool] = ()) -> Candidates:
    """What select makes of programs."""
    texts, shares, passed, behaviours = zip(*programs, strict=True) if programs else ((),) * 4
    signals = {"tests_passed": shares, "generated_passed": [None if one is None else len(one) for one in passed]}
    classes = {"behaviour": behaviours, "agreement": passed}
    return candidates(texts, right or [False] * len(texts), None, signals, classes)  # type: ignore[arg-type]


ONE: list[Program] = [
    ("a", 0.5, "12", "x"),
    ("b", 1.0, "1234", "y"),
    ("c", 0.5, "12", "x"),
    ("d", 1.0, "123", "z"),
    ("e", 0.5, "123", "x"),
    ("f", 0.5, "12", "z"),
    ("f", 0.5, "12", "z"),
]


@pytest.mark.parametrize(
    ("selector", "chosen"),
    [
        ("tests_max", 1),  # 1.0, as 3, which comes later
        ("tests_vote", 3),  # x 1.5, y 1.0, z 2.0
        ("behaviour_vote", 0),  # x 3, y 1, z 3: x is met first
        ("codet", 3),  # 12: sqrt(4) * 2 = 4; 1234: 4; 123: sqrt(2) * 3 = 4.243
        ("majority", 5),  # f 2
    ],
)
def test_hand_computed_choice(selector: SelectorName, chosen: int) -> None:
    assert choose(selector, of(ONE)) == chosen


def test_equal_scores_of_codet_tie_whatever_roots_round_to() -> None:
    # sqrt(8) * 1 = sqrt(2) * 2, and the pair comes first; sqrt(3) * 2 > sqrt(11) * 1 > sqrt(2) * 2.
    eight, pair = [("a", None, "1", None)] * 8, [("b", None, "23", None)] * 2
    assert choose("codet", of([*pair, *eight])) == 0
    assert choose("codet", of([*eight, *pair])) == 0
    assert choose("codet", of([*[("a", None, "1", None)] * 11, *pair, pair[0]])) == 11


def test_what_is_chosen_is_the_first_of_a_class_whatever_the_others_verdicts() -> None:
    rollouts = of([("a", 1.0, "1", "x"), ("b", 1.0, "1", "x"), ("c", 0.0, "", "y")], [False, True, False])
    for selector in BY_TESTS:
        assert choose(selector, rollouts) == 0
        assert estimates([selector], rollouts, [3], seed=0)[selector, 3].accuracy == 0.0
    assert estimates(["codet"], rollouts, [2], seed=0)["codet", 2].accuracy == pytest.approx(1 / 3), "only b before c"


def test_where_tests_say_nothing_a_program_is_chosen_all_the_same() -> None:
    silent: list[Program] = [(None, None, None, None), ("a", None, None, None), ("b", None, None, None)]
    assert [choose(one, of([*silent, ("b", None, None, None)])) for one in BY_TESTS] == [1, 1, 2, 1]
    assert [choose(one, of([*silent, ("c", 0.0, "", "x")])) for one in BY_TESTS] == [3, 1, 1, 1]
    assert [choose(one, of([*silent, ("c", 0.5, "1", "x")])) for one in BY_TESTS] == [3, 3, 1, 3]


def test_programs_of_unknown_behaviour_vote_with_equal_ones() -> None:
    programs: list[Program] = [
        ("a", 1.0, None, "x"),
        ("b", 1.0, None, None),
        ("c", 1.0, None, "y"),
        ("b", 1.0, None, None),
    ]
    assert [choose(one, of(programs)) for one in ("behaviour_vote", "tests_vote")] == [1, 1]


def test_classes_are_of_the_rollouts_that_are_chosen_from() -> None:
    rollouts = of(ONE)
    assert rollouts.first(3).classes["behaviour"].tolist() == [0, 1, 0]
    assert rollouts.at(np.array([6, 3])).classes["agreement"].tolist() == [0, 2]
    joined = rollouts.at(np.array([0, 1, 5])).joined_by("behaviour")
    assert joined.groups.tolist() == [0, 1, 2] and joined.classes["agreement"].tolist() == [0, 1, 0]


def plain_choice(selector: SelectorName, programs: Sequence[Program]) -> int | None:
    """What the page says, in so many words."""
    able = [place for place, program in enumerate(programs) if program[0] is not None]
    if not able:
        return None
    if selector == "tests_max":
        shares = {place: programs[place][1] for place in able}
        return max(able, key=lambda place: (shares[place] is not None, shares[place] or 0, -place))
    groups: dict[tuple[bool, str | None], list[int]] = {}
    for place in able:
        name = programs[place][2 if selector == "codet" else 3]
        groups.setdefault((name is None, programs[place][0] if name is None else name), []).append(place)

    def score(group: list[int]) -> float:
        match selector:
            case "codet":
                tests = max(len(programs[place][2] or "") for place in group)
                return round(math.sqrt(len(group)) * tests, 9)
            case "tests_vote":
                return sum(programs[place][1] or 0 for place in group)
            case _:
                return len(group)

    return max(groups.values(), key=lambda group: (score(group), -group[0]))[0]


PROGRAMS = st.lists(
    st.tuples(
        st.sampled_from([None, *"abcde"]),
        st.sampled_from([None, 0.0, 0.25, 0.5, 1.0]),
        st.sampled_from([None, "", "1", "2", "12", "13", "123", "1234"]),
        st.sampled_from([None, *"xyz"]),
        st.booleans(),
    ),
    min_size=1,
    max_size=8,
)
CHECKED = settings(deadline=None, derandomize=True, max_examples=200)


@CHECKED
@given(rows=PROGRAMS)
def test_every_choice_at_every_n_equals_the_plain_reference_over_all_subsets(
    rows: list[tuple[str | None, float | None, str | None, str | None, bool]],
) -> None:
    programs, right = [row[:4] for row in rows], [row[4] and row[0] is not None for row in rows]
    count, rollouts = len(rows), of(programs, right)
    found = estimates(BY_TESTS, rollouts, range(1, count + 1), seed=0)
    after = estimates_after(BY_TESTS, rollouts, 1, count, seed=0)
    for selector in BY_TESTS:
        assert choose(selector, rollouts) == plain_choice(selector, programs)
        for n in range(1, count + 1):
            hits = []
            for subset in combinations(range(count), n):
                chosen = plain_choice(selector, [programs[place] for place in subset])
                hits.append(chosen is not None and right[subset[chosen]])
            mean = pytest.approx(sum(hits) / len(hits), abs=1e-12)
            assert found[selector, n] == Estimate(mean, mean, "exact")
        assert after[selector].low == pytest.approx(found[selector, count].low)


@CHECKED
@given(st.lists(st.booleans(), min_size=1, max_size=200), st.data())
def test_the_oracle_at_k_is_the_unbiased_pass_at_k(right: list[bool], data: st.DataObject) -> None:
    count, k = len(right), data.draw(st.integers(1, len(right)))
    found = estimates(["oracle"], of([("a", None, None, None)] * count, right), [k], seed=0)["oracle", k]
    # Chen et al. 2021: 1 - prod(1 - k / i) for i from n - c + 1 to n.
    product = math.prod(1 - k / i for i in range(count - sum(right) + 1, count + 1))
    assert found.estimator == "exact"
    assert found.accuracy == pytest.approx(1 - product, abs=1e-9) == pass_at_n(sum(right), count, k)


@pytest.mark.parametrize("selector", BY_TESTS)
def test_a_sampled_estimate_is_that_of_the_choices_of_its_subsets(selector: SelectorName) -> None:
    generator = np.random.default_rng(1)
    programs: list[Program] = [
        (str(one), share / 4, "1234"[:passed], "xyz"[behaves])
        for one, share, passed, behaves in generator.integers(0, [9, 5, 5, 3], (20, 4)).tolist()
    ]
    right = (generator.random(20) < 0.4).tolist()
    found = estimates([selector], of(programs, right), [5], seed=3)[selector, 5]
    hits = [
        right[subset[choose(selector, of([programs[one] for one in subset])) or 0]]
        for subset in combinations(range(20), 5)
    ]
    expected = float(np.mean(hits))
    assert found.estimator == ("exact" if selector == "tests_max" else "monte_carlo")
    assert found.low == pytest.approx(expected, abs=3 * math.sqrt(expected * (1 - expected) / 400))


def stored(folder: Path, *answers: dict[str, Any]) -> dict[str, Pool]:
    """What select reads of these rows of `answers`, one a problem."""
    stage = Store(folder).stage("grade-1")
    rows = [
        {"problem_key": f"p{place}", "rollout_id": f"r{place}", "sample_index": 0, "answer": "7"} | row
        for place, row in enumerate(answers)
    ]
    units = tuple(row["problem_key"] for row in rows)
    grades = [{"rollout_id": row["rollout_id"], "correct": True} for row in rows]
    parts = {"answers": rows_table("answers", rows), "grades": rows_table("grades", grades)}
    stage.write_part(Extent(units, 0, 1), parts)
    with MathJudge() as judge:
        return {unit: join(one, judge) for unit, one in read_graded(stage, None, Extent(units, 0, 1)).items()}


def test_what_tests_say_is_read_with_the_answers(tmp_path: Path) -> None:
    row = {"tests_passed": 0.5, "generated_passed": 3.0, "behaviour": "b", "agreement": "a"}
    pools = stored(tmp_path, row, {})
    assert {name: values[0] for name, values in pools["p0"].all.signals.items()} == {
        "tests_passed": 0.5,
        "generated_passed": 3.0,
    }
    assert {name: values[0] for name, values in pools["p0"].all.classes.items()} == {"behaviour": 0, "agreement": 0}
    assert np.isnan(pools["p1"].all.signal("tests_passed")[0]) and pools["p1"].all.class_of("behaviour")[0] == -1


@pytest.mark.parametrize(
    ("row", "left"),
    [
        ({}, ["majority"]),
        ({"tests_passed": 0.0}, ["tests_max", "tests_vote", "majority"]),
        ({"behaviour": "b"}, ["behaviour_vote", "majority"]),
        ({"generated_passed": 0.0, "agreement": "a"}, ["codet", "majority"]),
    ],
)
def test_a_selector_is_left_out_where_no_problem_has_what_it_reads(
    row: dict[str, Any], left: list[str], tmp_path: Path
) -> None:
    every = SelectSettings([1], [*BY_TESTS, "majority"], True, 0)
    known = KnownSignals(every.selectors)
    for pool in stored(tmp_path, {}, row).values():
        known.add(pool.all)
    assert without_unknown(every, known).selectors == left
