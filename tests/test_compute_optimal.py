"""`compute_optimal` from end to end on fakes: what is shared, counted, chosen and asked of the engines."""

import json
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from applied import PROBLEMS, applying, plan_of, recipe_value, written
from bare_stages import carry_out, without_prefect
from search_runs import one, rows
from strategies import fixed_choice

from overthink.storage.store import Store
from overthink.tasks.engines.fakes.fake import FakePolicy, FakePrm
from overthink.tasks.errors import UserError
from overthink.tasks.plan.run_plan import Plan, is_finished

Row = dict[str, Any]
LIMITS: list[Row] = [{"n": 16}, {"n": 4}, {"total_tokens": 4000}]
N16, N4, TOTAL = (f"compute_optimal-{limit}-trial" for limit in ("n16", "n4", "tokens4000"))


@pytest.fixture(scope="module")
def asked() -> Iterator[Counter[str]]:
    """How often the fakes were asked; Prefect is left out."""
    counts: Counter[str] = Counter()

    def counted(kind: str, answer: Any) -> Any:
        async def call(*arguments: Any) -> Any:
            counts[kind] += 1
            return await answer(*arguments)

        return call

    with pytest.MonkeyPatch.context() as patch:
        without_prefect(patch.setattr)
        patch.setattr(FakePolicy, "generate", counted("generate", FakePolicy.generate))
        patch.setattr(FakePrm, "score", counted("score", FakePrm.score))
        yield counts


@dataclass
class Finished:
    """A run with best-of-8 and a strategy under three limits, and how often its engines were asked."""

    plan: Plan
    store: Path
    asked: Counter[str]


@pytest.fixture(scope="module")
def finished(asked: Counter[str], tmp_path_factory: pytest.TempPathFactory) -> Finished:
    folder = tmp_path_factory.mktemp("applied")
    methods = [{"method": "best_of_n", "n": 8}, *applying(written(folder), *LIMITS)]
    plan = plan_of(recipe_value(folder, methods=methods))
    carry_out(plan, folder / "store")
    return Finished(plan, folder / "store", Counter(asked))


def decisions(store: Path, method_id: str) -> dict[str, Row]:
    found = rows(store, f"SELECT * FROM decisions WHERE method_id = '{method_id}'")
    return {row["problem_id"]: row for row in found}


def test_no_call_is_made_twice_and_the_pilot_is_shared_by_all(finished: Finished) -> None:
    for kind, count in finished.asked.items():
        assert one(finished.store, f"SELECT count(DISTINCT call_key) FROM calls WHERE kind = '{kind}'") == count
    pilots = "SELECT list(rollout_id ORDER BY rollout_id) FROM rollouts WHERE sample_index < 4 GROUP BY method_id"
    first, *others = rows(finished.store, pilots)
    assert len(others) == 3
    assert all(other == first for other in others)


@pytest.mark.parametrize("method_id", [N16, N4, TOTAL])
def test_pilot_and_rest_are_there_once_and_numbered_through(finished: Finished, method_id: str) -> None:
    decided = decisions(finished.store, method_id)
    assert len(decided) == PROBLEMS
    numbers = f"""SELECT problem_id, list(sample_index ORDER BY sample_index) AS numbers,
        count(DISTINCT rollout_id) AS rollouts FROM rollouts WHERE method_id = '{method_id}' GROUP BY problem_id"""
    for row in rows(finished.store, numbers):
        decision = decided[row["problem_id"]]
        # A beam search of 12 returns one path in four; best-of-N goes on to its budget.
        count = 4 + 12 // 4 if decision["chosen"] == "beam_search-n12-m4" else decision["budget"]
        assert row["numbers"] == list(range(count))
        assert row["rollouts"] == count


def test_both_methods_and_all_difficulties_are_among_what_was_decided(finished: Finished) -> None:
    decided = decisions(finished.store, N16).values()
    assert {row["chosen"] for row in decided} == {"best_of_n-n16", "beam_search-n12-m4"}
    assert {row["difficulty"] for row in decided} == {"easy", "medium", "hard"}
    assert {row["budget"] for row in decisions(finished.store, TOTAL).values()} == {4, 16}


def test_what_was_predicted_can_be_recomputed_from_the_store(finished: Finished) -> None:
    last_scores = f"""SELECT r.problem_id, avg(s.score) AS mean FROM rollouts r JOIN scores s USING (rollout_id)
        WHERE r.method_id = '{N4}' AND s.step_index = r.step_count - 1 GROUP BY r.problem_id"""
    decided = decisions(finished.store, N16)
    for row in rows(finished.store, last_scores):
        assert decided[row["problem_id"]]["predicted"] == pytest.approx(1 / (1 + np.exp(5 - 10 * row["mean"])))


