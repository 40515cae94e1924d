"""The flow `evaluate`, end to end on fake engines: what it writes, what it shares, what it survives."""

import asyncio
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from conftest import recipe_of

from overthink.flows.evaluate import evaluate
from overthink.flows.orchestration import secret_blocks
from overthink.storage.sql import query
from overthink.storage.storage_errors import StoreBusy
from overthink.storage.store import Store
from overthink.tasks.datasets.problem_loading import load_problems
from overthink.tasks.engines.fakes.fake import FakePolicy, FakePrm
from overthink.tasks.errors import BadReply, EngineDied, ProblemError
from overthink.tasks.plan.evaluation_plan import plan_evaluation
from overthink.tasks.plan.run_plan import is_finished
from overthink.tasks.recipes.recipe import Recipe
from overthink.tasks.records import Sample, Scores
from overthink.tasks.stages.shards import ENGINE_TASK

pytestmark = pytest.mark.usefixtures("prefect_server")


def rows(store: Path, sql: str) -> list[dict[str, Any]]:
    return list(query(Store(store), sql).to_pylist())


def one(store: Path, sql: str) -> Any:
    (row,) = rows(store, sql)
    return next(iter(row.values()))


def snapshot(store: Path) -> dict[str, tuple[bytes, int]]:
    files = [path for path in store.rglob("*") if path.is_file() and path.suffix in (".parquet", ".json")]
    return {str(path): (path.read_bytes(), path.stat().st_mtime_ns) for path in files if path.name != "run.json"}


def contents(store: Path) -> dict[str, list[dict[str, Any]]]:
    """Every public table without what only the clock decides."""
    tables = ("problems", "rollouts", "steps", "scores", "grades", "selections", "calls", "summary")
    timeless = {"calls": "* EXCLUDE (latency_ms, started_at)"}
    return {name: rows(store, f"SELECT {timeless.get(name, '*')} FROM {name} ORDER BY ALL") for name in tables}


# Equal rollouts of a problem are scored once.
DIFFERENT_ROLLOUTS = "SELECT count(*) FROM (SELECT DISTINCT method_id, problem_id, text FROM rollouts)"


async def test_a_run_fills_every_table(fake_recipe: dict[str, Any], tmp_path: Path) -> None:
    run_id = await evaluate(recipe_of(fake_recipe), tmp_path)
    assert one(tmp_path, "SELECT count(*) FROM problems") == 8
    assert one(tmp_path, "SELECT count(*) FROM rollouts WHERE method_id = 'cot'") == 8
    assert one(tmp_path, "SELECT count(*) FROM rollouts WHERE method_id = 'best_of_n-n8'") == 64
    assert one(tmp_path, "SELECT count(DISTINCT rollout_id) FROM rollouts") == 72
    steps = one(tmp_path, "SELECT sum(step_count) FROM rollouts")
    assert one(tmp_path, "SELECT count(*) FROM steps") == steps == one(tmp_path, "SELECT count(*) FROM scores")
    assert one(tmp_path, "SELECT count(*) FROM grades") == 72
    assert one(tmp_path, "SELECT count(*) FROM calls WHERE kind = 'generate'") == 72
    assert one(tmp_path, "SELECT count(*) FROM calls WHERE kind = 'score'") == one(tmp_path, DIFFERENT_ROLLOUTS) < 72
    assert one(tmp_path, "SELECT count(DISTINCT call_key) FROM calls") == one(tmp_path, "SELECT count(*) FROM calls")
    assert rows(tmp_path, "SELECT run_id, status FROM runs") == [{"run_id": run_id, "status": "complete"}]
    # 10 selectors × (3 budgets of best-of-8 + the one of cot)
    assert one(tmp_path, "SELECT count(*) FROM summary") == 40
    assert one(tmp_path, "SELECT count(*) FROM selections") == 40 * 8
    assert one(tmp_path, "SELECT count(*) FROM rollouts WHERE answer_key IS NULL") == 0


