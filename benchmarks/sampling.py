"""Sampling through the whole pipeline against bare `vllm.LLM.generate` of the same requests.

Both use the same engine settings and the same prompts, seeds and sampling parameters, loaded and warmed up before the
clock starts; the rounds alternate, so that a noisy machine disturbs both. The bare engine has all cores. The pipeline's
time is that of the flow's sample stage: tasks, journal (fsync included) and Parquet. With `--plain` the bare engine is
asked for neither seeds nor log-probabilities.

    python -m benchmarks.sampling --problems 100 --problems 400 --n 16 --rounds 3
"""

import asyncio
import statistics
import tempfile
import time
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import pyarrow.compute as pc
import typer
import vllm
from prefect import flow
from rich.console import Console
from rich.table import Table

from benchmarks.bare import BareEngine
from overthink.flows.orchestration.run_flow import run_flow
from overthink.flows.orchestration.secret_blocks import engines_of
from overthink.storage.store import Store
from overthink.tasks.datasets.problem_loading import load_problems
from overthink.tasks.engines.engine_config import VllmPolicyConfig
from overthink.tasks.engines.models import locate_model
from overthink.tasks.engines.policy_prompts import PolicyPrompts
from overthink.tasks.plan.evaluation_plan import plan_evaluation
from overthink.tasks.plan.execution import Execution
from overthink.tasks.plan.run_plan import Plan
from overthink.tasks.recipes.recipe import Recipe
from overthink.tasks.records import Sampling
from overthink.tasks.stages.progress import RunProgress

BAR = 0.95
AT_MORE_PROBLEMS = 0.97  # of the speed at fewest
WARM_UP = 64


def benchmark_recipe(problems: int, n: int, seed: int) -> Recipe:
    """Best-of-n with abacus-1m and no PRM; each seed is a run of its own."""
    return Recipe.model_validate(
        {
            "name": f"benchmark-{seed}",
            "seed": seed,
            "problems": {"source": "chains", "count": problems},
            "policy": {"engine": "vllm", "model": "zoo/abacus-1m", "max_model_len": 512},
            "methods": [{"method": "best_of_n", "n": n}],
            "budgets": [n],
            "sampling": {"temperature": 0.8, "max_tokens": 256},
        }
    )


class Bare:
    """The recipe's policy in a bare engine, asked for n samples of each question; `plain` is without what we keep."""

    def __init__(self, config: VllmPolicyConfig, plain: bool) -> None:
        self._plain = plain
        self._kept: dict[str, Any] = {} if plain else {"logprobs": 0, "flat_logprobs": True}
        self._engine = BareEngine(config, {})
        self._prompts = PolicyPrompts(config, locate_model(config))

    def generate(self, questions: list[str], n: int, sampling: Sampling, seed: int) -> tuple[int, float]:
        """Tokens written and seconds taken."""
        prompts = [list(self._prompts.prompt(question)) for question in questions for _ in range(n)]
        parameters = [
            vllm.SamplingParams(
                temperature=sampling.temperature,
                top_p=sampling.top_p,
                max_tokens=sampling.max_tokens,
                seed=None if self._plain else seed + number,
                **self._kept,
            )
            for number in range(len(prompts))
        ]
        return self._engine.generate(prompts, parameters)


@flow(name="benchmark-sampling", persist_result=False)
async def pipeline_rounds(plans: list[Plan], root: Path, bare: Bare) -> list[tuple[float, float]]:
    """Tokens per second of bare engine and pipeline, a pair a plan."""
    engines = engines_of(plans[0])
    assert engines.policy is not None, "the benchmark samples"
    policy = await engines.policy.get()
    sampling = Sampling(0.8, 1.0, 256)
    question = plans[0].problems.all[0].question
    await asyncio.gather(*(policy.generate(question, (), sampling, seed) for seed in range(WARM_UP)))
    bare.generate([question], WARM_UP, sampling, 0)
    pairs = []
    for plan in plans:
        questions = [problem.question for problem in plan.problems.all]
        _, rollouts, *_ = plan.nodes
        tokens, seconds = bare.generate(questions, rollouts.n, sampling, plan.recipe.seed * 1_000_000)
        store = Store(root / plan.recipe.name)
        execution = Execution(plan, store, RunProgress(None), engines)
        begin = time.perf_counter()
        plan.begin(store)
        await execution.runner.make(rollouts)
        ours = time.perf_counter() - begin
        written = pc.sum(store.stage(rollouts.key).table("calls")["output_tokens"]).as_py()
        pairs.append((tokens / seconds, written / ours))
    await engines.close()
    return pairs


def main(
    problems: Annotated[list[int] | None, typer.Option(help="Chains to solve; several in one sitting.")] = None,
    n: Annotated[int, typer.Option(help="Samples of each.")] = 16,
    rounds: Annotated[int, typer.Option(help="Alternating rounds; the median counts.")] = 3,
    plain: Annotated[bool, typer.Option(help="Bare vLLM without seeds and log-probabilities.")] = False,
) -> None:
    """Print tokens per second of both and their ratio."""
    sizes = (problems or [100]) * rounds
    recipes = [benchmark_recipe(size, n, seed) for seed, size in enumerate(sizes)]
    plans = [plan_evaluation(recipe, load_problems(recipe.problems)) for recipe in recipes]
    policy = recipes[0].policy
    assert isinstance(policy, VllmPolicyConfig)
    bare = Bare(policy, plain)
    with tempfile.TemporaryDirectory() as root:
        rounds_of = partial(pipeline_rounds, plans, Path(root), bare)
        pairs = asyncio.run(run_flow(Store(Path(root)), "benchmark", rounds_of, typer.echo))
    by_size: dict[int, list[tuple[float, float]]] = {size: [] for size in sizes}
    for size, pair in zip(sizes, pairs, strict=True):
        by_size[size].append(pair)
    print_rates(by_size)


def print_rates(by_size: Mapping[int, Sequence[tuple[float, float]]]) -> None:
    """Tokens per second of bare engine and pipeline, round by round, and medians of their ratios."""
    console = Console(width=100)
    table = Table("problems", "round", "bare LLM.generate, tokens/s", "whole pipeline, tokens/s", "ratio")
    for size, pairs in by_size.items():
        for number, (limit, ours) in enumerate(pairs):
            table.add_row(str(size), str(number), f"{limit:,.0f}", f"{ours:,.0f}", f"{ours / limit:.2f}")
    console.print(table)
    for size, pairs in by_size.items():
        ratio = statistics.median(ours / limit for limit, ours in pairs)
        console.print(f"{size} problems: median ratio {ratio:.2f} (bar: {BAR})")
    fewest, most = min(by_size), max(by_size)
    if fewest < most:
        both = zip(by_size[fewest], by_size[most], strict=True)
        ratio = statistics.median(more / few for (_, few), (_, more) in both)
        console.print(f"ours at {most} problems against {fewest}: {ratio:.2f} (bar: {AT_MORE_PROBLEMS})")


if __name__ == "__main__":
    typer.run(main)
