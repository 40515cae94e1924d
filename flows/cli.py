"""The `overthink` command."""

from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.console import Console
from rich.markdown import Markdown
from rich.table import Table

from flows.import_recipe import ImportFormat, import_recipe
from flows.recipe import PrmEvalRecipe, PrmTrainRecipe, find_recipe, read_recipe, read_recipe_of, shipped_recipes
from flows.terminal import carry_out, console, quiet, told_plainly
from storage.errors import StorageError, StoreBusy
from storage.store import Run, Store
from tasks.errors import UserError
from tasks.problems.answers import Extraction

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
StoreOption = Annotated[Path, typer.Option("--store", envvar="OVERTHINK_STORE", help="Folder that holds all results.")]
DEFAULT_STORE = Path("store")
PICTURE_WIDTH = 100
WIDEST_TREE = 100_000
Format = Literal["table", "csv", "json", "parquet"]


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
    with told_plainly():
        _run(recipe, changes or [], store, skip_bad_rows)


def _run(name: str, changes: list[str], root: Path, skip_bad_rows: bool) -> None:
    quiet()
    recipe = read_recipe(find_recipe(name), changes)
    # Prefect and the engines' packages take seconds to import; a mistake in the recipe is told before.
    from flows.evaluate import evaluate, is_finished
    from flows.plan import make_plan
    from tasks.problems.sources import load_problems

    problem_set = load_problems(recipe.problems, skip_bad_rows)
    plan = make_plan(recipe, problem_set)
    opened = Store(root)
    _print_dropped(problem_set.dropped)
    if not is_finished(plan, opened):
        what = f"{len(plan.units)} problems"
        carry_out(opened, plan.run_id, what, lambda: evaluate(recipe, root, skip_bad_rows))
    _print_report(console(), opened, opened.find_run(plan.run_id))


def _print_dropped(complaints: Sequence[str]) -> None:
    for complaint in complaints:
        console().print(f"dropped: {complaint}", markup=False)


@app.command(name="prm-eval")
def prm_eval(
    recipe: Annotated[str | None, typer.Argument(help="A YAML file, or the name of a shipped recipe.")] = None,
    run_name: Annotated[
        str | None, typer.Option("--run", metavar="RUN", help="Instead: a finished run, by its id or its beginning.")
    ] = None,
    changes: Annotated[list[str] | None, typer.Option("--set", help="KEY=VALUE, such as solutions.count=20.")] = None,
    store: StoreOption = DEFAULT_STORE,
    skip_bad_rows: Annotated[bool, typer.Option(help="Drop and count solutions that cannot be used.")] = False,
    html: Annotated[Path | None, typer.Option(help="Also write the curves to this file, as one page.")] = None,
) -> None:
    """How far a PRM can be trusted: against labelled solutions, or against the grades of a finished run."""
    with told_plainly():
        if (recipe is None) == (run_name is None):
            raise UserError("name a recipe, such as prm-eval, or a finished run with --run; not both")
        quiet()
        if recipe is not None:
            run_id = _prm_eval_recipe(recipe, changes or [], store, skip_bad_rows)
        else:
            if changes or skip_bad_rows:
                raise UserError("--set and --skip-bad-rows change a recipe; --run reads none")
            run_id = _prm_eval_run(str(run_name), store)
        opened = Store(store)
        _print_report(console(), opened, opened.find_run(run_id), only_prm=True)
        if html is not None:
            from flows.pictures import page
            from flows.prm_results import prm_pictures

            _write(html, page(f"PRM of {run_id}", list(prm_pictures(opened, run_id))))


def _prm_eval_recipe(name: str, changes: list[str], root: Path, skip_bad_rows: bool) -> str:
    recipe = read_recipe_of(PrmEvalRecipe, find_recipe(name), changes)
    from flows.prm_eval import is_measured, make_prm_eval_plan, prm_eval
    from tasks.problems.labelled import load_solutions

    labelled = load_solutions(recipe.solutions, skip_bad_rows)
    plan = make_prm_eval_plan(recipe, labelled)
    opened = Store(root)
    _print_dropped(labelled.dropped)
    if not is_measured(plan, opened):
        what = f"{len(labelled.solutions)} solutions"
        carry_out(opened, plan.run_id, what, lambda: prm_eval(recipe, root, skip_bad_rows))
    return plan.run_id


def _prm_eval_run(name: str, root: Path) -> str:
    opened = _existing(root)
    from flows.prm_of_run import measurable, prm_eval_run

    run_id = measurable(opened, name).run_id
    carry_out(opened, run_id, "measuring its PRM", lambda: prm_eval_run(run_id, root))
    return run_id


