"""Ways to run the same searches over the same two engines of ours: the driver, and rounds as the reference tools do."""

import asyncio
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from benchmarks.rounds import lock_step
from benchmarks.search_case import Case
from overthink.storage.journal import Journal
from overthink.storage.keys import content_key
from overthink.tasks.datasets.problem_loading import load_problems
from overthink.tasks.engines.engine_protocol import AnyPrm, Policy, Prm, Verifier
from overthink.tasks.engines.engine_slot import EngineSlot
from overthink.tasks.engines.registry import open_policy, open_prm
from overthink.tasks.methods.requests import Generate, Method, Score
from overthink.tasks.plan.evaluation_plan import plan_evaluation
from overthink.tasks.plan.run_plan import Plan
from overthink.tasks.recipes.recipe import Recipe
from overthink.tasks.records import Part, Problem, Sample, Sampling, Scores
from overthink.tasks.stages.admission import Admission
from overthink.tasks.stages.driver import Driver, EngineAccess
from overthink.tasks.stages.recorder import Recorder
from overthink.tasks.stages.runner import in_flight_of
from overthink.tasks.stages.sample import MethodNode
from overthink.tasks.stages.shard_counts import ShardCounts


@dataclass
class Watched:
    """Policy and PRM with a note of everything they were asked and what it cost in tokens."""

    policy: Policy
    prm: Prm
    written: list[tuple[str, tuple[Part, ...], int]] = field(default_factory=list)
    scored: list[tuple[str, tuple[str, ...]]] = field(default_factory=list)

    def prompt(self, question: str) -> tuple[int, ...]:
        """See `Policy.prompt`."""
        return self.policy.prompt(question)

    def tokens(self, text: str, begins: bool) -> tuple[int, ...]:
        """See `Policy.tokens`."""
        return self.policy.tokens(text, begins)

    def tokens_of(self, part: Part) -> tuple[int, ...]:
        """See `Policy.tokens_of`."""
        return self.policy.tokens_of(part)

    async def generate(self, question: str, path: tuple[Part, ...], sampling: Sampling, seed: int) -> Sample:
        """See `Policy.generate`."""
        sample = await self.policy.generate(question, path, sampling, seed)
        self.written.append((question, path, len(sample.tokens)))
        return sample

    async def score(self, question: str, steps: tuple[str, ...], from_step: int) -> Scores:
        """See `Prm.score`."""
        self.scored.append((question, steps))
        return await self.prm.score(question, steps, from_step)

    async def close(self) -> None:
        """The engines are closed by whoever opened them."""

    @property
    def written_tokens(self) -> int:
        """Tokens written."""
        return sum(count for _, _, count in self.written)


@dataclass(frozen=True)
class Setting:
    """One comparison: a recipe with one search, its plan, and the engines."""

    recipe: Recipe
    plan: Plan
    policy: Policy
    prm: Prm

    @classmethod
    def of(cls, recipe: Recipe, policy: Policy, prm: Prm) -> "Setting":
        """A recipe's problems and search, planned before any clock starts."""
        return cls(recipe, plan_evaluation(recipe, load_problems(recipe.problems)), policy, prm)

    @property
    def problems(self) -> Sequence[Problem]:
        """The recipe's problems."""
        return self.plan.problems.all

    def searches(self) -> Iterator[tuple[Problem, Method]]:
        """A fresh search for each problem."""
        (rollouts,) = (node for node in self.plan.nodes if isinstance(node, MethodNode))
        for problem in self.problems:
            yield problem, rollouts.search_of(rollouts.method, problem.problem_key, 0, rollouts.n)


@asynccontextmanager
async def engines_of(case: Case) -> AsyncIterator[tuple[Policy, Prm]]:
    """Our engines for a case, loaded."""
    recipe = case.recipe(1, 0)
    assert recipe.prm is not None
    policy: EngineSlot[Policy] = EngineSlot(recipe.policy, open_policy)
    prm: EngineSlot[AnyPrm] = EngineSlot(recipe.prm, open_prm)
    try:
        scorer = await prm.get()
        assert not isinstance(scorer, Verifier), "these PRMs write nothing"
        yield await policy.get(), scorer
    finally:
        await policy.close()
        await prm.close()


async def ours(setting: Setting, watched: Watched) -> None:
    """The product's driver with its journal."""
    with tempfile.TemporaryDirectory() as folder:
        recorder = Recorder(Journal(Path(folder) / "journal.sqlite"))
        recipe = setting.recipe
        admission = Admission(policy=in_flight_of(recipe.policy), prm=in_flight_of(recipe.prm))
        driver = Driver(
            stage_key="benchmark",
            seed=recipe.seed,
            model="policy",
            prm_id="prm",
            policy=watched,
            prm=watched,
            access=EngineAccess(recorder, admission, ShardCounts()),
        )

        async def solve(problem: Problem, search: Method) -> None:
            async with admission.problem(0) as ticket:
                await replace(driver, ticket=ticket).run(problem, search)

        await asyncio.gather(*(solve(problem, search) for problem, search in setting.searches()))
        await recorder.close()


async def in_rounds(setting: Setting, watched: Watched) -> None:
    """All problems together, round by round."""

    async def generate(problem: Problem, request: Generate) -> Sample:
        return await watched.generate(problem.question, request.path, request.sampling, seed_of(problem, request))

    async def score(problem: Problem, request: Score) -> Scores:
        return await watched.score(problem.question, request.steps, request.from_step)

    await lock_step(list(setting.searches()), generate, score)


async def as_reference(setting: Setting, watched: Watched) -> None:
    """One problem after another, round by round, whole prefixes scored."""

    async def generate(problem: Problem, request: Generate) -> Sample:
        return await watched.generate(problem.question, request.path, request.sampling, seed_of(problem, request))

    async def score(problem: Problem, request: Score) -> Scores:
        scores = await watched.score(problem.question, request.steps, 0)
        return Scores(scores.values[request.from_step :], scores.input_tokens)

    for search in setting.searches():
        await lock_step([search], generate, score)


def seed_of(problem: Problem, request: Generate) -> int:
    """A seed of its own for every draw."""
    tokens = [token for part in request.path if isinstance(part, Sample) for token in part.tokens]
    return int(content_key([problem.problem_id, tokens, request.sample_index])[:8], 16) & 0x7FFFFFFF


async def timed(way: Callable[[Setting, Watched], Awaitable[None]], setting: Setting) -> tuple[float, Watched]:
    """Seconds a way takes, and what it asked the engines."""
    watched = Watched(setting.policy, setting.prm)
    begin = time.perf_counter()
    await way(setting, watched)
    return time.perf_counter() - begin, watched


WAYS: Mapping[str, Callable[[Setting, Watched], Awaitable[None]]] = {
    "ours": ours,
    "lock-step": in_rounds,
    "reference": as_reference,
}
