"""`overthink show`: one problem of a run in the terminal, as `overthink view` shows it in a browser."""

from contextlib import closing
from typing import Annotated

import typer

from overthink.flows.commands.options import DEFAULT_STORE, RunArgument, StoreOption, existing, named_run
from overthink.flows.commands.terminal import console, plain_errors
from overthink.tasks.errors import UserError


def show(
    run_name: RunArgument,
    problem: Annotated[str, typer.Argument(metavar="PROBLEM", help="A problem_id.")],
    method: Annotated[str | None, typer.Option(help="Which method; else the one with the most rollouts.")] = None,
    sample: Annotated[
        list[int] | None,
        typer.Option(
            min=0, help="A rollout to show whole, by its sample_index; else the chosen and the best right one."
        ),
    ] = None,
    reasoning: Annotated[bool, typer.Option("--reasoning", help="Show what was thought before the answer.")] = False,
    store: StoreOption = DEFAULT_STORE,
) -> None:
    """Print why a problem was right or wrong: question, votes, scores, and the steps of the rollouts that matter."""
    from overthink.tasks.reporting.viewer import terminal_problem
    from overthink.tasks.reporting.viewer.choice_of_run import choice_of
    from overthink.tasks.reporting.viewer.open_readings import OpenReading
    from overthink.tasks.reporting.viewer.problem_facts import problem_facts
    from overthink.tasks.reporting.viewer.problem_rollouts import rollouts_at
    from overthink.tasks.reporting.viewer.states import ListState

    with plain_errors():
        opened = existing(store)
        run = named_run(opened, run_name)
        with closing(OpenReading(opened, [run])) as reading:
            choice = choice_of(reading, run, ListState(run=run.run_id, method=method))
            facts = problem_facts(reading, run, choice, problem)
            wanted = sample or terminal_problem.samples_to_show(facts, choice)
            rows = rollouts_at(reading, run, choice, problem, wanted)
        lacking = sorted(set(wanted) - {row["sample_index"] for row in rows})
        if lacking:
            raise UserError(f"--sample: {choice.method} has no rollout {lacking[0]} of it: it drew {facts.drawn}")
        screen = console()
        screen.print(terminal_problem.told_problem(facts, choice))
        for row in rows:
            screen.print(terminal_problem.told_rollout(row, reasoning))
