"""Selectors that a recipe names and whose tests none of its problems has: they will choose nothing."""

from collections.abc import Mapping, Sequence

from overthink.tasks.analysis.selectors import signal_of
from overthink.tasks.analysis.signals import OF_TESTS, why_unknown
from overthink.tasks.domains.program_domain import ProgramDomain, Suite
from overthink.tasks.recipes.recipe import Recipe
from overthink.tasks.records import Problem

SUITES: Mapping[str, Suite] = {
    "tests_passed": "public",
    "generated_passed": "generated",
    "agreement": "generated",
    "behaviour": "inputs",
}


def lacking_suites(recipe: Recipe, problems: Sequence[Problem]) -> list[str]:
    """A line for each selector that the recipe itself lists and that will have nothing to read."""
    domain = recipe.grader.domain
    listed = recipe.selectors if isinstance(recipe.selectors, tuple) else ()
    read = {name: signal for name in listed if (signal := signal_of(name)) in OF_TESTS}
    if not read or not isinstance(domain, ProgramDomain):
        return []
    there = {suite for problem in problems for suite in domain.suites_of(problem)}
    return [
        f"{name} will choose nothing: no problem has {why_unknown(signal)}"
        for name, signal in read.items()
        if signal is not None and SUITES[signal] not in there
    ]
