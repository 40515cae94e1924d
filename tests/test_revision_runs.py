"""Runs of methods that revise, on engines without weights: what is stored, what it cost, how much was in flight."""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import recipe_of
from plans import plan, searched
from search_runs import Row, base, one, rows

from overthink.flows.evaluate import evaluate
from overthink.storage.manifest import Extent
from overthink.storage.store import Store
from overthink.tasks.datasets.problem_loading import load_problems
from overthink.tasks.engines.engine_config import FakePolicyConfig
from overthink.tasks.engines.engine_slot import EngineSlot
from overthink.tasks.engines.fakes.fake import FakePolicy
from overthink.tasks.errors import UserError
from overthink.tasks.plan.evaluation_plan import plan_evaluation
from overthink.tasks.recipes.recipe import Recipe
from overthink.tasks.records import Part, Sample, Sampling
from overthink.tasks.stages.admission import Admission
from overthink.tasks.stages.context import EngineContext, Engines
from overthink.tasks.stages.driver import EngineAccess
from overthink.tasks.stages.recorder import Recorder
from overthink.tasks.stages.sample import SampleNode
from overthink.tasks.stages.shard_counts import ShardCounts

METHODS: dict[str, Row] = {
    "best_of_n-n4": {"method": "best_of_n", "n": 4},
    "self_refine-n4": {"method": "self_refine", "n": 4},
    "self_verify-n4": {"method": "self_verify", "n": 4},
    "sequential_revisions-n4-revisions2-vote": {
        "method": "sequential_revisions",
        **{"n": 4, "revisions": 2, "return": "vote"},
    },
    "sequential_revisions-n4-revisions4-all": {
        "method": "sequential_revisions",
        **{"n": 4, "revisions": 4, "return": "all"},
    },
}