@app.command(name="prm-train")
def prm_train(
    recipe: Annotated[str, typer.Argument(help="A YAML file, or the name of a shipped recipe.")],
    changes: Annotated[list[str] | None, typer.Option("--set", help="KEY=VALUE, such as rollouts=32.")] = None,
    store: StoreOption = DEFAULT_STORE,
    skip_bad_rows: Annotated[bool, typer.Option(help="Drop and count problems that cannot be used.")] = False,
) -> None:
    """Train a PRM on what a policy's rollouts are worth, or go on with it; a finished one is only reported."""
    with told_plainly():
        quiet()
        wanted = read_recipe_of(PrmTrainRecipe, find_recipe(recipe), changes or [])
        from flows.prm_train import is_trained, make_prm_train_plan, prm_train
        from tasks.problems.sources import load_problems

        problem_set = load_problems(wanted.problems, skip_bad_rows)
        plan = make_prm_train_plan(wanted, problem_set)
        opened = Store(store)
        _print_dropped(problem_set.dropped)
        if not is_trained(plan, opened):
            what = f"{len(problem_set.problems)} problems"
            carry_out(opened, plan.run_id, what, lambda: prm_train(wanted, store, skip_bad_rows))
        _print_report(console(), opened, opened.find_run(plan.run_id))


@app.command(name="import")
def import_(
    layout: Annotated[ImportFormat, typer.Argument(metavar="FORMAT", help="Who stored them.")],
    path: Annotated[Path, typer.Argument(help="The folder or file they lie in.")],
    mapping: Annotated[
        list[str] | None, typer.Option("--map", metavar="KEY=COLUMN", help="For jsonl: which column holds what.")
    ] = None,
    name: Annotated[str | None, typer.Option(help="The run's name, instead of the format's.")] = None,
    extraction: Annotated[Extraction, typer.Option(help="How answers are read in the rollouts.")] = "lenient",
    independent: Annotated[
        bool, typer.Option(help="The rollouts are independent samples: any n of them stand for a budget of n.")
    ] = False,
    store: StoreOption = DEFAULT_STORE,
) -> None:
    """Bring rollouts that another tool stored into the store, graded and chosen from like our own."""
    with told_plainly():
        quiet()
        recipe = import_recipe(layout, path, mapping or [], name, extraction, independent)
        from flows.importing import import_rollouts, is_imported, make_import_plans

        plans, opened = make_import_plans(recipe), Store(store)
        if not all(is_imported(plan, opened) for plan in plans):
            what = f"{sum(len(plan.units) for plan in plans)} problems"
            carry_out(opened, plans[0].run_id, what, lambda: import_rollouts(recipe, store))
        for plan in plans:
            _print_report(console(), opened, opened.find_run(plan.run_id))


@app.command()
def compare(
    run_name: Annotated[str, typer.Argument(metavar="RUN", help="An imported run's id, or the beginning of it.")],
    store: StoreOption = DEFAULT_STORE,
) -> None:
    """Print our choices beside those that the other tool reported, and every difference with its reason."""
    from flows.comparing import REASONS, compare_run, differences_table, totals_table

    with told_plainly():
        opened = _existing(store)
        run_id = opened.find_run(run_name).run_id
        compared = compare_run(opened, run_id)
        if not compared:
            raise StorageError(f"run {run_id} holds no choices of another tool: `overthink import` brings them")
        console().print(totals_table(opened, run_id, compared))
        found = {one.reason for one in compared if one.reason is not None}
        if found:
            console().print(differences_table(compared))
        for reason in sorted(found):
            console().print(f"{reason}: {REASONS[reason]}", highlight=False)


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise UserError(f"cannot write {path}: {error}; name a file in a folder that is there") from error


@app.command()
def status(store: StoreOption = DEFAULT_STORE) -> None:
    """List the runs of a store."""
    with told_plainly():
        opened = _existing(store)
        table = Table("run", "status", "problem set", "methods", "started", "finished")
        for stored in opened.runs():
            methods = dict.fromkeys(use.method_id for use in stored.stages if use.method_id)
            row = (stored.run_id, _status(opened, stored), stored.problem_set, ", ".join(methods))
            table.add_row(*row, stored.created_at, stored.finished_at or "")
        console().print(table)


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
    """Ask the store: runs, problems, rollouts, steps, scores, grades, selections, calls, costs, summary and more.

    Imported runs also fill reported, measured PRMs prm_metrics.
    """
    from flows.printing import print_rows
    from storage.sql import query as ask

    with told_plainly():
        print_rows(ask(Store(store), query), output)


