"""A run with every search on fake engines: its tables agree with each other and with what was asked."""

import asyncio
from collections import Counter, defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from conftest import recipe_of
from search_runs import PROBLEMS, SEARCHES, Row, base, one, rows

from overthink.flows.evaluate import evaluate
from overthink.flows.orchestration import secret_blocks
from overthink.storage.store import Store
from overthink.tasks.datasets.problem_loading import load_problems
from overthink.tasks.plan.evaluation_plan import plan_evaluation
from overthink.tasks.plan.run_plan import is_finished
from overthink.tasks.recipes.recipe import Recipe

Table = dict[str, list[Row]]  # by method

OTHERS: dict[str, Row] = {
    "best_of_n-n8": {"method": "best_of_n", "n": 8},
    "adaptive-n16-threshold0.8": {"method": "adaptive", "n": 16, "threshold": 0.8},
}
BY_TWO = "dvts-n8-m4-granularity2"
LOOKAHEAD = "beam_search-n8-m4-lookahead2"
ADAPTIVE = "adaptive-n16-threshold0.8"
ANSWERS_ALONE = [*SEARCHES, ADAPTIVE]


def snapshot(store: Path) -> dict[str, tuple[bytes, int]]:
    """Bytes and times of all files but the runs' manifests and the locks, which every flow run touches."""
    files = [path for path in store.rglob("*") if path.is_file() and path.suffix in (".parquet", ".json", ".sqlite")]
    return {str(path): (path.read_bytes(), path.stat().st_mtime_ns) for path in files if path.name != "run.json"}


@dataclass(frozen=True)
class Finished:
    """A run with every method, and its tables by method."""

    store: Path
    recipe: Recipe
    rollouts: Table
    nodes: Table
    calls: Table
    summary: Table
    selections: Table
    steps: dict[str, list[str]]  # by rollout
    scores: dict[str, list[float]]


@pytest.fixture(scope="module")
def finished(prefect_server: str, tmp_path_factory: pytest.TempPathFactory) -> Finished:
    folder = tmp_path_factory.mktemp("searches")
    methods = [*OTHERS.values(), *SEARCHES.values()]
    recipe = recipe_of(base(folder), methods=methods, shard_size=3)
    store = folder / "store"
    asyncio.run(evaluate(recipe, store))

    def by_method(table: str) -> Table:
        found: Table = defaultdict(list)
        for row in rows(store, f"SELECT * FROM {table}"):
            found[row["method_id"]].append(row)
        return found

    def by_rollout(table: str, column: str) -> dict[str, list[Any]]:
        found: dict[str, list[Any]] = defaultdict(list)
        for row in rows(store, f"SELECT * FROM {table} ORDER BY rollout_id, step_index"):
            assert row["step_index"] == len(found[row["rollout_id"]])
            found[row["rollout_id"]].append(row[column])
        return found

    return Finished(
        store=store,
        recipe=recipe,
        rollouts=by_method("rollouts"),
        nodes=by_method("nodes"),
        calls=by_method("calls"),
        summary=by_method("summary"),
        selections=by_method("selections"),
        steps=by_rollout("steps", "text"),
        scores=by_rollout("scores", "score"),
    )


def test_a_run_with_every_method_completes(finished: Finished) -> None:
    assert one(finished.store, "SELECT status FROM runs") == "complete"
    assert {*finished.rollouts} == {*SEARCHES, *OTHERS} == {*finished.summary}
    assert {*finished.nodes} == {*SEARCHES}
    for rollouts in finished.rollouts.values():
        assert len({row["problem_id"] for row in rollouts}) == PROBLEMS
    assert not list(finished.store.rglob("journal.sqlite*"))


def test_the_run_saw_dead_ends_cut_steps_repeated_draws_duplicates_and_the_depth_limit(finished: Finished) -> None:
    nodes = [row for table in finished.nodes.values() for row in table]
    assert {row["dropped"] for row in nodes} == {None, "length", "duplicate"}
    assert max(row["draw"] for row in nodes) >= 3_000_000, "the draws were repeated up to three times"
    reasons = {row["stop_reason"] for method_id in SEARCHES for row in finished.rollouts[method_id]}
    assert reasons == {"stop", "depth", "dead_end"}


