"""The generated pages of docs/reference are what the code makes of itself, and name all that there is."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from docs.reference import choices, recipe_keys, tables
from docs.reference.pages import PAGES
from overthink.tasks.analysis.selectors import SELECTORS

FOLDER = Path(__file__).parents[1] / "docs" / "reference"


@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_what_the_code_makes_of_itself(name: str) -> None:
    assert (FOLDER / f"{name}.md").read_text(encoding="utf-8") == PAGES[name](), "run `make docs`"


def test_every_page_there_is_generated() -> None:
    assert {path.stem for path in FOLDER.glob("*.md")} == set(PAGES)


def test_the_page_of_selectors_has_each_once() -> None:
    named = [name for pattern in choices.FORMULAS["selectors"] for name in choices._names(pattern)]
    assert sorted(named) == sorted(SELECTORS)


def without(notes: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in notes.items() if name not in names}


@pytest.mark.parametrize(
    ("module", "attribute", "changed", "complaint"),
    [
        (tables, "NOTES", without(tables.NOTES, "scores"), "columns.yaml, scores: say what"),
        (tables, "EVERYWHERE", without(tables.EVERYWHERE, "entropy_mean"), r"columns.yaml, rollouts: .*'entropy_mean'"),
        (tables, "NOTES", tables.NOTES | {"gone": {"": "A table."}}, "columns.yaml tells of no table: gone"),
        (choices, "FORMULAS", {"methods": {"cot": {}}}, r"formulas.yaml, methods: \['adaptive', .* have no formula"),
        (choices, "FORMULAS", {"selectors": {"best": {}}}, r"formulas.yaml, selectors: .* \['best'\] are none"),
    ],
)
def test_what_nobody_described_is_no_gap_in_a_page(
    module: Any, attribute: str, changed: Any, complaint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, attribute, changed)
    page: Callable[[], str] = tables.page
    if module is choices:
        page = choices.methods_page if "methods" in changed else choices.selectors_page
    with pytest.raises(ValueError, match=complaint):
        page()


def test_a_key_without_a_description_is_none() -> None:
    with pytest.raises(ValueError, match=r"Thing\.size has no description"):
        recipe_keys._table({"title": "Thing", "properties": {"size": {"type": "integer"}}})
