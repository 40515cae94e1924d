"""Is a run whole? Every way of asking agrees, for every kind of run, whole and damaged in every stage."""

import asyncio
import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest
from conftest import recipe_of
from search_runs import base
from strategies import strategy_value
from test_import_runs import recipe_of as import_of
from test_import_runs import three_lines
from test_prm_eval import on_chains
from test_prm_eval import plan_of as prm_eval_plan
from test_prm_train import recipe_in
from typer.testing import CliRunner

from overthink.flows.commands.cli import app
from overthink.flows.evaluate import evaluate
from overthink.flows.import_rollouts import import_rollouts
from overthink.flows.prm_eval import prm_eval
from overthink.flows.prm_eval_run import prm_eval_run
from overthink.flows.prm_train import prm_train
from overthink.flows.sweep import sweep
from overthink.storage.completeness import incomplete_stages
from overthink.storage.integrity import store_findings
from overthink.storage.stage_kinds import TABLES_OF
from overthink.storage.storage_errors import StorageError
from overthink.storage.store import Run, StageUse, Store
from overthink.tasks.datasets.problem_loading import load_problems
from overthink.tasks.plan.evaluation_plan import plan_evaluation
from overthink.tasks.plan.import_plan import plan_imports
from overthink.tasks.plan.prm_train_plan import plan_prm_train
from overthink.tasks.plan.run_plan import Plan, is_finished
from overthink.tasks.plan.sweep_plan import plan_sweep
from overthink.tasks.recipes.recipe import Recipe
from overthink.tasks.recipes.sweep_recipe import SweepRecipe
from overthink.tasks.stages.scored_run import scored_run
from overthink.tasks.strategy.solve_recipe import problem_source, solve_recipe

pytestmark = pytest.mark.usefixtures("prefect_server")

KINDS = ("run", "sweep", "prm-eval", "prm-train", "import", "solve")
METHODS = [{"method": "cot"}, {"method": "best_of_n", "n": 4}, {"method": "dvts", "n": 4}]


class Made(NamedTuple):
    """A finished run, and whether it is finished by its plan."""

    run_id: str
    is_finished: Callable[[Store], bool]


def plan_of(recipe: Recipe) -> Plan:
    return plan_evaluation(recipe, load_problems(recipe.problems))


async def make_run(folder: Path, store: Path) -> Made:
    recipe = recipe_of(base(folder, 3), methods=METHODS, budgets=[1, 4])
    run_id = await evaluate(recipe, store)
    await prm_eval_run(run_id, store)
    return Made(run_id, lambda opened: is_finished(plan_of(recipe), opened))


async def make_sweep(folder: Path, store: Path) -> Made:
    value = base(folder, 3)
    policies = [{"engine": "fake", "steps": 2}, {"engine": "fake", "steps": 3}]
    grid = {name: value[name] for name in ("budgets", "sampling")} | {"policies": policies, "prms": [value["prm"]]}
    grid |= {"name": "grid", "problems": [value["problems"]], "methods": [{"method": "best_of_n"}], "budgets": [4]}
    recipe = SweepRecipe.model_validate(grid)
    await sweep(recipe, store)
    run_id = plan_sweep(recipe, False).listing.run_ids[0]
    return Made(run_id, lambda opened: not plan_sweep(recipe, False).unfinished(opened))


async def make_prm_eval(_: Path, store: Path) -> Made:
    plan = prm_eval_plan(on_chains(solutions={"source": "chains", "count": 8}))
    return Made(await prm_eval(plan.recipe, store), lambda opened: is_finished(plan, opened))


async def make_prm_train(folder: Path, store: Path) -> Made:
    recipe = recipe_in(folder)
    assert recipe.continuations > 1
    plan = plan_prm_train(recipe, load_problems(recipe.problems))
    return Made(await prm_train(recipe, store), lambda opened: is_finished(plan, opened))


async def make_import(folder: Path, store: Path) -> Made:
    recipe = import_of("search-and-learn", three_lines(folder))
    (run_id,) = await import_rollouts(recipe, store)
    (plan,) = plan_imports(recipe)
    return Made(run_id, lambda opened: is_finished(plan, opened))


