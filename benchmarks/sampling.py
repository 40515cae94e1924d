"""Sampling through the whole pipeline against bare `vllm.LLM.generate` of the same requests.

Both use the same engine settings and the same prompts, seeds and sampling parameters, loaded and warmed up before the
clock starts; the rounds alternate, so that a noisy machine disturbs both. The pipeline's time is that of the flow's
sample stage: tasks, journal (fsync included) and Parquet.

    python -m benchmarks.sampling --problems 200 --n 64 --rounds 3
"""

import asyncio
import statistics
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Annotated

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
from overthink.tasks.datasets.sources import load_problems
from overthink.tasks.engines.engine_config import VllmPolicyConfig
from overthink.tasks.engines.models import locate_model
from overthink.tasks.engines.policy_prompts import PolicyPrompts
from overthink.tasks.plan.evaluation_plan import plan_evaluation
from overthink.tasks.plan.execution import Execution
from overthink.tasks.plan.run_plan import Plan
from overthink.tasks.recipes.recipe import Recipe
from overthink.tasks.records import Sampling
from overthink.tasks.stages.progress import RunProgress

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
    """The recipe's policy in a bare engine, asked for n samples of each question."""

    def __init__(self, config: VllmPolicyConfig) -> None:
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
                seed=seed + number,
                logprobs=0,
                flat_logprobs=True,
            )
            for number in range(len(prompts))
        ]
        return self._engine.generate(prompts, parameters)


@flow(name="benchmark-sampling", persist_result=False)
async def pipeline_rounds(plans: list[Plan], root: Path, bare: Bare) -> list[tuple[float, float]]:
    """Tokens per second of bare engine and pipeline, a pair a round."""
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
    problems: Annotated[int, typer.Option(help="Chains to solve.")] = 200,
    n: Annotated[int, typer.Option(help="Samples of each.")] = 64,
    rounds: Annotated[int, typer.Option(help="Alternating rounds; the median counts.")] = 3,
) -> None:
    """Print tokens per second of both and their ratio."""
    recipes = [benchmark_recipe(problems, n, seed) for seed in range(rounds)]
    plans = [plan_evaluation(recipe, load_problems(recipe.problems)) for recipe in recipes]
    policy = recipes[0].policy
    assert isinstance(policy, VllmPolicyConfig)
    bare = Bare(policy)
    with tempfile.TemporaryDirectory() as root:
        rounds_of = partial(pipeline_rounds, plans, Path(root), bare)
        pairs = asyncio.run(run_flow(Store(Path(root)), "benchmark", rounds_of, typer.echo))
    table = Table("round", "bare LLM.generate, tokens/s", "whole pipeline, tokens/s", "ratio")
    for number, (limit, ours) in enumerate(pairs):
        table.add_row(str(number), f"{limit:,.0f}", f"{ours:,.0f}", f"{ours / limit:.2f}")
    ratio = statistics.median(ours / limit for limit, ours in pairs)
    console = Console(width=100)
    console.print(table)
    console.print(f"median ratio {ratio:.2f} (bar: 0.80), {problems} problems × {n} samples")


if __name__ == "__main__":
    typer.run(main)
