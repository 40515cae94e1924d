"""REBASE: how the draws of a round are shared out."""

from dataclasses import replace
from pathlib import Path

import pytest
from conftest import recipe_of
from drawn_trees import BEYOND, DOUBLING, DRAWN
from search_runs import base
from search_trees import GROWTH, HandDrawn, play, verdicts

from overthink.flows.evaluate import evaluate
from overthink.flows.prm_eval_run import prm_eval_run
from overthink.storage.store import Store
from overthink.tasks.methods.rebase import rebase
from overthink.tasks.recipes.recipe import Recipe


def test_the_shares_are_consecutive_draws_and_nothing_is_pruned_by_rank() -> None:
    played = play(rebase(GROWTH, 4, DOUBLING), HandDrawn(DRAWN["an early finish"].tree))
    assert played.draws[4:] == [("b", 0), ("b", 1), ("c", 2), ("b/e", 0), ("b/f", 1)]
    assert verdicts(played.result)[(3,)] == ("d", "left")


def test_a_flat_balance_shares_out_evenly() -> None:
    played = play(rebase(GROWTH, 4, 1e9), HandDrawn(DRAWN["plain"].tree, BEYOND))
    assert played.draws[4:] == [("a", 0), ("b", 1), ("c", 2), ("d", 3)]


def test_a_sharp_balance_gives_all_to_the_best() -> None:
    played = play(rebase(GROWTH, 4, 1e-6), HandDrawn(DRAWN["plain"].tree))
    assert played.draws[4:] == [("a", 0), ("a", 1), ("a", 2), ("a", 3)]


def test_paths_that_ended_take_their_part_of_the_budget() -> None:
    played = play(rebase(GROWTH, 4, DOUBLING), HandDrawn(DRAWN["dead ends further down"].tree))
    # a is at a dead end after three draws and their repeats, but takes one of the budget, as any path that ended
    assert played.draws[-3:] == [("b/g", 0), ("b/g", 1), ("b/g", 2)]


@pytest.mark.usefixtures("prefect_server")
async def test_a_run_of_the_time_when_balance_was_a_tenth_is_read_and_resumed_as_what_it_was(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    was = recipe_of(base(tmp_path), methods=[{"method": "rebase", "n": 8, "balance": 0.1}], budgets=[8])
    run_id = await evaluate(was, store.root)
    run = store.find_run(run_id)
    assert {use.method_id for use in run.stages} == {None, "rebase-n8"}, "as it has always been called"
    store.write_run(replace(run, status="failed"))
    assert await evaluate(Recipe.model_validate(run.recipe), store.root) == run_id
    assert store.find_run(run_id).status == "complete"
    await prm_eval_run(run_id, store.root)
    now = await evaluate(recipe_of(was.model_dump(), methods=[{"method": "rebase", "n": 8}]), store.root)
    assert {use.method_id for use in store.find_run(now).stages} == {None, "rebase-n8-balance0.2"}
