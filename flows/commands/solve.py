"""`overthink solve`: applies a fitted strategy to problems without known answers."""

from pathlib import Path
from typing import Annotated

import typer

from overthink.flows.commands.options import DEFAULT_STORE, StoreOption
from overthink.flows.commands.report import print_report
from overthink.flows.commands.run import run_to_end
from overthink.flows.commands.terminal import console, plain_errors, quiet
from overthink.tasks.errors import UserError


def solve(
    strategy: Annotated[Path, typer.Argument(help="A file that `overthink fit` wrote.")],
    question: Annotated[str | None, typer.Argument(help="One question; or name a file with --problems.")] = None,
    problems: Annotated[Path | None, typer.Option(help="A file of problems: .jsonl, .json, .csv or .parquet.")] = None,
    mapping: Annotated[
        list[str] | None,
        typer.Option("--map", metavar="KEY=COLUMN", help="The columns of the file; `question` by default."),
    ] = None,
    budget: Annotated[int | None, typer.Option(min=1, help="Solutions of each problem.")] = None,
    total_tokens: Annotated[
        int | None, typer.Option(min=1, help="Instead: a total of completion tokens for all problems.")
    ] = None,
    total_flops: Annotated[float | None, typer.Option(min=0, help="Or: a total of FLOPs of policy and PRM.")] = None,
    name: Annotated[str, typer.Option(help="The run's name.")] = "solve",
    store: StoreOption = DEFAULT_STORE,
    skip_bad_rows: Annotated[bool, typer.Option(help="Drop and count problems that cannot be used.")] = False,
) -> None:
    """Solve one question, or a file of problems: a few solutions predict the difficulty, a strategy chooses the method.

    All problems get the same budget, or share a total, which is spent where it helps most. A finished run is only
    reported.
    """
    with plain_errors():
        quiet()
        from overthink.tasks.reporting.solve_tables import solved_lines, solved_rows, solved_table, spending_lines
        from overthink.tasks.strategy.solve_recipe import problem_source, solve_recipe

        limit = {"n": budget, "total_tokens": total_tokens, "total_flops": total_flops}
        if list(limit.values()).count(None) != 2:
            raise UserError("give one of --budget, --total-tokens and --total-flops")
        recipe = solve_recipe(strategy, problem_source(question, problems, mapping or []), limit, name)
        opened, run_id = run_to_end(recipe, store, skip_bad_rows)
        rows, paper = solved_rows(opened, run_id), console()
        if question is not None:
            for line in (*solved_lines(rows[0]), *spending_lines(opened, opened.find_run(run_id))):
                paper.print(line, markup=False, highlight=False, soft_wrap=True)
        else:
            paper.print(solved_table(rows, run_id))
            print_report(paper, opened, opened.find_run(run_id))
