"""The flow `evaluate-on-ray`: one run, shared by workers on a Ray cluster.

A worker is one Ray task that goes through the whole run, so it loads each engine once. Ray restarts a task whose node
died; like any other worker it resumes from what is stored.
"""

import asyncio
from pathlib import Path
from typing import Any

import ray
from prefect import flow, task
from prefect_ray import RayTaskRunner
from prefect_ray.context import remote_options

from overthink.flows.orchestration.server import asking_the_server, server_address
from overthink.storage.opening import is_in_bucket, open_store
from overthink.tasks.datasets.problem_loading import load_problems
from overthink.tasks.errors import UserError
from overthink.tasks.plan.evaluation_plan import plan_evaluation
from overthink.tasks.plan.gpus import gpus_named
from overthink.tasks.plan.run_plan import is_finished
from overthink.tasks.recipes.recipe import Recipe
from overthink.tasks.recipes.store_uri import StorePlace
from overthink.tasks.stages.shards import PLAIN_TASK


@task(name="work", **PLAIN_TASK)
async def work(recipe: Recipe, store: str, skip_bad_rows: bool) -> str:
    """One worker of a shared run. Raises what `evaluate` raises."""
    # Imported where it runs: Ray pickles this function by value, with all that it refers to.
    from overthink.flows.evaluate import evaluate

    return await evaluate(recipe, store, skip_bad_rows, shared=True)


@flow(
    name="evaluate-on-ray",
    flow_run_name="evaluate {recipe.name} on Ray",
    task_runner=RayTaskRunner(),
    persist_result=False,
)
async def evaluate_on_ray(recipe: Recipe, store: StorePlace, workers: int, skip_bad_rows: bool = False) -> str:
    """Run a recipe with `workers` workers on the cluster at RAY_ADDRESS, or on one started here; returns the run's id.

    Every node needs this package, the Prefect server at PREFECT_API_URL, and the store: under the same path, or in a
    bucket whose variables are set there. When a worker fails, the others take its shards over; raises a worker's error
    where the run is incomplete in the end.
    """
    plan = plan_evaluation(recipe, load_problems(recipe.problems, skip_bad_rows, recipe.asking))
    has_gpus = bool(ray.cluster_resources().get("GPU"))  # type: ignore[no-untyped-call]
    if server_address() is None and len(ray.nodes()) > 1:  # type: ignore[no-untyped-call]
        raise UserError("the nodes of a cluster need a Prefect server that all of them reach: set PREFECT_API_URL")
    with remote_options(num_gpus=gpus_named(recipe) if has_gpus else 0), asking_the_server():
        place = store if is_in_bucket(store) else str(Path(store).resolve())
        futures: list[Any] = [work.submit(recipe, place, skip_bad_rows) for _ in range(workers)]
    for future in futures:
        await asyncio.to_thread(future.wait)
    if not is_finished(plan, open_store(store)):
        for future in futures:
            await asyncio.to_thread(future.result)
    return plan.run_id
