"""Figures: what is written along their axes and beside their lines, and what the pointer shows."""

import re
from pathlib import Path

import pytest
from report_runs import facts_of

from overthink.storage.store import Store
from overthink.tasks.analysis.method_ids import family
from overthink.tasks.reporting.axis_ticks import budget_ticks, decimal_ticks, power_of_ten
from overthink.tasks.reporting.html.contents import budget_pictures, report_pictures
from overthink.tasks.reporting.html.facts import RunFacts
from overthink.tasks.reporting.picture_files import panel_svg, picture_svg
from overthink.tasks.reporting.pictures import Axes, Line, Panel, Picture, Point, told_y
from overthink.tasks.reporting.plots import LABEL_GAP, label_places
from overthink.tasks.reporting.results import accuracy_text


@pytest.fixture(scope="module")
def small(report_pages: Path) -> RunFacts:
    return facts_of(Store(report_pages / "store"), "small")[0]


def hovers(svg: str) -> list[list[str]]:
    """What each strip of a panel shows, line by line."""
    groups = re.findall(r'<g class="hover">(.*?)</g></g>', svg, flags=re.DOTALL)
    return [re.findall(r"<tspan[^>]*>(.*?)</tspan>", group) for group in groups]


def test_the_values_of_figures_are_those_of_the_table(small: RunFacts) -> None:
    cells = {
        (family(row["method_id"]), row["selector"], row["n"]): accuracy_text(row).removeprefix("~")
        for row in small.rows
    }
    labels = {small.label(name): name for name in small.families}
    compared = 0
    _, by_selector, dots = budget_pictures(small)
    for panel in by_selector.panels:
        for line in panel.lines:
            for point in line.points:
                method = "cot" if line.level else labels[line.name]
                assert told_y(by_selector.axes, point).replace(" %", "") == cells[method, panel.title, point.x]
                compared += 1
    for panel in dots.panels:
        for line in panel.lines:
            (point,) = line.points
            method, selector = ("cot", "majority") if line.level else (labels[line.group], line.name)
            assert told_y(dots.axes, point).replace(" %", "") == cells[method, selector, point.x]
            compared += 1
    assert compared > 60


def test_the_pointer_is_shown_the_values_of_all_lines_at_an_x(small: RunFacts) -> None:
    by_method, *_ = budget_pictures(small)
    panel = by_method.panels[0]
    shown = hovers(panel_svg(by_method, panel))
    xs = sorted({point.x for line in panel.lines if not line.level for point in line.points})
    assert [lines[0] for lines in shown] == [f"budget n: {x}" for x in xs]
    for x, lines in zip(xs, shown, strict=True):
        values = [(line, point) for line in panel.lines for point in line.points if line.level or point.x == x]
        assert sorted(lines[1:]) == sorted(f"{line.name} {told_y(by_method.axes, point)}" for line, point in values)
        numbers = [float(re.findall(r"([\d.]+) %", line)[0]) for line in lines[1:]]
        assert numbers == sorted(numbers, reverse=True), "the highest first"


def test_a_dot_plot_shows_the_value_of_a_row(small: RunFacts) -> None:
    *_, dots = budget_pictures(small)
    assert [panel.title for panel in dots.panels] == ["n = 4", "n = 8"] and dots.chosen == 1
    (first, *others) = hovers(panel_svg(dots, dots.panels[1]))
    assert first[0] == "cot, greedy, n = 1" and len(others) == len(dots.panels[1].lines) - 1
    assert {line.group for line in dots.panels[1].lines} == {"", "best_of_n", "beam_search", "dvts"}


def test_what_the_pointer_shows_stays_within_the_panel(small: RunFacts) -> None:
    for picture in report_pictures(small.store, [small]):
        for panel in picture.panels:
            svg = panel_svg(picture, panel)
            _, _, wide, tall = map(float, re.findall(r'viewBox="([^"]*)"', svg)[0].split())
            for box in re.findall(r'class="box" x="([\d.]+)" y="([\d.]+)" width="([\d.]+)" height="([\d.]+)"', svg):
                x, y, width, height = map(float, box)
                assert x + width <= wide + 0.1 and y + height <= tall + 0.1, picture.name


def test_of_many_lines_the_faint_ones_are_counted_where_the_pointer_is() -> None:
    lines = [Line(f"faint {number}", [Point(1, 0.1), Point(2, 0.2)], faint=True) for number in range(20)]
    drawn = [*lines, Line("named", [Point(1, 0.5), Point(2, 0.6)])]
    picture = Picture("x", "t", "c", Axes("n", "y", base=2), [Panel("p", drawn)], "SELECT 1")
    first, _ = hovers(panel_svg(picture, picture.panels[0]))
    assert first == ["n: 1", "named 0.500", "20 more in the numbers below"]


def test_a_picture_says_what_it_is_of(small: RunFacts) -> None:
    for picture in report_pictures(small.store, [small]):
        assert picture.of.startswith(f"{small.run_id}: tiny with fake@"), picture.name
        assert f"{small.run_id}: tiny with fake@" in picture_svg(picture)


@pytest.mark.parametrize(
    ("ends", "places"),
    [
        ([0.2, 0.6], [0.2, 0.6]),
        ([0.5, 0.5, 0.5], [0.5, 0.5 + LABEL_GAP, 0.5 + 2 * LABEL_GAP]),
        ([0.0, 1.0, 1.0], [0.03, 1.0 - LABEL_GAP, 1.0]),
        ([], []),
    ],
)
def test_labels_stand_apart_and_move_no_other(ends: list[float], places: list[float]) -> None:
    assert label_places(ends) == pytest.approx(places)


def test_hostile_names_stay_text_where_the_pointer_shows_them() -> None:
    line = Line("</text><script>", [Point(1, 0.5, 0.4, 0.6), Point(2, 0.6)], group="<b>")
    for dots in (False, True):
        shown = Line(line.name, line.points[:1], group=line.group) if dots else line
        picture = Picture("x", "t", "c", Axes("<i>", "y", percent=True, dots=dots), [Panel("p", [shown])], "SELECT 1")
        svg = panel_svg(picture, picture.panels[0])
        assert not re.search("<script|<b>|<i>", svg) and "&lt;script&gt;" in svg


@pytest.mark.parametrize(
    ("budgets", "written"),
    [
        ([1, 4, 12, 16, 60, 64], [1, 4, 16, 64]),
        ([1, 2, 3, 4], [1, 2, 3, 4]),
        ([1, 4, 96, 100, 128], [1, 4, 128]),
        ([5], [5]),
        ([2**power for power in range(10)], [2, 8, 32, 128, 512]),
    ],
)
def test_of_budgets_that_lie_close_the_larger_is_written_under_the_axis(
    budgets: list[float], written: list[float]
) -> None:
    assert budget_ticks(budgets) == written


@pytest.mark.parametrize(
    ("low", "high", "written"),
    [
        (1e7, 1e9, "10⁷ 3·10⁷ 10⁸ 3·10⁸ 10⁹"),
        (1e8, 6e8, "10⁸ 2·10⁸ 5·10⁸"),
        (3e6, 4e12, "10⁸ 10¹⁰ 10¹²"),
        (1.2e9, 1.5e9, "1.2·10⁹ 1.5·10⁹"),
        (2e-3, 2e-3, "2·10⁻³"),
        (0.5, 2e15, "10⁰ 10³ 10⁶ 10⁹ 10¹² 10¹⁵"),
    ],
)
def test_an_axis_of_powers_of_ten_is_written_as_by_hand(low: float, high: float, written: str) -> None:
    assert " ".join(map(power_of_ten, decimal_ticks(low, high))) == written
