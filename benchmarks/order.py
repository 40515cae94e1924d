"""Whether a search works through its problems in order: when the first is done, and how busy the engines are.

The whole stage runs, over ten shards: tasks, journal (fsync included) and Parquet; what is seen is seen at the engines.

first, half    shares of the run's time after which the first problem, and half of them, had their last answer
first part     when the first part lay in the store
busy, until    the share of the time in which an engine had at least half of the sequences that it takes at once; when
               it last had them
computed       prompt tokens that the policy computed, those of its prefix cache left out, for each token it wrote

    python -m benchmarks.order --problems 50 --problems 400 --problems 1200
    python -m benchmarks.order --problems 400 --engine fake
"""

import asyncio
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal

import pyarrow as pa
import pyarrow.compute as pc
import typer
from prefect import flow
from rich.console import Console
from rich.table import Table

from benchmarks.search_case import METHODS, SAMPLING, MethodName
from benchmarks.watching import Watch, WatchedEngine
from overthink.flows.orchestration.run_flow import run_flow
from overthink.storage.store import Store
from overthink.tasks.datasets.problem_loading import load_problems
from overthink.tasks.engines.engine_slot import EngineSlot
from overthink.tasks.engines.registry import open_policy, open_prm
from overthink.tasks.plan.evaluation_plan import plan_evaluation
from overthink.tasks.plan.execution import Execution
from overthink.tasks.recipes.recipe import Recipe
from overthink.tasks.stages.context import Engines
from overthink.tasks.stages.progress import RunProgress

EngineName = Literal["vllm", "fake"]
SHARDS = 10
LENGTH = 9  # steps of a chain
SEQUENCES = 256  # of one engine at once, as `placement.max_in_flight` has it unless a recipe says otherwise
VLLM = {"engine": "vllm", "max_model_len": 512, "placement": {"max_in_flight": SEQUENCES, "cpu_cache_gib": 1}}
ENGINES: Mapping[EngineName, Mapping[str, dict[str, Any]]] = {
    "vllm": {"policy": VLLM | {"model": "zoo/abacus-1m"}, "prm": VLLM | {"model": "zoo/abacus-prm"}},
    "fake": {
        "policy": {"engine": "fake", "steps": LENGTH, "latency_ms": 100},
        "prm": {"engine": "fake", "latency_ms": 20},
    },
}
WARM_UP = 20
FIRST_BAR, BUSY_BAR, COMPUTED_BAR = 0.10, 0.95, 1.03


@dataclass(frozen=True)
class Seen:
    """Shares of one run's time (see above); `computed` is None where the engine does not know it."""

    seconds: float
    first: float
    half: float
    first_part: float
    busy: Mapping[str, tuple[float, float]]
    computed: float | None


