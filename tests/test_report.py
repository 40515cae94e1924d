"""The report: what it draws is what its SQL gives, and what it does not know it says."""

import html
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import recipe_of
from report_runs import facts_of
from search_runs import base

from overthink.flows.evaluate import evaluate
from overthink.flows.import_rollouts import import_rollouts
from overthink.storage.sql import query
from overthink.storage.storage_errors import StorageError
from overthink.storage.store import Store
from overthink.tasks.analysis.intervals import mean_interval
from overthink.tasks.recipes.import_recipe import GradedAs, ReadAs, import_recipe
from overthink.tasks.reporting.dot_plots import placed
from overthink.tasks.reporting.html.contents import report_facts, report_page, report_pictures
from overthink.tasks.reporting.html.facts import RunFacts
from overthink.tasks.reporting.html.figures import by_difficulty
from overthink.tasks.reporting.html.markup import figures, number
from overthink.tasks.reporting.html.tables import against_table, gains_table
from overthink.tasks.reporting.picture_files import panels_figure, picture_svg, write_pictures
from overthink.tasks.reporting.pictures import Line, Panel, Picture

pytestmark = pytest.mark.usefixtures("prefect_server")


@pytest.fixture(scope="module")
def store(report_pages: Path) -> Store:
    return Store(report_pages / "store")


@pytest.fixture(scope="module")
def both(store: Store) -> list[RunFacts]:
    return facts_of(store, "small", "large")


@pytest.fixture(scope="module")
def pictures(store: Store, both: list[RunFacts]) -> list[Picture]:
    """The pictures of both runs."""
    return list(report_pictures(store, both))


@pytest.fixture
def page(report_pages: Path) -> str:
    """The page of two runs."""
    return (report_pages / "two.html").read_text(encoding="utf-8")


def ends(row: dict[str, Any]) -> tuple[float, float, float | None, float | None]:
    return row["x"], row["y"], row.get("low"), row.get("high")


def lines_of(picture: Picture) -> Iterator[tuple[Panel, Line]]:
    for panel in picture.panels:
        for line in panel.lines:
            yield panel, line


def test_every_figure_draws_the_rows_of_its_query_and_nothing_else(store: Store, pictures: list[Picture]) -> None:
    kinds = {picture.name.split("-")[0] for picture in pictures}
    assert kinds == {"budget", "selectors", "dots", "difficulty", "flops", "calibration", "length", "best"}
    for picture in pictures:
        rows = query(store, picture.sql).to_pylist()
        points = {(point.x, point.y, point.low, point.high) for _, line in lines_of(picture) for point in line.points}
        named = {(panel.title, line.name) for panel, line in lines_of(picture)}
        told = {ends(row) for row in rows if "name" not in row or (row["source"], row["name"]) in named}
        assert points == told, picture.name
        drawn = {
            (title, line.get_gid(), tuple(map(tuple, line.get_xydata().tolist())))
            for title, axes in zip((panel.title for panel in picture.panels), panels_figure(picture).axes, strict=True)
            for line in axes.get_lines()
            if line.get_gid() is not None
        }
        assert drawn == {
            (panel.title, line.name, place_of(picture, panel, line)) for panel, line in lines_of(picture)
        }, picture.name


def place_of(picture: Picture, panel: Panel, line: Line) -> tuple[tuple[float, float], ...]:
    """Where the points of a line are drawn: in a dot plot to the right, a row a line."""
    if not picture.axes.dots:
        return tuple((point.x, point.y) for point in line.points)
    rows = [row for row, placed_line in placed(panel) if placed_line is line]
    return tuple((point.y, row) for point, row in zip(line.points, rows, strict=True))


def test_bands_end_where_the_query_says(store: Store, both: list[RunFacts]) -> None:
    for picture in (one for one in report_pictures(store, both[:1]) if not one.axes.dots):
        for panel, axes in zip(picture.panels, panels_figure(picture).axes, strict=True):
            bands = [line for line in panel.lines if not line.faint and not line.level and len(line.points) > 1]
            wanted = [max(point.high for point in line.points) for line in bands if line.points[0].high is not None]
            drawn = [path.vertices[:, 1].max() for band in axes.collections for path in band.get_paths()]
            assert sorted(drawn) == pytest.approx(sorted(wanted)), picture.name


