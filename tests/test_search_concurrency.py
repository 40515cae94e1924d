"""The driver under the search stage, without a flow around it: bounds kept, nobody held up, no order that matters."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import pytest
from conftest import recipe_of
from search_runs import PROBLEMS, SEARCHES, Row, base

from overthink.storage.manifest import Entry, Extent
from overthink.storage.store import Store
from overthink.tasks.datasets.problem_loading import load_problems
from overthink.tasks.engines.engine_config import FakePolicyConfig, FakePrmConfig
from overthink.tasks.engines.engine_slot import EngineSlot
from overthink.tasks.engines.fakes.fake import FakePolicy, FakePrm, hash_number
from overthink.tasks.errors import BadReply
from overthink.tasks.plan.evaluation_plan import plan_evaluation
from overthink.tasks.recipes.recipe import Recipe
from overthink.tasks.records import Sample, Sampling, Scores
from overthink.tasks.stages.admission import Admission
from overthink.tasks.stages.context import EngineContext, Engines
from overthink.tasks.stages.driver import EngineAccess
from overthink.tasks.stages.recorder import Recorder
from overthink.tasks.stages.search import SearchNode
from overthink.tasks.stages.shard_counts import ShardCounts


@dataclass
class Worksite:
    """A search stage of all problems in one shard, over engines of the test's own."""

    recipe: Recipe
    root: Path
    policy: FakePolicy
    prm: FakePrm
    bound: int = 256
    on_problem: Callable[[str], None] = lambda _: None

    async def search(self) -> Entry:
        plan = plan_evaluation(self.recipe, load_problems(self.recipe.problems))
        node = plan.nodes[1]
        assert isinstance(node, SearchNode)
        store = Store(self.root)
        stage = store.stage(node.key)
        recorder = Recorder(stage.journals.open("shard"))
        slots = Engines(EngineSlot(self.policy, _itself), EngineSlot(self.prm, _itself))
        access = EngineAccess(recorder, Admission(policy=self.bound, prm=self.bound), ShardCounts())
        try:
            with plan.grader.judge() as judge:
                context = EngineContext(stage, store.stage, judge, self.on_problem, slots, access)
                return await node.make(context, Extent(plan.problems.units, 0, node.n))
        finally:
            await recorder.close()

    def tables(self) -> Mapping[str, list[Row]]:
        (stage,) = Store(self.root).stages()
        clock = {"latency_ms", "started_at"}
        return {
            name: [
                {column: value for column, value in row.items() if column not in clock}
                for row in stage.table(name).to_pylist()
            ]
            for name in ("rollouts", "steps", "scores", "nodes", "calls")
        }


async def _itself(engine: Any) -> Any:
    return engine


def fake_policy() -> FakePolicy:
    return FakePolicy(FakePolicyConfig(steps=6))


def fake_prm() -> FakePrm:
    return FakePrm(FakePrmConfig())


class Crowd:
    """Counts who is inside at once."""

    def __init__(self) -> None:
        self.inside = 0
        self.most = 0

    async def visit(self, reply: Awaitable[Any]) -> Any:
        self.inside += 1
        self.most = max(self.most, self.inside)
        await asyncio.sleep(0.001)
        value = await reply
        self.inside -= 1
        return value


@pytest.mark.parametrize("method", [{"method": "dvts", "n": 8}, {"method": "beam_search", "n": 8, "lookahead": 1}])
async def test_what_is_in_flight_reaches_its_bound_and_never_exceeds_it(method: Row, tmp_path: Path) -> None:
    writing, scoring = Crowd(), Crowd()

    class CrowdedPolicy(FakePolicy):
        async def generate(self, *arguments: Any) -> Sample:
            return cast(Sample, await writing.visit(super().generate(*arguments)))

    class CrowdedPrm(FakePrm):
        async def score(self, *arguments: Any) -> Scores:
            return cast(Scores, await scoring.visit(super().score(*arguments)))

    policy, prm = CrowdedPolicy(FakePolicyConfig(steps=6)), CrowdedPrm(FakePrmConfig())
    await Worksite(recipe_of(base(tmp_path), methods=[method]), tmp_path / "store", policy, prm, bound=3).search()
    assert (writing.most, scoring.most) == (3, 3)