def test_the_answer_is_what_the_decided_selector_chooses_among_all_rollouts(finished: Finished) -> None:
    votes: dict[str, dict[str, float]] = defaultdict(lambda: defaultdict(float))
    group_of: dict[tuple[str, str], str] = {}
    scored = f"""SELECT g.problem_id, rollout_id, g.answer_group, r.answer, min(s.score) AS lowest
        FROM groups g JOIN rollouts r USING (run_id, method_id, rollout_id) JOIN scores s USING (rollout_id)
        WHERE method_id = '{N16}' GROUP BY ALL"""
    for row in rows(finished.store, scored):
        votes[row["problem_id"]][row["answer_group"]] += row["lowest"]
        group_of[row["problem_id"], row["answer"]] = row["answer_group"]
    chosen = rows(finished.store, f"SELECT * FROM selections WHERE method_id = '{N16}'")
    assert len(chosen) == PROBLEMS
    for row in chosen:
        assert (row["selector"], row["n"]) == ("strategy", 16)
        group = group_of[row["problem_id"], row["answer"]]
        assert group == max(votes[row["problem_id"]], key=lambda name: votes[row["problem_id"]][name])


def test_every_rollout_of_a_strategy_has_a_score_for_each_step(finished: Finished) -> None:
    wanting = """SELECT rollout_id FROM rollouts r WHERE step_count !=
        (SELECT count(*) FROM scores s WHERE s.rollout_id = r.rollout_id)"""
    assert rows(finished.store, wanting) == []


@pytest.mark.parametrize("method_id", [N16, N4, TOTAL])
def test_costs_are_those_of_the_pilot_and_of_what_follows(finished: Finished, method_id: str) -> None:
    def tokens(table: str, more: str = "") -> dict[str, int]:
        where = f"WHERE method_id = '{method_id}' {more}"
        sums = f"SELECT problem_id, sum(completion_tokens)::INT AS tokens FROM {table} {where} GROUP BY problem_id"
        return {row["problem_id"]: row["tokens"] for row in rows(finished.store, sums)}

    # A search pays for every step it drew, pruned or not.
    pilots, drawn = tokens("rollouts", "AND sample_index < 4"), tokens("nodes")
    expected = tokens("rollouts") | {problem_id: pilots[problem_id] + drawn[problem_id] for problem_id in drawn}
    spent = rows(finished.store, f"SELECT * FROM costs WHERE method_id = '{method_id}'")
    assert {row["problem_id"]: row["policy_completion_tokens"] for row in spent} == expected


def test_the_summary_has_one_row_a_limit_with_all_that_it_cost(finished: Finished) -> None:
    found = {row["method_id"]: row for row in rows(finished.store, "SELECT * FROM summary WHERE selector = 'strategy'")}
    assert {*found} == {N16, N4, TOTAL}
    for method_id, row in found.items():
        costs = "SELECT sum(policy_completion_tokens) AS policy, sum(prm_tokens) AS prm FROM costs WHERE method_id = "
        (cost,) = rows(finished.store, costs + f"'{method_id}'")
        right = f"SELECT avg(correct::INT) FROM selections WHERE method_id = '{method_id}'"
        assert (row["policy_tokens"], row["prm_tokens"]) == (cost["policy"], cost["prm"])
        assert (row["accuracy"], row["problems"]) == (one(finished.store, right), PROBLEMS)
    budgets = [row["budget"] for row in decisions(finished.store, TOTAL).values()]
    assert [found[method_id]["n"] for method_id in (N16, N4, TOTAL)] == [16, 4, round(sum(budgets) / len(budgets))]


def test_under_a_total_each_problem_has_its_own_n_and_the_expected_sum_stays_within_it(finished: Finished) -> None:
    decided = decisions(finished.store, TOTAL)
    chosen = rows(finished.store, f"SELECT problem_id, n FROM selections WHERE method_id = '{TOTAL}'")
    assert {row["problem_id"]: row["n"] for row in chosen} == {name: row["budget"] for name, row in decided.items()}
    assert sum(row["expected_tokens"] for row in decided.values()) <= 4000


def test_a_finished_run_asks_nothing_again(finished: Finished, asked: Counter[str]) -> None:
    assert is_finished(finished.plan, Store(finished.store))
    before = Counter(asked)
    carry_out(finished.plan, finished.store)
    assert asked == before


@pytest.fixture
def applied_once(asked: Counter[str], tmp_path: Path) -> tuple[Path, Path]:
    """A strategy's file, and a store in which it was applied to all problems at a budget of 16."""
    path, store = written(tmp_path), tmp_path / "store"
    carry_out(plan_of(recipe_value(path, {"n": 16})), store)
    return path, store


def test_more_problems_ask_only_about_themselves(applied_once: tuple[Path, Path], asked: Counter[str]) -> None:
    path, store = applied_once
    asked.clear()
    more = plan_of(recipe_value(path, {"n": 16}, problems={"source": "chains", "count": PROBLEMS + 3}))
    carry_out(more, store)
    new = f"""SELECT count(DISTINCT call_key) FROM calls WHERE run_id = '{more.run_id}' AND kind = 'generate'
        AND call_key NOT IN (SELECT call_key FROM calls WHERE run_id != '{more.run_id}')"""
    assert asked["generate"] == one(store, new)
    assert one(store, f"SELECT count(*) FROM decisions WHERE run_id = '{more.run_id}'") == PROBLEMS + 3


