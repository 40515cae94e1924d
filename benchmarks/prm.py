"""A PRM in torch: what batching by tokens and reading only new steps are worth, as ratios within one run.

A random-weight Qwen2 process reward model of about 100 M parameters is built for it; its scores mean nothing, and its
cost is that of any model of its shape.

one at a time   a forward pass for each rollout, as reference tools do it
plain batch     batches of a fixed count, in the order they come, padded to the longest
ours            batches by tokens, prompts of like length together

full            a beam search whose PRM reads every prefix anew
incremental     the same search, the PRM reading only the new step after what it has kept
perfect         the tokens that no cache could save: every node's own, and each question once

    python -m benchmarks.prm --rollouts 96 --problems 2 --n 8 --depth 12
"""

import asyncio
import random
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from benchmarks.random_models import SMALL, write_prm
from benchmarks.rounds import lock_step
from overthink.tasks.domains.known_domains import MATH
from overthink.tasks.engines.engine_config import Placement, TorchPrmConfig
from overthink.tasks.engines.models import locate_model
from overthink.tasks.engines.torch.torch_prm import Reading, TorchPrm
from overthink.tasks.engines.vllm.vllm_prm import VllmPrm
from overthink.tasks.methods.beam_search import beam_search
from overthink.tasks.methods.growth import Growth
from overthink.tasks.methods.requests import Generate, Score
from overthink.tasks.records import Problem, Sample, Sampling, Scores

QUESTION = "Take 20, plus 11, times 3, minus 12, plus 400. What is the result?"
PLAIN_BATCH = 16


def some_steps(source: random.Random, count: int) -> tuple[str, ...]:
    """Steps of chain-like text, each unlike the others."""
    return tuple(
        f"{source.randrange(10_000)}+{source.randrange(1_000)}={source.randrange(10_000)}" for _ in range(count)
    )


def opened(folder: Path) -> TorchPrm:
    """A fresh engine."""
    config = TorchPrmConfig(model=str(folder), placement=Placement(batch_tokens=2048))
    return TorchPrm(config, locate_model(config))


async def one_at_a_time(prm: TorchPrm, rollouts: Sequence[tuple[str, ...]]) -> None:
    """A forward pass for each."""
    for steps in rollouts:
        await prm.score(QUESTION, steps, 0)


async def plain_batches(prm: TorchPrm, rollouts: Sequence[tuple[str, ...]]) -> None:
    """A fixed count at a time, padded to the longest of them."""
    loop = asyncio.get_running_loop()
    for begin in range(0, len(rollouts), PLAIN_BATCH):
        prompts = [prm._layout.write(QUESTION, steps, 0)[0] for steps in rollouts[begin : begin + PLAIN_BATCH]]
        prm._read([Reading(prompt, None, None, loop.create_future()) for prompt in prompts])


async def ours(prm: TorchPrm, rollouts: Sequence[tuple[str, ...]]) -> None:
    """All handed over at once."""
    await asyncio.gather(*(prm.score(QUESTION, steps, 0) for steps in rollouts))


async def searched(prm: TorchPrm | VllmPrm, problems: int, n: int, depth: int, whole: bool) -> tuple[float, int, int]:
    """Seconds, tokens computed, and tokens a perfect cache would compute, for beam searches to `depth`."""
    source = random.Random(0)
    computed = 0
    seen: set[tuple[str, tuple[str, ...]]] = set()

    async def generate(_problem: Problem, _request: Generate) -> Sample:
        (step,) = some_steps(source, 1)
        return Sample(step, (0,) * 12, (len(step),) * 12, (-1.0,) * 12, "delimiter", 0)

    async def score(problem: Problem, request: Score) -> Scores:
        nonlocal computed
        seen.add((problem.question, request.steps))
        scores = await prm.score(problem.question, request.steps, 0 if whole else request.from_step)
        computed += scores.input_tokens - (scores.cached_tokens or 0)
        return Scores(scores.values[request.from_step :] if whole else scores.values, scores.input_tokens)

    growth = Growth(Sampling(0.7, 1.0, 64, ("\n\n",)), max_depth=depth, is_final=MATH.is_final)
    chains = [Problem(str(number), str(number), f"{number}: {QUESTION}", "1") for number in range(problems)]
    begin = time.perf_counter()
    await lock_step([(problem, beam_search(growth, n, 4)) for problem in chains], generate, score)
    seconds = time.perf_counter() - begin
    perfect = sum(len(prm._layout.write(problem.question, (), 0)[0].ids) for problem in chains)
    for question, steps in seen:
        (here,), (before,) = prm._layout.write(question, steps, 0), prm._layout.write(question, steps[:-1], 0)
        perfect += len(here.ids) - len(before.ids)
    return seconds, computed, perfect


async def measure(console: Console, folder: Path, rollouts: int, problems: int, n: int, depth: int) -> None:
    """Print both tables."""
    source = random.Random(1)
    whole = [some_steps(source, source.randint(1, 24)) for _ in range(rollouts)]
    prm = opened(folder)
    tokens = sum(len(prm._layout.write(QUESTION, steps, 0)[0].ids) for steps in whole)
    await ours(prm, whole[:8])
    table = Table("whole rollouts", "seconds", "tokens/s", "time against ours")
    taken = {}
    for name, way in (("one at a time", one_at_a_time), ("plain batch", plain_batches), ("ours", ours)):
        begin = time.perf_counter()
        await way(prm, whole)
        taken[name] = time.perf_counter() - begin
    for name, seconds in taken.items():
        table.add_row(name, f"{seconds:.1f}", f"{tokens / seconds:,.0f}", f"{seconds / taken['ours']:.2f}")
    console.print(table)
    await prm.close()
    table = Table(f"beam search, depth {depth}", "seconds", "tokens computed", "of perfect", "of full's time")
    full_seconds = 0.0
    for name, rescoring in (("full", True), ("incremental", False)):
        prm = opened(folder)
        await prm.score(QUESTION, ("1+1=2",), 0)
        seconds, computed, perfect = await searched(prm, problems, n, depth, rescoring)
        await prm.close()
        full_seconds = full_seconds or seconds
        table.add_row(
            name, f"{seconds:.1f}", f"{computed:,}", f"{computed / perfect:.2f}", f"{seconds / full_seconds:.2f}"
        )
    console.print(table)
    console.print("bars: incremental computes at most 1.30 of perfect, in at most 0.40 of full's time")


def main(
    rollouts: Annotated[int, typer.Option(help="Whole rollouts of 1 to 24 steps to score.")] = 96,
    problems: Annotated[int, typer.Option(help="Beam searches, side by side.")] = 2,
    n: Annotated[int, typer.Option(help="N of beam search; M is 4.")] = 8,
    depth: Annotated[int, typer.Option(help="Steps of every path.")] = 12,
) -> None:
    """Print what batching and incremental reading are worth."""
    console = Console(width=110)
    with tempfile.TemporaryDirectory() as folder:
        parameters = write_prm(Path(folder), SMALL)
        console.print(f"a random-weight PRM of {parameters / 1e6:.0f} M parameters")
        asyncio.run(measure(console, Path(folder), rollouts, problems, n, depth))


if __name__ == "__main__":
    typer.run(main)
