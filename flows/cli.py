"""The `overthink` command."""

import asyncio
import atexit
import contextlib
import os
import sys
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Literal, NoReturn

import typer
from rich.console import Console
from rich.table import Table

from flows.recipe import find_recipe, read_recipe, shipped_recipes
from storage.errors import QueryError, StorageError, StoreBusy
from storage.store import Run, Store
from tasks.errors import UserError

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
StoreOption = Annotated[Path, typer.Option("--store", envvar="OVERTHINK_STORE", help="Folder that holds all results.")]
DEFAULT_STORE = Path("store")
NO_TERMINAL_WIDTH = 120
PICTURE_WIDTH = 100
WIDEST_TREE = 100_000
Format = Literal["table", "csv", "json", "parquet"]

QUIET = {
    "DO_NOT_TRACK": "1",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "120",
    "PREFECT_LOGGING_TO_API_WHEN_MISSING_FLOW": "ignore",
    "TOKENIZERS_PARALLELISM": "false",
}


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"overthink {version('overthink')}")
        raise typer.Exit


@app.callback()
def main(
    _: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")] = False,
) -> None:
    """Test-time compute for language models: sample, score, select and grade; resumable, and open to SQL."""


@app.command()
def run(
    recipe: Annotated[str, typer.Argument(help="A YAML file, or the name of a shipped recipe.")],
    changes: Annotated[list[str] | None, typer.Option("--set", help="KEY=VALUE, such as problems.count=20.")] = None,
    store: StoreOption = DEFAULT_STORE,
    skip_bad_rows: Annotated[bool, typer.Option(help="Drop and count problems that cannot be used.")] = False,
) -> None:
    """Run a recipe, or go on with it; a finished one is only reported."""
    with _told_plainly():
        _run(recipe, changes or [], store, skip_bad_rows)


def _run(name: str, changes: list[str], root: Path, skip_bad_rows: bool) -> None:
    for variable, value in QUIET.items():
        os.environ.setdefault(variable, value)
    recipe = read_recipe(find_recipe(name), changes)
    # Prefect and the engines' packages take seconds to import; a mistake in the recipe is told before.
    from flows.evaluate import evaluate, is_finished
    from flows.plan import make_plan
    from flows.progress import terminal
    from tasks.problems.sources import load_problems

    problem_set = load_problems(recipe.problems, skip_bad_rows)
    plan = make_plan(recipe, problem_set)
    opened = Store(root)
    console = _console()
    for complaint in problem_set.dropped:
        console.print(f"dropped: {complaint}", markup=False)
    if not is_finished(plan, opened):
        log = opened.run_folder(plan.run_id) / "run.log"
        with _chatter_to(log) as console:
            terminal.set(console)
            console.print(f"run {plan.run_id}: {len(plan.units)} problems, store {root}, log {log}", soft_wrap=True)
            try:
                asyncio.run(evaluate(recipe, root, skip_bad_rows))
            except (UserError, StoreBusy):
                raise
            except KeyboardInterrupt:
                _stopped(console, "stopped by Ctrl-C", log)
            except Exception as error:
                _stopped(console, f"{type(error).__name__}: {error}", log)
    _print_report(_console(), opened, opened.find_run(plan.run_id))


def _console() -> Console:
    """The terminal; wide enough for a result table where there is none."""
    console = Console()
    return console if console.is_terminal else Console(width=NO_TERMINAL_WIDTH)


def _stopped(console: Console, reason: str, log: Path) -> NoReturn:
    console.print(
        f"The run stopped: {reason}\nEvery finished part and every answered call is safe. Run the same command again "
        f"to go on from there. Log: {log}",
        style="red",
        markup=False,
        soft_wrap=True,
    )
    raise typer.Exit(1)


@contextlib.contextmanager
def _chatter_to(log: Path) -> Iterator[Console]:
    """Send everything written to standard output and error, native libraries' too, to the log; yield the terminal."""
    log.parent.mkdir(parents=True, exist_ok=True)
    sys.stdout.flush()
    sys.stderr.flush()
    saved = os.dup(1), os.dup(2)
    sink = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    with os.fdopen(os.dup(1), "w") as terminal_stream:
        os.dup2(sink, 1)
        os.dup2(sink, 2)
        try:
            yield Console(file=terminal_stream)
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os.dup2(saved[0], 1)
            os.dup2(saved[1], 2)
            # Native libraries and Prefect's server also talk while the interpreter ends.
            atexit.register(os.dup2, sink, 2)


@app.command()
def status(store: StoreOption = DEFAULT_STORE) -> None:
    """List the runs of a store."""
    with _told_plainly():
        opened = _existing(store)
        table = Table("run", "status", "problem set", "methods", "started", "finished")
        for stored in opened.runs():
            methods = dict.fromkeys(use.method_id for use in stored.stages if use.method_id)
            row = (stored.run_id, _status(opened, stored), stored.problem_set, ", ".join(methods))
            table.add_row(*row, stored.created_at, stored.finished_at or "")
        _console().print(table)


