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
@pytest.mark.parametrize("width", [1280, 390])
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
