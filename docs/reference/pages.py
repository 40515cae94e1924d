"""The generated pages by name."""

from collections.abc import Callable, Mapping

from docs.reference import choices, python_api, recipe_keys, tables

PAGES: Mapping[str, Callable[[], str]] = {
    "recipes": recipe_keys.page,
    "tables": tables.page,
    "python": python_api.page,
    "methods": choices.methods_page,
    "selectors": choices.selectors_page,
}