def _status(store: Store, stored: Run) -> str:
    if stored.status != "running":
        return stored.status
    try:
        with store.lock_run(stored.run_id):
            return "interrupted"
    except StoreBusy:
        return "running"


@app.command()
def sql(
    query: Annotated[str, typer.Argument(help="One SELECT over the store's tables.")],
    output: Annotated[Format, typer.Option("--format", help="How to print the rows.")] = "table",
    store: StoreOption = DEFAULT_STORE,
) -> None:
    """Ask the store: runs, problems, rollouts, steps, scores, grades, selections, calls, costs, summary."""
    from flows.printing import print_rows
    from storage.sql import query as ask

    with _told_plainly():
        print_rows(ask(Store(store), query), output)


@app.command()
def report(
    run_name: Annotated[str, typer.Argument(metavar="RUN", help="A run's id, or the beginning of it.")],
    store: StoreOption = DEFAULT_STORE,
    svg: Annotated[Path | None, typer.Option(help="Also write the table to this file, as a picture.")] = None,
) -> None:
    """Print a run's result."""
    with _told_plainly():
        opened = _existing(store)
        console = _console() if svg is None else Console(record=True, width=PICTURE_WIDTH)
        _print_report(console, opened, opened.find_run(run_name))
        if svg is not None:
            console.save_svg(str(svg), title="overthink report")


@app.command()
def cost(
    run_name: Annotated[str, typer.Argument(metavar="RUN", help="A run's id, or the beginning of it.")],
    price_per_hour: Annotated[float | None, typer.Option(min=0, help="What an hour of the machine costs.")] = None,
    store: StoreOption = DEFAULT_STORE,
) -> None:
    """Print what a run cost: tokens, FLOPs, seconds, GPU-seconds, by method and in all."""
    from flows.costs import cost_rows, cost_table

    with _told_plainly():
        opened = _existing(store)
        run_id = opened.find_run(run_name).run_id
        rows = cost_rows(opened, run_id)
        _console().print(cost_table(rows, run_id, price_per_hour))


@app.command()
def tree(
    run_name: Annotated[str, typer.Argument(metavar="RUN", help="A run's id, or the beginning of it.")],
    problem: Annotated[str, typer.Argument(metavar="PROBLEM", help="A problem_id.")],
    method: Annotated[str | None, typer.Option(help="Which search, where the run has several.")] = None,
    store: StoreOption = DEFAULT_STORE,
) -> None:
    """Print the tree a search grew for one problem: scores, steps, what was pruned, and where paths ended (■)."""
    from flows.trees import tree_of

    with _told_plainly():
        opened = _existing(store)
        drawn = tree_of(opened, opened.find_run(run_name).run_id, problem, method)
        # Deep trees are wider than any terminal; folded into what is left beside their branches they cannot be read.
        width = Console(width=WIDEST_TREE).measure(drawn).maximum
        Console(width=max(width, _console().width)).print(drawn)


def _print_report(console: Console, store: Store, stored: Run) -> None:
    from flows.results import result_table, samples_saved, summary_rows, unknown_grades

    if stored.status != "complete":
        raise StorageError(f"run {stored.run_id} is {_status(store, stored)}: run its recipe again to finish it")
    rows = summary_rows(store, stored.run_id)
    console.print(result_table(rows, f"{stored.run_id}: {stored.policy} on {stored.problem_set}"))
    for line in samples_saved(store, stored.run_id):
        console.print(line, highlight=False)
    unknown = unknown_grades(store, stored.run_id)
    if unknown:
        console.print(f"{unknown} rollouts could not be graded within the limits and count as wrong (table grades).")
    console.print(f'overthink sql --store {store.root} "SELECT * FROM summary"', markup=False, soft_wrap=True)


@app.command()
def recipes() -> None:
    """List the recipes that come with Overthink."""
    table = Table("recipe", "what it does")
    for name, path in shipped_recipes().items():
        table.add_row(name, path.read_text(encoding="utf-8").splitlines()[0].lstrip("# "))
    _console().print(table)


def _existing(root: Path) -> Store:
    if not root.is_dir():
        raise StorageError(f"there is no store at {root}: name one with --store, or make it with `overthink run`")
    return Store(root)


@contextlib.contextmanager
def _told_plainly() -> Iterator[None]:
    """The user's mistakes as one message, without a traceback, and exit code 2."""
    try:
        yield
    except (UserError, StorageError, QueryError) as error:
        Console(stderr=True).print(str(error), style="red", markup=False, soft_wrap=True, highlight=False)
        raise typer.Exit(2) from error