def benchmark_recipe(engine: EngineName, method: MethodName, n: int, problems: int, seed: int) -> Recipe:
    """A search on chains of one length, in ten shards; each seed is a run of its own, on chains of its own."""
    return Recipe.model_validate(
        {
            **ENGINES[engine],
            "name": f"benchmark-order-{seed}",
            "seed": seed,
            "problems": {"source": "chains", "count": problems, "shortest": LENGTH, "longest": LENGTH, "seed": seed},
            "methods": [METHODS[method] | {"n": n, "step_tokens": 64}],
            "budgets": [n],
            "sampling": SAMPLING,
            "shard_size": -(-problems // SHARDS),
        }
    )


async def watched(opener: Callable[[Any], Awaitable[Any]], config: Any) -> WatchedEngine:
    """An engine, loaded and watched."""
    return WatchedEngine(await opener(config))


class WatchedRuns:
    """Runs of recipes with the same engines, which are loaded once."""

    def __init__(self, recipe: Recipe) -> None:
        policy: EngineSlot[Any] = EngineSlot(recipe.policy, partial(watched, open_policy))
        prm: EngineSlot[Any] = EngineSlot(recipe.prm, partial(watched, open_prm))
        self._slots = {"policy": policy, "prm": prm}

    async def see(self, recipe: Recipe, root: Path) -> Seen:
        """Make the stage of the search, and say what was seen of it."""
        plan = plan_evaluation(recipe, load_problems(recipe.problems))
        _, rollouts, *_ = plan.nodes
        store = Store(root / recipe.name)
        plan.begin(store)
        execution = Execution(plan, store, RunProgress(None), Engines(**self._slots))
        watches = {role: (await slot.get()).begin() for role, slot in self._slots.items()}
        wall = time.time()
        await execution.runner.make(rollouts)
        run = Span(watches["policy"].changes[0][0], time.perf_counter())
        stage = store.stage(rollouts.key)
        done = ends_of(watches.values())
        return Seen(
            seconds=run.seconds,
            first=run.share(done[0]),
            half=run.share(done[len(done) // 2]),
            first_part=(min(path.stat().st_mtime for path in stage.files("rollouts")) - wall) / run.seconds,
            busy={role: busy_of(watch, run) for role, watch in watches.items()},
            computed=computed_of(stage.table("calls")),
        )

    async def close(self) -> None:
        """Free both engines."""
        for slot in self._slots.values():
            await slot.close()


@dataclass(frozen=True)
class Span:
    """The time of a run, in seconds of one clock."""

    begin: float
    end: float

    @property
    def seconds(self) -> float:
        """How long it took."""
        return self.end - self.begin

    def share(self, time: float) -> float:
        """Which share of it had passed."""
        return (time - self.begin) / self.seconds


def ends_of(watches: Iterable[Watch]) -> list[float]:
    """When each question had its last answer of any engine, in order of time."""
    last: dict[str, float] = {}
    for watch in watches:
        for question, answered in watch.answered.items():
            last[question] = max(answered, last.get(question, answered))
    return sorted(last.values())


def busy_of(watch: Watch, run: Span) -> tuple[float, float]:
    """The share of the time with half of an engine's sequences, and when it last had them."""
    half = SEQUENCES // 2
    return watch.seconds_with(half) / run.seconds, run.share(watch.last_with(half))


def computed_of(calls: pa.Table) -> float | None:
    """Prompt tokens that the policy computed a token it wrote; None where the engine does not say what was cached."""
    written = calls.filter(pc.equal(calls["kind"], "generate"))
    asked, cached, output = (
        pc.sum(written[name]).as_py() for name in ("input_tokens", "cached_tokens", "output_tokens")
    )
    return (asked - cached) / output if cached else None


@flow(name="benchmark-order", persist_result=False)
async def see_all(warm_up: Recipe, recipes: Sequence[Recipe], root: Path) -> list[Seen]:
    """What is seen of each recipe's run, one after the other."""
    runs = WatchedRuns(warm_up)
    try:
        return [await runs.see(recipe, root) for recipe in (warm_up, *recipes)][1:]
    finally:
        await runs.close()


def table_of(sizes: Sequence[int], seen: Sequence[Seen]) -> Table:
    """A row a run."""
    columns = ("problems", "seconds", "first", "half", "first part", "policy busy", "until", "PRM busy", "until")
    table = Table(*columns, "computed")
    for size, run in zip(sizes, seen, strict=True):
        shares = run.first, run.half, run.first_part, *run.busy["policy"], *run.busy["prm"]
        computed = "unknown" if run.computed is None else f"{run.computed:.3f}"
        table.add_row(str(size), f"{run.seconds:.1f}", *(f"{share:.1%}" for share in shares), computed)
    return table


def main(
    problems: Annotated[list[int] | None, typer.Option(help="Chains to solve; a run for each number.")] = None,
    n: Annotated[int, typer.Option(help="N of the search; M is 4.")] = 16,
    method: Annotated[MethodName, typer.Option(help="The search.")] = "beam_search",
    engine: Annotated[EngineName, typer.Option(help="Real models in vLLM, or fakes of a fixed latency.")] = "vllm",
) -> None:
    """Print when problems were done, and how busy the engines were."""
    sizes = problems or [50, 400, 1200]
    warm_up, *recipes = (benchmark_recipe(engine, method, n, size, seed) for seed, size in enumerate((WARM_UP, *sizes)))
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        seen = asyncio.run(run_flow(Store(root), "benchmark", partial(see_all, warm_up, recipes, root), typer.echo))
    console = Console(width=120)
    console.print(table_of(sizes, seen), f"{method}, N = {n}, chains of {LENGTH} steps, {SHARDS} shards, {engine}")
    console.print(f"bars: at 400 problems first at most {FIRST_BAR:.0%}, policy busy until {BUSY_BAR:.0%} at least")
    fewest, most = seen[sizes.index(min(sizes))].computed, seen[sizes.index(max(sizes))].computed
    if fewest and most and len(sizes) > 1:
        console.print(f"computed at {max(sizes)} against {min(sizes)}: {most / fewest:.3f} (bar: {COMPUTED_BAR})")


if __name__ == "__main__":
    typer.run(main)
