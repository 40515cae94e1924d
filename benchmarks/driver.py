"""What the driver itself costs: calls per second on one core, the journal on disk, with an engine that answers at once.

The engine hands out samples of 20 tokens made beforehand, so all that is measured is ours: keys, journal, generators.

    taskset -c 0 python -m benchmarks.driver --problems 100 --n 16
"""

import asyncio
import tempfile
import time
from pathlib import Path
from typing import Annotated

import typer

from overthink.storage.journal import Journal
from overthink.tasks.domains.known_domains import MATH
from overthink.tasks.methods.beam_search import beam_search
from overthink.tasks.methods.growth import Growth
from overthink.tasks.records import Part, Problem, Sample, SampleStop, Sampling, Scores
from overthink.tasks.stages.admission import Admission
from overthink.tasks.stages.driver import Driver, EngineAccess
from overthink.tasks.stages.recorder import Recorder
from overthink.tasks.stages.shard_counts import ShardCounts

DEPTH = 6
PROMPT = tuple(range(100))
TOKENS = tuple(range(20))


class Instant:
    """A policy and PRM that answer at once; no two steps are alike, and a path ends at its sixth."""

    def __init__(self) -> None:
        self.written = 0

    def prompt(self, question: str) -> tuple[int, ...]:
        """The same hundred tokens for every question."""
        return PROMPT

    def tokens(self, text: str, begins: bool) -> tuple[int, ...]:
        """See `Policy.tokens`."""
        return tuple(map(ord, text))

    def tokens_of(self, part: Part) -> tuple[int, ...]:
        """See `Policy.tokens_of`."""
        return part.tokens if isinstance(part, Sample) else self.tokens(part.text, begins=False)

    async def generate(self, question: str, path: tuple[Part, ...], sampling: Sampling, seed: int) -> Sample:
        """See `Policy.generate`."""
        self.written += 1
        reason: SampleStop = "stop" if len(path) + 1 == DEPTH else "delimiter"
        return Sample(f"step {self.written}", TOKENS, TOKENS, (-0.5,) * len(TOKENS), reason, 100 + 20 * len(path), 0)

    async def score(self, question: str, steps: tuple[str, ...], from_step: int) -> Scores:
        """See `Prm.score`."""
        return Scores(tuple(hash(step) % 1000 / 1000 for step in steps[from_step:]), 100 + 20 * len(steps), 0)

    async def close(self) -> None:
        """Nothing to free."""


async def drive(problems: int, n: int) -> tuple[int, float]:
    """Calls and seconds of a beam search over some problems."""
    counts = ShardCounts()
    growth = Growth(Sampling(0.7, 1.0, 64, ("\n\n",)), max_depth=40, is_final=MATH.is_final)
    with tempfile.TemporaryDirectory() as folder:
        recorder = Recorder(Journal(Path(folder) / "journal.sqlite"))
        engine = Instant()
        access = EngineAccess(recorder, Admission(policy=512, prm=512), counts)
        driver = Driver("stage", 0, "policy", "prm", engine, engine, access)
        begin = time.perf_counter()
        await asyncio.gather(
            *(
                driver.run(Problem(str(number), str(number), "What?", "1"), beam_search(growth, n, 4))
                for number in range(problems)
            )
        )
        seconds = time.perf_counter() - begin
        await recorder.close()
    return counts.answered, seconds


def main(
    problems: Annotated[int, typer.Option(help="Searches in flight.")] = 100,
    n: Annotated[int, typer.Option(help="N of each beam search; M is 4.")] = 16,
) -> None:
    """Print calls per second."""
    calls, seconds = asyncio.run(drive(problems, n))
    typer.echo(f"{calls} calls in {seconds:.2f} s: {calls / seconds:,.0f} calls/s (bar: 5,000)")


if __name__ == "__main__":
    typer.run(main)
