"""`overthink report`: a run's result, printed."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.markdown import Markdown

from overthink.flows.commands.completing import run_names
from overthink.flows.commands.options import (
    DEFAULT_STORE,
    StoreOption,
    check_writable,
    existing,
    named_runs,
    write_text,
)
from overthink.flows.commands.status import status_of
from overthink.flows.commands.terminal import Screen, carry_out, console, plain_errors, quiet, unfolded
from overthink.storage.stage_kinds import StageKind
from overthink.storage.storage_errors import StorageError

if TYPE_CHECKING:
    from overthink.storage.store import Run, Store

PICTURE_WIDTH = 100


def report(
    run_names: Annotated[
        list[str],
        typer.Argument(metavar="RUN...", help="Runs, by their ids or the beginning of them.", autocompletion=run_names),
    ],
    store: StoreOption = DEFAULT_STORE,
    svg: Annotated[Path | None, typer.Option(help="Also write the table to this file, as a picture.")] = None,
    html: Annotated[Path | None, typer.Option(help="Also write everything to this file, as one page.")] = None,
    pictures: Annotated[Path | None, typer.Option(help="Also write the page's figures to this folder.")] = None,
) -> None:
    """Print the results of runs; --html writes a page with curves, trees, gains, cost, and the SQL behind each."""
    with plain_errors():
        check_writable(svg, html)
        opened = existing(store)
        runs = named_runs(opened, run_names)
        for stored in runs:
            _make_whole(opened, stored)
        paper = console() if svg is None else Screen(record=True, width=PICTURE_WIDTH)
        opened = opened.as_it_stands()
        for stored in runs:
            print_report(paper, opened, stored)
        if svg is not None:
            paper.save_svg(str(svg), title="overthink report")
        if html is not None or pictures is not None:
            _draw(opened, runs, html, pictures)
            written = " and ".join(str(one) for one in (html, pictures) if one is not None)
            Screen(stderr=True).print(f"wrote {written}", markup=False, soft_wrap=True, highlight=False)


def _make_whole(store: "Store", stored: "Run") -> None:
    """Rebuild what a finished run has lost. Exits with code 1, changing nothing, where that needs an engine."""
    from overthink.storage.completeness import incomplete_stages
    from overthink.tasks.stages.scored_run import remedy

    if stored.status != "complete":
        return
    lost = incomplete_stages(store, stored)
    if not lost:
        return
    quiet()
    from overthink.flows.rebuild import irreparable, rebuild

    complaints = irreparable(store, stored, lost)
    if not complaints:
        what = "rebuilding " + ", ".join(str(loss) for loss in lost)
        carry_out(store, stored.run_id, what, lambda: rebuild(stored.run_id, store.address))
        complaints = [str(loss) for loss in incomplete_stages(store, stored)]
    if complaints:
        told = "\n".join([f"Run {stored.run_id} is not whole:", *complaints, remedy(stored)])
        Screen(stderr=True).print(told, style="red", markup=False, soft_wrap=True, highlight=False)
        raise typer.Exit(1)


def _draw(store: "Store", runs: "Sequence[Run]", html: Path | None, pictures: Path | None) -> None:
    from overthink.tasks.reporting.html.contents import report_facts, report_page, report_pictures
    from overthink.tasks.reporting.picture_files import write_pictures

    facts = report_facts(store, runs)
    if html is not None:
        write_text(html, report_page(store, facts))
    if pictures is not None:
        write_pictures(pictures, report_pictures(store, facts))


def print_report(paper: Console, store: "Store", stored: "Run", only_prm: bool = False) -> None:
    """Print the results of a finished run. Raises StorageError where it is not finished."""
    if stored.status != "complete":
        raise StorageError(f"run {stored.run_id} is {status_of(store, stored)}: run its recipe again to finish it")
    kinds = {use.kind for use in stored.stages}
    if StageKind.SELECT in kinds and not only_prm:
        _print_summary(paper, store, stored)
    if StageKind.LABEL in kinds:
        folder = store.model(stored.run_id)
        paper.print(Markdown((folder / "README.md").read_text(encoding="utf-8").split("---\n", 2)[2]))
        paper.print(f"The model is in {folder}", markup=False, soft_wrap=True)
    if StageKind.MEASURE in kinds:
        from overthink.tasks.reporting.prm_tables import prm_table

        paper.print(prm_table(store, stored.run_id))
        paper.print(f'overthink sql --store {store.address} "SELECT * FROM prm_metrics"', markup=False, soft_wrap=True)


def _print_summary(paper: Console, store: "Store", stored: "Run") -> None:
    from overthink.tasks.reporting.majority_limits import limit_lines
    from overthink.tasks.reporting.results import summary_rows
    from overthink.tasks.reporting.run_notes import best_line, reported_choices, run_notes

    rows = summary_rows(store, stored.run_id)
    if rows:
        _print_tables(paper, store, stored, rows)
    for line in (*best_line(rows), *limit_lines(store, stored.run_id), *run_notes(store, stored, rows)):
        paper.print(line, highlight=False, soft_wrap=True)
    named = "summary" if rows else "selections"  # without references there are answers, but no accuracies
    paper.print(f'overthink sql --store {store.address} "SELECT * FROM {named}"', markup=False, soft_wrap=True)
    if any(use.kind == StageKind.IMPORT for use in stored.stages) and reported_choices(store, stored.run_id):
        paper.print(f"overthink compare --store {store.address} {stored.run_id}", markup=False, soft_wrap=True)


def _print_tables(paper: Console, store: "Store", stored: "Run", rows: Sequence[dict[str, Any]]) -> None:
    from overthink.tasks.reporting.result_tables import result_tables
    from overthink.tasks.reporting.results import accuracy_notes, run_title

    # Off a terminal nothing limits the width.
    width = paper.width if paper.is_terminal or paper.record else None
    for table in result_tables(rows, run_title(stored), accuracy_notes(store, stored.run_id), width):
        (unfolded(table) if width is None else paper).print(table)
