"""The report in a terminal: no figure of it is cut, whatever the width, and its intervals are Wilson's."""

import io
import math
import re
from pathlib import Path
from typing import Any

import pytest
from report_runs import facts_of

from overthink.flows.commands.report import print_report
from overthink.flows.commands.terminal import Screen
from overthink.storage.store import Store
from overthink.tasks.reporting.result_tables import result_tables
from overthink.tasks.reporting.results import accuracy_text


@pytest.fixture(scope="module")
def store(report_pages: Path) -> Store:
    return Store(report_pages / "store")


def printed(store: Store, name: str, width: int) -> str:
    screen = Screen(file=io.StringIO(), width=width, force_terminal=True, no_color=True)
    print_report(screen, store, store.find_run(name))
    return re.sub(r"\x1b\[[\d;]*m", "", screen.file.getvalue())  # type: ignore[attr-defined]


def cells_of(text: str) -> list[list[str]]:
    return [[cell.strip() for cell in line.strip("│┃").split("│")] for line in text.splitlines() if line[:1] in "│┃"]


@pytest.mark.parametrize("width", [80, 200])
def test_no_figure_is_cut_at_any_width(store: Store, width: int) -> None:
    (facts,) = facts_of(store, "small")
    text = printed(store, "small", width)
    assert "…" not in text
    tables = [line for line in text.splitlines() if line[:1] in "┏┡│└"]
    assert max(map(len, tables)) <= width
    rows = [row for row in cells_of(text) if len(row) > 2]
    shown = {(method, selector, cell) for method, selector, *cells in rows for cell in cells if "(" in cell}
    wanted = {
        (row["method_id"], "greedy" if row["method_id"] == "cot" else row["selector"], accuracy_text(row))
        for row in facts.rows
    }
    assert wanted <= shown, "each accuracy stands whole beside its method and selector"


def test_in_a_narrow_terminal_long_names_fold_and_figures_stay_whole(store: Store) -> None:
    text = printed(store, "small", 56)
    assert "…" not in text
    assert {accuracy_text(row) for row in facts_of(store, "small")[0].rows} <= {
        cell for row in cells_of(text) for cell in row
    }


def test_budgets_that_do_not_fit_follow_in_a_table_of_their_own(store: Store) -> None:
    (facts,) = facts_of(store, "small")
    tables = result_tables(facts.rows, "the title", "; the note", 67)
    heads = [[str(column.header) for column in table.columns] for table in tables]
    assert heads == [["method", "selector", "n = 1", "n = 4"], ["method", "selector", "n = 8"]]
    assert [table.title for table in tables] == ["the title", None]
    assert [table.caption for table in tables] == [None, tables[-1].caption]
    assert str(tables[-1].caption).endswith("; the note")
    assert tables[1].row_count < tables[0].row_count + 10, "methods without a figure there are left out"


def wilson(share: float, count: int) -> tuple[float, float]:
    z = 1.959964
    middle, half = share + z * z / (2 * count), z * math.sqrt(share * (1 - share) / count + (z / (2 * count)) ** 2)
    return (middle - half) / (1 + z * z / count), (middle + half) / (1 + z * z / count)


@pytest.mark.parametrize(("share", "told"), [(0.0, "0.0 (0–43)"), (1.0, "100.0 (57–100)")])
def test_at_0_and_100_percent_the_interval_is_wilsons_and_no_point(store: Store, share: float, told: str) -> None:
    (facts,) = facts_of(store, "small")
    rows: list[dict[str, Any]] = [row for row in facts.rows if row["accuracy"] == share]
    assert rows
    for row in rows:
        assert row["problems"] == 5
        assert (row["ci_low"], row["ci_high"]) == pytest.approx(wilson(share, 5), abs=1e-6)
        assert accuracy_text(row) == told
    assert told in printed(store, "small", 80)


def test_the_most_accurate_choice_is_told_with_its_interval(store: Store) -> None:
    (facts,) = facts_of(store, "small")
    assert facts.best is not None
    (line,) = [line for line in printed(store, "small", 80).splitlines() if line.startswith("most accurate")]
    assert line.startswith(
        f"most accurate, in hindsight: {accuracy_text(facts.best)} % of {facts.best['method_id']} by"
    )


def test_the_title_names_run_policy_and_prm(store: Store) -> None:
    assert re.search(r"small-\w+: tiny with fake@\w+ on problems@\w+", printed(store, "small", 120))
