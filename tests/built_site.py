"""The site that `make docs` makes, in this process."""

from pathlib import Path

from sphinx.cmd.build import main

DOCS = Path(__file__).parents[1] / "docs"
OPTIONS = ("--quiet", "--fail-on-warning", "--keep-going", "--builder", "html")


def sphinx(pages: Path, site: Path) -> int:
    """Build some pages; the exit code is not 0 where there was any warning."""
    return main([*OPTIONS, "--doctree-dir", str(site.with_name("doctrees")), str(pages), str(site)])


def fill(folder: Path) -> None:
    """Build the pages of docs/ into a folder."""
    assert sphinx(DOCS, folder / "site") == 0