@pytest.mark.parametrize("method_id", ["beam_search-n8-m4", "dvts-n8-m4", "particle_filtering-n8", "mcts-n8-m4"])
async def test_a_slow_problem_holds_no_other(method_id: str, tmp_path: Path) -> None:
    others_done = asyncio.Event()
    done: list[bool] = []

    def on_problem(_: str) -> None:
        done.append(others_done.is_set())
        if len(done) == PROBLEMS - 1:
            others_done.set()

    class Slow(FakePolicy):
        async def generate(self, question: str, path: Any, sampling: Sampling, seed: int) -> Sample:
            if "question 0" in question and len(path) == 1:
                await asyncio.wait_for(others_done.wait(), timeout=30)
            return await super().generate(question, path, sampling, seed)

    recipe = recipe_of(base(tmp_path), methods=[SEARCHES[method_id]])
    policy = Slow(FakePolicyConfig(steps=6))
    await Worksite(recipe, tmp_path / "store", policy, fake_prm(), on_problem=on_problem).search()
    assert done == [False] * (PROBLEMS - 1) + [True], "the slow problem came last, and all others before it"


async def test_a_slow_subtree_holds_no_other_of_its_problem(tmp_path: Path) -> None:
    ended: set[str] = set()  # first steps of paths that came to an answer
    slow: dict[str, str] = {}  # the first step first gone on from, by question

    class Slow(FakePolicy):
        async def generate(self, question: str, path: Any, sampling: Sampling, seed: int) -> Sample:
            if path:
                first = path[0].text
                if slow.setdefault(question, first) == first:
                    async with asyncio.timeout(30):
                        while not ended - {first}:
                            await asyncio.sleep(0.001)
            sample = await super().generate(question, path, sampling, seed)
            if path and sample.stop_reason == "stop":
                ended.add(path[0].text)
            return sample

    recipe = recipe_of(base(tmp_path), problems={"source": "chains", "count": 1})
    await Worksite(recipe, tmp_path / "store", Slow(FakePolicyConfig(steps=6)), fake_prm()).search()
    assert len(ended) == 2, "both subtrees came to an answer, the slow one after the other"


@pytest.mark.parametrize("method_id", ["beam_search-n8-m4-lookahead2", "dvts-n8-m4", "mcts-n8-m2-step_tokens13"])
async def test_the_order_in_which_replies_land_changes_no_row(method_id: str, tmp_path: Path) -> None:
    def late(*parts: object) -> float:
        return hash_number("late", *parts) % 5 / 1000

    class LatePolicy(FakePolicy):
        async def generate(self, question: str, path: Any, sampling: Sampling, seed: int) -> Sample:
            await asyncio.sleep(late(question, len(path), seed))
            return await super().generate(question, path, sampling, seed)

    class LatePrm(FakePrm):
        async def score(self, question: str, steps: tuple[str, ...], from_step: int) -> Scores:
            await asyncio.sleep(late(question, steps))
            return await super().score(question, steps, from_step)

    recipe = recipe_of(base(tmp_path), methods=[SEARCHES[method_id]])
    prompt = Worksite(recipe, tmp_path / "prompt", fake_policy(), fake_prm())
    delayed = Worksite(recipe, tmp_path / "late", LatePolicy(FakePolicyConfig(steps=6)), LatePrm(FakePrmConfig()))
    await prompt.search()
    await delayed.search()
    assert delayed.tables() == prompt.tables()
    assert len(prompt.tables()["nodes"]) > 20


async def test_two_subtrees_of_which_one_gets_nonsense_lose_no_reply_of_the_other(tmp_path: Path) -> None:
    asked: set[tuple[str, ...]] = set()

    class Forgetful(FakePrm):
        async def score(self, question: str, steps: tuple[str, ...], from_step: int) -> Scores:
            is_first = not asked
            asked.add(steps)
            if is_first:
                return Scores((), 0)
            await asyncio.sleep(0.01)  # the nonsense is known before any other reply lands
            return await super().score(question, steps, from_step)

    recipe = recipe_of(base(tmp_path), problems={"source": "chains", "count": 1})
    site = Worksite(recipe, tmp_path / "store", fake_policy(), Forgetful(FakePrmConfig()))
    with pytest.raises(BadReply, match="gave 0 scores for 1 steps of problem chain-01"):
        await site.search()
    (stage,) = Store(tmp_path / "store").stages()
    journal = stage.journals.open("shard")
    scored = [call for call in journal.calls([_unit(recipe)], 0, 2**31 - 1) if call.kind == "score"]
    journal.close()
    assert len(scored) == len(asked) - 1 >= 7, "every reply that landed is journaled, the nonsense is not"


def _unit(recipe: Recipe) -> str:
    (problem,) = load_problems(recipe.problems).problems
    return problem.problem_key
