"""`overthink compare` and `overthink gate`: a run against another tool's figures, or against an earlier run."""

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from overthink.flows.commands.options import DEFAULT_STORE, RunArgument, StoreOption, existing, named_run
from overthink.flows.commands.terminal import console, plain_errors, print_whole
from overthink.storage.storage_errors import StorageError
from overthink.tasks.errors import UserError

if TYPE_CHECKING:
    from overthink.storage.store import Run, Store
    from overthink.tasks.recipes.recipe import GateConfig
    from overthink.tasks.reporting.gate import Verdict

Output = Annotated[Literal["table", "json"], typer.Option("--format", help="How to print it.")]
SelectorOption = Annotated[
    str | None,
    typer.Option(
        help="The selector to compare: majority, prm_min_vote, … (default: the recipe's gate, else majority)."
    ),
]


def compare(
    run_name: RunArgument,
    other: Annotated[
        str | None,
        typer.Argument(metavar="[RUN]", help="A later run; without one, RUN is compared with the tool it is from."),
    ] = None,
    selector: SelectorOption = None,
    output: Output = "table",
    store: StoreOption = DEFAULT_STORE,
) -> None:
    """Print what changed from one run to another: accuracy, flipped problems, cost.

    With one RUN, which was imported: compare our choices with those that the other tool reported, and give the reason
    for every difference.
    """
    with plain_errors():
        opened = existing(store)
        run = named_run(opened, run_name)
        if other is None:
            _compare_with_tool(opened, run, output)
        else:
            _compare_runs(opened, run, named_run(opened, other), selector, output)


def gate(
    run_name: RunArgument,
    against: Annotated[
        str | None, typer.Option(metavar="RUN", help="An earlier run, or `last`: the previous one of this name.")
    ] = None,
    selector: SelectorOption = None,
    output: Output = "table",
    store: StoreOption = DEFAULT_STORE,
) -> None:
    """Exit with code 3 where a run is less accurate than an earlier one, beyond the interval; with 0 otherwise."""
    with plain_errors():
        opened = existing(store)
        run = named_run(opened, run_name)
        config = _gate_of(run, selector, against)
        from prefect.settings import PREFECT_API_URL

        from overthink.flows.orchestration.gate_events import emit_verdict
        from overthink.tasks.reporting.gate import judge, raise_fallen

        verdict = judge(opened, run, config)
        if PREFECT_API_URL.value() is not None:  # without a server there are no events
            emit_verdict(verdict, run.name)
        if output == "json":
            _print_json(asdict(verdict))
            raise_fallen(verdict)
        else:
            print_verdict(verdict)


def print_verdict(verdict: "Verdict") -> None:
    """Print a gate's verdict on a run. Raises Regression where the run does not pass."""
    from overthink.tasks.reporting.compare_tables import difference_table
    from overthink.tasks.reporting.gate import raise_fallen

    if verdict.differences:
        title = f"{verdict.against} → {verdict.run_id}"
        print_whole(difference_table(verdict.differences, title, verdict.confidence), keys=3)
    raise_fallen(verdict)
    console().print(verdict.message, markup=False, soft_wrap=True)


def _gate_of(run: "Run", selector: str | None, against: str | None) -> "GateConfig":
    from overthink.tasks.analysis.selectors import selector_of
    from overthink.tasks.recipes.recipe import GateConfig

    if selector is not None:
        try:
            selector_of(selector)
        except ValueError as error:
            raise UserError(str(error)) from error
    changes = {"selector": selector, "against": against}
    return GateConfig.model_validate(
        (run.recipe.get("gate") or {}) | {key: value for key, value in changes.items() if value is not None}
    )


def _compare_runs(store: "Store", before: "Run", after: "Run", selector: str | None, output: str) -> None:
    from overthink.tasks.reporting.compare_runs import compare_runs
    from overthink.tasks.reporting.compare_tables import (
        cost_difference_table,
        difference_table,
        flip_table,
        problems_line,
        regraded_text,
    )

    decides = _gate_of(after, selector, None).selector
    compared = compare_runs(store, before, after)
    if output == "json":
        _print_json(asdict(compared))
        return
    print_whole(difference_table(compared.differences, f"{before.run_id} → {after.run_id}"), keys=3)
    console().print(problems_line(compared), markup=False, soft_wrap=True)
    if compared.regraded:
        console().print(regraded_text(compared.regraded), markup=False, soft_wrap=True)
    largest = {one.method_id: one.n for one in compared.differences}  # n ascends, so the largest remains
    flips = [flip for flip in compared.flips if (flip.selector, flip.n) == (decides, largest[flip.method_id])]
    if flips:
        print_whole(flip_table(flips))
    total = [cost for cost in compared.costs if cost.method_id == "all"]
    if total:
        console().print(cost_difference_table(total))
    console().print(
        f"{len(flips)} choices by {decides} at the largest n flipped; --selector names another, --format json has all",
        markup=False,
        soft_wrap=True,
    )


def _compare_with_tool(store: "Store", run: "Run", output: str) -> None:
    from overthink.tasks.reporting.compare_imports import REASONS, compare_run, differences_table, totals_table

    compared = compare_run(store, run.run_id)
    if not compared:
        raise StorageError(
            f"run {run.run_id} holds no choices of another tool, as `overthink import` brings them: name a second run "
            "to compare it with"
        )
    if output == "json":
        _print_json([asdict(one) for one in compared])
        return
    console().print(totals_table(store, run.run_id, compared))
    found = {one.reason for one in compared if one.reason is not None}
    if found:
        console().print(differences_table(compared))
    for reason in sorted(found):
        console().print(f"{reason}: {REASONS[reason]}", highlight=False)


def _print_json(value: Any) -> None:
    typer.echo(json.dumps(value, indent=2, ensure_ascii=False))
