"""Beam search at four speeds, policy and PRM both real vLLM, in one run; ratios are what counts.

limit      bare `vllm.LLM`: every request of (ours) known in advance and handed over at once, with the same number of
           tokens in prompt and completion; then every new step scored once, all handed over at once; each engine has
           all cores while it works, where those of the other ways share them
lock-step  all problems together, in rounds: every step of the round is written, then every one is scored
reference  as the reference tools do it: one problem after another, in such rounds, the PRM reading whole prefixes anew
ours       `Driver`: each search goes on as its replies land; journal on disk included

Each way solves chains of its own in each round, as what one has read lies in the engines' caches for the next, and the
ways take turns in going first. So times are compared by the token.

    python -m benchmarks.search --problems 100 --n 16 --lengths equal
    python -m benchmarks.search --problems 100 --n 16 --lengths mixed
"""

import asyncio
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

import typer
import vllm
from rich.console import Console
from rich.table import Table

from benchmarks.bare import BareEngine
from benchmarks.rounds import lock_step
from overthink.storage.journal import Journal
from overthink.storage.keys import content_key
from overthink.tasks.datasets.sources import load_problems
from overthink.tasks.engines.chat import load_tokenizer
from overthink.tasks.engines.engine_config import VllmPolicyConfig, VllmPrmConfig
from overthink.tasks.engines.engine_protocol import Policy, Prm
from overthink.tasks.engines.models import locate_model
from overthink.tasks.engines.prm.families import checked_family
from overthink.tasks.engines.registry import open_policy, open_prm
from overthink.tasks.engines.vllm.vllm_prm import pooling_settings
from overthink.tasks.methods.requests import Generate, Method, Score
from overthink.tasks.plan.evaluation_plan import plan_evaluation
from overthink.tasks.recipes.methods import AnyMethod
from overthink.tasks.recipes.recipe import Recipe
from overthink.tasks.records import Part, Problem, Sample, Sampling, Scores
from overthink.tasks.stages.driver import Driver, EngineAccess
from overthink.tasks.stages.recorder import Recorder
from overthink.tasks.stages.runner import in_flight_of
from overthink.tasks.stages.sample import MethodNode

Lengths = Literal["equal", "mixed"]
EQUAL_LENGTH = 6
LONGEST = 12
WARM_UP = 32
SAMPLING = {"temperature": 0.7, "max_tokens": 256}


def benchmark_recipe(problems: int, n: int, lengths: Lengths, seed: int) -> Recipe:
    """Beam search with abacus-1m and abacus-prm; each seed is a run of its own, on chains of its own."""
    shortest, longest = (EQUAL_LENGTH, EQUAL_LENGTH) if lengths == "equal" else (1, LONGEST)
    engine = {"engine": "vllm", "max_model_len": 512}
    return Recipe.model_validate(
        {
            "name": "benchmark-search",
            "seed": seed,
            "problems": {
                "source": "chains",
                "count": problems,
                "shortest": shortest,
                "longest": longest,
                "seed": seed,
            },
            "policy": engine | {"model": "zoo/abacus-1m"},
            "prm": engine | {"model": "zoo/abacus-prm"},
            "methods": [{"method": "beam_search", "n": n, "step_tokens": 64}],
            "budgets": [n],
            "sampling": SAMPLING,
        }
    )


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
    """One comparison: the recipe's problems and method, and the engines."""

    recipe: Recipe
    problems: Sequence[Problem]
    policy: Policy
    prm: Prm

    @property
    def method(self) -> AnyMethod:
        """The one method of the recipe."""
        return self.recipe.fixed_methods[0]

    def searches(self) -> Iterator[tuple[Problem, Method]]:
        """A fresh search for each problem."""
        plan = plan_evaluation(self.recipe, load_problems(self.recipe.problems))
        (rollouts,) = (node for node in plan.nodes if isinstance(node, MethodNode))
        for problem in self.problems:
            yield problem, rollouts.search_of(self.method, problem.problem_key, 0, self.method.n)


async def ours(setting: Setting, watched: Watched) -> None:
    """The product's driver with its journal."""
    with tempfile.TemporaryDirectory() as folder:
        recorder = Recorder(Journal(Path(folder) / "journal.sqlite"))
        driver = Driver(
            stage_key="benchmark",
            seed=setting.recipe.seed,
            model="policy",
            prm_id="prm",
            policy=watched,
            prm=watched,
            access=EngineAccess(recorder, asyncio.Semaphore(in_flight_of(setting.recipe.policy)), lambda _: None),
        )
        await asyncio.gather(*(driver.run(problem, search) for problem, search in setting.searches()))
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


