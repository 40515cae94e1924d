"""The site of docs/ in a browser: it asks no other host, complains of nothing, fits a telephone, typesets formulas."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from browser import COMPLAINTS, Browser, opened_browser

DOCS = Path(__file__).parents[2] / "docs"
PAGES = sorted(str(path.relative_to(DOCS).with_suffix("")) for path in DOCS.rglob("*.md"))


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    yield from opened_browser(tmp_path_factory.mktemp("profile"))


@pytest.mark.parametrize(("width", "scheme"), [(1400, "light"), (390, "dark")])
def test_every_page_is_shown_whole_and_loads_only_what_is_its_own(
    browser: Browser, site: Path, width: int, scheme: str
) -> None:
    assert len(PAGES) > 30
    for page in PAGES:
        browser.show(site / f"{page}.html", width, 900, scheme)
        assert [url for url in browser.requests() if not url.startswith(site.resolve().as_uri())] == [], page
        assert browser.heard(*COMPLAINTS) == [], page
        assert browser.value("document.documentElement.scrollWidth") <= width, page
        paper = browser.value("getComputedStyle(document.body).backgroundColor")
        assert (paper == "rgb(255, 255, 255)") == (scheme == "light"), page
        assert browser.value("[...document.images].every((image) => image.naturalWidth > 0)"), page


def test_formulas_are_typeset(browser: Browser, site: Path) -> None:
    browser.show(site / "reference" / "selectors.html", 1400, 900)
    assert browser.value("document.querySelectorAll('.math .katex').length") > 20
    assert browser.value("[...document.querySelectorAll('.math')].every((node) => node.querySelector('.katex'))")


def test_what_is_sought_is_found_without_a_server(browser: Browser, site: Path) -> None:
    browser.show(f"{(site / 'search.html').resolve().as_uri()}?q=deepconf", 1400, 900)
    is_found = "[...document.querySelectorAll('ul.search a')].some((link) => link.href.includes('selectors'))"
    end = time.monotonic() + 30  # results come one by one
    while not browser.value(is_found) and time.monotonic() < end:
        time.sleep(0.1)
    assert browser.value(is_found)