async def test_tokens_of_steps_add_up_to_those_of_the_rollout(fake_recipe: dict[str, Any], tmp_path: Path) -> None:
    await evaluate(recipe_of(fake_recipe), tmp_path)
    assert not rows(
        tmp_path,
        "SELECT rollout_id FROM rollouts JOIN (SELECT rollout_id, sum(completion_tokens) AS t, sum(logprob_sum) AS l "
        "FROM steps GROUP BY 1) USING (rollout_id) WHERE t != completion_tokens OR abs(l - logprob_sum) > 1e-9",
    )


async def test_the_same_recipe_again_touches_and_asks_nothing(
    fake_recipe: dict[str, Any], tmp_path: Path, count_calls: Counter[str]
) -> None:
    recipe = recipe_of(fake_recipe)
    await evaluate(recipe, tmp_path)
    before, asked = snapshot(tmp_path), dict(count_calls)
    assert is_finished(plan_evaluation(recipe, load_problems(recipe.problems)), Store(tmp_path))
    await evaluate(recipe, tmp_path)
    assert snapshot(tmp_path) == before
    assert count_calls == asked


async def test_shard_size_changes_no_result(fake_recipe: dict[str, Any], tmp_path: Path) -> None:
    await evaluate(recipe_of(fake_recipe, shard_size=3), tmp_path / "three")
    await evaluate(recipe_of(fake_recipe, shard_size=50), tmp_path / "fifty")
    assert contents(tmp_path / "three") == contents(tmp_path / "fifty")


async def test_a_larger_n_and_more_problems_ask_only_for_what_is_missing(
    fake_recipe: dict[str, Any], tmp_path: Path, count_calls: Counter[str]
) -> None:
    await evaluate(recipe_of(fake_recipe), tmp_path)
    assert count_calls == {"generate": 72, "score": one(tmp_path, DIFFERENT_ROLLOUTS)}
    larger: dict[str, Any] = {"methods": [{"method": "cot"}, {"method": "best_of_n", "n": 12}], "budgets": [1, 12]}
    await evaluate(recipe_of(fake_recipe, **larger), tmp_path)
    assert count_calls["generate"] == 72 + 32
    larger["problems"] = {"source": "chains", "count": 10}
    await evaluate(recipe_of(fake_recipe, **larger), tmp_path)
    assert count_calls["generate"] == 104 + 26
    assert count_calls["score"] == one(tmp_path, "SELECT count(DISTINCT call_key) FROM calls WHERE kind = 'score'")
    assert one(tmp_path, "SELECT count(*) FROM runs") == 3
    fresh = tmp_path / "fresh"
    await evaluate(recipe_of(fake_recipe, **larger), fresh)
    newest = one(fresh, "SELECT run_id FROM runs")
    for table in ("rollouts", "selections", "summary"):
        sql = f"SELECT * FROM {table} WHERE run_id = '{newest}' ORDER BY ALL"
        assert rows(tmp_path, sql) == rows(fresh, sql)


async def test_a_shared_rollout_is_there_once_a_run(fake_recipe: dict[str, Any], tmp_path: Path) -> None:
    await evaluate(recipe_of(fake_recipe), tmp_path)
    await evaluate(recipe_of(fake_recipe, name="other"), tmp_path)
    assert one(tmp_path, "SELECT count(*) FROM rollouts") == 144
    assert one(tmp_path, "SELECT count(*) FROM scores") == one(tmp_path, "SELECT count(*) FROM steps")
    assert one(tmp_path, "SELECT count(*) FROM grades") == 72


class DyingPolicy(FakePolicy):
    """Answers 20 calls and dies; its successor answers all."""

    lives = 0
    answered = 0

    async def generate(self, *arguments: Any) -> Sample:
        if type(self).lives == 1 and type(self).answered >= 20:
            raise EngineDied("the engine fell over")
        sample = await super().generate(*arguments)
        type(self).answered += 1
        return sample