class Limit:
    """The engines' own limit: bare vLLM given everything that a search asked, known in advance.

    Prompts and prefixes are read before the clock starts, as in a search a step's prefix has just been computed.
    """

    def __init__(self, recipe: Recipe) -> None:
        policy, prm = recipe.policy, recipe.prm
        assert isinstance(policy, VllmPolicyConfig)
        assert isinstance(prm, VllmPrmConfig)
        model = locate_model(prm)
        family = checked_family(prm.family, model.config, model.name)
        tokenizer = load_tokenizer(model, prm.trust_remote_code)
        self._layout = family.layout(tokenizer)
        self._policy = BareEngine(policy, {})
        self._prm = BareEngine(prm, pooling_settings(family.head, tokenizer))

    def run(self, pattern: Watched) -> float:
        """Seconds to write as many tokens after the same prefixes, then to read the same steps once."""
        prefixes = [
            [*pattern.prompt(question), *(token for part in path for token in pattern.tokens_of(part))]
            for question, path, _ in pattern.written
        ]
        self._policy.generate(prefixes, [_exactly(1)] * len(prefixes))
        _, writing = self._policy.generate(prefixes, [_exactly(count) for _, _, count in pattern.written])
        prompts = [list(self._layout.write(question, steps, 0)[0].ids) for question, steps in pattern.scored]
        reading = self._prm.score(prompts)
        typer.echo(
            f"limit: {writing:.1f} s to write {len(prefixes):,} steps, {reading:.1f} s to score {len(prompts):,}"
        )
        return writing + reading


def _exactly(count: int) -> vllm.SamplingParams:
    """`count` tokens, whatever they are, without stop tokens, texts or log-probabilities."""
    return vllm.SamplingParams(
        temperature=SAMPLING["temperature"], max_tokens=count, min_tokens=count, ignore_eos=True, detokenize=False
    )


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


def setting_of(problems: int, n: int, lengths: Lengths, seed: int, policy: Policy, prm: Prm) -> Setting:
    """The comparison of one seed."""
    recipe = benchmark_recipe(problems, n, lengths, seed)
    return Setting(recipe, load_problems(recipe.problems).problems, policy, prm)


async def compare(problems: int, n: int, lengths: Lengths, rounds: int) -> list[dict[str, tuple[float, int]]]:
    """Seconds and tokens of each way, round by round; the engines are loaded and warm before the clock starts."""
    recipe = benchmark_recipe(problems, n, lengths, 0)
    assert recipe.prm is not None
    policy, prm, limit = await open_policy(recipe.policy), await open_prm(recipe.prm), Limit(recipe)
    _, pattern = await timed(ours, setting_of(WARM_UP, n, lengths, 99, policy, prm))
    limit.run(pattern)
    measured = []
    for number in range(rounds):
        taken = {}
        for place in range(len(WAYS)):
            name = list(WAYS)[(number + place) % len(WAYS)]
            setting = setting_of(problems, n, lengths, number * len(WAYS) + place, policy, prm)
            taken[name] = await timed(WAYS[name], setting)
        pattern = taken["ours"][1]
        results = {"limit": (limit.run(pattern), pattern.written_tokens)}
        measured.append(results | {name: (spent, watched.written_tokens) for name, (spent, watched) in taken.items()})
    await policy.close()
    await prm.close()
    return measured


async def grow(lengths: Lengths) -> list[tuple[int, int, float, int]]:
    """Problems, N, seconds and tokens of ours as problems and N grow."""
    recipe = benchmark_recipe(1, 4, lengths, 0)
    assert recipe.prm is not None
    policy, prm = await open_policy(recipe.policy), await open_prm(recipe.prm)
    await timed(ours, setting_of(WARM_UP, 16, lengths, 99, policy, prm))
    sizes = [*((problems, 16) for problems in (50, 100, 200, 400)), *((100, n) for n in (4, 8, 32, 64))]
    rows = []
    for seed, (problems, n) in enumerate(sizes):
        seconds, watched = await timed(ours, setting_of(problems, n, lengths, seed, policy, prm))
        rows.append((problems, n, seconds, watched.written_tokens))
    await policy.close()
    await prm.close()
    return rows


WAYS = {"ours": ours, "lock-step": in_rounds, "reference": as_reference}


def main(
    problems: Annotated[int, typer.Option(help="Chains to solve.")] = 100,
    n: Annotated[int, typer.Option(help="N of beam search; M is 4.")] = 16,
    lengths: Annotated[Lengths, typer.Option(help="Chains of 6 steps, or of 1 to 12.")] = "equal",
    rounds: Annotated[int, typer.Option(help="Rounds; the median ratio counts.")] = 3,
    growth: Annotated[bool, typer.Option(help="Only how our time grows with problems and N.")] = False,
) -> None:
    """Print seconds and tokens per second of each way, and the ratios of the bars."""
    console = Console(width=100)
    if growth:
        table = Table("problems", "N", "seconds", "tokens/s")
        for count, budget, seconds, tokens in asyncio.run(grow(lengths)):
            table.add_row(str(count), str(budget), f"{seconds:.1f}", f"{tokens / seconds:,.0f}")
        console.print(table)
        return
    measured = asyncio.run(compare(problems, n, lengths, rounds))
    table = Table("round", "way", "seconds", "tokens written", "tokens/s", "time against ours")
    for number, results in enumerate(measured):
        for name, (seconds, tokens) in results.items():
            ratio = f"{seconds / results['ours'][0]:.2f}"
            table.add_row(str(number), name, f"{seconds:.1f}", f"{tokens:,}", f"{tokens / seconds:,.0f}", ratio)
    console.print(table)
    for name in ("limit", "lock-step", "reference"):
        # Per token written: ways that draw other tokens do not do quite the same work.
        ratios = [
            (results[name][0] / results[name][1]) / (results["ours"][0] / results["ours"][1]) for results in measured
        ]
        console.print(f"time per token, {name} against ours: {statistics.median(ratios):.2f}")


if __name__ == "__main__":
    typer.run(main)
