"""How the time of our searches grows with problems and with N, policy and PRM both real vLLM.

python -m benchmarks.search_growth --lengths equal
"""

import asyncio
from dataclasses import replace
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from benchmarks.search_case import Case, Lengths
from benchmarks.search_ways import WAYS, Setting, engines_of, timed

SIZES = ((50, 16), (100, 16), (200, 16), (400, 16), (100, 4), (100, 8), (100, 32), (100, 64))  # problems and N
WARM_UP = (32, 16)


async def grow(lengths: Lengths) -> list[tuple[int, int, float, int]]:
    """Problems, N, seconds and tokens of ours as problems and N grow."""
    case = Case("beam_search", 16, lengths, "real")
    rows = []
    async with engines_of(case) as (policy, prm):
        for seed, (problems, n) in enumerate((WARM_UP, *SIZES)):
            setting = Setting.of(replace(case, n=n).recipe(problems, seed), policy, prm)
            seconds, watched = await timed(WAYS["ours"], setting)
            rows.append((problems, n, seconds, watched.written_tokens))
    return rows[1:]


def main(lengths: Annotated[Lengths, typer.Option(help="Chains of 6 steps, or of 1 to 12.")] = "equal") -> None:
    """Print seconds and tokens per second by problems and N."""
    table = Table("problems", "N", "seconds", "tokens/s")
    for problems, n, seconds, tokens in asyncio.run(grow(lengths)):
        table.add_row(str(problems), str(n), f"{seconds:.1f}", f"{tokens / seconds:,.0f}")
    Console(width=100).print(table)


if __name__ == "__main__":
    typer.run(main)
