"""Graded rollouts whose equal answers are joined: the same groups in every order."""

import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from bare_stages import carry_out, without_prefect
from hypothesis import given, settings
from hypothesis import strategies as st
from plans import plan

from overthink.storage.sql import query
from overthink.storage.store import Store
from overthink.tasks.analysis.selectors import choose
from overthink.tasks.domains.math.judge import MathJudge
from overthink.tasks.stages.graded import GradedRollout, join, join_all

Drawn = list[tuple[str | None, bool | None, list[float]]]  # an answer, its verdict, the scores of its steps
POOLS = st.lists(
    st.tuples(st.sampled_from(["1", "2", "1.0", "3", None]), st.booleans(), st.lists(st.floats(0, 1), max_size=3)),
    max_size=6,
)


@pytest.fixture(scope="module")
def judge() -> Iterator[MathJudge]:
    with MathJudge(time_limit=30) as judge:
        yield judge


def graded(drawn: Drawn, first: int = 0) -> list[GradedRollout]:
    rows = enumerate(drawn, first)
    return [
        GradedRollout(f"r{place}", place, answer, answer, correct, scores) for place, (answer, correct, scores) in rows
    ]


def partition(groups: Sequence[str | None], ids: Sequence[str]) -> set[frozenset[str]]:
    members: dict[str | None, set[str]] = {}
    for group, one in zip(groups, ids, strict=True):
        members.setdefault(group, set()).add(one)
    return {frozenset(group) for name, group in members.items() if name is not None}


@given(POOLS, POOLS)
@settings(deadline=None, derandomize=True, max_examples=100)
def test_no_rollout_is_lost_or_doubled_and_plain_numbers_that_are_equal_vote_together(
    pilot: Drawn, rest: Drawn
) -> None:
    both = [*graded(pilot), *graded(rest, len(pilot))]
    with MathJudge() as childless:
        pool = join(both, childless)
    assert [rollout.rollout_id for rollout in pool.rollouts] == [f"r{place}" for place in range(len(both))]
    values = [None if rollout.answer is None else float(rollout.answer) for rollout in both]
    for (one, other), (left, right) in zip(
        itertools.combinations(pool.groups, 2), itertools.combinations(values, 2), strict=True
    ):
        assert (one == other) == (left == right)
    np.testing.assert_array_equal(pool.all.correct, [rollout.correct for rollout in both])


def test_an_answer_of_the_rest_joins_the_pilots_group(judge: MathJudge) -> None:
    pilot = graded([("2", False, [0.9]), ("\\frac{1}{2}", True, [0.4])])
    both = join([*pilot, *graded([("0.5", True, [0.3]), (None, False, [])], 2)], judge)
    assert both.all.groups.tolist() == [0, 1, 1, -1]
    assert both.all.scores["last"] == pytest.approx([0.9, 0.4, 0.3, np.nan], nan_ok=True)
    assert (choose("majority", both.all), choose("prm_last_max", both.all)) == (1, 0)


def test_the_groups_and_their_names_are_the_same_in_every_order(judge: MathJudge) -> None:
    answers = ["0.5", "7", "\\frac{1}{2}", "x", "7.0", None]
    ids = [f"r{place}" for place in range(len(answers))]
    rollouts = graded([(answer, False, [0.5]) for answer in answers])
    expected = {frozenset({"r0", "r2"}), frozenset({"r1", "r4"}), frozenset({"r3"})}
    names = set()
    for order in itertools.islice(itertools.permutations(rollouts), 0, 720, 37):
        pool = join(order, judge)
        found = dict(zip((rollout.rollout_id for rollout in order), pool.groups, strict=True))
        assert partition([found[one] for one in ids], ids) == expected
        names.add(tuple(found[one] for one in ids))
    assert len(names) == 1


def test_adding_samples_changes_no_group_of_the_earlier_ones(judge: MathJudge) -> None:
    drawn: Drawn = [(answer, False, [0.5]) for answer in ("0.5", "3", "\\frac{1}{2}", "4", "0.50", "3.0")]
    few, many = join(graded(drawn[:3]), judge), join(graded(drawn), judge)
    ids = ["r0", "r1", "r2"]
    assert partition(few.groups, ids) == partition(many.groups[:3], ids)


def test_a_run_that_grew_has_the_groups_and_choices_of_one_made_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_prefect(monkeypatch.setattr)
    for folder, sizes in (("grown", (4, 16)), ("whole", (16,))):
        for n in sizes:
            carry_out(plan(methods=[{"method": "best_of_n", "n": n}], budgets=[1, n]), tmp_path / folder)
    grown, whole = (
        {
            table: query(Store(tmp_path / folder), f"SELECT {columns} FROM {table} {where} ORDER BY ALL").to_pylist()
            for table, columns, where in (
                ("groups", "rollout_id, answer_group", "WHERE method_id = 'best_of_n-n16'"),
                ("rollouts", "rollout_id, answer, answer_key", "WHERE method_id = 'best_of_n-n16'"),
                ("selections", "* EXCLUDE (run_id)", "WHERE method_id = 'best_of_n-n16'"),
                ("grades", "*", ""),
            )
        }
        for folder in ("grown", "whole")
    )
    assert grown == whole
    assert len(grown["groups"]) == 4 * 16


def test_problems_are_joined_apart(judge: MathJudge) -> None:
    pools = join_all({"a": graded([("1", True, [])] * 2), "b": graded([]), "c": graded([("1", True, [])])}, judge)
    assert {key: len(pool.rollouts) for key, pool in pools.items()} == {"a": 2, "b": 0, "c": 1}
