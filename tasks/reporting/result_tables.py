"""A run's result as tables, for a terminal and in markdown: a line a method and selector, a column a budget."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.cells import cell_len
from rich.table import Table

from overthink.tasks.reporting.results import CAPTION, accuracy_text

SEPARATION = 3  # columns of a terminal between two cells
Lines = Mapping[tuple[str, str], Mapping[int, str]]  # the accuracy by method and selector, at each budget


def result_tables(rows: Sequence[dict[str, Any]], title: str, note: str, width: int | None) -> list[Table]:
    """Accuracy in percent with 95 % intervals; `note` is appended to the caption, see `accuracy_notes`.

    As many budgets stand side by side as fit into `width` columns of a terminal, all where it is None: the others
    follow in further tables, so that no figure is cut.
    """
    budgets, lines = _grid(rows)
    parts = [budgets] if width is None else _fitting(budgets, lines, width)
    tables = [_table(part, lines) for part in parts]
    tables[0].title = title
    tables[-1].caption = f"{CAPTION}{note}"
    return tables


def result_markdown(rows: Sequence[dict[str, Any]]) -> str:
    """The result table in markdown."""
    budgets, lines = _grid(rows)
    header = ["method", "selector", *(f"n = {n}" for n in budgets)]
    body = [[method, selector, *(cells.get(n, "") for n in budgets)] for (method, selector), cells in lines.items()]
    rule = ["---", "---", *("--:" for _ in budgets)]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in (header, rule, *body))


def _grid(rows: Sequence[dict[str, Any]]) -> tuple[list[int], Lines]:
    """The budgets, and the lines of the table."""
    budgets = sorted({row["n"] for row in rows})
    lines: dict[tuple[str, str], dict[int, str]] = {}
    for row in rows:
        # Every selector chooses cot's only rollout: one line is enough.
        selector = "greedy" if row["method_id"] == "cot" else row["selector"]
        lines.setdefault((row["method_id"], selector), {})[row["n"]] = accuracy_text(row)
    return budgets, lines


def _fitting(budgets: Sequence[int], lines: Lines, width: int) -> list[list[int]]:
    """The budgets in groups whose columns fit beside the names of methods and selectors; of one budget at least."""
    method, selector = (max(cell_len(name[place]) for name in lines) for place in (0, 1))
    # A long method is folded within a third of the terminal.
    free = width - 1 - min(method, width // 3) - selector - 2 * SEPARATION
    groups: list[list[int]] = []
    left = 0
    for n in budgets:
        cells = (f"n = {n}", *(line.get(n, "") for line in lines.values()))
        needed = SEPARATION + max(map(cell_len, cells))
        if not groups or needed > left:
            groups.append([])
            left = free
        groups[-1].append(n)
        left -= needed
    return groups


def _table(budgets: Sequence[int], lines: Lines) -> Table:
    """The lines that have a figure at some of the budgets."""
    table = Table()
    table.add_column("method", overflow="fold")
    table.add_column("selector", no_wrap=True)
    for n in budgets:
        table.add_column(f"n = {n}", justify="right", no_wrap=True)
    for (method_id, selector), cells in lines.items():
        if any(n in cells for n in budgets):
            table.add_row(method_id, selector, *(cells.get(n, "") for n in budgets))
    return table