@app.command()
def report(
    run_name: Annotated[str, typer.Argument(metavar="RUN", help="A run's id, or the beginning of it.")],
    store: StoreOption = DEFAULT_STORE,
    svg: Annotated[Path | None, typer.Option(help="Also write the table to this file, as a picture.")] = None,
) -> None:
    """Print a run's result."""
    with told_plainly():
        opened = _existing(store)
        paper = console() if svg is None else Console(record=True, width=PICTURE_WIDTH)
        _print_report(paper, opened, opened.find_run(run_name))
        if svg is not None:
            paper.save_svg(str(svg), title="overthink report")


@app.command()
def cost(
    run_name: Annotated[str, typer.Argument(metavar="RUN", help="A run's id, or the beginning of it.")],
    price_per_hour: Annotated[float | None, typer.Option(min=0, help="What an hour of the machine costs.")] = None,
    store: StoreOption = DEFAULT_STORE,
) -> None:
    """Print what a run cost: tokens, FLOPs, seconds, GPU-seconds, by method and in all."""
    from flows.costs import cost_rows, cost_table

    with told_plainly():
        opened = _existing(store)
        run_id = opened.find_run(run_name).run_id
        rows = cost_rows(opened, run_id)
        console().print(cost_table(rows, run_id, price_per_hour))


@app.command()
def tree(
    run_name: Annotated[str, typer.Argument(metavar="RUN", help="A run's id, or the beginning of it.")],
    problem: Annotated[str, typer.Argument(metavar="PROBLEM", help="A problem_id.")],
    method: Annotated[str | None, typer.Option(help="Which search, where the run has several.")] = None,
    store: StoreOption = DEFAULT_STORE,
) -> None:
    """Print the tree a search grew for one problem: scores, steps, what was pruned, and where paths ended (■)."""
    from flows.trees import tree_of

    with told_plainly():
        opened = _existing(store)
        drawn = tree_of(opened, opened.find_run(run_name).run_id, problem, method)
        # Deep trees are wider than any terminal; folded into what is left beside their branches they cannot be read.
        width = Console(width=WIDEST_TREE).measure(drawn).maximum
        Console(width=max(width, console().width)).print(drawn)


def _print_report(paper: Console, store: Store, stored: Run, only_prm: bool = False) -> None:
    if stored.status != "complete":
        raise StorageError(f"run {stored.run_id} is {_status(store, stored)}: run its recipe again to finish it")
    kinds = {use.kind for use in stored.stages}
    if "select" in kinds and not only_prm:
        _print_summary(paper, store, stored)
    if "label" in kinds:
        folder = store.model_folder(stored.run_id)
        paper.print(Markdown((folder / "README.md").read_text(encoding="utf-8").split("---\n", 2)[2]))
        paper.print(f"The model lies in {folder}", markup=False, soft_wrap=True)
    if "measure" in kinds:
        from flows.prm_results import prm_table

        paper.print(prm_table(store, stored.run_id))
        paper.print(f'overthink sql --store {store.root} "SELECT * FROM prm_metrics"', markup=False, soft_wrap=True)


def _print_summary(paper: Console, store: Store, stored: Run) -> None:
    from flows.results import result_table, samples_saved, summary_rows, unknown_grades

    rows = summary_rows(store, stored.run_id)
    paper.print(result_table(rows, f"{stored.run_id}: {stored.policy or 'unknown policy'} on {stored.problem_set}"))
    for line in samples_saved(store, stored.run_id):
        paper.print(line, highlight=False)
    unknown = unknown_grades(store, stored.run_id)
    if unknown:
        paper.print(f"{unknown} rollouts could not be graded within the limits and count as wrong (table grades).")
    paper.print(f'overthink sql --store {store.root} "SELECT * FROM summary"', markup=False, soft_wrap=True)
    if any(use.kind == "import" for use in stored.stages):
        paper.print(f"overthink compare --store {store.root} {stored.run_id}", markup=False, soft_wrap=True)


@app.command()
def recipes() -> None:
    """List the recipes that come with Overthink."""
    table = Table("recipe", "what it does")
    for name, path in shipped_recipes().items():
        table.add_row(name, path.read_text(encoding="utf-8").splitlines()[0].lstrip("# "))
    console().print(table)


def _existing(root: Path) -> Store:
    if not root.is_dir():
        raise StorageError(f"there is no store at {root}: name one with --store, or make it with `overthink run`")
    return Store(root)