@pytest.mark.parametrize("method_id", SEARCHES)
def test_every_node_has_an_id_of_its_own_and_hangs_one_step_below_its_parent(
    finished: Finished, method_id: str
) -> None:
    nodes = finished.nodes[method_id]
    by_id = {row["node_id"]: row for row in nodes}
    assert len(by_id) == len(nodes)
    for row in nodes:
        parent = by_id.get(row["parent_id"])
        assert row["depth"] == (1 if row["parent_id"] is None else by_id[row["parent_id"]]["depth"] + 1)
        assert parent is None or parent["problem_id"] == row["problem_id"]
        assert parent is None or (parent["dropped"] is None and not parent["finished"]), "only a candidate goes on"


@dataclass(frozen=True)
class KeptPath:
    """A path of kept nodes from the question."""

    texts: tuple[str, ...]
    scores: tuple[float, ...]
    completion_tokens: int
    finished: bool


def kept_paths(nodes: list[Row]) -> list[KeptPath]:
    """Every path from the question on which all nodes are kept; the empty one too."""
    children: dict[str | None, list[Row]] = defaultdict(list)
    for row in nodes:
        if row["kept"]:
            children[row["parent_id"]].append(row)
    paths = [KeptPath((), (), 0, False)]
    waiting: list[tuple[KeptPath, str | None]] = [(paths[0], None)]
    while waiting:
        path, node_id = waiting.pop()
        for row in children[node_id]:
            score = () if row["score"] is None else (row["score"],)
            tokens = path.completion_tokens + row["completion_tokens"]
            longer = KeptPath((*path.texts, row["text"]), path.scores + score, tokens, row["finished"])
            paths.append(longer)
            waiting.append((longer, row["node_id"]))
    return paths


@pytest.mark.parametrize("method_id", SEARCHES)
def test_a_rollout_is_the_path_of_kept_nodes_that_its_steps_and_scores_tell(finished: Finished, method_id: str) -> None:
    for problem_id in {row["problem_id"] for row in finished.rollouts[method_id]}:
        paths = kept_paths([row for row in finished.nodes[method_id] if row["problem_id"] == problem_id])
        for rollout in finished.rollouts[method_id]:
            if rollout["problem_id"] != problem_id:
                continue
            steps = finished.steps.get(rollout["rollout_id"], [])
            scores = finished.scores.get(rollout["rollout_id"], [])
            assert len(steps) == len(scores) == rollout["step_count"]
            found = [path for path in paths if "\n\n".join(path.texts) == rollout["text"]]
            found = [path for path in found if list(path.scores) == scores]
            assert found, rollout
            assert steps == [text.strip() for text in found[0].texts if text.strip()]
            assert rollout["completion_tokens"] in {path.completion_tokens for path in found}
            ended = rollout["stop_reason"] in ("stop", "depth")
            assert ended in {path.finished for path in found}


@pytest.mark.parametrize("method_id", SEARCHES)
def test_rollouts_are_numbered_from_0_and_at_most_n(finished: Finished, method_id: str) -> None:
    numbers: dict[str, list[int]] = defaultdict(list)
    for row in finished.rollouts[method_id]:
        numbers[row["problem_id"]].append(row["sample_index"])
    assert all(sorted(found) == list(range(len(found))) for found in numbers.values())
    assert max(map(len, numbers.values())) <= SEARCHES[method_id]["n"]


@pytest.mark.parametrize("method_id", SEARCHES)
def test_every_candidate_with_text_has_a_score_and_nothing_else_has_one(finished: Finished, method_id: str) -> None:
    for row in finished.nodes[method_id]:
        is_candidate = row["dropped"] is None
        is_ranked = method_id != BY_TWO or row["depth"] % 2 == 0 or row["finished"]
        assert (row["value"] is not None) == (is_candidate and is_ranked)
        assert (row["score"] is not None) == (is_candidate and bool(row["text"].strip()))
        assert row["score"] is None or 0 < row["score"] < 1
        if method_id != LOOKAHEAD and row["value"] is not None and row["text"].strip():
            assert row["value"] == row["score"]


@pytest.mark.parametrize("method_id", SEARCHES)
def test_the_prm_was_asked_once_a_ranked_node_and_the_policy_once_a_node(finished: Finished, method_id: str) -> None:
    kinds = Counter(row["kind"] for row in finished.calls[method_id])
    nodes = finished.nodes[method_id]
    assert kinds["score"] == sum(row["value"] is not None and bool(row["text"].strip()) for row in nodes)
    written = sum(row["output_tokens"] for row in finished.calls[method_id])
    assert written == sum(row["completion_tokens"] + row["lookahead_tokens"] for row in nodes)
    if method_id == LOOKAHEAD:
        assert kinds["generate"] > len(nodes)
    else:
        assert kinds["generate"] == len(nodes)
        assert written == sum(row["completion_tokens"] for row in nodes)
    assert len({row["call_key"] for row in finished.calls[method_id]}) == kinds.total()