async def make_solve(folder: Path, store: Path) -> Made:
    path = folder / "strategy.json"
    example = plan_of(recipe_of(base(folder, 3)))
    assert example.prm is not None
    addresses = {"policy_id": example.policy.address, "prm_id": example.prm.address}
    path.write_text(json.dumps(strategy_value(**addresses, policy={"engine": "fake", "steps": 6})), encoding="utf-8")
    limit = {"n": 16, "total_tokens": None, "total_flops": None}
    recipe = solve_recipe(path, problem_source("What is 1+1?", None, []), limit, "solved")
    return Made(await evaluate(recipe, store), lambda opened: is_finished(plan_of(recipe), opened))


MAKERS = dict(zip(KINDS, (make_run, make_sweep, make_prm_eval, make_prm_train, make_import, make_solve), strict=True))


@pytest.fixture(scope="module", params=KINDS)
def made(
    request: pytest.FixtureRequest, prefect_server: str, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Store, Made]:
    """A store with a finished run of one kind."""
    folder = tmp_path_factory.mktemp("made")
    return Store(folder / "store"), asyncio.run(MAKERS[request.param](folder, folder / "store"))


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


@contextmanager
def without(path: Path, damage: Callable[[Path], object]) -> Iterator[None]:
    """A file or folder is damaged for a while."""
    kept = next(folder for folder in path.parents if folder.name == "store").with_name("kept")
    path.rename(kept)
    if kept.is_file():
        shutil.copy(kept, path)
        damage(path)
    try:
        yield
    finally:
        path.unlink(missing_ok=True)
        kept.rename(path)


def answers(store: Store, made: Made) -> dict[str, bool]:
    """Whether a run is whole, by everyone who says so."""
    run = store.find_run(made.run_id)
    found = {
        "plan": made.is_finished(store),
        "stages": not incomplete_stages(store, run),
        "doctor": all(finding.level != "broken" for finding in store_findings(store)),
    }
    kinds = {use.kind for use in run.stages}
    if run.policy is not None and run.prm is not None and "decide" not in kinds:  # of a strategy no reference
        found |= {"reader": is_readable(store, run)}
    return found


def is_readable(store: Store, run: Run) -> bool:
    try:
        return scored_run(store, run.run_id, "a test") == run
    except StorageError:
        return False


def test_a_whole_run_is_whole_to_all_and_is_reported(made: tuple[Store, Made]) -> None:
    store, whole = made
    assert set(answers(store, whole).values()) == {True}
    for use in store.find_run(whole.run_id).stages:
        written = {file.table for entry in store.stage(use.key).entries() for file in entry.files}
        assert written <= TABLES_OF[use.kind], use
    told = CliRunner().invoke(app, ["report", whole.run_id, "--store", str(store.root)])
    assert told.exit_code == 0, told.output


def test_a_run_that_is_damaged_in_any_stage_is_whole_to_nobody(made: tuple[Store, Made]) -> None:
    store, whole = made
    for use in store.find_run(whole.run_id).stages:
        stage = store.stage(use.key)
        entry = sorted(stage.manifest_folder.iterdir())[0]
        part = sorted(stage.parts_folder.iterdir())[0]
        for path, damage in ((part, flip), (part, Path.unlink), (entry, Path.unlink)):
            with without(path, damage):
                assert set(answers_about(store, whole, use).values()) == {False}, (use, path)
    assert set(answers(store, whole).values()) == {True}, "all is as it was"


def answers_about(store: Store, made: Made, use: StageUse) -> dict[str, bool]:
    """The answers of all who look at a stage: measures are added to a finished run, which its recipe does not make."""
    found = answers(store, made)
    is_added = use.kind == "measure" and any(other.kind == "grade" for other in store.find_run(made.run_id).stages)
    return {name: whole for name, whole in found.items() if not (is_added and name in ("plan", "reader"))}


@pytest.mark.parametrize("made", ["prm-train"], indirect=True)
def test_a_run_without_the_model_it_trained_is_whole_to_nobody(made: tuple[Store, Made]) -> None:
    store, whole = made
    with without(store.model_folder(whole.run_id), Path.unlink):
        assert set(answers(store, whole).values()) == {False}