async def test_a_dead_engine_is_loaded_again_and_no_answered_call_is_repeated(
    fake_recipe: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def opener(config: Any) -> DyingPolicy:
        DyingPolicy.lives += 1
        return DyingPolicy(config)

    monkeypatch.setattr(secret_blocks, "open_policy", opener)
    await evaluate(recipe_of(fake_recipe), tmp_path / "died")
    assert DyingPolicy.lives == 2
    assert DyingPolicy.answered == 72
    monkeypatch.undo()
    await evaluate(recipe_of(fake_recipe), tmp_path / "lived")
    assert contents(tmp_path / "died") == contents(tmp_path / "lived")


async def test_an_engine_that_cannot_be_revived_fails_the_run_and_keeps_what_is_done(
    fake_recipe: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, count_calls: Counter[str]
) -> None:
    class Dead(FakePrm):
        async def score(self, *_: Any) -> Scores:
            raise EngineDied("no more memory")

    async def opener(config: Any) -> Dead:
        return Dead(config)

    monkeypatch.setattr(secret_blocks, "open_prm", opener)
    monkeypatch.setitem(ENGINE_TASK, "retries", 1)
    monkeypatch.setitem(ENGINE_TASK, "retry_delay_seconds", [0.01])
    with pytest.raises(EngineDied, match="no more memory"):
        await evaluate(recipe_of(fake_recipe), tmp_path)
    assert one(tmp_path, "SELECT status FROM runs") == "failed"
    monkeypatch.undo()
    asked = dict(count_calls)
    await evaluate(recipe_of(fake_recipe), tmp_path)
    assert count_calls["generate"] == asked["generate"], "nothing sampled before the failure is sampled again"
    assert one(tmp_path, "SELECT status FROM runs") == "complete"


@pytest.mark.parametrize("values", [[], [0.5], [0.5, 0.5, 0.5], [0.5, float("nan")], [0.5, 1.5]])
async def test_a_prm_that_answers_nonsense_is_an_error_and_leaves_no_score(
    values: list[float], fake_recipe: dict[str, Any], tmp_path: Path
) -> None:
    question = "1+1?"
    problems = tmp_path / "problems.jsonl"
    problems.write_text(json.dumps({"question": question, "answer": "2"}) + "\n")
    text = "1+1=2\n\n\\boxed{2}"
    script = tmp_path / "script.json"
    script.write_text(json.dumps({"policy": {question: {"": [text]}}, "prm": {question: {text: values}}}))
    engine = {"engine": "scripted", "script": str(script)}
    recipe = recipe_of(
        fake_recipe, problems={"source": "file", "path": str(problems)}, policy=engine, prm=engine, budgets=[1]
    )
    with pytest.raises(BadReply, match="PRM scripted@.* problem 0"):
        await evaluate(recipe, tmp_path / "store")
    assert one(tmp_path / "store", "SELECT count(*) FROM scores") == 0
    assert one(tmp_path / "store", "SELECT status FROM runs") == "failed"


async def test_one_failing_shard_does_not_stop_the_others(
    fake_recipe: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = recipe_of(fake_recipe, methods=[{"method": "best_of_n", "n": 8}])
    bad = load_problems(recipe.problems).problems[0].question

    class Choosy(FakePolicy):
        async def generate(self, question: str, *arguments: Any) -> Sample:
            if question == bad:
                raise BadReply("garbage")
            return await super().generate(question, *arguments)

    async def opener(config: Any) -> Choosy:
        return Choosy(config)

    monkeypatch.setattr(secret_blocks, "open_policy", opener)
    with pytest.raises(BadReply, match="garbage"):
        await evaluate(recipe, tmp_path)
    assert one(tmp_path, "SELECT count(DISTINCT problem_id) FROM rollouts") == 5, "two of three shards are written"


async def test_damaged_parts_are_noticed_set_aside_and_made_again(fake_recipe: dict[str, Any], tmp_path: Path) -> None:
    recipe = recipe_of(fake_recipe)
    await evaluate(recipe, tmp_path)
    before = contents(tmp_path)
    parts = sorted(tmp_path.glob("stages/s*-*/parts/*.parquet")) + sorted(tmp_path.glob("stages/grade-*/parts/*"))
    flipped, truncated, deleted = parts[0], parts[len(parts) // 2], parts[-1]
    content = bytearray(flipped.read_bytes())
    content[len(content) // 2] ^= 1
    flipped.write_bytes(content)
    truncated.write_bytes(truncated.read_bytes()[:-7])
    deleted.unlink()
    assert not is_finished(plan_evaluation(recipe, load_problems(recipe.problems)), Store(tmp_path))
    await evaluate(recipe, tmp_path)
    after = contents(tmp_path)
    assert after == before
    assert len(list(tmp_path.glob("stages/*/set-aside/*.json"))) >= 3


async def test_scores_of_rollouts_that_were_made_anew_are_made_anew(
    fake_recipe: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = recipe_of(fake_recipe)
    await evaluate(recipe, tmp_path)
    next(tmp_path.glob("stages/sample-*/parts/*000008-*.rollouts.parquet")).unlink()

    class Another(FakePolicy):
        async def generate(self, question: str, path: Any, sampling: Any, seed: int) -> Sample:
            return await super().generate(question, path, sampling, seed + 1)

    async def opener(config: Any) -> Another:
        return Another(config)

    monkeypatch.setattr(secret_blocks, "open_policy", opener)
    await evaluate(recipe, tmp_path)
    assert not rows(
        tmp_path,
        "SELECT rollout_id FROM rollouts JOIN (SELECT rollout_id, count(*) AS scored FROM scores GROUP BY 1) "
        "USING (rollout_id) WHERE scored != step_count",
    )
    assert not rows(
        tmp_path,
        "SELECT rollout_id FROM rollouts WHERE answer != regexp_extract(text, 'boxed.([0-9]+)', 1)",
    )


async def test_two_writers_of_one_run_are_one_too_many(fake_recipe: dict[str, Any], tmp_path: Path) -> None:
    recipe = recipe_of(fake_recipe)
    plan = plan_evaluation(recipe, load_problems(recipe.problems))
    with Store(tmp_path).lock_run(plan.run_id), pytest.raises(StoreBusy, match="is being written by process"):
        await evaluate(recipe, tmp_path)


async def test_bad_problems_stop_the_run_before_any_engine(
    fake_recipe: dict[str, Any], tmp_path: Path, count_calls: Counter[str]
) -> None:
    path = tmp_path / "problems.jsonl"
    path.write_text('{"question": "1+1?", "answer": "2"}\n{"question": "", "answer": "2"}\n')
    recipe = recipe_of(fake_recipe, problems={"source": "file", "path": str(path)})
    with pytest.raises(ProblemError, match="row 2: field 'question' is empty"):
        await evaluate(recipe, tmp_path / "store")
    assert count_calls == {"generate": 0, "score": 0}
    assert not (tmp_path / "store").exists()
    await evaluate(recipe, tmp_path / "store", skip_bad_rows=True)
    assert one(tmp_path / "store", "SELECT count(*) FROM problems") == 1


async def test_a_cancelled_run_leaves_a_store_to_go_on_with(
    fake_recipe: dict[str, Any], tmp_path: Path, count_calls: Counter[str]
) -> None:
    slow = recipe_of(
        fake_recipe, policy={"engine": "fake", "latency_ms": 20}, methods=[{"method": "best_of_n", "n": 8}]
    )
    running = asyncio.create_task(evaluate(slow, tmp_path))
    while count_calls["generate"] < 40:
        await asyncio.sleep(0.005)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    await evaluate(slow, tmp_path)
    assert one(tmp_path, "SELECT count(*) FROM rollouts") == 64
    assert one(tmp_path, "SELECT count(DISTINCT call_key) FROM calls") == 64 + one(tmp_path, DIFFERENT_ROLLOUTS)
    assert not list(tmp_path.rglob("*.sqlite*"))


def test_the_recipe_of_a_flow_survives_json(fake_recipe: dict[str, Any]) -> None:
    recipe = recipe_of(fake_recipe)
    assert Recipe.model_validate_json(recipe.model_dump_json()) == recipe
