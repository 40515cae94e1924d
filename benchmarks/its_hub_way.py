"""Our beam search against its_hub's over `vllm serve`, of the same chains, as ratios of tokens written a second.

its_hub    `benchmarks/its_hub_search.py`: all problems gathered, in a process of its own with its PRM; the policy is
           behind vLLM's server with the settings that our engines have, without our middleware
own        our run with engines of its own: tasks, journal (fsync included) and Parquet
served     our run with the policy behind vLLM's server with our middleware, and a PRM of its own

Where the PRM costs nothing, a served policy has all cores; else half of them, and the PRM the others: they work side by
side. All is loaded and warm before the clock starts, and the rounds alternate.

    pip install 'its_hub[lm]==1.2.0'
    python -m benchmarks.its_hub_way --problems 50 --prm free
"""

import asyncio
import os
import statistics
import tempfile
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Annotated

import typer
from prefect import flow
from rich.console import Console
from rich.table import Table

from benchmarks.its_hub_search import Endpoint, load_its_hub
from benchmarks.own_process import OwnProcess
from benchmarks.search_case import SAMPLING, STEP_TOKENS, Case, Lengths, PrmKind
from benchmarks.servers import POLICY, PRM, Way
from benchmarks.vllm_server import VllmServer
from overthink.flows.orchestration.run_flow import run_flow
from overthink.storage.store import Store
from overthink.tasks.datasets.problem_loading import load_problems
from overthink.tasks.engines.engine_config import FakePrmConfig, OpenAIPolicyConfig

ITS_HUB, OWN, SERVED = "its_hub", "own", "served"
WIDTH = 4  # M
WARM_UP = 16  # chains
BARS: Mapping[PrmKind, float] = {"real": 3.0, "free": 1.0}


class Rivals:
    """its_hub with the server that it asks, and ours, own and served; all loaded."""

    def __init__(self, case: Case, theirs: VllmServer, ours: VllmServer) -> None:
        self._case = case
        prm = FakePrmConfig() if case.prm == "free" else PRM
        self._own = Way(POLICY, prm)
        served = OpenAIPolicyConfig(model="abacus-1m", tokenizer=POLICY.model, endpoints=(ours.url,))
        self._served = Way.mixed(Way(served, prm), self._own)
        endpoint = Endpoint(theirs.url, "abacus-1m", SAMPLING["temperature"], STEP_TOKENS)
        verifier = None if case.prm == "free" else PRM
        self._its_hub = OwnProcess(load_its_hub, endpoint, verifier, environment=cores_for(case.prm))

    async def warm_up(self, root: Path) -> None:
        """Load ours, and let all work a little."""
        for way in (self._own, self._served):
            await way.warm_up()
        await self.round(root, WARM_UP, 0, 0)

    async def round(self, root: Path, problems: int, seed: int, number: int) -> dict[str, float]:
        """Tokens a second of each, which take turns in going first."""
        speeds: dict[str, float] = {}
        names = (ITS_HUB, OWN, SERVED)
        for place in range(len(names)):
            name = names[(number + place) % len(names)]
            speeds[name] = await self._speed(name, root / f"{name}-{seed}", problems, seed)
        return speeds

    async def _speed(self, name: str, root: Path, problems: int, seed: int) -> float:
        if name == ITS_HUB:
            asked = load_problems(self._case.recipe(problems, seed).problems).problems
            seconds, tokens = self._its_hub.measure([problem.question for problem in asked], self._case.n, WIDTH)
            return tokens / seconds
        way = self._own if name == OWN else self._served
        return await way.tokens_per_second(self._case.recipe(problems, seed, way.configs), root)

    async def close(self) -> None:
        """End all but the servers."""
        self._its_hub.close()
        for way in (self._own, self._served):
            await way.close()


def cores_for(prm: PrmKind) -> dict[str, str]:
    """Threads of a served engine, and of its_hub's PRM: all cores for a policy alone, half of them beside a PRM."""
    cores = len(os.sched_getaffinity(0))
    return {"OMP_NUM_THREADS": str(cores if prm == "free" else max(1, cores // 2))}


@flow(name="benchmark-its-hub", persist_result=False)
async def alternate(rivals: Rivals, root: Path, problems: int, rounds: int) -> list[dict[str, float]]:
    """Tokens a second of each way, round by round."""
    try:
        await rivals.warm_up(root)
        return [await rivals.round(root, problems, 1 + number, number) for number in range(rounds)]
    finally:
        await rivals.close()


def measured(case: Case, problems: int, rounds: int) -> list[dict[str, float]]:
    """Tokens a second of each way, round by round, over servers that are started and ended here."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        theirs = VllmServer(POLICY, root / "theirs.log", plain=True, environment=cores_for(case.prm))
        ours = VllmServer(POLICY, root / "ours.log", environment=cores_for(case.prm))
        try:
            for server in (theirs, ours):
                server.start()
                server.wait()
            run = partial(alternate, Rivals(case, theirs, ours), root, problems, rounds)
            return asyncio.run(run_flow(Store(root), "benchmark", run, typer.echo))
        finally:
            theirs.kill()
            ours.kill()


def table_of(found: Sequence[Mapping[str, float]], bar: float) -> Table:
    """Tokens a second of each way, and its median ratio to its_hub's."""
    table = Table("way", *(f"round {number}, tokens/s" for number in range(len(found))), "against its_hub", "bar")
    for name in (ITS_HUB, OWN, SERVED):
        ratio = statistics.median(speeds[name] / speeds[ITS_HUB] for speeds in found)
        speeds = (f"{speeds[name]:,.0f}" for speeds in found)
        table.add_row(name, *speeds, f"{ratio:.2f}", "" if name == ITS_HUB else f"{bar}")
    return table


def main(
    problems: Annotated[int, typer.Option(help="Chains to solve.")] = 50,
    n: Annotated[int, typer.Option(help="N of beam search; M is 4.")] = 16,
    lengths: Annotated[Lengths, typer.Option(help="Chains of 6 steps, or of 1 to 12.")] = "equal",
    prm: Annotated[PrmKind, typer.Option(help="abacus-prm, or hashes that cost nothing.")] = "real",
    rounds: Annotated[int, typer.Option(help="Alternating rounds; the median counts.")] = 3,
) -> None:
    """Print tokens per second of each way and the ratios."""
    case = Case("beam_search", n, lengths, prm)
    found = measured(case, problems, rounds)
    console = Console(width=110)
    console.print(table_of(found, BARS[prm]), f"beam_search, N = {n}, {problems} chains, {prm} PRM")


if __name__ == "__main__":
    typer.run(main)
