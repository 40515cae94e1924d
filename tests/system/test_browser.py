"""The report in a browser: it asks for nothing but itself, complains of nothing, and is shown whole."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from browser import COMPLAINTS, FLAWS, Browser, opened_browser

SECTIONS = [
    "Headline",
    "Accuracy against budget",
    "By difficulty",
    "Accuracy against FLOPs",
    "Wrong though a right one was there",
    "Small against large",
    "Gains",
    "The PRM",
    "Example trees",
    "Cost",
]


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    yield from opened_browser(tmp_path_factory.mktemp("profile"))


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1400, 390])
@pytest.mark.parametrize("name", ["one", "two"])
def test_a_browser_shows_the_page_whole(
    browser: Browser, report_pages: Path, name: str, width: int, scheme: str
) -> None:
    page = report_pages / f"{name}.html"
    browser.show(page, width, 900, scheme)
    assert browser.requests() == [page.resolve().as_uri()], "it asks for nothing but itself"
    assert browser.heard(*COMPLAINTS) == []
    assert browser.value("[...document.querySelectorAll('h2')].map((title) => title.innerText)") == SECTIONS
    assert browser.value("document.querySelectorAll('.panel svg').length") > 15
    assert browser.value("[...document.querySelectorAll('.example')].length") >= 1
    assert browser.value(FLAWS) == []
    paper = browser.value("getComputedStyle(document.body).backgroundColor")
    assert (paper == "rgb(20, 24, 29)") == (scheme == "dark")


def test_folded_sql_opens_without_breaking_the_page(browser: Browser, report_pages: Path) -> None:
    browser.show(report_pages / "two.html", 390, 900)
    browser.value("document.querySelectorAll('details').forEach((fold) => { fold.open = true; })")
    assert browser.value(FLAWS) == []


@pytest.mark.parametrize("width", [1400, 390])
def test_a_choice_shows_one_panel_at_a_time_and_each_whole(browser: Browser, report_pages: Path, width: int) -> None:
    browser.show(report_pages / "one.html", width, 900)
    buttons = browser.value("document.querySelectorAll('.choice > input').length")
    assert buttons > 15
    for number in range(buttons):
        browser.value(f"document.querySelectorAll('.choice > input')[{number}].click()")
        shown = "[...document.querySelectorAll('.choice')].map(c => [...c.querySelectorAll('.panel')].filter("
        assert set(browser.value(f"{shown}panel => panel.checkVisibility()).length)")) == {1}
        assert browser.value(FLAWS) == []
        chosen = f"document.querySelectorAll('.choice > input')[{number}]"
        title = browser.value(f"{chosen}.nextElementSibling.nextElementSibling.querySelector('svg').ariaLabel")
        assert title.endswith(browser.value(f"{chosen}.nextElementSibling.textContent"))


def test_the_pointer_is_shown_values_and_nothing_else_is(browser: Browser, report_pages: Path) -> None:
    browser.show(report_pages / "one.html", 1400, 900)
    boxes = "[...document.querySelectorAll('.values')].filter((box) => box.getBoundingClientRect().width > 0)"
    assert browser.value(f"{boxes}.length") == 0
    browser.value("document.querySelector('.panel').scrollIntoView({behavior: 'instant'})")
    x, y = browser.value(
        "(({x, y, width, height}) => [x + width / 2, y + height / 2])(document.querySelectorAll('.strip')[1]"
        ".getBoundingClientRect())"
    )
    browser.ask("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)
    (told,) = browser.value(f"{boxes}.map((box) => box.textContent)")
    assert told.startswith("budget n: 4") and "majority 39.1 % (15–72)" in told