def test_every_query_of_the_page_is_answered_and_gives_the_numbers_beside_it(store: Store, page: str) -> None:
    queries = [html.unescape(sql) for sql in re.findall(r"<pre>((?:SELECT|WITH).*?)</pre>", page, flags=re.DOTALL)]
    assert len(queries) > 20
    for sql in dict.fromkeys(queries):
        assert query(store, sql).num_rows > 0, sql
    figures = re.findall(r"<figure .*?</figure>", page, flags=re.DOTALL)
    assert len(figures) > 8
    for drawn in figures:
        ((sql, numbers),) = re.findall(r"<pre>(.*?)</pre>\s*<div class=\"scroll\">(.*?)</div>", drawn, flags=re.DOTALL)
        shown = {tuple(cells[2:]) for cells in cells_of(numbers)}
        rows = query(store, html.unescape(sql)).to_pylist()
        assert shown <= {tuple(map(number, ends(row))) for row in rows}


def cells_of(table: str) -> list[list[str]]:
    rows = re.findall(r"<tr[^>]*>(<td.*?)</tr>", table)
    return [[html.unescape(cell) for cell in re.findall(r"<td[^>]*>(.*?)</td>", row)] for row in rows]


def test_difficulty_counts_each_problem_once_by_its_pass_at_1(store: Store, both: list[RunFacts]) -> None:
    (small, _) = both
    sql = f"""SELECT problem_id, avg(correct::INT) AS rate FROM rollouts JOIN grades USING (rollout_id)
        WHERE run_id = '{small.run_id}' AND method_id = 'best_of_n-n8' GROUP BY 1"""
    rates = [row["rate"] for row in query(store, sql).to_pylist()]
    wanted = {
        "easy": sum(rate >= 0.5 for rate in rates),
        "medium": sum(0.1 <= rate < 0.5 for rate in rates),
        "hard": sum(rate < 0.1 for rate in rates),
    }
    titles = [panel.title for panel in by_difficulty(small).panels]
    assert titles == [f"{name}: {count} problem{'s' if count != 1 else ''}" for name, count in wanted.items() if count]


def test_the_intervals_by_difficulty_are_those_of_the_tables(store: Store, both: list[RunFacts]) -> None:
    bins = {"easy": (0.5, 2.0), "medium": (0.1, 0.5), "hard": (-1.0, 0.1)}
    rates = f"""SELECT problem_id, avg(correct::INT) AS rate FROM rollouts JOIN grades USING (rollout_id)
        WHERE run_id = '{both[0].run_id}' AND method_id = 'best_of_n-n8' GROUP BY 1"""
    sql = f"""SELECT regexp_replace(method_id, '-n\\d+', '') AS method, selector, n, rate, accuracy
        FROM selections JOIN ({rates}) USING (problem_id) WHERE run_id = '{both[0].run_id}'"""
    choices = query(store, sql).to_pylist()
    for row in query(store, by_difficulty(both[0]).sql).to_pylist():
        low, high = bins[row["difficulty"]]
        drawn = [
            choice["accuracy"]
            for choice in choices
            if (choice["method"], choice["selector"], choice["n"]) == (row["method"], row["selector"], row["x"])
            and low <= choice["rate"] < high
        ]
        found = mean_interval(np.array(drawn, float))
        assert (row["low"], row["high"]) == pytest.approx(found, abs=1e-6), row
        assert row["high"] - row["low"] > 0.1, "an interval never shrinks to nothing"


def test_small_against_large_divides_flops_a_problem(store: Store, both: list[RunFacts]) -> None:
    rows = cells_of(against_table(both))
    small, large = both
    assert [row[:2] for row in rows[:3]] == [["tiny", "best_of_n"], ["tiny", "beam_search-m4"], ["tiny", "dvts-m4"]]
    assert large.greedy is not None
    for policy, name, selector, n, accuracy, _, greedy, difference, inference, with_pretraining in rows[:3]:
        (ours,) = [
            row
            for row in small.rows
            if row["selector"] == selector and str(row["n"]) == n and row["method_id"].startswith(name.split("-")[0])
        ]
        assert policy == "tiny" and with_pretraining == "unknown"
        assert inference == f"{large.greedy['flops'] / ours['flops']:.3g}×", "both runs hold the same five problems"
        assert accuracy == f"{100 * ours['accuracy']:.1f}" and greedy == f"{100 * large.greedy['accuracy']:.1f}"
        gained = 100 * (ours["accuracy"] - large.greedy["accuracy"])
        assert float(difference.split(" (")[0]) == pytest.approx(gained, abs=0.06)


