"""How long the viewer's pages take over a store of made-up rows: each page first, then again, in one process.

`first` opens the store, as after a start or when a run was written meanwhile; `again` finds it open.

    python -m benchmarks.viewer --problems 500 --n 256
"""

import tempfile
import time
from pathlib import Path
from typing import Annotated

import typer

from benchmarks.made_up import RUN_ID, write_store
from overthink.storage.store import Store
from overthink.tasks.reporting.viewer.addresses import address
from overthink.tasks.reporting.viewer.viewer_pages import Pages

PROBLEM = {"run": RUN_ID, "problem": "p0000123"}
PAGES = {
    "runs": ("", {}),
    "problems": ("run", {"run": RUN_ID}),
    "wrong, though right there": ("run", {"run": RUN_ID, "show": "missed"}),
    "search in questions": ("run", {"run": RUN_ID, "q": "p00001"}),
    "search in solutions": ("run", {"run": RUN_ID, "q": "p0000123/17", "within": "solutions"}),
    "a problem": ("problem", PROBLEM),
    "its right rollouts, by score": ("problem", {**PROBLEM, "verdict": "right", "order": "highest"}),
}


def seconds(pages: Pages, name: str) -> float:
    """The seconds that a page takes."""
    began = time.perf_counter()
    pages.render(*PAGES[name])
    return time.perf_counter() - began


def main(
    problems: Annotated[int, typer.Option(help="Problems, at least 124.")] = 500,
    n: Annotated[int, typer.Option(help="Rollouts a problem.")] = 256,
    store: Annotated[
        Path | None, typer.Option(help="A store that an earlier call wrote here, or that is kept.")
    ] = None,
) -> None:
    """Print a line a page."""
    with tempfile.TemporaryDirectory() as folder:
        root = store or Path(folder) / "store"
        if not root.exists():
            write_store(root, problems, n, 16)
        seconds(Pages(Store(root), address), "runs")  # which imports what all of them need
        print(f"{'page':30} {'first':>8} {'again':>8}   seconds")
        for name in PAGES:
            pages = Pages(Store(root), address)
            print(f"{name:30} {seconds(pages, name):8.2f} {seconds(pages, name):8.2f}")
            pages.close()


if __name__ == "__main__":
    typer.run(main)