@pytest.fixture(scope="module")
def store(prefect_server: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("revisions")
    asyncio.run(evaluate(recipe_of(base(folder), methods=[*METHODS.values()], budgets=[4]), folder / "store"))
    yield folder / "store"


@pytest.mark.parametrize("method_id", METHODS)
def test_every_token_written_is_paid_for_once(store: Path, method_id: str) -> None:
    where = f"WHERE method_id = '{method_id}'"
    written = one(store, f"SELECT sum(output_tokens) FROM calls {where} AND kind = 'generate'")
    assert one(store, f"SELECT policy_tokens FROM summary {where} AND n = 4 LIMIT 1") == written
    texts = "nodes" if method_id != "best_of_n-n4" else "rollouts"
    assert one(store, f"SELECT sum(completion_tokens) FROM {texts} {where}") == written
    assert one(store, f"SELECT count(*) FROM {texts} {where}") == one(
        store, f"SELECT count(*) FROM calls {where} AND kind = 'generate'"
    )


def test_each_answer_of_a_chain_can_be_read(store: Path) -> None:
    found = rows(
        store,
        "SELECT problem_id, draw AS chain, depth, role, n.text, kept, r.text AS returned FROM nodes n "
        "JOIN rollouts r USING (run_id, method_id, problem_id) WHERE method_id = 'self_refine-n4' "
        "AND r.sample_index = draw ORDER BY problem_id, chain, depth",
    )
    chains = [found[begin : begin + 5] for begin in range(0, len(found), 5)]
    assert len(chains) == 5 * 4
    for chain in chains:
        assert [row["role"] for row in chain] == ["answer", "critique", "answer", "critique", "answer"]
        assert [row["depth"] for row in chain] == [1, 2, 3, 4, 5]
        assert [row["kept"] for row in chain] == [False, False, False, False, True]
        assert chain[-1]["text"] == chain[-1]["returned"]


@pytest.mark.parametrize(
    ("method_id", "answers", "returned"),
    [("sequential_revisions-n4-revisions2-vote", 4, 2), ("sequential_revisions-n4-revisions4-all", 4, 4)],
)
def test_a_budget_counts_answers_and_chains_return_some(
    store: Path, method_id: str, answers: int, returned: int
) -> None:
    where = f"WHERE method_id = '{method_id}'"
    assert one(store, f"SELECT count(*) FROM nodes {where} AND role = 'answer'") == 5 * answers
    assert one(store, f"SELECT count(*) FROM rollouts {where}") == 5 * returned
    assert {row["n"] for row in rows(store, f"SELECT DISTINCT n FROM summary {where}")} == {4}


def test_what_is_returned_is_scored_graded_and_chosen_from(store: Path) -> None:
    for method_id in METHODS:
        where = f"WHERE method_id = '{method_id}'"
        rollouts = one(store, f"SELECT count(*) FROM rollouts {where}")
        scored = f"SELECT count(DISTINCT rollout_id) FROM scores JOIN rollouts USING (rollout_id) {where}"
        assert one(store, scored) == rollouts > 0
        assert one(store, f"SELECT count(*) FROM verdicts {where}") == rollouts
        assert {row["selector"] for row in rows(store, f"SELECT selector FROM summary {where}")} >= {
            "majority",
            "oracle",
        }


def test_only_answers_that_hold_are_returned_where_one_does(store: Path) -> None:
    found = rows(
        store,
        "SELECT n.problem_id, n.kept, regexp_extract(n.text, 'boxed\\{(.*?)\\}', 1) = "
        "regexp_extract(c.text, 'boxed\\{(.*?)\\}', 1) AS holds FROM nodes n JOIN nodes c ON c.parent_id = n.node_id "
        "WHERE n.method_id = 'self_verify-n4'",
    )
    assert len(found) == 5 * 4
    held = {row["problem_id"] for row in found if row["holds"]}
    assert len(held) > 0
    assert all(row["kept"] == (row["holds"] or row["problem_id"] not in held) for row in found)


async def test_a_chain_ends_with_the_verdict_that_its_answer_is_right(prefect_server: str, tmp_path: Path) -> None:
    question = "What is 1+1?"
    problems = tmp_path / "problems.jsonl"
    problems.write_text(json.dumps({"question": question, "answer": "2"}) + "\n")
    said = {
        "": ["\\boxed{3}"],
        "\\boxed{3}\n?\n": ["1+1 is not 3. Verdict: wrong"],
        "\\boxed{3}\n?\n1+1 is not 3. Verdict: wrong\n!\n": ["\\boxed{2}"],
        "\\boxed{3}\n?\n1+1 is not 3. Verdict: wrong\n!\n\\boxed{2}\n?\n": ["Verdict: right"],
    }
    script = tmp_path / "script.json"
    script.write_text(json.dumps({"policy": {question: said}}))
    recipe = {
        "name": "refined",
        "problems": {"source": "file", "path": str(problems)},
        "policy": {"engine": "scripted", "script": str(script)},
        "methods": [{"method": "self_refine", "n": 1, "rounds": 9, "critique": "?", "revise": "!"}],
        "budgets": [1],
    }
    await evaluate(Recipe.model_validate(recipe), tmp_path / "store")
    assert one(tmp_path / "store", "SELECT accuracy FROM summary WHERE selector = 'majority'") == 1.0
    assert one(tmp_path / "store", "SELECT count(*) FROM nodes") == 4


class Crowded(FakePolicy):
    """Answers within 10 to 30 ms, and counts how many requests are in flight whenever one arrives."""

    def __init__(self, config: FakePolicyConfig) -> None:
        super().__init__(config)
        self.inside = 0
        self.met: list[int] = []

    async def generate(self, question: str, path: tuple[Part, ...], sampling: Sampling, seed: int) -> Sample:
        self.inside += 1
        self.met.append(self.inside)
        try:
            await asyncio.sleep(0.01 + seed % 1000 / 1000 * 0.02)
            return await super().generate(question, path, sampling, seed)
        finally:
            self.inside -= 1


async def in_flight(method: Row, folder: Path) -> float:
    """The mean number of requests in flight that a request meets, over 100 problems; at most 64 are let in."""
    folder.mkdir()
    recipe = recipe_of(base(folder, count=100), methods=[method], budgets=[method["n"]], prm=None)
    plan = plan_evaluation(recipe, load_problems(recipe.problems))
    node = plan.nodes[1]
    assert isinstance(node, SampleNode)
    policy = Crowded(FakePolicyConfig(steps=6))
    store = Store(folder / "store")
    recorder = Recorder(store.stage(node.key).journals.open("shard"))
    access = EngineAccess(recorder, Admission(policy=64), ShardCounts())
    slots = Engines(EngineSlot(policy, _itself), EngineSlot(None, _itself))  # type: ignore[arg-type]
    try:
        with plan.grader.judge() as judge:
            context = EngineContext(store.stage(node.key), store.stage, judge, lambda _: None, slots, access)
            await node.make(context, Extent(plan.problems.units, 0, node.n))
    finally:
        await recorder.close()
    return sum(policy.met) / len(policy.met)


async def _itself(engine: Any) -> Any:
    return engine


async def test_chains_keep_as_many_requests_in_flight_as_independent_answers(tmp_path: Path) -> None:
    plain = await in_flight({"method": "best_of_n", "n": 8}, tmp_path / "plain")
    assert plain > 64 / 2
    chains = {"method": "sequential_revisions", "n": 8, "revisions": 2}
    for method in ({"method": "self_refine", "n": 8, "rounds": 1}, {"method": "self_verify", "n": 8}, chains):
        assert await in_flight(method, tmp_path / str(method["method"])) >= 0.9 * plain, method


def test_words_settings_and_readers_are_in_the_key() -> None:
    method = {"method": "self_refine", "n": 8}
    keys = {
        searched(each).make_key
        for each in (
            *(method, {**method, "rounds": 3}, {**method, "critique": "Right?"}, {**method, "revise": "Again."}),
            *({"method": "self_verify", "n": 8}, {"method": "self_verify", "n": 8, "check": "Is it {answer}?"}),
            *({"method": "sequential_revisions", "n": 8, "revisions": length} for length in (2, 4)),
            {"method": "sequential_revisions", "n": 8, "revisions": 2, "return": "all"},
            {"method": "sequential_revisions", "n": 8, "revisions": 2, "seen": 1},
        )
    }
    assert len(keys) == 10
    assert all(key.startswith("sample-") for key in keys)
    lenient = {"grading": {"extraction": "lenient"}}
    assert searched(method, **lenient).make_key == searched(method).make_key, "it reads no answers"
    verify = {"method": "self_verify", "n": 8}
    assert searched(verify, **lenient).make_key != searched(verify).make_key


def test_a_policy_that_thinks_is_refused() -> None:
    with pytest.raises(UserError, match="self_refine-n8 goes on from answers of policies that do not think"):
        plan(methods=[{"method": "self_refine", "n": 8}], policy={"engine": "fake", "thinks": 2})