def test_lost_decisions_are_made_again_as_they_were_and_nothing_else(
    applied_once: tuple[Path, Path], asked: Counter[str]
) -> None:
    path, store = applied_once
    plan = plan_of(recipe_value(path, {"n": 16}))
    before = rows(store, "SELECT * FROM decisions ORDER BY ALL")
    (lost,) = store.glob("stages/decide-*/parts/*.parquet")
    lost.unlink()
    assert not is_finished(plan, Store(store))
    asked.clear()
    carry_out(plan, store)
    assert rows(store, "SELECT * FROM decisions ORDER BY ALL") == before
    assert asked.total() == 0


def test_a_pilot_made_anew_is_decided_about_anew(
    applied_once: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    path, store = applied_once
    before = {row["problem_id"]: row["predicted"] for row in rows(store, "SELECT * FROM decisions")}
    for lost in store.glob("stages/sample-*/parts/*.rollouts.parquet"):
        lost.unlink()
    generate = FakePolicy.generate

    async def another(policy: FakePolicy, question: str, so_far: Any, sampling: Any, seed: int) -> Any:
        return await generate(policy, question, so_far, sampling, seed + 1)

    monkeypatch.setattr(FakePolicy, "generate", another)
    carry_out(plan_of(recipe_value(path, {"n": 16})), store)
    after = {row["problem_id"]: row["predicted"] for row in rows(store, "SELECT * FROM decisions")}
    assert {*after} == {*before}
    assert after != before
    assert list(store.glob("stages/search-*/set-aside/*.json")), "what followed the old decisions is made again too"


def test_a_total_below_the_pilots_fails_and_leaves_them_for_the_next(asked: Counter[str], tmp_path: Path) -> None:
    path, store = written(tmp_path), tmp_path / "store"
    asked.clear()
    with pytest.raises(UserError, match="total_tokens = 10 is less than"):
        carry_out(plan_of(recipe_value(path, {"total_tokens": 10})), store)
    assert asked["generate"] == 4 * PROBLEMS
    carry_out(plan_of(recipe_value(path, {"n": 4})), store)
    assert asked["generate"] == 4 * PROBLEMS


def test_problems_without_references_are_answered_and_never_called_wrong(asked: Counter[str], tmp_path: Path) -> None:
    path, store, problems = written(tmp_path), tmp_path / "store", tmp_path / "problems.jsonl"
    problems.write_text("".join(json.dumps({"question": f"What is question {n}?"}) + "\n" for n in range(4)))
    source = {"source": "file", "path": str(problems), "columns": {"reference": None}}
    methods = [{"method": "best_of_n", "n": 8}, *applying(path, {"n": 16})]
    carry_out(plan_of(recipe_value(path, problems=source, methods=methods)), store)
    assert rows(store, "SELECT DISTINCT correct, detail, reference FROM grades") == [
        {"correct": None, "detail": "no reference to compare with", "reference": None}
    ]
    assert rows(store, "SELECT DISTINCT correct, accuracy, estimator FROM selections") == [
        {"correct": None, "accuracy": None, "estimator": None}
    ]
    assert one(store, "SELECT count(answer) FROM selections WHERE selector = 'strategy'") == 4
    assert rows(store, "SELECT * FROM summary") == []


def test_a_budget_without_a_pilot_is_spent_alike_on_all_problems(asked: Counter[str], tmp_path: Path) -> None:
    path = written(tmp_path, without_pilot=[fixed_choice(16, selector="prm_last_max")])
    plan = plan_of(recipe_value(path, {"n": 16}))
    carry_out(plan, tmp_path / "store")
    assert [use.kind for use in plan.uses()] == ["problems", "decide", "search", "grade", "select"], "no pilot"
    for row in decisions(tmp_path / "store", N16).values():
        assert (row["predicted"], row["difficulty"], row["budget"]) == (None, None, 16)
        assert (row["chosen"], row["selector"]) == ("beam_search-n16-m4", "prm_last_max")
    numbers = "SELECT list(sample_index ORDER BY sample_index) AS numbers FROM rollouts GROUP BY problem_id"
    assert [row["numbers"] for row in rows(tmp_path / "store", numbers)] == [[0, 1, 2, 3]] * PROBLEMS
    best = """SELECT r.problem_id, arg_max(r.answer, (s.score, -r.sample_index)) AS answer FROM rollouts r
        JOIN scores s USING (rollout_id) WHERE s.step_index = r.step_count - 1 AND r.answer IS NOT NULL
        GROUP BY ALL ORDER BY ALL"""
    chosen = "SELECT problem_id, answer FROM selections WHERE selector = 'strategy' ORDER BY ALL"
    assert rows(tmp_path / "store", chosen) == rows(tmp_path / "store", best)
    assert one(tmp_path / "store", "SELECT n FROM summary") == 16
    before = Counter(asked)
    assert is_finished(plan, Store(tmp_path / "store"))
    carry_out(plan, tmp_path / "store")
    assert asked == before