@pytest.mark.parametrize("method_id", ANSWERS_ALONE)
def test_a_method_whose_rollouts_only_count_together_answers_its_own_n_alone(
    finished: Finished, method_id: str
) -> None:
    n = (SEARCHES | OTHERS)[method_id]["n"]
    selectors = finished.recipe.chosen_selectors()
    assert sorted((row["selector"], row["n"]) for row in finished.summary[method_id]) == sorted(
        (selector, n) for selector in selectors
    )
    assert {row["n"] for row in finished.selections[method_id]} == {n}
    assert len(finished.selections[method_id]) == len(selectors) * PROBLEMS
    assert {row["estimator"] for row in finished.summary[method_id]} == {"exact"}


@pytest.mark.parametrize("method_id", SEARCHES)
def test_the_tokens_of_the_summary_are_those_of_the_calls(finished: Finished, method_id: str) -> None:
    calls = finished.calls[method_id]
    policy = sum(row["output_tokens"] for row in calls if row["kind"] == "generate")
    prm = sum(row["input_tokens"] for row in calls if row["kind"] == "score")
    for row in finished.summary[method_id]:
        assert (row["policy_tokens"], row["prm_tokens"]) == (policy, prm), row["selector"]
        assert row["flops"] is None, "the fakes' sizes are unknown"


@pytest.mark.parametrize("method_id", ANSWERS_ALONE)
def test_every_selector_chooses_among_the_answers_of_the_rollouts(finished: Finished, method_id: str) -> None:
    answers: dict[str, set[str | None]] = defaultdict(set)
    for row in finished.rollouts[method_id]:
        answers[row["problem_id"]].add(row["answer"])
    for row in finished.selections[method_id]:
        expected = answers[row["problem_id"]]
        assert row["answer"] in expected
        assert row["answer"] is not None or expected == {None}, "who has an answer has a say"
        assert row["correct"] is not None


def test_adaptive_draws_less_than_its_budget_and_what_it_drew_is_graded_and_scored(finished: Finished) -> None:
    rollouts = finished.rollouts[ADAPTIVE]
    drawn = Counter(row["problem_id"] for row in rollouts)
    assert all(count % 4 == 0 for count in drawn.values()), "it draws in waves of 4"
    assert len(rollouts) < 16 * PROBLEMS
    graded = rows(
        finished.store,
        "SELECT correct, step_count, (SELECT count(*) FROM scores s WHERE s.rollout_id = r.rollout_id) AS scored "
        f"FROM rollouts r JOIN grades USING (rollout_id) WHERE method_id = '{ADAPTIVE}'",
    )
    assert len(graded) == len(rollouts)
    assert {row["correct"] for row in graded} == {True, False}
    assert all(row["step_count"] == row["scored"] > 0 for row in graded)
    kinds = Counter(row["kind"] for row in finished.calls[ADAPTIVE])
    assert kinds["generate"] == len(rollouts)


async def test_a_finished_run_again_loads_no_engine_and_changes_no_file(
    finished: Finished, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def opener(config: Any) -> Any:
        raise AssertionError(f"{config.engine} was loaded")

    monkeypatch.setattr(secret_blocks, "open_policy", opener)
    monkeypatch.setattr(secret_blocks, "open_prm", opener)
    before = snapshot(finished.store)
    assert is_finished(plan_evaluation(finished.recipe, load_problems(finished.recipe.problems)), Store(finished.store))
    await evaluate(finished.recipe, finished.store)
    assert snapshot(finished.store) == before


async def test_recipes_that_differ_in_other_methods_share_a_searchs_trees(
    finished: Finished, count_calls: Counter[str]
) -> None:
    changes = {"name": "other", "methods": [{"method": "dvts", "n": 8}, {"method": "cot"}], "budgets": [1, 8]}
    recipe = recipe_of(finished.recipe.model_dump(mode="json"), **changes)
    run_id = await evaluate(recipe, finished.store)
    assert count_calls == {"generate": PROBLEMS, "score": PROBLEMS}, "cot alone asked"
    sql = "SELECT * EXCLUDE (run_id) FROM nodes WHERE method_id = 'dvts-n8-m4' AND run_id {} '{}' ORDER BY ALL"
    own = rows(finished.store, sql.format("=", run_id))
    assert own == rows(finished.store, sql.format("!=", run_id))
    assert len(own) == len(finished.nodes["dvts-n8-m4"])
