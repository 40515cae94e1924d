"""The site of docs/: it is built without a warning, has every page in its navigation, and asks no other host."""

import re
import shutil
from pathlib import Path

import pytest
from built_site import DOCS, sphinx

pytestmark = pytest.mark.filterwarnings("ignore:.*MystReferenceResolver.app")  # MyST's, for Sphinx 11
PAGES = sorted(path.relative_to(DOCS).with_suffix("") for path in DOCS.rglob("*.md"))
ASKED = re.compile(r"""(?:src=|url\(|@import |<link[^>]*href=)["']?(?:https?:)?//[^"') >]*""")


def test_it_is_built_without_a_warning_and_has_every_page(site: Path) -> None:
    built = {path.relative_to(site).with_suffix("") for path in site.rglob("*.html")}
    assert len(PAGES) > 25
    assert set(PAGES) <= built


def test_every_page_is_in_the_navigation(site: Path) -> None:
    navigation = (site / "index.html").read_text().partition('class="sidebar-tree"')[2].partition("</aside>")[0]
    linked = set(re.findall(r'href="([\w/-]+)\.html"', navigation))
    assert linked == {str(page) for page in PAGES} - {"index"}


def test_its_pages_load_nothing_from_elsewhere(site: Path) -> None:
    asked = {
        str(path.relative_to(site)): found
        for path in site.rglob("*")
        if path.suffix in (".html", ".css", ".js") and (found := ASKED.findall(path.read_text()))
    }
    assert asked == {}


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("# A page that nobody lists\n", "toctree"),
        ("# Links\n\n[one](nowhere.md)\n", "nowhere.md"),
        ("# Links\n\n[one](index.md#no-such-section)\n", "no-such-section"),
        ("# Shown\n\n![one](no-such.svg)\n", "no-such.svg"),
    ],
)
def test_what_is_wrong_with_a_page_fails_the_build(
    text: str, complaint: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pages = tmp_path / "docs"
    shutil.copytree(DOCS, pages, ignore=shutil.ignore_patterns("*.md", "*.svg", "*.py", "__pycache__"))
    shutil.copy(DOCS / "conf.py", pages)
    listed = "" if complaint == "toctree" else "```{toctree}\nextra\n```\n"
    (pages / "index.md").write_text(f"# All pages\n\n{listed}")
    (pages / "extra.md").write_text(text)
    assert sphinx(pages, tmp_path / "site") != 0
    assert complaint in capsys.readouterr().err
