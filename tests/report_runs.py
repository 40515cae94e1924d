"""Finished runs for the report's tests: two policies on the same problems, with sizes, searches and a measured PRM."""

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

from conftest import recipe_of
from search_runs import base

from overthink.flows.evaluate import evaluate
from overthink.flows.prm_eval_run import prm_eval_run
from overthink.storage.store import Store
from overthink.tasks.reporting.html.contents import report_facts, report_page
from overthink.tasks.reporting.html.facts import RunFacts

METHODS: list[dict[str, Any]] = [
    {"method": "cot"},
    {"method": "best_of_n", "n": 8},
    {"method": "beam_search", "n": 4},
    {"method": "beam_search", "n": 8},
    {"method": "dvts", "n": 8},
]


async def small_and_large(folder: Path) -> Store:
    """`small` has searches and a measured PRM; `large`, a policy ten times its size, only cot and best-of-8."""
    store = Store(folder / "store")
    recipe = base(folder)
    small = await evaluate(recipe_of(recipe, name="small", methods=METHODS), store.root)
    large_recipe = recipe_of(recipe, name="large", methods=METHODS[:2], policy={"engine": "fake", "answers": 2})
    large = await evaluate(large_recipe, store.root)
    await prm_eval_run(small, store.root)
    store.write_run(replace(store.find_run(small), policy="tiny", policy_parameters=1_000, prm_parameters=500))
    store.write_run(replace(store.find_run(large), policy="huge", policy_parameters=10_000, prm_parameters=500))
    return store


def facts_of(store: Store, *names: str) -> list[RunFacts]:
    return report_facts(store, [store.find_run(name) for name in names])


def write_pages(folder: Path) -> None:
    """The store `small_and_large`, and the report's page of one run (one.html) and of both (two.html)."""
    store = asyncio.run(small_and_large(folder))
    (folder / "one.html").write_text(report_page(store, facts_of(store, "small")), encoding="utf-8")
    (folder / "two.html").write_text(report_page(store, facts_of(store, "small", "large")), encoding="utf-8")
