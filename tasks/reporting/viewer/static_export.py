"""The viewer's pages as files that need no server: what the links of the first page lead to, page by page."""

import re
import shutil
from collections.abc import Collection, Mapping
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory

from overthink.storage.files import disk_errors
from overthink.storage.keys import content_key
from overthink.storage.store import Store
from overthink.tasks.errors import UserError
from overthink.tasks.reporting.viewer.choice_of_run import own_method
from overthink.tasks.reporting.viewer.page_templates import static_folder
from overthink.tasks.reporting.viewer.viewer_pages import Pages

# The parameters that make a page of its own: there are too many of all others, and searching takes a server.
KEPT: Mapping[str, Collection[str]] = {
    "": ("page",),
    "run": ("run", "method", "show", "page"),
    "problem": ("run", "method", "problem", "rollouts"),
    "tree": ("run", "method", "problem"),
}
_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9]+")
LONGEST_SLUG = 40


def export_pages(store: Store, folder: Path, only: Collection[str] | None) -> int:
    """Write the pages of the runs `only`, of all where it is None, to a new folder; returns how many pages.

    The folder is there whole or not at all. Raises UserError where something is there already.
    """
    if folder.is_file() or (folder.is_dir() and any(folder.iterdir())):
        raise UserError(f"{folder} is there already: name a new folder")
    with disk_errors(folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(".partial", f".{folder.name}.", folder.parent) as beside:
            made = Path(beside) / "pages"
            made.mkdir()
            count = _Export(store, only).write(made)
            shutil.copytree(static_folder(), made / "static")
            made.chmod(0o755)  # a temporary folder is its owner's alone
            made.replace(folder)
    return count


class _Export:
    """Pages that are written as soon as a link to them has been."""

    def __init__(self, store: Store, only: Collection[str] | None) -> None:
        self._pages = Pages(store, self._link, only, is_static=True)
        self._own = {run.run_id: own_method(run) for run in store.runs()}
        self._names: set[str] = set()
        self._waiting: list[tuple[str, str, Mapping[str, str]]] = []
        self._link("", {})

    def write(self, folder: Path) -> int:
        """Write every page that a link leads to."""
        with closing(self._pages):
            while self._waiting:
                name, page, parameters = self._waiting.pop()
                (folder / name).write_text(self._pages.render(page, parameters), encoding="utf-8")
        return len(self._names)

    def _link(self, page: str, parameters: Mapping[str, str]) -> str:
        kept = {name: value for name, value in parameters.items() if name in KEPT[page]}
        if "method" in kept and kept["method"] == self._own[kept["run"]]:
            del kept["method"]  # that page has another name already
        name = file_name(page, kept)
        if name not in self._names:
            self._names.add(name)
            self._waiting.append((name, page, kept))
        return name


def file_name(page: str, parameters: Mapping[str, str]) -> str:
    """The file of a page: readable as far as that goes, and of its own."""
    if not page and not parameters:
        return "index.html"
    words = parameters.get("problem") or parameters.get("run") or ""
    slug = _NOT_IN_NAMES.sub("-", words).strip("-")[:LONGEST_SLUG].lower()
    return f"{page or 'runs'}-{slug}-{content_key([page, dict(parameters)])[:10]}.html"
