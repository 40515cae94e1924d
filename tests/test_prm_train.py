"""`prm-train`, end to end: labels that are what they say, engines that die, mistakes."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from commanding import overthink
from object_store import BucketView

from overthink.flows.orchestration import secret_blocks
from overthink.flows.prm_train import prm_train
from overthink.storage.integrity import store_findings
from overthink.storage.opening import open_store
from overthink.storage.sql import query
from overthink.storage.store import Store
from overthink.tasks.datasets.problem_loading import load_problems
from overthink.tasks.engines.engine_config import FakePolicyConfig
from overthink.tasks.engines.fakes.fake import FakePolicy
from overthink.tasks.errors import EngineDied, EngineUnavailable, UserError
from overthink.tasks.methods.continuations import (
    ContinuationCounts,
    continue_prefixes,
    count_prefixes,
    count_verdicts,
    hopeful,
)
from overthink.tasks.methods.requests import Generate
from overthink.tasks.plan.prm_train_plan import plan_prm_train
from overthink.tasks.plan.run_plan import is_finished
from overthink.tasks.recipes.prm_recipes import PrmTrainRecipe
from overthink.tasks.records import Sample, Sampling

pytestmark = pytest.mark.usefixtures("prefect_server")

SAMPLING = Sampling(0.7, 1.0, 64)
K = 6


def rows(store: Path, sql: str) -> list[dict[str, Any]]:
    return list(query(Store(store), sql).to_pylist())


def recipe_in(folder: Path, **changes: Any) -> PrmTrainRecipe:
    problems = folder / "sums.jsonl"
    problems.write_text("".join(json.dumps({"question": f"{n}-{n}?", "answer": "0"}) + "\n" for n in range(6)))
    value = {
        "name": "trial",
        "problems": {"source": "file", "path": str(problems)},
        "policy": {"engine": "fake", "steps": 4},
        "rollouts": 4,
        "continuations": K,
        "shard_size": 2,
        "training": {"base": {"model": "zoo/abacus-1m"}, "part": "head", "updates": 4, "check_every": 2},
    }
    return PrmTrainRecipe.model_validate(value | changes)


def test_rollouts_are_evidence_for_each_of_their_prefixes() -> None:
    found = count_prefixes([(("a", "b", "c"), True), (("a", "x"), False), (("a", "b"), None), ((), True)])
    assert found == {("a",): ContinuationCounts(right=1, wrong=1), ("a", "b"): ContinuationCounts(right=1, wrong=0)}
    assert found[("a",)].label == 0.5
    assert count_verdicts([None]).label is None


def test_nothing_is_spent_after_a_step_from_which_nothing_ended_right() -> None:
    known = {
        ("a",): ContinuationCounts(1, 3),
        ("b",): ContinuationCounts(0, 4),
        ("a", "a"): ContinuationCounts(0, 1),
        ("b", "a"): ContinuationCounts(0, 1),
        ("a", "a", "a"): ContinuationCounts(0, 1),
    }
    assert hopeful(known, 1) == [("a",), ("b",)]
    assert hopeful(known, 2) == [("a", "a")]
    assert hopeful(known, 3) == []


def test_continuations_are_drawn_as_often_as_asked() -> None:
    step = Sample("a", (1,), (1,), (-1.0,), "delimiter", 0)
    search = continue_prefixes({("a",): (step,), ("b",): (step, step)}, {("a",): 2, ("b",): 1}, SAMPLING)
    asked = next(search)
    assert asked == [
        Generate((step,), 0, SAMPLING),
        Generate((step,), 1, SAMPLING),
        Generate((step, step), 0, SAMPLING),
    ]
    ends = [Sample(text, (), (), (), "stop", 0) for text in "xyz"]
    with pytest.raises(StopIteration) as finished:
        search.send(ends)
    assert finished.value.value == {("a",): ends[:2], ("b",): ends[2:]}


async def test_labels_are_shares_of_what_ended_right(tmp_path: Path) -> None:
    recipe = recipe_in(tmp_path)
    run_id = await prm_train(recipe, tmp_path / "store")
    store = tmp_path / "store"
    labels: dict[str, list[float]] = {}
    for row in rows(store, "SELECT * FROM step_labels ORDER BY step_index"):
        labels.setdefault(row["rollout_id"], []).append(row["label"])
        assert row["labeller"] == f"fake × {K}"
    rollouts = rows(store, "SELECT * FROM rollouts JOIN grades USING (rollout_id)")
    assert len(rollouts) == 24
    through: Counter[tuple[str, tuple[str, ...]]] = Counter()
    share: dict[tuple[str, tuple[str, ...]], float] = {}
    for rollout in rollouts:
        steps, found = tuple(rollout["text"].split("\n\n")), labels[rollout["rollout_id"]]
        assert len(found) == len(steps)
        assert found[-1] == rollout["correct"], "a whole rollout is worth its own grade"
        for end in range(1, len(steps)):
            through[rollout["problem_id"], steps[:end]] += 1
            share[rollout["problem_id"], steps[:end]] = found[end - 1]
    drawn = 0
    for (problem, prefix), count in through.items():
        spent = max(0, K - count) if len(prefix) == 1 or share[problem, prefix[:-1]] > 0 else 0
        drawn += spent
        assert share[problem, prefix] * (spent + count) == pytest.approx(
            round(share[problem, prefix] * (spent + count))
        )
    calls = rows(store, "SELECT call_key, count(*) AS made FROM calls GROUP BY 1")
    assert len(calls) == 24 + drawn
    assert {row["made"] for row in calls} == {1}
    plan = plan_prm_train(recipe, load_problems(recipe.problems))
    assert plan.run_id == run_id
    assert is_finished(plan, Store(store))
    assert (store / "models" / run_id / "README.md").exists()


async def test_a_model_trained_into_a_bucket_is_there_for_other_machines(
    bucket: BucketView, count_calls: Counter[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = recipe_in(tmp_path)
    run_id = await prm_train(recipe, bucket.place)
    trained = {path.name: path.read_bytes() for path in open_store(bucket.place).model_folder(run_id).iterdir()}
    asked = dict(count_calls)
    monkeypatch.setenv("OVERTHINK_CACHE", str(tmp_path / "elsewhere"))
    there = open_store(bucket.place)
    assert is_finished(plan_prm_train(recipe, load_problems(recipe.problems)), there)
    assert not there.model_folder(run_id).exists()
    assert await prm_train(recipe, bucket.place) == run_id
    assert count_calls == asked
    assert {path.name: path.read_bytes() for path in there.model(run_id).iterdir()} == trained
    assert [finding.level for finding in store_findings(there)] == ["ok"]


async def test_a_policy_that_dies_is_loaded_anew_and_repeats_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answered: Counter[tuple[str, int]] = Counter()
    lives = 0

    class Mortal(FakePolicy):
        def __init__(self, config: FakePolicyConfig) -> None:
            nonlocal lives
            lives += 1
            super().__init__(config)
            self.left = 40 if lives == 1 else 10_000

        async def generate(self, question: str, path: Any, sampling: Sampling, seed: int) -> Sample:
            self.left -= 1
            if self.left < 0:
                raise EngineDied("killed")
            answered[question, seed] += 1
            return await super().generate(question, path, sampling, seed)

    async def opener(config: Any) -> FakePolicy:
        return Mortal(config)

    monkeypatch.setattr(secret_blocks, "open_policy", opener)
    await prm_train(recipe_in(tmp_path), tmp_path / "store")
    assert lives == 2
    assert set(answered.values()) == {1}


def test_mistakes_are_told_before_anything_starts(tmp_path: Path) -> None:
    base = {"base": {"model": "zoo/abacus-9m"}}
    with pytest.raises(EngineUnavailable, match="abacus-9m"):
        plan_prm_train(recipe_in(tmp_path, training=base), load_problems(recipe_in(tmp_path).problems))
    result = overthink("prm-train", "demo", "--store", tmp_path)
    assert result.returncode == 2
    assert "overthink run" in result.stderr
    result = overthink("run", "prm-train", "--store", tmp_path)
    assert result.returncode == 2
    assert "overthink prm-train" in result.stderr
    with pytest.raises(ValueError, match="frozen body"):
        recipe_in(tmp_path, training={"base": {"model": "zoo/abacus-1m"}, "part": "full", "extra_layers": 1})


async def test_one_problem_is_too_few(tmp_path: Path) -> None:
    recipe = recipe_in(tmp_path)
    source = recipe.problems.model_copy(update={"limit": 1})
    with pytest.raises(UserError, match="two problems at least"):
        await prm_train(recipe.model_copy(update={"problems": source}), tmp_path / "store")