def test_one_run_alone_says_what_a_comparison_needs(both: list[RunFacts]) -> None:
    assert "name runs of at least two policies" in against_table(both[:1])


def test_gains_are_those_of_the_paper(both: list[RunFacts]) -> None:
    ((name, greedy, _, best, _, gain, _), *_) = cells_of(gains_table(both))
    assert name == both[0].run_id
    assert both[0].greedy is not None and both[0].best is not None
    share = (both[0].best["accuracy"] - both[0].greedy["accuracy"]) / both[0].greedy["accuracy"]
    assert greedy == f"{100 * both[0].greedy['accuracy']:.1f}" and best == f"{100 * both[0].best['accuracy']:.1f}"
    assert gain == f"{100 * share:+.1f} %"


async def test_what_a_run_lacks_is_said(tmp_path: Path) -> None:
    recipe = recipe_of(base(tmp_path), methods=[{"method": "best_of_n", "n": 2}], budgets=[2], prm=None, shard_size=50)
    run_id = await evaluate(recipe, tmp_path / "store")
    store = Store(tmp_path / "store")
    page = report_page(store, facts_of(store, run_id))
    for said in ("has no PRM", "No search in this run", "FLOPs are unknown", "Nothing to compare"):
        assert said in page
    assert "NaN" not in page and "None" not in page
    assert page.count("<figure") == 2, "its one budget is drawn as dots, and the difficulty of its problems is known"
    assert re.findall(r'<figure id="(\w+)-', page) == ["dots", "difficulty"]


async def test_an_imported_run_without_calls_says_so(tmp_path: Path) -> None:
    lines = [{"q": "1+1?", "a": "2", "t": text} for text in ("It is \\boxed{2}", "It is \\boxed{3}")]
    rows = tmp_path / "rows.jsonl"
    rows.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    recipe = import_recipe(
        "jsonl", rows, ReadAs(["question=q", "reference=a", "text=t"]), None, GradedAs(extraction="boxed"), False
    )
    (run_id,) = await import_rollouts(recipe, tmp_path / "store")
    store = Store(tmp_path / "store")
    page = report_page(store, facts_of(store, run_id))
    for said in ("what it cost is unknown", "no independent, graded rollouts", "FLOPs are unknown", "has no PRM"):
        assert said in page
    assert "the recipe below by <code>overthink import</code>" in page


def test_a_run_without_choices_is_named(store: Store) -> None:
    run = store.find_run("small")
    bare = type(run)(**{**vars(run), "stages": tuple(use for use in run.stages if use.kind != "select")})
    with pytest.raises(StorageError, match="chose no answers"):
        report_facts(store, [bare])


def test_pictures_are_written_as_svg_and_png(store: Store, both: list[RunFacts], tmp_path: Path) -> None:
    pictures = list(report_pictures(store, both[1:]))
    written = write_pictures(tmp_path / "new", pictures)
    assert len(written) == 2 * len({picture.name for picture in pictures})
    for path in written:
        assert path.read_bytes().startswith(b"<svg" if path.suffix == ".svg" else b"\x89PNG")


def test_names_from_outside_cannot_break_out_of_the_page(both: list[RunFacts], store: Store) -> None:
    line = Line("<b>&\"'", by_difficulty(both[0]).panels[0].lines[0].points)
    hostile = Picture(
        "x", "<script>alert(1)</script>", "</figure>", by_difficulty(both[0]).axes, [Panel("<i>", [line])], "<"
    )
    assert not re.search("<script|</figure>.*</figure>|<b>|<i>", figures([hostile]), flags=re.DOTALL)


def test_the_page_names_no_other_file(page: str) -> None:
    assert re.findall(r'src="|<link[^>]*href="(?!#)([^"]*)"', page) == ["data:,"]
    links = re.findall(r'<a href="(?!#)([^"]*)"', page)
    assert links and all(address.startswith("http://127.0.0.1:8765/") for address in links), "into the viewer"
    assert not re.search(r"@import|url\((?!#)", page)
    assert "<script" not in page


def test_no_picture_holds_markup_that_nobody_sets(pictures: list[Picture]) -> None:
    for picture in pictures:
        texts = re.findall(r"<text[^>]*>(.*?)</text>", picture_svg(picture), flags=re.DOTALL)
        assert len(texts) > 5, picture.name
        assert not [text for text in texts if re.search(r"[$\\{}]|math", text)], picture.name
