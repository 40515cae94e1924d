"""vLLM's server on loopback against engines of the run's own: the same runs through either, as ratios.

Best-of-N asks the policy alone, beam search policy and PRM; the latter also with a PRM of the run's own beside a served
policy. All engines are loaded and warmed up before the clock starts, and the rounds alternate, so that a noisy machine
disturbs all. The time is that of the flow's stage: tasks, journal (fsync included) and Parquet.

    python -m benchmarks.servers --problems 40 --n 16 --rounds 3
"""

import asyncio
import statistics
import tempfile
import time
from collections import defaultdict
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import pyarrow.compute as pc
import typer
from prefect import flow
from rich.console import Console
from rich.table import Table

from benchmarks.vllm_server import VllmServer
from overthink.flows.orchestration.run_flow import run_flow
from overthink.storage.store import Store
from overthink.tasks.datasets.problem_loading import load_problems
from overthink.tasks.engines.engine_config import (
    OpenAIPolicyConfig,
    Placement,
    ServedPrmConfig,
    VllmPolicyConfig,
    VllmPrmConfig,
)
from overthink.tasks.engines.engine_slot import EngineSlot
from overthink.tasks.engines.registry import open_policy, open_prm
from overthink.tasks.plan.evaluation_plan import plan_evaluation
from overthink.tasks.plan.execution import Execution
from overthink.tasks.recipes.recipe import Recipe
from overthink.tasks.records import Sampling
from overthink.tasks.stages.context import Engines
from overthink.tasks.stages.progress import RunProgress

BARS = {"best_of_n": 0.85, "beam_search": 0.70}
PLACEMENT = Placement(cpu_cache_gib=1)
POLICY = VllmPolicyConfig(model="zoo/abacus-1m", max_model_len=512, placement=PLACEMENT)
PRM = VllmPrmConfig(model="zoo/abacus-prm", max_model_len=512, placement=PLACEMENT)
WARM_UP = 64
HERE, SERVED, BESIDE = "both here", "both served", "policy served, PRM here"


class Way:
    """Policy and PRM, here or served, loaded once for all rounds."""

    def __init__(self, policy: Any, prm: Any) -> None:
        self.configs = {"policy": policy.model_dump(mode="json"), "prm": prm.model_dump(mode="json")}
        self._policy: EngineSlot[Any] = EngineSlot(policy, open_policy)
        self._prm: EngineSlot[Any] = EngineSlot(prm, open_prm)

    @classmethod
    def mixed(cls, policy: "Way", prm: "Way") -> "Way":
        """The policy of one way and the PRM of another, loaded once for both."""
        way = cls.__new__(cls)
        way.configs = {"policy": policy.configs["policy"], "prm": prm.configs["prm"]}
        way._policy, way._prm = policy._policy, prm._prm
        return way

    async def warm_up(self) -> None:
        """Load both, and let them work a little."""
        policy, prm = await self._policy.get(), await self._prm.get()
        asked = [f"Take {number}, plus 1. What is the result?" for number in range(WARM_UP)]
        await asyncio.gather(*(policy.generate(question, (), Sampling(0.8, 1.0, 64), 0) for question in asked))
        await asyncio.gather(*(prm.score(question, ("1+1=2", "\\boxed{2}"), 0) for question in asked))

    async def tokens_per_second(self, recipe: Recipe, root: Path) -> float:
        """Written by the policy in the stage that makes the rollouts."""
        plan = plan_evaluation(recipe, load_problems(recipe.problems))
        _, rollouts, *_ = plan.nodes
        store = Store(root)
        execution = Execution(plan, store, RunProgress(None), Engines(self._policy, self._prm))
        begin = time.perf_counter()
        plan.begin(store)
        await execution.runner.make(rollouts)
        seconds = time.perf_counter() - begin
        return float(pc.sum(store.stage(rollouts.key).table("calls")["output_tokens"]).as_py()) / seconds

    async def close(self) -> None:
        """Free both."""
        await self._policy.close()
        await self._prm.close()


def benchmark_recipe(way: Way, method: str, problems: int, n: int, seed: int) -> Recipe:
    """One method on chains of 1 to 8 steps; each seed is a run of its own."""
    settings = {"method": method, "n": n} | ({"step_tokens": 64} if method == "beam_search" else {})
    return Recipe.model_validate(
        way.configs
        | {
            "name": f"benchmark-{seed}",
            "seed": seed,
            "problems": {"source": "chains", "count": problems},
            "methods": [settings],
            "budgets": [n],
            "sampling": {"temperature": 0.8, "max_tokens": 256},
        }
    )


@flow(name="benchmark-servers", persist_result=False)
async def alternate(
    here: Way, served: Way, root: Path, problems: int, n: int, rounds: int
) -> dict[str, list[dict[str, float]]]:
    """Tokens per second by way, once a round, by method."""
    found: dict[str, list[dict[str, float]]] = defaultdict(list)
    beside = Way.mixed(served, here)
    for way in (here, served):
        await way.warm_up()
    for seed in range(rounds):
        for method in BARS:
            ways = {HERE: here, SERVED: served} | ({BESIDE: beside} if method == "beam_search" else {})
            rates = {
                name: await way.tokens_per_second(
                    benchmark_recipe(way, method, problems, n, seed), root / f"{number}-{seed}"
                )
                for number, (name, way) in enumerate(ways.items())
            }
            found[method].append(rates)
    for way in (here, served):
        await way.close()
    return found


def main(
    problems: Annotated[int, typer.Option(help="Chains to solve.")] = 40,
    n: Annotated[int, typer.Option(help="Budget of each.")] = 16,
    rounds: Annotated[int, typer.Option(help="Alternating rounds; the median counts.")] = 3,
) -> None:
    """Print tokens per second of both ways and their ratio."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        policy, prm = VllmServer(POLICY, root / "policy.log"), VllmServer(PRM, root / "prm.log")
        try:
            for server in (policy, prm):
                server.start()
                server.wait()
            here = Way(POLICY, PRM)
            served = Way(
                OpenAIPolicyConfig(model="abacus-1m", tokenizer=POLICY.model, endpoints=(policy.url,)),
                ServedPrmConfig(model="abacus-prm", tokenizer=PRM.model, endpoints=(prm.url,)),
            )
            flow = partial(alternate, here, served, root, problems, n, rounds)
            found = asyncio.run(run_flow(Store(root), "benchmark", flow, typer.echo))
        finally:
            policy.kill()
            prm.kill()
    table = Table("method", "way", *(f"round {number}, tokens/s" for number in range(rounds)), "median ratio", "bar")
    for method, by_round in found.items():
        for way in by_round[0]:
            ratio = statistics.median(rates[way] / rates[HERE] for rates in by_round)
            bar = f"{BARS[method]:.2f}" if way == SERVED else ""
            table.add_row(method, way, *(f"{rates[way]:,.0f}" for rates in by_round), f"{ratio:.2f}", bar)
    console = Console(width=120)
    console.print(table, f"{problems} problems, n = {n}")


if __name__ == "__main__":
    typer.run(main)
