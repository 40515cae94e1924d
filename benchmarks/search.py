"""Searches side by side, policy and PRM both real vLLM, in one run; ratios are what counts.

ours       `Driver`: each search goes on as its replies land; journal on disk included
limit      bare `vllm.LLM`: every request of (ours) known in advance and handed over at once, with the same number of
           tokens in prompt and completion; then every new step scored once, all handed over at once
script     a hundred lines on bare `vllm.LLM` (`benchmarks/script.py`): all problems at once, in lock-step
lock-step  our engines and searches, all problems together, in rounds: every step is written, then every one is scored
reference  our engines and searches, one problem after another, in such rounds, the PRM reading whole prefixes anew

Each engine of (limit) and (script) has all cores while it works; nothing but the way that is measured works then. Each
way solves chains of its own in each round, as what one has read lies in the engines' caches for the next, and the ways
take turns in going first. So times are compared by the token. With `--prm free` scores are hashes, on all sides.

    python -m benchmarks.search --problems 100 --problems 400 --against limit
    python -m benchmarks.search --problems 50 --problems 100 --against script --method dvts --prm free
"""

import asyncio
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import count
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from benchmarks.own_process import OwnProcess
from benchmarks.script import load_script
from benchmarks.search_case import Case, Lengths, MethodName, PrmKind
from benchmarks.search_limit import Limit
from benchmarks.search_ways import WAYS, Setting, Watched, engines_of, timed
from overthink.tasks.engines.engine_protocol import Policy, Prm


class Against(StrEnum):
    """Ways that ours is measured against."""

    LIMIT = "limit"
    SCRIPT = "script"
    LOCK_STEP = "lock-step"
    REFERENCE = "reference"


BARS: dict[tuple[str, PrmKind], float] = {
    (Against.LIMIT, "real"): 0.90,
    (Against.LIMIT, "free"): 0.90,
    (Against.SCRIPT, "real"): 1.3,
    (Against.SCRIPT, "free"): 1.0,
}
NOT_SCRIPT = [Against.LIMIT, Against.LOCK_STEP, Against.REFERENCE]
AT_MORE_PROBLEMS = 0.97  # of the speed at fewest
WARM_UP = 32
OURS = "ours"


@dataclass(frozen=True)
class Taken:
    """What a way took, and what it asked our engines if it did."""

    seconds: float
    tokens: int
    asked: Watched | None = None

    @property
    def speed(self) -> float:
        """Tokens written a second."""
        return self.tokens / self.seconds


class Contest:
    """Ours and the ways it is measured against, all loaded; each asks chains of its own."""

    def __init__(self, case: Case, against: Sequence[Against], policy: Policy, prm: Prm) -> None:
        self._case, self._policy, self._prm = case, policy, prm
        recipe = case.recipe(1, 0)
        self._script = OwnProcess(load_script, recipe) if Against.SCRIPT in against else None
        self._limit = Limit(recipe) if Against.LIMIT in against else None
        self._ways = [OURS, *(name for name in against if name != Against.LIMIT)]
        self._seeds = count()

    async def round(self, problems: int, number: int) -> dict[str, Taken]:
        """What each way takes; the ways take turns in going first, but for the limit, which follows what ours asked."""
        places = [(number + place) % len(self._ways) for place in range(len(self._ways))]
        taken = {name: await self._take(name, problems) for name in (self._ways[place] for place in places)}
        ours = taken[OURS]
        if self._limit is not None and ours.asked is not None:
            taken[Against.LIMIT] = Taken(self._limit.run(ours.asked), ours.tokens)
        return taken

    async def _take(self, name: str, problems: int) -> Taken:
        recipe = self._case.recipe(problems, next(self._seeds))
        setting = Setting.of(recipe, self._policy, self._prm)
        if name != Against.SCRIPT:
            seconds, watched = await timed(WAYS[name], setting)
            return Taken(seconds, watched.written_tokens, watched)
        assert self._script is not None
        return Taken(*self._script.measure([problem.question for problem in setting.problems], self._case.method))

    def close(self) -> None:
        """End the script's process."""
        if self._script is not None:
            self._script.close()


async def compare(
    case: Case, against: Sequence[Against], sizes: Sequence[int], rounds: int
) -> dict[int, list[dict[str, Taken]]]:
    """What each way takes by the number of problems, round by round; all is loaded and warm before the clock starts."""
    async with engines_of(case) as (policy, prm):
        contest = Contest(case, against, policy, prm)
        try:
            await contest.round(WARM_UP, 0)
            measured: dict[int, list[dict[str, Taken]]] = {size: [] for size in sizes}
            for number in range(rounds):
                for size in sizes:
                    measured[size].append(await contest.round(size, number))
            return measured
        finally:
            contest.close()


def table_of(measured: Mapping[int, Sequence[Mapping[str, Taken]]]) -> Table:
    """Seconds and tokens a second of each way."""
    table = Table("problems", "round", "way", "seconds", "tokens written", "tokens/s", "ours against it")
    for size, rounds in measured.items():
        for number, taken in enumerate(rounds):
            for name, way in taken.items():
                speeds = f"{way.tokens:,}", f"{way.speed:,.0f}", f"{taken[OURS].speed / way.speed:.2f}"
                table.add_row(str(size), str(number), name, f"{way.seconds:.1f}", *speeds)
    return table


def ratios_of(prm: PrmKind, measured: Mapping[int, Sequence[Mapping[str, Taken]]]) -> Iterator[str]:
    """Ours against each way, and at most problems against fewest: medians of the rounds, with their bars."""
    for size, rounds in measured.items():
        for name in [name for name in rounds[0] if name != OURS]:
            # Per token written: ways that draw other tokens do not do quite the same work.
            ratio = statistics.median(taken[OURS].speed / taken[name].speed for taken in rounds)
            bar = BARS.get((name, prm))
            yield f"{size} problems, ours against {name}: {ratio:.2f}" + (f" (bar: {bar})" if bar else "")
    fewest, most = measured[min(measured)], measured[max(measured)]
    if len(measured) > 1:
        ratio = statistics.median(more[OURS].speed / few[OURS].speed for few, more in zip(fewest, most, strict=True))
        yield f"ours at {max(measured)} problems against {min(measured)}: {ratio:.2f} (bar: {AT_MORE_PROBLEMS})"


def main(
    problems: Annotated[list[int] | None, typer.Option(help="Chains to solve; several in one sitting.")] = None,
    n: Annotated[int, typer.Option(help="N of the search; M is 4.")] = 16,
    lengths: Annotated[Lengths, typer.Option(help="Chains of 6 steps, or of 1 to 12.")] = "equal",
    method: Annotated[MethodName, typer.Option(help="The search; _hf is search-and-learn's.")] = "beam_search",
    prm: Annotated[PrmKind, typer.Option(help="abacus-prm, or hashes that cost nothing.")] = "real",
    against: Annotated[list[Against] | None, typer.Option(help="Ways; all but script unless named.")] = None,
    rounds: Annotated[int, typer.Option(help="Rounds; the median ratio counts.")] = 3,
) -> None:
    """Print seconds and tokens per second of each way, and the ratios of the bars."""
    case = Case(method, n, lengths, prm)
    measured = asyncio.run(compare(case, against or NOT_SCRIPT, problems or [100], rounds))
    console = Console(width=100)
    console.print(table_of(measured), f"{method}, N = {n}, chains of {lengths} lengths, {prm} PRM")
    console.print(*ratios_of(prm, measured), sep="\n")


if __name__ == "__main__":
    typer.run(main)
